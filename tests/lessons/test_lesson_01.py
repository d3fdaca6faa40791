"""Lesson 01's own code: training, Saliency, Integrated Gradients, SmoothGrad, DeepLift."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from _lessons import definitions
from captum.attr import DeepLift, IntegratedGradients, NoiseTunnel, Saliency
from torch import nn

import course_utils as cu

CIFAR10 = Path(__file__).resolve().parents[2] / "shared" / "data" / "cifar10_jpeg.zip"
TARGETS = torch.tensor([3, 0, 7])


@pytest.fixture(scope="module")
def lesson():
    return SimpleNamespace(**definitions("01"))


@pytest.fixture(scope="module")
def model():
    """Build the tutorial's CNN in double precision, with weights large enough to matter."""
    torch.manual_seed(0)
    network = cu.tutorial_cnn().double().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.mul_(2)
    return network


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


# --- training -------------------------------------------------------------------------------------


def test_the_loop_is_the_one_of_fit(lesson):
    torch.manual_seed(0)
    batches = [(torch.randn(8, 6), torch.randint(3, (8,))) for _ in range(5)]
    first, second = nn.Linear(6, 3), nn.Linear(6, 3)
    second.load_state_dict(first.state_dict())
    sgd = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    loss = lesson.train_epoch(first, batches, sgd(first.parameters()))
    history = cu.fit(second, batches, epochs=1, optimizer=sgd, device="cpu", progress=False)
    torch.testing.assert_close(first.weight, second.weight)
    assert loss == pytest.approx(history.train_loss[0])
    assert lesson.train_epoch(first, batches, sgd(first.parameters())) < loss


def train_on(folder=None, source="embedded", seen=300):
    splits = cu.load_dataset("cifar10", source, folder=folder, verbose=False, subset=20)
    sgd = functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True)
    normalize = ((0.5,) * 3, (0.5,) * 3)
    train = definitions("01", seed=0, SGD=sgd, normalize=normalize)["train"]
    return splits, *train(splits, seen)


def test_training_sees_about_as_many_pictures_as_asked():
    splits, network, history = train_on()
    assert len(history.epochs) == round(300 / len(splits.train))
    assert history.restored
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.training


@pytest.mark.skipif(not CIFAR10.is_file(), reason=f"no {CIFAR10}")
def test_training_on_photographs(fresh_assets):
    splits, network, _ = train_on(CIFAR10, "real")
    assert splits.source == "real"
    images, _ = splits.test.to_tensors(progress=False)
    assert network(images[:2] / 255).shape == (2, 10)


# --- gradients ------------------------------------------------------------------------------------


def test_saliency_is_captums(lesson, model, x):
    expected = Saliency(model).attribute(x.clone().requires_grad_(), target=TARGETS)
    torch.testing.assert_close(lesson.saliency(model, x, TARGETS), expected)
    assert not x.requires_grad


def test_integrated_gradients_are_captums_and_complete(lesson, model, x, start):
    ours = lesson.integrated_gradients(model, x, start, TARGETS, 7)
    expected = IntegratedGradients(model).attribute(
        x, start, TARGETS, n_steps=7, method="riemann_middle"
    )
    torch.testing.assert_close(ours, expected)
    many = lesson.integrated_gradients(model, x, start, TARGETS, 400)
    rise = change(model, x, start)
    assert (many.flatten(1).sum(1) - rise).abs().max() < 0.03 * rise.abs().max()


def test_delta_is_relative_to_the_change(lesson):
    maps = torch.tensor([[1.0, 2.0], [0.5, 0.0]]).view(2, 1, 1, 2)
    assert lesson.delta(maps, torch.tensor([2.0, 1.0])).tolist() == [0.5, -0.5]


def test_disagreement_is_relative_to_the_largest_value(lesson):
    assert lesson.disagreement(torch.tensor([4.0, 1]), torch.tensor([4.0, 2])) == 0.25


# --- SmoothGrad -----------------------------------------------------------------------------------


def test_smoothgrad_is_captums_noise_tunnel(lesson, model, x, start):
    def explain(images):
        return lesson.integrated_gradients(model, images, start, TARGETS, 3)

    torch.manual_seed(5)
    expected = NoiseTunnel(IntegratedGradients(model)).attribute(
        x, nt_samples=4, stdevs=0.3, baselines=start, target=TARGETS,
        n_steps=3, method="riemann_middle",
    )  # fmt: skip
    torch.manual_seed(5)
    noise = torch.normal(0, torch.full((12, 3, 32, 32), 0.3)).view(3, 4, 3, 32, 32).transpose(0, 1)
    torch.testing.assert_close(
        lesson.smoothgrad(explain, x, noise).float(), expected.float(), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(lesson.smoothgrad(explain, x, torch.zeros_like(noise)), explain(x))


def test_stratified_places_fall_one_into_each_part(lesson):
    places = lesson.stratified(10, torch.Generator().manual_seed(0))
    assert (places * 10).floor().tolist() == list(range(10))
    assert (places * 10 % 1).std() > 0.1, "random within their parts"


def test_pairs_without_noise_are_integrated_gradients(lesson, model, x, start):
    middles = (torch.arange(6) + 0.5) / 6
    pairs = lesson.noisy_path(model, x, start, TARGETS, 0.0, middles, torch.Generator())
    expected = lesson.integrated_gradients(model, x, start, TARGETS, 6)
    torch.testing.assert_close(pairs, expected, rtol=1e-5, atol=1e-7)


def test_pairs_have_the_mean_of_samples_and_steps(lesson):
    """In closed form: f(x) = x²; with baseline 0, E (x + ε)² = x² + σ²."""

    def square(images):
        return images.flatten(1) ** 2

    x, zero, target = torch.full((1, 1, 1, 1), 2.0), torch.zeros(1, 1, 1, 1), torch.tensor([0])
    generator = torch.Generator().manual_seed(0)
    places = lesson.stratified(6000, generator)
    pairs = lesson.noisy_path(square, x, zero, target, 0.5, places, generator)
    assert pairs.item() == pytest.approx(2.0**2 + 0.5**2, abs=0.1)


# --- DeepLift -------------------------------------------------------------------------------------


def test_deeplift_is_complete_and_the_courses(lesson, model, x, start):
    for baseline in (start, torch.zeros_like(x)):
        ours = lesson.deeplift(model, x, baseline, TARGETS)
        torch.testing.assert_close(ours.flatten(1).sum(1), change(model, x, baseline))
        expected = cu.deeplift(model, x, TARGETS, baseline).attributions
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-8)


def test_captum_loses_poolings_rule_after_a_relu(lesson, model, x, start):
    """Captum is right once ReLU and pooling are kept apart, and then equal to ours."""
    ours = lesson.deeplift(model, x, start, TARGETS)
    separated = nn.Sequential()
    for name, layer in model.named_children():
        pool = isinstance(layer, nn.MaxPool2d)
        separated.add_module(name, nn.Sequential(lesson.Apart(), layer) if pool else layer)
    torch.testing.assert_close(captum_deeplift(separated, x, start), ours)
    missing = captum_deeplift(model, x, start).flatten(1).sum(1) - change(model, x, start)
    assert missing.abs().max() > 0.01 * change(model, x, start).abs().max(), (
        "Captum is complete here now: section 9 has to be written anew"
    )


def test_captums_deeplift_on_functions_is_gradient_times_input(lesson, model, x):
    written, zero = lesson.AsInTheTutorial(model).eval(), torch.zeros_like(x)
    torch.testing.assert_close(written(x), model(x))
    expected = lesson.gradient(model, x, TARGETS) * x
    torch.testing.assert_close(captum_deeplift(written, x, zero), expected)
    assert cu.deeplift(written, x, TARGETS).delta.abs().max() < 1e-9


def test_rewired_layers_are_the_same_functions(lesson):
    images = 4 * torch.randn(2, 3, 13, 11, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(lesson.Clip6()(images), F.relu6(images))
    pool = nn.MaxPool2d(3, 2)
    torch.testing.assert_close(lesson.Windows(pool)(images), pool(images))


def test_without_obstacles_captum_is_right(lesson, x, start):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(6, 6, 3),
        nn.ReLU6(), nn.Flatten(), nn.LazyLinear(10),
    ).double().eval()  # fmt: skip
    network(x)
    network[3].weight.data.mul_(20)  # so that ReLU6 clips
    rewired = lesson.without_obstacles(network)
    torch.testing.assert_close(rewired(x), network(x))
    expected = cu.deeplift(network, x, TARGETS, start)
    torch.testing.assert_close(captum_deeplift(rewired, x, start), expected.attributions)
    assert isinstance(network[2], nn.MaxPool2d), "the original stays as it is"
    missing = captum_deeplift(network, x, start).flatten(1).sum(1) - change(network, x, start)
    assert missing.abs().max() > 1e-2


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
