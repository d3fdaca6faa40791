"""Lesson 04's own functions, against Captum, scikit-learn's intervals and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _lessons import definitions
from captum.attr import LayerGradCam
from scipy import stats
from torch import Tensor, nn

import course_utils as cu

SIZE = 64
CLASSES = ("cucumber", "eggplant", "mushroom")


@pytest.fixture
def lesson():
    """Give a function that executes the lesson's definitions with some global names."""
    run = cu.setup("fast", "embedded", 0, "cpu", verbose=False)

    def load(**values):
        return definitions("04", run=run, SIZE=SIZE, seed=0, **values)

    return load


def named(network: cu.Network, **values) -> dict:
    """Collect what the lesson's functions look up when they train and explain a network."""
    preprocess = network.preprocess
    data = type("Data", (), {"classes": CLASSES})
    return {"net": network, "mean": preprocess.mean, "std": preprocess.std, "data": data, **values}


def pictures(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Coloured noise that a network can tell apart: one bright channel for each class."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 120, (count, 3, SIZE, SIZE), generator=generator).byte()
    labels = torch.arange(count) % 3
    images[torch.arange(count), labels] += 120
    return images, labels


# --- data ---------------------------------------------------------------------------------------


def test_few_of_each_takes_the_first_of_every_class(lesson):
    names = lesson(data=type("Data", (), {"classes": CLASSES}))
    images, labels = pictures(30)
    few, their_labels = names["few_of_each"](images, labels, 4)
    assert torch.bincount(their_labels).tolist() == [4, 4, 4]
    assert torch.equal(few[4], images[1]), "the first picture of the second class"


def test_splits_share_no_picture_and_the_classes_fairly(lesson):
    split_indices = lesson()["split_indices"]
    labels = torch.arange(186) % 3
    train, val, test = split_indices(labels, 0)
    assert [len(train), len(val), len(test)] == [130, 28, 28]
    assert sorted(torch.cat([train, val, test]).tolist()) == list(range(186))
    assert torch.bincount(labels[test]).max() <= 10
    assert torch.equal(test, split_indices(labels, 0)[2])
    assert not torch.equal(test, split_indices(labels, 1)[2])


@pytest.mark.parametrize(("right", "count"), [(28, 28), (25, 28), (0, 28), (214, 240)])
def test_wilson_is_scipys(lesson, right: int, count: int):
    expected = stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert np.allclose(lesson()["wilson"](right, count), [expected.low, expected.high], atol=1e-6)


def test_interval_over_seeds_is_students(lesson):
    values = [0.8, 0.85, 0.81, 0.86]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    found = lesson()["over_seeds"](values)
    assert found == f"mean 83.0%, between {low:.1%} and {high:.1%}"
    assert "no interval" in lesson()["over_seeds"](values[:1])


# --- Grad-CAM -----------------------------------------------------------------------------------


def tiny_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    ).eval()  # fmt: skip


@pytest.mark.parametrize("layer", ["1", "4"])
def test_grad_cam_by_hooks_is_captums(lesson, layer: str):
    model, x = tiny_network(), torch.randn(1, 3, 20, 20)
    before = [len(part._forward_hooks) for part in model.modules()]
    for target in range(3):
        ours = lesson()["grad_cam_by_hooks"](model, layer, x, target)
        captum = LayerGradCam(model, model.get_submodule(layer))
        torch.testing.assert_close(ours, captum.attribute(x, target, relu_attributions=True))
    assert [len(part._forward_hooks) for part in model.modules()] == before, "no hook stays"
    assert ours.any(), "a map of zeros would agree with anything"


def test_relative_maps_have_mean_one_and_blank_ones_stay_blank(lesson):
    maps = torch.stack([torch.rand(1, 8, 8), torch.zeros(1, 8, 8)])
    scaled = lesson()["relative"](maps)
    torch.testing.assert_close(scaled.mean(dim=(1, 2, 3)), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(scaled, lesson()["relative"](7 * maps))


def test_through_grid_averages_cells(lesson):
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[..., : SIZE // 2, :] = 1
    seen = lesson()["through_grid"](mask, 2)
    assert seen.shape == mask.shape
    torch.testing.assert_close(seen.mean(), torch.tensor(0.5))
    assert seen[0, 0, 0, 0] == 1, "cells inside keep their value"
    assert seen[0, 0, SIZE // 2, 0].item() == pytest.approx(0.5, abs=0.03), "the edge is smeared"
    fine = lesson()["through_grid"](mask, SIZE)
    torch.testing.assert_close(fine, mask)


# --- interventions and mistakes -----------------------------------------------------------------


def test_react_reads_the_change_of_the_own_logit(lesson):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # logits: mean of each channel
    before, after = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    before[:, 0], after[1, 2] = 1, 3
    after[0, 0] = 1
    own, changes, flips = lesson()["react"](model, before, after, torch.tensor([0, 0]))
    assert own.tolist() == [0, -1]
    assert changes.tolist() == [[0, 0, 0], [-1, 0, 3]]
    assert flips == 0.5


def test_slip_is_undone_by_the_first_layer(lesson):
    names = lesson(mean=(0.5, 0.5, 0.5), std=(0.2, 0.3, 0.4))
    images, _ = pictures(3)
    right, wrong = (names["with_red_slip"](images, factor) for factor in (1, 1.3))
    torch.testing.assert_close(wrong[:, 0] * 1.3, right[:, 0])
    torch.testing.assert_close(wrong[:, 1:], right[:, 1:])
    torch.testing.assert_close(right[0, 2], (images[0, 2].float() / 255 - 0.5) / 0.4)


@pytest.mark.parametrize(
    ("way", "harmless", "noticed"),
    [
        ("output", False, True),
        ("detach", False, True),
        ("data", False, False),
        ("clone", True, False),
    ],
)
def test_only_a_copy_is_harmless(lesson, way: str, harmless: bool, noticed: bool):
    take = {
        "output": lambda output: output,
        "detach": lambda output: output.detach(),
        "data": lambda output: output.data,
        "clone": lambda output: output.detach().clone(),
    }[way]
    model, x = tiny_network(), torch.randn(1, 3, 20, 20)
    logits = lesson()["logits_while_looking"](model, "4", x, take)
    assert torch.allclose(logits, model(x)) == harmless
    if noticed:  # a ReLU needs its output for the gradient
        with pytest.raises(RuntimeError, match="inplace operation"):
            logits.sum().backward()
    else:
        logits.sum().backward()
    assert torch.equal(model(x), model(x)), "no hook stays"


# --- networks -----------------------------------------------------------------------------------


def check_network(lesson, network: cu.Network) -> tuple[nn.Module, int]:
    """Cut, train for one epoch and explain: the lesson's path; the trained tail, cells a side."""
    names = lesson(**named(network), settings={"epochs": 1, "progress": False})
    front, tail = names["cut"](network, 0.7)
    names |= {"front": front, "tail": tail}
    images, labels = pictures(36)
    maps, x = names["through_front"](images), names["normalised"](images)
    with torch.no_grad():
        whole = cu.backbone_of(network)(x)
        torch.testing.assert_close(tail(maps), whole, rtol=1e-3, atol=1e-4)
    names["n_features"] = whole.shape[1]
    before = [weight.clone() for weight in tail.parameters()]
    model, history = names["train_tuned"]((maps, labels), (maps, labels), 0)
    assert len(history.epochs) == 1
    assert not any(weight.requires_grad for weight in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, tail.parameters(), strict=True)), "a copy"
    assert any(not torch.equal(a, b) for a, b in zip(before, model[0].parameters(), strict=True)), (
        "it learns"
    )
    tuned, layer = nn.Sequential(front, model).eval(), f"0.{network.layers.grad_cam}"
    by_hooks = names["grad_cam_by_hooks"](tuned, f"1.{layer}", x[:1], 1)
    of_tail = cu.grad_cam(model, maps[:1], 1, layer, upsample=False)
    torch.testing.assert_close(by_hooks, of_tail, rtol=1e-3, atol=1e-5)
    return model, by_hooks.shape[-1]


def test_path_with_resnet18_itself(lesson, load_named):
    model, cells = check_network(lesson, load_named("resnet18"))
    assert cells == SIZE // 32
    learning = [name for name, _ in model.named_parameters() if not name.startswith("0.layer4.1.")]
    assert learning == ["1.weight", "1.bias"], "the last block and the new layer, nothing else"


@pytest.mark.parametrize("name", ["efficientnet_lite0", "squeezenet1_1"])
def test_path_with_bundled_networks(lesson, name: str):
    check_network(lesson, cu.load_network(name, device="cpu", verbose=False))


def test_custom_network_learns_colours(lesson):
    network = cu.load_network("squeezenet1_1", device="cpu", verbose=False)
    settings = {"epochs": 6, "progress": False}
    names = lesson(**named(network), settings=settings)
    data = pictures(48)
    model, history = names["train_custom"](data, data, 0)
    assert history.validation_accuracy[history.best_epoch - 1] > 0.9
    twin, _ = names["train_custom"](data, data, 0)
    for first, second in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(first, second), "the same seed gives the same network"
