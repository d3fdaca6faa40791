"""Integrated gradients, and gradients along a path, in memory that does not grow with the steps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .. import checks, runtime
from .folding import fold_batch_norm
from .guard import guarded, target_gradients
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
    gradients : Tensor (S, C, H, W) or None
        The gradients themselves, where they were asked for.
    """

    alphas: Tensor
    logits: Tensor
    derivatives: Tensor
    gradients: Tensor | None


@guarded
def integrated_gradients(
    model: checks.Forward,
    inputs: Tensor,
    target: checks.Target,
    *,
    baselines: checks.Baselines = None,
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
        Images per forward and backward pass; by default 5 of 224 x 224 on a CPU, more of smaller
        ones or on a GPU. It decides the memory, and more gain little.
    progress : bool
        Show a progress bar if it takes more than a second.
    fast : bool
        Compute the same function in a cheaper way: images channels-last on a CPU, and batch norm
        folded into the convolutions before it where that gives the same scores. False computes
        exactly as the model would by itself. See the notes.

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
    inputs = path.inputs
    attributions = torch.empty_like(inputs, memory_format=torch.contiguous_format)
    words = {"description": "Integrated gradients", "shown": progress}
    with runtime.progress(total=len(inputs) * n_steps, **words) as bar:
        for images in torch.arange(len(inputs)).split(max(1, path.chunk_size // n_steps)):
            difference = path.difference(images)
            integral = torch.zeros_like(difference, dtype=path.precise)
            for steps in torch.arange(n_steps).split(path.chunk_size):
                _, gradients = path.follow(images, alphas[steps])
                # one by one: a copy of all of them in double precision would cost memory
                for gradient, weight in zip(gradients.unbind(1), weights[steps], strict=True):
                    integral.add_(gradient, alpha=float(weight))
                del gradients, gradient  # else they are kept while the next ones are computed
                bar.update(len(images) * len(steps))
            attributions[images] = (integral * difference).to(inputs)
    delta = attributions.flatten(1).sum(1, dtype=path.precise) - path.score_differences
    return PathAttribution(attributions, delta.to(inputs))


@guarded
def path_gradients(
    model: checks.Forward,
    inputs: Tensor,
    target: int | Tensor,
    *,
    alphas: Tensor,
    baselines: checks.Baselines = None,
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
        `alphas`, `logits`, `derivatives` (S,), and `gradients` (S, C, H, W) or None.

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
    only = torch.tensor([0])
    parts: list[tuple[Tensor, ...]] = []
    with runtime.progress(total=len(alphas), description="Along the path", shown=progress) as bar:
        for steps in torch.arange(len(alphas)).split(path.chunk_size):
            scores, (gradients,) = path.follow(only, alphas[steps])
            products = gradients.to(path.precise) * path.difference(only)
            kept = gradients.contiguous() if keep_gradients else gradients[:0]
            parts.append((scores[0], products.flatten(1).sum(1), kept))
            bar.update(len(steps))
    *columns, kept = (torch.cat(column).to(path.inputs) for column in zip(*parts, strict=True))
    return PathGradients(alphas.to(path.inputs), *columns, kept if keep_gradients else None)


class _Path:
    """Checked inputs, the scores at both ends, and gradients in between."""

    def __init__(
        self,
        model: checks.Forward,
        inputs: Tensor,
        target: checks.Target,
        baselines: checks.Baselines,
        chunk_size: int | None,
        fast: bool,
    ) -> None:
        self.inputs = checks.check_images(inputs)
        self.baselines = checks.expand_baselines(baselines, self.inputs)
        checks.check_model(model, self.inputs)
        # the same for any number of steps, and so is the memory
        self.chunk_size = chunk_size or checks.gradient_chunk_size(self.inputs)
        # sums over thousands of gradients are kept in double precision, which MPS does not have
        self.precise = torch.float32 if self.inputs.device.type == "mps" else torch.float64
        self.forward = model
        n_images = len(self.inputs)
        ends = torch.cat([self.inputs, self.baselines])
        outputs, self.layout = checks.in_fastest_layout(self._outputs, ends, fast)
        self.targets = checks.check_targets(target, n_images, outputs.shape[1], ends.device)
        at_inputs, at_baselines = (
            scores.expand(n_images, -1).gather(1, self.targets[:, None]).squeeze(1)
            for scores in outputs.to(self.precise).split([n_images, len(self.baselines)])
        )
        self.score_differences = at_inputs - at_baselines
        if fast:
            some = slice(n_images - 1, n_images + 1)  # an image and a baseline
            compared = ends[some].contiguous(memory_format=self.layout)
            self.forward = fold_batch_norm(model, compared, outputs[some]) or model

    def difference(self, images: Tensor) -> Tensor:
        """Subtract the baselines from some of the images (n, C, H, W)."""
        return self.inputs[images] - self._start(images)

    def follow(self, images: Tensor, alphas: Tensor) -> tuple[Tensor, Tensor]:
        """Go to s positions of n images: scores (n, s) and gradients (n, s, C, H, W)."""
        steps = alphas.to(self.inputs).view(1, -1, 1, 1, 1)
        points = self._start(images)[:, None] + steps * self.difference(images)[:, None]
        shape = points.shape[:2]
        points = points.flatten(0, 1).contiguous(memory_format=self.layout)
        targets = self.targets[images].repeat_interleave(shape[1])
        with torch.enable_grad():
            points.requires_grad_()
            outputs = self.forward(points.clone())  # a leaf could not be changed in place
            scores, gradients = target_gradients(outputs, targets, points)
        return scores.view(shape), gradients.unflatten(0, shape)

    def _start(self, images: Tensor) -> Tensor:
        return self.baselines if len(self.baselines) == 1 else self.baselines[images]

    @torch.no_grad()
    def _outputs(self, images: Tensor) -> Tensor:
        """All scores (N, classes), by the model as it is."""
        chunks = images.split(self.chunk_size)
        return torch.cat([checks.scores_of(self.forward, chunk) for chunk in chunks])
