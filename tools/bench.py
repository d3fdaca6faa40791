"""Speed and memory, side by side: ``python tools/bench.py [--quick] [--only gradcam,import,…]``.

Says which of the project's bars hold on this machine, and writes ``build/bench.json``. Integrated
gradients have a benchmark of their own, ``tests/benchmarks/bench_attribution.py``.
Whatever is compared takes turns (A B C A B C …), each in a process of its own where a user would
have it so; figures are medians. Close other programs first: only ratios travel from one machine to
another, and even they suffer where two programs fight for the same cores.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHILD = ROOT / "tools" / "bench_child.py"
# the parts lie beside this file, whether it runs as a script or as the module tools.bench
sys.path.insert(0, str(CHILD.parent))
REPORT = ROOT / "build" / "bench.json"
NETWORKS = ("efficientnet_lite0", "squeezenet1_1")


@dataclass
class Bar:
    """A promise of the project, and whether it holds here."""

    name: str
    measured: float
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the measured value is on the right side of the limit."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def __str__(self) -> str:
        """Return one line of the summary."""
        sign = "≥" if self.at_least else "≤"
        verdict = "holds" if self.holds else "FAILS"
        return f"{verdict}  {self.name}: {self.measured:.3g} ({sign} {self.limit:g})"


@dataclass
class Bench:
    """What was asked for, what came out."""

    quick: bool
    results: dict[str, Any]
    bars: list[Bar]

    def rounds(self, full: int) -> int:
        """Return how often to repeat something that deserves `full` repetitions."""
        return 1 if self.quick else full


def child(job: str, environment: dict[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
    """Run one measurement in a fresh process and return what it found."""
    settings = {"COURSE_DATA_SOURCE": "embedded", "TQDM_DISABLE": "1", **(environment or {})}
    finished = subprocess.run(
        [sys.executable, str(CHILD), job, json.dumps(arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise RuntimeError(f"{job} {arguments} failed:\n{finished.stderr[-2000:]}")
    return json.loads(finished.stdout.splitlines()[-1])


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a header, the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  " + "  ".join(cells))
    print()


# --- the rest --------------------------------------------------------------------------------


def bench_gradcam(bench: Bench) -> None:
    """Grad-CAM beside Captum's, each in its own process, warm."""
    ways = {
        "ours": ({"method": "ours"}, {}),
        "Captum": ({"method": "captum"}, {"COURSE_ALLOCATOR": "system"}),
        "Captum, tuned allocator": ({"method": "captum", "tuned": True}, {}),
    }
    rows = []
    for network in NETWORKS:
        runs: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(bench.rounds(3)):
            for name, (arguments, environment) in ways.items():
                found = child("grad_cam", environment, network=network, calls=20, **arguments)
                runs[name].append(found["seconds"])
        medians = {name: statistics.median(seconds) for name, seconds in runs.items()}
        bench.results[f"grad_cam {network}"] = medians
        rows += [
            [f"{network}, {name}", f"{1000 * value:.1f} ms", f"{value / medians['ours']:.2f} x"]
            for name, value in medians.items()
        ]
    print("Grad-CAM at the network's usual layer")
    table(["", "time", "/ ours"], rows)


def bench_import(bench: Bench) -> None:
    """Time of ``import course_utils`` beyond PyTorch's own."""
    runs = [child("import_cost") for _ in range(3 if bench.quick else 7)]
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    print("Import, in fresh processes")
    rows = [[name, f"{seconds:.3f} s"] for name, seconds in medians.items()]
    table(["", "time"], rows)
    bench.results["import"] = medians
    bench.bars.append(
        Bar("import course_utils beyond torch, in seconds", medians["course_utils"], 0.3)
    )


def bench_lessons(bench: Bench) -> None:
    """Time that ``make run`` takes per lesson; with --quick, what the last run took."""
    records = ROOT / "build" / "lessons.json"
    if not (bench.quick and records.exists()):
        profile = "fast" if bench.quick else "standard"
        command = [sys.executable, "-m", "tools.lessons", "run", "--profile", profile]
        subprocess.run(command, cwd=ROOT, check=False)
    lessons = json.loads(records.read_text(encoding="utf-8"))["lessons"]
    print("Lessons, executed as `make run` does")
    rows = [
        [lesson["name"], lesson["profile"], f"{lesson['seconds']:.0f} s", lesson["status"]]
        for lesson in lessons
    ]
    table(["", "profile", "time", "status"], rows)
    bench.results["lessons"] = {lesson["name"]: lesson["seconds"] for lesson in lessons}
    allowed = {"fast": 45, "standard": 120}
    bench.bars += [
        Bar(
            f"{lesson['name']}, profile {lesson['profile']}, in seconds",
            lesson["seconds"],
            allowed[lesson["profile"]],
        )
        for lesson in lessons
        if lesson["profile"] in allowed
    ]


def bench_scenes(bench: Bench) -> None:
    """Pictures per second of each family of scenes, and one change as a widget makes it."""
    bench_scenes = importlib.import_module("bench_scenes")
    found = [child("scenes", family=name, rounds=bench.rounds(3)) for name in bench_scenes.CHANGES]
    print("Scenes: pictures per second in one process, and one change as in a widget")
    header, *body = bench_scenes.rows(found)
    table(header, body)
    for measured in found:
        family = measured["family"]
        bench.results[f"scenes {family}"] = measured
        name = f"{family}: one changed scene at 128 px, in seconds"
        bench.bars.append(Bar(name, measured["change_seconds"], bench_scenes.PATIENCE_SECONDS))


PARTS: dict[str, Callable[[Bench], None]] = {
    "import": bench_import,
    "gradcam": bench_gradcam,
    "scenes": bench_scenes,
    "lessons": bench_lessons,
}


def machine() -> dict[str, Any]:
    """Describe what the figures were measured on."""
    import psutil
    import torch

    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average": psutil.getloadavg()[0],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="one round of each")
    parser.add_argument("--strict", action="store_true", help="exit status 1 if a bar fails")
    options = parser.parse_args(arguments)
    parts = [part.strip() for part in options.only.split(",")]
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"no part named {', '.join(unknown)}; there are {', '.join(PARTS)}")
    sys.stdout.reconfigure(line_buffering=True)  # tables appear as they are ready, also in a file
    here = machine()
    print(", ".join(f"{name} {value}" for name, value in here.items()) + "\n")
    if here["load_average"] > 0.5 * (os.cpu_count() or 1):
        print("Other programs are busy on this machine: times below are not to be trusted.\n")
    bench = Bench(options.quick, {}, [])
    for part in parts:
        PARTS[part](bench)
    for bar in bench.bars:
        print(bar)
    report = {
        "machine": here,
        "results": bench.results,
        "bars": [{**asdict(bar), "holds": bar.holds} for bar in bench.bars],
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {REPORT.relative_to(ROOT)}")
    return 1 if options.strict and not all(bar.holds for bar in bench.bars) else 0


if __name__ == "__main__":
    sys.exit(main())
