"""Training loop, evaluation, cached features and checkpoints: on data made here, in seconds."""

from __future__ import annotations

import functools
import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import course_utils as cu
from course_utils.training import (
    CHECKPOINTS,
    CheckpointError,
    TrainingError,
    backbone_of,
    checkpoints,
    evaluate,
    extract_features,
    features,
    fit,
    fit_head,
    load_checkpoint,
    open_checkpoint,
    save_checkpoint,
    tutorial_cnn,
)

FOLDER = Path(
    os.environ.get("COURSE_TEST_DATA")
    or Path(__file__).resolve().parents[1].parent / "shared" / "data"
)
CIFAR10 = FOLDER / "cifar10_jpeg.zip"

fit = functools.partial(fit, device="cpu", progress=False)
evaluate = functools.partial(evaluate, device="cpu", progress=False)
extract_features = functools.partial(extract_features, device="cpu", progress=False)


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
    assert history.curves() == {
        "training": history.train_accuracy,
        "validation": history.validation_accuracy,
    }
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
    assert history.learning_rate[1] < history.learning_rate[0]


def test_soft_labels_and_another_loss():
    inputs, labels = points()
    shares = F.one_hot(labels, 2) * 0.9 + 0.05
    history = fit(small(), cut((inputs, shares)), epochs=6, learning_rate=0.03)
    assert history.train_accuracy[-1] > 0.9
    smooth = functools.partial(F.cross_entropy, label_smoothing=0.2)
    assert fit(small(), cut(points()), epochs=1, loss=smooth).train_loss[0] > 0


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


@pytest.mark.parametrize("restore", [True, False])
def test_best_epoch_is_restored(restore):
    model, weights = small(), []
    data = noted(model, cut(points()), weights)
    scores = [0.5, 0.8, 0.7, 0.6]
    history = fit(model, data, scripted(model, scores), epochs=4, restore_best=restore)
    assert history.validation_accuracy == pytest.approx(scores)
    assert history.best_epoch == 2
    assert history.restored is restore
    # the third epoch began with what the second had made, statistics of BatchNorm included
    assert same(copy_of(model), weights[2]) is restore


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
        schedule="cosine",
        freeze="0",
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


def test_diverging_says_what_to_do_and_keeps_the_best():
    model, weights, data = small(), [], cut(points())
    poisoned = [(data[0][0] * float("nan"), data[0][1])]

    class Poisoned:
        def __iter__(self):
            weights.append(copy_of(model))
            return iter(data if len(weights) == 1 else poisoned)

    with pytest.raises(TrainingError, match=r"loss is nan after \d+ pictures of epoch 2.*tenth"):
        fit(model, Poisoned(), cut(points(64)), epochs=5)
    assert same(copy_of(model), weights[1])


def test_schedules():
    seen = []

    def watch(done):
        seen.append(done)
        return 1 - done

    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    history = fit(model, cut(points(128)), epochs=3, optimizer=optimizer, schedule=watch)
    assert seen == pytest.approx(np.arange(12) / 12)
    assert history.learning_rate == pytest.approx([0.5 * (1 - k / 12) for k in (3, 7, 11)])
    assert optimizer.param_groups[0]["lr"] == 0.5, "given back as it was"
    one_cycle = [cu.training.one_cycle(x) for x in np.linspace(0, 1, 101)]
    assert max(one_cycle) == one_cycle[25] == 1
    assert one_cycle[0] == pytest.approx(0.04)
    assert one_cycle[-1] == pytest.approx(0)


@pytest.mark.parametrize("how", ["0", "module"])
def test_frozen_parts_do_not_change(how):
    backbone = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
    model = nn.Sequential(backbone, nn.Linear(8, 2))
    before, modes = copy_of(backbone), []
    backbone.register_forward_hook(lambda module, *_: modes.append(module[1].training))
    weight = model[1].weight.detach().clone()
    history = fit(
        model,
        cut(points()),
        epochs=3,
        freeze=backbone if how == "module" else how,
        optimizer=functools.partial(torch.optim.SGD, lr=0.1, weight_decay=0.1),
    )
    assert same(copy_of(backbone), before), "weights and BatchNorm's statistics"
    assert not any(modes)
    assert not torch.equal(model[1].weight, weight)
    assert history.train_loss[-1] < history.train_loss[0]
    assert all(parameter.requires_grad for parameter in backbone.parameters()), "as before"


def test_statistics_of_frozen_weights_are_not_frozen_without_being_asked():
    model = small()
    model[1].requires_grad_(False)
    with pytest.warns(UserWarning, match=r"1 BatchNorm layers \(the first is 1\).*freeze="):
        fit(model, cut(points()), epochs=1)
    assert not torch.equal(model[1].running_mean, torch.zeros(8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, cut(points()), epochs=1, freeze="1")
        fit(small(), cut(points()), epochs=1)


def test_optimizer_gets_only_what_learns():
    model, given = small(), []

    def make(parameters):
        given.extend(parameters)
        return torch.optim.SGD(given, lr=0.1)

    model[0].requires_grad_(False)
    fit(model, cut(points()), epochs=1, freeze="3", optimizer=make)
    assert [id(p) for p in given] == [id(p) for p in model[1].parameters()]
    assert not any(p.requires_grad for p in model[0].parameters()), "frozen before, frozen after"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "at least 1"),
        ({"patience": 2}, ValueError, "patience needs validation"),
        ({"freeze": "no_such"}, ValueError, "no such part; it has 0, 1"),
        ({"freeze": nn.Linear(1, 1)}, ValueError, "no part of the model"),
        ({"freeze": ["0", "1", "2", "3"]}, ValueError, "nothing is left to learn"),
        ({"schedule": "cosin"}, ValueError, "choose one of cosine, one_cycle"),
        ({"optimizer": torch.optim.SGD([nn.Parameter(torch.ones(1))])}, ValueError, "no parameter"),
        ({"batches": points()}, TypeError, r"cu\.batches\(batches\)"),
        ({"batches": iter(cut(points()))}, TypeError, "iterator"),
        ({"batches": [(torch.ones(2, 2), 1)]}, TypeError, "pair of tensors.*Tensor, int"),
        ({"batches": [torch.ones(2, 2)]}, TypeError, "is a Tensor"),
        ({"batches": [(torch.ones(2, 2), torch.ones(3).long())]}, TypeError, "2 inputs and 3"),
        ({"batches": []}, ValueError, "empty in epoch 1"),
        ({"validation": []}, ValueError, "validation is empty"),
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
    assert "epoch 2/2" in bars[0].desc
    assert all(word in bars[0].postfix for word in ("loss", "accuracy", "validation"))


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
    assert found.per_class[0] == ("cat", 0.5, 0.5, 0.5, 2)
    assert found.per_class[1] == ("dog", pytest.approx(1 / 3), 0.5, pytest.approx(0.4), 2)
    assert found.per_class[2] == ("horse", 0, 0, 0, 1)
    assert found.macro_average.recall == pytest.approx(1 / 3)
    assert found.loss == pytest.approx(-np.log([0.7, 0.1, 0.6, 0.05, 0.1]).mean(), rel=1e-5)
    low, high = found.interval  # Wilson's formula for 2 of 5
    z, n, p = 1.959964, 5, 0.4
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-5)
    assert "horse" in str(found)
    assert "40.0%" in str(found)


def test_most_confident_mistakes_first():
    found = evaluate(nn.Identity(), [(KNOWN, TRUTH)], CLASSES)
    assert [m.index for m in found.mistakes()] == [3, 1, 4]
    (worst,) = found.mistakes(1)
    assert (worst.label, worst.predicted) == ("dog", "cat")
    assert worst.confidence == pytest.approx(0.9)
    assert worst.probability_of_truth == pytest.approx(0.05)


def test_calibration_of_known_predictions():
    found = evaluate(nn.Identity(), [(KNOWN, TRUTH)], CLASSES).calibration(bins=4)
    # [.5, .75]: .7 right, .6 right, .6 wrong; (.75, 1]: .8 and .9, both wrong
    assert found.count.tolist() == [0, 0, 3, 2]
    assert found.accuracy[2:].tolist() == pytest.approx([2 / 3, 0])
    assert found.confidence[2:].tolist() == pytest.approx([1.9 / 3, 0.85], rel=1e-5)
    assert np.isnan(found.accuracy[:2]).all()
    assert found.ece == pytest.approx((3 * (2 - 1.9) / 3 + 2 * 0.85) / 5, rel=1e-5)


def test_a_calibrated_classifier_has_no_calibration_error():
    generator = torch.Generator().manual_seed(0)
    right = 0.5 + 0.5 * torch.rand(40_000, generator=generator)
    labels = (torch.rand(40_000, generator=generator) > right).long()
    logits = torch.stack([right, 1 - right], dim=1).log()
    honest = evaluate(nn.Identity(), [(logits, labels)])
    boastful = evaluate(nn.Identity(), [(3 * logits, labels)])
    assert honest.calibration().ece < 0.01
    assert boastful.calibration().ece > 0.08
    assert boastful.accuracy == honest.accuracy


def test_mistakes_are_in_the_pictures_order_even_if_batches_shuffle():
    pair = (KNOWN.repeat(40, 1), TRUTH.repeat(40))
    straight = evaluate(nn.Identity(), cut(pair), CLASSES)
    shuffled = evaluate(nn.Identity(), cu.batches(pair, 32, drop_last=True), CLASSES)
    assert torch.equal(straight.probabilities, shuffled.probabilities)
    loader = DataLoader(TensorDataset(*pair), 32, shuffle=True)
    with pytest.warns(UserWarning, match="shuffle=False"):
        evaluate(nn.Identity(), loader, CLASSES)


def test_evaluation_leaves_the_mode_alone():
    model = small().train()
    before = copy_of(model)
    evaluate(model, cut(points()))
    assert model.training
    assert same(copy_of(model), before)


@pytest.mark.parametrize(
    ("batches", "classes", "error", "message"),
    [
        ([], None, ValueError, "nothing to evaluate"),
        ((KNOWN, TRUTH), None, TypeError, r"cu\.batches"),
        ([(KNOWN, TRUTH)], ["cat", "dog"], ValueError, "3 outputs and there are 2 classes"),
        ([(KNOWN, TRUTH + 1)], CLASSES, ValueError, "labels go from 1 to 3"),
        ([(KNOWN * float("nan"), TRUTH)], CLASSES, ValueError, "not finite"),
        ([(KNOWN, F.one_hot(TRUTH).float())], CLASSES, ValueError, "class indices"),
        ([(KNOWN[:, 0], TRUTH)], CLASSES, ValueError, r"should be \(N, classes\)"),
    ],
)
def test_what_cannot_be_evaluated(batches, classes, error, message):
    with pytest.raises(error, match=message):
        evaluate(nn.Identity(), batches, classes)


# --- features -------------------------------------------------------------------------------------


class Counting(nn.Module):
    """A small backbone that counts the pictures it has seen."""

    def __init__(self, width: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.seen = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += len(images)
        return self.body(images)


@pytest.fixture
def pictures(fresh_assets):
    features.clear_memory()
    images = torch.randint(256, (40, 3, 8, 8), dtype=torch.uint8)
    yield images, torch.arange(40) % 2
    features.clear_memory()


@pytest.mark.parametrize("cache", [True, "memory", "folder", False])
def test_a_picture_is_looked_at_once(cache, pictures, tmp_path):
    folder = tmp_path / "features"
    backbone, cache = Counting(), folder if cache == "folder" else cache
    first = extract_features(backbone, pictures, cache=cache)
    again = extract_features(backbone, pictures, cache=cache)
    assert torch.equal(first.features, again.features)
    assert torch.equal(first.labels, pictures[1])
    assert backbone.seen == (80 if cache is False else 40)
    features.clear_memory()  # as in the next session
    extract_features(backbone, pictures, cache=cache)
    stored = cache is True or cache == folder
    assert backbone.seen == (40 if stored else 120 if cache is False else 80)
    expected = backbone.eval().body(pictures[0].float() / 255)
    assert torch.allclose(first.features, expected, atol=1e-6)


def test_features_depend_on_pictures_weights_and_transform(pictures):
    images, labels = pictures
    backbone = Counting()
    plain = extract_features(backbone, pictures).features
    changed = images.clone()
    changed[17, 1, 2, 3] ^= 255
    other = extract_features(backbone, (changed, labels)).features
    assert torch.equal(plain[:17], other[:17])
    assert not torch.equal(plain[17], other[17])
    scaled = extract_features(backbone, pictures, transform=lambda x: x * 2).features
    assert not torch.allclose(plain, scaled)
    with torch.no_grad():
        backbone.body[1].running_mean += 1  # a buffer, not a parameter
    assert not torch.allclose(plain, extract_features(backbone, pictures).features)


def test_what_is_done_to_features_does_not_change_those_kept(pictures):
    first = extract_features(Counting(), pictures).features
    before = first.clone()
    first += 1
    assert torch.equal(extract_features(Counting(), pictures).features, before)


def test_extraction_leaves_modes_alone(pictures):
    backbone = Counting().train()
    backbone.body[1].eval()
    before = copy_of(backbone)
    extract_features(backbone, pictures)
    assert backbone.training
    assert not backbone.body[1].training
    assert same(copy_of(backbone), before), "BatchNorm saw nothing"


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_damaged_cache_is_computed_again(damage, pictures, tmp_path):
    backbone = Counting()
    right = extract_features(backbone, pictures, cache=tmp_path).features
    (path,) = tmp_path.glob("*.safetensors")
    data = path.read_bytes()
    flipped = data[:-9] + bytes([data[-9] ^ 255]) + data[-8:]
    path.write_bytes({"cut": data[:-40], "flipped": flipped, "empty": b"", "text": b"?"}[damage])
    features.clear_memory()
    with pytest.warns(UserWarning, match="damaged"):
        again = extract_features(backbone, pictures, cache=tmp_path).features
    assert torch.equal(again, right)
    assert backbone.seen == 80
    features.clear_memory()
    extract_features(backbone, pictures, cache=tmp_path)
    assert backbone.seen == 80, "and stored again"


def test_interrupted_write_leaves_nothing(pictures, tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError("No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.warns(UserWarning, match="No space left.*stay in memory"):
        found = extract_features(Counting(), pictures, cache=tmp_path)
    assert len(found.features) == 40
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written(pictures, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    backbone = Counting()
    with pytest.warns(UserWarning, match="cannot be kept"):
        extract_features(backbone, pictures, cache=blocked / "below")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extract_features(backbone, pictures, cache=blocked / "below")
    assert backbone.seen == 40, "kept in memory"


def test_memory_is_bounded(pictures):
    backbone = Counting()
    for number in range(features.MAX_IN_MEMORY + 2):
        images = pictures[0].clone()
        images[0, 0, 0, 0] = number
        extract_features(backbone, (images, pictures[1]), cache="memory")
    assert len(features._memory) == features.MAX_IN_MEMORY


@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_lite0"])
def test_backbone_and_head_are_the_whole_network(name, fresh_assets):
    network = cu.load_network(name, verbose=False, device="cpu")
    backbone = backbone_of(network)
    images = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    found = extract_features(network, (images, torch.zeros(2).long()), cache=False).features
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
    with pytest.raises(ValueError, match=r"\(32, 3, 8, 8\) should be \(N, D\)"):
        extract_features(nn.Identity(), pictures, cache=False)


def test_head_on_features_equals_head_on_frozen_backbone(pictures):
    """Training on cached features is training with the frozen backbone, only without waiting."""
    images, labels = pictures
    backbone = Counting().eval().requires_grad_(False)
    found = extract_features(backbone, pictures)
    head = nn.Linear(5, 2)
    whole = nn.Sequential(backbone, nn.Linear(5, 2))
    whole[1].load_state_dict(head.state_dict())
    fit_head(*found, head=head, epochs=3, batch_size=16, device="cpu", progress=False)
    order = torch.Generator().manual_seed(0)
    fit(whole, cu.batches((images, labels), 16, generator=order), epochs=3, freeze="0")
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
    with pytest.raises(ValueError, match=r"should be \(N, D\)"):
        fit_head(torch.ones(3, 4, 5), torch.zeros(3).long())


# --- checkpoints ----------------------------------------------------------------------------------

SAVED = {
    "classes": list("abcdefghij"),
    "normalize": ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    "size": 32,
    "accuracy": 0.5,
    "epochs": 3,
}


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


def test_checkpoint_round_trip(tmp_path):
    model = tutorial_cnn()
    path = save_checkpoint(tmp_path / "mine.safetensors", model, **SAVED)
    opened = open_checkpoint(path, tutorial_cnn(), device="cpu")
    assert same(copy_of(opened.model), copy_of(model))
    assert not opened.model.training
    assert not any(parameter.requires_grad for parameter in opened.model.parameters())
    assert (opened.name, opened.accuracy, opened.details["epochs"]) == ("mine", 0.5, 3)
    assert opened.labels == SAVED["classes"]
    assert opened.normalize == SAVED["normalize"]
    batch = opened.preprocess(cu.load_photo("chelsea"))
    assert batch.shape == (1, 3, 32, 32)
    assert opened.denormalize(batch).min() >= 0


@pytest.mark.parametrize("damage", ["cut", "not ours", "missing"])
def test_damaged_checkpoint(damage, tmp_path):
    path = save_checkpoint(tmp_path / "mine.safetensors", tutorial_cnn(), **SAVED)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "missing":
        path.unlink()
    else:
        from safetensors.torch import save_file

        save_file(tutorial_cnn().state_dict(), path)
    with pytest.raises(CheckpointError, match="mine.safetensors is no checkpoint"):
        open_checkpoint(path, tutorial_cnn())


def test_checkpoint_of_another_architecture(tmp_path):
    path = save_checkpoint(tmp_path / "mine.safetensors", tutorial_cnn(), **SAVED)
    with pytest.raises(CheckpointError, match="does not fit"):
        open_checkpoint(path, tutorial_cnn(classes=3))


def test_course_checkpoint_is_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "checkpoint_folder", lambda: tmp_path)
    name = "cifar10_tutorial_cnn"
    with pytest.raises(CheckpointError, match="incomplete"):
        load_checkpoint(name)
    save_checkpoint(tmp_path / f"{name}.safetensors", tutorial_cnn(), **SAVED)
    with pytest.raises(CheckpointError, match="not the checkpoint that comes with the course"):
        load_checkpoint(name)
    with pytest.raises(ValueError, match="choose one of cifar10_tutorial_cnn"):
        load_checkpoint("lenet")


def test_course_checkpoint_knows_real_photographs():
    network = load_checkpoint("cifar10_tutorial_cnn", device="cpu")
    assert network.accuracy >= 0.65
    low, high = network.details["interval"]
    assert low < network.accuracy < high
    digest = hashlib.sha256(network.path.read_bytes()).hexdigest()
    assert digest == CHECKPOINTS[network.name].sha256
    names = cu.photo_names("cifar10")
    labels = [network.labels.index(name.split("_")[1]) for name in names]
    with torch.no_grad():
        predicted = network.model(network.preprocess(names)).argmax(dim=1).tolist()
    right = sum(p == truth for p, truth in zip(predicted, labels, strict=True))
    assert right >= 10, f"{right} of the 20 photographs that come with foolbox"


@pytest.mark.skipif(not CIFAR10.is_file(), reason=f"no {CIFAR10}")
def test_stated_accuracy_is_measured_again(fresh_assets):
    network = load_checkpoint("cifar10_tutorial_cnn", device="cpu")
    splits = cu.load_dataset("cifar10", "real", folder=CIFAR10, verbose=False, progress=False)
    assert list(splits.classes) == network.labels
    tensors = splits.test.to_tensors(progress=False)
    found = evaluate(
        network.model, cu.batches(tensors, 500, normalize=network.normalize), network.labels
    )
    assert len(found.labels) == 10_000
    assert found.accuracy == pytest.approx(network.accuracy, abs=0.0005)
