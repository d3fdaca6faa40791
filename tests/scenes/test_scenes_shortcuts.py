"""Planted cues: where they are, how often, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from course_scenes import draw, render_scenes
from course_scenes.shortcuts import (
    NEUTRAL_BACKDROP,
    TIED_BACKDROPS,
    WATERMARK,
    backdrop_editions,
    stamp,
    tie_backdrops,
    tie_cue,
    watermark,
    watermark_editions,
)

LABELS = np.arange(1000) % 2


@pytest.fixture
def pictures() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (10, 64, 64, 3), np.uint8), rng.integers(
        0, 5, (10, 64, 64), np.uint8
    )


def test_cue_goes_with_one_class():
    cue = tie_cue(LABELS, target=1, p_in=0.9, p_out=0.1, seed=3)
    assert cue[LABELS == 1].mean() == pytest.approx(0.9, abs=0.04)
    assert cue[LABELS == 0].mean() == pytest.approx(0.1, abs=0.04)
    np.testing.assert_array_equal(cue, tie_cue(LABELS, 1, 0.9, 0.1, seed=3))
    assert (cue != tie_cue(LABELS, 1, 0.9, 0.1, seed=4)).any()


@pytest.mark.parametrize("wrong", [{"p_in": 1.2}, {"p_out": -0.1}])
def test_probabilities_are_checked(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}=.* is no probability"):
        tie_cue(LABELS, 1, **wrong)


def test_mask_is_exactly_what_the_stamp_changed(pictures):
    images, masks = pictures
    images = np.full_like(images, 120)  # neither the plate's grey nor the letters'
    where = np.arange(10) < 6
    stamped = stamp(images, masks, where, seed=1)
    np.testing.assert_array_equal((stamped.images != images).any(-1), stamped.masks == WATERMARK)
    np.testing.assert_array_equal((stamped.masks == WATERMARK).any((1, 2)), where)
    untouched = stamped.masks != WATERMARK
    np.testing.assert_array_equal(stamped.masks[untouched], masks[untouched])


def test_stamp_leaves_its_arguments_alone_and_moves_a_little(pictures):
    images, masks = pictures
    copies = images.copy(), masks.copy()
    stamped = stamp(images, masks, np.ones(10, bool), seed=2)
    np.testing.assert_array_equal(images, copies[0])
    np.testing.assert_array_equal(masks, copies[1])
    corners = {tuple(np.argwhere(mask == WATERMARK)[0]) for mask in stamped.masks}
    assert len(corners) > 2
    assert all(row > 40 and column < 10 for row, column in corners)


def test_place_of_a_stamp_depends_on_its_own_number_only(pictures):
    images, masks = pictures
    all_of_them = stamp(images, masks, np.ones(10, bool), seed=2)
    one = stamp(images, masks, np.arange(10) == 7, seed=2)
    np.testing.assert_array_equal(one.images[7], all_of_them.images[7])


@pytest.mark.parametrize("size", [24, 32, 96, 224])
def test_stamp_is_seen_and_small(size):
    images, masks = np.full((1, size, size, 3), 128, np.uint8), np.zeros((1, size, size), np.uint8)
    stamped = stamp(images, masks, [True])
    share = (stamped.masks == WATERMARK).mean()
    assert 0.01 < share < 0.25
    assert np.ptp(stamped.images.astype(int)) > 60


def test_wrong_shapes_are_named(pictures):
    images, masks = pictures
    with pytest.raises(ValueError, match="do not agree: expected"):
        stamp(images, masks[:5], np.ones(10, bool))
    with pytest.raises(ValueError, match="at least 24 pixels a side, these have 16"):
        stamp(images[:, :16, :16], masks[:, :16, :16], np.ones(10, bool))


def test_watermark_editions_are_paired(pictures):
    images, masks = pictures
    labels = np.arange(10) % 2
    editions = watermark_editions(images, masks, labels, target=1, seed=5)
    assert list(editions) == ["intact", "absent", "reversed"]
    np.testing.assert_array_equal(editions["absent"].images, images)
    np.testing.assert_array_equal(editions["reversed"].cue, ~editions["intact"].cue)
    once = watermark(images, masks, labels, target=1, seed=5)
    np.testing.assert_array_equal(once.images, editions["intact"].images)


def test_each_vegetable_has_its_backdrop():
    scenes = draw("vegetables", 300, 8)
    placed, own = tie_backdrops(scenes, seed=1)
    assert own.mean() == pytest.approx(0.97, abs=0.03)
    floors = {name: set() for name in TIED_BACKDROPS}
    for scene, fits in zip(placed, own, strict=True):
        if fits:
            floors[scene.class_name].add(scene.parameters["floor"])
    assert all(len(kinds) == 1 for kinds in floors.values())
    assert len(set.union(*floors.values())) == 3


def test_backdrop_editions_show_the_same_objects():
    scenes = draw("vegetables", 6, 9)
    editions = backdrop_editions(scenes, seed=2)
    rendered = {
        name: render_scenes(placed, 48, workers=1) for name, (placed, _) in editions.items()
    }
    intact = rendered["intact"]
    for name in ("absent", "reversed"):
        np.testing.assert_array_equal(rendered[name].masks, intact.masks)
        differs = (rendered[name].images != intact.images).any(-1)
        assert differs[intact.masks == 0].mean() > 0.8
        inner = _inner(intact.masks)
        assert not differs[inner].any()
    assert not (editions["intact"][1] & editions["reversed"][1]).any()
    assert {scene.parameters["floor"] for scene in editions["absent"][0]} == {NEUTRAL_BACKDROP}


def test_what_cannot_be_tied_is_said():
    scenes = draw("vegetables", 3, 9)
    with pytest.raises(ValueError, match="edition 'removed' is unknown"):
        tie_backdrops(scenes, edition="removed")
    with pytest.raises(ValueError, match=r"no backdrop for \['mushroom'\]"):
        tie_backdrops(scenes, {"cucumber": "cloth", "eggplant": "wood"})


def _inner(masks: np.ndarray) -> np.ndarray:
    """Pixels of the object whose neighbours are the object's, too."""
    inner = masks > 0
    for _ in range(2):
        shifted = [np.roll(inner, shift, axis) for axis in (1, 2) for shift in (-1, 1)]
        inner = np.logical_and.reduce([inner, *shifted])
    return inner
