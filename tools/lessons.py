"""Execute the lessons with papermill: ``python -m tools.lessons run``, or ``store`` their outputs.

``run`` leaves executed notebooks in ``build/executed/``, what happened in ``build/lessons.json``
and a site in ``build/site/``. ``store`` writes the outputs of the standard profile back into
``notebooks/``, in the normal form of `tools.normalize`. A lesson that fails stops no other.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Before TQDM_DISABLE is set for the kernels: tqdm reads it when it is imported.
from tqdm import tqdm  # isort: skip

import papermill
from nbconvert.filters import strip_ansi
from nbformat import NotebookNode

from tools import normalize, tasks
from tools.site import build_site

NOTEBOOKS = tasks.ROOT / "notebooks"
EXECUTED = tasks.BUILD / "executed"
RECORDS = tasks.BUILD / "lessons.json"
SITE = tasks.BUILD / "site"


@dataclass
class Failure:
    """Where a lesson stopped, and why."""

    cell: int | None  # index in the notebook; None if the kernel died or never started
    source: str
    error: str  # "ZeroDivisionError: division by zero"
    traceback: str  # with the terminal's colour codes


@dataclass
class Record:
    """What happened to one lesson: one entry of build/lessons.json."""

    name: str
    status: str  # "ok" or "failed"
    seconds: float
    cells: int
    profile: str
    data_source: str
    python: str
    torch: str
    source_hash: str  # of the notebook without outputs: says whether this is still its result
    failure: Failure | None = None


def source_hash(notebook: NotebookNode) -> str:
    """Hash of the cells' types and sources: what an execution depends on."""
    cells = [(cell.cell_type, cell.source.rstrip()) for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def execute(
    source: Path,
    target: Path,
    parameters: dict[str, Any],
    bar: dict[str, Any] | bool,
    timeout: int = tasks.NOTEBOOK_TIMEOUT_SECONDS,
) -> tuple[NotebookNode, Record]:
    """Execute one lesson in a fresh kernel.

    Parameters
    ----------
    source, target
        The notebook, and where the executed one goes (also when it fails).
    parameters
        Injected after the cell tagged ``parameters``.
    bar
        Settings of papermill's progress bar over cells, or False for none.
    timeout
        Longest time for one cell, in seconds.

    Returns
    -------
    notebook, record
        The executed notebook without papermill's own cells, and what happened.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    notebook = normalize.read(source)
    digest = source_hash(notebook)
    start, failure = time.monotonic(), None
    try:
        papermill.execute_notebook(
            str(source),
            str(target),
            parameters=parameters,
            kernel_name="python3",
            language="python",
            cwd=str(source.parent),
            progress_bar=bar,
            execution_timeout=timeout,
        )
    except Exception as error:
        failure = describe_failure(error, target)
    seconds = time.monotonic() - start
    if target.exists():
        notebook = normalize.without_papermill_marks(normalize.read(target))
    record = Record(
        name=source.stem,
        status="failed" if failure else "ok",
        seconds=round(seconds, 1),
        cells=len(notebook.cells),
        profile=os.environ.get("COURSE_PROFILE", "standard"),
        data_source=os.environ.get("COURSE_DATA_SOURCE", "auto"),
        python=platform.python_version(),
        torch=torch_version(),
        source_hash=digest,
        failure=failure,
    )
    return notebook, record


def torch_version() -> str:
    """Version of torch, without importing it."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return "none"


def describe_failure(error: Exception, executed: Path) -> Failure:
    """Find the failing cell in the executed notebook; the error may also be the kernel's own."""
    text = f"{type(error).__name__}: {error}"
    cells: Sequence[NotebookNode] = []
    if executed.exists():
        cells = normalize.without_papermill_marks(normalize.read(executed)).cells
    for index, cell in enumerate(cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                text = f"{output.ename}: {output.evalue}"
                return Failure(index, cell.source, text, "\n".join(output.traceback))
    for index, cell in enumerate(cells):  # no error came back: the kernel died, or took too long
        if cell.metadata.get("papermill", {}).get("status") in ("running", "failed"):
            return Failure(index, cell.source, text, "")
    return Failure(None, "", text, "")


def show_failure(record: Record, write: Callable[[str], None]) -> None:
    """Print the failing cell and its error."""
    failure = record.failure
    if failure is None:
        return
    place = "the kernel" if failure.cell is None else f"cell {failure.cell + 1} of {record.cells}"
    write(f"\n  {record.name} failed in {place}:")
    if failure.source:
        write(textwrap.indent(failure.source, "    | "))
    text = failure.traceback or failure.error
    if not sys.stdout.isatty():
        text = strip_ansi(text)
    write(textwrap.indent(text, "    "))
    write("")


def execute_all(
    sources: Sequence[Path], parameters: dict[str, Any]
) -> Iterable[tuple[Path, NotebookNode, Record]]:
    """Execute lessons one after the other, with progress; yield each as it is done.

    On a terminal there is a bar over lessons and one over the cells of the current lesson;
    elsewhere (logs) one plain line when a lesson starts and one when it is done.
    """
    bars = sys.stderr.isatty()
    write = tqdm.write if bars else tasks.say
    lessons = tqdm(
        total=len(sources), desc="lessons", unit="lesson", disable=not bars, dynamic_ncols=True
    )
    width = max((len(source.stem) for source in sources), default=0)
    with lessons:
        for number, source in enumerate(sources, start=1):
            if not bars:
                write(f"[{number}/{len(sources)}] {source.stem} ...")
            bar = {"desc": f"  {source.stem}", "leave": False, "position": 1, "dynamic_ncols": True}
            target = EXECUTED / source.name
            notebook, record = execute(source, target, parameters, bar if bars else False)
            lessons.update()
            verdict = "ok    " if record.status == "ok" else "FAILED"
            taken = f"{record.seconds:7.1f} s {record.cells:4} cells"
            write(f"{verdict} {source.stem:<{width}} {taken}")
            show_failure(record, write)
            yield source, notebook, record


def load_records() -> dict[str, Record]:
    """Read what build/lessons.json says of earlier executions, by lesson."""
    stored = tasks.read_json(RECORDS)
    records = {}
    for entry in stored.get("lessons", []) if isinstance(stored, dict) else []:
        try:
            failure = Failure(**entry["failure"]) if entry["failure"] else None
            records[entry["name"]] = Record(**{**entry, "failure": failure})
        except (KeyError, TypeError):
            continue  # written by another version of this file
    return records


def save_records(records: dict[str, Record]) -> None:
    """Write build/lessons.json, sorted by lesson."""
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    entries = [asdict(records[name]) for name in sorted(records)]
    RECORDS.write_text(json.dumps({"lessons": entries}, indent=1) + "\n", encoding="utf-8")


def lessons_for_site(
    records: dict[str, Record],
) -> list[tuple[str, NotebookNode, dict[str, Any] | None]]:
    """Every lesson of the course with its newest outputs.

    A lesson that was executed here since its last change comes with what that gave; any other comes
    with the outputs that are committed in it, and no record.
    """
    lessons = []
    for source in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook, record = normalize.read(source), records.get(source.stem)
        executed = EXECUTED / source.name
        current = record and executed.exists() and record.source_hash == source_hash(notebook)
        if current:
            notebook = normalize.without_papermill_marks(normalize.read(executed))
        lessons.append((source.stem, notebook, asdict(record) if current else None))
    return lessons


def run(sources: Sequence[Path], parameters: dict[str, Any]) -> int:
    """Execute lessons and build the site; return 1 if a lesson failed or a page has a problem."""
    start, records, failed = time.monotonic(), load_records(), []
    for source, _, record in execute_all(sources, parameters):
        records[source.stem] = record
        save_records(records)
        if record.status != "ok":
            failed.append(source.stem)
    problems = site()
    tasks.say(
        f"{len(sources) - len(failed)} of {len(sources)} lessons ok in "
        f"{time.monotonic() - start:.0f} s"
    )
    if failed:
        tasks.say(f"failed: {', '.join(failed)} (the failing cells are above, and on their pages)")
    return 1 if failed or problems else 0


def site() -> list[str]:
    """Build the site from what is there, say where it is, and return the pages' problems."""
    problems = build_site(lessons_for_site(load_records()), SITE, tasks.repository_slug())
    for problem in problems:
        tasks.say(f"problem: {problem}")
    tasks.say(f"site: {(SITE / 'index.html').as_uri()}")
    return problems


def store(sources: Sequence[Path]) -> int:
    """Execute lessons and write their outputs into the committed notebooks, if they succeed."""
    records, failed = load_records(), []
    for source, notebook, record in execute_all(sources, {}):
        records[source.stem] = record
        save_records(records)
        if record.status == "ok":
            normalize.write(normalize.normalized(notebook), source)
        else:
            failed.append(source.stem)
    if failed:
        tasks.say(f"not stored, because they failed: {', '.join(failed)}")
    return 1 if failed else 0


def tidy(sources: Sequence[Path]) -> int:
    """Bring committed notebooks into normal form without executing them."""
    for source in sources:
        before = source.read_bytes()
        normalize.write(normalize.normalized(normalize.read(source)), source)
        if source.read_bytes() != before:
            tasks.say(f"normalised {tasks.shown(source)}")
    return 0


def parameter(text: str) -> tuple[str, Any]:
    """Read ``NAME=VALUE``; the value is a Python literal, or else a string."""
    name, separator, value = text.partition("=")
    if not separator or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m tools.lessons", description=__doc__)
    parser.add_argument("action", choices=("run", "store", "tidy", "site"))
    parser.add_argument("names", nargs="*", help="file names in notebooks/ (default: all)")
    parser.add_argument("--profile", default="standard", help="fast, standard or full")
    parser.add_argument(
        "-p", "--parameter", type=parameter, action="append", default=[], metavar="NAME=VALUE"
    )
    options = parser.parse_intermixed_args(arguments)
    data_source = "embedded"
    if options.action == "run":
        data_source = os.environ.get("COURSE_DATA_SOURCE") or "embedded"
    environment = tasks.notebook_environment(Path(sys.executable), options.profile, data_source)
    os.environ.clear()
    os.environ.update(environment)
    names = options.names or [path.name for path in tasks.lesson_paths()]
    sources = [NOTEBOOKS / name for name in names]
    if options.action == "site":
        return 1 if site() else 0
    if options.action == "tidy":
        return tidy(sources)
    if options.action == "store":
        return store(sources)
    return run(sources, dict(options.parameter))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
