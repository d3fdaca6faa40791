"""Explanations against interventions: change the picture, and look what the network does.

Rendered scenes can be rendered again without a part (``split.intervention("hold_nothing")``): that
changes one thing and leaves a picture of the same kind. Deletion changes any picture, but into ones
that no camera takes; only its comparison with controls says something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import checks
from ..checks import Forward, Target, check_images, to_numpy
from .arrays import Floats, to_maps, warn_of

#: Which number of a network is looked at.
Score = Literal["logit", "probability"]


def class_scores(
    model: Forward, images: Tensor, target: Target, *, score: Score = "logit"
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

    Returns
    -------
    ndarray (N,), float64

    Raises
    ------
    TypeError, ValueError, IndexError
        As for `course_utils.integrated_gradients`.
    """
    checks.one_of("score", score, ["logit", "probability"])
    images = check_images(images, "images")
    outputs = checks.all_scores(model, images)
    targets = checks.check_targets(target, len(images), outputs.shape[1], outputs.device)
    outputs = outputs.softmax(dim=1) if score == "probability" else outputs
    return to_numpy(outputs.gather(1, targets[:, None])[:, 0]).astype(np.float64)


class DeletionCurve(NamedTuple):
    """How the score goes as pixels are replaced.

    Attributes
    ----------
    fractions : ndarray (S,)
        Share of the pixels that were replaced so far.
    scores : ndarray (N, S)
        Score of the target at each of them.
    area : ndarray (N,)
        Mean height of each curve: trapezoid rule, divided by the range of fractions.
    """

    fractions: Floats
    scores: Floats
    area: Floats


def deletion_curve(
    model: Forward,
    images: Tensor,
    maps: Any,
    target: Target,
    *,
    fill: float | Tensor | Callable[[Tensor, Tensor], Tensor] | None = None,
    fractions: Any = None,
    score: Score = "probability",
    seed: int = 0,
) -> DeletionCurve:
    """Replace the pixels that a map ranks highest, more and more, and watch the score fall.

    Petsiuk, Das, Saenko: RISE, BMVC 2018, the causal metric deletion. The fill is half of the
    question: a map made with a blurred baseline does well where pixels are blurred.

    Parameters
    ----------
    model : torch.nn.Module or callable
        From images (N, C, H, W) to logits (N, classes), in evaluation mode.
    images : Tensor (N, C, H, W)
        As the model expects them (normalised).
    maps : tensor, array or list, (N, C, H, W) or (N, H, W)
        The highest values go first, negative ones last. Equal values go in random order, the same
        for all images, so a map that is zero everywhere is a random one (and is warned of).
    target : int, sequence of int, or Tensor (N,)
    fill : None, float, Tensor (N, C, H, W) or (1, C, H, W), or callable
        Each image's own mean colour (None); one value (after normalisation 0 is the data's mean
        colour, not black); pictures, such as blurred ones; or ``fill(images, gone)``, from what is
        to go, bool (N, 1, H, W), to pictures without it.
    fractions : sequence of float, optional
        Rising, within [0, 1]; by default 0, 0.05, ..., 1.
    score : {"logit", "probability"}
        The paper takes the probability.
    seed : int
        Of the order of equal values.

    Returns
    -------
    DeletionCurve
        A small ``area`` speaks for the map, if it is smaller than that of controls. NaN, with one
        warning, where a map is not finite.

    Raises
    ------
    TypeError, ValueError, IndexError
        As `course_utils.integrated_gradients`, and for maps that do not fit the images.
    """
    images, values = check_images(images, "images"), to_maps(maps)
    shape = (len(images), *images.shape[-2:])
    if values.shape != shape:
        raise ValueError(f"maps: expected the pictures' size, {shape}, got {values.shape}")
    shares = np.linspace(0, 1, 21) if fractions is None else to_numpy(fractions).astype(np.float64)
    rising = shares.ndim == 1 and len(shares) > 1 and (np.diff(shares) > 0).all()
    if not rising or shares[0] < 0 or shares[-1] > 1:
        raise ValueError(f"fractions: expected rising shares within [0, 1], got {fractions!r}")
    broken, blank = np.isnan(values).any(axis=(1, 2)), ~values.any(axis=(1, 2))
    warn_of({"maps are not finite": broken})
    warn_of({"maps are blank": blank}, "their pixels go in random order")
    flat = values.reshape(len(values), -1)
    lots = np.random.default_rng(seed).permutation(flat.shape[1])
    order = lots[np.argsort(-flat[:, lots], axis=1, kind="stable")]
    places = torch.from_numpy(np.argsort(order, axis=1)).to(images.device).view(shape)[:, None]
    filled = images.mean(dim=(2, 3), keepdim=True) if fill is None or callable(fill) else fill
    filled = check_images(torch.as_tensor(filled).to(images).broadcast_to(images.shape), "fill")
    columns = []
    for gone in (places < count for count in np.rint(shares * flat.shape[1])):
        left = fill(images, gone) if callable(fill) else torch.where(gone, filled, images)
        columns.append(class_scores(model, left, target, score=score))
    scores = np.where(broken[:, None], np.nan, np.stack(columns, axis=1))
    area = np.trapezoid(scores, shares, axis=1) / (shares[-1] - shares[0])
    return DeletionCurve(shares, scores, area)
