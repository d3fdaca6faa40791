"""Networks of the scoreboard: their shape, and how they are loaded. `train` makes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

import course_utils as cu

from .parts import SIZE

#: The class whose pictures carry the tag in the shortcut regime.
TAGGED = "horse"
WIDTHS = (16, 32, 64, 128)
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
    path = cu.assets.course_file("checkpoints") / f"{name}.safetensors"
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    if digest is None or digest != digests().get(name):
        known = ", ".join(digests())
        raise RuntimeError(f"{path} is missing or changed; the course comes with {known}")
    with safe_open(path, framework="pt") as file:
        details = json.loads(file.metadata()["course"])
        state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    return details, state


def digest_file() -> Path:
    """Return the file with the SHA-256 of every network that comes with the course."""
    return cu.assets.course_file("checkpoints") / "small_networks.json"


def digests() -> dict[str, str]:
    """Read the SHA-256 by name."""
    return json.loads(digest_file().read_text()) if digest_file().is_file() else {}


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
