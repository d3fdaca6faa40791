"""Lesson 06's own attacks against foolbox, its statistics against SciPy, its formulas by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import foolbox
import numpy as np
import pytest
import torch
from _lessons import definitions, random_weights
from scipy import stats
from torch import nn

SHAPES = ((4, 12), (12, 12), (12, 3))
SIZES = [48, 144, 36]
EPSILON = 4 / 255


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
def lesson(tiny) -> dict[str, Any]:
    net = SimpleNamespace(labels=["a", "b", "c", "d", "e", "f"])
    return definitions(
        "06", SHAPES=SHAPES, SIZES=SIZES, x=torch.zeros(1), model=tiny, smooth=tiny, net=net
    )


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


def test_pgd_is_foolboxs(lesson, tiny, pictures, labels):
    attack = foolbox.attacks.LinfProjectedGradientDescentAttack(
        rel_stepsize=2.5 / 7, steps=7, random_start=False
    )
    ours = lesson["pgd"](tiny, pictures, labels, EPSILON, steps=7)
    expected = by_foolbox(attack, tiny, pictures, labels, EPSILON)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    assert not torch.allclose(ours, pictures, atol=EPSILON / 100)


def test_pgd_keeps_the_budget_and_the_range(lesson, tiny, pictures, labels):
    made = lesson["pgd"](tiny, pictures, labels, 0.05)
    size = (made - pictures).flatten(1).abs().amax(dim=1)
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


def test_the_reported_attack_spends_its_budget_after_the_normalisation(tiny, pictures, labels):
    class Normalise(nn.Module):
        std = torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)

        def forward(self, values):
            return values / self.std

    net = SimpleNamespace(denormalize=lambda values: values * Normalise.std)
    reported = definitions("06", net=net)["fgsm_reported"]
    wrong = reported(nn.Sequential(Normalise(), tiny), pictures, labels, EPSILON)
    reached = (wrong - pictures).abs().amax(dim=(0, 2, 3))
    torch.testing.assert_close(reached, EPSILON * Normalise.std.flatten(), atol=1e-6, rtol=0)


def test_climb_stops_when_the_file_is_sure(lesson, tiny, pictures, labels):
    target = int((labels[0] + 1) % 6)
    found, count = lesson["climb"](pictures[:1], target, sure=0.9, step=0.2)
    assert tiny(found).softmax(dim=1)[0, target] >= 0.9
    assert torch.equal(found, lesson["in_file"](found))
    assert 0 < count < 300
    same, none = lesson["climb"](pictures[:1], target, sure=0.0)
    assert none == 0
    assert torch.equal(same, pictures[:1])
    with pytest.raises(RuntimeError, match="not there after 1 "):
        lesson["climb"](pictures[:1], target, sure=0.9999, step=1e-4, most=1)


def test_climb_leaves_a_picture_without_a_gradient_as_it_is(lesson, pictures, monkeypatch):
    """A dead network; and a class whose probability rounds to zero, which has a gradient."""
    monkeypatch.setitem(lesson, "model", lambda x: 0 * x.flatten(1)[:, :2])
    found, _ = lesson["climb"](pictures[:1], 0, sure=0.5)
    assert torch.equal(found, pictures[:1])
    with pytest.raises(RuntimeError, match="not there"):
        lesson["climb"](pictures[:1], 0, sure=0.6, most=2)
    steep = torch.tensor([300.0, -300.0])
    monkeypatch.setitem(lesson, "model", lambda x: (x.mean((1, 2, 3)) - 0.5)[:, None] * steep)
    found, count = lesson["climb"](torch.full((1, 3, 8, 8), 0.1), 0, sure=0.4, step=2)
    assert count > 0
    assert found.min() > 0.4


def test_no_file_holds_nan(lesson):
    with pytest.raises(AssertionError, match="NaN"):
        lesson["in_file"](torch.full((1, 3, 4, 4), torch.nan))


def test_guess_names_the_likeliest_class(lesson, tiny, pictures, labels):
    name, probability = lesson["guess"](pictures[:1]).split(", ")
    assert name == "abcdef"[labels[0]]
    expected = 100 * tiny(pictures[:1]).softmax(dim=1).max().item()
    assert float(probability.removesuffix("%")) == pytest.approx(expected, abs=0.6)


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
    squeezed = lesson["Compressed"]()
    files = lesson["in_file"](pictures, "JPEG", quality=50)
    torch.testing.assert_close(squeezed(pictures), tiny(files))
    ours = lesson["loss_gradient"](squeezed, pictures, labels)
    torch.testing.assert_close(ours, lesson["loss_gradient"](tiny, files, labels))


# --- statistics -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_mcnemar_counts_discordant_pairs(lesson, kind):
    first, second = kind([True] * 9 + [False] * 4), kind([False] * 8 + [True] * 2 + [False] * 3)
    assert lesson["mcnemar"](first, second) == pytest.approx(stats.binomtest(8, 9).pvalue)
    assert lesson["mcnemar"](first, first) == 1.0


def test_interval_of_a_share(lesson):
    low, high = lesson["exact"](np.ones(20))
    assert high == 1
    assert low == pytest.approx(0.025 ** (1 / 20))


# --- pictures of nothing --------------------------------------------------------------------------


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
    assert painted.shape == (3, 3, 112, 112)
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


def soft_copy(lesson, network):
    return nn.Sequential(
        *(lesson["SoftReLU"]() if isinstance(m, nn.ReLU) else m for m in network.children())
    )


def test_softplus_is_ten_times_as_sharp_as_its_input_is_spread(lesson):
    z = torch.linspace(-3, 9, 50)
    beta = 10 / z.std()
    torch.testing.assert_close(lesson["SoftReLU"]()(z), nn.functional.softplus(z, beta.item()))
    assert (lesson["SoftReLU"]()(z) - z.relu()).abs().max() < 0.07 * z.std()


def test_softplus_takes_each_picture_by_itself_and_a_constant_layer_as_it_is(lesson):
    z = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    z[1] *= 100
    soft = lesson["SoftReLU"]()
    torch.testing.assert_close(soft(z), torch.cat([soft(z[:1]), soft(z[1:])]))
    assert soft(torch.full((1, 3, 4, 4), 7.0)).allclose(torch.tensor(7.0))


def test_explanation_is_moved_and_the_decision_stays(lesson, tiny, pictures, labels):
    box = torch.zeros(1, 16, 16)
    box[:, :5, :5] = 1
    own = definitions("06", model=tiny, smooth=soft_copy(lesson, tiny))
    one, label = pictures[:1], labels[:1]
    moved = own["mislead"](one, label, box, epsilon=0.1, steps=20)
    shares = [
        own["inside"](own["heat"](tiny, picture, label)[0], box).item() for picture in (one, moved)
    ]
    assert shares[1] > shares[0] + 0.05
    assert (moved - one).abs().max() <= 0.1 + 0.51 / 255
    assert torch.equal(moved, own["in_file"](moved))
    assert tiny(moved).argmax().item() == label.item()


def test_heat_is_the_absolute_gradient(lesson, pictures):
    linear = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    values, logits = lesson["heat"](linear, pictures[:2], torch.tensor([0, 1]))
    expected = linear[1].weight.view(2, 3, 16, 16).abs().sum(dim=1)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(logits, linear(pictures[:2]))


# --- the network that the lesson is about, with random weights ------------------------------------


def test_every_step_runs_on_the_lessons_architecture(lesson):
    model = random_weights("squeezenet1_1").requires_grad_(False)
    picture = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    labels = lesson["decide"](model, picture)
    assert lesson["pgd"](model, picture, labels, EPSILON, steps=1).shape == picture.shape
    assert lesson["deepfool"](model, picture[:1], steps=1).shape == (1, 3, 64, 64)
    maps, logits = lesson["heat"](model, picture, labels)
    assert maps.shape == (2, 64, 64)
    assert logits.shape == (2, 1000)
