"""Lesson 06's own attacks against foolbox, its certificate against scipy, its formulas by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import foolbox
import pytest
import torch
from _lessons import definitions, random_weights
from scipy import stats
from torch import nn

SHAPES = ((4, 12), (12, 12), (12, 3))
SIZES = [48, 144, 36]
EPSILON = 4 / 255


@pytest.fixture(scope="module")
def lesson() -> dict[str, Any]:
    return definitions("06", SHAPES=SHAPES, SIZES=SIZES, x=torch.zeros(1))


@pytest.fixture(scope="module")
def tiny() -> nn.Module:
    """Make a network of 16 px pictures that is nowhere near linear."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 64, 6)]
    network = nn.Sequential(*layers).requires_grad_(False).eval()
    network[-1].weight *= 8
    return network


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (10, 3, 16, 16), generator=generator) / 255


@pytest.fixture(scope="module")
def labels(tiny, pictures) -> torch.Tensor:
    return tiny(pictures).argmax(dim=1)


def by_foolbox(attack, tiny, pictures, labels, epsilon):
    judge = foolbox.PyTorchModel(tiny, bounds=(0, 1), device="cpu")
    return attack(judge, pictures, labels, epsilons=epsilon)[1]


# --- the attacks ----------------------------------------------------------------------------------


def test_fgsm_is_foolboxs(lesson, tiny, pictures, labels):
    attack = foolbox.attacks.LinfFastGradientAttack(random_start=False)
    ours = lesson["fgsm"](tiny, pictures, labels, EPSILON)
    torch.testing.assert_close(ours, by_foolbox(attack, tiny, pictures, labels, EPSILON))
    assert (tiny(ours).argmax(dim=1) != labels).any()


@pytest.mark.parametrize(
    ("norm", "epsilon", "attack"),
    [
        ("linf", EPSILON, foolbox.attacks.LinfProjectedGradientDescentAttack),
        ("l2", 0.5, foolbox.attacks.L2ProjectedGradientDescentAttack),
    ],
)
def test_pgd_is_foolboxs(lesson, tiny, pictures, labels, norm, epsilon, attack):
    steps = 7
    theirs = attack(rel_stepsize=2.5 / steps, steps=steps, random_start=False)
    ours = lesson["pgd"](tiny, pictures, labels, epsilon, norm, steps)
    expected = by_foolbox(theirs, tiny, pictures, labels, epsilon)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    assert not torch.allclose(ours, pictures, atol=epsilon / 100)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_keeps_the_budget_and_the_range(lesson, tiny, pictures, labels, norm):
    made = lesson["pgd"](tiny, pictures, labels, 0.05, norm, 4, step=0.04)
    change = (made - pictures).flatten(1)
    size = change.abs().amax(dim=1) if norm == "linf" else change.norm(dim=1)
    assert size.max() <= 0.05 + 1e-6
    assert size.min() > 0.03
    assert made.min() >= 0
    assert made.max() <= 1


def test_deepfool_is_foolboxs(lesson, tiny, pictures, labels):
    attack = foolbox.attacks.L2DeepFoolAttack(steps=20, candidates=4, overshoot=0.02)
    ours = torch.cat([lesson["deepfool"](tiny, picture[None]) for picture in pictures])
    expected = by_foolbox(attack, tiny, pictures, labels, None)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)
    assert (tiny(ours).argmax(dim=1) != labels).all()


def test_deepfool_walks_the_distance_to_a_plane(lesson):
    torch.manual_seed(3)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    point = torch.full((1, 3, 2, 2), 0.5)
    logits = linear(point)[0]
    normal = linear[1].weight[0] - linear[1].weight[1]
    expected = ((logits[0] - logits[1]).abs() / normal.norm()).item()
    walked = lesson["deepfool"](linear, point, rivals=1, overshoot=0.0) - point
    assert walked.norm().item() == pytest.approx(expected + 1e-4, abs=1e-5)


def test_network_of_pixels_normalises_as_foolbox_does(lesson, tiny, pictures, labels):
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    network = SimpleNamespace(
        model=tiny, preprocess=SimpleNamespace(mean=mean, std=std), device="cpu"
    )
    pixels = lesson["PixelNetwork"](network).eval()
    judge = foolbox.PyTorchModel(
        tiny, bounds=(0, 1), device="cpu", preprocessing={"mean": mean, "std": std, "axis": -3}
    )
    torch.testing.assert_close(pixels(pictures), judge(pictures))
    wrong = lesson["fgsm_normalised"](pixels, pictures, labels, EPSILON)
    reached = (wrong - pictures).abs().amax(dim=(0, 2, 3))
    torch.testing.assert_close(reached, EPSILON * torch.tensor(std), atol=1e-6, rtol=0)


def test_climb_goes_uphill_until_done(lesson, tiny, pictures, labels):
    target = int((labels[0] + 1) % 6)

    def done(picture):
        return tiny(picture).argmax().item() == target

    found, count = lesson["climb"](tiny, pictures[:1], target, 0.2, 200, done)
    assert done(found)
    assert 0 < count < 200
    assert found.min() >= 0
    assert found.max() <= 1
    assert (found - pictures[:1]).norm() <= 0.2 * count + 1e-5
    same, none = lesson["climb"](tiny, pictures[:1], target, 0.2, 200, lambda picture: True)
    assert none == 0
    assert torch.equal(same, pictures[:1])


def test_universal_change_is_one_change_within_the_budget(lesson, tiny, pictures, labels):
    delta = lesson["universal"](tiny, pictures, labels, EPSILON, 6)
    assert delta.shape == (1, 3, 16, 16)
    assert delta.abs().max() <= EPSILON + 1e-7
    loss = nn.functional.cross_entropy
    moved = (pictures + delta).clamp(0, 1)
    assert loss(tiny(moved), labels) > loss(tiny((pictures - delta).clamp(0, 1)), labels)


# --- files ----------------------------------------------------------------------------------------


def test_a_file_holds_whole_grey_levels(lesson, pictures):
    in_file = lesson["in_file"]
    assert torch.equal(in_file(pictures), pictures)
    assert torch.equal(in_file(pictures + 0.4 / 255), pictures.clamp(max=1))
    raised = in_file((pictures + 0.6 / 255).clamp(0, 1))
    torch.testing.assert_close(raised, (pictures + 1 / 255).clamp(max=1))
    assert torch.equal(in_file(pictures + 2), torch.ones_like(pictures))
    assert not torch.equal(in_file(pictures, "JPEG", quality=50), pictures)


def test_compression_counts_as_the_identity_backwards(lesson, tiny, pictures, labels):
    squeezed = lesson["Compressed"](tiny, quality=60)
    files = lesson["in_file"](pictures, "JPEG", quality=60)
    torch.testing.assert_close(squeezed(pictures), tiny(files))
    ours = lesson["loss_gradient"](squeezed, pictures, labels)
    torch.testing.assert_close(ours, lesson["loss_gradient"](tiny, files, labels))


def test_blur_leaves_plain_pictures_alone(lesson, tiny, pictures):
    grey = torch.full((1, 3, 16, 16), 0.3)
    blurred = lesson["Blurred"](tiny)
    torch.testing.assert_close(blurred(grey), tiny(grey))
    assert not torch.allclose(blurred(pictures), tiny(pictures), atol=1e-3)


# --- the certificate ------------------------------------------------------------------------------


class Voters(nn.Module):
    """A network whose decisions are given in advance."""

    def __init__(self, votes):
        super().__init__()
        self.votes = list(votes)

    def forward(self, pictures):
        chosen, self.votes = self.votes[: len(pictures)], self.votes[len(pictures) :]
        return nn.functional.one_hot(torch.tensor(chosen), 3).float()


@pytest.mark.parametrize("k", [100, 83, 64])
def test_certificate_is_the_one_of_the_paper(lesson, k):
    sigma, n = 0.25, 100
    network = Voters([2] * 10 + [2] * k + [1] * (n - k))
    dice = torch.Generator().manual_seed(0)
    found = lesson["certify"](network, torch.zeros(1, 3, 2, 2), sigma, n, dice)
    exact = stats.binomtest(k, n, alternative="greater").proportion_ci(0.999, "exact").low
    expected = sigma * stats.norm.ppf(exact) if exact > 0.5 else 0.0
    assert found.radius == pytest.approx(expected)
    assert found.decision == (2 if exact > 0.5 else None)


def test_votes_that_choose_are_not_the_votes_that_count(lesson):
    network = Voters([0] * 10 + [1] * 50)
    dice = torch.Generator().manual_seed(0)
    found = lesson["certify"](network, torch.zeros(1, 3, 2, 2), 0.25, 50, dice)
    assert found == (None, 0.0)


def test_no_promise_exceeds_the_margin_of_a_plane(lesson):
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        linear[1].weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 0]]))
        linear[1].bias.zero_()
    point = torch.zeros(1, 3, 1, 1)
    point[0, 0] = 0.1
    dice = torch.Generator().manual_seed(0)
    found = lesson["certify"](linear, point, 0.1, 4000, dice)
    assert found.decision == 0
    assert 0.08 < found.radius <= 0.1


def test_interval_of_a_share(lesson):
    low, high = lesson["share_interval"](1.0, 20)
    assert high == 1
    assert low == pytest.approx(0.025 ** (1 / 20))


# --- pictures of nothing --------------------------------------------------------------------------


def test_certain_pictures_reach_their_classes(lesson, tiny):
    goals = torch.tensor([0, 3])
    found = lesson["certain"](tiny, torch.full((2, 3, 16, 16), 0.5), goals, 60, sure=0.99)
    reached = tiny(found.best).softmax(dim=1).gather(1, goals[:, None])
    assert (reached > 0.9).all()
    assert (tiny(torch.full((1, 3, 16, 16), 0.5)).softmax(dim=1)[0, goals] < 0.9).all()
    assert found.best.min() >= 0
    assert found.best.max() <= 1


class Thousand(nn.Module):
    """Another small network, of 1000 classes and any size."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn((1000, 12), generator=generator) * 4

    def forward(self, pictures):
        means = nn.functional.adaptive_avg_pool2d(pictures, 2).flatten(1)
        return (means - 0.5) @ self.weight.T


def test_evolution_keeps_the_best_of_each_class(lesson):
    network = Thousand()
    best, elite = lesson["evolve"](network, 8, torch.Generator().manual_seed(0), children=6)
    early, _ = lesson["evolve"](network, 1, torch.Generator().manual_seed(0), children=6)
    assert best.max() > early.max()
    top = best.topk(3).indices
    painted = lesson["paint"](elite[top])
    assert painted.shape == (3, 3, 224, 224)
    torch.testing.assert_close(painted * 255, (painted * 255).round(), atol=1e-3, rtol=0)
    again = network(painted).softmax(dim=1)[range(3), top]
    torch.testing.assert_close(again, best[top])


def test_paint_bends_a_third_each(lesson):
    z = torch.linspace(-2, 2, 12).view(1, 1, 12)
    first, second, third = lesson["bend"](z).chunk(3, dim=2)
    torch.testing.assert_close(first, torch.sin(3 * z[..., :4]))
    torch.testing.assert_close(second, torch.tanh(z[..., 4:8]))
    torch.testing.assert_close(third, torch.exp(-(z[..., 8:] ** 2)))


# --- the explanation ------------------------------------------------------------------------------


def test_softplus_approaches_the_kinks(lesson):
    z = torch.linspace(-3, 9, 50)
    for ceiling, kink in ((None, nn.ReLU()), (6.0, nn.ReLU6())):
        torch.testing.assert_close(
            lesson["SoftReLU"](200.0, ceiling)(z), kink(z), atol=4e-3, rtol=0
        )
        soft = lesson["SoftReLU"](2.0, ceiling)(torch.zeros(1)).item()
        top = 0 if ceiling is None else math.log1p(math.exp(-12)) / 2
        assert soft == pytest.approx(math.log(2) / 2 - top, abs=1e-6)


def test_soft_copy_leaves_the_network_as_it_was(lesson, tiny, pictures):
    before = tiny(pictures)
    soft = lesson["soften"](tiny, pictures, 1000.0)
    torch.testing.assert_close(soft(pictures), before, atol=0.05, rtol=0.01)
    assert torch.equal(tiny(pictures), before)
    assert not any(isinstance(module, nn.ReLU) for module in soft.modules())
    assert not any(module._forward_pre_hooks for module in tiny.modules())


def test_kinks_have_no_second_derivative(lesson, tiny, pictures, labels):
    soft = lesson["soften"](tiny, pictures, 3.0)
    assert lesson["curvature"](tiny, pictures[:1], labels[0]) == 0
    assert lesson["curvature"](soft, pictures[:1], labels[0]) > 1e-3


def test_explanation_is_moved_and_the_decision_stays(lesson, tiny, pictures, labels):
    box = torch.zeros(16, 16)
    box[:5, :5] = 1
    soft = lesson["soften"](tiny, pictures, 5.0)
    one, label = pictures[:1], labels[:1]
    moved = lesson["mislead"](soft, one, label, box, 0.1, 30, 0.02)
    shares = [
        lesson["share_inside"](lesson["heat"](tiny, picture, label)[0], box).item()
        for picture in (one, moved)
    ]
    assert shares[1] > shares[0] + 0.05
    assert (moved - one).abs().max() <= 0.1 + 1e-6
    assert tiny(moved).argmax().item() == label.item()


def test_heat_is_the_absolute_gradient(lesson, pictures):
    linear = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    values, logits = lesson["heat"](linear, pictures[:2], torch.tensor([0, 1]))
    expected = linear[1].weight.view(2, 3, 16, 16).abs().sum(dim=1)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(logits, linear(pictures[:2]))


# --- the other bundled architecture ---------------------------------------------------------------


def test_every_step_runs_on_the_other_architecture(lesson):
    model = random_weights("efficientnet_lite0").requires_grad_(False)
    picture = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    labels = lesson["decide"](model, picture)
    assert lesson["pgd"](model, picture, labels, EPSILON, "linf", 1).shape == picture.shape
    assert lesson["deepfool"](model, picture[:1], steps=1).shape == (1, 3, 64, 64)
    soft = lesson["soften"](model, picture, 10.0)
    assert not any(isinstance(module, nn.ReLU6) for module in soft.modules())
    torch.testing.assert_close(soft(picture).shape, model(picture).shape)
    box = torch.zeros(64, 64)
    box[:16, :16] = 1
    moved = lesson["mislead"](soft, picture, labels, box, EPSILON, 1, EPSILON)
    assert moved.shape == picture.shape
    assert lesson["curvature"](model, picture[:1], labels[0]) == 0


def test_magnified_change_is_a_picture(lesson):
    change = torch.tensor([-1.0, 0.0, 0.1])
    torch.testing.assert_close(lesson["magnify"](change, 2), torch.tensor([0.0, 0.5, 0.7]))
