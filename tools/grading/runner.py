"""One submission, graded by nbgrader in a process of its own.

The student's code runs in a kernel that may not open the course's masters, connect, or start
processes, within limits of time, memory and file size. This keeps accidents and pranks from doing
harm; it is **no sandbox** against someone who means it: see the instructors' page.

The answers of all checks leave the kernel as numbers and are compared here, with those that the
master's solution gives in another kernel, so that nothing a student does to torch, to the checks or
to the notebook decides about points.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbgrader import preprocessors
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from traitlets.config import Config

from course_utils.exercises import RECORDS, STUDENT, difference
from tools import tasks

from .masters import MARK, Master, masters

#: Seconds for a student's cell, for set-up, for a whole submission; bytes of memory, of any file.
CELL_SECONDS, SETUP_SECONDS, SUBMISSION_SECONDS = 30, 180, 240
MEMORY, FILE_SIZE = 6 * 2**30, 64 * 2**20

GUARD = """
def _guard():
    import os, sys, warnings
    import matplotlib.pyplot, torch  # what they open and start, they do here
    from torchvision.models import resnet18
    import course_utils as cu, captum.attr
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    try:
        import resource
        resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
        resource.setrlimit(resource.RLIMIT_FSIZE, ({file_size}, {file_size}))
    except (ImportError, ValueError):
        pass
    hidden = {hidden!r}
    stopped = ("os.fork", "os.forkpty", "os.system", "os.exec", "os.posix_spawn", "os.spawn",
               "subprocess.Popen", "socket.connect", "socket.bind", "os.kill")
    def watch(event, arguments):
        if event in stopped:
            raise PermissionError(f"{{event}} is not allowed while grading")
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if path.startswith(hidden):
                raise PermissionError("this file is not for submissions")
    sys.addaudithook(watch)
_guard()
del _guard
"""


class Execute(preprocessors.Execute):
    """nbgrader's execution that goes on after a cell that kills the kernel or never ends."""

    def preprocess(self, nb: NotebookNode, resources: dict, *args: Any, **kwargs: Any) -> tuple:
        """Execute all cells; a cell that stopped the kernel becomes an error, and all run again."""
        self.timeout_func, self.interrupt_on_timeout = self.seconds, False
        clean = [cell.source for cell in nb.cells]
        stopped: dict[int, str] = {}
        end = time.monotonic() + SUBMISSION_SECONDS
        while True:
            for index, reason in stopped.items():
                nb.cells[index].source = f"raise RuntimeError({reason!r})"
            records = Path(os.environ[RECORDS])
            shutil.rmtree(records, ignore_errors=True)
            records.mkdir(parents=True)
            self.reached = 0
            try:
                super().preprocess(nb, resources, *args, **kwargs)
                break
            except (DeadKernelError, CellTimeoutError) as error:
                late = isinstance(error, CellTimeoutError)
                reason = f"took more than {CELL_SECONDS} s" if late else "stopped Python"
                reason = f"this cell {reason}"
                if self.reached in stopped or time.monotonic() > end or len(stopped) > 8:
                    break  # what was not reached has no record, and no points
                stopped[self.reached] = reason
        for index, source in enumerate(clean):
            nb.cells[index].source = source
        return nb, resources

    @staticmethod
    def seconds(cell: NotebookNode) -> int:
        """Give imports time on a busy machine, and a student's cell less."""
        prepared = "guard" in cell.metadata.get("tags", []) or "# Set-up" in cell.source[:10]
        return SETUP_SECONDS if prepared else CELL_SECONDS

    def on_cell_start(self, **keywords: Any) -> None:
        """Remember how far it came."""
        self.reached = keywords["cell_index"]


class Compare(preprocessors.NbGraderPreprocessor):
    """Check cells pass if every answer that left the kernel is the solution's; else they fail."""

    truth: dict[str, np.ndarray] = {}  # noqa: RUF012 - set before each run
    results: dict[str, bool] = {}  # noqa: RUF012

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple:
        """Replace the outcome of each check cell by that of the comparison."""
        answers = read_records(Path(os.environ[RECORDS]))
        tasks = Compare.master.tasks
        Compare.results = {}
        for cell in nb.cells:
            mark = MARK.match(cell.source)
            if not (mark and mark[1].capitalize() == "Check" and "nbgrader" in cell.metadata):
                continue
            task = tasks[mark[2]]
            results = {
                n: same(answers.get(n), self.truth.get(n)) for n in task.visible + task.hidden
            }
            Compare.results |= results
            cell.outputs = [out for out in cell.outputs if out.output_type != "error"]
            if not all(results.values()):
                cell.outputs.append(
                    nbformat.v4.new_output("error", ename="Wrong", evalue="", traceback=["wrong"])
                )
        return nb, resources


def read_records(folder: Path) -> dict[str, np.ndarray]:
    """Answers by the name of their check; an unreadable one counts as none."""
    found = {}
    for path in sorted(folder.glob("*.npz")):
        with contextlib.suppress(Exception), np.load(path, allow_pickle=False) as record:
            found[str(record["name"])] = record["answer"]
    return found


def same(answer: np.ndarray | None, truth: np.ndarray | None) -> bool:
    """Whether an answer is the solution's, within what rounding explains."""
    if answer is None or truth is None:
        return False
    if truth.dtype.kind in "US":
        return answer.dtype.kind in "US" and str(answer).strip().lower() == str(truth).lower()
    return difference(answer, truth, rtol=1e-3, atol=1e-5) is None


def guarded(notebook: NotebookNode, hidden: tuple[str, ...]) -> NotebookNode:
    """Put the guard before all cells."""
    source = GUARD.format(memory=MEMORY, file_size=FILE_SIZE, hidden=hidden)
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["guard"]})
    notebook.cells.insert(0, cell)
    return notebook


def truths(master: Master, places: dict[str, Path]) -> None:
    """Execute the master for each student, and keep what its solutions answer in a folder each.

    All in one kernel, which imports once: the master is our own code.

    Parameters
    ----------
    master : Master
        The assignment.
    places : dict of str to Path
        Students, and the new folder for each.

    Raises
    ------
    RuntimeError
        If a check of the master has no answer: then nobody could pass.
    """
    notebook = nbformat.v4.new_notebook(metadata=master.notebook.metadata)
    for student, place in places.items():
        place.mkdir(parents=True)
        settings = {RECORDS: str(place), STUDENT: student}
        first = f"import os\nos.environ |= {settings!r}\n%matplotlib agg"  # figures are not needed
        code = [cell.source for cell in master.notebook.cells if cell.cell_type == "code"]
        notebook.cells += [nbformat.v4.new_code_cell(source) for source in (first, *code)]
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(
            notebook, timeout=SETUP_SECONDS, resources=resources, allow_errors=True
        ).execute()
    names = [n for task in master.tasks.values() for n in task.visible + task.hidden]
    for place in places.values():
        if missing := set(names) - set(read_records(place)):
            said = f"the master {master.name} does not answer {', '.join(sorted(missing))}"
            raise RuntimeError(said)


def grade(
    notebook: NotebookNode, student: str, master: Master, template: Path, truth: Path
) -> dict[str, Any]:
    """Grade a repaired notebook with nbgrader, and return points, answers and outputs.

    Parameters
    ----------
    notebook, student
        As `repair` gives it, and who sent it.
    master : Master
        The assignment.
    template : Path
        A course folder made by `masters.course`; it is copied, and never written to.
    truth : Path
        What `truths` kept for this student.
    """
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "course"
        shutil.copytree(template, root)
        os.environ |= {RECORDS: f"{scratch}/records", STUDENT: student}
        place = root / "submitted" / "student" / master.name
        place.mkdir(parents=True)
        hidden = (str(template.resolve()), str(root / "source"), str(root / "gradebook.db"))
        hidden += (str(master.path.parents[2].resolve()), str(truth.resolve().parent))
        nbformat.write(guarded(notebook, hidden), place / master.path.name)
        Compare.truth, Compare.master = read_records(truth), master
        config = Config()
        config.CourseDirectory.root = str(root)
        config.Autograde.autograde_preprocessors = [
            Execute,
            Compare,
            preprocessors.LimitOutput,
            preprocessors.SaveAutoGrades,
        ]
        done = NbGraderAPI(config=config).autograde(master.name, "student", force=True)
        if not done["success"]:
            raise RuntimeError(done.get("log", "") or done.get("error", "nbgrader failed"))
        graded = nbformat.read(
            root / "autograded" / "student" / master.name / master.path.name, as_version=4
        )
        with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as book:
            saved = book.find_submission_notebook(master.path.stem, master.name, "student")
            points = {g.name: g.auto_score for g in saved.grades if g.auto_score is not None}
    return {
        "student": student,
        "assignment": master.name,
        "points": {t: float(points.get(f"check-{t.replace('.', '-')}", 0)) for t in master.tasks},
        "checks": dict(Compare.results),
        "cells": outputs(graded, master),
    }


def outputs(graded: NotebookNode, master: Master) -> list[dict[str, Any]]:
    """Collect what a student may see again: own cells, visible checks, texts and figures."""
    shown = []
    names = {name for task in master.tasks.values() for name in task.visible}
    for cell in graded.cells:
        if "guard" in cell.metadata.get("tags", []) or cell.cell_type != "code":
            continue
        mark = MARK.match(cell.source)
        kind = mark[1].capitalize() if mark else "Own"
        texts, figures = [], []
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                texts.append(output.text)
            elif output.output_type == "error" and output.ename != "Wrong":
                texts.append(f"{output.ename}: {output.evalue}")
            for form in ("image/png", "image/jpeg"):
                if form in output.get("data", {}):
                    figures.append(f"data:{form};base64,{output.data[form].strip()}")
        text = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(texts))
        if kind == "Check":  # only lines of visible checks: hidden ones stay hidden
            lines = text.splitlines()
            text = "\n".join(x for x in lines if any(x[2:].startswith(name) for name in names))
        source = "" if kind in ("Check", "Set-up") else cell.source
        shown.append({"kind": kind, "task": mark[2] if mark else "", "source": source[:20_000],
                      "text": text[:5000], "figures": figures[:4]})  # fmt: skip
    return shown


def main(arguments: list[str]) -> int:
    """Do one thing.

    ``truths MASTER PLACES.json``, or ``grade MASTER STUDENT TEMPLATE TRUTH IN.ipynb OUT.json``.
    """
    command, name, *rest = arguments
    (master,) = masters(name)
    if command == "truths":
        places = json.loads(Path(rest[0]).read_text(encoding="utf-8"))
        truths(master, {student: Path(place) for student, place in places.items()})
        return 0
    student, template, truth, source, target = rest
    notebook = nbformat.read(source, as_version=4)
    result = grade(notebook, student, master, Path(template), Path(truth))
    Path(target).write_text(json.dumps(result), encoding="utf-8")
    return 0


def alone(arguments: list[str], environment: dict[str, str], said: Path) -> None:
    """Do it in a process group of its own, with this environment and what is said in a file."""
    if os.name != "nt":
        os.setsid()
    os.environ.clear()
    os.environ |= environment
    tempfile.tempdir = None  # another folder for temporary files
    os.chdir(tasks.ROOT)
    with said.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.exit(main(arguments))
