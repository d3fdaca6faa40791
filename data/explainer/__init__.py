"""One widget that explains any photograph: a knob for network, method, class, baseline and layer.

``explain_photograph("goose")`` in a notebook. An application on top of `course_utils`, which it
comes with: its knobs are those of `course_utils.widgets`.
"""

from __future__ import annotations

import functools
import html
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import captum.attr
import ipywidgets
import torch
from PIL import Image
from torch import Tensor, nn

from course_utils import attribution, checks, photos, plots, runtime
from course_utils.networks import NETWORKS, Network, load_network
from course_utils.widgets import connect, make_control

__all__ = ["explain_photograph"]


def _guided(net: Network, x: Tensor, target: int, **_: Any) -> Tensor:
    if not any(isinstance(module, nn.ReLU) for module in net.model.modules()):
        raise ValueError(f"{net.title} has no nn.ReLU: Guided Backprop would be the plain gradient")
    return captum.attr.GuidedBackprop(net.model).attribute(x, target)


def _occlusion(net: Network, x: Tensor, target: int, start: Tensor) -> Tensor:
    falls, squares = x.new_zeros(1, 8, 8), list(itertools.product(range(8), repeat=2))
    with torch.no_grad():
        whole = net.model(x)[0, target]
        for row, column in runtime.progress(squares, description="Occlusion"):
            covered, top, left = x.clone(), 28 * row, 28 * column
            square = (..., slice(top, top + 28), slice(left, left + 28))
            covered[square] = start[square]
            falls[0, row, column] = whole - net.model(covered)[0, target]
    return falls


def _blurred(_net: Network, x: Tensor) -> Tensor:
    from torchvision.transforms.v2.functional import gaussian_blur

    return gaussian_blur(x, 63, 16.0)


#: How a map is made, the knobs that it uses, and what it shows.
_METHODS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "Integrated Gradients": (
        lambda net, x, target, start, steps: attribution.integrated_gradients(
            net.model, x, target, baselines=start, n_steps=steps), "baseline steps",
        "What each pixel adds to the logit on the line from the baseline ({baseline}) to the "
        "photograph; {steps} gradients"),
    "DeepLift": (
        lambda net, x, target, start: attribution.deeplift(net.model, x, target, start), "baseline",
        "What each pixel adds to the logit, compared with the baseline ({baseline})"),
    "Grad-CAM": (
        lambda net, x, target, layer, **_: attribution.grad_cam(
            net.model, x, target, layer, upsample=False), "layer",
        "Where layer {layer} speaks for the class; what speaks against it is left out"),
    "Saliency": (
        lambda net, x, target, **_: captum.attr.Saliency(net.model).attribute(x, target).amax(1),
        "", "How strongly the logit reacts to each pixel, up or down (largest of three channels)"),
    "Gradient × input": (
        lambda net, x, target, **_: captum.attr.InputXGradient(net.model).attribute(x, target), "",
        "What each pixel would add to the logit, from mean grey, were the network linear"),
    "Guided Backprop": (
        _guided, "", "Gradients that pass a ReLU only where they are positive; mostly edges"),
    "Occlusion": (
        _occlusion, "baseline",
        "How far the logit falls when squares of 28 × 28 pixels are covered ({baseline})"),
}  # fmt: skip
_BASELINES: dict[str, Callable[[Network, Tensor], Tensor]] = {
    "mean grey": lambda net, x: torch.zeros_like(x),
    "black": lambda net, x: net.preprocess(Image.new("RGB", (256, 256))),
    "blurred photograph": _blurred,
}


class _Explainer:
    """The knobs of `explain_photograph`, and what was computed for their settings."""

    def __init__(self, photo: Any, network: Network, method: str, n_steps: int) -> None:
        bundled = {about.title: name for name, about in NETWORKS.items() if about.bundled}
        bundled.pop(network.title, None)
        self.load = functools.cache(lambda t: load_network(bundled[t]) if t in bundled else network)
        self.look = functools.lru_cache(64)(self._look)
        self.attribute = functools.lru_cache(256)(self._attribute)
        self.names = [*photos.photo_names("imagenet"), *photos.photo_names("skimage")]
        known = isinstance(photo, str) and photo in self.names
        self.own = {} if known else {"your photograph": photos.load_photo(photo)}
        self.names.sort(key=lambda name: name != photo)
        labels = {"options": list(dict.fromkeys(network.labels)), "continuous_update": False}
        choices = {
            "photo": [*self.own, *self.names], "network": [network.caption, *bundled],
            "method": sorted(_METHODS, key=method.__ne__),
            "guess": ipywidgets.Dropdown(description="class", options=[("", 0)]),
            "name": ipywidgets.Combobox(description="or by name", **labels),
            "baseline": list(_BASELINES), "layer": [network.layers.grad_cam],
            "steps": [n_steps, *{5, 10, 20, 50, 100, 300} - {n_steps}],
        }  # fmt: skip
        self.knobs = {name: make_control(name, choice) for name, choice in choices.items()}
        self.upload = ipywidgets.FileUpload(accept="image/*", description="your own")
        self.said, self.busy = ipywidgets.HTML(layout={"width": "100%"}), []
        for name in ("network", "photo", "method", "guess"):
            self.knobs[name].observe(self.refresh, "value")
        self.upload.observe(self.receive, "value")
        self.refresh({"owner": None})

    def _look(self, network: str, photo: str) -> tuple[Tensor, list[Any], list[str]]:
        x = self.load(network).preprocess(self.own.get(photo, photo))
        ranks = self.load(network).top_k(x)[0]
        percent = plots.style.format_percent
        return x, ranks, [f"{rank.label}, {percent(rank.probability)}" for rank in ranks]

    def _attribute(self, network: str, photo: str, method: str, target: int, **chosen: Any) -> Any:
        net, x = self.load(network), self.look(network, photo)[0].clone().requires_grad_()
        if baseline := chosen.pop("baseline", None):
            chosen["start"] = _BASELINES[baseline](net, x.detach())
        result = _METHODS[method][0](net, x, target, **chosen)
        values = getattr(result, "attributions", result).detach()
        return values.flatten(0, -3).sum(0), getattr(result, "delta", None)

    def draw(
        self, network: str, photo: str, method: str, guess: int, name: str, **chosen: Any
    ) -> Any:
        """Draw the photograph with the network's prediction, and the map."""
        net, (x, ranks, words) = self.load(network), self.look(network, photo)
        target = ranks[guess].index
        if name := name.strip():
            target = int(name) if name.isdigit() else net.index_of(name)
        _, used, shows = _METHODS[method]
        chosen = {knob: chosen[knob] for knob in used.split()}
        values, delta = self.attribute(network, photo, method, target, **chosen)
        coarse = values.shape != x.shape[2:]
        note, total = "", values.sum().item()
        if delta is not None:
            note = f"sums to {total:+.2f}, should be {total - delta.item():+.2f}"
        return plots.show_attributions(
            net.denormalize(x)[0], {method: values}, notes={method: note}, overlay=coarse,
            clip_percentile=100 if coarse else 99.5, image_title=f"Prediction: {words[0]}",
            title=f"Why “{net.labels[target]}”?", display=False,
            caption=f"{net.caption}. {shows.format(**chosen)}.",
        )  # fmt: skip

    def refresh(self, change: Mapping[str, Any]) -> None:
        """Offer what the network and the photograph have, and only what the method uses."""
        if self.busy:
            return
        self.busy.append(change)  # one knob was turned, so one figure is drawn
        knobs, turned = self.knobs, change["owner"]
        if turned is knobs["guess"]:
            knobs["name"].value = ""
        elif turned is not knobs["method"]:
            words = self.look(knobs["network"].value, knobs["photo"].value)[2]
            knobs["guess"].options = [(text, i) for i, text in enumerate(words)]
        if turned in (None, knobs["network"]):
            net = self.load(knobs["network"].value)
            wanted = {net.layers.grad_cam, net.layers.content, *net.layers.style}
            knobs["layer"].options = [n for n, _ in net.model.named_modules() if n in wanted][::-1]
        for name in ("baseline", "layer", "steps"):
            used = name in _METHODS[knobs["method"].value][1]
            knobs[name].layout.display = "" if used else "none"
        self.busy.clear()

    def receive(self, change: Mapping[str, Any]) -> None:
        """Take an uploaded file among the photographs, or say in a sentence why not."""
        files = change["new"]  # by name in ipywidgets 7, in rows in 8
        files = files if isinstance(files, dict) else {row["name"]: row for row in files}
        for name, file in files.items():
            key, self.said.value = f"yours {len(self.own) + 1}: {name}", ""
            try:
                self.own[key] = photos.load_photo(bytes(file["content"]))
            except photos.PhotoError as error:
                self.said.value = html.escape(f"{name}: {error}")
                continue
            self.knobs["photo"].options = [*reversed(self.own), *self.names]  # selects the first


def explain_photograph(
    photo: photos.PhotoSource = "bald_eagle", network: Network | str = "squeezenet1_1", *,
    method: str = "Integrated Gradients", n_steps: int = 15,
) -> None:  # fmt: skip
    """Display a photograph, what a network sees in it and why, with a knob for every choice.

    Choose the network, the method, the class (one of the five most probable, or any by its name or
    index), the baseline or the layer where the method has one, and a photograph of the course or
    one of your own, which goes to the machine that runs the notebook and no further. Nothing is
    computed twice. A file that cannot be opened is answered by a sentence, and all stays as it was.

    Parameters
    ----------
    photo : photograph
        What to start with: anything that `load_photo` opens.
    network : Network or str
        What to start with; the bundled networks can be chosen too.
    method : str
        What to start with: "Integrated Gradients", "DeepLift", "Grad-CAM", "Saliency",
        "Gradient × input", "Guided Backprop" or "Occlusion".
    n_steps : int
        Gradients of Integrated Gradients to start with.

    Raises
    ------
    ValueError
        For an unknown method or network, or, as PhotoError, a photograph that cannot be opened.

    Examples
    --------
    >>> explain_photograph("goose", method="Grad-CAM")  # doctest: +SKIP
    """
    checks.one_of("method", method, _METHODS)
    network = load_network(network) if isinstance(network, str) else network
    bench = _Explainer(photo, network, method, n_steps)
    photograph, *others = bench.knobs.values()
    row = [photograph, bench.upload, *others, bench.said]
    connect(bench.draw, bench.knobs, row, bench.busy)
