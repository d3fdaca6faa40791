"""Lesson 03's own functions, against Captum and closed forms, and on VGG19 itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from _lessons import definitions
from captum.attr import LayerGradCam, Occlusion
from torch import Tensor, nn

import course_scenes
import course_utils as cu

SIDE = 64


@pytest.fixture
def lesson():
    """Give a function that executes the lesson's definitions with some global names."""
    run = cu.setup("fast", "embedded", 0, "cpu", verbose=False)

    def load(**values: Any) -> dict[str, Any]:
        return definitions("03", run=run, size=SIDE, seed=0, **values)

    return load


def tiny(side: int = 16) -> tuple[nn.Module, Tensor]:
    """Return a frozen network with one output, in ``eval()``, and a picture for it."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    model = nn.Sequential(*layers, nn.Linear(side * side, 1)).requires_grad_(False).eval()
    return model, torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))


def pictures(count: int, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Noise in two classes that differ in one bright channel: uint8 images and labels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 120, (count, 3, side, side), generator=generator).byte()
    labels = torch.arange(count) % 2
    images[torch.arange(count), labels] += 120
    return images, labels


def splits(count: int) -> SimpleNamespace:
    """Training and validation pictures as the lesson's functions take them."""
    split = SimpleNamespace(to_tensors=lambda size: pictures(count, size))
    return SimpleNamespace(train=split, val=split)


@pytest.mark.parametrize(("window", "stride"), [(5, 3), (4, 4), (15, 8), (16, 1)])
def test_occlusion_is_captums(lesson, window, stride):
    model, x = tiny()
    ours = lesson()["occlusion"](model, x, window, stride)
    theirs = Occlusion(model).attribute(
        x, (3, window, window), (3, stride, stride), baselines=0, target=0
    )
    torch.testing.assert_close(ours, theirs[0, 0], rtol=1e-4, atol=1e-6)


def test_occlusion_of_a_sum_is_the_sum_under_the_square(lesson):
    class Sum(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.sum(dim=(1, 2, 3))[:, None]

    _, x = tiny(side=8)
    ours = lesson()["occlusion"](Sum(), x, 4, 4)
    expected = x.unfold(2, 4, 4).unfold(3, 4, 4).sum(dim=(0, 1, 4, 5))
    torch.testing.assert_close(ours[::4, ::4], expected)


def test_the_margin_is_the_difference_of_the_logits(lesson):
    model = nn.Identity()
    margin = lesson()["Margin"](model)
    logits = torch.tensor([[1.0, 4.0], [2.0, -3.0]])
    torch.testing.assert_close(margin(logits), torch.tensor([[3.0], [-5.0]]))
    torch.testing.assert_close(margin(logits).sigmoid()[:, 0], logits.softmax(dim=1)[:, 1])
    assert not any(p.requires_grad for p in margin.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_the_margin_leaves_the_networks_mode_and_the_random_numbers_alone(lesson, training):
    model = nn.Sequential(nn.Linear(4, 2), nn.Dropout()).train(training)
    model[1].training = not training  # a part may have a mode of its own
    before = torch.get_rng_state()
    margin = lesson()["Margin"](model)
    assert (margin.training, model.training, model[1].training) == (
        training,
        training,
        not training,
    )
    assert torch.equal(torch.get_rng_state(), before)


def test_a_new_network_is_the_same_each_time_and_leaves_the_random_numbers_alone(lesson):
    parts = SimpleNamespace(model=SimpleNamespace(features=nn.Sequential(nn.ReLU(), nn.Tanh())))
    build, before = lesson(net=parts, begin=1, end=2)["build"], torch.get_rng_state()
    first, second = build(), build()
    assert torch.equal(first[3].weight, second[3].weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_pictures_are_bytes_or_floats_up_to_1(lesson):
    images = pictures(2)[0]
    ready = lesson(normalise=nn.Identity())["ready"]
    torch.testing.assert_close(ready(images), ready(images / 255))


def test_occlusion_covers_the_whole_of_any_picture(lesson):
    occlusion = lesson()["occlusion"]
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 9, 1)).requires_grad_(False)
    x = torch.randn(1, 3, 12, 9, generator=torch.Generator().manual_seed(1))
    theirs = Occlusion(model).attribute(x, (3, 4, 4), (3, 3, 3), baselines=0, target=0)
    torch.testing.assert_close(occlusion(model, x, 4, 3), theirs[0, 0], rtol=1e-4, atol=1e-6)
    with pytest.raises(AssertionError, match="never be covered"):
        occlusion(model, x, 3, 4)


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [("squeezenet1_1", 9, 13), pytest.param("vgg19", 28, 36, marks=pytest.mark.slow)],
)
def test_head_then_last_block_learn_and_the_rest_stays(lesson, load_named, name, begin, end):
    net = load_named(name)
    normalise = torch.nn.Identity()
    colours = (net.preprocess.mean, net.preprocess.std)
    augment = cu.Augment(crop=4, flip=0.5)
    names = lesson(
        net=net, begin=begin, end=end, normalise=normalise, colours=colours, augment=augment
    )
    model = names["build"]()
    kept = {key: value.clone() for key, value in net.model.state_dict().items()}
    block = [p.clone() for p in model[1].parameters()]
    history = names["train_head"](model, splits(8))
    assert history.epochs[-1] == 60
    for old, now in zip(block, model[1].parameters(), strict=True):
        torch.testing.assert_close(old, now, rtol=0, atol=0)
    names["tune"](model, splits(8), 1)
    assert any(
        not torch.equal(old, now) for old, now in zip(block, model[1].parameters(), strict=True)
    )
    for key, value in net.model.state_dict().items():
        torch.testing.assert_close(value, kept[key], rtol=0, atol=0)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    x = pictures(1)[0].float() / 255
    margin = names["Margin"](model)
    cam = LayerGradCam(margin, model[1][-1]).attribute(x, 0)
    # a linear head on averaged maps: the cells add up to the margin without the bias
    weights = model[3].bias[1] - model[3].bias[0]
    torch.testing.assert_close(cam.sum(), (margin(x) - weights).sum(), rtol=1e-3, atol=1e-3)
    assert names["occlusion"](margin, x, 32, 32).shape == (SIDE, SIDE)


def test_scenes_are_rendered_again_and_only_what_was_asked_for_changes(lesson):
    names = lesson()
    (scene,) = course_scenes.draw("smoking", 1, seed=3, labels=[1])
    changed = names["restyle"](scene)
    before, after = scene.parameters, changed.parameters
    differ = {key for key in before if before[key] != after[key]}
    assert differ == {"glasses", "cloth_color", "cloth_color2"}
    assert names["restyle"](changed).parameters == before, "done twice, it is undone"
    images, masks = names["rerender"]([scene, scene.changed(without="cigarette")])
    assert images.shape == (2, 3, SIDE, SIDE)
    assert images.dtype == torch.uint8
    (cigarette,) = [
        key for key, part in course_scenes.parts("smoking").items() if part == "cigarette"
    ]
    assert (masks[0] == cigarette).any()
    assert not (masks[1] == cigarette).any()
