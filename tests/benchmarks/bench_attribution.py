"""Integrated gradients beside Captum: ``python tests/benchmarks/bench_attribution.py [--quick]``.

Each call runs in a process of its own, as a user has it the first time, and those that are compared
take turns (A B C A B C …). Figures are medians over the rounds; memory is the peak over what was
resident before the call. Close other programs first: only ratios travel between machines. The exit
status is 1 if a bar fails.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
INTERNAL_BATCH_SIZES = (4, 8, 16)
#: At 50 steps: at least so many times as fast as Captum's default, and as its best
#: internal_batch_size; at most this share of the default's memory.
BARS = {"efficientnet_lite0": (5.0, 1.5, 1 / 7), "squeezenet1_1": (None, 1.4, None)}
#: Peak memory at 300 and at 1,000 steps, over that at 50.
MEMORY_GROWTH = 1.1


def call(network: str, method: str, n_steps: int, batch: int | None) -> dict[str, float]:
    """Explain one photograph, cold; return seconds, peak MiB and the completeness error."""
    import psutil
    import torch
    from captum.attr import IntegratedGradients

    import course_utils as cu

    net = cu.load_network(network, verbose=False)
    image = net.preprocess(cu.load_photo("bull_mastiff"))
    with torch.no_grad():
        target = int(net.model(image).argmax())
    before = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    start = time.perf_counter()
    if method == "ours":
        _, delta = cu.integrated_gradients(
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
    peak = Path("/proc/self/status").read_text(encoding="ascii").split("VmHWM:")[1].split()[0]
    return {"s": seconds, "MiB": int(peak) / 1024 - before / 2**20, "delta": float(delta)}


def in_own_process(*arguments: Any) -> dict[str, float]:
    """Run `call` in a fresh interpreter; Captum's without this course's allocator settings."""
    finished = subprocess.run(
        [sys.executable, __file__, "--call", json.dumps(arguments)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'data'}"},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(finished.stdout.splitlines()[-1])


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
        print(f"  {name:34}{row['s']:8.2f} s{row['MiB']:8.0f} MiB   delta {row['delta']:+.3f}")
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
    parser.add_argument("--call", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call:
        print(json.dumps(call(*json.loads(options.call))))
        return 0
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", end="")
    results = []
    for network, (by_default, by_best, memory) in BARS.items():
        candidates = {"ours": ("ours", 50, None), "Captum": ("captum", 50, None)} | {
            f"Captum, internal_batch_size={size}": ("captum", 50, size)
            for size in INTERNAL_BATCH_SIZES
        }
        at_50 = compare(network, candidates, 1 if options.quick else 3)
        ours, default = at_50["ours"], at_50["Captum"]
        best = min(row["s"] for name, row in at_50.items() if "internal" in name)
        if by_default:
            results.append(check("x Captum", default["s"] / ours["s"], by_default, True))
        results.append(check("x Captum's best batch", best / ours["s"], by_best, True))
        if memory:
            results.append(check("of Captum's memory", ours["MiB"] / default["MiB"], memory, False))
        for n in (300,) if options.quick else (300, 1000):
            name, rounds = f"ours, {n} steps", 3 if n == 300 and not options.quick else 1
            row = compare(network, {name: ("ours", n, None)}, rounds)[name]
            growth = row["MiB"] / ours["MiB"]
            results.append(check(f"memory, {name} / 50", growth, MEMORY_GROWTH, False))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
