"""Exact values of parts, agreement with them, and the popular metrics."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve
from torch import nn

from course_utils import evaluation as ev
from course_utils.evaluation.metrics import impute


def members(players: int) -> np.ndarray:
    return np.arange(2**players)[:, None] >> np.arange(players) & 1


# ---------------------------------------------------------------------------- games


def test_additive_game_pays_each_player_its_own_worth():
    worth = np.array([3.0, -1.0, 0.0, 0.5])
    values = 2 + members(4) @ worth
    np.testing.assert_allclose(ev.shapley_values(values), worth, atol=1e-12)
    np.testing.assert_allclose(ev.shapley_interactions(values), 0, atol=1e-12)


def test_product_of_all_players_is_shared_equally():
    values = members(3).prod(axis=1).astype(float)
    np.testing.assert_allclose(ev.shapley_values(values), 1 / 3)
    pairs = ev.shapley_interactions(values)
    # of three, a pair needs the third: half of the time it is there
    np.testing.assert_allclose(pairs, (np.ones((3, 3)) - np.eye(3)) / 2)


def test_multiplicative_game_of_two():
    # v = x * y with x in {1, 3}, y in {2, 7}: known by hand
    values = [1 * 2, 3 * 2, 1 * 7, 3 * 7]
    np.testing.assert_allclose(ev.shapley_values(values), [(4 + 14) / 2, (5 + 15) / 2])
    np.testing.assert_allclose(ev.shapley_interactions(values), [[0, 10], [10, 0]])


def test_values_are_the_mean_over_all_orders():
    values = np.random.default_rng(0).normal(size=2**5)
    total = np.zeros(5)
    for order in itertools.permutations(range(5)):
        inside = 0
        for player in order:
            total[player] += values[inside | 1 << player] - values[inside]
            inside |= 1 << player
    found = ev.shapley_values(values)
    np.testing.assert_allclose(found, total / math.factorial(5), atol=1e-12)
    assert found.sum() == pytest.approx(values[-1] - values[0])


def test_interaction_is_what_a_player_gains_by_the_others_presence():
    values = np.random.default_rng(1).normal(size=2**4)
    pairs, half = ev.shapley_interactions(values), values.reshape(2, 8)
    # phi of the rest with the last player there, minus without: the definition of Grabisch, Roubens
    gain = ev.shapley_values(half[1]) - ev.shapley_values(half[0])
    np.testing.assert_allclose(pairs[3, :3], gain, atol=1e-12)
    np.testing.assert_allclose(pairs, pairs.T, atol=1e-12)


def test_many_games_at_once():
    values = np.random.default_rng(2).normal(size=(3, 8))
    np.testing.assert_allclose(ev.shapley_values(values)[1], ev.shapley_values(values[1]))
    assert ev.shapley_interactions(values).shape == (3, 3, 3)
    assert ev.shapley_interactions([0.0, 1.0]).tolist() == [[0.0]]


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0], [0.0, np.nan], 3.0])
def test_what_is_no_game_is_refused(values: object):
    with pytest.raises(ValueError, match="one for every subset"):
        ev.shapley_values(values)


def test_agreement_knows_order_scale_and_signs():
    truth = [4.0, 2.0, -2.0, 0.0]
    same = ev.part_agreement(np.multiply(3, truth), truth)
    assert same.tau == pytest.approx(1)
    assert same.scale_error == pytest.approx(0, abs=1e-7)
    assert same.wrong_signs == 0
    assert same.completeness_gap == pytest.approx(8 / 8)
    assert ev.part_agreement([4, 2, 2, 0], truth).wrong_signs == pytest.approx(2 / 8)
    assert ev.part_agreement(np.negative(truth), truth)[:3] == pytest.approx((-1, 1, 1))
    assert ev.part_agreement([1, 1, 1, 1], truth)[0] == 0
    magnitudes = ev.part_agreement([4, 2, 2, 0], truth, absolute=True)
    assert magnitudes.tau == pytest.approx(1)
    assert magnitudes.completeness_gap == 0


def test_agreement_counts_visible_parts_only_but_completeness_all():
    found = ev.part_agreement([1.0, 2.0, -9.0], [1.0, 2.0, 3.0], [True, True, False])
    assert found.tau == 1
    assert found.completeness_gap == pytest.approx(12 / 6)
    assert math.isnan(ev.part_agreement([1.0, 2.0], [1.0, 2.0], [True, False]).tau)
    with pytest.raises(ValueError, match="one number a part"):
        ev.part_agreement([1.0], [1.0, 2.0])


def test_own_gain_is_zero_for_what_all_networks_share():
    assert ev.own_gain(np.full((3, 3, 2), 0.4)).tolist() == pytest.approx([0, 0])
    own = np.eye(2)[:, :, None] * np.array([0.5, 0.1])
    np.testing.assert_allclose(ev.own_gain(own), [0.5, 0.1])
    with pytest.raises(ValueError, match="two networks"):
        ev.own_gain(np.zeros((1, 1, 4)))


def test_rank_agreement_of_a_good_and_a_bad_metric():
    generator = np.random.default_rng(0)
    truth = np.linspace(0, 1, 8) + 0.1 * generator.normal(size=(40, 8))
    good = ev.rank_agreement(truth * 5 + 1, truth)
    assert good.value == pytest.approx(1)
    assert good.low <= good.high == pytest.approx(1)
    assert ev.rank_agreement(-truth, truth).value == pytest.approx(-1)
    noise = ev.rank_agreement(generator.normal(size=truth.shape), truth)
    assert noise.low < noise.value < noise.high


# ---------------------------------------------------------------------------- metrics


class Left(nn.Module):
    """The mean of the left half, minus that of the right half."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        half = x.shape[-1] // 2
        difference = x[..., :half].mean((1, 2, 3)) - x[..., half:].mean((1, 2, 3))
        return torch.stack([difference, -difference], dim=1)


@pytest.fixture(scope="module")
def case() -> dict:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(6, 3, 16, 16, generator=generator) + 0.5
    left = np.zeros((6, 16, 16), bool)
    left[:, :, :8] = True
    parts = [np.stack([one, ~one]) for one in left]
    # half of the pictures are of the other class, whose evidence is on the right
    target = torch.tensor([0, 1] * 3)
    masks = np.where(target.numpy()[:, None, None] == 0, left, ~left)
    effects = [np.array([1.0, -1.0]) * (1 - 2 * int(goal)) for goal in target]

    def explain(model: nn.Module, x: torch.Tensor, goal: torch.Tensor) -> np.ndarray:
        x = x.detach().clone().requires_grad_(True)
        score = model(x).gather(1, goal[:, None]).sum()
        return (torch.autograd.grad(score, x)[0] * x).sum(1).detach().numpy()

    return {
        "model": Left().eval(),
        "images": images,
        "target": target,
        "masks": masks,
        "parts": parts,
        "effects": effects,
        "explain": explain,
    }


def planted(case: dict) -> dict[str, np.ndarray]:
    """Return a good map, its opposite, and noise that looks at nothing."""
    good = case["explain"](case["model"], case["images"], case["target"])
    return {
        "good": good,
        "bad": -good,
        "random": np.random.default_rng(1).normal(size=good.shape),
    }


SIGNED = ["deletion", "insertion", "ROAD", "faithfulness correlation"]


@pytest.mark.parametrize("name", [*SIGNED, "one part greyed", "one part removed"])
def test_metric_ranks_planted_maps(name: str, case: dict):
    metric = ev.METRICS[name]
    means = {k: metric.goodness(metric(m, **case)).mean() for k, m in planted(case).items()}
    assert means["good"] > means["random"] > means["bad"]


@pytest.mark.parametrize("name", ["relevance mass", "rank accuracy", "pointing game"])
def test_where_a_map_lies(name: str, case: dict):
    metric, good = ev.METRICS[name], planted(case)["good"] * case["masks"]
    assert metric(good, **case).mean() == pytest.approx(1)
    assert metric(np.where(case["masks"], 0.0, 1.0), **case).mean() == 0


@pytest.mark.parametrize("name", ev.METRICS)
def test_a_batch_is_as_many_single_calls(name: str, case: dict):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 2))
    case, maps = {**case, "model": network.eval()}, planted(case)["random"]
    atol = 1e-2 if name == "ROAD" else 1e-5  # its solver stops when all pictures are good enough
    alone = []
    for i in range(3):
        one = {k: v[i : i + 1] if hasattr(v, "__len__") else v for k, v in case.items()}
        alone += [*ev.METRICS[name](maps[i : i + 1], **{**one, "model": case["model"]})]
    some = {k: v[:3] if hasattr(v, "__len__") else v for k, v in case.items()}
    together = ev.METRICS[name](maps[:3], **{**some, "model": case["model"]})
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=atol)


def test_infidelity_is_zero_for_a_linear_model(case: dict):
    metric, maps = ev.METRICS["infidelity"], planted(case)
    np.testing.assert_allclose(metric(maps["good"], **case), 0, atol=1e-9)
    assert metric(maps["random"], **case).mean() > 0.5


def test_every_metric_has_its_metadata_and_keeps_its_range(case: dict):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 2))
    case = {**case, "model": network.requires_grad_(False).eval()}
    maps = case["explain"](network, case["images"], case["target"])
    assert len(ev.METRICS) >= 12
    for name, metric in ev.METRICS.items():
        assert metric.name == name
        assert min(map(len, (metric.measures, metric.fooled_by, metric.source))) > 10, name
        values = metric(maps, **case)
        assert values.shape == (6,), name
        low, high = metric.range
        assert ((values >= low - 1e-9) & (values <= high + 1e-9)).all(), name
        np.testing.assert_array_equal(values, metric(maps, **case))


def test_noise_and_constants_against_explaining_again(case: dict):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 2))
    case = {**case, "model": network.requires_grad_(False).eval()}

    def picture(_: nn.Module, x: torch.Tensor, goal: torch.Tensor) -> np.ndarray:
        return x.mean(1).numpy()

    maps = picture(network, case["images"], case["target"])
    randomised = ev.METRICS["parameter randomisation"]
    np.testing.assert_allclose(randomised(maps, **{**case, "explain": picture}), 1)
    smooth = ev.METRICS["smooth parameter randomisation"]
    np.testing.assert_allclose(smooth(maps, **{**case, "explain": picture}), 1)
    assert randomised(planted(case)["good"], **case).mean() < 0.9
    constant = {**case, "explain": lambda _, x, goal: np.ones((6, 16, 16))}
    assert ev.METRICS["max-sensitivity"](np.ones((6, 16, 16)), **constant).max() == 0


def test_one_pixel_is_sparse_and_a_plain_map_is_not():
    maps = np.zeros((2, 8, 8))
    maps[0, 3, 3] = 5
    maps[1] = 1
    assert ev.METRICS["sparseness"](maps).tolist() == pytest.approx([63 / 64, 0])
    assert ev.METRICS["complexity"](maps).tolist() == pytest.approx([0, math.log(64)])


def test_imputation_solves_the_linear_system():
    generator = np.random.default_rng(0)
    images = torch.tensor(generator.normal(size=(2, 3, 9, 7)))
    gone = torch.tensor(generator.random((2, 1, 9, 7)) < 0.6)
    found = impute(images, gone, tolerance=1e-10)
    weights = {
        (a, b): 1 / 6 if a == 0 or b == 0 else 1 / 12
        for a in (-1, 0, 1)
        for b in (-1, 0, 1)
        if (a, b) != (0, 0)
    }
    triples = zip(images.numpy(), gone[:, 0].numpy(), found.numpy(), strict=True)
    for picture, hole, expected in triples:
        matrix, right = lil_matrix((63, 63)), np.zeros((63, 3))
        for row, column in np.ndindex(9, 7):
            here = row * 7 + column
            if not hole[row, column]:
                matrix[here, here], right[here] = 1, picture[:, row, column]
                continue
            for (down, across), weight in weights.items():
                if 0 <= row + down < 9 and 0 <= column + across < 7:
                    matrix[here, here] += weight
                    matrix[here, here + 7 * down + across] -= weight
        solved = spsolve(matrix.tocsr(), right).T.reshape(3, 9, 7)
        np.testing.assert_allclose(expected, solved, atol=1e-6)


def test_insertion_is_deletion_from_the_other_end(case: dict):
    maps = planted(case)["good"]
    deleted = ev.deletion_curve(
        case["model"], case["images"], -maps, case["target"], fill=0.0, score="logit"
    )
    inserted = ev.METRICS["insertion"](maps, **case)
    curve = ev.deletion_curve(
        case["model"], torch.zeros_like(case["images"]), maps, case["target"],
        fill=case["images"], score="logit",
    )  # fmt: skip
    np.testing.assert_allclose(curve.scores[:, ::-1], deleted.scores, atol=1e-5)
    np.testing.assert_allclose(inserted, curve.area, atol=0.02)
