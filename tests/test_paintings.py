"""Procedural paintings: the same every time, the same composition at every size."""

from __future__ import annotations

import numpy as np
import pytest

import course_utils as cu
from course_utils.paintings import PAINTINGS, paint


@pytest.mark.parametrize("name", PAINTINGS)
def test_painting_depends_on_its_seed_and_nothing_else(name):
    first, again = (np.asarray(paint(name, 48)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (48, 48, 3)
    assert first.dtype == np.uint8
    assert not np.array_equal(first, np.asarray(paint(name, 48, seed=1)))


@pytest.mark.parametrize("name", PAINTINGS)
def test_size_changes_the_resolution_and_not_the_composition(name):
    small, large = (
        np.asarray(paint(name, size).resize((8, 8), 4), dtype=float) for size in (64, 128)
    )
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.9


def test_paintings_differ_from_each_other_and_have_contrast():
    pictures = [np.asarray(cu.paint(name, 64), dtype=float) for name in PAINTINGS]
    assert all(picture.std() > 30 for picture in pictures)
    for index, picture in enumerate(pictures):
        assert all(np.abs(picture - other).mean() > 20 for other in pictures[:index])


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="strokes, mosaic, waves, hatching, dots"):
        paint("sunflowers")
    with pytest.raises(ValueError, match="16 or more"):
        paint("dots", 8)
