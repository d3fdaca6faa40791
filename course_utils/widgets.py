"""Knobs over any function that draws.

A static figure is displayed first and gives way to the redrawn one when a knob is turned, so that a
page without a kernel shows something, and a stored notebook holds the figure and no widget.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import torch
from IPython.display import DisplayHandle, display
from PIL import Image

from . import attribution, photos, plots
from .attribution.quadrature import METHODS
from .networks import Network

__all__ = ["explore", "explore_integrated_gradients"]


def _make_control(name: str, knob: Any) -> ipywidgets.Widget:
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
    knobs = {name: _make_control(name, knob) for name, knob in controls.items()}
    handle, turned = DisplayHandle(), itertools.count()

    def redraw(**values: Any) -> None:
        if not next(turned):  # called once before any knob is turned
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
    row = ipywidgets.HBox(list(knobs.values()), layout={"flex_flow": "row wrap"})
    display(ipywidgets.VBox([row, ipywidgets.interactive_output(redraw, knobs)]))
    data, metadata = figure.mime_bundle()
    handle.display(data, metadata=metadata, raw=True)


def explore_integrated_gradients(
    network: Network, photo: photos.PhotoSource, *, n_steps: int = 50
) -> None:
    """Display knobs for photograph, class, baseline, rule and steps of Integrated Gradients.

    In the place of the photograph's name a path or an address can be typed.

    Parameters
    ----------
    network : Network
        The network to explain.
    photo : photograph
        What to start with: anything that `load_photo` opens.
    n_steps : int
        Gradients per attribution to start with.
    """
    from torchvision.transforms.v2.functional import gaussian_blur

    baselines = {
        "mean grey (zero)": torch.zeros_like,
        "black": lambda x: network.preprocess(Image.new("RGB", (224, 224))).expand_as(x),
        "blurred photograph": lambda x: gaussian_blur(x, 63, 16.0),
    }
    given = {} if isinstance(photo, str) else {"your photograph": photo}
    names = [*given, *photos.photo_names("imagenet"), *photos.photo_names("skimage")]
    first = next(iter(given), photo)

    def draw(photo: str, guess: int, baseline: str, rule: str, steps: int) -> Any:
        x = network.preprocess(given.get(photo, photo))
        found = network.top_k(x, k=5)[0][guess - 1]
        result = attribution.integrated_gradients(
            network.model, x, found.index, baselines=baselines[baseline](x), n_steps=steps,
            method=rule,
        )  # fmt: skip
        return plots.show_attributions(
            network.denormalize(x)[0], {"Integrated Gradients": result}, clip_percentile=99.5,
            notes={"Integrated Gradients": f"sums to {result.attributions.sum():+.2f}"},
            quantity="contribution to the logit", title=f"“{found.label}”, from {baseline}",
            caption=f"{network.caption}. {steps} gradients, {rule}.", display=False,
        )  # fmt: skip

    explore(
        draw, photo=ipywidgets.Combobox(value=first, options=names, continuous_update=False),
        guess=[1, 2, 3, 4, 5], baseline=list(baselines),
        rule=sorted(METHODS, key="gausslegendre".__ne__),
        steps=[n_steps, *(n for n in (2, 5, 10, 20, 50, 100, 300) if n != n_steps)],
    )  # fmt: skip
