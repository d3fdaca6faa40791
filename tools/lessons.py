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
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import product, zip_longest
from pathlib import Path
from typing import Any

# Before TQDM_DISABLE is set for the kernels: tqdm reads it when it is imported.
from tqdm import tqdm  # isort: skip

import papermill
from nbconvert.filters import strip_ansi
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from tools import normalize, tasks

EXECUTED = tasks.BUILD / "executed"
SITE = tasks.BUILD / "site"
#: How papermill executes a lesson; a cell may take 15 minutes.
EXECUTION = {"kernel_name": "python3", "language": "python", "progress_bar": False}
EXECUTION |= {"execution_timeout": 900}
# Importing the site's theme makes every library log its steps; papermill's would hide the bar.
papermill.execute.logger.setLevel("WARNING")

#: What happened to one lesson: status ("ok" or "failed"), seconds, profile, torch, the hash of the
#: cells that were executed, and for a failed one the cell and its error.
Record = dict[str, Any]
#: The notebook, where the executed one goes (also if it fails), parameters, the kernel's variables.
Job = tuple[Path, Path, dict[str, Any], dict[str, str]]


# --- execution --------------------------------------------------------------------------------


def source_hash(notebook: NotebookNode) -> str:
    """Hash of the cells' types and sources: what an execution depends on."""
    cells = [(cell.cell_type, cell.source.rstrip()) for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def execute(job: Job) -> Record:
    """Execute one lesson in a fresh kernel, and say what happened; for a worker process."""
    source, target, parameters, environment = job
    os.environ.clear()
    os.environ.update(environment)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    start, failure = time.monotonic(), None
    try:
        papermill.execute_notebook(source, target, parameters, cwd=source.parent, **EXECUTION)
    except Exception as error:  # also those of a kernel that dies or takes too long
        failure = describe_failure(error, target)
    return {
        "name": source.stem,
        "status": "failed" if failure else "ok",
        "seconds": round(time.monotonic() - start, 1),
        "profile": environment["COURSE_PROFILE"],
        "torch": importlib.metadata.version("torch"),
        "source_hash": source_hash(normalize.read(source)),
        "failure": failure,
    }


def describe_failure(error: Exception, executed: Path) -> dict[str, Any]:
    """Find the failing cell in an executed notebook; the kernel itself may also have died."""
    text = f"{type(error).__name__}: {error}"
    failure = {"cell": None, "source": "", "error": text, "trace": text}
    if executed.exists():
        cells = normalize.without_papermill_marks(normalize.read(executed)).cells
        for index, cell in enumerate(cells):
            if cell.metadata.get("papermill", {}).get("status") in ("running", "failed"):
                failure |= {"cell": index, "source": cell.source}
    if isinstance(error, PapermillExecutionError):
        trace = strip_ansi("\n".join(error.traceback))
        failure |= {"error": f"{error.ename}: {error.evalue}", "trace": trace}
    return failure


def execute_all(jobs: Sequence[Job], threads: int = 1) -> Iterator[tuple[Job, Record]]:
    """Execute lessons, as many at once as the cores have room for; yield each as it is done.

    On a terminal a bar over lessons moves; in a log there is one line for each that is done.
    """
    bar = tqdm(total=len(jobs), desc="lessons", disable=not sys.stderr.isatty(), dynamic_ncols=True)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ProcessPoolExecutor(max(1, (cores or 1) // threads)) as pool, bar:
        waiting = {pool.submit(execute, job): job for job in jobs}
        while waiting:
            done, _ = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
            bar.refresh()
            for future in done:
                record = future.result()
                failure = record["failure"]
                verdict = "FAILED" if failure else "ok    "
                tqdm.write(f"{verdict} {record['name']:<36} {record['seconds']:6.1f} s")
                if failure:
                    place = failure["cell"]
                    where = "the kernel" if place is None else f"cell {place + 1}"
                    tqdm.write(f"\n  {record['name']} failed in {where}:")
                    tqdm.write(textwrap.indent(failure["source"], "    | "))
                    tqdm.write(textwrap.indent(failure["trace"], "    ") + "\n")
                sys.stdout.flush()
                bar.update()
                yield waiting.pop(future), record


# --- the site ---------------------------------------------------------------------------------


def put(content: bytes, target: Path) -> None:
    """Write a file, unless it holds just that: Sphinx reads again what has a new date."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.read_bytes() != content:
        target.write_bytes(content)


def newest(source: Path) -> NotebookNode:
    """Open a lesson with its newest outputs.

    If it was executed here since its last change, those of that execution, and its record in the
    metadata under ``course``; else what is stored in it.
    """
    notebook, executed = normalize.read(source), EXECUTED / source.name
    ours = normalize.read(executed) if executed.exists() else notebook
    fits = ours.metadata.get("course", {}).get("source_hash") == source_hash(notebook)
    return ours if fits else notebook


def build_site(target: Path) -> int:
    """Build what has changed of the site; its sources are collected beside it.

    Returns
    -------
    int
        Sphinx's exit status.
    """
    from sphinx.cmd.build import build_main

    sources, wanted = target.with_name(f"{target.name}-source"), {}
    names = ("data/README.md", "data/pictures/*", "CONTRIBUTING.md", ".github/poster.jpg")
    for name in ("docs/*.*", "docs/_static/*", *names):
        root = tasks.ROOT / "docs" if name.startswith("docs") else tasks.ROOT
        for path in tasks.ROOT.glob(name):
            wanted[sources / path.relative_to(root)] = path.read_bytes()
    for path in tasks.lesson_paths():
        text = json.dumps(newest(path), ensure_ascii=False)
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
    print(f"site: {(SITE / 'index.html').as_uri()} ({time.monotonic() - start:.0f} s)", flush=True)
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
    for (source, executed, *_), record in execute_all(jobs):
        notebook = normalize.normalized(normalize.read(executed if executed.exists() else source))
        if record["failure"]:
            failed.append(source.stem)
        elif store:
            normalize.write(notebook, source)
            if source.stem.startswith("00"):
                store_poster(notebook)
        notebook.metadata["course"] = record
        normalize.write(notebook, executed)
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
    variants, failed, moved = [(0, 1), (1, 1), (2, 1), (0, 2)], 0, 0

    def place(source: Path, seed: int, threads: int) -> Path:
        return tasks.BUILD / "verdicts" / f"{source.stem}-{seed}-{threads}.ipynb"

    for count in (1, 2):
        some = [(s, seed) for s, (seed, threads) in product(sources, variants) if threads == count]
        variables = environment | {"OMP_NUM_THREADS": str(count)}
        jobs = [(s, place(s, seed, count), {"seed": seed}, variables) for s, seed in some]
        failed += sum(record["status"] != "ok" for _, record in execute_all(jobs, count))
    for source in sources:
        print(f"\n{source.stem}")
        columns = [verdict_lines(place(source, *variant)) for variant in variants]
        for said in zip_longest(*columns, fillvalue="(none)"):
            same = len({re.sub(r"[\d.,%+−-]+(e-\d+)?", "#", text) for text in said}) == 1
            moved += not same
            print(f"  {'same ' if same else 'MOVED'}  {said[0]}")
            for (seed, threads), text in zip(variants[1:], said[1:], strict=True):
                print(f"         seed {seed}, {threads} thread(s): {text}")
    print(f"\n{moved} verdicts moved, {failed} executions failed")
    return int(moved > 0 or failed > 0)


def verdict_lines(path: Path) -> list[str]:
    """Every printed line of an executed notebook, if it is there, that begins with "Verdict: "."""
    cells = normalize.read(path).cells if path.exists() else []
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    text = "\n".join(output.get("text", "") for output in outputs)
    return re.findall(r"^Verdict: (.*)$", text, re.M)


def lesson(sources: Sequence[Path]) -> int:
    """Check lessons: style, the rules, the tests of their code, and an execution in `fast`."""
    code = 0
    for source in sources:
        checks = [*tasks.COMMANDS["lint"], "tests.lessons.lesson_rules"]
        parts = [[*check.split(), str(source.relative_to(tasks.ROOT))] for check in checks]
        for path in tasks.ROOT.glob(f"tests/lessons/test_lesson_{source.name[:2]}*.py"):
            parts.append(["pytest", str(path)])
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
        template = [] if rest or name == "run" else [tasks.ROOT / "notebooks" / "_template.ipynb"]
        return run([*sources, *template], store=name == "outputs")
    return site() if name == "site" else {"verdicts": verdicts, "lesson": lesson}[name](sources)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
