"""One loop that improves pictures, and the features of a network that stops where it may."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from . import checks, runtime
from .networks import Network

__all__ = ["Optimized", "features_of", "optimize"]

Objective = Callable[[Tensor], Tensor]
Change = Callable[[Tensor], Tensor]
Features = Callable[[Tensor], dict[str, Tensor]]

# a second interruption within this time is meant for everything, not for the next loop
_TWICE_SECONDS = 5.0
_last_interruption = -_TWICE_SECONDS


@dataclass(frozen=True)
class Optimized:
    """The best picture that `optimize` found, and what happened on the way.

    Attributes
    ----------
    best : Tensor, shape of the start
        The best picture seen; where the objective has one value per picture, the best of each.
    value : Tensor, () or (N,)
        The objective at `best`.
    last : Tensor, shape of the start
        The picture after the last step. Prefer it where the objective is random, since the best
        value of a random objective is the luckiest one.
    history : array (n,) or (n, N)
        The objective before the first step and after each one.
    interrupted : bool
        Whether the stop button or Ctrl-C ended it.
    """

    best: Tensor
    value: Tensor
    last: Tensor
    history: np.ndarray
    interrupted: bool = False


@torch.inference_mode(False)
def optimize(
    objective: Objective,
    start: Tensor,
    *,
    steps: int,
    optimizer: Literal["adam", "sgd"] = "adam",
    lr: float = 0.02,
    minimize: bool = True,
    constrain: Change | None = None,
    gradient: Change | None = None,
    description: str = "",
    progress: bool = True,
) -> Optimized:
    """Change a picture step by step so that an objective falls (or rises), and keep the best.

    Each step costs one forward and one backward pass through the objective, whatever the number of
    steps, and the memory of one: nothing is stored but numbers. After the last step the objective
    is evaluated once more, so that the last picture can be the best one.

    Parameters
    ----------
    objective : callable
        From the picture, a tensor shaped like `start`, to one number, or to one number per picture
        (N,) of a batch: then each picture is improved and its best kept on its own. It is
        differentiated by the picture only, so parameters of networks need not be frozen. Pictures
        (N, C, H, W) are laid out channels-last on a CPU, where convolutions are faster that way:
        use ``flatten`` or ``reshape`` in an objective, not ``view``.
    start : Tensor
        Where to begin: pictures, or whatever they are made from (Fourier coefficients, codes).
        It is not changed.
    steps : int
        How many steps.
    optimizer : {"adam", "sgd"}
        PyTorch's. Adam's steps do not depend on the objective's scale, as long as gradients are
        larger than about 1e-6, 100 times its epsilon.
    lr : float
        Step size; the default suits Adam and pictures in [0, 1].
    minimize : bool
        False makes the objective rise.
    constrain : callable, optional
        Maps a picture to the nearest one allowed, for example ``lambda x: x.clamp(0, 1)``: applied
        to the start and after every step.
    gradient : callable, optional
        Changes the objective's gradient before the step: ``torch.sign`` with "sgd" steps by `lr`
        in every pixel, ``lambda g: g * mask`` leaves the rest of a picture alone.
    description : str
        For the progress bar, beside the objective's value.
    progress : bool
        Show the bar.

    Returns
    -------
    Optimized
        An interruption (the stop button, Ctrl-C) ends the loop early and is no error: a message
        says so, and the best so far is returned. A second one within five seconds gets through.

    Raises
    ------
    FloatingPointError
        If the objective or the picture is not finite. With fewer steps the call returns the best.
    ValueError
        If a setting makes no sense, or the objective returns something else than described.
    RuntimeError
        PyTorch's own, if the objective does not depend on the picture (is there a
        ``torch.no_grad()``, ``detach()`` or rounding in it?), or the start has no floats.

    Examples
    --------
    >>> found = optimize(lambda x: (x - 3).square().sum(), torch.zeros(2), steps=200, lr=0.1)
    >>> found.best.round().tolist()
    [3.0, 3.0]
    """
    global _last_interruption
    rules = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    if steps < 1:
        raise ValueError("steps must be at least 1")
    rule_class = rules[checks.one_of("optimizer", optimizer, rules)]
    runtime.tune_allocator()
    on_cpu = start.ndim == 4 and start.device.type == "cpu"
    layout = torch.channels_last if on_cpu else torch.contiguous_format
    leaf = start.detach().clone(memory_format=layout).requires_grad_()
    rule = rule_class([leaf], lr=lr)
    best, last, interrupted, values = None, leaf, False, []
    with (
        torch.enable_grad(),
        runtime.progress(total=steps, description=description, shown=progress) as bar,
    ):
        try:
            for step in range(steps + 1):  # the last picture is measured, not improved
                if constrain is not None:
                    with torch.no_grad():
                        leaf.copy_(constrain(leaf).view(leaf.shape))
                value = _evaluate(objective, leaf, step)
                last, given = leaf.detach().clone(), value.detach().clone()
                values.append(given.tolist())
                best = _better(best or (last, given), (last, given), minimize)
                if step == steps:
                    break
                (slope,) = torch.autograd.grad(value.sum(), leaf)
                slope = slope if gradient is None else gradient(slope)
                leaf.grad = slope if minimize else -slope
                rule.step()
                bar.update(1)
        except KeyboardInterrupt:
            before, _last_interruption = _last_interruption, time.monotonic()
            if best is None or _last_interruption - before < _TWICE_SECONDS:
                raise
            interrupted = True
            again = f"again within {_TWICE_SECONDS:.0f} s stops everything"
            print(f"Interrupted after step {len(values) - 1}, the best is kept; {again}")
    found = (tensor.contiguous() for tensor in (*best, last))
    return Optimized(*found, history=np.array(values), interrupted=interrupted)


def _evaluate(objective: Objective, leaf: Tensor, step: int) -> Tensor:
    """Return the objective's value(s) at a picture, or raise unless they are finite."""
    value = objective(leaf) if leaf.isfinite().all() else leaf.sum()
    if not isinstance(value, Tensor) or (value.ndim and value.shape != leaf.shape[:1]):
        got = getattr(value, "shape", type(value))
        wanted = f"a tensor: one number, or one for each of {len(leaf)} pictures"
        raise ValueError(f"the objective must return {wanted}; got {got}")
    if not value.isfinite().all():
        causes = "a division by 0, a root or logarithm of 0, or too large an lr?"
        raise FloatingPointError(f"the objective is {value.tolist()} after {step} steps: {causes}")
    return value


def _better(
    best: tuple[Tensor, Tensor], new: tuple[Tensor, Tensor], minimize: bool
) -> tuple[Tensor, Tensor]:
    """Return the better of two pictures, or of each pair of them, with its value."""
    wins = new[1] < best[1] if minimize else new[1] > best[1]
    chosen = wins.view(-1, *[1] * (new[0].ndim - 1)) if wins.ndim else wins
    return torch.where(chosen, new[0], best[0]), torch.where(wins, new[1], best[1])


class _Enough(Exception):  # noqa: N818 - not an error
    """All that was asked for has been found."""


# ---------------------------------------------------------------------------- features


def features_of(network: Network | nn.Module, layers: str | Sequence[str]) -> Features:
    """Return a function from images to the activations of some layers, computing no more than that.

    It takes images (N, C, H, W), as the network expects them (one picture is a batch of one), and
    returns a dict of activations in the order of `layers`: what each layer returned, even where the
    next one (an in-place ReLU) writes over its input. Gradients flow through them to the images. On
    a CPU they are laid out channels-last: use ``flatten`` or ``reshape``, not ``view``. No hook
    stays in the network.

    Parameters
    ----------
    network : Network or nn.Module
        In evaluation mode.
    layers : str or sequence of str
        Names of modules, such as ``net.layers.content`` and ``net.layers.style``. A module that the
        network uses more than once answers with its first output.

    Raises
    ------
    ValueError
        For no layers; by the function, for a network in training mode or a layer it never calls.
    TypeError
        By the function, for images that are no such batch (or ValueError), for a layer that
        returns no tensor, and for half precision, also by autocast.
    AttributeError
        For a layer that the network does not have.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 9, 1))
    >>> features = features_of(network.eval(), ["0", "1"])
    >>> activations = features(torch.zeros(1, 3, 8, 8))
    >>> {name: tuple(values.shape) for name, values in activations.items()}
    {'0': (1, 4, 8, 8), '1': (1, 4, 8, 8)}
    """
    model = network.model if isinstance(network, Network) else network
    names = [layers] if isinstance(layers, str) else list(dict.fromkeys(layers))
    if not names:
        raise ValueError("features_of was given no layers: name at least one")
    modules = {name: model.get_submodule(name) for name in names}

    def run(images: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}

        def keep(name: str, _module: nn.Module, _inputs: object, output: object) -> Tensor | None:
            if name in found:  # a module used twice: its first answer counts
                return None
            if not isinstance(output, Tensor):
                what = f"layer {name!r} returns a {type(output).__name__}, not a tensor"
                raise TypeError(f"{what}: name a module within it, or one that reads it")
            found[name] = output
            if len(found) == len(names):
                raise _Enough
            return output.clone()  # what the network may write over

        with (
            checks.unchanged(model),
            contextlib.ExitStack() as hooks,
            contextlib.suppress(_Enough),
            checks.acting(checks.FullPrecision()),
        ):
            for name, module in modules.items():
                hook = module.register_forward_hook(functools.partial(keep, name))
                hooks.callback(hook.remove)
            model(images.clone())
        if missing := [name for name in names if name not in found]:
            raise ValueError(f"the network never calls {', '.join(missing)}: name other layers")
        return {name: found[name] for name in names}

    def features(images: Tensor) -> dict[str, Tensor]:
        checks.check_images(images, "images")
        checks.check_model(model, images)
        return checks.in_fastest_layout(run, images)[0]

    return features
