"""The files of a data set: below a folder, or out of an archive, which is read into memory.

An archive of pictures takes no more memory than it takes on disk, and nothing of it is ever
written, so a read-only disk will do and no entry can leave a folder. Names are relative, with
forward slashes and composed accents (NFC), whatever made the folder or the archive.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from ..photos import PhotoError, load_photo

#: Most bytes that come out of an archive; most that do where they are 100 times the archive's.
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


class Files(dict[str, Path | bytes | np.ndarray | Exception]):
    """Name to file, bytes, decoded picture, or why it cannot be read; `location` holds them all."""

    def __init__(self, location: Path) -> None:
        super().__init__()
        self.location = location

    def read(self, name: str) -> bytes:
        """Return a file's bytes; DatasetError if it is missing or cannot be read."""
        try:
            content = self[name]
            if isinstance(content, Exception):
                raise content
            return content.read_bytes() if isinstance(content, Path) else content
        except KeyError:
            raise DatasetError(f"{name} is not in {self.location}") from None
        except Exception as error:  # decoders raise all kinds of errors on damaged bytes
            raise DatasetError(f"{name} in {self.location} cannot be read: {error}") from error

    def image(self, name: str) -> Image.Image:
        """Return the picture in a file as upright 8-bit RGB; DatasetError if there is none."""
        if isinstance(self.get(name), np.ndarray):
            return Image.fromarray(self[name])
        data = self.read(name)
        try:  # nearly all pictures are plain RGB: Pillow alone is several times faster there
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
                special = image.info.keys() & {"exif", "icc_profile", "transparency"}
                if image.mode == "RGB" and not special and max(image.size) <= 10_000:
                    image.load()
                    return image
        except Exception:
            pass  # whatever it is, load_photo says it in plain words
        try:
            return load_photo(data)
        except PhotoError as error:
            reason = str(error).partition(" cannot be used as a photograph: ")[2] or error
            raise DatasetError(f"{name} in {self.location} cannot be used: {reason}") from error


def open_files(path: Path) -> Files:
    """List a folder, or read an archive.

    Raises
    ------
    DatasetError
        If it is not there, is neither, is damaged, or has two files of one name.
    """
    if not path.exists():
        raise DatasetError(f"{path} is not there: pass the data set's folder, or its archive")
    if path.is_file():
        with path.open("rb") as stream:
            return _read_archive(path, stream)
    files = Files(path)
    for folder, inside, names in os.walk(path, followlinks=True):
        inside[:] = [name for name in inside if not _CLUTTER.search(name)]
        for name in names:
            _add(files, os.path.relpath(os.path.join(folder, name), path), Path(folder, name))
        if len(files) > 300_000:
            raise DatasetError(f"{path} holds more than 300,000 files: pass the data set's own")
    return files


def open_inner(files: Files) -> Files:
    """Return what the archives among the files hold."""
    found = Files(files.location)
    for name in filter(_ARCHIVE.search, files):
        inner = _read_archive(files.location / name, io.BytesIO(files.read(name)))
        found |= {f"{name}/{other}": content for other, content in inner.items()}
    return found


def _add(files: Files, name: str, content: Path | Callable[[], bytes]) -> None:
    tidied = tidy(name)
    if _CLUTTER.search(tidied):
        return
    if tidied in files:
        raise DatasetError(f"{files.location} holds {tidied!r} twice")
    try:
        files[tidied] = content if isinstance(content, Path) else content()
    except Exception as error:  # one damaged picture does not spoil the others
        files[tidied] = error


def _read_archive(path: Path, stream: BinaryIO) -> Files:
    files, packed, total = Files(path), stream.seek(0, os.SEEK_END), 0
    try:
        for name, size, read in _members(stream):
            total += size
            if total > min(MAX_BYTES, max(MAX_BOMB_BYTES, 100 * packed)):
                raise DatasetError("what it holds is far larger than itself")
            _add(files, name, read)
    except Exception as error:
        raise DatasetError(
            f"{path} cannot be read: {error}. A folder will do, and .zip, .tar, .tar.gz, .tar.bz2 "
            "and .tar.xz; for any other archive, unpack it with the program that made it, and pass "
            "the folder. Where it is damaged, pass another copy with folder="
        ) from error
    return files


def _members(stream: BinaryIO) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    if zipfile.is_zipfile(stream):
        archive = zipfile.ZipFile(stream)
        for info in archive.infolist():
            if not info.filename.endswith(("/", "\\")):
                yield info.filename, info.file_size, partial(archive.read, info)
    else:
        stream.seek(0)
        archive = tarfile.open(fileobj=stream)
        for info in filter(tarfile.TarInfo.isfile, archive):
            yield info.name, info.size, archive.extractfile(info).read
