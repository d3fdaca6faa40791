"""Figures of training and its result draw the numbers they are given, and say them in words."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from course_utils import plots
from course_utils.training import Evaluation, History

LABELS = torch.tensor([0, 0, 0, 0, 1, 1])
PROBABILITIES = torch.tensor(
    [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.05, 0.95], [0.4, 0.6], [0.6, 0.4]]
)
FOUND = Evaluation(LABELS, PROBABILITIES, ("cat", "dog"))  # four of six right
HISTORY = History(
    train_loss=[1.0, 0.5, 0.2], train_accuracy=[0.4, 0.7, 0.9], validation_loss=[0.9, 0.6, 0.7],
    validation_accuracy=[0.5, 0.75, 0.7], seconds=[1.0] * 3,
    best_epoch=2, restored=True,
)  # fmt: skip


def texts(figure):
    found = [figure.get_supxlabel()]
    for axes in figure.axes:
        labels = (*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels())
        found += [axes.get_title(loc="left"), axes.get_xlabel(), *(t.get_text() for t in labels)]
    return " ".join(" ".join(found).split())


# --------------------------------------------------------------------------- learning curves


def test_training_is_dashed_validation_solid_and_the_best_epoch_marked():
    figure = plots.plot_history(HISTORY, display=False)
    for axes, what in zip(figure.axes, ("loss", "accuracy"), strict=True):
        train, validation = axes.lines
        np.testing.assert_allclose(train.get_ydata(), getattr(HISTORY, f"train_{what}"))
        np.testing.assert_allclose(validation.get_ydata(), getattr(HISTORY, f"validation_{what}"))
        assert train.is_dashed()
        assert not validation.is_dashed()
        assert validation.get_markevery() == [1], "the second epoch"
    assert "training accuracy from 0.4 to 0.9. Validation 0.75 in the best epoch, 2" in figure.alt


def test_several_histories_are_named_and_validation_may_be_missing():
    alone = History(train_loss=[1.0], train_accuracy=[0.4], best_epoch=1)
    figure = plots.plot_history({"with": HISTORY, "without": alone}, display=False)
    assert "without training accuracy from 0.4 to 0.4." in figure.alt
    assert [text.get_text() for text in figure.axes[1].texts] == ["with", "without"]


@pytest.mark.parametrize(
    ("given", "message"), [(History(), "no finished epoch"), ({}, "nothing to draw")]
)
def test_histories_without_an_epoch_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_history(given, display=False)


# --------------------------------------------------------------------------- confusion


def cells(axes):
    """Return the shares that a heat map shows."""
    mesh = axes.collections[0]
    return mesh.get_array().reshape(-1)


def test_confusion_shows_counts_and_shares_of_the_true_class():
    figure = plots.plot_confusion(FOUND, display=False)
    np.testing.assert_allclose(cells(figure.axes[0]), [0.75, 0.25, 0.5, 0.5])
    assert [text.get_text() for text in figure.axes[0].texts] == ["3", "1", "1", "1"]
    assert "66.7 % of 6 pictures right" in figure.alt


def confused(matrix, *classes):
    return SimpleNamespace(confusion=np.array(matrix), classes=classes)


def test_confusion_matrices_stand_side_by_side_on_one_scale():
    found = {"sure": confused([[4, 0], [0, 2]], "cat", "dog")}
    found["lost"] = confused([[0, 4], [0, 0]], "cat", "dog")
    figure = plots.plot_confusion(found, display=False)
    assert [axes.collections[0].get_clim() for axes in figure.axes] == [(0, 1), (0, 1)]
    assert "sure 100.0 % of 6 pictures right. lost 0.0 % of 4 pictures right" in figure.alt
    assert "sure: 100.0 %" in texts(figure)


def test_letters_can_be_read_on_every_cell():
    """WCAG 2.1 asks for 3; the two letters are equally readable where one follows the other."""

    def luminance(colour):
        rgb = np.asarray(colour[:3])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    from matplotlib.colors import to_rgb

    for hits in range(21):
        figure = plots.plot_confusion(
            confused([[hits, 20 - hits], [0, 1]], "a", "b"), display=False
        )
        mesh, text = figure.axes[0].collections[0], figure.axes[0].texts[0]
        behind = luminance(mesh.get_facecolors()[0])
        letter = luminance(to_rgb(text.get_color()))
        contrast = (max(behind, letter) + 0.05) / (min(behind, letter) + 0.05)
        assert contrast > 3.8, f"{hits} of 20"


# --------------------------------------------------------------------------- all of them


def test_anything_with_the_same_attributes_can_be_drawn_and_rendered():
    """The plots know no class of `training`: a lesson's own record of numbers will do."""
    history = SimpleNamespace(**HISTORY.__dict__)
    found = SimpleNamespace(classes=FOUND.classes, confusion=FOUND.confusion)
    for figure in (
        plots.plot_history(history, title="One", display=False),
        plots.plot_confusion(found, title="Two", display=False),
    ):
        assert len(figure.mime_bundle()[0]["image/png"]) > 5000
