"""Several processes that render side by side, each on one core.

NumPy computes a picture on one core; pictures are independent, so whole pictures go to different
processes. These are started afresh ("spawn"), the one way that works on Linux, macOS, Windows and
in notebooks: copying a process in which PyTorch already runs threads may stop the copy for good.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from ..runtime import progress as progress_bar
from ..runtime import tune_allocator
from .families import Scene
from .rendering import render_group

# Starting a process takes a few seconds; below this many pixels there is nothing to gain.
_PIXELS_THAT_PAY = 1_500_000

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
    return iter(progress_bar(done, total=total, description="rendering")) if show else done


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
    from .catalogue import family

    tune_allocator()  # a picture takes thousands of short-lived arrays: a tenth faster
    model = family(scenes[0].family).models[scenes[0].class_name]
    return render_group(model, [scene.parameters for scene in scenes], size)
