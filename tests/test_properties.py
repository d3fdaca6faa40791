"""What holds of every public function that takes a network, besides the attribution methods.

Their own tests, with the same networks and settings, are in ``test_attribution.py``.
"""

from __future__ import annotations

import contextlib
import copy
import functools

import numpy as np
import pytest
import torch
from _models import (
    ACTIVATIONS,
    Drawn,
    Meddling,
    distance,
    images,
    interrupted_at,
    networks,
    quickly,
    state_of,
)
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import course_utils as cu
from course_utils import evaluation as ev
from course_utils.evaluation.interventions import class_scores
from scoreboard.metrics import METRICS

MAPS = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(0))


def as_network(model: nn.Module) -> cu.Network:
    """Give a model what `Network.top_k` reads."""
    preprocess = cu.networks.Preprocess((0.5,) * 3, (0.2,) * 3)
    layers = cu.networks.Layers("layer", "head", "layer", ("layer",))
    return cu.Network("", "", model, preprocess, list("abcd"), layers, "")


def probabilities(model, inputs, target):
    best = as_network(model).top_k(inputs, k=4)
    return torch.tensor([[{p.index: p.probability for p in row}[1]] for row in best])


#: Every function of a model, a batch and a target, as one row of numbers for each picture.
MEASURE = {
    "class_scores": lambda model, inputs, target: torch.from_numpy(
        class_scores(model, inputs, target)
    )[:, None],
    "deletion_curve": lambda model, inputs, target: torch.from_numpy(
        ev.deletion_curve(
            model, inputs, MAPS.expand(len(inputs), -1, -1), target, fractions=[0, 0.3, 1]
        ).scores
    ),
    "ROAD": lambda model, inputs, target: torch.from_numpy(
        METRICS["ROAD"](MAPS.expand(len(inputs), -1, -1), model=model, images=inputs, target=target)
    )[:, None],
    "top_k": probabilities,
    "features_of": lambda model, inputs, target: cu.features_of(model, ["layer", "second"])(inputs)[
        "second"
    ].flatten(1),
    "evaluate": lambda model, inputs, target: (
        cu.evaluate(model, [(inputs, torch.zeros(len(inputs)))], progress=False).probabilities
    ),
    "extract_features": lambda model, inputs, target: (
        cu.extract_features(model, (inputs, torch.zeros(len(inputs))), progress=False).features
    ),
}
each_measure = pytest.mark.parametrize("measure", MEASURE.values(), ids=MEASURE)
#: Those that read one class, and those whose result is a sum or a product of weights.
TARGETED = {name: MEASURE[name] for name in ("class_scores", "deletion_curve", "ROAD")}
LINEAR = {MEASURE[name] for name in ("class_scores", "extract_features", "ROAD")}
#: Those that let a network compute in half precision by itself, as it may while it is trained.
MEASURED_AS_TRAINED = {MEASURE[name] for name in ("evaluate", "extract_features")}
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*too few for a bootstrap"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # half a loop
]


@each_measure
@quickly
@given(model=networks)
def test_a_batch_equals_single_calls(measure, model):
    model.eval()
    inputs = images(3, 12)
    alone = [measure(model, inputs[i : i + 1], 1) for i in range(3)]
    torch.testing.assert_close(measure(model, inputs, 1), torch.cat(alone), rtol=1e-4, atol=1e-5)


@each_measure
@quickly
@given(model=networks, exponent=st.integers(-6, 6))
def test_the_scale_of_weights_and_pictures_changes_nothing_else(measure, model, exponent):
    """Larger pictures and smaller first weights are the same network; larger scores are larger."""
    model.eval()
    inputs, scale = images(2, 12), 10.0**exponent
    expected = measure(model, inputs, 1)
    with torch.no_grad():
        model.layer.weight.div_(scale)
    if measure is not MEASURE["extract_features"]:  # which takes pictures, of some range
        assert distance(measure(model, inputs * scale, 1), expected) < 1e-3
    with torch.no_grad():
        model.layer.weight.mul_(scale)
        for parameter in model.head.parameters():
            parameter.mul_(scale)
    if measure in LINEAR:
        assert distance(measure(model, inputs, 1) / scale, expected) < 1e-3


@pytest.mark.parametrize("measure", TARGETED.values(), ids=TARGETED)
@quickly
@given(
    model=networks,
    targets=st.lists(st.integers(0, 3), min_size=2, max_size=2),
    spelling=st.sampled_from([np.array, np.uint8, torch.tensor, torch.IntTensor, tuple]),
)
def test_targets_of_every_type_agree(measure, model, targets, spelling):
    model.eval()
    found = measure(model, images(2, 12), spelling(targets))
    assert torch.equal(found, measure(model, images(2, 12), targets))


@each_measure
@quickly
@given(model=networks, how=st.sampled_from(["channels last", "strided", "expanded", "grad"]))
def test_the_memory_format_of_pictures_does_not_matter(measure, model, how):
    model.eval()
    inputs = images(1, 12).expand(2, -1, -1, -1)
    given_ = {
        "channels last": lambda: inputs.contiguous(memory_format=torch.channels_last),
        "strided": lambda: inputs.repeat_interleave(2, 3)[..., ::2],
        "expanded": lambda: inputs,
        "grad": lambda: inputs.clone().requires_grad_() * 1,
    }[how]()
    expected = measure(model, inputs.contiguous(), 1)
    torch.testing.assert_close(measure(model, given_, 1), expected, rtol=1e-4, atol=1e-5)


@each_measure
@quickly
@given(model=networks, dtype=st.sampled_from([torch.float16, torch.bfloat16]))
def test_half_precision_is_close_to_single_or_refused(measure, model, dtype):
    """Where measuring in half precision is let through, as by autocast, it is within 5 %."""
    model.eval()
    inputs = images(2, 12)
    expected = measure(model, inputs, 1)

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.second, self.whole = model.layer, model.second, model

        def forward(self, batch):
            with torch.autocast("cpu", dtype=dtype):
                return self.whole(batch).float()

    def outside():
        with torch.autocast("cpu", dtype=dtype):
            return measure(model, inputs, 1)

    ways = [
        lambda: measure(copy.deepcopy(model).to(dtype), inputs.to(dtype), 1),
        lambda: measure(copy.deepcopy(model).to(dtype), inputs, 1),
        outside,
        lambda: measure(Own().eval(), inputs, 1),
    ]
    for way in ways:
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            assert (way() - expected).abs().max() < 0.05 * expected.abs().max()
    if measure not in MEASURED_AS_TRAINED:
        for way in (outside, ways[-1]):
            with pytest.raises(TypeError, match="loat16"):
                way()


@each_measure
@quickly
@given(
    activation=st.sampled_from(ACTIVATIONS),
    error=st.sampled_from([None, RuntimeError("no"), KeyboardInterrupt()]),
)
def test_what_is_passed_in_is_left_alone(measure, activation, error):
    model = Meddling(activation, nn.Identity, True, 0).eval()
    model.error, model.patience = error, 1
    model.head.weight.grad = torch.ones_like(model.head.weight)
    passed = images(2, 12).contiguous(memory_format=torch.channels_last), [1]
    before = state_of(model, *passed)
    if error is None:
        measure(model, *passed)
    else:
        with pytest.raises(type(error)):
            measure(model, *passed)
    assert state_of(model, *passed) == before


@each_measure
@quickly
@given(moment=st.integers(1, 800))
def test_nothing_is_left_behind_after_an_interrupt_at_any_moment(measure, moment):
    model = Drawn(nn.ReLU, nn.Identity, True, 0).eval()
    inputs = images(2, 12)
    before = state_of(model, inputs)
    with interrupted_at(moment):
        measure(model, inputs, 1)
    assert state_of(model, inputs) == before


@each_measure
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_no_result(measure, bad):
    """NaN has the highest score, and the lowest."""
    if measure is MEASURE["features_of"]:
        pytest.skip("it returns what the layers gave, and never reads scores")
    model = Drawn(nn.ReLU, nn.Identity, False, 0).eval()
    nn.init.constant_(model.head.bias, bad)
    with pytest.raises(ValueError, match="not finite.*diverge"):
        measure(model, images(2, 12), 1)


# ---------------------------------------------------------------------------- training

LABELS, NOTHING = torch.tensor([0, 1, 2, 3]), nn.Identity()


def trained(model, *more, **options):
    """Train for two epochs on one batch, the only one."""
    data = [(images(4, 12), LABELS)]
    return cu.fit(model, data, *more, epochs=2, device="cpu", progress=False, **options)


@quickly
@given(
    model=networks,
    spelling=st.sampled_from(
        [torch.Tensor.int, torch.Tensor.byte, torch.Tensor.float, lambda labels: labels[:, None]]
    ),
    how=st.sampled_from(["channels last", "strided", "grad"]),
)
def test_training_is_the_same_for_every_spelling_of_its_data(model, spelling, how):
    twin, inputs = copy.deepcopy(model), images(4, 12)
    given_ = {
        "channels last": lambda: inputs.contiguous(memory_format=torch.channels_last),
        "strided": lambda: inputs.repeat_interleave(2, 3)[..., ::2],
        "grad": lambda: inputs.clone().requires_grad_() * 1,
    }[how]()
    expected = trained(model)
    data = [(given_, spelling(LABELS))]
    found = cu.fit(twin, data, epochs=2, device="cpu", progress=False)
    np.testing.assert_allclose(found.train_loss, expected.train_loss, rtol=1e-4)


@quickly
@given(moment=st.integers(1, 2500), validated=st.booleans())
def test_an_interrupt_of_training_at_any_moment_leaves_whole_weights(moment, validated):
    """All of one state, in one mode; the optimizer has its own rate; there are no gradients."""
    trained(Drawn(nn.ReLU, nn.Identity, True, 0))  # the first optimizer imports much
    model = Drawn(nn.ReLU, nn.Identity, True, 0).train()
    rule = torch.optim.Adam(model.parameters(), lr=0.125)
    passed = images(4, 12), LABELS.clone()

    def rest():
        modules, names, tensors, *others = state_of(model, *passed)
        hooks = [module["_forward_hooks"] for module in modules]
        return hooks, names, [tensor[:3:2] for tensor in tensors], others

    before = rest()
    with interrupted_at(moment):
        cu.fit(
            model, [passed], [passed] if validated else None, epochs=3, optimizer=rule,
            device="cpu", schedule="one_cycle", progress=False,
        )  # fmt: skip
    assert rest() == before
    assert rule.param_groups[0]["lr"] == 0.125
    assert len({module.training for module in model.modules()}) == 1
    assert all(parameter.requires_grad for parameter in model.parameters())


@quickly
@given(
    exponent=st.integers(-20, 20),
    order=st.permutations(range(6)),
    size=st.integers(6, 50),
    error=st.sampled_from([None, RuntimeError("no")]),
    moment=st.integers(1, 1400),
)
def test_a_head_depends_on_features_alone_and_changes_nothing_else(
    exponent, order, size, error, moment
):
    """Not on their scale, their order, or the size of one batch that holds them all."""
    scale, labels = 2.0**exponent, torch.arange(6) % 3
    features = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))

    class Head(nn.Linear):
        broken = None

        def forward(self, batch):
            if self.broken is not None and not torch.is_grad_enabled():  # while it is measured
                raise self.broken
            return super().forward(batch)

    def losses(features, labels, factor=1.0, broken=None, **options):
        torch.manual_seed(1)
        head, passed = Head(5, 3, bias=False), (features, labels)
        head.weight.data /= factor
        head.broken = broken
        rule = functools.partial(torch.optim.SGD, lr=0.5 / factor**2)
        options = {"epochs": 2, "optimizer": rule, "device": "cpu", "progress": False} | options
        before = state_of(NOTHING, *passed)
        try:
            history = cu.fit_head(*passed, passed, head=head, **options).history
            return [*history.train_loss, *history.validation_loss]
        finally:
            assert state_of(NOTHING, *passed) == before

    expected = losses(features, labels)
    found = losses(features[order] * scale, labels[order], scale, batch_size=size)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with interrupted_at(moment), contextlib.suppress(RuntimeError):
        losses(features, labels, broken=error)


def test_weights_that_are_not_finite_after_the_last_batch_are_an_error():
    """The loss of the last batch is that of the weights before its step."""
    model = Drawn(nn.ReLU, nn.Identity, True, 0)
    before = copy.deepcopy(model.state_dict())
    rule = torch.optim.SGD(model.parameters(), lr=float("inf"))
    with pytest.raises(FloatingPointError, match="not finite after epoch 1.*learning rate"):
        cu.fit(model, [(images(4, 12), LABELS)], epochs=1, optimizer=rule, device="cpu")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_interrupt_while_the_best_weights_come_back_does_not_mix_epochs():
    class Slow(Drawn):
        interrupts = 1

        def load_state_dict(self, state, *args, **kwargs):
            self.layer.load_state_dict(
                {"weight": state["layer.weight"], "bias": state["layer.bias"]}
            )
            self.interrupts -= 1
            if self.interrupts == 0:
                raise KeyboardInterrupt
            return super().load_state_dict(state, *args, **kwargs)

    model, states = Slow(nn.ReLU, nn.Identity, True, 0), []
    data = (images(4, 12), LABELS)

    class Held(list):
        def __iter__(self):
            states.append(copy.deepcopy(model.state_dict()))
            right = model(data[0]).argmax(1)
            return iter([(data[0], right if len(states) == 1 else (right + 1) % 4)])

    with pytest.raises(KeyboardInterrupt):
        cu.fit(model, [data], Held(), epochs=3, device="cpu", progress=False)
    assert all(torch.equal(value, states[0][name]) for name, value in model.state_dict().items())


def test_training_learns_nothing_about_what_made_its_inputs():
    """Of features of a network that was not frozen: it gets no gradients, its graph stays."""
    backbone = nn.Conv2d(3, 8, 3)
    features, head = backbone(images(4, 12)).mean((2, 3)), nn.Linear(8, 4)
    with torch.no_grad():
        cu.fit(head, [(features, LABELS)], epochs=2, device="cpu", progress=False)
    assert backbone.weight.grad is None


# ---------------------------------------------------------------------------- optimization


def improved(model, inputs, **options):
    """Raise the score of class 1 for three steps, of each picture by itself."""
    settings = {"steps": 3, "lr": 0.1, "minimize": False, "progress": False, **options}
    return cu.optimize(lambda pictures: model(pictures)[:, 1], inputs, **settings)


@quickly
@given(model=networks, how=st.sampled_from(["channels last", "strided", "expanded", "grad"]))
def test_pictures_are_improved_alike_alone_in_a_batch_and_in_every_format(model, how):
    model.eval().double()
    inputs = images(3, 12, torch.float64)
    given_ = {
        "channels last": lambda: inputs.contiguous(memory_format=torch.channels_last),
        "strided": lambda: inputs.repeat_interleave(2, 3)[..., ::2],
        "expanded": lambda: inputs[:1].expand(3, -1, -1, -1),
        "grad": lambda: inputs.clone().requires_grad_() * 1,
    }[how]()
    before = given_.detach().clone()
    together = improved(model, given_)
    alone = [improved(model, picture[None]) for picture in before]
    torch.testing.assert_close(together.best, torch.cat([one.best for one in alone]))
    torch.testing.assert_close(together.value, torch.cat([one.value for one in alone]))
    assert torch.equal(given_.detach(), before)


@quickly
@given(moment=st.integers(1, 1200), error=st.sampled_from([None, RuntimeError("no")]))
def test_improving_pictures_leaves_the_network_alone(moment, error):
    model = Drawn(nn.ReLU, nn.Identity, True, 0).eval()
    model.head.weight.grad = torch.ones_like(model.head.weight)
    improved(model, images(1, 12))  # the first optimizer imports much
    inputs = images(2, 12)
    before = state_of(model, inputs)

    def refuse(_picture):
        if error is not None:
            raise error

    with interrupted_at(moment), contextlib.suppress(RuntimeError):
        improved(model, inputs, constrain=lambda picture: refuse(picture) or picture)
    assert state_of(model, inputs) == before


@quickly
@given(network=networks)
def test_a_backbone_is_a_frozen_copy(network):
    before = state_of(network)
    backbone = cu.backbone_of(as_network(network.train()))
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    features = backbone(images(2, 12))
    torch.testing.assert_close(network.head(features), copy.deepcopy(network).eval()(images(2, 12)))
    assert state_of(network) == before
