"""How hard the embedded data sets are: ``python data/learnability.py [--only cifar10,…]``.

Trains small networks on the archives and prints a table: is each set learnable but not trivial,
does its background give the class away, does a planted shortcut do what it should. Every figure is
the mean over three seeds (of the network's initial weights and of the order of the pictures), with
the smallest and the largest. The figures also go to ``build/learnability.json``. It takes about
a quarter of an hour on two cores; ``--seeds 1`` is enough to look.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from course_scenes import Scene, classes, draw, intervene, render_scenes
from course_utils import load_network

ROOT = Path(__file__).resolve().parent.parent
ARCHIVES = ROOT / "data" / "embedded"
REPORT = ROOT / "build" / "learnability.json"
#: How many labelled portraits a network is given in the comparison of transfer and scratch.
FEW = (20, 60, 200, 800)


# --- data -------------------------------------------------------------------------------------


class Pictures(NamedTuple):
    """Images uint8 (N, H, W, 3), labels int64 (N,), and the lines of ``scenes.jsonl``."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    records: list[dict[str, Any]]

    def take(self, chosen: Sequence[int] | NDArray[np.int64]) -> Pictures:
        """Return some of the pictures."""
        return Pictures(self.images[chosen], self.labels[chosen], [self.records[i] for i in chosen])

    def shown(self, images: NDArray[np.uint8]) -> Pictures:
        """Return other images with the same labels."""
        return self._replace(images=images)

    @property
    def scenes(self) -> list[Scene]:
        """What was rendered."""
        return [Scene.from_dict(record["scene"]) for record in self.records]


class Archive:
    """An embedded archive, read directly: independent of the course's own loader."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        scenes = next(name for name in self._zip.namelist() if name.endswith("scenes.jsonl"))
        self._root = scenes.removesuffix("scenes.jsonl")

    def split(self, name: str) -> Pictures:
        """Return training or test pictures."""
        return self._read(line for line in self._lines("scenes.jsonl") if line["split"] == name)

    def intervention(self, name: str) -> Pictures:
        """Return the changed test pictures of one kind."""
        lines = self._lines("interventions.jsonl")
        return self._read(line for line in lines if line["intervention"] == name)

    def _lines(self, name: str) -> list[dict[str, Any]]:
        text = self._zip.read(self._root + name).decode()
        return [json.loads(line) for line in text.splitlines()]

    def _read(self, lines: Iterator[dict[str, Any]]) -> Pictures:
        records = list(lines)
        images = [self._image(record["file"]) for record in records]
        labels = np.array([record["label"] for record in records], np.int64)
        return Pictures(np.stack(images), labels, records)

    def _image(self, name: str) -> NDArray[np.uint8]:
        return np.asarray(Image.open(io.BytesIO(self._zip.read(self._root + name))).convert("RGB"))


def balanced(pictures: Pictures, count: int) -> Pictures:
    """Return the first pictures of each class, `count` in all."""
    kinds = np.unique(pictures.labels)
    each = count // len(kinds)
    chosen = [np.flatnonzero(pictures.labels == kind)[:each] for kind in kinds]
    return pictures.take(np.sort(np.concatenate(chosen)))


def without_objects(pictures: Pictures, size: int, intervention: str) -> Pictures:
    """Render the scenes again with nothing but their background."""
    empty = [intervene(scene, intervention) for scene in pictures.scenes]
    return pictures.shown(render_scenes(empty, size, workers=1).images)


# --- networks ---------------------------------------------------------------------------------


class LeNet(nn.Sequential):
    """LeCun et al. (1998), with ReLU and maximum pooling, for 32 x 32 colour pictures."""

    def __init__(self, class_count: int) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 8 * 8, 120), nn.ReLU(),
            nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, class_count),
        )  # fmt: skip


class SmallCNN(nn.Sequential):
    """Four convolutions with batch normalisation, global average pooling, a linear head."""

    def __init__(self, class_count: int) -> None:
        layers: list[nn.Module] = []
        for before, after in ((3, 24), (24, 48), (48, 96), (96, 128)):
            # only the first layer skips pixels: large pictures cost a quarter, edges stay sharp
            stride = 2 if before == 3 else 1
            layers += [nn.Conv2d(before, after, 3, stride, padding=1), nn.BatchNorm2d(after)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
        layers[-1] = nn.AdaptiveAvgPool2d(1)
        super().__init__(*layers, nn.Flatten(), nn.Linear(128, class_count))


def to_input(images: NDArray[np.uint8]) -> Tensor:
    """Images uint8 (N, H, W, 3) to float (N, 3, H, W) around 0."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def augment(batch: Tensor) -> Tensor:
    """Mirror each picture with probability 1/2 and move it by up to a twelfth of its side."""
    flip = torch.rand(len(batch)) < 0.5
    batch = torch.where(flip[:, None, None, None], batch.flip(3), batch)
    side, pad = batch.shape[-1], batch.shape[-1] // 12
    padded = F.pad(batch, [pad] * 4, mode="reflect")
    top, left = torch.randint(0, 2 * pad + 1, (2,)).tolist()
    return padded[..., top : top + side, left : left + side]


def fit(
    network: nn.Module, inputs: Tensor, labels: NDArray[np.int64], steps: int, rate: float = 2e-3
) -> nn.Module:
    """Train with AdamW and a cosine schedule, batches of 32."""
    targets = torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5 * rate, total_steps=steps)
    network.train()
    order = torch.randperm(len(inputs))
    size = min(32, len(inputs))
    for _ in range(steps):
        if len(order) < size:
            order = torch.randperm(len(inputs))
        chosen, order = order[:size], order[size:]
        optimizer.zero_grad()
        F.cross_entropy(network(augment(inputs[chosen])), targets[chosen]).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.inference_mode()
def accuracy(network: nn.Module, pictures: Pictures) -> float:
    """Share of pictures that are classified as labelled."""
    parts = [network(to_input(pictures.images[i : i + 64])) for i in range(0, len(pictures[0]), 64)]
    found = torch.cat(parts).argmax(1).numpy()
    return float((found == pictures.labels).mean())


# --- transfer learning ------------------------------------------------------------------------


@torch.inference_mode()
def features(name: str, images: NDArray[np.uint8], side: int) -> tuple[Tensor, Tensor]:
    """Means and maxima (N, C) over a bundled network's last map, pictures enlarged to `side`."""
    network = load_network(name)
    maps: list[Tensor] = []
    hook = network.layer("grad_cam").register_forward_hook(
        lambda module, inputs, output: maps.append(output)
    )
    mean = torch.tensor(network.preprocess.mean).view(1, 3, 1, 1)
    std = torch.tensor(network.preprocess.std).view(1, 3, 1, 1)
    means, maxima = [], []
    for start in range(0, len(images), 16):
        batch = torch.from_numpy(images[start : start + 16]).permute(0, 3, 1, 2).float() / 255
        batch = F.interpolate(batch, size=(side, side), mode="bilinear", antialias=True)
        network.model((batch - mean) / std)
        last = maps.pop()
        means.append(last.mean((2, 3)))
        maxima.append(last.amax((2, 3)))
    hook.remove()
    return torch.cat(means), torch.cat(maxima)


def linear_head(inputs: Tensor, labels: NDArray[np.int64], seed: int) -> Callable[[Tensor], Tensor]:
    """Fit a logistic regression on standardised features; returns what predicts from features."""
    torch.manual_seed(seed)
    mean, std = inputs.mean(0), inputs.std(0) + 1e-3
    scaled, targets = (inputs - mean) / std, torch.from_numpy(labels)
    head = nn.Linear(inputs.shape[1], int(labels.max()) + 1)
    optimizer = torch.optim.AdamW(head.parameters(), 3e-3, weight_decay=0.3)
    for _ in range(400):
        optimizer.zero_grad()
        F.cross_entropy(head(scaled), targets).backward()
        optimizer.step()
    return lambda given: head((given - mean) / std).argmax(1)


# --- report -----------------------------------------------------------------------------------


@dataclass
class Report:
    """The figures, as they come in.

    Attributes
    ----------
    seeds : int
        How often everything is repeated.
    rows : list of dict
        One for each figure.
    """

    seeds: int
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self, what: str, values: Sequence[float], bar: tuple[float, float] | None = None
    ) -> None:
        """Print and keep a figure in per cent; `bar` says between which values it should lie."""
        percent = [100 * value for value in values]
        mean = statistics.fmean(percent)
        row: dict[str, Any] = {"what": what, "mean": round(mean, 1), "values": percent}
        text = f"{what:74s} {mean:5.1f} %  ({min(percent):.1f} to {max(percent):.1f})"
        if bar is not None:
            row |= {"bar": bar, "holds": bar[0] <= mean <= bar[1]}
            text += f"  {'holds' if row['holds'] else 'FAILS'}: {bar[0]:g} to {bar[1]:g}"
        self.rows.append(row)
        print(text, flush=True)

    def repeat(
        self,
        what: str,
        measure: Callable[[int], float],
        bar: tuple[float, float] | None = None,
    ) -> None:
        """Add the results of ``measure(seed)`` for all seeds."""
        self.add(what, [measure(seed) for seed in range(self.seeds)], bar)


def train_and_test(
    make: Callable[[int], nn.Module], train: Pictures, tests: Sequence[Pictures], steps: int
) -> Callable[[int], list[float]]:
    """Return what trains a network with a seed, and its accuracies on several test sets."""
    inputs = to_input(train.images)

    def run(seed: int) -> list[float]:
        torch.manual_seed(seed)
        network = fit(make(int(train.labels.max()) + 1), inputs, train.labels, steps)
        return [accuracy(network, test) for test in tests]

    return run


def report_columns(
    report: Report,
    run: Callable[[int], list[float]],
    whats: Sequence[str],
    bars: Sequence[tuple[float, float] | None] | None = None,
) -> None:
    """Run for each seed, and add one row for each of the test sets."""
    results = [run(seed) for seed in range(report.seeds)]
    for column, what in enumerate(whats):
        bar = bars[column] if bars else None
        report.add(what, [result[column] for result in results], bar)


# --- the sets ---------------------------------------------------------------------------------


def cifar10(report: Report, archives: Path) -> None:
    """Train LeNet; measure what the background alone gives away, typical or not."""
    archive = Archive(archives / "cifar10.zip")
    train, test = archive.split("train"), archive.split("test")
    run = train_and_test(LeNet, train, [test], steps=4000)
    report_columns(report, run, ["cifar10: LeNet, 5,000 / 1,000 pictures"], [(75, 95)])
    for typical in (True, False):
        few, held_out = (
            draw("cifar10", count, seed, typical_backgrounds=typical)
            for count, seed in ((2000, 21), (1000, 22))
        )
        bare = [_background_only("cifar10", scenes, 32) for scenes in (few, held_out)]
        run = train_and_test(LeNet, bare[0], [bare[1]], steps=1000)
        kind = "typical backgrounds" if typical else "typical_backgrounds=False"
        bar = None if typical else (0, 20)
        report_columns(report, run, [f"cifar10: background only, {kind} (chance 10)"], [bar])


def _background_only(family: str, scenes: list[Scene], size: int) -> Pictures:
    remove = "remove_person" if family == "smoking" else "remove_object"
    bare = render_scenes([intervene(scene, remove) for scene in scenes], size, workers=1)
    return Pictures(bare.images, bare.labels, [{"scene": scene.to_dict()} for scene in scenes])


def vegetables(report: Report, archives: Path) -> None:
    """Train a small CNN from scratch; measure what the background alone gives away."""
    archive = Archive(archives / "vegetables.zip")
    train, test = archive.split("train"), archive.split("test")
    run = train_and_test(SmallCNN, train, [test], steps=400)
    report_columns(report, run, ["vegetables: small CNN, 600 / 240 pictures"], [(90, 100)])
    chance = 100 / len(classes("vegetables"))
    bare = [without_objects(part, 64, "remove_object") for part in (train, test)]
    run = train_and_test(SmallCNN, bare[0], [bare[1]], steps=300)
    what = f"vegetables: background only, 64 px (chance {chance:.0f})"
    report_columns(report, run, [what], [(chance - 10, chance + 10)])


def smoking(report: Report, archives: Path) -> None:
    """Train a small CNN from scratch with few pictures and with many; background alone."""
    archive = Archive(archives / "smoking.zip")
    train, test = archive.split("train"), archive.split("test")
    for count, steps in zip(FEW, (150, 200, 300, 600), strict=True):
        run = train_and_test(SmallCNN, balanced(train, count), [test], steps)
        report_columns(report, run, [f"smoking: small CNN from scratch, {count} pictures"])
    bare = [without_objects(part, 64, "remove_person") for part in (train, test)]
    run = train_and_test(SmallCNN, bare[0], [bare[1]], steps=300)
    report_columns(report, run, ["smoking: background only, 64 px (chance 50)"], [(40, 60)])


def transfer(report: Report, archives: Path) -> None:
    """Fit linear heads on the features of the bundled networks, for few pictures and for many."""
    archive = Archive(archives / "smoking.zip")
    for name in ("squeezenet1_1", "efficientnet_lite0"):
        _transfer(report, name, archive.split("train"), archive.split("test"))


def _transfer(report: Report, name: str, train: Pictures, test: Pictures, side: int = 224) -> None:
    known, unknown = features(name, train.images, side), features(name, test.images, side)
    pools = {"mean": slice(0, 1), "maximum": slice(1, 2), "mean + maximum": slice(0, 2)}
    for pool, part in pools.items():
        inputs, tests = torch.cat(known[part], 1), torch.cat(unknown[part], 1)
        for count in FEW if pool == "mean + maximum" else FEW[-1:]:
            chosen = _indices_of(train, balanced(train, count))

            def run(seed: int, chosen: Tensor = chosen, inputs: Tensor = inputs) -> float:
                predict = linear_head(inputs[chosen], train.labels[chosen], seed)
                found = predict(tests).numpy()  # noqa: B023 - used at once
                return float((found == test.labels).mean())

            best = name == "squeezenet1_1" and pool == "mean + maximum" and count == FEW[-1]
            what = f"smoking: {name}, {pool}, linear head, {count} pictures"
            report.repeat(what, run, (88, 100) if best else None)


def _indices_of(all_pictures: Pictures, some: Pictures) -> Tensor:
    place = {record["file"]: index for index, record in enumerate(all_pictures.records)}
    return torch.tensor([place[record["file"]] for record in some.records])


def shortcuts(report: Report, archives: Path) -> None:
    """Measure accuracy with the cue intact, absent and reversed, on the same objects."""
    bars = {
        "vegetables_shortcut": [(90, 100), None, (0, 60)],
        "smoking_shortcut": [(88, 100), (0, 80), (0, 50)],
    }
    for name, limits in bars.items():
        archive = Archive(archives / f"{name}.zip")
        tests = [
            archive.split("test"),
            archive.intervention("cue_absent"),
            archive.intervention("cue_reversed"),
        ]
        run = train_and_test(SmallCNN, archive.split("train"), tests, steps=400)
        whats = [f"{name}: small CNN, cue {cue}" for cue in ("intact", "absent", "reversed")]
        report_columns(report, run, whats, limits)


SETS = {
    "cifar10": cifar10,
    "vegetables": vegetables,
    "smoking": smoking,
    "transfer": transfer,
    "shortcuts": shortcuts,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archives", type=Path, default=ARCHIVES, help="folder of the archives")
    parser.add_argument("--only", help=f"comma-separated: {', '.join(SETS)}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--to", type=Path, default=REPORT, help="JSON file for the figures")
    chosen = parser.parse_args(arguments)
    names = chosen.only.split(",") if chosen.only else list(SETS)
    if unknown := set(names) - set(SETS):
        parser.error(f"no set {sorted(unknown)}: there are {', '.join(SETS)}")
    report = Report(chosen.seeds)
    started = time.perf_counter()
    for name in names:
        SETS[name](report, chosen.archives)
    chosen.to.parent.mkdir(parents=True, exist_ok=True)
    chosen.to.write_text(json.dumps(report.rows, indent=1) + "\n", encoding="utf-8")
    print(f"{time.perf_counter() - started:.0f} s; figures in {chosen.to}")


if __name__ == "__main__":
    main()
