"""Portraits: parts, poses, colours, and interventions that change nothing else."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from _scene_checks import check_family

import course_scenes as scenes
from course_scenes.portraits import BACKDROPS, OBJECTS, palette
from course_scenes.portraits.parts import (
    CIGARETTE,
    EYES,
    HAIR,
    HAND,
    OTHER_OBJECT,
    SKIN,
    SMOKE,
)

SIZE = 40


def _render(*drawn: scenes.Scene, size: int = SIZE) -> scenes.Rendering:
    return scenes.render_scenes(drawn, size, workers=1, progress=False)


@pytest.fixture(scope="module")
def smokers() -> scenes.Rendering:
    """Five people with a cigarette."""
    return _render(*scenes.draw("smoking", 5, seed=3, labels=[1] * 5))


@pytest.fixture(scope="module")
def others() -> scenes.Rendering:
    """Render the same five people without one."""
    return _render(*scenes.draw("smoking", 5, seed=3, labels=[0] * 5))


@pytest.mark.slow
def test_family_keeps_the_rules() -> None:
    check_family("smoking", size=40, each=1, seed=5)


def test_classes_and_parts() -> None:
    assert scenes.classes("smoking") == ("notsmoking", "smoking")
    assert list(scenes.parts("smoking").values()) == [
        "background",
        "skin",
        "hair",
        "eyes",
        "mouth",
        "clothes",
        "hand",
        "cigarette",
        "smoke",
        "other object",
    ]
    assert set(scenes.interventions("smoking")) == {
        "hold",
        "remove_smoke",
        "remove_person",
        "backdrop",
    }


def test_only_smokers_have_a_cigarette(smokers: scenes.Rendering, others: scenes.Rendering) -> None:
    assert all((mask == CIGARETTE).any() for mask in smokers.masks)
    assert not np.isin(others.masks, (CIGARETTE, SMOKE)).any()
    for mask in (*smokers.masks, *others.masks):
        assert (mask == SKIN).any()
    assert np.mean([(mask == EYES).any() for mask in smokers.masks]) > 0.8


def test_other_object_is_there_unless_the_hand_is_empty(others: scenes.Rendering) -> None:
    for mask, scene in zip(others.masks, others.scenes, strict=True):
        assert (mask == OTHER_OBJECT).any() == (scene.parameters["object"] != "nothing")


def test_cigarette_is_large_enough_to_matter(smokers: scenes.Rendering) -> None:
    cigarette = (smokers.masks == CIGARETTE).mean((1, 2))
    with_smoke = np.isin(smokers.masks, (CIGARETTE, SMOKE)).mean((1, 2))
    assert np.median(cigarette) > 0.01
    assert np.median(with_smoke) > 0.03


def test_classes_differ_in_what_is_held_only() -> None:
    smoking = scenes.draw("smoking", 40, seed=1, labels=[1] * 40)
    other = scenes.draw("smoking", 40, seed=1, labels=[0] * 40)
    for one, another in zip(smoking, other, strict=True):
        differ = {
            name for name, value in one.parameters.items() if another.parameters[name] != value
        }
        assert differ == {"object"}
    held = {scene.parameters["object"] for scene in scenes.draw("smoking", 200, seed=1)}
    assert held == set(OBJECTS)


def test_poses_and_smoke_are_independent_of_the_class() -> None:
    drawn = scenes.draw("smoking", 600, seed=2)
    for name in ("hand_at_mouth", "hand_beside", "mouth"):
        shares = [
            np.mean([scene.parameters["pose"] == name for scene in drawn if scene.label == label])
            for label in (0, 1)
        ]
        assert abs(shares[0] - shares[1]) < 0.12


# --- colours --------------------------------------------------------------------------------------


def _hue_saturation_value(linear: list[float]) -> tuple[float, float, float]:
    return colorsys.rgb_to_hsv(*(part ** (1 / 2.2) for part in linear))


def test_skin_is_skin_coloured() -> None:
    tones = []
    for scene in scenes.draw("smoking", 300, seed=0):
        hue, saturation, value = _hue_saturation_value(scene.parameters["skin"])
        assert 0.02 < hue < 0.11
        assert 0.2 < saturation < 0.72
        assert 0.2 < value < 0.98
        tones.append(value)
    assert np.percentile(tones, 10) < 0.55
    assert np.percentile(tones, 90) > 0.85


def test_hair_goes_with_skin_and_age() -> None:
    rng = np.random.default_rng(0)
    dark = [palette.draw_hair_colors(rng, tone=8.0, age=25.0)[0].max() for _ in range(200)]
    old = [palette.draw_hair_colors(rng, tone=8.0, age=78.0)[0].max() for _ in range(200)]
    fair = [palette.draw_hair_colors(rng, tone=1.0, age=25.0)[0].max() for _ in range(200)]
    assert np.median(dark) < 0.03 < np.median(fair)
    assert np.median(old) > 0.3


# --- interventions --------------------------------------------------------------------------------


def _changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(-1)


def _grown(region: np.ndarray, by: int) -> np.ndarray:
    """Return a region with everything within a number of pixels of it."""
    padded = np.pad(region, by)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * by + 1, 2 * by + 1))
    return windows.any((-2, -1))


@pytest.fixture(scope="module")
def without_smoke(smokers: scenes.Rendering) -> scenes.Rendering:
    """Two people with a cigarette that does not smoke, one of them without a hand."""
    chosen = [
        next(scene for scene in smokers.scenes if (scene.parameters["pose"] == "mouth") == handless)
        for handless in (True, False)
    ]
    return _render(*(scene.changed(smoke_amount=0.0) for scene in chosen))


@pytest.mark.slow
@pytest.mark.parametrize("held", [name for name in OBJECTS if name != "cigarette"])
def test_hold_changes_the_object_and_its_shadow(without_smoke: scenes.Rendering, held: str) -> None:
    after = [
        scenes.intervene(scene, "hold", object=held).changed(smoke_amount=0.0)
        for scene in without_smoke.scenes
    ]
    assert [scene.class_name for scene in after] == ["notsmoking"] * 2
    rendered = _render(*after)
    assert not (rendered.masks == CIGARETTE).any()
    masks = zip(without_smoke.masks, rendered.masks, strict=True)
    images = zip(without_smoke.images, rendered.images, strict=True)
    for (mask, new_mask), (image, new_image) in zip(masks, images, strict=True):
        touched, changed = mask != new_mask, _changed(image, new_image)
        assert changed[touched].mean() > 0.9
        # a shadow can fall on the person (whose edge pixels are blended), not on the background
        background = ~_grown((mask > 0) | (new_mask > 0), 1)
        assert not changed[background].any()
        assert changed.mean() < 0.4


@pytest.mark.slow
def test_without_a_lamp_hold_changes_the_surroundings_only(
    without_smoke: scenes.Rendering,
) -> None:
    dark = [scene.changed(key=[0.0, 0.0, 0.0]) for scene in without_smoke.scenes]
    pens = [scenes.intervene(scene, "hold", object="pen") for scene in dark]
    before, after = _render(*dark), _render(*pens)
    for index in range(2):
        held = np.isin(before.masks[index], (CIGARETTE, HAND))
        held |= np.isin(after.masks[index], (OTHER_OBJECT, HAND))
        # what is near blocks some of the sky: within 0.3 units, at 2.8 units a picture
        changed = _changed(before.images[index], after.images[index])
        assert not changed[~_grown(held, 6)].any()
        assert changed[held].any()


def test_holding_a_cigarette_again_gives_the_picture_back(smokers: scenes.Rendering) -> None:
    scene = smokers.scenes[0]
    pen = scenes.intervene(scene, "hold", object="pen")
    assert scenes.intervene(pen, "hold", object="cigarette") == scene


def test_a_hand_stays_when_the_cigarette_goes() -> None:
    drawn = scenes.draw("smoking", 2, seed=4, labels=[1, 1], pose="hand_beside")
    empty = [scenes.intervene(scene, "hold", object="nothing") for scene in drawn]
    rendered = _render(*empty)
    assert all((mask == HAND).any() for mask in rendered.masks)


def test_phone_brings_a_hand() -> None:
    drawn = scenes.draw("smoking", 1, seed=4, labels=[1], pose="mouth")
    assert not (_render(*drawn).masks == HAND).any()
    phone = [scenes.intervene(drawn[0], "hold", object="phone")]
    assert (_render(*phone).masks == HAND).any()


@pytest.mark.slow
def test_mask_of_smoke_is_what_remove_smoke_changes(smokers: scenes.Rendering) -> None:
    with_smoke = [scene for scene in smokers.scenes if scene.parameters["smoke_amount"] > 0][:3]
    before = _render(*with_smoke, size=64)
    after = _render(*(scenes.intervene(scene, "remove_smoke") for scene in with_smoke), size=64)
    changed = _changed(before.images, after.images)
    smoke, cigarette = before.masks == SMOKE, before.masks == CIGARETTE
    assert not changed[~smoke & ~cigarette].any()
    assert changed[smoke].mean() > 0.99  # film that is already white cannot get whiter
    assert not (after.masks == SMOKE).any()
    assert (after.masks == before.masks)[~smoke].all()


def test_remove_smoke_needs_smoke(others: scenes.Rendering) -> None:
    clear = others.scenes[0].changed(object="pen")
    with pytest.raises(ValueError, match="no smoke in this scene"):
        scenes.intervene(clear, "remove_smoke")


def test_remove_person_leaves_the_background(smokers: scenes.Rendering) -> None:
    scene = smokers.scenes[1].changed(smoke_amount=0.0)
    before, after = _render(scene), _render(scenes.intervene(scene, "remove_person"))
    assert not after.masks.any()
    # smoothing of edges blends one pixel around the person
    around = _grown(before.masks[0] > 0, 1)
    assert not _changed(before.images[0], after.images[0])[~around].any()


def test_backdrop_changes_the_background_only(smokers: scenes.Rendering) -> None:
    scene = smokers.scenes[2].changed(smoke_amount=0.0)
    kind = next(kind for kind in BACKDROPS if kind != scene.parameters["backdrop"])
    other = scenes.intervene(scene, "backdrop", kind=kind)
    before, after = _render(scene), _render(other)
    np.testing.assert_array_equal(before.masks, after.masks)
    person = before.masks[0] > 0
    inner = ~_grown(~person, 1)
    changed = _changed(before.images[0], after.images[0])
    assert not changed[inner].any()
    assert changed[~person].mean() > 0.8
    assert scenes.intervene(other, "backdrop", kind=scene.parameters["backdrop"]) == scene


def test_unknown_names_are_explained(smokers: scenes.Rendering) -> None:
    with pytest.raises(ValueError, match="did you mean 'lollipop'"):
        scenes.intervene(smokers.scenes[0], "hold", object="lolipop")
    with pytest.raises(ValueError, match="no backdrop 'beach'"):
        scenes.intervene(smokers.scenes[0], "backdrop", kind="beach")
    with pytest.raises(ValueError, match="no object 'cigar'"):
        scenes.draw("smoking", 1, object="cigar")
    with pytest.raises(ValueError, match="no option 'colour'"):
        scenes.draw("smoking", 1, colour="red")


def test_hair_is_where_hair_grows() -> None:
    drawn = scenes.draw("smoking", 2, seed=8, labels=[0, 0], object="nothing")
    bald, long = (
        scene.changed(hair=hair, hat="no", beard="none")
        for scene, hair in zip(drawn, ("bald", "long"), strict=True)
    )
    rendered = _render(bald, long)
    shares = (rendered.masks == HAIR).mean((1, 2))
    assert shares[0] < 0.02  # brows
    assert shares[1] > 0.10


def test_smoke_goes_with_what_smokes_and_nothing_else(smokers: scenes.Rendering) -> None:
    scene = next(s for s in smokers.scenes if s.parameters["smoke_amount"] > 0)
    changes = ("", "eyes", "cigarette", "*")
    masks = _render(*(scene.changed(without=name) for name in changes), size=48).masks
    assert [bool((mask == SMOKE).any()) for mask in masks] == [True, True, False, False]
