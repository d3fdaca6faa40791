"""Lesson 02's own functions: Integrated Gradients, rules, shared gradients and the toys."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from _lessons import definitions, random_weights
from torch import nn

import course_utils as cu

RULES = ("right", "middle", "α = u²", "Gauss-Legendre")


@pytest.fixture(scope="module")
def lesson() -> dict[str, Any]:
    net = SimpleNamespace(model=random_weights("mobilenet_v3_large"), caption="")
    return definitions("02", net=net, target=0, seed=0, picture=None)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------------- the method


def test_linear_model_is_exact_with_one_step(lesson):
    torch.manual_seed(0)
    linear, x, baseline = nn.Linear(6, 3), normal(1, 6), normal(1, 6, seed=1)
    found = lesson["integrated_gradients"](linear, x, baseline, 2, n_steps=1)
    torch.testing.assert_close(found, (x - baseline) * linear.weight[2])
    assert not x.requires_grad


def test_is_complete_on_a_saturated_function(lesson):
    x = torch.tensor([[2.0]])
    found = lesson["integrated_gradients"](lesson["saturating"], x, 0 * x, 0, n_steps=1000)
    assert found.item() == pytest.approx(1, abs=3e-3)


def test_is_the_courses_on_the_named_network(lesson):
    model, x, baseline = lesson["net"].model, normal(1, 3, 32, 32), normal(1, 3, 32, 32, seed=1)
    found = lesson["integrated_gradients"](model, x, baseline, 5, n_steps=3)
    settings = {"n_steps": 3, "method": "riemann_right", "fast": False, "progress": False}
    expected = cu.integrated_gradients(model, x, 5, baselines=baseline, **settings).attributions
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_several_pictures_are_not_taken_for_one(lesson):
    linear, x = nn.Linear(6, 3), normal(2, 6)
    with pytest.raises(ValueError, match="too many values"):
        lesson["integrated_gradients"](linear, x, 0 * x, 2, n_steps=1)
    with pytest.raises(ValueError, match="map"):
        lesson["show"]({"Two maps": normal(2, 3, 32, 32)}, "", image=torch.rand(3, 32, 32))


# ---------------------------------------------------------------------------- rules


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.2, 1)])
def test_rules_integrate(lesson, name: str, low: float, high: float):
    positions, weights = lesson["rule"](name, 400, low, high)
    assert ((positions >= low) & (positions <= high)).all()
    assert weights.sum() == pytest.approx(high - low)
    assert weights @ np.exp(positions) == pytest.approx(np.exp(high) - np.exp(low), rel=3e-3)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("right", "riemann_right"),
        ("middle", "riemann_middle"),
        ("α = u²", "squared_midpoint"),
        ("Gauss-Legendre", "gausslegendre"),
    ],
)
def test_rules_are_the_courses(lesson, name: str, method: str):
    for ours, theirs in zip(lesson["rule"](name, 7), cu.quadrature(method, 7), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-7)


def test_shared_gradients_give_the_maps_of_each_rule_alone(lesson):
    net, x = lesson["net"], normal(1, 3, 32, 32)
    plan = {(name, 6): lesson["rule"](name, 6) for name in ("right", "α = u²")}
    plan["right", 3] = lesson["rule"]("right", 3)
    found = lesson["maps_by"](plan, x, 5)
    methods = {"right": "riemann_right", "α = u²": "squared_midpoint"}
    for values, (name, n) in zip(found, plan, strict=True):
        settings = {"n_steps": n, "method": methods[name], "progress": False}
        alone = cu.integrated_gradients(net.model, x, 5, **settings).attributions[0].sum(dim=0)
        assert (values - alone).abs().max() < 2e-2 * alone.abs().max()


# ---------------------------------------------------------------------------- the toys


def test_f_and_g_are_one_function_that_deeplift_takes_for_two(lesson):
    x = 4 * normal(200, 2)
    torch.testing.assert_close(lesson["f"](x), lesson["g"](x))
    for early, function in ((False, lesson["f"]), (True, lesson["g"])):
        torch.testing.assert_close(lesson["Twin"](early)(x), function(x))
    np.testing.assert_allclose(lesson["ig"](lesson["f"], 3.0, 1.0), [1.5, -0.5], atol=2e-3)


def test_blurring_keeps_the_mean_and_takes_the_detail(lesson):
    x = normal(1, 3, 96, 96) + 2
    soft = lesson["blurred"](x)
    assert soft.shape == x.shape
    assert soft.mean().item() == pytest.approx(x.mean().item(), abs=0.05)
    assert soft.std() < 0.1 * x.std()
