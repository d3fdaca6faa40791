"""A class that nobody taught: submissions of every quality, damaged in every way known.

Colab and VS Code drop metadata, students double, delete, split and move cells, version control
leaves its marks, mail programs rename. Each damage here takes the bytes of a notebook and returns
what would arrive. None of them changes what a student answered, so none may change the points.
"""

from __future__ import annotations

import copy
import csv
import json
import random
import re
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from .masters import Master, masters

Notebook = dict[str, Any]
NAMES = (
    *("ada", "alan", "barbara", "claude", "dorothy", "edsger", "emmy", "florence", "grace", "hedy"),
    *("john", "joan", "katherine", "kurt", "leslie", "lise", "marie", "mary", "maryam", "niels"),
    *("paul", "radia", "rosalind", "sofia", "srinivasa", "tim", "vera", "wilhelm", "wu", "zoe"),
)


def answered(master: Master, student: str, answers: dict[str, str]) -> Notebook:
    """Fill the release: the student's name, and a source for each task that is answered."""
    notebook = json.loads(master.release_path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        first = source.partition("\n")[0]
        if source.startswith("student ="):
            cell["source"] = f'student = "{student}"  # your user name'
        for task, answer in answers.items():
            if re.match(rf"# Task {re.escape(task)}\b", first):
                cell["source"] = f"{first}\n{answer.strip()}\n"
        if "Reflection" in first:
            cell["source"] = source + "\nIt may look at the background; I would take it away."
    return notebook


def find(notebook: Notebook, kind: str) -> list[int]:
    """Positions of the cells that begin with ``# Task`` or ``# Check``."""
    cells = enumerate(notebook["cells"])
    return [i for i, cell in cells if "".join(cell["source"]).startswith(f"# {kind}")]


# --- damages: notebook -> notebook, or -> bytes ---------------------------------------------------


def no_metadata(nb: Notebook) -> Notebook:
    """As Colab and VS Code may save it."""
    for cell in nb["cells"]:
        cell["metadata"] = {}
    return nb


def no_ids(nb: Notebook) -> Notebook:
    """Save in an older format, without cell ids."""
    for cell in nb["cells"]:
        cell.pop("id", None)
    return nb | {"nbformat_minor": 2}


def no_marks(nb: Notebook) -> Notebook:
    """First lines deleted: metadata still tell."""
    for cell in nb["cells"]:
        cell["source"] = re.sub(r"^# (Task|Check) [^\n]*\n", "", "".join(cell["source"]))
    return nb


def neither(nb: Notebook) -> Notebook:
    """Neither marks nor metadata: what is defined tells."""
    return no_metadata(no_marks(nb))


def doubled(nb: Notebook) -> Notebook:
    """Copy a task's cell, metadata and all."""
    i = find(nb, "Task")[0]
    nb["cells"].insert(i + 1, copy.deepcopy(nb["cells"][i]))
    return nb


def stub_after(nb: Notebook) -> Notebook:
    """Leave an unanswered copy below the answer."""
    i = find(nb, "Task")[0]
    stub = copy.deepcopy(nb["cells"][i])
    stub["source"] = STUBS["first"]
    nb["cells"].insert(i + 1, stub)
    return nb


STUBS: dict[str, str] = {}


def tests_deleted(nb: Notebook) -> Notebook:
    """All checks deleted."""
    for i in reversed(find(nb, "Check")):
        del nb["cells"][i]
    return nb


def tests_edited(nb: Notebook) -> Notebook:
    """Checks that always pass."""
    for i in find(nb, "Check"):
        first = "".join(nb["cells"][i]["source"]).partition("\n")[0]
        nb["cells"][i]["source"] = f"{first}\nprint('passed')\nassert True\n"
    return nb


def points_edited(nb: Notebook) -> Notebook:
    """Give each check a hundred points."""
    for i in find(nb, "Check"):
        nb["cells"][i]["metadata"].setdefault("nbgrader", {})["points"] = 100
    return nb


def split(nb: Notebook) -> Notebook:
    """Put a comment into a cell of its own, before a task."""
    i = find(nb, "Task")[-1]
    nb["cells"].insert(i, new_cell("# my plan: read the text again"))
    return nb


def joined(nb: Notebook) -> Notebook:
    """Join a task and its check in one cell."""
    i = find(nb, "Task")[0]
    j = next(k for k in find(nb, "Check") if k > i)
    text = ["".join(nb["cells"][k]["source"]).rstrip("\n") for k in (i, j)]
    nb["cells"][i]["source"] = "\n\n".join(text)
    del nb["cells"][j]
    return nb


def reordered(nb: Notebook) -> Notebook:
    """Move the last task to the top."""
    i = find(nb, "Task")[-1]
    nb["cells"].insert(find(nb, "Task")[0], nb["cells"].pop(i))
    return nb


def reversed_tasks(nb: Notebook) -> Notebook:
    """Exchange the first two tasks."""
    i, j = find(nb, "Task")[:2]
    nb["cells"][i], nb["cells"][j] = nb["cells"][j], nb["cells"][i]
    return nb


def extra_cells(nb: Notebook) -> Notebook:
    """Scribbles and an error of the student's own."""
    for i in reversed(find(nb, "Task")):
        nb["cells"].insert(i, new_cell("print(undefined_name)  # why?"))
        nb["cells"].insert(i, new_cell("x = 1"))
    return nb


def huge_outputs(nb: Notebook) -> Notebook:
    """Twenty megabytes of printed numbers."""
    output = {"output_type": "stream", "name": "stdout", "text": "0.123456789\n" * 400_000}
    nb["cells"][find(nb, "Task")[0]]["outputs"] = [output] * 5
    return nb


def wrong_kernel(nb: Notebook) -> Notebook:
    """Name a kernel that is not here."""
    kernel = {"name": "julia-1.9", "display_name": "Julia 1.9", "language": "julia"}
    return nb | {"metadata": {"kernelspec": kernel}}


def no_kernel(nb: Notebook) -> Notebook:
    """No metadata of the notebook at all."""
    return nb | {"metadata": {}}


def setup_overwritten(nb: Notebook) -> Notebook:
    """Names of the set-up used for something else, below all tasks."""
    nb["cells"].append(new_cell("images, targets, model, test = 1, 2, 3, 4"))
    return nb


def as_raw(nb: Notebook) -> Notebook:
    """Turn a task's cell into text by a key pressed by mistake."""
    cell = nb["cells"][find(nb, "Task")[0]]
    cell["cell_type"] = "raw"
    cell.pop("outputs", None)
    cell.pop("execution_count", None)
    return nb


def new_cell(source: str) -> Notebook:
    """Make a code cell without an id."""
    empty = {"metadata": {}, "outputs": [], "execution_count": None}
    return {"cell_type": "code", **empty, "source": source}


def text(nb: Notebook) -> str:
    """As Jupyter writes it."""
    for cell in nb["cells"]:
        cell["source"] = "".join(cell["source"]).splitlines(keepends=True)
    return json.dumps(nb, indent=1, ensure_ascii=False) + "\n"


def windows(nb: Notebook) -> bytes:
    """Windows line ends and a byte order mark."""
    return b"\xef\xbb\xbf" + text(nb).replace("\n", "\r\n").encode()


def utf16(nb: Notebook) -> bytes:
    """As an old editor saves it."""
    return text(nb).encode("utf-16")


def cut_off(nb: Notebook) -> bytes:
    """Stop the upload before the last cell ends."""
    nb["cells"].append(new_cell("# the end"))
    return text(nb).rpartition('"# the end')[0].encode()


def broken_json(nb: Notebook) -> bytes:
    """Write a comma too many."""
    return text(nb).replace('"metadata": {', '"metadata": {,', 1).encode()


def merge_marks(nb: Notebook) -> bytes:
    """Leave what version control writes of a conflict."""
    lines = text(nb).splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if '"nbformat_minor"' in line)
    both = ["<<<<<<< HEAD\n", lines[at], "=======\n", ' "nbformat_minor": 4\n', ">>>>>>> theirs\n"]
    return "".join(lines[:at] + both + lines[at + 1 :]).encode()


def script(nb: Notebook) -> bytes:
    """Download it as a script."""
    blocks = [
        "# In[ ]:\n\n" + "".join(c["source"]) for c in nb["cells"] if c["cell_type"] == "code"
    ]
    return "\n\n\n".join(blocks).encode()


DAMAGES: dict[str, Callable[[Notebook], Any]] = {
    damage.__name__: damage
    for damage in (
        *(no_metadata, no_ids, no_marks, neither, doubled, stub_after, tests_deleted, tests_edited),
        *(points_edited, split, joined, reordered, reversed_tasks, extra_cells, huge_outputs),
        *(wrong_kernel, no_kernel, setup_overwritten, as_raw, windows, utf16, cut_off, broken_json),
        *(merge_marks, script),
    )
}


def damaged(notebook: Notebook, name: str, master: Master) -> bytes:
    """Apply a damage by its name; "" for none."""
    STUBS["first"] = next(iter(master.tasks.values())).stub
    result = DAMAGES[name](copy.deepcopy(notebook)) if name else notebook
    return result if isinstance(result, bytes) else text(result).encode()


def make(folder: Path, students: int = 100, seed: int = 0) -> Path:
    """Fill a folder with submissions: right, wrong, empty, copied, cheating; each fourth is whole.

    File names are as e-mail and learning platforms make them. Beside the folder, in a file of its
    name with ``.json``, stand the points that are due: of wrong, missing and cheating answers none,
    of right ones all. Where an answer builds on a wrong one, nothing is said.
    """
    shutil.rmtree(folder, ignore_errors=True)
    draw = random.Random(seed)
    due: dict[str, dict[str, float]] = {}
    every = [m for m in masters() if _has_answers(m)]
    for number in range(students):
        student = NAMES[number % len(NAMES)] + (
            str(number // len(NAMES) + 1) if number >= len(NAMES) else ""
        )
        master = every[number % len(every)]
        answers = import_module(f"tools.grading.answers.a{master.name[:2]}")
        chosen, right = {}, []
        for task in master.tasks:
            kinds = [answers.RIGHT[task]] * 3 + [answers.WRONG[task]]
            if number % 10 == 9 and task in answers.CHEATS:
                kinds = [answers.CHEATS[task]]
            kind = draw.choice(kinds)
            if draw.random() < 0.9:
                chosen[task] = draw.choice(list(kind.values()))
                right += [task] if kind is answers.RIGHT[task] else []
        points = {task: found.points for task, found in master.tasks.items()}
        builds_on_none = len(right) == len(points)
        due[student] = {t: p if t in right else 0.0 for t, p in points.items()
                        if builds_on_none or t not in right}  # fmt: skip
        notebook = answered(master, student, chosen)
        damage = list(DAMAGES)[number % len(DAMAGES)] if number % 4 else ""
        names = [
            f"{student}/{master.name}.ipynb",
            f"{student}_{1000 + number}_{master.name}.ipynb",
            f"{student}/{master.name}/{master.name}.ipynb",
            f"{student}/final (2).ipynb",
        ]
        path = folder / names[number % len(names)]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damaged(notebook, damage, master))
    folder.with_suffix(".json").write_text(json.dumps(due), encoding="utf-8")
    return folder


def compare(folder: Path, graded: Path) -> int:
    """Print how many of the points that are due were given; return 1 if any was not."""
    due = json.loads(folder.with_suffix(".json").read_text(encoding="utf-8"))
    given: dict[str, dict[str, str]] = {}
    for table in sorted(graded.glob("*/grades.csv")):
        with table.open(encoding="utf-8-sig", newline="") as lines:
            given |= {row["student"]: row for row in csv.DictReader(lines)}
    known = [(student, task, points) for student in due for task, points in due[student].items()]
    off = [
        f"{student} {task}: {points:g} due, {given.get(student, {}).get(task, 'nothing')} given"
        for student, task, points in known
        if float(given.get(student, {}).get(task, -1)) != points
    ]
    print(f"{len(given)} of {len(due)} students; {len(known) - len(off)} of {len(known)} as due")
    print(*off, sep="\n")
    return int(bool(off) or len(given) < len(due))


def _has_answers(master: Master) -> bool:
    return (Path(__file__).parent / "answers" / f"a{master.name[:2]}.py").exists()
