"""`evaluate`: how good a classifier is, on which classes, and if its confidence can be trusted."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler

from .. import runtime
from ..datasets import Batches
from .fitting import check_batches, pair

#: Share of intervals that hold the true accuracy.
CONFIDENCE = 0.95


class ClassScores(NamedTuple):
    """One row of the classification report; `f1` is the harmonic mean of precision and recall.

    `precision` is 0 for a class that is never predicted, `recall` 0 for one without pictures.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int


class Calibration(NamedTuple):
    """Confidence against accuracy, in bins of equal width (Guo et al. 2017, section 2).

    Attributes
    ----------
    ece : float
        Expected calibration error: mean distance of accuracy and confidence over the bins, weighted
        by `count` (eq. 3). 0 is perfect.
    edges : array, shape (bins + 1,)
    confidence, accuracy : array, shape (bins,)
        Means of the pictures in each bin; NaN where there is none.
    count : int array, shape (bins,)
    """

    ece: float
    edges: NDArray[np.float64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    count: NDArray[np.int64]


class Mistake(NamedTuple):
    """A picture that was classified wrongly.

    `index` is its position in the order of the batches; `confidence` the probability of `predicted`
    and `probability_of_truth` that of the right class.
    """

    index: int
    label: str
    predicted: str
    confidence: float
    probability_of_truth: float


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

    @cached_property
    def predictions(self) -> Tensor:
        """Most probable class of each picture, int64 (N,)."""
        return self.probabilities.argmax(dim=1)

    @cached_property
    def correct(self) -> Tensor:
        """Whether each picture was classified rightly, bool (N,)."""
        return self.predictions == self.labels

    @property
    def accuracy(self) -> float:
        """Share of pictures that were classified rightly."""
        return float(self.correct.double().mean())

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy on unseen pictures of the same kind (Wilson 1927)."""
        from scipy.stats import binomtest

        result = binomtest(int(self.correct.sum()), len(self.labels))
        low, high = result.proportion_ci(CONFIDENCE, method="wilson")
        return float(low), float(high)

    @property
    def loss(self) -> float:
        """Mean cross entropy in nats."""
        chosen = self.probabilities.gather(1, self.labels[:, None])
        return float(-chosen.clamp_min(1e-12).log().mean())

    @cached_property
    def per_class(self) -> tuple[ClassScores, ...]:
        """Precision, recall, F1 and support of every class."""
        from sklearn.metrics import precision_recall_fscore_support

        columns = precision_recall_fscore_support(
            self.labels.numpy(),
            self.predictions.numpy(),
            labels=range(len(self.classes)),
            zero_division=0,
        )
        return tuple(
            ClassScores(name, float(p), float(r), float(f), int(n))
            for name, p, r, f, n in zip(self.classes, *columns, strict=True)
        )

    @cached_property
    def macro_average(self) -> ClassScores:
        """Unweighted mean over the classes."""
        values = np.array([row[1:4] for row in self.per_class]).mean(axis=0).tolist()
        return ClassScores("macro average", *values, len(self.labels))

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Confusion matrix (classes, classes): row true class, column predicted, entry pictures."""
        from sklearn.metrics import confusion_matrix

        return confusion_matrix(
            self.labels.numpy(), self.predictions.numpy(), labels=range(len(self.classes))
        )

    def report(self) -> str:
        """Return scikit-learn's classification report: a row per class, then averages."""
        from sklearn.metrics import classification_report

        return classification_report(
            self.labels.numpy(),
            self.predictions.numpy(),
            labels=range(len(self.classes)),
            target_names=list(self.classes),
            digits=3,
            zero_division=0,
        )

    def calibration(self, bins: int = 15) -> Calibration:
        """Compare confidence (the probability of the predicted class) with accuracy.

        Parameters
        ----------
        bins : int
            Number of bins of equal width from 0 to 1.
        """
        edges = np.linspace(0, 1, bins + 1)
        confidence = self.probabilities.max(dim=1).values.double().numpy()
        correct = self.correct.double().numpy()
        which = np.clip(np.digitize(confidence, edges[1:-1], right=True), 0, bins - 1)
        count = np.bincount(which, minlength=bins)
        with np.errstate(invalid="ignore"):  # an empty bin has no mean: NaN
            mean_confidence = np.bincount(which, confidence, bins) / count
            mean_accuracy = np.bincount(which, correct, bins) / count
        gaps = np.abs(mean_confidence - mean_accuracy)
        ece = float(np.nansum(gaps * count) / count.sum())
        return Calibration(ece, edges, mean_confidence, mean_accuracy, count)

    def mistakes(self, limit: int | None = None) -> list[Mistake]:
        """Return wrongly classified pictures, the most confident first.

        Parameters
        ----------
        limit : int, optional
            At most so many.
        """
        wrong = (~self.correct).nonzero().flatten()
        confidence = self.probabilities[wrong].max(dim=1).values
        order = confidence.sort(descending=True, stable=True).indices[:limit]
        return [self._mistake(int(index)) for index in wrong[order]]

    def _mistake(self, index: int) -> Mistake:
        label, predicted = int(self.labels[index]), int(self.predictions[index])
        row = self.probabilities[index]
        return Mistake(
            index,
            self.classes[label],
            self.classes[predicted],
            float(row[predicted]),
            float(row[label]),
        )

    def __str__(self) -> str:
        """Return accuracy with its interval, and the classification report."""
        low, high = self.interval
        return (
            f"accuracy {self.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%}, "
            f"{len(self.labels):,} pictures)\n\n{self.report()}"
        )


def evaluate(
    model: nn.Module,
    batches: Iterable[Sequence[Tensor]],
    classes: Sequence[str] | None = None,
    *,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> Evaluation:
    """Classify every picture and compare with the labels.

    Parameters
    ----------
    model : nn.Module
        Maps inputs to logits (N, classes). Runs in evaluation mode on `device`, and is left in the
        mode it was in.
    batches : iterable of (inputs, labels)
        ``cu.batches(…)``, a ``DataLoader`` or a list; labels are class indices (N,). The order
        matters for ``mistakes()`` only: ``cu.batches`` is gone through in the pictures' order even
        if it shuffles; of a ``DataLoader`` that shuffles, the indices would mean nothing (a
        warning).
    classes : sequence of str, optional
        Class names by index; default "0", "1", ….
    device : str or torch.device, optional
        Default: the lesson's device.
    progress : bool
        Show a bar if it takes longer than a second.

    Raises
    ------
    TypeError
        If `batches` does not give pairs of tensors.
    ValueError
        If there are no pictures, labels are no indices of `classes`, or outputs are not finite.

    Examples
    --------
    >>> model = nn.Identity()  # the "pictures" are logits
    >>> found = evaluate(model, [(torch.eye(2), torch.tensor([0, 0]))], ["cat", "dog"])
    >>> found.accuracy, found.mistakes()[0].predicted
    (0.5, 'dog')
    """
    check_batches(batches, "batches", again=False)
    target = runtime.current().device if device is None else torch.device(device)
    outputs, labels = [], []
    training = model.training
    model.to(target).eval()
    options = {} if progress else {"disable": True}
    try:
        with torch.no_grad():
            ordered = _in_order(batches)
            for batch in runtime.progress(ordered, description="evaluating", **options):
                inputs, truth = pair(batch, target)
                outputs.append(model(inputs).float())
                labels.append(truth)
    finally:
        model.train(training)
    if not outputs or not sum(map(len, labels)):
        raise ValueError("batches are empty: there is nothing to evaluate")
    return _evaluation(torch.cat(outputs).cpu(), torch.cat(labels).cpu(), classes)


def _evaluation(logits: Tensor, labels: Tensor, classes: Sequence[str] | None) -> Evaluation:
    """Check outputs and labels against the classes."""
    if logits.ndim != 2:
        raise ValueError(f"the model's output {tuple(logits.shape)} should be (N, classes)")
    names = tuple(map(str, range(logits.shape[1])) if classes is None else classes)
    if logits.shape[1] != len(names):
        raise ValueError(
            f"the model has {logits.shape[1]} outputs and there are {len(names)} classes: pass the "
            "classes it was trained on"
        )
    if labels.ndim != 1 or labels.is_floating_point():
        raise ValueError(f"labels should be class indices (N,), not {tuple(labels.shape)} shares")
    if labels.min() < 0 or labels.max() >= len(names):
        raise ValueError(
            f"labels go from {labels.min()} to {labels.max()}, and classes to {len(names) - 1}"
        )
    if not logits.isfinite().all():
        raise ValueError("the model's outputs are not finite: did its training diverge?")
    return Evaluation(labels.long(), logits.softmax(dim=1), names)


def _in_order(batches: Iterable[Sequence[Tensor]]) -> Iterable[Sequence[Tensor]]:
    """Keep the pictures in their order and all of them, as far as that can be arranged."""
    if isinstance(batches, Batches):
        return dataclasses.replace(batches, shuffle=False, drop_last=False)
    if isinstance(batches, DataLoader) and isinstance(batches.sampler, RandomSampler):
        warnings.warn(
            "the DataLoader shuffles, so indices of mistakes do not say which pictures they are: "
            "pass shuffle=False",
            stacklevel=3,
        )
    return batches
