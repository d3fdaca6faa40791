"""Start the course as on Colab and Kaggle: ``python -m tests.hosts [NAME…] [--python PYTHON]``.

For each list of versions beside this file: an environment with just those packages, the first cell
of a lesson run in it twice (Kaggle's without the package index, from attached wheels), what is
installed compared before and after, and a lesson executed. A few minutes a host, so it is no part
of `make test`; continuous integration runs it beside that.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from tools import fork, tasks
from tools.wheelhouse import wheelhouse

HERE = Path(__file__).parent
LESSON = "00_start_here.ipynb"
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
"""


def run(*command: str | Path, **variables: str) -> str:
    """Run a command in a clean environment; its output, or an error that shows it."""
    environment = tasks.clean_environment(**variables)
    done = subprocess.run(
        list(map(str, command)),
        cwd=tasks.BUILD,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(map(str, command))}\n{done.stdout[-3000:]}")
    return done.stdout


def versions(python: Path) -> dict[str, str]:
    """List what is installed, by name."""
    listed = json.loads(run(python, "-m", "pip", "list", "--format=json"))
    return {row["name"].lower(): row["version"] for row in listed}


def try_host(name: str, interpreter: str, wheel: Path) -> None:
    """Make the environment, click, click again, execute a lesson; print what changed."""
    venv = tasks.BUILD / "hosts" / name
    run(interpreter, "-m", "venv", "--clear", venv)
    python = tasks.environment_python(venv)
    run(python, "-m", "pip", "install", "-q", "-r", HERE / f"{name}.txt")
    before = versions(python)
    lesson = json.loads((tasks.ROOT / "notebooks" / LESSON).read_text(encoding="utf-8"))
    address = f"git+https://github.com/{fork.source(*fork.repository())}"
    cell = "".join(lesson["cells"][1]["source"]).replace(address, str(wheel))
    host, offline = {"COLAB_RELEASE_TAG": "1"}, name.startswith("kaggle")
    if offline:
        host = {"KAGGLE_KERNEL_RUN_TYPE": "Interactive", "PIP_NO_INDEX": "1"}
        cell = cell.replace("/kaggle/input", str(wheel.parents[1]))
    start = time.monotonic()
    script = venv / "first_cell.py"
    script.write_text(cell, encoding="utf-8")
    run(python, script, **host)
    seconds = time.monotonic() - start
    after = versions(python)
    run(python, script, **host)
    assert versions(python) == after, "the second click changed something"
    changed = {name: (old, after.get(name)) for name, old in before.items()}
    changed = {name: pair for name, pair in changed.items() if pair[0] != pair[1]}
    assert not changed, f"changed: {changed}"
    run(python, "-c", EXECUTE, tasks.ROOT / "notebooks" / LESSON, **host, COURSE_PROFILE="fast")
    new = ", ".join(f"{name} {after[name]}" for name in sorted(after.keys() - before.keys()))
    print(f"ok  {name}: first cell {seconds:.0f} s; nothing changed; added {new}; {LESSON} runs")


def main() -> int:
    """Try the hosts that are named, or all."""
    known = sorted(path.stem for path in HERE.glob("*.txt"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hosts", nargs="*", choices=[*known, []], help=", ".join(known))
    parser.add_argument("--python", default=sys.executable, help="interpreter of the environments")
    options = parser.parse_args()
    wheels = wheelhouse(tasks.BUILD / "hosts" / "input" / "wheels")
    wheel = next(wheels.glob("explaining_image_classifiers-*.whl"))
    for name in options.hosts or known:
        try_host(name, options.python, wheel)
    return 0


if __name__ == "__main__":
    sys.exit(main())
