"""DeepLift whose attributions sum to the score difference, on networks as they are.

DeepLift walks back through a network with *multipliers* instead of gradients: how much an output
changed between baseline and image, divided by how much an input changed. Linear layers have the
same multipliers as gradients. The others get a rule each:

- elementwise functions: the *rescale rule*, Δy / Δx (Shrikumar, Greenside, Kundaje: Learning
  Important Features Through Propagating Activation Differences, ICML 2017, section 3.5.1);
- max pooling: *cross-max*, as in the SHAP library (Lundberg, Lee: A Unified Approach to
  Interpreting Model Predictions, NeurIPS 2017, section 4.2). The change of a maximum goes in two
  steps, from the baseline's maximum y' up to max(y, y') and from there down to y. The first is
  credited to the input that is the image's maximum, the second to the one that is the baseline's.
  Each step has one sender, so nothing gets lost where windows overlap;
- products of two activations, as in squeeze-and-excitation: Δ(ab) = Δa (b + b')/2 + Δb (a + a')/2,
  which is exact and treats both factors alike (their Shapley values).

Functions are replaced while they are called (a ``TorchFunctionMode``), whether a module calls them
or a forward pass does, in place or not. The network itself is not touched, so there is nothing to
restore after an error or an interruption.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .. import runtime
from ..checks import (
    Baselines,
    Forward,
    Target,
    check_chunk_size,
    check_images,
    check_model,
    check_outputs,
    check_targets,
    default_chunk_size,
    expand_baselines,
)
from .paths import PathAttribution

# By the name that PyTorch gives them; a trailing underscore (in place) is cut off first.
# fmt: off
_ELEMENTWISE = frozenset({
    "relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish",
    "softplus", "sigmoid", "logsigmoid", "log_sigmoid", "tanh", "softsign", "hardtanh",
    "hardswish", "hardsigmoid", "hardshrink", "softshrink", "tanhshrink", "threshold", "_threshold",
    "clamp", "clip", "abs", "exp", "log", "sqrt", "rsqrt", "square", "pow", "reciprocal",
})
# fmt: on
_POOLINGS = {f"{kind}max_pool{n}d" for kind in ("", "adaptive_") for n in (1, 2, 3)}
_MAXIMA = frozenset({"amax", *_POOLINGS})
_PRODUCTS = frozenset({"mul", "multiply"})

#: Completeness error, as a part of the score difference, above which a warning is due.
TOLERATED = 1e-3


@torch.inference_mode(False)
def deeplift(
    model: Forward,
    inputs: Tensor,
    target: Target,
    baselines: Baselines = None,
    *,
    chunk_size: int | None = None,
) -> PathAttribution:
    """DeepLift (rescale rule), complete: attributions sum to f(x) - f(baseline).

    Parameters
    ----------
    model : torch.nn.Module or function
        From images (N, C, H, W) to class scores (N, classes), in evaluation mode. ReLU modules may
        be shared or in place. Neither it nor its parameters are changed.
    inputs : Tensor (N, C, H, W)
        Images as the model expects them (normalised).
    target : int, sequence of int, or Tensor (N,)
        Class to explain, one for all images or one for each.
    baselines : None, float, or Tensor (1, C, H, W) or (N, C, H, W)
        What the images are compared with. None means zeros, which after normalisation is the
        data's mean colour and *not* black.
    chunk_size : int, optional
        Images per pass, the baselines included; by default 8 of 224 x 224 on a CPU, more
        of smaller ones or on a GPU.

    Returns
    -------
    PathAttribution
        `attributions` (N, C, H, W), and `delta` (N,): their sum minus the score difference. On
        convolutional networks it is rounding, about 1e-6 of the score difference.

    Warns
    -----
    UserWarning
        If `delta` is more than 0.1 % of the score difference: the network holds a non-linearity
        without a rule (softmax attention, layer norm, division, ...), for which the gradient
        was used.

    Raises
    ------
    TypeError, ValueError, IndexError
        As for `integrated_gradients`.
    """
    runtime.tune_allocator()
    inputs = check_images(inputs)
    baselines = expand_baselines(baselines, inputs).expand_as(inputs)
    check_model(model, inputs)
    check_chunk_size(chunk_size)
    size = max(1, (chunk_size or default_chunk_size(inputs)) // 2)
    parts: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(inputs), size):
        images = slice(start, start + size)
        pair = torch.cat([inputs[images], baselines[images]])
        with torch.no_grad():
            outputs = check_outputs(model(pair), len(pair))
        targets = check_targets(target, len(inputs), outputs.shape[1], inputs.device)[images]
        at_image, at_baseline = outputs.gather(1, targets.repeat(2)[:, None]).view(2, -1)
        attributions = _multipliers(model, pair, targets) * (inputs[images] - baselines[images])
        parts.append((attributions, at_image - at_baseline))
    attributions, differences = (torch.cat(column) for column in zip(*parts, strict=True))
    delta = attributions.flatten(1).sum(1) - differences
    _warn_if_incomplete(delta, differences)
    return PathAttribution(attributions, delta)


def _multipliers(model: Forward, pair: Tensor, targets: Tensor) -> Tensor:
    """Walk back from the targets' scores to the images: Δscore per Δinput (N, C, H, W)."""
    with torch.enable_grad():
        pair = pair.requires_grad_()
        with _Rules():
            outputs = model(pair.clone())  # a leaf could not be changed in place
        scores = outputs[: len(targets)].gather(1, targets[:, None])
        if not scores.requires_grad:
            raise ValueError(
                "the model's scores do not depend on the images in a differentiable way; look for "
                "torch.no_grad(), detach() or argmax in its forward pass."
            )
        (multipliers,) = torch.autograd.grad(scores.sum(), pair)
    return multipliers[: len(targets)]


def _warn_if_incomplete(delta: Tensor, differences: Tensor) -> None:
    worst = int(delta.abs().sub(TOLERATED * differences.abs()).argmax())
    error, difference = float(delta[worst]), float(differences[worst])
    if abs(error) > max(TOLERATED * abs(difference), 1e-4):
        warnings.warn(
            f"DeepLift is not complete on this network: the attributions of image {worst} miss the "
            f"score difference of {difference:.4g} by {error:.3g}. Some non-linearity has no rule "
            "here, and its gradient was used instead.",
            stacklevel=4,  # the caller of deeplift, past its decorator
        )


class _Rules(TorchFunctionMode):
    """While active, non-linear functions of a batch [images; baselines] propagate multipliers."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        in_place = kwargs.get("inplace", False) or (name.endswith("_") and name[:1] != "_")
        name = name.rstrip("_")
        features = args[0] if args else None
        if not isinstance(features, Tensor) or not features.requires_grad:
            return func(*args, **kwargs)
        if name in _ELEMENTWISE or name in _MAXIMA:
            rule = _Rescale if name in _ELEMENTWISE else _CrossMax
            changed = rule.apply(
                features,
                # a leaf, which the rule records from, cannot be changed in place
                lambda leaf: func(leaf.clone() if in_place else leaf, *args[1:], **kwargs),
            )
            return features.copy_(changed) if in_place else changed
        if name in _PRODUCTS and _depends(args[1]):
            product = _product(features, args[1])
            return features.copy_(product) if in_place else product
        return func(*args, **kwargs)


def _depends(factor: object) -> bool:
    """Whether a factor is an activation, and not a number or a constant."""
    return isinstance(factor, Tensor) and factor.requires_grad


def _halves(pair: Tensor) -> tuple[Tensor, Tensor]:
    """Split a batch [images; baselines] (2N, ...) in its middle."""
    images, baselines = pair.tensor_split(2)
    return images, baselines


def _divide(change: Tensor, by: Tensor, otherwise: Tensor) -> Tensor:
    """Divide, where `by` is more than rounding; elsewhere take `otherwise`."""
    large = by.abs() > 10 * torch.finfo(by.dtype).eps
    return torch.where(large, change / torch.where(large, by, 1), otherwise)


class _Recorded(torch.autograd.Function):
    """A function with its usual values, whose own graph is kept for a rule to differentiate."""

    @staticmethod
    def forward(ctx: Any, pair: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.enable_grad():
            inputs = pair.detach().clone().requires_grad_()
            outputs = function(inputs)
        ctx.save_for_backward(inputs, outputs)
        return outputs.detach().clone()  # both are copies: the network may go on in place


class _Rescale(_Recorded):
    """Rescale rule: multiplier Δy / Δx, and the gradient where nothing changed."""

    @staticmethod
    def backward(ctx: Any, multipliers: Tensor) -> tuple[Tensor, None]:
        inputs, outputs = ctx.saved_tensors
        (x, x_base), (y, y_base) = _halves(inputs), _halves(outputs)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(outputs, inputs, multipliers)
        incoming, _ = _halves(multipliers)
        rescaled = _divide(incoming * (y - y_base), x - x_base, _halves(gradient)[0])
        return torch.cat([rescaled, rescaled]), None


class _CrossMax(_Recorded):
    """Cross-max: up from y' to the larger maximum by the image, down to y by the baseline."""

    @staticmethod
    def backward(ctx: Any, multipliers: Tensor) -> tuple[Tensor, None]:
        inputs, outputs = ctx.saved_tensors
        (x, x_base), (y, y_base) = _halves(inputs), _halves(outputs)
        top = torch.maximum(y, y_base)
        incoming, _ = _halves(multipliers)
        changes = torch.cat([incoming * (top - y_base), incoming * (y - top)])
        with torch.enable_grad():
            (routed,) = torch.autograd.grad(outputs, inputs, changes)
        contributions = sum(_halves(routed))
        change = x - x_base
        rescaled = _divide(contributions, change, torch.zeros_like(change))
        return torch.cat([rescaled, rescaled]), None


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply two activations; each one's multiplier is the mean of the other's two values."""
    left_mean, right_mean = (_mean_of_pair(factor.detach()) for factor in (left, right))
    linear = left * right_mean + left_mean * right  # has the multipliers, but another value
    return linear + ((left * right) - linear).detach()


def _mean_of_pair(pair: Tensor) -> Tensor:
    mean = sum(_halves(pair)) / 2
    return torch.cat([mean, mean])
