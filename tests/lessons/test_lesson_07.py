"""Lesson 07's own functions: ascent, coordinates, colours, views and the cap, on closed forms."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from _lessons import definitions
from torch import Tensor, nn

from course_utils.networks import Preprocess

PREPROCESS = Preprocess((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
ROOT = torch.tensor([[1.0, 0.5, 0.4], [0.5, 0.9, 0.5], [0.4, 0.5, 1.1]])
STAGES = [(16, 3), (24, 2)]


def tiny_network(name: str, seed: int) -> SimpleNamespace:
    torch.manual_seed(seed)
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 7)
    model = nn.Sequential(*layers).eval().requires_grad_(False)
    return SimpleNamespace(model=model, preprocess=PREPROCESS, name=name)


@pytest.fixture
def lesson() -> dict[str, Any]:
    return definitions(
        "07",
        seed=0,
        device=torch.device("cpu"),
        POWER=1.3,
        colour_root=ROOT,
        colour_mean=torch.tensor([-0.1, -0.2, -0.5]),
        squeezenet=tiny_network("one", 0),
        lite=tiny_network("two", 1),
        typical={"one": 0.2, "two": 0.3},
        weights={"one": 0.5, "two": 2.0},
        stages=STAGES,
    )


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------------- the classical recipe


def linear(weights: Tensor):
    return lambda pictures: (pictures * weights).sum((1, 2, 3))


def test_ascent_walks_straight_on_a_linear_model_each_picture_by_itself(lesson):
    weights, start = normal(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.5)
    end = lesson["climb"](linear(weights), start, 6, lr=0.02)
    length = weights.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    torch.testing.assert_close(end, start + 0.12 * weights / length)
    assert (start == 0.5).all()


def test_a_picture_without_a_gradient_stays_as_it_is(lesson):
    start = torch.full((2, 3, 8, 8), 0.5)
    weights = torch.stack([torch.zeros(3, 8, 8), 1e-9 * torch.ones(3, 8, 8)])
    end = lesson["climb"](linear(weights), start, 3, lr=0.1)
    assert torch.equal(end[0], start[0])
    torch.testing.assert_close(end[1], start[1] + 0.3 / 192**0.5)


def test_ascent_fades_with_l2_and_stays_between_0_and_1(lesson):
    start = 0.5 + 0.1 * normal(1, 3, 8, 8).clamp(-2, 2)
    faded = lesson["climb"](linear(torch.zeros(1)), start, 1, lr=0.1, l2=1)
    torch.testing.assert_close(faded, start - 0.1 * (start - 0.5) / (start - 0.5).norm())
    far = lesson["climb"](linear(torch.ones(1, 3, 8, 8)), start, 1, lr=1e3)
    assert (far == 1).all()


def test_jitter_is_undone(lesson):
    """Pictures of a score that does not care for position come out the same, moved or not."""
    start = normal(1, 3, 8, 8).sigmoid()
    still, jittered = (
        lesson["climb"](lambda x: x.square().sum((1, 2, 3)), start, 5, lr=0.3, jitter=most)
        for most in (0, 3)
    )
    torch.testing.assert_close(still, jittered)


# ---------------------------------------------------------------------------- coordinates


@pytest.mark.parametrize(("u", "v"), [(3, 5), (0, 1), (14, 2)])
def test_one_amplitude_is_one_wave(lesson, u: int, v: int):
    n, p, q = 16, 0.7, -1.3
    code = torch.zeros(1, 1, n, n // 2 + 1, 2)
    code[0, 0, u, v] = torch.tensor([p, q])
    y, x = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    theta = 2 * math.pi * (u * y + v * x) / n
    expected = 2 / n * lesson["falloff"](n)[u, v] * (p * theta.cos() - q * theta.sin())
    torch.testing.assert_close(lesson["waves"](code)[0, 0], expected, atol=1e-6, rtol=1e-5)


def test_there_and_back_again(lesson):
    pictures = normal(2, 3, 16, 16)
    torch.testing.assert_close(lesson["waves"](lesson["amplitudes"](pictures)), pictures)


def test_amplitude_falls_with_frequency(lesson):
    amplitude = lesson["falloff"](64)
    assert amplitude.shape == (64, 33)
    assert (amplitude[0, 2] / amplitude[0, 8]).item() == pytest.approx(4**1.3, rel=1e-5)
    amplitude = lesson["falloff"](144)  # large pictures get more detail
    power = 1.3 * 6 / 7
    assert (amplitude[0, 2] / amplitude[0, 8]).item() == pytest.approx(4**power, rel=1e-5)


def test_random_pictures_have_the_colours_of_the_photographs(lesson):
    pictures = lesson["develop"](normal(200, 3, 16, 9, 2))
    assert ((pictures > 0) & (pictures < 1)).all()
    correlation = torch.corrcoef(torch.logit(pictures).movedim(1, 0).flatten(1))
    wanted = ROOT @ ROOT.T
    wanted = wanted / wanted.diagonal().outer(wanted.diagonal()).sqrt()
    torch.testing.assert_close(correlation, wanted, rtol=0, atol=0.05)


# ---------------------------------------------------------------------------- views, score, recipe


def test_view_without_limits_changes_nothing(lesson):
    pictures = normal(2, 3, 15, 16)
    still = lesson["random_view"](pictures, torch.Generator(), shift=0, zoom=(1, 1), turn=0)
    torch.testing.assert_close(still, pictures, atol=1e-4, rtol=1e-4)


def test_spotlight_keeps_the_middle_and_fades_the_corner(lesson):
    white = lesson["spotlight"](torch.ones(1, 3, 33, 33))[0, 0]
    assert white[16, 16] == pytest.approx(1)
    assert white[0, 0] == pytest.approx(0.45 + 0.55 * math.exp(-2 / 0.72), abs=1e-5)


def test_evidence_does_not_mind_a_common_amount(lesson):
    net, pictures = lesson["squeezenet"], normal(4, 3, 9, 9).sigmoid()
    targets = torch.tensor([0, 3, 6, 2])
    before = lesson["evidence"](net, pictures, targets)
    net.model[-1].bias += 5
    torch.testing.assert_close(lesson["evidence"](net, pictures, targets), before)


def test_score_pulls_below_the_cap_and_not_above(lesson):
    net, targets = lesson["squeezenet"], torch.tensor([1])
    pictures = normal(1, 3, 9, 9).sigmoid().requires_grad_()

    def pull(cap: float) -> float:
        loss = lesson["shortfall"](net, pictures, targets, cap)
        return torch.autograd.grad(loss, pictures)[0].norm().item()

    assert pull(cap=1e4) == pytest.approx(pull(cap=2e4))
    assert pull(cap=-1e3) < 1e-6 * pull(cap=1e4)


def test_recipe_lowers_the_shortfall_and_repeats_itself(lesson):
    targets = torch.tensor([2, 5])
    first, again = (lesson["dream"](targets, stages=[(16, 30)]) for _ in range(2))
    untouched = lesson["dream"](targets, stages=[(16, 1)])
    assert torch.equal(first, again)
    assert ((first > 0) & (first < 1)).all()
    for net in (lesson["squeezenet"], lesson["lite"]):
        found, start = (lesson["evidence"](net, made, targets).sum() for made in (first, untouched))
        assert found > start
    assert lesson["dream"](targets).shape == (2, 3, 24, 24)


# ---------------------------------------------------------------------------- measures


def test_ranks_count_from_one(lesson):
    net, pictures = lesson["squeezenet"], normal(3, 3, 9, 9).sigmoid()
    order = lesson["logits_of"](net, pictures).argsort(dim=1, descending=True)
    assert lesson["ranks"](net, pictures, order[:, 0]) == [1, 1, 1]
    assert lesson["ranks"](net, pictures, order[:, 4]) == [5, 5, 5]


def test_ties_and_nan_are_not_first(lesson, monkeypatch):
    logits = torch.tensor([[0.0, 0.0, 0.0], [torch.nan] * 3, [1.0, 2.0, 0.0]])
    monkeypatch.setitem(lesson, "logits_of", lambda net, pictures: logits)
    assert lesson["ranks"](None, None, torch.tensor([0, 1, 1])) == [3, 3, 1]


def test_saturation_of_grey_and_red(lesson):
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert lesson["saturation"](torch.full((1, 3, 4, 4), 0.6)) == 0
    assert lesson["saturation"](red) == pytest.approx(1, abs=2e-3)


def test_fine_waves_and_colours_that_go_together(lesson):
    y = torch.arange(64.0)[:, None].expand(64, 64)
    slow, quick = (torch.sin(2 * math.pi * y / length)[None, None] for length in (32, 4))
    assert lesson["fine"](slow.expand(1, 3, -1, -1)) == pytest.approx(0, abs=1e-6)
    assert lesson["fine"](quick.expand(1, 3, -1, -1)) == pytest.approx(1, abs=1e-6)
    assert lesson["together"](normal(1, 1, 32, 32).expand(1, 3, -1, -1)) == pytest.approx(1)


def test_a_constant_channel_goes_together_with_none(lesson):
    pictures = normal(2, 1, 32, 32).expand(-1, 3, -1, -1).clone()
    pictures[:, 2] = 0.3
    assert lesson["together"](pictures) == pytest.approx(1 / 3)
    pictures[:, 1] = 0.7
    assert lesson["together"](pictures) == 0
    assert math.isnan(lesson["together"](torch.nan * pictures))
