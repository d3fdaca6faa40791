"""Speed of the scene renderer: ``python tests/benchmarks/bench_scenes.py [--quick]``.

For each family and size the pictures that one process renders in a second, and how long a widget
waits for one changed scene at 128 pixels. The exit status is 1 if a bar fails.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping
from typing import Any

import course_scenes as scenes

SIZES = (32, 96, 128, 224)
#: Pictures to render at each size: enough to fill batches as a data set does.
COUNTS: Mapping[int, int] = {32: 120, 96: 30, 128: 20, 224: 10}
#: One change of each family, as a widget makes it.
CHANGES: Mapping[str, tuple[int, str, Mapping[str, Any]]] = {
    "vegetables": (1, "remove_calyx", {}),
    "smoking": (1, "hold", {"object": "pen"}),
    "cifar10": (7, "color", {}),
}
#: A change in a widget feels immediate up to here, in seconds.
PATIENCE_SECONDS = 0.5


def measure(family: str, rounds: int) -> dict[str, Any]:
    """Time one family in this process, after one picture of each class to warm up.

    Returns
    -------
    dict
        ``family``; ``per_second``: pictures per second, by size; ``change_seconds``: what one
        changed scene takes at 128 px, the median over `rounds`.
    """
    scenes.render(family, len(scenes.classes(family)), 32, workers=1, progress=False)
    per_second = {str(size): _pictures_per_second(family, size) for size in SIZES}
    changes = [_change_seconds(family, seed) for seed in range(rounds)]
    change_seconds = statistics.median(changes)
    return {"family": family, "per_second": per_second, "change_seconds": change_seconds}


def _pictures_per_second(family: str, size: int) -> float:
    drawn = scenes.draw(family, COUNTS[size], 0)
    start = time.perf_counter()
    scenes.render_scenes(drawn, size, workers=1, progress=False)
    return len(drawn) / (time.perf_counter() - start)


def _change_seconds(family: str, seed: int) -> float:
    label, intervention, options = CHANGES[family]
    (scene,) = scenes.draw(family, 1, seed, labels=[label])
    start = time.perf_counter()
    changed = scenes.intervene(scene, intervention, **options)
    scenes.render_scenes([changed], 128, workers=1, progress=False)
    return time.perf_counter() - start


if __name__ == "__main__":
    failed = False
    for family in CHANGES:
        found = measure(family, rounds=1 if "--quick" in sys.argv else 5)
        speeds = "  ".join(f"{size} px {n:.1f}/s" for size, n in found["per_second"].items())
        holds = found["change_seconds"] <= PATIENCE_SECONDS
        failed |= not holds
        print(f"{family:12} {speeds}")
        verdict = "holds" if holds else "FAILS"
        print(f"  {verdict}  one change, in seconds: {found['change_seconds']:.2f} (≤ 0.5)")
    sys.exit(failed)
