"""Augmentation, and batches of pictures that are in memory."""

from __future__ import annotations

import math

import _made
import pytest
import torch

from course_utils.augmentation import Augment, batches
from course_utils.datasets import load_dataset
from course_utils.networks import IMAGENET_MEAN, IMAGENET_STD

from torchvision.transforms.v2 import functional as reference


@pytest.fixture
def split(tmp_path):
    folder = _made.write(tmp_path / "v", _made.vegetables())
    return load_dataset("vegetables", folder=folder, verbose=False).train


@pytest.fixture
def images() -> torch.Tensor:
    """Smooth random pictures, uint8 (6, 3, 24, 32), wider than high."""
    torch.manual_seed(0)
    small = torch.rand(6, 3, 6, 8)
    large = torch.nn.functional.interpolate(small, (24, 32), mode="bicubic").clamp(0, 1)
    return (large * 255).round().to(torch.uint8)


def nothing(**changes) -> Augment:
    return Augment(**{"flip": 0.0, **changes})


def test_no_change_is_no_change(images):
    torch.testing.assert_close(nothing()(images), images / 255)
    torch.testing.assert_close(nothing()(images / 255), images / 255)


@pytest.mark.parametrize("change", [lambda x: x.float(), lambda x: x / 50 - 2, lambda x: x.short()])
def test_only_pictures_from_black_to_white_are_augmented(change, images):
    """Contrast and brightness would make them white, in silence."""
    with pytest.raises((TypeError, ValueError), match="images (go from|must be uint8)"):
        Augment(brightness=0.2)(change(images))


def test_flip_mirrors(images):
    torch.testing.assert_close(Augment(flip=1.0)(images), (images / 255).flip(3), atol=1e-5, rtol=0)
    flipped = Augment(flip=0.5)(images.repeat(100, 1, 1, 1))
    whole = (images / 255).repeat(100, 1, 1, 1)
    share = ((flipped - whole).abs().amax(dim=(1, 2, 3)) > 0.01).float().mean()
    assert 0.42 < share < 0.58


def test_crop_is_torchvisions_random_crop_with_padding(images):
    """Every result is a window of the padded picture, all windows occur, at most `crop` away."""
    padded = torch.nn.functional.pad(images / 255, (2, 2, 2, 2))
    windows = torch.stack([padded[..., y : y + 24, x : x + 32] for y in range(5) for x in range(5)])
    seen = set()
    for _ in range(40):
        moved = nothing(crop=2)(images)
        distance = (windows - moved).abs().amax(dim=(2, 3, 4))  # window, picture
        assert distance.min(dim=0).values.max() < 1e-5
        seen |= set(distance.argmin(dim=0).tolist())
    assert seen == set(range(25))


def test_rotation_is_torchvisions(images, monkeypatch):
    angle = 12.0
    monkeypatch.setattr(torch, "rand", lambda *s, **_: torch.full(s, 1.0))  # draws the largest
    turned = nothing(rotation=angle)(images)
    monkeypatch.undo()
    expected = reference.rotate(images / 255, angle, reference.InterpolationMode.BILINEAR)
    inside = (slice(None), slice(None), slice(6, 18), slice(8, 24))
    torch.testing.assert_close(turned[inside], expected[inside], atol=0.02, rtol=0)
    wrong = reference.rotate(images / 255, -angle, reference.InterpolationMode.BILINEAR)
    assert (turned - wrong)[inside].abs().max() > 0.1


def test_every_picture_draws_its_own(images):
    same = images[:1].repeat(50, 1, 1, 1)
    for change in ({"rotation": 10}, {"brightness": 0.3}, {"contrast": 0.5}):
        result = nothing(**change)(same)
        assert len(torch.unique(result.flatten(1), dim=0)) > 45, change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("brightness", reference.adjust_brightness),
        ("contrast", reference.adjust_contrast),
    ],
)
@pytest.mark.parametrize("drawn", [0.0, 0.25, 1.0])
def test_colours_change_as_torchvisions(images, monkeypatch, change, expected, drawn):
    monkeypatch.setattr(torch, "rand", lambda *s, **_: torch.full(s, drawn))
    result = nothing(**{change: 0.4})(images)
    factor = 1 + (2 * drawn - 1) * 0.4
    torch.testing.assert_close(result, expected(images / 255, factor), atol=2e-3, rtol=0)


def test_results_stay_between_black_and_white(images):
    strong = Augment(crop=8, rotation=90, brightness=1, contrast=1)
    result = strong(images.repeat(20, 1, 1, 1))
    assert result.shape == (120, 3, 24, 32)
    assert result.min() >= 0
    assert result.max() <= 1
    assert result.dtype == torch.float32


def test_generator_repeats_everything(images):
    augment = Augment(crop=3, rotation=10, brightness=0.2, contrast=0.2)
    first, again, other = (augment(images, torch.Generator().manual_seed(s)) for s in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


# ---------------------------------------------------------------- batches


def test_batches_visit_every_picture_once_an_epoch(images):
    labels = torch.arange(6)
    loader = batches((images, labels), 4, generator=torch.Generator().manual_seed(0))
    epochs = []
    for _ in range(2):
        seen = list(loader)
        assert len(seen) == len(loader) == 2
        assert sorted(torch.cat([y for _, y in seen]).tolist()) == list(range(6))
        for x, y in seen:
            torch.testing.assert_close(x, images[y] / 255)
        epochs.append(torch.cat([y for _, y in seen]).tolist())
    assert epochs[0] != epochs[1]


def test_batches_in_order_and_whole_ones_only(images):
    labels = torch.arange(6)
    in_order = [y.tolist() for _, y in batches((images, labels), 4, shuffle=False)]
    assert in_order == [[0, 1, 2, 3], [4, 5]]
    whole = batches((images, labels), 4, shuffle=False, drop_last=True)
    assert [y.tolist() for _, y in whole] == [[0, 1, 2, 3]]
    assert len(whole) == 1
    assert len(batches((images, labels), 3)) == 2
    assert list(batches((images[:0], labels[:0]), 3)) == []


def test_batches_are_augmented_then_normalised(images):
    loader = batches(
        (images, torch.arange(6)), 6, shuffle=False,
        augment=Augment(flip=1.0), normalize=(IMAGENET_MEAN, IMAGENET_STD),
    )  # fmt: skip
    ((result, _),) = loader
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(result, ((images / 255).flip(3) - mean) / std, atol=1e-4, rtol=0)


def test_batches_go_to_the_wanted_device(images):
    labels = torch.arange(len(images))
    for found in batches((images, labels), 4, device="meta"):
        assert [tensor.device.type for tensor in found] == ["meta", "meta"]
    assert images.device.type == labels.device.type == "cpu"


def test_batches_take_a_split_or_images_and_labels(split, images):
    assert [len(y) for _, y in batches(split, 40)] == [40, 2]
    for loader in (batches(images, torch.arange(6), 4), batches(images.numpy(), list(range(6)), 4)):
        assert [len(y) for _, y in loader] == [4, 2]
    for wrong in (images, None, [split, split, split], "train"):
        with pytest.raises(TypeError, match=r"images and labels, as split.to_tensors\(\)"):
            batches(wrong)


def test_batches_refuse_what_does_not_match(images):
    with pytest.raises(ValueError, match="6 images and 5 labels"):
        batches((images, torch.arange(5)), 2)
    with pytest.raises(ValueError, match="in batches of 0"):
        batches((images, torch.arange(6)), 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.float(), "or finite floats in"),
        (lambda x: x.double() - 20, "or finite floats in"),
        (lambda x: x / x.new_zeros(()), "finite"),
        (lambda x: x.long(), "must be uint8 or floats"),
        (lambda x: x.permute(0, 2, 3, 1), r"permute\(0, 3, 1, 2\)"),
    ],
)
def test_pictures_whose_numbers_mean_something_else_are_refused(images, change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        batches((change(images), torch.arange(6)), 2)


def test_features_of_any_range_make_batches():
    for features in (torch.randn(6, 64, 7, 7) * 100, torch.randn(6, 10) * 100, torch.zeros(6, 3)):
        assert len(list(batches((features, torch.arange(6)), 4))) == 2
    normalised = (torch.rand(6, 3, 8, 8) - 0.45) / 0.22
    assert len(list(batches((normalised, torch.arange(6)), 4))) == 2


def test_rotation_of_ninety_degrees_is_exact_on_squares():
    square = torch.rand(1, 3, 9, 9)
    augment = nothing(rotation=90)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda *s, **_: torch.full(s, 1.0))
        turned = augment(square)
    torch.testing.assert_close(turned, square.rot90(1, (2, 3)), atol=1e-4, rtol=0)
    assert math.isclose(float(turned.sum()), float(square.sum()), rel_tol=1e-3)
