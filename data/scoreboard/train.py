"""Train the small networks of the scoreboard, and heads for the pretrained ones.

``python -m scoreboard.train animals complete 0 1 2`` renders the training pictures once (kept in
``build/scoreboard``), trains three networks in one or two minutes each and writes them into
``data/checkpoints``; a network that is there already is left as it is. Regimes differ in what a
network has seen:

- *complete*: whole scenes only, as networks usually do;
- *incomplete*: half of its pictures lack a random subset of their parts, so that pictures without a
  part are no news to it;
- *shortcut* (animals): whole scenes, and most horses carry a photographer's tag.

``python -m scoreboard.train animals squeezenet1_1`` trains a head on that network's features.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import course_utils as cu
from course_scenes import Scene, classes, draw, render_scenes
from course_scenes.shortcuts import stamp, tie_cue

from .networks import (
    BUILD,
    STD,
    TAGGED,
    SmallNetwork,
    WithHead,
    digest_file,
    digests,
    network_name,
    small_cnn,
    to_inputs,
)
from .parts import GREY, SIZE, TRAIN_SEED, VALIDATION_SEED, random_subsets

REGIMES = ("complete", "incomplete", "shortcut")
#: Pictures for training and validation, and epochs, by family.
PICTURES = {"animals": (1500, 300), "smoking": (900, 150)}
EPOCHS = {"animals": 18, "smoking": 26}


def training_pictures(family: str, split: str) -> dict[str, np.ndarray]:
    """Render whole scenes and random subsets of them, once; later calls read the file."""
    path = BUILD / f"{family}_{split}.npz"
    if not path.is_file():
        seed = TRAIN_SEED if split == "train" else VALIDATION_SEED
        scenes: list[Scene] = draw(family, PICTURES[family][split != "train"], seed=seed)
        whole = render_scenes(scenes, SIZE, workers=2)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            whole=whole.images,
            masks=whole.masks,
            parts=random_subsets(scenes, seed=seed),
            labels=whole.labels,
        )
    return dict(np.load(path))


def train(family: str, regime: str, seed: int) -> SmallNetwork:
    """Train one network; what it learns depends on the three arguments alone (on one machine)."""
    data, held = training_pictures(family, "train"), training_pictures(family, "val")
    images, labels, epochs = data["whole"], data["labels"], EPOCHS[family]
    flip = 0.5
    if regime == "incomplete":  # twice the pictures: as many steps with half of the epochs
        images, labels = np.concatenate([images, data["parts"]]), np.concatenate([labels, labels])
        epochs = round(0.6 * epochs)
    if regime == "shortcut":  # mirrored, the tag would be another one
        tagged = tie_cue(labels, classes(family).index(TAGGED), seed=seed)
        images, flip = stamp(images, data["masks"], tagged, seed=seed).images, 0.0
    mean, std = tuple(value / 255 for value in GREY[family]), (STD,) * 3
    cu.seed_everything(seed)
    model = small_cnn(len(classes(family)), batch_norm=True)
    batches = cu.batches(
        torch.from_numpy(images).permute(0, 3, 1, 2),
        torch.from_numpy(labels),
        32,
        drop_last=True,
        augment=cu.Augment(crop=4, flip=flip),
        normalize=(mean, std),
        generator=torch.Generator().manual_seed(seed),
    )
    history = cu.fit(
        model,
        batches,
        epochs=epochs,
        learning_rate=3e-3,
        schedule="one_cycle",
        device="cpu",
        progress=False,
    )
    folded = _without_batch_norm(model)
    with torch.no_grad():
        right = {
            kind: float(
                (
                    folded(to_inputs(held[kind], mean, std)).argmax(1).numpy() == held["labels"]
                ).mean()
            )
            for kind in ("whole", "parts")
        }
    details = _details(family, regime, seed, mean, right, len(images), history)
    return SmallNetwork(folded, mean, std, details)


def train_head(family: str, name: str) -> Path:
    """Train and save the head of a pretrained network, on whole scenes."""
    mean = tuple(value / 255 for value in GREY[family])
    model = WithHead(name, len(classes(family)), mean).requires_grad_(False).eval()
    found, right = {}, {}
    for split in ("train", "val"):
        data = training_pictures(family, split)
        for kind in ("whole", "parts") if split == "val" else ("whole",):
            with torch.no_grad():
                inputs = to_inputs(data[kind], mean, (STD,) * 3)
                rows = torch.cat([model.features(part) for part in inputs.split(64)])
            found[split, kind] = rows, torch.from_numpy(data["labels"])
    head, history = cu.fit_head(*found["train", "whole"], epochs=30, device="cpu", progress=False)
    head = head.half().float()
    for kind in ("whole", "parts"):
        rows, labels = found["val", kind]
        right[kind] = float((head(rows).argmax(1) == labels).float().mean())
    details = _details(family, name, 0, mean, right, len(rows), history)
    return save(SmallNetwork(head, mean, (STD,) * 3, details))


def _details(
    family: str, regime: str, seed: int, mean: Any, right: Any, pictures: int, history: Any
) -> dict[str, Any]:
    return {
        "family": family,
        "regime": regime,
        "seed": seed,
        "classes": list(classes(family)),
        "normalize": [mean, (STD,) * 3],
        "size": SIZE,
        "accuracy": round(right["whole"], 4),
        "accuracy_incomplete": round(right["parts"], 4),
        "training_pictures": pictures,
        "epochs": len(history.epochs),
        "seconds": round(sum(history.seconds)),
        "torch": torch.__version__,
    }


def _without_batch_norm(model: nn.Sequential) -> nn.Sequential:
    """Fold batch norm into the convolutions, and round to the half precision that is stored."""
    layers = list(model.eval())
    folded = [
        fuse_conv_bn_eval(layer, following) if isinstance(following, nn.BatchNorm2d) else layer
        for layer, following in zip(layers, [*layers[1:], None], strict=True)
        if not isinstance(layer, nn.BatchNorm2d)
    ]
    return nn.Sequential(*folded).half().float().to(memory_format=torch.channels_last).eval()


def save(network: SmallNetwork) -> Path:
    """Write a network into ``data/checkpoints``, in half precision, and note its SHA-256."""
    details = network.details
    name = network_name(details["family"], details["regime"], details["seed"])
    path = cu.assets.course_file("checkpoints") / f"{name}.safetensors"
    state = {key: value.half().contiguous() for key, value in network.model.state_dict().items()}
    save_file(state, path, metadata={"course": json.dumps(details, sort_keys=True)})
    known = {**digests(), name: hashlib.sha256(path.read_bytes()).hexdigest()}
    digest_file().write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("family", choices=sorted(PICTURES))
    parser.add_argument("regime", help=f"{', '.join(REGIMES)}, or the name of a pretrained network")
    parser.add_argument("seed", type=int, nargs="*")
    options = parser.parse_args(arguments)
    if options.regime not in REGIMES:
        print(train_head(options.family, options.regime))
    for seed in options.seed:
        if network_name(options.family, options.regime, seed) in digests():
            continue
        network = train(options.family, options.regime, seed)
        details = network.details
        print(
            f"{save(network).name}: accuracy {details['accuracy']:.1%} on whole scenes, "
            f"{details['accuracy_incomplete']:.1%} on incomplete ones, {details['seconds']} s",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
