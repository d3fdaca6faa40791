"""Knobs over any function that draws, and one set of them that explains any photograph.

A static figure is displayed first and gives way to the redrawn one when a knob is turned, so that a
page without a kernel shows something, and a stored notebook holds the figure and no widget.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ipywidgets
from IPython.display import DisplayHandle, display

from . import plots

__all__ = ["explain_photograph", "explore"]


def make_control(name: str, knob: Any) -> ipywidgets.Widget:
    """Return a widget as it is, a slider for numbers, a menu for anything else."""
    if isinstance(knob, ipywidgets.Widget):
        knob.description = knob.description or name
        return knob
    if isinstance(knob, str) or not isinstance(knob, Sequence) or not knob:
        raise TypeError(f"{name}={knob!r}: expected a list of values to choose from, or a widget")
    words = {"value": knob[0], "description": name.replace("_", " ")}
    if all(isinstance(value, int | float) for value in knob):
        # a slow computation runs when the mouse lets go, not at every step of the way
        return ipywidgets.SelectionSlider(options=sorted(knob), continuous_update=False, **words)
    return ipywidgets.Dropdown(options=list(knob), **words)


def explore(draw: Callable[..., Any], **controls: Any) -> None:
    """Display controls over a function that draws: knobs in Jupyter, a figure everywhere.

    The figure for the first setting is displayed at once; turning a knob calls `draw` again. What
    `draw` raises then is shown in one line in the figure's place, and the knobs go on working.

    Parameters
    ----------
    draw : callable
        Takes the controls' values by name and returns a figure that was not displayed, as the
        functions of `course_utils.plots` do with ``display=False``.
    **controls : sequence, or ipywidgets.Widget
        Values to choose from, the first one to start with: a slider for numbers, a menu for
        anything else. A widget is taken as it is.

    Raises
    ------
    TypeError
        If a control is neither.

    Examples
    --------
    >>> def draw(photo, noise):
    ...     return plots.show_gallery({photo: blurred(photo, noise)}, display=False)
    >>> explore(draw, photo=["goose", "drum"], noise=[0, 0.1, 0.2])  # doctest: +SKIP
    """
    knobs = {name: make_control(name, knob) for name, knob in controls.items()}
    connect(draw, knobs, knobs.values())


def connect(
    draw: Callable[..., Any], knobs: dict[str, Any], row: Iterable[Any], busy: Sequence[Any] = ()
) -> None:
    """Display widgets and what is drawn; nothing is drawn anew while `busy` holds something."""
    # a page of Voilà has no reader without a kernel, and cannot replace what it has displayed
    alone = os.environ.get("SERVER_SOFTWARE", "").startswith("voila")
    handle, turned = DisplayHandle(), itertools.count(int(alone))

    def redraw(**values: Any) -> None:
        if not next(turned) or busy:  # called once before any knob is turned
            return
        try:
            figure = draw(**values)
            plots.show(figure, figure.alt)
        except Exception as error:  # a widget that dies in a callback says nothing to the reader
            print(f"{type(error).__name__}: {' '.join(str(error).split())}")

    def clear(_change: Any) -> None:
        handle.update({"text/plain": ""}, raw=True)

    figure = draw(**{name: knob.value for name, knob in knobs.items()})
    for knob in knobs.values():  # before the output listens, which would swallow the message
        knob.observe(clear, names="value")
    box = ipywidgets.HBox(list(row), layout={"flex_flow": "row wrap"})
    display(ipywidgets.VBox([box, ipywidgets.interactive_output(redraw, knobs)]))
    if not alone:
        data, metadata = figure.mime_bundle()
        handle.display(data, metadata=metadata, raw=True)


def explain_photograph(*arguments: Any, **options: Any) -> None:
    """Display a photograph, what a network sees in it and why, with a knob for every choice.

    Parameters
    ----------
    *arguments, **options
        photo, network, method and n_steps to start with, as in `explainer.explain_photograph`,
        which this calls.

    Examples
    --------
    >>> explain_photograph("goose", method="Grad-CAM")  # doctest: +SKIP
    """
    import explainer

    explainer.explain_photograph(*arguments, **options)
