"""The ten classes of CIFAR-10, rendered: for 32 pixels, and for any other size to look at."""

from __future__ import annotations

from ..drawing import rgb
from ..families import Family, Scene
from .airplane import Airplane
from .parts import PARTS
from .places import PLACES, move_to
from .quadrupeds import Quadruped
from .road_vehicles import Automobile, Truck
from .ship import Ship
from .small_animals import Bird, Frog

__all__ = ["ANIMALS", "CIFAR10", "PLACES"]


def remove_object(scene: Scene) -> Scene:
    """Take the object away: what is left is the background."""
    return scene.changed(without="*")


def recolor(scene: Scene, color: tuple[float, float, float] = (0.1, 0.3, 0.9)) -> Scene:
    """Paint the object, or most of it, in another colour: red, green, blue in [0, 1]."""
    if len(color) != 3 or not all(0 <= part <= 1 for part in color):
        raise ValueError(f"color is red, green, blue, three numbers from 0 to 1, not {color}")
    return scene.changed(color=[round(part, 4) for part in rgb(*color)])


def backdrop(scene: Scene, kind: str = "meadow") -> Scene:
    """Move the object to another place: meadow, street, water, sky, boards, ….

    The place's colours come from the scene's own seed: the same change gives the same picture.
    """
    return move_to(scene, kind)


_INTERVENTIONS = {"remove_object": remove_object, "backdrop": backdrop, "color": recolor}
_MODELS = {
    "airplane": Airplane(),
    "automobile": Automobile(),
    "bird": Bird(),
    "cat": Quadruped("cat"),
    "deer": Quadruped("deer"),
    "dog": Quadruped("dog"),
    "frog": Frog(),
    "horse": Quadruped("horse"),
    "ship": Ship(),
    "truck": Truck(),
}
CIFAR10 = Family("cifar10", _MODELS, PARTS, _INTERVENTIONS)
ANIMALS = Family(
    "animals", {name: _MODELS[name] for name in ("cat", "dog", "horse")}, PARTS, _INTERVENTIONS
)
