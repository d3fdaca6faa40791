"""The course's commands without make: ``python tools/tasks.py COMMAND``, as in the Makefile.

Standard library only: this also makes the environments, before anything is installed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LOCK = ROOT / "requirements.lock"
PROJECT = ROOT / "pyproject.toml"
TEST_VENV = BUILD / "test-venv"

MINIMUM_PYTHON = (3, 11)
#: Variables of the surrounding shell that would make an environment install or import elsewhere,
#: compile every module again at each import, or draw figures in windows.
LEAKING_VARIABLES = (
    *("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PYTHONHOME", "PYTHONPATH", "MPLBACKEND"),
    *("PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS"),
)

#: What the course's variables may hold: one of these words, or with no word what the name says.
SETTINGS = {
    "COURSE_PROFILE": "fast standard full",
    "COURSE_DATA_SOURCE": "auto real embedded",
    "COURSE_ALLOCATOR": "tuned system",
    **dict.fromkeys(("COURSE_DATA", "COURSE_CACHE", "COURSE_MIRROR"), ""),
}


class TaskError(Exception):
    """Something the user can mend; the message says what and how."""


# --- what was asked for -----------------------------------------------------------------------


def lesson_paths(selection: str = "") -> list[Path]:
    """Notebooks whose names begin with one of the words in `selection`; all if it is empty.

    Raises
    ------
    TaskError
        If one of the words, as in ``"00 02"`` or ``"00,02"``, names no lesson.
    """
    every = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    wanted = re.split(r"[,\s]+", selection.strip()) if selection.strip() else [""]
    for start in wanted:
        if not any(path.name.startswith(start) for path in every):
            names = ", ".join(path.stem for path in every)
            raise TaskError(f"no lesson begins with {start!r}; the lessons are: {names}")
    return [path for path in every if path.name.startswith(tuple(wanted))]


def check_settings() -> None:
    """Refuse a mistyped lesson, or a ``COURSE_…`` variable with another name or value.

    Raises
    ------
    TaskError
        Before anything is installed or executed.
    """
    lesson_paths(os.environ.get("LESSONS", ""))
    if os.environ.get("PROFILE"):
        os.environ["COURSE_PROFILE"] = os.environ["PROFILE"]
    for name, value in os.environ.items():
        if not name.startswith("COURSE_") or name.startswith("COURSE_TEST_") or not value:
            continue
        if name not in SETTINGS:
            raise TaskError(f"there is no setting {name}; there are: {', '.join(SETTINGS)}")
        if (words := SETTINGS[name].split()) and value not in words:
            raise TaskError(f"{name} is {value!r}; it can be {', '.join(words)}")
        if name == "COURSE_DATA" and not Path(value).expanduser().is_dir():
            raise TaskError(f"{name} is {value!r}, which is not a folder")


# --- environments -----------------------------------------------------------------------------


def environment_python(venv: Path) -> Path:
    """Path of the interpreter inside a virtual environment, on any platform."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def clean_environment(**values: str) -> dict[str, str]:
    """Environment for child processes: ours, less what leaks in, UTF-8 on every platform."""
    kept = {key: value for key, value in os.environ.items() if key not in LEAKING_VARIABLES}
    return {**kept, "PYTHONUTF8": "1", **values}


def notebook_environment(profile: str, data_source: str = "embedded") -> dict[str, str]:
    """Environment in which lessons are executed: the same everywhere, whoever runs them.

    One thread, because as many lessons run at once as there are cores. The kernel named
    ``python3`` is the one of the environment, whatever kernels the user has, and the user's
    IPython start-up files are left out.
    """
    settings = BUILD / "ipython" / "profile_default" / "ipython_kernel_config.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text('{"IPKernelApp": {"log_level": 50}}', encoding="utf-8")
    return clean_environment(
        COURSE_PROFILE=profile,
        COURSE_DATA_SOURCE=data_source,
        TQDM_DISABLE="1",
        OMP_NUM_THREADS="1",
        IPYTHONDIR=str(BUILD / "ipython"),
        JUPYTER_PREFER_ENV_PATH="1",
        JUPYTER_PATH=str(Path(sys.prefix, "share", "jupyter")),
    )


def install(venv: Path) -> Path:
    """Fill an environment from the lock, unless it holds just that already.

    A stamp is written last, so that a failed or interrupted installation is done again.

    Returns
    -------
    Path
        The environment's interpreter.

    Raises
    ------
    TaskError
        If this Python is too old or cannot make environments, or if pip fails.
    """
    python, stamp = environment_python(venv), venv / "installed"
    version = ".".join(map(str, sys.version_info[:3]))
    texts = [path.read_text(encoding="utf-8") for path in (LOCK, PROJECT)]
    wanted = "\n".join([version, str(ROOT), *texts])
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        stamp.touch()  # make goes by the date
        return python
    if sys.version_info < MINIMUM_PYTHON:
        raise TaskError(
            f"the course needs Python 3.11 or newer, and this is {version} ({sys.executable}). "
            "With another one:  make PYTHON=/path/to/python3.12 run"
        )
    start = time.monotonic()
    print(f"installing requirements.lock into {venv} (half a minute or more) ...", flush=True)
    (log := BUILD / "install.log").parent.mkdir(exist_ok=True)
    pins = re.findall(r"^\w.*", texts[0], flags=re.MULTILINE)
    make = [sys.executable, "-m", "venv", "--clear", str(venv)]
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]
    rest = [*pip, "-r", str(LOCK), "-e", str(ROOT)]  # CUDA's packages, and the course itself
    # An old pip takes twice as long, and one process longer than two side by side.
    halves = [[*pip, "--no-deps", *pins[half::2]] for half in (0, 1)]
    with log.open("w", encoding="utf-8") as record:
        options = {"env": clean_environment(), "stdout": record, "stderr": subprocess.STDOUT}
        for step in ([make], [[*pip, "--upgrade", "pip"]], halves, [rest]):
            running = [subprocess.Popen(command, cwd=ROOT, **options) for command in step]
            if sum(process.wait() != 0 for process in running):
                said = "\n".join(re.findall(r"(?i).*error.*", log.read_text("utf-8"))[-15:])
                raise TaskError(
                    f"{said}\nfailed: everything is in {log}. Was it the network? Again, then. No "
                    "'ensurepip' (Debian, Ubuntu)? sudo apt install python3-venv, or use conda."
                )
    stamp.write_text(wanted, encoding="utf-8")
    print(f"  done in {time.monotonic() - start:.0f} s", flush=True)
    return python


# --- commands ---------------------------------------------------------------------------------


#: `conftest.py` puts the longest first.
TESTS = "pytest -n 2 --dist loadfile --no-loadscope-reorder"
LESSON_TASKS = ("run", "outputs", "verdicts", "lesson")
#: What a command runs, less the interpreter: the same as the Makefile says.
COMMANDS = {
    **{task: [f"tools.lessons {task}"] for task in (*LESSON_TASKS, "site")},
    "lab": ["jupyter lab notebooks"],
    "app": ["voila tools/app.ipynb"],
    "lint": ["ruff check", "ruff format --check", "codespell_lib"],
    "check": [f"{TESTS} -m 'not slow'"],
    "bench": ["tests.benchmarks"],
    "scoreboard": ["scoreboard"],
}


def commands(name: str, python: Path | str, selection: str = "") -> list[list[str]]:
    """Command lines of a task, for an interpreter that has the course's packages.

    Parameters
    ----------
    name, python
        One of `COMMANDS`, and the interpreter.
    selection
        Lessons, for the tasks that execute some.
    """
    lessons = selection.replace(",", " ").split() if name in LESSON_TASKS else []
    return [[str(python), "-m", *shlex.split(line), *lessons] for line in COMMANDS[name]]


def notebook_tests(python: Path | str, notebooks: Sequence[Path]) -> list[str]:
    """Command that executes notebooks cell by cell and compares the marked stored outputs.

    ``--nbval-lax`` fails on any cell that raises, and compares outputs only of cells tagged
    ``nbval-check-output``: figures and timings may differ between machines, results may not.
    """
    options = "--nbval-lax --nbval-kernel-name=python3 --nbval-cell-timeout=900 --durations=5"
    return [str(python), "-m", *TESTS.split(), *options.split(), *map(str, notebooks)]


def test() -> int:
    """Run every check in a fresh environment: all of them, whatever fails."""
    start = time.monotonic()
    shutil.rmtree(TEST_VENV, ignore_errors=True)
    python = sys.executable if os.environ.get("HERE") else install(TEST_VENV)
    said = [f"ok      installation           {time.monotonic() - start:6.1f} s"]
    parts = {" ".join(line[2:]): line for line in commands("lint", python)}
    notebooks = lesson_paths(os.environ.get("LESSONS", ""))
    parts["tests and notebooks"] = [*notebook_tests(python, notebooks), "tests"]
    environment, failed = clean_environment(OMP_NUM_THREADS="1"), 0
    for name, line in parts.items():
        print(f"\n--- {name} ---", flush=True)
        begun = time.monotonic()
        code = subprocess.call(line, cwd=ROOT, env=environment)
        failed += code != 0
        said.append(f"{'FAILED' if code else 'ok':<8}{name:<22} {time.monotonic() - begun:6.1f} s")
    print("", *said, f"{len(said) - failed} parts passed, {failed} failed", sep="\n")
    print(f"in {time.monotonic() - start:.0f} s")
    return int(failed > 0)


def clean() -> int:
    """Remove what the other commands made: environments, pages, caches."""
    ours = ("course_utils", "data", "docs", "notebooks", "tests", "tools")
    made = [f"{name}/**/{c}" for name in ours for c in ("__pycache__", ".ipynb_checkpoints")]
    for path in (p for m in ("build", ".venv", ".*_cache", *made) for p in list(ROOT.glob(m))):
        shutil.rmtree(path, ignore_errors=True)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run one command; return its exit status."""
    name, *rest = arguments or ["help"]
    if name not in (known := [*COMMANDS, "test", "clean", "install", "settings"]):
        print(f"{__doc__}\nCOMMAND is one of: {', '.join(known)}\nAlso: LESSONS, PROFILE, HERE=1.")
        return 2
    try:
        if name in LESSON_TASKS and rest:
            os.environ["LESSONS"] = " ".join(rest)
        check_settings()
        if name in ("test", "clean"):
            return test() if name == "test" else clean()
        if name == "install":
            install(Path(*rest or [ROOT / ".venv"]))
        if name in ("install", "settings"):
            return 0
        python = sys.executable if os.environ.get("HERE") else install(ROOT / ".venv")
        threads = {"OMP_NUM_THREADS": "1"} if name in ("check", "scoreboard") else {}
        lines = commands(name, python, os.environ.get("LESSONS", ""))
        environment = clean_environment(**threads)
        return max(subprocess.call(line, cwd=ROOT, env=environment) for line in lines)
    except TaskError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
