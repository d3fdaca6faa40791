"""Where pictures lie: in a folder, in a zip that is read in place, or in memory.

A `Store` answers three questions: which files are there, what are their bytes, and what is the
picture in one of them. Everything above it (layouts, splits, tensors) is the same for all three,
which is how the embedded and the real data sets go through the same code.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from .. import _archives
from ..photos import PhotoError, load_photo

#: Most bytes of a single file that are read: a photograph has a few millions.
MAX_FILE_BYTES = 200_000_000


class DatasetError(ValueError):
    """A data set that is not as it should be; the message names the file and says what to do."""


class Store:
    """Files by name, whatever holds them. Names are relative, with forward slashes.

    Attributes
    ----------
    location : Path
        The folder or archive.
    """

    location: Path

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""
        raise NotImplementedError

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises
        ------
        DatasetError
            If it is missing or cannot be read.
        """
        raise NotImplementedError

    def image(self, name: str) -> Image.Image:
        """Return the picture in a file as upright 8-bit RGB.

        Raises
        ------
        DatasetError
            If it is missing, damaged, or no picture.
        """
        return decode(self.read(name), f"{name} in {self.location}")


def decode(data: bytes, given: str) -> Image.Image:
    """Decode a picture to 8-bit RGB; `given` says in an error which one it is.

    Nearly all pictures are plain RGB files, for which Pillow alone is several times faster than
    `load_photo`; that one takes all others: grey, CMYK, rotated, with a colour profile, damaged.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            info = image.info
            plain = image.mode == "RGB" and not info.keys() & {
                "exif",
                "icc_profile",
                "transparency",
            }
            if plain and image.width * image.height <= (Image.MAX_IMAGE_PIXELS or 0):
                image.load()
                return image
    except Exception:
        pass  # whatever it is, load_photo says it in plain words
    try:
        return load_photo(data)
    except PhotoError as error:
        reason = str(error).partition(" cannot be used as a photograph: ")[2] or str(error)
        raise DatasetError(f"{given} cannot be used: {reason}") from error


class FolderStore(Store):
    """Files below a folder."""

    def __init__(self, folder: Path) -> None:
        self.location = folder

    def names(self) -> list[str]:
        """Return the names of all files below the folder, sorted; hidden ones are left out."""
        found: list[str] = []
        for folder, subfolders, files in os.walk(self.location, followlinks=True):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            start = Path(folder).relative_to(self.location).as_posix()
            prefix = "" if start == "." else f"{start}/"
            found += [prefix + name for name in files if not name.startswith(".")]
            if len(found) > _archives.MAX_FILES:
                raise DatasetError(
                    f"{self.location} holds more than {_archives.MAX_FILES:,} files: pass the "
                    "folder of the data set itself"
                )
        return sorted(found)

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        path = self.location / name
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise DatasetError(f"{path} is too large for a picture of a data set")
            return path.read_bytes()
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error


class ZipStore(Store):
    """Files in a zip, read in place: nothing is unpacked, so a read-only disk will do.

    The archive is opened once in every process that reads from it, such as the workers of a
    ``DataLoader``: an open file that two processes share would be at one position for both.
    """

    def __init__(self, path: Path) -> None:
        self.location = path
        self._archive: zipfile.ZipFile | None = None
        self._process = 0
        try:
            self._archive, self._names = _archives.open_zip(path)
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error
        except _archives.ArchiveError as error:
            raise DatasetError(f"{error}; delete {path} and get it again") from error
        self._process = os.getpid()

    def names(self) -> list[str]:
        """Return the names of all files in the zip, sorted."""
        return sorted(self._names)

    def read(self, name: str) -> bytes:
        """Return a file's bytes, whose checksum has been compared."""
        try:
            archive = self._opened()
            if archive.getinfo(name).file_size > MAX_FILE_BYTES:
                raise DatasetError(f"{name} in {self.location} is too large for a picture")
            return archive.read(name)
        except KeyError:
            raise DatasetError(f"{name} is not in {self.location}") from None
        except (OSError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
            if isinstance(error, DatasetError):
                raise
            raise DatasetError(f"{name} in {self.location} cannot be read: {error}") from error

    def _opened(self) -> zipfile.ZipFile:
        if self._archive is None or self._process != os.getpid():
            self._archive = zipfile.ZipFile(self.location)
            self._process = os.getpid()
        return self._archive

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_archive": None}


class MemoryStore(Store):
    """Pictures that are decoded already, such as CIFAR-10's batches.

    Parameters
    ----------
    location : Path
        Where they came from.
    images : mapping of str to uint8 array (N, H, W, 3)
        Pictures by group; the file ``group/00012`` is picture 12 of a group.
    """

    def __init__(self, location: Path, images: Mapping[str, np.ndarray]) -> None:
        self.location, self.images = location, dict(images)

    def names(self) -> list[str]:
        """Return ``group/number`` of every picture."""
        return [
            f"{group}/{i:05d}" for group, array in self.images.items() for i in range(len(array))
        ]

    def array(self, name: str) -> np.ndarray:
        """Return a picture as uint8 (H, W, 3)."""
        group, _, index = name.rpartition("/")
        return self.images[group][int(index)]

    def read(self, name: str) -> bytes:
        """There are no files: raises DatasetError."""
        raise DatasetError(f"{name} is a picture in memory, read from {self.location}: use image()")

    def image(self, name: str) -> Image.Image:
        """Return a picture."""
        return Image.fromarray(self.array(name))


def open_store(path: Path) -> Store:
    """Open a folder or a zip.

    Raises
    ------
    DatasetError
        If it is neither.
    """
    if path.is_dir():
        return FolderStore(path)
    if path.suffix.lower() == ".zip" and path.is_file():
        return ZipStore(path)
    what = "is not there" if not path.exists() else "is neither a folder nor a zip"
    raise DatasetError(f"{path} {what}: pass the folder that holds the data set, or its zip")
