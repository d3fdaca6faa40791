"""Where a file is, or how it gets here: weights and data sets that come from elsewhere.

``data/assets.toml`` says for each file where it comes from, its digest, size, licence, citation.
A file is looked for in this order, and its digest is checked before it is used:

1. ``$COURSE_DATA``: a class's shared folder, which may be read-only;
2. ``/kaggle/input``: data sets attached to a Kaggle notebook;
3. the course's cache (``$COURSE_CACHE``, by default the user's cache folder), PyTorch's cache;
4. the network: ``$COURSE_MIRROR/<file>`` if set, else the addresses in the manifest. Servers are
   asked first, and one that does not answer within `DECIDE_SECONDS` counts as unreachable.

A data set may also lie unpacked in the first three places. From a terminal::

    python -m course_utils.assets status                  # what is where
    python -m course_utils.assets verify                  # read and check every copy again
    python -m course_utils.assets prefetch --to FOLDER    # fill a class's shared folder
"""

from __future__ import annotations

import argparse
import atexit
import functools
import itertools
import math
import os
import shutil
import sys
import tempfile
import threading
import time
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pooch
import requests
import torch

from . import archives, checks

__all__ = ["AssetUnavailable", "fetch", "prefetch", "status", "verify"]

KAGGLE_INPUT = Path("/kaggle/input")
#: How long a server may take to say that it is there, how long a transfer may stand still, and how
#: often a transfer is begun.
DECIDE_SECONDS, STALL_SECONDS, TRIES = 3.0, 15.0, 3
_SILENCE = f"no answer within {DECIDE_SECONDS:g} s"


@dataclass(frozen=True)
class Asset:
    """One entry of the manifest.

    Attributes
    ----------
    name, file, kind : str
        What the course calls it; the file's true name; "weights" or "dataset".
    urls : sequence of str
        Where it can be downloaded, best first.
    hash : str
        "sha256:…", or "md5:…" where only that is published (it finds accidents, not malice), or
        empty where none can be known: then the file is an archive, and its contents are checked.
    size : int or None
        Bytes, where known.
    unpacked : sequence of str
        Patterns of which one fits a file or folder in an unpacked copy, or is the name of another
        .zip with the same pictures.
    about : mapping
        For people: licence, citation, note.
    """

    name: str
    file: str
    kind: str
    urls: Sequence[str] = ()
    hash: str = ""
    size: int | None = None
    unpacked: Sequence[str] = ()
    about: Mapping[str, str] = field(default_factory=dict)


class AssetUnavailable(RuntimeError):  # noqa: N818 - reads as what it says: the asset is unavailable
    """A file that cannot be had, or an archive that cannot be used.

    Attributes
    ----------
    name : str
        Name in the manifest, address or file name.
    reasons : list of str
        Each place that was tried, in order, and why it failed.
    advice : str
        What to do about it.
    """

    def __init__(self, name: str, reasons: Sequence[str], advice: str) -> None:
        self.name, self.reasons, self.advice = name, list(reasons), advice
        super().__init__("\n  - ".join([f"{name} is not available:", *reasons]) + f"\n{advice}")


# ---------------------------------------------------------------------------- the manifest


def course_file(name: str) -> Path:
    """Return a file or folder that comes with the course, in a checkout or installed."""
    here = Path(__file__).resolve().parent
    checkout = here.parent / "data" / name
    return checkout if checkout.exists() else here / f"_{name}"


def embedded_folder() -> Path:
    """Return the folder of the rendered data sets that come with the course, as zip files."""
    return course_file("embedded")


@functools.cache
def manifest() -> dict[str, Asset]:
    """Read ``data/assets.toml``: one `Asset` per name, in the file's order."""
    tables = tomllib.loads(course_file("assets.toml").read_text(encoding="utf-8"))
    return {name: Asset(name=name, **table) for name, table in tables.items()}


def asset(name: str) -> Asset:
    """Return the manifest's entry for `name`; ValueError with close matches if there is none."""
    return manifest()[checks.one_of("name", name, manifest())]


# ---------------------------------------------------------------------------- on this machine


@functools.cache
def _writable(folder: Path) -> Path:
    """Return the folder, made if missing, or a temporary one if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        folder = Path(tempfile.mkdtemp(prefix="course-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        advice = "is used for this session: set COURSE_CACHE to a folder of yours"
        warnings.warn(f"The cache cannot be written ({error}); {folder} {advice}", stacklevel=2)
    return folder


def cache_folder() -> Path:
    """Return the folder for downloads: ``$COURSE_CACHE``, or the user's cache folder."""
    default = pooch.os_cache("explaining-image-classifiers")
    return Path(os.environ.get("COURSE_CACHE") or default).expanduser()


def _places() -> dict[Path, int]:
    """Return the folders to look in, in order, and how many levels of subfolders to search."""
    shared = os.environ.get("COURSE_DATA")
    places = {Path(shared).expanduser(): 2} if shared else {}
    cache, torch_cache = cache_folder(), Path(torch.hub.get_dir(), "checkpoints")
    return {**places, KAGGLE_INPUT: 4, cache: 1, _writable(cache): 1, torch_cache: 0}


def _copies(entry: Asset) -> Iterator[tuple[Path, str]]:
    """Yield every copy on this machine, in order: the file or folder, and what is wrong with it."""
    patterns = entry.file, *entry.unpacked
    for (folder, depth), pattern in itertools.product(_places().items(), patterns):
        for level in range(depth + 1):
            for path in sorted(folder.glob("*/" * level + pattern)):
                if pattern == entry.file:
                    yield path, _problem(path, entry)
                elif pattern.endswith(".zip"):  # the same pictures, packed by somebody else
                    yield path, archives.problem(path)
                else:
                    yield path.parents[pattern.count("/")], ""


def _problem(path: Path, entry: Asset, *, read: bool = False) -> str:
    """Return why a file cannot be used as this asset, or ""; `read` archives to the end."""
    try:
        found = path.stat()
        if not entry.hash:
            return archives.problem(path, read=read)
        if entry.size not in (None, found.st_size):
            return f"it has {found.st_size:,} bytes and should have {entry.size:,}"
        algorithm, wanted = entry.hash.split(":")
        digest = _digest(path, algorithm, found.st_size, found.st_mtime_ns)
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    same = digest == wanted
    return "" if same else f"its {algorithm} is {digest[:12]}… and should be {wanted[:12]}…"


@functools.cache
def _digest(path: Path, algorithm: str, _size: int, _modified: int) -> str:
    """Digest of a file; `_size` and `_modified` make sure that a changed file is hashed again."""
    return pooch.file_hash(str(path), algorithm)


def find_local(name: str) -> Path | None:
    """Return the checked file, or the folder of an unpacked copy, if this machine has one.

    The network is not used. A copy that is not what it should be is skipped with a warning.

    Examples
    --------
    >>> find_local("vgg19")  # doctest: +SKIP
    PosixPath('/srv/class/weights/vgg19-dcbb9e9d.pth')
    """
    for path, problem in _copies(asset(name)):
        if not problem:
            return path
        warnings.warn(f"{path} is skipped: {problem}", stacklevel=2)
    return None


# ---------------------------------------------------------------------------- from the network


def _ask(urls: Sequence[str]) -> dict[str, str]:
    """Ask servers, all at once, whether they would send a file: why not, or "", for each URL.

    The lookup of a host name cannot be timed out in Python, so each question is asked in a thread,
    which is left behind when it takes too long. Answers are believed for up to a minute.
    """
    answers = dict.fromkeys(urls, _SILENCE)

    def ask_one(url: str) -> None:
        answers[url] = _head(url, minute=int(time.monotonic() // 60))

    threads = [threading.Thread(target=ask_one, args=(url,), daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + DECIDE_SECONDS + 0.5
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(answers)


@functools.lru_cache
def _head(url: str, minute: int) -> str:
    try:
        response = requests.head(url, timeout=DECIDE_SECONDS, allow_redirects=True)
    except requests.Timeout:
        return _SILENCE
    except (OSError, ValueError) as error:  # requests' other errors are OSErrors
        return _cause(error)
    # Other errors may only mean that a server does not answer HEAD: the download will tell.
    if response.status_code in (404, 410, 500, 502, 503, 504):
        return f"the server answered {response.status_code} {response.reason}"
    if response.headers.get("Content-Type", "").startswith("text/html") and response.ok:
        return "a web page instead of the file (a log-in page of this network?)"
    return ""


def _cause(error: BaseException) -> str:
    """Return the last words of a chain of wrapped errors, which name the cause."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return str(error) or repr(error)


def download(url: str, *, limit: int = 50_000_000, seconds: float = 60.0) -> bytes:
    """Download a small file into memory.

    Parameters
    ----------
    url : str
        http or https address.
    limit : int
        Most bytes to accept, whatever the server announces.
    seconds : float
        Longest time to take.

    Raises
    ------
    AssetUnavailable
        If no server answers, or it sends an error, a web page, too much, too slowly or half a file.
    """
    deadline, received = time.monotonic() + seconds, bytearray()
    try:
        if reason := _ask([url])[url]:
            raise ValueError(reason)
        timeouts = DECIDE_SECONDS, STALL_SECONDS
        with requests.get(url, stream=True, timeout=timeouts) as response:
            response.raise_for_status()
            for block in response.iter_content(1 << 12):
                received += block
                if len(received) > limit:
                    raise ValueError(f"it is larger than the limit of {limit / 1e6:.0f} MB")
                if time.monotonic() > deadline:
                    raise ValueError(f"it takes longer than {seconds:g} s")
    except (OSError, ValueError) as error:
        advice = "open the address in a browser, save the file, and pass its path."
        raise AssetUnavailable(url, [_cause(error)], advice) from error
    return bytes(received)


def fetch(name: str, *, offline: bool = False) -> Path:
    """Return the checked file, downloading it if this machine does not have it.

    Parameters
    ----------
    name : str
        Name in the manifest.
    offline : bool
        Do not touch the network.

    Returns
    -------
    Path
        A file; or, for a data set of which there is an unpacked copy, its folder.

    Raises
    ------
    AssetUnavailable
        If no place has it; without a network this is decided within four seconds.
    ValueError
        If the manifest has no such name.

    Examples
    --------
    >>> fetch("resnet18")  # doctest: +SKIP
    PosixPath('/home/ada/.cache/explaining-image-classifiers/resnet18-f37072fd.pth')
    """
    if (found := find_local(name)) is not None:
        return found
    if offline:
        raise _unavailable(asset(name), ["network: not used (embedded)"])
    return _download(asset(name), _writable(cache_folder()))


def _unavailable(entry: Asset, reasons: Sequence[str]) -> AssetUnavailable:
    why = {True: f"has no {entry.file}", False: "there is no such folder"}
    local = [f"{folder}: {why[folder.is_dir()]}" for folder in _places()]
    wrong = [f"{path}: {problem}" for path, problem in _copies(entry) if problem]
    advice = f"connect to the internet and run this again, or put {entry.file} into a folder (your "
    advice += "instructor may have one) and set COURSE_DATA to that folder"
    return AssetUnavailable(entry.name, [*local, *wrong, *reasons], advice)


def _download(entry: Asset, folder: Path, local: Sequence[Path] = ()) -> Path:
    """Copy or download into a temporary folder inside `folder`, check, and rename."""
    mirror = os.environ.get("COURSE_MIRROR")
    addresses = [f"{mirror.rstrip('/')}/{quote(entry.file)}"] if mirror else entry.urls
    answers = {} if local else _ask(addresses)
    reasons = {url: reason for url, reason in answers.items() if reason}
    get = pooch.HTTPDownloader(True, 1 << 18, timeout=(DECIDE_SECONDS, STALL_SECONDS))
    sources = [*local, *(url for url in answers if url not in reasons)]
    for source in [source for source in sources for _ in range(TRIES)]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as part:
                received = Path(part, entry.file)
                if source in local:
                    shutil.copyfile(source, received)
                else:
                    get(source, str(received), None)
                if problem := _problem(received, entry, read=True):
                    raise ValueError(f"what arrived is not the file: {problem}")
                received.chmod(0o644)  # temporary files are private, a class's folder is not
                return received.replace(folder / entry.file)
        except (OSError, ValueError) as error:  # requests' errors, a full disk, a wrong file
            reasons[str(source)] = _cause(error)
    raise _unavailable(entry, [f"{source}: {reason}" for source, reason in reasons.items()])


# ---------------------------------------------------------------------------- for people


def status() -> pd.DataFrame:
    """Say for every asset whether it is here: its `kind`, `path` (or None) and `megabytes`."""
    entries = manifest().values()
    rows = [(e.name, e.kind, find_local(e.name), (e.size or math.nan) / 1e6) for e in entries]
    return pd.DataFrame(rows, columns=["name", "kind", "path", "megabytes"]).set_index("name")


def verify() -> pd.DataFrame:
    """Read and check every copy on this machine again, the course's own archives included.

    Returns
    -------
    pandas.DataFrame
        A row per file: `name`, `path` and `problem`, which is empty when it is right.
    """
    _digest.cache_clear()
    found = [(entry, path) for entry in manifest().values() for path, _ in _copies(entry)]
    own = [(Asset(p.stem, p.name, "dataset"), p) for p in sorted(embedded_folder().glob("*.zip"))]
    files = [(entry, path) for entry, path in found + own if path.is_file()]
    rows = [(entry.name, path, _problem(path, entry, read=True)) for entry, path in files]
    return pd.DataFrame(rows, columns=["name", "path", "problem"])


def prefetch(to: str | Path, only: Sequence[str] = ()) -> pd.DataFrame:
    """Fill a class's shared folder with every file, or only with some, going on after failures.

    Parameters
    ----------
    to : str or Path
        The folder; made if missing. Files go into ``weights/`` and ``dataset/``.
    only : sequence of str
        Names in the manifest; default all.

    Returns
    -------
    pandas.DataFrame
        A row per file: `name`, `path` and `problem`, which is empty when it is there.
    """
    rows = []
    for entry in map(asset, only or manifest()):
        path, problem = Path(to).expanduser() / entry.kind / entry.file, ""
        local = [copy for copy, wrong in _copies(entry) if copy.is_file() and not wrong]
        try:
            if _problem(path, entry):
                _download(entry, path.parent, local[:1])
        except AssetUnavailable as error:
            problem = "; ".join(error.reasons)
        rows.append((entry.name, path, problem))
    return pd.DataFrame(rows, columns=["name", "path", "problem"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m course_utils.assets``; return the exit status."""
    parser = argparse.ArgumentParser("python -m course_utils.assets")
    parser.add_argument("command", choices=["status", "verify", "prefetch"])
    parser.add_argument("names", nargs="*", help="prefetch only these")
    parser.add_argument("--to", metavar="FOLDER", help="where prefetch puts the files")
    options = parser.parse_intermixed_args(arguments)
    if options.command != "prefetch":
        table = verify() if options.command == "verify" else status()
    elif options.to and manifest().keys() >= set(options.names):
        table = prefetch(options.to, options.names)
    else:
        parser.error(f"prefetch needs --to FOLDER, and names from {', '.join(manifest())}")
    print(table.to_string())
    return int("problem" in table and table["problem"].any())


if __name__ == "__main__":
    sys.exit(main())
