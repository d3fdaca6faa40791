"""Lesson 03's own functions, against Captum, SciPy and closed forms, and on VGG19 itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _lessons import definitions
from captum.attr import LayerConductance, LayerGradCam, Occlusion
from scipy import stats
from torch import Tensor, nn

import course_utils as cu

SIDE = 64


@pytest.fixture
def lesson():
    """Give a function that executes the lesson's definitions with some global names."""
    run = cu.setup("fast", "embedded", 0, "cpu", verbose=False)

    def load(**values):
        return definitions("03", run=run, size=SIDE, seed=0, **values)

    return load


class Chain(nn.Module):
    """A VGG in small: two blocks of maps, the second at half the side, then a head."""

    def __init__(self, smooth: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)

        def bend() -> nn.Module:
            return nn.Tanh() if smooth else nn.ReLU(inplace=True)

        pool = nn.AvgPool2d(2) if smooth else nn.MaxPool2d(2)
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), bend(), pool, nn.Conv2d(4, 5, 3, padding=1), bend()
        )
        self.pool, self.head = nn.AdaptiveAvgPool2d(2), nn.Linear(20, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.pool(self.features(images)).flatten(1))


def tiny(smooth: bool = False, side: int = 16) -> tuple[nn.Module, Tensor]:
    """Return a frozen network in ``eval()`` and a picture for it."""
    generator = torch.Generator().manual_seed(1)
    model = Chain(smooth).requires_grad_(False).eval()
    return model, torch.randn(1, 3, side, side, generator=generator)


def pictures(count: int, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Noise in two classes that differ in one bright channel: uint8 images and labels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 120, (count, 3, side, side), generator=generator).byte()
    labels = torch.arange(count) % 2
    images[torch.arange(count), labels] += 120
    return images, labels


# --- splitting and drawing ----------------------------------------------------------------------


def test_every_part_of_a_split_has_the_same_mixture_and_no_picture_twice(lesson):
    split = lesson()["stratified_split"]
    labels = torch.tensor([0] * 200 + [1] * 100 + [2] * 20)[torch.randperm(320)]
    parts = split(labels, (0.7, 0.15, 0.15), torch.Generator().manual_seed(0))
    counts = [torch.bincount(labels[part]).tolist() for part in parts]
    assert counts == [[140, 70, 14], [30, 15, 3], [30, 15, 3]]
    assert torch.cat(parts).sort().values.tolist() == list(range(320))
    other = split(labels, (0.7, 0.15, 0.15), torch.Generator().manual_seed(1))
    assert not torch.equal(parts[0], other[0]), "another seed draws other pictures"


def test_few_pictures_are_drawn_evenly_and_by_their_seed(lesson):
    draw = lesson()["draw"]
    labels = torch.arange(100) % 2
    chosen = draw(labels, 20, 0)
    assert torch.bincount(labels[chosen]).tolist() == [10, 10]
    assert len(chosen.unique()) == 20
    assert torch.equal(chosen, draw(labels, 20, 0))
    assert not torch.equal(chosen, draw(labels, 20, 1))


def test_interval_over_runs_is_students(lesson):
    values = [0.7, 0.8, 0.75]
    mean, low, high = lesson()["t_interval"](values)
    expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (low, high) == pytest.approx(expected)
    assert mean == pytest.approx(0.75)


def test_small_cnn_learns_what_is_easy(lesson):
    net = cu.load_network("squeezenet1_1", device="cpu", verbose=False)
    names = lesson(net=net)
    images, labels = pictures(32)
    cnn = names["train_cnn"](images, labels, 15, None, 0)
    assert not cnn.training
    scaled = names["transforms"].Normalize(net.preprocess.mean, net.preprocess.std)(images / 255)
    assert (cnn(scaled).argmax(dim=1) == labels).float().mean() > 0.9


# --- cutting a network --------------------------------------------------------------------------


def test_the_last_block_is_what_works_at_the_last_resolution(lesson):
    names = lesson()
    model, x = tiny()
    shapes = names["shapes_of"](model, x)
    assert shapes["features.3"] == ((4, 8, 8), (5, 8, 8))
    before, block, after = names["cut"](model, "features.4", shapes)
    assert before == ["features.0", "features.1", "features.2"]
    assert block == ["features.3", "features.4"]
    assert after == ["pool", "head"]
    assert not any(module._forward_hooks for module in model.modules()), "hooks are gone"


def test_parts_make_the_whole_and_share_its_weights(lesson):
    names = lesson()
    model, x = tiny()
    before, block, after = names["cut"](model, "features.4", names["shapes_of"](model, x))
    lower, upper = names["only"](model, before), names["only"](model, [*block, *after])
    maps = lower.features(x)
    torch.testing.assert_close(upper(maps), model(x))
    assert lower.features[0].weight is model.features[0].weight
    assert isinstance(model.head, nn.Linear), "the network itself stays whole"


@pytest.mark.parametrize(
    ("name", "first"), [("squeezenet1_1", "features.9"), ("efficientnet_lite0", None)]
)
def test_bundled_networks_can_be_cut(lesson, name, first):
    names = lesson()
    net = cu.load_network(name, device="cpu", verbose=False)
    backbone = cu.backbone_of(net)
    x = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    shapes = names["shapes_of"](backbone, x)
    before, block, after = names["cut"](backbone, net.layers.grad_cam, shapes)
    assert first is None or block[0] == first
    assert before, "something stays frozen"
    lower = nn.Sequential(names["only"](backbone, before), nn.Flatten())
    upper = names["only"](backbone, [*block, *after])
    with torch.no_grad():
        maps = lower(x).view(2, *shapes[block[0]][0])
        torch.testing.assert_close(upper(maps), backbone(x), rtol=1e-4, atol=1e-4)


def test_only_block_and_head_learn_and_the_frozen_network_stays(lesson):
    names = lesson()
    model, x = tiny()
    head = nn.Linear(20, 2)
    model.head = nn.Identity()
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    before, block, after = names["cut"](model, "features.4", names["shapes_of"](model, x))
    end = names["unfreeze"](model, block, after, head)
    learning = {name for name, p in end.named_parameters() if p.requires_grad}
    assert learning == {"0.features.3.weight", "0.features.3.bias", "1.weight", "1.bias"}
    images, labels = pictures(24, 16)
    maps = names["only"](model, before).features(images / 255).detach()
    history = names["adapt"]({"train": (maps, labels), "val": (maps, labels)}, end, 2, 0)
    assert len(history.epochs) == 2
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, kept[name], rtol=0, atol=0)
    whole = names["assemble"](model, block, end)
    torch.testing.assert_close(whole(images / 255), end(maps))
    assert not torch.equal(end[0].features[3].weight, model.features[3].weight), "it has learned"
    assert not whole.training
    assert not any(p.requires_grad for p in whole.parameters())


# --- explanations -------------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "stride"), [(5, 3), (4, 4), (15, 8), (16, 1)])
def test_occlusion_is_captums(lesson, window, stride):
    model, x = tiny()
    ours = lesson()["occlusion"](model, x, 1, window, stride, batch_size=7)
    theirs = Occlusion(model).attribute(
        x, (3, window, window), (3, stride, stride), baselines=0, target=1
    )
    torch.testing.assert_close(ours, theirs[0, 0], rtol=1e-4, atol=1e-6)


def test_occlusion_of_a_sum_is_the_sum_under_the_square(lesson):
    class Sum(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.sum(dim=(1, 2, 3))[:, None]

    _, x = tiny(side=8)
    ours = lesson()["occlusion"](Sum(), x, 0, 4, 4)
    expected = x.unfold(2, 4, 4).unfold(3, 4, 4).sum(dim=(0, 1, 4, 5))
    torch.testing.assert_close(ours[::4, ::4], expected)


def test_grad_cam_is_captums_and_leaves_no_hook(lesson):
    names = lesson()
    model, x = tiny()
    for index in (0, 2, 4):  # the first is followed by a ReLU that works in place
        layer = model.features[index]
        theirs = LayerGradCam(model, layer).attribute(x, 2, relu_attributions=True)
        torch.testing.assert_close(names["grad_cam"](model, layer, x, 2), theirs)
        with pytest.raises(IndexError):
            names["grad_cam"](model, layer, x, 99)
        assert not layer._forward_hooks


@pytest.mark.parametrize("index", [1, 4])
def test_conductance_with_the_left_rule_is_captums(lesson, index):
    model, x = tiny(smooth=True)
    layer, start = model.features[index], torch.zeros_like(x)
    ours = lesson()["conductance"](model, layer, x, start, 0, 7, rule="left", power=1)
    theirs = LayerConductance(model, layer).attribute(
        x, start, target=0, n_steps=7, method="riemann_trapezoid"
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_conductance_is_complete_and_the_mean_of_both_ends_gets_there_sooner(lesson):
    conductance = lesson()["conductance"]
    model, x = tiny(smooth=True)
    start = torch.zeros_like(x)
    change = (model(x) - model(start))[0, 1]

    def off(index: int, rule: str) -> float:
        values = conductance(model, model.features[index], x, start, 1, 20, rule, 1)
        return ((values.sum() - change) / change).abs().item()

    assert off(1, "mean") < 0.02
    assert off(1, "mean") < 0.5 * off(1, "left")
    assert off(4, "left") < 1e-4  # what follows is linear: any rule is exact


def test_only_the_highest_share_of_pixels_is_kept(lesson):
    x = torch.ones(1, 3, 40, 40)
    values = torch.zeros(40, 40)
    values[10:20, 10:20] = 1
    kept = lesson()["keep_highest"](x, values, 0.05)
    assert kept[0, 0].mean().item() == pytest.approx(0.05, abs=0.02)
    assert kept[0, 0, 14:16, 14:16].all()
    assert not kept[0, 0, 30:].any()


# --- the network the lesson is named after ------------------------------------------------------


def test_vgg19_takes_every_step_of_the_lesson(lesson, load_named):
    names = lesson()
    net = load_named("vgg19")
    backbone = cu.backbone_of(net)
    images, labels = pictures(4)
    x = names["transforms"].Normalize(net.preprocess.mean, net.preprocess.std)(images / 255)
    shapes = names["shapes_of"](backbone, x[:1])
    before, block, after = names["cut"](backbone, net.layers.grad_cam, shapes)
    assert (before[-1], block[0], block[-1]) == ("features.27", "features.28", "features.35")
    lower = nn.Sequential(names["only"](backbone, before), nn.Flatten())
    upper = names["only"](backbone, [*block, *after])
    flat, _ = cu.extract_features(lower, (x, labels))
    maps = flat.view(4, *shapes["features.28"][0]), labels
    features = cu.extract_features(upper, maps)
    assert features.features.shape == (4, 4096)
    head, _ = cu.fit_head(*features, epochs=1, classes=2, device="cpu", progress=False)
    end = names["unfreeze"](backbone, block, after, head)
    assert len([p for p in end[0].parameters() if p.requires_grad]) == 8  # conv5_1 to conv5_4
    names["adapt"]({"train": maps, "val": maps}, end, 1, 0)
    model = names["assemble"](backbone, block, end)
    with torch.no_grad():
        torch.testing.assert_close(model(x), end(maps[0]), rtol=1e-3, atol=1e-4)
    layer, start = model.get_submodule(f"0.{net.layers.grad_cam}"), torch.zeros_like(x[:1])
    cam = names["grad_cam"](model, layer, x[:1], 1)
    theirs = LayerGradCam(model, layer).attribute(x[:1], 1, relu_attributions=True)
    torch.testing.assert_close(cam, theirs)
    for depth in ("0.features.17", "0.features.35"):
        values = names["conductance"](model, model.get_submodule(depth), x[:1], start, 1, 2)
        assert values.isfinite().all()
    assert names["occlusion"](model, x[:1], 1, 32, 32).shape == (SIDE, SIDE)
    assert cu.integrated_gradients(model, x[:1], 1, n_steps=1).attributions.isfinite().all()
