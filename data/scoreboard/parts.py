"""Scenes as games: which parts a scene has, and a picture of every subset of them.

The parts are the *players*: of an animal its solids, of a portrait groups of solids and the smoke,
and in every scene the background. A subset is rendered again without what it lacks, so shadows go
with what casts them. The background is no solid; where it is lacking its pixels get the family's
mean colour, which networks see as zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from course_scenes import Scene, draw, render_scenes
from course_scenes.families import family
from course_scenes.rendering import FIRST_SOLID, FLOOR_MASK, PAINTED_OVER, solid_names

#: Side of the pictures in pixels.
SIZE = 64
BACKGROUND = "background"
SMOKE = "smoke"
#: Mean colour of each family's training pictures, 0 to 255: what stands for no background.
GREY = {"animals": (126, 128, 105), "smoking": (125, 118, 111)}
#: Seeds of scenes, others than those of the embedded data: training, validation, the scoreboard.
TRAIN_SEED, VALIDATION_SEED, TEST_SEED = 31, 32, 33
#: Solids of portraits that play together. What has no group is a player of its own.
GROUPS = {
    "face": ("face", "eyes", "brows", "neck", "beard", "moustache"),
    "hair": ("hair", "hat"),
    "clothes": ("clothes", "scarf"),
    "hand": ("hand", "sleeve"),
    "object": ("cigarette", "straw", "pen", "lollipop", "phone", "mug"),
}


def players(scene: Scene) -> dict[str, tuple[str, ...]]:
    """Name the parts of a scene, the background last, and the solids that make up each.

    Smoke and background are made of no solid. What a non-smoker holds is called by its name.
    """
    found: dict[str, tuple[str, ...]] = {}
    for solid in _solids(scene):
        group = next((name for name, members in GROUPS.items() if solid in members), solid)
        group = solid if group == "object" else group
        found[group] = (*found.get(group, ()), solid)
    if _smokes(scene):
        found[SMOKE] = ()
    return {**found, BACKGROUND: ()}


def subset_scene(scene: Scene, kept: Sequence[str]) -> Scene:
    """Return the scene with these players only; the background is always there."""
    gone = [name for name in players(scene) if name not in kept]
    changed = scene.changed(
        without=[solid for name in gone for solid in players(scene)[name]], masks="solids"
    )
    if _smokes(scene):
        changed = changed.changed(smoke="alone")
        return changed.changed(smoke_amount=0.0) if SMOKE in gone else changed
    return changed


def _solids(scene: Scene) -> list[str]:
    model = family(scene.family).models[scene.class_name]
    return solid_names(model, scene.parameters)


def _smokes(scene: Scene) -> bool:
    values = scene.parameters
    return values.get("object") == "cigarette" and values["smoke_amount"] > 0


@dataclass(frozen=True)
class Game:
    """One scene, and pictures of all subsets of its parts.

    Attributes
    ----------
    scene : Scene
    names : tuple of str
        The n players; the background is the last.
    pictures : ndarray (2**n, S, S, 3), uint8
        Picture b holds player i if bit i of b is set. The last one is the whole scene; the second
        half has its background.
    masks : ndarray (n, S, S), bool
        Where each player is seen in the whole scene.
    """

    scene: Scene
    names: tuple[str, ...]
    pictures: np.ndarray
    masks: np.ndarray

    @property
    def picture(self) -> np.ndarray:
        """The whole scene, (S, S, 3)."""
        return self.pictures[-1]

    @property
    def label(self) -> int:
        """Index of the true class."""
        return self.scene.label

    def covered(self, grey: Sequence[int] | None = None) -> np.ndarray:
        """Cover what is lacking with grey instead of rendering again, (2**n, S, S, 3)."""
        grey = GREY[self.scene.family] if grey is None else grey
        bits = np.arange(len(self.pictures))[:, None] >> np.arange(len(self.names)) & 1
        seen = np.einsum("bn,nhw->bhw", bits, self.masks)[..., None] > 0
        return np.where(seen, self.picture, np.array(grey, np.uint8))


def render_games(
    scenes: Sequence[Scene], *, size: int = SIZE, workers: int | None = 2, progress: bool = True
) -> list[Game]:
    """Render every subset of the parts of each scene, in two processes unless told otherwise."""
    rosters = [players(scene) for scene in scenes]
    jobs = [
        subset_scene(scene, _chosen(list(roster), subset))
        for scene, roster in zip(scenes, rosters, strict=True)
        for subset in range(2 ** (len(roster) - 1))
    ]
    rendered = render_scenes(jobs, size, workers=workers, progress=progress)
    games, start = [], 0
    for scene, roster in zip(scenes, rosters, strict=True):
        stop = start + 2 ** (len(roster) - 1)
        images, masks = rendered.images[start:stop], rendered.masks[start:stop]
        grey = np.array(GREY[scene.family], np.uint8)
        alone = np.where(masks[..., None] > FLOOR_MASK, images, grey)
        shown = _player_masks(scene, roster, masks[-1])
        games.append(Game(scene, tuple(roster), np.concatenate([alone, images]), shown))
        start = stop
    return games


def _chosen(names: Sequence[str], subset: int) -> list[str]:
    return [name for place, name in enumerate(names) if subset >> place & 1]


def _player_masks(scene: Scene, roster: dict[str, tuple[str, ...]], mask: np.ndarray) -> np.ndarray:
    numbers = {solid: FIRST_SOLID + place for place, solid in enumerate(_solids(scene))}
    # what is painted over a picture is smoke, or else steam, which belongs to the mug
    painted = SMOKE if SMOKE in roster else "mug"
    ids = {name: [numbers[solid] for solid in solids] for name, solids in roster.items()}
    ids[BACKGROUND] = [0, FLOOR_MASK]
    if painted in ids:
        ids[painted].append(PAINTED_OVER)
    return np.stack([np.isin(mask, found) for found in ids.values()])


def random_subsets(
    scenes: Sequence[Scene], seed: int = 0, *, size: int = SIZE, workers: int | None = 2
) -> np.ndarray:
    """Render each scene with a random subset of its parts, for training; uint8 (N, S, S, 3).

    How many parts stay is drawn first, so that few and many are equally common.
    """
    generator = np.random.default_rng(seed)
    kept = []
    for scene in scenes:
        names = list(players(scene))
        share = generator.random()
        kept.append([name for name in names if generator.random() < share])
    jobs = [subset_scene(scene, names) for scene, names in zip(scenes, kept, strict=True)]
    rendered = render_scenes(jobs, size, workers=workers)
    images = rendered.images.copy()
    for image, mask, names, scene in zip(images, rendered.masks, kept, scenes, strict=True):
        if BACKGROUND not in names:
            image[mask <= FLOOR_MASK] = GREY[scene.family]
    return images


def board_scenes(name: str, count: int) -> list[Scene]:
    """Draw the scenes that the scoreboard explains; no network was trained on them."""
    return draw(name, count, seed=TEST_SEED)
