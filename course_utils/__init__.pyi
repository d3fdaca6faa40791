# The public names, module by module. `__init__.py` serves them lazily from this list, and editors
# and type checkers read it as it stands.
from . import (
    assets,
    attribution,
    datasets,
    evaluation,
    networks,
    photos,
    plots,
    runtime,
    scenes,
    widgets,
)
from .assets import AssetUnavailable
from .attribution import (
    PathAttribution,
    deeplift,
    grad_cam,
    integrated_gradients,
    path_gradients,
    quadrature,
)
from .datasets import (
    Augment,
    DatasetError,
    DatasetSplits,
    ImageDataset,
    batches,
    load_dataset,
    preset_transform,
)
from .networks import Network, Prediction, load_network
from .photos import Photo, PhotoError, load_photo, photo, photo_names
from .runtime import Runtime, current, progress, seed_everything, setup, tune_allocator

__all__ = [
    "AssetUnavailable",
    "Augment",
    "DatasetError",
    "DatasetSplits",
    "ImageDataset",
    "Network",
    "PathAttribution",
    "Photo",
    "PhotoError",
    "Prediction",
    "Runtime",
    "assets",
    "attribution",
    "batches",
    "current",
    "datasets",
    "deeplift",
    "evaluation",
    "grad_cam",
    "integrated_gradients",
    "load_dataset",
    "load_network",
    "load_photo",
    "networks",
    "path_gradients",
    "photo",
    "photo_names",
    "photos",
    "plots",
    "preset_transform",
    "progress",
    "quadrature",
    "runtime",
    "scenes",
    "seed_everything",
    "setup",
    "tune_allocator",
    "widgets",
]
