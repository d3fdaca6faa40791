"""The batch pipeline beside bare attribution: ``bench_batch.py [--quick] [--long]``.

Speed: the bare method explains pictures that are opened already, all of PyTorch's threads at its
service; the pipeline opens the same pictures, predicts, explains, draws figures and writes all of
it to disk. Both take turns. Memory: the peak of a process that explains 100 pictures, and of one
that explains many more. The exit status is 1 if a bar fails.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: Throughput of the pipeline over that of bare attribution, with IG's 50 steps; peak memory of many
#: pictures over that of 100.
SPEED, MEMORY = 0.9, 1.1


def speed(method: str, count: int, rounds: int) -> list[tuple[float, float]]:
    """Seconds of bare attribution and of the pipeline, round by round."""
    import torch

    import course_utils as cu

    network = cu.load_network("squeezenet1_1", verbose=False)
    names = [cu.photo_names("imagenet")[i % 20] for i in range(count)]
    pictures = {f"{i} {name}": str(cu.photo(name).path) for i, name in enumerate(names)}
    images = network.preprocess(names)
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        with torch.no_grad():
            targets = network.model(images).argmax(1)
        cu.batch.METHODS[method](network, images, targets)
        bare = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as out:
            start = time.perf_counter()
            cu.batch.explain(pictures, network, out, method=method)
            found.append((bare, time.perf_counter() - start))
    return found


def memory(count: int) -> float:
    """Peak memory in MiB after `count` pictures, by Grad-CAM."""
    import resource

    import course_utils as cu

    names = cu.photo_names("imagenet")
    pictures = {f"{i}": str(cu.photo(names[i % 20]).path) for i in range(count)}
    with tempfile.TemporaryDirectory() as out:
        cu.batch.explain(pictures, "squeezenet1_1", out, method="gradcam")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(*arguments: Any) -> Any:
    """Run one measurement in a fresh interpreter."""
    finished = subprocess.run(
        [sys.executable, __file__, "--call", json.dumps(arguments)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'data'}", "TQDM_DISABLE": "1"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(finished.stdout.splitlines()[-1])


def main() -> int:
    """Measure speed with two methods, and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--long", action="store_true", help="memory of 10,000 pictures")
    parser.add_argument("--call", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call:
        name, *arguments = json.loads(options.call)
        print(json.dumps({"speed": speed, "memory": memory}[name](*arguments)))
        return 0
    holds = []
    for method, bar in (("ig", SPEED), ("gradcam", None)):
        # 40 pictures are two shards: a thread works on a shard at a time
        once = options.quick or method == "ig"
        rounds = in_own_process("speed", method, 40, 1 if once else 3)
        bare, whole = (statistics.median(seconds) for seconds in zip(*rounds, strict=True))
        ratio = statistics.median(bare / whole for bare, whole in rounds)
        line = f"{method:8} bare {bare:6.2f} s, pipeline {whole:6.2f} s: {ratio:.2f} of its speed"
        holds += [] if bar is None else [ratio >= bar]
        print(line + ("" if bar is None else f" (≥ {bar}): {'holds' if ratio >= bar else 'FAILS'}"))
    many = 10_000 if options.long else 1_000
    few, lots = in_own_process("memory", 100), in_own_process("memory", many)
    holds.append(lots <= MEMORY * few)
    verdict = "holds" if holds[-1] else "FAILS"
    print(f"peak memory: {few:.0f} MiB for 100 pictures, {lots:.0f} MiB for {many:,}: ", end="")
    print(f"{lots / few:.2f} times (≤ {MEMORY}): {verdict}")
    return 0 if all(holds) else 1


if __name__ == "__main__":
    sys.exit(main())
