"""Lesson 08's own code: losses against closed forms, one short painting, masks, a judge."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from _lessons import definitions

import course_utils as cu

STYLE_LAYERS = ["colours", 1, 4, 7]


@pytest.fixture(scope="module")
def lesson():
    net = cu.load_network("squeezenet1_1", device="cpu", verbose=False)
    # the defaults of `repaint` and `style_error` are bound when they are defined
    names = {"content_layer": 7, "style_layers": STYLE_LAYERS, "enlarged": 1.0}
    return SimpleNamespace(**definitions("08", net=net, features=net.model.features, **names))


def pictures(count: int, size: int = 48, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, size, size, generator=generator)


def test_relative_loss_is_a_ratio_of_squares_for_each_picture(lesson):
    target = torch.full((2, 3, 4, 4), 2.0)
    torch.testing.assert_close(lesson.relative(target + 1, target), torch.tensor([0.25, 0.25]))
    assert lesson.relative(target * 0, target).tolist() == [1, 1]
    torch.testing.assert_close(lesson.relative(7 * target + 7, 7 * target), torch.full((2,), 0.25))


def test_gram_is_covariance_and_mean_and_forgets_places(lesson):
    features = torch.randn(2, 5, 4, 3, dtype=torch.float64)
    (gram,), (mean, covariance) = lesson.gram(features), lesson.moments(features)
    expected = torch.einsum("nkhw,nlhw->nkl", features, features) / 12
    torch.testing.assert_close(gram, expected)
    torch.testing.assert_close(covariance + mean[..., None] * mean[:, None], expected)
    shuffled = features.flatten(2)[..., torch.randperm(12)].view_as(features)
    torch.testing.assert_close(lesson.gram(shuffled)[0], expected)


def test_only_the_three_colours_get_a_target_for_their_mean(lesson):
    colours, features = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4)
    gram, mean = lesson.and_colour(colours)
    torch.testing.assert_close(gram, lesson.gram(colours)[0])
    torch.testing.assert_close(mean, colours.mean((2, 3)))
    assert len(lesson.and_colour(features)) == 1


def test_layers_are_what_the_convolution_found_before_the_relu(lesson):
    found = lesson.look(pictures(1))
    assert found[0].min() < 0
    torch.testing.assert_close(found[1], found[0].relu())


def test_a_plain_painting_gives_a_picture(lesson):
    """Its covariance is zero, and a share of zero would be infinite."""
    assert lesson.relative(torch.full((1, 2), 2.0), torch.zeros(1, 2)).item() == 8
    plain = torch.full((1, 3, 48, 48), 0.5)
    targets = {"colours": lesson.moments(plain)}
    assert lesson.style_loss({"colours": pictures(1)}, targets).isfinite().all()


def test_an_empty_mask_changes_nothing(lesson):
    content, style = pictures(2).split(1)
    mask = torch.zeros(1, 1, 48, 48)
    only = {"statistics": lesson.inside(mask), "mask": mask, "start": content}
    made = lesson.repaint(content, style, [(48, 1)], **only)
    assert torch.equal(made, content)


def test_total_variation_of_a_ramp(lesson):
    ramp = (0.1 * torch.arange(6.0)).expand(2, 3, 4, 6)
    torch.testing.assert_close(lesson.total_variation(ramp), torch.full((2,), 0.1))
    torch.testing.assert_close(lesson.total_variation(ramp.mT), torch.full((2,), 0.1))


def test_style_loss_is_zero_at_its_target_only(lesson):
    content, style = pictures(2).split(1)
    assert lesson.style_error(style, style).item() < 1e-10
    assert lesson.style_error(content.square(), style).item() > 0.1


def test_painting_comes_closer_and_batches_are_independent(lesson):
    contents, styles = pictures(2, seed=1).square(), pictures(2, seed=2).sqrt()
    made = lesson.repaint(contents, styles, [(48, 4)])
    before, after = (lesson.style_error(x, styles) for x in (contents, made))
    assert (after < before).all()
    alone = lesson.repaint(contents[:1], styles[:1], [(48, 4)])
    torch.testing.assert_close(made[:1], alone, atol=0.02, rtol=0)
    assert ((made >= 0) & (made <= 1)).all()


def test_style_loss_averages_and_does_not_see_the_scale_of_the_features(lesson):
    found, wanted = torch.randn(2, 1, 5, 4, 4).abs()
    targets = {"a": lesson.moments(wanted)}
    mean, covariance = map(lesson.relative, lesson.moments(found), targets["a"])
    loss = lesson.style_loss({"a": found}, targets)
    torch.testing.assert_close(loss, (mean + covariance) / 2)
    larger = lesson.style_loss({"a": 10 * found}, {"a": lesson.moments(10 * wanted)})
    torch.testing.assert_close(larger, loss)


def test_borrowed_losses_depend_on_the_scale_of_the_features(lesson):
    x, photo, painting = pictures(3).split(1)
    seen = x, lesson.look(photo), lesson.look(painting)
    whole, tenth = (lesson.borrowed(*seen, scale) for scale in (1, 10))
    torch.testing.assert_close(whole / tenth, torch.tensor([1e2, 1e4, 1.0]), rtol=1e-3, atol=0)


def test_luminance_keeps_greys(lesson):
    grey = pictures(1)[:, :1].expand(1, 3, 48, 48)
    torch.testing.assert_close(lesson.luminance(grey), grey)


def test_statistics_inside_a_mask_count_only_its_places(lesson):
    features, mask = torch.randn(1, 5, 4, 6), torch.zeros(1, 1, 8, 12)
    mask[..., :6] = 1
    for found, expected in zip(
        lesson.inside(mask)(features), lesson.moments(features[..., :3]), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_pixels_outside_the_mask_do_not_change(lesson):
    content, style = pictures(2).split(1)
    mask = torch.zeros(1, 1, 48, 48)
    mask[..., :24] = 1
    only = {"statistics": lesson.inside(mask), "mask": mask, "start": content}
    made = lesson.repaint(content, style, [(48, 3)], **only)
    assert torch.equal(made[..., 24:], content[..., 24:])
    assert not torch.equal(made[..., :24], content[..., :24])


def test_recoloured_pictures_have_the_other_ones_colours(lesson):
    one, two = (0.4 + 0.1 * x for x in pictures(2).split(1))
    found, wanted = (lesson.moments(x) for x in (lesson.recoloured(one, two), two))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def test_palette_is_the_root_of_the_covariance_and_a_tenth(lesson):
    one = pictures(1)
    root = lesson.palette(one)[0] - 0.1 * torch.eye(3)
    torch.testing.assert_close(root @ root, lesson.moments(one)[1][0], atol=1e-6, rtol=1e-4)


def test_descent_of_a_known_loss_moves_along_the_palette(lesson):
    x, colours = torch.full((1, 3, 8, 8), 0.5), torch.diag(torch.tensor([1.0, 0.0, 0.0]))[None]
    made = lesson.descend(x, lambda y: (y - 0.7).square().sum(), 60, colours)
    torch.testing.assert_close(made[:, 0], torch.full((1, 8, 8), 0.7), atol=0.02, rtol=0)
    assert torch.equal(made[:, 1:], x[:, 1:])


def test_load_takes_the_middle_square(lesson):
    found = lesson.load(["chelsea", "strokes"], 40)
    assert found.shape == (2, 3, 40, 40)
    assert found.min() >= 0
    assert found.max() <= 1
