"""Training loop, evaluation, cached features and checkpoints: on data made here, in seconds."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import course_utils as cu
from course_utils import training
from course_utils.training import (
    backbone_of,
    evaluate,
    extract_features,
    fit,
    fit_head,
    load_checkpoint,
    tutorial_cnn,
)

FOLDER = Path(
    os.environ.get("COURSE_TEST_DATA")
    or Path(__file__).resolve().parents[1].parent / "shared" / "data"
)
CIFAR10 = FOLDER / "cifar10_jpeg.zip"

fit = functools.partial(fit, device="cpu", progress=False)
evaluate = functools.partial(evaluate, progress=False)
extract_features = functools.partial(extract_features, progress=False)
NAN = float("nan")


def points(count: int = 256, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes in the plane, told apart by a line."""
    inputs = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))
    return inputs, (inputs[:, 0] + 0.5 * inputs[:, 1] > 0).long()


def cut(pair: tuple[torch.Tensor, torch.Tensor], size: int = 32) -> list:
    return list(zip(*(tensor.split(size) for tensor in pair), strict=True))


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def copy_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


# --- fit ------------------------------------------------------------------------------------------


def test_fit_learns_and_keeps_the_books():
    model, data, held = small(), cut(points()), cut(points(128, seed=1))
    history = fit(model, data, held, epochs=8, learning_rate=0.03)
    assert not model.training
    assert history.epochs == list(range(1, 9))
    for line in (history.train_loss, history.validation_loss, history.seconds):
        assert len(line) == 8
    assert history.train_loss[-1] < 0.5 * history.train_loss[0]
    found = evaluate(model, held)
    best = history.best_epoch - 1
    assert found.accuracy == max(history.validation_accuracy) == history.validation_accuracy[best]
    assert found.accuracy > 0.9
    assert found.loss == pytest.approx(history.validation_loss[best], rel=1e-4)
    assert "8 epochs" in str(history)


def test_fit_is_the_bare_loop():
    """Same steps as the loop written out, to the bit, and the same means."""
    data, ours, bare = cut(points(100)), small(), small()
    history = fit(ours, data, epochs=2, optimizer=functools.partial(torch.optim.SGD, lr=0.1))
    optimizer, losses = torch.optim.SGD(bare.parameters(), lr=0.1), []
    for _ in range(2):
        total = 0.0
        for inputs, labels in data:
            optimizer.zero_grad()
            loss = F.cross_entropy(bare(inputs), labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        losses.append(total / 100)
    assert same(ours.state_dict(), bare.state_dict())
    assert history.train_loss == pytest.approx(losses, rel=1e-5)


@pytest.mark.parametrize("kind", ["list", "DataLoader", "batches", "unknown length"])
def test_any_loader_will_do(kind):
    pair = points(64)

    class Endless(IterableDataset):
        def __iter__(self):
            return zip(*pair, strict=True)

    loaders = {
        "list": cut(pair),
        "DataLoader": DataLoader(TensorDataset(*pair), 32),
        "batches": cu.batches(pair, 32),
        "unknown length": DataLoader(Endless(), 32),
    }
    history = fit(small(), loaders[kind], loaders[kind], epochs=2, schedule="cosine")
    assert len(history.epochs) == 2


def test_same_seed_same_weights():
    data = cu.batches(points(), 32)
    runs = []
    for seed in (1, 1, 2):
        model = nn.Sequential(small(), nn.Dropout(0.2), nn.Linear(2, 2))
        model.load_state_dict({k: torch.ones_like(v) for k, v in model.state_dict().items()})
        fit(model, data, epochs=2, seed=seed)
        runs.append(copy_of(model))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def scripted(model: nn.Module, scores: list[float]):
    """Make validation batches on which `model` has these accuracies, epoch after epoch."""

    class Script:
        epoch = 0

        def __iter__(self):
            score, self.epoch = scores[self.epoch], self.epoch + 1
            inputs, _ = points(100)
            with torch.no_grad():
                predicted = model(inputs).argmax(dim=1)
            wrong = torch.arange(100) >= round(100 * score)
            yield inputs, torch.where(wrong, 1 - predicted, predicted)

    return Script()


def noted(model: nn.Module, data: list, into: list):
    """Make training batches that note the weights at the start of each epoch."""

    class Noting:
        def __iter__(self):
            into.append(copy_of(model))
            return iter(data)

    return Noting()


def test_best_epoch_is_restored():
    model, weights = small(), []
    data = noted(model, cut(points()), weights)
    scores = [0.5, 0.8, 0.7, 0.6]
    history = fit(model, data, scripted(model, scores), epochs=4)
    assert history.validation_accuracy == pytest.approx(scores)
    assert history.best_epoch == 2
    assert history.restored
    # the third epoch began with what the second had made, statistics of BatchNorm included
    assert same(copy_of(model), weights[2])


def test_early_stopping():
    model = small()
    scores = [0.5, 0.8, 0.7, 0.79, 0.6, 0.9]
    history = fit(model, cut(points()), scripted(model, scores), epochs=6, patience=3)
    assert history.stopped_early
    assert len(history.epochs) == 5, "three epochs in a row not better than the second"
    assert history.best_epoch == 2
    assert "stopped early" in str(history)


def test_interruption_keeps_the_best_so_far():
    model, weights = small(), []
    data = cut(points())

    class Stopped:
        def __iter__(self):
            weights.append(copy_of(model))
            yield from data[:2]
            if len(weights) == 4:
                raise KeyboardInterrupt
            yield from data[2:]

    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    history = fit(
        model,
        Stopped(),
        scripted(model, [0.5, 0.9, 0.6]),
        epochs=9,
        optimizer=optimizer,
        schedule="one_cycle",
    )
    assert history.interrupted
    assert len(history.epochs) == 3
    assert same(copy_of(model), weights[2])
    assert not model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert optimizer.param_groups[0]["lr"] == 0.01


def test_interruption_in_the_first_epoch():
    def stopped():
        raise KeyboardInterrupt
        yield

    history = fit(small(), stopped(), epochs=1)
    assert history.interrupted
    assert history.best_epoch is None
    assert "interrupted" in str(history)


class Epochs:
    """Batches that differ from epoch to epoch, and note the weights at the start of each."""

    def __init__(self, model: nn.Module, *epochs: list) -> None:
        self.model, self.epochs, self.weights = model, epochs, []

    def __iter__(self):
        self.weights.append(copy_of(self.model))
        return iter(self.epochs[min(len(self.weights), len(self.epochs)) - 1])


def spoilt(data: list, batch: int, value: float) -> list:
    inputs, labels = data[batch]
    return [*data[:batch], (torch.full_like(inputs, value), labels), *data[batch + 1 :]]


@pytest.mark.parametrize("value", [NAN, float("inf")])
@pytest.mark.parametrize("part", ["training", "validation", "training alone"])
def test_a_loss_that_is_not_finite_stops_and_never_counts_as_best(part, value):
    model, data, held = small(), cut(points()), cut(points(96, seed=1))
    train = Epochs(model, data, spoilt(data, 3, value) if part != "validation" else data)
    validation = Epochs(model, held, spoilt(held, 2, value) if part == "validation" else held)
    where = "batch 3, validation, epoch 2" if part == "validation" else "batch 4, epoch 2"
    with pytest.raises(
        FloatingPointError, match=f"{where}: its inputs go from .*(nan|inf).*division by zero"
    ):
        fit(model, train, None if part == "training alone" else validation, epochs=5)
    assert same(copy_of(model), train.weights[1]), "the first epoch was the best finite one"
    assert model.training, "the mode it came with"


def test_the_likely_cause_of_a_loss_that_is_not_finite():
    model, before = small(), copy_of(small())
    wild = functools.partial(torch.optim.SGD, lr=1e30)
    with pytest.raises(
        FloatingPointError, match=r"nan in batch \d+, epoch \d.*tenth of the learning rate"
    ):
        fit(model, cut(points()), epochs=3, optimizer=wild)
    assert same(copy_of(model), before), "no epoch was finished"
    nn.init.constant_(model[3].bias, NAN)
    bytes_ = [(255 * torch.rand(8, 2), torch.zeros(8)) for _ in range(3)]
    with pytest.raises(
        FloatingPointError, match=r"batch 1, epoch 1: its inputs go from .* to 2\d\d; normal"
    ):
        fit(model, bytes_, epochs=1)


def test_a_last_batch_of_one_picture():
    with pytest.raises(ValueError, match="1 value per channel"):
        fit(small(), cut(points(65)), epochs=1)
    fit(small(), cu.batches(points(65), 32, drop_last=True), epochs=1)
    fit(nn.Linear(2, 2), cut(points(65)), epochs=1)


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y.int(),
        lambda y: y.to(torch.uint8),
        lambda y: y.bool(),
        lambda y: y.float(),
        lambda y: y.double()[:, None],
        lambda y: y[:, None],
    ],
)
def test_labels_of_every_type_mean_the_same(change):
    inputs, labels = points(64)
    weights = []
    for given_labels in (labels, change(labels)):
        model = small()
        fit(model, cut((inputs, given_labels)), epochs=2)
        weights.append(copy_of(model))
    assert same(*weights)
    found = [evaluate(model, cut((inputs, y))) for y in (labels, change(labels))]
    assert torch.equal(found[0].labels, found[1].labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.full((32,), 0.5), "whole numbers"),
        (torch.full((32,), NAN), "whole numbers"),
        (torch.full((32,), 2), "from 0 to 1.*from 2 to 2"),
        (torch.full((32,), -1), "from -1"),
        (torch.ones(32, 2), r"float32 \(32, 2\)"),
        (torch.zeros(32, 3), r"float32 \(32, 3\)"),
    ],
)
def test_labels_that_cannot_be_meant_are_refused(labels, message):
    batch = (torch.randn(32, 2), labels)
    with pytest.raises(ValueError, match=message):
        fit(small(), [batch], epochs=1)
    with pytest.raises(ValueError, match=message):
        evaluate(small(), [batch])


class Returning(nn.Module):
    """A network that returns its logits in a container, or as another shape."""

    def __init__(self, wrap) -> None:
        super().__init__()
        self.body, self.wrap = nn.Linear(2, 2), wrap

    def forward(self, inputs: torch.Tensor) -> object:
        return self.wrap(self.body(inputs))


@pytest.mark.parametrize(
    ("wrap", "advice"),
    [
        (lambda y: (y, y), "tuple"),
        (lambda y: {"scores": y}, "dict"),
        (lambda y: type("Output", (), {"logits": y})(), r"Output[\s\S]*\.logits"),
        (lambda y: y[:, 0], r"\(32,\)"),
        (lambda y: y[..., None], r"\(32, 2, 1\)"),
    ],
)
def test_networks_that_return_something_else_than_scores(wrap, advice):
    for call in (functools.partial(fit, epochs=1), evaluate):
        with pytest.raises((TypeError, ValueError), match=advice):
            call(Returning(wrap), cut(points(64)))
    with pytest.raises(ValueError, match="model of 1 outputs"):
        fit(nn.Linear(2, 1), cut(points(64)), epochs=1)


def test_a_network_of_the_course_is_not_a_module():
    network = load_checkpoint("cifar10_tutorial_cnn", device="cpu")
    for call in (functools.partial(fit, epochs=1), evaluate):
        with pytest.raises(TypeError, match=r"got a Checkpoint; pass its \.model"):
            call(network, [(torch.rand(2, 3, 32, 32), torch.zeros(2).long())])


def test_adam_by_default_and_by_a_function():
    weights = []
    make = functools.partial(torch.optim.Adam, lr=0.01)
    for options in ({"learning_rate": 0.01}, {"optimizer": make}):
        model = small()
        fit(model, cut(points()), epochs=1, **options)
        weights.append(copy_of(model))
    assert same(*weights)


# --- what is passed in ----------------------------------------------------------------------------


class Fragile(nn.Module):
    """Raises at a given forward pass; counts them in a list, so that only training sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.passes, self.fail_at, self.error = [], 0, RuntimeError

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.passes.append(1)
        if len(self.passes) == self.fail_at:
            raise self.error("on purpose")
        return inputs


def state_of(model: nn.Module) -> list:
    """Everything that a call must not change, but weights and buffers."""
    return [
        [(module.training, len(module._forward_hooks)) for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
    ]


@settings(max_examples=25, deadline=None)
@given(
    modes=st.lists(st.booleans(), min_size=6, max_size=6),
    needs=st.lists(st.booleans(), min_size=6, max_size=6),
    fail_at=st.integers(0, 14),
    error=st.sampled_from([RuntimeError, KeyboardInterrupt]),
)
def test_what_is_passed_in_is_as_it_was(modes, needs, fail_at, error):
    fragile, model = Fragile(), small()
    model.insert(1, fragile)
    fragile.fail_at, fragile.error = fail_at, error
    for module, mode in zip(model.modules(), [*modes, True], strict=False):
        module.training = mode
    for parameter, need in zip(model.parameters(), [*needs, True], strict=False):
        parameter.requires_grad_(need)
    list(model.parameters())[-1].requires_grad_(True)
    data, held = cut(points(96)), cut(points(64, seed=1))
    inputs, before, state = [batch[0].clone() for batch in data], copy_of(model), state_of(model)
    random_state = torch.get_rng_state()
    failed = 0 < fail_at <= 10
    try:
        history = fit(model, data, held, epochs=2)
    except RuntimeError:
        assert failed
        assert error is RuntimeError
        assert state_of(model) == state
        if fail_at <= 5:
            assert same(copy_of(model), before), "no epoch was finished"
    else:
        assert history.interrupted == failed
        assert not any(module.training for module in model.modules())
        assert state_of(model)[1] == state[1]
    assert all(parameter.grad is None for parameter in model.parameters())
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert torch.equal(parameter, before[name])
    assert all(torch.equal(one, batch[0]) for one, batch in zip(inputs, data, strict=True))
    assert torch.equal(torch.get_rng_state(), random_state), "nothing random is in this network"


@settings(max_examples=25, deadline=None)
@given(
    modes=st.lists(st.booleans(), min_size=6, max_size=6),
    fail_at=st.integers(0, 4),
    error=st.sampled_from([RuntimeError, KeyboardInterrupt]),
    call=st.sampled_from(["evaluate", "extract_features"]),
)
def test_measuring_leaves_everything_as_it_was(modes, fail_at, error, call):
    fragile = Fragile()
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Dropout(), fragile)
    fragile.fail_at, fragile.error = fail_at, error
    for module, mode in zip(model.modules(), modes, strict=False):
        module.training = mode
    next(model.parameters()).grad = torch.ones(12)
    images, labels = torch.rand(6, 3, 2, 2), torch.zeros(6)
    before, state = copy_of(model), state_of(model)
    random_state = torch.get_rng_state()
    try:
        if call == "evaluate":
            evaluate(model, cut((images, labels), 2))
        else:
            extract_features(model, (images.repeat(11, 1, 1, 1), labels))
    except error:
        assert 0 < fail_at <= 3
    assert state_of(model) == state
    assert same(copy_of(model), before)
    assert torch.equal(next(model.parameters()).grad, torch.ones(12))
    assert torch.equal(torch.get_rng_state(), random_state)


def test_training_a_head_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    fit_head(*points(), epochs=2, device="cpu", progress=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_schedules():
    seen = []

    def watch(done):
        seen.append((done, optimizer.param_groups[0]["lr"]))
        return 1 - done

    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    fit(model, cut(points(128)), epochs=3, optimizer=optimizer, schedule=watch)
    done, rates = np.transpose(seen)
    assert done == pytest.approx(np.arange(12) / 12)
    assert rates[1:] == pytest.approx(0.5 * (1 - done[:-1])), "each step has its own"
    assert optimizer.param_groups[0]["lr"] == 0.5, "given back as it was"
    one_cycle = [cu.training.one_cycle(x) for x in np.linspace(0, 1, 101)]
    assert max(one_cycle) == one_cycle[25] == 1
    assert one_cycle[0] == pytest.approx(0.04)
    assert one_cycle[-1] == pytest.approx(0)


def test_frozen_parts_do_not_change():
    backbone = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU())
    backbone.requires_grad_(False)
    model = nn.Sequential(backbone, nn.Linear(8, 2))
    before, modes = copy_of(backbone), []
    backbone.register_forward_hook(lambda module, *_: modes.append(module[1].training))
    weight = model[1].weight.detach().clone()
    history = fit(
        model,
        cut(points()),
        epochs=3,
        optimizer=functools.partial(torch.optim.SGD, lr=0.1, weight_decay=0.1),
    )
    assert same(copy_of(backbone), before), "weights and BatchNorm's statistics"
    assert not any(modes)
    assert not torch.equal(model[1].weight, weight)
    assert history.train_loss[-1] < history.train_loss[0]
    assert not any(parameter.requires_grad for parameter in backbone.parameters()), "as before"


def test_optimizer_gets_only_what_learns():
    model, given = small(), []

    def make(parameters):
        given.extend(parameters)
        return torch.optim.SGD(given, lr=0.1)

    model[0].requires_grad_(False)
    model[3].requires_grad_(False)
    fit(model, cut(points()), epochs=1, optimizer=make)
    assert [id(p) for p in given] == [id(p) for p in model[1].parameters()]
    assert not any(p.requires_grad for p in model[0].parameters()), "frozen before, frozen after"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "at least 1"),
        ({"patience": 2}, ValueError, "patience needs validation"),
        ({"schedule": "cosin"}, ValueError, "did you mean 'cosine'"),
        ({"optimizer": torch.optim.SGD([nn.Parameter(torch.ones(1))])}, ValueError, "parameters"),
        (
            {"optimizer": functools.partial(torch.optim.SGD, lr=0.1), "learning_rate": 0.1},
            ValueError,
            "learning rate of its own",
        ),
        ({"batches": points()}, TypeError, r"cu\.batches"),
        ({"batches": iter(cut(points()))}, ValueError, "epoch 2: .*iterator that is used up"),
        ({"batches": [(torch.ones(2, 2), 1)]}, TypeError, "pair of tensors"),
        ({"batches": [torch.ones(2, 2)]}, TypeError, "is a Tensor"),
        ({"batches": [(torch.ones(2, 2), torch.ones(3).long())]}, TypeError, "pair of tensors"),
        ({"batches": []}, ValueError, "no pictures in epoch 1"),
        ({"validation": []}, ValueError, "no pictures in validation"),
    ],
)
def test_mistakes_are_explained(arguments, error, message):
    settings = {"batches": cut(points()), "validation": None, "epochs": 2, **arguments}
    model = small()
    with pytest.raises(error, match=message):
        fit(model, settings.pop("batches"), settings.pop("validation"), **settings)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_progress_shows_loss_and_accuracy(monkeypatch, capsys):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    bars = []
    plain = cu.runtime.progress

    def shown(*args, **options):
        bars.append(plain(*args, **{**options, "delay": 0, "mininterval": 0}))
        return bars[-1]

    monkeypatch.setattr(cu.runtime, "progress", shown)
    fit.func(small(), cut(points()), cut(points()), epochs=2, device="cpu")
    assert bars[0].n == bars[0].total == 16
    assert "epoch 2/2, accuracy" in bars[0].desc


# --- evaluate -------------------------------------------------------------------------------------


def logits_of(probabilities: list[list[float]]) -> torch.Tensor:
    return torch.tensor(probabilities).log()


CLASSES = ["cat", "dog", "horse"]
KNOWN = logits_of(
    [
        [0.7, 0.2, 0.1],  # cat, rightly
        [0.1, 0.8, 0.1],  # cat taken for a dog
        [0.2, 0.6, 0.2],  # dog, rightly
        [0.9, 0.05, 0.05],  # dog taken for a cat
        [0.3, 0.6, 0.1],  # horse taken for a dog
    ]
)
TRUTH = torch.tensor([0, 0, 1, 1, 2])


def test_evaluation_of_known_predictions():
    found = evaluate(nn.Identity(), cut((KNOWN, TRUTH), 2), CLASSES)
    assert found.accuracy == pytest.approx(2 / 5)
    assert found.predictions.tolist() == [0, 1, 1, 0, 1]
    assert found.confusion.tolist() == [[1, 1, 0], [1, 1, 0], [0, 1, 0]]
    assert list(found.report.columns) == ["precision", "recall", "f1", "support"]
    rows = [list(row) for row in found.report.to_numpy()]
    assert rows[0] == [0.5, 0.5, 0.5, 2]
    assert rows[1] == pytest.approx([1 / 3, 0.5, 0.4, 2])
    assert rows[2] == [0, 0, 0, 1]
    assert found.report.loc["macro average", "recall"] == pytest.approx(1 / 3)
    assert found.loss == pytest.approx(-np.log([0.7, 0.1, 0.6, 0.05, 0.1]).mean(), rel=1e-5)
    low, high = found.interval  # Wilson's formula for 2 of 5
    z, n, p = 1.959964, 5, 0.4
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-5)
    assert "horse" in str(found)
    assert "40.0%" in str(found)


def test_results_are_in_the_pictures_order_even_if_batches_shuffle():
    pair = (KNOWN.repeat(40, 1), TRUTH.repeat(40))
    straight = evaluate(nn.Identity(), cut(pair), CLASSES)
    shuffled = evaluate(nn.Identity(), cu.batches(pair, 32, drop_last=True), CLASSES)
    assert torch.equal(straight.probabilities, shuffled.probabilities)


@pytest.mark.parametrize(
    ("batches", "classes", "error", "message"),
    [
        ([], None, (RuntimeError, ValueError), "non-empty list"),
        ((KNOWN, TRUTH), None, TypeError, r"cu\.batches"),
        ([(KNOWN, TRUTH)], ["cat", "dog"], ValueError, "3 outputs, there are 2 classes"),
        ([(KNOWN, TRUTH + 1)], CLASSES, ValueError, "from 1 to 3"),
        ([(KNOWN * float("nan"), TRUTH)], CLASSES, ValueError, "not finite"),
        ([(KNOWN, F.one_hot(TRUTH).float())], CLASSES, ValueError, "whole numbers"),
        ([(KNOWN[:, 0], TRUTH)], CLASSES, ValueError, r"\(5, classes\)"),
    ],
)
def test_what_cannot_be_evaluated(batches, classes, error, message):
    with pytest.raises(error, match=message):
        evaluate(nn.Identity(), batches, classes)


# --- features -------------------------------------------------------------------------------------


@pytest.fixture
def pictures():
    images = torch.randint(256, (40, 3, 8, 8), dtype=torch.uint8)
    return images, torch.arange(40) % 2


def small_backbone(width: int = 5) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers)


def test_features_are_what_the_backbone_gives(pictures):
    images, labels = pictures
    backbone = small_backbone()
    found = extract_features(backbone, pictures)
    with torch.no_grad():
        expected = backbone.eval()(images / 255)
    assert torch.allclose(found.features, expected, atol=1e-6)
    assert torch.equal(found.labels, labels)
    floats = extract_features(backbone, (images / 255, labels), transform=lambda x: x * 1)
    assert torch.allclose(floats.features, expected, atol=1e-6)
    normalized = extract_features(backbone, ((images / 255 - 0.5) / 0.1, labels))
    assert not torch.allclose(normalized.features, expected), "taken as they are"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda x: x.float(), ValueError, r"0 to 25\d: pass bytes"),
        (lambda x: x / 127.5 - 1, ValueError, r"from -1 to 1.*not normalised yet"),
        (lambda x: x[0] / 255, ValueError, "one or more"),
        (lambda x: x / 255 * NAN, ValueError, "NaN"),
        (lambda x: x.long(), TypeError, "floats"),
    ],
)
def test_pictures_in_another_range_are_refused(change, error, words, pictures):
    """Where they are normalised on the way; bytes as floats used to be taken for [0, 1]."""
    images, labels = pictures
    network = cu.load_network("squeezenet1_1", verbose=False, device="cpu")
    with pytest.raises(error, match=words):
        extract_features(network, (change(images), labels))


@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_lite0"])
def test_backbone_and_head_are_the_whole_network(name, fresh_assets):
    network = cu.load_network(name, verbose=False, device="cpu")
    backbone = backbone_of(network)
    images = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    found = extract_features(network, (images, torch.zeros(2).long())).features
    preprocess = network.preprocess
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (preprocess.mean, preprocess.std))
    with torch.no_grad():
        normalized = (images / 255 - mean) / std
        assert torch.allclose(backbone(normalized), found, atol=1e-5)
        if name == "efficientnet_lite0":
            whole = nn.Sequential(backbone, network.layer("head"))
            assert torch.allclose(whole(normalized), network.model(normalized), atol=1e-4)
    assert found.shape == (2, {"squeezenet1_1": 512, "efficientnet_lite0": 1280}[name])
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert network.model(normalized).shape == (2, 1000), "the network itself is as before"
    assert nn.Sequential(backbone).get_submodule(f"0.{network.layers.grad_cam}") is not None


def test_outputs_that_are_no_features(pictures):
    with pytest.raises(ValueError, match=r"\(32, 3, 8, 8\)"):
        extract_features(nn.Identity(), pictures)


def test_head_on_features_equals_head_on_frozen_backbone(pictures):
    """Training on cached features is training with the frozen backbone, only without waiting."""
    images, labels = pictures
    backbone = small_backbone().eval().requires_grad_(False)
    found = extract_features(backbone, pictures)
    head = nn.Linear(5, 2)
    whole = nn.Sequential(backbone, nn.Linear(5, 2))
    whole[1].load_state_dict(head.state_dict())
    fit_head(*found, head=head, epochs=3, batch_size=16, device="cpu", progress=False)
    order = torch.Generator().manual_seed(0)
    fit(whole, cu.batches((images, labels), 16, generator=order), epochs=3)
    for one, other in zip(head.parameters(), whole[1].parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_head_learns_and_repeats():
    data, held = points(), points(100, seed=1)
    heads = [
        fit_head(*data, held, epochs=15, learning_rate=0.05, seed=3, device="cpu", progress=False)
        for _ in range(2)
    ]
    assert max(heads[0].history.validation_accuracy) > 0.95
    assert torch.equal(heads[0].head.weight, heads[1].head.weight)
    three = fit_head(*data, classes=3, epochs=1, device="cpu", progress=False)
    assert three.head.out_features == 3
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fit_head(torch.ones(3, 4, 5), torch.zeros(3).long(), epochs=1, device="cpu")


# --- checkpoints ----------------------------------------------------------------------------------


def test_the_network_is_the_tutorials():
    model = tutorial_cnn()
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    weights = {name: shape for name, shape in shapes.items() if name.endswith("weight")}
    assert weights == {
        "conv1.weight": (6, 3, 5, 5),
        "conv2.weight": (16, 6, 5, 5),
        "fc1.weight": (120, 400),
        "fc2.weight": (84, 120),
        "fc3.weight": (10, 84),
    }
    images = torch.randn(2, 3, 32, 32)
    hidden = F.max_pool2d(F.relu(model.conv1(images)), 2)
    hidden = F.max_pool2d(F.relu(model.conv2(hidden)), 2).flatten(1)
    logits = model.fc3(F.relu(model.fc2(F.relu(model.fc1(hidden)))))
    assert torch.allclose(model(images), logits, atol=1e-6)


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_course_checkpoint_is_checked(damage, tmp_path, monkeypatch):
    name = "cifar10_tutorial_cnn"
    data = bytearray(
        (training.assets.course_file("checkpoints") / f"{name}.safetensors").read_bytes()
    )
    data[-1] ^= 1
    if damage == "changed":
        (tmp_path / f"{name}.safetensors").write_bytes(data)
    monkeypatch.setattr(training.assets, "course_file", lambda _: tmp_path)
    with pytest.raises(RuntimeError, match="missing, or not the course"):
        load_checkpoint(name)
    with pytest.raises(ValueError, match="choose one of cifar10_tutorial_cnn"):
        load_checkpoint("lenet")


def test_course_checkpoint_knows_real_photographs():
    network = load_checkpoint("cifar10_tutorial_cnn", device="cpu")
    assert network.accuracy >= 0.65
    low, high = network.details["interval"]
    assert low < network.accuracy < high
    names = cu.photo_names("cifar10")
    labels = [network.labels.index(name.split("_")[1]) for name in names]
    with torch.no_grad():
        predicted = network.model(network.preprocess(names)).argmax(dim=1).tolist()
    right = sum(p == truth for p, truth in zip(predicted, labels, strict=True))
    assert right >= 10, f"{right} of the 20 photographs that come with foolbox"


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR10.is_file(), reason=f"no {CIFAR10}")
def test_stated_accuracy_is_measured_again(fresh_assets):
    network = load_checkpoint("cifar10_tutorial_cnn", device="cpu")
    splits = cu.load_dataset("cifar10", "real", folder=CIFAR10, verbose=False)
    assert list(splits.classes) == network.labels
    tensors = splits.test.to_tensors(progress=False)
    scale = network.preprocess.mean, network.preprocess.std
    found = evaluate(network.model, cu.batches(tensors, 500, normalize=scale), network.labels)
    assert len(found.labels) == 10_000
    assert found.accuracy == pytest.approx(network.accuracy, abs=0.0005)
