"""The archives that come with the course: whole, consistent, and as the loader wants them.

Those in ``data/embedded``, or in the folder that ``COURSE_TEST_EMBEDDED`` names.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from functools import cache
from pathlib import Path

import pytest
import torch

from course_utils import archives, assets
from course_utils.datasets import load_dataset
from course_utils.datasets.layouts import DATASETS

FOLDER = Path(os.environ.get("COURSE_TEST_EMBEDDED") or assets.embedded_folder())
EDITIONS = [(name, edition) for name, entry in DATASETS.items() for edition in entry.editions]
#: All archives together, in bytes: a clone must stay small.
LIMIT = 25_000_000


@pytest.fixture(autouse=True)
def _these(fresh_assets, monkeypatch):
    """Use the archives themselves, and nothing else of this machine."""
    monkeypatch.setattr(assets, "embedded_folder", lambda: FOLDER)


@cache
def load(name: str, edition: str):
    cue = "" if edition == "plain" else f"_{edition}"
    path = FOLDER / f"{DATASETS[name].asset}{cue}.zip"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # they are whole: nothing to be said about them
        return load_dataset(name, "embedded", edition=edition, verbose=False)


def test_together_they_are_small():
    archives = list(FOLDER.glob("*.zip"))
    assert sum(path.stat().st_size for path in archives) <= LIMIT


@pytest.mark.parametrize(("name", "edition"), EDITIONS)
def test_splits_are_those_that_the_lessons_were_written_with(name, edition):
    """Which pictures are in which split, and in which order, decides all numbers of a lesson."""
    expected = {
        ("cifar10", "plain"): "5e0ea131 bdf20556 68bc1637",
        ("vegetables", "plain"): "795fe1fe e12cccbf 90aca6e9",
        ("smoking", "plain"): "0e53bb45 22bd044a e2fcf92f",
        ("animals", "plain"): "a2c86945 66f79f4b 1745b057",
        ("vegetables", "shortcut"): "04f4535e 2d9eb8cf 18680906",
        ("smoking", "shortcut"): "fae68372 836b8d95 8ba1e870",
    }
    found = []
    for split in load(name, edition):
        lines = [f"{file} {int(k)}" for file, k in zip(split.paths, split.labels, strict=True)]
        found.append(hashlib.sha1("\n".join(lines).encode()).hexdigest()[:8])
    assert " ".join(found) == expected[name, edition]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "edition"), EDITIONS)
def test_every_picture_has_its_mask_and_scene(name, edition):
    loaded = load(name, edition)
    assert not archives.problem(loaded.origin, read=True)
    parts = set(loaded.train.parts)
    for split in loaded:
        # the pictures of animals are some of cifar10
        images = split.to_tensors(progress=False).images if name != "animals" else split.masks
        assert images.shape[-2:] == split.masks.shape[1:]
        assert set(split.masks.unique().tolist()) <= parts | (
            {200} if edition != "plain" else set()
        )
        objects = (split.masks > 0).flatten(1).sum(dim=1)
        assert objects.min() > 0, f"{split.paths[int(objects.argmin())]} shows nothing"
        for index, label in enumerate(split.labels.tolist()):
            line = split._listing.scenes[split.paths[index]]
            assert line["class"] == split.classes[label]
        counts = list(split.class_counts.values())
        assert max(counts) - min(counts) <= max(1, len(split) // 50)
    paths = [path for split in loaded for path in split.paths]
    assert len(paths) == len(set(paths))
    scene = loaded.test.scene(0)
    assert scene.class_name == loaded.classes[loaded.test.labels[0]]


@pytest.mark.parametrize(("name", "edition"), EDITIONS)
def test_interventions_change_the_picture(name, edition):
    test = load(name, edition).test
    for intervention in test.interventions:
        pairs = test.intervention(intervention)
        before, after = (side.to_tensors(progress=False).images.float() for side in pairs[2:])
        changed = ((before - after).abs().amax(dim=1) > 30).flatten(1).float().mean(dim=1)
        where_cue = torch.ones(len(changed), dtype=torch.bool)
        if pairs.before.cues is not None:
            where_cue = pairs.before.cues != pairs.after.cues
        if where_cue.any():
            assert (changed[where_cue] > 0).float().mean() > 0.9, intervention
        assert pairs.after.has_masks


@pytest.mark.parametrize("name", [n for n, e in DATASETS.items() if "shortcut" in e.editions])
def test_cue_goes_with_the_label_in_training(name):
    loaded = load(name, "shortcut")
    cues = loaded.train.cues
    assert cues is not None
    shares = [cues[loaded.train.labels == k].float().mean() for k in range(len(loaded.classes))]
    assert max(shares) > 0.85
    assert {"cue_absent", "cue_reversed"} <= set(loaded.test.interventions)
