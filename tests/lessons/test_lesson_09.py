"""Lesson 09: its functions against Captum, scikit-learn, planted answers, and on ResNet18."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _lessons import definitions
from captum.attr import LayerGradCam
from torch import nn

import course_utils as cu

CPU = SimpleNamespace(device=torch.device("cpu"), choose=lambda **sizes: sizes["fast"])
PIXELS = torch.Generator().manual_seed(0)


class Tiny(nn.Module):
    """Two convolutions, averaged: what every network of the lesson is, but small."""

    def __init__(self) -> None:
        super().__init__()
        self.early = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(inplace=True))
        self.late = nn.Sequential(nn.Conv2d(8, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU6())
        self.end = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, images):
        return self.end(self.late(self.early(images)))


@pytest.fixture(scope="module")
def lesson():
    """Execute the lesson's definitions, with the settings that its cells make for them."""
    neutral = torch.zeros(1, 3, 1, 1)
    names = definitions("09", run=CPU, mean=neutral, std=neutral + 1, val=None, test=None)
    names["augment"] = cu.Augment(flip=0.5, rotation=15)
    names["generator"] = torch.Generator().manual_seed(0)
    return names


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    backbone = Tiny().requires_grad_(False).eval()
    head = nn.Linear(6, 3)
    images = torch.rand(5, 3, 32, 32, generator=PIXELS)
    return backbone, head, images


# ------------------------------------------------------------------------------ training


def test_the_lessons_head_is_the_one_of_fit_head(lesson):
    features = torch.randn(90, 12, generator=torch.Generator().manual_seed(1))
    labels = (features[:, :3]).argmax(dim=1)
    ours = lesson["train_head"](features, labels, 3, epochs=4, seed=5)
    theirs = cu.fit_head(features, labels, classes=3, epochs=4, seed=5, progress=False).head
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)
    other = lesson["train_head"](features, labels, 3, epochs=4, seed=6)
    assert not torch.allclose(ours.weight, other.weight)


def test_changed_copies_are_new_pictures_of_the_same_kind(lesson):
    images = torch.randint(0, 256, (300, 3, 16, 16), dtype=torch.uint8, generator=PIXELS)
    labels = torch.arange(300)
    changed, same = lesson["changed_copy"](images, labels)
    assert changed.dtype == torch.uint8
    assert changed.shape == images.shape
    assert same is labels
    assert (changed != images).flatten(1).any(dim=1).float().mean() > 0.9


def test_report_is_scikit_learns(lesson):
    random = np.random.default_rng(0)
    labels, scores = torch.tensor(random.integers(0, 3, 200)), torch.tensor(random.random((200, 3)))
    found = cu.Evaluation(labels, scores.float().softmax(dim=1), ("a", "b", "c"))
    expected = found.report[["precision", "recall", "f1"]].to_numpy()
    np.testing.assert_allclose(lesson["report"](found.confusion), expected, atol=1e-12)
    never = lesson["report"](np.array([[3, 0], [2, 0]]))  # a class that is never predicted
    np.testing.assert_allclose(never[1], [0, 0, 0])


# ------------------------------------------------------------------------------ Grad-CAM


def test_signed_grad_cam_is_captums_and_adds_up_to_the_logit(lesson, tiny):
    backbone, head, images = tiny
    model = nn.Sequential(backbone, head).eval()
    for target in range(3):
        ours = lesson["signed_grad_cam"](model, "0.late", images[:1], target)
        captum = LayerGradCam(model, backbone.late).attribute(images[:1].clone(), target)
        torch.testing.assert_close(ours, captum)
        logit = model(images[:1])[0, target]
        torch.testing.assert_close(ours.sum() + head.bias[target], logit)
    early = lesson["signed_grad_cam"](model, "0.early.0", images[:1], 0)  # an in-place ReLU follows
    captum = LayerGradCam(model, backbone.early[0]).attribute(images[:1].clone(), 0)
    torch.testing.assert_close(early, captum)
    assert not any(module._forward_hooks for module in model.modules())


def front_and_last(lesson, backbone, layer, images):
    """Cut a network in front of a layer, as the lesson's cells do."""
    front = lesson["Front"](backbone, layer)
    with torch.no_grad():
        shape = tuple(front(images).shape[1:])
        entering = front(images).flatten(1)
    assert not backbone.get_submodule(layer)._forward_pre_hooks
    return entering, nn.Sequential(nn.Unflatten(1, shape), backbone.get_submodule(layer))


def test_class_maps_are_grad_cam_of_every_picture_and_class(lesson, tiny):
    backbone, head, images = tiny
    entering, lesson["last"] = front_and_last(lesson, backbone, "late", images)
    maps = lesson["class_maps"](entering, head.weight)
    model = nn.Sequential(backbone, head)
    for index in range(len(images)):
        for target in range(3):
            one = lesson["signed_grad_cam"](model, "0.late", images[index : index + 1], target)
            torch.testing.assert_close(maps[index, target], one[0, 0])


def test_a_centred_head_has_the_same_probabilities_and_unique_maps(lesson, tiny):
    backbone, head, images = tiny
    entering, lesson["last"] = front_and_last(lesson, backbone, "late", images)
    features = backbone(images)
    before = head(features).softmax(dim=1)
    raw = lesson["class_maps"](entering, head.weight)
    shifted = nn.Linear(6, 3)
    shifted.load_state_dict({"weight": head.weight + 0.3, "bias": head.bias})
    torch.testing.assert_close(shifted(features).softmax(dim=1), before)
    moved = lesson["class_maps"](entering, shifted.weight)
    assert (moved - raw).abs().max() > 0.2 * raw.abs().max(), "equal probabilities, other maps"
    ours, theirs = (lesson["centred"](one) for one in (head, shifted))
    torch.testing.assert_close(ours(features).softmax(dim=1), before)
    maps = [lesson["class_maps"](entering, one.weight) for one in (ours, theirs)]
    torch.testing.assert_close(*maps)
    torch.testing.assert_close(maps[0], raw - raw.mean(dim=1, keepdim=True))


# ------------------------------------------------------------------------------ measures


def test_mean_intensity_knows_neither_place_nor_strength(lesson):
    blob = torch.zeros(3, 1, 8, 8)
    blob[0, :, :4, :4] = blob[1, :, 4:, 4:] = 1
    blob[2] = 9 * blob[0] - 5 * blob[1]
    np.testing.assert_allclose(lesson["mean_intensity"](blob), 0.25)
    assert lesson["mean_intensity"](torch.zeros(1, 8, 8)) == 0


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


def test_difference_is_wrong_minus_right(lesson):
    rows = np.array([[1.0, 1], [3.0, 1], [1.0, 0]])
    assert lesson["difference"](rows) == 1
    assert np.isnan(lesson["difference"](rows[:2]))


# ------------------------------------------------------------------------------ pictures


def test_enlarging_keeps_pictures_upright_and_bright(lesson):
    pictures = np.zeros((2, 32, 32, 3), np.uint8)
    pictures[:, :16, :, 0] = 200
    lesson["size"] = 224
    larger = lesson["enlarged"](pictures)
    assert larger.shape == (2, 3, 224, 224)
    assert larger.dtype == torch.uint8
    assert (larger[:, 0, :100] == 200).all()
    assert not larger[:, 0, 130:].any()
    assert not larger[:, 1:].any()


def test_the_small_network_can_learn(lesson):
    torch.manual_seed(0)
    cnn = lesson["small_cnn"](3)
    images = torch.rand(24, 3, 32, 32, generator=PIXELS)
    labels = torch.arange(24) % 3
    images[range(24), labels] += 1
    history = cu.fit(cnn, [(images, labels)], epochs=12, learning_rate=1e-2, progress=False)
    assert history.train_accuracy[-1] > 0.9


def test_training_mode_shows_in_the_hits(lesson, tiny):
    """Where brightness makes the class, normalising a batch of one class takes the class away."""
    backbone, _, _ = tiny
    labels = torch.arange(3).repeat_interleave(20)
    noise = torch.rand(60, 3, 32, 32, generator=PIXELS)
    images = (noise * (labels + 0.5)[:, None, None, None] * 100).byte()
    with torch.no_grad():
        features = backbone(images / 255)
    options = {"epochs": 60, "learning_rate": 0.3, "progress": False}
    head = cu.fit_head(features, labels, **options).head
    lesson.update(images=images, labels=labels, head=head)
    groups = list(torch.arange(60).split(20))
    assert lesson["hits"](backbone, groups) > 0.9
    assert lesson["hits"](backbone.train(), groups) < 0.6


# ------------------------------------------------------------------------------ ResNet18 itself


def test_every_step_of_the_lesson_on_resnet18(lesson, load_named):
    net = load_named("resnet18")
    images = torch.randint(0, 256, (6, 3, 96, 96), dtype=torch.uint8, generator=PIXELS)
    labels = torch.arange(6) % 3
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in (net.preprocess.mean, net.preprocess.std)
    )
    lesson.update(mean=mean, std=std)
    features = cu.extract_features(net, (images, labels), progress=False)
    assert features.features.shape == (6, 512)
    head = cu.fit_head(*features, classes=3, epochs=1, progress=False).head
    lesson["centred"](head)
    backbone = cu.backbone_of(net)
    model = nn.Sequential(backbone, head).eval()
    layer = net.layers.grad_cam
    pictures = lesson["normalised"](images)
    torch.testing.assert_close(model(pictures), head(features.features), rtol=1e-3, atol=1e-3)

    ours = lesson["signed_grad_cam"](model, f"0.{layer}", pictures[:1], 1)
    captum = LayerGradCam(model, model.get_submodule(f"0.{layer}"))
    torch.testing.assert_close(ours, captum.attribute(pictures[:1].clone(), 1))
    entering, lesson["last"] = front_and_last(lesson, backbone, layer, pictures)
    maps = lesson["class_maps"](entering, head.weight)
    torch.testing.assert_close(maps[0, 1], ours[0, 0], rtol=1e-3, atol=1e-5)

    tail = nn.Sequential(lesson["last"], nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    torch.testing.assert_close(tail(entering), model(pictures), rtol=1e-3, atol=1e-3)
    tail.requires_grad_(True)
    norms = [module for module in tail.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms, "the last stage of ResNet18 has batch normalisation"
    means = [norm.running_mean.clone() for norm in norms]
    before = tail[0][1][0].conv1.weight.clone()
    cu.fit(tail, [(entering, labels)], epochs=1, freeze=norms, progress=False)
    assert not torch.equal(before, tail[0][1][0].conv1.weight), "the stage learns"
    for norm, mean_before in zip(norms, means, strict=True):
        assert torch.equal(norm.running_mean, mean_before), "and its statistics do not"


@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_lite0"])
def test_the_maps_add_up_to_the_logit_on_the_bundled_networks(lesson, name):
    net = cu.load_network(name, source="embedded", device="cpu", verbose=False)
    torch.manual_seed(0)
    pictures = torch.randn(2, 3, 96, 96)
    backbone = cu.backbone_of(net)
    with torch.no_grad():
        head = nn.Linear(backbone(pictures).shape[1], 3)
    model = nn.Sequential(backbone, head).eval()
    ours = lesson["signed_grad_cam"](model, f"0.{net.layers.grad_cam}", pictures[:1], 2)
    captum = LayerGradCam(model, model.get_submodule(f"0.{net.layers.grad_cam}"))
    torch.testing.assert_close(ours, captum.attribute(pictures[:1].clone(), 2))
    entering, lesson["last"] = front_and_last(lesson, backbone, net.layers.grad_cam, pictures)
    maps = lesson["class_maps"](entering, head.weight)
    with torch.no_grad():
        logits = model(pictures)
    sums = maps.sum(dim=(2, 3)) + head.bias.detach()
    torch.testing.assert_close(sums, logits, rtol=1e-3, atol=1e-3)
    # behind SqueezeNet's maps lies one more ReLU, whose gradient is 0 where they are 0
    same = torch.allclose(maps[0, 2], ours[0, 0], rtol=1e-3, atol=1e-4)
    assert same == (name != "squeezenet1_1")
