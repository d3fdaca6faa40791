"""The public functions: draw scenes, render them, change them, by the names of their families."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .drawing import rounded
from .families import FAMILIES, Family, Rendering, Scene, family, suggest
from .pool import render_jobs
from .rendering import structure

#: Scenes that one job renders at most: few enough to share the work, many enough to batch it.
_SCENES_PER_JOB = 32


def families() -> tuple[str, ...]:
    """Names of all families."""
    return tuple(FAMILIES)


def classes(name: str) -> tuple[str, ...]:
    """Class names of a family, in the order of the labels."""
    return family(name).classes


def parts(name: str) -> dict[int, str]:
    """Return what the numbers in a family's masks mean; 0 is the background."""
    return dict(family(name).parts)


def interventions(name: str) -> dict[str, str]:
    """Return what can be changed in a family's scenes: name to one sentence."""
    changes = family(name).interventions
    return {key: (change.__doc__ or "").strip().splitlines()[0] for key, change in changes.items()}


def draw(
    name: str,
    n: int,
    seed: int = 0,
    *,
    labels: Sequence[int] | np.ndarray | None = None,
    **options: Any,
) -> list[Scene]:
    """Draw the parameters of n scenes, without rendering them.

    Scene i depends on (seed, i, its label) and the options only; its camera, light and table not
    even on the label.

    Parameters
    ----------
    name : {"vegetables", "smoking", "cifar10", "animals"}
        Which family.
    n : int
        How many.
    seed : int
        At least 0.
    labels : sequence of int, optional
        Class of each scene. Default: the classes in turn.
    **options
        The family's own, such as ``typical_backgrounds=False`` for "cifar10".

    Raises
    ------
    ValueError
        For an unknown family, or labels that do not fit.
    """
    source = family(name)
    chosen = _labels(source, n, labels)
    names = source.classes
    return [
        Scene(
            name,
            names[label],
            label,
            rounded(
                source.models[names[label]].draw(
                    np.random.default_rng([seed, index]),
                    np.random.default_rng([seed, index, label, 1]),
                    **options,
                )
            ),
        )
        for index, label in enumerate(chosen)
    ]


def _labels(source: Family, n: int, labels: Sequence[int] | np.ndarray | None) -> list[int]:
    count = len(source.classes)
    if labels is None:
        return [index % count for index in range(n)]
    chosen = [int(label) for label in labels]
    if len(chosen) != n:
        raise ValueError(f"{n} scenes need {n} labels, not {len(chosen)}")
    if wrong := [label for label in chosen if not 0 <= label < count]:
        known = ", ".join(f"{index} {name}" for index, name in enumerate(source.classes))
        raise ValueError(f"no class {wrong[0]} in {source.name!r}: there are {known}")
    return chosen


def render(
    name: str,
    n: int,
    size: int,
    seed: int = 0,
    *,
    labels: Sequence[int] | np.ndarray | None = None,
    workers: int | None = None,
    progress: bool = True,
    **options: Any,
) -> Rendering:
    """Draw n scenes and render them; see `draw` and `render_scenes` for the parameters."""
    scenes = draw(name, n, seed, labels=labels, **options)
    return render_scenes(scenes, size, workers=workers, progress=progress)


def render_scenes(
    scenes: Sequence[Scene],
    size: int,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> Rendering:
    """Render scenes, at any size.

    The same scene gives the same bytes on one machine, whatever else is rendered with it and by
    however many processes.

    Parameters
    ----------
    scenes : sequence of Scene
        From `draw`, `intervene` or `Scene.from_dict`.
    size : int
        Height and width in pixels.
    workers : int, optional
        Processes to share the work, each with one thread. Default: as many as there are cores if
        there is enough to do for them to pay off, else none but this one. In a script of your own,
        more than one need the usual ``if __name__ == "__main__":``.
    progress : bool
        Show a progress bar when there is something to wait for.

    Returns
    -------
    Rendering
        ``images`` uint8 (N, size, size, 3), ``masks`` uint8 (N, size, size), labels, scenes.
    """
    if not 1 <= size <= 4096:
        raise ValueError(f"size is the side of the picture in pixels, 1 to 4096, not {size}")
    scenes = list(scenes)
    images = np.zeros((len(scenes), size, size, 3), np.uint8)
    masks = np.zeros((len(scenes), size, size), np.uint8)
    jobs = _jobs(scenes)
    parcels = [[scenes[index] for index in job] for job in jobs]
    for job, done in zip(
        jobs, render_jobs(parcels, size, workers=workers, progress=progress), strict=True
    ):
        images[job], masks[job] = done
    labels = np.array([scene.label for scene in scenes], np.int64)
    return Rendering(images, masks, labels, scenes)


def _jobs(scenes: Sequence[Scene]) -> list[list[int]]:
    """Sort scenes into parcels of a good size that can be rendered together."""
    groups: dict[Any, list[int]] = {}
    for index, scene in enumerate(scenes):
        key = (scene.family, scene.class_name, structure(scene.parameters))
        groups.setdefault(key, []).append(index)
    return [
        group[start : start + _SCENES_PER_JOB]
        for group in groups.values()
        for start in range(0, len(group), _SCENES_PER_JOB)
    ]


def intervene(scene: Scene, intervention: str, **options: Any) -> Scene:
    """Change one thing in a scene.

    Rendered again, every pixel outside what changed, its shadow and its reflections is the same.

    Parameters
    ----------
    scene : Scene
        What to change; it stays as it is.
    intervention : str
        One of ``interventions(scene.family)``.
    **options
        The intervention's own, such as ``object="pen"``.

    Raises
    ------
    ValueError
        For an unknown intervention, or one that this scene has nothing for.
    """
    changes = family(scene.family).interventions
    if intervention not in changes:
        hint = suggest(intervention, changes)
        raise ValueError(f"no intervention {intervention!r} in {scene.family!r}: {hint}")
    return changes[intervention](scene, **options)
