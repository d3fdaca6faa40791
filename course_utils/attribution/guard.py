"""What all methods have in common: no traces left, and the gradient of the targets' scores."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from .. import checks, runtime

Method = TypeVar("Method", bound=Callable[..., Any])


def guarded(method: Method) -> Method:
    """Let a method of `model` run in full precision, and leave everything as it was.

    Autocast and inference mode are switched off for the time of the call. Hooks, modes, buffers
    and attributes of the model and the random state are put back, also after an error.
    """

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        if checks.refuse_methods:
            checks.refuse_methods()
        runtime.tune_allocator()
        with (
            checks.unchanged(args[0] if args else kwargs.get("model")),
            torch.inference_mode(False),
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
        ):
            return method(*args, **kwargs)

    return call


def target_gradients(outputs: Tensor, targets: Tensor, leaf: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of the targets (N,), and the gradient of each by its part of the leaf.

    Raises
    ------
    ValueError
        If the scores do not depend on it in a differentiable way.
    """
    scores = outputs.gather(1, targets[:, None]).squeeze(1)
    if not scores.requires_grad:
        advice = "is there a torch.no_grad(), detach() or argmax in the forward pass?"
        raise ValueError(f"the scores do not depend on what is explained: {advice}")
    (gradients,) = torch.autograd.grad(scores.sum(), leaf)
    return scores.detach(), gradients
