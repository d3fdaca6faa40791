"""Lesson 12's own functions: occlusion, Shapley values, LIME, Kernel SHAP, RISE and the fills."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
import torch
from _lessons import definitions
from captum import attr
from captum._utils.models.linear_model import SkLearnRidge
from torch import nn


@pytest.fixture(scope="module")
def lesson() -> dict[str, Any]:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5)
    return definitions("12", model=nn.Sequential(*layers).requires_grad_(False), seed=0)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def quarters() -> torch.Tensor:
    """Four quarters of a picture of 16 x 16 as superpixels."""
    half = (torch.arange(16) >= 8).long()
    return 2 * half[:, None] + half


@pytest.fixture
def crowd(lesson):
    """Five players with interactions: every set's value is drawn at random."""
    scores = normal(32, seed=5)
    return lambda visible: scores[(visible.long() * 2 ** torch.arange(5)).sum(dim=1)]


# ---------------------------------------------------------------------------- covering


def test_the_score_ignores_a_constant_added_to_all_logits(lesson, monkeypatch):
    x, model = normal(2, 3, 16, 16), lesson["model"]
    before = lesson["asker"](3)(x)
    monkeypatch.setitem(lesson, "model", lambda pictures: model(pictures) + 7)
    torch.testing.assert_close(lesson["asker"](3)(x), before)


def test_looking_covers_what_is_not_visible(lesson, quarters):
    x, ask = normal(1, 3, 16, 16), lambda pictures: pictures.sum(dim=(1, 2, 3))
    visible = torch.tensor([[True, False, True, True], [False, False, False, False]])
    found = lesson["game"](ask, x, quarters, 2.0)(visible)
    left = x[..., quarters != 1].sum() + 2.0 * 3 * 64
    torch.testing.assert_close(found, torch.stack([left, torch.tensor(2.0 * 3 * 256)]))


def test_occlusion_is_captums(lesson):
    x, ask = normal(1, 3, 16, 16), lesson["asker"](1)
    found = lesson["occlusion"](ask, x, 8, 4)
    shapes = {"sliding_window_shapes": (3, 8, 8), "strides": (3, 4, 4)}
    torch.testing.assert_close(found, attr.Occlusion(ask).attribute(x, **shapes)[0, 0])


@pytest.mark.parametrize(("height", "side", "stride"), [(16, 6, 4), (16, 5, 3), (12, 6, 4)])
def test_occlusion_covers_every_pixel_as_captum_does(lesson, height, side, stride):
    x, ask = normal(1, 3, height, 16), lesson["asker"](1)
    found = lesson["occlusion"](ask, x, side, stride)
    shapes = {"sliding_window_shapes": (3, side, side), "strides": (3, stride, stride)}
    torch.testing.assert_close(found, attr.Occlusion(ask).attribute(x, **shapes)[0, 0])


def test_ablation_is_captums(lesson, quarters):
    x, ask = normal(1, 3, 16, 16), lesson["asker"](1)
    found = lesson["ablation"](lesson["game"](ask, x, quarters, 0.5), 4)
    settings = {"feature_mask": quarters[None, None], "baselines": 0.5}
    theirs = attr.FeatureAblation(ask).attribute(x, **settings)[0, 0]
    torch.testing.assert_close(found[quarters], theirs)


# ---------------------------------------------------------------------------- parts' values


def test_shapley_values_are_the_mean_over_all_orders(lesson, crowd):
    total, orders = torch.zeros(5), list(permutations(range(5)))
    for order in orders:
        visible = torch.zeros(6, 5, dtype=torch.bool)
        for place, part in enumerate(order):
            visible[place + 1 :, part] = True
        total[list(order)] += crowd(visible).diff()
    torch.testing.assert_close(lesson["shapley"](crowd, 5), total / len(orders))


def test_values_of_an_additive_game_are_its_terms(lesson):
    worth = torch.tensor([3.0, -1.0, 0.0, 2.0])
    v, sets = lambda visible: visible.float() @ worth - 4, lesson["subsets"](4)
    for found in (
        lesson["ablation"](v, 4),
        lesson["shapley"](v, 4),
        lesson["banzhaf"](v, 4),
        lesson["lime"](v, sets, ridge=0.0),
        lesson["kernel_shap"](v, lesson["kernel_sets"](4, 40, torch.Generator().manual_seed(0))),
    ):
        torch.testing.assert_close(found, worth, atol=1e-4, rtol=0)


def test_a_table_answers_as_the_game(lesson, crowd):
    sets = lesson["subsets"](5)
    torch.testing.assert_close(
        lesson["tabulate"](crowd, 5)(sets[[7, 0, 31]]), crowd(sets)[[7, 0, 31]]
    )


def test_lime_is_captums_on_the_same_sets(lesson, crowd):
    drawn = torch.rand(40, 5, generator=torch.Generator().manual_seed(1)) < 0.5
    rows = iter(drawn.float())
    theirs = attr.Lime(
        lambda z: crowd(z > 0.5),
        SkLearnRidge(alpha=0.3),
        lambda whole, covered, z, **_: torch.exp(-((1 - z.mean().sqrt()) ** 2) / (2 * 0.4**2)),
        lambda whole, **_: next(rows)[None],
    ).attribute(torch.ones(1, 5), n_samples=40)[0]
    found = lesson["lime"](crowd, drawn, width=0.4, ridge=0.3)
    torch.testing.assert_close(found, theirs, atol=1e-4, rtol=0)


def test_kernel_shap_with_shapleys_weights_is_exact(lesson, crowd):
    sets, sizes = lesson["subsets"](5)[1:-1], torch.tensor([5.0, 10.0, 10.0, 5.0])
    k = sets.sum(dim=1)
    found = lesson["kernel_shap"](crowd, sets, 4 / (sizes[k - 1] * k * (5 - k)))
    torch.testing.assert_close(found, lesson["shapley"](crowd, 5), atol=1e-5, rtol=0)


def test_kernel_sets_have_shapleys_sizes_and_come_in_pairs(lesson):
    sets = lesson["kernel_sets"](5, 20_000, torch.Generator().manual_seed(0))
    assert torch.equal(sets[:10_000], ~sets[10_000:])
    share = torch.bincount(sets.sum(dim=1), minlength=6) / len(sets)
    expected = torch.tensor([0, 1 / 4, 1 / 6, 1 / 6, 1 / 4, 0]) / (5 / 6)
    assert (share - expected).abs().max() < 0.02
    assert (sets.float().mean(dim=0) - 0.5).abs().max() < 1e-6


def test_banzhaf_values_are_limes_without_distance(lesson, crowd):
    found = lesson["lime"](crowd, lesson["subsets"](5), width=1e6, ridge=0.0)
    torch.testing.assert_close(found, lesson["banzhaf"](crowd, 5), atol=1e-5, rtol=0)


# ---------------------------------------------------------------------------- masks and fills


def test_rise_over_all_sets_is_the_mean_and_half_the_banzhaf_value(lesson, quarters):
    x, ask = normal(1, 3, 16, 16), lesson["asker"](2)
    v, sets = lesson["game"](ask, x, quarters), lesson["subsets"](4)
    found = lesson["rise"](ask, x, sets[:, quarters].float())
    torch.testing.assert_close(found, lesson["banzhaf"](v, 4)[quarters] / 2, atol=1e-5, rtol=0)


def test_soft_masks_cover_half_and_are_smooth(lesson):
    masks = lesson["soft_masks"](200, 64, torch.Generator().manual_seed(0))
    assert masks.shape == (200, 64, 64)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert masks.mean().item() == pytest.approx(0.5, abs=0.02)
    assert masks.diff(dim=2).abs().max() <= 1 / 8 + 1e-6


def test_inpainting_fills_a_hole_from_around_it(lesson):
    x = torch.full((2, 3, 32, 32), 5.0)
    hidden = torch.zeros(2, 32, 32, dtype=torch.bool)
    hidden[0, 8:20, 3:30] = True
    secret = x.masked_fill(hidden[:, None], -9.0)
    torch.testing.assert_close(lesson["inpaint"](secret, hidden), x)
    picture = normal(2, 3, 32, 32)
    assert torch.equal(lesson["inpaint"](picture, hidden)[1], picture[1])


def test_a_fill_may_be_a_number_a_picture_or_a_function(lesson):
    x, hidden = normal(2, 3, 16, 16), torch.zeros(2, 16, 16, dtype=torch.bool)
    hidden[:, :4] = True
    for fill in (0.5, torch.full((3, 1, 1), 0.5), lambda pictures, _: 0 * pictures + 0.5):
        found = lesson["cover"](x, hidden, fill)
        assert (found[:, :, :4] == 0.5).all()
        assert torch.equal(found[:, :, 4:], x[:, :, 4:])
    assert lesson["blurred"](x).std() < x.std()


def test_parts_of_a_scene_can_be_taken_away(lesson):
    import course_scenes

    (scene,) = course_scenes.draw("vegetables", 1, labels=[1])
    assert lesson["solids"](scene) == ["body", "calyx"]
