"""Makes ``import torchvision`` work beside a PyTorch build whose C++ operators do not match.

The torchvision wheel for Linux on the package index is a CUDA build. Beside a CPU build of
PyTorch its compiled operators cannot load, and ``import torchvision`` stops at ``operator
torchvision::nms does not exist``: it registers meta implementations ("fake kernels") for operators
whose schemas only the compiled library defines. Defining the two schemas is enough to import it. No
lesson calls these operators (they post-process object detections), and whoever does still gets
PyTorch's own clear error that no kernel is there.

``pyproject.toml`` names `ensure_importable` in the group ``torch.backends``, whose functions are
called at the end of ``import torch``: so ``import torch, torchvision`` works in any order wherever
the course is installed, also editable. For sources that are not installed, ``import course_utils``
calls it too. A ``.pth`` file would do the same, but would run at every start of Python.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

#: Keeps the definitions alive: PyTorch drops them when their ``Library`` object is collected.
_libraries: list[Any] = []


def ensure_importable() -> None:
    """Define torchvision's operator schemas if torchvision is there and its own cannot load."""
    import torch  # here, as PyTorch may call this in the middle of our own import of it

    spec = importlib.util.find_spec("torchvision")
    if sys.platform != "linux" or spec is None or hasattr(torch.ops.torchvision, "nms"):
        return
    for binary in Path(str(spec.origin)).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(binary)  # loading it twice is harmless
        except (OSError, RuntimeError):
            library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                library.define(
                    f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                )
            _libraries.append(library)
            return
