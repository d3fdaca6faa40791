"""How each data set is laid out: which picture has which label, and in which split it is.

Files lie below a folder, or are read out of an archive into memory: that takes no more memory than
on disk, and nothing is written. Their names are relative, with forward slashes and composed
accents (NFC), whatever made the folder or the archive.

Files that do not fit are not dropped silently: they are problems, which `load_dataset` raises; what
is no picture of the data set is named in a warning.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import operator
import os
import pickle
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from torchvision.datasets import CIFAR10

from .. import archives, assets
from ..photos import PhotoError, load_photo

SPLITS = ("train", "val", "test")
#: Caltech-101's folder of pictures that show none of its objects.
BACKGROUND = "BACKGROUND_Google"
#: What lies beside the pictures in an embedded archive, and is none of its labelled pictures.
BESIDE = ("masks/", "interventions/")
#: The tables of rendered pictures, and what each line must hold.
TRUTH = {"scenes.jsonl": "file class", "interventions.jsonl": "file class original intervention"}

_ARCHIVE = re.compile(r"\.(zip|tar|tgz|tar\.(gz|bz2|xz))$", re.IGNORECASE)


class Entry(NamedTuple):
    """A data set of the course, as ``data/datasets.toml`` describes it, and its fields."""

    asset: str
    count: int
    example: str
    layout: str = ""
    classes: Sequence[str] = ()
    editions: Sequence[str] = ()
    validation: float = 0.15
    pool: int | None = None


_TABLES = tomllib.loads(assets.course_file("datasets.toml").read_text(encoding="utf-8"))
DATASETS = {name: Entry(**table) for name, table in _TABLES.items()}


class DatasetError(ValueError):
    """A data set that is not as it should be; the message names the file and says what to do."""


# ------------------------------------------------------------------------------------ files


def is_picture(name: str) -> bool:
    """Whether a file's name ends like those that Pillow opens, in upper or lower case."""
    suffix = PurePosixPath(name).suffix.lower()
    return Image.registered_extensions().get(suffix) in Image.OPEN


def tidy(name: str) -> str:
    """Return a file's name with forward slashes and composed accents, without ``./`` before it."""
    return unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")


class Files(dict[str, Path | bytes | np.ndarray | Exception]):
    """Name to file, bytes, decoded picture, or why it cannot be read.

    Attributes
    ----------
    location : Path
        The folder or archive that holds them all.

    Raises
    ------
    DatasetError
        If it is not there, is neither, is damaged, or has two files of one name.
    """

    def __init__(self, location: Path, found: Iterable[tuple[str, Any]] | None = None) -> None:
        self.location = location
        try:
            for given, content in _found_in(location) if found is None else found:
                name = tidy(given)
                if name in self:
                    raise ValueError(f"it holds {name!r} twice")
                self[name] = content
        except Exception as error:  # decoders raise all kinds of errors on damaged bytes
            advice = "pass the data set's folder, or another archive, with folder="
            raise DatasetError(f"{location} cannot be read: {error}; {advice}") from error

    def read(self, name: str) -> Any:
        """Return a file's bytes, or decoded picture; DatasetError if it is missing or damaged."""
        content = self.get(name, LookupError("it is not there"))
        if isinstance(content, Exception):
            raise DatasetError(f"{name} in {self.location} cannot be read: {content}")
        return content.read_bytes() if isinstance(content, Path) else content

    def image(self, name: str) -> Image.Image:
        """Return the picture in a file as upright 8-bit RGB; DatasetError if there is none."""
        content = self.read(name)
        try:
            known = isinstance(content, np.ndarray)
            return Image.fromarray(content) if known else load_photo(content)
        except PhotoError as error:
            raise DatasetError(f"{name} in {self.location} cannot be used: {error}") from error

    def in_archives(self) -> Files:
        """Return what the archives among these files hold, read into memory."""
        found = []
        for name in filter(_ARCHIVE.search, self):
            place = self[name] if isinstance(self[name], Path) else self.read(name)
            held = Files(self.location / name, _found_in(place))
            found += [(f"{name}/{file}", content) for file, content in held.items()]
        return Files(self.location, found)


def _found_in(place: Path | bytes) -> Iterator[tuple[str, Path | bytes | Exception]]:
    """Yield the files below a folder, or in an archive (which may be in memory)."""
    if isinstance(place, bytes) or not place.is_dir():
        for name, opener in archives.members(place):
            try:
                with opener() as file:
                    yield name, file.read()
            except Exception as error:  # one damaged picture does not spoil the others
                yield name, error
        return

    def refuse(error: OSError) -> None:  # by itself it would pass over what it cannot read
        raise error

    for folder, inside, names in os.walk(place, followlinks=True, onerror=refuse):
        inside[:] = [name for name in inside if not archives.CLUTTER.search(name)]
        files = [Path(folder, name) for name in names if not archives.CLUTTER.search(name)]
        yield from ((str(file.relative_to(place)), file) for file in files)


def _cifar10_pictures(files: Files, folder: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the pictures of ``cifar-10-batches-py``, as ``train/airplane/00012.png``.

    The batches are pickles, which can do anything: only those whose MD5 torchvision knows are read.
    """
    for split, batches in (("train", CIFAR10.train_list), ("test", CIFAR10.test_list)):
        number = itertools.count()
        for name, digest in batches:
            data = files.read(folder + name)
            if hashlib.md5(data).hexdigest() != digest:
                raise ValueError(f"it has no intact copy of CIFAR-10's batches: see {name}")
            batch = pickle.loads(data, encoding="latin1")
            for label, levels in zip(batch["labels"], batch["data"], strict=True):
                title = DATASETS["cifar10"].classes[label]
                picture = levels.reshape(3, 32, 32).transpose(1, 2, 0)
                yield f"{split}/{title}/{next(number):05d}.png", picture


# ------------------------------------------------------------------------------------ layouts


class Record(NamedTuple):
    """One picture: its file below the data set's root, class index, and split if one is given."""

    file: str
    label: int
    split: str | None = None


@dataclass
class Listing:
    """What was found of a data set.

    Attributes
    ----------
    files : Files
        What holds the pictures.
    root : str
        Prefix of the data set's files; empty or ending in a slash.
    classes : tuple of str
        Class names; a label is an index into them.
    records : list of Record
    problems, ignored : list of str
        What does not fit, and what is no picture of the data set; a sentence each.
    parts : dict of int to str
        Of rendered pictures: part id in the masks to name; 0 is the background.
    scenes : dict of str to dict
        Of rendered pictures: the line of ``scenes.jsonl`` (or ``interventions.jsonl``) of a file.
    """

    files: Files
    root: str
    classes: tuple[str, ...]
    records: list[Record] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    parts: dict[int, str] = field(default_factory=dict)
    scenes: dict[str, dict[str, Any]] = field(default_factory=dict)


def find_listing(entry: Entry, path: Path) -> Listing:
    """List the pictures of a data set in a folder or archive, or in an archive that is in it.

    Raises
    ------
    DatasetError
        If it is not there.
    """
    parse = _parse_paths if entry.layout else _parse_table
    files = Files(path)
    listing = parse(entry, files) or parse(entry, files.in_archives())
    if listing is None:
        there = ", ".join(sorted(files)[:3]) or "nothing"
        raise DatasetError(f"{path} should hold files such as {entry.example}; it holds {there}")
    _read_truth(listing)
    return listing


def _parse_paths(entry: Entry, files: Files) -> Listing | None:
    """Take label and split from folders and file names."""
    batches = [name for name in files if f"/{name}".endswith("/data_batch_1")]
    if batches and entry.asset == "cifar10":
        folder = batches[0].removesuffix("data_batch_1")
        files = Files(files.location, _cifar10_pictures(files, folder))
    matches = {name: re.fullmatch(entry.layout, name, re.I) for name in filter(is_picture, files)}
    if not any(matches.values()):
        return None
    root = min((m["root"] for m in matches.values() if m), key=lambda root: (len(root), root))
    found = {name: match for name, match in matches.items() if match and match["root"] == root}
    folders = {match["label"] for match in found.values()} - {BACKGROUND}
    listing = Listing(files, root, tuple(entry.classes or sorted(folders, key=str.lower)))
    index = {name.lower(): label for label, name in enumerate(listing.classes)}
    for name, match in found.items():
        split = next((s for s in SPLITS if match["split"].lower().startswith(s)), None)
        if (label := index.get(match["label"].lower())) is not None:
            listing.records.append(Record(name[len(root) :], label, split))
    _note_others(listing, set(found), f"is not laid out like {entry.example}, so it has no label")
    return listing


def _parse_table(entry: Entry, files: Files) -> Listing | None:
    """Take labels from ``train.csv`` with the columns ``img_path`` and ``label``.

    A path may be absolute, as on the machine where the table was made: then its end counts. If its
    folder is not here at all, the file's name counts, where only one file has it. A label may be
    the index of a class, or its name.
    """
    tables = [name for name in files if f"/{name}".lower().endswith("/train.csv")]
    if not tables:
        return None
    table = min(tables, key=lambda name: (name.count("/"), name))
    listing = Listing(files, table[: -len("train.csv")], tuple(entry.classes))
    inside = [name[len(listing.root) :] for name in files if name.startswith(listing.root)]
    paths = {file.lower(): file for file in inside if not file.startswith(BESIDE)}
    by_name: dict[str, list[str]] = {}
    for path, file in paths.items():
        by_name.setdefault(path.rpartition("/")[2], []).append(file)
    folders = {path.rpartition("/")[0].rpartition("/")[2] for path in paths} - {""}
    labels = {str(label): label for label in range(len(entry.classes))}
    labels |= {title: label for label, title in enumerate(entry.classes)}
    rows: dict[str, int] = {}
    for row, path, text in _read_table(files.read(table), f"{table} in {files.location}"):
        steps, label = tidy(path).lower().split("/"), labels.get(re.sub(r"\.0*$", "", text.lower()))
        ends = ("/".join(steps[start:]) for start in range(len(steps)))
        file = next((paths[end] for end in ends if end in paths), None)
        named = by_name.get(steps[-1], [])
        if file is None and len(named) == 1 and not folders & {*steps[-2:-1]}:
            (file,) = named
        what = f"has the label {text!r}, which should be one of {', '.join(labels)}"
        what = f"has a row already, line {rows[file]}" if file in rows else what
        what = what if file else "is not in the data set"
        if file and label is not None and file not in rows:
            listing.records.append(Record(file, label))
        else:
            listing.problems.append(f"train.csv, line {row}: {path!r} {what}")
        rows.setdefault(file or path, row)
    _note_others(listing, {listing.root + file for file in rows}, "has no row in train.csv")
    return listing


def _read_table(data: bytes, given: str) -> list[tuple[int, str, str]]:
    """Return line, path and label of each row of a table as people's programs write them.

    They write UTF-8, UTF-16 or Windows-1252, with comma, semicolon or tab, and Excel may announce
    which one.
    """
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")  # as Excel writes it
    announced = text.startswith("sep=")
    separator = max(",;\t", key=text.split("\n", int(announced) + 1)[int(announced)].count)
    options = {"sep": separator, "skiprows": int(announced), "dtype": str, "index_col": False}
    options |= {"keep_default_na": False, "skip_blank_lines": False, "skipinitialspace": True}
    try:
        table = pd.read_csv(io.StringIO(text), **options)
        table.columns = [name.strip().lower() for name in table.columns]
        rows = table[["img_path", "label"]].fillna("").map(str.strip)
    except (ValueError, LookupError) as error:
        message = f"{given} is no table with the columns img_path and label: {error}; it begins"
        raise DatasetError(f"{message} with {text[:80]!r}") from error
    written = rows[(rows != "").any(axis=1)]
    return [(line + announced + 2, *row) for line, *row in written.itertuples(name=None)]


def _note_others(listing: Listing, taken: set[str], why: str) -> None:
    """Note the pictures without a label, and other files that lie among the pictures."""
    folders = {name.rpartition("/")[0] for name in taken}
    beside = tuple(listing.root + folder for folder in BESIDE)
    for name in sorted(set(listing.files) - taken):
        if is_picture(name) and not name.startswith(listing.root):
            listing.ignored.append(f"{name} lies outside of the data set")
        elif is_picture(name) and not name.startswith(beside):
            listing.problems.append(f"{name} {why}")
        elif name.rpartition("/")[0] in folders and not name.lower().endswith(".csv"):
            listing.ignored.append(f"{name} is not of a kind that Pillow opens")


def _read_truth(listing: Listing) -> None:
    """Read what a renderer has stored beside its pictures; there is nothing beside photographs."""
    files, root, where = listing.files, listing.root, "parts.json"
    there = {
        name: files.read(root + name) for name in ("parts.json", *TRUTH) if root + name in files
    }
    try:
        parts = json.loads(there.get(where, "{}"))
        listing.parts = {int(part): str(title) for part, title in parts.items()}
        for name, keys in TRUTH.items():
            for number, text in enumerate(there.get(name, b"").splitlines(), 1):
                where = f"{name}, line {number}"
                line = json.loads(text)
                listing.scenes[operator.itemgetter(*keys.split())(line)[0]] = line
        known = {file: line.get("split") for file, line in listing.scenes.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{where} in {files.location} is damaged: {error!r}"
        raise DatasetError(message) from error
    listing.records = [r._replace(split=r.split or known.get(r.file)) for r in listing.records]
