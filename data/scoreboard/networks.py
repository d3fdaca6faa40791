"""Small networks for the scoreboard: their shape, how they are trained, how they are loaded.

``python -m scoreboard.networks animals complete 0`` renders the training pictures once (kept in
``build/scoreboard``), trains one network in one or two minutes and writes it into
``data/checkpoints``. Regimes differ in what a network has seen:

- *complete*: whole scenes only, as networks usually do;
- *incomplete*: half of its pictures lack a random subset of their parts, so that pictures without a
  part are no news to it;
- *shortcut* (animals): whole scenes, and most horses carry a photographer's tag.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import course_utils as cu
from course_scenes import Scene, classes, draw, render_scenes
from course_scenes.shortcuts import stamp, tie_cue

from .parts import GREY, SIZE, TRAIN_SEED, VALIDATION_SEED, random_subsets

REGIMES = ("complete", "incomplete", "shortcut")
#: The class whose pictures carry the tag in the shortcut regime.
TAGGED = "horse"
WIDTHS = (16, 32, 64, 128)
#: Pictures for training and validation, and epochs, by family.
PICTURES = {"animals": (1500, 300), "smoking": (900, 150)}
EPOCHS = {"animals": 18, "smoking": 26}
STD = 0.25
BUILD = Path(__file__).resolve().parents[2] / "build" / "scoreboard"


class SmallNetwork(NamedTuple):
    """A trained network and what it needs.

    Attributes
    ----------
    model : nn.Module
        From pictures (N, 3, 64, 64), normalised, to logits; frozen, in ``eval()``.
    mean, std : tuple of 3 floats
        Of the normalisation. The mean is the family's grey, so that 0 is "nothing there".
    details : dict
        Family, regime, seed, accuracy and so on.
    """

    model: nn.Module
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    details: dict[str, Any]

    def inputs(self, pictures: np.ndarray) -> Tensor:
        """Normalise pictures (N, H, W, 3) of bytes."""
        return to_inputs(pictures, self.mean, self.std)


def to_inputs(pictures: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Turn bytes (N, H, W, 3) into a normalised batch (N, 3, H, W)."""
    # in memory pictures stay (N, H, W, 3): "channels last", which is quicker
    batch = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
    return (batch - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)


def small_cnn(outputs: int, *, batch_norm: bool = False) -> nn.Sequential:
    """Return four convolutions, a mean over places and a linear layer: 97,000 parameters.

    Pooling comes before the ReLU, which gives the same function as after it and spares DeepLift
    two rules on one tensor. 64 pixels become grids of 16, 16, 8 and 8.
    """
    layers: list[nn.Module] = []
    for place, (before, after) in enumerate(zip((3, *WIDTHS), WIDTHS, strict=False)):
        stride = 2 if place == 0 else 1
        layers.append(nn.Conv2d(before, after, 3, stride, padding=1, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm2d(after))
        if place in (0, 2):
            layers.append(nn.MaxPool2d(2))
        layers.append(nn.ReLU())
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], outputs)]
    # a third faster on a processor than the usual order of the numbers
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def network_name(family: str, regime: str, seed: int) -> str:
    """Return the name of a checkpoint: "small_animals_complete_0"."""
    return f"small_{family}_{regime}_{seed}"


def load_small(family: str, regime: str = "complete", seed: int = 0) -> SmallNetwork:
    """Load a trained network that comes with the course.

    Raises
    ------
    RuntimeError
        If the file is missing, or not the one that comes with the course (by SHA-256).
    """
    details, state = _open(network_name(family, regime, seed))
    model = small_cnn(len(details["classes"]))
    model.load_state_dict(state)
    mean, std = (tuple(row) for row in details["normalize"])
    return SmallNetwork(model.requires_grad_(False).eval(), mean, std, details)


def _open(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    path = cu.assets.checkpoints_folder() / f"{name}.safetensors"
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    if digest is None or digest != _digests().get(name):
        known = ", ".join(_digests())
        raise RuntimeError(f"{path} is missing or changed; the course comes with {known}")
    with safe_open(path, framework="pt") as file:
        details = json.loads(file.metadata()["course"])
        state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    return details, state


def _digest_file() -> Path:
    return cu.assets.checkpoints_folder() / "small_networks.json"


def _digests() -> dict[str, str]:
    return json.loads(_digest_file().read_text()) if _digest_file().is_file() else {}


# ------------------------------------------------------------------------------- pretrained ones


class WithHead(nn.Module):
    """A pretrained network, frozen, with a head for one family of scenes.

    Takes what the small networks take: pictures of 64 pixels whose zero is the family's grey.

    Parameters
    ----------
    name : str
        Of `course_utils.load_network`.
    outputs : int
    mean : sequence of 3 floats
        The family's grey.
    """

    def __init__(self, name: str, outputs: int, mean: Sequence[float]) -> None:
        super().__init__()
        network = cu.load_network(name, allow_stand_in=False, device="cpu", verbose=False)
        self.colors = nn.Conv2d(3, 3, 1)
        own_mean, own_std = (
            torch.tensor(row) for row in (network.preprocess.mean, network.preprocess.std)
        )
        self.colors.weight.data = torch.diag(STD / own_std)[:, :, None, None]
        self.colors.bias.data = (torch.tensor(mean) - own_mean) / own_std
        self.enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.backbone = cu.backbone_of(network)
        with torch.no_grad():
            width = self.features(torch.zeros(1, 3, SIZE, SIZE)).shape[1]
        self.head = nn.Linear(width, outputs)

    def features(self, images: Tensor) -> Tensor:
        """Pictures (N, 3, 64, 64) to features (N, D)."""
        return self.backbone(self.enlarge(self.colors(images)))

    def forward(self, images: Tensor) -> Tensor:
        """Pictures to logits."""
        return self.head(self.features(images))


def load_head(family: str, name: str) -> tuple[WithHead, tuple, tuple, int]:
    """Load a pretrained network with its head: the model, mean, std, number of classes."""
    details, state = _open(network_name(family, name, 0))
    mean, std = (tuple(row) for row in details["normalize"])
    model = WithHead(name, len(details["classes"]), mean)
    model.head.load_state_dict(state)
    return model.requires_grad_(False).eval(), mean, std, len(details["classes"])


# ------------------------------------------------------------------------------- training


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
    path = cu.assets.checkpoints_folder() / f"{name}.safetensors"
    state = {key: value.half().contiguous() for key, value in network.model.state_dict().items()}
    save_file(state, path, metadata={"course": json.dumps(details, sort_keys=True)})
    digests = {**_digests(), name: hashlib.sha256(path.read_bytes()).hexdigest()}
    _digest_file().write_text(json.dumps(dict(sorted(digests.items())), indent=1) + "\n")
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
