"""What every family of scenes must keep: repeatable, storable, bounded, within its parts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np

import course_scenes as scenes
from course_scenes import rendering
from course_scenes.camera import pixel_grid
from course_scenes.catalogue import family
from course_scenes.marching import Bound, Solid
from course_scenes.parameters import Parameters, stack


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
    """Hold that a scene's bytes do not depend on what is rendered with it."""
    for index, scene in enumerate(drawn):
        alone = scenes.render_scenes([scene], size, workers=1)
        np.testing.assert_array_equal(alone.images[0], together.images[index], scene.class_name)
        np.testing.assert_array_equal(alone.masks[0], together.masks[index], scene.class_name)


def check_storable(drawn: list[scenes.Scene]) -> None:
    """Hold that a scene survives a line of JSON unchanged."""
    for scene in drawn:
        line = json.dumps(scene.to_dict(), allow_nan=False)
        assert scenes.Scene.from_dict(json.loads(line)) == scene


def check_parts(name: str, rendered: scenes.Rendering) -> None:
    """Hold that masks have known parts only, and that pictures show some object."""
    known = scenes.parts(name)
    assert set(np.unique(rendered.masks)) <= set(known)
    for mask, scene in zip(rendered.masks, rendered.scenes, strict=True):
        assert 0.01 < (mask > 0).mean() < 0.9, scene.class_name


def check_bounds(drawn: list[scenes.Scene], rendered: scenes.Rendering, size: int) -> None:
    """Hold that no solid sticks out of its bound: larger bounds show nothing more."""
    for index, scene in enumerate(drawn):
        model = family(scene.family).models[scene.class_name]
        _, masks = rendering.render_batch(_Roomy(model), [scene.parameters], size)
        # rays start elsewhere, so that single pixels on an edge may go the other way
        differ = int(((masks[0] > 0) != (rendered.masks[index] > 0)).sum())
        assert differ <= 4, f"{scene.class_name}: {differ} pixels more in bounds 1.3 times as large"


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


# --- what an intervention may change ----------------------------------------------------------


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Grow a mask (H, W) by so many pixels in all eight directions."""
    result = np.pad(mask, pixels)
    result = sum(
        np.roll(result, (down, right), (0, 1)).astype(int)
        for down in range(-pixels, pixels + 1)
        for right in range(-pixels, pixels + 1)
    )
    return result[pixels:-pixels, pixels:-pixels] > 0


def check_changes_are_local(
    before: scenes.Scene, after: scenes.Scene, size: int, is_changed: Callable[[Solid], bool]
) -> float:
    """Hold that pixels change only where a changed solid is seen, shades, or is close.

    "Shades" and "is close" are found independently of the renderer: the point seen by each changed
    pixel by a fine search along its ray, then the smallest angle at which the ray from there to the
    lamp passes the solids that were removed or added.

    Returns
    -------
    float
        Share of pixels that changed.
    """
    first = scenes.render_scenes([before], size, workers=1, progress=False)
    second = scenes.render_scenes([after], size, workers=1, progress=False)
    changed = (first.images != second.images).any(-1)[0]
    seen = grown((first.masks != second.masks)[0], 2)
    rows, columns = np.nonzero(changed & ~seen)
    if len(rows):
        explained = np.zeros(len(rows), bool)
        for scene in (before, after):
            explained |= _near_or_shaded(scene, size, rows, columns, is_changed)
        # a pixel that was smoothed may show its neighbours' shadow
        allowed = np.zeros_like(changed)
        allowed[rows[explained], columns[explained]] = True
        left = changed & ~seen & ~grown(allowed, 1)
        assert not left.any(), f"{left.sum()} pixels of {changed.sum()} changed for no reason"
    return float(changed.mean())


def _near_or_shaded(
    scene: scenes.Scene,
    size: int,
    rows: np.ndarray,
    columns: np.ndarray,
    is_changed: Callable[[Solid], bool],
) -> np.ndarray:
    model = family(scene.family).models[scene.class_name]
    values = {**scene.parameters, "without": ""}
    p = stack([rendering.prepare(model, values)])
    solids = list(model.solids(values))
    u, v = (coordinate.reshape(size, size)[rows, columns] for coordinate in pixel_grid(size))
    direction = p.forward + p.zoom * (u * p.right + v * p.upward)
    direction = direction / np.linalg.norm(direction, axis=0)
    left_out = rendering.solids_of(model, scene.parameters)
    names = {solid.name for solid in left_out}
    visible = [solid for solid in solids if solid.name in names]
    point = _first_point(visible, p, direction)
    own = [solid for solid in solids if is_changed(solid)]
    distance = _nearest(own, point, p)
    steps = np.arange(0.02, 4.0, 0.02, dtype=np.float32)
    angle = np.min([_nearest(own, point + p.light * step, p) / step for step in steps], axis=0)
    return (distance < 0.62) | (angle < 0.13)


def _first_point(solids: list, p: Parameters, direction: np.ndarray) -> np.ndarray:
    """Search in small steps from the camera to the first solid or the floor."""
    start, stop = 3.0, 14.0
    found = np.full(direction.shape[1], stop, np.float32)
    for distance in np.arange(start, stop, 0.015, dtype=np.float32):
        point = p.eye + direction * distance
        inside = (_nearest(solids, point, p) < 0) | (point[1] < 0)
        found = np.where(inside & (found == stop), distance, found)
    return p.eye + direction * found


def _nearest(solids: list, point: np.ndarray, p: Parameters) -> np.ndarray:
    far = np.full(point.shape[1], 9.0, np.float32)
    return np.min([far, *(solid.distance(point, p, False) for solid in solids)], axis=0)
