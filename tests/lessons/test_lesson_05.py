"""Lesson 05: its maps are Captum's, a destroyed network is a copy, and hooks miss what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _lessons import definitions, random_weights
from captum.attr import Deconvolution, GuidedBackprop, LayerGradCam, Saliency
from torch import nn

# Captum says at every call that it sets hooks, and that it asks for gradients
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
BLOCKS = [f"features.{i}" for i in (0, 3, 4, 6, 7, 9, 10, 11, 12)] + ["classifier.1"]


def tiny(activation=nn.ReLU, **options):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), activation(**options), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(8, 6, 3), activation(**options), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(6, 4)).eval().requires_grad_(False)


@pytest.fixture
def images():
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def squeezenet():
    model = random_weights("squeezenet1_1").requires_grad_(False)
    model.classifier[2] = nn.Identity()
    return model


@pytest.fixture(scope="module")
def lesson(squeezenet):
    return definitions("05", model=squeezenet, blocks=BLOCKS, seed=0)


@pytest.fixture
def targets():
    return torch.tensor([0, 3, 1])


def same(model, before):
    return all(torch.equal(v, before[name]) for name, v in model.state_dict().items())


def test_saliency_of_a_batch_is_captums(lesson, images, targets):
    model = tiny()
    ours = lesson["saliency"](model, images, targets)
    captums = Saliency(model).attribute(images.clone(), targets, abs=True).amax(1, keepdim=True)
    assert ours.shape == (3, 1, 16, 16)
    torch.testing.assert_close(ours, captums)


@pytest.mark.parametrize("in_place", [False, True])
def test_guided_backprop_is_captums_and_leaves_the_network_alone(lesson, images, targets, in_place):
    model = tiny(inplace=in_place)
    ours = lesson["guided_backprop"](model, images, targets)
    torch.testing.assert_close(ours, GuidedBackprop(model).attribute(images.clone(), targets))
    assert not torch.allclose(ours, lesson["gradient"](model, images, targets))
    assert all(m.inplace is in_place for m in model.modules() if isinstance(m, nn.ReLU))
    assert not any(m._backward_hooks for m in model.modules())


def test_another_rule_gives_deconvolution(lesson, images, targets):
    model = tiny()
    rule = lambda _module, _into, out: (out[0].clamp(min=0),)  # noqa: E731
    ours = lesson["guided_backprop"](model, images, targets, rule=rule)
    torch.testing.assert_close(ours, Deconvolution(model).attribute(images.clone(), targets))


def test_relu6_needs_to_be_named(lesson, images, targets):
    model = tiny(nn.ReLU6)
    plain = lesson["gradient"](model, images, targets)
    torch.testing.assert_close(GuidedBackprop(model).attribute(images.clone(), targets), plain)
    torch.testing.assert_close(lesson["guided_backprop"](model, images, targets), plain)
    ours = lesson["guided_backprop"](model, images, targets, kinds=(nn.ReLU, nn.ReLU6))
    expected = lesson["guided_backprop"](tiny(), images, targets)  # no unit reaches 6
    torch.testing.assert_close(ours, expected)


def test_grad_cam_without_hooks_is_captums(lesson, squeezenet):
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    classes = torch.tensor([5, 7])
    ours = lesson["grad_cam"](squeezenet, image, classes)
    captums = LayerGradCam(squeezenet, squeezenet.features[12]).attribute(
        image, classes, relu_attributions=True
    )
    torch.testing.assert_close(ours, captums)


def test_a_destroyed_network_is_a_copy_with_other_numbers_in_these_blocks(lesson, squeezenet):
    before = {name: v.clone() for name, v in squeezenet.state_dict().items()}
    broken = lesson["destroyed"](["features.9", "classifier.1"], draw=3)
    again = lesson["destroyed"](["classifier.1"], draw=3)
    assert same(squeezenet, before)
    changed = {n for n, v in broken.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == {name for name in before if name.startswith(("features.9.", "classifier.1."))}
    assert torch.equal(broken.classifier[1].weight, again.classifier[1].weight)
    other = lesson["destroyed"](["classifier.1"], draw=4)
    assert not torch.equal(other.classifier[1].weight, again.classifier[1].weight)


def test_what_draws_random_weights_leaves_the_random_numbers_alone(lesson):
    before = torch.get_rng_state()
    lesson["destroyed"](["classifier.1"])
    lesson["small"](nn.ReLU)
    assert torch.equal(torch.get_rng_state(), before)
    scenes, labels = torch.rand(40, 1, 16, 32), torch.arange(40) % 10
    values = {"seen": slice(0, 30), "new": slice(30, 40), "x_new": scenes[30:], "scenes": scenes}
    names = definitions("05", seed=0, left=labels, right=labels, **values)
    before = torch.get_rng_state()
    first, second = (names["pupil"]("", labels[:30], 1)[-1].weight for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_target_is_that_of_every_picture_and_two_of_three_are_refused(lesson, squeezenet):
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    for method in (lesson["gradient"], lesson["grad_cam"]):
        found = method(squeezenet, images, torch.tensor([5]))
        torch.testing.assert_close(found, method(squeezenet, images, torch.tensor([5, 5, 5])))
        with pytest.raises(IndexError, match="broadcast"):
            method(squeezenet, images, torch.tensor([5, 7]))


def test_five_maps_of_a_network(lesson, squeezenet):
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    maps = lesson["maps_of"](squeezenet, image, torch.tensor([9]))
    assert list(maps) == [
        "Saliency", "Gradient × input", "Grad-CAM", "Guided Grad-CAM", "Guided Backprop",
    ]  # fmt: skip
    assert {tuple(values.shape) for values in maps.values()} == {(1, 1, 112, 112)}
    assert maps["Saliency"].min() >= 0
    assert maps["Grad-CAM"].min() >= 0


def test_an_empty_map_is_like_nothing():
    from course_utils import evaluation

    lesson = definitions("05", spearman=evaluation.spearman_similarity, seed=0, blocks=[])
    maps = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    after = torch.stack([maps[0], -maps[1], torch.zeros(1, 8, 8)])
    np.testing.assert_allclose(lesson["survival"](maps, after), [1, -1, 0], atol=1e-12)


def test_nan_is_not_taken_for_a_change():
    from course_utils import evaluation

    lesson = definitions("05", spearman=evaluation.spearman_similarity, seed=0, blocks=[])
    maps = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    broken = maps.clone()
    broken[0, 0, 3, 3] = torch.nan
    with pytest.raises(AssertionError):
        lesson["survival"](maps, broken)
    lesson = definitions("05", on_ink=torch.ones(2, 1, 8, 8).bool(), seed=0, blocks=[])
    assert np.isnan(lesson["inside"](maps, broken)).tolist() == [True, False]


@pytest.mark.parametrize("scale", [1e-35, 1e6])
def test_density_of_a_batch_is_that_of_each_map_at_any_scale(lesson, scale):
    maps = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * scale
    maps[1] *= 5
    found = lesson["density"](maps).abs().mean(dim=(1, 2, 3))
    torch.testing.assert_close(found, torch.ones(2))


def test_density_has_mean_one_and_survives_an_empty_map(lesson):
    assert lesson["density"](torch.randn(3, 8, 8)).abs().mean().item() == pytest.approx(1)
    assert lesson["density"](torch.zeros(3, 8, 8)).abs().max() == 0


def test_share_and_ranks_count_the_ink_only():
    ink, left = torch.zeros(2, 1, 4, 8, dtype=torch.bool), torch.arange(8) < 4
    ink[:, :, 1:3, 1:7] = True
    lesson = definitions("05", on_ink=ink, on_left=left, seed=0, blocks=[])
    maps = torch.where(left, 3.0, 1.0).expand(2, 1, 4, 8)
    np.testing.assert_allclose(lesson["left_share"](-maps), [0.75, 0.75])
    values = torch.randn(2, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    elsewhere = torch.where(ink, values, -9.0)
    np.testing.assert_allclose(lesson["inside"](values, elsewhere), [1, 1])
    np.testing.assert_allclose(lesson["inside"](values, -elsewhere), [-1, -1])


@pytest.mark.parametrize(
    ("kind", "plain"), [(nn.ReLU, False), (nn.ReLU6, True), ("Functional", True)]
)
def test_captums_hooks_miss_what_the_lesson_says(lesson, images, kind, plain):
    model = lesson["small"](lesson.get(kind, kind))
    image, one = images[:1], torch.tensor([1])
    torch.testing.assert_close(model(image), lesson["small"](nn.ReLU)(image))
    captums = GuidedBackprop(model).attribute(image.clone(), one)
    assert torch.allclose(captums, lesson["gradient"](model, image, one)) == plain
    kinds = (nn.ReLU, nn.ReLU6)
    ours = lesson["guided_backprop"](model, image, one, kinds=kinds)
    truth = lesson["guided_backprop"](lesson["small"](nn.ReLU), image, one)
    assert torch.allclose(ours, truth) == (kind in kinds)
