"""Lesson 01's own code: training, Saliency, Integrated Gradients, SmoothGrad, DeepLift."""

from __future__ import annotations

import copy
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _lessons import definitions
from captum.attr import DeepLift, IntegratedGradients, NoiseTunnel, Saliency
from torch import nn

import course_utils as cu

TARGETS = torch.tensor([3, 0, 7])


@pytest.fixture(scope="module")
def model():
    """Build the lesson's CNN in double precision, with weights large enough to matter."""
    torch.manual_seed(0)
    network = definitions("01")["CNN"]().double().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.mul_(2)
    return network


@pytest.fixture(scope="module")
def lesson(model):
    return SimpleNamespace(**definitions("01", model=model))


@pytest.fixture(scope="module")
def x():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double()


@pytest.fixture(scope="module")
def start():
    """Return a baseline that is not constant."""
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2)).double()


def change(model, x, start):
    return (model(x) - model(start)).gather(1, TARGETS[:, None])[:, 0]


def captum_deeplift(model, x, start):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return DeepLift(model).attribute(x.clone(), start.clone(), target=TARGETS).detach()


def test_the_network_takes_the_weights_that_come_with_the_course(lesson):
    stored, network = cu.load_checkpoint("cifar10_tutorial_cnn", device="cpu"), lesson.CNN()
    network.load_state_dict(stored.model.state_dict())
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(images), stored.model(images))


def test_training_lowers_the_loss_epoch_by_epoch(lesson):
    torch.manual_seed(0)
    labels = torch.arange(40) % 4
    images = torch.randn(40, 6) + 3 * torch.eye(4, 6)[labels]
    batches = [(images[i : i + 8], labels[i : i + 8]) for i in range(0, 40, 8)]
    losses = lesson.train(nn.Linear(6, 4), batches, epochs=6)
    assert losses.shape == (6,)
    assert losses[-1] < losses[0]


def test_saliency_is_captums(lesson, model, x):
    expected = Saliency(model).attribute(x.clone().requires_grad_(), target=TARGETS)
    torch.testing.assert_close(lesson.gradient(model, x, TARGETS).abs(), expected)
    assert not x.requires_grad


def test_integrated_gradients_are_captums_and_complete(lesson, model, x, start):
    ours = lesson.integrated_gradients(model, x, start, TARGETS, 7)
    expected = IntegratedGradients(model).attribute(
        x, start, TARGETS, n_steps=7, method="riemann_middle"
    )
    torch.testing.assert_close(ours, expected)
    many = lesson.integrated_gradients(model, x, start, TARGETS, 400)
    assert lesson.missing(many, change(model, x, start)).max() < 0.1


def test_measures_of_agreement(lesson):
    maps = torch.tensor([[1.0, 2.0], [0.5, 0.0]]).view(2, 1, 1, 2)
    assert lesson.missing(maps, torch.tensor([2.0, 1.0])).tolist() == [0.5, 0.5]
    assert lesson.differ(torch.tensor([4.0, 1]), torch.tensor([4.0, 2])) == 0.25
    assert lesson.alike(maps, 2 * maps) == pytest.approx(1)
    with pytest.raises(AssertionError):
        lesson.agree(maps, 1.1 * maps)


def test_smoothgrad_is_captums_noise_tunnel(lesson, model, x):
    torch.manual_seed(5)
    expected = NoiseTunnel(IntegratedGradients(model)).attribute(
        x, nt_samples=4, stdevs=0.3, target=TARGETS, n_steps=3, method="riemann_middle"
    )
    torch.manual_seed(5)
    noise = torch.normal(0, torch.full((3, 4, 3, 32, 32), 0.3)).transpose(0, 1)
    explain = lesson.ig_of(TARGETS, n_steps=3)
    ours = lesson.smoothgrad(explain, x, noise)
    torch.testing.assert_close(ours.float(), expected.float(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(lesson.smoothgrad(explain, x, torch.zeros_like(noise)), explain(x))


def test_deeplift_is_complete_and_the_courses(lesson, model, x, start):
    for baseline in (start, torch.zeros_like(x)):
        ours = lesson.deeplift(model, x, baseline, TARGETS)
        torch.testing.assert_close(ours.flatten(1).sum(1), change(model, x, baseline))
        expected = cu.deeplift(model, x, TARGETS, baseline).attributions
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_deeplift_is_complete_at_every_scale(lesson, model, x, start, scale):
    """Weights of the first layer that are a million times smaller, or larger, in float32."""
    network = copy.deepcopy(model).float()
    network.conv1.weight.mul_(scale)
    for name, parameter in network.named_parameters():
        parameter.mul_(0 if "bias" in name else 1)  # so that the logits are as small, or large
    found = lesson.deeplift(network, x.float(), start.float(), TARGETS).flatten(1).sum(1)
    expected = change(network, x.float(), start.float())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def test_one_target_is_that_of_every_picture_and_two_of_three_are_refused(lesson, model, x):
    found = lesson.gradient(model, x, TARGETS[:1])
    torch.testing.assert_close(found, lesson.gradient(model, x, TARGETS[:1].repeat(3)))
    logits = definitions("01", model=model, targets=TARGETS)["logit"]
    for wrong in (lambda: lesson.gradient(model, x, TARGETS[:2]), lambda: logits(x[:2])):
        with pytest.raises(IndexError, match="broadcast"):
            wrong()


def test_captum_loses_poolings_rule_after_a_relu(lesson, model, x, start):
    """Captum is right once ReLU and pooling are kept apart, and then equal to ours."""
    ours = lesson.deeplift(model, x, start, TARGETS)
    separated = nn.Sequential()
    for name, layer in model.named_children():
        pool = isinstance(layer, nn.MaxPool2d)
        separated.add_module(name, nn.Sequential(lesson.Apart(), layer) if pool else layer)
    torch.testing.assert_close(captum_deeplift(separated, x, start), ours)
    missing = lesson.missing(captum_deeplift(model, x, start), change(model, x, start))
    assert missing.max() > 0.01, "Captum is complete here now: section 6 has to be written anew"


def test_captums_maps_are_ours_without_poolings_rule_and_complete_from_a_constant(
    lesson, model, x, start
):
    """From grey all inputs of a pooling window tie: both maps obey the rules, and they differ."""
    lost = [layer.forward if isinstance(layer, nn.MaxPool2d) else layer for layer in model]
    grey = torch.zeros_like(x)
    for baseline in (grey, start):
        found = lesson.deeplift(lost, x, baseline, TARGETS)
        torch.testing.assert_close(captum_deeplift(model, x, baseline), found)
    found = captum_deeplift(model, x, grey)
    assert lesson.missing(found, change(model, x, grey)).max() < 1e-9
    assert lesson.differ(lesson.deeplift(model, x, grey, TARGETS), found) > 0.01


def test_captums_deeplift_on_functions_is_gradient_times_input(lesson, model, x):
    written, zero = lesson.AsInTheTutorial().double().eval(), torch.zeros_like(x)
    written.load_state_dict(model.state_dict())
    torch.testing.assert_close(written(x), model(x))
    expected = lesson.gradient(model, x, TARGETS) * x
    torch.testing.assert_close(captum_deeplift(written, x, zero), expected)
    assert cu.deeplift(written, x, TARGETS).delta.abs().max() < 1e-9


def test_lead_is_a_difference_of_rank_correlations(lesson):
    lost = np.arange(6.0)
    rows = np.stack([lost, -lost, [0, 1, 2, 3, 5, 4], lost], axis=1)
    assert lesson.lead(rows) == pytest.approx(1 - (1 - 6 * 2 / (6 * 35)))


@pytest.mark.parametrize("name", ["resnet18"])
def test_named_network(lesson, load_named, name):
    """ResNet18: Captum stops at the ReLU that is used twice, the course's DeepLift does not."""
    net = load_named(name)
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    target = net.model(image).argmax(1)
    assert lesson.gradient(net.model, image, target).shape == image.shape
    with pytest.raises(RuntimeError, match="more than once"):
        lesson.captum_deeplift(net.model, image, torch.zeros_like(image), target)
    rise = (net.model(image) - net.model(torch.zeros_like(image)))[0, target].item()
    found = cu.deeplift(net.model, image, target)
    assert found.attributions.sum().item() == pytest.approx(rise, rel=1e-3, abs=1e-4)
