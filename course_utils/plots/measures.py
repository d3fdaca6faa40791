"""Measurements of explanations, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from . import style
from .canvas import CourseFigure, figure, finish, percent_axis

#: Height in inches of one method's line, and of the gap between two parts.
_LINE, _GAP = 0.27, 0.16


def plot_parts(
    tables: Mapping[str, Sequence[Any]],
    *,
    quantity: str = "share of the map inside the part",
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show how much of the maps each part gets, over a bar as long as the part is large.

    Parameters
    ----------
    tables : mapping of method to rows
        From ``evaluation.part_table``; every method with the same parts in the same order.
    quantity : str
        The axis label.
    title, caption, alt, display
        As in `show_grid`.

    Raises
    ------
    ValueError
        If there are no rows, or the methods' parts differ.
    """
    parts = _check_parts(tables)
    step = _LINE * len(tables) + _GAP
    fig, axes = figure(width=8.6, height=1.45 + step * len(parts), title=title)
    words = []
    for place, part in enumerate(parts):
        rows = [table[place] for table in tables.values()]
        top = place * step
        middle = top + _LINE * (len(rows) - 1) / 2
        axes.barh(middle, rows[0].area, height=_LINE * len(rows), color=style.FAINT, zorder=1)
        for line, row in enumerate(rows):
            _draw_row(axes, row, top + line * _LINE, style.SERIES[line % len(style.SERIES)])
        words.append(_describe(part, rows, tables))
    axes.set_yticks(
        [place * step + _LINE * (len(tables) - 1) / 2 for place in range(len(parts))], labels=parts
    )
    axes.tick_params(axis="y", length=0, labelsize=style.SIZE_TEXT)
    axes.set_ylim(step * len(parts) - _GAP - _LINE / 2 + 0.06, -_LINE / 2 - 0.06)
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    percent_axis(axes.xaxis)
    axes.set_xlabel(quantity)
    _draw_legend(axes, list(tables))
    note = (
        "Dots: mean over the images that show the part; whiskers: 95 % interval; grey bars: share "
        "of the picture that the part covers, which is what chance gives. Right: dot / bar."
    )
    automatic = f"{style.sentence(title)} {style.sentence(quantity[:1].upper() + quantity[1:])} "
    caption = f"{note} {caption}" if caption else note
    return finish(fig, alt, automatic + " ".join(words), caption, display)


def _check_parts(tables: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the parts' names, which all methods must share."""
    lists = {name: [row.part for row in rows] for name, rows in tables.items()}
    first = next(iter(lists.values()), [])
    if not first or any(parts != first for parts in lists.values()):
        raise ValueError(f"expected rows of the same parts for every method, got {lists}")
    return first


def _draw_row(axes: Axes, row: Any, y: float, color: str) -> None:
    share = row.share
    axes.plot([share.low, share.high], [y, y], color=color, zorder=2, solid_capstyle="round")
    axes.plot(share.value, y, "o", color=color, markersize=7, zorder=3)
    axes.annotate(
        f"{style.format_number(row.ratio.value, 2)} ×", (1.01, y),
        xycoords=("axes fraction", "data"), va="center", fontsize=style.SIZE_NOTE, color=color,
        fontweight="bold",
    )  # fmt: skip


def _draw_legend(axes: Axes, methods: list[str]) -> None:
    handles = [
        axes.plot([], [], "o-", color=style.SERIES[line % len(style.SERIES)], label=method)[0]
        for line, method in enumerate(methods)
    ]
    handles.append(Patch(color=style.FAINT, label="chance: area of the part"))
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=min(len(handles), 4),
        borderaxespad=0.2, columnspacing=1.4, handlelength=1.4,
    )  # fmt: skip


def _describe(part: str, rows: list[Any], methods: Mapping[str, Any]) -> str:
    shares = ", ".join(
        f"{name} {style.format_percent(row.share.value)} ({style.format_percent(row.share.low)} to "
        f"{style.format_percent(row.share.high)})"
        for name, row in zip(methods, rows, strict=True)
    )
    area = style.format_percent(rows[0].area)
    return f"{style.sentence(f'{part}, {area} of the picture: {shares}')}"
