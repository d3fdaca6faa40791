"""Training and the loop over pictures: ``python tests/benchmarks/bench_training.py [--quick]``.

What is compared takes turns, every other round backwards; figures are medians. Close other programs
first: only ratios travel between machines. The exit status is 1 if a bar fails.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import course_utils as cu
from course_scenes import render


def in_turns(rounds: int, **ways: Callable[[], float | None]) -> dict[str, float]:
    """Return the median seconds of each way; a way may return the seconds itself."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name in list(ways)[:: -1 if turn % 2 else 1]:
            start = time.perf_counter()
            own = ways[name]()
            if turn:  # the first is a warm-up
                seconds[name].append(own or time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def epoch(rounds: int) -> tuple[float, float, bool]:
    """Compare an epoch of the tutorial's network by `fit` with the bare loop."""
    data = [(torch.randn(64, 3, 32, 32), torch.randint(10, (64,))) for _ in range(60)]

    def bare_loop() -> None:
        model = cu.tutorial_cnn().train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for images, labels in data:
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()

    def by_fit() -> None:
        cu.fit(cu.tutorial_cnn(), data, epochs=1, device="cpu", progress=False)

    found = in_turns(rounds, fit=by_fit, bare=bare_loop)
    return found["fit"] / found["bare"], 1.05, False


def head(_rounds: int) -> tuple[float, float, bool]:
    """Compare three epochs of a head on kept features with three through the frozen backbone."""
    network = cu.load_network("efficientnet_lite0", verbose=False, device="cpu")
    rendering = render("vegetables", 180, 96, 0, workers=1, progress=False)
    pictures = torch.as_tensor(rendering.images).permute(0, 3, 1, 2).contiguous()
    pair = pictures, torch.as_tensor(rendering.labels)
    features = cu.extract_features(network, pair, progress=False)
    whole = nn.Sequential(cu.backbone_of(network), nn.Linear(1280, 3))
    scale = network.preprocess.mean, network.preprocess.std
    settings: dict[str, Any] = {"epochs": 3, "device": "cpu", "progress": False}
    found = in_turns(
        1,
        kept=lambda: cu.fit_head(*features, **settings) and None,
        through=lambda: cu.fit(whole, cu.batches(pair, normalize=scale), **settings) and None,
    )
    return found["through"] / found["kept"], 15, True


def style_transfer(rounds: int) -> tuple[float, float, bool]:
    """Compare an iteration on Gram matrices with the same losses written out."""
    network = cu.load_network("squeezenet1_1", verbose=False, device="cpu")
    layers, sequence = network.layers, network.model.features
    indices = {int(name.split(".")[-1]): name for name in (layers.content, *layers.style)}
    slice_ = sequence[: max(indices) + 1]
    content, style = (torch.randn(1, 3, 192, 192) for _ in range(2))

    def by_hand(x: Tensor) -> dict[str, Tensor]:
        found = {}
        for index, layer in enumerate(slice_):
            x = layer(x)
            if index in indices:
                found[indices[index]] = x
        return found

    def gram(maps: Tensor) -> Tensor:
        places = maps.movedim(1, -1).flatten(0, 2)
        return places.T @ places / places.numel()

    def objective(look: Callable[[Tensor], dict[str, Tensor]]) -> Callable[[Tensor], Tensor]:
        with torch.no_grad():
            wanted, grams = (
                look(content)[layers.content],
                {n: gram(v) for n, v in look(style).items()},
            )

        def loss(x: Tensor) -> Tensor:
            found = look(x)
            total = (found[layers.content] - wanted).square().mean()
            return total + sum((gram(found[n]) - grams[n]).square().sum() for n in layers.style)

        return loss

    ours = objective(cu.features_of(network, list(indices.values())))
    theirs, start = objective(by_hand), content.contiguous(memory_format=torch.channels_last)
    found = in_turns(
        rounds, ours=lambda: _iteration(ours, content), theirs=lambda: _pass(theirs, start)
    )
    return found["ours"] / found["theirs"], 1.25, False  # the guard takes a millisecond


def ascent(rounds: int) -> tuple[float, float, bool]:
    """Compare a step of ascent on a class score with one forward and backward pass."""
    network, picture = cu.load_network("squeezenet1_1", verbose=False), torch.randn(1, 3, 224, 224)
    start = picture.contiguous(memory_format=torch.channels_last)
    settings = {"minimize": False, "constrain": lambda x: x.clamp(-2, 2)}

    def score(x: Tensor) -> Tensor:
        return network.model(x)[:, 76]

    found = in_turns(
        rounds,
        step=lambda: _iteration(score, picture, **settings),
        plain=lambda: _pass(lambda x: score(x).sum(), start),
    )
    return found["step"] / found["plain"], 1.15, False


def _iteration(objective: Callable[[Tensor], Tensor], start: Tensor, **settings: Any) -> float:
    began = []
    cu.optimize(
        lambda x: began.append(time.perf_counter()) or objective(x), start, steps=8,
        progress=False, **settings,
    )  # fmt: skip
    return float(np.median(np.diff(began)))


def _pass(objective: Callable[[Tensor], Tensor], picture: Tensor) -> float:
    seconds = []
    for _ in range(8):
        leaf, start = picture.detach().requires_grad_(), time.perf_counter()
        torch.autograd.grad(objective(leaf), leaf)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    cu.runtime.tune_allocator()
    failed = False
    for measure in (epoch, head, style_transfer, ascent):
        ratio, limit, at_least = measure(2 if "--quick" in sys.argv else 7)
        holds = ratio >= limit if at_least else ratio <= limit
        failed |= not holds
        sign = "at least" if at_least else "at most"
        print(
            f"{'holds' if holds else 'FAILS'}: {ratio:6.2f} ({sign} {limit:g})  {measure.__doc__}"
        )
    sys.exit(failed)
