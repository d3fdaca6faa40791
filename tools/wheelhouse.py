"""A folder of wheels for Kaggle without the internet: ``python -m tools.wheelhouse [FOLDER]``.

It holds the course and what Kaggle and Colab lack. Upload the folder as a data set and attach it to
the notebook: the first cell of every lesson then installs from there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from course_utils import launch
from tools import tasks

HOSTS = tasks.ROOT / "tests" / "hosts"


def lacking() -> list[str]:
    """Pins of what the course requires and some host lacks, directly or through what it lacks."""
    lists = [path.read_text(encoding="utf-8").splitlines() for path in HOSTS.glob("*.txt")]
    named = [{line.partition("==")[0] for line in lines if "==" in line} for lines in lists]
    hosts_have = {canonicalize_name(name) for name in set.intersection(*named)}
    pins: dict[str, str] = {}
    queue = list(launch.requirements(launch.DISTRIBUTION))
    while queue:
        name = canonicalize_name(queue.pop().name)
        if name not in hosts_have and name not in pins:
            pins[name] = str(Requirement(f"{name}=={metadata.version(name)}"))
            queue += launch.requirements(name)
    return sorted(pins.values())


def wheelhouse(folder: Path = tasks.BUILD / "wheelhouse") -> Path:
    """Fill a folder, from the package index; what was in it before is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    subprocess.run([*pip, str(tasks.ROOT), *lacking()], check=True)
    return folder


if __name__ == "__main__":
    made = wheelhouse(*map(Path, sys.argv[1:2]))
    print(f"{made}:", *sorted(path.name for path in made.glob("*.whl")), sep="\n  ")
