"""Integrated gradients, and gradients along a path, in memory that does not grow with the steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import runtime
from ._inputs import (
    Baselines,
    Forward,
    Target,
    check_images,
    check_model,
    check_outputs,
    check_targets,
    expand_baselines,
    in_fastest_layout,
)
from .folding import fold_batch_norm, same_scores

#: The quadratures of Captum, and one of ours.
METHODS = (
    "riemann_left",
    "riemann_right",
    "riemann_middle",
    "riemann_trapezoid",
    "gausslegendre",
    "squared_midpoint",
)

# Images of 224 x 224 per forward and backward pass. On a CPU larger chunks gain a few percent and
# cost memory in proportion; a GPU needs more to be busy.
_CHUNK = {"cpu": 8, "mps": 16, "cuda": 32}
_LARGEST_CHUNK = 256


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


def quadrature(method: str, n_steps: int) -> tuple[Tensor, Tensor]:
    r"""Positions and weights that turn an integral over [0, 1] into a sum.

    Parameters
    ----------
    method : str
        "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid" or "gausslegendre",
        each as Captum defines it, or "squared_midpoint": the midpoint rule after the substitution
        :math:`\alpha = u^2`, so that :math:`\int_0^1 g(\alpha) d\alpha = \int_0^1 g(u^2)\,2u\,du`.
        It looks more closely at the start of the path, where networks change fastest.
    n_steps : int
        Number of positions, which is the number of gradients to compute. At least 1; at least 2
        for the trapezoidal rule.

    Returns
    -------
    alphas, weights : Tensor (n_steps,), Tensor (n_steps,)
        In float64 and in rising order. The weights sum to 1, except for "riemann_trapezoid": Captum
        divides its n points' weights by n, not by the n - 1 intervals between them, so they sum to
        1 - 1/n.

    Raises
    ------
    ValueError
        For an unknown method or too few steps.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}.")
    if isinstance(n_steps, bool) or not isinstance(n_steps, int | np.integer):
        raise TypeError(f"n_steps must be a whole number, got {n_steps!r}.")
    fewest = 2 if method == "riemann_trapezoid" else 1
    if n_steps < fewest:
        raise ValueError(f"{method} needs n_steps of at least {fewest}, got {n_steps}.")
    if method == "gausslegendre":
        nodes, node_weights = np.polynomial.legendre.leggauss(n_steps)
        return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(node_weights / 2)
    if method == "squared_midpoint":
        middles = (torch.arange(n_steps, dtype=torch.float64) + 0.5) / n_steps
        return middles**2, 2 * middles / n_steps
    step = 1 / n_steps
    first, last = {
        "riemann_left": (0, 1 - step),
        "riemann_right": (step, 1),
        "riemann_middle": (step / 2, 1 - step / 2),
        "riemann_trapezoid": (0, 1),
    }[method]
    # rounded to float32 because Captum's are: ReLU networks notice a difference of 1e-8
    alphas = torch.linspace(first, last, n_steps, dtype=torch.float32).double()
    weights = torch.full_like(alphas, step)
    if method == "riemann_trapezoid":
        weights[[0, -1]] /= 2
    return alphas, weights


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
        Images per forward and backward pass. By default 8 on a CPU, 16 on MPS and 32 on CUDA for
        images of 224 x 224, in inverse proportion to the area for others.
    progress : bool
        Show a progress bar if it takes more than a second.
    fast : bool
        Compute the same function in a cheaper way: images channels-last on a CPU, and batch norm
        folded into the convolutions before it where that is safe (`folding.fold_batch_norm`) and
        gives the same scores. False computes exactly as the model would by itself. See the notes.

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
    path = _Path(model, inputs, target, baselines, chunk_size, fast)
    weights = weights.to(path.inputs.device, path.precise)
    attributions = torch.empty_like(path.inputs, memory_format=torch.contiguous_format)
    total = len(path.inputs) * n_steps
    with _progress_bar(progress, total, "Integrated gradients") as bar:
        for images in _even_parts(len(path.inputs), max(1, path.chunk_size // n_steps)):
            integral = torch.zeros_like(path.inputs[images], dtype=path.precise)
            for steps in _even_parts(n_steps, path.chunk_size):
                gradients = path.gradients(images, alphas[steps]).gradients
                integral += torch.einsum(
                    "s,ns...->n...", weights[steps], gradients.to(path.precise)
                )
                bar.update(gradients.shape[0] * gradients.shape[1])
            attributions[images] = (integral * path.difference(images)).to(path.inputs.dtype)
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
    path = _Path(model, inputs, target, baselines, chunk_size, fast)
    if len(path.inputs) != 1:
        raise ValueError(f"inputs must be one image (1, C, H, W), got {len(path.inputs)} images.")
    alphas = torch.as_tensor(alphas, dtype=torch.float64, device="cpu")
    if alphas.ndim != 1 or len(alphas) == 0 or not torch.isfinite(alphas).all():
        raise ValueError(f"alphas must be finite numbers (S,), got shape {tuple(alphas.shape)}.")
    one = slice(0, 1)
    difference = path.difference(one)[0]
    parts: list[tuple[Tensor, ...]] = []
    with _progress_bar(progress, len(alphas), "Gradients along the path") as bar:
        for steps in _even_parts(len(alphas), path.chunk_size):
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


class _Chunk(NamedTuple):
    """One forward and backward pass over n images at s positions each."""

    scores: Tensor  # (n, s)
    outputs: Tensor  # (n * s, classes)
    gradients: Tensor  # (n, s, C, H, W)


class _Path:
    """Checked inputs, the scores at both ends, and the fastest way to gradients in between."""

    def __init__(
        self,
        model: Forward,
        inputs: Tensor,
        target: Target,
        baselines: Baselines,
        chunk_size: int | None,
        fast: bool,
    ) -> None:
        runtime.tune_allocator()
        self.inputs = check_images(inputs)
        self.baselines = expand_baselines(baselines, self.inputs)
        check_model(model, self.inputs)
        self.chunk_size = _pick_chunk_size(chunk_size, self.inputs)
        # sums over thousands of gradients are kept in double precision, which MPS does not have
        self.precise = torch.float32 if self.inputs.device.type == "mps" else torch.float64
        ends = torch.cat([self.inputs[:1], self.baselines[:1]])
        with torch.no_grad():
            outputs, self.layout = in_fastest_layout(model, ends, fast)
        first = check_outputs(outputs, len(ends))
        self.targets = check_targets(target, len(self.inputs), first.shape[1], self.inputs.device)
        self.score_difference = self._score_difference(model, first)
        self.forward = self._fastest(model, ends, first) if fast else model

    def difference(self, images: slice) -> Tensor:
        """Subtract the baselines from some of the images."""
        return self.inputs[images] - self._baselines(images)

    def gradients(self, images: slice, alphas: Tensor) -> _Chunk:
        """Scores and gradients of some images at some positions, in one pass."""
        alphas = alphas.to(self.inputs).view(1, -1, 1, 1, 1)
        start, difference = self._baselines(images), self.difference(images)
        points = start[:, None] + alphas * difference[:, None]
        n_images, n_alphas = points.shape[:2]
        points = points.flatten(0, 1).contiguous(memory_format=self.layout)
        targets = self.targets[images].repeat_interleave(n_alphas)
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            outputs = self.forward(points)
            scores = outputs.gather(1, targets[:, None]).squeeze(1)
            if not scores.requires_grad:
                raise ValueError(
                    "the model's scores do not depend on the images in a differentiable way; look "
                    "for torch.no_grad(), detach() or argmax in its forward pass."
                )
            (gradients,) = torch.autograd.grad(scores.sum(), points)
        shape = (n_images, n_alphas)
        return _Chunk(scores.detach().view(shape), outputs.detach(), gradients.unflatten(0, shape))

    def _baselines(self, images: slice) -> Tensor:
        return self.baselines if len(self.baselines) == 1 else self.baselines[images]

    def _score_difference(self, model: Forward, first: Tensor) -> Tensor:
        """Score of each input minus that of its baseline (N,), by the model as it is."""
        at_inputs = self._scores(model, self.inputs, first[:1])
        if len(self.baselines) == 1:
            at_baselines = first[1].index_select(0, self.targets)
        else:
            at_baselines = self._scores(model, self.baselines, first[1:])
        return (at_inputs - at_baselines).to(self.precise)

    def _scores(self, model: Forward, images: Tensor, first: Tensor) -> Tensor:
        """Scores of the targets; the first image's outputs are known already."""
        outputs = [first]
        with torch.no_grad():
            for part in images[1:].split(self.chunk_size):
                outputs.append(model(part.contiguous(memory_format=self.layout)))
        return torch.cat(outputs).gather(1, self.targets[:, None]).squeeze(1)

    def _fastest(self, model: Forward, ends: Tensor, first: Tensor) -> Forward:
        """Return the folded network if there is one and its scores are the model's."""
        folded = fold_batch_norm(model)
        if folded is None:
            return model
        try:
            with torch.no_grad():
                scores = folded(ends.contiguous(memory_format=self.layout))
        except RuntimeError:
            return model
        return folded if same_scores(scores, first) else model


def _progress_bar(wanted: bool, total: int, description: str) -> Any:
    # an explicit `disable` would overrule the environment variable TQDM_DISABLE
    options = {} if wanted else {"disable": True}
    return runtime.progress(total=total, description=description, **options)


def _even_parts(length: int, largest: int) -> Iterator[slice]:
    """Cut a range into the fewest parts of at most `largest`, all of about the same size."""
    n_parts = math.ceil(length / largest)
    edges = [round(part * length / n_parts) for part in range(n_parts + 1)]
    return (slice(start, end) for start, end in itertools.pairwise(edges))


def _pick_chunk_size(chunk_size: int | None, inputs: Tensor) -> int:
    if chunk_size is None:
        area = inputs.shape[-1] * inputs.shape[-2]
        fitting = _CHUNK.get(inputs.device.type, _CHUNK["cpu"]) * 224 * 224 // area
        return min(max(fitting, 1), _LARGEST_CHUNK)
    if isinstance(chunk_size, bool) or not isinstance(chunk_size, int) or chunk_size < 1:
        raise ValueError(f"chunk_size must be a whole number of at least 1, got {chunk_size!r}.")
    return chunk_size
