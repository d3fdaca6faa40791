"""What all methods do around their computation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from .. import checks, runtime

Method = TypeVar("Method", bound=Callable[..., Any])


def guarded(method: Method) -> Method:
    """Let a method of `model` run in full precision, and leave everything as it was.

    Autocast and inference mode are switched off for the time of the call. Hooks, modes, buffers
    and attributes of the model and the random state are put back, also after an error.
    """

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        runtime.tune_allocator()
        with (
            checks.unchanged(args[0] if args else kwargs.get("model")),
            torch.inference_mode(False),
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
        ):
            return method(*args, **kwargs)

    return call
