"""Shared helpers of the course on explaining image classifiers.

``import course_utils as cu`` is all a lesson needs: ``cu.load_network``, ``cu.integrated_gradients``
and the rest are looked up on first use, so importing the package costs little more than importing
PyTorch. Each name lives in one module; ``cu.<module>`` works as well.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._torchvision import ensure_importable

ensure_importable()

#: Where each public name lives. One sentence per module is in its own docstring.
_PUBLIC = {
    "runtime": ("setup", "current", "Runtime", "seed_everything", "tune_allocator", "progress"),
    "assets": ("AssetUnavailable",),
    "photos": ("load_photo", "photo", "photo_names", "Photo", "PhotoError"),
    "networks": ("load_network", "Network", "Prediction"),
    "attribution": (
        "integrated_gradients",
        "path_gradients",
        "quadrature",
        "grad_cam",
        "deeplift",
        "PathAttribution",
    ),
    "plots": (),
    "widgets": (),
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = [*_PUBLIC, *_HOME]  # noqa: PLE0604 - the table above is the one list of names


def __getattr__(name: str) -> Any:
    """Import the module that holds `name` on first use (PEP 562)."""
    if name in _PUBLIC:
        return importlib.import_module(f".{name}", __name__)
    if name in _HOME:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {__all__}")


def __dir__() -> list[str]:
    """Names for tab completion, including those not imported yet."""
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:  # editors and type checkers see the same names without running anything
    from . import assets, attribution, networks, photos, plots, runtime, widgets
    from .assets import AssetUnavailable
    from .attribution import (
        PathAttribution,
        deeplift,
        grad_cam,
        integrated_gradients,
        path_gradients,
        quadrature,
    )
    from .networks import Network, Prediction, load_network
    from .photos import Photo, PhotoError, load_photo, photo, photo_names
    from .runtime import Runtime, current, progress, seed_everything, setup, tune_allocator
