"""Functions of lesson 04: Grad-CAM twice, the split, the statistics of a test, the networks."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _lessons import definitions
from captum.attr import LayerGradCam
from scipy.stats import binomtest

import course_utils as cu


@pytest.fixture
def lesson():
    return SimpleNamespace(**definitions("04", SIZE=32, most=63))


def test_grad_cam_by_hooks_is_captums_and_leaves_no_hook(lesson):
    torch.manual_seed(0)
    model = lesson.custom_cnn().eval()
    layer, x = model[-4], torch.randn(1, 3, 64, 64)
    ours = lesson.grad_cam_by_hooks(model, layer, x, 2)
    theirs = LayerGradCam(model, layer).attribute(x, 2, relu_attributions=True)
    torch.testing.assert_close(ours, theirs.detach())
    torch.testing.assert_close(ours, cu.grad_cam(model, x, 2, layer, upsample=False))
    assert not layer._forward_hooks


def test_grad_cam_by_hooks_takes_one_picture_and_leaves_the_network_alone(lesson):
    torch.manual_seed(0)
    model = lesson.custom_cnn().eval()
    layer, x = model[-4], torch.randn(2, 3, 64, 64)
    lesson.grad_cam_by_hooks(model, layer, x[:1], 2)
    assert all(parameter.grad is None for parameter in model.parameters())
    with pytest.raises(ValueError, match="too many values"):
        lesson.grad_cam_by_hooks(model, layer, x, 2)
    with pytest.raises(IndexError):
        lesson.grad_cam_by_hooks(model, layer, x[:1], 3)  # there is no such class
    assert not layer._forward_hooks


def test_training_a_pair_leaves_the_random_numbers_alone():
    values = {"epochs": 1, "scale": ((0.5,) * 3, (0.5,) * 3), "body": torch.nn.Identity()}
    train_pair = definitions("04", **values)["train_pair"]
    images, labels = torch.zeros(186, 3, 16, 16).byte(), torch.arange(3).repeat(62)
    means, before = torch.rand(186, 4), torch.get_rng_state()
    weights = [train_pair(images, labels, means, 5)["Custom CNN"][0][-1].weight for _ in range(2)]
    assert torch.equal(*weights)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_p_value_decides_nothing():
    in_words = definitions("04", seed=0)["in_words"]
    assert in_words(np.array([0.1]), 0.05) == "undecided"
    assert in_words(np.array([np.nan, np.nan]), 0.05) == "undecided"
    assert in_words(np.arange(1, 20), 0.05) == "more"
    assert in_words(-np.arange(1, 20), 0.05) == "less"


def test_class_maps_are_grad_cam_but_for_a_factor(lesson):
    torch.manual_seed(0)
    model = lesson.custom_cnn().eval()
    x, labels = torch.randn(3, 3, 64, 64), torch.tensor([0, 1, 2])
    maps = lesson.class_maps(model[0](x).detach(), model[-1], labels)
    expected = cu.grad_cam(model, x, labels, model[0], upsample=False)
    torch.testing.assert_close(maps.detach() / maps[0, 0].numel(), expected)


def test_subtracting_the_mean_of_a_heads_rows_changes_no_probability(lesson):
    torch.manual_seed(0)
    head, x = torch.nn.Linear(8, 3), torch.randn(5, 8)
    before = head(x).softmax(dim=1).detach()
    with torch.no_grad():
        lesson.subtract_mean(head)
    torch.testing.assert_close(head(x).softmax(dim=1), before)
    torch.testing.assert_close(head(x).sum(dim=1), torch.zeros(5), atol=1e-6, rtol=0)


def test_split_is_130_28_28_with_equal_shares(lesson):
    labels = torch.arange(3).repeat(62)
    parts = lesson.split(labels, 3)
    assert [len(part) for part in parts] == [130, 28, 28]
    assert sorted(number for part in parts for number in part) == list(range(186))
    for part in parts:
        counts = torch.bincount(labels[part])
        assert counts.max() - counts.min() <= 1
    assert lesson.split(labels, 3) == parts
    assert lesson.split(labels, 4) != parts


def test_small_set_has_the_counts_of_the_real_one(lesson):
    classes = torch.arange(3).repeat(70)
    images = torch.zeros(210, 3, 1, 1, dtype=torch.uint8)
    part = SimpleNamespace(has_masks=True, to_tensors=lambda size: (images, classes))
    _, labels = lesson.small_set(SimpleNamespace(train=part, val=part, test=part))
    assert torch.bincount(labels).tolist() == [63, 62, 61]


def test_accuracy_comes_with_wilsons_interval(lesson):
    right = torch.ones(28, dtype=torch.bool).numpy()
    assert lesson.with_interval(right) == "100% (88% to 100%)"


def test_mcnemar_counts_only_pictures_on_which_they_differ(lesson):
    first = torch.tensor([True] * 9 + [False] * 6).numpy()
    second = torch.tensor([True] * 8 + [False] + [True] * 5 + [False]).numpy()
    assert lesson.mcnemar(first, second) == binomtest(5, 6).pvalue
    assert lesson.mcnemar(first, first) == 1


def test_custom_network_takes_224_pixels_to_three_logits(lesson):
    model = lesson.custom_cnn().eval()
    assert model(torch.zeros(2, 3, 224, 224)).shape == (2, 3)
    assert model[:-3](torch.zeros(1, 3, 224, 224)).shape == (1, 128, 14, 14)
