"""Shared helpers of the course on explaining image classifiers.

``import course_utils as cu`` is all a lesson needs: ``cu.load_network``, ``cu.grad_cam``
and the other names listed in ``__init__.pyi`` are looked up on first use, so importing the package
costs little more than importing PyTorch.
"""

import lazy_loader

from ._torchvision import ensure_importable

ensure_importable()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
