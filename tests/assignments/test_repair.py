"""Damaged submissions: no task is lost, and what is graded is what the student wrote."""

from __future__ import annotations

from functools import cache
from importlib import import_module

import pytest

from tools.grading import demo, masters
from tools.grading.repair import repair

EVERY = masters.masters()


def answers_of(master: masters.Master, index: int) -> dict[str, str]:
    module = import_module(f"tools.grading.answers.a{master.name[:2]}")
    return {t: list(module.RIGHT[t].values())[index % len(module.RIGHT[t])] for t in master.tasks}


def graded(repaired) -> dict[str, str]:
    """Code that the kernel sees last for each task, without comments and blanks."""
    found = {}
    for cell in repaired.notebook.cells:
        mark = masters.MARK.match(cell.source)
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name.startswith("task-"):
            code = "\n".join(x for x in cell.source.splitlines() if not x.startswith("#"))
            found[name] = "".join(code.split())
        assert not (mark and mark[1] == "Check") or name.startswith("check-")
    return found


@cache
def whole(master: masters.Master, index: int) -> dict[str, str]:
    """Say what is graded of a notebook to which nothing has happened."""
    notebook = demo.answered(master, "ada", answers_of(master, index))
    repaired = repair(demo.damaged(notebook, "", master), master)
    assert repaired.notes == [], "a whole notebook needs no repair"
    return graded(repaired)


# Twenty megabytes are read alike in every assignment.
CASES = [(d, m) for d in demo.DAMAGES for m in (EVERY[:1] if d == "huge_outputs" else EVERY)]


@pytest.mark.parametrize(("damage", "master"), CASES, ids=[f"{d}-{m.name}" for d, m in CASES])
def test_every_damage_is_repaired(damage: str, master: masters.Master):
    for index in range(2):
        notebook = demo.answered(master, "ada", answers_of(master, index))
        mended = repair(demo.damaged(notebook, damage, master), master)
        assert graded(mended) == whole(master, index)
        assert mended.student == "ada"


@pytest.mark.parametrize("master", EVERY, ids=lambda master: master.name)
def test_checks_always_come_from_the_release(master: masters.Master):
    notebook = demo.answered(master, "ada", answers_of(master, 0))
    mended = repair(demo.damaged(notebook, "tests_edited", master), master)
    by_id = {masters.grade_id(c): c.source for c in mended.notebook.cells if masters.grade_id(c)}
    for task in master.tasks.values():
        assert by_id[f"check-{task.id.replace('.', '-')}"] == task.check


@pytest.mark.parametrize("data", [b"", b"\x00\xff\xfe", b"[]", b"{}", b'{"cells": 3}', b"hello"])
def test_nothing_is_too_broken(data: bytes):
    mended = repair(data, EVERY[0])
    assert [n for n in mended.notes if "was missing" in n]
    assert len([c for c in mended.notebook.cells if masters.is_cell(c, "Check", "01.1")]) == 1


def test_there_are_twenty_five_damages():
    assert len(demo.DAMAGES) >= 25
