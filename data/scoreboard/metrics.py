"""Popular metrics of explanations: for batches, with what each measures and what fools it.

``METRICS["deletion"](maps, model=…, images=…, target=…)`` gives one number per picture. The
keywords, a *case*, may hold more than a metric needs:

- ``model``, ``images`` (N, C, H, W), normalised so that 0 means nothing there, ``target`` (N,)
- ``masks`` bool (N, H, W): the object
- ``parts``: for each picture its parts, bool (n, H, W); ``effects``: for each picture (n,), by how
  much the score falls when a part is really taken away
- ``explain``: ``explain(model, images, target) -> maps``, for metrics that explain again
- ``seed``, 0 by default
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn

from course_utils.evaluation.arrays import Floats, to_maps
from course_utils.evaluation.interventions import DeletionCurve, class_scores, deletion_curve
from course_utils.evaluation.measures import (
    mask_iou,
    pointing_game,
    relevance_mass,
    spearman_similarity,
)

#: Draws of noise for metrics that explain again, and its size in units of the inputs.
_NOISY, _RADIUS = 3, 0.1
_SQUARES = 24


@dataclass(frozen=True)
class Metric:
    """One metric of explanations, and what is known of it.

    Attributes
    ----------
    name : str
    direction : {"higher", "lower"}
        Which values are good.
    range : (float, float)
        Least and greatest value that it can have.
    measures, fooled_by, source : str
        In a sentence each; the paper.
    function : callable
        From maps (N, H, W) and a case, whose entries are attributes, to (N,).
    """

    name: str
    direction: str
    range: tuple[float, float]
    measures: str
    fooled_by: str
    source: str
    function: Callable[[Floats, Any], Any]

    def __call__(self, maps: Any, **case: Any) -> Floats:
        """Measure maps (N, H, W) or (N, C, H, W); NaN where the metric is not defined."""
        case = SimpleNamespace(**{"seed": 0} | case)
        return np.asarray(self.function(to_maps(maps), case), np.float64)

    def goodness(self, values: Any) -> Floats:
        """Turn values round where low ones are good."""
        return np.asarray(values, np.float64) * (1 if self.direction == "higher" else -1)


#: Name to metric. What a metric measures, what fools it and where it comes from stands in the
#: docstring of its function.
METRICS: dict[str, Metric] = {}


def _metric(name: str, direction: str, low: float = 0, high: float = 1) -> Callable[..., Any]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        texts = re.split(r"\.\s+(?:Fooled by|Source): ", " ".join(function.__doc__.split())[:-1])
        METRICS[name] = Metric(name, direction, (low, high), *texts, function)
        return function

    return register


# ---------------------------------------------------------------------------- where a map lies


@_metric("relevance mass", "higher")
def _mass(maps: Floats, case: Any) -> Any:
    """Share of the map's magnitude on the object.

    Fooled by: a mask of the object, whatever the network uses.
    Source: Arras et al. 2022.
    """
    return relevance_mass(maps, case.masks).share


@_metric("rank accuracy", "higher")
def _rank_accuracy(maps: Floats, case: Any) -> Any:
    """Share of the K strongest pixels that lie on an object of K pixels.

    Fooled by: a mask of the object, whatever the network uses.
    Source: Arras et al. 2022.
    """
    overlap = mask_iou(maps, case.masks)
    return 2 * overlap / (1 + overlap)


@_metric("pointing game", "higher")
def _pointing(maps: Floats, case: Any) -> Any:
    """Whether the strongest pixel lies on the object.

    Fooled by: large objects, objects in the middle, and one pixel.
    Source: Zhang et al. 2018.
    """
    return pointing_game(maps, case.masks)


# ---------------------------------------------------------------------------- pixels replaced


def _curve(
    maps: Floats, case: Any, images: Tensor | None = None, fill: Any = 0.0, steps: int = 11
) -> DeletionCurve:
    images, shares = case.images if images is None else images, np.linspace(0, 1, steps)
    return deletion_curve(
        case.model, images, maps, case.target, fill=fill, fractions=shares, score="logit"
    )


@_metric("deletion", "lower", -np.inf, np.inf)
def _deletion(maps: Floats, case: Any) -> Any:
    """Mean score while the highest pixels turn grey.

    Fooled by: scattered pixels, which make pictures that no network was trained on.
    Source: Petsiuk et al. 2018.
    """
    return _curve(maps, case).area


@_metric("insertion", "higher", -np.inf, np.inf)
def _insertion(maps: Floats, case: Any) -> Any:
    """Mean score while the highest pixels return to a grey picture.

    Fooled by: scattered pixels, which make pictures that no network was trained on.
    Source: Petsiuk et al. 2018.
    """
    return _curve(maps, case, torch.zeros_like(case.images), case.images).area


@_metric("ROAD", "lower", -np.inf, np.inf)
def _road(maps: Floats, case: Any) -> Any:
    """Mean score while the highest pixels are replaced by what their neighbours suggest.

    Fooled by: smooth regions, which come back as they were.
    Source: Rong et al. 2022.
    """
    return _curve(maps, case, fill=impute, steps=6).area


def impute(images: Tensor, gone: Tensor, *, tolerance: float = 1e-3) -> Tensor:
    """Replace pixels by the weighted mean of their eight neighbours, all at once.

    Rong et al.: A consistent and efficient evaluation strategy for attribution methods, ICML 2022,
    without their noise: direct neighbours count twice as much as diagonal ones. The linear system
    is solved by conjugate gradients, for all pictures together.

    Parameters
    ----------
    images : Tensor (N, C, H, W)
    gone : bool Tensor (N, 1, H, W)
        What to replace; zero where a picture has nothing else.
    tolerance : float
        Of the solution, as a share of the right-hand side.
    """
    kernel = torch.tensor([[1.0, 2, 1], [2, 0, 2], [1, 2, 1]]).to(images) / 12
    kernel = kernel.expand(images.shape[1], 1, 3, 3)

    def around(x: Tensor) -> Tensor:
        return F.conv2d(x, kernel, padding=1, groups=images.shape[1])

    def squared(x: Tensor) -> Tensor:
        return (x * x).sum((2, 3), keepdim=True)

    hole, weights = gone.to(images), around(torch.ones_like(images))
    solution, rest = images * (1 - hole), hole * around(images * (1 - hole))
    step, size, goal = rest, squared(rest), tolerance**2 * squared(rest)
    while (size > goal).any():
        slope = hole * (weights * step - around(step))
        length = size / (step * slope).sum((2, 3), keepdim=True).clamp(min=1e-30)
        solution, rest = solution + length * step, rest - length * slope
        before, size = size, squared(rest)
        step = rest + size / before.clamp(min=1e-30) * step
    return solution


@_metric("monotonicity", "higher")
def _monotonicity(maps: Floats, case: Any) -> Any:
    """Share of steps that raise the score while pixels return, lowest first.

    Fooled by: the order of a few large steps; any map that puts the object late.
    Source: Arya et al. 2019.
    """
    scores = _curve(-maps, case, torch.zeros_like(case.images), case.images).scores
    return (np.diff(scores, axis=1) >= 0).mean(axis=1)


@_metric("infidelity", "lower")
def _infidelity(maps: Floats, case: Any) -> Any:
    """How badly sums over random squares predict the score's fall when they turn grey.

    The sums are multiplied with the best scale first, the error is a share of the falls' squares.
    Fooled by: a map with all signs reversed, and the unnatural look of grey squares.
    Source: Yeh et al. 2019.
    """
    found, falls = _squares(maps, case)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(falls, axis=1)
    return 1 - ((found * falls).sum(axis=1) / np.maximum(lengths, 1e-30)) ** 2


@_metric("faithfulness correlation", "higher", -1)
def _faithfulness(maps: Floats, case: Any) -> Any:
    """Correlation of sums over random squares with the score's fall when they turn grey.

    Fooled by: a smooth blob on the object, and the unnatural look of grey squares.
    Source: Bhatt et al. 2020.
    """
    return _correlations(*_squares(maps, case), stats.pearsonr)


def _correlations(found: Any, falls: Any, measure: Callable[..., Any]) -> list[float]:
    """Correlate picture by picture; a map that gives the same to all says nothing: 0."""
    pairs = zip(found, falls, strict=True)
    return [measure(*pair).statistic if np.ptp(pair[0]) else 0.0 for pair in pairs]


def _squares(maps: Floats, case: Any) -> tuple[Floats, Floats]:
    """Return sums of the maps over squares, and how far the score falls without: (N, squares)."""
    generator, (height, width) = np.random.default_rng(case.seed), maps.shape[1:]
    rows, columns, shortest = np.arange(height)[:, None], np.arange(width), min(height, width)
    before, found, falls = class_scores(case.model, case.images, case.target), [], []
    for _ in range(_SQUARES):
        side = generator.integers(shortest // 10, shortest // 2)  # the same for all pictures
        top, left = (generator.integers(0, length - side + 1) for length in (height, width))
        inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
        covered = case.images * torch.from_numpy(~inside).to(case.images)
        falls.append(before - class_scores(case.model, covered, case.target))
        found.append((maps * inside).sum(axis=(1, 2)))
    return np.stack(found, axis=1), np.stack(falls, axis=1)


# ---------------------------------------------------------------------------- parts taken away


@_metric("one part greyed", "higher", -1)
def _part_greyed(maps: Floats, case: Any) -> Any:
    """Rank correlation of sums over parts with the score's fall when a part turns grey.

    Fooled by: parts that stand in for each other.
    Source: Hesse et al. 2023.
    """
    before, falls = class_scores(case.model, case.images, case.target), []
    for index, parts in enumerate(case.parts):
        covered = case.images[index] * torch.from_numpy(~parts[:, None]).to(case.images)
        target = int(case.target[index])
        falls.append(before[index] - class_scores(case.model, covered, target))
    return _correlations(_part_sums(maps, case), falls, stats.kendalltau)


@_metric("one part removed", "higher", -1)
def _part_removed(maps: Floats, case: Any) -> Any:
    """Rank correlation of sums over parts with the score's fall when a part is really removed.

    Fooled by: parts that stand in for each other.
    Source: Hesse et al. 2023.
    """
    return _correlations(_part_sums(maps, case), case.effects, stats.kendalltau)


def _part_sums(maps: Floats, case: Any) -> list[Floats]:
    return [(parts * one).sum((1, 2)) for parts, one in zip(case.parts, maps, strict=True)]


# ---------------------------------------------------------------------------- explained again


@_metric("max-sensitivity", "lower", 0, np.inf)
def _sensitivity(maps: Floats, case: Any) -> Any:
    """Largest change of the map under small noise, as a share of its length.

    Fooled by: a map that ignores picture and network.
    Source: Yeh et al. 2019.
    """
    again = [to_maps(case.explain(case.model, noisy, case.target)) for noisy in _noisy(case)]
    changes = np.linalg.norm(np.stack(again) - maps, axis=(2, 3)).max(axis=0)
    return changes / np.where(maps.any((1, 2)), np.linalg.norm(maps, axis=(1, 2)), np.nan)


@_metric("parameter randomisation", "lower", -1)
def _randomised(maps: Floats, case: Any) -> Any:
    """Rank correlation of the map with those of networks whose last or all weights are random.

    Fooled by: noise, which is never like itself.
    Source: Adebayo et al. 2018.
    """
    again = [case.explain(other, case.images, case.target) for other in _random_networks(case)]
    return np.mean([spearman_similarity(maps, other, absolute=True) for other in again], axis=0)


@_metric("smooth parameter randomisation", "lower", -1)
def _smooth_randomised(maps: Floats, case: Any) -> Any:
    """Rank correlation of maps averaged over noisy inputs with those of random networks.

    Fooled by: maps of the picture; it costs many maps.
    Source: Hedström et al. 2023.
    """
    whole, *again = (
        np.mean([to_maps(case.explain(network, x, case.target)) for x in _noisy(case)], axis=0)
        for network in (case.model, *_random_networks(case))
    )
    return np.mean([spearman_similarity(whole, other, absolute=True) for other in again], axis=0)


def _noisy(case: Any) -> list[Tensor]:
    generator = torch.Generator().manual_seed(case.seed)
    noise = torch.rand(_NOISY, 1, *case.images.shape[1:], generator=generator).to(case.images)
    return list(case.images + _RADIUS * (2 * noise - 1))


def _random_networks(case: Any) -> list[nn.Module]:
    """Return copies with the last layer that learns drawn anew, and with all of them."""
    # a linear layer without a bias is no layer that learns: it takes differences of logits
    modules = case.model.named_modules()
    layers = [name for name, part in modules if getattr(part, "bias", None) is not None]
    copies = []
    with torch.random.fork_rng():
        for chosen in (layers[-1:], layers):
            torch.manual_seed(case.seed)
            copies.append(copy.deepcopy(case.model).eval())
            for name in chosen:
                copies[-1].get_submodule(name).reset_parameters()
    return copies


# ---------------------------------------------------------------------------- how simple a map is


@_metric("sparseness", "higher")
def _sparseness(maps: Floats, case: Any) -> Any:
    """Gini index of the magnitudes.

    Fooled by: one pixel, for it does not look at the network.
    Source: Chalasani et al. 2020.
    """
    rows = np.sort(np.abs(maps).reshape(len(maps), -1), axis=1)
    count, total = rows.shape[1], np.where(rows.any(axis=1), rows.sum(axis=1), np.nan)
    return rows @ (2 * np.arange(count) + 1 - count) / (count * total)


@_metric("complexity", "lower", 0, np.inf)
def _complexity(maps: Floats, case: Any) -> Any:
    """Entropy of the magnitudes, in nats.

    Fooled by: one pixel, for it does not look at the network.
    Source: Bhatt et al. 2020.
    """
    return stats.entropy(np.abs(maps).reshape(len(maps), -1), axis=1)
