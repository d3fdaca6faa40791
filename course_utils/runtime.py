"""Where and how a lesson runs: device, seeds, profile, data source, one printed summary."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import random
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from . import checks

__all__ = ["Runtime", "current", "progress", "seed_everything", "setup"]

Choice = TypeVar("Choice")

PROFILES = ("fast", "standard", "full")
DATA_SOURCES = ("auto", "real", "embedded")


@dataclass(frozen=True)
class Runtime:
    """How this lesson runs.

    Attributes
    ----------
    device : torch.device
        Where networks and images live: CUDA, Apple's MPS, or the CPU.
    profile : {"fast", "standard", "full"}
        How much to compute: for a test (seconds), for reading (a minute or two), or for a GPU and
        real data.
    data_source : {"auto", "real", "embedded"}
        Real files where they can be had ("auto"), only real ones, or only what is bundled, without
        touching the network.
    seed : int
        What every random number generator was seeded with.
    """

    device: torch.device
    profile: Literal["fast", "standard", "full"]
    data_source: Literal["auto", "real", "embedded"]
    seed: int = 0

    def choose(self, *, fast: Choice, standard: Choice, full: Choice | None = None) -> Choice:
        """Pick the value for this profile; `full` falls back to `standard`.

        Examples
        --------
        >>> Runtime(torch.device("cpu"), "fast", "auto").choose(fast=20, standard=200)
        20
        """
        if self.profile == "full":
            return standard if full is None else full
        return fast if self.profile == "fast" else standard

    def __str__(self) -> str:
        """One line for the summary that `setup` prints."""
        device = str(self.device)
        if self.device.type == "cuda":
            device = f"cuda ({torch.cuda.get_device_name(self.device)})"
        settings = f"profile {self.profile} · data source {self.data_source} · seed {self.seed}"
        return f"{settings} · {device}"


_current: Runtime | None = None


def setup(
    profile: str | None = None,
    data_source: str | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    verbose: bool = True,
) -> Runtime:
    """Prepare a lesson: choose the device, seed everything, tune the allocator, print one summary.

    Parameters
    ----------
    profile : {"fast", "standard", "full"}, optional
        Default: the environment variable ``COURSE_PROFILE``, else "standard".
    data_source : {"auto", "real", "embedded"}, optional
        Default: the environment variable ``COURSE_DATA_SOURCE``, else "auto".
    seed : int
        Seeds Python, NumPy and PyTorch. The same seed on one machine prints the same numbers.
    device : str or torch.device, optional
        Default: CUDA if there is one, else Apple's MPS, else the CPU.
    verbose : bool
        Print the summary.

    Raises
    ------
    ValueError
        For an unknown profile or data source.
    RuntimeError, AssertionError
        PyTorch's own, for a device that this machine does not have.
    """
    global _current
    profile = _setting("profile", profile, PROFILES, "standard")
    data_source = _setting("data_source", data_source, DATA_SOURCES, "auto")
    _current = Runtime(_pick_device(device), profile, data_source, seed)
    seed_everything(seed)
    tune_allocator()
    if verbose:
        versions = f"Python {platform.python_version()} · torch {torch.__version__}"
        print(f"{_current}\n{versions} · {torch.get_num_threads()} threads · {sys.platform}")
    return _current


def current() -> Runtime:
    """Return the runtime that `setup` made, or one from the environment's defaults before that."""
    if _current is not None:
        return _current
    profile = _setting("profile", None, PROFILES, "standard")
    return Runtime(_pick_device(None), profile, _setting("data_source", None, DATA_SOURCES, "auto"))


def _setting(name: str, value: str | None, allowed: tuple[str, ...], default: str) -> Any:
    """Return the argument, else the environment's value, else the default, if it is allowed."""
    if value is None:
        name = f"COURSE_{name.upper()}"
        value = os.environ.get(name, default)
    return checks.one_of(name, value, allowed)


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's generators (all devices) with the same number."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that use the legacy generator must repeat too
    torch.manual_seed(seed)


@functools.cache
def tune_allocator() -> bool:
    """Keep freed memory in the process instead of giving it back to the kernel at every step.

    By default glibc serves each large tensor by its own ``mmap`` and unmaps it on release, so the
    next tensor of the same size is faulted in again, page by page: in a loop of forward and
    backward passes that can cost more than the arithmetic. ``M_MMAP_MAX = 0`` and a large
    ``M_TRIM_THRESHOLD`` make it reuse what it has (``make bench`` prints the effect). Results do
    not change. It is done once per process, only with glibc; ``COURSE_ALLOCATOR=system`` leaves
    the allocator alone.

    Returns
    -------
    bool
        Whether this process runs with the tuned allocator.
    """
    wanted = os.environ.get("COURSE_ALLOCATOR", "tuned").lower() != "system"
    if not wanted or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    m_mmap_max, m_trim_threshold = -4, -1  # from <malloc.h>
    # mallopt answers 1 for success; both settings are needed, so both are always tried
    return [mallopt(m_mmap_max, 0), mallopt(m_trim_threshold, 2**31 - 1)] == [1, 1]


def progress(
    iterable: Iterable[Any] | None = None,
    *,
    total: int | None = None,
    description: str = "",
    shown: bool = True,
    delay: float = 1.0,
    **options: Any,
) -> Any:
    """Progress bar for long work: a widget in Jupyter, a line in a terminal.

    Work that ends within `delay` seconds shows nothing. ``shown=False`` and ``TQDM_DISABLE=1`` show
    nothing at all; by the latter stored outputs stay free of half-filled bars.

    Returns
    -------
    tqdm.auto.tqdm
        Iterate over it, or call ``.update(n)`` on it inside a ``with`` block.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        from tqdm.auto import tqdm

    # tqdm's notebook bar overrules the variable that its terminal bar obeys
    options["disable"] = not shown or os.environ.get("TQDM_DISABLE", "") not in ("", "0")
    return tqdm(iterable, total=total, desc=description, delay=delay, leave=False, **options)


def _pick_device(device: str | torch.device | None) -> torch.device:
    if device is None:
        device = "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device("cuda" if torch.cuda.is_available() else device)
    chosen = torch.device(device)
    torch.empty(0, device=chosen)  # says why this machine does not have it
    return chosen
