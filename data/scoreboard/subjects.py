"""The networks of the scoreboard, ready to be explained, and the truth about them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

import course_utils as cu
from course_utils.evaluation import shapley_values

from .methods import Differences, Task
from .networks import load_head, load_small, to_inputs
from .parts import Game

#: Parts that cover less of the picture are in the game but are not ranked.
MIN_AREA = 0.004
BUNDLED = ("squeezenet1_1", "efficientnet_lite0")


@dataclass(frozen=True)
class Subject:
    """A network to be explained.

    Attributes
    ----------
    family, regime, seed : str, str, int
        ``animals complete 0``; the regime of a bundled network is its name.
    model : nn.Module
        From pictures to differences of logits.
    layer : nn.Module
        Last maps before they are averaged.
    mean, std : tuple of float
        Normalisation; 0 is the family's grey.
    classes : int
    lrp : bool
        Whether LRP is defined.
    """

    family: str
    regime: str
    seed: int
    model: Differences
    layer: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int
    lrp: bool

    @property
    def name(self) -> str:
        """The three words that name it."""
        return f"{self.family} {self.regime} {self.seed}"

    def inputs(self, pictures: np.ndarray) -> Tensor:
        """Normalise bytes (N, H, W, 3)."""
        return to_inputs(pictures, self.mean, self.std)

    @torch.no_grad()
    def targets(self, pictures: np.ndarray, labels: Sequence[int]) -> Tensor:
        """Say which difference to explain: the class minus its strongest rival, (N,)."""
        logits = self.model.network(self.inputs(pictures))
        chosen = torch.as_tensor(list(labels))
        rivals = logits.scatter(1, chosen[:, None], -torch.inf).argmax(1)
        return chosen * self.classes + rivals

    @torch.no_grad()
    def values(self, pictures: np.ndarray, target: int) -> np.ndarray:
        """Return the explained score of pictures of one scene, (N,)."""
        parts = [
            self.model(self.inputs(pictures[start : start + 64]))[:, target]
            for start in range(0, len(pictures), 64)
        ]
        return torch.cat(parts).double().numpy()

    def task(self, games: Sequence[Game]) -> Task:
        """Return the whole scenes as a task for methods."""
        pictures = np.stack([game.picture for game in games])
        black, white = self.inputs(np.array([[[[0] * 3, [255] * 3]]], np.uint8))[0].unbind(-1)
        return Task(
            self.model,
            self.inputs(pictures),
            self.targets(pictures, [game.label for game in games]),
            pictures,
            self.layer,
            black[:, :, None],
            white[:, :, None],
            self.lrp,
        )


def load_subject(family: str, regime: str = "complete", seed: int = 0) -> Subject:
    """Load a small network, or a bundled one with a head for this family."""
    if regime not in BUNDLED:
        small = load_small(family, regime, seed)
        outputs = len(small.details["classes"])
        return subject_of(small.model, outputs, family, regime, seed, small.mean, small.std)
    model, mean, std, outputs = load_head(family, regime)
    layer = model.get_submodule("backbone." + cu.load_network(regime).layers.grad_cam)
    model = Differences(model, outputs)
    lrp = regime == "squeezenet1_1"
    return Subject(family, regime, seed, model, layer, mean, std, outputs, lrp)


def subject_of(
    network: nn.Module,
    outputs: int,
    family: str,
    regime: str,
    seed: int,
    mean: Sequence[float],
    std: Sequence[float],
) -> Subject:
    """Make a subject of a small network, trained or not."""
    layer = [part for part in network.modules() if isinstance(part, nn.ReLU)][-1]
    model = Differences(network, outputs)
    return Subject(family, regime, seed, model, layer, tuple(mean), tuple(std), outputs, True)


@dataclass(frozen=True)
class Truth:
    """What is known about one network and one scene.

    Attributes
    ----------
    values : ndarray (2**n,)
        Score of every subset of the parts, rendered.
    covered : ndarray (2**n,)
        The same with grey over what is lacking.
    """

    values: np.ndarray
    covered: np.ndarray

    @property
    def plays(self) -> np.ndarray:
        """Shapley values (n,) with the background as a player."""
        return shapley_values(self.values)

    @property
    def stays(self) -> np.ndarray:
        """Shapley values (n,) where the background is always there; its own is NaN."""
        return np.append(shapley_values(self.values[len(self.values) // 2 :]), np.nan)

    @property
    def removed(self) -> np.ndarray:
        """By how much the score falls when a part is taken out of the whole scene, (n,)."""
        return _one_less(self.values)

    @property
    def removed_covered(self) -> np.ndarray:
        """The same when the part is covered with grey."""
        return _one_less(self.covered)


def _one_less(values: np.ndarray) -> np.ndarray:
    players = len(values).bit_length() - 1
    return values[-1] - values[len(values) - 1 - (1 << np.arange(players))]


def find_truth(subject: Subject, game: Game, target: int, *, covered: bool = True) -> Truth:
    """Run the network on every subset of a scene's parts."""
    values = subject.values(game.pictures, target)
    return Truth(values, subject.values(game.covered(), target) if covered else values)


def explained_share(values: np.ndarray, order: int) -> float:
    """Say how much of a game single parts explain, or parts and their products.

    Parameters
    ----------
    values : ndarray (2**n,)
    order : int
        1: a sum of one number for each part; 2: also one for each pair; and so on.

    Returns
    -------
    float
        Share of the variance over all subsets that the best such sum explains.
    """
    players = len(values).bit_length() - 1
    inside = np.arange(len(values))[:, None] >> np.arange(players) & 1
    columns = [
        inside[:, list(chosen)].prod(axis=1)
        for count in range(order + 1)
        for chosen in itertools.combinations(range(players), count)
    ]
    table = np.stack(columns, axis=1)
    fitted = table @ np.linalg.lstsq(table, values, rcond=None)[0]
    return float(1 - (values - fitted).var() / values.var())


def part_sums(maps: np.ndarray, games: Sequence[Game]) -> list[np.ndarray]:
    """Add maps (N, H, W) up over the parts of each scene."""
    return [np.einsum("nhw,hw->n", game.masks, one) for game, one in zip(games, maps, strict=True)]


def visible(game: Game) -> np.ndarray:
    """Which parts are large enough to be ranked, bool (n,)."""
    return game.masks.mean((1, 2)) >= MIN_AREA
