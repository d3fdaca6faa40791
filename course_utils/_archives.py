"""Archives from elsewhere, opened and unpacked without trusting them.

A zip or tar file can name files outside its folder (``../``, ``/etc``), hold links that lead there,
or unpack to a thousand times its size. Here such an archive is refused with a plain reason before
anything of it is used. `assets.unpack` decides where things go; this module only moves bytes.
"""

from __future__ import annotations

import gzip
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

#: Most files, and most bytes once unpacked, that an archive of the course may hold.
MAX_FILES = 300_000
MAX_BYTES = 4_000_000_000
#: Photographs hardly shrink in an archive: this many times the archive's size is a bomb, ...
MAX_RATIO = 100
#: ... unless what comes out is small anyway (text shrinks well), in bytes.
HARMLESS_BYTES = 50_000_000

# what operating systems add to archives that people make with their file manager
_CLUTTER = re.compile(r"(^|/)(__MACOSX/|\.DS_Store$|Thumbs\.db$|desktop\.ini$|\._)")


# what decoders raise on damaged archives
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
)


class ArchiveError(ValueError):
    """An archive that is damaged, or that must not be trusted; the message names the entry."""


class _Member(NamedTuple):
    """One file of an archive: its name, its size as announced, and how to read it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


# ---------------------------------------------------------------------------- checks


def checked_name(name: str, archive: str) -> str:
    """Return an entry's name if it stays inside the folder that it is unpacked into.

    Raises
    ------
    ArchiveError
        For an absolute path, a drive letter or a ``..``, with either kind of slash.
    """
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        raise ArchiveError(f"{archive} is refused: its entry {name!r} is an absolute path")
    if ".." in parts:
        raise ArchiveError(f"{archive} is refused: its entry {name!r} leads out of its folder")
    return name


class _Budget:
    """Counts what comes out of an archive, and stops a decompression bomb."""

    def __init__(self, archive: str, packed: int) -> None:
        self.archive, self.packed = archive, packed
        self.files = self.bytes = 0

    def add(self, files: int, size: int) -> None:
        self.files += files
        self.bytes += size
        if self.files > MAX_FILES:
            raise ArchiveError(f"{self.archive} is refused: it holds more than {MAX_FILES:,} files")
        if self.bytes > MAX_BYTES:
            raise ArchiveError(
                f"{self.archive} is refused: it unpacks to more than {MAX_BYTES / 1e9:g} GB"
            )
        if self.bytes > max(HARMLESS_BYTES, MAX_RATIO * self.packed):
            raise ArchiveError(
                f"{self.archive} is refused: it unpacks to more than {MAX_RATIO} times its size, "
                "as decompression bombs do"
            )


def _check_zip(archive: zipfile.ZipFile, name: str, packed: int) -> list[zipfile.ZipInfo]:
    """Return the files of a zip, or refuse it."""
    budget, seen = _Budget(name, packed), set()
    found = []
    for info in archive.infolist():
        checked_name(info.filename, name)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ArchiveError(
                f"{name} is refused: its entry {info.filename!r} is a link or a device, not a file"
            )
        if info.flag_bits & 0x1:
            raise ArchiveError(f"{name} is refused: its entry {info.filename!r} is encrypted")
        if info.filename in seen:
            raise ArchiveError(f"{name} is refused: it holds {info.filename!r} twice")
        seen.add(info.filename)
        budget.add(1, info.file_size)
        if not info.is_dir() and not _CLUTTER.search(info.filename):
            found.append(info)
    return found


@contextmanager
def _plain_errors(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises on a damaged archive into an `ArchiveError`."""
    try:
        yield
    except _DAMAGE as error:
        raise ArchiveError(f"{name} is damaged or incomplete ({error})") from error


def open_zip(path: Path) -> tuple[zipfile.ZipFile, list[str]]:
    """Open a zip for reading in place.

    Returns
    -------
    ZipFile, list of str
        The open archive, and the names of its files.

    Raises
    ------
    ArchiveError
        If it is no zip, damaged, or must not be trusted.
    OSError
        If it cannot be read.
    """
    with _plain_errors(path.name):
        archive = zipfile.ZipFile(path)
        try:
            members = _check_zip(archive, path.name, path.stat().st_size)
        except ArchiveError:
            archive.close()
            raise
    return archive, [info.filename for info in members]


def problem(path: Path, name: str) -> str | None:
    """Return why a file cannot be the archive `name`, without reading all of it, or None.

    A zip ends with its list of files, so one that broke off on the way is noticed; a tar is not.
    """
    try:
        if name.endswith(".zip"):
            open_zip(path)[0].close()
        elif ".tar" in name and not tarfile.is_tarfile(path):
            return "it is no tar archive, or its start is damaged"
    except ArchiveError as error:
        return str(error)
    return None


def damaged_member(path: Path) -> str | None:
    """Read a whole zip and return the name of the first file whose checksum is wrong, or None."""
    with _plain_errors(path.name):
        archive, _ = open_zip(path)
        with archive:
            return archive.testzip()


# ---------------------------------------------------------------------------- unpacking


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in _check_zip(archive, path.name, path.stat().st_size):
            yield _Member(info.filename, info.file_size, lambda info=info: archive.open(info))


def _tar_members(stream: IO[bytes], name: str) -> Iterator[_Member]:
    # gzip is opened here, because tarfile takes a compressed stream that breaks off for its end
    plain = gzip.GzipFile(fileobj=stream) if name.endswith((".gz", ".tgz")) else stream
    with tarfile.open(fileobj=plain, mode="r|") as archive:  # a stream: one pass, no seeking
        for info in archive:
            checked_name(info.name, name)
            if info.isdir() or _CLUTTER.search(info.name):
                continue
            if not info.isreg():
                raise ArchiveError(
                    f"{name} is refused: its entry {info.name!r} is a link or a device, not a file"
                )
            yield _Member(info.name, info.size, lambda info=info: archive.extractfile(info))
    _read_to_the_end(plain, name)


def _read_to_the_end(stream: IO[bytes], name: str) -> None:
    """Read the padding after a tar's last file: only then are checksums compared."""
    rest = 0
    while block := stream.read(1 << 20):
        rest += len(block)
        if rest > HARMLESS_BYTES:
            raise ArchiveError(f"{name} is refused: it goes on after its last file")


@contextmanager
def _members(path: Path, inner: str | None) -> Iterator[Iterator[_Member]]:
    """Iterate over a zip or a tar, or over the tar inside a zip that `inner` names (a pattern)."""
    with ExitStack() as stack:
        if path.suffix != ".zip":
            yield _tar_members(stack.enter_context(path.open("rb")), path.name)
        elif inner is None:
            yield _zip_members(path)
        else:
            archive, names = open_zip(path)
            stack.enter_context(archive)
            matching = [name for name in names if fnmatch(name, inner)]
            if not matching:
                raise ArchiveError(f"{path.name} holds no {inner}")
            stream = stack.enter_context(archive.open(matching[0]))
            yield _tar_members(stream, f"{path.name}/{PurePosixPath(matching[0]).name}")


def extract(
    path: Path, folder: Path, *, inner: str | None = None, tick: Callable[[int], None] | None = None
) -> tuple[int, int]:
    """Unpack a zip or tar archive into an empty folder.

    Parameters
    ----------
    path : Path
        A .zip, .tar or .tar.gz.
    folder : Path
        Where to; must exist. After an error it holds what had been unpacked until then.
    inner : str, optional
        Unpack the tar archive inside the zip whose name fits this pattern instead.
    tick : callable, optional
        Told the number of bytes of every file that has been written.

    Returns
    -------
    files, bytes : int
        How much was written.

    Raises
    ------
    ArchiveError
        If the archive is damaged or must not be trusted.
    OSError
        If the disk is full, and the like.
    """
    budget = _Budget(path.name, path.stat().st_size)
    with _plain_errors(path.name), _members(path, inner) as members:
        for member in members:
            target = folder.joinpath(*member.name.replace("\\", "/").split("/"))
            budget.add(1, member.size)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                sink = target.open("xb")
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                raise ArchiveError(f"{path.name} is refused: {member.name!r} is twice") from error
            with sink, member.open() as source:
                shutil.copyfileobj(source, sink, 1 << 20)
            if tick is not None:
                tick(member.size)
    return budget.files, budget.bytes


def unpacked_size(path: Path) -> int | None:
    """Bytes that a zip announces to unpack to; None for tar archives, which do not say."""
    with suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as archive:
        return sum(info.file_size for info in archive.infolist())
    return None
