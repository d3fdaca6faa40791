"""Path integrals, Grad-CAM, DeepLift: equal to Captum, complete, bounded, no side effects."""

from __future__ import annotations

import copy
import gc
import subprocess
import sys
import warnings

import pytest
import torch
from _models import (
    ACTIVATIONS,
    POOLINGS,
    Drawn,
    Meddling,
    distance,
    images,
    interrupted_at,
    networks,
    quickly,
    state_of,
)
from captum.attr import DeepLift, IntegratedGradients, LayerAttribution, LayerGradCam
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import course_utils as cu
from course_utils.attribution import folding
from course_utils.attribution.quadrature import METHODS

CAPTUM_METHODS = [method for method in METHODS if method != "squared_midpoint"]


class Small(nn.Module):
    """Batch norm, a shared in-place ReLU6, overlapping max pooling, a residual, a head."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.middle = nn.Conv2d(6, 6, 3, padding=1)
        self.middle_norm = nn.BatchNorm2d(6)
        self.act = nn.ReLU6(inplace=True)
        self.pool = nn.MaxPool2d(3, 2)
        self.head = nn.Linear(6, classes)

    def forward(self, images):
        features = self.pool(self.act(self.norm(self.stem(images))))
        features = features + self.act(self.middle_norm(self.middle(features)))
        return self.head(features.mean((2, 3)))


def small(dtype=torch.float32, module=Small) -> nn.Module:
    """Make a network whose batch norms have statistics of their own, as trained ones do."""
    torch.manual_seed(1)
    model = module()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean, std=0.5)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.normal_(norm.bias, std=0.5)
    return model.eval().to(dtype)


@pytest.fixture(scope="module")
def bundled():
    """Both bundled networks and one photograph, explained for the predicted class."""
    photo = cu.load_photo("bull_mastiff")
    nets = [
        cu.load_network(name, verbose=False) for name in ("squeezenet1_1", "efficientnet_lite0")
    ]
    return {net.name: (net, net.preprocess(photo)) for net in nets}


# --- integrated gradients: equal to Captum ---------------------------------------------------


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("method", CAPTUM_METHODS)
def test_equals_captum_for_every_quadrature(method, fast):
    model, inputs = small(torch.float64), images(3, dtype=torch.float64)
    baselines, target = torch.randn_like(inputs), torch.tensor([1, 4, 0])
    expected, expected_delta = IntegratedGradients(model).attribute(
        inputs, baselines, target, n_steps=13, method=method, return_convergence_delta=True
    )
    ours = cu.integrated_gradients(
        model, inputs, target, baselines=baselines, n_steps=13, method=method, fast=fast
    )
    assert distance(ours.attributions, expected) < 1e-7
    # Captum's weights are rounded to float32, and so is its sum of attributions
    torch.testing.assert_close(ours.delta, expected_delta.double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["gausslegendre", "riemann_trapezoid"])
@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_lite0"])
def test_equals_captum_on_real_networks_in_single_precision(bundled, name, method):
    net, inputs = bundled[name]
    expected, expected_delta = IntegratedGradients(net.model).attribute(
        inputs, target=243, n_steps=3, method=method, return_convergence_delta=True
    )
    ours = cu.integrated_gradients(net.model, inputs, 243, n_steps=3, method=method, fast=False)
    assert distance(ours.attributions, expected) < 1e-5
    torch.testing.assert_close(ours.delta, expected_delta, rtol=1e-3, atol=1e-3)


def test_fast_single_precision_is_as_close_to_the_truth_as_captum_is(bundled):
    """Rounding tips ReLUs over: Captum's own result is this far from its float64 one."""
    net, photo = bundled["efficientnet_lite0"]
    inputs = F.avg_pool2d(photo, 2)
    twin = cu.load_network("efficientnet_lite0", verbose=False).model.double()
    options = {"target": 243, "n_steps": 3}
    truth = cu.integrated_gradients(twin, inputs.double(), **options).attributions
    captum = IntegratedGradients(net.model).attribute(inputs, **options)
    fast = cu.integrated_gradients(net.model, inputs, **options).attributions
    error = {
        name: (map_ - truth).norm() / truth.norm()
        for name, map_ in {"captum": captum, "fast": fast}.items()
    }
    assert error["fast"] < max(10 * error["captum"], 1e-5)
    assert error["fast"] < 2e-2


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 7, 100])
def test_chunks_do_not_matter(chunk_size):
    model, inputs = small(torch.float64), images(5, dtype=torch.float64)
    whole = cu.integrated_gradients(model, inputs, 1, n_steps=9, chunk_size=1000)
    chunked = cu.integrated_gradients(model, inputs, 1, n_steps=9, chunk_size=chunk_size)
    torch.testing.assert_close(chunked, whole)


# --- integrated gradients: closed forms ------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_linear_model_gives_weight_times_difference(method):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2)).double().eval()
    inputs, baseline = images(2, 4, torch.float64), images(1, 4, torch.float64) / 3
    _, weights = cu.quadrature(method, 7)
    expected = model[1].weight[1].view(3, 4, 4) * (inputs - baseline)
    result = cu.integrated_gradients(model, inputs, 1, baselines=baseline, n_steps=7, method=method)
    torch.testing.assert_close(result.attributions, (expected * weights.sum()).detach())
    if method != "riemann_trapezoid":  # whose weights do not sum to 1, in Captum neither
        torch.testing.assert_close(result.delta, torch.zeros(2).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("method", ["riemann_middle", "gausslegendre"])
def test_quadratic_function_is_integrated_exactly(method):
    """For f = Σ x² the integrand is linear in α, so IG from b is x² - b² in every coordinate."""

    def squares(batch):
        return (batch**2).flatten(1).sum(1, keepdim=True)

    inputs = images(1, 5, torch.float64)
    result = cu.integrated_gradients(squares, inputs, 0, baselines=0.3, n_steps=4, method=method)
    torch.testing.assert_close(result.attributions, inputs**2 - 0.09, rtol=1e-6, atol=1e-6)


def test_saturated_unit_gets_credit():
    """The axiom of sensitivity: f(x) = 1 - ReLU(1 - x), whose gradient at x = 2 is zero."""

    def saturating(batch):
        return 1 - F.relu(1 - batch.flatten(1))

    result = cu.integrated_gradients(saturating, torch.full((1, 1, 1, 1), 2.0), 0, n_steps=500)
    assert float(result.attributions) == pytest.approx(1, abs=0.01)


def test_delta_shrinks_with_the_steps():
    model, inputs = small(), images(1)
    errors = [
        abs(float(cu.integrated_gradients(model, inputs, 1, n_steps=n, method=method).delta))
        for method in ("riemann_right", "squared_midpoint")
        for n in (5, 500)
    ]
    assert errors[1] < errors[0] / 20
    assert errors[3] < errors[2] / 20 + 1e-5


# --- quadrature ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_quadrature_covers_the_interval(method):
    alphas, weights = cu.quadrature(method, 40)
    assert alphas.dtype == weights.dtype == torch.float64
    assert alphas.min() >= 0
    assert alphas.max() <= 1
    assert (alphas.diff() > 0).all()
    total = 1 - 1 / 40 if method == "riemann_trapezoid" else 1
    assert float(weights.sum()) == pytest.approx(total, abs=1e-12)


def test_squared_midpoint_is_a_second_order_rule():
    def error(n_steps):
        alphas, weights = cu.quadrature("squared_midpoint", n_steps)
        return abs(float(weights @ torch.exp(alphas)) - (torch.e - 1))

    assert error(20) / error(40) == pytest.approx(4, rel=0.05)
    # the integrand that it is for: steep at the baseline
    alphas, weights = cu.quadrature("squared_midpoint", 20)
    assert float(weights @ alphas.rsqrt()) == pytest.approx(2, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("simpson", 10), "choose one of riemann_left, riemann_right, .*squared_midpoint"),
        (("gausslegendre", 0), "at least 1, got 0"),
        (("riemann_trapezoid", 1), "at least 2, got 1"),
    ],
)
def test_quadrature_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        cu.quadrature(*arguments)
    with pytest.raises(ValueError, match=message):
        cu.integrated_gradients(small(), images(), 0, method=arguments[0], n_steps=arguments[1])


# --- properties of all methods ---------------------------------------------------------------

#: Every method as a function of a model, images and a target; Grad-CAM at a layer named "layer".
EXPLAIN = {
    "integrated_gradients": lambda model, inputs, target, **options: (
        cu.integrated_gradients(model, inputs, target, n_steps=5, **options).attributions
    ),
    "path_gradients": lambda model, inputs, target, **options: (
        cu.path_gradients(
            model,
            inputs[:1],
            target,
            alphas=torch.linspace(0, 1, 4),
            keep_gradients=True,
            **options,
        ).gradients
    ),
    "deeplift": lambda model, inputs, target, **options: (
        cu.deeplift(model, inputs, target, **options).attributions
    ),
    "grad_cam": lambda model, inputs, target, **options: cu.grad_cam(
        model, inputs, target, "layer", relu=False, **options
    ),
}
each_method = pytest.mark.parametrize("explain", EXPLAIN.values(), ids=EXPLAIN)


homogeneous_networks = st.builds(
    Drawn,
    st.sampled_from([nn.ReLU, nn.LeakyReLU]),
    st.sampled_from(POOLINGS),
    st.just(False),
    st.integers(0, 10),
    st.just(True),
)
exponents = st.integers(-6, 6)


@each_method
@quickly
@given(model=homogeneous_networks, exponent=exponents)
def test_the_scale_of_the_first_layer_changes_nothing_else(explain, model, exponent):
    """A network of ReLUs without later biases: its scores and their explanations scale with it."""
    model.eval()
    expected = explain(model, images(2, 12), 1)
    with torch.no_grad():
        for parameter in model.layer.parameters():
            parameter.mul_(10.0**exponent)
    assert distance(explain(model, images(2, 12), 1) / 10.0**exponent, expected) < 1e-4


@each_method
@quickly
@given(model=networks, exponent=exponents)
def test_the_scale_of_pictures_and_scores_changes_nothing_else(explain, model, exponent):
    model.eval()
    inputs = images(2, 12)
    expected = explain(model, inputs, 1)
    scale = 10.0**exponent
    with torch.no_grad():
        model.layer.weight.div_(scale)
        for parameter in model.head.parameters():
            parameter.mul_(scale)
    scaled = explain(model, inputs * scale, 1)
    if explain is not EXPLAIN["path_gradients"]:  # whose gradients are by the larger pictures
        scaled = scaled / scale
    assert distance(scaled, expected) < 1e-3


@pytest.mark.parametrize("depth", [1, 3, 6])
@pytest.mark.parametrize("scale", [1e-6, 1e-5, 1e-3, 1, 1e6])
def test_deeplift_is_complete_at_every_scale(scale, depth):
    """As complete as Captum's, which compares with a number so small that it never matters."""
    torch.manual_seed(depth)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 10 * 15, 3)).eval()
    with torch.no_grad():
        for parameter in model[0].parameters():
            parameter.mul_(scale)
        for layer in model[1:]:
            if hasattr(layer, "bias"):
                layer.bias.zero_()
    inputs = torch.randn(2, 3, 12, 17)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = cu.deeplift(model, inputs, 1)
    assert _completeness(model, inputs, 1, result) < 1e-4


@each_method
@quickly
@given(model=networks, targets=st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_a_batch_equals_single_calls_whatever_the_chunks(explain, model, targets):
    model.eval().double()
    inputs, options = images(3, 12, torch.float64), {}
    if explain in (EXPLAIN["integrated_gradients"], EXPLAIN["deeplift"]):
        options["baselines"] = inputs.flip(0) / 2
    for chunk_size in (None, 1, 4):
        if explain is EXPLAIN["path_gradients"]:
            together = explain(model, inputs, targets[0], chunk_size=chunk_size)
            torch.testing.assert_close(together, explain(model, inputs, targets[0]))
            continue
        together = explain(model, inputs, targets, chunk_size=chunk_size, **options)
        for index, target in enumerate(targets):
            only = slice(index, index + 1)
            own = {name: value[only] for name, value in options.items()}
            alone = explain(model, inputs[only], target, **own)
            torch.testing.assert_close(together[only], alone, rtol=1e-7, atol=1e-9)


@each_method
@quickly
@given(model=networks, how=st.sampled_from(["channels last", "strided", "expanded", "grad"]))
def test_the_memory_format_of_pictures_does_not_matter(explain, model, how):
    model.eval().double()
    inputs = images(1, 12, torch.float64).expand(2, -1, -1, -1).contiguous()
    expected = explain(model, inputs, [1, 2][:1])
    given_ = {
        "channels last": lambda: inputs.contiguous(memory_format=torch.channels_last),
        "strided": lambda: inputs.repeat_interleave(2, 3)[..., ::2],
        "expanded": lambda: inputs[:1].expand(2, -1, -1, -1),
        "grad": lambda: inputs.clone().requires_grad_() * 1,
    }[how]()
    torch.testing.assert_close(explain(model, given_, 1), expected)


@each_method
def test_half_precision_is_refused_and_autocast_has_no_effect(explain):
    model, inputs = Drawn(nn.SiLU, nn.Identity, True, 0).eval(), images(2, 12)
    expected = explain(model, inputs, 1)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=dtype):
            assert torch.equal(explain(model, inputs, 1), expected)
        with pytest.raises(TypeError, match="float32"):
            explain(copy.deepcopy(model).to(dtype), inputs.to(dtype), 1)
        with pytest.raises(ValueError, match="float32"):
            explain(copy.deepcopy(model).to(dtype), inputs, 1)

    class Autocast(Drawn):
        def forward(self, batch):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return super().forward(batch)

    with pytest.raises(TypeError, match="bfloat16.*autocast"):
        explain(Autocast(nn.SiLU, nn.Identity, True, 0).eval(), inputs, 1)


# --- what is passed in is afterwards as it was -------------------------------------------------


@each_method
@quickly
@given(
    activation=st.sampled_from(ACTIVATIONS),
    requires_grad=st.booleans(),
    error=st.sampled_from([None, RuntimeError("no"), ValueError("no"), KeyboardInterrupt()]),
)
def test_what_is_passed_in_is_left_alone(explain, activation, requires_grad, error):
    model = Meddling(activation, nn.Identity, True, 0).eval().requires_grad_(requires_grad)
    model.error = error
    model.patience = 1 if explain is EXPLAIN["grad_cam"] else 2
    if requires_grad:
        model.head.weight.grad = torch.ones_like(model.head.weight)
    passed = images(2, 12).contiguous(memory_format=torch.channels_last).requires_grad_(), [1]
    before = state_of(model, *passed)
    if error is None:
        explain(model, *passed)
    else:
        with pytest.raises(type(error)):
            explain(model, *passed)
    assert state_of(model, *passed) == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # half a tqdm bar
@each_method
@quickly
@given(moment=st.integers(0, 1500))
def test_nothing_is_left_behind_after_an_interrupt_at_any_moment(explain, moment):
    """Raised as a signal would be: at the call of any function, in PyTorch or in the course."""
    model = Drawn(nn.ReLU, nn.Identity, True, 0).eval()
    passed = images(2, 12), [1, 2]
    before = state_of(model, *passed)
    with interrupted_at(moment):
        explain(model, passed[0], 1)
    assert state_of(model, *passed) == before


# --- inputs, baselines -----------------------------------------------------------------------


class _OwnAutocast(nn.Module):
    """Computes in bfloat16 by itself, and returns float32."""

    def __init__(self):
        super().__init__()
        self.layer = small()

    def forward(self, batch):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.layer(batch).float()


@each_method
def test_a_network_with_autocast_of_its_own_is_refused(explain):
    with pytest.raises(TypeError, match="bfloat16.*autocast"):
        explain(_OwnAutocast().eval(), images(), 1)
    if explain is not EXPLAIN["grad_cam"]:  # which takes no functions
        with pytest.raises(TypeError, match="bfloat16.*autocast"):
            explain(lambda batch: _OwnAutocast().eval()(batch), images(), 1)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"target": 5}, IndexError, "target 5 is out of range.*5 outputs, 0 to 4"),
        ({"target": [0, 1, 2]}, ValueError, r"one per image \(2\), not of shape \(3"),
        ({"inputs": images()[0]}, ValueError, r"inputs\[None\]"),
        ({"inputs": images()[:0]}, ValueError, "one or more"),
        ({"inputs": images().mul(100).byte()}, TypeError, "floats.*uint8"),
        ({"inputs": [1, 2]}, TypeError, "must be a tensor"),
        ({"inputs": images() / 0}, ValueError, "3456 values that are NaN or infinite"),
        ({"inputs": images().double()}, ValueError, "inputs.float"),
        ({"baselines": images(3)}, ValueError, r"\(2, 3, 24, 24\), or one image's.*\(3, 3"),
        ({"baselines": images()[0]}, ValueError, r"baselines\[None\]"),
        ({"baselines": float("nan")}, ValueError, "baselines hold"),
        ({"baselines": "black"}, TypeError, "None .zeros., a number or a tensor"),
        ({"model": small().train()}, ValueError, r"training mode.*model.eval\(\)"),
        ({"model": small().to("meta")}, ValueError, "type=.meta"),
        ({"model": "resnet18"}, TypeError, "a module or a function"),
        ({"model": nn.Conv2d(3, 5, 3).eval()}, ValueError, "one score per class.*not"),
        ({"model": lambda batch: (batch, batch)}, TypeError, "not tuple"),
        ({"model": lambda batch: batch.detach().flatten(1)}, ValueError, "do not depend on"),
    ],
)
def test_errors_say_what_is_wrong(changes, error, message):
    arguments = {"model": small(), "inputs": images(), "target": 1, **changes}
    for method in (cu.integrated_gradients, cu.deeplift):
        with pytest.raises(error, match=message):
            method(**arguments)
    if "baselines" not in changes and isinstance(arguments["model"], Small):
        with pytest.raises(error, match=message):
            cu.grad_cam(**arguments, layer="middle")


def test_dropout_left_in_training_mode_is_found():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(3 * 24 * 24, 2)).eval()
    model[1].train()
    with pytest.raises(ValueError, match="training mode"):
        cu.integrated_gradients(model, images(), 0)


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_works_where_gradients_are_switched_off(guard):
    model = small()
    expected = cu.integrated_gradients(model, images(), 1, n_steps=3)
    with guard():
        inputs = images()
        torch.testing.assert_close(cu.integrated_gradients(model, inputs, 1, n_steps=3), expected)
        cu.grad_cam(model, inputs, 1, "middle")
        cu.deeplift(model, inputs, 1)


def test_any_function_will_do():
    model, inputs = small(), images()
    result = cu.integrated_gradients(lambda batch: model(batch).softmax(1), inputs, 1, n_steps=4)
    expected = IntegratedGradients(lambda batch: model(batch).softmax(1)).attribute(
        inputs, target=1, n_steps=4
    )
    assert distance(result.attributions, expected) < 1e-4


def test_networks_that_need_contiguous_activations():
    """``x.view`` fails on channels-last activations; then images stay as they are."""

    class Viewing(Small):
        def forward(self, batch):
            features = self.act(self.norm(self.stem(batch)))
            return self.head(features.view(len(batch), 6, -1).mean(2)[:, :6].view(-1, 6))

    model, inputs = small(torch.float64, Viewing), images(dtype=torch.float64)
    expected = IntegratedGradients(model).attribute(inputs, target=1, n_steps=4)
    flat = nn.Sequential(nn.Conv2d(3, 2, 3), _View(), nn.Linear(2 * 22 * 22, 5)).double().eval()
    with pytest.raises(RuntimeError, match="view"):
        flat(inputs.contiguous(memory_format=torch.channels_last))
    assert (
        distance(cu.integrated_gradients(model, inputs, 1, n_steps=4).attributions, expected) < 1e-6
    )
    assert cu.integrated_gradients(flat, inputs, 1, n_steps=4).delta.abs().max() < 1e-10


class _View(nn.Module):
    def forward(self, batch):
        return batch.view(len(batch), -1)


# --- folding ---------------------------------------------------------------------------------


def folded(model, inputs):
    return folding.fold_batch_norm(model, inputs, model(inputs).detach())


@pytest.mark.parametrize("name", ["Small", "efficientnet_lite0"])
def test_a_folded_network_is_the_same_function(name):
    model = small() if name == "Small" else cu.load_network(name, verbose=False).model
    model, inputs = model.double(), images(1, 64, torch.float64)
    twin = folded(model, inputs)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in twin.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    torch.testing.assert_close(twin(inputs), model(inputs))
    expected = IntegratedGradients(model).attribute(inputs, target=1, n_steps=4)
    ours = cu.integrated_gradients(model, inputs, 1, n_steps=4)
    assert distance(ours.attributions, expected) < 1e-7


def test_hooks_are_honoured():
    model, calls = small(), []
    handle = model.norm.register_forward_hook(lambda *_: calls.append(1))
    assert folded(model, images()) is None
    calls.clear()
    cu.integrated_gradients(model, images(), 1, n_steps=3, chunk_size=2)
    assert len(calls) >= 4
    handle.remove()
    assert folded(model, images()) is not None


@pytest.mark.parametrize("how", ["load_state_dict", "data", "no_grad", "statistics", "module"])
def test_changed_parameters_are_seen(how):
    model, inputs = small(torch.float64), images(1, dtype=torch.float64)
    first = cu.integrated_gradients(model, inputs, 1, n_steps=4).attributions
    if how == "load_state_dict":
        model.load_state_dict({k: v * 1.1 for k, v in model.state_dict().items()})
    elif how == "data":
        model.stem.weight.data.mul_(-1)
    elif how == "no_grad":
        with torch.no_grad():
            model.middle_norm.weight.normal_()
    elif how == "statistics":
        model.norm.running_var.mul_(3)
    else:
        model.act = nn.Tanh().eval()
    second = cu.integrated_gradients(model, inputs, 1, n_steps=4).attributions
    expected = IntegratedGradients(model).attribute(inputs, target=1, n_steps=4)
    assert distance(second, expected) < 1e-6
    assert distance(second, first) > 1e-2


class _Branching(Small):
    def forward(self, batch):
        return super().forward(batch) if batch.sum() > -1e9 else None


class _Detaching(Small):
    def forward(self, batch):
        with torch.no_grad():
            features = self.act(self.norm(self.stem(batch)))
        return self.head(features.mean((2, 3)) + batch.mean((2, 3)).repeat(1, 2))


class _ReadTwice(Small):
    def forward(self, batch):
        features = self.stem(batch)
        return self.head((self.norm(features) + features).mean((2, 3)))


class _CalledTwice(Small):
    def forward(self, batch):
        features = self.act(self.norm(self.stem(batch)))
        return self.head(
            (self.middle_norm(self.middle(features)) + self.middle(features)).mean((2, 3))
        )


class _Keeping(Small):
    def forward(self, batch):
        self.features = self.act(self.norm(self.stem(batch)))
        return self.head(self.features.mean((2, 3)))


class _Patched(Small):
    """Batch norm whose gradient is not that of its values."""

    def __init__(self):
        super().__init__()
        normalise = self.norm.forward
        self.norm.forward = lambda batch: normalise(batch) + batch - batch.detach()


@pytest.mark.parametrize(
    "module", [_Branching, _Detaching, _ReadTwice, _CalledTwice, _Keeping, _Patched]
)
def test_folding_is_safe_for_unusual_networks(module):
    model, inputs = small(torch.float64, module), images(1, dtype=torch.float64)
    expected = IntegratedGradients(model).attribute(inputs, target=1, n_steps=4)
    model.features = None
    ours = cu.integrated_gradients(model, inputs, 1, n_steps=4)
    assert distance(ours.attributions, expected) < 1e-6
    assert model.features is None
    if module in (_ReadTwice, _Patched):
        assert folded(model, inputs) is None


class _Viewing(Small):
    def forward(self, batch):
        features = self.act(self.norm(self.stem(batch)))
        flat = features.view(len(batch), -1)  # stops if the activations are channels-last
        return self.head(flat.view(*features.shape[:2], -1).mean(2))


def test_networks_that_need_contiguous_activations_are_folded_too():
    model, inputs = small(torch.float64, _Viewing), images(1, dtype=torch.float64)
    assert folded(model, inputs) is not None
    expected = IntegratedGradients(model).attribute(inputs, target=1, n_steps=4)
    ours = cu.integrated_gradients(model, inputs, 1, n_steps=4)
    assert distance(ours.attributions, expected) < 1e-6


# --- memory, progress, devices ---------------------------------------------------------------

MEMORY_PROBE = """
import sys, torch, course_utils as cu
from torch import nn

def peak():
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

layers, width = [], 3
for _ in range(6):
    layers += [nn.Conv2d(width, 32, 3, padding=1), nn.ReLU()]
    width = 32
model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4)).eval()
inputs = torch.randn(16, 3, 64, 64)
cu.integrated_gradients(model, inputs[:1], 1, n_steps=2, chunk_size=2, progress=False)
before = peak()
for number, n_steps in ((1, 16), (1, 64), (16, 4)):
    options = {"n_steps": n_steps, "chunk_size": 8, "progress": False}
    cu.integrated_gradients(model, inputs[:number], 1, **options)
    print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_memory_grows_neither_with_steps_nor_with_images():
    """One chunk of 8 stores 50 MiB here; all 64 steps at once would store 400 MiB."""
    command = [sys.executable, "-c", MEMORY_PROBE]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    few, many_steps, many_images = map(float, said.split())  # each the highest so far
    assert 10 < few < 200
    assert many_steps < 1.1 * few + 32  # MiB; the allocator is not that exact
    assert many_images < 1.1 * few + 32


def test_no_graph_is_kept():
    model, inputs = small(), images()
    result = cu.integrated_gradients(model, inputs, 1, n_steps=3)
    cam = cu.grad_cam(model, inputs, 1, "middle")
    lift = cu.deeplift(model, inputs, 1)
    for tensor in (*result, cam, *lift):
        assert not tensor.requires_grad
        assert tensor.grad_fn is None
        assert not tensor.is_inference()
    gc.collect()


def test_long_runs_show_a_progress_bar(capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    calls = []
    real = cu.runtime.progress
    monkeypatch.setattr(
        cu.runtime,
        "progress",
        lambda **options: calls.append(options) or real(**{**options, "delay": 0}),
    )
    cu.integrated_gradients(small(), images(), 1, n_steps=6)
    assert calls[0]["total"] == 12
    assert "Integrated gradients" in capsys.readouterr().err
    cu.integrated_gradients(small(), images(), 1, n_steps=6, progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    model, inputs = small(torch.float64).cuda(), images(dtype=torch.float64).cuda()
    expected = IntegratedGradients(model).attribute(inputs, target=1, n_steps=5)
    ours = cu.integrated_gradients(model, inputs, 1, n_steps=5)
    assert ours.attributions.device == inputs.device
    assert distance(ours.attributions, expected) < 1e-6
    cu.grad_cam(model, inputs, 1, "middle")
    assert cu.deeplift(model, inputs, 1).delta.abs().max() < 1e-9


# --- gradients along the path ----------------------------------------------------------------


def test_path_gradients_are_what_integrated_gradients_sums():
    model, inputs = small(torch.float64), images(1, dtype=torch.float64)
    alphas, weights = cu.quadrature("gausslegendre", 11)
    path = cu.path_gradients(
        model, inputs, 2, alphas=alphas, baselines=0.1, keep_gradients=True, chunk_size=4
    )
    result = cu.integrated_gradients(model, inputs, 2, baselines=0.1, n_steps=11)
    gradients = torch.einsum("s,s...->...", weights, path.gradients)
    torch.testing.assert_close(gradients * (inputs[0] - 0.1), result.attributions[0])
    torch.testing.assert_close(weights @ path.derivatives, result.attributions.sum())
    points = 0.1 + alphas.view(-1, 1, 1, 1) * (inputs - 0.1)
    torch.testing.assert_close(path.logits, model(points).detach()[:, 2])


def test_path_gradients_ends_and_shapes():
    model, inputs = small(), images(1)
    path = cu.path_gradients(model, inputs, 0, alphas=torch.tensor([1.0, 0.0]))
    assert path.gradients is None
    assert path.derivatives.shape == path.logits.shape == (2,)
    ends = model(torch.cat([inputs, torch.zeros_like(inputs)]))[:, 0]
    torch.testing.assert_close(path.logits, ends.detach(), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="one image"):
        cu.path_gradients(model, images(2), 0, alphas=torch.tensor([1.0]))
    with pytest.raises(ValueError, match="alphas must be"):
        cu.path_gradients(model, inputs, 0, alphas=torch.tensor([]))


# --- Grad-CAM --------------------------------------------------------------------------------


def _captum_cam(model, inputs, target, layer, relu=True):
    cam = LayerGradCam(model, layer).attribute(inputs, target, relu_attributions=relu).detach()
    return LayerAttribution.interpolate(cam, inputs.shape[-2:], interpolate_mode="bilinear")


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("squeezenet1_1", ["features.0", "features.4", "features.12", "classifier.1"]),
        (
            "efficientnet_lite0",
            ["stem", "blocks.5", "blocks.9.block.1", "head.0", "head"],
        ),
    ],
)
def test_grad_cam_equals_captum(bundled, name, layers):
    net, inputs = bundled[name]
    for layer in [*layers, net.layers.grad_cam]:
        for relu in (True, False):
            expected = _captum_cam(net.model, inputs, 243, net.model.get_submodule(layer), relu)
            ours = cu.grad_cam(net.model, inputs, 243, layer, relu=relu)
            assert ours.shape == (1, 1, 224, 224)
            assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max() + 1e-12, layer


def test_grad_cam_before_an_in_place_relu():
    """The layer's own output counts, not what the ReLU makes of it later."""
    model, inputs = small(), images(3)
    for layer in (model.stem, model.norm, model.middle, model.middle_norm, model.pool):
        expected = _captum_cam(model, inputs, [1, 0, 2], layer)
        ours = cu.grad_cam(model, inputs, [1, 0, 2], layer, chunk_size=2)
        torch.testing.assert_close(ours, expected)
    raw = cu.grad_cam(model, inputs, 1, "middle", upsample=False)
    assert raw.shape == (3, 1, 5, 5)


def test_grad_cam_stores_nothing_before_the_layer():
    model, seen = small().requires_grad_(), []
    handle = model.stem.register_forward_hook(lambda _m, _i, out: seen.append(out.requires_grad))
    cu.grad_cam(model, images(), 1, "middle")
    handle.remove()
    assert seen == [False]


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        ("missing", ValueError, "choose one of stem, norm"),
        ("", ValueError, "feature maps"),
        (nn.Conv2d(3, 3, 1), ValueError, "unknown: choose one of stem, norm"),
        ("act", ValueError, "it was 2 times"),
        ("head", ValueError, r"feature maps \(N, K, H, W\).*not \(2, 5\)"),
    ],
)
def test_grad_cam_refuses_layers(layer, error, message):
    model = small()
    before = state_of(model)
    with pytest.raises(error, match=message):
        cu.grad_cam(model, images(), 1, layer)
    assert state_of(model) == before
    with pytest.raises(TypeError, match="torch.nn.Module, got function"):
        cu.grad_cam(lambda batch: model(batch), images(), 1, layer)


class _Arranged(nn.Module):
    """One network, whose middle layer gives its maps in any arrangement."""

    def __init__(self, there, back):
        super().__init__()
        torch.manual_seed(3)
        self.convolution, self.head = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Linear(6, 4)
        self.layer, self.back = _Call(there), back

    def forward(self, batch):
        maps = self.back(self.layer(self.convolution(batch)), batch.shape[3] // 2)
        return self.head(maps.relu().square().mean((2, 3)))


class _Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, features):
        return self.function(features)


def _to_tokens(maps):
    return maps.flatten(2).transpose(1, 2)


def _from_tokens(tokens, columns):
    return tokens.transpose(1, 2).unflatten(2, (-1, columns))


ARRANGEMENTS = {
    "channels last": (lambda x: x.permute(0, 2, 3, 1), lambda x, _: x.permute(0, 3, 1, 2)),
    "tokens": (_to_tokens, _from_tokens),
    "class token": (
        lambda x: F.pad(_to_tokens(x), (0, 0, 1, 0), value=7.0),
        lambda x, columns: _from_tokens(x[:, 1:], columns),
    ),
}


@pytest.mark.parametrize("size", [(24, 24), (24, 36), (16, 28)])
@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_grad_cam_of_channels_last_and_tokens(name, size):
    inputs = torch.randn(2, 3, *size)
    plain = _Arranged(lambda x: x, lambda x, _: x).eval()
    other = _Arranged(*ARRANGEMENTS[name]).eval()
    for options in ({}, {"upsample": False, "relu": False}):
        expected = cu.grad_cam(plain, inputs, [0, 2], "layer", **options)
        torch.testing.assert_close(cu.grad_cam(other, inputs, [0, 2], "layer", **options), expected)


@pytest.mark.parametrize(
    ("there", "back", "returned"),
    [
        (lambda x: (x, 1), lambda x, _: x[0], "tuple"),
        (lambda x: {"maps": x}, lambda x, _: x["maps"], "dict"),
        (lambda x: x.flatten(1), lambda x, _: x.view(-1, 6, 12, 12), r"\(2, 864\)"),
        (
            lambda x: F.pad(_to_tokens(x), (0, 0, 5, 0)),
            lambda x, c: _from_tokens(x[:, 5:], c),
            "149",
        ),
        (lambda x: x[:, None], lambda x, _: x[:, 0], r"\(2, 1, 6, 12, 12\)"),
    ],
)
def test_grad_cam_refuses_other_arrangements(there, back, returned):
    with pytest.raises(ValueError, match=f"not .*{returned}.*choose"):
        cu.grad_cam(_Arranged(there, back).eval(), images(), 0, "layer")


# --- DeepLift --------------------------------------------------------------------------------


def _completeness(model, inputs, target, result, baseline=0.0):
    difference = (model(inputs) - model(torch.full_like(inputs, baseline)))[:, target].detach()
    error = result.attributions.flatten(1).sum(1) - difference
    torch.testing.assert_close(
        result.delta, error, rtol=1e-2, atol=float(difference.abs().max()) * 1e-5
    )
    return float((error / difference).abs().max())


@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_lite0"])
@pytest.mark.parametrize("baseline", [0.0, -1.0])
def test_deeplift_is_complete_on_real_networks(bundled, name, baseline):
    net, inputs = bundled[name]
    result = cu.deeplift(net.model, inputs, 243, baselines=baseline)
    assert _completeness(net.model, inputs, 243, result, baseline) < 1e-5


def test_deeplift_equals_captum_where_captum_is_right():
    """Modules used once, windows apart, nothing between max pooling and a convolution."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3), nn.MaxPool2d(2), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.LazyLinear(8), nn.Sigmoid(), nn.Linear(8, 5)).double().eval()
    inputs = images(3, 16, dtype=torch.float64)
    baselines = images(6, 16, dtype=torch.float64)[3:]
    model(inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it sets hooks
        expected = DeepLift(model).attribute(inputs.clone(), baselines.clone(), target=1)
    ours = cu.deeplift(model, inputs, 1, baselines)
    torch.testing.assert_close(ours.attributions, expected.detach())


@pytest.mark.parametrize("name", ["resnet18", "vgg19", "mobilenet_v3_large"])
def test_deeplift_is_complete_on_torchvision_networks(name):
    """Shared ReLUs, max pooling, and (mobilenet_v3_large) products and Hardswish; untrained."""
    from torchvision import models

    torch.manual_seed(0)
    if name == "vgg19":  # its classifier alone has 120 million weights
        layers = models.vgg.make_layers(models.vgg.cfgs["E"])
        for layer in filter(lambda layer: isinstance(layer, nn.Conv2d), layers):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        head = nn.Flatten(), nn.Linear(2048, 64), nn.ReLU(), nn.Linear(64, 10)
        model = nn.Sequential(*layers, *head).eval()
    else:
        model = getattr(models, name)().eval()
    inputs = images(2, 64)
    _standardise(model, inputs)
    # a class whose score changes: an error relative to no change says nothing
    target = int((model(inputs) - model(torch.zeros_like(inputs))).abs().amin(0).argmax())
    result = cu.deeplift(model, inputs, target)
    assert _completeness(model, inputs, target, result) < 1e-5


def _standardise(model, inputs):
    """Give batch norms the statistics of some data: untrained networks let signals die out."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = 1.0
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.3)
    with torch.no_grad():
        model(inputs)
    for norm in norms:
        norm.eval()
    nn.init.normal_([m for m in model.modules() if isinstance(m, nn.Linear)][-1].weight, std=0.1)


class _Functional(nn.Module):
    """Functions instead of modules, in place and not; products; a global maximum."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.head = nn.Linear(8, 4)

    def forward(self, batch):
        features = F.max_pool2d(F.relu(self.first(batch), inplace=True), 3, 2)
        features = self.second(features)
        features.clamp_(-1, 1)  # the result is not assigned: it must still count
        gate = torch.sigmoid(features.mean((2, 3), keepdim=True))
        features = gate * features + features * features
        pooled = F.adaptive_max_pool2d(features, 2).amax((2, 3))
        pooled *= 2 * pooled.tanh()
        return self.head(pooled) ** 2


def test_deeplift_covers_functions_and_changes_in_place():
    model, inputs = small(torch.float64, _Functional), images(3, dtype=torch.float64)
    result = cu.deeplift(model, inputs, [0, 1, 2], chunk_size=2)
    scores = model(inputs)[range(3), range(3)]
    base = model(torch.zeros_like(inputs))[range(3), range(3)]
    torch.testing.assert_close(result.attributions.flatten(1).sum(1), (scores - base).detach())
    assert result.delta.abs().max() < 1e-12


def test_deeplift_of_a_relu_is_the_rescale_rule():
    """Two inputs into one ReLU: y = ReLU(x₁ + x₂), with x = (3, -1) and baseline (-2, 0)."""

    def unit(batch):
        return F.relu(batch.flatten(1).sum(1, keepdim=True))

    result = cu.deeplift(
        unit,
        torch.tensor([3.0, -1]).view(1, 1, 1, 2),
        0,
        baselines=torch.tensor([-2.0, 0]).view(1, 1, 1, 2),
    )
    # Δy = 2 - 0, Δ(x₁ + x₂) = 4: the multiplier is 1/2
    torch.testing.assert_close(result.attributions.flatten(), torch.tensor([2.5, -0.5]))


def test_deeplift_says_when_it_is_incomplete():
    """Relative to the score: a network of small scores is told from one of small errors."""

    def attention(batch):
        flat = batch.flatten(1)
        return (flat.softmax(1) * flat).sum(1, keepdim=True)

    inputs = 3 * images(1, 4)
    for scale in (1e-6, 1, 1e6):
        with pytest.warns(UserWarning, match="not complete.*image 0") as caught:
            cu.deeplift(lambda batch, scale=scale: scale * attention(batch), inputs, 0)
        assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cu.deeplift(small(), images(), 1)
        cu.deeplift(small(), images(), 1, baselines=images())  # no difference at all


def test_deeplift_does_not_divide_rounding_by_rounding():
    """Large inputs that cancel leave a sigmoid a change of 1e-8: its slope there is 1/4."""

    def cancelling(batch):
        return torch.sigmoid(batch.flatten(1).sum(1, keepdim=True))

    inputs = torch.tensor([1.0, -1.0, 2e-8]).view(1, 1, 1, 3)
    result = cu.deeplift(cancelling, inputs, 0).attributions.flatten()
    torch.testing.assert_close(result[:2], torch.tensor([0.25, -0.25]))


def test_deeplift_finds_functions_by_keyword():
    def unit(batch):
        return F.relu(input=batch.flatten(1).sum(1, keepdim=True))

    result = cu.deeplift(unit, torch.tensor([3.0, -1]).view(1, 1, 1, 2), 0, baselines=-1.0)
    assert result.delta.abs().max() < 1e-6
