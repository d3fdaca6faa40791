"""The files of a data set: below a folder, or out of an archive, which is read into memory.

An archive of pictures takes no more memory than it takes on disk, and nothing of it is ever
written, so a read-only disk will do and no entry can leave a folder. Names are relative, with
forward slashes and composed accents (NFC), whatever made the folder or the archive.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from ..photos import PhotoError, load_photo

#: Most bytes that come out of any archive, and out of one that is 100 times smaller.
MAX_BYTES, MAX_BOMB_BYTES = 4_000_000_000, 50_000_000
# what operating systems leave in folders and archives; hidden files
_CLUTTER = re.compile(r"(^|/)(\.[^/]*|__MACOSX|thumbs\.db|desktop\.ini)(/|$)", re.IGNORECASE)
_ARCHIVE = re.compile(r"\.(zip|tar|tgz|tar\.(gz|bz2|xz))$", re.IGNORECASE)


class DatasetError(ValueError):
    """A data set that is not as it should be; the message names the file and says what to do."""


def is_picture(name: str) -> bool:
    """Whether a file's name ends like those that Pillow opens, in upper or lower case."""
    suffix = os.path.splitext(name)[1].lower()
    return Image.registered_extensions().get(suffix) in Image.OPEN


def tidy(name: str) -> str:
    """Return a file's name with forward slashes and composed accents, without ``./`` before it."""
    return unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")


class Files(dict[str, Path | bytes | np.ndarray]):
    """Name to file, bytes or decoded picture.

    Attributes
    ----------
    location : Path
        The folder or archive that holds them all.

    Raises
    ------
    DatasetError
        If two files have the same name.
    """

    def __init__(self, location: Path, found: Iterable[tuple[str, Path | bytes]] = ()) -> None:
        super().__init__()
        self.location = location
        for name, content in found:
            name = tidy(name)
            if name in self:
                raise DatasetError(f"{location} holds {name!r} twice")
            if not _CLUTTER.search(name):
                self[name] = content

    def read(self, name: str) -> bytes:
        """Return a file's bytes; DatasetError if it is missing."""
        if name not in self:
            raise DatasetError(f"{name} is not in {self.location}")
        content = self[name]
        return content.read_bytes() if isinstance(content, Path) else content

    def image(self, name: str) -> Image.Image:
        """Return the picture in a file as upright 8-bit RGB; DatasetError if there is none."""
        if isinstance(self.get(name), np.ndarray):
            return Image.fromarray(self[name])
        data = self.read(name)
        with contextlib.suppress(Exception):  # plain RGB needs Pillow alone, which is much faster
            image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
            special = image.info.keys() & {"exif", "icc_profile", "transparency"}
            if image.mode == "RGB" and not special and max(image.size) <= 10_000:
                image.load()
                return image
        try:
            return load_photo(data)
        except PhotoError as error:
            raise DatasetError(f"{name} in {self.location} cannot be used: {error}") from error


def open_files(path: Path) -> Files:
    """List a folder, or read an archive.

    Raises
    ------
    DatasetError
        If it is not there, is neither, is damaged, or has two files of one name.
    """
    if path.is_dir():
        return Files(path, _walk(path))
    if not path.is_file():
        raise DatasetError(f"{path} is not there: pass the data set's folder, or its archive")
    with path.open("rb") as stream:
        return _read_archive(path, stream)


def open_inner(files: Files) -> Files:
    """Return what the archives among the files hold."""
    found = Files(files.location)
    for name in filter(_ARCHIVE.search, files):
        inner = _read_archive(files.location / name, io.BytesIO(files.read(name)))
        found |= {f"{name}/{other}": content for other, content in inner.items()}
    return found


def _walk(path: Path) -> Iterator[tuple[str, Path]]:
    for folder, inside, names in os.walk(path, followlinks=True):
        inside[:] = [name for name in inside if not _CLUTTER.search(name)]
        yield from (
            (os.path.relpath(os.path.join(folder, n), path), Path(folder, n)) for n in names
        )


def _read_archive(path: Path, stream: BinaryIO) -> Files:
    try:
        return Files(path, _unpack(stream))
    except Exception as error:  # decoders raise all kinds of errors on damaged bytes
        raise DatasetError(
            f"{path} cannot be read: {error}. If it is no .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz,"
            " unpack it with the program that made it, and pass the folder with folder=; if it is "
            "damaged, pass another copy"
        ) from error


def _unpack(stream: BinaryIO) -> Iterator[tuple[str, bytes]]:
    packed = stream.seek(0, os.SEEK_END)
    if zipfile.is_zipfile(stream):
        zipped = zipfile.ZipFile(stream)
        entries = [(info.filename, info.file_size, info) for info in zipped.infolist()]
        entries, read = [e for e in entries if not e[0].endswith(("/", "\\"))], zipped.read
    else:
        stream.seek(0)
        tarred = tarfile.open(fileobj=stream)
        entries = [(info.name, info.size, info) for info in tarred if info.isfile()]
        read = lambda info: tarred.extractfile(info).read()  # noqa: E731
    if sum(size for _, size, _ in entries) > min(MAX_BYTES, max(MAX_BOMB_BYTES, 100 * packed)):
        raise ValueError("what it holds is far larger than itself")
    for name, _, entry in entries:
        try:
            content = read(entry)
        except Exception:  # one damaged picture does not spoil the others: it is found empty
            content = b""
        yield name, content
