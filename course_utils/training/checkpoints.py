"""Networks that were trained for this course, stored beside their accuracy and how to use them."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .. import runtime
from ..networks import Preprocess


class CheckpointError(RuntimeError):
    """A checkpoint that is missing, changed or made for something else."""


def tutorial_cnn(classes: int = 10) -> nn.Sequential:
    """Return the network of PyTorch's CIFAR-10 tutorial, untrained: two convolutions, three linear.

    Layers and their names are the tutorial's, so state dicts go back and forth; activations and
    pooling are modules of their own, each used once, as attribution methods with hooks want it.

    Parameters
    ----------
    classes : int
        Number of logits.

    Returns
    -------
    nn.Sequential
        Maps (N, 3, 32, 32) to logits (N, classes); 62,006 parameters for 10 classes.

    Examples
    --------
    >>> tutorial_cnn()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    layers = OrderedDict(
        conv1=nn.Conv2d(3, 6, kernel_size=5),  # 32 x 32 -> 28 x 28
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),  # -> 14 x 14
        conv2=nn.Conv2d(6, 16, kernel_size=5),  # -> 10 x 10
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),  # -> 5 x 5
        flatten=nn.Flatten(),
        fc1=nn.Linear(16 * 5 * 5, 120),
        relu3=nn.ReLU(),
        fc2=nn.Linear(120, 84),
        relu4=nn.ReLU(),
        fc3=nn.Linear(84, classes),
    )
    return nn.Sequential(layers)


class Known(NamedTuple):
    """A checkpoint of the course: its architecture and the SHA-256 of its file."""

    build: Callable[[], nn.Module]
    sha256: str


CHECKPOINTS: dict[str, Known] = {
    "cifar10_tutorial_cnn": Known(
        tutorial_cnn,
        "7f4b8588040bfc07f8dd90358cc3b6968295583d11164374f0595b5821d24aa7",
    ),
}


@dataclass(frozen=True)
class Checkpoint:
    """A network trained for this course, and all a lesson needs to use it.

    Attributes
    ----------
    name : str
    model : nn.Module
        In ``eval()``, parameters frozen, on the lesson's device.
    preprocess : Preprocess
        Photographs to a normalised batch; its ``mean`` and ``std`` are those of the training.
    labels : list of str
        Class names by index.
    accuracy : float
        On the test split, as measured when it was trained.
    details : dict of str to Any
        How it was trained: data, test pictures, epochs, seed and so on.
    path : Path
        The file.
    """

    name: str
    model: nn.Module
    preprocess: Preprocess
    labels: list[str]
    accuracy: float
    details: dict[str, Any]
    path: Path

    @property
    def normalize(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel, as `cu.batches` takes them."""
        return self.preprocess.mean, self.preprocess.std

    def denormalize(self, images: Tensor) -> Tensor:
        """Undo the normalisation: (N, 3, H, W) or (3, H, W) to values in [0, 1], clipped."""
        return self.preprocess.denormalize(images)


def checkpoint_folder() -> Path:
    """Return the folder of the course's checkpoints, in a checkout or installed."""
    package = Path(__file__).resolve().parents[1]
    candidates = (package.parent / "data" / "checkpoints", package / "_checkpoints")
    return next((folder for folder in candidates if folder.is_dir()), candidates[0])


def load_checkpoint(name: str, *, device: str | torch.device | None = None) -> Checkpoint:
    """Load a network that was trained for this course.

    Parameters
    ----------
    name : str
        One of `CHECKPOINTS`: "cifar10_tutorial_cnn".
    device : str or torch.device, optional
        Default: the lesson's device.

    Raises
    ------
    ValueError
        For an unknown name.
    CheckpointError
        If the file is missing, or not the one that comes with the course (by SHA-256).
    """
    if name not in CHECKPOINTS:
        raise ValueError(f"no checkpoint {name!r}: choose one of {', '.join(CHECKPOINTS)}")
    build, expected = CHECKPOINTS[name]
    path = checkpoint_folder() / f"{name}.safetensors"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror or error}): this copy of the course is "
            "incomplete, clone or install it again"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise CheckpointError(
            f"{path} is not the checkpoint that comes with the course (SHA-256 {found[:12]}…, "
            f"expected {expected[:12]}…): get it again, or open your own with open_checkpoint"
        )
    return open_checkpoint(path, build(), device=device)


def open_checkpoint(
    path: str | Path, model: nn.Module, *, device: str | torch.device | None = None
) -> Checkpoint:
    """Open a file that `save_checkpoint` wrote, without comparing its hash.

    Parameters
    ----------
    path : str or Path
    model : nn.Module
        The architecture; its weights are replaced.
    device : str or torch.device, optional
        Default: the lesson's device.

    Raises
    ------
    CheckpointError
        If the file is damaged or its weights do not fit.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    target = runtime.current().device if device is None else torch.device(device)
    try:
        with safe_open(path, framework="pt") as file:
            details = json.loads((file.metadata() or {})["course"])
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        model.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is no checkpoint of the course: {error}") from error
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{path} does not fit {type(model).__name__}: {reason}") from error
    size = details["size"]
    mean, std = map(tuple, details["normalize"])
    return Checkpoint(
        name=path.stem,
        model=model.to(target).requires_grad_(False).eval(),
        preprocess=Preprocess(mean, std, target, resize=size, crop=size),
        labels=list(details["classes"]),
        accuracy=details["accuracy"],
        details=details,
        path=path,
    )


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    *,
    classes: Sequence[str],
    normalize: tuple[Sequence[float], Sequence[float]],
    size: int,
    accuracy: float,
    **details: object,
) -> Path:
    """Write a model's weights, and beside them all that `open_checkpoint` gives back.

    Parameters
    ----------
    path : str or Path
        Ends in ``.safetensors``: a file that holds tensors and text, and no code.
    model : nn.Module
    classes : sequence of str
        Class names by index.
    normalize : (mean, std)
        Per channel, of inputs in [0, 1].
    size : int
        Side of the input, in pixels.
    accuracy : float
        On the test split.
    **details
        Anything else that JSON can hold: epochs, seed, data set.
    """
    from safetensors.torch import save_file

    record: Mapping[str, object] = {
        **details,
        "accuracy": accuracy,
        "classes": list(classes),
        "normalize": [list(values) for values in normalize],
        "size": size,
    }
    tensors = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"course": json.dumps(record, sort_keys=True)})
    return path
