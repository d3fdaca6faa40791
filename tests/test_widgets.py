"""Knobs, turned as a person would, without a front-end."""

import numpy as np
import pytest
import torch
from PIL import Image

import course_utils as cu
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


def test_integrated_gradients_can_be_explored(screen, monkeypatch, capsys, tmp_path):
    network = cu.load_network("squeezenet1_1", device="cpu")
    opened = []
    kind = type(network.preprocess)
    call = kind.__call__
    monkeypatch.setattr(kind, "__call__", lambda self, x: opened.append(x) or call(self, x))
    widgets.explore_integrated_gradients(network, "leafhopper", n_steps=2)
    assert "leafhopper" in screen.static["text/plain"]
    turned = {"guess": 2, "baseline": "black", "rule": "riemann_right", "steps": 5}
    for number, (name, value) in enumerate(turned.items(), start=1):
        screen.knobs[name].value = value
        assert len(screen.redrawn) == number
    photo = screen.knobs["photo"]
    photo.value = "goose"
    assert opened[-2:].count("goose") >= 1
    paths = tmp_path / "mine.png", tmp_path / "broken.png"
    Image.new("RGB", (40, 30), "navy").save(paths[0])
    paths[1].write_bytes(b"not a picture")
    for path in paths:  # typed, as a path or an address
        photo.value = str(path)
    assert opened.count(str(paths[0])) == 1
    assert len(screen.redrawn) == len(turned) + 2  # the broken file is reported, in one line
    assert "PhotoError" in capsys.readouterr().out.strip().splitlines()[-1]
    assert torch.is_grad_enabled()


def test_a_picture_of_ones_own_is_among_the_photographs(screen):
    network = cu.load_network("squeezenet1_1", device="cpu")
    widgets.explore_integrated_gradients(network, Image.new("RGB", (40, 30), "navy"), n_steps=1)
    assert screen.knobs["photo"].value == "your photograph"
