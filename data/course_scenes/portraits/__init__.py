"""Portraits of varied people, of whom half hold a cigarette: the family "smoking".

The others hold a pen, a straw, a lollipop, a phone, a mug or nothing, in the mouth or in the hand,
in the same poses. `people` draws a person, `palette` has the colours, `head`, `hair` and `body` are
the anatomy, `held` the objects, `smoke` what rises from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..drawing import Generator, pick
from ..families import Family, Model, Scene, suggest
from ..marching import Solid
from ..parameters import Values
from ..rendering import Picture
from .body import body_solids, derive_body
from .hair import derive_hair, hair_solids
from .head import derive_head, head_solids
from .held import CIGARETTE_NAME, OBJECTS, POSES, derive_held, grip_of, held_solids
from .parts import PARTS
from .people import (
    BACKDROPS,
    backdrop_colors,
    draw_camera_and_light,
    draw_person,
    draw_pose,
)
from .smoke import paint_smoke

__all__ = ["BACKDROPS", "OBJECTS", "POSES", "SMOKING"]

_CLASSES = ("notsmoking", "smoking")
# What people who do not smoke hold, by pose. In the mouth only sticks make sense.
_OTHER_OBJECTS = {
    "mouth": {"pen": 0.22, "straw": 0.24, "lollipop": 0.27, "nothing": 0.27},
    "hand_at_mouth": {
        "pen": 0.20, "straw": 0.20, "lollipop": 0.17, "phone": 0.13, "mug": 0.17, "nothing": 0.13,
    },
    "hand_beside": {
        "pen": 0.22, "straw": 0.17, "lollipop": 0.19, "phone": 0.17, "mug": 0.13, "nothing": 0.12,
    },
}  # fmt: skip
_OPTIONS = {"backdrop": tuple(BACKDROPS), "pose": POSES, "object": OBJECTS}


class Portrait(Model):
    """A person, who holds a cigarette or not.

    Parameters
    ----------
    smokes : bool
        Whether the class is "smoking".
    """

    backdrop_in_frame = True

    def __init__(self, smokes: bool) -> None:
        self._smokes = smokes

    def draw(self, stage: Generator, shape: Generator, **options: Any) -> Values:
        """Draw the person, the pose and the stage, then what is held.

        Parameters
        ----------
        stage, shape : Generator
            Everything but the object comes from `stage`: scene i of both classes shows the same
            person in the same pose.
        **options
            Instead of random ones: ``backdrop``, one of `BACKDROPS`; ``pose``, one of `POSES`;
            ``object``, one of `OBJECTS`, for those who do not smoke.
        """
        for name in options:
            _known(name, "option", _OPTIONS)
            _known(options[name], name, _OPTIONS[name])
        side = float(stage.choice([-1.0, 1.0]))
        person, pose = draw_person(stage), draw_pose(stage, side)
        values = {**draw_camera_and_light(stage, side), **person, **pose}
        values["pose"] = options.get("pose", values["pose"])
        other = pick(shape, _OTHER_OBJECTS[values["pose"]])
        values["object"] = CIGARETTE_NAME if self._smokes else options.get("object", other)
        if "backdrop" in options:
            values |= _backdrop(values, options["backdrop"])
        return values

    def derive(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Geometry that follows from the parameters."""
        head = derive_head(values)
        held = derive_held(values, np.reshape(head["head_rotation"], (3, 3)))
        return {**head, **derive_hair(values), **held, **derive_body(values, held["grip"])}

    def solids(self, values: Mapping[str, Any]) -> Sequence[Solid]:
        """Head, hair, body and what is held."""
        return [
            *head_solids(values),
            *hair_solids(values),
            *body_solids(values, grip_of(values)),
            *held_solids(values),
        ]

    def composite(self, picture: Picture) -> None:
        """Smoke or steam, where there is something that it comes from, or ``smoke="alone"``."""
        alone = getattr(picture.p, "smoke", "") == "alone"
        if alone or getattr(picture.p, f"has {picture.p.object}", 0.0) > 0:
            paint_smoke(picture)


# --- interventions --------------------------------------------------------------------------------


def _known(given: str, what: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    if given not in known:
        raise ValueError(f"no {what} {given!r}: {suggest(given, known)}")
    return given


def hold(scene: Scene, object: str = "nothing") -> Scene:
    """Put another object into the same hand or mouth, or none; the label follows.

    Fingers close around the new object; palm, wrist and arm stay where they are. Where the pose
    has no hand (a stick between the lips), one comes up for a phone or a mug. With "nothing" a hand
    that was there stays, at rest.
    """
    held = _known(object, "object", OBJECTS)
    label = int(held == CIGARETTE_NAME)
    return replace(scene.changed(object=held), label=label, class_name=_CLASSES[label])


def remove_smoke(scene: Scene) -> Scene:
    """Take the smoke of a cigarette, or the steam of a mug, away."""
    held, amount = scene.parameters["object"], scene.parameters["smoke_amount"]
    if held not in (CIGARETTE_NAME, "mug") or amount == 0:
        raise ValueError(
            f"there is no smoke in this scene (object {held!r}, smoke_amount {amount:g}): "
            "choose one with a cigarette or a mug and a smoke_amount above 0"
        )
    return scene.changed(smoke_amount=0.0)


def remove_person(scene: Scene) -> Scene:
    """Take the person and everything held away: background only."""
    return scene.changed(without="*")


def change_backdrop(scene: Scene, kind: str = "blur") -> Scene:
    """Put the person before another backdrop: blur (a room out of focus), sky or trees."""
    return scene.changed(**_backdrop(scene.parameters, kind))


def _backdrop(values: Values, kind: str) -> Values:
    rooms = values["room_colors"]
    colors = backdrop_colors(_known(kind, "backdrop", BACKDROPS), [rooms[:3], rooms[3:]])
    return {"backdrop": kind, **colors}


SMOKING = Family(
    "smoking",
    {"notsmoking": Portrait(smokes=False), "smoking": Portrait(smokes=True)},
    {0: "background", **PARTS},
    {
        "hold": hold,
        "remove_smoke": remove_smoke,
        "remove_person": remove_person,
        "backdrop": change_backdrop,
    },
)
