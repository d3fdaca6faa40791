"""What a family of scenes is: its classes, parts, models and interventions.

A family (`vegetables`, `smoking`, `cifar10`) is one module that defines `Model` subclasses, which
know how one kind of thing is drawn and shaped, and one `Family` object, which names them. A whole
family can be as short as this::

    class Ball(Model):
        def draw(self, stage, shape, **options):
            values = draw_stage(stage, floor="wood", zoom=0.2, center=[0, 0.5, 0], bound=1.0)
            values.update(size=uniform(shape, 0.3, 0.5), tint=hsv(shape.random(), 0.7, 0.8))
            return values

        def derive(self, values):
            return {"middle": [0.0, values["size"], 0.0]}  # it rests on the floor

        def solids(self, values):
            return [Solid("ball", self.distance, self.paint, self.around, trust=1.0)]

        @staticmethod
        def distance(point, p, detail):
            return sphere(point - p.middle, p.size)

        @staticmethod
        def paint(point, normal, p):
            return Material(p.tint, part=1, specular=0.5, gloss=40.0)

        @staticmethod
        def around(p):
            return Bound(p.middle, p.size * 1.1)


    BALLS = Family("balls", {"ball": Ball()}, {0: "background", 1: "ball"})

Two rules keep pictures repeatable to the last bit. What depends on parameters alone (sines, powers,
matrices) is computed in `derive`, once per scene; `distance` and `paint` only combine it with the
rays' points. And which solids there are depends on string parameters only, because scenes that
agree in their strings are rendered together.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from .drawing import Generator
from .marching import Solid
from .parameters import Values
from .rendering import Picture

#: Name of a family: the module, and the name of its `Family` there. Opened when asked for.
FAMILIES = {
    "vegetables": ("vegetables", "VEGETABLES"),
    "smoking": ("portraits", "SMOKING"),
    "cifar10": ("cifar10", "CIFAR10"),
    "animals": ("cifar10", "ANIMALS"),
}


@dataclass(frozen=True)
class Scene:
    """Everything a picture depends on, except its size.

    Attributes
    ----------
    family, class_name : str
        For instance "vegetables" and "eggplant".
    label : int
        Index of the class in ``classes(family)``.
    parameters : dict
        Numbers, lists of numbers and strings; can be written as JSON.
    """

    family: str
    class_name: str
    label: int
    parameters: Values

    def __post_init__(self) -> None:
        without = self.parameters.get("without", "")
        if not isinstance(without, str):  # a text, so that it can be compared and stored
            parameters = {**self.parameters, "without": ", ".join(without)}
            object.__setattr__(self, "parameters", parameters)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for one line of JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scene:
        """Undo `to_dict`.

        Raises
        ------
        ValueError
            If one of the four entries is missing.
        """
        names = ("family", "class_name", "label", "parameters")
        if missing := [name for name in names if name not in values]:
            raise ValueError(f"not a scene: {', '.join(missing)} missing from {sorted(values)}")
        return cls(
            str(values["family"]),
            str(values["class_name"]),
            int(values["label"]),
            dict(values["parameters"]),
        )

    def changed(self, **parameters: Any) -> Scene:
        """Return the same scene with some parameters replaced.

        ``without`` takes parts away when the scene is rendered: ``without="tail"``,
        ``without=["fore legs", "tail"]``, or ``without="*"`` for all of them. With
        ``masks="solids"`` masks tell solids apart that share a part id, and the floor from the
        backdrop (`rendering.solid_names`). A portrait with ``smoke="alone"`` keeps its smoke when
        the cigarette is taken away.
        """
        return replace(self, parameters={**self.parameters, **parameters})


class Rendering(NamedTuple):
    """Rendered scenes.

    Attributes
    ----------
    images : np.ndarray
        uint8 (N, H, W, 3).
    masks : np.ndarray
        uint8 (N, H, W): the part seen by the centre of each pixel, 0 = background.
    labels : np.ndarray
        int64 (N,).
    scenes : list of Scene
        To render again, or to intervene on.
    """

    images: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    scenes: list[Scene]


class Model:
    """How one class is drawn at random and what it is made of; to be subclassed."""

    #: The backdrop follows the picture's frame instead of the ray's direction (portraits).
    backdrop_in_frame = False

    def draw(self, stage: Generator, shape: Generator, **options: Any) -> Values:
        """Draw a scene's parameters.

        Camera, light and background come from `stage`, which is the same for every class: scene i
        has the same table whatever lies on it. The thing itself comes from `shape`.
        """
        raise NotImplementedError

    def derive(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Numbers that follow from the parameters and are the same for all rays of a picture.

        Computed in NumPy, once per scene: sines, matrices, powers. They are not stored.
        """
        return {}

    def solids(self, values: Mapping[str, Any]) -> Sequence[Solid]:
        """Solids of a scene; what they are may depend on the string parameters only."""
        raise NotImplementedError

    def composite(self, picture: Picture) -> None:
        """Paint over a finished picture, before the film is exposed. By default nothing."""


Change = Callable[..., Scene]


@dataclass(frozen=True)
class Family:
    """A set of classes that share parts and interventions.

    Attributes
    ----------
    name : str
        "vegetables", "smoking" or "cifar10".
    models : dict
        Class name to its model, in the order of the labels.
    parts : dict
        Part id in the mask to what it is; 0 is the background.
    interventions : dict
        Name to a function ``(scene, **options) -> Scene`` whose docstring's first line says what it
        does.
    """

    name: str
    models: Mapping[str, Model]
    parts: Mapping[int, str]
    interventions: Mapping[str, Change] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the labels."""
        return tuple(self.models)


def family(name: str) -> Family:
    """Look up a family by name.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if name not in FAMILIES:
        raise ValueError(f"no scenes named {name!r}: {suggest(name, FAMILIES)}")
    module, attribute = FAMILIES[name]
    return getattr(importlib.import_module(f".{module}", __package__), attribute)


def suggest(given: str, known: Iterable[str]) -> str:
    """Return what to say after an unknown name: the nearest one, and what there is."""
    names = list(known)
    near = difflib.get_close_matches(str(given), names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}There are: {', '.join(names)}"
