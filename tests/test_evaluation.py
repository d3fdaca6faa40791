"""Measures of explanations: closed forms on planted maps, references, invariances, edges."""

from __future__ import annotations

import inspect
import itertools
import warnings

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from skimage.feature import hog
from skimage.filters import sobel
from skimage.metrics import structural_similarity
from torch import nn

from course_utils import evaluation as ev
from course_utils import plots

RNG = np.random.default_rng(0)
SIDE = 16


def planted_masks() -> np.ndarray:
    """Part 1: a 4 x 4 square; part 2: a 2 x 4 bar beside it. The third image has no bar."""
    masks = np.zeros((3, SIDE, SIDE), dtype=np.uint8)
    for image, (row, column) in enumerate([(1, 2), (6, 5), (10, 10)]):
        masks[image, row : row + 4, column : column + 4] = 1
        if image < 2:
            masks[image, row + 4 : row + 6, column : column + 4] = 2
    return masks


MASKS = planted_masks()
INSIDE = MASKS > 0
AREA = INSIDE.mean(axis=(1, 2))
GOOD = INSIDE.astype(float)
BAD = 1 - GOOD
FLAT = np.ones_like(GOOD)
NOISE = RNG.standard_normal((3, 3, SIDE, SIDE))
ON_MASKS = {
    "relevance_mass": lambda maps, masks, **options: ev.relevance_mass(maps, masks, **options)[0],
    "energy_pointing_game": ev.energy_pointing_game,
    "pointing_game": ev.pointing_game,
    "relevance_rank": ev.relevance_rank,
    "mask_iou": ev.mask_iou,
}
on_masks = pytest.mark.parametrize("measure", ON_MASKS.values(), ids=ON_MASKS)
ALIKE = {
    "spearman": ev.spearman_similarity,
    "cosine": ev.cosine_similarity,
    "ssim": ev.ssim_similarity,
    "hog": ev.hog_similarity,
    "top_k": ev.top_k_intersection,
}
alike = pytest.mark.parametrize("similarity", ALIKE.values(), ids=ALIKE)


# --- masks: planted maps with known answers ---------------------------------------------------


@on_masks
def test_a_map_that_is_the_mask_scores_one_and_its_complement_zero(measure):
    boxes = ev.bounding_boxes(MASKS)  # these masks fill their boxes
    np.testing.assert_array_equal(boxes, INSIDE)
    np.testing.assert_allclose(measure(GOOD, MASKS), 1)
    np.testing.assert_allclose(measure(BAD, MASKS), 0)


@on_masks
def test_a_flat_map_gets_the_level_of_chance(measure):
    chance = AREA / (2 - AREA) if measure is ev.mask_iou else AREA
    np.testing.assert_allclose(measure(FLAT, MASKS), chance)


def test_relevance_mass_of_a_map_made_to_measure():
    """The square holds 3/4 of the map, spread over it evenly; the rest lies outside."""
    square = MASKS == 1
    maps = np.where(square, 0.75 / 16, 0.25 / (SIDE**2 - 16))
    mass = ev.relevance_mass(maps, MASKS, parts=1)
    np.testing.assert_allclose(mass.share, 0.75)
    np.testing.assert_allclose(mass.area, 16 / SIDE**2)
    np.testing.assert_allclose(mass.ratio, 12)
    np.testing.assert_allclose(ev.relevance_mass(maps, square).share, mass.share)


def test_the_sign_decides_what_of_a_map_counts():
    maps = np.where(MASKS == 1, -3.0, 0) + np.where(MASKS == 2, 1.0, 0)
    only = MASKS[:2] == 1
    shares = {
        sign: ev.relevance_mass(maps[:2], only, sign=sign).share
        for sign in ("absolute", "positive", "negative")
    }
    np.testing.assert_allclose(shares["absolute"], 48 / 56)
    np.testing.assert_allclose(shares["positive"], 0)
    np.testing.assert_allclose(shares["negative"], 1)
    np.testing.assert_allclose(ev.pointing_game(maps[:2], only, sign="positive"), 0)
    np.testing.assert_allclose(ev.relevance_rank(maps[:2], only, sign="negative"), 1)


def test_channels_are_reduced_before_the_sign_is_taken():
    """Channels that cancel are nothing to "sum" and everything to "abs_sum"."""
    cancelling = np.stack([GOOD, -GOOD], axis=1) + np.stack([BAD, 0 * BAD], axis=1)
    assert (ev.relevance_mass(cancelling, MASKS).share == 0).all()
    share = ev.relevance_mass(cancelling, MASKS, reduce="abs_sum").share
    np.testing.assert_allclose(share, 2 * AREA / (1 + AREA))
    assert (ev.pointing_game(cancelling, MASKS, reduce="abs_sum") == 1).all()


def test_pointing_game_counts_a_near_miss_within_the_tolerance():
    maps = np.zeros((1, SIDE, SIDE))
    maps[0, 8, 9] = 1
    mask = np.zeros((1, SIDE, SIDE), dtype=bool)
    mask[0, 5, 5] = True  # 3 rows and 4 columns away: 5 pixels
    assert ev.pointing_game(maps, mask, tolerance=4.99) == 0
    assert ev.pointing_game(maps, mask, tolerance=5) == 1
    with pytest.raises(ValueError, match="tolerance=-1"):
        ev.pointing_game(maps, mask, tolerance=-1)


def test_equal_pixels_share_the_last_places():
    """Four pixels of strength 2, then many of strength 1, eight places: four go by lot."""
    maps = np.ones((1, 4, 4))
    maps[0, 0] = 2
    mask = np.zeros((1, 4, 4), dtype=bool)
    mask[0, :2] = True
    expected = (4 + 4 * 4 / 12) / 8  # four for sure, four lots, of which 4 of 12 are inside
    assert ev.relevance_rank(maps, mask) == pytest.approx(expected)
    assert ev.pointing_game(maps, mask) == 1
    assert ev.pointing_game(np.ones((1, 4, 4)), mask) == 0.5


@on_masks
def test_a_mask_that_is_the_whole_picture_holds_everything(measure):
    np.testing.assert_allclose(measure(NOISE, np.ones_like(MASKS)), 1)


def test_rank_and_iou_against_counting_pixels():
    maps = np.abs(RNG.standard_normal((3, SIDE, SIDE)))
    for index, (values, mask) in enumerate(zip(maps, INSIDE, strict=True)):
        strongest = set(np.argsort(values.ravel())[-mask.sum() :])
        inside = set(np.flatnonzero(mask))
        rank = len(strongest & inside) / len(inside)
        iou = len(strongest & inside) / len(strongest | inside)
        assert ev.relevance_rank(maps, MASKS)[index] == pytest.approx(rank)
        assert ev.mask_iou(maps, MASKS)[index] == pytest.approx(iou)
        assert iou == pytest.approx(rank / (2 - rank))


def test_shares_of_all_parts_add_up_to_one():
    shares = [ev.relevance_mass(NOISE[:2], MASKS[:2], parts=part).share for part in (0, 1, 2)]
    np.testing.assert_allclose(sum(shares), 1)
    together = ev.relevance_mass(NOISE[:2], MASKS[:2], parts=[1, 2]).share
    np.testing.assert_allclose(together, shares[1] + shares[2])


def test_bounding_boxes_fill_what_a_mask_spans():
    mask = np.zeros((2, 6, 6), dtype=np.uint8)
    mask[0, 1, 4] = mask[0, 3, 2] = 7
    boxes = ev.bounding_boxes(mask)
    expected = np.zeros((6, 6), dtype=bool)
    expected[1:4, 2:5] = True
    np.testing.assert_array_equal(boxes, [expected, np.zeros((6, 6), dtype=bool)])
    maps = np.ones((1, 6, 6)) - 2 * (np.arange(6) == 5)  # the last column speaks against
    assert ev.energy_pointing_game(maps, mask[:1]) == pytest.approx(9 / 30)


def test_part_relevance_is_the_signed_sum():
    expected = (NOISE.sum(axis=1) * (MASKS == 2)).sum(axis=(1, 2))
    np.testing.assert_allclose(ev.part_relevance(NOISE, MASKS, parts=2), expected)
    assert expected[2] == 0
    assert ev.part_relevance(NOISE, MASKS, parts=2)[2] == 0


def test_part_table_counts_only_images_that_show_the_part():
    names = {0: "background", 1: "square", 2: "bar", 3: "unicorn"}
    table = {row.part: row for row in ev.part_table(GOOD, MASKS, names)}
    assert list(table) == ["background", "square", "bar"]
    assert table["background"].share.value == 0
    assert table["square"].share.value == pytest.approx((16 / 24 + 16 / 24 + 1) / 3)
    assert (table["bar"].share.n, table["square"].share.n) == (2, 3)
    assert table["bar"].area == pytest.approx(8 / SIDE**2)
    assert table["bar"].ratio.value == pytest.approx((1 / 3) / (8 / SIDE**2))
    assert "33.3% of the map" in str(table["bar"])
    assert ev.part_ids(names, "bar", "square") == [2, 1]
    with pytest.raises(KeyError, match="horse"):
        ev.part_ids(names, "horse")


def test_a_figure_of_parts_says_shares_chance_and_intervals():
    names = {1: "square", 2: "bar"}
    tables = {name: ev.part_table(maps, MASKS, names) for name, maps in (("A", GOOD), ("B", NOISE))}
    drawn = plots.plot_parts(tables, title="Where it looks", display=False)
    assert "bar, 3.1 % of the picture: A 33.3 % (33.3 % to 33.3 %), B " in drawn.alt
    widths = [patch.get_width() for patch in drawn.axes[0].patches]
    np.testing.assert_allclose(widths, [16 / SIDE**2, 8 / SIDE**2])
    assert any(
        "10.7" in text.get_text() or "11 ×" in text.get_text() for text in drawn.axes[0].texts
    )
    with pytest.raises(ValueError, match="same parts"):
        plots.plot_parts({"A": tables["A"], "B": tables["B"][:1]}, display=False)


# --- masks: invariances and edges -------------------------------------------------------------


@on_masks
def test_scale_mirrors_order_and_kind_of_array_do_not_matter(measure):
    expected = measure(NOISE, MASKS)
    for factor in (1e-12, 3e7):
        np.testing.assert_allclose(measure(factor * NOISE, MASKS), expected)
    mirrored = measure(NOISE[..., ::-1].copy(), MASKS[..., ::-1].copy())
    np.testing.assert_allclose(mirrored, expected)
    np.testing.assert_allclose(measure(NOISE[::-1], MASKS[::-1]), expected[::-1])
    leaf = torch.tensor(NOISE, dtype=torch.float32, requires_grad=True)
    measured = measure(leaf * 1, torch.tensor(MASKS)[:, None])
    assert isinstance(measured, np.ndarray)
    assert measured.dtype == np.float64
    np.testing.assert_allclose(measured, expected, rtol=1e-5)
    np.testing.assert_allclose(measure(NOISE[:1], MASKS[0]), expected[:1])


@on_masks
def test_nothing_to_measure_is_nan_and_said(measure):
    maps, masks = GOOD.copy(), INSIDE.copy()
    maps[0], masks[2] = 0, False
    with pytest.warns(UserWarning, match=r"1 of 3 maps are blank.*1 of 3 masks are empty"):
        result = measure(maps, masks)
    np.testing.assert_array_equal(np.isnan(result), [True, False, True])
    assert result[1] == 1
    interval = ev.bootstrap_interval(result)
    assert (interval.n, interval.n_undefined) == (1, 2)


@on_masks
@pytest.mark.parametrize(
    ("maps", "masks", "error", "words"),
    [
        (GOOD[0], MASKS, ValueError, r"maps\[None\]"),
        (GOOD[:, ::2, ::2], MASKS, ValueError, r"expected shape \(3, 8, 8\)"),
        (GOOD, MASKS[:2], ValueError, r"got \(2, 16, 16\)"),
        (GOOD, MASKS.astype(float), TypeError, "masks > 0.5"),
        (np.where(GOOD > 0, np.nan, 1), MASKS, ValueError, "NaN"),
        (GOOD * 1j, MASKS, ValueError, "real"),
        (GOOD[:0], MASKS[:0], ValueError, "batch of maps"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(measure, maps, masks, error, words):
    with pytest.raises(error, match=words):
        measure(maps, masks)


def test_parts_are_ids_of_integer_masks():
    with pytest.raises(TypeError, match="know no parts"):
        ev.relevance_mass(GOOD, INSIDE, parts=1)
    with pytest.raises(TypeError, match="part_ids"):
        ev.relevance_mass(GOOD, MASKS, parts="square")
    with pytest.raises(ValueError, match="sign='both'"):
        ev.relevance_mass(GOOD, MASKS, sign="both")
    with pytest.raises(ValueError, match="reduce='l7'"):
        ev.relevance_mass(NOISE, MASKS, reduce="l7")


# --- interventions: a linear model, where everything can be written down ----------------------


class Linear(nn.Module):
    """Two logits: one adds up the pixels by weights, the other is always zero."""

    def __init__(self, channels=2, side=6):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, side, side, dtype=torch.float64))
        self.largest_batch = 0

    def forward(self, images):
        self.largest_batch = max(self.largest_batch, len(images))
        score = (images * self.weight).sum(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(score), score], dim=1)


@pytest.fixture
def linear():
    torch.manual_seed(3)
    model = Linear().eval()
    images = torch.randn(12, 2, 6, 6, dtype=torch.float64)
    return model, images, images * model.weight.detach()  # input x gradient is exact here


def test_effect_of_an_intervention_in_closed_form(linear):
    model, images, attributions = linear
    part = torch.zeros(6, 6, dtype=torch.bool)
    part[1:4, 2:4] = True
    effect = ev.intervention_effect(model, images, images * ~part, 1)
    lost = ev.part_relevance(attributions, part)
    np.testing.assert_allclose(-effect.change, lost, atol=1e-12)
    np.testing.assert_allclose(effect.before, attributions.sum(dim=(1, 2, 3)).detach())
    assert effect.mean.value == pytest.approx(-lost.mean())
    assert effect.mean.low < effect.mean.value < effect.mean.high
    assert effect.test.exact
    agreement = ev.effect_correlation(lost, -effect.change, method="pearson")
    assert agreement.interval.value == pytest.approx(1)
    assert agreement.p_value < 0.001
    assert "logit" in str(effect)
    assert "falls in" in str(effect)


def test_probability_of_an_intervention_is_the_softmax(linear):
    model, images, _ = linear
    effect = ev.intervention_effect(model, images, 0 * images, 1, score="probability")
    expected = torch.sigmoid(model(images)[:, 1]).detach()
    np.testing.assert_allclose(effect.before, expected)
    np.testing.assert_allclose(effect.after, 0.5)


def test_an_intervention_that_does_nothing_has_no_effect(linear):
    model, images, _ = linear
    effect = ev.intervention_effect(model, images, images.clone(), [1] * 12)
    assert (effect.change == 0).all()
    assert effect.mean.low == effect.mean.value == effect.mean.high == 0
    assert effect.test.p_value == 1


def test_effect_correlation_agrees_with_scipy_and_tells_chance_from_signal():
    truth = RNG.standard_normal(40)
    noisy = truth + 0.5 * RNG.standard_normal(40)
    for method, reference in (
        ("spearman", scipy.stats.spearmanr),
        ("pearson", scipy.stats.pearsonr),
    ):
        found = ev.effect_correlation(truth, noisy, method=method, n_resamples=500)
        assert found.interval.value == pytest.approx(reference(truth, noisy).statistic)
        assert found.p_value < 0.01
        assert found.interval.low > 0.3
    unrelated = ev.effect_correlation(truth, RNG.standard_normal(40), n_resamples=500)
    assert unrelated.interval.low < 0 < unrelated.interval.high
    assert unrelated.p_value > 0.05
    assert np.isnan(ev.effect_correlation(truth, np.ones(40), n_resamples=50).p_value)
    noisy[:38] = np.nan
    with pytest.raises(ValueError, match="2 pairs"):
        ev.effect_correlation(truth, noisy)


def test_deletion_and_insertion_of_a_linear_model_in_closed_form(linear):
    model, images, attributions = linear
    options = {"fill": 0.0, "score": "logit", "fractions": np.arange(37) / 36}
    deleted = ev.deletion_curve(model, images, attributions, 1, **options)
    inserted = ev.insertion_curve(model, images, attributions, 1, **options)
    falling = -np.sort(-attributions.sum(dim=1).detach().numpy().reshape(12, -1), axis=1)
    gained = np.concatenate([np.zeros((12, 1)), falling.cumsum(axis=1)], axis=1)
    np.testing.assert_allclose(inserted.scores, gained, atol=1e-12)
    np.testing.assert_allclose(deleted.scores, gained[:, -1:] - gained, atol=1e-12)
    area = (gained[:, 1:] + gained[:, :-1]).mean(axis=1) / 2
    np.testing.assert_allclose(inserted.area, area)
    noise = ev.random_maps(images, seed=1)
    assert (deleted.area < ev.deletion_curve(model, images, noise, 1, **options).area).all()
    assert (inserted.area > ev.insertion_curve(model, images, noise, 1, **options).area).all()


@pytest.mark.parametrize("fill", ["mean", "blur", "noise", 0.5, torch.full((1, 2, 6, 6), 0.25)])
def test_fills_keep_what_they_promise(linear, fill):
    _, images, _ = linear
    filled = ev.fill_pictures(images, fill, seed=4)
    assert filled.shape == images.shape
    assert filled.dtype == images.dtype
    if fill == "mean":
        torch.testing.assert_close(filled[..., 0, 0], images.mean(dim=(2, 3)))
        assert filled.flatten(2).std(dim=2).max() < 1e-12
    elif fill == "blur":
        assert (filled.flatten(2).std(dim=2) < images.flatten(2).std(dim=2)).all()
        torch.testing.assert_close(
            ev.fill_pictures(torch.full_like(images, 2.0), "blur"), torch.full_like(images, 2.0)
        )
    elif fill == "noise":
        torch.testing.assert_close(filled, ev.fill_pictures(images, fill, seed=4))
        assert not torch.equal(filled, ev.fill_pictures(images, fill, seed=5))
    else:
        assert filled.unique().numel() == 1


def test_blurred_fill_is_scipy_s_gaussian_away_from_the_border():
    image = torch.rand(1, 1, 60, 80, dtype=torch.float64)
    blurred = ev.fill_pictures(image, "blur")[0, 0].numpy()
    reference = scipy.ndimage.gaussian_filter(
        image[0, 0].numpy(), sigma=4, truncate=3, mode="mirror"
    )
    np.testing.assert_allclose(blurred, reference, atol=1e-6)


def test_noise_fill_has_the_picture_s_own_mean_and_spread():
    image = 3 + 2 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    noise = ev.fill_pictures(image, "noise")
    assert noise.mean() == pytest.approx(3, abs=0.15)
    assert noise.std() == pytest.approx(2, abs=0.1)


def test_batches_do_not_matter_and_stay_small(linear):
    model, images, attributions = linear
    whole = ev.deletion_curve(model, images, attributions, 1, seed=2)
    model.largest_batch = 0
    parts = ev.deletion_curve(model, images, attributions, 1, seed=2, batch_size=5)
    assert model.largest_batch == 5
    np.testing.assert_allclose(parts.scores, whole.scores)


def test_a_blank_map_deletes_at_random_and_is_warned_of(linear):
    model, images, _ = linear
    blank = torch.zeros(12, 6, 6)
    with pytest.warns(UserWarning, match="12 of 12 maps are blank.*random order"):
        first = ev.deletion_curve(model, images, blank, 1, seed=0)
    with pytest.warns(UserWarning, match="random order"):
        second = ev.deletion_curve(model, images, blank, 1, seed=1)
    np.testing.assert_allclose(first.scores[:, [0, -1]], second.scores[:, [0, -1]])
    assert not np.allclose(first.scores[:, 10], second.scores[:, 10])


def test_nothing_is_tracked_or_changed(linear):
    model, images, attributions = linear
    images.requires_grad_()
    before = images.detach().clone()
    curve = ev.deletion_curve(model, images, attributions, 1)
    ev.intervention_effect(model, images, images * 0, 1)
    assert isinstance(curve.scores, np.ndarray)
    assert torch.is_grad_enabled()
    assert model.weight.grad is None
    assert images.grad is None
    assert torch.equal(images, before)


def test_interventions_refuse_what_does_not_fit(linear):
    model, images, attributions = linear
    with pytest.raises(ValueError, match="pairs of pictures"):
        ev.intervention_effect(model, images, images[:3], 1)
    with pytest.raises(IndexError, match="out of range"):
        ev.class_scores(model, images, 2)
    with pytest.raises(ValueError, match="score='odds'"):
        ev.class_scores(model, images, 1, score="odds")
    with pytest.raises(ValueError, match="one map of the picture's size"):
        ev.deletion_curve(model, images, attributions[..., :3], 1)
    with pytest.raises(ValueError, match="rising shares"):
        ev.deletion_curve(model, images, attributions, 1, fractions=[0, 0.5, 0.5])
    with pytest.raises(ValueError, match="within"):
        ev.deletion_curve(model, images, attributions, 1, fractions=[0, 2])
    with pytest.raises(ValueError, match="fill='black'"):
        ev.deletion_curve(model, images, attributions, 1, fill="black")
    with pytest.raises(ValueError, match="training mode"):
        ev.class_scores(Linear().train(), images, 1)


# --- controls ---------------------------------------------------------------------------------


def test_controls_are_shaped_like_maps_and_know_no_network():
    images = torch.rand(2, 3, 20, 30, dtype=torch.float64)
    for make in ev.CONTROLS.values():
        maps = make(images, 7)
        assert maps.shape == (2, 1, 20, 30)
        assert maps.dtype == images.dtype
        assert (maps >= 0).all()
        assert torch.equal(maps, make(images, 7))
    assert not torch.equal(ev.random_maps(images, 1), ev.random_maps(images, 2))
    assert ev.edge_maps((255 * images).to(torch.uint8)).dtype == torch.float32
    with pytest.raises(ValueError, match="N, C, H, W"):
        ev.random_maps(images[0])


def test_edge_map_is_skimage_s_sobel_and_sees_no_frame():
    images = torch.rand(2, 3, 20, 30, dtype=torch.float64)
    ours = ev.edge_maps(images)[:, 0].numpy()
    # skimage takes the root of the mean of the two squares, over kernels that add up to 1
    reference = np.stack([sobel(image.mean(dim=0).numpy(), mode="nearest") for image in images])
    np.testing.assert_allclose(ours, reference / np.sqrt(2), atol=1e-12)
    ramp = torch.arange(30.0).expand(1, 1, 20, 30)
    assert torch.allclose(ev.edge_maps(ramp)[..., 1:-1], torch.tensor(1.0))
    assert (ev.edge_maps(torch.full((1, 3, 8, 8), 5.0)) == 0).all()


def test_center_map_is_a_gaussian_in_the_middle():
    blob = ev.center_maps(torch.zeros(2, 1, 31, 31), width=0.2)[0, 0].double()
    torch.testing.assert_close(blob, blob.flip(0))
    torch.testing.assert_close(blob, blob.T)
    assert blob.argmax() == 15 * 31 + 15
    assert blob[15, 15] == 1
    step = 5 / 31  # five pixels, as a share of the side
    assert float(blob[15, 20]) == pytest.approx(np.exp(-0.5 * (step / 0.2) ** 2), rel=1e-5)
    with pytest.raises(ValueError, match="width=0"):
        ev.center_maps(torch.zeros(1, 1, 4, 4), width=0)


@pytest.fixture(scope="module")
def comparison():
    rng = np.random.default_rng(5)
    masks = np.zeros((14, SIDE, SIDE), dtype=bool)
    for mask in masks:
        row, column = rng.integers(0, SIDE - 5, size=2)
        mask[row : row + 5, column : column + 5] = True
    pictures = torch.from_numpy(rng.random((14, 3, SIDE, SIDE)))
    maps = {
        "Good": masks + 0.2 * rng.random(masks.shape),
        "Bad": torch.from_numpy(rng.random((14, 3, SIDE, SIDE))),
    }
    measure = lambda maps: ev.relevance_mass(maps, masks).share  # noqa: E731
    return ev.compare_with_controls(measure, maps, pictures)


def test_controls_tell_a_good_map_from_a_bad_one(comparison):
    assert list(comparison.values) == ["Good", "Bad", "Edge detector", "Centre", "Random"]
    assert comparison.difference("Good").p_value < 0.001
    assert comparison.difference("Good").difference > 0.1
    assert abs(comparison.difference("Bad", "Random").difference) < 0.02
    best = max(comparison.controls, key=lambda name: comparison.values[name].mean())
    assert comparison.best_control == best
    names, means, lows, highs = comparison.columns
    assert names == list(comparison.values)
    assert means[0] == pytest.approx(comparison.values["Good"].mean())
    assert all(low <= mean <= high for low, mean, high in zip(lows, means, highs, strict=True))
    assert "p = " in str(comparison).splitlines()[0]
    assert "p = " not in str(comparison).splitlines()[-1]


def test_the_best_control_follows_the_direction(comparison):
    lower = ev.Comparison(comparison.values, comparison.intervals, comparison.controls, "lower")
    worst = min(comparison.controls, key=lambda name: comparison.values[name].mean())
    assert lower.best_control == worst


def test_a_measure_must_give_one_number_per_image():
    pictures = torch.rand(3, 3, SIDE, SIDE)
    with pytest.raises(ValueError, match="share"):
        ev.compare_with_controls(lambda maps: ev.relevance_mass(maps, MASKS), {"a": GOOD}, pictures)
    with pytest.raises(ValueError, match="another name"):
        ev.compare_with_controls(len, {"Random": GOOD}, pictures)
    with pytest.raises(ValueError, match="control='Guess'"):
        ev.compare_with_controls(len, {"a": GOOD}, pictures, controls=["Guess"])


# --- likeness of maps -------------------------------------------------------------------------


@alike
def test_a_map_is_like_itself_and_scale_does_not_matter(similarity):
    np.testing.assert_allclose(similarity(NOISE, NOISE), 1)
    other = RNG.standard_normal(NOISE.shape)
    expected = similarity(NOISE, other)
    assert (np.abs(expected) < 0.5).all()
    np.testing.assert_allclose(similarity(1e-6 * NOISE, 1e4 * other), expected, rtol=1e-6)
    np.testing.assert_allclose(similarity(other, NOISE), expected)
    tensors = (torch.tensor(maps, requires_grad=True) for maps in (NOISE, other))
    np.testing.assert_allclose(similarity(*tensors), expected)


@alike
def test_blank_maps_are_like_nothing(similarity):
    maps = NOISE.copy()
    maps[1] = 0
    with pytest.warns(UserWarning, match="1 of 3 maps are blank"):
        result = similarity(maps, NOISE)
    np.testing.assert_array_equal(np.isnan(result), [False, True, False])


@alike
def test_shapes_must_agree(similarity):
    with pytest.raises(ValueError, match="one shape"):
        similarity(NOISE, NOISE[:2])
    with pytest.raises(ValueError, match="batch of maps"):
        similarity(NOISE[0, 0], NOISE[0, 0])


def test_constant_maps_have_no_ranks_whatever_the_constant():
    constant = np.full((1, SIDE, SIDE), 0.1)
    with pytest.warns(UserWarning, match="blank"):
        assert np.isnan(ev.spearman_similarity(constant, NOISE[:1]))


def test_a_flipped_sign_is_opposite_with_the_sign_and_equal_without():
    for similarity in (ev.spearman_similarity, ev.cosine_similarity):
        np.testing.assert_allclose(similarity(NOISE, -NOISE), -1)
        np.testing.assert_allclose(similarity(NOISE, -NOISE, absolute=True), 1)
    assert (ev.ssim_similarity(NOISE, -NOISE, absolute=False) < 0).all()
    np.testing.assert_allclose(ev.ssim_similarity(NOISE, -NOISE), 1)


def test_ranks_see_order_only():
    np.testing.assert_allclose(ev.spearman_similarity(GOOD + NOISE[:, 0], GOOD + NOISE[:, 0]), 1)
    np.testing.assert_allclose(ev.spearman_similarity(NOISE[:, 0], np.exp(NOISE[:, 0])), 1)
    assert (ev.cosine_similarity(NOISE[:, 0], np.exp(NOISE[:, 0])) < 0.9).all()


def test_likeness_agrees_with_scipy_skimage_and_torch():
    first = np.round(NOISE, 1)  # ties
    second = np.round(NOISE + RNG.standard_normal(NOISE.shape), 1)
    one, other = first.sum(axis=1), second.sum(axis=1)
    for index in range(len(one)):
        pair = one[index], other[index]
        reference = scipy.stats.spearmanr(*(values.ravel() for values in pair)).statistic
        assert ev.spearman_similarity(first, second)[index] == pytest.approx(reference)
        strength = [np.abs(values) / np.abs(values).max() for values in pair]
        reference = structural_similarity(*strength, data_range=1)
        assert ev.ssim_similarity(first, second)[index] == pytest.approx(reference)
        edges = [hog(values, 8, (4, 4), (1, 1)) for values in strength]
        reference = scipy.stats.pearsonr(*edges).statistic
        assert ev.hog_similarity(first, second)[index] == pytest.approx(reference)
    reference = torch.cosine_similarity(
        torch.tensor(one).flatten(1), torch.tensor(other).flatten(1)
    )
    np.testing.assert_allclose(ev.cosine_similarity(first, second), reference)
    table = ev.compare_maps(first, second)
    assert list(table) == ["Rank correlation", "Rank correlation, absolute", "SSIM", "HOG"]
    np.testing.assert_array_equal(table["SSIM"], ev.ssim_similarity(first, second))


def test_top_k_intersection_counts_shared_pixels():
    first = np.arange(100.0).reshape(1, 10, 10) + 1
    second = np.roll(first, 5, axis=2)[:, :, :]
    expected = (
        len(set(np.argsort(first.ravel())[-20:]) & set(np.argsort(second.ravel())[-20:])) / 20
    )
    assert ev.top_k_intersection(first, second, k=0.2) == pytest.approx(expected)
    assert ev.top_k_intersection(first, -first + 101, k=0.2) == 0
    assert ev.top_k_intersection(first, np.ones((1, 10, 10)), k=0.2) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="k=20"):
        ev.top_k_intersection(first, second, k=20)
    with pytest.raises(ValueError, match="window=6"):
        ev.ssim_similarity(first, second, window=6)
    with pytest.raises(ValueError, match="cell=11"):
        ev.hog_similarity(first, second, cell=11)


# --- how sure ---------------------------------------------------------------------------------


def test_bootstrap_agrees_with_scipy():
    values = RNG.exponential(size=40)
    ours = ev.bootstrap_interval(values, n_resamples=4000)
    reference = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=4000
    ).confidence_interval
    assert ours.value == values.mean()
    assert ours.low == pytest.approx(reference.low, abs=0.02)
    assert ours.high == pytest.approx(reference.high, abs=0.02)
    assert ev.bootstrap_interval(values, n_resamples=4000) == ours, "seeded"
    assert ev.bootstrap_interval(values, np.median).value == np.median(values)
    narrow = ev.bootstrap_interval(values, level=0.5)
    assert ours.low < narrow.low < narrow.high < ours.high


def test_bootstrap_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(11)
    hits = 0
    for trial in range(150):
        interval = ev.bootstrap_interval(rng.normal(2, 1, size=40), n_resamples=300, seed=trial)
        hits += interval.low <= 2 <= interval.high
    assert 0.88 <= hits / 150 <= 0.99


def test_bootstrap_edges():
    same = ev.bootstrap_interval([0.1] * 7)
    assert same.low == same.value == same.high
    alone = ev.bootstrap_interval([3.0])
    assert alone.value == 3
    assert np.isnan([alone.low, alone.high]).all()
    nothing = ev.bootstrap_interval([np.nan, np.nan])
    assert (nothing.n, nothing.n_undefined) == (0, 2)
    assert np.isnan(nothing.value)
    assert str(ev.bootstrap_interval([1.0, 1, np.nan])) == "1 [1, 1] (n = 2, 1 undefined)"
    with pytest.raises(ValueError, match="level=95"):
        ev.bootstrap_interval([1.0, 2], level=95)
    with pytest.raises(ValueError, match="one row per image"):
        ev.bootstrap_interval([])


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_exact_permutation_tests_agree_with_scipy(alternative):
    def difference(first, second, axis):
        return first.mean(axis=axis) - second.mean(axis=axis)

    first, second = RNG.standard_normal(8), RNG.standard_normal(8) - 0.5
    for paired, kind in ((True, "samples"), (False, "independent")):
        second = second if paired else second[:5]
        ours = ev.permutation_test(
            first, second, paired=paired, alternative=alternative, n_resamples=2000
        )
        reference = scipy.stats.permutation_test(
            (first, second), difference, permutation_type=kind, alternative=alternative,
            n_resamples=np.inf, vectorized=True,
        )  # fmt: skip
        assert ours.exact
        assert ours.difference == pytest.approx(reference.statistic)
        if alternative == "two-sided" and not paired:
            # scipy doubles the smaller tail; we count both, which differs where they are unlike
            continue
        assert ours.p_value == pytest.approx(reference.pvalue)


def test_rounding_does_not_hide_the_observed_arrangement():
    """All differences positive: of all signs only the two extreme ones are as extreme."""
    for length in range(2, 11):
        for differences in RNG.uniform(0.1, 1, size=(20, length)):
            assert ev.permutation_test(differences).p_value == 2 / 2**length


def test_two_sided_permutation_of_groups_by_hand():
    first, second = np.array([4.0, 9.0]), np.array([1.0, 2.0, 3.0])
    pooled = np.concatenate([first, second])
    differences = []
    for chosen in itertools.combinations(range(5), 2):
        rest = [index for index in range(5) if index not in chosen]
        differences.append(pooled[list(chosen)].mean() - pooled[rest].mean())
    expected = np.mean(np.abs(differences) >= abs(first.mean() - second.mean()) - 1e-12)
    assert ev.permutation_test(first, second, paired=False).p_value == pytest.approx(expected)


def test_sampled_permutation_tests_come_near_the_exact_ones():
    differences = RNG.standard_normal(12) + 0.4
    exact = ev.permutation_test(differences, n_resamples=5000)
    sampled = ev.permutation_test(differences, n_resamples=4000, seed=3)
    assert (exact.exact, sampled.exact) == (True, False)
    assert sampled.p_value == pytest.approx(exact.p_value, abs=0.03)
    assert ev.permutation_test(differences, n_resamples=4000, seed=3) == sampled
    assert ev.permutation_test(np.ones(50)).p_value == pytest.approx(1e-4), "never zero"
    groups = RNG.standard_normal(30) + 2, RNG.standard_normal(20)
    assert ev.permutation_test(*groups, paired=False, n_resamples=999).p_value < 0.01


def test_permutation_tests_leave_nan_out_with_its_partner():
    first, second = np.array([3.0, np.nan, 5.0, 6.0]), np.array([1.0, 2.0, np.nan, 1.0])
    test = ev.permutation_test(first, second)
    assert (test.n, test.difference) == (2, 3.5)
    groups = ev.permutation_test(first, second, paired=False)
    assert groups.n == 6
    with pytest.raises(ValueError, match="paired=False"):
        ev.permutation_test(first, second[:2])
    with pytest.raises(ValueError, match="no pair"):
        ev.permutation_test([np.nan], [1.0])
    with pytest.raises(ValueError, match="alternative='bigger'"):
        ev.permutation_test(first, second, alternative="bigger")


# --- what each measure is ---------------------------------------------------------------------


def test_every_measure_is_described_and_every_description_has_its_function():
    for name, metric in ev.METRICS.items():
        assert inspect.isfunction(getattr(ev, name)), name
        assert metric.low < metric.high
        assert metric.asks.endswith("?")
        assert metric.source
        assert name in str(metric)
    assert set(ON_MASKS) <= set(ev.METRICS)
    assert {function.__name__ for function in ALIKE.values()} <= set(ev.METRICS)


def test_directions_and_ranges_are_true_of_planted_maps(linear):
    for name, measure in ON_MASKS.items():
        good, bad, noisy = (measure(maps, MASKS) for maps in (GOOD, BAD, NOISE))
        metric = ev.METRICS[name]
        assert metric.direction == "higher"
        assert (good > bad).all()
        for values in (good, bad, noisy):
            assert ((values >= metric.low) & (values <= metric.high)).all()
    model, images, attributions = linear
    for name, sign in (("deletion_curve", -1), ("insertion_curve", 1)):
        curve = getattr(ev, name)
        good, bad = (
            curve(model, images, maps, 1, fill=0.0).area for maps in (attributions, -attributions)
        )
        assert (sign * (good - bad) > 0).all()
        assert ev.METRICS[name].direction == ("lower" if sign < 0 else "higher")


def test_ordinary_maps_raise_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for measure in ON_MASKS.values():
            measure(NOISE, MASKS)
        ev.compare_maps(NOISE, NOISE[::-1])
        ev.part_table(NOISE, MASKS, {1: "square", 2: "bar"})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_numbers(linear):
    model, images, attributions = linear
    here = ev.deletion_curve(model, images, attributions, 1, fill="noise")
    device = torch.device("cuda")
    there = ev.deletion_curve(
        model.to(device), images.to(device), attributions.to(device), 1, fill="noise"
    )
    np.testing.assert_allclose(there.scores, here.scores, rtol=1e-6)
    maps = torch.tensor(NOISE, device=device)
    share = ev.relevance_mass(maps, torch.tensor(MASKS, device=device)).share
    np.testing.assert_allclose(share, ev.relevance_mass(NOISE, MASKS).share)
    for make in ev.CONTROLS.values():
        torch.testing.assert_close(make(images.to(device), 0).cpu(), make(images, 0))
