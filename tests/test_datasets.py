"""Loading: layouts, splits, which copy is used, what is known about rendered pictures."""

from __future__ import annotations

import pickle
import shutil
import sys
import types
import warnings
from pathlib import Path

import _made
import numpy as np
import pandas as pd
import pytest
import torch
from _server import html, refused_url, silent, status
from PIL import Image
from torch.utils.data import DataLoader

from course_utils import assets, runtime
from course_utils.assets import AssetUnavailable
from course_utils.datasets import DatasetError, load_dataset
from course_utils.datasets.layouts import DATASETS, Files, Listing, Record
from course_utils.datasets.loading import draw, make_splits

from torchvision import transforms

ROOT_IN_ZIP = "GradCAM-Dataset-main/"


@pytest.fixture(autouse=True)
def _fresh(fresh_assets):
    """Every test here starts with an empty cache and no archives of the course."""


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    """Keep the real manifest, but with addresses at which nothing listens."""
    point_at(monkeypatch, refused_url(""))


def point_at(monkeypatch, url: str) -> None:
    monkeypatch.setenv("COURSE_MIRROR", url)


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def embed(tmp_path: Path, name: str, files: dict[str, bytes]) -> Path:
    """Put an archive where the course keeps its own."""
    return put(tmp_path / "embedded" / f"{name}.zip", _made.pack(files))


def quiet(name: str, source: str | None = None, **options):
    return load_dataset(name, source, verbose=False, **options)


def partial(name: str, **options):
    """Load a small copy of a real data set, which says that it is small."""
    if "folder" in options:
        return quiet(name, "real", **options)
    with pytest.warns(UserWarning, match="labelled pictures of .*; the published set has"):
        return quiet(name, "real", **options)


def labels_by_name(split) -> list[bool]:
    """Whether each picture's class name is in its file's path (longest name first)."""
    names = sorted(split.classes, key=len, reverse=True)
    found = (next(name for name in names if name in path) for path in split.paths)
    return [name == split.classes[label] for name, label in zip(found, split.labels, strict=True)]


# ---------------------------------------------------------------- the real layouts


def check_vegetables(loaded) -> None:
    assert loaded.classes == ("cucumber", "eggplant", "mushroom")
    assert [len(split) for split in loaded] == [42, 9, 9]
    paths = [path for split in loaded for path in split.paths]
    assert len(paths) == len(set(paths)), "a picture is in two splits"
    for split in loaded:
        assert set(split.class_counts.values()) == {len(split) // 3}
        assert all(labels_by_name(split))
    picture, label = loaded.train[0]
    assert picture.mode == "RGB"
    assert label == int(loaded.train.labels[0])


@pytest.mark.parametrize("root", ["GradCAM-Dataset-main/", "", "some/deeper/"])
@pytest.mark.parametrize("packed", [True, False])
def test_vegetables_as_github_sends_them(root, packed, tmp_path):
    files = _made.vegetables(root=root)
    if packed:
        folder = put(tmp_path / "v.zip", _made.pack(files))
    else:
        folder = _made.write(tmp_path / "v", files)
    check_vegetables(partial("vegetables", folder=folder))


def test_vegetables_from_a_server_end_to_end(server, monkeypatch, fresh_assets):
    server.serve("/GradCAM-Dataset-main.zip", _made.pack(_made.vegetables()))
    point_at(monkeypatch, server.url)
    loaded = partial("vegetables")
    check_vegetables(loaded)
    assert loaded.source == "real"
    assert loaded.origin == fresh_assets / "GradCAM-Dataset-main.zip"
    asked = server.count()
    point_at(monkeypatch, refused_url(""))
    check_vegetables(partial("vegetables"))  # from the cache
    whole = DATASETS["vegetables"]._replace(count=60)
    monkeypatch.setitem(DATASETS, "vegetables", whole)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_vegetables(quiet("vegetables", "real"))
    assert server.count() == asked


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("place", ["folder", "class", "kaggle", "server"])
def test_smoking_from_every_place(place, nested, tmp_path, server, monkeypatch):
    files = _made.smoking(nested=nested)
    options = {}
    if place == "folder":
        options["folder"] = _made.write(tmp_path / "mine", files)
    elif place == "class":
        monkeypatch.setenv("COURSE_DATA", str(tmp_path))
        _made.write(tmp_path / "dataset" / "smoking", files)
    elif place == "kaggle":
        monkeypatch.setattr(assets, "KAGGLE_INPUT", tmp_path / "input")
        _made.write(tmp_path / "input" / "smoking", files)
    else:
        server.serve("/smoking.zip", _made.pack(files))
        point_at(monkeypatch, server.url)
    loaded = partial("smoking", **options)
    assert loaded.classes == ("notsmoking", "smoking")
    assert [len(split) for split in loaded] == [12, 4, 6]
    for split, folder in zip(loaded, ("Training", "Validation", "Testing"), strict=True):
        assert all(path.startswith(folder) for path in split.paths)
        assert [("/notsmoking" in p) for p in split.paths] == (split.labels == 0).tolist()


@pytest.mark.parametrize("form", ["folder", "zip", "attached"])
def test_cifar10_as_folders_of_pictures(form, tmp_path, monkeypatch):
    files, options = _made.cifar_folders(), {}
    if form == "folder":
        options["folder"] = _made.write(tmp_path / "c", files)
    elif form == "zip":
        options["folder"] = put(tmp_path / "c.zip", _made.pack(files))
    else:
        monkeypatch.setattr(assets, "KAGGLE_INPUT", tmp_path / "input")
        _made.write(tmp_path / "input" / "cifar10-as-jpeg", files)
    loaded = partial("cifar10", **options)
    assert [len(split) for split in loaded] == [90, 10, 40]
    assert list(loaded.classes) == DATASETS["cifar10"].classes
    for split, folder in zip(loaded, ("train", "train", "test"), strict=True):
        assert all(path.startswith(f"{folder}/") for path in split.paths)
        assert all(labels_by_name(split))
    assert loaded.val.class_counts == dict.fromkeys(loaded.classes, 1)


@pytest.mark.parametrize("form", ["folder", "the batches themselves", "tar", "server"])
def test_cifar10_as_torchvision_lays_it_out(form, tmp_path, monkeypatch, server, add_asset):
    files = _made.cifar_batches()
    _made.admit_cifar_batches(monkeypatch, files)
    options, body = {}, _made.pack_tar(files)
    if form == "folder":
        options["folder"] = _made.write(tmp_path / "c", files)
    elif form == "the batches themselves":
        options["folder"] = _made.write(tmp_path / "c", files) / "cifar-10-batches-py"
    elif form == "tar":
        options["folder"] = put(tmp_path / "cifar-10-python.tar.gz", body)
    else:  # as for a user: downloaded, SHA-256 compared, unpacked, MD5 of each batch compared
        monkeypatch.delenv("COURSE_MIRROR")
        add_asset(
            "cifar10", body, urls=[server.serve("/cifar-10-python.tar.gz", body)],
            file="cifar-10-python.tar.gz", kind="dataset",
            unpacked=("cifar-10-batches-py/data_batch_1",),
        )  # fmt: skip
    loaded = partial("cifar10", **options)
    assert [len(split) for split in loaded] == [90, 10, 10]
    batch = pickle.loads(files["cifar-10-batches-py/test_batch"])
    where = loaded.test.paths.index("test/cat/00003.png")
    picture, label = loaded.test[where]
    expected = batch["data"][3].reshape(3, 32, 32).transpose(1, 2, 0)
    assert np.array_equal(np.asarray(picture), expected)
    assert label == batch["labels"][3]
    tensors = loaded.test.to_tensors()
    assert np.array_equal(tensors.images[where].permute(1, 2, 0), expected)


def test_pickles_that_are_not_cifar10s_are_never_opened(tmp_path, monkeypatch):
    """Without `admit_cifar_batches` the MD5 differ, as they would for a tampered copy."""
    files = _made.cifar_batches()
    folder = _made.write(tmp_path / "c", files)
    for name in ("pickle.load", "pickle.loads"):
        monkeypatch.setattr(name, lambda *_a, **_k: pytest.fail("opened a pickle"))
    with pytest.raises(DatasetError, match="no intact copy of CIFAR-10"):
        quiet("cifar10", "real", folder=folder)


@pytest.mark.parametrize("form", ["server", "folder", "categories", "tar"])
def test_caltech101(form, tmp_path, monkeypatch, server, add_asset):
    files, options = _made.caltech(), {}
    tar = files["caltech-101/101_ObjectCategories.tar.gz"]
    if form == "server":
        monkeypatch.delenv("COURSE_MIRROR")
        body = _made.pack(files)
        add_asset(
            "caltech101", body, urls=[server.serve("/caltech-101.zip", body)],
            file="caltech-101.zip", kind="dataset",
        )  # fmt: skip
    elif form == "tar":
        options["folder"] = put(tmp_path / "101_ObjectCategories.tar.gz", tar)
    else:
        folder = tmp_path / "unpacked"
        shutil.unpack_archive(put(tmp_path / "101_ObjectCategories.tar.gz", tar), folder)
        inside = folder / "101_ObjectCategories"
        options["folder"] = inside if form == "categories" else folder
    loaded = partial("caltech101", **options)
    assert loaded.classes == ("accordion", "airplanes", "Faces_easy", "yin_yang")
    assert [len(split) for split in loaded] == [28, 6, 6]
    assert all(labels_by_name(split) for split in loaded)
    assert {picture.mode for split in loaded for picture, _ in split} == {"RGB"}  # grey ones too
    with pytest.raises(DatasetError, match=r"to_tensors a size, such as to_tensors\(224\)"):
        loaded.train.to_tensors()
    assert loaded.train.to_tensors(24).images.shape == (28, 3, 24, 24)


def test_animals_are_three_classes_pooled_and_split_anew(tmp_path):
    path = put(tmp_path / "c.zip", _made.pack(_made.cifar_folders(30, 10)))
    loaded = partial("animals", folder=path)
    assert loaded.classes == ("cat", "dog", "horse")
    assert [len(split) for split in loaded] == [84, 18, 18]
    assert all(all(labels_by_name(split)) for split in loaded)
    assert {path.split("/")[0] for path in loaded.train.paths} == {"train", "test"}


def test_animals_draw_five_thousand(monkeypatch, tmp_path):
    small = DATASETS["animals"]._replace(pool=60)
    monkeypatch.setitem(DATASETS, "animals", small)
    path = put(tmp_path / "c.zip", _made.pack(_made.cifar_folders(30, 10)))
    loaded = partial("animals", folder=path)
    assert DATASETS["animals"].pool == 60
    assert [len(split) for split in loaded] == [42, 9, 9]
    assert loaded.train.class_counts == {"cat": 14, "dog": 14, "horse": 14}


# ---------------------------------------------------------------- splits


def some_records(per_class: int = 40, classes: int = 3) -> list[Record]:
    return [Record(f"{c}_{i}.jpg", c) for c in range(classes) for i in range(per_class)]


def split_up(records: list[Record], seed: int = 0, **options) -> dict[str, list[Record]]:
    return make_splits(Listing(Files(Path(), []), "", (), records), seed, 0.15, **options)


def test_splits_depend_on_the_seed_and_on_nothing_else():
    records = some_records()
    first = split_up(records)
    assert [len(first[name]) for name in ("train", "val", "test")] == [84, 18, 18]
    assert split_up(records[::-1]) == first
    assert split_up(records, seed=1) != first
    together = first["train"] + first["val"] + first["test"]
    assert sorted(together) == sorted(records)


@pytest.mark.parametrize("count", [20, 21, 62, 63, 186])
def test_no_picture_is_lost_to_rounding(count):
    parts = split_up([Record(f"{i}.jpg", i % 3) for i in range(count)], seed=3).values()
    assert sum(map(len, parts)) == count
    for part in parts:
        counts = np.bincount([record.label for record in part], minlength=3)
        assert counts.max() - counts.min() <= 1


def test_too_few_pictures_are_named():
    records = [Record("a.jpg", 0), *(Record(f"{i}.jpg", 1) for i in range(30))]
    with pytest.raises(DatasetError, match="only 1 member"):
        draw(records, 20, seed=0)


def test_subsets_are_balanced_and_repeatable(tmp_path):
    path = put(tmp_path / "v.zip", _made.pack(_made.vegetables()))
    loaded = partial("vegetables", folder=path, subset=2)
    assert [split.class_counts for split in loaded] == [dict.fromkeys(loaded.classes, 2)] * 3
    again = partial("vegetables", folder=path, subset=2)
    other = partial("vegetables", folder=path, subset=2, seed=1)
    assert again.train.paths == loaded.train.paths != other.train.paths
    only = partial("vegetables", folder=path, subset={"train": 5})
    assert [len(split) for split in only] == [15, 9, 9]
    assert set(loaded.test.paths) < set(only.test.paths)
    with pytest.raises(DatasetError, match="has only 14 pictures"):
        partial("vegetables", folder=path, subset=50)
    with pytest.raises(ValueError, match="training.*'train', 'val', 'test'"):
        partial("vegetables", folder=path, subset={"training": 5})
    for wrong in (0, 0.5, {"train": 2.5}):
        with pytest.raises(ValueError, match="at least 1"):
            partial("vegetables", folder=path, subset=wrong)


def test_first_pictures_are_a_mixture(tmp_path):
    path = put(tmp_path / "c.zip", _made.pack(_made.cifar_folders(20)))
    assert len(set(partial("cifar10", folder=path).train.labels[:20].tolist())) > 5


# ---------------------------------------------------------------- which copy


def test_auto_takes_the_real_copy_on_this_machine(tmp_path, monkeypatch, capsys):
    embed(tmp_path, "vegetables", _made.embedded_vegetables())
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "class"))
    _made.write(tmp_path / "class" / "GradCAM-Dataset", _made.vegetables(root=""))
    with pytest.warns(UserWarning, match="published"):
        loaded = load_dataset("vegetables", "auto")
    assert loaded.source == "real"
    assert loaded.reason == ""
    printed = capsys.readouterr().out
    assert (
        printed == "vegetables (real photographs): 42 train + 9 val + 9 test pictures, 3 classes\n"
    )
    assert "real photographs" in loaded.caption


def test_auto_downloads_when_a_server_answers(tmp_path, monkeypatch, server):
    embed(tmp_path, "vegetables", _made.embedded_vegetables())
    server.serve("/GradCAM-Dataset-main.zip", _made.pack(_made.vegetables()))
    point_at(monkeypatch, server.url)
    with pytest.warns(UserWarning, match="published"):
        assert quiet("vegetables", "auto").source == "real"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (None, "Connection refused"),
        (status(404), "the server answered 404"),
        (html(), "a web page instead of the file"),
        (silent(), "no answer within 3 s"),
        (b"PK\x03\x04 and then nothing", "damaged or incomplete"),
    ],
    ids=["refused", "404", "html", "silent", "broken"],
)
def test_auto_says_why_it_takes_the_embedded_copy(
    response, reason, tmp_path, monkeypatch, server, capsys
):
    embed(tmp_path, "vegetables", _made.embedded_vegetables())
    monkeypatch.setattr("course_utils.assets.DECIDE_SECONDS", 0.5)
    if response is not None:
        server.serve("/GradCAM-Dataset-main.zip", response)
        point_at(monkeypatch, server.url)
    loaded = load_dataset("vegetables", "auto")
    assert loaded.source == "embedded"
    assert reason in loaded.reason
    said = capsys.readouterr().out
    assert "vegetables (rendered by the course): " in said
    assert "not the real ones: " in said
    quiet("vegetables", "auto")
    assert not capsys.readouterr().out
    with pytest.raises(AssetUnavailable, match=reason):
        quiet("vegetables", "real")


def test_embedded_never_asks(tmp_path, monkeypatch, server):
    embed(tmp_path, "vegetables", _made.embedded_vegetables())
    server.serve("/GradCAM-Dataset-main.zip", _made.pack(_made.vegetables()))
    point_at(monkeypatch, server.url)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "class"))
    _made.write(tmp_path / "class" / "GradCAM-Dataset", _made.vegetables(root=""))
    assert quiet("vegetables", "embedded").source == "embedded"
    monkeypatch.setenv("COURSE_DATA_SOURCE", "embedded")
    assert quiet("vegetables").source == "embedded"
    monkeypatch.setattr(runtime, "_current", None)
    runtime.setup(data_source="real", verbose=False)
    with pytest.warns(UserWarning, match="published"):
        assert quiet("vegetables").source == "real"
    assert server.count() == 0


def test_missing_archive_of_the_course_is_named():
    with pytest.raises(AssetUnavailable, match=r"there is no .*vegetables\.zip[\s\S]*incomplete"):
        quiet("vegetables", "embedded")


def test_caltech101_has_no_embedded_copy():
    with pytest.raises(AssetUnavailable, match=r"(?s)caltech101 is not .*connect to the internet"):
        quiet("caltech101", "auto")
    with pytest.raises(AssetUnavailable, match=r"cu\.photo_names\(\)"):
        quiet("caltech101", "embedded")


def test_mistakes_in_arguments_are_named(tmp_path):
    embed(tmp_path, "vegetables", _made.embedded_vegetables())
    for arguments, options, message in [
        (("vegtables",), {}, "did you mean 'vegetables'"),
        (("vegetables", "both"), {}, "choose one of auto, real, embedded"),
        (("cifar10",), {"edition": "shortcut"}, "edition='shortcut' is unknown"),
        (
            ("vegetables",),
            {"edition": "other"},
            "edition='other' is unknown: choose one of plain, shortcut",
        ),
        (("vegetables", "real"), {"edition": "shortcut"}, "this copy is rendered"),
        (("vegetables", "embedded"), {"folder": tmp_path}, "this copy is rendered"),
    ]:
        with pytest.raises(ValueError, match=message):
            quiet(*arguments, **options)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("vegetables", lambda p: p / "nowhere", "No such file"),
        ("vegetables", lambda p: put(p / "a.txt", b"hello"), r"it is no \.zip, \.tar"),
        ("vegetables", lambda p: put(p / "a.rar", b"Rar!\x1a\x07 hello"), r"it is no \.zip, \.tar"),
        ("vegetables", lambda p: _made.write(p / "x", {"a/b.jpg": b""}), "train.csv.*a/b.jpg"),
        ("smoking", lambda p: _made.write(p / "x", {"a/b.jpg": b""}), "Training/smoking_1"),
        ("cifar10", lambda p: _made.write(p / "x", {"a/b.jpg": b""}), "train/airplane/"),
        ("caltech101", lambda p: _made.write(p / "x", {"b.jpg": b""}), "accordion/image_0001"),
        ("cifar10", lambda p: put(p / "c.zip", b"PK broken"), "damaged or incomplete"),
        ("cifar10", lambda p: _made.write(p / "x", {"c.zip": b"PK broken"}), "damaged or inc"),
    ],
)
def test_folders_that_hold_something_else(name, make, message, tmp_path):
    with pytest.raises(DatasetError, match=message) as caught:
        quiet(name, "real", folder=make(tmp_path))
    assert "delete" not in str(caught.value)


def test_a_class_without_pictures_is_refused(tmp_path):
    files = {n: d for n, d in _made.cifar_folders().items() if "/frog/" not in n}
    with pytest.raises(DatasetError, match="has no picture of frog"):
        quiet("cifar10", "real", folder=_made.write(tmp_path / "c", files))


def test_folder_of_class_with_missing_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    _made.write(tmp_path / "v", _made.vegetables())
    assert len(partial("vegetables", folder="~/v").train) == 42


# ---------------------------------------------------------------- what does not fit


def spoiled_vegetables() -> dict[str, bytes]:
    """Six things wrong, of 60 pictures: 3 rows, 1 picture without a row, 2 damaged pictures."""
    files = _made.vegetables()
    rows = files[f"{ROOT_IN_ZIP}train.csv"].decode().splitlines()[1:]
    rows[0] = "train_images/gone_1.jpg,0"  # cucumber_1.jpg has no row any more
    rows.append("train_images/eggplant_2.jpg,1")  # twice
    rows[2] = "train_images/mushroom_1.jpg,7"  # no such class
    files[f"{ROOT_IN_ZIP}train.csv"] = _made.table(rows)
    whole = files[f"{ROOT_IN_ZIP}train_images/mushroom_5.jpg"]
    files[f"{ROOT_IN_ZIP}train_images/mushroom_5.jpg"] = whole[: len(whole) // 2]
    files[f"{ROOT_IN_ZIP}train_images/mushroom_6.jpg"] = b"<!DOCTYPE html><html></html>"
    return files


def test_what_does_not_fit_is_named(tmp_path):
    path = put(tmp_path / "v.zip", _made.pack(spoiled_vegetables()))
    with pytest.raises(DatasetError) as caught:
        quiet("vegetables", "real", folder=path)
    for words in (
        "v.zip",
        "line 2: 'train_images/gone_1.jpg' is not in the data set",
        "line 4: 'train_images/mushroom_1.jpg' has the label '7', which should be one of 0, 1, 2",
        "line 62: 'train_images/eggplant_2.jpg' has a row already, line 6",
        "train_images/cucumber_1.jpg has no row in train.csv",
        "mend such files, or move them elsewhere",
    ):
        assert words in str(caught.value)
    assert "delete" not in str(caught.value)
    assert " more;" not in str(caught.value)  # they are few enough to be listed


def test_a_damaged_picture_is_named_when_it_is_read(tmp_path):
    files = _made.vegetables()
    for name in [n for n in files if "mushroom" in n]:
        files[name] = files[name][:200]
    loaded = partial("vegetables", folder=_made.write(tmp_path / "v", files))
    where = next(i for i, path in enumerate(loaded.train.paths) if "mushroom" in path)
    with pytest.raises(DatasetError, match=r"train_images/mushroom_\d+\.jpg in .* cannot be used"):
        loaded.train[where]
    with pytest.raises(DatasetError, match=r"train_images/mushroom_\d+\.jpg in .* cannot be used"):
        loaded.train.to_tensors(progress=False)


def test_a_changed_byte_in_a_zip_is_noticed(tmp_path):
    import zipfile

    path = tmp_path / "v.zip"
    with zipfile.ZipFile(path, "w") as archive:  # stored, so that a byte can be aimed at
        for name, data in _made.vegetables().items():
            archive.writestr(name, data)
        info = archive.getinfo(f"{ROOT_IN_ZIP}train_images/eggplant_3.jpg")
    data = bytearray(path.read_bytes())
    data[info.header_offset + len(info.filename) + 30 + info.file_size - 40] ^= 1
    path.write_bytes(data)
    loaded = partial("vegetables", folder=path)
    (split,) = [s for s in loaded if "train_images/eggplant_3.jpg" in s.paths]
    with pytest.raises(DatasetError, match=r"eggplant_3.jpg.*CRC"):
        split.to_tensors(progress=False)


def test_unknown_folders_and_names_are_named(tmp_path):
    extra = {"cifar10/train/lamp/0001.jpg": _made.picture()}
    folder = _made.write(tmp_path / "c", _made.cifar_folders() | extra)
    with pytest.raises(
        DatasetError, match=r"train/lamp/0001\.jpg is not laid out like train/airplane"
    ):
        quiet("cifar10", "real", folder=folder)
    extra = {"Training/portrait.jpg": _made.picture()}
    folder = _made.write(tmp_path / "s", _made.smoking() | extra)
    with pytest.raises(DatasetError, match=r"Training/portrait\.jpg is not laid out"):
        quiet("smoking", "real", folder=folder)


def test_table_with_other_columns_is_named(tmp_path):
    files = {"train.csv": b"path;label\na.jpg;0\n", "train_images/a.jpg": _made.picture()}
    with pytest.raises(DatasetError, match="columns img_path and label.*with 'path;label"):
        quiet("vegetables", "real", folder=_made.write(tmp_path / "v", files))


def test_grey_and_rotated_and_cmyk_pictures_become_upright_rgb(tmp_path):

    files = _made.vegetables(8)
    exif = Image.Exif()
    exif[274] = 6  # the camera was held upright
    special = {
        "cucumber_1.jpg": _made.picture(mode="L"),
        "cucumber_2.jpg": _made.picture(mode="CMYK"),
        "cucumber_3.jpg": _made.picture(size=(30, 20), exif=exif),
    }
    files |= {f"{ROOT_IN_ZIP}train_images/{name}": data for name, data in special.items()}
    loaded = partial("vegetables", folder=_made.write(tmp_path / "v", files))
    pictures = {path.split("/")[1]: s.image(i) for s in loaded for i, path in enumerate(s.paths)}
    assert {picture.mode for picture in pictures.values()} == {"RGB"}
    assert pictures["cucumber_3.jpg"].size == (20, 30)


# ---------------------------------------------------------------- ordinary data sets


def test_splits_work_in_a_data_loader_with_workers(tmp_path):
    path = put(tmp_path / "v.zip", _made.pack(_made.vegetables()))
    loaded = partial("vegetables", folder=path)
    loaded.train.transform = transforms.ToTensor()
    direct = torch.stack([image for image, _ in loaded.train])
    for workers in (0, 2):
        seen = list(DataLoader(loaded.train, batch_size=5, num_workers=workers))
        assert torch.equal(torch.cat([images for images, _ in seen]), direct)
        assert torch.cat([labels for _, labels in seen]).tolist() == loaded.train.labels.tolist()
    assert torch.equal(loaded.train.to_tensors().images, (direct * 255).round().to(torch.uint8))
    copied = pickle.loads(pickle.dumps(loaded.train))
    assert torch.equal(copied[3][0], direct[3])


def test_data_set_says_what_it_is(tmp_path):
    path = put(tmp_path / "v.zip", _made.pack(_made.vegetables()))
    loaded = partial("vegetables", folder=path)
    assert repr(loaded.train) == "<vegetables train: 42 pictures of 3 classes>"
    assert str(loaded).endswith("9 test pictures, 3 classes")
    assert loaded.train.parts == {}
    assert len(pd.read_csv(loaded.open("train.csv"))) == 60
    with pytest.raises(DatasetError, match="it is not there"):
        loaded.open("test.csv")
    few = loaded.train.subset([3, 1])
    assert few.paths == [loaded.train.paths[3], loaded.train.paths[1]]
    assert few.subset(torch.tensor([-1])).paths == [loaded.train.paths[1]]
    with pytest.raises(IndexError):
        loaded.train[42]


# ---------------------------------------------------------------- rendered pictures


@pytest.fixture
def rendered(tmp_path):
    embed(tmp_path, "vegetables", _made.embedded_vegetables())
    return quiet("vegetables", "embedded")


def test_embedded_copy_goes_through_the_same_code_and_keeps_its_splits(rendered):
    assert rendered.source == "embedded"
    assert rendered.origin.name == "vegetables.zip"
    assert [len(split) for split in rendered] == [51, 9, 18]
    assert all(int(path[:-4].rpartition("_")[2]) > 20 for path in rendered.test.paths)
    assert all(all(labels_by_name(split)) for split in rendered)


def test_masks_belong_to_their_pictures(rendered):
    split = rendered.test
    assert split.parts == {0: "background", 1: "flesh", 2: "calyx"}
    assert split.has_masks
    assert split.masks.shape == (18, 16, 16)
    assert split.masks.dtype == torch.uint8
    for i in range(len(split)):
        number = split._listing.scenes[split.paths[i]]["scene"]["number"]
        assert split.masks[i].max() == 1 + number % 2
    smaller = split.masks_at(8)
    assert smaller.shape == (18, 8, 8)
    assert set(smaller.unique().tolist()) == {0, 1, 2}
    assert split.masks is split.masks


def test_masks_keep_their_ids_and_their_place(rendered, monkeypatch):
    split = rendered.test
    parts = np.zeros((16, 16), np.uint8)
    parts[:5, 3:] = 7  # neither symmetric nor an average of other ids
    monkeypatch.setattr(split, "_mask", lambda index: Image.fromarray(parts))
    assert torch.equal(split.masks[0], torch.as_tensor(parts))
    for size in (5, 9, 33):
        smaller = split.masks_at(size)[0]
        assert set(smaller.unique().tolist()) == {0, 7}
        assert smaller[0, -1] == 7
        assert smaller[-1, 0] == smaller[-1, -1] == 0


def test_of_no_pictures_no_masks_and_no_cues_are_known(rendered):
    empty = rendered.test.subset([])
    assert empty.masks is empty.cues is None


def test_the_shortcut_edition_is_rendered_even_where_the_real_pictures_are(tmp_path, monkeypatch):
    embed(tmp_path, "vegetables_shortcut", _made.embedded_vegetables())
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "class"))
    _made.write(tmp_path / "class" / "GradCAM-Dataset", _made.vegetables(root=""))
    assert quiet("vegetables", "auto", edition="shortcut").source == "embedded"


def test_a_damaged_mask_is_named(rendered):
    split = rendered.test
    split._listing.files[split._mask_file(3)] = b"no picture"
    with pytest.raises(DatasetError, match=r"masks/.*\.png is damaged"):
        split.masks_at(8)


def test_scene_comes_back_as_an_object(rendered, monkeypatch):
    class Scene:
        @classmethod
        def from_dict(cls, values):
            return ("scene", values["number"])

    monkeypatch.setitem(sys.modules, "course_scenes", types.SimpleNamespace(Scene=Scene))
    line = rendered.train._listing.scenes[rendered.train.paths[2]]
    assert line["file"] == rendered.train.paths[2]
    assert rendered.train.scene(2) == ("scene", line["scene"]["number"])


def test_interventions_are_aligned_with_their_originals(rendered):
    assert rendered.test.interventions == ("remove_object",)
    assert rendered.train.interventions == ()
    pairs = rendered.test.intervention("remove_object")
    assert len(pairs.before) == len(pairs.after) == len(pairs.indices) == 3
    for index, before, after in zip(
        pairs.indices, pairs.before.paths, pairs.after.paths, strict=True
    ):
        assert rendered.test.paths[index] == before
        assert after == f"interventions/remove_object/{before}"
    assert torch.equal(pairs.before.labels, pairs.after.labels)
    assert pairs.after.to_tensors().images.shape == (3, 3, 16, 16)
    assert pairs.after.masks.max() == 0
    line = pairs.after._listing.scenes[pairs.after.paths[0]]
    assert line["original"] == pairs.before.paths[0]
    with pytest.raises(LookupError, match=r"no intervention 'melt' is stored .* only: remove"):
        rendered.test.intervention("melt")
    few = rendered.test.subset(pairs.indices[:1])
    assert len(few.intervention("remove_object").after) == 1


def test_labels_follow_the_intervention(tmp_path):
    files = _made.embedded_smoking(changes=("hold_pen",), changed=6, becomes="notsmoking")
    embed(tmp_path, "smoking", files)
    pairs = quiet("smoking", "embedded").test.intervention("hold_pen")
    assert pairs.before.labels.sum() == 3
    assert pairs.after.class_counts == {"notsmoking": 6, "smoking": 0}


def test_photographs_have_none_of_these(tmp_path):
    path = put(tmp_path / "v.zip", _made.pack(_made.vegetables()))
    split = partial("vegetables", folder=path).test
    assert split.masks is None
    assert split.cues is None
    assert not split.has_masks
    assert split.interventions == ()
    for ask in (split.masks_at, split.scene):
        with pytest.raises(LookupError, match='only rendered pictures have one.*source="embedded"'):
            ask(0)
    with pytest.raises(LookupError, match="only: none"):
        split.intervention("remove_object")


def test_shortcut_edition_tells_which_pictures_carry_the_cue(tmp_path, capsys):
    files = _made.embedded_vegetables(cue=True, changes=("cue_absent", "cue_reversed"))
    embed(tmp_path, "vegetables_shortcut", files)
    loaded = load_dataset("vegetables", edition="shortcut")
    assert loaded.source == "embedded"
    assert "vegetables, shortcut edition (rendered by the course)" in capsys.readouterr().out
    assert torch.equal(loaded.train.cues, loaded.train.labels == 1)
    assert not torch.equal(loaded.test.cues, loaded.test.labels == 1)
    assert loaded.test.interventions == ("cue_absent", "cue_reversed")


def test_other_embedded_sets(tmp_path):
    embed(tmp_path, "smoking", _made.embedded_smoking())
    embed(tmp_path, "cifar10", _made.embedded_cifar10(30, 10))
    smoking = quiet("smoking", "embedded")
    assert [len(split) for split in smoking] == [12, 4, 6]
    assert smoking.test.has_masks
    cifar10 = quiet("cifar10", "embedded")
    assert [len(split) for split in cifar10] == [270, 30, 100]
    animals = quiet("animals", "embedded")
    assert [len(split) for split in animals] == [84, 18, 18]
    assert all(split.has_masks for split in animals)
    assert animals.classes == ("cat", "dog", "horse")


def test_damaged_tables_are_named(tmp_path):
    files = _made.embedded_vegetables()
    files[f"{ROOT_IN_ZIP}scenes.jsonl"] += b'{"file": '
    embed(tmp_path, "vegetables", files)
    with pytest.raises(DatasetError, match=r"scenes.jsonl, line \d+ in .* is damaged"):
        quiet("vegetables", "embedded")


@pytest.mark.parametrize("line", [b"{}", b'{"file": "x.png"}', b"null", b"[1]", b"no json"])
def test_a_damaged_intervention_is_named_when_the_set_is_loaded(line, tmp_path):
    files = _made.embedded_vegetables()
    files[f"{ROOT_IN_ZIP}interventions.jsonl"] = line
    embed(tmp_path, "vegetables", files)
    with pytest.raises(DatasetError, match=r"interventions.jsonl, line 1 in .* is damaged"):
        quiet("vegetables", "embedded")


def test_a_missing_picture_is_not_replaced_by_one_of_the_same_name_elsewhere(tmp_path):
    files = _made.vegetables(root="")
    (lost,) = [name for name in files if name.endswith("cucumber_5.jpg")]
    files["older/cucumber_5.jpg"] = files.pop(lost)
    folder = _made.write(tmp_path / "v", files)
    with pytest.raises(DatasetError, match=r"cucumber_5.jpg' is not in the data set"):
        quiet("vegetables", folder=folder)


def test_public_names():
    import course_utils as cu

    assert cu.load_dataset is load_dataset
    assert cu.datasets.DatasetError is DatasetError
    assert issubclass(DatasetError, ValueError)
