"""What every family of scenes must keep: repeatable, storable, bounded, within its parts."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from course_utils import scenes
from course_utils.scenes import rendering
from course_utils.scenes.catalogue import family
from course_utils.scenes.marching import Bound


def check_family(name: str, size: int = 48, each: int = 2, seed: int = 0) -> None:
    """Run all the checks below on a few scenes of each class."""
    labels = np.arange(len(scenes.classes(name))).repeat(each)
    drawn = scenes.draw(name, len(labels), seed, labels=labels)
    together = scenes.render_scenes(drawn, size, workers=1)
    check_repeatable(drawn, together, size)
    check_storable(drawn)
    check_parts(name, together)
    check_bounds(drawn, together, size)


def check_repeatable(drawn: list[scenes.Scene], together: scenes.Rendering, size: int) -> None:
    """A scene's bytes do not depend on what is rendered with it."""
    for index, scene in enumerate(drawn):
        alone = scenes.render_scenes([scene], size, workers=1)
        np.testing.assert_array_equal(alone.images[0], together.images[index], scene.class_name)
        np.testing.assert_array_equal(alone.masks[0], together.masks[index], scene.class_name)


def check_storable(drawn: list[scenes.Scene]) -> None:
    """A scene survives a line of JSON unchanged."""
    for scene in drawn:
        line = json.dumps(scene.to_dict(), allow_nan=False)
        assert scenes.Scene.from_dict(json.loads(line)) == scene


def check_parts(name: str, rendered: scenes.Rendering) -> None:
    """Masks hold known parts only, and every picture shows some background and some object."""
    known = scenes.parts(name)
    assert set(np.unique(rendered.masks)) <= set(known)
    for mask, scene in zip(rendered.masks, rendered.scenes, strict=True):
        assert 0.01 < (mask > 0).mean() < 0.9, scene.class_name


def check_bounds(drawn: list[scenes.Scene], rendered: scenes.Rendering, size: int) -> None:
    """No solid sticks out of its bound: larger bounds show nothing more."""
    for index, scene in enumerate(drawn):
        model = family(scene.family).models[scene.class_name]
        _, masks = rendering.render_batch(_Roomy(model), [scene.parameters], size)
        differ = int((masks[0] != rendered.masks[index]).sum())
        assert differ <= 2, f"{scene.class_name}: {differ} pixels more in bounds 1.3 times as large"


class _Roomy:
    """A model whose bounds are 1.3 times as large."""

    def __init__(self, model: object) -> None:
        self._model = model

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def solids(self, values: dict) -> list:
        return [
            dataclasses.replace(solid, bound=_larger(solid)) for solid in self._model.solids(values)
        ]


def _larger(solid: object) -> object:
    def bound(p: object) -> Bound:
        own = solid.bound_for(p)
        return Bound(own.center, own.radius * 1.3, own.rotation)

    return bound
