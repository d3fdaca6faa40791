"""Paintings: the same every time, the same composition at every size; the stored ones are these."""

from __future__ import annotations

import numpy as np
import pytest

from course_scenes.__main__ import main
from course_scenes.paintings import PAINTINGS, STORED, paint
from course_utils import load_photo, photo_names


@pytest.mark.slow
@pytest.mark.parametrize("name", PAINTINGS)
def test_painting_depends_on_its_seed_and_nothing_else(name):
    first, again = (np.asarray(paint(name, 48)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (48, 48, 3)
    assert first.dtype == np.uint8
    assert not np.array_equal(first, np.asarray(paint(name, 48, seed=1)))


@pytest.mark.slow
@pytest.mark.parametrize("name", PAINTINGS)
def test_size_changes_the_resolution_and_not_the_composition(name):
    small, large = (
        np.asarray(paint(name, size).resize((8, 8), 4), dtype=float) for size in (64, 128)
    )
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.9


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="strokes, mosaic, waves, hatching, dots"):
        paint("sunflowers")
    with pytest.raises(ValueError, match="16 or more"):
        paint("dots", 8)


def test_stored_paintings_are_in_the_catalogue_and_differ():
    assert photo_names("paintings") == list(STORED)
    pictures = [np.asarray(load_photo(name), dtype=float) for name in STORED]
    assert all(picture.shape == (512, 512, 3) for picture in pictures)
    assert all(picture.std() > 30 for picture in pictures)
    for index, picture in enumerate(pictures):
        assert all(np.abs(picture - other).mean() > 20 for other in pictures[:index])


@pytest.mark.parametrize("name", ["waves", "waves_2"])
def test_stored_paintings_are_the_generators(name):
    painter, seed = STORED[name]
    again = np.asarray(paint(painter, 512, seed), dtype=float)
    assert np.abs(np.asarray(load_photo(name), dtype=float) - again).mean() < 9  # JPEG


@pytest.mark.slow
def test_command_stores_them(tmp_path, capsys):
    main(["paintings", "--to", str(tmp_path / "new")])
    files = sorted((tmp_path / "new").iterdir())
    assert {path.stem for path in files} == set(STORED)
    assert sum(path.stat().st_size for path in files) < 1_000_000
    assert "MB" in capsys.readouterr().out
