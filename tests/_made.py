"""Small data sets in the exact layouts of the real ones, made in the test."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import stat
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
VEGETABLES = ["cucumber", "eggplant", "mushroom"]
SMOKING = ["notsmoking", "smoking"]

Files = dict[str, bytes]


def picture(seed: int = 0, size: tuple[int, int] = (16, 16), mode: str = "RGB", **save) -> bytes:
    """Make a JPEG whose colours depend on `seed`: smooth, so that JPEG keeps them."""
    across, down = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    levels = np.random.default_rng(seed).uniform(40, 215, 3)
    pixels = np.stack([level + 30 * (across - down) for level in levels], axis=-1)
    image = Image.fromarray(pixels.round().astype(np.uint8)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **{"quality": 95, **save})
    return buffer.getvalue()


def mask(size: tuple[int, int] = (16, 16), part: int = 1) -> bytes:
    """Make a PNG of part ids: a square of `part` in the middle."""
    ids = np.zeros(size[::-1], np.uint8)
    ids[size[1] // 4 : 3 * size[1] // 4, size[0] // 4 : 3 * size[0] // 4] = part
    buffer = io.BytesIO()
    Image.fromarray(ids).save(buffer, "PNG")
    return buffer.getvalue()


def pack(files: Mapping[str, bytes]) -> bytes:
    """Pack a zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def pack_tar(files: Mapping[str, bytes]) -> bytes:
    """Pack a tar.gz of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write these files below a folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def link_entry(name: str, target: str) -> tuple[zipfile.ZipInfo, str]:
    """Make a symbolic link as a zip stores it."""
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target


# ---------------------------------------------------------------- real layouts


def vegetables(per_class: int = 20, root: str = "GradCAM-Dataset-main/") -> Files:
    """Make the archive as GitHub sends it."""
    names = [f"{name}_{k}.jpg" for k in range(1, per_class + 1) for name in VEGETABLES]
    rows = [f"train_images/{n},{VEGETABLES.index(n.split('_')[0])}" for n in names]
    files = {f"{root}README.md": b"# GradCAM-Dataset", f"{root}train.csv": table(rows)}
    return files | {f"{root}train_images/{n}": picture(i) for i, n in enumerate(names)}


def table(rows: list[str]) -> bytes:
    """Make a train.csv."""
    return "\n".join(["img_path,label", *rows, ""]).encode()


def smoking(train: int = 6, val: int = 2, test: int = 3, nested: bool = False) -> Files:
    """Make the folders of the Kaggle set; `nested` as an unpacking there leaves them."""
    files, seed = {}, 0
    for folder, count in (("Training", train), ("Validation", val), ("Testing", test)):
        inside = f"{folder}/{folder}" if nested else folder
        for number in range(1, count + 1):
            for name in SMOKING:
                files[f"{inside}/{name}_{number:04d}.jpg"] = picture(seed := seed + 1, (25, 25))
    return files


def cifar_folders(train: int = 10, test: int = 4, root: str = "cifar10/") -> Files:
    """CIFAR-10 as folders of JPEGs."""
    files, seed = {}, 0
    for split, count in (("train", train), ("test", test)):
        for name in CIFAR10:
            for number in range(count):
                files[f"{root}{split}/{name}/{number:04d}.jpg"] = picture(
                    seed := seed + 1, (32, 32)
                )
    return files


def cifar_batches(per_batch: int = 20, test: int = 10) -> Files:
    """CIFAR-10 as its authors pack it: five training batches, a test batch, the class names."""
    batches = {f"data_batch_{k}": per_batch for k in range(1, 6)} | {"test_batch": test}
    files = {}
    for seed, (name, count) in enumerate(batches.items()):
        pixels = np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)
        labels = [i % 10 for i in range(count)]
        batch = {"data": pixels, "labels": labels, "batch_label": name}
        files[f"cifar-10-batches-py/{name}"] = pickle.dumps(batch, protocol=2)
    meta = {"label_names": CIFAR10, "num_cases_per_batch": per_batch, "num_vis": 3072}
    files["cifar-10-batches-py/batches.meta"] = pickle.dumps(meta, protocol=2)
    return files


def admit_cifar_batches(monkeypatch, files: Mapping[str, bytes]) -> None:
    """Make torchvision expect the MD5 of these batches instead of the published ones'."""
    from torchvision import datasets

    def md5(name: str) -> str:
        return hashlib.md5(files[f"cifar-10-batches-py/{name}"]).hexdigest()

    for attribute in ("train_list", "test_list"):
        names = [name for name, _ in getattr(datasets.CIFAR10, attribute)]
        monkeypatch.setattr(datasets.CIFAR10, attribute, [[name, md5(name)] for name in names])
    monkeypatch.setattr(
        datasets.CIFAR10, "meta", {**datasets.CIFAR10.meta, "md5": md5("batches.meta")}
    )


def caltech(per_class: int = 10, categories: int = 5) -> Files:
    """CaltechDATA's zip: tars in it hold the pictures, which differ in size; some are grey."""
    names = ["accordion", "airplanes", "Faces_easy", "BACKGROUND_Google", "yin_yang"][:categories]
    inside = {}
    for k, name in enumerate(names):
        for number in range(1, per_class + 1):
            mode = "L" if number == 1 else "RGB"
            size = (30 + 2 * number, 20 + k)
            data = picture(100 * k + number, size, mode)
            inside[f"101_ObjectCategories/{name}/image_{number:04d}.jpg"] = data
    return {
        "caltech-101/101_ObjectCategories.tar.gz": pack_tar(inside),
        "caltech-101/Annotations.tar": pack_tar({"Annotations/a.mat": b"0"}),
        "caltech-101/show_annotation.m": b"% matlab",
        "__MACOSX/caltech-101/._show_annotation.m": b"junk",
    }


# ---------------------------------------------------------------- with what a renderer knows


def with_truth(
    files: Files,
    root: str,
    splits: Mapping[str, str],
    classes: list[str],
    *,
    cue: bool = False,
    changes: tuple[str, ...] = ("remove_object",),
    changed: int = 3,
    becomes: str | None = None,
) -> Files:
    """Add masks, scenes and interventions to the files of a real layout, as the builder does.

    `splits` maps each picture's file (below `root`) to its split; the first `changed` test pictures
    get every intervention, after which they are of the class `becomes` (default: of the same).
    """
    size = Image.open(io.BytesIO(files[root + next(iter(splits))])).size
    scenes, pairs, extra = [], [], {}
    for number, (file, split) in enumerate(splits.items()):
        name = next(c for c in sorted(classes, key=len, reverse=True) if c in file)
        line = {"file": file, "split": split, "label": classes.index(name), "class": name}
        line["scene"] = {"family": "made", "number": number}
        if cue:
            line["cue"] = (line["label"] == 1) == (split == "train" or number % 2 == 0)
        scenes.append(line)
        extra[f"{root}masks/{file[:-4]}.png"] = mask(size, 1 + number % 2)
    tests = [line for line in scenes if line["split"] == "test"][:changed]
    for change in changes:
        for line in tests:
            file = f"interventions/{change}/{line['file']}"
            pair = {**line, "file": file, "intervention": change, "original": line["file"]}
            if becomes is not None:
                pair |= {"class": becomes, "label": classes.index(becomes)}
            pairs.append(pair)
            extra[root + file] = picture(7, size)
            extra[f"{root}masks/{file[:-4]}.png"] = mask(size, 0)
    extra[f"{root}parts.json"] = json.dumps(
        {"0": "background", "1": "flesh", "2": "calyx"}
    ).encode()
    extra[f"{root}scenes.jsonl"] = lines(scenes)
    extra[f"{root}interventions.jsonl"] = lines(pairs)
    return files | extra


def lines(records: list[dict]) -> bytes:
    """JSON lines."""
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def embedded_vegetables(train: int = 20, test: int = 6, **options) -> Files:
    """Make what the course's own vegetables.zip holds; counts per class."""
    files = vegetables(train + test)
    root = "GradCAM-Dataset-main/"
    pictures = [n[len(root) :] for n in files if n.endswith(".jpg")]
    number = {n: int(n.rpartition("_")[2][:-4]) for n in pictures}
    splits = {n: "train" if number[n] <= train else "test" for n in pictures}
    return with_truth(files, root, splits, VEGETABLES, **options)


def embedded_smoking(**options) -> Files:
    """Make what the course's own smoking.zip holds."""
    files = smoking()
    short = {"Training": "train", "Validation": "val", "Testing": "test"}
    splits = {name: short[name.split("/")[0]] for name in files}
    return with_truth(files, "", splits, SMOKING, **options)


def embedded_cifar10(train: int = 10, test: int = 4) -> Files:
    """Make what the course's own cifar10.zip holds."""
    files = cifar_folders(train, test)
    splits = {name[8:]: name.split("/")[1] for name in files}
    return with_truth(files, "cifar10/", splits, CIFAR10)
