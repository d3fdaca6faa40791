"""What an iteration of `cu.optimize` costs beside one plain forward and backward pass.

For ``python tools/bench.py --only optimization``, or alone for one round:

* style transfer on SqueezeNet, beside the same losses written out on a slice of the network, beside
  a pass through that slice without them, and beside one through the whole network;
* the same on VGG19 (random weights cost as much as trained ones), where the convolutions outweigh
  the Gram matrices;
* ascent on a class score, as in fooling images and class visualization, beside a plain pass.

A plain pass is taken in the faster of the two memory layouts.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

import course_utils as cu
from course_utils.networks import NETWORKS, Layers

NETWORK, STYLE_SIZE, ASCENT_SIZE, TARGET, STEPS = "squeezenet1_1", 192, 224, 76, 8


def measure_style(rounds: int) -> dict[str, float]:
    """Seconds of one iteration of style transfer on SqueezeNet, and of plain passes."""
    network = _network()
    found = _style(network.model.features, network.layers, rounds)
    whole = _plain(lambda x: network.model(x).square().mean(), _picture(0))
    return {**found, "whole network": min(_in_turns(whole, 1).values())}


def measure_style_vgg19(rounds: int) -> dict[str, float]:
    """Return the same of VGG19, of which only the convolutions are built."""
    import torchvision

    with torch.device("meta"):  # the classifier alone would be half a gigabyte
        features = torchvision.models.vgg19(weights=None).features
    features.to_empty(device="cpu")
    for parameter in features.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return _style(features.eval(), NETWORKS["vgg19"].layers, rounds)


def _style(sequence: nn.Sequential, layers: Layers, rounds: int) -> dict[str, float]:
    names = [layers.content, *layers.style]
    indices = {int(name.split(".")[-1]): name for name in names}
    slice_ = sequence[: max(indices) + 1]
    content, style = _picture(0), _picture(1)

    def by_hand(x: Tensor) -> dict[str, Tensor]:
        found = {}
        for index, layer in enumerate(slice_):
            x = layer(x)
            if index in indices:
                found[indices[index]] = x
        return found

    model = nn.Module()
    model.features = sequence
    model.forward = lambda x: model.features(x)
    extract = cu.features_of(model, names)
    objective = style_objective(extract, layers, content, style)
    written_out = style_objective(by_hand, layers, *(_channels_last(x) for x in (content, style)))
    ways = {
        "style transfer": lambda: _iteration(objective, content),
        "same losses by hand": lambda: _pass(written_out, _channels_last(content)),
        **_plain(lambda x: slice_(x).square().mean(), content),
    }
    return _in_turns(ways, rounds)


def measure_ascent(rounds: int) -> dict[str, float]:
    """Seconds of one step of ascent on a class score, and of one pass through the network."""
    network, picture = _network(), _picture(0, ASCENT_SIZE)

    def score(x: Tensor) -> Tensor:
        return network.model(x)[:, TARGET]

    def ascend() -> float:
        return _iteration(
            score,
            picture,
            minimize=False,
            constrain=lambda x: x.clamp(-2, 2),
            gradient=lambda g: g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1),
        )

    return _in_turns({"ascent": ascend, **_plain(lambda x: score(x).sum(), picture)}, rounds)


def style_objective(
    features: Callable[[Tensor], dict[str, Tensor]], layers: Layers, content: Tensor, style: Tensor
) -> Callable[[Tensor], Tensor]:
    """Content loss, style losses and total variation, as lesson 08 writes them."""
    with torch.no_grad():
        wanted = features(content)[layers.content]
        given = features(style)
        grams = {name: gram(given[name]) for name in layers.style}

    def objective(x: Tensor) -> Tensor:
        found = features(x)
        total = (found[layers.content] - wanted).square().mean()
        for name, target in grams.items():
            total = total + (gram(found[name]) - target).square().sum()
        rows, columns = x.diff(dim=-2), x.diff(dim=-1)
        return total + rows.square().sum() + columns.square().sum()

    return objective


def gram(features: Tensor) -> Tensor:
    """Products of all pairs of channels (C, C) of one picture, averaged over places."""
    places = features.movedim(1, -1).flatten(0, 2)
    return places.T @ places / places.numel()


# --- timing -----------------------------------------------------------------------------------


def _network() -> cu.Network:
    return cu.load_network(NETWORK, verbose=False, device="cpu")


def _picture(seed: int, size: int = STYLE_SIZE) -> Tensor:
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(seed))


def _iteration(objective: Callable[[Tensor], Tensor], start: Tensor, **settings: object) -> float:
    """Return the median time between two evaluations of the loop's own record."""
    found = cu.optimize(objective, start, steps=STEPS, progress=False, **settings)
    return float(np.median(np.diff(found.seconds)))


def _plain(run: Callable[[Tensor], Tensor], picture: Tensor) -> dict[str, Callable[[], float]]:
    return {
        "plain pass, contiguous": lambda: _pass(run, picture),
        "plain pass, channels-last": lambda: _pass(run, _channels_last(picture)),
    }


def _channels_last(picture: Tensor) -> Tensor:
    return picture.contiguous(memory_format=torch.channels_last)


def _pass(run: Callable[[Tensor], Tensor], picture: Tensor) -> float:
    """Return the median time of forward and backward."""
    seconds = []
    for _ in range(STEPS):
        leaf = picture.detach().requires_grad_()
        start = time.perf_counter()
        torch.autograd.grad(run(leaf), leaf)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _in_turns(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return the median over rounds; every other one goes backwards, the first is a warm-up."""
    cu.tune_allocator()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in list(ways.items())[:: -1 if turn % 2 else 1]:
            seconds = way()
            if turn:
                found[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


MEASURES: Mapping[str, Callable[[int], dict[str, float]]] = {
    "style": measure_style,
    "style vgg19": measure_style_vgg19,
    "ascent": measure_ascent,
}

if __name__ == "__main__":
    for measured, measure in MEASURES.items():
        print(measured, json.dumps(measure(1)))
