"""Pretrained networks behind one name: model, preprocessing, labels, the layers lessons need."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .. import assets, runtime
from ..photos import PhotoSource, load_photo
from .bundled import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    efficientnet_lite0_state_dict,
    squeezenet1_1_state_dict,
)

__all__ = ["NETWORKS", "Layers", "Network", "Prediction", "Preprocess", "load_network"]


class Layers(NamedTuple):
    """Names of the modules that lessons need (see `Network.layer`).

    `grad_cam` is the last map before pooling, after its non-linearity; `head` the layer that makes
    the logits; `content` and `style` are the layers of style transfer, from shallow to deep.
    """

    grad_cam: str
    head: str
    content: str
    style: tuple[str, ...]


class Prediction(NamedTuple):
    """One class that a network considers: its name, index and softmax probability."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class Architecture:
    """What there is to know about a network before its weights are opened."""

    title: str
    layers: Layers
    build: Callable[[], nn.Module]
    bundled: Callable[[], dict[str, Tensor]] | None = None
    stand_in: str | None = None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


def _torchvision_model(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import torchvision

        return torchvision.models.get_model(name, weights=None)

    return build


def _efficientnet_lite0() -> nn.Module:
    from .efficientnet_lite import EfficientNetLite0

    return EfficientNetLite0()


NETWORKS: dict[str, Architecture] = {
    "squeezenet1_1": Architecture(
        title="SqueezeNet 1.1",
        layers=Layers(
            grad_cam="features.12",
            head="classifier.1",
            content="features.3",
            style=("features.1", "features.4", "features.6", "features.7"),
        ),
        build=_torchvision_model("squeezenet1_1"),
        bundled=squeezenet1_1_state_dict,
    ),
    "efficientnet_lite0": Architecture(
        title="EfficientNet-Lite0",
        layers=Layers(
            grad_cam="head",
            head="classifier",
            content="blocks.4",
            style=("stem", "blocks.2", "blocks.4", "blocks.7"),
        ),
        build=_efficientnet_lite0,
        bundled=efficientnet_lite0_state_dict,
        mean=(0.498, 0.498, 0.498),
        std=(0.502, 0.502, 0.502),
    ),
    "mobilenet_v3_large": Architecture(
        title="MobileNetV3-Large",
        layers=Layers(
            grad_cam="features.16",
            head="classifier.3",
            content="features.6",
            style=("features.0", "features.3", "features.6", "features.12"),
        ),
        build=_torchvision_model("mobilenet_v3_large"),
        stand_in="efficientnet_lite0",
    ),
    "resnet18": Architecture(
        title="ResNet18",
        layers=Layers(
            grad_cam="layer4",
            head="fc",
            content="layer2",
            style=("relu", "layer1", "layer2", "layer3"),
        ),
        build=_torchvision_model("resnet18"),
        stand_in="efficientnet_lite0",
    ),
    "vgg19": Architecture(
        title="VGG19",
        layers=Layers(
            grad_cam="features.35",
            head="classifier.6",
            content="features.22",
            style=("features.1", "features.6", "features.11", "features.20", "features.29"),
        ),
        build=_torchvision_model("vgg19"),
        stand_in="squeezenet1_1",
    ),
}


@dataclass(frozen=True)
class Preprocess:
    """Turns photographs into the tensor a network expects, exactly once.

    The shorter side is resized to `resize` pixels, the centre `crop` x `crop` is cut out, 0..255
    becomes 0..1, and each channel is normalised to (value - mean) / std.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    resize: int = 256
    crop: int = 224

    def __call__(self, images: PhotoSource | Sequence[PhotoSource]) -> Tensor:
        """Return a normalised float32 batch (N, 3, crop, crop) on the network's device.

        Parameters
        ----------
        images : a photograph or a list of them
            Whatever `load_photo` opens: a PIL image, a catalogue name, a path, a URL or bytes.

        Raises
        ------
        TypeError
            For a tensor or an array: it may be normalised already, and twice is once too often.
        PhotoError
            For a photograph that cannot be opened.
        """
        pictures = images if isinstance(images, list | tuple) else [images]
        if not pictures:
            raise ValueError("preprocess was given an empty list: pass at least one photograph")
        return torch.stack([self._one(picture) for picture in pictures]).to(self.device)

    def _one(self, picture: PhotoSource) -> Tensor:
        if isinstance(picture, Tensor | np.ndarray):
            raise TypeError(
                f"preprocess was given a {type(picture).__name__}, and a tensor or array may be "
                "normalised already: pass the photograph itself (a PIL image, name, path or URL)"
            )
        from torchvision.transforms.v2 import functional as transforms

        image = transforms.resize(load_photo(picture), [self.resize])
        image = transforms.to_image(transforms.center_crop(image, [self.crop, self.crop]))
        return transforms.normalize(image.as_subclass(Tensor) / 255, self.mean, self.std)

    def denormalize(self, images: Tensor) -> Tensor:
        """Undo the normalisation: (N, 3, H, W) or (3, H, W) to values in [0, 1], clipped."""
        mean, std = (
            torch.tensor(values, dtype=images.dtype, device=images.device).view(3, 1, 1)
            for values in (self.mean, self.std)
        )
        return (images.detach() * std + mean).clamp(0, 1)


@dataclass(frozen=True)
class Network:
    """A pretrained network and all a lesson needs to use it.

    Attributes
    ----------
    name : str
        The network that runs.
    requested : str
        The network the lesson asked for; differs from `name` when a stand-in runs.
    model : torch.nn.Module
        In ``eval()``, parameters frozen, on the chosen device. Maps (N, 3, H, W) to logits
        (N, 1000).
    preprocess : Preprocess
        Photographs to a normalised batch.
    labels : list of str
        ImageNet's 1000 class names, by index.
    layers : Layers
        Module names; `layer` returns the modules.
    source : str
        Where the weights came from: a file's path, or the pip package that carries them.
    """

    name: str
    requested: str
    model: nn.Module
    preprocess: Preprocess
    labels: list[str]
    layers: Layers
    source: str

    @property
    def is_stand_in(self) -> bool:
        """Whether another network runs than the one that was asked for."""
        return self.name != self.requested

    @property
    def title(self) -> str:
        """The running network's name as papers write it."""
        return NETWORKS[self.name].title

    @property
    def caption(self) -> str:
        """What a figure should call this network; says so when it stands in for another."""
        if not self.is_stand_in:
            return self.title
        return f"{self.title} (stands in for {NETWORKS[self.requested].title})"

    @property
    def device(self) -> torch.device:
        """Where the model and its inputs live."""
        return self.preprocess.device

    def denormalize(self, images: Tensor) -> Tensor:
        """Undo the normalisation: (N, 3, H, W) or (3, H, W) to values in [0, 1], clipped."""
        return self.preprocess.denormalize(images)

    def layer(self, role: str) -> nn.Module | tuple[nn.Module, ...]:
        """Return the module for a role in `layers`: "grad_cam", "head", "content" or "style".

        Raises
        ------
        ValueError
            For an unknown role.
        """
        if role not in self.layers._fields:
            raise ValueError(f"No layer role {role!r}: choose one of {self.layers._fields}")
        names = getattr(self.layers, role)
        if isinstance(names, str):
            return self.model.get_submodule(names)
        return tuple(self.model.get_submodule(name) for name in names)

    def top_k(self, images: Tensor, k: int = 5) -> list[list[Prediction]]:
        """Return the `k` most probable classes of each image, best first.

        Parameters
        ----------
        images : Tensor, shape (N, 3, H, W)
            Normalised images, as `preprocess` makes them.
        k : int
            How many, 1 to 1000.
        """
        with torch.no_grad():
            probabilities = self.model(images.to(self.device)).softmax(dim=1)
        best = probabilities.topk(k, dim=1)
        return [
            [
                Prediction(self.labels[index], index, probability)
                for index, probability in zip(indices, values, strict=True)
            ]
            for indices, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]


def load_network(
    name: str,
    *,
    allow_stand_in: bool = True,
    source: str | None = None,
    device: str | torch.device | None = None,
    verbose: bool = True,
) -> Network:
    """Load a pretrained network by name, with the nearest bundled one standing in if need be.

    `squeezenet1_1` and `efficientnet_lite0` come with pip and are always there.
    `mobilenet_v3_large`, `resnet18` and `vgg19` need their weights once: from the class's shared
    folder, the cache or the network. Where they cannot be had, a bundled network stands in and a
    banner says so; weights are never random.

    Parameters
    ----------
    name : str
        One of `NETWORKS`.
    allow_stand_in : bool
        False raises instead of standing in.
    source : {"auto", "real", "embedded"}, optional
        Default: the lesson's data source. "auto" takes bundled weights where there are any, else
        torchvision's file; "real" wants torchvision's file of every network that has one;
        "embedded" never touches the network.
    device : str or torch.device, optional
        Default: the lesson's device.
    verbose : bool
        Print the stand-in banner.

    Raises
    ------
    ValueError
        For an unknown name or source.
    AssetUnavailable
        If the weights cannot be had and standing in is not allowed, by `allow_stand_in` or because
        `source` is "real".
    """
    if name not in NETWORKS:
        raise ValueError(f"No network {name!r}: choose one of {', '.join(NETWORKS)}")
    source = runtime.current().data_source if source is None else source
    if source not in runtime.DATA_SOURCES:
        raise ValueError(f"source={source!r}: choose one of {', '.join(runtime.DATA_SOURCES)}")
    target = runtime.current().device if device is None else torch.device(device)
    try:
        state, origin = _find_weights(name, source)
        used = name
    except assets.AssetUnavailable as unavailable:
        stand_in = NETWORKS[name].stand_in
        if stand_in is None or not allow_stand_in or source == "real":
            raise
        used = stand_in
        state, origin = _find_weights(used, "embedded")
        if verbose:
            print(_banner(name, used, unavailable))
    architecture = NETWORKS[used]
    return Network(
        name=used,
        requested=name,
        model=_assemble(architecture, state, origin).to(target),
        preprocess=Preprocess(architecture.mean, architecture.std, target),
        labels=imagenet_labels(),
        layers=architecture.layers,
        source=origin,
    )


@cache
def _imagenet_labels() -> tuple[str, ...]:
    from torchvision.models import SqueezeNet1_1_Weights

    return tuple(SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"])


def imagenet_labels() -> list[str]:
    """ImageNet's 1000 class names by index, as torchvision gives them (no network needed)."""
    return list(_imagenet_labels())


def _find_weights(name: str, source: str) -> tuple[dict[str, Tensor], str]:
    """Return a state dict and where it came from, or raise AssetUnavailable."""
    bundled = NETWORKS[name].bundled
    if bundled is not None and (source != "real" or name not in assets.names()):
        return bundled(), "bundled with pip"
    path = assets.fetch(name, offline=source == "embedded")
    return _open_state_dict(path, name), str(path)


def _open_state_dict(path: Path, name: str) -> dict[str, Tensor]:
    """Open a checked weight file without running code that it may contain."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(
            f"{path} holds a {type(state).__name__}, not a state dict of {name}: delete it, and "
            "the next call fetches it again"
        )
    return state


def _assemble(architecture: Architecture, state: dict[str, Tensor], origin: str) -> nn.Module:
    """Build the network around its weights (none are drawn at random on the way), frozen."""
    with torch.device("meta"):
        model = architecture.build()
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ValueError(
            f"The weights from {origin} do not fit {architecture.title}: "
            f"{str(error).splitlines()[-1].strip()}"
        ) from error
    return model.requires_grad_(False).eval()


def _banner(requested: str, used: str, unavailable: assets.AssetUnavailable) -> str:
    wanted, running = NETWORKS[requested].title, NETWORKS[used].title
    lines = textwrap.wrap(
        f"The weights of {wanted} could not be had ({unavailable.reasons[-1]}). {running} runs "
        "instead, with its own real ImageNet weights, and captions say so. "
        f"To get {wanted}: {unavailable.advice}",
        width=92,
    )
    return "\n│  ".join([f"┌─ {running} stands in for {wanted}", *lines]) + "\n└─"
