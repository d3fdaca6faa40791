"""Functions of lesson 04: Grad-CAM by hooks, the split, McNemar's test, the custom network."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from _lessons import definitions
from captum.attr import LayerGradCam
from scipy.stats import binomtest

import course_utils as cu


@pytest.fixture
def lesson():
    labels = torch.arange(3).repeat(62)
    return SimpleNamespace(**definitions("04", labels=labels, seed=0))


def test_grad_cam_by_hooks_is_captums_and_leaves_no_hook(lesson):
    torch.manual_seed(0)
    model = lesson.custom_cnn().eval()
    layer, x = model[-4], torch.randn(1, 3, 64, 64)
    ours = lesson.grad_cam_by_hooks(model, layer, x, 2)
    theirs = LayerGradCam(model, layer).attribute(x, 2, relu_attributions=True)
    torch.testing.assert_close(ours, theirs.detach())
    torch.testing.assert_close(ours, cu.grad_cam(model, x, 2, layer, upsample=False))
    assert not layer._forward_hooks


def test_split_is_130_28_28_with_equal_shares(lesson):
    parts = lesson.split(3)
    assert [len(part) for part in parts] == [130, 28, 28]
    assert sorted(number for part in parts for number in part) == list(range(186))
    for part in parts:
        counts = torch.bincount(lesson.split.__globals__["labels"][part])
        assert counts.max() - counts.min() <= 1
    assert lesson.split(3) == parts
    assert lesson.split(4) != parts


def test_mcnemar_counts_only_pictures_on_which_they_differ(lesson):
    first = torch.tensor([True] * 9 + [False] * 6).numpy()
    second = torch.tensor([True] * 8 + [False] + [True] * 5 + [False]).numpy()
    assert lesson.mcnemar(first, second) == binomtest(5, 6).pvalue
    assert lesson.mcnemar(first, first) == 1


def test_custom_network_takes_224_pixels_to_three_logits(lesson):
    model = lesson.custom_cnn().eval()
    assert model(torch.zeros(2, 3, 224, 224)).shape == (2, 3)
    assert model[:-3](torch.zeros(1, 3, 224, 224)).shape == (1, 128, 14, 14)
