"""The ten classes: drawn as documented, repeatable, changed in one thing at a time."""

from __future__ import annotations

import json

import numpy as np
import pytest
from _scene_checks import check_family

from course_scenes import (
    Scene,
    classes,
    draw,
    families,
    intervene,
    interventions,
    parts,
    render_scenes,
    rendering,
)
from course_scenes.cifar10 import PLACES
from course_scenes.cifar10.places import TYPICAL
from course_scenes.families import family

NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
SIZE = 40


def test_labels_are_those_of_cifar10():
    assert classes("cifar10") == NAMES
    assert classes("animals") == ("cat", "dog", "horse")
    assert {"cifar10", "animals"} <= set(families())


@pytest.mark.slow
def test_family_keeps_the_rules_of_all_scenes():
    check_family("cifar10", size=32, each=2, seed=4)


def test_animals_are_the_same_three_classes():
    rendered = render_scenes(draw("animals", 3, 5), SIZE, workers=1)
    assert [scene.class_name for scene in rendered.scenes] == ["cat", "dog", "horse"]
    assert rendered.labels.tolist() == [0, 1, 2]
    assert rendered.scenes[0].parameters["kind"] == "cat"


@pytest.mark.slow
def test_every_part_is_seen_somewhere():
    rendered = render_scenes(draw("cifar10", 30, 5), 32, workers=1)
    seen = set(np.unique(rendered.masks))
    missing = {name for number, name in parts("cifar10").items() if number not in seen}
    assert missing == set()


@pytest.mark.parametrize("name", NAMES)
def test_typical_places_are_places(name):
    assert set(TYPICAL[name]) <= set(PLACES)
    assert sum(TYPICAL[name].values()) == pytest.approx(1)


def test_typical_backgrounds_fit_the_class():
    scenes = draw("cifar10", 200, 2)
    for scene in scenes:
        assert scene.parameters["place"] in TYPICAL[scene.class_name]
    floors = {scene.parameters["floor"] for scene in scenes if scene.class_name == "ship"}
    assert floors == {"water"}


def test_untypical_backgrounds_know_nothing_of_the_class():
    """The same stage with any class on it: all ten empty pictures are equal."""
    scenes = [draw("cifar10", 1, 7, labels=[k], typical_backgrounds=False)[0] for k in range(10)]
    empty = [intervene(scene, "remove_object") for scene in scenes]
    images = render_scenes(empty, 24, workers=1).images
    assert (images == images[0]).all()
    typical = [draw("cifar10", 1, 7, labels=[label])[0] for label in (0, 8)]
    empty = render_scenes([intervene(scene, "remove_object") for scene in typical], 24, workers=1)
    assert (empty.images[0] != empty.images[1]).any()


def test_one_backdrop_for_all():
    scenes = draw("cifar10", 10, 3, backdrop="snow")
    assert {scene.parameters["place"] for scene in scenes} == {"snow"}
    with pytest.raises(ValueError, match="no backdrop 'snwo': did you mean 'snow'"):
        draw("cifar10", 1, 3, backdrop="snwo")


def test_options_that_do_not_exist_are_refused():
    with pytest.raises(TypeError, match="typical_background"):
        draw("cifar10", 1, 3, typical_background=False)


def test_interventions_are_described():
    described = interventions("cifar10")
    assert set(described) == {"remove_object", "backdrop", "color"}
    assert all(text.endswith((".", "….")) for text in described.values())


@pytest.fixture(scope="module")
def before():
    """Render one scene of each class."""
    return render_scenes(draw("cifar10", 10, 12), SIZE, workers=1)


@pytest.mark.slow
def test_removing_the_object_changes_nothing_far_from_it(before):
    gone = [intervene(scene, "remove_object") for scene in before.scenes]
    after = render_scenes(gone, SIZE, workers=1)
    assert not after.masks.any()
    changed = (before.images != after.images).any(-1)
    assert changed[before.masks > 0].mean() > 0.9
    assert changed.mean() < 0.75


@pytest.mark.slow
def test_another_backdrop_leaves_the_object_alone(before):
    moved = [intervene(scene, "backdrop", kind="cloth") for scene in before.scenes]
    after = render_scenes(moved, SIZE, workers=1)
    np.testing.assert_array_equal(before.masks, after.masks)
    inside = _inside(before.masks > 0)
    assert inside.sum() > 200
    changed = (before.images != after.images).any(-1)
    assert changed[inside].mean() < 0.005  # a gap between the legs, narrower than a pixel
    outside = ~_grown(before.masks > 0)
    assert changed[outside].mean() > 0.8


@pytest.mark.slow
def test_another_color_leaves_the_background_alone(before):
    scenes = before.scenes
    painted = [intervene(scene, "color", color=(0.1, 0.9, 0.9)) for scene in scenes]
    after = render_scenes(painted, SIZE, workers=1)
    np.testing.assert_array_equal(before.masks, after.masks)
    outside = ~_grown(before.masks > 0)
    np.testing.assert_array_equal(before.images[outside], after.images[outside])
    changed = (before.images != after.images).any(-1)
    for mask, differs, scene in zip(before.masks, changed, scenes, strict=True):
        assert differs[mask > 0].mean() > 0.1, scene.class_name
    with pytest.raises(ValueError, match=r"three numbers from 0 to 1, not \(2, 0, 0\)"):
        intervene(scenes[0], "color", color=(2, 0, 0))


def test_scenes_are_short_lines():
    """6,000 of them go into one archive."""
    longest = max(len(json.dumps(scene.to_dict())) for scene in draw("cifar10", 50, 6))
    assert longest < 2_500


def _grown(mask: np.ndarray) -> np.ndarray:
    """Add a pixel on every side: edges are mixed from both."""
    grown = mask.copy()
    for axis in (1, 2):
        for shift in (-1, 1):
            grown |= np.roll(mask, shift, axis)
    return grown


def _inside(mask: np.ndarray) -> np.ndarray:
    return ~_grown(_grown(~mask))


HORSE = NAMES.index("horse")


@pytest.mark.parametrize("name", ["head", "trunk", "fore legs", "hind legs", "tail", "mane"])
def test_every_solid_can_be_taken_away_alone(name: str):
    (horse,) = draw("cifar10", 1, 4, labels=[HORSE])
    before = _solids(horse)
    assert name in before
    assert _solids(horse.changed(without=name)) == before - {name}
    assert _solids(horse.changed(without=[name])) == before - {name}


def test_several_parts_can_be_taken_away_in_every_spelling():
    (horse,) = draw("cifar10", 1, 4, labels=[HORSE])
    left = _solids(horse) - {"fore legs", "tail"}
    given = ["fore legs", "tail"]
    for without in (given, tuple(given), "fore legs tail", "tail, fore legs", "tail fore legs"):
        assert _solids(horse.changed(without=without)) == left, without
    assert given == ["fore legs", "tail"]
    with pytest.raises(ValueError, match="no 'legs' to leave out"):
        _solids(horse.changed(without="legs"))
    with pytest.raises(ValueError, match="no 'fore' to leave out"):
        _solids(horse.changed(without=["fore", "tail"]))


def test_legs_that_were_taken_away_are_not_seen():
    (horse,) = draw("cifar10", 1, 4, labels=[HORSE])
    changed = horse.changed(without=["fore legs", "hind legs"])
    before, after = render_scenes([horse, changed], 64, workers=1).masks
    legs = next(number for number, part in parts("cifar10").items() if part == "legs")
    assert (before == legs).any()
    assert not (after == legs).any()
    again = Scene.from_dict(json.loads(json.dumps(changed.to_dict())))
    assert again == changed


def _solids(scene: Scene) -> set[str]:
    """Names of the solids that a scene is rendered from."""
    model = family(scene.family).models[scene.class_name]
    return {solid.name for solid in rendering.solids_of(model, scene.parameters)}
