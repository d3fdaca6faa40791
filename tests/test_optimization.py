"""The loop that improves pictures, and truncated networks: on toy objectives, in seconds."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import course_utils as cu
from course_utils import networks, optimization
from course_utils.optimization import features_of, optimize

TARGET = torch.tensor([[0.2, 0.9], [0.5, 0.1]])


def distance(picture: torch.Tensor) -> torch.Tensor:
    """One number per picture of a batch (N, 2)."""
    return (picture - TARGET).square().sum(dim=1)


@pytest.fixture(autouse=True)
def _no_recent_interruption(monkeypatch):
    monkeypatch.setattr(optimization, "_last_interruption", -1e9)


# ---------------------------------------------------------------------------- the loop


@pytest.mark.parametrize(("optimizer", "lr"), [("adam", 0.05), ("sgd", 0.2)])
def test_every_optimizer_finds_the_minimum(optimizer, lr):
    start = torch.zeros(2, 2)
    found = optimize(
        lambda x: distance(x).sum(), start, steps=150, optimizer=optimizer, lr=lr, progress=False
    )
    torch.testing.assert_close(found.best, TARGET, atol=1e-2, rtol=0)
    assert found.value < 1e-3
    assert torch.equal(start, torch.zeros(2, 2)), "the start was changed"
    assert len(found.history) == 151
    assert found.history[0] == pytest.approx(distance(start).sum().item())


def test_a_step_of_sgd_and_of_adam_is_theirs():
    leaf = torch.full((3,), 2.0, requires_grad=True)
    rule = torch.optim.Adam([leaf], lr=0.3)
    for _ in range(4):
        rule.zero_grad()
        leaf.pow(4).sum().backward()
        rule.step()
    found = optimize(lambda x: x.pow(4).sum(), torch.full((3,), 2.0), steps=4, lr=0.3)
    torch.testing.assert_close(found.last, leaf.detach(), atol=0, rtol=0)
    once = optimize(
        lambda x: x.pow(4).sum(), torch.full((3,), 2.0), steps=1, optimizer="sgd", lr=0.01
    )
    torch.testing.assert_close(once.last, torch.full((3,), 2.0 - 0.01 * 4 * 8))


def test_ascent_is_the_mirror_image_of_descent():
    settings = {"steps": 5, "lr": 0.1, "progress": False}
    down = optimize(lambda x: distance(x).sum(), torch.zeros(2, 2), **settings)
    up = optimize(lambda x: -distance(x).sum(), torch.zeros(2, 2), minimize=False, **settings)
    assert torch.equal(down.last, up.last)
    np.testing.assert_array_equal(down.history, -up.history)
    assert up.value == up.history.max()


def test_pictures_of_a_batch_are_independent_and_each_keeps_its_best():
    start = torch.tensor([[0.2, 0.9], [2.0, 2.0]])  # the first one can only get worse

    found = optimize(distance, start, steps=8, lr=0.3, progress=False)
    assert found.history.shape == (9, 2)
    assert torch.equal(found.best[0], start[0])
    np.testing.assert_allclose(found.value, found.history.min(axis=0), rtol=1e-6)
    torch.testing.assert_close(distance(found.best), found.value)
    alone = optimize(
        lambda x: (x - TARGET[1:]).square().sum(dim=1), start[1:], steps=8, lr=0.3, progress=False
    )
    torch.testing.assert_close(alone.best[0], found.best[1])


def test_best_is_kept_when_the_loop_diverges():
    found = optimize(
        lambda x: x.square().sum(), torch.ones(1), steps=10, optimizer="sgd", lr=1.1, progress=False
    )
    assert found.best.item() == 1.0
    assert found.history[-1] > found.value
    assert found.last.item() != 1.0


def test_constraint_holds_everywhere():
    seen = []

    def objective(x):
        seen.append(x.detach().clone())
        return distance(2 * x).sum()  # the optimum of the second coordinate is outside

    found = optimize(
        objective,
        torch.full((2, 2), 5.0),
        steps=60,
        lr=0.05,
        constrain=lambda x: x.clamp(0, 0.3),
        progress=False,
    )
    for picture in (*seen, found.best, found.last):
        assert picture.min() >= 0
        assert picture.max() <= 0.3 + 1e-6
    torch.testing.assert_close(found.best, (TARGET / 2).clamp(0, 0.3), atol=1e-2, rtol=0)


def test_gradient_can_be_changed():
    found = optimize(
        lambda x: -x.sum(),
        torch.zeros(4),
        steps=4,
        optimizer="sgd",
        lr=0.5,
        gradient=torch.sign,
        progress=False,
    )
    assert torch.equal(found.last, torch.full((4,), 2.0))
    signs = []
    optimize(
        lambda x: x.sum(),
        torch.zeros(2),
        steps=1,
        minimize=False,
        gradient=lambda g: signs.append(g.clone()) or g,
    )
    assert torch.equal(signs[0], torch.ones(2)), "ascent shows the objective's own gradient"


def test_same_call_gives_the_same_numbers():
    def run():
        generator = torch.Generator().manual_seed(3)
        return optimize(
            lambda x: (x - torch.rand(5, generator=generator)).square().sum(),
            torch.zeros(5),
            steps=20,
            progress=False,
        )

    first, second = run(), run()
    assert torch.equal(first.last, second.last)
    np.testing.assert_array_equal(first.history, second.history)


def test_parameters_of_the_network_get_no_gradient():
    model = nn.Conv2d(3, 2, 3)
    optimize(lambda x: model(x).square().sum(), torch.rand(1, 3, 8, 8), steps=2, progress=False)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_works_in_inference_mode_and_without_gradients():
    with torch.inference_mode():
        found = optimize(lambda x: x.square().sum(), torch.ones(2), steps=3, progress=False)
    assert found.history[-1] < found.history[0]
    with torch.no_grad():
        again = optimize(lambda x: x.square().sum(), torch.ones(2), steps=3, progress=False)
    assert torch.equal(found.last, again.last)


def test_no_step_is_kept_in_memory():
    alive = []

    class Counted(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            context.mark = type("Mark", (), {})()
            alive.append(weakref.ref(context.mark))
            return x.square().sum()

        @staticmethod
        def backward(context, slope):
            return slope * torch.ones(3)

    found = optimize(Counted.apply, torch.ones(3), steps=30, progress=False)
    gc.collect()
    assert sum(mark() is not None for mark in alive) == 0
    assert found.best.untyped_storage().nbytes() == 12


# --- interruptions and errors ------------------------------------------------------------


def interrupted_after(count):
    calls = []

    def objective(x):
        calls.append(1)
        if len(calls) > count:
            raise KeyboardInterrupt
        return x.square().sum()

    return objective


def test_interruption_returns_the_best_so_far_and_the_second_gets_through(capsys):
    found = optimize(interrupted_after(4), torch.ones(2), steps=100, progress=False)
    assert found.interrupted
    assert len(found.history) - 1 == 3
    assert found.value == found.history.min()
    assert "Interrupted after step 3" in capsys.readouterr().out
    with pytest.raises(KeyboardInterrupt):
        optimize(interrupted_after(4), torch.ones(2), steps=100, progress=False)


def test_interruptions_far_apart_end_one_loop_each(monkeypatch):
    times = iter([100.0, 200.0])
    monkeypatch.setattr(optimization.time, "monotonic", lambda: next(times))
    for _ in range(2):
        assert optimize(interrupted_after(2), torch.ones(2), steps=9, progress=False).interrupted


def test_interruption_before_anything_was_found_gets_through():
    with pytest.raises(KeyboardInterrupt):
        optimize(interrupted_after(0), torch.ones(2), steps=100, progress=False)


def test_objective_that_is_not_finite_names_the_step():
    with pytest.raises(FloatingPointError, match=r"nan after 1 steps.*root or logarithm of 0"):
        optimize(lambda x: x.norm() + x.sqrt().sum(), torch.zeros(2), steps=9, progress=False)
    with pytest.raises(FloatingPointError, match=r"inf after 0 steps.*division by 0"):
        optimize(lambda x: (1 / x).sum(), torch.zeros(2), steps=9, progress=False)
    with pytest.raises(FloatingPointError, match=r"\[1.0, inf\]"):
        optimize(lambda x: 1 / x[:, 0], torch.tensor([[1.0], [0.0]]), steps=9, progress=False)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"steps": 0}, ValueError, "at least 1"),
        ({"optimizer": "adamant"}, ValueError, "did you mean 'adam'"),
        ({"start": torch.zeros(2, dtype=torch.int64)}, RuntimeError, "floating point"),
        ({"objective": lambda x: 3.0}, ValueError, "float"),
        ({"objective": lambda x: x}, ValueError, "one for each of 2 pictures"),
        ({"objective": lambda x: x.detach().sum()}, RuntimeError, "does not require grad"),
        ({"constrain": lambda x: x[:1]}, RuntimeError, "shape"),
    ],
)
def test_settings_that_make_no_sense(changes, error, words):
    call = {"objective": lambda x: x.sum(), "start": torch.zeros(2, 3), "steps": 3, **changes}
    with pytest.raises(error, match=words):
        optimize(**call, progress=False)


# ---------------------------------------------------------------------------- features

#: Layers that are deep and shallow, in and out of order, and written over by an in-place ReLU.
LAYERS = {
    "squeezenet1_1": ("features.7", "features.0", "features.3.squeeze"),
    "efficientnet_lite0": ("blocks.2", "stem", "blocks.4"),
    "vgg19": ("features.0", "features.2", "features.11"),
    "resnet18": ("bn1", "layer1", "relu"),
    "mobilenet_v3_large": ("features.0.1", "features.3", "features.6"),
}


def built(name):
    torch.manual_seed(0)
    if name != "vgg19":
        return networks.NETWORKS[name].build().eval()
    import torchvision

    with torch.device("meta"):  # the classifier alone would be half a gigabyte
        model = torchvision.models.vgg19(weights=None)
    model.features[:12].to_empty(device="cpu")
    for parameter in model.features[:12].parameters():
        nn.init.normal_(parameter, std=0.05)
    return model.eval()


@pytest.mark.parametrize("name", LAYERS)
def test_activations_are_the_networks_and_nothing_beyond_is_computed(name):
    model, layers = built(name), LAYERS[name]
    images = torch.rand(1, 3, 64, 64)
    expected, hooks = {}, []
    for layer in layers:  # what each layer returned at the moment it returned it

        def keep(_module, _inputs, output, layer=layer):
            expected.setdefault(layer, output.detach().clone())

        hooks.append(model.get_submodule(layer).register_forward_hook(keep))
    called = []
    for path, module in model.named_modules():
        hooks.append(module.register_forward_hook(lambda *_, path=path: called.append(path)))
    before = sum(len(module._forward_hooks) for module in model.modules())
    found = features_of(model, layers)(images.requires_grad_())
    assert sum(len(module._forward_hooks) for module in model.modules()) == before
    assert tuple(found) == layers
    for layer in layers:
        torch.testing.assert_close(found[layer].detach(), expected[layer], atol=0, rtol=0)
    assert "" not in called, "the network ran to its end"
    assert called[-1] in layers, "something ran beyond the last layer"
    (slope,) = torch.autograd.grad(sum(values.square().sum() for values in found.values()), images)
    assert slope.abs().sum() > 0
    for hook in hooks:
        hook.remove()


def test_gradients_are_those_of_a_network_without_in_place_operations():
    def network(inplace):
        torch.manual_seed(0)
        return (
            nn.Sequential(
                nn.Conv2d(3, 4, 3), nn.ReLU(inplace), nn.Conv2d(4, 4, 3), nn.ReLU(inplace)
            )
            .double()
            .eval()
        )

    slopes = []
    for inplace in (True, False):
        image = torch.linspace(-1, 1, 3 * 81).double().view(1, 3, 9, 9).requires_grad_()
        found = features_of(network(inplace), ["0", "2"])(image)
        total = sum(values.square().sum() for values in found.values())
        slopes.append(torch.autograd.grad(total, image)[0])
    torch.testing.assert_close(*slopes, atol=0, rtol=0)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_overwritten_activations_are_right_without_gradients_too(mode):
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(inplace=True), nn.Conv2d(1, 1, 1))
    nn.init.constant_(model[0].weight, -1.0)
    nn.init.zeros_(model[0].bias)
    extract = features_of(model.eval(), ["0", "2"])
    with mode():
        for _ in range(2):
            assert extract(torch.ones(1, 1, 2, 2))["0"].max().item() == -1.0


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_features_leave_the_network_as_it_was_when_it_fails(error):
    class Failing(nn.Module):
        def forward(self, _images):
            raise error

    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), Failing(), nn.ReLU()).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(error):
        features_of(model, ["1", "3"])(torch.rand(1, 3, 4, 4))
    assert not any(module._forward_hooks for module in model.modules())
    assert not any(module.training for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


class Wired(nn.Module):
    """A network made of parts and of a function that runs them."""

    def __init__(self, run, **parts):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            self.add_module(name, part)
        self.eval()

    def forward(self, images):
        return self.run(self, images)


def test_layers_that_are_not_there():
    unused = Wired(lambda net, x: net.used(x), used=nn.Conv2d(3, 2, 1), spare=nn.ReLU())
    with pytest.raises(AttributeError, match="features"):
        features_of(unused, "features.7")
    with pytest.raises(ValueError, match="at least one"):
        features_of(unused, [])
    with pytest.raises(ValueError, match="never calls spare"):
        features_of(unused, ["used", "spare"])(torch.rand(1, 3, 4, 4))


def test_a_layer_that_returns_no_tensor_is_refused():
    pair = Wired(lambda _net, x: (x, x))
    net = Wired(lambda net, x: net.pair(x)[0], pair=pair)
    with pytest.raises(TypeError, match="layer 'pair' returns a tuple.*within it"):
        features_of(net, "pair")(torch.rand(1, 3, 4, 4))


def test_networks_that_need_contiguous_activations():
    """``x.view`` fails on channels-last activations; then pictures stay as they are."""
    net = Wired(
        lambda net, x: net.head(net.layer(x).view(len(x), -1)),
        layer=nn.Conv2d(3, 2, 3), head=nn.Linear(2 * 49, 4),
    )  # fmt: skip
    images = torch.rand(2, 3, 9, 9)
    torch.testing.assert_close(features_of(net, "head")(images)["head"], net(images))


def test_steps_of_adam_do_not_depend_on_the_objectives_scale():
    """As far as the docstring says: where gradients are larger than about 1e-6."""
    start, settings = torch.zeros(2, 2), {"steps": 30, "lr": 0.1, "progress": False}
    expected = optimize(distance, start, **settings).best
    for scale in (1e-5, 1e-3, 1e6):
        found = optimize(lambda x, scale=scale: scale * distance(x), start, **settings).best
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)


def test_a_module_used_twice_answers_once():
    twice = Wired(lambda net, x: net.end(net.act(net.act(x) - 1)), act=nn.ReLU(), end=nn.Identity())
    found = features_of(twice, ["act", "end"])(torch.full((1, 1, 1, 1), 3.0))
    assert found["act"].item() == 3.0
    assert found["end"].item() == 2.0


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (torch.rand(3, 9, 9), ValueError, r"images\[None\]"),
        (torch.zeros(1, 3, 9, 9, dtype=torch.uint8), TypeError, "floats"),
        (torch.full((1, 3, 9, 9), float("nan")), ValueError, "NaN"),
        ([[0.0]], TypeError, "list"),
    ],
)
def test_pictures_of_another_shape_or_type_are_refused(images, error, words):
    """One picture without its batch dimension used to give activations of another shape."""
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).eval()
    with pytest.raises(error, match=words):
        features_of(model, "0")(images)


def test_a_network_in_training_mode_is_refused():
    """Its BatchNorm would take in the statistics of these pictures."""
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))
    with pytest.raises(ValueError, match="training mode"):
        features_of(model, "0")(torch.rand(2, 3, 9, 9))
    assert torch.equal(model[1].running_mean, torch.zeros(2))


def test_a_picture_that_is_no_longer_finite_is_named_before_the_objective_sees_it():
    """Even where the objective would refuse it with an error of its own."""

    def objective(x):
        if not x.isfinite().all():
            raise ValueError("images hold NaN")
        return x.square().sum()

    with pytest.raises(FloatingPointError, match="after 1 steps"):
        optimize(objective, torch.ones(2), steps=9, optimizer="sgd", lr=float("inf"))


def test_networks_of_the_course_give_their_style_layers():
    network = cu.load_network("squeezenet1_1", device="cpu", verbose=False)
    extract = cu.features_of(network, [network.layers.content, *network.layers.style])
    assert list(extract(torch.rand(1, 3, 64, 64))) == [
        network.layers.content,
        *network.layers.style,
    ]
