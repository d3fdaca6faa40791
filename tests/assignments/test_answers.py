"""The checks of each task, with right, wrong and missing answers and with cheats."""

from __future__ import annotations

import contextlib
import copy
import io
from importlib import import_module

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch

from course_utils.exercises import RECORDS
from tools.grading import masters
from tools.grading.runner import read_records, same

MASTERS = masters.masters()
TASKS = [(master, task) for master in MASTERS for task in master.tasks]
IDS = [task for _, task in TASKS]


def answers(master: masters.Master):
    return import_module(f"tools.grading.answers.a{master.name[:2]}")


class Solved:
    """Names of masters' notebooks after set-up, and after all solutions; each is executed once."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[dict, dict]] = {}

    def __getitem__(self, master: masters.Master) -> tuple[dict, dict]:
        if master.name not in self.kept:
            space: dict = {"__name__": "__main__"}
            prepared: dict = {}
            for cell in master.notebook.cells:
                mark = masters.MARK.match(cell.source)
                if cell.cell_type == "code" and not (mark and mark[1] == "Check"):
                    exec(cell.source, space)
                    if mark and mark[1] == "Set-up":
                        prepared = untouched(space)
            self.kept[master.name] = prepared, space
        return self.kept[master.name]


def untouched(names: dict) -> dict:
    """Copy what an answer could change in place."""
    kinds = torch.Tensor | torch.nn.Module
    return {k: copy.deepcopy(v) if isinstance(v, kinds) else v for k, v in names.items()}


@pytest.fixture(scope="module")
def solved():
    mpl.use("agg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADER_STUDENT", "ada")
        yield Solved()


def outcome(
    master, task: str, source: str, solved: Solved, figure: bool = False
) -> tuple[bool, list[str]]:
    """Whether a task's whole check passes with an answer, and what it printed."""
    check = next(c.source for c in master.notebook.cells if masters.is_cell(c, "Check", task))
    check = check if figure else check.replace("if all(passed):", "if False:")
    prepared, after = solved[master]
    names = master.tasks[task].names  # what the solution left behind is no answer
    space = {k: v for k, v in after.items() if k not in names} | untouched(prepared)
    said, passed = io.StringIO(), True
    with contextlib.redirect_stdout(said):
        try:
            exec(source, space)
            space |= untouched(prepared)
            exec(check, space)
        except Exception:
            passed = False
    plt.close("all")
    return passed, [line for line in said.getvalue().splitlines() if line[:1] in "✓✗○"]


@pytest.mark.parametrize(("master", "task"), TASKS, ids=IDS)
def test_the_solution_and_unusual_right_answers_pass(master, task, solved, tmp_path, monkeypatch):
    right = answers(master).RIGHT[task]
    assert len(right) >= 2
    names, truth = master.tasks[task].visible + master.tasks[task].hidden, None
    own = next(c.source for c in master.notebook.cells if masters.is_cell(c, "Task", task))
    for number, (name, source) in enumerate({"the solution": own, **right}.items()):
        (records := tmp_path / str(number)).mkdir()
        monkeypatch.setenv(RECORDS, str(records))
        passed, said = outcome(master, task, source, solved, figure=source is own)
        assert passed, (name, said)
        assert len(said) == len(names)
        answered = read_records(records)  # the grader compares these with the solution's
        truth = truth or answered
        assert [n for n in names if not same(answered.get(n), truth[n])] == [], name


@pytest.mark.parametrize(("master", "task"), TASKS, ids=IDS)
def test_the_stub_earns_nothing(master, task, solved):
    passed, said = outcome(master, task, master.tasks[task].stub, solved)
    assert not passed, said


@pytest.mark.slow
@pytest.mark.parametrize(("master", "task"), TASKS, ids=IDS)
def test_wrong_answers_lose_the_task_and_are_told_why(master, task, solved):
    wrong = answers(master).WRONG[task]
    assert len(wrong) >= 5
    visible = master.tasks[task].visible
    for name, source in wrong.items():
        passed, said = outcome(master, task, source, solved)
        assert not passed, (name, said)
        failed = [line for line in said if line.startswith("✗")]
        assert failed, (name, said)
        if "number" not in visible[0]:  # a number's value is the student's to find
            assert any(line[2:].startswith(visible) for line in failed), (name, said)


def test_ids_are_unique_points_add_up_and_nothing_leaks():
    for master in MASTERS:
        ids = [masters.grade_id(c) for c in master.notebook.cells if masters.grade_id(c)]
        assert len(ids) == len(set(ids))
        names = [n for t in master.tasks.values() for n in t.visible + t.hidden]
        assert len(names) == len(set(names)), "answers are compared by the names of checks"
        total = sum(t.points for t in master.tasks.values()) + sum(master.reflections.values())
        assert f"*Points:* {total:g}" in master.notebook.cells[0].source
        assert len(master.tasks) >= 3
        assert len(master.reflections) == 1
        released = "\n".join(cell.source for cell in master.release.cells)
        for mark in ("SOLUTION", "HIDDEN", "Rubric"):
            assert mark not in released
        assert all(cell.get("outputs", []) == [] for cell in master.release.cells)
        for task in master.tasks.values():
            assert not any(name in released for name in task.hidden)


@pytest.mark.slow
def test_releases_are_up_to_date():
    before = {master.name: master.release_path.read_bytes() for master in MASTERS}
    try:
        assert masters.release(MASTERS) == [], "run: python -m tools.grading release"
    finally:
        for master in MASTERS:
            master.release_path.write_bytes(before[master.name])
