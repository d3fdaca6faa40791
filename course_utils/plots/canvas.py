"""Figures and how they reach the reader: made, captioned, described, displayed once, closed."""

from __future__ import annotations

import base64
import io
import sys
from typing import Any

import numpy as np
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from . import style

#: Shortest text that can say what a reader would see.
MIN_ALT_LENGTH = 20


class CourseFigure(Figure):
    """A matplotlib figure that belongs to no pyplot state and is displayed once, by `show`.

    A cell that ends with the figure does not show it a second time. `alt` is the alternative text
    it was or will be shown with.
    """

    alt: str | None = None
    was_shown: bool = False

    def _ipython_display_(self) -> None:
        """IPython calls this when a cell ends with the figure."""
        if not self.was_shown:
            print("This figure is not displayed yet: call plots.show(figure, alt=...).")


def figure(
    ncols: int = 1,
    nrows: int = 1,
    *,
    width: float = style.WIDTH,
    height: float | None = None,
    title: str | None = None,
    sharex: bool = False,
    sharey: bool = False,
    width_ratios: list[float] | None = None,
    height_ratios: list[float] | None = None,
) -> tuple[CourseFigure, Any]:
    """Make an empty figure in the course's style, for a lesson's own plots.

    Parameters
    ----------
    ncols, nrows : int
        Number of axes across and down.
    width, height : float
        Size in inches; by default as wide as a page and 3.6 inches a row.
    title : str, optional
        Heading over all axes.
    sharex, sharey, width_ratios, height_ratios
        As in matplotlib's ``Figure.subplots`` and ``GridSpec``.

    Returns
    -------
    (CourseFigure, Axes or array of Axes)
        Draw on the axes, then call ``show(figure, alt=...)``.
    """
    height = height or 3.6 * nrows
    new = CourseFigure(figsize=(width, height), layout="constrained")
    grid = {"width_ratios": width_ratios, "height_ratios": height_ratios}
    axes = new.subplots(nrows, ncols, sharex=sharex, sharey=sharey, gridspec_kw=grid)
    new.get_layout_engine().set(w_pad=0.12, h_pad=0.1, wspace=0.03, hspace=0.05)
    if title:
        heading = style.wrap(title, width - 0.3, style.SIZE_TITLE, bold=True)
        new.suptitle(heading, x=0.012, ha="left", fontsize=style.SIZE_TITLE, fontweight="bold")
    return new, axes


def show(fig: Figure, alt: str, caption: str | None = None) -> None:
    """Display a figure with alternative text, once, and close it.

    In a notebook the text is stored in the output's metadata, from where the course's pages (and
    nbconvert's templates that look for it, such as "classic") take it as ``<img alt="…">``. Outside
    IPython nothing is displayed.

    Parameters
    ----------
    fig : matplotlib Figure
        From `figure` or from pyplot.
    alt : str
        What a reader who cannot see the figure should know: what is shown and what it shows. At
        least 20 characters.
    caption : str, optional
        Drawn under the figure in small type, so that it survives being pasted into a slide.

    Raises
    ------
    ValueError
        If `alt` is missing or too short to describe anything.
    """
    fig.alt = check_alt(alt)
    if caption:
        add_caption(fig, caption)
    redisplay(fig)


def redisplay(fig: Figure, handle: Any = None) -> Any:
    """Display a figure that has its alternative text, in the place of an earlier one if given.

    Parameters
    ----------
    fig : CourseFigure
        From a plotting function called with ``display=False``.
    handle : IPython.display.DisplayHandle, optional
        What an earlier call returned: its figure is replaced.

    Returns
    -------
    IPython.display.DisplayHandle or None
        For the next call; None outside IPython, where nothing is displayed.

    Raises
    ------
    ValueError
        If the figure has no alternative text yet: use `show` for a figure of your own.
    """
    alt = check_alt(getattr(fig, "alt", None))
    fig.was_shown = True
    close(fig)
    if not _in_ipython():
        return None
    from IPython.display import DisplayHandle

    picture = base64.b64encode(to_png(fig, alt)).decode("ascii")
    data = {"image/png": picture, "text/plain": f"Figure: {alt}"}
    metadata = {"image/png": {"alt": alt}, "alt": alt}
    if handle is None:
        handle = DisplayHandle()
        handle.display(data, raw=True, metadata=metadata)
    else:
        handle.update(data, raw=True, metadata=metadata)
    return handle


def check_alt(alt: str | None) -> str:
    """Return the text with its white space tidied, or say why it will not do."""
    text = " ".join((alt or "").split())
    if len(text) < MIN_ALT_LENGTH:
        raise ValueError(
            f"alt={alt!r} does not describe the figure: expected at least {MIN_ALT_LENGTH} "
            "characters that say what a reader would see, e.g. 'Line plot: the error falls from "
            "10 % at 10 steps to 1 % at 100 steps.'"
        )
    return text


def to_png(fig: Figure, alt: str | None = None) -> bytes:
    """Render a figure as PNG bytes; the alternative text is stored in the file as well."""
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    about = PngInfo()
    if alt:
        about.add_itxt("Description", alt)
    buffer = io.BytesIO()
    # Without the transparency that no figure uses, files are an eighth smaller.
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture.save(buffer, format="PNG", optimize=True, pnginfo=about, dpi=(fig.dpi, fig.dpi))
    return buffer.getvalue()


def finish(
    fig: CourseFigure, alt: str | None, automatic_alt: str, caption: str | None, display: bool
) -> CourseFigure:
    """Last step of every plotting function: caption, alternative text, display if wanted."""
    fig.alt = check_alt(alt or automatic_alt)
    if caption:
        add_caption(fig, caption)
    if display:
        show(fig, fig.alt)
    return fig


def percent_axis(axis: Axis) -> None:
    """Label an axis of fractions in whole per cent."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))


def close(fig: Figure) -> None:
    """Take the figure out of pyplot's hands, if pyplot has it, so that it is not shown twice."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(fig)


def _in_ipython() -> bool:
    """Whether a notebook or an IPython terminal is there to display anything."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def add_caption(fig: Figure, caption: str) -> None:
    """Write a caption under a figure, which grows downwards by as much as that needs."""
    width, height = fig.get_size_inches()
    text = style.wrap(caption, width - 0.42, style.SIZE_CAPTION)
    band = style.text_height(text.count("\n") + 1, style.SIZE_CAPTION) + 0.16
    extend_below(fig, band)
    fig.text(
        0.14 / width,
        (band - 0.05) / (height + band),
        text,
        ha="left",
        va="top",
        fontsize=style.SIZE_CAPTION,
        color=style.MUTED,
        linespacing=style.LINE_SPACING * 0.92,
    )


def extend_below(fig: Figure, inches: float) -> None:
    """Make a figure taller at its lower edge and leave everything in it where and as it was."""
    width, height = fig.get_size_inches()
    taller = height + inches
    engine = fig.get_layout_engine()
    if engine is not None:
        engine.execute(fig)  # settle positions while the figure still has its old size
        fig.set_layout_engine("none")
    for axes in fig.axes:
        x, y, w, h = axes.get_position(original=True).bounds
        axes.set_position((x, (y * height + inches) / taller, w, h * height / taller))
    for text in fig.texts:
        text.set_y((text.get_position()[1] * height + inches) / taller)
    for line in (*fig.lines, *(artist for artist in fig.artists if isinstance(artist, Line2D))):
        line.set_ydata((np.asarray(line.get_ydata()) * height + inches) / taller)
    suptitle = fig._suptitle
    if suptitle is not None and suptitle not in fig.texts:
        suptitle.set_y((suptitle.get_position()[1] * height + inches) / taller)
    fig.set_size_inches(width, taller)
