"""Grade a class: ``python -m tools.grading grade FROM [--assignment 01] [--to DIR]``.

Also ``release`` (generate what students get), ``course DIR`` (a ready nbgrader course) and
``demo`` (make a class of a hundred and grade it).
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import uuid
import zipfile
from pathlib import Path
from typing import Any

import nbformat
from tqdm.auto import tqdm

from tools import tasks

from . import demo, masters, report
from .repair import repair, salvage

#: What comes back is looked for in files of these kinds.
KINDS = (".ipynb", ".py", ".json", ".txt")


def submissions(source: Path, scratch: Path) -> list[tuple[str, Path]]:
    """List (student, file) in a folder or zip, as e-mail, an LMS or JupyterHub lays them out.

    The student's name is that of the folder, or what stands before the assignment in the file's
    name: ``ada/01_x.ipynb``, ``ada/01_x/01_x.ipynb``, ``ada_01_x.ipynb``, ``Ada Lovelace_123_…``.
    """
    roots = [source]
    if source.is_file() and zipfile.is_zipfile(source):
        roots = [_unzipped(source, scratch / "all")]
    elif not source.is_dir():
        raise tasks.TaskError(f"{source} is neither a folder nor a zip file")
    for number, inner in enumerate(sorted(roots[0].rglob("*.zip"))):
        name = _student(inner.relative_to(roots[0]).parts)
        roots.append(_unzipped(inner, scratch / str(number) / name).parent)
    found = []
    for root in roots:
        for path in sorted(root.rglob("*")):
            inside = path.relative_to(root).parts
            if not path.is_file() or any(part.startswith((".", "__")) for part in inside):
                continue
            if path.suffix.lower() in KINDS or ".ipynb" in path.name.lower():
                found.append((_student(inside), path))
    if not found:
        raise tasks.TaskError(f"there is no notebook in {source}")
    return found


def _unzipped(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)  # it drops drives, leading slashes and ".."
    return folder


def _student(parts: tuple[str, ...]) -> str:
    folders = [part for part in parts[:-1] if not re.match(r"\d\d_", part)]
    if folders:
        return re.split(r"_\d{3,}|_assignsubmission", folders[-1])[0]
    stem = re.sub(r"\.ipynb.*$|\.\w+$", "", parts[-1], flags=re.I)
    return re.split(r"[_ -]+(?:\d{3,}|\d\d[_-])", stem)[0].strip("_- ") or stem


def which(path: Path, data: bytes, chosen: list[masters.Master]) -> masters.Master | None:
    """Find the assignment by what is in the text: ids, metadata, names; else by the file's name."""
    cells, _ = salvage(data)
    text = "\n".join(f"{marks.get('grade_id', '')}\n{source}" for _, marks, source in cells)
    used = set(re.findall(r"\b(\w+) *[(=]", text))
    counts = {}
    for master in chosen:
        marks = [master.name]  # in the badges' addresses
        for task in master.tasks.values():
            marks += [f"Task {task.id}", f"task-{task.id.replace('.', '-')}"]
        defined = {name for task in master.tasks.values() for name in task.names}
        found = len(used & defined) / len(defined)
        counts[master] = 3 * sum(mark in text for mark in marks) + found
    best = max(counts, key=counts.get)
    if counts[best]:
        return best
    named = [m for m in chosen if m.name in str(path) or m.name[:2] in path.stem]
    return named[0] if named else (chosen[0] if len(chosen) == 1 else None)


def grade_one(job: dict[str, Any]) -> dict[str, Any]:
    """Grade one submission in a process group of its own; never raise."""
    master, target = job["master"], Path(job["target"])
    zero = {"student": job["student"], "assignment": master.name, "checks": {}, "cells": []}
    zero["points"] = dict.fromkeys(master.tasks, 0.0)
    if target.exists():
        return json.loads(target.read_text(encoding="utf-8"))
    repaired = repair(job["data"], master)
    notes = [*repaired.notes]
    if repaired.student and repaired.student.lower() != job["student"].lower():
        notes.append(f"the notebook names {repaired.student!r} as its student")
    with tempfile.TemporaryDirectory() as folder:
        notebook, out = Path(folder) / "in.ipynb", Path(folder) / "out.json"
        nbformat.write(repaired.notebook, notebook)
        arguments = ("grade", master.name, job["student"], job["template"], job["truth"])
        _, said = in_own_process(*arguments, notebook, out, folder=folder, seconds=600)
        if out.exists():
            result = json.loads(out.read_text(encoding="utf-8"))
        else:
            result = zero
            notes.append(f"GRADE BY HAND: {(said.splitlines()[-1:] or ['no result'])[0][:300]}")
    result |= {"file": job["file"], "notes": notes}
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".part")
    partial.write_text(json.dumps(result), encoding="utf-8")
    partial.replace(target)
    return result


def in_own_process(*arguments: str | Path, folder: str | Path, seconds: float) -> tuple[int, str]:
    """Run the runner in a process group, of which nothing is left; return status and output.

    It is forked from a process that has imported nbgrader once, for all submissions.
    """
    from . import runner  # slow to import

    context = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")
    if os.name != "nt":
        context.set_forkserver_preload(["tools.grading.runner"])
    said = Path(folder) / f"said-{uuid.uuid4().hex}.txt"
    roots = os.pathsep.join(map(str, (tasks.ROOT, tasks.ROOT / "data")))
    environment = tasks.clean_environment(OMP_NUM_THREADS="1", PYTHONPATH=roots, TMPDIR=str(folder))
    process = context.Process(
        target=runner.alone, args=(list(map(str, arguments)), environment, said)
    )
    process.start()
    process.join(seconds)
    late = process.is_alive()
    if os.name != "nt":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
    if late:
        return process.exitcode, f"took more than {seconds / 60:.0f} minutes"
    return process.exitcode, said.read_text(errors="replace").strip() if said.exists() else ""


def prepare_truths(jobs: list[dict[str, Any]], folder: Path, workers: int) -> None:
    """Let the masters answer for all students who are not graded yet; each job learns where.

    Raises
    ------
    tasks.TaskError
        If a master does not answer one of its own checks.
    """
    wanted: dict[str, dict[str, str]] = {}
    for number, job in enumerate(jobs):
        if not Path(job["target"]).exists():
            places = wanted.setdefault(job["master"].name, {})
            job["truth"] = places.setdefault(job["student"], str(folder / f"truth/{number}/own"))
    groups = []
    for name, places in wanted.items():
        size = max(1, min(25, -(-len(places) // workers)))
        students = iter(places.items())
        while group := dict(itertools.islice(students, size)):
            groups.append((name, group))

    def answer(numbered: tuple[int, tuple[str, dict[str, str]]]) -> None:
        number, (name, places) = numbered
        listed = folder / f"truths-{number}.json"
        listed.write_text(json.dumps(places), encoding="utf-8")
        status, said = in_own_process("truths", name, listed, folder=folder, seconds=1800)
        if status:
            raise tasks.TaskError((said.splitlines() or [f"{name} gave no answers"])[-1])

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        steps = pool.map(answer, enumerate(groups))
        list(tqdm(steps, total=len(groups), desc="answers of the masters"))


def grade(source: Path, to: Path, selection: str = "", workers: int | None = None) -> int:
    """Grade everything in a folder or zip; what is graded already is not graded again."""
    chosen = masters.masters(selection)
    with tempfile.TemporaryDirectory() as scratch:
        found = submissions(source, Path(scratch))
        template = masters.course(Path(scratch) / "course", chosen)
        jobs, unknown = [], []
        for student, path in found:
            data = path.read_bytes()
            master = which(path, data, chosen)
            if master is None:
                unknown.append(path.name)
                continue
            key = hashlib.sha256(data + master.path.read_bytes() + student.encode()).hexdigest()
            target = to / master.name / "results" / f"{report.file_name(student)}-{key[:12]}.json"
            jobs.append({"master": master, "student": student, "data": data, "file": path.name,
                         "template": str(template), "target": str(target)})  # fmt: skip
        results = []
        workers = workers or os.cpu_count() or 1
        prepare_truths(jobs, Path(scratch), workers)
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            graded = pool.map(grade_one, jobs)
            for result in tqdm(graded, total=len(jobs), desc="submissions"):
                results.append(result)
    for master in chosen:
        own = best_of([r for r in results if r["assignment"] == master.name])
        if own:
            report.write(own, master, to / master.name)
            print(f"{master.name}: {len(own)} students; {to / master.name / 'index.html'}")
    by_hand = [r["student"] for r in results if any(n.startswith("GRADE BY") for n in r["notes"])]
    if by_hand:
        print(f"to be graded by hand: {', '.join(by_hand)}")
    if unknown:
        print(f"of no assignment: {', '.join(unknown)}")
    return 0


def best_of(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep one result for each student: of several files the one with most points."""
    kept: dict[str, dict[str, Any]] = {}
    for result in results:
        old = kept.get(result["student"])
        if old is None or sum(result["points"].values()) > sum(old["points"].values()):
            kept[result["student"]] = result
    counts = {s: sum(r["student"] == s for r in results) for s in kept}
    for student, result in kept.items():
        if counts[student] > 1:
            result["notes"] = [*result["notes"], f"the best of {counts[student]} files"]
    return list(kept.values())


def main() -> int:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(prog="python -m tools.grading", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    grading = commands.add_parser("grade", help="grade a folder or zip of notebooks")
    grading.add_argument("source", type=Path, metavar="FROM")
    grading.add_argument("--assignment", default="", help="01, or several; by default all")
    grading.add_argument("--to", type=Path, default=tasks.BUILD / "grades")
    grading.add_argument("--workers", type=int, help="processes (default: one a core)")
    commands.add_parser("release", help="generate notebooks/assignments/release")
    making = commands.add_parser("course", help="a ready nbgrader course")
    making.add_argument("folder", type=Path)
    showing = commands.add_parser("demo", help="make a class and grade it")
    showing.add_argument("--students", type=int, default=100)
    options = parser.parse_args()
    try:
        if options.command == "grade":
            return grade(options.source, options.to, options.assignment, options.workers)
        if options.command == "release":
            changed = masters.release(masters.masters())
            print(*(changed or ["the releases are up to date"]), sep="\n")
        elif options.command == "course":
            print(f"a course in {masters.course(options.folder, masters.masters())}")
        else:
            folder, graded = tasks.BUILD / "demo-class", tasks.BUILD / "demo-grades"
            grade(demo.make(folder, options.students), graded)
            return demo.compare(folder, graded)
    except tasks.TaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
