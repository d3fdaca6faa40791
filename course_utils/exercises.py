"""The check under an exercise: compares an answer with the right one and says what differs."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.linalg import norm

from . import checks
from .checks import to_numpy

__all__ = ["check", "student_seed"]

#: Folder in which a grader collects answers, to compare them in a process of its own.
RECORDS = "GRADER_RECORDS"
#: Name of the student whose submission is graded.
STUDENT = "GRADER_STUDENT"
#: Rounding, which differs from machine to machine, may switch a ReLU or the largest of a window,
#: and with it some gradients. So an answer of at least so many numbers also counts as equal if its
#: differences all together are at most this share of the expected values (Euclidean norms).
KINKS = 1000, 1e-3


def student_seed(student: str) -> int:
    """Turn a user name into a seed: each student meets pictures of their own.

    Raises
    ------
    ValueError
        If the name is empty.
    """
    name = (os.environ.get(STUDENT) or student).strip().lower()
    if not name:
        raise ValueError('write your user name between the quotes: student = "..."')
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:3], "big")


def check(
    name: str,
    answer: Any,
    expected: Any,
    *,
    hint: str = "",
    rtol: float = 1e-4,
    atol: float = 1e-6,
    from_scratch: bool | Iterable[Callable] = False,
) -> bool:
    """Compare an answer with the expected one and print one line about it; never raise.

    Parameters
    ----------
    name : str
        What was asked for, for the printed line.
    answer : tensor, array, number, text, or a function without arguments that returns one
        A function is called here, so that an error in it becomes a line too. ``...``, None and
        a name that is not there count as not answered yet.
    expected : tensor, array, number or text
        The right answer; tensors and arrays of any device and number type.
    hint : str
        Added where the answer is wrong.
    rtol, atol : float
        Numbers count as equal within ``atol + rtol * |expected|``; of many numbers a few may be
        further off, see `KINKS`.
    from_scratch : bool or functions
        Let the attribution methods of Captum and of this course raise while `answer` is called,
        and so these functions, however they were imported.

    Returns
    -------
    bool
        Whether the answer is right.

    Examples
    --------
    >>> check("two times three", lambda: 2 * 3, 6)
    ✓ two times three
    True
    >>> check("a sum over channels", np.zeros((2, 3)), np.zeros(2), hint="sum over dim=1")
    ✗ a sum over channels: expected shape (2,), got (2, 3). Hint: sum over dim=1
    False
    """
    answer, problem = _answer(answer, from_scratch)
    if problem is None:
        _record(name, answer)
        problem = difference(answer, expected, rtol, atol)
    if problem is None:
        print(f"✓ {name}")
        return True
    if problem == "":
        print(f"○ {name}: not answered yet")
        return False
    print(f"✗ {name}: {problem}." + (f" Hint: {hint}" if hint else ""))
    return False


def _answer(answer: Any, from_scratch: Any) -> tuple[Any, str | None]:
    """Call the answer if it is a function; say what went wrong, or "" if there is none yet."""
    if isinstance(answer, Callable) and not hasattr(answer, "shape"):
        try:
            with _without_libraries(from_scratch) if from_scratch else contextlib.nullcontext():
                answer = answer()
        except Exception as error:
            if isinstance(error, NameError) and not error.__traceback__.tb_next.tb_next:
                return None, ""  # the check's own line found no such name
            return None, f"your code stopped with {type(error).__name__}: {error}"
    return answer, "" if answer is None or answer is ... else None


@contextlib.contextmanager
def _without_libraries(functions: Any) -> Iterator[None]:
    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError("this task asks you to write it yourself, without a library's function")

    captum = sys.modules.get("captum.attr")
    methods = {m for m in vars(captum).values() if hasattr(m, "attribute")} if captum else set()
    saved = [(m, "attribute", vars(m)["attribute"]) for m in methods if "attribute" in vars(m)]
    plain = map(inspect.unwrap, () if functions is True else functions)
    saved += [(function, "__code__", function.__code__) for function in plain]
    try:
        checks.refuse_methods = refuse
        for owner, name, _ in saved:
            setattr(owner, name, refuse if name == "attribute" else refuse.__code__)
        yield
    finally:
        checks.refuse_methods = None
        for owner, name, old in saved:
            setattr(owner, name, old)


def _record(name: str, answer: Any) -> None:
    """Hand an answer to the grader, if there is one: a number or array, or a text."""
    if folder := os.environ.get(RECORDS):
        with contextlib.suppress(TypeError, ValueError):
            values = np.asarray(answer) if isinstance(answer, str) else to_numpy(answer)
            place = Path(folder) / f"{sum(1 for _ in Path(folder).iterdir()):03d}.npz"
            np.savez(place, name=name, answer=values)


def difference(answer: Any, expected: Any, rtol: float = 1e-4, atol: float = 1e-6) -> str | None:
    """Say in what an answer differs from the expected one; None if in nothing."""
    if isinstance(expected, str | bool):
        return None if answer == expected else f"expected something else than {answer!r}"
    try:
        found, wanted = to_numpy(answer), to_numpy(expected)
        found = found.astype(np.result_type(wanted.dtype, np.float64))
    except (TypeError, ValueError):
        return f"expected numbers, got {type(answer).__name__}"
    if found.shape != wanted.shape:
        return f"expected shape {wanted.shape}, got {found.shape}"
    if not np.isfinite(found).all():
        return f"{int((~np.isfinite(found)).sum())} of {found.size} values are NaN or infinite"
    off = ~(np.abs(found - wanted) <= atol + rtol * np.abs(wanted))  # NaN is no number's equal
    if not off.any():
        return None
    many, share = KINKS
    if wanted.size >= many and norm(found - wanted) <= share * norm(wanted[np.isfinite(wanted)]):
        return None
    if wanted.ndim == 0:
        return f"expected {float(wanted):.6g}, got {float(found):.6g}"
    place = tuple(np.argwhere(off)[0].tolist())
    return (
        f"{int(off.sum())} of {found.size} values differ; the first is at {place}, "
        f"expected {wanted[place]:.6g}, got {found[place]:.6g}"
    )
