"""Paintings: the same every time, the same composition at every size; the stored ones are these."""

from __future__ import annotations

import numpy as np
import pytest

import course_utils as cu
from course_scenes import paintings
from course_scenes.__main__ import main
from course_scenes.paintings import PAINTINGS, STORED, paint
from course_utils import load_photo, photo_names


@pytest.mark.slow
@pytest.mark.parametrize("name", PAINTINGS)
def test_painting_depends_on_its_seed_and_size_changes_the_resolution_only(name):
    first, again, large = (paint(name, size) for size in (64, 64, 128))
    pixels = np.asarray(first)
    np.testing.assert_array_equal(pixels, np.asarray(again))
    assert pixels.shape == (64, 64, 3)
    assert pixels.dtype == np.uint8
    assert not np.array_equal(pixels, np.asarray(paint(name, 64, seed=1)))
    few = [np.asarray(it.resize((8, 8), 4), dtype=float).ravel() for it in (first, large)]
    assert np.corrcoef(*few)[0, 1] > 0.9


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


def test_a_stored_painting_is_the_generators():
    painter, seed = STORED["waves_2"]
    again = np.asarray(paint(painter, 512, seed), dtype=float)
    assert np.abs(np.asarray(load_photo("waves_2"), dtype=float) - again).mean() < 9  # JPEG


@pytest.mark.slow
def test_command_stores_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(paintings, "_STORED_SIZE", 32)
    main(["paintings", "--to", str(tmp_path / "new")])
    files = {path.name for path in (tmp_path / "new").iterdir()}
    assert files == {f"{name}.jpg" for name in STORED}
    assert "MB" in capsys.readouterr().out
    stored = [cu.assets.course_file("paintings") / name for name in files]
    assert sum(path.stat().st_size for path in stored) < 1_000_000
