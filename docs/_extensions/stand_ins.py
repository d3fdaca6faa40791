"""Libraries that the docstrings do not need: not imported for the site, but stood in for.

Importing PyTorch, pandas and the others took longer than everything else of the site together.
Sphinx's ``autodoc_mock_imports`` puts objects that are no classes in their place: with these,
neither ``Tensor | None`` nor the signature of a class derived from ``Dataset`` works.
"""

from __future__ import annotations

import importlib.machinery
import sys
import types
from typing import Any

from sphinx.application import Sphinx

LIBRARIES = (
    *("captum", "distributed", "ipywidgets", "matplotlib", "pandas", "pooch", "pyarrow"),
    *("safetensors", "scipy", "seaborn", "skimage", "sklearn", "torch", "torchvision"),
)


class StandIn(type):
    """A class that has every attribute."""

    def __getattr__(cls, name: str) -> StandIn:
        """Find whatever is looked for, but for what Python asks of itself."""
        return found(cls.__module__, f"{cls.__qualname__}.{name}")

    def __getitem__(cls, item: Any) -> StandIn:
        return cls

    def __repr__(cls) -> str:
        return f"{cls.__module__}.{cls.__qualname__}"


class Anything(metaclass=StandIn):
    """What a call of a stand-in returns; a decorator that changes nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *given: Any, **options: Any) -> Any:
        """Return what is decorated."""
        return given[0] if given else self

    def __getattr__(self, name: str) -> StandIn:
        return getattr(type(self), name)


class Module(types.ModuleType):
    """A module that has every attribute."""

    def __getattr__(self, name: str) -> StandIn:
        return found(self.__name__, name)


def found(module: str, path: str) -> StandIn:
    """Make a stand-in for what a module has under a name, which may be a path of names."""
    name = path.rpartition(".")[2]
    if name.startswith("__"):
        raise AttributeError(name)
    return StandIn(name, (Anything,), {"__module__": module, "__qualname__": path})


class Finder:
    """Finds `LIBRARIES`, and every module below them, before Python looks for them."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        """Answer for the libraries only."""
        ours = name.partition(".")[0] in LIBRARIES
        return importlib.machinery.ModuleSpec(name, Finder, is_package=True) if ours else None

    @staticmethod
    def create_module(spec: importlib.machinery.ModuleSpec) -> Module:
        """Make the module."""
        return Module(spec.name)

    @staticmethod
    def exec_module(module: Module) -> None:
        """Execute nothing."""


def without_signature(app: Sphinx, kind: str, name: str, thing: Any, *rest: Any) -> Any:
    """Show no arguments where they are those of `Anything`."""
    return ("", None) if rest[1] == "(*_, **__)" else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx; where PyTorch is imported already, nothing is stood in for."""
    if "torch" not in sys.modules:
        sys.meta_path.insert(0, Finder)
        app.connect("build-finished", lambda *_: sys.meta_path.remove(Finder))
    app.connect("autodoc-process-signature", without_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
