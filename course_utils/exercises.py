"""The check under an exercise: compares an answer with the right one and says what differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .checks import to_numpy

__all__ = ["check"]


def check(
    name: str,
    answer: Any,
    expected: Any,
    *,
    hint: str = "",
    rtol: float = 1e-4,
    atol: float = 1e-6,
) -> bool:
    """Compare an answer with the expected one and print one line about it; never raise.

    Parameters
    ----------
    name : str
        What was asked for, for the printed line.
    answer : tensor, array, number, text, or a function without arguments that returns one
        A function is called here, so that an error in it becomes a line too. ``...`` and None
        count as not answered yet.
    expected : tensor, array, number or text
        The right answer; tensors and arrays of any device and number type.
    hint : str
        Added where the answer is wrong.
    rtol, atol : float
        Numbers count as equal within ``atol + rtol * |expected|``.

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
    problem = _problem(answer, expected, rtol, atol)
    if problem is None:
        print(f"✓ {name}")
        return True
    if problem == "":
        print(f"○ {name}: not answered yet")
        return False
    print(f"✗ {name}: {problem}." + (f" Hint: {hint}" if hint else ""))
    return False


def _problem(answer: Any, expected: Any, rtol: float, atol: float) -> str | None:
    """Say what is wrong with an answer: None if nothing is, "" if there is none yet."""
    if isinstance(answer, Callable) and not hasattr(answer, "shape"):
        try:
            answer = answer()
        except Exception as error:
            return f"your code stopped with {type(error).__name__}: {error}"
    if answer is None or answer is ...:
        return ""
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
    off = np.abs(found - wanted) > atol + rtol * np.abs(wanted)
    if not off.any():
        return None
    if wanted.ndim == 0:
        return f"expected {float(wanted):.6g}, got {float(found):.6g}"
    place = tuple(np.argwhere(off)[0].tolist())
    return (
        f"{int(off.sum())} of {found.size} values differ; the first is at {place}, "
        f"expected {wanted[place]:.6g}, got {found[place]:.6g}"
    )
