"""Measures of explanations: closed forms on planted maps, references, invariances, edges."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.filters import sobel
from torch import nn

import course_utils as cu
from course_utils import evaluation as ev
from course_utils.evaluation import controls, interventions, measures, statistics
from course_utils.evaluation.interventions import class_scores

RNG = np.random.default_rng(0)
SIDE = 16
quick = settings(max_examples=25, deadline=None)


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
    "pointing_game": ev.pointing_game,
    "mask_iou": ev.mask_iou,
}
on_masks = pytest.mark.parametrize("measure", ON_MASKS.values(), ids=ON_MASKS)
ALIKE = {
    "spearman": ev.spearman_similarity,
}
alike = pytest.mark.parametrize("similarity", ALIKE.values(), ids=ALIKE)
few = pytest.mark.filterwarnings("ignore:.*too few for a bootstrap")


# --- masks: planted maps with known answers ---------------------------------------------------


@on_masks
def test_a_map_that_is_the_mask_scores_one_and_its_complement_zero(measure):
    np.testing.assert_allclose(measure(GOOD, MASKS), 1)
    np.testing.assert_allclose(measure(BAD, MASKS), 0)
    np.testing.assert_allclose(measure(NOISE, np.ones_like(MASKS)), 1)


@on_masks
def test_a_flat_map_gets_the_level_of_chance(measure):
    chance = AREA / (2 - AREA) if measure is ev.mask_iou else AREA
    np.testing.assert_allclose(measure(FLAT, MASKS), chance)


def test_relevance_mass_of_a_map_made_to_measure():
    """The square holds 3/4 of the map, spread over it evenly; the rest lies outside."""
    square = MASKS == 1
    maps = np.where(square, -0.75 / 16, 0.25 / (SIDE**2 - 16))
    mass = ev.relevance_mass(maps, MASKS, parts=1)
    np.testing.assert_allclose(mass.share, 0.75)
    np.testing.assert_allclose(mass.area, 16 / SIDE**2)
    np.testing.assert_allclose(mass.ratio, 12)
    np.testing.assert_allclose(ev.relevance_mass(maps, square).share, mass.share)
    assert (ev.pointing_game(maps, square) == 1).all()


def test_channels_are_added_up_before_magnitudes_are_taken():
    cancelling = np.stack([GOOD, -GOOD], axis=1) + np.stack([BAD, 0 * BAD], axis=1)
    assert (ev.relevance_mass(cancelling, MASKS).share == 0).all()
    share = ev.relevance_mass(np.abs(cancelling).sum(axis=1), MASKS).share
    np.testing.assert_allclose(share, 2 * AREA / (1 + AREA))


def test_equal_pixels_share_the_last_places():
    """Four pixels of strength 2, then many of strength 1, eight places: four go by lot."""
    maps = np.ones((1, 4, 4))
    maps[0, 0] = 2
    mask = np.zeros((1, 4, 4), dtype=bool)
    mask[0, :2] = True
    overlap = 4 + 4 * 4 / 12  # four for sure, four lots, of which 4 of 12 are inside
    assert ev.mask_iou(maps, mask) == pytest.approx(overlap / (16 - overlap))
    assert ev.pointing_game(maps, mask) == 1
    assert ev.pointing_game(np.ones((1, 4, 4)), mask) == 0.5


def test_iou_against_counting_pixels():
    maps = np.abs(RNG.standard_normal((3, SIDE, SIDE)))
    for index, (values, mask) in enumerate(zip(maps, INSIDE, strict=True)):
        strongest = set(np.argsort(values.ravel())[-mask.sum() :])
        inside = set(np.flatnonzero(mask))
        expected = len(strongest & inside) / len(strongest | inside)
        assert ev.mask_iou(maps, MASKS)[index] == pytest.approx(expected)


def test_shares_of_all_parts_add_up_to_one():
    shares = [ev.relevance_mass(NOISE[:2], MASKS[:2], parts=part).share for part in (0, 1, 2)]
    np.testing.assert_allclose(sum(shares), 1)
    together = ev.relevance_mass(NOISE[:2], MASKS[:2], parts=[1, 2]).share
    np.testing.assert_allclose(together, shares[1] + shares[2])


def test_part_relevance_is_the_signed_sum():
    expected = (NOISE.sum(axis=1) * (MASKS == 2)).sum(axis=(1, 2))
    np.testing.assert_allclose(ev.part_relevance(NOISE, MASKS, parts=2), expected)
    assert expected[2] == 0


def test_part_ids_by_name():
    names = {0: "background", 1: "square", 2: "bar"}
    assert ev.part_ids(names, "bar", "square") == [2, 1]
    with pytest.raises(KeyError, match="horse"):
        ev.part_ids(names, "horse")


# --- masks: what people pass in ---------------------------------------------------------------


@on_masks
def test_scale_mirrors_order_and_kind_of_array_do_not_matter(measure):
    expected = measure(NOISE, MASKS)
    for factor in (1e-12, 3e7):
        np.testing.assert_allclose(measure(factor * NOISE, MASKS), expected)
    mirrored = measure(NOISE[..., ::-1].copy(), MASKS[..., ::-1].copy())
    np.testing.assert_allclose(mirrored, expected)
    np.testing.assert_allclose(measure(NOISE[::-1], MASKS[::-1]), expected[::-1])
    leaf = torch.tensor(NOISE, dtype=torch.float32, requires_grad=True)
    for maps in (leaf * 1, list(leaf * 1), cu.attribution.PathAttribution(leaf, torch.zeros(3))):
        for masks in (torch.tensor(MASKS)[:, None], list(MASKS), MASKS.astype(np.int64)):
            measured = measure(maps, masks)
            assert isinstance(measured, np.ndarray)
            assert measured.dtype == np.float64
            np.testing.assert_allclose(measured, expected, rtol=1e-5)
    np.testing.assert_allclose(measure(NOISE[:1], MASKS[0]), expected[:1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_maps_are_measured_in_double(dtype):
    coarse = torch.tensor(NOISE).to(dtype)
    for measure in ON_MASKS.values():
        np.testing.assert_array_equal(measure(coarse, MASKS), measure(coarse.double(), MASKS))
    many = torch.full((1, 1, 400, 400), 0.1).to(dtype)  # the sum, 16,000, needs more than 11 bits
    assert ev.part_relevance(many, torch.ones(1, 400, 400, dtype=torch.bool)) == pytest.approx(
        16_000, rel=2e-3
    )


@quick
@given(
    maps=hnp.arrays(np.float32, (4, 2, 8, 8), elements=st.floats(-8, 8, width=16)),
    masks=hnp.arrays(np.uint8, (4, 8, 8), elements=st.integers(0, 2)),
)
def test_a_batch_is_as_many_single_maps_and_stays_as_it_was(maps, masks):
    before = maps.copy(), masks.copy()
    other = maps[::-1] + np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for measure in [*ON_MASKS.values(), ev.part_relevance]:
            single = [measure(maps[i, None], masks[i, None])[0] for i in range(4)]
            np.testing.assert_allclose(measure(maps, masks), single, rtol=1e-9)
        for similarity in ALIKE.values():
            single = [similarity(maps[i, None], other[i, None])[0] for i in range(4)]
            found = similarity(maps, other)
            np.testing.assert_allclose(found, single, rtol=1e-9, atol=1e-12)
            assert (np.abs(found[~np.isnan(found)]) <= 1 + 1e-9).all()
    np.testing.assert_array_equal(maps, before[0])
    np.testing.assert_array_equal(masks, before[1])


@on_masks
def test_nothing_to_measure_is_nan_and_said_once(measure):
    maps = np.concatenate([GOOD, GOOD[:2]])
    masks = np.concatenate([INSIDE, INSIDE[:2]])
    maps[0], maps[3, 0, 0], maps[4, 0, 0], masks[2] = 0, np.nan, np.inf, False
    with pytest.warns(UserWarning, match="maps are blank") as said:
        result = measure(maps, masks)
    assert [str(w.message) for w in said] == [
        "3 of 5 maps are blank or not finite, 1 of 5 masks are empty: NaN there"
    ]
    np.testing.assert_array_equal(result, [np.nan, 1, np.nan, np.nan, np.nan])


def test_ordinary_maps_raise_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for measure in ON_MASKS.values():
            measure(NOISE, MASKS)
        for similarity in ALIKE.values():
            similarity(NOISE, NOISE[::-1])


@on_masks
@pytest.mark.parametrize(
    ("maps", "masks", "error"),
    [
        (GOOD[0], MASKS, "becomes a batch"),
        (NOISE[0], MASKS[0], "one picture's map"),  # (C, H, W), not three maps
        (GOOD[:, ::2, ::2], MASKS, "do not fit"),
        (GOOD, MASKS[:2], "do not fit"),
        (GOOD, MASKS[:, ::2, ::2], "do not fit"),
        (np.moveaxis(NOISE, 1, 3), MASKS, "channels second"),
        (GOOD * 1j, MASKS, "real numbers"),
        (GOOD[:0], MASKS[:0], "real numbers"),
        (GOOD, MASKS.astype(float), "bool or part ids"),
    ],
)
def test_shapes_and_kinds_taken_for_others_are_refused(measure, maps, masks, error):
    with pytest.raises((ValueError, TypeError), match=error):
        measure(maps, masks)


@pytest.mark.parametrize("parts", ["square", 1.0, True, []])
def test_parts_are_ids_of_integer_masks(parts):
    with pytest.raises(TypeError, match="part_ids"):
        ev.relevance_mass(GOOD, MASKS, parts=parts)
    with pytest.raises(TypeError, match="bool masks"):
        ev.relevance_mass(GOOD, INSIDE, parts=1)


# --- interventions: a linear model, where everything can be written down ----------------------


class Linear(nn.Module):
    """Two logits: one adds up the pixels by weights, the other is always zero."""

    def __init__(self, channels=2, side=6):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, side, side, dtype=torch.float64))
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        score = (images * self.weight).sum(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(score), score], dim=1)


@pytest.fixture
def linear():
    torch.manual_seed(3)
    model = Linear().eval()
    images = torch.randn(24, 2, 6, 6, dtype=torch.float64)
    return model, images, (images * model.weight).detach()  # input x gradient is exact here


def test_scores_and_the_effect_of_an_intervention_in_closed_form(linear):
    model, images, attributions = linear
    part = torch.zeros(6, 6, dtype=torch.bool)
    part[1:4, 2:4] = True
    before, after = (class_scores(model, x, 1) for x in (images, images * ~part))
    np.testing.assert_allclose(before, attributions.sum(dim=(1, 2, 3)))
    np.testing.assert_allclose(before - after, ev.part_relevance(attributions, part), atol=1e-12)
    sure = class_scores(model, images, 1, score="probability")
    np.testing.assert_allclose(sure, torch.sigmoid(model(images)[:, 1]).detach())


def test_no_difference_is_none_for_certain():
    found = ev.bootstrap_interval(np.zeros(24))
    assert found.low == found.value == found.high == 0
    assert ev.permutation_test(np.zeros(24)).p_value == 1


def test_deletion_of_a_linear_model_in_closed_form(linear):
    model, images, attributions = linear
    options = {"fill": 0.0, "score": "logit", "fractions": np.arange(37) / 36}
    deleted = ev.deletion_curve(model, images, attributions, 1, **options)
    falling = -np.sort(-attributions.sum(dim=1).numpy().reshape(24, -1), axis=1)
    gained = np.concatenate([np.zeros((24, 1)), falling.cumsum(axis=1)], axis=1)
    left = gained[:, -1:] - gained
    np.testing.assert_allclose(deleted.scores, left, atol=1e-12)
    np.testing.assert_allclose(deleted.area, (left[:, 1:] + left[:, :-1]).mean(axis=1) / 2)
    noise = ev.random_maps(images, seed=1)
    assert (deleted.area < ev.deletion_curve(model, images, noise, 1, **options).area).all()
    mean = ev.deletion_curve(model, images, attributions, 1, score="logit").scores[:, -1]
    flat = images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    np.testing.assert_allclose(mean, model(flat)[:, 1].detach())


def test_single_pictures_are_deleted_as_in_a_batch_also_where_pixels_tie(linear):
    model, images, attributions = linear
    maps = attributions.sum(dim=1).round()
    whole = ev.deletion_curve(model, images, maps, 1, seed=2)
    for i in range(3):
        one = ev.deletion_curve(model, images[i, None], maps[i, None], 1, seed=2)
        np.testing.assert_allclose(one.scores[0], whole.scores[i])
    other = ev.deletion_curve(model, images, maps, 1, seed=3)
    assert not np.allclose(other.scores, whole.scores), "equal values go in random order"


def test_blank_maps_delete_at_random_and_broken_ones_give_nan(linear):
    model, images, _ = linear
    maps = torch.ones(24, 6, 6)
    maps[0], maps[1, 2, 2] = 0, torch.nan
    with pytest.warns(UserWarning, match="maps are") as said:
        curve = ev.deletion_curve(model, images, maps, 1)
    assert sorted(str(w.message) for w in said) == [
        "1 of 24 maps are blank: their pixels go in random order",
        "1 of 24 maps are not finite: NaN there",
    ]
    np.testing.assert_array_equal(np.isnan(curve.area), np.arange(24) == 1)


def test_model_pictures_and_global_state_stay_as_they_were(linear):
    model, images, attributions = linear
    images.requires_grad_()
    before, state = images.detach().clone(), torch.get_rng_state()
    hooks = dict(model._forward_hooks)
    curve = ev.deletion_curve(model, images, attributions, 1)
    with pytest.raises(IndexError):
        class_scores(model, images, 7)
    assert isinstance(curve.scores, np.ndarray)
    assert torch.is_grad_enabled()
    assert model.weight.grad is None
    assert images.grad is None
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.calls == 0, "what forward writes is put back"
    assert dict(model._forward_hooks) == hooks
    assert not model.training


def test_interventions_refuse_what_does_not_fit(linear):
    model, images, maps = linear
    with pytest.raises(ValueError, match="score='odds'"):
        class_scores(model, images, 1, score="odds")
    with pytest.raises(ValueError, match="pictures' size"):
        ev.deletion_curve(model, images, maps[..., :3], 1)
    with pytest.raises(ValueError, match="rising shares within"):
        ev.deletion_curve(model, images, maps, 1, fractions=[0, 0.5, 0.5])
    with pytest.raises(ValueError, match="rising shares within"):
        ev.deletion_curve(model, images, maps, 1, fractions=[0, 5, 20])  # pixels or per cent
    with pytest.raises(ValueError, match="training mode"):
        class_scores(Linear().train(), images, 1)
    with pytest.raises(TypeError, match="float32"):
        ev.deletion_curve(model.half(), images.half(), maps, 1)
    with pytest.raises(ValueError, match="NaN"):
        ev.deletion_curve(Linear().eval(), images, maps, 1, fill=float("nan"))


# --- controls ---------------------------------------------------------------------------------


def test_controls_are_shaped_like_maps_and_know_no_network():
    images = torch.rand(2, 3, 20, 30, dtype=torch.float64)
    for make in controls.CONTROLS.values():
        maps = make(images, 7)
        assert maps.shape == (2, 1, 20, 30)
        assert (maps >= 0).all()
        assert torch.equal(maps, make(images, 7))
        for other in ((255 * images).to(torch.uint8), images.half(), images.numpy()):
            assert torch.isfinite(make(other, 7)).all()
        with pytest.raises(ValueError, match="N, C, H, W"):
            make(images[0], 7)
    assert not torch.equal(ev.random_maps(images, 1), ev.random_maps(images, 2))


def test_edge_map_is_skimage_s_sobel_and_sees_no_frame():
    images = torch.rand(2, 3, 20, 30, dtype=torch.float64)
    ours = ev.edge_maps(images)[:, 0].numpy()
    # skimage takes the root of the mean of the two squares, over kernels that add up to 1
    reference = np.stack([sobel(image.mean(dim=0).numpy(), mode="nearest") for image in images])
    np.testing.assert_allclose(ours, reference / np.sqrt(2), atol=1e-12)
    assert (ev.edge_maps(torch.full((1, 3, 8, 8), 5.0)) == 0).all()


def test_center_map_is_a_gaussian_in_the_middle():
    blob = controls.center_maps(torch.zeros(2, 1, 31, 31))[0, 0].double()
    torch.testing.assert_close(blob, blob.flip(0))
    torch.testing.assert_close(blob, blob.T)
    assert blob[15, 15] == 1
    step = 5 / 31  # five pixels, as a share of the side
    assert float(blob[15, 20]) == pytest.approx(np.exp(-0.5 * (step / 0.2) ** 2), rel=1e-5)


@pytest.fixture(scope="module")
def comparison():
    rng = np.random.default_rng(5)
    masks = np.zeros((24, SIDE, SIDE), dtype=bool)
    for mask in masks:
        row, column = rng.integers(0, SIDE - 5, size=2)
        mask[row : row + 5, column : column + 5] = True
    pictures = torch.from_numpy(rng.random((24, 3, SIDE, SIDE)))
    maps = {
        "Good": masks + 0.2 * rng.random(masks.shape),
        "Bad": torch.from_numpy(rng.random((24, 3, SIDE, SIDE))),
    }
    measure = lambda maps: ev.relevance_mass(maps, masks).share  # noqa: E731
    return ev.compare_with_controls(measure, maps, pictures)


def test_controls_tell_a_good_map_from_a_bad_one(comparison):
    assert list(comparison.values) == ["Good", "Bad", "Edge detector", "Centre", "Random"]
    assert comparison.difference("Good").p_value < 0.001
    assert comparison.difference("Good").difference > 0.1
    assert abs(comparison.difference("Bad", "Random").difference) < 0.02
    order = sorted(comparison.controls, key=lambda name: comparison.values[name].mean())
    assert comparison.best_control == order[-1]
    lower = ev.Comparison(comparison.values, comparison.intervals, comparison.controls, "lower")
    assert lower.best_control == order[0]
    names, means, lows, highs = comparison.columns
    assert names == list(comparison.values)
    assert means[0] == pytest.approx(comparison.values["Good"].mean())
    assert all(low <= mean <= high for low, mean, high in zip(lows, means, highs, strict=True))
    assert "p = " in str(comparison).splitlines()[0]
    assert "p = " not in str(comparison).splitlines()[-1]


def test_a_measure_must_give_one_number_per_image():
    pictures = torch.rand(3, 3, SIDE, SIDE)
    with pytest.raises(ValueError, match="take .share"):
        ev.compare_with_controls(lambda maps: ev.relevance_mass(maps, MASKS), {"a": GOOD}, pictures)
    with pytest.raises(ValueError, match="Random.*names of controls"):
        ev.compare_with_controls(len, {"Random": GOOD}, pictures)
    with pytest.raises(ValueError, match="better='more'"):
        ev.compare_with_controls(len, {"a": GOOD}, pictures, better="more")


# --- likeness of maps -------------------------------------------------------------------------


@alike
def test_a_map_is_like_itself_and_scale_does_not_matter(similarity):
    np.testing.assert_allclose(similarity(NOISE, NOISE), 1)
    other = RNG.standard_normal(NOISE.shape)
    expected = similarity(NOISE, other)
    assert (np.abs(expected) < 0.5).all()
    for factor in (1e-30, 1e-6, 1e6):
        np.testing.assert_allclose(similarity(factor * NOISE, other), expected, rtol=1e-6)
    np.testing.assert_allclose(similarity(other, NOISE), expected)
    tensors = (torch.tensor(maps, requires_grad=True) for maps in (NOISE, other))
    np.testing.assert_allclose(similarity(*tensors), expected)


@alike
def test_blank_and_broken_maps_are_like_nothing(similarity):
    maps = NOISE.copy()
    maps[1], maps[2, 0, 3, 3] = 0, np.nan
    with pytest.warns(UserWarning, match="2 of 3 maps are blank, constant or not finite") as said:
        result = similarity(maps, NOISE)
    assert len(said) == 1
    np.testing.assert_array_equal(np.isnan(result), [False, True, True])
    with pytest.raises(ValueError, match="different shapes"):
        similarity(NOISE, NOISE[:2])
    with pytest.raises(ValueError, match="becomes a batch"):
        similarity(NOISE[0, 0], NOISE[0, 0])


def test_constant_maps_have_no_ranks_whatever_the_constant():
    constant = np.full((1, SIDE, SIDE), 0.1)
    with pytest.warns(UserWarning, match="constant"):
        assert np.isnan(ev.spearman_similarity(constant, NOISE[:1]))


def test_a_flipped_sign_is_opposite_with_the_sign_and_equal_without():
    np.testing.assert_allclose(ev.spearman_similarity(NOISE, -NOISE), -1)
    np.testing.assert_allclose(ev.spearman_similarity(NOISE, -NOISE, absolute=True), 1)


def test_likeness_agrees_with_scipy():
    first = np.round(NOISE, 1)  # ties
    second = np.round(NOISE + RNG.standard_normal(NOISE.shape), 1)
    one, other = first.sum(axis=1), second.sum(axis=1)
    for change in (np.asarray, np.abs):
        pairs = zip(change(one), change(other), strict=True)
        expected = [scipy.stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in pairs]
        found = ev.spearman_similarity(first, second, absolute=change is np.abs)
        assert found == pytest.approx(expected)


# --- how sure ---------------------------------------------------------------------------------


def test_bootstrap_agrees_with_scipy_and_is_seeded():
    values = RNG.exponential(size=40)
    ours = ev.bootstrap_interval(values, n_resamples=4000)
    reference = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=4000, rng=1
    ).confidence_interval
    assert ours.value == values.mean()
    assert ours.low == pytest.approx(reference.low, abs=0.04)
    assert ours.high == pytest.approx(reference.high, abs=0.04)
    assert ev.bootstrap_interval(values, n_resamples=4000) == ours
    assert ev.bootstrap_interval(values, n_resamples=4000, seed=1) != ours
    assert ev.bootstrap_interval(values, np.median).value == np.median(values)
    rows = np.stack([values, values[::-1]], axis=1)
    ratio = ev.bootstrap_interval(rows, lambda kept: kept[:, 0].mean() / kept[:, 1].mean())
    assert ratio.low < ratio.value < ratio.high


def test_bootstrap_edges():
    same = ev.bootstrap_interval([0.1] * 21)
    assert same.low == same.value == same.high
    undefined = ev.bootstrap_interval(torch.tensor([1.0] * 20 + [torch.nan, torch.inf]))
    assert str(undefined) == "1 [1, 1] (n = 20, 2 undefined)"
    with pytest.warns(UserWarning, match="0 images are too few"):
        nothing = ev.bootstrap_interval([np.nan, np.nan])
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()
    with pytest.raises(ValueError, match="one row per image"):
        ev.bootstrap_interval([])


@pytest.mark.filterwarnings("ignore:.*too few")
@pytest.mark.parametrize("n", [6, 9, 13])
def test_few_values_get_the_interval_that_the_sign_flip_test_does_not_reject(n):
    values = np.random.default_rng(n).exponential(size=n)
    found = ev.bootstrap_interval(values)

    def p_value(mean):
        return ev.permutation_test(values - mean, n_resamples=2**13).p_value

    slack = 1e-6
    assert p_value(found.low + slack) > 0.05
    assert p_value(found.high - slack) > 0.05
    assert p_value(found.low - slack) <= 0.05
    assert p_value(found.high + slack) <= 0.05


def test_five_values_and_other_statistics_of_few_get_no_interval():
    with pytest.warns(UserWarning, match="5 images are too few for a bootstrap: no interval"):
        assert np.isnan(ev.bootstrap_interval([1.0, 2, 3, 4, 5]).low)
    with pytest.warns(UserWarning, match="no interval"):
        assert np.isnan(ev.bootstrap_interval(np.arange(19.0), np.median).high)
    with pytest.warns(UserWarning, match="19 images .* that of the sign-flip test"):
        ev.bootstrap_interval(np.arange(19.0))


@pytest.mark.filterwarnings("ignore:.*too few")
@pytest.mark.parametrize("n", [7, 40])
def test_intervals_cover_the_truth_about_as_often_as_they_say(n):
    rng = np.random.default_rng(11)
    hits = 0
    for trial in range(150):
        interval = ev.bootstrap_interval(rng.normal(2, 1, size=n), n_resamples=300, seed=trial)
        hits += interval.low <= 2 <= interval.high
    assert 0.88 <= hits / 150 <= 0.99


def test_exact_permutation_tests_agree_with_scipy():
    def difference(first, second, axis):
        return np.abs(first.mean(axis=axis) - second.mean(axis=axis))

    first, second = RNG.standard_normal(8), RNG.standard_normal(8) - 0.5
    for paired, kind in ((True, "samples"), (False, "independent")):
        second = second if paired else second[:5]
        ours = ev.permutation_test(first, torch.tensor(second), paired=paired, n_resamples=2000)
        reference = scipy.stats.permutation_test(
            (first, second), difference, permutation_type=kind, alternative="greater",
            n_resamples=np.inf, vectorized=True,
        )  # fmt: skip
        assert ours.exact
        assert abs(ours.difference) == pytest.approx(reference.statistic)
        assert ours.p_value == pytest.approx(reference.pvalue)


def test_paired_questions_are_answered_pair_by_pair():
    """A small gain in every pair is beyond chance, though pictures differ far more."""
    level = 10 * RNG.standard_normal(12)
    gain = level + RNG.uniform(0.1, 0.2, size=12)
    assert ev.permutation_test(gain, level).p_value == 2 / 2**12
    assert ev.permutation_test(gain, level, paired=False).p_value > 0.5


@quick
@given(n=st.integers(2, 12), scale=st.sampled_from([1e-9, 1.0, 1e9]), seed=st.integers(0, 99))
def test_rounding_does_not_hide_the_observed_arrangement(n, scale, seed):
    """All differences positive: of all signs only the two extreme ones are as extreme."""
    differences = scale * np.random.default_rng(seed).uniform(0.1, 1, size=n)
    assert ev.permutation_test(differences).p_value == 2 / 2**n


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


def test_permutation_tests_leave_out_what_is_not_finite():
    first, second = np.array([3.0, np.nan, 5.0, 6.0]), np.array([1.0, 2.0, np.inf, 1.0])
    test = ev.permutation_test(first, second)
    assert (test.n, test.difference) == (2, 3.5)
    assert ev.permutation_test(first, second, paired=False).n == 6
    with pytest.raises(ValueError, match="paired=False"):
        ev.permutation_test(first, second[:2])
    alone = ev.permutation_test([3.0, np.nan], [1.0, 1.0])
    assert (alone.difference, alone.n) == (2, 1)
    assert np.isnan(alone.p_value)


def test_what_is_public_is_documented():
    assert len(ev.__all__) <= 24
    for module in (ev, controls, interventions, measures, statistics):
        for name in getattr(module, "__all__", vars(module)):
            value = getattr(module, name)
            if callable(value) and getattr(value, "__module__", "").startswith(ev.__name__):
                assert value.__doc__, name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_numbers(linear):
    model, images, attributions = linear
    here = ev.deletion_curve(model, images, attributions, 1)
    there = ev.deletion_curve(model.cuda(), images.cuda(), attributions.cuda(), 1)
    np.testing.assert_allclose(there.scores, here.scores, rtol=1e-6)
    share = ev.relevance_mass(torch.tensor(NOISE).cuda(), torch.tensor(MASKS).cuda()).share
    np.testing.assert_allclose(share, ev.relevance_mass(NOISE, MASKS).share)
    for make in controls.CONTROLS.values():
        torch.testing.assert_close(make(images.cuda(), 0).cpu(), make(images, 0))
