"""Lesson 08's own code: losses against closed forms, and one step on VGG19 itself."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from _lessons import definitions
from torch import nn

import course_utils as cu


@pytest.fixture(scope="module")
def net():
    return cu.load_network("squeezenet1_1", device="cpu", verbose=False)


@pytest.fixture(scope="module")
def lesson(net):
    return SimpleNamespace(**definitions("08", net=net, small=48, seed=0))


def pictures(count: int, size: int = 48, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 3, size, size, generator=generator)


# --- the losses ----------------------------------------------------------------------------


def test_relative_loss_is_a_ratio_of_squares(lesson):
    target = torch.full((1, 2, 3, 4), 2.0)
    assert lesson.relative(target + 1, target) == 0.25
    assert lesson.relative(target * 0, target) == 1
    assert lesson.relative(7 * (target + 1), 7 * target) == 0.25


def test_gram_matrix_is_the_double_sum_and_forgets_places(lesson):
    features = torch.randn(1, 5, 4, 3, dtype=torch.float64)
    expected = torch.einsum("nkhw,nlhw->kl", features, features) / features.numel()
    torch.testing.assert_close(lesson.gram(features), expected)
    shuffled = features.flatten(2)[..., torch.randperm(12)].view_as(features)
    torch.testing.assert_close(lesson.gram(shuffled), expected)
    tiled = features.repeat(1, 1, 2, 3)
    torch.testing.assert_close(lesson.gram(tiled), expected, msg="it depends on the picture's size")


def test_gradient_of_the_style_loss_is_the_papers(lesson):
    features = torch.randn(1, 5, 4, 3, dtype=torch.float64, requires_grad=True)
    target = torch.randn(5, 5, dtype=torch.float64)
    target = target + target.T
    difference = lesson.gram(features) - target
    (slope,) = torch.autograd.grad(difference.square().sum(), features)
    matrix = features.detach()[0].flatten(1)
    expected = 4 / matrix.numel() * (difference.detach() @ matrix)
    torch.testing.assert_close(slope[0].flatten(1), expected)


def test_gram_distance_is_a_distance_of_crowds(lesson):
    first, second = torch.randn(1, 4, 3, 3).double(), torch.randn(1, 4, 5, 2).double()
    rows = [values[0].flatten(1).T for values in (first, second)]
    expected = 16 * (lesson.gram(first) - lesson.gram(second)).square().sum()
    torch.testing.assert_close(lesson.crowd_distance(*rows), expected)


def test_total_variation_of_a_ramp(lesson):
    ramp = (0.1 * torch.arange(6.0)).expand(1, 3, 4, 6)
    torch.testing.assert_close(lesson.total_variation(ramp), torch.tensor(3 * 4 * 5 * 0.01))
    torch.testing.assert_close(lesson.total_variation(ramp.mT), torch.tensor(3 * 4 * 5 * 0.01))


def test_transfer_loss_at_its_targets(lesson, net):
    content, style = pictures(2)
    value, terms = lesson.transfer_loss(content, style, weight=5.0, smooth=2.0)(content)
    assert terms["content"] == 0
    expected = 5 * terms["style"] + 2 * lesson.total_variation(content) / content.numel()
    torch.testing.assert_close(value, expected)
    _, terms = lesson.transfer_loss(content, style)(style)
    assert terms["style"] < 1e-10
    assert terms["content"] > 0.1


def test_targets_are_computed_once_and_deep_layers_never(lesson, net):
    calls = {"features.0": 0, "features.8": 0}
    hooks = []
    for name in calls:

        def count(*_, name=name):
            calls[name] += 1

        hooks.append(net.model.get_submodule(name).register_forward_hook(count))
    content, style = pictures(2)
    found = lesson.restyle(content, style, 3)
    for hook in hooks:
        hook.remove()
    assert found.steps_done == 3
    assert calls == {"features.0": 2 + 4, "features.8": 0}


# --- variations ----------------------------------------------------------------------------


def test_recoloured_picture_has_the_other_ones_statistics(lesson):
    one, two = pictures(2)
    two = 0.3 * two + 0.2 * two.roll(1, dims=1)
    for found, wanted in zip(
        lesson.statistics(lesson.recoloured(one, two)), lesson.statistics(two), strict=True
    ):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(lesson.recoloured(one, one), one, atol=1e-5, rtol=0)


def test_luminance_keeps_greys(lesson):
    grey = pictures(1)[0][:, :1].expand(1, 3, 48, 48)
    torch.testing.assert_close(lesson.luminance(grey), grey)


def test_guided_gram_counts_only_the_places_inside(lesson):
    features = torch.randn(1, 5, 4, 6)
    mask = torch.zeros(1, 1, 8, 12)
    mask[..., :6] = 1
    torch.testing.assert_close(
        lesson.guided_gram(features, mask), lesson.gram(features[..., :3].contiguous())
    )


def test_masked_transfer_leaves_the_rest_alone(lesson):
    content, style = pictures(2)
    mask = torch.zeros(1, 1, 48, 48)
    mask[..., :24] = 1
    found = lesson.masked_transfer(content, style, mask, 3)
    assert torch.equal(found[..., 24:], content[..., 24:])
    assert not torch.equal(found[..., :24], content[..., :24])


def test_blend_of_a_style_with_itself_is_that_style(lesson):
    content, style = pictures(2)
    blended = lesson.blended_loss(content, [style, style], 0.3)(content)
    plain, _ = lesson.transfer_loss(content, style)(content)
    torch.testing.assert_close(blended, plain)


def test_texture_comes_closer_to_the_style(lesson, net):
    style = pictures(1, seed=5)[0].roll(1, dims=-1) * 0.5
    found = lesson.texture(net, style, 2)
    assert found.steps_done == 2
    assert found.value < found.history[0]


def test_raw_losses_follow_the_scale_and_relative_ones_do_not(lesson):
    one, two = torch.randn(2, 1, 3, 4, 4)
    raw = [(lesson.gram(k * one) - lesson.gram(k * two)).square().sum() for k in (1, 10)]
    torch.testing.assert_close(raw[1], 1e4 * raw[0])
    relative = [lesson.relative(lesson.gram(k * one), lesson.gram(k * two)) for k in (1, 10)]
    torch.testing.assert_close(*relative)


# --- pictures and networks --------------------------------------------------------------------


def test_square_and_painting(lesson):
    assert lesson.square("chelsea", 40).shape == (1, 3, 40, 40)
    assert lesson.square("chelsea", 40).max() <= 1
    found = lesson.square("strokes", 40)
    assert found.shape == (1, 3, 40, 40)
    assert not torch.equal(found, lesson.square("strokes_2", 40))


def test_one_step_on_the_other_bundled_network(lesson):
    other = cu.load_network("efficientnet_lite0", device="cpu", verbose=False)
    content, style = pictures(2, 64)
    found = lesson.restyle(content, style, 2, network=other)
    assert found.value < found.history[0]


def test_one_step_on_vgg19_itself(load_named):
    vgg = load_named("vgg19")
    lesson = SimpleNamespace(**definitions("08", net=vgg, borrowed={"style": [1] * 4}))
    content, style = pictures(2, 32)
    found = lesson.restyle(content, style, 1, layers=vgg.layers.style)
    assert set(found.terms) == {"content", "style", "variation"}
    assert found.value < found.history[0]
    assert torch.isfinite(found.best).all()
    look = lesson.looking(vgg, [vgg.layers.content, *vgg.layers.style])
    shapes = {name: tuple(values.shape[1:]) for name, values in look(content).items()}
    assert shapes == {
        "features.22": (512, 4, 4),
        "features.1": (64, 32, 32),
        "features.6": (128, 16, 16),
        "features.11": (256, 8, 8),
        "features.20": (512, 4, 4),
        "features.29": (512, 2, 2),
    }
    assert isinstance(vgg.model.get_submodule("features.22"), nn.ReLU)
