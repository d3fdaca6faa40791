"""What the conveniences of `course_utils.training` cost, and what they save.

For ``python tools/bench.py --only training``, or alone for one round:

* `fit` beside the same loop written out, without bar, history or accuracy;
* a head on cached features beside the frozen backbone in every epoch;
* pictures from tensors, augmented batch by batch, beside PIL pictures from a ``DataLoader``, and
  beside the training step alone.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import course_scenes
import course_utils as cu
from course_utils.datasets import Augment, batches
from course_utils.training import backbone_of, evaluate, extract_features, fit, tutorial_cnn

BATCH_SIZE = 64
#: Pictures of an epoch, where speed alone is measured.
PICTURES = 64 * 60
NORMALIZE = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CROP = 4
#: The transfer task: classes are told apart by what a network trained on ImageNet knows.
BACKBONE, FAMILY, SIZE, PER_CLASS, HEAD_EPOCHS = "efficientnet_lite0", "vegetables", 96, 60, 10


# --- the loop ---------------------------------------------------------------------------------


def measure_fit(rounds: int) -> dict[str, float]:
    """Seconds of one epoch of the tutorial's network, by `fit` and by a bare loop, in turns."""
    data = _random_batches()
    ways = {"fit": lambda: _by_fit(data), "bare loop": lambda: _by_bare_loop(data)}
    return _in_turns(ways, rounds)[0]


def _by_fit(data: Sequence[tuple[Tensor, Tensor]]) -> None:
    fit(tutorial_cnn(), data, epochs=1, device="cpu")


def _by_bare_loop(data: Sequence[tuple[Tensor, Tensor]]) -> None:
    model = tutorial_cnn().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for images, labels in data:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()


def _random_batches() -> list[tuple[Tensor, Tensor]]:
    count = PICTURES // BATCH_SIZE
    return [
        (torch.randn(BATCH_SIZE, 3, 32, 32), torch.randint(10, (BATCH_SIZE,))) for _ in range(count)
    ]


# --- cached features --------------------------------------------------------------------------


def measure_features(rounds: int) -> dict[str, float]:
    """Seconds of training a head for ten epochs in three ways, and the accuracies.

    "backbone every epoch" runs it frozen, without gradients, in evaluation mode. "cached" has the
    features from an earlier call; "first time" computes them on the way.
    """
    network = cu.load_network(BACKBONE, verbose=False, device="cpu")
    train, test = _rendered(seed=0), _rendered(seed=1)
    normalize = (network.preprocess.mean, network.preprocess.std)
    backbone = backbone_of(network)

    def new_head() -> nn.Module:
        torch.manual_seed(0)
        return nn.Linear(1280, len(train[1].unique()))

    def every_epoch() -> nn.Module:
        model, order = nn.Sequential(backbone, new_head()), torch.Generator().manual_seed(0)
        training = batches(train, BATCH_SIZE, normalize=normalize, generator=order)
        fit(model, training, epochs=HEAD_EPOCHS, freeze="0", device="cpu")
        return model

    def with_features(cache: bool | str) -> nn.Module:
        features = extract_features(network, train, cache=cache, device="cpu")
        head = new_head()
        cu.fit_head(*features, head=head, epochs=HEAD_EPOCHS, batch_size=BATCH_SIZE, device="cpu")
        return nn.Sequential(backbone, head)

    extract_features(network, train, cache="memory", device="cpu")
    ways = {
        "backbone every epoch": every_epoch,
        "first time": lambda: with_features(cache=False),
        "cached": lambda: with_features(cache="memory"),
    }
    seconds, models = _in_turns(ways, rounds, warm_up=False)
    held_out = batches(test, BATCH_SIZE, shuffle=False, normalize=normalize)
    accuracies = {
        f"accuracy, {name}": evaluate(model, held_out, device="cpu").accuracy
        for name, model in models.items()
    }
    return {**seconds, **accuracies}


def _rendered(seed: int) -> tuple[Tensor, Tensor]:
    rendering = course_scenes.render(FAMILY, 3 * PER_CLASS, SIZE, seed, workers=1, progress=False)
    images = torch.as_tensor(rendering.images).permute(0, 3, 1, 2).contiguous()
    return images, torch.as_tensor(rendering.labels)


# --- pictures ---------------------------------------------------------------------------------


def measure_images(rounds: int) -> dict[str, float]:
    """Seconds of one epoch on pictures of 32 px, cropped and flipped at random.

    The pictures that the ``DataLoader`` loads are in memory as arrays, as torchvision's CIFAR-10
    has them; the training step alone gets the same batch, ready, again and again.
    """
    images = torch.randint(256, (PICTURES, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(10, (PICTURES,))
    tensors = batches((images, labels), BATCH_SIZE, augment=Augment(crop=CROP), normalize=NORMALIZE)
    pictures = Pictures(images, labels)
    ready = _random_batches()

    def loader(workers: int) -> DataLoader:
        return DataLoader(pictures, BATCH_SIZE, shuffle=True, num_workers=workers)

    ways = {
        "step alone": lambda: _by_bare_loop(ready),
        "tensors": lambda: _by_fit(tensors),
        "DataLoader, 0 workers": lambda: _by_bare_loop(loader(0)),
        "DataLoader, 2 workers": lambda: _by_bare_loop(loader(2)),
    }
    seconds, _ = _in_turns(ways, rounds)
    return {name: PICTURES / value for name, value in seconds.items()}


class Pictures(Dataset):
    """Pictures one by one through PIL and torchvision, as most tutorials load CIFAR-10."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        from torchvision import transforms

        self.arrays: np.ndarray = images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=CROP),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(*NORMALIZE),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.arrays[index])), self.labels[index]


# --- timing -----------------------------------------------------------------------------------


def _in_turns(
    ways: Mapping[str, Callable[[], Any]], rounds: int, *, warm_up: bool = True
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the median seconds of each way, taking turns, and what each returned last.

    Every other round goes backwards, so that none always comes first.
    """
    cu.tune_allocator()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    results = {}
    for turn in range(rounds + warm_up):
        for name, way in list(ways.items())[:: -1 if turn % 2 else 1]:
            start = time.perf_counter()
            results[name] = way()
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}, results


MEASURES: Mapping[str, Callable[[int], dict[str, float]]] = {
    "fit": measure_fit,
    "features": measure_features,
    "images": measure_images,
}

if __name__ == "__main__":
    for name, measure in MEASURES.items():
        print(name, json.dumps(measure(1)))
