"""Lesson 11: its Shapley values, interactions, rank agreement and deletion are what it says."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _lessons import definitions

from course_utils import evaluation
from scoreboard.methods import METHODS


@pytest.fixture(scope="module")
def lesson():
    names = definitions("11")
    METHODS.pop("gradient squared", None)  # the method of one's own, registered by its decorator
    return names


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=2**4)


def test_shapley_over_orders_is_the_sum_over_subsets(lesson, values):
    np.testing.assert_allclose(lesson["shapley"](values), evaluation.shapley_values(values))
    assert lesson["shapley"]([0, 1, 5, 6]).tolist() == [1, 5]
    assert lesson["shapley"]([0, 0, 0, 8]).tolist() == [4, 4]


@pytest.mark.parametrize(("i", "j"), [(0, 1), (3, 1), (2, 3)])
def test_interaction_is_the_closed_formula(lesson, values, i, j):
    expected = evaluation.shapley_interactions(values)[i, j]
    assert lesson["interaction"](values, i, j) == pytest.approx(expected)


def test_rank_agreement_ranks_visible_parts_only(lesson):
    masks = np.zeros((4, 10, 100), bool)
    masks[0, :2], masks[1, 2:4], masks[2, 4:] = True, True, True
    masks[3, 9, 99], masks[2, 9, 99] = True, False  # one pixel of a thousand
    game = SimpleNamespace(masks=masks)
    one = 1.0 * masks[0] + 3 * masks[1] + 2 * masks[2] + 1e9 * masks[3]
    exact = np.array([20.0, 600, 1200, -5])
    assert lesson["kendall"]([one], [game], [exact])[0] == pytest.approx(1)
    assert lesson["kendall"]([-one], [game], [exact])[0] == pytest.approx(-1)
    assert lesson["kendall"]([0 * one], [game], [exact])[0] == 0
    stays = np.array([600.0, 20, np.nan, 0])
    assert lesson["kendall"]([one], [game], [stays])[0] == pytest.approx(-1)


def test_portrait_paints_each_part_with_its_number(lesson):
    masks = np.stack([np.eye(3, dtype=bool), ~np.eye(3, dtype=bool)])
    painted = lesson["portrait"](SimpleNamespace(masks=masks), [2.0, math.nan])
    np.testing.assert_array_equal(painted, 2 * np.eye(3))


def test_delete_takes_the_highest_pixels_first(lesson):
    images, one = torch.ones(1, 3, 4, 5), np.arange(20.0).reshape(1, 4, 5)
    left = lesson["delete"](images, one, 0.25)
    assert left[0, 0].flatten()[-5:].tolist() == [0] * 5
    assert left[0, 0].flatten()[:-5].tolist() == [1] * 15
    assert torch.equal(lesson["delete"](images, one, 0), images)


def test_words_of_the_claims(lesson):
    test = SimpleNamespace(p_value=0.2, difference=0.5)
    assert lesson["word"](test) == "undecided"
    assert lesson["word"](SimpleNamespace(p_value=0.001, difference=0.5)) == "helps"
    assert lesson["word"](SimpleNamespace(p_value=0.001, difference=-0.5)) == "hurts"
