"""Training and measuring classifiers: fit, evaluate, features of a frozen network, checkpoints.

A frozen network makes the same of a picture in every epoch. `extract_features` computes it once,
`fit_head` trains a new head on that, and ``nn.Sequential(backbone, head)`` is the whole network.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import json
import math
import operator
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import classification_report, confusion_matrix
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from . import assets, checks, runtime
from .augmentation import Batches, to_float
from .augmentation import batches as make_batches
from .datasets import ImageDataset
from .networks import Network, Preprocess

__all__ = [
    "Checkpoint", "Evaluation", "Features", "History", "backbone_of", "evaluate",
    "extract_features", "fit", "fit_head", "load_checkpoint", "tutorial_cnn",
]  # fmt: skip

#: Factor on the learning rate, given how much of the training is done (0 to 1).
Schedule = Callable[[float], float]
#: An optimizer, or what makes one of the parameters that learn.
Rule = Optimizer | Callable[[list[nn.Parameter]], Optimizer]


@dataclass
class History:
    """What happened in each epoch. Print it for a summary.

    Attributes
    ----------
    train_loss, train_accuracy : list of float
        Means over the pictures of the epoch, measured while training: in training mode, on
        augmented pictures, with weights that change from batch to batch.
    validation_loss, validation_accuracy : list of float
        After the epoch, in evaluation mode; empty where no validation data was given.
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
    seconds: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    restored: bool = False
    stopped_early: bool = False
    interrupted: bool = False

    @property
    def epochs(self) -> list[int]:
        """Numbers of the finished epochs, from 1."""
        return list(range(1, len(self.train_loss) + 1))

    def __str__(self) -> str:
        """Summarise in one line."""
        why = " (interrupted)" * self.interrupted + " (stopped early)" * self.stopped_early
        if self.best_epoch is None:
            return f"no finished epoch{why}"
        epochs = f"{len(self.epochs)} epoch{'s' * (len(self.epochs) > 1)}"
        text = f"{epochs} in {sum(self.seconds):.1f} s{why}"
        text += f"; training accuracy {self.train_accuracy[-1]:.1%}"
        for score in self.validation_accuracy[self.best_epoch - 1 : self.best_epoch]:
            text += f"; validation accuracy {score:.1%} in epoch {self.best_epoch}, the best"
        return text + ", restored" * self.restored


def cosine(done: float) -> float:
    """Learning rate along half a cosine from 1 to 0 (Loshchilov & Hutter 2017, eq. 5)."""
    return 0.5 * (1 + math.cos(math.pi * done))


def one_cycle(done: float) -> float:
    """Learning rate up from 0.04 to 1 in the first quarter, then along a cosine to 0.

    After Smith & Topin (2018); a start with small steps allows a higher rate later.
    """
    return 0.04 + 0.96 * done / 0.25 if done < 0.25 else cosine((done - 0.25) / 0.75)


_ADVICE = "normalise them, or try a tenth of the learning rate"
SCHEDULES: dict[str, Schedule] = {"cosine": cosine, "one_cycle": one_cycle}


def fit(
    model: nn.Module,
    batches: Iterable[Sequence[Tensor]],
    validation: Iterable[Sequence[Tensor]] | None = None,
    *,
    epochs: int,
    optimizer: Rule | None = None,
    learning_rate: float | None = None,
    schedule: str | Schedule | None = None,
    patience: int | None = None,
    seed: int | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> History:
    """Train a classifier, in place.

    Parameters
    ----------
    model : nn.Module
        Maps a batch of inputs to logits (N, classes), two classes or more. Moved to `device`; left
        in ``eval()``, its gradients cleared. What needs no gradient does not learn, and BatchNorm
        layers among it keep their statistics.
    batches : iterable of (inputs, labels)
        ``cu.batches(…)``, a ``DataLoader`` or a list; gone through once per epoch. Labels are class
        indices, (N,) or (N, 1), of any number type.
    validation : iterable of (inputs, labels), optional
        Measured after each epoch, in evaluation mode. The model ends with the weights of the epoch
        that was best on it.
    epochs : int
        How often to go through `batches`.
    optimizer : Optimizer, or a function from parameters to one, optional
        Default: Adam. A function gets the parameters that learn, as in
        ``functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9)``.
    learning_rate : float, optional
        Of Adam; default 0.001. Other optimizers have their own.
    schedule : {"cosine", "one_cycle"} or callable, optional
        Factor on the learning rate as a function of how much of the training is done, 0 to 1.
    patience : int, optional
        Stop when so many epochs in a row were not better than the best.
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
    FloatingPointError
        If a loss, in training or validation, or a weight is not a finite number. The message says
        in which epoch and batch, and the likely cause.
    TypeError
        If the model is no module, or `batches` does not give pairs of tensors.
    ValueError
        If a setting makes no sense, labels do not fit the outputs, or nothing is left to learn:
        PyTorch's "empty parameter list". Networks of ``load_network`` are frozen; unfreeze a part
        with ``.requires_grad_(True)``, or give them a new head.

    Notes
    -----
    After an error the model has the weights of its best finished epoch, or those it came with, and
    the modes it came with.

    Examples
    --------
    >>> inputs = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    >>> data = [(inputs, (inputs[:, 0] > 0).long())]
    >>> history = fit(nn.Linear(2, 2), data, epochs=50, learning_rate=0.1, seed=0, device="cpu")
    >>> history.train_accuracy[-1] > 0.9
    True
    """
    _device_of(model)  # refuses what is no module
    if epochs < 1 or (patience is not None and (patience < 1 or validation is None)):
        raise ValueError("epochs and patience must be at least 1, and patience needs validation")
    if isinstance(schedule, str):
        schedule = SCHEDULES[checks.one_of("schedule", schedule, SCHEDULES)]
    if seed is not None:
        runtime.seed_everything(seed)
    history, count = History(), operator.length_hint(batches, 0)
    model.to(device or runtime.current().device)
    modes = {module: module.training for module in model.modules()}
    norms = [m for m in modes if isinstance(m, _BatchNorm) and m.affine]
    rule = _make_rule(model, optimizer, learning_rate)
    rates = [group["lr"] for group in rule.param_groups]
    best, record = copy.deepcopy(model.state_dict()), (-math.inf,)

    def learn(loss: Tensor, index: int) -> None:
        done = (epoch - 1 + (index / count if count else 0)) / epochs
        for group, rate in zip(rule.param_groups, rates, strict=True):
            group["lr"] = rate * schedule(done) if schedule else rate
        rule.zero_grad(set_to_none=True)
        loss.backward()
        rule.step()
        bar.update(1)

    def restore() -> None:
        model.load_state_dict(best)

    # an optimizer that is interrupted may leave gradients switched off
    with torch.enable_grad(), runtime.progress(total=count * epochs or None, shown=progress) as bar:
        try:
            for epoch in range(1, epochs + 1):
                # without validation the last epoch counts as best, in case the next one fails
                start, where, score = time.perf_counter(), f"epoch {epoch}", (epoch,)
                model.train()
                for norm in norms:
                    norm.train(norm.weight.requires_grad)
                loss, accuracy = _run(model, batches, where, learn)
                if not all(parameter.isfinite().all() for parameter in model.parameters()):
                    raise FloatingPointError(f"weights are not finite after {where}: {_ADVICE}")
                if validation is not None:
                    held = _run(model.eval(), validation, f"validation, {where}")
                    history.validation_loss.append(held[0])
                    history.validation_accuracy.append(held[1])
                    score = held[1], -held[0]
                history.train_loss.append(loss)
                history.train_accuracy.append(accuracy)
                if score > record:
                    best, record = copy.deepcopy(model.state_dict()), score
                    history.best_epoch = epoch
                history.seconds.append(time.perf_counter() - start)
                bar.set_description(f"{where}/{epochs}, accuracy {accuracy:.1%}", refresh=False)
                if patience is not None and epoch - history.best_epoch >= patience:
                    history.stopped_early = epoch < epochs
                    break
        except KeyboardInterrupt:
            history.interrupted = True
        except BaseException:
            checks.surely(restore)
            raise
        finally:
            for group, rate in zip(rule.param_groups, rates, strict=True):
                group["lr"] = rate
                for parameter in group["params"]:
                    parameter.grad = None
            for module, training in modes.items():
                module.training = training
    history.restored = validation is not None and history.best_epoch is not None
    if history.restored:
        checks.surely(restore)
    checks.surely(model.eval)
    return history


def _run(
    model: nn.Module,
    batches: Iterable[Sequence[Tensor]],
    where: str,
    learn: Callable[[Tensor, int], None] | None = None,
) -> tuple[float, float]:
    """Go through the batches once, learn from each loss, and return mean loss and accuracy."""
    total, right, pictures, device = 0.0, 0, 0, _device_of(model)
    for index, batch in enumerate(batches):
        place = f"batch {index + 1}, {where}"
        inputs, labels = (part.detach().to(device) for part in _pair(batch))
        with torch.set_grad_enabled(learn is not None):
            outputs = checks.check_outputs(model(inputs.clone()), len(inputs))
        labels = _class_indices(labels, outputs)
        loss = F.cross_entropy(outputs, labels)
        if not math.isfinite(number := loss.item()):
            given = f"its inputs go from {inputs.min():.3g} to {inputs.max():.3g}"
            undone = "is there a division by zero in the preprocessing?"
            advice = _ADVICE if inputs.isfinite().all() else undone
            raise FloatingPointError(f"the loss is {number} in {place}: {given}; {advice}")
        total += number * len(labels)
        right += int((outputs.argmax(dim=1) == labels).sum())
        pictures += len(labels)
        if learn is not None:
            learn(loss, index)
    if not pictures:
        raise ValueError(f"no pictures in {where}: an empty split, or an iterator that is used up?")
    return total / pictures, right / pictures


def _pair(batch: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return a batch, or raise unless it is a pair of tensors of one length."""
    whole = isinstance(batch, tuple | list) and all(isinstance(part, Tensor) for part in batch)
    if not whole or len(batch) != 2 or len({part.shape[:1] for part in batch}) != 1:
        advice = f"is a {type(batch).__name__}: pass cu.batches(…) or a DataLoader"
        raise TypeError(f"a batch must be a pair of tensors, (inputs, labels), and {advice}")
    return batch


def _class_indices(labels: Tensor, outputs: Tensor) -> Tensor:
    """Return labels as cross entropy takes them, int64 (N,), or raise."""
    (count, classes), given = outputs.shape, labels.flatten()
    indices = given.long()
    whole = len(given) == count and torch.equal(indices.to(given), given)
    if not whole or classes < 2 or indices.min() < 0 or indices.max() >= classes:
        got = f"{labels.dtype} {tuple(labels.shape)} from {labels.min()} to {labels.max()}"
        wanted = f"({count},) from 0 to {classes - 1}, for a model of {classes} outputs, at least 2"
        raise ValueError(f"labels must be whole numbers {wanted}; got {got}")
    return indices


def _device_of(model: nn.Module) -> torch.device:
    """Return where a model computes; refuse what is no module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a Module, got a {type(model).__name__}; pass its .model")
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else runtime.current().device


def _predict(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return a model's outputs (N, D) in evaluation mode, on the CPU; the model is as before."""
    inputs = inputs.to(_device_of(model), copy=True)  # the model may change it in place
    with checks.unchanged(model), torch.no_grad():
        outputs = checks.check_outputs(model.eval()(inputs), len(inputs))
        return checks.check_finite(outputs).float().cpu()


def _make_rule(model: nn.Module, optimizer: Rule | None, learning_rate: float | None) -> Optimizer:
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if optimizer is None:
        return torch.optim.Adam(learning, lr=1e-3 if learning_rate is None else learning_rate)
    rule = optimizer if isinstance(optimizer, Optimizer) else optimizer(learning)
    held = {parameter for group in rule.param_groups for parameter in group["params"]}
    if learning_rate is not None or held.isdisjoint(learning):
        raise ValueError("the optimizer has other parameters, or a learning rate of its own")
    return rule


# ---------------------------------------------------------------------------- evaluation


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that follows from the probabilities; print it for the classification report.

    Attributes
    ----------
    labels : int64 Tensor, shape (N,)
        True classes.
    probabilities : float32 Tensor, shape (N, classes)
        Softmax of the logits, on the CPU.
    classes : tuple of str
        Class names; a label is an index into them.
    """

    labels: Tensor
    probabilities: Tensor
    classes: tuple[str, ...]

    @functools.cached_property
    def predictions(self) -> Tensor:
        """Most probable class of each picture, int64 (N,)."""
        return self.probabilities.argmax(dim=1)

    @functools.cached_property
    def correct(self) -> Tensor:
        """Whether each picture was classified correctly, bool (N,)."""
        return self.predictions == self.labels

    @property
    def accuracy(self) -> float:
        """Share of pictures that were classified correctly."""
        return float(self.correct.double().mean())

    @functools.cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy on unseen pictures of the same kind (Wilson 1927)."""
        counts = binomtest(int(self.correct.sum()), len(self.labels))
        return tuple(map(float, counts.proportion_ci(method="wilson")))

    @property
    def loss(self) -> float:
        """Mean cross entropy in nats."""
        return float(F.nll_loss(self.probabilities.clamp_min(1e-12).log(), self.labels))

    @functools.cached_property
    def report(self) -> pd.DataFrame:
        """Precision, recall, f1 and support: a row for each class, then the macro average.

        Precision is 0 for a class that is never predicted, recall 0 for one without pictures.
        """
        labels = range(len(self.classes))  # by number: two classes may have the same name
        options = {"labels": labels, "zero_division": 0, "output_dict": True}
        rows = pd.DataFrame(classification_report(self.labels, self.predictions, **options)).T
        table = rows.loc[[*map(str, labels), "macro avg"]].rename(columns={"f1-score": "f1"})
        return table.astype({"support": int}).set_axis([*self.classes, "macro average"])

    @functools.cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Confusion matrix (classes, classes): row true class, column predicted, entry pictures."""
        return confusion_matrix(self.labels, self.predictions, labels=range(len(self.classes)))

    def __str__(self) -> str:
        """Return accuracy with its interval, and the classification report."""
        low, high = self.interval
        return (
            f"accuracy {self.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%}, "
            f"{len(self.labels):,} pictures)\n\n{self.report.to_string(float_format='%.3f')}"
        )


def evaluate(
    model: nn.Module,
    batches: Iterable[Sequence[Tensor]],
    classes: Sequence[str] | None = None,
    *,
    progress: bool = True,
) -> Evaluation:
    """Classify every picture and compare with the labels.

    Parameters
    ----------
    model : nn.Module
        Maps inputs to logits (N, classes). It runs where it is, in evaluation mode, and is
        afterwards as it was. Half precision is refused, unless its own forward pass returns
        float32: then probabilities are those of float32 to within 0.05.
    batches : iterable of (inputs, labels)
        ``cu.batches(…)``, a ``DataLoader`` or a list; labels are class indices, as in `fit`. The
        result is in their order: ``cu.batches`` is gone through in the pictures' order even if it
        shuffles; a ``DataLoader`` that shuffles loses it.
    classes : sequence of str, optional
        Class names by index; default "0", "1", ….
    progress : bool
        Show a bar if it takes longer than a second.

    Raises
    ------
    TypeError
        If `batches` does not give pairs of tensors.
    ValueError
        If labels are no indices of `classes`, or outputs are not finite.
    RuntimeError
        PyTorch's own, if there are no pictures.

    Examples
    --------
    >>> model = nn.Identity()  # the "pictures" are logits
    >>> found = evaluate(model, [(torch.eye(2), torch.tensor([0, 0]))], ["cat", "dog"])
    >>> found.accuracy, found.correct.tolist()
    (0.5, [True, False])
    """
    outputs, labels = [], []
    if isinstance(batches, Batches):
        batches = dataclasses.replace(batches, shuffle=False, drop_last=False)
    for batch in runtime.progress(batches, description="evaluating", shown=progress):
        inputs, truth = _pair(batch)
        outputs.append(_predict(model, inputs))
        labels.append(_class_indices(truth.cpu(), outputs[-1]))
    logits, truth = torch.cat(outputs), torch.cat(labels)
    names = tuple(map(str, range(logits.shape[1])) if classes is None else classes)
    if logits.shape[1] != len(names):
        raise ValueError(f"the model has {logits.shape[1]} outputs, there are {len(names)} classes")
    return Evaluation(truth, logits.softmax(dim=1), names)


# ---------------------------------------------------------------------------- features


class Features(NamedTuple):
    """What a backbone makes of pictures: float32 (N, D), and their labels, int64 (N,)."""

    features: Tensor
    labels: Tensor


class TrainedHead(NamedTuple):
    """A head, in ``eval()``, and how its training went."""

    head: nn.Module
    history: History


def backbone_of(network: Network) -> nn.Module:
    """Return a pretrained network without the layer that makes the logits, frozen, in ``eval()``.

    Parameters
    ----------
    network : Network
        As `load_network` returns it; it stays as it is.

    Returns
    -------
    nn.Module
        Maps normalised pictures (N, 3, H, W) to features (N, D). The head is replaced by the
        identity, so layers keep their names: ``nn.Sequential(backbone, head)`` has the Grad-CAM
        layer ``"0." + network.layers.grad_cam``. D is 512 for ResNet18 and SqueezeNet (which
        averages its last maps), 1,280 for EfficientNet-Lite0 and MobileNetV3, 4,096 for VGG19.
    """
    backbone = copy.deepcopy(network.model)
    backbone.set_submodule(network.layers.head, nn.Identity())
    return backbone.requires_grad_(False).eval()


def extract_features(
    backbone: Network | nn.Module,
    pictures: ImageDataset | tuple[Tensor, Tensor],
    *,
    size: int | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    progress: bool = True,
) -> Features:
    """Run a frozen backbone over all pictures once. Keep the result: nothing is cached.

    Parameters
    ----------
    backbone : Network or nn.Module
        A network of `load_network` (its `backbone_of` is used), or a module that maps normalised
        pictures to features (N, D). It runs where it is, in evaluation mode, without gradients, and
        is afterwards as it was.
    pictures : ImageDataset or (images, labels)
        A split, or what its ``to_tensors`` returns: bytes (N, C, H, W), or floats, in [0, 1] where
        a network or `transform` normalises them.
    size : int, optional
        Of a split, as in ``to_tensors(size)``. Default: the size the network was trained at; for a
        module, that of the pictures. Tensors have theirs.
    transform : callable, optional
        From a float batch (N, 3, H, W) in [0, 1] to what the backbone expects. Default: a network's
        own normalisation; for a module, none.
    progress : bool
        Show a bar if it takes longer than a second.

    Returns
    -------
    Features
        On the CPU.

    Raises
    ------
    TypeError, ValueError
        If the pictures are none or have values outside [0, 1], the backbone's output is not (N, D),
        or a setting makes no sense.
    """
    from torchvision.transforms.functional import normalize

    model = backbone
    if isinstance(backbone, Network):
        how = backbone.preprocess
        size = how.crop if size is None else size
        transform = transform or functools.partial(normalize, mean=how.mean, std=how.std)
        model = backbone_of(backbone)
    if isinstance(pictures, ImageDataset):
        pictures = pictures.to_tensors(size, progress=progress)
    images, labels = pictures
    if images.dtype != torch.uint8:
        images = checks.check_images(images, "pictures")
        checks.check_pixels(images, "pictures", normalized=transform is None)
    parts = []
    for batch in runtime.progress(images.split(32), description="features", shown=progress):
        batch = to_float(batch.to(_device_of(model)))
        parts.append(_predict(model, batch if transform is None else transform(batch)))
    return Features(torch.cat(parts), labels)


def fit_head(
    features: Tensor,
    labels: Tensor,
    validation: tuple[Tensor, Tensor] | None = None,
    *,
    head: nn.Module | None = None,
    classes: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    **options: Any,
) -> TrainedHead:
    """Train a head on features: ``fit_head(*extract_features(…), epochs=20)``.

    Parameters
    ----------
    features : float Tensor, shape (N, D)
    labels : Tensor, shape (N,)
        Class indices.
    validation : (features, labels), optional
        As `extract_features` returns it.
    head : nn.Module, optional
        Maps (N, D) to logits; trained in place. Default one linear layer.
    classes : int, optional
        Outputs of the default head; default as many as the labels need.
    batch_size : int
    seed : int
        Draws weights and order; PyTorch's own generators go on as if nothing had been drawn.
    **options
        As in `fit`: epochs (which has no default), learning_rate, schedule and so on.
    """
    measured = None if validation is None else make_batches(validation, 1024, shuffle=False)
    generator = torch.Generator().manual_seed(seed)
    training = make_batches((features, labels), batch_size, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if head is None:
            head = nn.Linear(features.shape[1], classes or int(labels.max()) + 1)
        return TrainedHead(head, fit(head, training, measured, **options))


# ---------------------------------------------------------------------------- checkpoints


def tutorial_cnn(classes: int = 10) -> nn.Sequential:
    """Return the network of PyTorch's CIFAR-10 tutorial, untrained: two convolutions, three linear.

    Layers and their names are the tutorial's, so state dicts go back and forth; activations and
    pooling are modules of their own, each used once, as attribution methods with hooks want it.

    Parameters
    ----------
    classes : int
        Number of logits.

    Returns
    -------
    nn.Sequential
        Maps (N, 3, 32, 32) to logits (N, classes); 62,006 parameters for 10 classes.

    Examples
    --------
    >>> tutorial_cnn()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    layers = OrderedDict(
        conv1=nn.Conv2d(3, 6, kernel_size=5),  # 32 x 32 -> 28 x 28
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),  # -> 14 x 14
        conv2=nn.Conv2d(6, 16, kernel_size=5),  # -> 10 x 10
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),  # -> 5 x 5
        flatten=nn.Flatten(),
        fc1=nn.Linear(16 * 5 * 5, 120),
        relu3=nn.ReLU(),
        fc2=nn.Linear(120, 84),
        relu4=nn.ReLU(),
        fc3=nn.Linear(84, classes),
    )
    return nn.Sequential(layers)


#: SHA-256 of the checkpoints that come with the course; all are of `tutorial_cnn`.
CHECKPOINTS = {
    "cifar10_tutorial_cnn": "7f4b8588040bfc07f8dd90358cc3b6968295583d11164374f0595b5821d24aa7"
}


class Checkpoint(NamedTuple):
    """A network trained for this course, and all a lesson needs to use it.

    Attributes
    ----------
    model : nn.Module
        In ``eval()``, parameters frozen, on the lesson's device.
    preprocess : Preprocess
        Photographs to a normalised batch, and back (``.denormalize``).
    labels : list of str
        Class names by index.
    accuracy : float
        On the test split, as measured when it was trained.
    details : dict of str to Any
        How it was trained: data, test pictures, epochs, seed and so on.
    """

    model: nn.Module
    preprocess: Preprocess
    labels: list[str]
    accuracy: float
    details: dict[str, Any]


def load_checkpoint(name: str, *, device: str | torch.device | None = None) -> Checkpoint:
    """Load a network that was trained for this course.

    Parameters
    ----------
    name : str
        One of `CHECKPOINTS`: "cifar10_tutorial_cnn".
    device : str or torch.device, optional
        Default: the lesson's device.

    Raises
    ------
    RuntimeError
        If the file is missing, or not the one that comes with the course (by SHA-256).
    """
    from safetensors import safe_open

    path = assets.course_file("checkpoints") / f"{name}.safetensors"
    known = CHECKPOINTS[checks.one_of("name", name, CHECKPOINTS)]
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != known:
        raise RuntimeError(f"{path} is missing, or not the course's: install the course again")
    with safe_open(path, framework="pt") as file:
        details = json.loads(file.metadata()["course"])
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    model, target = tutorial_cnn(), torch.device(device or runtime.current().device)
    model.load_state_dict(state)
    mean, std = map(tuple, details["normalize"])
    preprocess = Preprocess(mean, std, target, resize=details["size"], crop=details["size"])
    model = model.to(target).requires_grad_(False).eval()
    return Checkpoint(model, preprocess, list(details["classes"]), details["accuracy"], details)
