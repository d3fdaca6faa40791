"""Several processes that render side by side, each on one core.

NumPy computes a picture on one core; pictures are independent, so whole pictures go to different
processes. These are started afresh ("spawn"), the one way that works on Linux, macOS, Windows and
in notebooks: copying a process in which PyTorch already runs threads may stop the copy for good.
"""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import os
import platform
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from .families import Scene, family
from .rendering import render_group

# Starting a process takes a few seconds; below this many pixels there is nothing to gain.
_PIXELS_THAT_PAY = 1_500_000

# from glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

Rendered = tuple[np.ndarray, np.ndarray]


def render_jobs(
    jobs: Sequence[Sequence[Scene]], size: int, *, workers: int | None, progress: bool
) -> Iterator[Rendered]:
    """Render parcels of scenes; yields (images, masks) for each, in order."""
    count = _worker_count(jobs, size, workers)
    total = len(jobs)
    if count == 1:
        done: Iterator[Rendered] = (_render_job(job, size) for job in jobs)
        yield from _with_bar(done, total, progress)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context) as pool:
        done = pool.map(_render_job, jobs, [size] * total)
        yield from _with_bar(done, total, progress)


def _with_bar(done: Iterator[Rendered], total: int, show: bool) -> Iterator[Rendered]:
    if not show:
        return done
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        from tqdm.auto import tqdm

    # tqdm's notebook bar overrules the variable that its terminal bar obeys
    off = os.environ.get("TQDM_DISABLE", "") not in ("", "0")
    return iter(tqdm(done, total=total, desc="rendering", delay=1, leave=False, disable=off))


def _worker_count(jobs: Sequence[Sequence[Scene]], size: int, workers: int | None) -> int:
    if workers is not None and workers < 1:
        raise ValueError(f"workers is a number of processes, at least 1, not {workers}")
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(
            "several processes were asked for in a script that they have to import first: put the "
            'call under `if __name__ == "__main__":`, or pass workers=1'
        )
    if multiprocessing.parent_process() is not None:
        return 1  # already one of several
    if workers is None:
        pixels = sum(len(job) for job in jobs) * size**2
        workers = _cores() if pixels >= _PIXELS_THAT_PAY else 1
    return max(1, min(workers, len(jobs)))


def _cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _render_job(scenes: Sequence[Scene], size: int) -> Rendered:
    _reuse_freed_memory()
    model = family(scenes[0].family).models[scenes[0].class_name]
    return render_group(model, [scene.parameters for scene in scenes], size)


@functools.cache
def _reuse_freed_memory() -> None:
    """Have glibc keep freed arrays for the next ones, instead of unmapping each.

    A picture takes thousands of short-lived arrays: an eighth less time. Results do not change.
    ``COURSE_ALLOCATOR=system`` leaves the allocator alone.
    """
    if platform.libc_ver()[0] != "glibc" or os.environ.get("COURSE_ALLOCATOR") == "system":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 1 << 30)
