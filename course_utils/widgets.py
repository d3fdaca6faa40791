"""Knobs to turn: ipywidgets front-ends over the other modules.

Each one draws a static figure first and redraws that same figure when a control changes, so that a
page without a kernel still shows something, and a stored notebook holds the figure and no widget.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import torch
from IPython.display import display
from PIL import Image
from torch import Tensor

from . import attribution, photos, plots
from .networks import Network

__all__ = [
    "BASELINES",
    "Explorer",
    "IntegratedGradientsExplorer",
    "explore",
    "explore_integrated_gradients",
]

_BLUR_SIGMA = 16.0


def _black(network: Network, images: Tensor) -> Tensor:
    return network.preprocess(Image.new("RGB", (224, 224))).expand_as(images)


def _blurred(network: Network, images: Tensor) -> Tensor:
    from torchvision.transforms.v2 import functional as transforms

    kernel_size = int(4 * _BLUR_SIGMA) - 1  # two standard deviations on either side
    return transforms.gaussian_blur(images, kernel_size, _BLUR_SIGMA)


#: Baselines that the explorer offers: from a network and its normalised images to a batch alike.
BASELINES: dict[str, Callable[[Network, Tensor], Tensor]] = {
    "mean grey (zero)": lambda network, images: torch.zeros_like(images),
    "black": _black,
    "blurred photograph": _blurred,
}


class _Redrawn:
    """A figure that is drawn again in its place, and a line that says what went wrong."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._status = ipywidgets.HTML()

    def figure(self) -> plots.CourseFigure:
        raise NotImplementedError

    def _draw(self) -> None:
        self._handle = plots.redisplay(self.figure(), self._handle)

    def _redraw(self, _change: Any = None) -> None:
        self._status.value = "computing …"
        try:
            self._draw()
            self._status.value = ""
        except Exception as error:  # a widget that dies in a callback says nothing to the reader
            self._status.value = f"<b>{type(error).__name__}</b>: {html.escape(str(error))}"


class IntegratedGradientsExplorer(_Redrawn):
    """Steps, rule, baseline, class and photograph of Integrated Gradients, to be turned by hand.

    Parameters
    ----------
    network : Network
        The network to explain.
    photo : photograph
        What to start with: anything that `load_photo` opens.
    n_steps : int
        Gradients per attribution to start with.

    Attributes
    ----------
    controls : dict of str to ipywidgets.Widget
        The knobs by name: "photo", "upload", "target", "baseline", "method", "n_steps".
    """

    def __init__(self, network: Network, photo: photos.PhotoSource, *, n_steps: int = 50) -> None:
        super().__init__()
        self.network = network
        self.controls = self._make_controls(photo, n_steps)
        self._open(photo)
        for name in ("target", "baseline", "method", "n_steps"):
            self.controls[name].observe(self._redraw, names="value")
        self.controls["photo"].observe(self._choose, names="value")
        self.controls["upload"].observe(self._upload, names="value")

    @staticmethod
    def _make_controls(photo: photos.PhotoSource, n_steps: int) -> dict[str, Any]:
        catalogue = photos.photo_names("imagenet") + photos.photo_names("skimage")
        start = photo if photo in catalogue else None
        # a slow computation runs when the mouse lets go, not at every pixel of the way
        steps = ipywidgets.IntSlider(
            n_steps, min=2, max=300, description="steps", continuous_update=False
        )
        return {
            "photo": ipywidgets.Dropdown(options=catalogue, value=start, description="photo"),
            "upload": ipywidgets.FileUpload(accept="image/*", description="your own photo"),
            "target": ipywidgets.Dropdown(description="class"),
            "baseline": ipywidgets.Dropdown(options=list(BASELINES), description="baseline"),
            "method": ipywidgets.Dropdown(
                options=attribution.METHODS, value="gausslegendre", description="rule"
            ),
            "n_steps": steps,
        }

    def show(self) -> None:
        """Display the controls, and the figure for their present setting below them."""
        controls = list(self.controls.values())
        rows = [ipywidgets.HBox(controls[:3]), ipywidgets.HBox(controls[3:]), self._status]
        display(ipywidgets.VBox(rows))
        self._draw()

    def figure(self) -> plots.CourseFigure:
        """Compute the attribution for the present setting and draw it, without displaying it."""
        settings = {name: self.controls[name].value for name in ("target", "method", "n_steps")}
        start = BASELINES[self.controls["baseline"].value](self.network, self._images)
        result = attribution.integrated_gradients(
            self.network.model, self._images, baselines=start, **settings
        )
        with torch.no_grad():
            ends = self.network.model(torch.cat([self._images, start]))[:, settings["target"]]
        change, delta = (ends[0] - ends[1]).item(), result.delta.item()
        label = self.network.labels[settings["target"]]
        name = "Integrated Gradients"
        return plots.show_attributions(
            self.network.denormalize(self._images)[0],
            {name: result.attributions[0]},
            clip_percentile=99.5,
            notes={name: f"logit change {change:.2f}, delta {delta:.2f}"},
            quantity="contribution to the logit",
            title=f"“{label}”, from {self.controls['baseline'].value}",
            caption=f"{self.network.caption}. {settings['n_steps']} gradients, "
            f"{settings['method']}.",
            display=False,
        )

    def _open(self, photo: photos.PhotoSource) -> None:
        self._images = self.network.preprocess(photo)
        guesses = self.network.top_k(self._images)[0]
        target = self.controls["target"]
        target.options = [(f"{g.label} ({g.probability:.0%})", g.index) for g in guesses]
        target.value = guesses[0].index

    def _replace(self, photo: photos.PhotoSource) -> None:
        self.controls["target"].unobserve(self._redraw, names="value")
        try:
            self._open(photo)
        except photos.PhotoError as error:
            self._status.value = f"<b>Not opened</b>: {html.escape(str(error))}"
        else:
            self._redraw()
        finally:
            self.controls["target"].observe(self._redraw, names="value")

    def _choose(self, change: Any) -> None:
        if change["new"] is not None:
            self._replace(change["new"])

    def _upload(self, change: Any) -> None:
        if change["new"]:
            self._replace(bytes(change["new"][-1]["content"]))


def explore_integrated_gradients(
    network: Network, photo: photos.PhotoSource, *, n_steps: int = 50
) -> None:
    """Display an `IntegratedGradientsExplorer`: controls in Jupyter, a figure everywhere.

    Parameters
    ----------
    network, photo, n_steps
        As for `IntegratedGradientsExplorer`.
    """
    IntegratedGradientsExplorer(network, photo, n_steps=n_steps).show()


class Explorer(_Redrawn):
    """Knobs over a function that draws; see `explore`.

    Attributes
    ----------
    controls : dict of str to ipywidgets.Widget
        The knobs, by the name of the argument they set.
    """

    def __init__(self, draw: Callable[..., plots.CourseFigure], controls: dict[str, Any]) -> None:
        super().__init__()
        self._draw_with = draw
        self.controls = {name: _make_control(name, knob) for name, knob in controls.items()}
        for control in self.controls.values():
            control.observe(self._redraw, names="value")

    def show(self) -> None:
        """Display the controls, and the figure for their present setting below them."""
        display(ipywidgets.VBox([ipywidgets.HBox(list(self.controls.values())), self._status]))
        self._draw()

    def figure(self) -> plots.CourseFigure:
        """Draw the figure for the controls' present setting, without displaying it."""
        return self._draw_with(**{name: knob.value for name, knob in self.controls.items()})


def _make_control(name: str, knob: Any) -> Any:
    """Return a widget as it is, a slider for numbers, a menu for anything else."""
    if isinstance(knob, ipywidgets.Widget):
        return knob
    if isinstance(knob, str) or not isinstance(knob, Sequence) or not knob:
        raise TypeError(f"{name}={knob!r}: expected a list of values to choose from, or a widget")
    if all(isinstance(value, int | float) for value in knob):
        # a slow computation runs when the mouse lets go, not at every step of the way
        return ipywidgets.SelectionSlider(
            options=list(knob), description=name.replace("_", " "), continuous_update=False
        )
    return ipywidgets.Dropdown(options=list(knob), description=name.replace("_", " "))


def explore(draw: Callable[..., plots.CourseFigure], **controls: Any) -> None:
    """Display controls over a function that draws: knobs in Jupyter, a figure everywhere.

    The figure for the first setting is displayed at once; turning a knob calls `draw` again and
    replaces it. What `draw` raises then is shown below the knobs.

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
    Explorer(draw, controls).show()
