"""Train the checkpoint ``cifar10_tutorial_cnn`` on the real CIFAR-10.

``python data/train_cifar_cnn.py --folder cifar10_jpeg.zip`` takes about ten minutes
on one core. It can be cut into slices: with ``--minutes 2`` it stops after two minutes, and the
same command goes on where it stopped; order and augmentation are drawn by seed and epoch, so that
the slices change nothing. All 50,000 training pictures are used for a number of epochs fixed in
advance, and the test split is measured once, at the end. ``--hold-out 0.1`` keeps a tenth of the
training pictures aside, measures on those and writes no checkpoint: that is for choosing settings.

The printed SHA-256 belongs into ``course_utils/training.py``.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

import course_utils as cu
from course_utils.augmentation import Augment, Batches
from course_utils.datasets.images import ImageTensors
from course_utils.training import (
    evaluate,
    fit,
    one_cycle,
    tutorial_cnn,
)

NAME = "cifar10_tutorial_cnn"
ROOT = Path(__file__).resolve().parent.parent
#: The tutorial's normalisation: black becomes -1, white 1, and zero is mean grey.
NORMALIZE = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
BATCH_SIZE = 128


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module."""
    options = _parser().parse_args(arguments)
    cu.setup(data_source="real", seed=options.seed, device="cpu", verbose=False)
    splits = cu.load_dataset(
        "cifar10", "real", folder=options.folder, validation=options.hold_out, verbose=False
    )
    train = splits.train.to_tensors()
    epoch = _train(options, train)
    if epoch < options.epochs:
        print(f"epoch {epoch} of {options.epochs}: run the same command again to go on")
        return 3
    model = tutorial_cnn()
    model.load_state_dict(_open_state(options.state)["model"])
    measured = splits.val if options.hold_out else splits.test
    batches = cu.batches(measured.to_tensors(), 500, shuffle=False, normalize=NORMALIZE)
    found = evaluate(model, batches, splits.classes)
    print(found)
    if not options.hold_out:
        _save(options, model, splits.classes, len(train.labels), found)
    return 0


def _train(options: argparse.Namespace, train: ImageTensors) -> int:
    """Go on with the training until it is done or time is up; return the epochs done."""
    torch.manual_seed(options.seed)
    model = tutorial_cnn()
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=options.learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=options.weight_decay,
    )
    epoch, start = 0, time.monotonic()
    if options.state.exists():
        state = _open_state(options.state)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        epoch = state["epoch"]
    while epoch < options.epochs and time.monotonic() - start < 60 * options.minutes:
        history = fit(
            model,
            _batches(train, options, epoch),
            epochs=1,
            optimizer=optimizer,
            schedule=functools.partial(_part_of_schedule, epoch=epoch, epochs=options.epochs),
            progress=False,
        )
        if history.interrupted:
            break
        epoch += 1
        print(f"epoch {epoch}: {history}, loss {history.train_loss[-1]:.3f}", flush=True)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
    options.state.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, options.state)
    return epoch


def _part_of_schedule(done: float, epoch: int, epochs: int) -> float:
    """Return the factor for one epoch of many, `done` being how much of that one is done."""
    return one_cycle((epoch + done) / epochs)


def _batches(train: ImageTensors, options: argparse.Namespace, epoch: int) -> Batches:
    """Return an epoch's batches, drawn by seed and epoch alone."""
    generator = torch.Generator().manual_seed(1000 * options.seed + epoch)
    return cu.batches(
        train,
        BATCH_SIZE,
        augment=Augment(crop=options.crop, flip=0.5),
        normalize=NORMALIZE,
        generator=generator,
        drop_last=True,
    )


def _open_state(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def _save(
    options: argparse.Namespace,
    model: torch.nn.Module,
    classes: Sequence[str],
    pictures: int,
    found: cu.training.Evaluation,
) -> None:
    record = {
        "classes": list(classes),
        "normalize": NORMALIZE,
        "size": 32,
        "accuracy": found.accuracy,
        "interval": list(found.interval),
        "per_class_recall": found.report.recall[:-1].round(4).tolist(),
        "data": "CIFAR-10 (Krizhevsky 2009), 10,000 test pictures",
        "copy": options.folder.name if options.folder else "cifar-10-python.tar.gz",
        "training_pictures": pictures,
        "epochs": options.epochs,
        "seed": options.seed,
        "optimizer": f"SGD, Nesterov momentum 0.9, weight decay {options.weight_decay:g}",
        "learning_rate": options.learning_rate,
        "schedule": "one_cycle",
        "batch_size": BATCH_SIZE,
        "augmentation": f"crop {options.crop}, flip 0.5",
        "torch": torch.__version__,
    }
    path = cu.assets.course_file("checkpoints") / f"{NAME}.safetensors"
    tensors = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, path, metadata={"course": json.dumps(record, sort_keys=True)})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"written to {path}, {path.stat().st_size:,} bytes, SHA-256\n{digest}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="CIFAR-10: a folder or an archive")
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--weight-decay", type=float, default=2e-4)
    parser.add_argument("--crop", type=int, default=2, help="shift by up to so many pixels")
    parser.add_argument("--hold-out", type=float, default=0.0, help="share kept for validation")
    parser.add_argument(
        "--state", type=Path, default=ROOT / "build" / f"{NAME}.pt", help="where slices are kept"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
