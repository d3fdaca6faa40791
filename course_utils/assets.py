"""The one resolver for every file that comes from elsewhere: weights and data sets.

``data/assets.toml`` says for each file where it comes from, its SHA-256, size, licence, citation.
A file is looked for in this order, and nothing is used before its SHA-256 has been checked:

1. ``$COURSE_DATA``: a class's shared folder (the file in it, or in a subfolder named by its kind);
2. ``/kaggle/input``: data sets attached to a Kaggle notebook;
3. the course's cache (``$COURSE_CACHE``, by default the user's cache folder); for weights
   PyTorch's own cache, for data sets that Kaggle publishes kagglehub's;
4. the network: ``$COURSE_MIRROR/<file>`` if set, else the addresses in the manifest.

A data set may also lie unpacked in these places (`obtain`). Where only the archive is there and has
to be unpacked, `unpack` does it once, into the cache. The archives that come with the course itself
are found by `embedded`.

From a terminal::

    python -m course_utils.assets status                  # what is where
    python -m course_utils.assets verify                  # hash everything again
    python -m course_utils.assets prefetch --to FOLDER    # fill a class's shared folder
"""

from __future__ import annotations

import argparse
import atexit
import difflib
import errno
import functools
import glob
import hashlib
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
import tomllib
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn
from urllib.parse import quote, urlsplit

from . import _archives, _web, runtime

CACHE_NAME = "explaining-image-classifiers"
KAGGLE_INPUT = Path("/kaggle/input")
#: Further attempts at a URL whose connection was dropped.
RETRIES = 2
#: How long another process's unfinished download may stand still before we stop waiting for it, s.
PATIENCE_SECONDS = 30.0
#: Marks an unfinished download; such files are never used, and the next download removes them.
PARTIAL_SUFFIX = ".part"

_DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


@dataclass(frozen=True)
class Asset:
    """One entry of the manifest.

    Attributes
    ----------
    name : str
        What the course calls it.
    file : str
        The file's true name, wherever it lies.
    urls : tuple of str
        Where it can be downloaded, best first.
    kind : str
        "weights" or "dataset"; also the name of the subfolder that may hold it.
    sha256 : str
        Digest of the whole file (64 hexadecimal digits); empty where it cannot be known yet.
    size : int or None
        Bytes, where known.
    md5 : str
        Digest that the publisher gives, where no SHA-256 is known: it finds accidents, not malice.
    contents : str
        `contents_digest` of an archive that its server packs anew on every request.
    also : tuple of str
        Other archives that hold the same data set; looked for, never downloaded, not hashed.
    unpacked : tuple of str
        Patterns of which one fits a file of an unpacked copy.
    kaggle : str
        OWNER/NAME of the data set at Kaggle.
    licence, citation, note : str
        For people.
    """

    name: str
    file: str
    urls: tuple[str, ...]
    kind: str
    sha256: str = ""
    size: int | None = None
    md5: str = ""
    contents: str = ""
    also: tuple[str, ...] = ()
    unpacked: tuple[str, ...] = ()
    kaggle: str = ""
    licence: str = ""
    citation: str = ""
    note: str = ""


class AssetUnavailable(RuntimeError):  # noqa: N818 - reads as what it says: the asset is unavailable
    """A file could not be had from anywhere.

    Attributes
    ----------
    name : str
        Name in the manifest.
    reasons : list of str
        Each place that was tried, in order, and why it failed.
    advice : str
        What to do about it.
    """

    def __init__(self, name: str, reasons: Sequence[str], advice: str) -> None:
        self.name, self.reasons, self.advice = name, list(reasons), advice
        tried = "\n".join(f"  - {reason}" for reason in self.reasons)
        super().__init__(f"{name} could not be had. Tried, in this order:\n{tried}\n{advice}")


@dataclass(frozen=True)
class AssetStatus:
    """Where one asset stands.

    Attributes
    ----------
    name, kind : str
        As in the manifest; kind "embedded" for the archives that come with the course.
    state : {"present", "unpacked", "reachable", "unavailable", "not checked"}
        On this machine and verified; on this machine as a folder, which is not hashed; a server is
        ready to send it; neither; or the network was not asked.
    path : Path or None
        Where it lies, when present.
    size : int or None
        Bytes, where known.
    source : str
        The place that has it, or why none has.
    """

    name: str
    kind: str
    state: Literal["present", "unpacked", "reachable", "unavailable", "not checked"]
    path: Path | None
    size: int | None
    source: str


# ---------------------------------------------------------------------------- the manifest


@functools.cache
def manifest() -> dict[str, Asset]:
    """Read the manifest: one `Asset` per name, in the manifest's order.

    Raises
    ------
    ValueError
        If an entry lacks a field, has an unknown one, or a file name with a folder in it.
    """
    here = Path(__file__).resolve().parent
    candidates = (here.parent / "data" / "assets.toml", here / "_assets.toml")
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"The manifest of assets is neither {candidates[0]} nor {candidates[1]}: "
            "reinstall the course (`pip install -e .` in a checkout)"
        )
    return read_manifest(path)


def read_manifest(path: Path) -> dict[str, Asset]:
    """Read a manifest in TOML: a table per asset, with the fields of `Asset`."""
    tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    return {name: _entry(name, table, path) for name, table in tables.items()}


def _entry(name: str, table: dict[str, object], path: Path) -> Asset:
    known = {field.name for field in fields(Asset)} - {"name"}
    if unknown := sorted(set(table) - known):
        raise ValueError(
            f"{path}: [{name}] has unknown fields {unknown}; known are {sorted(known)}"
        )
    if missing := sorted({"file", "urls", "kind", "sha256"} - set(table)):
        raise ValueError(f"{path}: [{name}] lacks {missing}")
    for file in (table["file"], *table.get("also", ())):  # type: ignore[misc]
        if Path(str(file)).name != file:
            raise ValueError(f"{path}: [{name}] file={file!r} must be a bare file name")
    lists = {key: tuple(value) for key, value in table.items() if isinstance(value, list)}
    return Asset(name=name, **{**table, **lists})  # type: ignore[arg-type]


def names(kind: str | None = None) -> list[str]:
    """Names of all assets, or of those of one kind ("weights", "dataset")."""
    return [name for name, asset in manifest().items() if kind in (None, asset.kind)]


def asset(name: str) -> Asset:
    """Return the manifest's entry for `name`; ValueError with close matches if there is none."""
    entries = manifest()
    if name not in entries:
        close = difflib.get_close_matches(name, entries, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"choose from {list(entries)}"
        raise ValueError(f"No asset {name!r}: {hint}")
    return entries[name]


# ---------------------------------------------------------------------------- on this machine


def find(name: str) -> Path | None:
    """Return the verified file if this machine has it; the network is not used.

    Examples
    --------
    >>> find("vgg19")  # doctest: +SKIP
    PosixPath('/srv/class/weights/vgg19-dcbb9e9d.pth')
    """
    return _look(asset(name))[0]


def cache_folder() -> Path:
    """Return the folder for downloads: ``$COURSE_CACHE``, or the user's cache folder."""
    import pooch

    return Path(os.environ.get("COURSE_CACHE") or pooch.os_cache(CACHE_NAME)).expanduser()


def _roots(entry: Asset) -> Iterator[tuple[str, Path]]:
    """Yield each place's name and folder, in order."""
    shared = os.environ.get("COURSE_DATA")
    if shared:
        folder = Path(shared).expanduser()
        yield f"COURSE_DATA={shared}{'' if folder.is_dir() else ' (no such folder)'}", folder
    if KAGGLE_INPUT.is_dir():
        yield str(KAGGLE_INPUT), KAGGLE_INPUT
    yield f"cache {cache_folder()}", cache_folder()
    if _session_folder.cache_info().currsize:
        yield "this session's temporary folder", _session_folder()
    if entry.kind == "weights":
        import torch

        hub = Path(torch.hub.get_dir()) / "checkpoints"
        yield f"PyTorch's cache {hub}", hub
    if entry.kaggle:
        versions = _kagglehub_cache().joinpath("datasets", *entry.kaggle.split("/"), "versions")
        yield f"kagglehub's cache {versions}", versions


def _kagglehub_cache() -> Path:
    default = Path.home() / ".cache" / "kagglehub"
    return Path(os.environ.get("KAGGLEHUB_CACHE") or default).expanduser()


def _places(entry: Asset) -> Iterator[tuple[str, list[Path]]]:
    """Yield each place's name with the paths that the file may have there, in order."""
    files = (entry.file, *entry.also)
    for place, folder in _roots(entry):
        if folder == KAGGLE_INPUT:  # Kaggle chooses the folders, a few levels of them
            patterns = ["*/" * depth + glob.escape(file) for file in files for depth in range(6)]
            yield place, [path for pattern in patterns for path in _glob(folder, pattern)]
        else:
            below = ("", entry.kind, entry.name)
            yield place, [folder / subfolder / file for file in files for subfolder in below]


def _unpacked_copies(entry: Asset) -> Iterator[tuple[str, Path]]:
    """Yield each place's name with a folder that holds the data set unpacked, in order."""
    for place, folder in _roots(entry):
        depths = 5 if folder == KAGGLE_INPUT else 3
        for pattern, depth in itertools.product(entry.unpacked, range(depths)):
            for found in _glob(folder, "*/" * depth + pattern):
                root = found.parents[pattern.count("/")]
                if not any(part.endswith(PARTIAL_SUFFIX) for part in root.parts):
                    yield place, root
                    break  # the other files of the same folder


def _glob(folder: Path, pattern: str) -> list[Path]:
    with suppress(OSError):
        return sorted(folder.glob(pattern))
    return []


def _look(entry: Asset) -> tuple[Path | None, list[str]]:
    """Return the first file that passes its check, and why the earlier places did not have it."""
    reasons = [] if os.environ.get("COURSE_DATA") else ["COURSE_DATA: no shared folder is set"]
    for place, candidates in _places(entry):
        problems = []
        for path in candidates:
            problem = _problem(path, entry)
            if problem is None:
                return path, reasons
            if path.exists():
                problems.append(f"{path} is skipped: {problem}")
                _warn_once(f"{entry.name}: {problems[-1]}")
        reasons.append(f"{place}: {'; '.join(problems) or f'has no {entry.file}'}")
    return None, reasons


def _problem(path: Path, entry: Asset) -> str | None:
    """Return why `path` cannot be used as this asset, or None if it can."""
    try:
        found = path.stat()
        if not path.is_file():
            return "it is not a file"
        if path.name in entry.also:
            return _archives.problem(path, path.name)
        if entry.size is not None and found.st_size != entry.size:
            return f"it has {found.st_size:,} bytes and should have {entry.size:,}"
        wanted, algorithm = entry.sha256 or entry.md5, "sha256" if entry.sha256 else "md5"
        if not wanted:
            return _archives.problem(path, entry.file)
        digest = _digest(path.resolve(), found.st_size, found.st_mtime_ns, algorithm)
    except FileNotFoundError:
        return "it is not there"
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
    if digest == wanted.lower():
        return None
    title = {"sha256": "SHA-256", "md5": "MD5"}[algorithm]
    return f"its {title} is {digest[:12]}… and should be {wanted[:12]}…"


@functools.cache
def _digest(path: Path, size: int, modified: int, algorithm: str = "sha256") -> str:
    """Digest of a file; `size` and `modified` make sure that a changed file is hashed again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


@functools.cache
def _warn_once(message: str) -> None:
    warnings.warn(message, stacklevel=2)


def embedded_folder() -> Path:
    """Return the folder of the archives that come with the course, in a checkout or installed."""
    here = Path(__file__).resolve().parent
    candidates = (here.parent / "data" / "embedded", here / "_embedded")
    return next((folder for folder in candidates if folder.is_dir()), candidates[0])


def embedded(name: str) -> Path:
    """Return an archive that comes with the course, such as "vegetables" or "smoking_shortcut".

    Raises
    ------
    AssetUnavailable
        If this copy of the course does not have it.
    """
    path = embedded_folder() / f"{name}.zip"
    if path.is_file():
        return path
    raise AssetUnavailable(
        name,
        [f"{path.parent}: has no {path.name}"],
        "this copy of the course is incomplete: clone or install it again, or build the archive "
        "with `python -m course_scenes build --to data/embedded`.",
    )


# ---------------------------------------------------------------------------- data sets


def obtain(name: str, *, progress: bool = True, offline: bool | None = None) -> Path:
    """Return a data set as a folder that holds it unpacked, or else as the checked archive.

    The first place that has either wins, the archive before the folder in the same place. Then the
    network is asked, and last Kaggle, if the package kagglehub is installed.

    Parameters
    ----------
    name : str
        Name in the manifest.
    progress : bool
        Show a bar while downloading.
    offline : bool, optional
        Do not touch the network. Default: True if the runtime's data source is "embedded".

    Raises
    ------
    AssetUnavailable
        If no place has it.
    """
    entry = asset(name)
    path, reasons = _look(entry)
    order = [place for place, _ in _roots(entry)]
    folder = next(_unpacked_copies(entry), None)
    if folder is not None and (path is None or order.index(folder[0]) < _rank(path, entry)):
        return folder[1]
    if path is not None:
        return path
    if _is_offline(offline):
        _give_up(entry, [*reasons, _OFFLINE])
    try:
        return _download(entry, cache_folder(), reasons, progress=progress, may_move=True)
    except AssetUnavailable as error:
        if not entry.kaggle:
            raise
        return _from_kagglehub(entry, error.reasons)


def _rank(path: Path, entry: Asset) -> int:
    """Say in which of the places, counted in order, `path` lies."""
    places = (candidates for _, candidates in _places(entry))
    return next(rank for rank, candidates in enumerate(places) if path in candidates)


def _from_kagglehub(entry: Asset, reasons: list[str]) -> Path:
    """Let the package kagglehub fetch the data set: it knows the user's account."""
    try:
        import kagglehub
    except ImportError:
        _give_up(entry, [*reasons, "kagglehub: not installed (`pip install kagglehub` adds it)"])
    try:
        return Path(kagglehub.dataset_download(entry.kaggle))
    except Exception as error:  # its own classes, requests' and more
        _give_up(entry, [*reasons, f"kagglehub: {_web.explain(error)}"])


def unpack(name: str, archive: Path, *, inner: str | None = None, progress: bool = True) -> Path:
    """Unpack an archive once, into the cache, and return the folder.

    Files are written into a temporary folder beside the target, which is renamed when it is
    complete: a killed process leaves nothing that looks finished, and the next call removes what it
    left. Where the cache cannot be written, a temporary folder is used for this session.

    Parameters
    ----------
    name : str
        Name in the manifest; also of the folder, below ``unpacked/`` in the cache.
    archive : Path
        A zip or tar file.
    inner : str, optional
        Pattern of a tar file inside the zip, to be unpacked instead.
    progress : bool
        Show a bar.

    Raises
    ------
    AssetUnavailable
        If the archive is damaged or refused (paths out of its folder, links, decompression bombs),
        or the disk is full.
    """
    origin = {"archive": archive.name, "size": archive.stat().st_size, "inner": inner}
    folder = cache_folder() / "unpacked"
    for candidate in (folder, _session_folder() if _session_folder.cache_info().currsize else None):
        if candidate is not None and _is_unpacked(candidate / name, origin):
            return candidate / name
    try:
        folder = _writable(folder, may_move=True)
        target = folder / name
        with _turn(target) as alone:
            if not _is_unpacked(target, origin):  # else another process was faster
                if alone:
                    _remove_leftovers(target)
                _unpack_into(target, archive, origin, progress=progress)
            return target
    except _archives.ArchiveError as error:
        reason, advice = str(error), f"delete {archive}, and the next call fetches it again."
    except OSError as error:
        needed = _archives.unpacked_size(archive)
        reason = f"unpacking {archive.name}: {_disk_problem(error, folder, needed)}"
        advice = "free some space and run this again: nothing half-written remains."
    raise AssetUnavailable(name, [reason], advice)


_MARKER = ".unpacked.json"


def _is_unpacked(folder: Path, origin: dict[str, object]) -> bool:
    """Whether the folder was unpacked, to the end, from this archive."""
    try:
        return json.loads((folder / _MARKER).read_text(encoding="utf-8")) == origin
    except (OSError, ValueError):
        return False


def _unpack_into(target: Path, archive: Path, origin: dict[str, object], *, progress: bool) -> None:
    needed = _archives.unpacked_size(archive)
    if needed is not None and shutil.disk_usage(target.parent).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}{PARTIAL_SUFFIX}")
    options = {} if progress else {"disable": True}
    bar = runtime.progress(
        description=f"unpacking {archive.name}", unit="B", unit_scale=True, **options
    )
    try:
        partial.mkdir()
        with bar:
            _archives.extract(
                archive, partial, inner=origin["inner"], tick=_sign_of_life(bar, partial)
            )
        (partial / _MARKER).write_text(json.dumps(origin), encoding="utf-8")
        if target.exists():  # of another archive, or without its marker
            shutil.rmtree(target)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sign_of_life(bar: Any, partial: Path) -> Callable[[int], None]:
    """Move the bar and, now and then, the folder's time, which tells a waiting process to wait."""
    last = [time.monotonic()]

    def tick(size: int) -> None:
        bar.update(size)
        if time.monotonic() - last[0] > 1:
            os.utime(partial)
            last[0] = time.monotonic()

    return tick


_DATA_SUFFIXES = (".jpg", ".jpeg", ".png", ".csv")


def contents_digest(path: Path) -> str:
    """Digest of what is in a zip, however it was packed.

    SHA-256 over one line per picture or table, sorted: name below the folder that holds everything,
    size, CRC. GitHub packs its archives anew and promises no stable bytes; this stays the same.
    """
    archive, names = _archives.open_zip(path)
    with archive:
        infos = [archive.getinfo(name) for name in names if name.endswith(_DATA_SUFFIXES)]
    top = os.path.commonpath([info.filename for info in infos]) if len(infos) > 1 else ""
    lines = sorted(
        f"{info.filename[len(top) :].lstrip('/')}\t{info.file_size}\t{info.CRC:08x}\n"
        for info in infos
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


# ---------------------------------------------------------------------------- from the network


def fetch(name: str, *, progress: bool = True, offline: bool | None = None) -> Path:
    """Return the verified file, downloading it if this machine does not have it.

    Parameters
    ----------
    name : str
        Name in the manifest.
    progress : bool
        Show a bar while downloading.
    offline : bool, optional
        Do not touch the network. Default: True if the runtime's data source is "embedded".

    Returns
    -------
    Path
        A file whose SHA-256 (where the manifest has one) is right.

    Raises
    ------
    AssetUnavailable
        If no place has it. Without a server this takes about three seconds.
    ValueError
        If the manifest has no such name.

    Examples
    --------
    >>> fetch("resnet18")  # doctest: +SKIP
    PosixPath('/home/ada/.cache/explaining-image-classifiers/resnet18-f37072fd.pth')
    """
    entry = asset(name)
    path, reasons = _look(entry)
    if path is not None:
        return path
    if _is_offline(offline):
        _give_up(entry, [*reasons, _OFFLINE])
    return _download(entry, cache_folder(), reasons, progress=progress, may_move=True)


def is_reachable(name: str, timeout: float = _web.DECIDE_SECONDS) -> bool:
    """Whether a server is ready to send the file now; decides within `timeout` seconds.

    The answer is remembered for a minute: for the whole host when it is down, else for the address.
    Always False when the data source is "embedded".
    """
    entry = asset(name)
    if _is_offline(None):
        return False
    return any(answer.ok for answer in _web.ask(_addresses(entry), timeout))


_OFFLINE = 'network: not used, because the data source is "embedded"'


def _is_offline(offline: bool | None) -> bool:
    return runtime.current().data_source == "embedded" if offline is None else offline


def _addresses(entry: Asset) -> list[str]:
    mirror = os.environ.get("COURSE_MIRROR")
    return [f"{mirror.rstrip('/')}/{quote(entry.file)}"] if mirror else list(entry.urls)


def _give_up(entry: Asset, reasons: Sequence[str]) -> NoReturn:
    advice = (
        f"connect to the internet once and run this again, or put the file {entry.file} into a "
        "folder and set the environment variable COURSE_DATA to that folder, or ask your "
        "instructor for the class's shared folder."
    )
    raise AssetUnavailable(entry.name, reasons, advice)


def _download(
    entry: Asset, folder: Path, reasons: list[str], *, progress: bool, may_move: bool
) -> Path:
    """Download into `folder`, or into a temporary one if it cannot be written and `may_move`."""
    addresses = _addresses(entry)
    answers = _web.ask(addresses)
    tried = [f"{url}: {a.reason}" for url, a in zip(addresses, answers, strict=True) if not a.ok]
    ready = [url for url, answer in zip(addresses, answers, strict=True) if answer.ok]
    if not ready:
        _give_up(entry, [*reasons, *(tried or ["network: the manifest has no address for it"])])
    try:
        folder = _writable(folder, may_move=may_move)
        target = folder / entry.file
        with _turn(target) as alone:
            if _problem(target, entry) is None:  # another process was faster
                return target
            if alone:
                _remove_leftovers(target)
            _check_space(entry, folder)
            for url in ready:
                problem = _try_address(url, entry, target, progress=progress)
                if problem is None:
                    return target
                tried.append(f"{url}: {problem}")
    except OSError as error:
        tried.append(f"saving {entry.file}: {_disk_problem(error, folder, entry.size)}")
    _give_up(entry, [*reasons, *tried])


def _try_address(url: str, entry: Asset, target: Path, *, progress: bool) -> str | None:
    """Download from one address, again after dropped connections; return why it failed, or None."""
    for attempt in range(1 + RETRIES):
        if attempt:
            time.sleep(0.2 * attempt)
        try:
            _transfer(url, entry, target, progress=progress)
        except _web.DownloadError as error:
            problem = error.reason
            if not error.retry:
                return problem
        else:
            return None
    return f"{problem}, {1 + RETRIES} times"


def _transfer(url: str, entry: Asset, target: Path, *, progress: bool) -> None:
    """Download once into a partial file beside the target, check it, and rename it."""
    import pooch

    # a name of its own, so that processes that could not agree on turns do not share a file
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}{PARTIAL_SUFFIX}")
    options = {} if progress else {"disable": True}
    try:
        with (
            runtime.progress(
                total=entry.size or 1,  # pooch asks for the bar's truth, which tqdm ties to a total
                description=entry.file,
                unit="B",
                unit_scale=True,
                **options,
            ) as bar,
            _web.plain_errors(),
        ):
            download = pooch.HTTPDownloader(bar, chunk_size=1 << 18, timeout=_web.timeouts())
            download(url, str(partial), None)
        _check_received(partial, entry)
        _move_into_place(partial, target, entry)
    finally:
        partial.unlink(missing_ok=True)


def _check_received(partial: Path, entry: Asset) -> None:
    problem = _problem(partial, entry)
    with partial.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")) and (problem or not entry.sha256):
        raise _web.DownloadError(_web.HTML_REASON)
    if problem:
        # an archive of unknown size that does not open most likely broke off on the way
        short = entry.size is None or partial.stat().st_size < entry.size
        raise _web.DownloadError(f"what arrived is not the file: {problem}", retry=short)


def _move_into_place(partial: Path, target: Path, entry: Asset) -> None:
    try:
        partial.replace(target)
    except PermissionError:  # Windows: another process has the target open
        if _problem(target, entry) is not None:
            raise


# ---------------------------------------------------------------------------- the folder


def _writable(folder: Path, *, may_move: bool) -> Path:
    """Return `folder`, made if missing, or this session's temporary one if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        if error.errno in _DISK_FULL or not may_move:
            raise
        _warn_once(
            f"The cache {folder} cannot be written ({error.strerror or error}): downloads go to a "
            "temporary folder and are lost when this session ends. Set the environment variable "
            "COURSE_CACHE to a folder of yours."
        )
        return _session_folder()


@functools.cache
def _session_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="course-assets-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def _turn(target: Path) -> Iterator[bool]:
    """Let one process at a time download a file; yield False where that cannot be arranged.

    The lock is the operating system's, so it goes with a process that is killed. Without it a
    download still works: each has its own partial file, and the last to finish renames over equals.
    """
    from filelock import FileLock

    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        alone = _wait_for(lock, target)
    except (OSError, NotImplementedError):
        alone = False
    try:
        yield alone
    finally:
        lock.release()


def _wait_for(lock: object, target: Path) -> bool:
    """Wait for the lock for as long as the other process's partial file grows."""
    from filelock import Timeout

    grown_at, sizes = time.monotonic(), _partial_sizes(target)
    while True:
        try:
            lock.acquire(timeout=0.5)  # type: ignore[attr-defined]
            return True
        except Timeout:
            now = _partial_sizes(target)
            if now != sizes:
                grown_at, sizes = time.monotonic(), now
            if time.monotonic() - grown_at > PATIENCE_SECONDS:
                return False


def _partials(target: Path) -> list[Path]:
    start = f".{target.name}."
    return [
        path
        for path in target.parent.iterdir()
        if path.name.startswith(start) and path.name.endswith(PARTIAL_SUFFIX)
    ]


def _partial_sizes(target: Path) -> dict[str, tuple[int, int]]:
    sizes = {}
    for path in _partials(target):
        with suppress(OSError):
            found = path.stat()
            sizes[path.name] = found.st_size, found.st_mtime_ns
    return sizes


def _remove_leftovers(target: Path) -> None:
    """Remove what a killed download left behind; only called while we hold the lock."""
    for path in _partials(target):
        with suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _check_space(entry: Asset, folder: Path) -> None:
    if entry.size is not None and shutil.disk_usage(folder).free < entry.size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _disk_problem(error: OSError, folder: Path, needed: int | None = None) -> str:
    if error.errno not in _DISK_FULL:
        return f"{folder} cannot be written ({error.strerror or error})"
    amount = "" if needed is None else f" ({human_size(needed)} are needed)"
    return (
        f"the disk of {folder} is full{amount}: free some space, or set COURSE_CACHE to a folder "
        "on another disk"
    )


# ---------------------------------------------------------------------------- for people


def status(*, check_network: bool = True) -> list[AssetStatus]:
    """Say for every asset whether it is here, or whether a server is ready to send it.

    Takes as long as hashing what is here, plus at most 3.5 s for all servers together.

    Parameters
    ----------
    check_network : bool
        Ask the servers; never done when the data source is "embedded".
    """
    located = {name: _locate(entry) for name, entry in manifest().items()}
    missing = [manifest()[name] for name, path in located.items() if path is None]
    ask = check_network and not _is_offline(None)
    addresses = {entry.name: _addresses(entry) for entry in missing} if ask else {}
    every = [url for urls in addresses.values() for url in urls]
    answers = dict(zip(every, _web.ask(every), strict=True))
    rows = [
        _status_of(entry, located[name], {url: answers[url] for url in addresses.get(name, [])})
        for name, entry in manifest().items()
    ]
    return rows + [_embedded_status(path) for path in sorted(embedded_folder().glob("*.zip"))]


def _locate(entry: Asset) -> Path | None:
    """Return the checked file, or else the folder of an unpacked copy."""
    return _look(entry)[0] or next((folder for _, folder in _unpacked_copies(entry)), None)


def _embedded_status(path: Path) -> AssetStatus:
    size, where = path.stat().st_size, f"comes with the course, {path.parent}"
    return AssetStatus(path.stem, "embedded", "present", path, size, where)


def _status_of(entry: Asset, path: Path | None, answers: dict[str, _web.Answer]) -> AssetStatus:
    if path is not None and path.is_dir():
        return AssetStatus(entry.name, entry.kind, "unpacked", path, None, str(path))
    if path is not None:
        size, where = path.stat().st_size, str(path.parent)
        return AssetStatus(entry.name, entry.kind, "present", path, size, where)
    for url, answer in answers.items():
        if answer.ok:
            host = urlsplit(url).netloc
            return AssetStatus(entry.name, entry.kind, "reachable", None, entry.size, host)
    reason = "; ".join(
        f"{urlsplit(url).netloc}: {answer.reason}" for url, answer in answers.items()
    )
    state = "unavailable" if answers else "not checked"
    return AssetStatus(
        entry.name, entry.kind, state, None, entry.size, reason or "network not asked"
    )


def prefetch(folder: str | Path, wanted: Sequence[str] = ()) -> dict[str, Path | AssetUnavailable]:
    """Fill a class's shared folder, and go on after failures.

    Parameters
    ----------
    folder : str or Path
        Where to; files go into subfolders by kind. Point ``COURSE_DATA`` at it afterwards.
    wanted : sequence of str
        Names in the manifest; all of them by default.

    Returns
    -------
    dict
        For each name the file's path, or the error that says why it is missing.
    """
    folder = Path(folder).expanduser()
    return {name: _prefetch_one(asset(name), folder) for name in wanted or names()}


def _prefetch_one(entry: Asset, folder: Path) -> Path | AssetUnavailable:
    target = folder / entry.kind / entry.file
    if _problem(target, entry) is None:
        return target
    here, reasons = _look(entry)
    try:
        if here is None and _is_offline(None):
            _give_up(entry, [*reasons, _OFFLINE])
        if here is None:
            return _download(entry, target.parent, reasons, progress=True, may_move=False)
        return _copy(here, target.with_name(here.name), entry)
    except AssetUnavailable as error:
        return error


def _copy(source: Path, target: Path, entry: Asset) -> Path:
    partial = target.with_name(f".{target.name}.copy{PARTIAL_SUFFIX}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, partial)
        same = target.name == entry.file
        problem = _problem(partial, entry) if same else _archives.problem(partial, target.name)
        if problem:
            _give_up(entry, [f"copying {source}: {problem}"])
        partial.replace(target)
    except OSError as error:
        _give_up(entry, [f"copying {source}: {_disk_problem(error, target.parent, entry.size)}"])
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return target


class Check(NamedTuple):
    """What `verify` found out about one file: `problem` is None when it is right."""

    name: str
    path: Path
    problem: str | None
    note: str = ""


def verify() -> list[Check]:
    """Read and check every copy on this machine again, the course's own archives included.

    Returns
    -------
    list of Check
        One for each file found in any place. Archives without a digest are read to the end, so that
        the checksum of every file in them is compared. Folders with unpacked copies are not hashed.
    """
    _digest.cache_clear()
    checks = [
        _check(entry, path)
        for entry in manifest().values()
        for _, candidates in _places(entry)
        for path in candidates
        if path.is_file()
    ]
    own = sorted(embedded_folder().glob("*.zip"))
    return checks + [Check(path.stem, path, _zip_problem(path), "embedded") for path in own]


def _check(entry: Asset, path: Path) -> Check:
    """Check one file as thoroughly as the manifest allows."""
    problem = _problem(path, entry)
    hashed = path.name == entry.file and (entry.sha256 or entry.md5)
    if problem is None and not hashed and path.suffix == ".zip":
        problem = _zip_problem(path)
    note = "" if hashed else "no digest is known"
    if problem is None and path.name == entry.file and entry.contents:
        same = contents_digest(path) == entry.contents
        note = f"{'same' if same else 'not the same'} contents as the copy the course knows"
    return Check(entry.name, path, problem, note)


def _zip_problem(path: Path) -> str | None:
    try:
        damaged = _archives.damaged_member(path)
    except (_archives.ArchiveError, OSError) as error:
        return str(error)
    return f"{damaged} in it is damaged" if damaged else None


def human_size(size: int | None) -> str:
    """Write a number of bytes for people: 574673361 → "575 MB"."""
    if size is None:
        return "?"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} B"


# ---------------------------------------------------------------------------- the command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m course_utils.assets``; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ValueError as error:  # an unknown name
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m course_utils.assets",
        description="Weights and data that the course takes from elsewhere: what is where, is it "
        "intact, and how to fetch it once for a whole class.",
        epilog="COURSE_DATA: a class's shared folder, looked in first. COURSE_CACHE: where "
        "downloads are kept. COURSE_MIRROR: download from this address instead. "
        "COURSE_DATA_SOURCE=embedded: never use the network.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    helps = {
        "status": "print a table of what is present, and what a server would send",
        "verify": "hash every file on this machine again; exit status 1 if one is wrong",
        "prefetch": "fetch everything into a folder for a class, going on after failures; "
        "exit status 1 if any failed",
    }
    command = {name: commands.add_parser(name, help=h, description=h) for name, h in helps.items()}
    command["status"].add_argument("--offline", action="store_true", help="do not ask any server")
    command["status"].set_defaults(run=_run_status)
    command["verify"].set_defaults(run=_run_verify)
    command["prefetch"].add_argument(
        "--to", required=True, type=Path, metavar="FOLDER", help="where to; made if missing"
    )
    command["prefetch"].add_argument(
        "names", nargs="*", metavar="NAME", help="only these (default: all)"
    )
    command["prefetch"].set_defaults(run=_run_prefetch)
    return parser


def _run_status(options: argparse.Namespace) -> int:
    rows = [
        (row.name, row.kind, row.state, human_size(row.size), row.source)
        for row in status(check_network=not options.offline)
    ]
    _print_table(("name", "kind", "state", "size", "where"), rows)
    return 0


def _run_verify(options: argparse.Namespace) -> int:
    checked = verify()
    for name, path, problem, note in checked:
        remark = f": {problem}" if problem else f" ({note})" if note else ""
        print(f"{'WRONG' if problem else 'ok':<6}{name:<20}{path}{remark}")
    wrong = sum(check.problem is not None for check in checked)
    print(f"{len(checked)} files checked, {wrong} wrong")
    return 1 if wrong else 0


def _run_prefetch(options: argparse.Namespace) -> int:
    results = prefetch(options.to, options.names)
    failed = {name: result for name, result in results.items() if not isinstance(result, Path)}
    for name, result in results.items():
        if isinstance(result, Path):
            print(f"ok      {name:<20}{human_size(result.stat().st_size):>8}  {result}")
    for name, error in failed.items():
        print("\n  - ".join([f"FAILED  {name}", *error.reasons]), file=sys.stderr)
    print(f"{len(results) - len(failed)} of {len(results)} files are in {options.to}")
    if failed:
        print("Run this again where there is a connection: what is there already is kept.")
    else:
        print(f"For the class: set COURSE_DATA={options.to.expanduser().resolve()}")
    return 1 if failed else 0


def _print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, tuple("-" * width for width in widths), *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


if __name__ == "__main__":
    # under its real name, so that its classes are the ones that other modules know
    from course_utils.assets import main as run_main

    sys.exit(run_main())
