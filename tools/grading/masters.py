"""Masters of assignments: notebooks in nbgrader's format, with solutions and hidden tests.

A master lies in ``notebooks/assignments/source/NN_name/NN_name.ipynb``. Each task is a cell that
begins with ``# Task NN.K`` (the solution between nbgrader's marks) and a cell that begins with
``# Check NN.K`` (visible checks, then hidden ones between nbgrader's marks). A reflection is a
Markdown cell that begins with ``Reflection NN.K``. The release is generated from it.
"""

from __future__ import annotations

import ast
import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools import tasks

FOLDER = tasks.ROOT / "notebooks" / "assignments"
MARK = re.compile(r"^\s*#\s*(Task|Check|Set-up)\s+(\d\d(?:\.\d)?)\b.*$", re.I | re.M)
HIDDEN = re.compile(r"^### BEGIN HIDDEN TESTS.*?^### END HIDDEN TESTS\n?", re.M | re.S)


@dataclass(frozen=True)
class Task:
    """One task: what students get, and the cell that checks it.

    Attributes
    ----------
    id : str
        As in the text of its cells: ``"01.2"``.
    title : str
        The rest of its first line.
    points : float
        Points for all checks, visible and hidden.
    stub, check : str
        Source of the two cells as released; `check` has no hidden tests.
    visible, hidden : tuple of str
        Names of the checks.
    names : frozenset of str
        What the answer defines and the check uses.
    """

    id: str
    title: str
    points: float
    stub: str
    check: str
    visible: tuple[str, ...]
    hidden: tuple[str, ...]
    names: frozenset[str]


@dataclass(frozen=True)
class Master:
    """An assignment: the notebook with solutions, and what nbgrader makes of it."""

    path: Path

    @property
    def name(self) -> str:
        """``NN_name``, of the folder and of the notebook."""
        return self.path.stem

    @cached_property
    def notebook(self) -> NotebookNode:
        """The master itself."""
        return nbformat.read(self.path, as_version=4)

    @property
    def release_path(self) -> Path:
        """Where the release is committed."""
        return FOLDER / "release" / self.name / self.path.name

    @cached_property
    def release(self) -> NotebookNode:
        """The release as committed."""
        return nbformat.read(self.release_path, as_version=4)

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """The tasks that are checked by a computer, by id."""
        full = {grade_id(cell): cell for cell in self.notebook.cells}
        found = {}
        for cell in self.release.cells:
            mark = MARK.match(cell.source)
            if mark is None or mark[1].capitalize() != "Check":
                continue
            task, whole = mark[2], full[grade_id(cell)].source
            stub = next(c.source for c in self.release.cells if is_cell(c, "Task", task))
            visible = check_names(HIDDEN.sub("", whole))
            title = stub.splitlines()[0].partition(":")[2].strip()
            title = title[:1].upper() + title[1:]
            hidden = tuple(name for name in check_names(whole) if name not in visible)
            points = float(cell.metadata.nbgrader.points)
            answer = next(c.source for c in self.notebook.cells if is_cell(c, "Task", task))
            telling = [n for n in defined_names(answer) if len(n) > 2]
            names = frozenset(n for n in telling if re.search(rf"\b{n}\b", whole))
            found[task] = Task(task, title, points, stub, cell.source, visible, hidden, names)
        return found

    @property
    def reflections(self) -> dict[str, float]:
        """Points of the tasks that a person grades, by grade id."""
        marks = [cell.metadata.get("nbgrader", {}) for cell in self.release.cells]
        return {
            m["grade_id"]: float(m["points"]) for m in marks if m.get("grade") and m["solution"]
        }


def grade_id(cell: NotebookNode) -> str:
    """Give nbgrader's id of a cell, or ""."""
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def is_cell(cell: NotebookNode, kind: str, task: str) -> bool:
    """Whether a cell's first line is ``# Kind NN.K``."""
    mark = MARK.match(cell.source)
    return bool(mark) and (mark[1].capitalize(), mark[2]) == (kind, task)


def defined_names(source: str) -> set[str]:
    """Names that a cell defines at its outer level; as far as its lines tell, if it is broken."""
    found = re.findall(r"^(?:def|class)\s+(\w+)|^(\w+(?:, *\w+)*)\s*=(?!=)", source, re.M)
    return {name for pair in found for name in ", ".join(pair).replace(" ", "").split(",") if name}


def check_calls(source: str) -> list[ast.Call]:
    """Each ``cu.check(...)`` of a cell, in its order."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    named = [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "check"]
    return sorted(named, key=lambda call: call.lineno)


def check_names(source: str) -> tuple[str, ...]:
    """Names of the checks that a cell makes: the first argument of each ``cu.check``."""
    return tuple(call.args[0].value for call in check_calls(source))


def masters(selection: str = "") -> list[Master]:
    """All masters, or those whose names begin with one of the words.

    Raises
    ------
    tasks.TaskError
        If a word names none.
    """
    every = [Master(path) for path in sorted((FOLDER / "source").glob("*/*.ipynb"))]
    words = re.split(r"[,\s]+", selection.strip()) if selection.strip() else [""]
    for word in words:
        if not any(master.name.startswith(word) for master in every):
            names = ", ".join(master.name for master in every)
            raise tasks.TaskError(f"no assignment begins with {word!r}; there are: {names}")
    return [master for master in every if master.name.startswith(tuple(words))]


def course(folder: Path, chosen: list[Master]) -> Path:
    """Fill a folder as an nbgrader course: source, release, gradebook and configuration.

    Any JupyterHub course takes it as it is; the release notebooks are generated here, by nbgrader.
    """
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    config = Config()
    config.CourseDirectory.root = str(folder)
    config.CourseDirectory.course_id = "explaining_image_classifiers"
    config.ClearSolutions.code_stub = {"python": "..."}
    config.ClearSolutions.text_stub = "..."
    folder.mkdir(parents=True, exist_ok=True)
    for master in chosen:
        target = folder / "source" / master.name
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(master.path, target)
        done = NbGraderAPI(config=config).generate_assignment(master.name, force=True)
        if not done["success"]:
            raise tasks.TaskError(f"nbgrader refuses {master.name}:\n{done.get('log')}")
    (folder / "nbgrader_config.py").write_text(
        "c = get_config()\n"
        'c.CourseDirectory.course_id = "explaining_image_classifiers"\n'
        'c.ClearSolutions.code_stub = {"python": "..."}\nc.ClearSolutions.text_stub = "..."\n'
        "c.ExecutePreprocessor.timeout = 60\n",
        encoding="utf-8",
    )
    return folder


def release(chosen: list[Master]) -> list[Path]:
    """Generate the release of masters into ``notebooks/assignments/release``; list what changed."""
    changed = []
    with tempfile.TemporaryDirectory() as folder:
        course(Path(folder), chosen)
        for master in chosen:
            made = Path(folder) / "release" / master.name / master.path.name
            notebook = nbformat.read(made, as_version=4)
            for cell, original in zip(notebook.cells, master.notebook.cells, strict=True):
                cell.id = original.id
            text = nbformat.writes(notebook).rstrip("\n") + "\n"
            target = master.release_path
            if not target.exists() or target.read_text(encoding="utf-8") != text:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8", newline="\n")
                changed.append(target)
    return changed
