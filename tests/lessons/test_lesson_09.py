"""Lesson 09: its functions against Captum, planted answers, and on the bundled networks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from _lessons import definitions
from captum.attr import LayerGradCam
from torch import nn
from torch.fx.experimental.optimization import fuse

import course_utils as cu

CPU = SimpleNamespace(device=torch.device("cpu"))
PIXELS = torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def lesson() -> dict[str, Any]:
    return definitions("09", run=CPU, size=96)


def with_head(net: cu.Network) -> nn.Module:
    """Give a pretrained network a head for three classes, as the lesson does."""
    torch.manual_seed(0)
    old = net.layer("head")
    new = nn.Linear(old.in_features, 3) if isinstance(old, nn.Linear) else None
    assert new is not None, "the last layer is linear"
    net.model.set_submodule(net.layers.head, new)
    return new


# ------------------------------------------------------------------------------ maps


@pytest.fixture(params=["resnet18", "efficientnet_lite0"])
def network(request, load_named):
    if request.param == "resnet18":
        return load_named("resnet18")
    return cu.load_network(request.param, source="embedded", device="cpu", verbose=False)


def test_signed_maps_are_captums_and_add_up_to_the_logit(lesson, network):
    head, model, layer = with_head(network), network.model, network.layers.grad_cam
    stages = dict(model.named_children())
    lower = nn.Sequential(*list(stages.values())[: list(stages).index(layer)])
    lesson.update(net=network, lower=fuse(lower.eval()), last=stages[layer])
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=PIXELS)
    seen = lesson["look"](images)
    x = lesson["prepare"](images)
    maps = lesson["signed_maps"](seen["maps"], head.weight.detach())
    with torch.no_grad():
        logits = model(x)
        entered = model.get_submodule(layer)(seen["before"])
    torch.testing.assert_close(entered, seen["maps"], rtol=1e-3, atol=1e-4)
    sums = maps.sum(dim=(2, 3)) + head.bias.detach()
    torch.testing.assert_close(sums, logits, rtol=1e-3, atol=1e-3)
    for target in range(3):
        captum = LayerGradCam(model, model.get_submodule(layer)).attribute(x.clone(), target)
        expected = captum.detach()[:, 0]
        torch.testing.assert_close(maps[:, target], expected, rtol=1e-3, atol=1e-5)


def test_a_common_row_changes_maps_and_no_probability(lesson):
    maps, weight = torch.rand(4, 6, 2, 3, generator=PIXELS), torch.randn(3, 6, generator=PIXELS)
    moved = weight + 0.7
    signed = lesson["signed_maps"]
    features = maps.mean(dim=(2, 3))
    chance, same = ((features @ w.T).softmax(dim=1) for w in (weight, moved))
    torch.testing.assert_close(chance, same)
    assert (signed(maps, moved) - signed(maps, weight)).abs().min() > 0
    centred = [w - w.mean(dim=0) for w in (weight, moved)]
    torch.testing.assert_close(*(signed(maps, w) for w in centred))


def test_class_maps_take_each_pictures_own_head_and_class(lesson):
    maps, weights = torch.rand(5, 6, 4, 4, generator=PIXELS), torch.randn(5, 3, 6, generator=PIXELS)
    target = torch.tensor([0, 2, 1, 1, 0])
    lesson.update(maps=maps, every=torch.arange(5))
    found = lesson["class_maps"](weights, target)
    assert found.shape == (5, 1, 32, 32)
    for i in range(5):
        one = lesson["signed_maps"](maps[[i]], weights[i])[:, [target[i]]]
        large = nn.functional.interpolate(one, 32, mode="bilinear").clamp(min=0)
        torch.testing.assert_close(found[[i]], large)


# ------------------------------------------------------------------------------ measures


def test_mean_intensity_knows_neither_place_nor_strength(lesson):
    blob = torch.zeros(3, 1, 8, 8)
    blob[0, :, :4, :4] = blob[1, :, 4:, 4:] = 1
    blob[2] = 9 * blob[0] - 5 * blob[1]
    np.testing.assert_allclose(lesson["mean_intensity"](blob), 0.25)
    np.testing.assert_allclose(lesson["mean_intensity"](1e-20 * blob), 0.25)
    assert np.isnan(lesson["mean_intensity"](torch.zeros(1, 8, 8)))


def test_share_on_animal_is_relevance_mass(lesson):
    maps, masks = torch.rand(6, 1, 8, 8, generator=PIXELS), torch.zeros(6, 8, 8, dtype=torch.bool)
    masks[:, 2:5, 1:7] = True
    lesson["masks"] = masks
    expected = cu.evaluation.relevance_mass(maps, masks).share
    np.testing.assert_allclose(lesson["share_on_animal"](maps), expected, rtol=1e-5)
    np.testing.assert_allclose(lesson["share_on_animal"](1e-20 * maps), expected, rtol=1e-5)
    assert np.isnan(lesson["share_on_animal"](0 * maps)).all()


def confounded(effect: float, seed: int = 0):
    """Values that depend on the stratum, which decides how often a picture is wrong, too."""
    random = np.random.default_rng(seed)
    strata = random.integers(0, 3, 400)
    wrong = random.random(400) < np.array([0.05, 0.2, 0.5])[strata]
    return 0.2 * strata - effect * wrong + random.normal(0, 0.1, 400), wrong, strata


def test_strata_take_a_confounder_away_and_leave_an_effect(lesson):
    values, wrong, strata = confounded(effect=0.0)
    raw, p_raw = lesson["within_strata"](values, wrong, np.zeros(400, int), n_resamples=499)
    adjusted, p = lesson["within_strata"](values, wrong, strata, n_resamples=499)
    assert raw > 0.1
    assert p_raw == 1 / 500
    assert abs(adjusted) < 0.03
    assert p > 0.05
    values, wrong, strata = confounded(effect=0.1)
    adjusted, p = lesson["within_strata"](values, wrong, strata, n_resamples=499)
    assert adjusted == pytest.approx(-0.1, abs=0.03)
    assert p == 1 / 500


def test_p_values_do_not_depend_on_the_scale_and_blank_maps_are_left_out(lesson):
    values, wrong, strata = confounded(effect=0.02)
    once, p = lesson["within_strata"](values, wrong, strata, n_resamples=99)
    again, same = lesson["within_strata"](1e-14 * values, wrong, strata, n_resamples=99)
    assert (1e14 * again, same) == (pytest.approx(once), p)
    values = np.append(values, [np.nan] * 3)
    wrong, strata = np.append(wrong, [True] * 3), np.append(strata, [0, 1, 2])
    assert lesson["within_strata"](values, wrong, strata, n_resamples=99) == (once, p)


def test_without_strata_it_is_the_ordinary_permutation_test(lesson):
    values, wrong, _ = confounded(effect=0.02)
    values = values + np.where(wrong, -0.09, 0)
    ours, p = lesson["within_strata"](values, wrong, np.zeros(400, int))
    theirs = cu.evaluation.permutation_test(values[wrong], values[~wrong], paired=False)
    assert ours == pytest.approx(theirs.difference)
    assert p == pytest.approx(theirs.p_value, abs=0.04)


def test_p_values_are_uniform_where_there_is_nothing_to_find(lesson):
    drawn = [
        lesson["within_strata"](*confounded(0.0, seed), n_resamples=99, seed=seed)[1]
        for seed in range(60)
    ]
    assert 0.3 < np.mean(drawn) < 0.7
    assert np.mean(np.array(drawn) < 0.1) < 0.25


# ------------------------------------------------------------------------------ exercises


def test_exercises_have_answers_that_pass(lesson, capsys):
    """Stratify with scikit-learn; the map of a difference is linear in the weight."""
    from sklearn.model_selection import train_test_split

    labels = np.repeat([0, 1, 2], 100)
    train, rest = train_test_split(np.arange(300), train_size=0.7, stratify=labels, random_state=0)
    val, test = train_test_split(rest, train_size=0.5, stratify=labels[rest], random_state=0)
    counts = [np.bincount(labels[part]).tolist() for part in (train, val, test)]
    assert counts == [[70] * 3, [15] * 3, [15] * 3]
    maps, weight = torch.rand(4, 6, 2, 3, generator=PIXELS), torch.randn(3, 6, generator=PIXELS)
    signed = lesson["signed_maps"]
    expected = signed(maps, weight)[:, 0] - signed(maps, weight)[:, 1]
    answer = signed(maps, weight[[0]] - weight[[1]])[:, 0]
    assert cu.check("map of a difference", answer, expected)
    assert "✓" in capsys.readouterr().out


# ------------------------------------------------------------------------------ calibration


def judged(probabilities, labels) -> cu.Evaluation:
    return cu.Evaluation(labels, probabilities, ("cat", "dog"))


def test_calibration_of_known_predictions(lesson):
    sure = torch.tensor([0.7, 0.6, 0.6, 0.8, 0.9])  # of the first class, which is right twice
    found = judged(torch.stack([sure, 1 - sure], dim=1), torch.tensor([0, 0, 1, 1, 1]))
    bins, error = lesson["reliability"](found, bins=4)
    np.testing.assert_allclose(bins["share"], [0.6, 0.4])
    np.testing.assert_allclose(bins["correct"], [2 / 3, 0])
    np.testing.assert_allclose(bins["confidence"], [1.9 / 3, 0.85], rtol=1e-5)
    assert error == pytest.approx((3 * (2 - 1.9) / 3 + 2 * 0.85) / 5, rel=1e-5)


def test_a_calibrated_classifier_has_no_calibration_error(lesson):
    right = 0.5 + 0.5 * torch.rand(40_000, generator=PIXELS)
    labels = (torch.rand(40_000, generator=PIXELS) > right).long()
    honest = torch.stack([right, 1 - right], dim=1)
    boastful = (3 * honest.log()).softmax(dim=1)
    assert lesson["reliability"](judged(honest, labels))[1] < 0.01
    assert lesson["reliability"](judged(boastful, labels))[1] > 0.08
