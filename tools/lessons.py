"""Execute the lessons and show them: ``python -m tools.lessons run [02 04]``.

``run`` builds the site from what is there, then executes lessons, as many at once as there are
cores, and renews each page as its lesson ends. ``site`` only builds it. ``outputs`` stores the
outputs of the standard profile in ``notebooks/``. ``verdicts`` executes with other seeds and
threads and tabulates the lines that begin with "Verdict: ". ``lesson`` checks one lesson.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import logging
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import product
from pathlib import Path
from typing import Any

# Before TQDM_DISABLE is set for the kernels: tqdm reads it when it is imported.
from tqdm import tqdm  # isort: skip

import papermill
from nbconvert.filters import strip_ansi
from nbformat import NotebookNode

from tools import normalize, tasks

EXECUTED = tasks.BUILD / "executed"
RECORDS = tasks.BUILD / "lessons.json"
SITE = tasks.BUILD / "site"
CELL_TIMEOUT_SECONDS = 900

#: What happened to one lesson: status ("ok" or "failed"), seconds, profile, torch, the hash of the
#: cells that were executed, and for a failed one the cell and its error.
Record = dict[str, Any]


# --- execution --------------------------------------------------------------------------------


def source_hash(notebook: NotebookNode) -> str:
    """Hash of the cells' types and sources: what an execution depends on."""
    cells = [(cell.cell_type, cell.source.rstrip()) for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def execute(
    source: Path, target: Path, parameters: dict[str, Any], environment: dict[str, str]
) -> Record:
    """Execute one lesson in a fresh kernel, and say what happened; for a worker process.

    Parameters
    ----------
    source, target
        The notebook, and where the executed one goes (also when it fails).
    parameters
        Injected after the cell tagged ``parameters``.
    environment
        All variables that the kernel has.
    """
    os.environ.clear()
    os.environ.update(environment)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    logging.getLogger("papermill").setLevel(logging.WARNING)
    start, failure = time.monotonic(), None
    try:
        papermill.execute_notebook(
            source,
            target,
            parameters=parameters,
            kernel_name="python3",
            language="python",
            cwd=source.parent,
            progress_bar=False,
            execution_timeout=CELL_TIMEOUT_SECONDS,
        )
    except Exception as error:
        failure = describe_failure(f"{type(error).__name__}: {error}", target)
    return {
        "name": source.stem,
        "status": "failed" if failure else "ok",
        "seconds": round(time.monotonic() - start, 1),
        "profile": environment["COURSE_PROFILE"],
        "torch": importlib.metadata.version("torch"),
        "source_hash": source_hash(normalize.read(source)),
        "failure": failure,
    }


def describe_failure(error: str, executed: Path) -> dict[str, Any]:
    """Find the failing cell in an executed notebook; the kernel itself may also have died."""
    cells = []
    if executed.exists():
        cells = normalize.without_papermill_marks(normalize.read(executed)).cells
    for index, cell in enumerate(cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                traceback = strip_ansi("\n".join(output.traceback))
                text = f"{output.ename}: {output.evalue}"
                return {"cell": index, "source": cell.source, "error": text, "trace": traceback}
        if cell.metadata.get("papermill", {}).get("status") in ("running", "failed"):
            return {"cell": index, "source": cell.source, "error": error, "trace": error}
    return {"cell": None, "source": "", "error": error, "trace": error}


def execute_all(
    jobs: Sequence[tuple[Path, Path, dict[str, Any], dict[str, str]]], at_once: int
) -> Iterator[tuple[int, Record]]:
    """Execute lessons in worker processes; yield the number of each job as it is done.

    On a terminal a bar over lessons moves; in a log there is one line for each that is done.
    """
    bar = tqdm(total=len(jobs), desc="lessons", disable=not sys.stderr.isatty(), dynamic_ncols=True)
    with ProcessPoolExecutor(at_once) as pool, bar:
        waiting = {pool.submit(execute, *job): number for number, job in enumerate(jobs)}
        while waiting:
            done, _ = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
            bar.refresh()
            for future in done:
                record = future.result()
                verdict = "ok    " if record["status"] == "ok" else "FAILED"
                tqdm.write(f"{verdict} {record['name']:<36} {record['seconds']:6.1f} s")
                if record["failure"]:
                    place = record["failure"]["cell"]
                    where = "the kernel" if place is None else f"cell {place + 1}"
                    tqdm.write(f"\n  {record['name']} failed in {where}:")
                    tqdm.write(textwrap.indent(record["failure"]["source"], "    | "))
                    tqdm.write(textwrap.indent(record["failure"]["trace"], "    ") + "\n")
                sys.stdout.flush()
                bar.update()
                yield waiting.pop(future), record


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --- the site ---------------------------------------------------------------------------------


def put(content: bytes, target: Path) -> None:
    """Write a file, unless it holds just that: Sphinx reads again what has a new date."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.read_bytes() != content:
        target.write_bytes(content)


def load_records() -> dict[str, Record]:
    """Read what happened at earlier executions, by lesson."""
    try:
        return json.loads(RECORDS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def newest(source: Path, records: dict[str, Record]) -> NotebookNode:
    """Open a lesson with its newest outputs.

    If it was executed here since its last change, those of that execution, and its record in the
    metadata under ``course``; else what is stored in it.
    """
    notebook, record = normalize.read(source), records.get(source.stem)
    if record and record["source_hash"] == source_hash(notebook):
        if (EXECUTED / source.name).exists():
            notebook = normalize.normalized(normalize.read(EXECUTED / source.name))
        notebook.metadata["course"] = record
    return notebook


def build_site(target: Path) -> int:
    """Build what has changed of the site; its sources are collected beside it.

    Returns
    -------
    int
        Sphinx's exit status.
    """
    from sphinx.cmd.build import build_main

    sources, records = target.with_name(f"{target.name}-source"), load_records()
    copied = {path: path.relative_to(tasks.ROOT / "docs") for path in tasks.ROOT.glob("docs/**/*")}
    for name in ("data/README.md", "data/pictures/*", "CONTRIBUTING.md", ".github/poster.jpg"):
        copied |= {path: path.relative_to(tasks.ROOT) for path in tasks.ROOT.glob(name)}
    wanted = {
        sources / place: path.read_bytes()
        for path, place in copied.items()
        if path.is_file() and "__pycache__" not in path.parts
    }
    for path in tasks.lesson_paths():
        text = json.dumps(newest(path, records), ensure_ascii=False)
        wanted[sources / "notebooks" / path.name] = text.encode()
    for path, content in wanted.items():
        put(content, path)
    for path in [*sources.glob("*.md"), *sources.glob("notebooks/*")]:
        if path not in wanted:
            path.unlink()
    options = ["-q", "-j", "auto", "-c", str(tasks.ROOT / "docs")]
    return build_main([*options, str(sources), str(target)])


# --- commands ---------------------------------------------------------------------------------


def site() -> int:
    """Build the site and say where it is."""
    start = time.monotonic()
    code = build_site(SITE)
    taken = f"{time.monotonic() - start:.0f} s"
    print(f"site: {(SITE / 'index.html').as_uri()} ({taken})", flush=True)
    return code


def run(sources: Sequence[Path], store: bool = False) -> int:
    """Execute lessons, each page renewed as its lesson ends, or with `store` their outputs stored.

    Returns
    -------
    int
        1 if a lesson failed or a page has a problem, else 0.
    """
    start, failed = time.monotonic(), []
    problems = 0 if store else site()
    profile = "standard" if store else os.environ.get("COURSE_PROFILE") or "standard"
    data_source = "embedded" if store else os.environ.get("COURSE_DATA_SOURCE") or "embedded"
    environment = tasks.notebook_environment(profile, data_source)
    jobs = [(source, EXECUTED / source.name, {}, environment) for source in sources]
    for number, record in execute_all(jobs, cores()):
        source, executed = jobs[number][:2]
        records = load_records() | {source.stem: record}
        RECORDS.write_text(json.dumps(records, indent=1), encoding="utf-8")
        if record["failure"]:
            failed.append(source.stem)
        elif store:
            notebook = normalize.normalized(normalize.read(executed))
            normalize.write(notebook, source)
            if source.stem.startswith("00"):
                store_poster(notebook)
        if not store:
            problems |= build_site(SITE)
    done = f"{len(sources) - len(failed)} of {len(sources)} lessons ok"
    print(f"{done} in {time.monotonic() - start:.0f} s; {(SITE / 'index.html').as_uri()}")
    if failed:
        print(f"failed: {', '.join(sorted(failed))} (cells and errors are above)")
    return int(bool(failed) or problems != 0)


def store_poster(notebook: NotebookNode) -> None:
    """Store the figure of the cell tagged ``thumbnail`` for the README and the start page."""
    (cell,) = (c for c in notebook.cells if "thumbnail" in c.metadata.get("tags", []))
    (figure,) = (o.data["image/jpeg"] for o in cell.outputs if "image/jpeg" in o.get("data", {}))
    put(base64.b64decode(figure), tasks.ROOT / ".github" / "poster.jpg")


def verdicts(sources: Sequence[Path]) -> int:
    """Tabulate the lessons' verdicts for seeds 0, 1, 2 on one thread, and seed 0 on two.

    Returns
    -------
    int
        1 if a lesson failed or a verdict's sentence changed (numbers in it may), else 0.
    """
    environment = tasks.notebook_environment(os.environ.get("COURSE_PROFILE") or "standard")
    variants = [(0, 1), (1, 1), (2, 1), (0, 2)]
    jobs = []
    for source, (seed, threads) in product(sources, variants):
        target = tasks.BUILD / "verdicts" / f"{source.stem}-{seed}-{threads}.ipynb"
        variables = environment | {"OMP_NUM_THREADS": str(threads)}
        jobs.append((source, target, {"seed": seed}, variables))
    failed = sum(record["status"] != "ok" for _, record in execute_all(jobs, cores()))
    moved = 0
    for source in sources:
        print(f"\n{source.stem}")
        columns = [verdict_lines(job[1]) for job in jobs if job[0] == source and job[1].exists()]
        for row in range(max(map(len, columns), default=0)):
            said = [column[row] if row < len(column) else "(none)" for column in columns]
            same = len({re.sub(r"[\d.,%+−-]+", "#", text) for text in said}) == 1
            moved += not same
            print(f"  {'same ' if same else 'MOVED'}  {said[0]}")
            for (seed, threads), text in zip(variants[1:], said[1:], strict=False):
                print(f"         seed {seed}, {threads} thread(s): {text}")
    print(f"\n{moved} verdicts moved, {failed} executions failed")
    return int(moved > 0 or failed > 0)


def verdict_lines(path: Path) -> list[str]:
    """Every printed line of an executed notebook that begins with "Verdict: "."""
    outputs = [o for cell in normalize.read(path).cells for o in cell.get("outputs", [])]
    text = "\n".join(output.get("text", "") for output in outputs)
    return re.findall(r"^Verdict: (.*)$", text, re.M)


def lesson(sources: Sequence[Path]) -> int:
    """Check lessons: style, the rules, the tests of their code, and an execution in `fast`."""
    code = 0
    for source in sources:
        name = str(source.relative_to(tasks.ROOT))
        tests = list(map(str, tasks.ROOT.glob(f"tests/lessons/test_lesson_{source.name[:2]}*.py")))
        parts = [["ruff", "check", name], ["ruff", "format", "--check", name]]
        parts.append(["codespell_lib", name])
        parts += [["tests.lessons.lesson_rules", name], *([["pytest", *tests]] if tests else [])]
        for part in parts:
            code |= subprocess.call([sys.executable, "-m", *part], cwd=tasks.ROOT)
        command = tasks.notebook_tests(sys.executable, [source])
        code |= subprocess.call(command, cwd=tasks.ROOT, env=tasks.notebook_environment("fast"))
    return int(code != 0)


def main(arguments: Sequence[str]) -> int:
    """Run one command of this module."""
    name, *rest = arguments
    sources = tasks.lesson_paths(" ".join(rest))
    if name in ("run", "outputs"):
        if name == "outputs" and not rest:
            sources = [*sources, tasks.ROOT / "notebooks" / "_template.ipynb"]
        return run(sources, store=name == "outputs")
    return site() if name == "site" else {"verdicts": verdicts, "lesson": lesson}[name](sources)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
