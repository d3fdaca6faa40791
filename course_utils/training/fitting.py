"""`fit`: a training loop with everything around it that lessons would otherwise repeat."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from .. import runtime

Loss = Callable[[Tensor, Tensor], Tensor]
#: Factor on the learning rate, given how much of the training is done (0 to 1).
Schedule = Callable[[float], float]
MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]

#: Seconds between two looks at the loss: each waits for the device to finish what it was given.
LOOK_SECONDS = 0.3


class TrainingError(RuntimeError):
    """Training that cannot go on; the message says where it stopped and what to change."""


# ---------------------------------------------------------------------------- what happened


@dataclass
class History:
    """What happened in each epoch. Print it for a summary; `curves` is what plots take.

    Attributes
    ----------
    train_loss, train_accuracy : list of float
        Means over the pictures of the epoch, measured while training: in training mode, on
        augmented pictures, with weights that change from batch to batch.
    validation_loss, validation_accuracy : list of float
        After the epoch, in evaluation mode; empty where no validation data was given.
    learning_rate : list of float
        Of the first parameter group, at the epoch's last step.
    seconds : list of float
        Duration of each epoch, validation included.
    best_epoch : int or None
        The epoch, counted from 1, with the highest validation accuracy (of equals, the one with the
        lowest loss); without validation the last one. None if no epoch was finished.
    restored : bool
        Whether the model was given back its weights of `best_epoch`.
    stopped_early, interrupted : bool
        Why there are fewer epochs than asked for: no better one within `patience`, or the user.
    """

    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    restored: bool = False
    stopped_early: bool = False
    interrupted: bool = False

    @property
    def epochs(self) -> list[int]:
        """Numbers of the finished epochs, from 1."""
        return list(range(1, len(self.train_loss) + 1))

    def curves(self, what: str = "accuracy") -> dict[str, list[float]]:
        """Return the lines of a learning-curve plot, to draw against `epochs`.

        Parameters
        ----------
        what : {"accuracy", "loss"}
        """
        if what not in ("accuracy", "loss"):
            raise ValueError(f'curves({what!r}): choose "accuracy" or "loss"')
        lines = {"training": getattr(self, f"train_{what}")}
        if validation := getattr(self, f"validation_{what}"):
            lines["validation"] = validation
        return lines

    def __str__(self) -> str:
        """Summarise in one line."""
        count = len(self.epochs)
        if not count or self.best_epoch is None:
            return "no finished epoch" + (", interrupted" if self.interrupted else "")
        why = "interrupted" if self.interrupted else "stopped early" if self.stopped_early else ""
        best = self.best_epoch - 1
        parts = [
            f"{count} epoch{'s' * (count > 1)} in {sum(self.seconds):.1f} s"
            + (f" ({why})" if why else ""),
            f"training accuracy {self.train_accuracy[-1]:.1%}",
        ]
        if self.validation_accuracy:
            kept = ", restored" if self.restored else ""
            score = f"validation accuracy {self.validation_accuracy[best]:.1%}"
            parts.append(f"{score} in epoch {self.best_epoch}, the best{kept}")
        return "; ".join(parts)

    def _finish_epoch(self, train: _Tally, validation: _Tally | None, rate: float) -> bool:
        """Note an epoch, and tell whether it is the best so far."""
        self.train_loss.append(train.mean_loss)
        self.train_accuracy.append(train.accuracy)
        self.learning_rate.append(rate)
        better = True
        if validation is not None:
            score = (validation.accuracy, -validation.mean_loss)
            if self.best_epoch is not None:
                best = self.best_epoch - 1
                better = score > (self.validation_accuracy[best], -self.validation_loss[best])
            self.validation_loss.append(validation.mean_loss)
            self.validation_accuracy.append(validation.accuracy)
        if better:
            self.best_epoch = len(self.train_loss)
        return better


# ---------------------------------------------------------------------------- schedules


def cosine(done: float) -> float:
    """Learning rate along half a cosine from 1 to 0 (Loshchilov & Hutter 2017, eq. 5)."""
    return 0.5 * (1 + math.cos(math.pi * done))


def one_cycle(done: float) -> float:
    """Learning rate up from 0.04 to 1 in the first quarter, then along a cosine to 0.

    After Smith & Topin (2018); a start with small steps allows a higher rate later.
    """
    if done < 0.25:
        return 0.04 + 0.96 * done / 0.25
    return cosine((done - 0.25) / 0.75)


SCHEDULES: dict[str, Schedule] = {"cosine": cosine, "one_cycle": one_cycle}


# ---------------------------------------------------------------------------- fit


def fit(
    model: nn.Module,
    batches: Iterable[Sequence[Tensor]],
    validation: Iterable[Sequence[Tensor]] | None = None,
    *,
    epochs: int,
    optimizer: Optimizer | MakeOptimizer | None = None,
    learning_rate: float = 1e-3,
    schedule: str | Schedule | None = None,
    loss: Loss = F.cross_entropy,
    freeze: str | nn.Module | Sequence[str | nn.Module] = (),
    patience: int | None = None,
    restore_best: bool = True,
    seed: int | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> History:
    """Train a classifier, in place.

    Parameters
    ----------
    model : nn.Module
        Maps a batch of inputs to logits (N, classes). Moved to `device`; left in ``eval()``.
    batches : iterable of (inputs, labels)
        ``cu.batches(…)``, a ``DataLoader`` or a list; gone through once per epoch. Labels are class
        indices (N,), or shares of the classes (N, classes).
    validation : iterable of (inputs, labels), optional
        Measured after each epoch, in evaluation mode.
    epochs : int
        How often to go through `batches`.
    optimizer : Optimizer, or a function from parameters to one; optional
        Default Adam. A function gets the parameters that are not frozen, as in
        ``functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9)``.
    learning_rate : float
        Of the default optimizer.
    schedule : {"cosine", "one_cycle"} or callable, optional
        Factor on the learning rate as a function of how much of the training is done, 0 to 1.
    loss : callable
        Of (outputs, labels); a mean over the batch.
    freeze : module or name of one, or a sequence of them
        These do not learn: meanwhile their parameters need no gradient, and they stay in evaluation
        mode, so that BatchNorm keeps its statistics and Dropout is off. Parameters that were frozen
        before stay so in any case, but a BatchNorm layer is kept still only by this (a warning).
    patience : int, optional
        Stop when so many epochs in a row were not better than the best.
    restore_best : bool
        End with the weights of the best epoch instead of the last. Needs `validation`.
    seed : int, optional
        Seed all generators first: the same call then gives the same weights on one machine.
    device : str or torch.device, optional
        Default: the lesson's device.
    progress : bool
        Show a bar with loss and accuracy.

    Returns
    -------
    History
        An interruption (the stop button, Ctrl-C) ends training early and is no error: the best
        weights so far are restored and the history says ``interrupted``.

    Raises
    ------
    TrainingError
        If the loss is no longer a finite number. Best weights so far are restored.
    TypeError
        If `batches` does not give pairs of tensors.
    ValueError
        If a setting makes no sense, or nothing is left to learn.

    Examples
    --------
    >>> inputs = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    >>> data = [(inputs, (inputs[:, 0] > 0).long())]
    >>> history = fit(nn.Linear(2, 2), data, epochs=50, learning_rate=0.1, seed=0, device="cpu")
    >>> history.train_accuracy[-1] > 0.9
    True
    """
    _check_settings(epochs, patience, batches, validation)
    target = runtime.current().device if device is None else torch.device(device)
    if seed is not None:
        runtime.seed_everything(seed)
    model.to(target)
    with frozen(model, freeze) as still:
        _warn_of_moving_statistics(model, still)
        run = _Run(
            model=model,
            still=still,
            loss=loss,
            optimizer=_make_optimizer(model, optimizer, learning_rate),
            schedule=_find_schedule(schedule),
            epochs=epochs,
            device=target,
        )
        keep_best = restore_best and validation is not None
        return run.go(batches, validation, patience, keep_best=keep_best, progress=progress)


@contextmanager
def frozen(
    model: nn.Module, freeze: str | nn.Module | Sequence[str | nn.Module]
) -> Iterator[list[nn.Module]]:
    """Keep parts of a model from learning inside the block; yield them.

    Parameters
    ----------
    model : nn.Module
    freeze : module or name of one, or a sequence of them

    Raises
    ------
    ValueError
        If the model has no such part.
    """
    parts = [freeze] if isinstance(freeze, str | nn.Module) else list(freeze)
    modules = [_part(model, part) for part in parts]
    learning = [p for module in modules for p in module.parameters() if p.requires_grad]
    try:
        for parameter in learning:
            parameter.requires_grad_(False)
        yield modules
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def _part(model: nn.Module, part: str | nn.Module) -> nn.Module:
    if isinstance(part, nn.Module):
        if all(part is not module for module in model.modules()):
            raise ValueError(f"freeze: the {type(part).__name__} is no part of the model")
        return part
    try:
        return model.get_submodule(part)
    except AttributeError:
        there = ", ".join(name for name, _ in model.named_children())
        raise ValueError(f"freeze={part!r}: the model has no such part; it has {there}") from None


@dataclass
class _Run:
    """One call of `fit`: the loop, and what it needs at every step."""

    model: nn.Module
    still: list[nn.Module]
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule | None
    epochs: int
    device: torch.device

    def __post_init__(self) -> None:
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

    def go(
        self,
        batches: Iterable[Sequence[Tensor]],
        validation: Iterable[Sequence[Tensor]] | None,
        patience: int | None,
        *,
        keep_best: bool,
        progress: bool,
    ) -> History:
        """Train, and leave the model as `fit` promises, whatever happens."""
        history, best = History(), None
        count = _length(batches)
        total = None if count is None else count * self.epochs
        options = {} if progress else {"disable": True}
        try:
            with runtime.progress(total=total, unit="batch", **options) as bar:
                for epoch in range(1, self.epochs + 1):
                    start = time.perf_counter()
                    bar.set_description(f"epoch {epoch}/{self.epochs}", refresh=False)
                    train = self._train(batches, epoch, count, bar)
                    measured = None if validation is None else self._measure(validation)
                    rate = self.optimizer.param_groups[0]["lr"]
                    if history._finish_epoch(train, measured, rate) and keep_best:
                        best = _snapshot(self.model)
                    history.seconds.append(time.perf_counter() - start)
                    bar.set_postfix_str(_words(train, measured), refresh=False)
                    if patience is not None and epoch - history.best_epoch >= patience:
                        history.stopped_early = epoch < self.epochs
                        break
        except KeyboardInterrupt:
            history.interrupted = True
        finally:
            history.restored = best is not None
            if best is not None:
                self.model.load_state_dict(best, strict=False)
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate
            self.model.eval()
        return history

    def _train(
        self, batches: Iterable[Sequence[Tensor]], epoch: int, count: int | None, bar: Any
    ) -> _Tally:
        """Go through the training batches once."""
        self.model.train()
        for module in self.still:
            module.eval()
        tally, last_look = _Tally(self.device), time.perf_counter()
        for index, batch in enumerate(batches):
            inputs, labels = pair(batch, self.device)
            self._set_rate(epoch - 1 + (index / count if count else 0))
            self.optimizer.zero_grad(set_to_none=True)
            outputs = self.model(inputs)
            loss = self.loss(outputs, labels)
            loss.backward()
            self.optimizer.step()
            tally.add(outputs, labels, loss)
            bar.update(1)
            if time.perf_counter() - last_look > LOOK_SECONDS:
                self._check_finite(tally, epoch)
                bar.set_postfix_str(_words(tally, None), refresh=False)
                last_look = time.perf_counter()
        if not tally.count:
            raise ValueError(f"batches were empty in epoch {epoch}: is the training split empty?")
        self._check_finite(tally, epoch)
        return tally

    def _measure(self, batches: Iterable[Sequence[Tensor]]) -> _Tally:
        """Return loss and accuracy in evaluation mode."""
        self.model.eval()
        tally = _Tally(self.device)
        with torch.no_grad():
            for batch in batches:
                inputs, labels = pair(batch, self.device)
                outputs = self.model(inputs)
                tally.add(outputs, labels, self.loss(outputs, labels))
        if not tally.count:
            raise ValueError("validation is empty: leave it out, or pass some pictures")
        return tally

    def _set_rate(self, epochs_done: float) -> None:
        if self.schedule is None:
            return
        factor = self.schedule(epochs_done / self.epochs)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def _check_finite(self, tally: _Tally, epoch: int) -> None:
        if math.isfinite(tally.mean_loss):
            return
        rate = self.optimizer.param_groups[0]["lr"]
        raise TrainingError(
            f"the loss is {tally.mean_loss} after {tally.count} pictures of epoch {epoch}, at "
            f"learning rate {rate:g}: try a tenth of it, and check that the inputs are normalised "
            "and finite"
        )


class _Tally:
    """Sums over batches. They stay on the device: nothing waits for it until a mean is wanted."""

    def __init__(self, device: torch.device) -> None:
        self.count = 0
        self._loss = torch.zeros((), device=device)
        self._correct = torch.zeros((), device=device, dtype=torch.int64)

    def add(self, outputs: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Take in one batch."""
        with torch.no_grad():
            self.count += len(labels)
            self._loss += loss.detach() * len(labels)
            truth = labels if labels.ndim == 1 else labels.argmax(dim=1)
            self._correct += (outputs.argmax(dim=1) == truth).sum()

    @property
    def mean_loss(self) -> float:
        """Mean over all inputs so far."""
        return float(self._loss) / max(1, self.count)

    @property
    def accuracy(self) -> float:
        """Share of the inputs whose highest logit was the right one."""
        return int(self._correct) / max(1, self.count)


def _words(train: _Tally, validation: _Tally | None) -> str:
    text = f"loss {train.mean_loss:.3f}, accuracy {train.accuracy:.1%}"
    return text if validation is None else f"{text}, validation {validation.accuracy:.1%}"


# ---------------------------------------------------------------------------- checks


def pair(batch: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the inputs and labels of a batch on the device.

    Raises
    ------
    TypeError
        If the batch is something else than two tensors of the same length.
    """
    if isinstance(batch, tuple | list) and len(batch) == 2:
        inputs, labels = batch
        if isinstance(inputs, Tensor) and isinstance(labels, Tensor) and labels.ndim:
            if len(inputs) != len(labels):
                raise TypeError(f"a batch has {len(inputs)} inputs and {len(labels)} labels")
            return inputs.to(device, non_blocking=True), labels.to(device, non_blocking=True)
    parts = (
        ", ".join(type(part).__name__ for part in batch) if isinstance(batch, list | tuple) else ""
    )
    raise TypeError(
        f"a batch should be a pair of tensors, (inputs, labels), and is a {type(batch).__name__}"
        f"{f' of {parts}' if parts else ''}: pass cu.batches(split.to_tensors()), or a DataLoader "
        "of a split whose transform makes tensors"
    )


def check_batches(batches: object, name: str, *, again: bool) -> None:
    """Refuse what is no collection of batches, or could be gone through only once.

    Raises
    ------
    TypeError
        For a pair of tensors that are not cut into batches, or an iterator where `again` is True.
    """
    if isinstance(batches, tuple) and len(batches) == 2 and isinstance(batches[0], Tensor):
        raise TypeError(
            f"{name} is one pair of tensors, not batches of them: wrap it as cu.batches({name})"
        )
    if again and isinstance(batches, Iterator):
        raise TypeError(
            f"{name} is an iterator, which is empty after the first epoch: pass a list, a "
            "DataLoader or cu.batches(…)"
        )


def _check_settings(epochs: int, patience: int | None, batches: object, validation: object) -> None:
    if epochs < 1:
        raise ValueError(f"epochs={epochs} must be at least 1")
    if patience is not None and patience < 1:
        raise ValueError(f"patience={patience} must be at least 1 epoch")
    if patience is not None and validation is None:
        raise ValueError("patience needs validation: training accuracy nearly always rises")
    check_batches(batches, "batches", again=epochs > 1)
    check_batches(validation, "validation", again=epochs > 1)


def _warn_of_moving_statistics(model: nn.Module, still: Sequence[nn.Module]) -> None:
    """Warn of BatchNorm layers whose weights are frozen and whose statistics are not."""
    kept = {id(layer) for module in still for layer in module.modules()}
    moving = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)
        and layer.track_running_stats
        and layer.affine
        and not layer.weight.requires_grad
        and id(layer) not in kept
    ]
    if moving:
        warnings.warn(
            f"{len(moving)} BatchNorm layers (the first is {moving[0]}) have frozen weights, and "
            "their running statistics still follow the training pictures: pass freeze= with that "
            "part of the model to keep them as they are",
            stacklevel=3,
        )


def _make_optimizer(
    model: nn.Module, optimizer: Optimizer | MakeOptimizer | None, learning_rate: float
) -> Optimizer:
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not learning:
        raise ValueError(
            "nothing is left to learn: every parameter of the model is frozen "
            "(cu.load_network freezes its networks). Unfreeze a part with "
            "part.requires_grad_(True), or give it a new head"
        )
    if optimizer is None:
        return torch.optim.Adam(learning, lr=learning_rate)
    if not isinstance(optimizer, Optimizer):
        return optimizer(learning)
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if held.isdisjoint(map(id, learning)):
        raise ValueError(
            "the optimizer holds no parameter of the model that learns: make it from this model's "
            "parameters, or pass a function that makes it"
        )
    return optimizer


def _find_schedule(schedule: str | Schedule | None) -> Schedule | None:
    if not isinstance(schedule, str):
        return schedule
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule={schedule!r}: choose one of {', '.join(SCHEDULES)}")
    return SCHEDULES[schedule]


def _length(batches: object) -> int | None:
    try:
        return len(batches)  # type: ignore[arg-type]
    except TypeError:  # a DataLoader of an IterableDataset does not know
        return None


def _snapshot(model: nn.Module) -> Mapping[str, Tensor]:
    """Copy what training can change: a frozen backbone may be large, and stays as it is."""
    still = {name for name, p in model.named_parameters() if not p.requires_grad}
    return {
        name: value.clone()
        for name, value in model.state_dict().items()
        if name not in still and isinstance(value, Tensor)
    }
