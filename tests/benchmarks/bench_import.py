"""Time of ``import course_utils`` beyond PyTorch's own, in fresh processes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

CODE = """
import time, torch
start = time.perf_counter()
import course_utils
print(time.perf_counter() - start)
"""
LIMIT_SECONDS = 0.3

if __name__ == "__main__":
    rounds = 2 if "--quick" in sys.argv else 7
    # with its extension loaded, `import torch` would have imported the course already
    command, alone = [sys.executable, "-c", CODE], {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    runs = [subprocess.check_output(command, env=os.environ | alone) for _ in range(rounds)]
    seconds = statistics.median(map(float, runs))
    holds = seconds <= LIMIT_SECONDS
    print(
        f"  {'holds' if holds else 'FAILS'}  import, in seconds: {seconds:.3f} (≤ {LIMIT_SECONDS})"
    )
    sys.exit(not holds)
