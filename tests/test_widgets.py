"""The explorer of Integrated Gradients, driven as a person would, without a front-end."""

import datetime
import io

import pytest
import torch
from PIL import Image

import course_utils as cu
from course_utils import widgets


@pytest.fixture(scope="module")
def network():
    return cu.load_network("squeezenet1_1", device="cpu")


@pytest.fixture
def drawn(monkeypatch):
    """Figures that the explorer drew, in order."""
    figures = []
    monkeypatch.setattr(widgets.plots, "redisplay", lambda fig, handle: figures.append(fig))
    monkeypatch.setattr(widgets, "display", lambda widget: None)
    return figures


@pytest.fixture
def explorer(network, drawn):
    explorer = widgets.IntegratedGradientsExplorer(network, "leafhopper", n_steps=2)
    explorer.show()
    return explorer


def png(size=(40, 30)):
    file = io.BytesIO()
    Image.new("RGB", size, "navy").save(file, "PNG")
    return file.getvalue()


def upload(explorer, content):
    file = {"name": "mine.png", "type": "image/png", "size": len(content), "content": content}
    modified = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    explorer.controls["upload"].value = ({**file, "last_modified": modified},)


def test_the_first_figure_is_there_before_any_knob_is_turned(explorer, drawn, network):
    assert len(drawn) == 1
    assert "leafhopper" in drawn[0].alt
    target = explorer.controls["target"]
    assert target.value == 317
    assert [index for _, index in target.options] == [
        guess.index for guess in network.top_k(network.preprocess("leafhopper"))[0]
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_steps", 3), ("method", "riemann_right"), ("baseline", "black"), ("target", 316)],
)
def test_each_knob_redraws_once(explorer, drawn, name, value):
    explorer.controls[name].value = value
    assert len(drawn) == 2
    assert explorer._status.value == ""


def test_another_photograph_brings_its_own_classes(explorer, drawn):
    explorer.controls["photo"].value = "goose"
    assert len(drawn) == 2
    assert explorer.controls["target"].value == 99
    explorer.controls["target"].value = explorer.controls["target"].options[1][1]
    assert len(drawn) == 3


def test_an_uploaded_photograph_is_explained_and_a_broken_one_is_reported(explorer, drawn):
    upload(explorer, png())
    assert len(drawn) == 2
    shown = explorer._images.clone()
    upload(explorer, b"not a picture")
    assert len(drawn) == 2
    assert "Not opened" in explorer._status.value
    torch.testing.assert_close(explorer._images, shown)  # the last good photograph stays
    explorer.controls["n_steps"].value = 4
    assert len(drawn) == 3


def test_an_error_while_computing_is_shown_and_not_swallowed(explorer, monkeypatch):
    def fails(*args, **options):
        raise RuntimeError("out of <memory>")

    monkeypatch.setattr(widgets.attribution, "integrated_gradients", fails)
    explorer.controls["n_steps"].value = 5
    assert explorer._status.value == "<b>RuntimeError</b>: out of &lt;memory&gt;"


def test_baselines_are_what_their_names_say(network):
    images = network.preprocess("leafhopper")
    pixels = {
        name: network.denormalize(make(network, images)) for name, make in widgets.BASELINES.items()
    }
    assert pixels["black"].max() < 1e-6
    assert pixels["mean grey (zero)"].std(dim=(2, 3)).max() < 1e-6
    picture = network.denormalize(images)
    detail = pixels["blurred photograph"].diff(dim=-1).abs().mean()
    assert detail < 0.2 * picture.diff(dim=-1).abs().mean()
    assert abs(pixels["blurred photograph"].mean() - picture.mean()) < 0.02


# --- knobs over any function that draws -----------------------------------------------------------


@pytest.fixture
def knobs(drawn):
    """Make an explorer of a function that writes down what it was asked to draw."""
    asked = []

    def draw(name, noise):
        asked.append((name, noise))
        if noise > 1:
            raise ValueError("too <loud>")
        return name

    explorer = widgets.Explorer(draw, {"name": ["goose", "drum"], "noise": [0.2, 0, 2]})
    explorer.asked = asked
    explorer.show()
    return explorer


def test_knobs_start_with_the_first_values_and_redraw_once(knobs, drawn):
    assert knobs.asked == [("goose", 0.2)]
    knobs.controls["noise"].value = 0
    knobs.controls["name"].value = "drum"
    assert knobs.asked[1:] == [("goose", 0), ("drum", 0)]
    assert drawn == ["goose", "goose", "drum"]
    assert knobs._status.value == ""


def test_what_drawing_raises_is_shown(knobs, drawn):
    knobs.controls["noise"].value = 2
    assert knobs._status.value == "<b>ValueError</b>: too &lt;loud&gt;"
    assert len(drawn) == 1
    knobs.controls["noise"].value = 0
    assert knobs._status.value == ""
    assert len(drawn) == 2


def test_knobs_are_sliders_menus_or_widgets():
    own = widgets.ipywidgets.IntSlider(3)
    explorer = widgets.Explorer(lambda **values: None, {"a_b": [1, 2], "c": ["x"], "d": own})
    kinds = [type(control).__name__ for control in explorer.controls.values()]
    assert kinds == ["SelectionSlider", "Dropdown", "IntSlider"]
    assert explorer.controls["a_b"].description == "a b"
    assert explorer.controls["d"] is own
    for wrong in ("goose", 3, []):
        with pytest.raises(TypeError, match="list of values"):
            widgets.explore(lambda **values: None, photo=wrong)
