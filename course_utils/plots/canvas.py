"""Figures and how they reach the reader: made, captioned, described, displayed once, closed."""

from __future__ import annotations

import base64
import io
import sys
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from . import style


class CourseFigure(Figure):
    """A matplotlib figure that pyplot does not keep and that is displayed once, by `show`.

    A cell that ends with the figure does not show it a second time. `alt` is the alternative text
    that it was or will be shown with.
    """

    alt: str = ""
    was_shown: bool = False

    def mime_bundle(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Render the figure: data by MIME type, and metadata that hold the alternative text.

        Figures with pictures become JPEG in full colour, charts PNG; both have white paper, so that
        they can be read on a dark page.
        """
        kind, dpi, options = "png", style.DPI, {"optimize": True}
        if any(axes.images for axes in self.axes):
            kind, dpi, options = "jpeg", style.SCREEN_DPI, {"quality": 82, "progressive": True}
        buffer, mime, alt = io.BytesIO(), f"image/{kind}", self.alt
        self.savefig(
            buffer, format=kind, dpi=dpi, facecolor=style.PAPER, bbox_inches="tight",
            pad_inches=0.12, pil_kwargs=options,
        )  # fmt: skip
        width = Image.open(buffer).width * style.SCREEN_DPI / dpi
        data = {mime: base64.b64encode(buffer.getvalue()).decode(), "text/plain": f"Figure: {alt}"}
        return data, {mime: {"alt": alt, "width": round(width)}, "alt": alt}

    def _ipython_display_(self) -> None:
        """IPython calls this when a cell ends with the figure."""
        if not self.was_shown:
            show(self, self.alt)


def figure(
    ncols: int = 1, nrows: int = 1, *, width: float = style.WIDTH, height: float | None = None,
    title: str | None = None, **subplots: Any
) -> tuple[CourseFigure, Any]:  # fmt: skip
    """Make an empty figure in the course's style, for a lesson's own plots.

    Parameters
    ----------
    ncols, nrows : int
        Number of axes across and down.
    width, height : float
        Size in inches; by default as wide as a page and 3.6 inches a row.
    title : str, optional
        Heading over all axes.
    **subplots
        As in ``Figure.subplots``: sharex, sharey, width_ratios, height_ratios.

    Returns
    -------
    (Figure, Axes or array of Axes)
        Draw on the axes, then call ``show(figure, alt=...)``.
    """
    fig = CourseFigure(figsize=(width, height or 3.6 * nrows), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.04)
    axes = fig.subplots(nrows, ncols, **subplots)
    if title:
        _add_title(fig, title)
    return fig, axes


def show(fig: Figure, alt: str, caption: str | None = None) -> None:
    """Display a figure with alternative text, once, and close it.

    In a notebook the text is stored in the output's metadata, from where the course's pages take
    it. Outside IPython nothing is displayed.

    Parameters
    ----------
    fig : matplotlib Figure
        From `figure`, or any other.
    alt : str
        What a reader who cannot see the figure should know: what is shown and what it shows.
    caption : str, optional
        Drawn under the figure in small type.

    Raises
    ------
    ValueError
        If `alt` is empty.
    """
    if not alt.strip():
        raise ValueError("alt is empty: say in a sentence what it shows, plots.show(figure, alt=…)")
    fig.alt, fig.was_shown = " ".join(alt.split()), True
    if caption:
        _add_caption(fig, caption)
    if "matplotlib.pyplot" in sys.modules:  # which would show its own figures a second time
        sys.modules["matplotlib.pyplot"].close(fig)
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        data, metadata = CourseFigure.mime_bundle(fig)
        ipython.display.display(data, metadata=metadata, raw=True)


def finish(
    fig: CourseFigure, automatic: str, note: str = "", *, title: str | None = None,
    caption: str | None = None, alt: str | None = None, display: bool = True
) -> CourseFigure:  # fmt: skip
    """Last step of every plotting function: words around the figure, then display if wanted.

    Parameters
    ----------
    fig : CourseFigure
    automatic : str
        Alternative text, used where none is given.
    note : str
        What the reader must know of the drawing; stands before the caption.
    title, caption : str, optional
        Heading over the figure, and text below it in small type, so that it survives a slide.
    alt : str, optional
        Own alternative text.
    display : bool
        False only returns the figure.
    """
    if title:
        _add_title(fig, title)
    text = " ".join(part for part in (note, caption) if part)
    if text:
        _add_caption(fig, text)
    heading = f"{title}. " if title and title[-1] not in ".?!…" else f"{title or ''} "
    fig.alt = " ".join((alt or heading + automatic).split())
    if display:
        show(fig, fig.alt)
    return fig


def _add_title(fig: Figure, title: str) -> None:
    """Write a heading, and make room for it; over few panels it is no larger than their titles."""
    size = style.SIZE_TITLE if fig.get_figwidth() > 0.7 * style.WIDTH else style.SIZE_PANEL
    text = style.wrap(title, fig.get_figwidth() - 0.3, size)
    fig.suptitle(text, x=0.01, ha="left", fontsize=size, fontweight="bold")
    fig.set_figheight(fig.get_figheight() + style.height_of(text, size))


def _add_caption(fig: Figure, caption: str) -> None:
    """Write a caption below everything else, and make room for it.

    The label of a figure's x axes is what matplotlib's layouts keep free from everything else.
    """
    if fig.get_layout_engine() is None:
        fig.set_layout_engine("constrained")
    text = style.wrap(caption, fig.get_figwidth() - 0.3, style.SIZE_NOTE)
    fig.supxlabel(text, x=0.01, ha="left", fontsize=style.SIZE_NOTE, color=style.MUTED)
    fig.set_figheight(fig.get_figheight() + style.height_of(text, style.SIZE_NOTE) + 0.05)
