"""Integrated gradients, and gradients along a path, in memory that does not grow with the steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import runtime
from ..checks import Baselines, Forward, Target
from ._passes import Path
from .quadrature import quadrature


class PathAttribution(NamedTuple):
    """Attributions and how far they are from complete.

    Attributes
    ----------
    attributions : Tensor (N, C, H, W)
        Contribution of each input value to the target's score, in units of that score.
    delta : Tensor (N,)
        Completeness error: the attributions' sum minus the score difference between input and
        baseline. Zero for an exact method; the same sign as Captum's convergence delta.
    """

    attributions: Tensor
    delta: Tensor


class PathGradients(NamedTuple):
    """What a network does on the straight line from a baseline to an image.

    Attributes
    ----------
    alphas : Tensor (S,)
        Positions on the line: 0 at the baseline, 1 at the image.
    logits : Tensor (S,)
        The target's score at each position.
    derivatives : Tensor (S,)
        The score's derivative by alpha: the gradient's dot product with (image - baseline). Its
        integral from 0 to 1 is the score difference.
    gradient_norms : Tensor (S,)
        Euclidean norm of the gradient by the pixels.
    outputs : Tensor (S, classes)
        All scores at each position.
    gradients : Tensor (S, C, H, W) or None
        The gradients themselves, where they were asked for.
    """

    alphas: Tensor
    logits: Tensor
    derivatives: Tensor
    gradient_norms: Tensor
    outputs: Tensor
    gradients: Tensor | None


@torch.inference_mode(False)
def integrated_gradients(
    model: Forward,
    inputs: Tensor,
    target: Target,
    *,
    baselines: Baselines = None,
    n_steps: int = 50,
    method: str = "gausslegendre",
    chunk_size: int | None = None,
    progress: bool = True,
    fast: bool = True,
) -> PathAttribution:
    r"""Integrated gradients, in the memory of one small batch whatever the number of steps.

    .. math:: a_i = (x_i - x'_i) \int_0^1 \frac{\partial f(x' + \alpha (x - x'))}{\partial x_i} d\alpha

    Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks, ICML 2017, equation 1. The
    results are Captum's (``captum.attr.IntegratedGradients``) up to rounding; `n_steps` images are
    never in memory at once, frozen batch norm is folded into convolutions, images are laid out
    channels-last on a CPU, and only the gradient by the images is computed.

    Parameters
    ----------
    model : torch.nn.Module or function
        From images (N, C, H, W) to class scores (N, classes). A module must be in evaluation mode.
        Neither it nor its parameters are changed.
    inputs : Tensor (N, C, H, W)
        Images as the model expects them (normalised).
    target : int, sequence of int, or Tensor (N,)
        Class to explain, one for all images or one for each.
    baselines : None, float, or Tensor (1, C, H, W) or (N, C, H, W)
        Where the path starts. None means zeros, which after normalisation is the data's mean
        colour, a mid grey, and *not* black.
    n_steps : int
        Number of gradients per image. `delta` says whether it was enough.
    method : str
        Quadrature; see `quadrature`.
    chunk_size : int, optional
        Images per forward and backward pass. By default about as many as store 320 MiB of
        activations on a CPU, 1 GiB on MPS and 2 GiB on CUDA (more gain little), and a number that
        divides `n_steps` where one is near: for 50 or 1,000 steps 10 on `efficientnet_lite0` and
        25 on `squeezenet1_1`.
    progress : bool
        Show a progress bar if it takes more than a second.
    fast : bool
        Compute the same function in a cheaper way: images channels-last on a CPU, batch norm
        folded into the convolutions before it where that is safe (`folding.fold_batch_norm`) and
        gives the same scores, and 1x1 convolutions as matrix products (`pointwise`). False computes exactly as the model would by itself. See the notes.

    Returns
    -------
    PathAttribution
        `attributions` (N, C, H, W) and `delta` (N,), in the type and on the device of `inputs`.

    Raises
    ------
    TypeError
        For a model that cannot be called, images that are not floats, or a target that is no index.
    ValueError
        For images that are not (N, C, H, W) or not finite, a baseline of another shape, a model in
        training mode or on another device, outputs that are not (N, classes), an unknown method or
        too few steps.
    IndexError
        For a target that the model does not have.

    Notes
    -----
    In float64 results are those of Captum to 2e-8 of the largest attribution, the rounding of
    Captum's weights. In float32 they are with ``fast=False``; the fast way rounds otherwise, and in
    a deep ReLU network a change in the last digit switches a few units on or off. On the bundled
    networks that is up to 1 % of the largest attribution, which is also how far Captum's own
    float32 result is from its float64 one.

    Examples
    --------
    Expected gradients (Erion et al. 2021) are an average over baselines, here a stack (B, C, H, W):

    >>> copies = image.expand(len(baselines), -1, -1, -1)                        # doctest: +SKIP
    >>> integrated_gradients(model, copies, 3, baselines=baselines).attributions.mean(0)
    """  # noqa: E501 - the equation
    alphas, weights = quadrature(method, n_steps)
    path = Path(model, inputs, target, baselines, chunk_size, fast)
    attributions = torch.empty_like(path.inputs, memory_format=torch.contiguous_format)
    total = len(path.inputs) * n_steps
    steps_at_once = chunk_size or _even_size(n_steps, path.chunk_size)
    with _progress_bar(progress, total, "Integrated gradients") as bar:
        for images in _parts(len(path.inputs), max(1, path.chunk_size // n_steps)):
            difference = path.difference(images)
            integral = torch.zeros_like(difference, dtype=path.precise)
            for steps in _parts(n_steps, steps_at_once):
                gradients = path.gradients(images, alphas[steps]).gradients
                for at_step, weight in zip(gradients.unbind(1), weights[steps], strict=True):
                    integral.add_(at_step, alpha=float(weight))
                bar.update(gradients.shape[0] * gradients.shape[1])
            attributions[images] = (integral * difference).to(path.inputs.dtype)
    sums = torch.stack([image.sum(dtype=path.precise) for image in attributions])
    return PathAttribution(attributions, (sums - path.score_difference).to(path.inputs.dtype))


@torch.inference_mode(False)
def path_gradients(
    model: Forward,
    inputs: Tensor,
    target: int | Tensor,
    *,
    alphas: Tensor,
    baselines: Baselines = None,
    keep_gradients: bool = False,
    chunk_size: int | None = None,
    progress: bool = True,
    fast: bool = True,
) -> PathGradients:
    """Follow one image's scores and gradients on the straight line from its baseline.

    Any quadrature of the derivatives gives the sum of the integrated gradients that it would lead
    to: ``weights @ derivatives`` for the positions and weights of `quadrature`.

    Parameters
    ----------
    model, target, baselines, chunk_size, progress, fast
        As for `integrated_gradients`.
    inputs : Tensor (1, C, H, W)
        One image.
    alphas : Tensor (S,)
        Positions on the line, in any order: 0 is the baseline, 1 the image. Values outside [0, 1]
        go beyond them.
    keep_gradients : bool
        Return the S gradients too. They take S times the memory of the image; everything else
        takes the memory of one chunk.

    Returns
    -------
    PathGradients
        `alphas`, `logits`, `derivatives`, `gradient_norms` (S,), `outputs` (S, classes), and
        `gradients` (S, C, H, W) or None.

    Raises
    ------
    TypeError, ValueError, IndexError
        As for `integrated_gradients`; ValueError also for more than one image, or no positions.
    """
    path = Path(model, inputs, target, baselines, chunk_size, fast)
    if len(path.inputs) != 1:
        raise ValueError(f"inputs must be one image (1, C, H, W), got {len(path.inputs)} images.")
    alphas = torch.as_tensor(alphas, dtype=torch.float64, device="cpu")
    if alphas.ndim != 1 or len(alphas) == 0 or not torch.isfinite(alphas).all():
        raise ValueError(f"alphas must be finite numbers (S,), got shape {tuple(alphas.shape)}.")
    one = slice(0, 1)
    difference = path.difference(one)[0]
    parts: list[tuple[Tensor, ...]] = []
    with _progress_bar(progress, len(alphas), "Gradients along the path") as bar:
        for steps in _parts(len(alphas), chunk_size or _even_size(len(alphas), path.chunk_size)):
            chunk = path.gradients(one, alphas[steps])
            gradients = chunk.gradients[0]
            precise = gradients.to(path.precise)
            slopes = (precise * difference).flatten(1).sum(1)
            norms = precise.flatten(1).norm(dim=1)
            kept = gradients.contiguous() if keep_gradients else gradients[:0]
            parts.append((chunk.scores[0], slopes, norms, chunk.outputs, kept))
            bar.update(len(gradients))
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    logits, slopes, norms, outputs, kept = (column.to(path.inputs.dtype) for column in columns)
    alphas = alphas.to(path.inputs)
    return PathGradients(alphas, logits, slopes, norms, outputs, kept if keep_gradients else None)


def _progress_bar(wanted: bool, total: int, description: str) -> Any:
    # an explicit `disable` would overrule the environment variable TQDM_DISABLE
    options = {} if wanted else {"disable": True}
    return runtime.progress(total=total, description=description, **options)


def _parts(length: int, size: int) -> Iterator[slice]:
    """Cut a range into parts of `size` and a rest: all but the last cost the same memory."""
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def _even_size(length: int, size: int) -> int:
    """Largest size of equal parts within 0.6 to 1.6 of `size`. Where there is none, `size` itself.

    A rest of another size would be slow: convolutions are compiled for each shape they meet.
    """
    if length <= size:
        return length
    within = range(math.ceil(size * 0.6), math.floor(size * 1.6) + 1)
    dividing = [candidate for candidate in within if length % candidate == 0]
    return max(dividing, default=size)
