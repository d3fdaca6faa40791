"""Knobs, turned as a person would, without a front-end."""

import datetime
import io

import captum.attr
import numpy as np
import pytest
import torch
from PIL import Image

import course_utils as cu
import explainer
from course_utils import plots, widgets


class Screen:
    """What a reader would see: the widgets, the static figure, and everything redrawn."""

    def __init__(self):
        self.knobs, self.static, self.redrawn = {}, None, []

    def display(self, data=None, **options):
        self.static = data

    def update(self, data, **options):
        self.static = data


@pytest.fixture
def screen(monkeypatch):
    screen = Screen()

    def show_knobs(box):
        row, screen.output = box.children
        screen.knobs = {knob.description: knob for knob in row.children}

    monkeypatch.setattr(widgets, "display", show_knobs)
    monkeypatch.setattr(widgets, "DisplayHandle", lambda: screen)
    monkeypatch.setattr(widgets.plots, "show", lambda fig, alt: screen.redrawn.append(alt))
    return screen


@pytest.fixture
def asked(screen):
    """Explore a function that writes down what it was asked to draw."""
    asked = []

    def draw(name, noise_level):
        asked.append((name, noise_level))
        if noise_level > 1:
            raise ValueError("too\nloud")
        return plots.show_gallery({name: np.zeros((8, 8, 3))}, display=False)

    widgets.explore(draw, name=["goose", "drum"], noise_level=[0.2, 0, 2])
    return asked


def test_a_static_figure_gives_way_to_the_redrawn_one(screen, asked):
    assert asked == [("goose", 0.2)]
    assert "image/jpeg" in screen.static
    assert "goose" in screen.static["text/plain"]
    assert screen.redrawn == []
    screen.knobs["noise level"].value = 0
    assert screen.static == {"text/plain": ""}
    screen.knobs["name"].value = "drum"
    assert asked[1:] == [("goose", 0), ("drum", 0)]
    assert len(screen.redrawn) == 2
    assert "drum" in screen.redrawn[-1]


def test_an_error_is_one_line_and_the_knobs_go_on(screen, asked, capsys):
    screen.knobs["noise level"].value = 2
    assert capsys.readouterr().out.strip().splitlines()[-1].endswith("ValueError: too loud")
    screen.knobs["noise level"].value = 0
    assert len(screen.redrawn) == 1


def test_a_page_of_its_own_has_one_figure(screen, monkeypatch):
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.13")
    widgets.explore(
        lambda size: plots.show_gallery([np.zeros((size, 8, 3))], display=False), size=[8, 9]
    )
    assert screen.static is None
    assert len(screen.redrawn) == 1
    screen.knobs["size"].value = 9
    assert len(screen.redrawn) == 2


def test_knobs_are_sliders_menus_or_widgets(screen):
    own = widgets.ipywidgets.IntSlider(3, description="own")

    def draw(**values):
        return plots.show_gallery([np.zeros((8, 8, 3))], display=False)

    widgets.explore(draw, a_b=[1, 2], c=["x"], d=own)
    kinds = {name: type(knob).__name__ for name, knob in screen.knobs.items()}
    assert kinds == {"a b": "SelectionSlider", "c": "Dropdown", "own": "IntSlider"}
    for wrong in ("goose", 3, []):
        with pytest.raises(TypeError, match="list of values"):
            widgets.explore(draw, photo=wrong)


# --- any photograph, explained --------------------------------------------------------------------


def upload(screen, **files):
    """Upload as the front-end of this version of ipywidgets does."""
    more = {"type": "image/png", "size": 1, "last_modified": datetime.datetime.now(datetime.UTC)}
    rows = [{"name": f"{name}.png", "content": files[name], **more} for name in files]
    if widgets.ipywidgets.__version__ < "8":
        value = {row["name"]: {"metadata": {}, "content": row["content"]} for row in rows}
    else:
        value = tuple(row | {"content": memoryview(row["content"])} for row in rows)
    screen.knobs["your own"].set_trait("value", value)


def png(color="navy"):
    Image.new("RGB", (40, 30), color).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


@pytest.fixture
def bench(screen, monkeypatch):
    """Open the widget on SqueezeNet; `screen.computed` lists what was computed."""
    screen.computed = []
    attribute = explainer._Explainer._attribute

    def noted(self, *words, **more):
        screen.computed.append(words + tuple(more.values()))
        return attribute(self, *words, **more)

    monkeypatch.setattr(explainer._Explainer, "_attribute", noted)
    widgets.explain_photograph("leafhopper", method="Saliency", n_steps=2)
    return screen


@pytest.mark.slow
def test_a_photograph_is_explained_by_every_method(bench):
    assert "leafhopper" in bench.static["text/plain"]
    knobs, offered = bench.knobs, {"baseline", "layer", "steps"}
    used = {"Integrated Gradients": {"baseline", "steps"}, "DeepLift": {"baseline"},
            "Occlusion": {"baseline"}, "Grad-CAM": {"layer"}}  # fmt: skip
    for number, method in enumerate(knobs["method"].options[1:], start=1):
        knobs["method"].value = method
        assert len(bench.redrawn) == number, "one turn, one figure"
        assert method in bench.redrawn[-1]
        shown = {name for name in offered if knobs[name].layout.display != "none"}
        assert shown == used.get(method, set())
    assert number == 6
    for name in ("layer", "baseline", "steps"):  # of the last method: two of them are not its own
        knobs[name].value = knobs[name].options[-1]
    assert len(bench.computed) == 8, "what the method does not use is not computed again"
    knobs["method"].value = "Saliency"
    assert len(bench.computed) == 8, "what was computed is kept"


@pytest.mark.slow
def test_class_network_and_photograph_go_together(bench, capsys):
    knobs = bench.knobs
    first, second = [label for label, _ in knobs["class"].options[:2]]
    assert "%" in first
    knobs["class"].value = 1
    assert f"Why “{second.rpartition(',')[0]}”?" in bench.redrawn[-1]
    layers = knobs["layer"].options
    knobs["network"].value = "EfficientNet-Lite0"
    assert knobs["class"].value == 0, "another network has other guesses"
    assert knobs["layer"].options != layers
    assert len(bench.redrawn) == 2
    knobs["or by name"].value = "tabby"
    assert "Why “tabby”?" in bench.redrawn[-1]
    knobs["photo"].value = "goose"
    assert "Why “tabby”?" in bench.redrawn[-1], "a class that was named stays"
    knobs["or by name"].value = "no such animal"
    assert "no such animal" in capsys.readouterr().out
    knobs["class"].value = 2
    assert knobs["or by name"].value == ""
    assert len(bench.redrawn) == 5
    knobs["or by name"].value = "134"  # one of two cranes
    assert "Why “crane" in bench.redrawn[-1]
    knobs["method"].value = "Guided Backprop"
    assert "has no nn.ReLU" in capsys.readouterr().out
    assert len(set(bench.computed)) == len(bench.computed)


def test_a_broken_upload_gets_a_sentence_and_nothing_is_lost(bench):
    knobs, photo = bench.knobs, bench.knobs["photo"]
    upload(bench, mine=png())
    assert photo.value.endswith("mine.png")
    assert len(bench.redrawn) == 1
    upload(bench, broken=b"<b>not a picture")
    assert "broken.png" in knobs[""].value
    assert "<b>" not in knobs[""].value
    assert photo.value.endswith("mine.png")
    assert len(bench.redrawn) == 1
    upload(bench, mine=png("red"))
    assert knobs[""].value == ""
    assert [name.rpartition(" ")[2] for name in photo.options[:3]] == ["mine.png"] * 2 + [
        "leafhopper"
    ]
    assert len(bench.computed) == 3
    assert torch.is_grad_enabled()


@pytest.mark.slow
def test_a_map_says_what_it_sums_to_and_what_it_should(monkeypatch):
    name, photo, way = "SqueezeNet 1.1", "leafhopper", "Integrated Gradients"
    bench, drawn = explainer._Explainer(photo, cu.load_network("squeezenet1_1"), way, 5), {}
    monkeypatch.setattr(explainer.plots, "show_attributions", lambda *_, **more: drawn.update(more))
    bench.draw(name, photo, way, guess=0, name="", baseline="black", steps=5)
    (x, ranks, _), net = bench.look(name, photo), bench.load(name)
    scores = net.model(torch.cat([x, explainer._BASELINES["black"](net, x)]))[:, ranks[0].index]
    due = (scores[0] - scores[1]).item()
    assert drawn["notes"][way].endswith(f"should be {due:+.2f}")


@pytest.mark.slow
def test_maps_are_the_libraries(screen):
    name, photo = "SqueezeNet 1.1", "leafhopper"
    bench = explainer._Explainer(photo, cu.load_network("squeezenet1_1"), "Occlusion", 2)
    x, ranks, _ = bench.look(name, photo)
    target, net = ranks[0].index, bench.load(name)
    window = {"sliding_window_shapes": (3, 28, 28), "strides": (3, 28, 28)}
    theirs = captum.attr.Occlusion(net.model).attribute(
        x, target=target, baselines=explainer._BASELINES["black"](net, x), **window
    )
    ours, _ = bench.attribute(name, photo, "Occlusion", target, baseline="black")
    torch.testing.assert_close(ours, theirs[0, 0, ::28, ::28], atol=1e-3, rtol=1e-3)
    theirs = captum.attr.InputXGradient(net.model).attribute(x.requires_grad_(), target)
    ours, _ = bench.attribute(name, photo, "Gradient × input", target)
    torch.testing.assert_close(ours, theirs.detach()[0].sum(0))


def test_what_to_start_with(screen, tmp_path):
    (tmp_path / "mine.png").write_bytes(png())
    network = cu.load_network("efficientnet_lite0", device="cpu")
    for photo in (Image.new("RGB", (40, 30), "navy"), str(tmp_path / "mine.png"), png()):
        widgets.explain_photograph(photo, network, method="Grad-CAM")
        assert screen.knobs["photo"].value == "your photograph"
        assert screen.knobs["network"].value == "EfficientNet-Lite0"
    with pytest.raises(ValueError, match="Grad-CAM"):
        widgets.explain_photograph(method="grad-cam")
    with pytest.raises(cu.PhotoError):
        widgets.explain_photograph(b"not a picture")
