"""One loop that improves pictures, and the features of a network that stops where it may."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from . import runtime
from .networks import Network

__all__ = [
    "OPTIMIZERS",
    "FeatureExtractor",
    "Moment",
    "OptimizationError",
    "Optimized",
    "features_of",
    "optimize",
]

#: Step sizes that suit pictures in [0, 1], by the name of the optimizer.
OPTIMIZERS: Mapping[str, float] = {"adam": 0.02, "sgd": 1.0, "lbfgs": 1.0}

Terms: TypeAlias = Mapping[str, Tensor | float]
Objective: TypeAlias = Callable[[Tensor], Tensor | tuple[Tensor, Terms]]
Change: TypeAlias = Callable[[Tensor], Tensor]
MakeOptimizer: TypeAlias = Callable[[list[Tensor]], Optimizer]

# a second interruption within this time is meant for everything, not for the next loop
_TWICE_SECONDS = 5.0
# how often the bar's text changes
_LOOK_SECONDS = 0.2
# pairs of steps and gradients from which L-BFGS builds its curvature
_LBFGS_MEMORY = 20


@dataclass(frozen=True)
class Moment:
    """What a loop knows after one evaluation of its objective.

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
    """What a loop found.

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
    steps_done : int
        Steps taken; for L-BFGS evaluations after the first one.
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
    steps_done: int
    interrupted: bool = False
    stopped: bool = False


class OptimizationError(RuntimeError):
    """An objective that is no longer a finite number; `result` is what had been found by then."""

    def __init__(self, message: str, result: Optimized | None) -> None:
        super().__init__(message)
        self.result = result


# ---------------------------------------------------------------------------- the loop


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
    every: Mapping[int, Change] | None = None,
    gradient: Change | None = None,
    until: Callable[[Moment], object] | None = None,
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
    every : mapping of int to callable, optional
        Further changes, ``{10: blur}`` after every tenth step, before `constrain`. Not for "lbfgs".
    gradient : callable, optional
        Changes the objective's gradient before the step: ``torch.sign`` with "sgd" steps by `lr`
        in every pixel, ``lambda g: g * mask`` leaves the rest of a picture alone.
    until : callable, optional
        Called with a `Moment` after every evaluation; a true answer ends the loop.
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
        If the objective is not finite. The best so far is in the error's `result`.
    TypeError, ValueError
        If a setting makes no sense, the objective returns something else than described, or does
        not depend on the picture.

    Examples
    --------
    >>> found = optimize(lambda x: (x - 3).square().sum(), torch.zeros(2), steps=200, lr=0.1)
    >>> found.best.round().tolist()
    [3.0, 3.0]
    """
    _check(start, steps, optimizer, lr, every)
    runtime.tune_allocator()
    loop = _Loop(objective, start, minimize, gradient, until, set(snapshots))
    bar_options = {} if progress else {"disable": True}
    with (
        torch.enable_grad(),
        runtime.progress(total=steps, description=description, **bar_options) as loop.bar,
    ):
        try:
            if optimizer == "lbfgs":
                _by_line_search(loop, steps, OPTIMIZERS["lbfgs"] if lr is None else lr, constrain)
            else:
                _step_by_step(loop, steps, _maker(optimizer, lr), constrain, every or {})
        except _Enough:
            pass
        except KeyboardInterrupt:
            _once(loop)
    return loop.result()


class _Enough(Exception):  # noqa: N818 - not an error
    """`until` is satisfied, or all gradients are spent."""


_last_interruption = -_TWICE_SECONDS


def _once(loop: _Loop) -> None:
    """Say that the loop was interrupted; raise again if nothing was found, or the second time."""
    global _last_interruption
    now = time.monotonic()
    again = now - _last_interruption < _TWICE_SECONDS
    _last_interruption = now
    if again or loop.found is None:
        raise
    loop.interrupted = True
    print(
        f"Interrupted after step {loop.done}: the best picture so far is kept. "
        f"Interrupt again within {_TWICE_SECONDS:.0f} s to stop everything."
    )


@dataclass
class _Loop:
    """One call of `optimize`: the picture, the best so far, the numbers on the way."""

    objective: Objective
    start: Tensor
    minimize: bool
    gradient: Change | None
    until: Callable[[Moment], object] | None
    wanted: set[int]
    bar: Any = None
    found: tuple[Tensor, Tensor] | None = None
    last: Tensor | None = None
    values: list[Any] = field(default_factory=list)
    terms: dict[str, list[Any]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    snapshots: dict[int, Tensor] = field(default_factory=dict)
    interrupted: bool = False
    stopped: bool = False

    def __post_init__(self) -> None:
        self.leaf = self.start.detach().clone(memory_format=torch.contiguous_format)
        on_cpu = self.leaf.ndim == 4 and self.leaf.device.type == "cpu"
        self.layout = torch.channels_last if on_cpu else torch.contiguous_format
        self.began = self._looked = time.perf_counter()

    @property
    def done(self) -> int:
        """Steps taken so far."""
        return max(0, len(self.values) - 1)

    def evaluate(self, constrain: Change | None = None, *, differentiate: bool = True) -> Tensor:
        """Evaluate the objective, note what it says, and put its gradient into the leaf.

        Returns what is to be minimised: one number.
        """
        self.leaf.requires_grad_()
        picture = self.leaf if constrain is None else constrain(self.leaf)
        picture = picture.contiguous(memory_format=self.layout)
        answer = self.objective(picture)
        value, terms = answer if isinstance(answer, tuple) else (answer, {})
        _check_value(value, self.leaf)
        self._note(picture.detach().clone(), value.detach().clone(), terms)
        total = value.sum() if self.minimize else -value.sum()
        if differentiate:
            (slope,) = torch.autograd.grad(total, self.leaf)
            if self.gradient is not None:
                # the caller's function sees the objective's own gradient, whichever way it goes
                slope = self.gradient(slope) if self.minimize else -self.gradient(-slope)
            self.leaf.grad = slope.contiguous() if self.leaf.is_contiguous() else slope
        self.leaf.requires_grad_(False)
        return total.detach()

    def _note(self, picture: Tensor, value: Tensor, terms: Terms) -> None:
        step, numbers = len(self.values), value.tolist()
        if not np.isfinite(numbers).all():
            self._complain(step, numbers)
        self._keep_best(picture, value)
        self.last = picture
        self.values.append(numbers)
        for name, term in terms.items():
            self.terms.setdefault(name, []).append(_number(term))
        self.seconds.append(time.perf_counter() - self.began)
        if step in self.wanted:
            self.snapshots[step] = picture.to("cpu", copy=True).contiguous()
        self._show(step, numbers)
        if self.until is not None and self.until(Moment(step, picture, value, terms)):
            self.stopped = True
            raise _Enough

    def _keep_best(self, picture: Tensor, value: Tensor) -> None:
        if self.found is None:
            self.found = picture, value
            return
        best, record = self.found
        better = value < record if self.minimize else value > record
        if better.ndim:  # each picture of a batch has a record of its own
            chosen = better.view(-1, *[1] * (picture.ndim - 1))
            self.found = torch.where(chosen, picture, best), torch.where(better, value, record)
        elif better:
            self.found = picture, value

    def _show(self, step: int, numbers: Any) -> None:
        if step:
            self.bar.update(1)
        now = time.perf_counter()
        if now - self._looked > _LOOK_SECONDS:
            self._looked = now
            self.bar.set_postfix_str(f"{np.mean(numbers):.4g}", refresh=False)

    def _complain(self, step: int, numbers: Any) -> NoReturn:
        bad = np.flatnonzero(~np.isfinite(np.atleast_1d(numbers)))
        which = f" for picture {bad[0]}" if np.ndim(numbers) else ""
        value = np.atleast_1d(numbers)[bad[0]]
        advice = (
            "check the start and the objective: a division by zero, the root or the logarithm of 0?"
            if step == 0
            else "try a tenth of the learning rate, and look for a gradient that is infinite (the "
            "root of 0)"
        )
        raise OptimizationError(
            f"the objective is {value}{which} {f'after step {step}' if step else 'at the start'}: "
            f"{advice}",
            self.result() if self.found is not None else None,
        )

    def result(self) -> Optimized:
        """Gather what was found."""
        assert self.found is not None
        assert self.last is not None
        return Optimized(
            best=self.found[0].contiguous(),
            value=self.found[1],
            last=self.last.contiguous(),
            history=np.array(self.values),
            terms={name: np.array(values) for name, values in self.terms.items()},
            seconds=np.array(self.seconds),
            snapshots=self.snapshots,
            steps_done=self.done,
            interrupted=self.interrupted,
            stopped=self.stopped,
        )


def _step_by_step(
    loop: _Loop,
    steps: int,
    make: MakeOptimizer,
    constrain: Change | None,
    every: Mapping[int, Change],
) -> None:
    """Take one gradient per step, and put the picture back among those allowed after it."""
    _apply(constrain, loop.leaf)
    loop.leaf = loop.leaf.contiguous(memory_format=loop.layout)
    rule = make([loop.leaf])
    for step in range(1, steps + 1):
        loop.evaluate()
        rule.step()
        for period, change in every.items():
            if step % period == 0:
                _apply(change, loop.leaf)
        _apply(constrain, loop.leaf)
    loop.evaluate(differentiate=False)


def _by_line_search(loop: _Loop, steps: int, lr: float, constrain: Change | None) -> None:
    """Run L-BFGS until `steps` gradients are spent or it cannot improve any further."""
    rule = torch.optim.LBFGS(
        [loop.leaf],
        lr=lr,
        max_iter=steps + 1,
        max_eval=steps + 1,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        history_size=_LBFGS_MEMORY,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        if loop.values and loop.done >= steps:
            raise _Enough
        return loop.evaluate(constrain)

    rule.step(closure)


@torch.no_grad()
def _apply(change: Change | None, leaf: Tensor) -> None:
    if change is None:
        return
    changed = change(leaf)
    if not isinstance(changed, Tensor) or changed.shape != leaf.shape:
        shape = tuple(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__
        raise ValueError(
            f"constrain and every must keep the shape {tuple(leaf.shape)}; got {shape}"
        )
    leaf.copy_(changed)


def _maker(optimizer: str | MakeOptimizer, lr: float | None) -> MakeOptimizer:
    if not isinstance(optimizer, str):
        return optimizer
    rate = OPTIMIZERS[optimizer] if lr is None else lr
    rule = torch.optim.Adam if optimizer == "adam" else torch.optim.SGD
    return lambda leaves: rule(leaves, lr=rate)


def _number(term: Tensor | float) -> Any:
    return term.tolist() if isinstance(term, Tensor) else term


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
        self._model = model
        self.layers = tuple(layers)
        self._modules = {name: _submodule(model, name) for name in self.layers}
        # layers whose output the network writes over: found out on the first pass
        self._overwritten: set[str] = set()

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Return the activations (N, C, H, W) by layer, in the order in which they were named.

        Gradients flow through them to the images. On a CPU they are laid out channels-last: use
        ``flatten`` or ``reshape``, not ``view``.

        Raises
        ------
        ValueError
            If the network never calls one of the layers.
        """
        if images.ndim == 4 and images.device.type == "cpu":
            images = images.contiguous(memory_format=torch.channels_last)
        found = self._pass(images)
        if missing := [name for name in self.layers if name not in found]:
            raise ValueError(f"the network never calls {', '.join(missing)}: name other layers")
        overwritten = {name for name, (values, version) in found.items() if version != _age(values)}
        if overwritten:
            self._overwritten |= overwritten
            found = self._pass(images)
        return {name: found[name][0] for name in self.layers}

    def _pass(self, images: Tensor) -> dict[str, tuple[Tensor, int]]:
        """Run the network until all layers have answered; return what they gave, and its version.

        Every in-place operation raises a tensor's version.
        """
        found: dict[str, tuple[Tensor, int]] = {}

        def listener(name: str) -> Callable[..., Tensor | None]:
            def listen(_module: nn.Module, _inputs: object, output: object) -> Tensor | None:
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

            return listen

        with contextlib.ExitStack() as hooks:
            for name, module in self._modules.items():
                hooks.callback(module.register_forward_hook(listener(name)).remove)
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
        For no layers, or one that the network does not have.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True), nn.Linear(3, 1000))
    >>> features = features_of(network, ["0", "1"])
    >>> activations = features(torch.zeros(1, 2))
    >>> {name: tuple(values.shape) for name, values in activations.items()}
    {'0': (1, 3), '1': (1, 3)}
    """
    model = network.model if isinstance(network, Network) else network
    names = [layers] if isinstance(layers, str) else list(dict.fromkeys(layers))
    if not names:
        raise ValueError("features_of was given no layers: name at least one")
    return FeatureExtractor(model, names)


def _submodule(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError:
        there = ", ".join(child for child, _ in model.named_children())
        raise ValueError(f"the network has no layer {name!r}; its parts are {there}") from None


# ---------------------------------------------------------------------------- checks


def _check(
    start: Tensor,
    steps: int,
    optimizer: str | MakeOptimizer,
    lr: float | None,
    every: Mapping[int, Change] | None,
) -> None:
    if not isinstance(start, Tensor) or not start.is_floating_point():
        kind = start.dtype if isinstance(start, Tensor) else type(start).__name__
        raise TypeError(f"start must be a tensor of floating-point numbers, and is {kind}")
    if steps < 1:
        raise ValueError(f"steps={steps} must be at least 1")
    if isinstance(optimizer, str) and optimizer not in OPTIMIZERS:
        raise ValueError(
            f"optimizer={optimizer!r}: choose one of {', '.join(OPTIMIZERS)}, or pass a function "
            "that makes one from [picture]"
        )
    if lr is not None and not isinstance(optimizer, str):
        raise ValueError("lr is for optimizers by name: give it to yours where you make it")
    if every and optimizer == "lbfgs":
        raise ValueError("every= moves the points of L-BFGS's line search: take 'adam' or 'sgd'")
    if every and min(every) < 1:
        raise ValueError(f"every={list(every)}: periods must be at least 1 step")


def _check_value(value: object, picture: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(
            f"the objective returned a {type(value).__name__}: return a tensor, or (tensor, dict)"
        )
    if value.ndim and value.shape != picture.shape[:1]:
        raise ValueError(
            f"the objective returned shape {tuple(value.shape)}: return one number, or one for "
            f"each of the {len(picture)} pictures"
        )
    if not value.requires_grad:
        raise ValueError(
            "the objective does not depend on the picture in a differentiable way: look for "
            "torch.no_grad(), detach() or rounding in it"
        )
