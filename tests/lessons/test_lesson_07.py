"""Lesson 07's own functions: coordinates, colours, views and the climb, against closed forms."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from _lessons import definitions
from torch import Tensor, nn

import course_utils as cu
from course_utils.networks import Preprocess

PREPROCESS = Preprocess((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
ROOT = torch.tensor([[1.0, 0.5, 0.4], [0.5, 0.9, 0.5], [0.4, 0.5, 1.1]])


def tiny_network() -> SimpleNamespace:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 7),
    )
    return SimpleNamespace(
        model=model.eval(),
        preprocess=PREPROCESS,
        denormalize=PREPROCESS.denormalize,
        device=torch.device("cpu"),
    )


@pytest.fixture
def lesson() -> dict[str, Any]:
    return definitions(
        "07",
        seed=0,
        net=tiny_network(),
        size=16,
        steps=4,
        colour_root=ROOT,
        colour_mean=torch.tensor([-0.1, -0.2, -0.5]),
        FOURIER_PATH=3.3,
    )


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------------- the classical recipe


def linear(weights: Tensor):
    return lambda images: (images * weights).sum().view(1, 1)


def test_recipe_walks_straight_on_a_linear_model(lesson):
    weights = normal(1, 3, 8, 8)
    end = lesson["visualize_class"](
        linear(weights), 0, torch.zeros_like(weights), 6, lr=0.2, l2=0, blur_every=99, max_jitter=0
    )
    torch.testing.assert_close(end, 1.2 * weights / weights.norm())


def test_recipe_fades_with_l2_and_clips(lesson):
    start = 0.1 * normal(1, 3, 8, 8)
    settings = {"blur_every": 99, "max_jitter": 0}
    faded = lesson["visualize_class"](linear(torch.zeros(1)), 0, start, 1, lr=0.1, l2=1, **settings)
    torch.testing.assert_close(faded, start - 0.1 * start / start.norm())
    far = lesson["visualize_class"](linear(torch.ones(1, 3, 8, 8)), 0, start, 1, lr=1e3, **settings)
    white = (1 - torch.tensor(PREPROCESS.mean)) / torch.tensor(PREPROCESS.std)
    torch.testing.assert_close(far, white.view(1, 3, 1, 1).expand_as(far))


def test_jitter_of_the_recipe_is_undone(lesson):
    """Pictures of a model that does not care for position come out the same, moved or not."""
    start = 0.1 * normal(1, 3, 8, 8)

    def brightness(images: Tensor) -> Tensor:
        return images.sigmoid().sum().view(1, 1)

    still, jittered = (
        lesson["visualize_class"](brightness, 0, start, 5, lr=0.3, blur_every=99, max_jitter=most)
        for most in (0, 3)
    )
    torch.testing.assert_close(still, jittered)


# ---------------------------------------------------------------------------- coordinates


def test_standard_normal_codes_give_waves_of_variance_one(lesson):
    drawn = lesson["waves"](normal(64, 3, 32, 17, 2))
    assert drawn.var().item() == pytest.approx(1, abs=0.1)


def test_amplitude_falls_as_one_over_frequency(lesson):
    amplitude = lesson["falloff"](64)
    assert amplitude.shape == (64, 33)
    assert (amplitude[0, 2] / amplitude[0, 8]).item() == pytest.approx(4, rel=1e-5)
    assert (amplitude[3, 4] / amplitude[6, 8]).item() == pytest.approx(2, rel=1e-5)
    assert amplitude[0, 0] == amplitude[0, 1]


@pytest.mark.parametrize(("u", "v"), [(3, 5), (0, 1), (14, 2)])
def test_one_coefficient_is_one_wave(lesson, u: int, v: int):
    n, p, q = 16, 0.7, -1.3
    code = torch.zeros(1, 1, n, n // 2 + 1, 2)
    code[0, 0, u, v] = torch.tensor([p, q])
    y, x = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    theta = 2 * math.pi * (u * y + v * x) / n
    expected = 2 / n * lesson["falloff"](n)[u, v] * (p * theta.cos() - q * theta.sin())
    torch.testing.assert_close(lesson["waves"](code)[0, 0], expected, atol=1e-6, rtol=1e-5)


def test_there_and_back_again(lesson):
    pictures = normal(2, 3, 16, 16)
    torch.testing.assert_close(lesson["waves"](lesson["coefficients"](pictures)), pictures)


def test_root_of_a_covariance(lesson):
    covariance = ROOT @ ROOT.T
    root = lesson["square_root"](covariance)
    torch.testing.assert_close(root @ root, covariance)
    torch.testing.assert_close(root, root.T)


def test_random_pictures_have_the_colours_of_the_photographs(lesson):
    pictures = lesson["develop"](normal(200, 3, 16, 9, 2))
    assert ((pictures > 0) & (pictures < 1)).all()
    colours = torch.logit(pictures).movedim(1, 0).flatten(1)
    torch.testing.assert_close(torch.cov(colours), ROOT @ ROOT.T, rtol=0.15, atol=0.1)
    painted = PREPROCESS.denormalize(lesson["paint"](normal(2, 3, 16, 9, 2)))
    torch.testing.assert_close(
        painted, lesson["develop"](normal(2, 3, 16, 9, 2)), atol=1e-5, rtol=1e-5
    )


# ---------------------------------------------------------------------------- views


def test_view_without_limits_changes_nothing(lesson):
    pictures = normal(2, 3, 15, 16)
    generator = torch.Generator().manual_seed(0)
    still = lesson["random_view"](pictures, generator, shift=0, zoom=0, turn=0)
    torch.testing.assert_close(still, pictures, atol=1e-4, rtol=1e-4)


def test_views_differ_from_picture_to_picture_and_pass_gradients(lesson):
    pictures = normal(1, 3, 16, 16).repeat(2, 1, 1, 1).requires_grad_()
    views = lesson["random_view"](pictures, torch.Generator().manual_seed(0))
    again = lesson["random_view"](pictures, torch.Generator().manual_seed(0))
    assert views.shape == pictures.shape
    torch.testing.assert_close(views, again)
    assert (views[0] - views[1]).abs().max() > 0.1
    (gradient,) = torch.autograd.grad(views.sum(), pictures)
    assert gradient.isfinite().all()
    assert (gradient[:, :, 6:10, 6:10] > 0.1).all()


def test_view_shifts_as_far_as_it_says(lesson, monkeypatch):
    monkeypatch.setattr(
        torch, "rand", lambda n, generator: torch.ones(n)
    )  # every draw at its limit
    ramp = torch.arange(16.0).expand(1, 3, 16, 16)
    seen = lesson["random_view"](ramp, None, shift=1 / 16, zoom=0, turn=0)
    torch.testing.assert_close(seen[..., :15, :15], (ramp + 1)[..., :15, :15], atol=1e-4, rtol=1e-4)


def test_jitter_moves_round_the_edges(lesson):
    pictures = normal(2, 3, 14, 14)
    moved = lesson["jitter"](pictures, torch.Generator().manual_seed(1), share=0.5)
    assert not torch.equal(moved, pictures)
    torch.testing.assert_close(moved.sum(dim=(2, 3)), pictures.sum(dim=(2, 3)))


# ---------------------------------------------------------------------------- climb and judgement


def test_steps_have_unit_length_times_the_step_size(lesson):
    code, targets = normal(2, 3, 16, 16), torch.tensor([1, 4])
    _, found = lesson["ascend"](code, targets, path=0.5, steps=1, progress=False)
    lengths = (found.last - code).flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((2,), 0.5 * 16))


def test_climb_raises_the_logit_in_both_coordinates(lesson):
    targets = torch.tensor([1, 4])
    fourier = {"paint": lesson["paint"], "view": lesson["random_view"]}
    for code, settings in ((normal(2, 3, 16, 16), {}), (lesson["start_code"](2), fourier)):
        pictures, found = lesson["ascend"](code, targets, path=2.0, progress=False, **settings)
        assert pictures.shape == (2, 3, 16, 16)
        assert (found.history[-1] > found.history[0]).all()


def test_scores(lesson):
    logits, targets = normal(3, 7), torch.tensor([0, 6, 2])
    own = logits[range(3), targets]
    torch.testing.assert_close(lesson["logit"](logits, targets), own)
    probabilities = logits.softmax(dim=1)[range(3), targets]
    torch.testing.assert_close(lesson["probability"](logits, targets), probabilities)


def test_ranks_count_ties_against_the_picture(lesson):
    logits = torch.tensor([[3.0, 1, 2], [0, 0, 0], [1, 5, 9]])
    network = SimpleNamespace(model=lambda images: logits, preprocess=PREPROCESS)
    found = lesson["ranks"](network, torch.rand(3, 3, 16, 16), torch.tensor([0, 1, 0]))
    assert found.tolist() == [0, 2, 2]


def test_roughness_of_known_waves(lesson):
    line = 2 * math.pi * torch.arange(32) / 32
    slow, quick = (torch.sin(k * line).expand(1, 3, 32, 32) for k in (2, 8))
    assert lesson["roughness"](slow) == pytest.approx(0, abs=1e-5)
    assert lesson["roughness"](quick) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "squeezenet1_1"])
def test_every_part_of_the_lesson_runs_on_both_networks(name: str):
    net = cu.load_network(name, device="cpu", source="embedded", verbose=False)
    small = torch.rand(4, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    lesson = definitions(
        "07", seed=0, net=net, size=48, steps=1, colour_root=ROOT, colour_mean=torch.zeros(3),
        FOURIER_PATH=3.3, n_channels=2, channel_size=48, small=small, n_inversion=1,
        source=small[:1], unrelated=small[1:2],
    )  # fmt: skip
    views = {"paint": lesson["paint"], "view": lesson["random_view"], "progress": False}
    pictures, _ = lesson["ascend"](lesson["start_code"](1), torch.tensor([76]), path=3.3, **views)
    assert pictures.shape == (1, 3, 48, 48)
    assert pictures.isfinite().all()
    for layer in dict.fromkeys([*net.layers.style, net.layers.grad_cam]):
        found, channels = lesson["channel_pictures"](layer)
        assert found.shape == (2, 3, 48, 48)
        assert len(set(channels)) == 2
        picture, error, control = lesson["invert"](layer)
        assert picture.shape == (1, 3, 48, 48)
        assert error > 0
        assert control > 0
