"""The files of a data set: below a folder, or out of an archive, which is read into memory.

An archive of pictures takes no more memory than it takes on disk, and nothing of it is written, so
a read-only disk will do. Names are relative, with forward slashes and composed accents (NFC),
whatever made the folder or the archive.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from .. import archives, assets
from ..photos import PhotoError, load_photo

# what operating systems leave in folders and archives; hidden files
_CLUTTER = re.compile(r"(^|/)(\.[^/]*|__MACOSX|thumbs\.db|desktop\.ini)(/|$)", re.IGNORECASE)
_ARCHIVE = re.compile(r"\.(zip|tar|tgz|tar\.(gz|bz2|xz))$", re.IGNORECASE)

Content = Path | bytes | np.ndarray | Exception


class DatasetError(ValueError):
    """A data set that is not as it should be; the message names the file and says what to do."""


def is_picture(name: str) -> bool:
    """Whether a file's name ends like those that Pillow opens, in upper or lower case."""
    suffix = PurePosixPath(name).suffix.lower()
    return Image.registered_extensions().get(suffix) in Image.OPEN


def tidy(name: str) -> str:
    """Return a file's name with forward slashes and composed accents, without ``./`` before it."""
    return unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")


class Files(dict[str, Content]):
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

    def __init__(self, location: Path, found: Iterable[tuple[str, Content]] | None = None) -> None:
        super().__init__()
        self.location = location
        reader = _walk if location.is_dir() else _unpack
        try:
            for given, content in reader(location) if found is None else found:
                name = tidy(given)
                if name in self:
                    raise ValueError(f"it holds {name!r} twice")
                if not _CLUTTER.search(name):
                    self[name] = content
        except Exception as error:  # decoders raise all kinds of errors on damaged bytes
            advice = "pass the data set's folder, or another archive, with folder="
            raise DatasetError(f"{location} cannot be read: {error}; {advice}") from error

    def read(self, name: str) -> bytes:
        """Return a file's bytes; DatasetError if it is missing or damaged."""
        content = self.get(name, LookupError("it is not there"))
        if isinstance(content, Exception):
            raise DatasetError(f"{name} in {self.location} cannot be read: {content}")
        return content.read_bytes() if isinstance(content, Path) else content

    def image(self, name: str) -> Image.Image:
        """Return the picture in a file as upright 8-bit RGB; DatasetError if there is none."""
        if isinstance(self.get(name), np.ndarray):
            return Image.fromarray(self[name])
        try:
            return load_photo(self.read(name))
        except PhotoError as error:
            raise DatasetError(f"{name} in {self.location} cannot be used: {error}") from error

    def inner(self) -> Files:
        """Return what the archives among these files hold."""
        names = [name for name in self if _ARCHIVE.search(name)]
        try:
            folder = assets.unpack(self.location) if names and self.location.is_file() else None
        except assets.AssetUnavailable as error:
            raise DatasetError(str(error)) from error
        found = {name: Files(folder / name if folder else self[name]) for name in names}
        pairs = ((f"{n}/{file}", content) for n in names for file, content in found[n].items())
        return Files(self.location, pairs)


def _walk(path: Path) -> Iterator[tuple[str, Path]]:
    for folder, inside, names in os.walk(path, followlinks=True):
        inside[:] = [name for name in inside if not _CLUTTER.search(name)]
        files = [Path(folder, name) for name in names]
        yield from ((str(file.relative_to(path)), file) for file in files)


def _unpack(path: Path) -> Iterator[tuple[str, bytes | Exception]]:
    for name, opener in archives.members(path):
        try:
            with opener() as file:
                content = file.read()
        except Exception as error:  # one damaged picture does not spoil the others
            content = error
        yield name, content
