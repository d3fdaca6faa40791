"""Archives from elsewhere, read without trusting them: nothing can leave its folder."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

Opener = Callable[[], IO[bytes]]

#: Most files and bytes that an archive may unpack to.
MAX_FILES, MAX_BYTES = 300_000, 4_000_000_000
#: Most bytes per byte of the archive (photographs hardly shrink), unless the result is small.
MAX_RATIO, SMALL_BYTES = 100, 50_000_000

#: What operating systems and file managers leave in folders and archives; hidden files.
CLUTTER = re.compile(r"(^|/)(\.[^/]+|__MACOSX|thumbs\.db|desktop\.ini)(/|$)", re.IGNORECASE)


def _entries(file: IO[bytes]) -> Iterator[tuple[str, int, bool, Opener]]:
    """Yield each entry: its name, its bytes, whether it is a file or folder, how to open it."""
    if tarfile.is_tarfile(file):
        with tarfile.open(fileobj=file) as tar:
            for member in tar:
                name = f"{member.name}/" if member.isdir() else member.name
                plain = member.isreg() or member.isdir()
                yield name, member.size, plain, functools.partial(tar.extractfile, member)
    elif zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                plain = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
                name = info.filename
                if not info.flag_bits & 0x800:  # macOS writes UTF-8 without saying so
                    with contextlib.suppress(UnicodeError):
                        name = name.encode("cp437").decode()
                yield name, info.file_size, plain, functools.partial(archive.open, info)
    else:
        kinds = ".zip, .tar, .tar.gz, .tar.bz2 or .tar.xz"
        raise ValueError(f"it is no {kinds} (pack the folder as .zip), or damaged or incomplete")


def members(source: Path | bytes) -> Iterator[tuple[str, Opener]]:
    """Yield the name of each file in an archive, and a function that opens it for reading.

    Raises
    ------
    ValueError
        For entries that lead out of the folder (absolute paths, drive letters, ``..``, with either
        kind of slash); for links and devices; for bombs. Decoders raise a dozen other classes for
        damaged archives: catch all.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        total, most = 0, min(MAX_BYTES, max(SMALL_BYTES, MAX_RATIO * file.seek(0, io.SEEK_END)))
        file.seek(0)
        for count, (stored, size, plain, opener) in enumerate(_entries(file), 1):
            name = stored.replace("\\", "/")  # some programs of Windows separate folders by these
            if name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
                raise ValueError(f"its entry {stored!r} leads out of the folder")
            if not plain:
                raise ValueError(f"its entry {stored!r} is a link or a device, not a file")
            total += size
            if count > MAX_FILES or total > most:
                raise ValueError(
                    f"it unpacks to more than {MAX_FILES:,} files or {most:,.0f} bytes"
                )
            if name and not name.endswith("/") and not CLUTTER.search(name):
                yield name, opener


def problem(path: Path, *, read: bool = False) -> str:
    """Return why a file is no archive that can be unpacked, or "".

    Goes by the list of contents; with `read`, every file in it is read and its checksum compared.
    """
    try:
        for _, opener in members(path):
            if read:
                with opener() as file:
                    while file.read(1 << 20):
                        pass
    except Exception as error:  # decoders raise a dozen classes on damaged files
        return str(error) or repr(error)
    return ""
