"""One loop that improves pictures, and the features of a network that stops where it may."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from . import checks, runtime
from .networks import Network

__all__ = ["OPTIMIZERS", "OptimizationError", "Optimized", "Step", "features_of", "optimize"]

#: Step sizes that suit pictures in [0, 1], by the name of the optimizer.
OPTIMIZERS: Mapping[str, float] = {"adam": 0.02, "sgd": 1.0, "lbfgs": 1.0}

Terms = Mapping[str, Tensor | float]
Objective = Callable[[Tensor], Tensor | tuple[Tensor, Terms]]
Change = Callable[[Tensor], Tensor]
MakeOptimizer = Callable[[list[Tensor]], Optimizer]

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
    terms : mapping of str to Tensor or float
        What the objective returned beside its value.
    """

    step: int
    picture: Tensor
    value: Tensor
    terms: Terms


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
    stopped : bool
        Whether `until` ended it.
    """

    best: Tensor
    value: Tensor
    last: Tensor
    history: np.ndarray
    terms: dict[str, np.ndarray]
    seconds: np.ndarray
    snapshots: dict[int, Tensor]
    interrupted: bool = False
    stopped: bool = False

    @property
    def steps_done(self) -> int:
        """Steps taken; for L-BFGS evaluations after the first one."""
        return len(self.history) - 1


class OptimizationError(RuntimeError):
    """An objective that is no longer a finite number; `result` is what had been found by then."""

    def __init__(self, message: str, result: Optimized | None) -> None:
        super().__init__(message)
        self.result = result


@torch.inference_mode(False)
def optimize(
    objective: Objective,
    start: Tensor,
    *,
    steps: int,
    optimizer: str | MakeOptimizer = "adam",
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
    optimizer : {"adam", "sgd", "lbfgs"} or callable
        A callable gets ``[picture]`` and returns a ``torch.optim.Optimizer``, which takes one
        gradient per step.
    lr : float, optional
        Step size; by default what `OPTIMIZERS` says, for pictures in [0, 1]. Not for a callable.
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
        If the objective or the picture is not finite. The best so far is in the error's `result`.
    TypeError, ValueError
        If a setting makes no sense, the objective returns something else than described, or does
        not depend on the picture.

    Examples
    --------
    >>> found = optimize(lambda x: (x - 3).square().sum(), torch.zeros(2), steps=200, lr=0.1)
    >>> found.best.round().tolist()
    [3.0, 3.0]
    """
    if not isinstance(start, Tensor) or not start.is_floating_point():
        raise TypeError(f"start must be a tensor of floating-point numbers, got {type(start)}")
    if steps < 1 or (isinstance(optimizer, str) and optimizer not in OPTIMIZERS):
        raise ValueError(
            f"steps must be at least 1, and optimizer one of {', '.join(OPTIMIZERS)} or a function "
            f"that makes one from [picture]; got {steps} and {optimizer!r}"
        )
    if lr is not None and not isinstance(optimizer, str):
        raise ValueError("lr is for optimizers by name: give it to yours where you make it")
    runtime.tune_allocator()
    on_cpu = start.ndim == 4 and start.device.type == "cpu"
    layout = torch.channels_last if on_cpu else torch.contiguous_format
    leaf = start.detach().clone(memory_format=torch.contiguous_format)
    searching = optimizer == "lbfgs"  # its line search must not have its points moved
    best, last, values, seconds, snapped = None, leaf, [], [], {}
    numbers: dict[str, list[Any]] = {}
    began, interrupted, stopped = time.perf_counter(), False, False

    def result() -> Optimized:
        return Optimized(
            *(tensor.contiguous() for tensor in (*best, last)),
            history=np.array(values),
            terms={name: np.array(column) for name, column in numbers.items()},
            seconds=np.array(seconds),
            snapshots=snapped,
            interrupted=interrupted,
            stopped=stopped,
        )

    def evaluate() -> Tensor:
        nonlocal best, last, stopped
        leaf.requires_grad_()
        picture = constrain(leaf) if searching and constrain else leaf
        picture = picture.contiguous(memory_format=layout)
        answer = objective(picture) if leaf.isfinite().all() else picture.sum()
        value, terms = answer if isinstance(answer, tuple) else (answer, {})
        _check_value(value, leaf)
        step, given = len(values), value.detach().clone()
        if not given.isfinite().all():
            raise OptimizationError(_complain(given, step), result() if best else None)
        last = picture.detach().clone()
        values.append(given.tolist())
        seconds.append(time.perf_counter() - began)
        for name, term in terms.items():
            column = numbers.setdefault(name, [])
            column.append(term.tolist() if isinstance(term, Tensor) else term)
        best = _better(best or (last, given), (last, given), minimize)
        if step in snapshots:
            snapped[step] = last.to("cpu", copy=True).contiguous()
        bar.update(step > 0)
        stopped = bool(until and until(Step(step, last, given, terms)))
        if stopped or step == steps:  # the last picture is measured, not improved
            raise _Enough
        total = value.sum() if minimize else -value.sum()
        (slope,) = torch.autograd.grad(total, leaf)
        if gradient is not None:  # it sees the objective's own, whichever way that goes
            slope = gradient(slope) if minimize else -gradient(-slope)
        leaf.grad = slope.contiguous() if leaf.is_contiguous() else slope
        leaf.requires_grad_(False)
        return total.detach()

    def move_into_place() -> None:
        if constrain is not None and not searching:
            with torch.no_grad():
                leaf.copy_(constrain(leaf).view(leaf.shape))

    hidden = {} if progress else {"disable": True}
    bar = runtime.progress(total=steps, description=description, **hidden)
    with torch.enable_grad(), bar, contextlib.suppress(_Enough):
        try:
            move_into_place()
            leaf = leaf if searching else leaf.contiguous(memory_format=layout)
            rule = _make_optimizer(leaf, optimizer, lr, steps)
            if searching:
                rule.step(evaluate)
            while not searching:
                evaluate()
                rule.step()
                move_into_place()
        except KeyboardInterrupt:
            if best is None or _is_second_interruption():
                raise
            interrupted = True
            print(
                f"Interrupted after step {len(values) - 1}: the best picture so far is kept. "
                f"Interrupt again within {_TWICE_SECONDS:.0f} s to stop everything."
            )
    return result()


class _Enough(Exception):  # noqa: N818 - not an error
    """`until` is satisfied, or all gradients are spent."""


Found = tuple[Tensor, Tensor]


def _better(old: Found, new: Found, minimize: bool) -> Found:
    """Return the better picture with its value; where there is one value a picture, of each."""
    better = new[1] < old[1] if minimize else new[1] > old[1]
    chosen = better.view(-1, *[1] * (new[0].ndim - 1)) if better.ndim else better
    return torch.where(chosen, new[0], old[0]), torch.where(better, new[1], old[1])


def _make_optimizer(
    leaf: Tensor, optimizer: str | MakeOptimizer, lr: float | None, steps: int
) -> Optimizer:
    if not isinstance(optimizer, str):
        return optimizer([leaf])
    lr = OPTIMIZERS[optimizer] if lr is None else lr
    if optimizer == "lbfgs":
        never = {"tolerance_grad": 0.0, "tolerance_change": 0.0, "line_search_fn": "strong_wolfe"}
        budget = {"max_iter": steps + 1, "max_eval": steps + 1, "history_size": 20}
        return torch.optim.LBFGS([leaf], lr=lr, **budget, **never)
    return (torch.optim.Adam if optimizer == "adam" else torch.optim.SGD)([leaf], lr=lr)


def _is_second_interruption() -> bool:
    global _last_interruption
    before, _last_interruption = _last_interruption, time.monotonic()
    return _last_interruption - before < _TWICE_SECONDS


def _complain(value: Tensor, step: int) -> str:
    bad = int((~value.isfinite()).flatten().nonzero()[0])
    which = f" for picture {bad}" if value.ndim else ""
    said = f"the objective is {value.flatten()[bad].item()}{which}"
    if step == 0:
        return f"{said} at the start: is there a division by zero, the root or logarithm of 0?"
    return f"{said} after step {step}: try a tenth of lr; is there a gradient at a root of 0?"


def _check_value(value: object, leaf: Tensor) -> None:
    if not isinstance(value, Tensor) or (value.ndim and value.shape != leaf.shape[:1]):
        raise ValueError(
            f"the objective must return one number as a tensor, or one for each of the {len(leaf)} "
            f"pictures, or such a tensor and a dict; got {getattr(value, 'shape', type(value))}"
        )
    if not value.requires_grad:
        raise ValueError(
            "the objective does not depend on the picture in a differentiable way: is there a "
            "torch.no_grad(), detach() or rounding in it?"
        )


# ---------------------------------------------------------------------------- features


class FeatureExtractor:
    """Runs a network as far as the last layer asked for, and returns what the layers gave.

    Made by `features_of`. Nothing beyond the last layer is computed, no hook stays in the network,
    and a layer's activations are what that layer returned, even where the next one (an in-place
    ReLU) writes over them.

    Attributes
    ----------
    layers : tuple of str
        Names of the layers.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str]) -> None:
        self.layers = tuple(layers)
        self._model = model
        self._modules = {name: model.get_submodule(name) for name in self.layers}
        # layers whose output the network writes over: found out on the first pass
        self._overwritten: set[str] = set()

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Return the activations by layer, in the order in which they were named.

        Gradients flow through them to the images. On a CPU they are laid out channels-last: use
        ``flatten`` or ``reshape``, not ``view``.

        Parameters
        ----------
        images : float Tensor, shape (N, C, H, W)
            As the network expects them; one picture is a batch of one.

        Raises
        ------
        TypeError, ValueError
            If the images are no such batch, the network is not in evaluation mode, or it never
            calls one of the layers, or the layer returns no tensor.
        """
        checks.check_images(images, "images")
        checks.check_model(self._model, images)
        if images.device.type == "cpu":
            images = images.contiguous(memory_format=torch.channels_last)
        found = self._pass(images)
        if missing := [name for name in self.layers if name not in found]:
            raise ValueError(f"the network never calls {', '.join(missing)}: name other layers")
        # every in-place operation raises a tensor's version
        overwritten = {name for name, (values, age) in found.items() if age != _age(values)}
        if overwritten:
            self._overwritten |= overwritten
            found = self._pass(images)
        return {name: found[name][0] for name in self.layers}

    def _pass(self, images: Tensor) -> dict[str, tuple[Tensor, int]]:
        """Run the network until all layers have answered; return their outputs and versions."""
        found: dict[str, tuple[Tensor, int]] = {}

        def listen(name: str, _module: nn.Module, _inputs: object, output: object) -> Tensor | None:
            if name in found:  # a module used twice: its first answer counts
                return None
            if not isinstance(output, Tensor):
                raise TypeError(f"layer {name} returns a {type(output).__name__}, not a tensor")
            found[name] = output, _age(output)
            if len(found) == len(self.layers):
                raise _Reached
            # the network goes on with a copy where it would write over this one
            copy = name in self._overwritten or output.is_inference()
            return output.clone() if copy else None

        with contextlib.ExitStack() as hooks:
            for name, module in self._modules.items():
                hook = module.register_forward_hook(functools.partial(listen, name))
                hooks.callback(hook.remove)
            with contextlib.suppress(_Reached):
                self._model(images)
        return found

    def __repr__(self) -> str:
        """Name the network's class and the layers."""
        return f"FeatureExtractor({type(self._model).__name__}, layers={self.layers})"


def _age(values: Tensor) -> int:
    return 0 if values.is_inference() else values._version


class _Reached(Exception):  # noqa: N818 - not an error
    """All layers have answered: the rest of the network is not needed."""


def features_of(network: Network | nn.Module, layers: str | Sequence[str]) -> FeatureExtractor:
    """Return a function from images to the activations of some layers, computing no more than that.

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
        For no layers.
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
    return FeatureExtractor(model, names)
