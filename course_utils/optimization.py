"""One loop that improves pictures, and the features of a network that stops where it may."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from . import checks, runtime
from .networks import Network

__all__ = ["OPTIMIZERS", "OptimizationError", "Optimized", "Step", "features_of", "optimize"]

#: Step sizes that suit pictures in [0, 1], by the name of the optimizer.
OPTIMIZERS: Mapping[str, float] = {"adam": 0.02, "sgd": 1.0, "lbfgs": 1.0}

Terms = Mapping[str, Tensor | float]
Objective = Callable[[Tensor], Tensor | tuple[Tensor, Terms]]
Change = Callable[[Tensor], Tensor]
Features = Callable[[Tensor], dict[str, Tensor]]

# a second interruption within this time is meant for everything, not for the next loop
_TWICE_SECONDS = 5.0
_last_interruption = -_TWICE_SECONDS


@dataclass(frozen=True)
class Step:
    """One evaluation of the objective, as `until` gets it.

    Attributes
    ----------
    step : int
        0 before the first step.
    picture : Tensor
        Where the objective was evaluated, without gradient.
    value : Tensor, () or (N,)
        The objective there.
    """

    step: int
    picture: Tensor
    value: Tensor


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
    terms : dict of str to array
        What else the objective returned, evaluation by evaluation.
    seconds : array (n,)
        Time of each evaluation since the loop began.
    snapshots : dict of int to Tensor
        Pictures at the steps asked for, on the CPU.
    interrupted : bool
        Whether the stop button or Ctrl-C ended it.
    """

    best: Tensor
    value: Tensor
    last: Tensor
    history: np.ndarray
    terms: dict[str, np.ndarray]
    seconds: np.ndarray
    snapshots: dict[int, Tensor]
    interrupted: bool = False

    @property
    def steps_done(self) -> int:
        """Steps taken; for L-BFGS evaluations after the first one."""
        return len(self.history) - 1


class OptimizationError(RuntimeError):
    """An objective that is no longer a finite number."""


@torch.inference_mode(False)
def optimize(
    objective: Objective,
    start: Tensor,
    *,
    steps: int,
    optimizer: str = "adam",
    lr: float | None = None,
    minimize: bool = True,
    constrain: Change | None = None,
    gradient: Change | None = None,
    until: Callable[[Step], object] | None = None,
    snapshots: Collection[int] = (),
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
        (N,) of a batch: then each picture is improved and its best kept on its own. It may return
        a pair, the value and a dict of further numbers to record. It is differentiated with
        respect to the picture only, so parameters of networks need not be frozen. Pictures
        (N, C, H, W) are laid out channels-last on a CPU, where convolutions are faster that way:
        use ``flatten`` or ``reshape`` in an objective, not ``view``.
    start : Tensor
        Where to begin: pictures, or whatever they are made from (Fourier coefficients, codes).
        It is not changed.
    steps : int
        How many steps. For "lbfgs" the number of gradients, the first one not counted: its line
        searches take more than one gradient per iteration, and gradients are what costs time.
    optimizer : {"adam", "sgd", "lbfgs"}
    lr : float, optional
        Step size; by default what `OPTIMIZERS` says, for pictures in [0, 1].
    minimize : bool
        False makes the objective rise.
    constrain : callable, optional
        Maps a picture to the nearest one allowed, for example ``lambda x: x.clamp(0, 1)``: applied
        to the start and after every step. For "lbfgs" it becomes part of the objective instead,
        since a line search must not have its points moved; it has to be differentiable there.
    gradient : callable, optional
        Changes the objective's gradient before the step: ``torch.sign`` with "sgd" steps by `lr`
        in every pixel, ``lambda g: g * mask`` leaves the rest of a picture alone.
    until : callable, optional
        Called with a `Step` after every evaluation; a true answer ends the loop.
    snapshots : collection of int
        Steps at which to keep the picture; 0 is the start.
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
    OptimizationError
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
    if steps < 1 or optimizer not in OPTIMIZERS:
        raise ValueError(f"steps must be at least 1, and optimizer one of {', '.join(OPTIMIZERS)}")
    runtime.tune_allocator()
    on_cpu = start.ndim == 4 and start.device.type == "cpu"
    layout = torch.channels_last if on_cpu else torch.contiguous_format
    searching = optimizer == "lbfgs"  # its line search must not have its points moved
    home = torch.contiguous_format if searching else layout
    leaf = start.detach().clone(memory_format=home).requires_grad_()
    lr = OPTIMIZERS[optimizer] if lr is None else lr
    if searching:
        budget = {"max_iter": steps + 1, "max_eval": steps + 1, "history_size": 20}
        never = {"tolerance_grad": 0.0, "tolerance_change": 0.0, "line_search_fn": "strong_wolfe"}
        rule = torch.optim.LBFGS([leaf], lr=lr, **budget, **never)
    else:
        rule = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[optimizer]([leaf], lr=lr)
    sign = 1 if minimize else -1
    best, last, interrupted = None, leaf, False
    values, seconds, snapped, numbers = [], [], {}, defaultdict(list)
    began = time.perf_counter()

    def evaluate() -> Tensor:
        nonlocal best, last
        picture = constrain(leaf) if searching and constrain else leaf
        picture = picture.contiguous(memory_format=layout)
        answer = objective(picture) if leaf.isfinite().all() else picture.sum()
        value, terms = answer if isinstance(answer, tuple) else (answer, {})
        if not isinstance(value, Tensor) or (value.ndim and value.shape != leaf.shape[:1]):
            raise ValueError(
                f"the objective must return a tensor: one number, or one for each of {len(leaf)} "
                f"pictures, or that and a dict; got {getattr(value, 'shape', type(value))}"
            )
        step, given = len(values), value.detach().clone()
        if not given.isfinite().all():
            raise OptimizationError(
                f"the objective is {given.tolist()} after {step} steps: is there a division by 0, a"
                " root or logarithm of 0, or a gradient at one? If not, try a tenth of lr"
            )
        last = picture.detach().clone()
        values.append(given.tolist())
        seconds.append(time.perf_counter() - began)
        for name, term in terms.items():
            numbers[name].append(term.tolist() if isinstance(term, Tensor) else term)
        # where there is one value per picture, the best of each
        old, record = best or (last, given)
        better = sign * given < sign * record
        chosen = better.view(-1, *[1] * (leaf.ndim - 1)) if better.ndim else better
        best = torch.where(chosen, last, old), torch.where(better, given, record)
        if step in snapshots:
            snapped[step] = last.to("cpu", copy=True).contiguous()
        bar.update(step > 0)
        if (until and until(Step(step, last, given))) or step == steps:
            raise _Enough  # the last picture is measured, not improved
        total = sign * value.sum()
        (slope,) = torch.autograd.grad(total, leaf)
        if gradient is not None:  # it sees the objective's own, whichever way that goes
            slope = sign * gradient(sign * slope)
        leaf.grad = slope.contiguous(memory_format=home)
        return total.detach()

    hidden = {} if progress else {"disable": True}
    bar = runtime.progress(total=steps, description=description, **hidden)
    with torch.enable_grad(), bar, contextlib.suppress(_Enough):
        try:
            while True:
                if constrain is not None and not searching:
                    with torch.no_grad():
                        leaf.copy_(constrain(leaf).view(leaf.shape))
                rule.step(evaluate)
                if searching:
                    break
        except KeyboardInterrupt:
            before, _last_interruption = _last_interruption, time.monotonic()
            if best is None or _last_interruption - before < _TWICE_SECONDS:
                raise
            interrupted = True
            print(
                f"Interrupted after step {len(values) - 1}: the best picture so far is kept. "
                f"Interrupt again within {_TWICE_SECONDS:.0f} s to stop everything."
            )
    return Optimized(
        *(tensor.contiguous() for tensor in (*best, last)),
        history=np.array(values),
        terms={name: np.array(column) for name, column in numbers.items()},
        seconds=np.array(seconds),
        snapshots=snapped,
        interrupted=interrupted,
    )


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
        By the function, for images that are no such batch (or ValueError), and for a layer that
        returns no tensor.
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

    def features(images: Tensor) -> dict[str, Tensor]:
        checks.check_images(images, "images")
        checks.check_model(model, images)
        if images.device.type == "cpu":
            images = images.contiguous(memory_format=torch.channels_last)
        found: dict[str, Tensor] = {}

        def keep(name: str, _module: nn.Module, _inputs: object, output: object) -> Tensor | None:
            if name in found:  # a module used twice: its first answer counts
                return None
            if not isinstance(output, Tensor):
                raise TypeError(f"layer {name} returns a {type(output).__name__}, not a tensor")
            found[name] = output
            if len(found) == len(names):
                raise _Enough
            return output.clone()  # what the network may write over

        with contextlib.ExitStack() as hooks, contextlib.suppress(_Enough):
            for name, module in modules.items():
                hook = module.register_forward_hook(functools.partial(keep, name))
                hooks.callback(hook.remove)
            model(images)
        if missing := [name for name in names if name not in found]:
            raise ValueError(f"the network never calls {', '.join(missing)}: name other layers")
        return {name: found[name] for name in names}

    return features
