"""Explanations against interventions: change the picture, and look what the network does.

Rendered scenes can be rendered again without a part (``split.intervention("hold_nothing")``): that
changes one thing and leaves a picture of the same kind. Deletion and insertion change any picture,
but into ones that no camera takes; only their comparison with controls says something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from torchvision.transforms.v2.functional import gaussian_blur

from ..checks import (
    Forward,
    Target,
    check_chunk_size,
    check_images,
    check_model,
    check_outputs,
    check_targets,
    default_chunk_size,
)
from ._arrays import Floats, Reduce, find_defined, one_of, to_maps, to_numpy
from .intervals import Interval, PermutationTest, bootstrap_interval, permutation_test

#: Which number of a network is looked at.
Score = Literal["logit", "probability"]
#: What takes the place of removed pixels: a name, one value, or pictures (N, C, H, W).
Fill = Literal["mean", "blur", "noise"] | float | Tensor


@torch.no_grad()
def class_scores(
    model: Forward,
    images: Tensor,
    target: Target,
    *,
    score: Score = "logit",
    batch_size: int | None = None,
) -> Floats:
    """Compute each image's score of its target class, batch by batch, without a graph.

    Parameters
    ----------
    model : torch.nn.Module or callable
        From images (N, C, H, W) to logits (N, classes), in evaluation mode.
    images : Tensor (N, C, H, W)
        As the model expects them (normalised).
    target : int, sequence of int, or Tensor (N,)
        One class for all images or one for each.
    score : {"logit", "probability"}
        "probability" applies softmax to what the model returns.
    batch_size : int, optional
        By default 8 pictures of 224 x 224 on a CPU, more of smaller ones or on a GPU.

    Returns
    -------
    ndarray (N,), float64

    Raises
    ------
    TypeError, ValueError, IndexError
        As for `course_utils.integrated_gradients`.
    """
    one_of("score", score, ["logit", "probability"])
    images = check_images(images, "images")
    check_model(model, images)
    check_chunk_size(batch_size)
    scores = []
    for part in torch.arange(len(images)).split(batch_size or default_chunk_size(images)):
        chosen = slice(int(part[0]), int(part[-1]) + 1)
        outputs = check_outputs(model(images[chosen]), len(part))
        targets = check_targets(target, len(images), outputs.shape[1], outputs.device)
        outputs = outputs.softmax(dim=1) if score == "probability" else outputs
        scores.append(outputs.gather(1, targets[chosen, None])[:, 0])
    return to_numpy(torch.cat(scores)).astype(np.float64)


@dataclass(frozen=True)
class InterventionEffect:
    """What a change of the picture does to the score, image by image.

    Attributes
    ----------
    before, after : ndarray (N,)
        Scores of the originals and of the changed pictures.
    change : ndarray (N,)
        after - before: negative where the change took away what spoke for the class.
    mean : Interval
        Mean change with its bootstrap interval.
    test : PermutationTest
        Paired: could chance alone give such a mean change?
    score : {"logit", "probability"}
        The unit.
    """

    before: Floats
    after: Floats
    change: Floats
    mean: Interval
    test: PermutationTest
    score: Score

    def __str__(self) -> str:
        mean = self.mean
        return (
            f"{self.score} {self.before.mean():.3g} -> {self.after.mean():.3g}: changes by "
            f"{mean.value:+.3g} [{mean.low:+.3g}, {mean.high:+.3g}], p = {self.test.p_value:.2g}; "
            f"falls in {np.mean(self.change < 0):.0%} of {len(self.change)} images"
        )


def intervention_effect(
    model: Forward,
    originals: Tensor,
    changed: Tensor,
    target: Target,
    *,
    score: Score = "logit",
    seed: int = 0,
    batch_size: int | None = None,
) -> InterventionEffect:
    """Measure how a score reacts when one thing in the pictures is changed.

    Parameters
    ----------
    model : torch.nn.Module or callable
        From images (N, C, H, W) to logits (N, classes), in evaluation mode.
    originals, changed : Tensor (N, C, H, W)
        ``changed[i]`` is ``originals[i]`` after the intervention.
    target : int, sequence of int, or Tensor (N,)
        The class whose score is read, the same before and after.
    score : {"logit", "probability"}
        The logit does not saturate; the probability is what a user sees.
    seed : int
        Of the bootstrap and of a sampled permutation test.
    batch_size : int, optional
        As in `class_scores`.

    Returns
    -------
    InterventionEffect

    Raises
    ------
    TypeError, ValueError, IndexError
        As `class_scores`; ValueError also if the two batches differ in shape.
    """
    if tuple(getattr(originals, "shape", ())) != tuple(getattr(changed, "shape", ())):
        raise ValueError(
            "originals and changed must be pairs of pictures, got shapes "
            f"{tuple(originals.shape)} and {tuple(changed.shape)}"
        )
    options = {"score": score, "batch_size": batch_size}
    before = class_scores(model, originals, target, **options)
    after = class_scores(model, changed, target, **options)
    change = after - before
    mean = bootstrap_interval(change, seed=seed)
    test = permutation_test(after, before, seed=seed)
    return InterventionEffect(before, after, change, mean, test, score)


@dataclass(frozen=True)
class Correlation:
    """A correlation over images, its interval, and how easily chance gives one as strong.

    Attributes
    ----------
    interval : Interval
        The correlation, in [-1, 1], with its bootstrap interval.
    p_value : float
        Two-sided, from shuffling who belongs to whom.
    """

    interval: Interval
    p_value: float

    def __str__(self) -> str:
        return f"correlation {self.interval}, p = {self.p_value:.2g}"


def effect_correlation(
    relevance: Any,
    effect: Any,
    *,
    method: Literal["spearman", "pearson"] = "spearman",
    n_resamples: int = 2000,
    seed: int = 0,
) -> Correlation:
    """Correlate what an explanation says a part is worth with what removing it does.

    The idea of faithfulness correlation (Bhatt, Weller, Moura: Evaluating and aggregating
    feature-based model explanations, IJCAI 2020, definition 3) with a part of the scene in place of
    random pixels.

    Parameters
    ----------
    relevance : array or tensor (N,)
        For example `part_relevance` of each image (or of each image and part, flattened).
    effect : array or tensor (N,)
        What the score lost: ``-intervention_effect(...).change``. Pairs with NaN are left out.
    method : {"spearman", "pearson"}
        Of the ranks (any rising relation), or of the values (a straight line).
    n_resamples, seed : int
        Of the bootstrap and of the shuffling.

    Returns
    -------
    Correlation
        1 if the explanation orders the images as the intervention does; NaN if either is constant.

    Raises
    ------
    ValueError
        If the shapes differ, or fewer than three pairs are left.
    """
    one_of("method", method, ["spearman", "pearson"])
    relevance, effect = (to_numpy(values).astype(np.float64) for values in (relevance, effect))
    if relevance.ndim != 1 or relevance.shape != effect.shape:
        raise ValueError(
            f"expected one relevance and one effect per image, got shapes {relevance.shape} and "
            f"{effect.shape}"
        )
    pairs = np.stack([relevance, effect], axis=1)
    kept = pairs[~np.isnan(pairs).any(axis=1)]
    if len(kept) < 3:
        raise ValueError(f"{len(kept)} pairs without NaN: a correlation needs at least three")

    def correlation(rows: Floats) -> float:
        return _correlation(*(rankdata(rows, axis=0) if method == "spearman" else rows).T)

    interval = bootstrap_interval(pairs, correlation, n_resamples=n_resamples, seed=seed)
    if np.isnan(interval.value):
        return Correlation(interval, np.nan)
    rng = np.random.default_rng(seed)
    first, second = (rankdata(kept, axis=0) if method == "spearman" else kept).T
    null = np.array([_correlation(first, rng.permutation(second)) for _ in range(n_resamples)])
    as_strong = np.sum(np.abs(null) >= abs(interval.value) - 1e-9)
    return Correlation(interval, float((as_strong + 1) / (n_resamples + 1)))


def _correlation(first: Floats, second: Floats) -> float:
    """Pearson's correlation; NaN if either side is constant."""
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt(first @ first * (second @ second))
    return float(first @ second / size) if size > 0 else np.nan


@dataclass(frozen=True)
class PerturbationCurve:
    """How the score goes as pixels are replaced (deletion) or given back (insertion).

    Attributes
    ----------
    fractions : ndarray (S,)
        Share of the pixels that were deleted or inserted so far.
    scores : ndarray (N, S)
        Score of the target at each of them.
    score : {"logit", "probability"}
        The unit.
    """

    fractions: Floats
    scores: Floats
    score: Score

    @property
    def area(self) -> Floats:
        """Mean height of each curve (N,): trapezoid rule, divided by the range of fractions."""
        span = self.fractions[-1] - self.fractions[0]
        return np.trapezoid(self.scores, self.fractions, axis=1) / span


def deletion_curve(
    model: Forward,
    images: Tensor,
    maps: Any,
    target: Target,
    *,
    fill: Fill = "mean",
    fractions: Any = None,
    score: Score = "probability",
    reduce: Reduce = "sum",
    seed: int = 0,
    batch_size: int | None = None,
) -> PerturbationCurve:
    """Replace the pixels that a map ranks highest, more and more, and watch the score fall.

    Petsiuk, Das, Saenko: RISE, BMVC 2018, the causal metrics deletion and insertion. The fill is
    half of the question: a map made with a blurred baseline does well where pixels are blurred.

    Parameters
    ----------
    model : torch.nn.Module or callable
        From images (N, C, H, W) to logits (N, classes), in evaluation mode.
    images : Tensor (N, C, H, W)
        As the model expects them (normalised).
    maps : tensor or array (N, C, H, W) or (N, H, W)
        The highest values go first, negative ones last. Equal values go in random order, so a map
        that is zero everywhere is a random one (and is warned of).
    target : int, sequence of int, or Tensor (N,)
    fill : {"mean", "blur", "noise"}, float, or Tensor (N, C, H, W) or (1, C, H, W)
        Each image's own mean colour; the image blurred with a standard deviation of a twentieth of
        its side, at least one pixel; Gaussian noise of each image's own mean and spread per
        channel; one value (after normalisation 0 is the data's mean colour, not black); or
        pictures.
    fractions : sequence of float, optional
        Rising, within [0, 1]; by default 0, 0.05, ..., 1.
    score : {"logit", "probability"}
        The paper takes the probability.
    reduce : str
        What becomes of the map's channels, as in `relevance_mass`.
    seed : int
        Of the noise and of the order of equal values.
    batch_size : int, optional
        As in `class_scores`.

    Returns
    -------
    PerturbationCurve
        A small ``area`` speaks for the map, if it is smaller than that of controls.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `class_scores`, and for maps that do not fit the images.
    """
    order = _Order(images, maps, fill, fractions, reduce, seed)
    frames = (order.replaced(count) for count in order.counts)
    return _curve(model, frames, target, order, score, batch_size)


def insertion_curve(
    model: Forward,
    images: Tensor,
    maps: Any,
    target: Target,
    *,
    fill: Fill = "blur",
    fractions: Any = None,
    score: Score = "probability",
    reduce: Reduce = "sum",
    seed: int = 0,
    batch_size: int | None = None,
) -> PerturbationCurve:
    """Give the pixels that a map ranks highest back to an empty picture, and watch the score rise.

    Petsiuk, Das, Saenko: RISE, BMVC 2018; the paper starts from a blurred picture, because sharp
    pieces on a flat ground have edges of their own.

    Parameters
    ----------
    model, images, maps, target, fill, fractions, score, reduce, seed, batch_size
        As in `deletion_curve`; `fill` is what the picture starts as.

    Returns
    -------
    PerturbationCurve
        A large ``area`` speaks for the map, if it is larger than that of controls.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `deletion_curve`.
    """
    order = _Order(images, maps, fill, fractions, reduce, seed)
    frames = (order.restored(count) for count in order.counts)
    return _curve(model, frames, target, order, score, batch_size)


def _curve(
    model: Forward, frames: Any, target: Target, order: _Order, score: Score, size: int | None
) -> PerturbationCurve:
    columns = [class_scores(model, frame, target, score=score, batch_size=size) for frame in frames]
    return PerturbationCurve(order.fractions, np.stack(columns, axis=1), score)


class _Order:
    """Pictures, what replaces their pixels, and the order in which a map says to do it."""

    def __init__(
        self, images: Tensor, maps: Any, fill: Fill, fractions: Any, reduce: Reduce, seed: int
    ) -> None:
        self.images = check_images(images, "images")
        values = to_maps(maps, reduce)
        wanted = (len(images), *images.shape[-2:])
        if values.shape != wanted:
            raise ValueError(
                f"maps: expected one map of the picture's size for each image, {wanted}, got "
                f"{values.shape}"
            )
        find_defined(values, consequence="their pixels go in random order")
        self.fill = fill_pictures(self.images, fill, seed)
        self.fractions = _check_fractions(fractions)
        self.counts = np.rint(self.fractions * values[0].size).astype(int)
        places = _places(values.reshape(len(values), -1), seed)
        self._places = torch.from_numpy(places).to(images.device).view(wanted)[:, None]

    def replaced(self, count: int) -> Tensor:
        return torch.where(self._places < count, self.fill, self.images)

    def restored(self, count: int) -> Tensor:
        return torch.where(self._places < count, self.images, self.fill)


def _places(values: Floats, seed: int) -> NDArray[np.int64]:
    """Place of each pixel (N, P) in the order of falling values; equal values in random order."""
    rng = np.random.default_rng(seed)
    lots = rng.permuted(np.tile(np.arange(values.shape[1]), (len(values), 1)), axis=1)
    return np.argsort(np.lexsort((lots, -values), axis=1), axis=1)


def _check_fractions(fractions: Any) -> Floats:
    if fractions is None:
        return np.linspace(0, 1, 21)
    array = to_numpy(fractions).astype(np.float64)
    if array.ndim != 1 or len(array) < 2 or (np.diff(array) <= 0).any():
        raise ValueError(f"fractions: expected at least two rising shares, got {fractions!r}")
    if array[0] < 0 or array[-1] > 1:
        raise ValueError(f"fractions: expected shares within [0, 1], got {fractions!r}")
    return array


def fill_pictures(images: Tensor, fill: Fill, seed: int = 0) -> Tensor:
    """Make what takes the place of removed pixels; look at it before you trust a curve.

    Parameters
    ----------
    images : Tensor (N, C, H, W)
    fill : {"mean", "blur", "noise"}, float, or Tensor (N, C, H, W) or (1, C, H, W)
        As in `deletion_curve`.
    seed : int
        Of the noise.

    Returns
    -------
    Tensor (N, C, H, W)

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if isinstance(fill, Tensor):
        if fill.shape not in {images.shape, images[:1].shape}:
            raise ValueError(
                f"fill: expected pictures of shape {tuple(images.shape)}, got {tuple(fill.shape)}"
            )
        return check_images(fill.to(images), "fill").expand_as(images)
    if not isinstance(fill, str):
        return torch.full_like(images, float(fill))
    one_of("fill", fill, ["mean", "blur", "noise"])
    if fill == "blur":
        sigma = max(1.0, max(images.shape[-2:]) / 20)
        reach = min(int(3 * sigma), min(images.shape[-2:]) - 1)  # reflection needs smaller ones
        along, across = [2 * reach + 1, 1], [1, 2 * reach + 1]  # one after the other: much faster
        return gaussian_blur(gaussian_blur(images, along, [sigma] * 2), across, [sigma] * 2)
    mean = images.mean(dim=(2, 3), keepdim=True)
    if fill == "mean":
        return mean.expand_as(images)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    return mean + noise.to(images) * images.std(dim=(2, 3), keepdim=True)
