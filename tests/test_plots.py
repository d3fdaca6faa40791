"""Figures say what they show: scales, clipping, emptiness; colours and words for everyone."""

from __future__ import annotations

import json
from itertools import combinations, pairwise
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from skimage.color import deltaE_ciede2000, lab2rgb, rgb2lab

from course_utils import plots
from course_utils.plots import style
from course_utils.plots.canvas import to_png
from course_utils.plots.curves import spread
from course_utils.plots.poster import _arrange

RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.random((24, 24, 3)).astype(np.float32)
SIGNED = RANDOM.standard_normal((3, 24, 24))
TOP = [
    SimpleNamespace(label="goose", index=99, probability=0.951),
    SimpleNamespace(label="llama", index=355, probability=0.0004),
]


def show_maps(maps, **options):
    return plots.show_attributions(PHOTO, maps, display=False, **options)


def layers(figure):
    """Every drawn map as its AxesImage: neither a photograph, nor its grey copy, nor a bar."""
    images = [image for axes in figure.axes for image in axes.images]
    return [
        image for image in images if image.get_array().ndim == 2 and image.get_cmap().name != "gray"
    ]


def texts(figure):
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
        found += [label.get_text() for label in axes.get_xticklabels()]
    return " ".join(" ".join(found).split())


# ----------------------------------------------------------------------- scales


def test_maps_share_one_scale_and_the_figure_states_it():
    figure = show_maps({"strong": SIGNED, "weak": 0.3 * SIGNED}, reduce="sum")
    limit = np.abs(SIGNED.sum(axis=0)).max()
    assert [image.get_clim() for image in layers(figure)] == [(-limit, limit)] * 2
    assert f"one scale for all maps: ±{style.format_number(limit)}" in texts(figure)
    assert f"±{style.format_number(limit)}" in figure.alt


def test_scales_of_their_own_are_stated_for_each_map():
    figure = show_maps({"strong": SIGNED, "weak": 0.3 * SIGNED}, scale="each")
    limits = [np.abs(factor * SIGNED.sum(axis=0)).max() for factor in (1, 0.3)]
    assert [image.get_clim()[1] for image in layers(figure)] == pytest.approx(limits)
    for limit in limits:
        assert f"±{style.format_number(limit)}" in texts(figure)
    assert "each map has its own scale" in texts(figure)


def test_rows_can_have_scales_of_their_own():
    rows = [[plots.Panel("a", values=SIGNED)], [plots.Panel("b", values=5 * SIGNED)]]
    low, high = layers(plots.show_grid(rows, scale="row", display=False))
    assert high.get_clim()[1] == pytest.approx(5 * low.get_clim()[1])


def test_a_fixed_limit_makes_figures_comparable_and_says_what_it_cuts():
    figure = show_maps({"map": SIGNED}, limit=0.5)
    assert layers(figure)[0].get_clim() == (-0.5, 0.5)
    assert "larger values are clipped" in texts(figure)


def test_clipping_is_at_the_stated_percentile_of_all_maps_together():
    figure = show_maps({"a": SIGNED, "b": 3 * SIGNED}, clip_percentile=90)
    summed = SIGNED.sum(axis=0)
    expected = np.percentile(np.abs([summed, 3 * summed]), 90)
    assert [image.get_clim()[1] for image in layers(figure)] == pytest.approx([expected] * 2)
    assert "clipped at the 90th percentile of all |values|" in texts(figure)


def test_clipping_a_map_that_is_nearly_all_zero_clips_nothing():
    sparse = np.zeros((24, 24))
    sparse[3, 4] = 7.0
    figure = show_maps({"sparse": sparse}, clip_percentile=99)
    assert layers(figure)[0].get_clim() == (0, 7)
    assert "nothing is clipped" in texts(figure)


def test_signed_maps_are_diverging_and_magnitudes_sequential():
    signed = show_maps({"a": SIGNED, "b": np.abs(SIGNED)})
    assert {image.get_cmap().name for image in layers(signed)} == {"course_signed"}
    unsigned = show_maps({"a": np.abs(SIGNED)})
    assert layers(unsigned)[0].get_cmap().name == "course_unsigned"
    assert layers(unsigned)[0].get_clim()[0] == 0
    with pytest.raises(ValueError, match="signed=False"):
        show_maps({"a": SIGNED}, signed=False)


def test_parts_of_an_attribution_share_its_scale_and_state_exact_sums():
    figure = plots.show_signed_parts(PHOTO, SIGNED, display=False)
    limit = np.abs(SIGNED.sum(axis=0)).max()
    assert [image.get_clim()[1] for image in layers(figure)] == pytest.approx([limit] * 5)
    _, signed, positive, negative, magnitude = (image.get_array() for image in layers(figure))
    np.testing.assert_allclose(positive + negative, signed)
    np.testing.assert_allclose(positive - negative, magnitude)
    for part in (signed, positive, negative):
        assert f"sum {style.format_number(part.sum())}" in texts(figure)


def test_an_all_zero_map_is_said_to_be_one():
    figure = show_maps({"zero": np.zeros((24, 24)), "other": SIGNED})
    assert "all zero" in texts(figure)
    assert "zero everywhere" in figure.alt
    assert "all zero" in texts(show_maps({"zero": np.zeros((3, 24, 24))}))


def test_a_map_too_faint_for_the_scale_says_how_faint():
    figure = show_maps({"strong": SIGNED, "faint": 0.01 * SIGNED})
    assert "never above 1.0 % of the scale" in texts(figure)


def test_an_overlay_keeps_the_scale_and_hides_nothing_where_the_map_is_zero():
    half = np.abs(SIGNED)
    half[:, :12] = 0
    image = layers(show_maps({"a": half}, overlay=0.8))[0]
    opacity = image.get_alpha()
    assert image.get_clim() == (0, half.sum(axis=0).max())
    assert opacity.max() == pytest.approx(0.8)
    assert (opacity[:12] == 0).all()


def test_coarse_maps_are_enlarged_and_say_so():
    figure = show_maps({"cam": np.abs(SIGNED[:, :6, :6])})
    assert layers(figure)[0].get_extent() == [-0.5, 23.5, 23.5, -0.5]
    assert "6 × 6 cells" in texts(figure)


def test_a_mask_is_outlined_and_its_share_told():
    mask = np.zeros((24, 24), dtype=bool)
    mask[:12] = True
    inside = np.zeros((24, 24))
    inside[2, 2], inside[20, 20] = 3, 1
    figure = show_maps({"a": inside}, mask=torch.from_numpy(mask))
    assert all(axes.collections for axes in figure.axes[:2])
    assert "75.0 % of it lies in the outlined region" in figure.alt


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
        ((24,), "expected"),
        ((2, 3, 24, 24), r"attributions\[0\]"),
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
        lambda rgb: np.dstack([rgb, np.ones(rgb.shape[:2], dtype=np.float32)]),
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
        (torch.randn(3, 24, 24), "looks normalised; call network.denormalize"),
        (255 * PHOTO, "looks like 0..255; divide by 255"),
        (torch.rand(2, 3, 24, 24), r"images\[0\]"),
        (torch.rand(5, 24, 24), "expected one picture"),
        (torch.full((3, 24, 24), torch.nan), "NaN"),
        (np.full((24, 24, 3), 300), "0..255"),
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


@pytest.mark.parametrize(
    ("reduce", "expected"),
    [
        ("sum", SIGNED.sum(axis=0)),
        ("abs_sum", np.abs(SIGNED).sum(axis=0)),
        ("abs_max", np.abs(SIGNED).max(axis=0)),
        ("l2", np.linalg.norm(SIGNED, axis=0)),
    ],
)
def test_channels_are_reduced_as_said(reduce, expected):
    np.testing.assert_allclose(plots.to_map(SIGNED, reduce=reduce), expected)


def test_where_a_map_is_strongest():
    values = np.zeros((30, 30))
    values[3, 25] = -6
    values[15, 15] = 4
    assert plots.strongest_region(values) == ("upper right", 0.6)
    assert plots.describe_map(np.ones((30, 30))).startswith("spread over the whole picture")
    assert plots.describe_map(np.zeros((2, 2))) == "zero everywhere"


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


def test_matplotlib_is_styled_and_only_by_what_we_set():
    assert mpl.rcParams["axes.spines.top"] is False
    assert all(mpl.rcParams[key] == value for key, value in style.RC.items() if key != "font.size")


# ----------------------------------------------------------------------- showing


def test_alternative_text_is_required_and_must_say_something():
    figure, _ = plots.figure()
    with pytest.raises(ValueError, match="at least 20 characters"):
        plots.show(figure, "")
    with pytest.raises(ValueError, match="at least 20 characters"):
        plots.show(figure, "A plot.")
    with pytest.raises(ValueError, match="at least 20 characters"):
        plots.redisplay(figure)


def test_every_figure_writes_its_own_alternative_text():
    assert "strongest in" in show_maps({"IG": np.pad([[5.0]], (2, 21))}, title="Why?").alt
    assert "goose 95.1 %, llama < 0.1 %" in plots.plot_top_k(PHOTO, TOP, display=False).alt


def test_outside_notebooks_nothing_is_displayed_and_pyplot_keeps_nothing(capsys):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    own, axes = plt.subplots()
    axes.plot([0, 1])
    plots.show(own, "A line that rises from 0 to 1.")
    show_maps({"a": SIGNED})
    plots.show_attributions(PHOTO, {"a": SIGNED})
    assert plt.get_fignums() == before
    assert capsys.readouterr().out == ""


def test_a_caption_makes_room_for_itself():
    with_caption, without = (
        show_maps({"a": SIGNED}, title="T", caption=caption) for caption in ("word " * 90, None)
    )
    heights = [figure.get_figheight() for figure in (with_caption, without)]
    assert heights[0] > heights[1] + 0.4
    for first, second in zip(with_caption.axes, without.axes, strict=True):
        boxes = [axes.get_position().height for axes in (first, second)]
        assert boxes[0] * heights[0] == pytest.approx(boxes[1] * heights[1])
    assert "word word" in texts(with_caption)


def test_pictures_stay_small_and_carry_their_text():
    smooth = np.kron(RANDOM.random((14, 14, 3)), np.ones((16, 16, 1)))
    maps = {name: RANDOM.laplace(size=(224, 224)) for name in "abc"}
    figure = plots.show_attributions(smooth, maps, clip_percentile=99, display=False)
    png = to_png(figure, figure.alt)
    assert len(png) < 500_000  # three maps of pure noise: nothing real is larger
    assert b"Description" in png


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
first = plots.show_gallery([picture], ["First picture"], display=False)
second = plots.show_gallery([picture], ["Second picture"], display=False)
handle = plots.redisplay(first)
handle = plots.redisplay(second, handle)
"""


@pytest.fixture(scope="module")
def executed():
    """Execute a small notebook."""
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in NOTEBOOK.split("---")]
    )
    client.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return notebook


def test_notebooks_store_alternative_text_and_show_each_figure_once(executed):
    first, second, third, fourth, _ = (cell.outputs for cell in executed.cells)
    for outputs in (first, second):
        assert [output.output_type for output in outputs] == ["display_data"]
        metadata = outputs[0].metadata
        assert metadata["image/png"]["alt"] == metadata["alt"]
        assert len(metadata["alt"]) >= 20
        json.dumps(metadata)
    assert "Integrated gradients: strongest in" in first[0].metadata["alt"]
    assert third[0].text.strip() == "open figures: []"
    assert "plots.show(figure, alt=" in fourth[0].text


def test_a_figure_takes_the_place_of_another_with_its_own_text(executed):
    (output,) = executed.cells[4].outputs
    assert "Second picture" in output.metadata["image/png"]["alt"]


def test_pages_made_from_notebooks_have_alternative_text(executed):
    nbconvert = pytest.importorskip("nbconvert")
    bs4 = pytest.importorskip("bs4")
    page, _ = nbconvert.HTMLExporter(template_name="classic").from_notebook_node(executed)
    shown = [image.get("alt") for image in bs4.BeautifulSoup(page, "html.parser")("img")]
    assert shown == [executed.cells[cell].outputs[0].metadata["alt"] for cell in (0, 1, 4)]


# ----------------------------------------------------------------------- predictions


def test_bars_are_as_long_as_the_probabilities():
    figure = plots.plot_top_k(PHOTO, TOP, truth="llama", display=False)
    bars = figure.axes[1]
    widths = [patch.get_width() / bars.get_xlim()[1] for patch in bars.patches]
    assert widths == pytest.approx([1, 0.951, 1, 0.0004])
    assert "95.1 %" in texts(figure)
    assert "< 0.1 %" in texts(figure)
    assert "✓ true class" in texts(figure)


def test_predictions_come_as_objects_pairs_or_probabilities():
    for given, options in [
        (TOP, {}),
        ((["llama", "goose"], torch.tensor([0.0004, 0.951])), {}),
        (np.array([0.0004, 0.951]), {"labels": ["llama", "goose"]}),
    ]:
        figure = plots.plot_top_k(PHOTO, given, display=False, **options)
        assert "goose 95.1 %, llama < 0.1 %" in figure.alt


def test_a_true_class_outside_the_bars_is_said():
    assert "not among these: swan" in texts(
        plots.plot_top_k(PHOTO, TOP, truth="swan", display=False)
    )


def test_logits_are_not_taken_for_probabilities():
    with pytest.raises(ValueError, match="softmax"):
        plots.plot_top_k(PHOTO, (["a", "b"], [7.1, -2.0]), display=False)


def test_many_predictions_need_as_many_pictures():
    figure = plots.plot_predictions(
        {"one": PHOTO, "two": PHOTO}, [TOP, TOP], truths=["goose", 5], display=False
    )
    assert "one is classified as: goose 95.1 %" in figure.alt
    with pytest.raises(ValueError, match="2 images, 1 predictions"):
        plots.plot_predictions([PHOTO, PHOTO], [TOP], display=False)


# ----------------------------------------------------------------------- curves


def test_saturation_is_where_nine_tenths_of_the_integral_are_collected():
    alphas = torch.linspace(0, 1, 2001)
    assert plots.saturation_point(alphas, torch.ones(2001)) == pytest.approx(0.9)
    # ∫₀^a 10 e^(−10 t) dt = 1 − e^(−10 a) reaches nine tenths of its end at this a:
    exact = -np.log(1 - 0.9 * (1 - np.exp(-10))) / 10
    decay = 10 * torch.exp(-10 * alphas)
    assert plots.saturation_point(alphas, decay) == pytest.approx(exact, abs=1e-4)
    shuffled = torch.randperm(2001)
    assert plots.saturation_point(alphas[shuffled], decay[shuffled]) == pytest.approx(
        exact, abs=1e-4
    )
    assert np.isnan(plots.saturation_point([0, 1], [0, 0]))


def test_the_path_states_its_area_and_where_it_saturates():
    alphas = np.linspace(0, 1, 101)
    figure = plots.plot_path(
        alphas, 2 * alphas, np.full(101, 2.0), probabilities=alphas, target="goose",
        images={0.0: 0 * PHOTO, 0.05: PHOTO, 1.0: PHOTO}, display=False,
    )  # fmt: skip
    assert "encloses an area of 2.00, of which 90 % is collected by α = 0.90" in figure.alt
    with pytest.raises(ValueError, match="as many derivatives as alphas"):
        plots.plot_path(alphas, alphas, [1, 2], display=False)


def test_convergence_draws_medians_over_runs():
    counts = np.array([10, 100])
    errors = np.array([[0.1, 0.01], [0.2, 0.02], [0.9, 0.03]])
    figure = plots.plot_convergence(
        {"right": (counts, errors), "squared": (counts, [0.01, 0.001])},
        tolerance=0.01, slopes=(1, 2), highlight=["squared"], display=False,
    )  # fmt: skip
    line = figure.axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), [0.2, 0.02])
    assert "right: 0.20 at 10, 0.020 at 100" in figure.alt
    assert "median over 3 photographs" in texts(figure)
    assert "1 % error" in texts(figure)


@pytest.mark.parametrize(
    ("errors", "message"),
    [([0.1, -1], "not negative"), ([0.1, np.nan], "finite"), ([0.1, 0], "zero"), ([1], "shape")],
)
def test_convergence_refuses_what_logarithmic_axes_cannot_show(errors, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_convergence({"a": ([10, 100], errors)}, display=False)


def test_labels_at_line_ends_never_overlap_and_keep_their_order():
    wanted = [0.5, 0.51, 0.1, 0.52, 0.9]
    moved = spread(wanted, 0.05)
    assert (np.argsort(moved) == np.argsort(wanted)).all()
    assert all(b - a >= 0.05 - 1e-12 for a, b in pairwise(np.sort(moved)))
    assert moved[2] == 0.1
    assert moved[4] == 0.9


def test_curves_draw_means_with_their_interval():
    runs = np.array([[1.0, 0.5, 0.0], [1.0, 0.7, 0.2], [1.0, 0.6, 0.1]])
    figure = plots.plot_curves(
        [0, 0.5, 1], {"IG": runs, "random": 1 - runs[0]}, xlabel="deleted", ylabel="probability",
        controls=["random"], area=True, display=False,
    )  # fmt: skip
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [1, 0.6, 0.1])
    assert "IG goes from 1.0 to 0.10, on average 0.57" in figure.alt
    assert "mean over 3 runs" in texts(figure)
    with pytest.raises(ValueError, match="shape"):
        plots.plot_curves([0, 1], {"a": [1, 2, 3]}, xlabel="x", ylabel="y", display=False)


def test_intervals_mark_controls_and_refuse_errors_taken_for_ends():
    given = (["IG", "random"], [0.6, 0.3], [0.5, 0.2], [0.7, 0.4])
    options = {"quantity": "mass inside", "controls": ["random"], "display": False}
    figure = plots.plot_intervals(*given, percent=True, better="higher", **options)
    assert "IG 60.0 % (50.0 % to 70.0 %); random 30.0 % (20.0 % to 40.0 %), a control" in figure.alt
    with pytest.raises(ValueError, match="does not contain"):
        plots.plot_intervals(["IG"], [0.6], [0.1], [0.1], quantity="q", display=False)
    with pytest.raises(ValueError, match="not among the labels"):
        plots.plot_intervals(*given, quantity="q", controls=["edges"], display=False)


# ----------------------------------------------------------------------- sheets and poster


def test_baselines_stand_over_their_attributions():
    figure = plots.show_baselines(
        PHOTO, {"black": 0 * PHOTO, "many": None}, {"black": SIGNED, "many": SIGNED},
        {"black": -0.25}, display=False,
    )  # fmt: skip
    assert "δ = −0.25" in texts(figure)
    assert "many baselines, averaged" in texts(figure)
    with pytest.raises(ValueError, match="same names"):
        plots.show_baselines(PHOTO, {"black": PHOTO}, {"grey": SIGNED}, display=False)


def test_galleries_take_batches():
    figure = plots.show_gallery(torch.rand(7, 3, 8, 12), list("abcdefg"), display=False)
    assert len([axes for axes in figure.axes if axes.images]) == 7
    with pytest.raises(ValueError, match="7 images but 1 titles"):
        plots.show_gallery(torch.rand(7, 3, 8, 8), ["a"], display=False)


def test_the_poster_scales_each_map_on_its_own_and_says_so():
    groups = {
        "Gradients": {"Gradient": SIGNED, "Twice": 2 * SIGNED},
        "Layers": {"CAM": np.abs(SIGNED[:, :6, :6])},
        "Controls": {"Photo": Image.new("RGB", (24, 24))},
    }
    figure = plots.poster(
        PHOTO, groups, predictions=TOP, overlay=["CAM"], clip_percentile=None, display=False
    )
    gradient, twice, _ = layers(figure)
    assert twice.get_clim()[1] == pytest.approx(2 * gradient.get_clim()[1])
    assert "Each map has its own scale" in texts(figure)
    assert "Gradients: Gradient (" in figure.alt
    with pytest.raises(ValueError, match="must differ"):
        plots.poster(PHOTO, {"a": {"same": SIGNED}, "b": {"same": SIGNED}}, display=False)


def test_the_poster_has_a_cell_for_every_method_and_none_on_the_photograph():
    sizes = (4, 5, 3, 9, 1)
    groups = {f"g{i}": {f"{i}-{j}": None for j in range(size)} for i, size in enumerate(sizes)}
    cells = [
        (place.row, place.column + offset)
        for place in _arrange(groups)
        for offset in range(len(place.names))
    ]
    assert len(cells) == len(set(cells)) == sum(sizes)
    assert all(column < 6 and (row >= 2 or column >= 2) for row, column in cells)


# ----------------------------------------------------------------------- numbers and lines


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.03141, "0.0314"),
        (-12.345, "−12.3"),
        (2.5e-6, "2.5 × 10⁻⁶"),
        (0, "0"),
        (1234.6, "1235"),
        (12345678, "1.23 × 10⁷"),
        (0.9996, "1.00"),
        (float("nan"), "not a number"),
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


def test_long_headings_are_broken_within_the_width():
    broken = style.wrap("a long heading " * 8 + "x" * 60, 2.0, 12, bold=True)
    assert broken.count("\n") > 3
    assert all(style.text_width(line, 12, bold=True) <= 2.0 for line in broken.split("\n"))
    short = style.shorten("a long heading " * 8, 2.0, 12)
    assert short.endswith("…")
    assert style.text_width(short, 12) <= 2.0


# --- parts -----------------------------------------------------------------------------------

PARTS = {0: "background", 1: "body", 2: "wing", 3: "eye"}
PART_MASK = np.zeros((40, 60), np.uint8)
PART_MASK[10:30, 5:25], PART_MASK[5:35, 30:58], PART_MASK[12, 12] = 1, 2, 3


def test_parts_are_tinted_and_the_rest_is_pale_grey():
    picture = np.random.default_rng(0).random((40, 60, 3))
    tinted = plots.color_parts(picture, torch.from_numpy(PART_MASK))
    background = tinted[PART_MASK == 0]
    assert np.ptp(background, axis=1).max() < 1e-6
    assert background.min() >= 0.55
    hues = [tinted[part == PART_MASK].mean(axis=0) for part in (1, 2, 3)]
    assert min(np.abs(hues[i] - hues[i - 1]).max() for i in range(3)) > 0.15
    with pytest.raises(ValueError, match=r"mask is \(40, 60\), the picture \(40, 40\)"):
        plots.color_parts(picture[:, :40], PART_MASK)
    with pytest.raises(ValueError, match="one image's mask"):
        plots.color_parts(picture, PART_MASK[None])


def test_parts_are_named_where_they_are():
    panel = plots.Panel("Its parts", plots.color_parts(np.zeros((40, 60, 3)), PART_MASK))
    figure = plots.show_grid([[panel]], display=False)
    axes = figure.axes[0]
    before = set(axes.texts)
    assert plots.label_parts(axes, PART_MASK, PARTS) == ["body", "wing"]  # the eye is too small
    for text in set(axes.texts) - before:
        column, row = text.get_position()
        assert PARTS[int(PART_MASK[round(row), round(column)])] == text.get_text()
    assert plots.label_parts(axes, PART_MASK, PARTS, smallest=0) == ["body", "wing", "eye"]


@pytest.mark.parametrize("size", [8, 9, 9.5, 10, 12])
def test_text_is_as_wide_as_it_is_drawn(size: float):
    words = "Dots: measured value; whiskers: 95 % interval. SqueezeNet 1.1, pictures of 128 pixels."
    fig = Figure(figsize=(16, 1), dpi=style.DPI)
    canvas = FigureCanvasAgg(fig)
    fig.text(0, 0.5, words, fontsize=size)
    canvas.draw()
    drawn = np.flatnonzero((np.asarray(canvas.buffer_rgba())[..., :3] < 200).any(axis=(0, 2)))
    assert style.text_width(words, size) == pytest.approx(drawn[-1] / style.DPI, abs=0.03)
