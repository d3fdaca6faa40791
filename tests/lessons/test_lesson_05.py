"""Lesson 05: its maps are Captum's, and a destroyed network comes back bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _lessons import definitions, random_weights
from captum.attr import GuidedBackprop, GuidedGradCam, Saliency
from torch import nn

import course_utils as cu

# Captum says at every call that it sets hooks, and that it asks for gradients
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def tiny(activation=nn.ReLU):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), activation(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(8, 6, 3), activation(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(6, 4)).eval().requires_grad_(False)
    model[1].running_mean.uniform_(-0.3, 0.3)
    model[1].running_var.uniform_(0.5, 2)
    return model


@pytest.fixture
def images():
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def lesson():
    return definitions("05")


def state(model):
    return {name: values.clone() for name, values in model.state_dict().items()}


def same(model, before):
    return all(torch.equal(values, before[name]) for name, values in model.state_dict().items())


# --- maps -----------------------------------------------------------------------------------------


def test_saliency_of_a_batch_is_captums(lesson, images):
    model, targets = tiny(), torch.tensor([0, 3, 1])
    ours = lesson["saliency"](model, images, targets)
    captums = Saliency(model).attribute(images.clone(), targets, abs=True).amax(1, keepdim=True)
    assert ours.shape == (3, 1, 16, 16)
    torch.testing.assert_close(ours, captums)
    torch.testing.assert_close(ours[1:2], lesson["saliency"](model, images[1:2], 3))


def test_guided_backprop_and_guided_grad_cam_are_captums(lesson, images):
    model, image = tiny(), images[:1]
    ours = lesson["guided_backprop"](model, image, 1)
    torch.testing.assert_close(ours, GuidedBackprop(model).attribute(image.clone(), 1))
    assert not torch.allclose(ours, lesson["gradient"](model, image, 1))
    product = lesson["guided_grad_cam"](model, image, 1, "4")
    captums = GuidedGradCam(model, model[4]).attribute(
        image.clone(), 1, interpolate_mode="bilinear"
    )
    torch.testing.assert_close(product, captums)


def test_guided_rule_by_hand(lesson):
    z = torch.tensor([-1.0, 2.0, 3.0, 7.0], requires_grad=True)
    arriving = torch.tensor([1.0, 1.0, -1.0, 1.0])
    answer = lesson["GuidedReLU"].apply(z, 6.0)
    assert answer.tolist() == [0, 2, 3, 6]
    assert torch.autograd.grad(answer, z, arriving)[0].tolist() == [0, 1, 0, 0]


def test_guided_gives_the_activations_back_even_after_an_error(lesson, images):
    model = tiny()
    before = lesson["gradient"](model, images, 0)
    with pytest.raises(ZeroDivisionError), lesson["guided"](model):
        _ = 1 / 0
    assert all("forward" not in vars(module) for module in model.modules())
    torch.testing.assert_close(lesson["gradient"](model, images, 0), before, rtol=0, atol=0)


def test_relu6_needs_the_lessons_rule(lesson, images):
    model, image = tiny(nn.ReLU6), images[:1]
    plain = lesson["gradient"](model, image, 0)
    torch.testing.assert_close(GuidedBackprop(model).attribute(image.clone(), 0), plain)
    ours = lesson["guided_backprop"](model, image, 0)
    assert not torch.allclose(ours, plain)
    torch.testing.assert_close(lesson["guided_everywhere"](model, image, 0), ours)


@pytest.mark.parametrize("kind", ["separate", "in-place", "reused", "functional", "ReLU6"])
def test_guided_mode_does_not_mind_the_wiring(lesson, images, kind):
    truth = lesson["guided_backprop"](lesson["Wiring"]("separate").eval(), images, 2)
    model = lesson["Wiring"](kind).eval()
    torch.testing.assert_close(lesson["guided_everywhere"](model, images, 2), truth)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("separate", "right"),
        ("in-place", "RuntimeError"),
        ("reused", "wrong, silently"),
        ("functional", "plain gradient"),
    ],
)
def test_the_tutorials_hooks_fail_as_the_lesson_says(lesson, images, kind, says):
    image = images[:1, :, :12, :12]
    truth = lesson["guided_backprop"](lesson["Wiring"]("separate").eval(), image, 1)
    model = lesson["Wiring"](kind).eval()
    assert lesson["verdict"](lesson["tutorial_hooks"], model, image, 1, truth) == says


def test_smoothgrad_of_a_linear_model_is_its_gradient(lesson, images):
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 4)).requires_grad_(False)
    ours = lesson["smoothgrad"](model, images[:1], 2, n=3, sigma=5.0)
    torch.testing.assert_close(ours[0].flatten(), model[1].weight[2])


# --- destroying and restoring ---------------------------------------------------------------------


@pytest.mark.parametrize("how", ["own init", "permuted"])
def test_randomised_units_come_back_bit_for_bit(lesson, images, how):
    model = tiny()
    before, answer = state(model), model(images)
    names = list(lesson["find_units"](model))
    assert names == ["0", "1", "4", "8"]
    try:
        with lesson["randomised"](model, names, how, seed=5):
            assert not torch.equal(model[0].weight, before["0.weight"])
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert same(model, before)
    assert torch.equal(model(images), answer)


def test_an_unknown_way_to_redraw_restores_too(lesson):
    model = tiny()
    before = state(model)
    with pytest.raises(ValueError, match="permuted"), lesson["randomised"](model, ["0"], "sorted"):
        pass
    assert same(model, before)


def test_a_draw_depends_on_its_unit_and_seed_only(lesson):
    model, randomised = tiny(), lesson["randomised"]
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    with randomised(model, ["8"], seed=3):
        alone = state(model)
    with randomised(model, ["8", "4"], seed=3):
        together = state(model)
    with randomised(model, ["8"], seed=4):
        other = state(model)
    assert torch.equal(torch.rand(1), expected)  # the caller's generator was not touched
    assert torch.equal(alone["8.weight"], together["8.weight"])
    assert torch.equal(alone["4.weight"], tiny()[4].weight)
    assert not torch.equal(together["4.weight"], alone["4.weight"])
    assert not torch.equal(alone["8.weight"], other["8.weight"])


def test_permuted_weights_are_the_same_numbers(lesson):
    model = tiny()
    before = model[0].weight.flatten().clone()
    with lesson["randomised"](model, ["0"], "permuted"):
        assert torch.equal(model[0].weight.flatten().sort().values, before.sort().values)
        assert not torch.equal(model[0].weight.flatten(), before)


def test_integrated_gradients_see_the_destroyed_network(lesson, images):
    model = tiny()
    cu.integrated_gradients(model, images[:1], 0, n_steps=4)
    with lesson["randomised"](model, ["0", "1", "4"]):
        quick, exact = (
            cu.integrated_gradients(model, images[:1], 0, n_steps=4, fast=fast).attributions
            for fast in (True, False)
        )
    torch.testing.assert_close(quick, exact, rtol=1e-3, atol=1e-5)


def test_living_target(lesson, images):
    class Fixed(nn.Module):
        def forward(self, pictures):
            return torch.tensor([[0.0, -1.0, 2.0, 1.0]]).expand(len(pictures), 4)

    assert lesson["living_target"](Fixed(), images[:1], 3) == 3
    assert lesson["living_target"](Fixed(), images[:1], torch.tensor(0)) == 2


def test_likeness_counts_an_empty_map_as_unlike():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 1, 8, 8, generator=generator)
    lesson = definitions("05", trained={"A": maps})
    plans = torch.cat([maps, -maps, torch.zeros_like(maps)], dim=1)
    np.testing.assert_allclose(lesson["likeness"]({"A": plans})["A"], [[1, -1, 0]] * 2, atol=1e-12)
    curves = lesson["from_intact"]({"A": np.zeros((2, 3))})
    assert curves["A"].tolist() == [[1, 0, 0, 0]] * 2


# --- the same function, elsewhere -----------------------------------------------------------------


@pytest.mark.parametrize("padding", [0, 1])
def test_shifted_twin_is_the_same_function(lesson, images, padding):
    model = tiny()
    model[0].padding = (padding, padding)
    before = state(model)
    twin = lesson["shifted_twin"](model, 1.5)
    torch.testing.assert_close(twin(images + 1.5), model(images), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(twin(images), model(images))
    assert same(model, before)


def test_density_has_mean_one_and_survives_an_empty_map(lesson):
    values = torch.randn(3, 8, 8)
    assert lesson["density"](values).abs().mean().item() == pytest.approx(1)
    assert lesson["density"](torch.zeros(3, 8, 8)).abs().max() == 0


# --- named networks, layer for layer --------------------------------------------------------------


def step(name, lesson):
    """Run the lesson's functions once on an architecture with random weights."""
    model = random_weights(name).requires_grad_(False)
    before = state(model)
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    units = lesson["find_units"](model)
    assert sum(len(modules) for modules in units.values()) == sum(
        bool(list(module.parameters(recurse=False))) for module in model.modules()
    )
    plain = lesson["gradient"](model, image, 5)
    guided = lesson["guided_backprop"](model, image, 5)
    assert guided.isfinite().all()
    apart = lesson["disagreement"]  # relative, as random weights make tiny gradients
    assert apart(plain, guided) > 0.1
    assert apart(guided, lesson["guided_everywhere"](model, image, 5)) < 1e-5
    twin = lesson["shifted_twin"](model, 1.0)
    torch.testing.assert_close(twin(image + 1), model(image), rtol=1e-3, atol=1e-4)
    with lesson["randomised"](model, list(units), "permuted"):
        assert model(image).isfinite().all()
    assert same(model, before)
    return units


def test_one_step_on_efficientnet_lite0(lesson):
    units = step("efficientnet_lite0", lesson)
    assert next(iter(units)) == "stem"
    assert list(units)[-2:] == ["head", "classifier"]
    assert len(units) == 19


def test_one_step_on_squeezenet(lesson):
    units = step("squeezenet1_1", lesson)
    assert next(iter(units)) == "features.0"
    assert list(units)[-1] == "classifier.1"
    assert len(units) == 10


def test_quick_maps_of_a_network(lesson):
    net = cu.load_network("squeezenet1_1", device="cpu")
    maps = definitions("05", net=net)["quick_maps"](net.preprocess("goose"), 99)
    assert list(maps) == [
        "Saliency", "Gradient × input", "Guided Backprop", "Grad-CAM", "Guided Grad-CAM",
    ]  # fmt: skip
    assert {tuple(values.shape) for values in maps.values()} == {(1, 1, 112, 112)}
    assert maps["Saliency"].min() >= 0
    assert maps["Grad-CAM"].min() >= 0


def test_relu_outputs_are_the_activations(lesson, images):
    model = tiny()
    seen = lesson["relu_outputs"](model, images)
    expected = model[2](model[1](model[0](images)))
    torch.testing.assert_close(seen[0], expected)
    assert len(seen) == 2
    assert not model[2]._forward_hooks


def test_learning_by_heart_learns_wrong_labels(lesson):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(20, 3, 32, 32, generator=generator)
    labels = torch.randint(10, (20,), generator=generator)
    torch.manual_seed(0)
    assert lesson["learn_by_heart"](cu.tutorial_cnn(), pixels, labels) == 1
