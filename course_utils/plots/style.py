"""How the course looks: colours, colour maps, sizes, number formats, line breaking.

Three inks carry meaning everywhere: orange raises the output, blue lowers it, purple is a magnitude
without a sign. White always means zero. The colour maps go in equal steps of CIE L*a*b* lightness,
and the two arms of the signed map have the same lightness, so neither sign looks stronger, in print
or to colour-blind readers (the tests simulate them).
"""

from __future__ import annotations

import functools
import textwrap

import numpy as np
import seaborn as sns
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap

# Lightness 98.5 (white), 88, 76, 64, 52, 40 on both arms.
_BLUES = ("#fbfbfb", "#c8dffa", "#8cc0f6", "#4fa0e9", "#0f80d3", "#1f5fb0")
_ORANGES = ("#fbfbfb", "#f7d8b5", "#edaf74", "#e1843d", "#cd5821", "#aa361b")
_PURPLES = ("#fbfbfb", "#f5d3e7", "#eaa7d4", "#d475be", "#ac4da4", "#763583", "#422356")

#: Negative is blue, zero is white, positive is orange.
SIGNED: Colormap = LinearSegmentedColormap.from_list("course_signed", [*_BLUES[::-1], *_ORANGES])
#: Zero is white, the largest magnitude is deep purple.
UNSIGNED: Colormap = LinearSegmentedColormap.from_list("course_unsigned", _PURPLES)

MAGNITUDE, INK, MUTED, FAINT, TRACK, PAPER = (
    "#ac4da4", "#1f2630", "#5b6573", "#d5dae1", "#eceff3", "#ffffff"
)  # fmt: skip
#: Controls, and lines that are not highlighted.
CONTROL = "#8b95a1"
#: Lines that stand for different things (Okabe & Ito 2008, without yellow, which is too
#: light for lines on white), in the order in which they are used.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#a8437f", "#3d4654", "#e69f00", "#56b4e9")

#: Sizes of text in points: legible when a figure fills a slide.
SIZE_TITLE, SIZE_PANEL, SIZE_TEXT, SIZE_NOTE = 15.0, 12.0, 11.5, 10.0
#: Width of a letter of a title in units of its size, a little more than the average.
BOLD_LETTER = 0.66
#: Width of a page in inches, pixels per inch of a stored figure, and of a page on the screen.
WIDTH, DPI, SCREEN_DPI = 9.6, 120, 100

_THEME = {
    "font.size": SIZE_TEXT,
    "text.color": INK,
    "axes.titlesize": SIZE_PANEL,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": SIZE_TEXT,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": TRACK,
    "xtick.labelsize": SIZE_NOTE,
    "ytick.labelsize": SIZE_NOTE,
    "lines.linewidth": 2.2,
    "legend.frameon": False,
    "legend.fontsize": SIZE_NOTE,
}


def apply() -> None:
    """Set seaborn's theme with the course's colours and sizes; `plots` does so when imported."""
    sns.set_theme(style="whitegrid", palette=SERIES, color_codes=False, rc=_THEME)


@functools.cache
def overlay_colors(signed: bool, strength: float) -> Colormap:
    """Return a colour map to lay over a grey photograph.

    Opacity does there what paleness does on white: it grows with the magnitude (a little faster, so
    that weak values can be seen) from 0 to `strength`.
    """
    values = np.linspace(-1 if signed else 0, 1, 511)
    deep = np.sign(values) * (0.34 + 0.66 * np.abs(values))
    colors = SIGNED((deep + 1) / 2) if signed else UNSIGNED(deep)
    colors[:, 3] = strength * np.abs(values) ** 0.7
    return ListedColormap(colors, f"{(SIGNED if signed else UNSIGNED).name}_overlay")


def format_number(value: float, digits: int = 3) -> str:
    """Write a number with `digits` significant digits, and never as ``-1e-05``.

    Examples
    --------
    >>> format_number(0.03141), format_number(-12.345), format_number(2.5e-6)
    ('0.0314', '−12.3', '2.5 × 10⁻⁶')
    """
    whole = 10**digits <= abs(value) < 1e6
    mantissa, _, power = (f"{value:,.0f}" if whole else f"{value:.{digits}g}").partition("e")
    raised = str(int(power or 0)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return (f"{mantissa} × 10{raised}" if power else mantissa).replace("-", "−")


def format_percent(fraction: float) -> str:
    """Write a fraction as per cent; never rounds to a 0 or 100 that it is not."""
    percent = 100 * float(fraction)
    if 0 < percent < 0.05:
        return "< 0.1 %"
    return "> 99.9 %" if 99.95 <= percent < 100 else f"{percent:.1f} %".replace("-", "−")


def wrap(text: str, width: float, size: float) -> str:
    """Break `text` at blanks into lines of about `width` inches; breaks that are there stay.

    Letters of `size` points are taken for a little wider than they are on average. A word that is
    too long stays whole and hangs over; it makes the stored figure wider if need be.
    """
    letters = max(int(width * 72 / size / (BOLD_LETTER if size >= SIZE_PANEL else 0.57)), 1)
    text = text.replace(" %", "\u00a0%")
    wrapper = textwrap.TextWrapper(letters, break_long_words=False, break_on_hyphens=False)
    return "\n".join(wrapper.fill(line) for line in text.split("\n"))


def height_of(text: str, size: float) -> float:
    """Height in inches of a text of one or more lines; 0 for none."""
    return (text.count("\n") + 1) * 1.25 * size / 72 if text else 0.0
