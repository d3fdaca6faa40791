"""The course's commands: ``python tools/tasks.py COMMAND``, or ``make COMMAND`` where make exists.

Standard library only, because this is what runs before anything is installed. Commands that need
the course's packages run in ``.venv``, which is made, filled from ``requirements.lock`` and
refreshed here whenever the lock or ``pyproject.toml`` has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LOCK = ROOT / "requirements.lock"
PROJECT = ROOT / "pyproject.toml"
VENV = ROOT / ".venv"
TEST_VENV = BUILD / "test-venv"

MINIMUM_PYTHON = (3, 11)
TESTED_PYTHONS = ("3.13", "3.12", "3.11")

#: Packages that torch itself asks for on the platforms that want them: never pinned by us.
LEFT_TO_TORCH = re.compile(r"^(nvidia-|cuda-|triton\b)")
#: What the lock must contain whatever newer versions exist.
LOCKED_VERSIONS = ("torch==2.13.0", "torchvision==0.28.0")

#: Variables of the surrounding shell that would make an environment install or import elsewhere,
#: or compile every module again whenever it is imported.
LEAKING_VARIABLES = (
    *("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PYTHONHOME", "PYTHONPATH"),
    "PYTHONDONTWRITEBYTECODE",
)

NOTEBOOK_TIMEOUT_SECONDS = 900


class TaskError(Exception):
    """Something the user can mend; the message says what and how."""


class Part(NamedTuple):
    """One part of `test`: what it was, how it went, how long it took, what pytest counted."""

    name: str
    passed: bool
    seconds: float
    counts: dict[str, int]


# --- small helpers ------------------------------------------------------------------------------


def say(text: str) -> None:
    """Print one line at once, so that it stays in order with the output of what is run."""
    print(text, flush=True)


def environment_python(venv: Path) -> Path:
    """Path of the interpreter inside a virtual environment, on any platform."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def clean_environment() -> dict[str, str]:
    """Environment for child processes: ours, less what leaks in, UTF-8 on every platform.

    OpenMP's threads wait for each other in busy loops. Where another program uses a core, those
    loops slow PyTorch down several times on two cores. Waiting in them only briefly costs a large
    network nothing on an idle machine, and a very small one up to half of its speed. GNU's OpenMP
    reads the variable when PyTorch is loaded, others ignore it.
    """
    kept = {key: value for key, value in os.environ.items() if key not in LEAKING_VARIABLES}
    return {"GOMP_SPINCOUNT": "3000", **kept, "PYTHONUTF8": "1"}


def ipython_folder() -> Path:
    """Make the settings folder for kernels: nobody's start-up files, and no remarks in the log."""
    settings = BUILD / "ipython" / "profile_default" / "ipython_kernel_config.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text('{"IPKernelApp": {"log_level": 50}}', encoding="utf-8")
    return BUILD / "ipython"


def notebook_environment(
    python: Path, profile: str, data_source: str = "embedded"
) -> dict[str, str]:
    """Environment in which notebooks are executed: the same everywhere, whoever runs them.

    The kernel named ``python3`` must be the one of `python`: its kernelspec goes before any that
    the user or the system has, and the user's IPython start-up files are left out.
    """
    prefix = python.parent.parent if (python.parent.parent / "pyvenv.cfg").exists() else sys.prefix
    environment = clean_environment()
    # The inline backend is chosen by the kernel; a shell's MPLBACKEND would win over it.
    environment.pop("MPLBACKEND", None)
    own_kernels = str(Path(prefix) / "share" / "jupyter")
    others = environment.get("JUPYTER_PATH")
    environment.update(
        COURSE_PROFILE=profile,
        COURSE_DATA_SOURCE=data_source,
        TQDM_DISABLE="1",
        IPYTHONDIR=str(ipython_folder()),
        JUPYTER_PREFER_ENV_PATH="1",
        JUPYTER_PATH=os.pathsep.join([own_kernels, *([others] if others else [])]),
    )
    return environment


def lesson_paths(selection: str = "") -> list[Path]:
    """Notebooks of the course, in order, or only those that a selection names.

    Parameters
    ----------
    selection
        Beginnings of file names, separated by commas or spaces: ``"02"``, ``"00 02"``.

    Raises
    ------
    TaskError
        If a part of the selection names no notebook.
    """
    every = sorted((ROOT / "notebooks").glob("*.ipynb"))
    wanted = re.split(r"[,\s]+", selection.strip()) if selection.strip() else []
    for start in wanted:
        if not any(path.name.startswith(start) for path in every):
            names = ", ".join(path.stem for path in every) or "none yet"
            raise TaskError(f"no lesson begins with {start!r}; the lessons are: {names}")
    if not wanted:
        return every
    return [path for path in every if any(path.name.startswith(start) for start in wanted)]


# --- environments -------------------------------------------------------------------------------


def require_python() -> None:
    """Go on with a Python that is new enough, or say how to get one."""
    if sys.version_info >= MINIMUM_PYTHON:
        return
    for version in TESTED_PYTHONS:
        found = shutil.which(f"python{version}")
        if found:
            say(f"Python {sys.version.split()[0]} is too old; going on with {found}")
            sys.exit(subprocess.call([found, *sys.argv]))
    needed = ".".join(map(str, MINIMUM_PYTHON))
    sys.exit(
        f"error: the course needs Python {needed} or newer, and this is Python "
        f"{sys.version.split()[0]} ({sys.executable}).\n"
        "Install a newer one (python.org, your package manager, conda, uv or pyenv) and run the "
        "command with it:  make PYTHON=/path/to/python3.12 run"
    )


def fingerprint(python_version: str) -> str:
    """Hash of everything that decides what an environment should contain."""
    digest = hashlib.sha256(python_version.encode())
    for path in (LOCK, PROJECT):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def python_version_of(python: Path) -> tuple[int, ...] | None:
    """Version of an interpreter, or None if it does not start (moved, or its base removed)."""
    code = "import sys; print(*sys.version_info[:3])"
    try:
        answer = subprocess.run(
            [str(python), "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        return tuple(map(int, answer.stdout.split()))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def create_venv(venv: Path) -> None:
    """Make an empty virtual environment, replacing what is there.

    Raises
    ------
    TaskError
        If this Python cannot make one, as on Debian and Ubuntu without ``python3-venv``.
    """
    if importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise TaskError(
            f"this Python ({sys.executable}) cannot make virtual environments: its 'ensurepip' "
            "module is missing.\nOn Debian and Ubuntu that is a package of its own:  "
            f"sudo apt install python{version}-venv\n"
            "Without administrator's rights, use another Python (conda, uv, pyenv):  "
            "make PYTHON=/path/to/python run"
        )
    say(f"making {shown(venv)} with Python {sys.version.split()[0]}")
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(venv)],
        capture_output=True,
        text=True,
        env=clean_environment(),
    )
    if made.returncode:
        raise TaskError(
            f"could not make {shown(venv)}:\n{(made.stdout + made.stderr).strip()}\n"
            "Check that the folder is writable and the disk is not full."
        )


def shown(path: Path) -> str:
    """Path as shown to people: relative to the repository where it lies inside."""
    try:
        return str(path.relative_to(ROOT))
    except ValueError:
        return str(path)


def run_logged(command: Sequence[str], log: Path, description: str) -> None:
    """Run a long command quietly: a moving line on a terminal, everything in a log file.

    Raises
    ------
    TaskError
        If the command fails: with the end of what it printed.
    """
    say(f"{description} ...")
    start, moving = time.monotonic(), sys.stdout.isatty()
    with log.open("a", encoding="utf-8") as record:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            cwd=ROOT,
            env=clean_environment(),
        )
        lines: list[str] = []

        def read() -> None:
            for line in process.stdout:
                record.write(line)
                lines.append(line.rstrip())

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            while reader.is_alive():
                reader.join(timeout=0.5)
                if moving:
                    doing = next((x.strip() for x in reversed(lines) if x.strip()), "")
                    width = shutil.get_terminal_size().columns - 1
                    text = f"  {time.monotonic() - start:4.0f} s  {doing}"
                    print("\r" + text[:width].ljust(width), end="", flush=True)
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
    if moving:
        print("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r", end="")
    if code:
        tail = "\n".join("    " + line for line in lines[-20:])
        raise TaskError(
            f"{description}: failed with status {code}. The end of what was printed:\n{tail}\n"
            f"Everything is in {shown(log)}. If the network was the cause, run the command again: "
            "it starts the installation anew."
        )
    say(f"  done in {time.monotonic() - start:.0f} s")


def install(venv: Path) -> Path:
    """Fill an environment from the lock, unless it holds just that already.

    A stamp is written last, so a failed or interrupted installation is done again next time.

    Returns
    -------
    Path
        The environment's interpreter.
    """
    python, stamp = environment_python(venv), venv / "course-stamp.json"
    version = python_version_of(python) if python.exists() else None
    if version is None:
        if venv.exists():
            say(f"{shown(venv)} holds no Python that starts: making it anew")
        create_venv(venv)
        version = tuple(sys.version_info[:3])
    if version[:2] < MINIMUM_PYTHON:
        raise TaskError(
            f"{shown(venv)} was made with Python {'.'.join(map(str, version))}; the course needs "
            f"{'.'.join(map(str, MINIMUM_PYTHON))} or newer. Remove the folder and run again."
        )
    wanted = {"fingerprint": fingerprint(".".join(map(str, version))), "root": str(ROOT)}
    if stamp.exists() and read_json(stamp) == wanted:
        return python
    stamp.unlink(missing_ok=True)
    log = venv / "install.log"
    log.unlink(missing_ok=True)
    # Compiling every module would take a third of the time; Python compiles those it imports.
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]
    run_logged(
        [*pip, "--progress-bar", "off", "-r", str(LOCK)],
        log,
        f"installing the packages of requirements.lock into {shown(venv)}",
    )
    run_logged([*pip, "--no-deps", "-e", str(ROOT)], log, "installing the course itself")
    stamp.write_text(json.dumps(wanted), encoding="utf-8")
    return python


def read_json(path: Path) -> object:
    """Content of a JSON file, or None if it is not whole."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def working_python(options: argparse.Namespace) -> Path:
    """Interpreter with the course in it: the one of `.venv`, or this one with ``--here``."""
    if not options.here:
        return install(VENV)
    missing = [name for name in ("torch", "captum") if importlib.util.find_spec(name) is None]
    if missing:
        raise TaskError(
            f"--here uses {sys.executable} as it is, and it lacks {', '.join(missing)}. Install "
            "first:  pip install -r requirements.lock  and  pip install --no-deps -e ."
        )
    return Path(sys.executable)


# --- commands -----------------------------------------------------------------------------------


def call(command: Iterable[object], environment: dict[str, str] | None = None) -> int:
    """Run a command in the repository's root, its output going straight to the terminal."""
    arguments = [str(argument) for argument in command]
    return subprocess.call(arguments, cwd=ROOT, env=environment or clean_environment())


def run(options: argparse.Namespace) -> int:
    """Execute the lessons and build the site."""
    names = [path.name for path in lesson_paths(options.lessons)]
    lessons = [working_python(options), "-m", "tools.lessons", "run", "--profile", options.profile]
    return call([*lessons, *options.rest, *names])


def outputs(options: argparse.Namespace) -> int:
    """Execute the lessons in the standard profile and store their outputs in notebooks/."""
    names = [path.name for path in lesson_paths(options.lessons)]
    return call([working_python(options), "-m", "tools.lessons", "store", *options.rest, *names])


def site(options: argparse.Namespace) -> int:
    """Build the site from what was executed last, or else from the stored outputs."""
    return call([working_python(options), "-m", "tools.lessons", "site", *options.rest])


def lab(options: argparse.Namespace) -> int:
    """Open JupyterLab on notebooks/."""
    python = working_python(options)
    environment = clean_environment()
    kernels = notebook_environment(python, "standard")
    environment.update({key: kernels[key] for key in ("JUPYTER_PATH", "JUPYTER_PREFER_ENV_PATH")})
    return call([python, "-m", "jupyter", "lab", "notebooks", *options.rest], environment)


def bench(options: argparse.Namespace) -> int:
    """Measure speed and memory; results go to build/bench.json."""
    return call([working_python(options), "-m", "tools.bench", *options.rest])


def lint(options: argparse.Namespace) -> int:
    """Check style: ruff's rules and its formatting, notebooks included."""
    python = working_python(options)
    return max([call([python, "-m", "ruff", *part]) for part in (["check"], ["format", "--check"])])


def tidy(options: argparse.Namespace) -> int:
    """Mend what can be mended without thought: ruff's fixes, formatting, notebooks' metadata."""
    python = working_python(options)
    steps = (["ruff", "check", "--fix"], ["ruff", "format"], ["tools.lessons", "tidy"])
    return max([call([python, "-m", *step]) for step in steps])


def test(options: argparse.Namespace) -> int:
    """Run every check in a fresh environment: what continuous integration runs."""
    start = time.monotonic()
    if options.here:
        python = working_python(options)
    else:
        shutil.rmtree(TEST_VENV, ignore_errors=True)
        python = install(TEST_VENV)
    return check_parts(python, options, Part("installation", True, time.monotonic() - start, {}))


def check(options: argparse.Namespace) -> int:
    """Run every check in the existing .venv: quicker than `test` while working."""
    start = time.monotonic()
    python = working_python(options)
    return check_parts(python, options, Part("installation", True, time.monotonic() - start, {}))


def notebook_test_command(python: Path, notebooks: Iterable[Path], report: Path) -> list[str]:
    """Command that executes notebooks cell by cell and compares the marked stored outputs.

    ``--nbval-lax`` fails on any cell that raises, and compares outputs only of cells tagged
    ``nbval-check-output``: figures and timings may differ between machines, results may not.
    """
    return [
        *(str(python), "-m", "pytest", "--nbval-lax", "--nbval-kernel-name=python3"),
        f"--nbval-cell-timeout={NOTEBOOK_TIMEOUT_SECONDS}",
        *("-p", "no:cacheprovider", "--durations=5", f"--junitxml={report}"),
        *map(str, notebooks),
    ]


def check_parts(python: Path, options: argparse.Namespace, installation: Part) -> int:
    """Run lint, unit tests and notebooks, all of them whatever fails, and sum up."""
    reports = BUILD / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    unit_report, notebook_report = reports / "unit.xml", reports / "notebooks.xml"
    environment = clean_environment()
    environment.pop("PYTEST_ADDOPTS", None)
    notebooks = {**notebook_environment(python, "fast"), "PYTEST_ADDOPTS": ""}
    ruff = [python, "-m", "ruff"]
    unit = [python, "-m", "pytest", "--durations=5", f"--junitxml={unit_report}", *options.rest]
    lessons = notebook_test_command(python, lesson_paths(options.lessons), notebook_report)
    parts = [
        installation,
        timed("ruff check", lambda: call([*ruff, "check"])),
        timed("ruff format --check", lambda: call([*ruff, "format", "--check"])),
        timed("unit tests", lambda: call(unit, environment), unit_report),
        timed("notebooks (fast)", lambda: call(lessons, notebooks), notebook_report),
    ]
    return summarize(parts)


def timed(name: str, action: Callable[[], int], report: Path | None = None) -> Part:
    """Run one part; what it counted comes from pytest's own report where there is one."""
    say(f"\n--- {name} ---")
    start = time.monotonic()
    passed = action() == 0
    seconds = time.monotonic() - start
    if report is None:
        return Part(name, passed, seconds, {"passed": 1} if passed else {"failed": 1})
    counts = junit_counts(report)
    if not passed and not counts.get("failed") and not counts.get("error"):
        counts["error"] = counts.get("error", 0) + 1  # it stopped before or after its tests
    return Part(name, passed, seconds, counts)


def junit_counts(report: Path) -> dict[str, int]:
    """Count what passed, failed, … in a pytest JUnit report; empty if there is none."""
    try:
        suites = ElementTree.parse(report).getroot().iter("testsuite")
    except (OSError, ElementTree.ParseError):
        return {}
    counts = {"passed": 0, "failed": 0, "skipped": 0, "error": 0}
    for suite in suites:
        total, failed, skipped, errors = (
            int(suite.get(key, 0)) for key in ("tests", "failures", "skipped", "errors")
        )
        counts["passed"] += total - failed - skipped - errors
        counts["failed"] += failed
        counts["skipped"] += skipped
        counts["error"] += errors
    return counts


def summarize(parts: Sequence[Part]) -> int:
    """Print one line per part and a closing line like pytest's; return the exit status."""
    say("")
    for part in parts:
        counted = ", ".join(f"{n} {what}" for what, n in part.counts.items() if n)
        verdict = "ok    " if part.passed else "FAILED"
        note = counted if sum(part.counts.values()) > 1 or not part.passed else ""
        say(f"{verdict}  {part.name:<20} {part.seconds:7.1f} s   {note}".rstrip())
    totals = {
        what: sum(part.counts.get(what, 0) for part in parts)
        for what in ("failed", "passed", "skipped", "error")
    }
    text = ", ".join(f"{n} {what}" for what, n in totals.items() if n) or "nothing was run"
    seconds = sum(part.seconds for part in parts)
    clock = f"{int(seconds // 3600)}:{int(seconds // 60) % 60:02d}:{int(seconds) % 60:02d}"
    say(f" {text} in {seconds:.2f}s ({clock}) ".center(80, "="))
    return 0 if all(part.passed for part in parts) else 1


def clean(options: argparse.Namespace) -> int:
    """Remove what the other commands made: build/ and caches; with --all also .venv."""
    for path in (BUILD, ROOT / ".pytest_cache", ROOT / ".ruff_cache", ROOT / "dist"):
        shutil.rmtree(path, ignore_errors=True)
    for folder in ("course_utils", "tests", "tools", "notebooks"):
        for name in ("__pycache__", ".ipynb_checkpoints"):
            for path in (ROOT / folder).rglob(name):
                shutil.rmtree(path, ignore_errors=True)
    if options.all:
        shutil.rmtree(VENV, ignore_errors=True)
    return 0


# --- maintenance --------------------------------------------------------------------------------

LOCK_HEADER = """\
# Exact versions of everything the course needs, for Linux, macOS and Windows, Python 3.11 to 3.13.
# Made from pyproject.toml (all extras) by `python tools/tasks.py lock`; change that file, not this.
# PyTorch itself asks for its CUDA packages where they apply, so none is listed here.
"""


def lock(options: argparse.Namespace) -> int:
    """Write requirements.lock anew from pyproject.toml, with the newest versions that fit."""
    venv = BUILD / "lock-venv"
    create_venv(venv)
    python = environment_python(venv)
    log = venv / "install.log"
    run_logged([str(python), "-m", "pip", "install", "uv"], log, "installing uv, the resolver")
    constraints = venv / "constraints.txt"
    constraints.write_text("\n".join(LOCKED_VERSIONS) + "\n", encoding="utf-8")
    resolve = [
        *(str(python), "-m", "uv", "pip", "compile", "pyproject.toml", "--universal"),
        *("--all-extras", "--python-version", ".".join(map(str, MINIMUM_PYTHON))),
        *("--constraint", str(constraints), "--no-header", "--no-annotate", "--quiet"),
        *options.rest,
    ]
    resolved = subprocess.run(
        resolve, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True
    )
    if resolved.returncode:
        raise TaskError("uv could not resolve pyproject.toml; see its message above")
    pins = [line for line in resolved.stdout.splitlines() if not LEFT_TO_TORCH.match(line)]
    LOCK.write_text(LOCK_HEADER + "\n".join(pins) + "\n", encoding="utf-8")
    say(f"wrote {shown(LOCK)}: {len(pins)} packages")
    return 0


def repository_slug() -> str:
    """``OWNER/NAME`` as pyproject.toml has it."""
    found = re.search(
        r'^Repository = "https://github\.com/([\w.-]+/[\w.-]+)"', PROJECT.read_text("utf-8"), re.M
    )
    if not found:
        raise TaskError('pyproject.toml has no line  Repository = "https://github.com/OWNER/NAME"')
    return found.group(1)


def slug(options: argparse.Namespace) -> int:
    """Name another repository in pyproject.toml, README.md and every notebook: for forks."""
    new, old = options.slug, repository_slug()
    if new is None:
        say(old)
        return 0
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", new):
        raise TaskError(f"a repository is named OWNER/NAME, for example ada/course; got {new!r}")
    # Both spellings of the address: github.com/OWNER/NAME, and Colab's /github/OWNER/NAME.
    pattern = re.compile(rf"(github(?:\.com)?/){re.escape(old)}(?![\w-]|\.\w)")
    for path in [PROJECT, ROOT / "README.md", *sorted((ROOT / "notebooks").rglob("*.ipynb"))]:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        changed, count = pattern.subn(rf"\g<1>{new}", text)
        if count:
            path.write_text(changed, encoding="utf-8", newline="\n")
            say(f"{shown(path)}: {count} changed")
    return 0


# --- command line -------------------------------------------------------------------------------

COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": run,
    "lab": lab,
    "test": test,
    "check": check,
    "bench": bench,
    "lint": lint,
    "tidy": tidy,
    "outputs": outputs,
    "site": site,
    "clean": clean,
    "lock": lock,
    "slug": slug,
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; what follows ``--`` goes to the tool that the command starts."""
    arguments = list(arguments)
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(prog="python tools/tasks.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        summary = (function.__doc__ or "").split("\n")[0]
        command = commands.add_parser(name, help=summary, description=summary)
        if name in ("run", "outputs", "test", "check"):
            command.add_argument(
                "--lessons",
                default=os.environ.get("LESSONS", ""),
                help='only lessons whose names begin so: "02" or "00 02"',
            )
        if name == "run":
            command.add_argument(
                "--profile",
                choices=("fast", "standard", "full"),
                default=os.environ.get("COURSE_PROFILE") or "standard",
                help="how much is computed (default: standard)",
            )
        if name == "clean":
            command.add_argument("--all", action="store_true", help="remove .venv as well")
        if name == "slug":
            command.add_argument("slug", nargs="?", metavar="OWNER/NAME")
        if name not in ("clean", "lock", "slug"):
            command.add_argument(
                "--here",
                action="store_true",
                default=os.environ.get("HERE", "") not in ("", "0"),
                help="use the Python that runs this, as it is (conda, containers): no .venv",
            )
    options = parser.parse_args(arguments[:split])
    options.rest = arguments[split + 1 :]
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # Windows consoles lack characters of ours
    require_python()
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        return COMMANDS[options.command](options)
    except TaskError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
