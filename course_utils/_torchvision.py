"""Makes ``import torchvision`` work beside a PyTorch build whose C++ operators do not match.

The torchvision wheel for Linux on the package index is a CUDA build. Beside a CPU build of
PyTorch its compiled operators cannot load, and ``import torchvision`` stops at ``operator
torchvision::nms does not exist``: it registers meta implementations ("fake kernels") for operators
whose schemas only the compiled library defines. Defining the two schemas is enough to import it. No
lesson calls these operators (they post-process object detections), and whoever does still gets
PyTorch's own clear error that no kernel is there.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("nms", "qnms")

#: Keeps the definitions alive: PyTorch drops them when their ``Library`` object is collected.
_library: torch.library.Library | None = None


def ensure_importable() -> bool:
    """Define torchvision's missing operator schemas, if and only if they are missing.

    Returns
    -------
    bool
        True when schemas had to be defined, now or by an earlier call; False when torchvision's own
        operators load (nothing was done) or torchvision is not installed.
    """
    global _library
    if _library is not None:
        return True
    binary = _compiled_operators()
    if binary is None or _loads(binary):
        return False
    library = torch.library.Library("torchvision", "DEF")
    for operator in _OPERATORS:
        if not hasattr(torch.ops.torchvision, operator):
            library.define(operator + _SCHEMA)
    _library = library
    return True


def _compiled_operators() -> Path | None:
    """Path of torchvision's compiled operators, found without importing torchvision."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    candidates = sorted(path for path in folder.glob("_C*") if path.suffix in {".so", ".pyd"})
    return candidates[0] if candidates else None


def _loads(binary: Path) -> bool:
    """Whether the compiled operators load beside this PyTorch (loading them twice is harmless)."""
    try:
        torch.ops.load_library(str(binary))
    except (OSError, RuntimeError):
        return False
    return True
