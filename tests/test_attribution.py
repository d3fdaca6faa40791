"""Path integrals, Grad-CAM, DeepLift: equal to Captum, complete, bounded, no side effects."""

from __future__ import annotations

import gc
import subprocess
import sys
import warnings

import pytest
import torch
from captum.attr import DeepLift, IntegratedGradients, LayerAttribution, LayerGradCam
from torch import nn
from torch.nn import functional as F

import course_utils as cu
from course_utils import checks
from course_utils.attribution import METHODS, _passes, folding, paths, pointwise

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


def images(number=2, size=24, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(2)).to(dtype)


def distance(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """Largest difference, in units of the largest reference value."""
    return float((ours - reference).abs().max() / reference.abs().max())


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


@pytest.mark.parametrize("method", CAPTUM_METHODS)
@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_lite0"])
def test_equals_captum_on_real_networks_in_single_precision(bundled, name, method):
    net, inputs = bundled[name]
    expected, expected_delta = IntegratedGradients(net.model).attribute(
        inputs, target=243, n_steps=3, method=method, return_convergence_delta=True
    )
    ours = cu.integrated_gradients(net.model, inputs, 243, n_steps=3, method=method, fast=False)
    assert distance(ours.attributions, expected) < 1e-5
    torch.testing.assert_close(ours.delta, expected_delta, rtol=1e-3, atol=1e-3)


def test_equals_captum_on_a_real_network_in_double_precision(bundled):
    _, inputs = bundled["squeezenet1_1"]
    model = cu.load_network("squeezenet1_1", verbose=False).model.double()
    expected = IntegratedGradients(model).attribute(inputs.double(), target=243, n_steps=4)
    ours = cu.integrated_gradients(model, inputs.double(), 243, n_steps=4)
    assert distance(ours.attributions, expected) < 1e-7


def test_folding_a_real_network_is_exact_in_double_precision():
    model = cu.load_network("efficientnet_lite0", verbose=False).model.double()
    inputs = images(1, 64, torch.float64)
    assert folding.fold_batch_norm(model) is not None
    expected = IntegratedGradients(model).attribute(inputs, target=243, n_steps=4)
    ours = cu.integrated_gradients(model, inputs, 243, n_steps=4)
    assert distance(ours.attributions, expected) < 1e-7


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
        (("simpson", 10), "riemann_left, riemann_right, .*squared_midpoint; got 'simpson'"),
        (("gausslegendre", 0), "at least 1, got 0"),
        (("riemann_trapezoid", 1), "at least 2, got 1"),
    ],
)
def test_quadrature_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        cu.quadrature(*arguments)
    with pytest.raises(ValueError, match=message):
        cu.integrated_gradients(small(), images(), 0, method=arguments[0], n_steps=arguments[1])


# --- inputs, targets, baselines --------------------------------------------------------------


@pytest.mark.parametrize(
    "target", [2, torch.tensor(2), torch.tensor([2]), [2, 2], (2, 2), torch.tensor([2, 2])]
)
def test_targets_in_every_spelling(target):
    model, inputs = small(), images()
    expected = cu.integrated_gradients(model, inputs, 2, n_steps=3)
    torch.testing.assert_close(cu.integrated_gradients(model, inputs, target, n_steps=3), expected)


def test_each_image_has_its_own_target_and_baseline():
    model, inputs = small(torch.float64), images(3, dtype=torch.float64)
    baselines = torch.stack([torch.full((3, 24, 24), value) for value in (0.0, 0.5, -1.0)]).double()
    together = cu.integrated_gradients(model, inputs, [0, 3, 1], baselines=baselines, n_steps=5)
    for index, (target, value) in enumerate(((0, None), (3, 0.5), (1, -1))):
        alone = cu.integrated_gradients(
            model, inputs[index : index + 1], target, baselines=value, n_steps=5
        )
        torch.testing.assert_close(together.attributions[index], alone.attributions[0])
        torch.testing.assert_close(together.delta[index], alone.delta[0])


def _bad(**changes):
    arguments = {"model": small(), "inputs": images(), "target": 1, "n_steps": 3}
    return {**arguments, **changes}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"target": 5}, IndexError, "target 5 is out of range.*5 outputs.*from 0 to 4"),
        ({"target": [0, -1]}, IndexError, "target -1 is out of range"),
        ({"target": [0, 1, 2]}, ValueError, "each of the 2 images; got 3"),
        ({"target": "cat"}, TypeError, "class index.*'cat'"),
        ({"target": 1.0}, TypeError, "class index"),
        ({"inputs": images()[0]}, ValueError, r"inputs\[None\]"),
        ({"inputs": images()[:0]}, ValueError, "at least one image"),
        ({"inputs": images().mul(100).byte()}, TypeError, "floating point.*uint8"),
        ({"inputs": [1, 2]}, TypeError, "must be a tensor"),
        ({"inputs": images() / 0}, ValueError, "3456 values that are NaN or infinite"),
        ({"inputs": images().double()}, ValueError, "computes in torch.float32, the images are torch.float64"),
        ({"baselines": images(3)}, ValueError, r"\(1, 3, 24, 24\) or \(2, 3, 24, 24\).*\(3, 3"),
        ({"baselines": images()[0]}, ValueError, r"baselines\[None\]"),
        ({"baselines": images(1, 20)}, ValueError, "to fit the inputs"),
        ({"baselines": float("nan")}, ValueError, "baselines hold"),
        ({"baselines": "black"}, TypeError, "None .zeros., a number or a tensor"),
        ({"model": small().train()}, ValueError, r"training mode.*model.eval\(\)"),
        ({"model": "resnet18"}, TypeError, "torch.nn.Module or a function"),
        ({"model": nn.Conv2d(3, 5, 3).eval()}, ValueError, "one score per class.*it returned"),
        ({"model": lambda batch: (batch, batch)}, TypeError, "it returned tuple"),
        (
            {"model": lambda batch: batch.detach().flatten(1)},
            ValueError,
            "do not depend on the images",
        ),
        ({"chunk_size": 0}, ValueError, "chunk_size must be"),
    ],
)
def test_errors_say_what_is_wrong(changes, error, message):
    with pytest.raises(error, match=message):
        cu.integrated_gradients(**_bad(**changes))


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


# --- no side effects -------------------------------------------------------------------------


def _state(model):
    """Everything about a model that an attribution method might leave changed."""
    return {
        name: (
            type(module),
            module.training,
            getattr(module, "inplace", None),
            sorted(vars(module)),
            [len(hooks) for key, hooks in vars(module).items() if key.endswith("_hooks")],
            [
                (id(p), p._version, p.requires_grad, p.grad, p.stride(), p.sum().item())
                for p in [*module._parameters.values(), *module._buffers.values()]
                if p is not None
            ],
        )
        for name, module in model.named_modules()
    }


@pytest.mark.parametrize("requires_grad", [True, False])
def test_models_and_inputs_are_left_alone(requires_grad):
    model = small().requires_grad_(requires_grad)
    inputs = images().requires_grad_()
    before, values = _state(model), inputs.detach().clone()
    cu.integrated_gradients(model, inputs, 1, n_steps=3)
    cu.path_gradients(model, inputs[:1], 1, alphas=torch.linspace(0, 1, 3))
    cu.grad_cam(model, inputs, 1, model.middle)
    cu.deeplift(model, inputs, 1)
    assert _state(model) == before
    assert inputs.grad is None
    assert torch.equal(inputs, values)
    assert torch.is_grad_enabled()


class _Interrupting(Small):
    armed = False

    def forward(self, batch):
        features = self.act(self.norm(self.stem(batch)))
        if self.armed and torch.is_grad_enabled():
            raise KeyboardInterrupt
        return self.head(features.mean((2, 3)))


def test_nothing_is_left_behind_after_an_interruption():
    model = small(module=_Interrupting)
    before, scores = _state(model), model(images())
    model.armed = True
    for explain in (
        lambda: cu.integrated_gradients(model, images(), 1, n_steps=3, fast=False),
        lambda: cu.grad_cam(model, images(), 1, "stem"),
        lambda: cu.deeplift(model, images(), 1),
    ):
        with pytest.raises(KeyboardInterrupt):
            explain()
        assert torch.is_grad_enabled()
        assert torch._C._len_torch_function_stack() == 0
    del model.armed
    assert _state(model) == before
    torch.testing.assert_close(model(images()), scores)


# --- folding ---------------------------------------------------------------------------------


def assert_same_function(rewritten, model, inputs):
    """Equal outputs, and equal gradients of one of them."""
    torch.testing.assert_close(rewritten(inputs.clone()), model(inputs))
    gradients = [
        torch.autograd.grad(network(leaf * 1)[:, 1].sum(), leaf)[0]
        for network in (model, rewritten)
        for leaf in [inputs.clone().requires_grad_()]
    ]
    torch.testing.assert_close(*gradients)


def test_folded_network_is_the_same_function():
    model, inputs = small(torch.float64), images(dtype=torch.float64)
    folded = folding.fold_batch_norm(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert_same_function(folded, model, inputs)


def test_clipping_in_place_has_relu6s_gradient():
    values = torch.tensor([-1.0, 0, 1e-9, 3, 6, 7], requires_grad=True)
    results = []
    for activation in (nn.ReLU6(), folding._ClipInPlace()):
        outputs = activation(values * 1)
        results.append((outputs.detach(), torch.autograd.grad(outputs.sum(), values)[0]))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(), nn.Hardswish(), nn.Identity()])
@pytest.mark.parametrize("bias", [True, False])
def test_pointwise_convolutions_become_products(activation, bias):
    first = nn.Conv2d(3, 40, 1, bias=bias)
    model = nn.Sequential(first, activation, nn.Conv2d(40, 5, 1), nn.Flatten()).double().eval()
    nn.init.normal_(first.weight, std=9)  # so that ReLU6 cuts off on both sides
    recorded = torch.fx.symbolic_trace(model)
    pointwise.use_matrix_products(recorded)
    recorded.delete_all_unused_submodules()
    recorded.recompile()
    assert not any(type(module) is nn.Conv2d for module in recorded.modules())
    for layout in (torch.channels_last, torch.contiguous_format):
        inputs = images(dtype=torch.float64).contiguous(memory_format=layout)
        assert_same_function(recorded, model, inputs)


def test_products_leave_other_readers_of_a_convolution_alone():
    """A skip connection reads what comes before the activation."""

    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.act = nn.Conv2d(3, 3, 1), nn.ReLU()
            self.strided = nn.Conv2d(3, 4, 1, stride=2)
            self.grouped = nn.Conv2d(4, 4, 1, groups=2)

        def forward(self, batch):
            features = self.convolution(batch)
            return self.grouped(self.strided(features - 2 * self.act(features))).flatten(1)

    model = Skip().double().eval()
    recorded = torch.fx.symbolic_trace(model)
    pointwise.use_matrix_products(recorded)
    recorded.delete_all_unused_submodules()
    recorded.recompile()
    assert sum(type(module) is nn.Conv2d for module in recorded.modules()) == 2
    assert_same_function(recorded, model, images(dtype=torch.float64))


@pytest.mark.parametrize("padding", [(0, 1, 0, 1), (1, 2, 1, 2), (2, 2, 1, 1), (0, 0, 0, 3)])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_is_absorbed(padding, stride):
    convolution = nn.Conv2d(3, 6, 3, stride=stride, groups=3)
    model = nn.Sequential(nn.ZeroPad2d(padding), convolution, nn.Flatten()).double().eval()
    recorded = torch.fx.symbolic_trace(model)
    pointwise.absorb_padding(recorded)
    recorded.delete_all_unused_submodules()
    recorded.recompile()
    assert not any(type(module) is nn.ZeroPad2d for module in recorded.modules())
    assert_same_function(recorded, model, images(2, 13, torch.float64))
    assert model[1].kernel_size == (3, 3)


@pytest.mark.parametrize(
    "layers",
    [
        (nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(3, 3, 3, groups=3)),  # wider before than after
        (nn.ZeroPad2d((-1, 1, 0, 1)), nn.Conv2d(3, 3, 3, groups=3)),  # cropped
        (nn.ZeroPad2d(1), nn.Conv2d(3, 3, 3, padding=1, groups=3)),
        (nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3)),  # slower
        (nn.ZeroPad2d(1), nn.MaxPool2d(2)),
    ],
)
def test_other_padding_stays(layers):
    model = nn.Sequential(*layers, nn.Flatten()).double().eval()
    recorded = torch.fx.symbolic_trace(model)
    pointwise.absorb_padding(recorded)
    recorded.delete_all_unused_submodules()
    recorded.recompile()
    assert any(type(module) is nn.ZeroPad2d for module in recorded.modules())
    assert_same_function(recorded, model, images(2, 12, torch.float64))


@pytest.mark.parametrize("available", [True, False])
def test_products_only_where_they_are_faster(available, monkeypatch):
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: available)
    folded = folding.fold_batch_norm(cu.load_network("efficientnet_lite0", verbose=False).model)
    kinds = [type(module) for module in folded.modules()]
    assert kinds.count(pointwise.Pointwise) == (32 if available else 0)
    assert kinds.count(nn.ZeroPad2d) == (1 if available else 5)


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


def test_hooks_are_honoured():
    model, calls = small(), []
    handle = model.norm.register_forward_hook(lambda *_: calls.append(1))
    assert folding.fold_batch_norm(model) is None
    cu.integrated_gradients(model, images(), 1, n_steps=3, chunk_size=2)
    assert len(calls) >= 4
    handle.remove()
    assert folding.fold_batch_norm(model) is not None


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
        print("features:", self.features.shape)
        return self.head(self.features.mean((2, 3)))


@pytest.mark.parametrize("module", [_Branching, _Detaching, _ReadTwice, _CalledTwice, _Keeping])
def test_folding_is_safe_for_unusual_networks(module, capsys):
    model, inputs = small(torch.float64, module), images(1, dtype=torch.float64)
    expected = IntegratedGradients(model).attribute(inputs, target=1, n_steps=4)
    capsys.readouterr()
    ours = cu.integrated_gradients(model, inputs, 1, n_steps=4)
    assert distance(ours.attributions, expected) < 1e-6
    assert "Proxy" not in capsys.readouterr().out
    assert isinstance(getattr(model, "features", inputs), torch.Tensor)
    if module in (_Branching, _Detaching, _ReadTwice):
        assert folding.fold_batch_norm(model) is None


def test_a_folded_copy_with_other_scores_is_not_used(monkeypatch):
    model, inputs = small(), images()
    expected = cu.integrated_gradients(model, inputs, 1, n_steps=3)
    monkeypatch.setattr(_passes, "fold_batch_norm", lambda _: lambda batch: model(batch) + 1)
    torch.testing.assert_close(
        cu.integrated_gradients(model, inputs, 1, n_steps=3).attributions,
        expected.attributions,
        rtol=1e-3,
        atol=1e-4,
    )


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
number, n_steps = map(int, sys.argv[1:])
inputs = torch.randn(number, 3, 64, 64)
cu.integrated_gradients(model, inputs[:1], 1, n_steps=2, chunk_size=2, progress=False)
before = peak()
cu.integrated_gradients(model, inputs, 1, n_steps=n_steps, chunk_size=8, progress=False)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_memory_grows_neither_with_steps_nor_with_images():
    """One chunk of 8 stores 50 MiB here; all 160 steps at once would store 1 GiB."""

    def peak(number, n_steps):
        command = [sys.executable, "-c", MEMORY_PROBE, str(number), str(n_steps)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    few, many_steps, many_images = peak(1, 16), peak(1, 160), peak(32, 5)
    assert 10 < few < 200
    assert many_steps < 1.1 * few + 16  # MiB; the allocator is not that exact
    assert many_images < 1.1 * few + 16


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


def test_a_model_on_another_device_is_named():
    with pytest.raises(
        ValueError, match=r"model is on meta, the images are on cpu.*inputs.to\('meta'\)"
    ):
        cu.integrated_gradients(small().to("meta"), images(), 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    model, inputs = small(torch.float64).cuda(), images(dtype=torch.float64).cuda()
    expected = IntegratedGradients(model).attribute(inputs, target=1, n_steps=5)
    ours = cu.integrated_gradients(model, inputs, 1, n_steps=5)
    assert ours.attributions.device == inputs.device
    assert distance(ours.attributions, expected) < 1e-6
    cu.grad_cam(model, inputs, 1, "middle")
    assert cu.deeplift(model, inputs, 1).delta.abs().max() < 1e-9


def test_default_chunks_fill_a_budget(monkeypatch):
    """The chunk is what fits into the budget, going by what one image makes the network store."""

    def chosen(model, size):
        return _passes.Path(model, images(1, size), 1, None, None, fast=False).chunk_size

    assert chosen(lambda batch: batch.flatten(1)[:, :2], 4) == _passes._LARGEST_CHUNK
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)).eval()
    model(images(1, 66))
    per_image = 4 * (3 * 66**2 + 16 * 64**2)  # float32: the images and the activations
    for fitting, chunk_size in ((3.5, 3), (4.5, 4), (11.5, 8), (12.5, 12)):
        monkeypatch.setitem(_passes._BUDGET, "cpu", fitting * per_image)
        assert chosen(model, 66) == chunk_size
    monkeypatch.setitem(_passes._BUDGET, "cpu", 1)
    assert chosen(model, 66) == 1
    sizes = [checks.default_chunk_size(torch.empty(1, 3, side, side)) for side in (224, 112, 999)]
    assert sizes == [8, 32, 1]
    assert [*paths._parts(10, 4)] == [slice(0, 4), slice(4, 8), slice(8, 10)]


@pytest.mark.parametrize(
    ("length", "size", "expected"),
    [
        (50, 8, 10),
        (50, 16, 25),
        (300, 8, 12),
        (64, 8, 8),
        (5, 8, 5),
        (53, 8, 8),
        (7, 1, 1),
        (1000, 16, 25),
    ],
)
def test_steps_are_cut_evenly_where_they_can_be(length, size, expected):
    assert paths._even_size(length, size) == expected


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
    torch.testing.assert_close(path.gradients.flatten(1).norm(dim=1), path.gradient_norms)
    torch.testing.assert_close(path.logits, path.outputs[:, 2])
    points = 0.1 + alphas.view(-1, 1, 1, 1) * (inputs - 0.1)
    torch.testing.assert_close(path.outputs, model(points).detach())


def test_path_gradients_ends_and_shapes():
    model, inputs = small(), images(1)
    path = cu.path_gradients(model, inputs, 0, alphas=torch.tensor([1.0, 0.0]))
    assert path.gradients is None
    assert path.derivatives.shape == path.gradient_norms.shape == (2,)
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
        ("efficientnet_lite0", ["stem", "blocks.5", "blocks.9.depthwise", "head.conv", "head"]),
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
        ("missing", ValueError, "no layer 'missing'. Its layers: stem, norm"),
        (nn.Conv2d(3, 3, 1), ValueError, "model's own modules"),
        ("act", ValueError, "called this layer 2 times"),
        ("head", ValueError, r"feature maps \(N, K, H, W\).*returned \(2, 5\)"),
    ],
)
def test_grad_cam_refuses_layers(layer, error, message):
    model = small()
    before = _state(model)
    with pytest.raises(error, match=message):
        cu.grad_cam(model, images(), 1, layer)
    assert _state(model) == before
    assert torch.is_grad_enabled()


def test_grad_cam_checks_its_other_arguments():
    with pytest.raises(IndexError, match="out of range"):
        cu.grad_cam(small(), images(), 9, "middle")
    with pytest.raises(ValueError, match="training mode"):
        cu.grad_cam(small().train(), images(), 1, "middle")
    with pytest.raises(TypeError, match="with layers"):
        cu.grad_cam(lambda batch: batch, images(), 1, "middle")


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
    def attention(batch):
        flat = batch.flatten(1)
        return (flat.softmax(1) * flat).sum(1, keepdim=True)

    with pytest.warns(UserWarning, match="not complete.*image 0 miss the score difference of"):
        cu.deeplift(attention, 3 * images(1, 4), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cu.deeplift(small(), images(), 1)


def test_deeplift_checks_its_arguments():
    with pytest.raises(IndexError, match="out of range"):
        cu.deeplift(small(), images(), 9)
    with pytest.raises(ValueError, match="baselines must have shape"):
        cu.deeplift(small(), images(), 1, images(3))
