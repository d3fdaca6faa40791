"""Integrated gradients beside Captum: ``python tests/benchmarks/bench_attribution.py [--quick]``.

Each call runs in a process of its own, as a user has it the first time: forked from this one, which
has imported everything and computed nothing. Those that are compared take turns (A B C A B C …).
Figures are medians over the rounds; memory is the peak over what was resident before the call. The
kernel's part of the seconds (on all cores) is what fresh memory costs; Captum's default takes most
of it, so that ratio moves with the price of a page, which differs between machines and hours. Close
other programs first: only ratios travel between machines. The exit status is 1 if a bar fails.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from captum.attr import IntegratedGradients

import course_utils as cu
from course_utils.attribution import integrated_gradients

#: 16 and more take longer than 8 on both networks, and more memory.
INTERNAL_BATCH_SIZES = (4, 8)
#: At 50 steps: at least so many times as fast as Captum's default, and as its best
#: internal_batch_size; at most this share of the default's memory.
BARS = {"efficientnet_lite0": (5.0, 1.5, 1 / 7), "squeezenet1_1": (None, 1.4, None)}
#: Peak memory at 300 and at 1,000 steps, over that at 50.
MEMORY_GROWTH = 1.1


def call(network: str, method: str, n_steps: int, batch: int | None) -> dict[str, float]:
    """Explain one photograph, cold; return seconds, peak MiB and the completeness error."""
    net = cu.load_network(network, verbose=False)
    image = net.preprocess(cu.load_photo("bull_mastiff"))
    with torch.no_grad():
        target = int(net.model(image).argmax())
    before = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    in_kernel, start = resource.getrusage(resource.RUSAGE_SELF).ru_stime, time.perf_counter()
    if method == "ours":
        _, delta = integrated_gradients(
            net.model, image, target, n_steps=n_steps, chunk_size=batch, progress=False
        )
    else:
        _, delta = IntegratedGradients(net.model).attribute(
            image,
            target=target,
            n_steps=n_steps,
            internal_batch_size=batch,
            return_convergence_delta=True,
        )
    seconds = time.perf_counter() - start
    in_kernel = resource.getrusage(resource.RUSAGE_SELF).ru_stime - in_kernel
    peak = Path("/proc/self/status").read_text(encoding="ascii").split("VmHWM:")[1].split()[0]
    mib = int(peak) / 1024 - before / 2**20
    return {"s": seconds, "kernel": in_kernel, "MiB": mib, "delta": float(delta)}


def in_own_process(*arguments: Any) -> dict[str, float]:
    """Run `call` in a process of its own; Captum's has not this course's allocator settings."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(call, arguments)


def compare(network: str, candidates: dict[str, tuple[Any, ...]], rounds: int) -> dict[str, Any]:
    """Measure the candidates in turns, print a table, return the medians of each."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, arguments in candidates.items():
            runs[name].append(in_own_process(network, *arguments))
    found = {
        name: {key: statistics.median(run[key] for run in repeated) for key in repeated[0]}
        for name, repeated in runs.items()
    }
    print(f"\n{network}, {rounds} rounds")
    for name, row in found.items():
        spent = f"{row['s']:7.2f} s, kernel {row['kernel']:5.2f} s"
        print(f"  {name:32}{spent}{row['MiB']:7.0f} MiB   delta {row['delta']:+.3f}")
    return found


def check(name: str, value: float, limit: float, at_least: bool) -> bool:
    """Print whether a bar holds."""
    holds = value >= limit if at_least else value <= limit
    sign = "≥" if at_least else "≤"
    print(f"  {'holds' if holds else 'FAILS'}  {name}: {value:.3g} ({sign} {limit:.3g})")
    return holds


def main() -> int:
    """Measure both bundled networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, and no 1,000 steps")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", end="")
    results = []
    for network, (by_default, by_best, memory) in BARS.items():
        sizes = (None, *INTERNAL_BATCH_SIZES) if by_default else INTERNAL_BATCH_SIZES
        candidates = {f"Captum, internal_batch_size={size}": ("captum", 50, size) for size in sizes}
        rounds = 1 if options.quick else 3 if by_default else 5  # the longer a call, the less noise
        at_50 = compare(network, {"ours": ("ours", 50, None)} | candidates, rounds)
        ours, *others = at_50.values()
        best = min(row["s"] for row in others)
        results.append(check("x Captum's best batch", best / ours["s"], by_best, True))
        if by_default:
            default = others[0]
            results.append(check("x Captum's default", default["s"] / ours["s"], by_default, True))
            results.append(check("of its memory", ours["MiB"] / default["MiB"], memory, False))
        for n in (300,) if options.quick else (300, 1000):
            name = f"ours, {n} steps"
            row = compare(network, {name: ("ours", n, None)}, rounds)[name]
            growth = row["MiB"] / ours["MiB"]
            results.append(check(f"memory, {name} / 50", growth, MEMORY_GROWTH, False))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
