"""Figures say what they show: scales, clipping, emptiness; colours and words for everyone."""

from __future__ import annotations

import base64
import io
import json
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image
from skimage.color import deltaE_ciede2000, lab2rgb, rgb2lab

from course_utils import plots
from course_utils.plots import style

RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.random((24, 24, 3)).astype(np.float32)
SIGNED = RANDOM.standard_normal((3, 24, 24))


def show_maps(maps, **options):
    return plots.show_attributions(PHOTO, maps, display=False, **options)


def picture_of(figure):
    """Return what is stored of a figure, as a PIL image, and its metadata."""
    data, metadata = figure.mime_bundle()
    (kind,) = (kind for kind in data if kind.startswith("image/"))
    return Image.open(io.BytesIO(base64.b64decode(data[kind]))), metadata[kind]


def layers(figure):
    """Every drawn map as its AxesImage: neither a photograph, nor its grey copy, nor a bar."""
    images = [image for axes in figure.axes for image in axes.images]
    return [
        image for image in images if image.get_array().ndim == 2 and image.get_cmap().name != "gray"
    ]


def texts(figure):
    found = [figure.get_suptitle(), figure.get_supxlabel()]
    for axes in figure.axes:
        found += [axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")]
        labels = (*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels())
        found += [text.get_text() for text in labels]
    return " ".join(" ".join(found).split())


# ----------------------------------------------------------------------- scales


def test_maps_share_one_scale_and_the_figure_states_it():
    figure = show_maps({"strong": SIGNED, "weak": 0.3 * SIGNED})
    limit = np.abs(SIGNED.sum(axis=0)).max()
    assert [image.get_clim() for image in layers(figure)] == [(-limit, limit)] * 2
    assert f"One scale for all maps: ±{style.format_number(limit)}" in texts(figure)
    assert f"±{style.format_number(limit)}" in figure.alt


def test_scales_of_their_own_are_stated_for_each_map():
    figure = show_maps({"strong": SIGNED, "weak": 0.3 * SIGNED}, scale="each")
    limits = [np.abs(factor * SIGNED.sum(axis=0)).max() for factor in (1, 0.3)]
    assert [image.get_clim()[1] for image in layers(figure)] == pytest.approx(limits)
    for limit in limits:
        assert f"±{style.format_number(limit)}" in texts(figure)
    assert "Each map has its own scale" in texts(figure)


def test_rows_can_have_scales_of_their_own():
    rows = [[plots.Panel("a", values=SIGNED)], [plots.Panel("b", values=5 * SIGNED)]]
    low, high = layers(plots.show_grid(rows, scale="row", display=False))
    assert high.get_clim()[1] == pytest.approx(5 * low.get_clim()[1])


def test_clipping_is_at_the_stated_percentile_of_all_maps_together():
    figure = show_maps({"a": SIGNED, "b": 3 * SIGNED}, clip_percentile=90)
    summed = SIGNED.sum(axis=0)
    expected = np.percentile(np.abs([summed, 3 * summed]), 90)
    assert [image.get_clim()[1] for image in layers(figure)] == pytest.approx([expected] * 2)
    assert "clipped at percentile 90 of |values|" in texts(figure)


def test_clipping_a_map_that_is_nearly_all_zero_clips_nothing():
    sparse = np.zeros((24, 24))
    sparse[3, 4] = 7.0
    figure = show_maps({"sparse": sparse}, clip_percentile=99)
    assert layers(figure)[0].get_clim() == (0, 7)
    assert "clipped" not in texts(figure)


def test_signed_maps_are_diverging_and_magnitudes_sequential():
    signed = show_maps({"a": SIGNED, "b": np.abs(SIGNED)})
    assert {image.get_cmap().name for image in layers(signed)} == {"course_signed"}
    unsigned = show_maps({"a": np.abs(SIGNED)})
    assert layers(unsigned)[0].get_cmap().name == "course_unsigned"
    assert layers(unsigned)[0].get_clim()[0] == 0


def test_an_all_zero_map_is_said_to_be_one():
    figure = show_maps({"zero": np.zeros((24, 24)), "other": SIGNED})
    assert "all zero" in texts(figure)
    assert "all zero" in texts(show_maps({"zero": np.zeros((3, 24, 24))}))


def test_a_scale_that_would_leave_a_map_blank_is_not_shared():
    maps = {"strong": SIGNED, "faint": 0.01 * SIGNED}
    figure = show_maps(maps)
    strong, faint = (image.get_clim()[1] for image in layers(figure))
    assert faint == pytest.approx(0.01 * strong)
    assert "Each map has its own scale" in texts(figure)
    with pytest.raises(ValueError, match="choose one of auto, row, each"):
        show_maps(maps, scale="shared")


def test_an_overlay_keeps_the_scale_and_hides_nothing_where_the_map_is_zero():
    half = np.abs(SIGNED)
    half[:, :12] = 0
    image = layers(show_maps({"a": half}, overlay=0.8))[0]
    opacity = image.cmap(image.norm(image.get_array()))[..., 3]
    assert image.get_clim() == (0, half.sum(axis=0).max())
    assert opacity.max() == pytest.approx(0.8)
    assert (opacity[:12] == 0).all()
    signed = style.overlay_colors(True, 0.8)
    assert signed(0.5)[3] == 0


def test_pixel_maps_are_smoothed_for_display_and_the_figure_says_so():
    spike = np.zeros((224, 224))
    spike[100, 60] = 1.0
    photo = np.zeros((224, 224, 3))
    figure = plots.show_attributions(photo, {"spike": spike}, display=False)
    shown = layers(figure)[0].get_array()
    assert shown.sum() == pytest.approx(1)  # completeness survives
    assert shown.max() == pytest.approx(1 / (2 * np.pi * 1.5**2), rel=0.02)
    assert "smoothed for display (Gaussian, σ = 1.5 px of 224)" in texts(figure)
    small = show_maps({"small": spike[90:114, 50:74]})
    assert layers(small)[0].get_array().max() == 1
    assert "smoothed" not in texts(small)


def test_coarse_maps_are_enlarged_and_say_so():
    figure = show_maps({"cam": np.abs(SIGNED[:, :6, :6])})
    assert layers(figure)[0].cmap.name == "course_unsigned_overlay"
    assert (
        layers(show_maps({"cam": SIGNED[:, :6, :6]}, overlay=False))[0].cmap.name
        == style.SIGNED.name
    )
    assert layers(figure)[0].get_extent() == [-0.5, 23.5, 23.5, -0.5]
    assert "6 × 6 cells" in texts(figure)


def test_a_mask_is_outlined():
    mask = np.zeros((24, 24), dtype=bool)
    mask[:12] = True
    for given in (mask, torch.from_numpy(mask), torch.from_numpy(mask)[None]):
        figure = show_maps({"a": SIGNED}, mask=given)
        assert all(axes.collections for axes in figure.axes[:2])
    with pytest.raises(ValueError, match="the picture"):
        show_maps({"a": SIGNED}, mask=mask[:5])


# ----------------------------------------------------------------------- what goes in


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_in_a_map_is_named(bad):
    broken = SIGNED.copy()
    broken[0, 1, 2] = bad
    with pytest.raises(ValueError, match=r"'broken': 1 of 1728 values are NaN or infinite"):
        show_maps({"good": SIGNED, "broken": broken})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 20, 24), "does not fit a picture of 24 × 24"),
        ((48, 48), "does not fit"),
        ((24,), "'map': expected"),
        ((2, 3, 24, 24), r"\[0\]"),
    ],
)
def test_maps_of_the_wrong_shape_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        show_maps({"map": np.ones(shape)})


@pytest.mark.parametrize(
    "make",
    [
        lambda rgb: Image.fromarray((rgb * 255).round().astype(np.uint8)),
        lambda rgb: (rgb * 255).round().astype(np.uint8),
        lambda rgb: rgb,
        lambda rgb: torch.from_numpy(rgb).permute(2, 0, 1).requires_grad_(),
        lambda rgb: torch.from_numpy(rgb).permute(2, 0, 1)[None].bfloat16(),
    ],
)
def test_pictures_in_every_form_are_the_same_picture(make):
    picture = plots.to_image(make(PHOTO))
    assert picture.shape == (24, 24, 3)
    np.testing.assert_allclose(picture, PHOTO, atol=3e-3)


def test_grey_pictures_become_rgb():
    assert plots.to_image(PHOTO[..., 0]).shape == (24, 24, 3)
    assert plots.to_image(torch.rand(1, 5, 7)).shape == (5, 7, 3)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (torch.randn(3, 24, 24), "normalised, call network.denormalize"),
        (255 * PHOTO, "looks like 0..255; divide by 255"),
        (torch.rand(2, 3, 24, 24), r"images\[0\]"),
        (torch.rand(5, 24, 24), "expected one picture"),
        (torch.full((3, 24, 24), torch.nan), "nan"),
        (np.full((24, 24, 3), 300), "to 255"),
        ("cat", "got <U3"),
    ],
)
def test_wrong_pictures_say_what_is_wrong(picture, message):
    with pytest.raises(ValueError, match=message):
        plots.to_image(picture)


def test_attributions_may_have_gradients_and_any_precision():
    tensor = torch.from_numpy(SIGNED).requires_grad_()
    figure = show_maps({"double": tensor, "half": tensor.bfloat16()})
    first, second = (image.get_array() for image in layers(figure))
    np.testing.assert_allclose(first, SIGNED.sum(axis=0))
    np.testing.assert_allclose(second, first, atol=0.1)


class Result:
    """As `integrated_gradients` returns it."""

    attributions = torch.from_numpy(SIGNED)[None]


@pytest.mark.parametrize(
    ("maps", "count"),
    [
        ({"IG": Result()}, 1),
        (Result(), 1),
        (torch.rand(4, 3, 24, 24), 4),
        (torch.rand(1, 3, 24, 24), 1),
        (torch.rand(3, 24, 24), 1),
        (torch.rand(5, 24, 24), 5),
        ([torch.rand(3, 24, 24), RANDOM.random((24, 24))], 2),
        (RANDOM.random((24, 24, 3)), 1),
        ({"channels last": RANDOM.random((24, 24, 3)), "mask": RANDOM.random((24, 24)) > 0.5}, 2),
        (
            {"half": torch.rand(3, 24, 24).half(), "gradient": torch.rand(24, 24).requires_grad_()},
            2,
        ),
        (
            {
                "bfloat": torch.rand(1, 3, 24, 24, dtype=torch.bfloat16),
                "int": np.eye(24, dtype=int),
            },
            2,
        ),
        ({"zero": np.zeros((24, 24)), "constant": np.full((24, 24), 3.0)}, 2),
    ],
)
def test_maps_come_in_every_form(maps, count):
    figure = show_maps(maps)
    assert len(layers(figure)) == count
    assert len(figure.alt) > 40
    assert picture_of(figure)[0].format == "JPEG"


@pytest.mark.parametrize("ncols", [1, 2])
def test_maps_stand_in_columns(ncols):
    figure = show_maps(torch.rand(5, 24, 24), ncols=ncols)
    assert len(layers(figure)) == 5
    assert picture_of(figure)[0].format == "JPEG"


@pytest.mark.parametrize("maps", [{}, [], torch.rand(0, 3, 24, 24)])
def test_no_maps_are_said_to_be_none(maps):
    with pytest.raises(ValueError, match="expected maps"):
        show_maps(maps)


# ----------------------------------------------------------------------- colours for everyone

# Machado, Oliveira & Fernandes 2009, "A physiologically-based model for simulation of color vision
# deficiency", table of matrices at severity 1.0; they act on linear RGB.
DEFICIENCIES = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def seen_by(deficiency, rgb):
    """CIE L*a*b* of colours as seen with a deficiency."""
    rgb = np.atleast_2d(np.asarray(rgb, dtype=float)[..., :3])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(DEFICIENCIES[deficiency]).T, 0, 1)
    encoded = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return rgb2lab(encoded)


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("magnitude", [0.5, 1.0])
def test_signs_stay_apart_for_colour_blind_readers(deficiency, magnitude):
    down, up = seen_by(deficiency, style.SIGNED([0.5 - magnitude / 2, 0.5 + magnitude / 2]))
    assert deltaE_ciede2000(down, up) > 20


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_lines_stay_apart_for_colour_blind_readers(deficiency):
    colors = seen_by(deficiency, [to_rgb(color) for color in style.SERIES[:5]])
    assert min(deltaE_ciede2000(a, b) for a, b in combinations(colors, 2)) > 7


def test_magnitudes_darken_steadily():
    lightness = rgb2lab(style.UNSIGNED(np.linspace(0, 1, 64))[:, :3])[:, 0]
    steps = -np.diff(lightness)
    assert (steps > 0).all()
    assert steps.max() < 2 * steps.min()


def test_both_signs_are_equally_dark_and_zero_is_white():
    distance = np.linspace(0, 0.5, 33)
    up = rgb2lab(style.SIGNED(0.5 + distance)[:, :3])[:, 0]
    down = rgb2lab(style.SIGNED(0.5 - distance)[:, :3])[:, 0]
    assert np.abs(up - down).max() < 2.5
    assert up[0] > 97
    assert lab2rgb([[up[0], 0, 0]]).min() > 0.96


def test_matplotlib_is_styled():
    assert mpl.rcParams["axes.spines.top"] is False
    colors = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    assert [mpl.colors.to_hex(color) for color in colors] == list(style.SERIES)


# ----------------------------------------------------------------------- showing


def test_alternative_text_is_required_of_own_figures():
    figure, _ = plots.figure()
    with pytest.raises(ValueError, match="alt is empty"):
        plots.show(figure, " ")


def test_every_figure_writes_its_own_alternative_text():
    alt = show_maps({"IG": np.abs(SIGNED), "CAM": SIGNED}, title="Why?").alt
    assert alt.startswith("Why? Pictures: Photograph. Maps: IG, CAM. Colours: attribution. One")
    rows = [[plots.Panel(image=PHOTO)], [plots.Panel(values=SIGNED, name="map of it")]]
    figure = plots.show_grid(rows, row_titles=["Seen", "Explained"], display=False)
    assert "Rows: Seen, Explained" in figure.alt
    assert "Maps: map of it" in figure.alt
    assert plots.show_gallery([PHOTO], alt="Own words.", display=False).alt == "Own words."


def test_an_unknown_keyword_is_refused():
    with pytest.raises(TypeError, match="titel"):
        show_maps({"a": SIGNED}, titel="Why?")


def test_outside_notebooks_nothing_is_displayed_and_pyplot_keeps_nothing(capsys):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    own, axes = plt.subplots()
    axes.plot([0, 1])
    plots.show(own, "A line that rises from 0 to 1.", "Its caption.")
    show_maps({"a": SIGNED})
    plots.show_attributions(PHOTO, {"a": SIGNED})
    assert plt.get_fignums() == before
    assert capsys.readouterr().out == ""


def test_words_stay_inside_the_figure_and_leave_the_pictures_their_size():
    long = "word " * 90 + "W" * 70
    titles = {f"A heading of many words {name * 30}": 0 * PHOTO for name in "XY"}
    figure = plots.show_gallery(titles, title=long, caption=long, display=False)
    stored, _ = picture_of(figure)
    pixels = np.asarray(stored.convert("L"))
    for edge in (pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:]):
        assert edge.min() > 245  # nothing is cut off, and paper is white
    dark = (pixels < 30).sum(axis=1)
    black = np.flatnonzero(dark > 2 * 250)  # rows through both pictures
    assert len(black) > 250
    plain = plots.show_gallery([0 * PHOTO] * 2, display=False)
    for drawn in (figure, plain):
        drawn.draw_without_rendering()
    sizes = [drawn.axes[0].get_window_extent().width for drawn in (figure, plain)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 11])
def test_pictures_are_large_enough_on_the_page(count):
    figure = plots.show_gallery(torch.rand(count, 3, 20, 20), title="Some", display=False)
    stored, metadata = picture_of(figure)
    figure.draw_without_rendering()
    screen = metadata["width"] / stored.width
    for axes in figure.axes[:count]:
        box = axes.get_window_extent()
        assert min(box.width, box.height) / figure.dpi * style.SCREEN_DPI * screen >= 155
    assert metadata["width"] <= 1000


def test_photographs_are_stored_in_full_colour_and_charts_without_loss():
    smooth = np.kron(RANDOM.random((14, 14, 3)), np.ones((16, 16, 1)))
    maps = {name: RANDOM.laplace(size=(224, 224)) for name in "abc"}
    figure = plots.show_attributions(smooth, maps, clip_percentile=99, display=False)
    data, metadata = figure.mime_bundle()
    assert len(data["image/jpeg"]) < 500_000  # three maps of pure noise: nothing real is larger
    assert metadata["image/jpeg"]["alt"] == metadata["alt"] == figure.alt
    assert picture_of(figure)[0].mode == "RGB"
    chart, axes = plots.figure()
    axes.plot([0, 1])
    plots.show(chart, "A line that rises from 0 to 1.")
    stored, metadata = picture_of(chart)
    assert stored.format == "PNG"
    assert metadata["alt"].startswith("A line")
    assert np.asarray(stored.convert("RGBA"))[..., 3].min() == 255


NOTEBOOK = """
import numpy as np
from course_utils import plots
picture = np.linspace(0, 1, 48).reshape(4, 4, 3)
plots.show_attributions(picture, {"Integrated gradients": picture[..., 0] - 0.5})
---
figure, axes = plots.figure()
axes.plot([0, 1])
plots.show(figure, "A line that rises from zero to one & \\"more\\".", "Its caption.")
figure
---
import matplotlib.pyplot as plt
print("open figures:", plt.get_fignums())
---
unshown, axes = plots.figure()
unshown
---
later = plots.show_gallery([picture], ["Later, on the last line"], display=False)
later
"""


@pytest.fixture(scope="module")
def executed():
    """Execute a small notebook."""
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in NOTEBOOK.split("---")]
    )
    options = {"timeout": 120, "kernel_name": "python3", "allow_errors": True}
    client.NotebookClient(notebook, **options).execute()
    return notebook


@pytest.mark.slow
def test_notebooks_store_alternative_text_and_show_each_figure_once(executed):
    first, second, third, fourth, fifth = (cell.outputs for cell in executed.cells)
    for kind, outputs in (("jpeg", first), ("png", second), ("jpeg", fifth)):
        assert [output.output_type for output in outputs] == ["display_data"]
        metadata = outputs[0].metadata
        assert metadata[f"image/{kind}"]["alt"] == metadata["alt"]
        assert len(metadata["alt"]) >= 20
        json.dumps(metadata)
    assert "Maps: Integrated gradients" in first[0].metadata["alt"]
    assert third[0].text.strip() == "open figures: []"
    assert "plots.show(figure, alt=" in str(fourth)


# ----------------------------------------------------------------------- charts


def test_titles_break_at_blanks_only_and_have_one_size():
    """Seven columns cut words in two, and a heading over few panels was larger than titles."""
    names = ["Photograph", "InputXGradient", "Integrated gradients", "GuidedBackpropagation"]
    row = [plots.Panel(name, np.zeros((8, 8, 3))) for name in [*names, "Grad-CAM", "IG", "x"]]
    figure = plots.show_grid([row], title="Seven", display=False)
    titles = [axes._left_title for axes in figure.axes]
    assert [" ".join(title.get_text().split()) for title in titles[:4]] == names
    assert titles[2].get_text() == "Integrated\ngradients"
    assert len({title.get_fontsize() for title in titles}) == 1
    widths = [title.get_window_extent().width for title in titles]
    assert max(widths) < figure.dpi * figure.get_figwidth() / 7, "no title runs into the next"
    figure = plots.show_grid([row[:2]], title="Two", display=False)
    heading, *titles = [figure._suptitle, *(axes._left_title for axes in figure.axes)]
    assert {title.get_fontsize() for title in titles} == {heading.get_fontsize()}
    assert "GuidedBackpropagation" in style.wrap("of GuidedBackpropagation", 0.5, 12).split("\n")


def test_intervals_mark_controls_and_refuse_errors_taken_for_ends():
    given = (["IG", "random"], [0.6, 0.3], [0.5, 0.2], [0.7, 0.4])
    options = {"quantity": "mass inside", "controls": ["random"], "display": False}
    figure = plots.plot_intervals(*given, percent=True, better="higher", **options)
    assert "IG 60.0 % (50.0 % to 70.0 %); random 30.0 % (20.0 % to 40.0 %)" in figure.alt
    assert figure.axes[0].lines[3].get_markerfacecolor() == style.PAPER
    with pytest.raises(ValueError, match="does not contain"):
        plots.plot_intervals(["IG"], [0.6], [0.1], [0.1], quantity="q", display=False)
    with pytest.raises(ValueError, match="among the labels"):
        plots.plot_intervals(*given, quantity="q", controls=["edges"], display=False)


def test_a_value_without_an_interval_has_no_whisker():
    given = (["few", "many"], [0.6, 0.5], [np.nan, 0.4], [np.nan, 0.6])
    figure = plots.plot_intervals(*given, quantity="mass", percent=True, display=False)
    assert "few 60.0 %; many 50.0 % (40.0 % to 60.0 %)" in figure.alt
    assert "No whisker" in texts(figure)
    assert figure.mime_bundle()


# ----------------------------------------------------------------------- sheets


@pytest.mark.parametrize(
    ("images", "count"),
    [
        (torch.rand(3, 3, 32, 32), 3),
        (torch.rand(7, 3, 8, 12), 7),
        (torch.rand(3, 32, 32), 1),
        (torch.rand(1, 3, 32, 32), 1),
        (RANDOM.random((32, 20, 3)), 1),
        (RANDOM.random((4, 32, 20, 3)), 4),
        (torch.rand(7, 9, 9), 7),
        (Image.new("L", (9, 9)), 1),
        ([Image.new("RGB", (9, 9)), torch.rand(3, 9, 9).half(), np.eye(9) > 0], 3),
        ({"a": PHOTO, 2: PHOTO}, 2),
    ],
)
def test_galleries_take_pictures_in_every_form(images, count):
    figure = plots.show_gallery(images, display=False)
    assert len([axes for axes in figure.axes if axes.images]) == count
    assert len(figure.alt) >= 12


@pytest.mark.parametrize("ncols", [1, 3])
def test_galleries_stand_in_columns(ncols):
    figure = plots.show_gallery(torch.rand(7, 3, 8, 12), ncols=ncols, display=False)
    shown = [axes.get_window_extent() for axes in figure.axes if axes.images]
    assert len({round(box.x0) for box in shown}) == ncols
    assert len(shown) == 7


def test_galleries_say_what_is_missing():
    for images in ([], {}, torch.rand(0, 3, 8, 8)):
        with pytest.raises(ValueError, match="got 0 images"):
            plots.show_gallery(images, display=False)
    with pytest.raises(ValueError, match="7 images, 1 titles"):
        plots.show_gallery(torch.rand(7, 3, 8, 8), ["a"], display=False)
    with pytest.raises(ValueError, match="zero"):
        plots.show_gallery([PHOTO], ncols=0, display=False)


def test_what_is_passed_in_stays_as_it_was():
    values = torch.from_numpy(SIGNED).requires_grad_()
    maps = {"a": values}
    before = values.detach().clone()
    show_maps(maps, notes={"a": "a note"}, clip_percentile=90)
    assert list(maps) == ["a"]
    assert values.requires_grad
    torch.testing.assert_close(values.detach(), before)


# ----------------------------------------------------------------------- numbers and lines


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.03141, "0.0314"),
        (-12.345, "−12.3"),
        (2.5e-6, "2.5 × 10⁻⁶"),
        (0, "0"),
        (1234.6, "1,235"),
        (12345678, "1.23 × 10⁷"),
        (0.9996, "1"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_are_rounded_not_mangled(value, text):
    assert style.format_number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.0 %"),
        (1e-6, "< 0.1 %"),
        (0.5, "50.0 %"),
        (0.99999, "> 99.9 %"),
        (1, "100.0 %"),
        (-0.123, "−12.3 %"),
    ],
)
def test_percentages_never_round_to_certainty(value, text):
    assert style.format_percent(value) == text


# --- plain images -------------------------------------------------------------------------------


def test_a_pair_shows_picture_and_map_in_the_colours_of_the_figures():
    picture = np.full((32, 32, 3), 0.5)
    values = np.zeros((32, 32))
    values[:, :8], values[:, 24:] = 1, -1
    page = np.asarray(plots.draw_pair(picture, values, "words\n", side=64)) / 255
    np.testing.assert_allclose(page[:64, :56], 0.5, atol=0.02)
    left, middle, right = page[32, 64 + 4], page[32, 64 + 32], page[32, 64 + 60]
    np.testing.assert_allclose(middle, 0.36 + 0.6 * 0.5, atol=0.02)
    assert left[0] > left[2] + 0.3, "what raises the score is orange"
    assert right[2] > right[0] + 0.3, "what lowers it is blue"
    assert page[64:].min() < 0.5, "words below"
    unsigned = np.asarray(plots.draw_pair(picture, np.maximum(values, 0), side=64)) / 255
    np.testing.assert_allclose(unsigned[32, 64 + 60], middle, atol=0.02)


def test_a_pair_of_a_map_that_is_zero_everywhere():
    page = np.asarray(plots.draw_pair(np.full((8, 8, 3), 0.5), np.zeros((8, 8)), side=32)) / 255
    np.testing.assert_allclose(page[:32, 40:], 0.66, atol=0.02)


def test_contact_sheet_pastes_images_in_rows():
    colors = ["red", "lime", "blue", "black"]
    sheet = plots.contact_sheet([Image.new("RGB", (20, 10), color) for color in colors], across=3)
    assert sheet.size == (3 * 32, 2 * 22)
    places = [(16, 11), (48, 11), (80, 11), (16, 33)]
    named = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)]
    assert [sheet.getpixel(place) for place in places] == named
    assert sheet.getpixel((48, 33)) == (255, 255, 255)
