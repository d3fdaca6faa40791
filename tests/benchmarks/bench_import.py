"""Time of ``import course_utils`` beyond PyTorch's own, in fresh processes."""

from __future__ import annotations

import statistics
import subprocess
import sys

CODE = """
import time, torch, torchvision
start = time.perf_counter()
import course_utils
print(time.perf_counter() - start)
"""
LIMIT_SECONDS = 0.3

if __name__ == "__main__":
    rounds = 2 if "--quick" in sys.argv else 7
    command = [sys.executable, "-c", CODE]
    seconds = statistics.median(float(subprocess.check_output(command)) for _ in range(rounds))
    holds = seconds <= LIMIT_SECONDS
    print(
        f"  {'holds' if holds else 'FAILS'}  import, in seconds: {seconds:.3f} (≤ {LIMIT_SECONDS})"
    )
    sys.exit(not holds)
