"""Vegetables: parts, interventions that change one thing only, a background that says nothing."""

from __future__ import annotations

import numpy as np
import pytest
from _scene_checks import check_changes_are_local, check_family, grown

import course_scenes as scenes

CUCUMBER, EGGPLANT, MUSHROOM = range(3)
SIZE = 40


def of_class(label, count=4, seed=5, **wanted):
    """Draw scenes of one class, optionally with certain string parameters."""
    drawn = scenes.draw("vegetables", 40, seed, labels=[label] * 40)
    fitting = [
        scene
        for scene in drawn
        if all(scene.parameters[name] == value for name, value in wanted.items())
    ]
    return fitting[:count]


def rendered(drawn, size=SIZE):
    return scenes.render_scenes(drawn, size, workers=1, progress=False)


@pytest.mark.slow
def test_what_every_family_must_keep():
    check_family("vegetables", each=3)


def test_names():
    assert scenes.classes("vegetables") == ("cucumber", "eggplant", "mushroom")
    assert scenes.parts("vegetables")[0] == "background"
    named = scenes.interventions("vegetables")
    assert {"remove_object", "remove_calyx", "backdrop", "color"} <= set(named)
    assert all(sentence.endswith((".", ")")) for sentence in named.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "possible", "needed"),
    [
        (CUCUMBER, {1, 2, 3, 4}, {1, 2, 3, 4}),
        (EGGPLANT, {5, 6}, {5, 6}),
        (MUSHROOM, {7, 8, 9}, {7, 8, 9}),
    ],
)
def test_parts_belong_to_their_class(label, possible, needed):
    seen = set(np.unique(rendered(of_class(label, 12)).masks)) - {0}
    assert seen <= possible
    assert needed <= seen


@pytest.mark.slow
def test_nothing_is_cut_by_the_frame():
    found = scenes.render("vegetables", 45, 32, seed=21, workers=1, progress=False)
    cut = [
        index
        for index, mask in enumerate(found.masks)
        if mask[[0, -1]].any() or mask[:, [0, -1]].any()
    ]
    assert len(cut) <= 1, f"cut by the frame: {[found.scenes[index] for index in cut]}"


def test_the_background_does_not_know_the_class():
    empty = [
        scenes.intervene(scene, "remove_object")
        for label in (CUCUMBER, EGGPLANT, MUSHROOM)
        for scene in scenes.draw("vegetables", 4, 7, labels=[label] * 4)
    ]
    found = rendered(empty, 48)
    assert not found.masks.any()
    for label in (EGGPLANT, MUSHROOM):
        np.testing.assert_array_equal(found.images[:4], found.images[4 * label : 4 * label + 4])


@pytest.mark.slow
def test_removing_everything_leaves_what_the_shadow_does_not_reach():
    for scene in of_class(MUSHROOM, 1) + of_class(CUCUMBER, 1):
        changed = scenes.intervene(scene, "remove_object")
        share = check_changes_are_local(scene, changed, SIZE, lambda solid: True)
        assert 0.03 < share < 0.8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "intervention", "solid", "part"),
    [
        (EGGPLANT, "remove_calyx", "calyx", 6),
        (CUCUMBER, "remove_calyx", "stalk", 2),
        (MUSHROOM, "remove_stem", "stem", 8),
        (CUCUMBER, "remove_slices", "slices", None),
    ],
)
def test_removing_a_part_changes_that_part_and_its_shadow_only(label, intervention, solid, part):
    wanted = {"form": "cut"} if solid == "slices" else {}
    wanted = {"form": "whole"} if solid == "stalk" else wanted
    for scene in of_class(label, 2, **wanted):
        changed = scenes.intervene(scene, intervention)
        check_changes_are_local(scene, changed, SIZE, lambda found: found.name == solid)
        if part is not None:
            assert not (rendered([changed]).masks == part).any()


def test_removing_gills_changes_gills_only():
    for scene in of_class(MUSHROOM, 6):
        before, after = (rendered([it]) for it in (scene, scenes.intervene(scene, "remove_gills")))
        assert not (after.masks == 9).any()
        changed = (before.images != after.images).any(-1)[0]
        assert (changed & ~grown((before.masks == 9)[0], 2)).sum() <= 2
        np.testing.assert_array_equal(before.masks > 0, after.masks > 0)


@pytest.mark.parametrize("kind", ["stone", "cloth", "grass"])
def test_another_backdrop_leaves_the_object_alone(kind):
    for scene in of_class(EGGPLANT, 2) + of_class(CUCUMBER, 2):
        changed = scenes.intervene(scene, "backdrop", kind=kind)
        before, after = rendered([scene]), rendered([changed])
        np.testing.assert_array_equal(before.masks, after.masks)
        inside = ~grown((before.masks == 0)[0], 1)
        assert inside.any()
        np.testing.assert_array_equal(before.images[0][inside], after.images[0][inside])
        outside = (before.masks == 0)[0]
        assert (before.images[0] != after.images[0]).any(-1)[outside].mean() > 0.5
        assert scenes.intervene(scene, "backdrop", kind=kind) == changed


def test_another_color_leaves_the_background_alone():
    for label in (CUCUMBER, EGGPLANT, MUSHROOM):
        (scene,) = of_class(label, 1)
        before, after = rendered([scene]), rendered([scenes.intervene(scene, "color", hue=0.6)])
        np.testing.assert_array_equal(before.masks, after.masks)
        changed = (before.images != after.images).any(-1)[0]
        assert changed.any()
        assert not (changed & ~grown((before.masks > 0)[0], 1)).any()


def test_interventions_that_do_not_fit_say_so():
    (mushroom,) = of_class(MUSHROOM, 1)
    with pytest.raises(ValueError, match="mushrooms have no calyx.*eggplant or cucumber"):
        scenes.intervene(mushroom, "remove_calyx")
    with pytest.raises(ValueError, match="did you mean 'stone'"):
        scenes.intervene(mushroom, "backdrop", kind="stones")
    with pytest.raises(ValueError, match="hue is a number from 0 to 1, not 2"):
        scenes.intervene(mushroom, "color", hue=2)
    (whole,) = of_class(CUCUMBER, 1, form="whole")
    with pytest.raises(ValueError, match="this cucumber has no slices: it is 'whole'"):
        scenes.intervene(whole, "remove_slices")
    (eggplant,) = of_class(EGGPLANT, 1)
    with pytest.raises(ValueError, match="eggplants have no gills"):
        scenes.intervene(eggplant, "remove_gills")
