"""How the course looks: colours, colour maps, sizes, number formats, line breaking.

Three inks carry meaning everywhere: orange raises the output, blue lowers it, purple is a magnitude
without a sign. White always means zero. The colour maps were chosen as points of equal steps in
CIE L*a*b* lightness; the two arms of the signed map have the same lightness, so neither sign looks
stronger, in print or to colour-blind readers (tests/test_plots.py simulates them).
"""

from __future__ import annotations

import functools
import math

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap
from matplotlib.font_manager import FontProperties
from numpy.typing import NDArray

# Lightness 98.5 (white), 88, 76, 64, 52, 40 on both arms.
_BLUE_ARM = ("#fbfbfb", "#c8dffa", "#8cc0f6", "#4fa0e9", "#0f80d3", "#1f5fb0")
_ORANGE_ARM = ("#fbfbfb", "#f7d8b5", "#edaf74", "#e1843d", "#cd5821", "#aa361b")
_PURPLE_RAMP = ("#fbfbfb", "#f5d3e7", "#eaa7d4", "#d475be", "#ac4da4", "#763583", "#422356")

#: Negative is blue, zero is white, positive is orange.
SIGNED: Colormap = LinearSegmentedColormap.from_list(
    "course_signed", [*reversed(_BLUE_ARM), *_ORANGE_ARM[1:]]
)
#: Zero is white, the largest magnitude is deep purple; lightness falls steadily.
UNSIGNED: Colormap = LinearSegmentedColormap.from_list("course_unsigned", _PURPLE_RAMP)

POSITIVE = "#cd5821"
NEGATIVE = "#0f80d3"
MAGNITUDE = "#ac4da4"
INK = "#1f2630"
MUTED = "#5b6573"
FAINT = "#d5dae1"
TRACK = "#eceff3"
PAPER = "#ffffff"
#: For lines and markers that stand for different things (Okabe & Ito 2008, without yellow, which
#: is too light for lines on white), in the order in which they are used.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#a8437f", "#3d4654", "#e69f00", "#56b4e9")
#: The true class among predictions.
TRUE = SERIES[2]
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

#: Sizes in points: legible when a figure fills a slide.
SIZE_TITLE, SIZE_PANEL, SIZE_TEXT, SIZE_NOTE, SIZE_CAPTION = 15.0, 12.0, 11.5, 10.0, 10.5
#: Widest figure in inches, and pixels per inch of a stored picture.
WIDTH, DPI = 9.6, 100
#: Height of a line of text, as a multiple of its size.
LINE_SPACING = 1.28

RC = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "font.size": SIZE_TEXT,
    "text.color": INK,
    "axes.titlesize": SIZE_PANEL,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.labelsize": SIZE_TEXT,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(color=SERIES),
    "grid.color": TRACK,
    "grid.linewidth": 0.9,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SIZE_NOTE,
    "ytick.labelsize": SIZE_NOTE,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "lines.linewidth": 2.2,
    "lines.markersize": 6.0,
    "legend.frameon": False,
    "legend.fontsize": SIZE_NOTE,
}


def apply() -> None:
    """Set the course's matplotlib parameters, and no others; `plots` does so when imported."""
    mpl.rcParams.update(RC)


def opacity(magnitude: NDArray, strongest: float) -> NDArray:
    """Return the opacity of colours over a photograph, for magnitudes in [0, 1].

    It grows a little faster than magnitude, so that weak values can be seen; zero leaves the
    photograph as it is.
    """
    return strongest * magnitude**0.7


@functools.cache
def colormaps(signed: bool, strongest: float | None = None) -> tuple[Colormap, Colormap]:
    """Return the colour map to draw with and the one to show in the colour bar.

    On white the two are the same. Over a photograph (`strongest` is the opacity of the strongest
    values) opacity does what paleness does on white, so colours start at a third of the way and
    the colour bar shows them as they look on a middle grey.
    """
    plain = SIGNED if signed else UNSIGNED
    if strongest is None:
        return plain, plain
    values = np.linspace(-1 if signed else 0, 1, 512)
    magnitude = np.abs(values)
    deepened = np.sign(values) * (0.34 + 0.66 * magnitude)
    colors = plain((deepened + 1) / 2 if signed else deepened)
    share = opacity(magnitude, strongest)[:, None]
    mixed = colors * share + np.array([0.74, 0.74, 0.74, 1.0]) * (1 - share)
    name = f"{plain.name}_over_photograph"
    return ListedColormap(colors, name), ListedColormap(mixed, f"{name}_bar")


def sentence(text: str | None) -> str:
    """Return the text with a full stop, unless it has a closing mark or is empty."""
    return f"{text}." if text and text[-1] not in ".?!…" else (text or "")


def format_number(value: float, digits: int = 3) -> str:
    """Write a number with `digits` significant digits or all whole ones, and never as ``-1e-05``.

    Examples
    --------
    >>> format_number(0.03141), format_number(-12.345), format_number(2.5e-6)
    ('0.0314', '−12.3', '2.5 × 10⁻⁶')
    """
    value = float(value)
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "not a number")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if value == 0:
        text = "0"
    elif -4 < power < 6:
        text = f"{value:.{max(digits - 1 - power, 0)}f}"
    else:
        superscript = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        text = f"{mantissa} × 10{superscript}"
    return text.replace("-", "−")


def format_percent(fraction: float) -> str:
    """Write a fraction as per cent; never rounds to a 0 or 100 that it is not."""
    percent = 100 * float(fraction)
    if 0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %".replace("-", "−")


@functools.lru_cache(maxsize=4096)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of a line of text in inches, at `size` points.

    As it is drawn: at the course's resolution letters are rounded to whole pixels, which makes a
    long line some percent wider than its outlines are.
    """
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    ismath = "$" in text
    width, _, _ = _renderer().get_text_width_height_descent(text, font, ismath=ismath)
    return width / DPI


@functools.cache
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, DPI)


def text_height(lines: int, size: float) -> float:
    """Height in inches of that many lines of text at `size` points."""
    return lines * size * LINE_SPACING / 72


def wrap(text: str, width: float, size: float, bold: bool = False) -> str:
    """Break `text` into lines that are at most `width` inches wide; existing breaks stay.

    A word that is wider than a line is broken as well.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if text_width(longer, size, bold) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            *full, line = _break_word(word, width, size, bold)
            lines.extend(full)
        lines.append(line)
    return "\n".join(lines)


def _break_word(word: str, width: float, size: float, bold: bool) -> list[str]:
    """Cut a word into pieces that fit, each of at least one letter."""
    pieces = [word]
    while text_width(pieces[-1], size, bold) > width and len(pieces[-1]) > 1:
        rest = pieces.pop()
        cut = len(rest) - 1
        while cut > 1 and text_width(rest[:cut], size, bold) > width:
            cut -= 1
        pieces += [rest[:cut], rest[cut:]]
    return pieces


def shorten(text: str, width: float, size: float, bold: bool = False) -> str:
    """Cut `text` at `width` inches, with an ellipsis if anything was cut."""
    if text_width(text, size, bold) <= width:
        return text
    while text and text_width(text + "…", size, bold) > width:
        text = text[:-1]
    return text.rstrip(" ,;") + "…"
