"""Grades for the LMS, a page of feedback for each student, and a page for the instructor."""

from __future__ import annotations

import ast
import csv
import difflib
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import jinja2

from .masters import Master, Task, is_cell

TEMPLATES = Path(__file__).parent / "templates"


def _page(template: str, **values: Any) -> str:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(style=style, **values)


def file_name(student: str) -> str:
    """Turn a name into that of a file."""
    return re.sub(r"[^\w.-]+", "_", student) or "_"


def write(results: list[dict[str, Any]], master: Master, folder: Path) -> None:
    """Write ``grades.csv``, ``feedback/STUDENT.html`` and ``index.html`` into a folder.

    Parameters
    ----------
    results
        As `runner.grade` gives them, each with ``file`` and ``notes`` added.
    master : Master
        The assignment.
    folder : Path
        One folder for each assignment.
    """
    (folder / "feedback").mkdir(parents=True, exist_ok=True)
    most = sum(task.points for task in master.tasks.values())
    for row in results:
        row["total"] = sum(row["points"].values())
        row["page"] = f"{file_name(row['student'])}.html"
        (folder / "feedback" / row["page"]).write_text(
            feedback(row, master, most), encoding="utf-8"
        )
    with (folder / "grades.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["student", "assignment", "points", "max_points", *master.tasks, "notes"])
        for row in results:
            points = [f"{row['points'][task]:g}" for task in master.tasks]
            notes = "; ".join(row["notes"])
            total = f"{row['total']:g}"
            table.writerow([row["student"], master.name, total, f"{most:g}", *points, notes])
    (folder / "index.html").write_text(overview(results, master, most), encoding="utf-8")


def heading(master: Master) -> str:
    """Give the first line of an assignment."""
    return master.notebook.cells[0].source.splitlines()[0].lstrip("# ")


def _lines(row: dict[str, Any], task: Task) -> list[str]:
    cells = [c for c in row["cells"] if (c["kind"], c["task"]) == ("Check", task.id)]
    return [line for cell in cells for line in cell["text"].splitlines() if line[:1] in "✓✗○"]


def feedback(row: dict[str, Any], master: Master, most: float) -> str:
    """Render one student's page: visible checks, figures, and how many hidden ones passed."""
    kinds = {"✓": "good", "✗": "bad", "○": "open"}
    tasks = []
    for task in master.tasks.values():
        # a line counts only if the comparison outside of the kernel agrees
        said = [{"kind": kinds[x[0]], "text": x} for x in _lines(row, task)]
        for line in said:
            name = next((n for n in task.visible if line["text"][2:].startswith(n)), "")
            if line["kind"] == "good" and not row["checks"].get(name):
                line |= {"kind": "bad", "text": f"✗ {name}: not confirmed when graded"}
        if not said:
            said = [{"kind": "bad", "text": "✗ the check could not be run"}]
        cells = [c for c in row["cells"] if c["task"] == task.id]
        tasks.append(
            {
                "id": task.id,
                "title": task.title,
                "points": row["points"][task.id],
                "most": task.points,
                "lines": said,
                "hidden": len(task.hidden),
                "hidden_right": sum(bool(row["checks"].get(n)) for n in task.hidden),
                "figures": [f for c in cells if c["kind"] == "Check" for f in c["figures"]],
                "source": "\n".join(c["source"] for c in cells if c["kind"] == "Task"),
            }
        )
    return _page(
        "student.html",
        title=heading(master),
        student=row["student"],
        points=row["total"],
        most=most,
        by_person=sum(master.reflections.values()),
        notes=row["notes"],
        tasks=tasks,
    )


def overview(results: list[dict[str, Any]], master: Master, most: float) -> str:
    """Render the instructor's page."""
    per_task = []
    for task in master.tasks.values():
        points = [row["points"][task.id] for row in results]
        mean = sum(points) / max(1, len(points))
        full = sum(p == task.points for p in points)
        per_task.append(
            {"id": task.id, "title": task.title, "most": task.points, "mean": mean, "full": full}
        )
    said = Counter(
        re.sub(r"-?\d+\.\d+(e-?\d+)?", "…", line[2:])
        for row in results
        for task in master.tasks.values()
        for line in set(_lines(row, task))
        if line.startswith("✗")
    )
    return _page(
        "instructor.html",
        title=heading(master),
        name=master.name,
        rows=sorted(results, key=lambda row: row["student"]),
        mean=sum(row["total"] for row in results) / max(1, len(results)),
        most=most,
        per_task=per_task,
        mistakes=[(text, n) for text, n in said.most_common(12) if n > 1],
        copies=copies(results, master),
    )


def copies(results: list[dict[str, Any]], master: Master, least: float = 0.97) -> list[dict]:
    """Group students whose longest answers are the same but for names and comments.

    Answers that say nothing are left out: short ones, those of more than four students, and those
    that have the shape of the master's solution, which many would write.
    """
    found = []
    for task in master.tasks.values():
        shapes = {}
        solved = next(c.source for c in master.notebook.cells if is_cell(c, "Task", task.id))
        for row in results:
            source = "\n".join(
                c["source"] for c in row["cells"] if c["task"] == task.id and c["kind"] == "Task"
            )
            if source and _shape(source) != _shape(task.stub):
                shapes[row["student"]] = (_shape(source), source)
        common = Counter(shape for shape, _ in shapes.values())
        groups: list[dict] = []
        for one, two in combinations(sorted(shapes), 2):
            (shape, first), (other, second) = shapes[one], shapes[two]
            if common[shape] > 4 or len(shape) < 200 or shape == _shape(solved):
                continue
            if shape == other:
                alike = 1.0
            elif abs(len(shape) - len(other)) < 0.03 * len(shape):
                alike = difflib.SequenceMatcher(None, first, second, autojunk=False).ratio()
            else:
                continue
            if alike < least:
                continue
            group = next((g for g in groups if {one, two} & g["names"]), None)
            if group is None:
                group = {"names": set(), "task": task.id, "alike": 1.0}
                groups.append(group)
            group["names"] |= {one, two}
            group["alike"] = min(alike, group["alike"])
        found += groups
    return found


def _shape(source: str) -> str:
    """Describe the code without names of variables, comments and layout."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return re.sub(r"\s+", "", source)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.setdefault(node.id, f"n{len(names)}")
        elif isinstance(node, ast.arg):
            node.arg = names.setdefault(node.arg, f"n{len(names)}")
        if hasattr(node, "body") and isinstance(node.body, list) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                first.value.value = ""
    return ast.dump(tree)
