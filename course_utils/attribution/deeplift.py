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

from .. import checks
from .guard import guarded, target_gradients
from .paths import PathAttribution

# By the name that PyTorch gives them; a trailing underscore (in place) is cut off first.
# fmt: off
_ELEMENTWISE = frozenset((
    "relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish",
    "softplus", "sigmoid", "logsigmoid", "log_sigmoid", "tanh", "softsign", "hardtanh",
    "hardswish", "hardsigmoid", "hardshrink", "softshrink", "tanhshrink", "threshold", "_threshold",
    "clamp", "clip", "abs", "exp", "log", "sqrt", "rsqrt", "square", "pow", "reciprocal",
))
# fmt: on
_MAXIMA = {"amax", *(f"{kind}max_pool{n}d" for kind in ("", "adaptive_") for n in (1, 2, 3))}
_PRODUCTS = frozenset({"mul", "multiply"})

#: Completeness error, as a part of the score difference, above which a warning is due.
TOLERATED = 1e-3


@guarded
def deeplift(
    model: checks.Forward,
    inputs: Tensor,
    target: checks.Target,
    baselines: checks.Baselines = None,
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
        Images per pass, the baselines included; by default 5 of 224 x 224 on a CPU, more
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
    inputs = checks.check_images(inputs)
    baselines = checks.expand_baselines(baselines, inputs).expand_as(inputs)
    checks.check_model(model, inputs)
    precise = torch.float32 if inputs.device.type == "mps" else torch.float64
    size = max(1, (chunk_size or checks.gradient_chunk_size(inputs)) // 2)
    parts: list[tuple[Tensor, Tensor]] = []
    for images in torch.arange(len(inputs)).split(size):
        pair = torch.cat([inputs[images], baselines[images]])
        with torch.no_grad():
            outputs = checks.scores_of(model, pair)
        targets = checks.check_targets(target, len(inputs), outputs.shape[1], inputs.device)[images]
        scores = outputs.gather(1, targets.repeat(2)[:, None]).view(2, -1)
        attributions = _multipliers(model, pair, targets) * (inputs[images] - baselines[images])
        parts.append((attributions, scores.to(precise)))
    attributions = torch.cat([part for part, _ in parts])
    scores = torch.cat([part for _, part in parts], dim=1)
    delta = attributions.flatten(1).sum(1, dtype=precise) - (scores[0] - scores[1])
    _warn_if_incomplete(delta, scores, torch.finfo(inputs.dtype).eps)
    return PathAttribution(attributions, delta.to(inputs.dtype))


def _multipliers(model: checks.Forward, pair: Tensor, targets: Tensor) -> Tensor:
    """Walk back from the targets' scores to the images: Δscore per Δinput (N, C, H, W)."""
    with torch.enable_grad():
        pair = pair.requires_grad_()
        with checks.acting(_Rules()):
            outputs = model(pair.clone())  # a leaf could not be changed in place
        _, multipliers = target_gradients(outputs[: len(targets)], targets, pair)
    return multipliers[: len(targets)]


def _warn_if_incomplete(delta: Tensor, scores: Tensor, eps: float) -> None:
    differences = scores[0] - scores[1]
    # of scores that hardly differ only their own digits can be asked for
    tolerated = torch.maximum(TOLERATED * differences.abs(), 1e3 * eps * scores.abs().amax(0))
    worst = int((delta.abs() - tolerated).argmax())
    if delta[worst].abs() > tolerated[worst]:
        missed = f"{float(delta[worst]):.3g} of {float(differences[worst]):.4g} (image {worst})"
        why = "some non-linearity has no rule, and its gradient was used"
        message = f"DeepLift is not complete on this network: it misses {missed}; {why}"
        warnings.warn(message, stacklevel=4)  # the caller of deeplift, past its decorator


class _Rules(TorchFunctionMode):
    """While active, non-linear functions of a batch [images; baselines] propagate multipliers."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if not args and "input" in kwargs:
            args = (kwargs.pop("input"),)
        features, *others = args or (None,)
        if not isinstance(features, Tensor) or not features.requires_grad:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        in_place = kwargs.get("inplace", False) or (name.endswith("_") and name[:1] != "_")
        name = name.rstrip("_")
        if name in _ELEMENTWISE or name in _MAXIMA:
            rule = _rescale if name in _ELEMENTWISE else _cross_max
            # relu(x, True) is in place too, max_pool2d(x, 2, 2, 0, 1, True) is not
            in_place |= name in _ELEMENTWISE and any(other is True for other in others)
            # a leaf, which the rule records from, cannot be changed in place
            changed = _Recorded.apply(
                features,
                lambda leaf: func(leaf.clone() if in_place else leaf, *others, **kwargs),
                rule,
            )
        elif name in _PRODUCTS and isinstance(others[0], Tensor) and others[0].requires_grad:
            changed = _product(features, others[0])
        else:
            return func(*args, **kwargs)
        return features.copy_(changed) if in_place else changed


def _halves(pair: Tensor) -> tuple[Tensor, Tensor]:
    """Split a batch [images; baselines] (2N, ...) in its middle."""
    images, baselines = pair.tensor_split(2)
    return images, baselines


class _Recorded(torch.autograd.Function):
    """A function with its usual values, and a rule that takes the place of its gradient."""

    @staticmethod
    def forward(ctx: Any, pair: Tensor, function: Callable, rule: Callable) -> Tensor:
        with torch.enable_grad():
            inputs = pair.detach().clone().requires_grad_()
            outputs = function(inputs)
        ctx.save_for_backward(inputs, outputs)
        ctx.rule = rule
        return outputs.detach().clone()  # both are copies: the network may go on in place

    @staticmethod
    def backward(ctx: Any, multipliers: Tensor) -> tuple[Tensor, None, None]:
        inputs, outputs = ctx.saved_tensors

        def pull_back(cotangents: Tensor) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                return _halves(torch.autograd.grad(outputs, inputs, cotangents)[0])

        multipliers = ctx.rule(*_halves(inputs), *_halves(outputs), multipliers, pull_back)
        return torch.cat([multipliers, multipliers]), None, None


def _rescale(
    x: Tensor, x_base: Tensor, y: Tensor, y_base: Tensor, multipliers: Tensor, pull_back: Callable
) -> Tensor:
    """Rescale rule: Δy / Δx; and the gradient where nothing changed but by rounding.

    Where both changes are rounding, so is their quotient. What counts as rounding is relative to
    the values themselves: a network may compute with numbers of any size.
    """
    incoming, gradient = _halves(multipliers)[0], pull_back(multipliers)[0]
    change, effect, eps = x - x_base, y - y_base, torch.finfo(x.dtype).eps
    same = change.abs() <= 10 * eps * torch.maximum(x.abs(), x_base.abs())
    noise = 32 * eps * incoming.abs() * torch.maximum(y.abs(), y_base.abs())
    drowned = ((incoming * effect).abs() <= noise) & ((gradient * change).abs() <= noise)
    quotient = effect / torch.where(change == 0, 1, change)
    return torch.where(same | drowned, gradient, incoming * quotient)


def _cross_max(
    x: Tensor, x_base: Tensor, y: Tensor, y_base: Tensor, multipliers: Tensor, pull_back: Callable
) -> Tensor:
    """Cross-max: up from y' to the larger maximum by the image, down to y by the baseline."""
    incoming, top = _halves(multipliers)[0], torch.maximum(y, y_base)
    routed = sum(pull_back(torch.cat([incoming * (top - y_base), incoming * (y - top)])))
    change = x - x_base
    # a sender's own change is at least the step that it is credited with: no noise is blown up
    return routed / torch.where(change == 0, 1, change)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply two activations; each one's multiplier is the mean of the other's two values."""
    left_mean, right_mean = (
        torch.cat([sum(_halves(factor.detach())) / 2] * 2) for factor in (left, right)
    )
    linear = left * right_mean + left_mean * right  # has the multipliers, but another value
    return linear + ((left * right) - linear).detach()
