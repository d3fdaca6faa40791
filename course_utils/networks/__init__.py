"""Pretrained networks behind one name: model, preprocessing, labels, the layers lessons need."""

from __future__ import annotations

import textwrap
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .. import assets, checks, runtime
from ..photos import PhotoSource, load_photo
from .bundled import IMAGENET_MEAN, IMAGENET_STD
from .bundled import efficientnet_lite0_state_dict as _efficientnet_weights
from .bundled import squeezenet1_1_state_dict as _squeezenet_weights
from .efficientnet_lite import efficientnet_lite0

__all__ = ["Network", "Prediction", "load_network"]


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


class Architecture(NamedTuple):
    """What there is to know about a network before its weights are opened.

    `build` makes it with random weights; `bundled` opens weights that come with pip; `stand_in`
    names the network that runs where the weights cannot be had.
    """

    title: str
    layers: Layers
    build: Callable[[], nn.Module]
    bundled: Callable[[], dict[str, Tensor]] | None = None
    stand_in: str | None = None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


def _torchvision_model(name: str) -> nn.Module:
    import torchvision

    return torchvision.models.get_model(name, weights=None)


_BUILD = {"efficientnet_lite0": efficientnet_lite0}
_BUNDLED = {"squeezenet1_1": _squeezenet_weights, "efficientnet_lite0": _efficientnet_weights}


def _read_table() -> dict[str, Architecture]:
    tables = tomllib.loads(assets.course_file("networks.toml").read_text(encoding="utf-8"))
    networks = {}
    for name, table in tables.items():
        layers = table.pop("layers")
        about = {
            key: tuple(value) if key in ("mean", "std") else value for key, value in table.items()
        }
        networks[name] = Architecture(
            layers=Layers(**layers | {"style": tuple(layers["style"])}), bundled=_BUNDLED.get(name),
            build=_BUILD.get(name, partial(_torchvision_model, name)), **about,
        )  # fmt: skip
    return networks


#: The course's networks by name, as ``data/networks.toml`` describes them.
NETWORKS: dict[str, Architecture] = _read_table()


@dataclass(frozen=True)
class Preprocess:
    """Turns photographs into the tensor a network expects, exactly once.

    The shorter side is resized to `resize` pixels, the centre `crop` x `crop` is cut out, 0..255
    becomes 0..1, and each channel is normalised to (value - mean) / std.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - devices do not change
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
        return torch.stack([self._one(picture) for picture in pictures]).to(self.device)

    def _one(self, picture: PhotoSource) -> Tensor:
        if isinstance(picture, Tensor | np.ndarray):
            given = f"a {type(picture).__name__}, which may be normalised already"
            raise TypeError(f"preprocess was given {given}: pass a PIL image, name, path or URL")
        from torchvision.transforms.v2 import functional as transforms

        image = transforms.resize(load_photo(picture), [self.resize])
        image = transforms.to_image(transforms.center_crop(image, [self.crop, self.crop]))
        return transforms.normalize(image.as_subclass(Tensor) / 255, self.mean, self.std)

    def denormalize(self, images: Tensor) -> Tensor:
        """Undo the normalisation: floats (N, 3, H, W) or (3, H, W) to values in [0, 1], clipped."""
        if not images.is_floating_point() or images.ndim not in (3, 4) or images.shape[-3] != 3:
            kind = f"{images.dtype} {tuple(images.shape)}"
            raise ValueError(f"normalised floats (N, 3, H, W) or (3, H, W) expected, got {kind}")
        mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
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
        names = getattr(self.layers, checks.one_of("role", role, self.layers._fields))
        if isinstance(names, str):
            return self.model.get_submodule(names)
        return tuple(self.model.get_submodule(name) for name in names)

    def index_of(self, label: str) -> int:
        """Return the index of a class by its name; case and underscores do not matter.

        Raises
        ------
        ValueError
            If no class has this name (the message offers close ones), or more than one has.

        Examples
        --------
        >>> load_network("squeezenet1_1").index_of("tarantula")
        76
        """
        wanted = str(label).lower().replace("_", " ").strip()
        names = [name.lower() for name in self.labels]
        found = [i for i, name in enumerate(self.labels) if name == label]
        found = found or [i for i, name in enumerate(names) if name == wanted]
        if len(found) > 1:
            raise ValueError(f"Several classes are called {label!r}: take an index of {found}")
        return found[0] if found else names.index(checks.one_of("label", wanted, names))

    def top_k(self, images: Tensor, k: int = 5) -> list[list[Prediction]]:
        """Return the `k` most probable classes of each image, best first.

        Parameters
        ----------
        images : Tensor, shape (N, 3, H, W)
            Normalised images, as `preprocess` makes them.
        k : int
            How many, 1 to 1000.

        Raises
        ------
        TypeError, ValueError
            For anything but a finite float tensor of this shape, another `k`, or a model that was
            left in training mode or returns something else than finite scores.
        """
        images = checks.check_images(images, "images").to(self.device, torch.float32)
        if k not in range(1, len(self.labels) + 1):
            raise ValueError(f"k must be a number of classes, 1 to {len(self.labels)}, got {k!r}")
        best = checks.all_scores(self.model, images).softmax(dim=1).topk(int(k), dim=1)
        ranks = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [
            [Prediction(self.labels[i], i, p) for i, p in zip(*rank, strict=True)] for rank in ranks
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
    from torchvision.models import SqueezeNet1_1_Weights

    checks.one_of("name", name, NETWORKS)
    source = runtime.current().data_source if source is None else source
    checks.one_of("source", source, runtime.DATA_SOURCES)
    target = runtime.current().device if device is None else torch.device(device)
    try:
        used, (state, origin) = name, _find_weights(name, source)
    except assets.AssetUnavailable as unavailable:
        used = NETWORKS[name].stand_in
        if used is None or not allow_stand_in or source == "real":
            raise
        state, origin = _find_weights(used, "embedded")
        if verbose:
            print(_banner(name, used, unavailable))
    architecture = NETWORKS[used]
    return Network(
        name=used,
        requested=name,
        model=_assemble(used, state).to(target),
        preprocess=Preprocess(architecture.mean, architecture.std, target),
        labels=list(SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"]),
        layers=architecture.layers,
        source=origin,
    )


def _find_weights(name: str, source: str) -> tuple[dict[str, Tensor], str]:
    """Return a state dict and where it came from, or raise AssetUnavailable."""
    bundled = NETWORKS[name].bundled
    if bundled is not None and (source != "real" or name not in assets.manifest()):
        return bundled(), "bundled with pip"
    path = assets.fetch(name, offline=source == "embedded")
    return torch.load(path, map_location="cpu", weights_only=True), str(path)


def _assemble(name: str, state: dict[str, Tensor]) -> nn.Module:
    """Build the network around its weights (none are drawn at random on the way), frozen."""
    with torch.device("meta"):
        model = NETWORKS[name].build()
    model.load_state_dict(state, assign=True)
    return model.requires_grad_(False).eval()


def _banner(requested: str, used: str, unavailable: assets.AssetUnavailable) -> str:
    wanted, running = NETWORKS[requested].title, NETWORKS[used].title
    why = f"whose weights could not be had ({unavailable.reasons[-1]})"
    text = f"{running} stands in for {wanted}, {why}. It has real ImageNet weights of its own, and "
    text += f"captions say so. To get {wanted}: {unavailable.advice}"
    return textwrap.fill(text, 96, subsequent_indent="  ")
