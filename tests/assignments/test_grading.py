"""From a folder of submissions to grades: layouts, cheats, reports. Slow: kernels are started."""

from __future__ import annotations

import csv
import re
import zipfile
from importlib import import_module

import pytest

from tools.grading import __main__ as command
from tools.grading import demo, masters, report

EVERY = masters.masters()
MASTER = EVERY[0]
ANSWERS = import_module("tools.grading.answers.a01")


@pytest.mark.parametrize(
    ("path", "student"),
    [
        ("ada/01_cifar_custom_cnn.ipynb", "ada"),
        ("ada/01_cifar_custom_cnn/01_cifar_custom_cnn.ipynb", "ada"),
        ("ada_1042_01_cifar_custom_cnn.ipynb", "ada"),
        ("Ada Lovelace_2041_assignsubmission_file_/final (2).ipynb", "Ada Lovelace"),
        ("ada_01_cifar_custom_cnn.ipynb", "ada"),
        ("ada.ipynb", "ada"),
        ("ada_1042_final.ipynb.txt", "ada"),
    ],
)
def test_students_are_found_in_every_layout(path, student, tmp_path):
    (tmp_path / "in" / path).parent.mkdir(parents=True)
    (tmp_path / "in" / path).write_text("{}")
    found = command.submissions(tmp_path / "in", tmp_path / "scratch")
    assert [name for name, _ in found] == [student]
    with zipfile.ZipFile(tmp_path / "class.zip", "w") as archive:
        archive.write(tmp_path / "in" / path, path)
    found = command.submissions(tmp_path / "class.zip", tmp_path / "scratch2")
    assert [name for name, _ in found] == [student]


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(command.tasks.TaskError, match="no notebook"):
        command.submissions(tmp_path, tmp_path / "scratch")


def result(student: str, line: str, right: bool, source: str = "") -> dict:
    """Make a graded submission of which only the first task was answered."""
    first = next(iter(MASTER.tasks.values()))
    checks = {name: right for task in MASTER.tasks.values() for name in task.visible + task.hidden}
    cells = [
        {"kind": "Task", "task": first.id, "source": source, "text": "", "figures": []},
        {"kind": "Check", "task": first.id, "source": "", "text": line, "figures": []},
    ]
    points = {t: (MASTER.tasks[t].points if right else 0.0) for t in MASTER.tasks}
    return {"student": student, "assignment": MASTER.name, "points": points, "checks": checks,
            "cells": cells, "file": f"{student}.ipynb", "notes": []}  # fmt: skip


def test_reports(tmp_path):
    first = next(iter(MASTER.tasks.values()))
    own = ANSWERS.RIGHT["01.1"]["one by one"]
    forged = result("eve", f"✓ {first.visible[0]}", right=False)
    wrong = [result(n, f"✗ {first.visible[0]}: expected shape", False, own) for n in ("ada", "bob")]
    report.write([forged, *wrong, result("zoe", f"✓ {first.visible[0]}", True)], MASTER, tmp_path)
    rows = list(csv.DictReader((tmp_path / "grades.csv").open(encoding="utf-8")))
    assert [(r["student"], float(r["points"])) for r in rows] == [
        *(("eve", 0.0), ("ada", 0.0), ("bob", 0.0), ("zoe", 9.0))
    ]
    eve = (tmp_path / "feedback" / "eve.html").read_text(encoding="utf-8")
    assert "not confirmed when graded" in eve
    pages = [path.read_text(encoding="utf-8") for path in (tmp_path / "feedback").glob("*.html")]
    for task in MASTER.tasks.values():
        assert not any(name in page for page in pages for name in task.hidden)
    overview = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "ada, bob" in overview, "the same answer under other names"
    assert re.search(
        r"<td class=\"n\">2\s*<td>saliency of eight pictures: expected shape", overview
    )


@pytest.mark.slow
def test_cheats_earn_nothing_and_stop_nothing(tmp_path, monkeypatch):
    """Right answers keep their points, whatever is beside them."""
    right = {task: next(iter(found.values())) for task, found in ANSWERS.RIGHT.items()}
    cheats = ANSWERS.CHEATS["01.1"]
    cheating = {"01.1": cheats["os._exit"], "01.4": cheats["reads the grader's files"]}
    (tmp_path / "in").mkdir()
    notebook = demo.answered(MASTER, "ada", right | cheating)
    (tmp_path / "in" / "ada.ipynb").write_bytes(demo.damaged(notebook, "", MASTER))

    def grades() -> dict[str, list[float]]:
        assert command.grade(tmp_path / "in", tmp_path / "out", "01", workers=1) == 0
        table = tmp_path / "out" / MASTER.name / "grades.csv"
        rows = csv.DictReader(table.open(encoding="utf-8"))
        return {r["student"]: [float(r[task]) for task in MASTER.tasks] for r in rows}

    first = grades()
    points = [task.points for task in MASTER.tasks.values()]
    assert first == {"ada": [0, *points[1:3], 0]}
    monkeypatch.setattr(command, "in_own_process", lambda *_, **__: pytest.fail("graded again"))
    assert grades() == first, "resumed"


@pytest.mark.slow
@pytest.mark.parametrize("damage", demo.DAMAGES)
def test_the_assignment_is_found_without_the_files_name(damage, tmp_path):
    for master in EVERY[:1] if damage == "huge_outputs" else EVERY:
        right = import_module(f"tools.grading.answers.a{master.name[:2]}").RIGHT
        notebook = demo.answered(
            master, "ada", {t: next(iter(a.values())) for t, a in right.items()}
        )
        data = demo.damaged(notebook, damage, master)
        assert command.which(tmp_path / "final (2).ipynb", data, EVERY) == master


@pytest.mark.parametrize("master", EVERY, ids=lambda master: master.name)
def test_the_lesson_names_its_assignment(master):
    lesson = command.tasks.ROOT / "notebooks" / master.path.name
    place = f"(assignments/release/{master.name}/{master.path.name})"
    assert place in lesson.read_text(encoding="utf-8")
