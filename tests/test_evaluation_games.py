"""Exact values of parts, and agreement with them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from course_utils import evaluation as ev
from scoreboard.agreement import part_agreement, rank_agreement


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
    same = part_agreement(np.multiply(3, truth), truth)
    assert same.tau == pytest.approx(1)
    assert same.scale_error == pytest.approx(0, abs=1e-7)
    assert same.wrong_signs == 0
    assert same.completeness_gap == pytest.approx(8 / 8)
    assert part_agreement([4, 2, 2, 0], truth).wrong_signs == pytest.approx(2 / 8)
    assert part_agreement(np.negative(truth), truth)[:3] == pytest.approx((-1, 1, 1))
    assert part_agreement([1, 1, 1, 1], truth)[0] == 0


def test_agreement_counts_visible_parts_only_but_completeness_all():
    found = part_agreement([1.0, 2.0, -9.0], [1.0, 2.0, 3.0], [True, True, False])
    assert found.tau == 1
    assert found.completeness_gap == pytest.approx(12 / 6)
    assert math.isnan(part_agreement([1.0, 2.0], [1.0, 2.0], [True, False]).tau)
    with pytest.raises(ValueError, match="one number a part"):
        part_agreement([1.0], [1.0, 2.0])


def test_own_gain_is_zero_for_what_all_networks_share():
    assert ev.own_gain(np.full((3, 3, 2), 0.4)).tolist() == pytest.approx([0, 0])
    own = np.eye(2)[:, :, None] * np.array([0.5, 0.1])
    np.testing.assert_allclose(ev.own_gain(own), [0.5, 0.1])
    with pytest.raises(ValueError, match="two networks"):
        ev.own_gain(np.zeros((1, 1, 4)))


def test_rank_agreement_of_a_good_and_a_bad_metric():
    generator = np.random.default_rng(0)
    truth = np.linspace(0, 1, 8) + 0.1 * generator.normal(size=(40, 8))
    good = rank_agreement(truth * 5 + 1, truth)
    assert good.value == pytest.approx(1)
    assert good.low <= good.high == pytest.approx(1)
    assert rank_agreement(-truth, truth).value == pytest.approx(-1)
    noise = rank_agreement(generator.normal(size=truth.shape), truth)
    assert noise.low < noise.value < noise.high
