"""The embedded archives: same bytes every time, the real sets' layout, pictures that repeat."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from course_scenes import Scene, classes, render_scenes
from course_scenes.__main__ import main
from course_scenes.build import (
    RECIPES,
    Change,
    build,
    build_archive,
    encode_jpeg,
)
from course_scenes.shortcuts import WATERMARK, stamp

pytestmark = pytest.mark.slow

ARCHIVES = Path(__file__).resolve().parents[2] / "data" / "embedded"
# what two JPEGs of nearly the same picture may differ by, in grey levels
JPEG_TOLERANCE = 1.0


def tiny(name: str, **changes):
    """Return a recipe with a few small pictures."""
    recipe = RECIPES[name]
    few = {split: len(classes(recipe.family)) for split in recipe.counts}
    some = {key: dataclasses.replace(change, count=1) for key, change in recipe.changes.items()}
    return dataclasses.replace(recipe, size=32, counts=few, changes=some, **changes)


def lines(archive: zipfile.ZipFile, name: str) -> list[dict]:
    return [json.loads(line) for line in archive.read(name).decode().splitlines()]


def picture(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(archive.read(name))))


def test_same_bytes_twice(tmp_path):
    recipe = dataclasses.replace(tiny("vegetables"), counts={"test": 3})
    first = build_archive(recipe, tmp_path / "a.zip")
    second = build_archive(recipe, tmp_path / "b.zip")
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip"]


def test_cifar10_layout(tmp_path):
    path = build_archive(tiny("cifar10"), tmp_path / "c.zip")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        for split in ("train", "test"):
            for kind in classes("cifar10"):
                assert f"cifar10/{split}/{kind}/0000.jpg" in names
                assert f"cifar10/masks/{split}/{kind}/0000.png" in names
        records = lines(archive, "cifar10/scenes.jsonl")
        assert {record["split"] for record in records} == {"train", "test"}
        check_records(archive, "cifar10/", records[::3], "cifar10")
        assert json.loads(archive.read("cifar10/parts.json"))["0"] == "background"
        jpeg = archive.getinfo("cifar10/train/cat/0000.jpg")
        assert jpeg.compress_type == zipfile.ZIP_STORED


def test_vegetables_layout(tmp_path):
    path = build_archive(tiny("vegetables"), tmp_path / "v.zip")
    root = "GradCAM-Dataset-main/"
    with zipfile.ZipFile(path) as archive:
        rows = archive.read(f"{root}train.csv").decode().splitlines()
        assert rows[0] == "img_path,label"
        assert "train_images/cucumber_1.jpg,0" in rows
        assert len(rows) == 1 + 6
        records = lines(archive, f"{root}scenes.jsonl")
        check_records(archive, root, records, "vegetables")
        changed = lines(archive, f"{root}interventions.jsonl")
        check_records(archive, root, changed, "vegetables")
        for record in changed:
            assert record["file"] == f"interventions/{record['intervention']}/{record['original']}"
        assert {record["intervention"] for record in changed} == set(RECIPES["vegetables"].changes)


def test_smoking_layout(tmp_path):
    path = build_archive(tiny("smoking"), tmp_path / "s.zip")
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        assert {"Training/smoking_0001.jpg", "Validation/notsmoking_0001.jpg"} <= names
        assert {"Testing/smoking_0001.jpg", "masks/Testing/smoking_0001.png"} <= names
        check_records(archive, "", lines(archive, "scenes.jsonl"), "smoking")
        check_records(archive, "", lines(archive, "interventions.jsonl"), "smoking")


@pytest.mark.parametrize("name", ["smoking_shortcut", "vegetables_shortcut"])
def test_shortcut_editions(tmp_path, name):
    path = build_archive(tiny(name), tmp_path / "x.zip")
    root = "GradCAM-Dataset-main/" if name.startswith("vegetables") else ""
    with zipfile.ZipFile(path) as archive:
        records = lines(archive, f"{root}scenes.jsonl")
        changed = lines(archive, f"{root}interventions.jsonl")
        check_records(archive, root, records + changed, name)
        cues = {record["file"]: record["cue"] for record in records}
        assert {record["test_cue"] for record in changed} == {"absent", "reversed"}
        for record in changed:
            opposite = record["test_cue"] == "reversed" and not cues[record["original"]]
            assert record["cue"] == opposite
        assert all(r["test_cue"] == "intact" for r in records if r["split"] == "test")


def check_records(archive: zipfile.ZipFile, root: str, records: list[dict], name: str) -> None:
    """Every line has its picture, its mask, a label that fits, and a scene that renders it."""
    known = json.loads(archive.read(f"{root}parts.json"))
    for record in records:
        scene = Scene.from_dict(record["scene"])
        assert (record["label"], record["class"]) == (scene.label, scene.class_name)
        assert classes(scene.family)[record["label"]] == record["class"]
        mask = picture(archive, f"{root}masks/{Path(record['file']).with_suffix('.png')}")
        assert {str(number) for number in np.unique(mask)} <= set(known)
    check_repeats(archive, root, records, name)


def check_repeats(archive: zipfile.ZipFile, root: str, records: list[dict], name: str) -> None:
    """Check that scenes, rendered again, give the stored pictures and masks."""
    recipe = RECIPES[name]
    stored = [picture(archive, root + record["file"]) for record in records]
    files = [Path(record["file"]).with_suffix(".png") for record in records]
    masks = np.stack([picture(archive, f"{root}masks/{file}") for file in files])
    again = render_scenes(
        [Scene.from_dict(record["scene"]) for record in records], len(stored[0]), workers=1
    )
    covered = masks == WATERMARK
    assert (again.masks != masks)[~covered].mean() < 0.001
    for index, (image, old) in enumerate(zip(again.images, stored, strict=True)):
        new = np.asarray(Image.open(io.BytesIO(encode_jpeg(image, recipe.quality, recipe.chroma))))
        error = np.abs(new.astype(float) - old)[~_grown(covered[index])]
        assert error.mean() < JPEG_TOLERANCE, records[index]["file"]


def _grown(mask: np.ndarray) -> np.ndarray:
    """JPEG smears a watermark over its blocks of 16 x 16 pixels."""
    side = len(mask) // 16
    blocks = mask[: side * 16, : side * 16].reshape(side, 16, side, 16).any((1, 3))
    return blocks.repeat(16, 0).repeat(16, 1)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_committed_archives_repeat(name):
    path = ARCHIVES / f"{name}.zip"
    if not path.exists():
        pytest.skip(f"{path.name} is not built here")
    with zipfile.ZipFile(path) as archive:
        where = next(n for n in archive.namelist() if n.endswith("scenes.jsonl"))
        root, recipe = where.removesuffix("scenes.jsonl"), RECIPES[name]
        records = lines(archive, where)
        assert len(records) == sum(recipe.counts.values())
        check_repeats(archive, root, records[:: len(records) // 4], name)


def test_committed_archives_are_small_enough():
    sizes = [path.stat().st_size for path in ARCHIVES.glob("*.zip")]
    assert sum(sizes) <= 25_000_000


def test_a_change_can_be_limited_to_classes(tmp_path):
    changes = {"none": Change("remove_object", 5, classes=("eggplant",))}
    recipe = dataclasses.replace(tiny("vegetables"), counts={"test": 3}, changes=changes)
    with zipfile.ZipFile(build_archive(recipe, tmp_path / "c.zip")) as archive:
        changed = lines(archive, "GradCAM-Dataset-main/interventions.jsonl")
    assert [record["class"] for record in changed] == ["eggplant"]


def test_unknown_recipes_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no recipe for \['cifar'\]: there are cifar10"):
        build(tmp_path, only=["cifar"])


def test_contact_sheet_from_the_command_line(tmp_path, capsys):
    target = tmp_path / "sheet.png"
    options = ["--size", "24", "--each", "2", "--workers", "1", "--masks"]
    main(["sheet", "animals", "--to", str(target), *options])
    assert Image.open(target).size == (2 * 2 * 24, 3 * 24)
    options = ["--size", "24", "--each", "1", "--workers", "1", "--intervention"]
    main(["sheet", "animals", "--to", str(target), *options, "backdrop", "--option", "kind=snow"])
    assert Image.open(target).size == (2 * 24, 3 * 24)
    assert str(target) in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no intervention 'explode'"):
        main(["sheet", "animals", "--to", str(target), *options, "explode"])


def test_watermark_survives_jpeg():
    grey = np.full((1, 128, 128, 3), 128, np.uint8)
    stamped = stamp(grey, np.zeros((1, 128, 128), np.uint8), [True])
    stored = np.asarray(Image.open(io.BytesIO(encode_jpeg(stamped.images[0], 88, "4:2:0"))))
    assert np.ptp(stored[stamped.masks[0] == WATERMARK].astype(int)) > 80
