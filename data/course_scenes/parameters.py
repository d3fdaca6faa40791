"""The numbers that describe scenes, and how a ray finds those of its own picture.

A scene is a dictionary of plain numbers, lists and strings, so that it can be stored as one line of
JSON and drawn again. Many scenes are rendered together: a bundle of rays then holds rays of many
pictures, and a formula such as ``length(point) - p.radius`` needs for every ray the radius of *its*
picture. `Parameters` looks it up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray
#: One scene's description: everything its picture depends on.
Values = dict[str, float | list[float] | str]


class Parameters:
    """Parameters of a batch of scenes, as a bundle of R rays sees them.

    ``p.name`` is, for a number, an array (R,); for a list of k numbers, an array (k, R); for a
    string, the string (all scenes of a batch share their strings). With a single scene R is 1,
    which broadcasts: nothing is copied per ray. Values are looked up when they are first used.

    Parameters
    ----------
    values : mapping
        Strings, and arrays with one column per scene: (B,) or (k, B).
    scene_of_ray : Array, optional
        (R,) which scene each ray belongs to; without it, one column per scene.
    """

    def __init__(
        self, values: Mapping[str, Array | str], scene_of_ray: Array | None = None
    ) -> None:
        self._values = values
        self._scene_of_ray = scene_of_ray

    def __getattr__(self, name: str) -> Any:
        try:
            value = self._values[name]
        except KeyError:
            raise AttributeError(
                f"no parameter {name!r}; there are {', '.join(sorted(self._values))}"
            ) from None
        if isinstance(value, Array) and self._scene_of_ray is not None and value.shape[-1] > 1:
            value = value.take(self._scene_of_ray, axis=-1)
        self.__dict__[name] = value  # found without __getattr__ from now on
        return value

    def __getitem__(self, name: str) -> Any:
        """Look up a name that is put together at run time, such as ``p[f"slice_{k}"]``."""
        return getattr(self, name)

    def for_rays(self, chosen: Array) -> Parameters:
        """Parameters for some of the rays (or, at the top, for rays of these scenes)."""
        rays = chosen if self._scene_of_ray is None else self._scene_of_ray[chosen]
        return Parameters(self._values, rays)

    def for_scene(self, index: int) -> Parameters:
        """Parameters of one scene alone, all with R = 1."""
        return Parameters(
            {
                name: value if isinstance(value, str) else value[..., index : index + 1]
                for name, value in self._values.items()
            }
        )


def stack(scenes: Sequence[Mapping[str, Any]]) -> Parameters:
    """Put the values of several scenes side by side; their strings must agree."""
    stacked: dict[str, Array | str] = {}
    for name, first in scenes[0].items():
        if isinstance(first, str):
            stacked[name] = first
        else:
            columns = [np.asarray(scene[name], np.float32) for scene in scenes]
            stacked[name] = np.ascontiguousarray(np.stack(columns, -1))
    return Parameters(stacked)


# Vectorised kernels work on this many numbers at a time and treat what is left over with other
# instructions, whose last bit may differ. Bundles of a multiple of it leave nothing over: a ray's
# colour does not depend on which rays, of which pictures, happen to be computed with it.
BUNDLE = 32


def padded(chosen: Array) -> Array:
    """Fill up indices (K,) to a multiple of `BUNDLE` by repeating the last one."""
    missing = -len(chosen) % BUNDLE
    if missing and len(chosen):
        return np.concatenate([chosen, np.full(missing, chosen[-1])])
    return chosen


def where(mask: Array) -> Array:
    """Find the indices at which a mask (R,) holds, filled up to a multiple of `BUNDLE`."""
    return padded(mask.nonzero()[0])
