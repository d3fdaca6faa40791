"""Whatever a student sends, turned into a notebook that can be graded.

Metadata are lost on the way, cells are doubled, split, moved and deleted, files are cut or merged.
So each task is found by the id in its text, then by metadata, then by likeness; checks and set-up
always come from the master; what was done is written down.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import json
import re
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode

from .masters import MARK, Master, defined_names, grade_id

#: Sources more alike than this are the same cell.
ALIKE = 0.7


class Repaired(NamedTuple):
    """A notebook fit for grading, the name written in it, and what was done."""

    notebook: NotebookNode
    student: str
    notes: list[str]


def repair(data: bytes, master: Master) -> Repaired:
    """Find the tasks in a submission and put them where the master has them.

    Parameters
    ----------
    data : bytes
        The file as it came: a notebook, a damaged one, or a script exported from one.
    master : Master
        The assignment.

    Returns
    -------
    Repaired
        Set-up, the student's own cells in their order, then set-up again and all checks.
    """
    cells, notes = salvage(data)
    own: list[tuple[str, str]] = []  # (task id or "", source)
    texts: dict[str, str] = {}
    for kind, metadata, source in cells:
        if kind == "markdown":
            if (name := _reflection(metadata, source, master)) and source.strip():
                texts[name] = source
            continue
        own += _segments(metadata, source, master, notes)
    answers = {task: [s for t, s in own if t == task] for task in master.tasks}
    ordered = _order(own, master, notes)
    student = _student(own)
    return Repaired(_assemble(ordered, answers, texts, master, notes), student, notes)


# --- reading what came ----------------------------------------------------------------------------


def salvage(data: bytes) -> tuple[list[tuple[str, dict[str, Any], str]], list[str]]:
    """Read cells (type, nbgrader metadata, source) from a file in whatever state; with notes."""
    notes: list[str] = []
    text = _decode(data, notes)
    if re.search(r"^(<<<<<<<|>>>>>>>)", text, re.M):
        notes.append("merge markers were removed; of each conflict the first side was kept")
        text = re.sub(r"^=======.*?^>>>>>>>[^\n]*\n?", "", text, flags=re.M | re.S)
        text = re.sub(
            r"^<<<<<<<[^\n]*\n?|^=======[^\n]*\n?|^>>>>>>>[^\n]*\n?", "", text, flags=re.M
        )
    try:
        content = json.loads(text, strict=False)
        if content.get("worksheets"):
            notes.append("an old notebook format was converted")
            content = nbformat.convert(nbformat.from_dict(content), 4)
        cells = [cell for cell in content["cells"] if isinstance(cell, dict)]
    except (ValueError, KeyError, TypeError, AttributeError):
        cells = _cells_in_pieces(text)
        notes.append(
            f"no valid notebook: {len(cells)} cells were found in its text"
            if cells
            else "no notebook: read as a script"
        )
    if not cells:
        blocks = re.split(r"^#\s*(?:%%|In\[[\d ]*\]:?).*$", text, flags=re.M)
        cells = [
            {"cell_type": "code", "source": block.strip()} for block in blocks if block.strip()
        ]
    found = []
    for cell in cells:
        source = cell.get("source", cell.get("input", ""))
        source = "".join(map(str, source)) if isinstance(source, list) else str(source)
        metadata = cell.get("metadata")
        marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
        kind = "code" if cell.get("cell_type") == "code" else "markdown"
        if kind == "markdown" and MARK.match(source):
            kind = "code"
            notes.append("a task had become a text cell")
        source = source.replace("\r\n", "\n").replace("\xa0", " ")
        found.append((kind, marks if isinstance(marks, dict) else {}, source))
    return found, notes


def _decode(data: bytes, notes: list[str]) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    with contextlib.suppress(UnicodeDecodeError):
        return data.decode("utf-8-sig")
    notes.append("it was not in UTF-8")
    return data.decode("latin-1")


def _cells_in_pieces(text: str) -> list[dict[str, Any]]:
    """Decode each cell that is whole, in a notebook that is not."""
    decoder, cells = json.JSONDecoder(strict=False), []
    first_keys = r"\{\s*\"(?:cell_type|attachments|execution_count|id|metadata)\""
    for match in re.finditer(first_keys, text):
        try:
            cell, _ = decoder.raw_decode(text, match.start())
        except ValueError:
            continue
        if isinstance(cell, dict) and "cell_type" in cell and "source" in cell:
            cells.append(cell)
    return cells


# --- finding the tasks ----------------------------------------------------------------------------


def _plain(source: str) -> str:
    """Drop blanks and comments, for comparisons."""
    return re.sub(r"#[^\n]*|\s+", "", source)


def _alike(first: str, second: str, least: float) -> bool:
    """Whether two sources have more than this share in common; most are told apart quickly."""
    both = difflib.SequenceMatcher(None, _plain(first), _plain(second), autojunk=False)
    # upper bounds first, which cost less
    return all(share() > least for share in (both.real_quick_ratio, both.quick_ratio, both.ratio))


def _segments(
    metadata: dict[str, Any], source: str, master: Master, notes: list[str]
) -> list[tuple[str, str]]:
    """Cut a code cell at the marks in it; drop checks and set-up; name the task of each part."""
    marks = list(MARK.finditer(source))
    if marks:
        ends = [mark.start() for mark in marks[1:]] + [len(source)]
        parts = [("", source[: marks[0].start()])] if source[: marks[0].start()].strip() else []
        for mark, end in zip(marks, ends, strict=True):
            kind, name = mark[1].capitalize(), mark[2]
            if kind == "Task" and name in master.tasks:
                parts.append((name, source[mark.start() : end]))
            elif kind == "Task":
                parts.append(("", source[mark.start() : end]))
        if len(marks) > 1:
            notes.append(f"a cell held {' and '.join(mark[0].strip(' #') for mark in marks)}")
        return parts
    name = str(metadata.get("grade_id", ""))
    for task in master.tasks.values():
        dashed = task.id.replace(".", "-")
        if name == f"task-{dashed}":
            notes.append(f"task {task.id} was found by its metadata")
            return [(task.id, source)]
        if name == f"check-{dashed}":
            return []
    if name:
        return []  # another cell of the master
    if not source.strip():
        return []
    if any(_alike(source, text, 0.9) for text in _given(master)):
        return []
    for task in master.tasks.values():
        if task.names & defined_names(source) or _alike(source, task.stub, ALIKE):
            notes.append(f"task {task.id} was found by what it defines")
            return [(task.id, source)]
    return [("", source)]


def _given(master: Master) -> list[str]:
    """List what comes from the master whatever a submission says: set-up, checks, first cell."""
    code = [cell for cell in master.release.cells if cell.cell_type == "code"]
    return [
        cell.source
        for cell in code
        if cell.metadata.get("nbgrader", {}).get("locked") or "tags" in cell.metadata
    ]


def _reflection(metadata: dict[str, Any], source: str, master: Master) -> str:
    """Name the reflection that a text cell is, by its text or metadata."""
    found = re.match(r"\W*Reflection\s+(\d\d\.\d)", source, re.I)
    name = f"reflection-{found[1].replace('.', '-')}" if found else metadata.get("grade_id", "")
    return name if name in master.reflections else ""


def _student(own: list[tuple[str, str]]) -> str:
    found = [re.search(r"^student\s*=\s*[\"'](.*?)[\"']", source, re.M) for _, source in own]
    return next((match[1].strip() for match in reversed(found) if match), "")


def _order(own: list[tuple[str, str]], master: Master, notes: list[str]) -> list[tuple[str, str]]:
    """Leave out doubled stubs; sort tasks, each with what stands before it."""
    kept = []
    for index, (task, source) in enumerate(own):
        stub = task and _plain(source) == _plain(master.tasks[task].stub)
        others = [s for i, (t, s) in enumerate(own) if t == task and i != index]
        if task and stub and any(_plain(s) != _plain(source) for s in others):
            notes.append(f"an unanswered copy of task {task} was left out")
        elif task and (task, source) in kept:
            notes.append(f"a second copy of task {task} was left out")
        else:
            kept.append((task, source))
    order = [task for task, _ in kept if task]
    if order != sorted(order):
        notes.append("tasks were out of order")
    blocks: list[tuple[str, list[tuple[str, str]]]] = []
    waiting: list[tuple[str, str]] = []
    for task, source in kept:
        waiting.append((task, source))
        if task:
            blocks.append((task, waiting))
            waiting = []
    blocks.sort(key=lambda block: block[0])
    hoisted = [part for part in waiting if _only_defines(part[1])]
    rest = [part for part in waiting if not _only_defines(part[1])]
    if hoisted:
        notes.append("definitions below the last task were moved up")
    return [*hoisted, *(part for _, block in blocks for part in block), *rest]


def _only_defines(source: str) -> bool:
    outer = [line for line in source.splitlines() if line.strip() and line[0] not in " #)@"]
    return bool(outer) and all(re.match(r"(def|class|import|from)\s", line) for line in outer)


# --- the notebook to grade ------------------------------------------------------------------------


def _assemble(
    ordered: list[tuple[str, str]],
    answers: dict[str, list[str]],
    texts: dict[str, str],
    master: Master,
    notes: list[str],
) -> NotebookNode:
    """Build the notebook: set-up, the student's cells, set-up again, the master's checks.

    All answers come before all checks, so what a check defines is taken back after it: the same
    name may be a helper's in a later answer.
    """
    released = {grade_id(cell): cell for cell in master.release.cells if grade_id(cell)}
    setup = [cell for cell in master.release.cells if cell.source.startswith("# Set-up")]
    cells = [copy.deepcopy(cell) for cell in setup]
    last = {task: index for index, (task, _) in enumerate(ordered) if task}
    for index, (task, source) in enumerate(ordered):
        if task and last[task] == index:
            cell = copy.deepcopy(released[f"task-{task.replace('.', '-')}"])
            mark = "" if MARK.match(source) else f"{cell.source.splitlines()[0]}\n"
            cell.source = mark + source
        else:
            cell = nbformat.v4.new_code_cell(source)
        cells.append(cell)
    for task, found in answers.items():
        if not found:
            notes.append(f"task {task} was missing")
            cells.append(copy.deepcopy(released[f"task-{task.replace('.', '-')}"]))
    for cell in setup:  # whatever the student's cells did to its names
        again = nbformat.v4.new_code_cell(cell.source)
        cells.append(again)
    cells.append(nbformat.v4.new_code_cell("_answers = dict(globals())"))
    for task in master.tasks:
        cells.append(copy.deepcopy(released[f"check-{task.replace('.', '-')}"]))
        cells.append(nbformat.v4.new_code_cell("globals().update(_answers)"))
    for name in master.reflections:
        cell = copy.deepcopy(released[name])
        if name in texts:
            cell.source = texts[name]
        else:
            notes.append(f"{name} was missing")
        cells.append(cell)
    notebook = copy.deepcopy(master.release)
    notebook.cells = cells
    for index, cell in enumerate(cells):
        cell.id = f"c{index}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook
