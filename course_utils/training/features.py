"""Transfer learning at a fraction of its price: a frozen backbone has to look at a picture once.

What a frozen network makes of a picture is the same in every epoch. `extract_features` computes it
once and keeps it, `fit_head` trains a new head on that, and ``nn.Sequential(backbone, head)`` is
the complete network again, to be explained or to be trained further.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import os
import tempfile
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .. import assets, runtime
from ..datasets import ImageDataset, batches
from ..datasets.tensors import to_float
from ..networks import Network
from .fitting import History, fit

#: Features that are kept in memory; the oldest go first.
MAX_IN_MEMORY = 8
#: Pictures on which a transform is tried out, to tell one from another.
PROBES = 4

_memory: OrderedDict[str, Tensor] = OrderedDict()


class Features(NamedTuple):
    """What a backbone makes of pictures: float32 (N, D), and their labels, int64 (N,)."""

    features: Tensor
    labels: Tensor


class TrainedHead(NamedTuple):
    """A head, in ``eval()``, and how its training went."""

    head: nn.Module
    history: History


# ---------------------------------------------------------------------------- backbone


def backbone_of(network: Network) -> nn.Module:
    """Return a pretrained network without the layer that makes the logits, frozen, in ``eval()``.

    Parameters
    ----------
    network : Network
        As `load_network` returns it; it stays as it is.

    Returns
    -------
    nn.Module
        Maps normalised pictures (N, 3, H, W) to features (N, D). The head is replaced by the
        identity, so layers keep their names: ``nn.Sequential(backbone, head)`` has the Grad-CAM
        layer ``"0." + network.layers.grad_cam``. D is 512 for ResNet18 and SqueezeNet (which
        averages its last maps), 1,280 for EfficientNet-Lite0 and MobileNetV3, 4,096 for VGG19.
    """
    backbone = copy.deepcopy(network.model)
    parent, _, name = network.layers.head.rpartition(".")
    setattr(backbone.get_submodule(parent), name, nn.Identity())
    return backbone.requires_grad_(False).eval()


def extract_features(
    backbone: Network | nn.Module,
    pictures: ImageDataset | tuple[Tensor, Tensor],
    *,
    size: int | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    batch_size: int = 32,
    cache: bool | str | Path = True,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> Features:
    """Run a frozen backbone over all pictures once, or take what it made of them before.

    Features are found again by content: a hash of the pictures, of the backbone's structure and
    weights, and of what `transform` does. Nothing has to be cleared when one of them changes.

    Parameters
    ----------
    backbone : Network or nn.Module
        A network of `load_network` (its `backbone_of` is used), or a module that maps normalised
        pictures to features (N, D). It runs in evaluation mode, without gradients.
    pictures : ImageDataset or (images, labels)
        A split, or what its ``to_tensors`` returns: images uint8 or float in [0, 1].
    size : int, optional
        Of a split, as in ``to_tensors(size)``. Default: the size the network was trained at; for a
        module, that of the pictures.
    transform : callable, optional
        From a float batch (N, 3, H, W) in [0, 1] to what the backbone expects. Default: a network's
        own normalisation; for a module, none. It must not be random.
    batch_size : int
        How many pictures at a time.
    cache : bool, "memory" or a folder
        True: in memory and in the course's cache folder. "memory": until the session ends. A
        folder: in memory and there. False: not at all. A damaged file is computed again; where
        nothing can be written, features stay in memory.
    device : str or torch.device, optional
        Default: the lesson's device.
    progress : bool
        Show a bar if it takes longer than a second.

    Returns
    -------
    Features
        On the CPU.

    Raises
    ------
    ValueError
        If the backbone's output is not (N, D), or a setting makes no sense.
    """
    model, transform, usual_size = _prepared(backbone, transform)
    if isinstance(pictures, ImageDataset):
        pictures = pictures.to_tensors(usual_size if size is None else size, progress=progress)
    elif size is not None:
        raise ValueError("size= is for a split; tensors have theirs: resize with to_tensors(size)")
    images, labels = pictures
    if not len(images):
        raise ValueError("there are no pictures to extract features from")
    target = runtime.current().device if device is None else torch.device(device)

    def compute() -> Tensor:
        return _run(model.to(target), images, transform, batch_size, target, progress=progress)

    if cache is False:
        return Features(compute(), labels)
    key = _key(model, images, transform)
    return Features(_cached(key, _cache_folder(cache), compute), labels)


def _prepared(
    backbone: Network | nn.Module, transform: Callable[[Tensor], Tensor] | None
) -> tuple[nn.Module, Callable[[Tensor], Tensor], int | None]:
    """Return the module, what is done to pictures in [0, 1] before it, and their usual size."""
    if not isinstance(backbone, Network):
        return backbone, (transform or _as_it_is), None
    preprocess = backbone.preprocess
    if transform is None:
        transform = functools.partial(_normalized, mean=preprocess.mean, std=preprocess.std)
    return backbone_of(backbone), transform, preprocess.crop


def _as_it_is(images: Tensor) -> Tensor:
    return images


def _normalized(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    middle, scale = (images.new_tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    return (images - middle) / scale


def _run(
    model: nn.Module,
    images: Tensor,
    transform: Callable[[Tensor], Tensor],
    batch_size: int,
    device: torch.device,
    *,
    progress: bool,
) -> Tensor:
    """Compute the features of all pictures, and leave the model in the mode it was in."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    options = {} if progress else {"disable": True}
    parts = []
    try:
        with torch.inference_mode():
            bar = runtime.progress(images.split(batch_size), description="features", **options)
            for batch in bar:
                features = model(transform(to_float(batch.to(device))))
                if not isinstance(features, Tensor) or features.ndim != 2:
                    shape = tuple(features.shape) if isinstance(features, Tensor) else features
                    raise ValueError(
                        f"the backbone's output {shape!r} should be (N, D): add nn.Flatten(), or "
                        "global average pooling, to its end"
                    )
                parts.append(features.float().cpu())
    finally:
        for module, mode in training.items():
            module.training = mode
    # a tensor made in inference mode could not be trained on
    return torch.cat(parts).clone()


# ---------------------------------------------------------------------------- cache


def _key(model: nn.Module, images: Tensor, transform: Callable[[Tensor], Tensor]) -> str:
    """Hash everything the features depend on.

    A function cannot be hashed, but what it does can: `transform` is tried out on a few pictures.
    A random one gives a new key every time, so that its features are never taken for another's.
    """
    digest = hashlib.sha256(f"{type(model).__qualname__}\n{model!r}\n".encode())
    tensors = {f"weights {name}": value for name, value in model.state_dict().items()}
    tensors["pictures"] = images
    with torch.no_grad():
        tensors["transformed"] = transform(to_float(images[:PROBES]))
    for name, value in tensors.items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(_bytes(value))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().flatten()
    return memoryview(flat.view(torch.uint8).numpy())


def _cache_folder(cache: bool | str | Path) -> Path | None:
    if cache == "memory":
        return None
    return assets.cache_folder() / "features" if cache is True else Path(cache).expanduser()


def _cached(key: str, folder: Path | None, compute: Callable[[], Tensor]) -> Tensor:
    """Look in memory, then in the folder, then compute; keep it in both."""
    features = _memory.get(key)
    if features is None and folder is not None:
        features = _read(folder / f"{key}.safetensors")
    if features is None:
        features = compute()
        if folder is not None:
            _write(folder / f"{key}.safetensors", features)
    _memory[key] = features
    _memory.move_to_end(key)
    while len(_memory) > MAX_IN_MEMORY:
        _memory.popitem(last=False)
    return features.clone()  # what a lesson does to its features must not change those kept


def clear_memory() -> None:
    """Forget the features that are kept in memory; files stay."""
    _memory.clear()


def _read(path: Path) -> Tensor | None:
    """Return stored features, or None if there are none or the file is damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            features, wanted = file.get_tensor("features"), (file.metadata() or {}).get("sha256")
        if hashlib.sha256(_bytes(features)).hexdigest() == wanted:
            return features
        problem = "its content does not match its checksum"
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        problem = str(error)
    warnings.warn(f"{path} is damaged ({problem}): features are computed again", stacklevel=5)
    return None


def _write(path: Path, features: Tensor) -> None:
    """Store features under a name that appears only when the file is complete."""
    from safetensors.torch import save_file

    metadata = {"sha256": hashlib.sha256(_bytes(features)).hexdigest()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        os.close(handle)
        try:
            save_file({"features": features}, partial, metadata=metadata)
            Path(partial).replace(path)
        finally:
            Path(partial).unlink(missing_ok=True)
    except Exception as error:  # safetensors wraps a full disk in an error of its own
        warnings.warn(
            f"features cannot be kept in {path.parent} ({error}): they stay in memory. Set "
            "COURSE_CACHE, or pass cache=, to a folder of yours to keep them",
            stacklevel=5,
        )


# ---------------------------------------------------------------------------- head


def fit_head(
    features: Tensor,
    labels: Tensor,
    validation: tuple[Tensor, Tensor] | None = None,
    *,
    head: nn.Module | None = None,
    classes: int | None = None,
    epochs: int = 20,
    batch_size: int = 64,
    seed: int = 0,
    **options: Any,
) -> TrainedHead:
    """Train a head on features: ``fit_head(*extract_features(…), classes=3)``.

    Parameters
    ----------
    features : float Tensor, shape (N, D)
    labels : int64 Tensor, shape (N,)
    validation : (features, labels), optional
        As `extract_features` returns it.
    head : nn.Module, optional
        Maps (N, D) to logits; trained in place. Default one linear layer.
    classes : int, optional
        Outputs of the default head; default as many as the labels need.
    epochs, batch_size : int
    seed : int
        Draws weights and order.
    **options
        As in `fit`: learning_rate, schedule, patience and so on.

    Raises
    ------
    ValueError
        If there are no features, or their shape does not fit.
    """
    if features.ndim != 2 or not len(features):
        raise ValueError(f"features {tuple(features.shape)} should be (N, D), with N at least 1")
    runtime.seed_everything(seed)
    if head is None:
        head = nn.Linear(features.shape[1], classes or int(labels.max()) + 1)
    measured = None if validation is None else batches(validation, 1024, shuffle=False)
    generator = torch.Generator().manual_seed(seed)
    training = batches((features, labels), batch_size, generator=generator)
    history = fit(head, training, measured, epochs=epochs, **options)
    return TrainedHead(head, history)
