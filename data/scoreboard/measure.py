"""What is measured of one network: truth, parts of maps, metrics, the planted cue. Plain tables.

Each function takes a subject and scenes and returns a table with one row per number, so that the
results of many networks can be put below each other.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch

from course_scenes import classes
from course_scenes.shortcuts import WATERMARK, stamp

from .methods import METHODS, Method, Task
from .metrics import METRICS
from .networks import TAGGED, small_cnn
from .parts import Game
from .subjects import Subject, Truth, find_truth, part_sums, subject_of, visible

#: Two games: the background is a player, or always there.
GAMES = ("plays", "stays")
#: Methods that are no maps: what they give to a part comes from the parts themselves.
REFERENCES = {
    "Shapley, parts covered": lambda truth: _shapley_covered(truth),
    "one part covered": lambda truth: truth.removed_covered,
    "one part removed": lambda truth: truth.removed,
}
#: Cheap methods that are also run on an untrained network, as controls.
UNTRAINED = ("saliency", "IG, grey", "guided backprop", "Grad-CAM")
#: Metrics that explain again, fourteen maps for each; and methods for which that takes too long.
AGAIN = ("max-sensitivity", "parameter randomisation", "smooth parameter randomisation")
TOO_SLOW = ("LIME", "KernelSHAP", "RISE")
#: Shares of noise that maps are spoiled with, to see whether a metric notices.
SPOILED = (0.25, 0.5, 0.75, 1.0)


def _shapley_covered(truth: Truth) -> np.ndarray:
    return Truth(truth.covered, truth.covered).plays


def methods_of(names: Iterable[str] | None = None) -> list[Method]:
    """Return registered methods, all or some."""
    return [METHODS[name] for name in (METHODS if names is None else names)]


@contextmanager
def counted(subject: Subject) -> Iterator[list[int]]:
    """Count the pictures that go through the network; twice if a gradient comes back."""
    passes = [0]

    def count(_: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        passes[0] += len(inputs[0]) * (1 + inputs[0].requires_grad)

    hook = subject.model.register_forward_pre_hook(count)
    try:
        yield passes
    finally:
        hook.remove()


def explain(
    subject: Subject, task: Task, methods: Sequence[Method], *, chunk: int = 20
) -> Iterator[tuple[Method, np.ndarray, float, float]]:
    """Run methods; yields method, maps (N, H, W), passes and processor seconds per picture."""
    for method in methods:
        with counted(subject) as passes:
            start = time.process_time()
            parts = [
                method(task.part(slice(first, first + chunk)))
                for first in range(0, len(task), chunk)
            ]
            seconds = time.process_time() - start
        yield method, np.concatenate(parts), passes[0] / len(task), seconds / len(task)


def measure_methods(
    subject: Subject, games: Sequence[Game], methods: Sequence[Method]
) -> pd.DataFrame:
    """Say what every method gives to every part of every scene, and what each part is worth.

    Returns
    -------
    DataFrame
        Columns: family, regime, seed, scene, part, visible, method, signed, absolute, passes,
        seconds. The truth stands in rows of the "methods" ``truth, plays`` and ``truth, stays``.
    """
    task = subject.task(games)
    truths = [find_truth(subject, game, int(t)) for game, t in zip(games, task.target, strict=True)]
    tables = [
        _part_rows(subject, games, f"truth, {game}", [getattr(truth, game) for truth in truths])
        for game in GAMES
    ]
    tables += [
        _part_rows(subject, games, name, [found(truth) for truth in truths])
        for name, found in REFERENCES.items()
    ]
    for method, maps, passes, seconds in explain(subject, task, methods):
        rows = part_sums(maps, games), part_sums(np.abs(maps), games)
        tables.append(_part_rows(subject, games, method.name, *rows, passes, seconds))
    other = untrained(subject)
    for method, maps, passes, seconds in explain(
        other, other.task(games), [method for method in methods if method.name in UNTRAINED]
    ):
        rows = part_sums(maps, games), part_sums(np.abs(maps), games)
        name = f"untrained: {method.name}"
        tables.append(_part_rows(subject, games, name, *rows, passes, seconds))
    return pd.concat(tables, ignore_index=True)


def untrained(subject: Subject) -> Subject:
    """Return a network of the same shape that has learned nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(1000 + subject.seed)
        network = small_cnn(subject.classes).eval()
    return subject_of(
        network, subject.classes, subject.family, "untrained", 0, subject.mean, subject.std
    )


def _part_rows(
    subject: Subject,
    games: Sequence[Game],
    name: str,
    signed: Sequence[np.ndarray],
    absolute: Sequence[np.ndarray] | None = None,
    passes: float = np.nan,
    seconds: float = np.nan,
) -> pd.DataFrame:
    absolute = [np.abs(row) for row in signed] if absolute is None else absolute
    return pd.DataFrame(
        {
            "family": subject.family,
            "regime": subject.regime,
            "seed": subject.seed,
            "scene": np.repeat(range(len(games)), [len(game.names) for game in games]),
            "part": [name for game in games for name in game.names],
            "visible": np.concatenate([visible(game) for game in games]),
            "method": name,
            "signed": np.concatenate(signed),
            "absolute": np.concatenate(absolute),
            "passes": passes,
            "seconds": seconds,
        }
    )


def measure_metrics(
    subject: Subject,
    games: Sequence[Game],
    methods: Sequence[Method],
    names: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Apply metrics, all or some, to every method's maps as usually shown, and to spoiled maps.

    Returns
    -------
    DataFrame
        Columns: family, regime, seed, method, metric, scene, value. The spoiled maps are
        ``spoiled 0.25`` and so on: DeepLift's, mixed with noise of the same length.
    """
    task = subject.task(games)
    truths = [
        find_truth(subject, game, int(t), covered=False)
        for game, t in zip(games, task.target, strict=True)
    ]
    rows = []
    for method, maps in _maps_and_spoiled(task, methods, seed):
        case = _case(task, games, truths, method)
        for name in METRICS if names is None else names:
            if (name in AGAIN and method.name in TOO_SLOW) or not np.isfinite(maps).all():
                continue
            values = METRICS[name](maps, **case, seed=seed)
            rows += [(method.name, name, scene, value) for scene, value in enumerate(values)]
    table = pd.DataFrame(rows, columns=["method", "metric", "scene", "value"])
    return table.assign(family=subject.family, regime=subject.regime, seed=subject.seed)


def _maps_and_spoiled(
    task: Task, methods: Sequence[Method], seed: int
) -> Iterator[tuple[Method, np.ndarray]]:
    for method in methods:
        yield method, method.shown(task)
    for share in SPOILED:
        spoiled = Method(f"spoiled {share}", "control", _spoiler(share, seed))
        yield spoiled, spoiled.shown(task)


def _spoiler(share: float, seed: int) -> Any:
    def spoil(task: Task) -> torch.Tensor:
        maps = METHODS["DeepLift"].function(task)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(maps.shape, generator=generator)
        length = maps.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)
        return (1 - share) * maps + share * noise * length[:, None, None]

    return spoil


def _case(
    task: Task, games: Sequence[Game], truths: Sequence[Truth], method: Method
) -> dict[str, Any]:
    def again(model: torch.nn.Module, images: torch.Tensor, target: torch.Tensor) -> np.ndarray:
        # the layer of a copied network is found by its name
        name = next(name for name, part in task.model.named_modules() if part is task.layer)
        layer = model.get_submodule(name)
        changed = dataclasses.replace(task, model=model, images=images, target=target, layer=layer)
        return method.shown(changed)

    seen = [visible(game) for game in games]
    return {
        "model": task.model,
        "images": task.images,
        "target": task.target,
        "masks": np.stack([game.masks[:-1].any(0) for game in games]),
        "parts": [game.masks[own] for game, own in zip(games, seen, strict=True)],
        "effects": [truth.removed[own] for truth, own in zip(truths, seen, strict=True)],
        "explain": again,
    }


def cue_task(
    subject: Subject, games: Sequence[Game], *, seed: int = 0
) -> tuple[Task, np.ndarray, np.ndarray]:
    """Stamp the tag on every picture, and ask why the network says what the tag stands for.

    Returns
    -------
    (Task, ndarray (N, H, W) of bool, ndarray (N,))
        Where the tag is, and by how much the score falls when it is taken away again.
    """
    plain = np.stack([game.picture for game in games])
    tagged = stamp(plain, np.zeros(plain.shape[:3], np.uint8), np.ones(len(plain), bool), seed)
    label = classes(subject.family).index(TAGGED)
    task = dataclasses.replace(
        subject.task(games),
        images=subject.inputs(tagged.images),
        pictures=tagged.images,
        target=subject.targets(tagged.images, [label] * len(games)),
    )
    with torch.no_grad():
        fall = task.score(task.images) - task.score(subject.inputs(plain))
    return task, tagged.masks == WATERMARK, fall.numpy()


def measure_cue(
    subject: Subject, games: Sequence[Game], methods: Sequence[Method], *, seed: int = 0
) -> pd.DataFrame:
    """Stamp the photographer's tag on every picture, and see what maps give to it.

    Explained is the tagged class minus its strongest rival.

    Returns
    -------
    DataFrame
        Columns: family, regime, seed, method, scene; share: of the map as it is usually shown, its
        sum over the tag as a share of its magnitude everywhere; magnitude: the same without signs.
        The method "tag removed" is the intervention: by how much the score falls.
    """
    task, place, fall = cue_task(subject, games, seed=seed)
    rows = [("tag removed", scene, value, abs(value)) for scene, value in enumerate(fall)]
    for method, maps, _, _ in explain(subject, task, methods):
        sizes = np.abs(maps)
        maps = sizes if method.usual == "absolute" else maps
        total = np.where(sizes.any((1, 2)), sizes.sum((1, 2)), np.nan)
        shares = [(one * place).sum((1, 2)) / total for one in (maps, sizes)]
        rows += [(method.name, scene, *pair) for scene, pair in enumerate(np.transpose(shares))]
    table = pd.DataFrame(rows, columns=["method", "scene", "share", "magnitude"])
    return table.assign(family=subject.family, regime=subject.regime, seed=subject.seed)
