"""Every benchmark in one go: ``make bench``, or ``python -m tests.benchmarks [--quick]``.

What they print is also in ``build/bench.json``, with their seconds and whether all bars hold. Close
other programs first: only ratios travel from one machine to another.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPORT = HERE.parents[1] / "build" / "bench.json"


def main() -> int:
    """Run the benchmarks one after another; return 1 if a bar fails."""
    packages = {name: version(name) for name in ("torch", "torchvision", "captum")}
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), **packages}
    report = {"machine": {**machine, "platform": platform.platform()}, "benchmarks": {}}
    for path in sorted(HERE.glob("bench_*.py")):
        print(f"\n=== {path.stem} ===", flush=True)
        start, lines = time.monotonic(), []
        command = [sys.executable, "-u", str(path), *sys.argv[1:]]
        with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as running:
            for line in running.stdout:
                print(line, end="", flush=True)
                lines.append(line.rstrip())
        report["benchmarks"][path.stem] = {
            "seconds": round(time.monotonic() - start, 1),
            "bars hold": running.returncode == 0,
            "status": running.returncode,
            "printed": lines,
        }
        if running.returncode not in (0, 1):
            print(f"  {path.stem} ended with status {running.returncode}: an error, or killed")
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    failed = [name for name, found in report["benchmarks"].items() if not found["bars hold"]]
    total = sum(found["seconds"] for found in report["benchmarks"].values())
    print(f"\n{total:.0f} s; {'bars fail: ' + ', '.join(failed) if failed else 'all bars hold'}")
    print(f"written: {REPORT}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
