"""The checks of each task, with right, wrong and missing answers and with cheats."""

from __future__ import annotations

import ast
import contextlib
import copy
import io
import re
import symtable
from collections.abc import Callable
from importlib import import_module

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch

import course_utils.exercises
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


def cell(master: masters.Master, kind: str, task: str) -> str:
    """Source of a task's cell in the master."""
    return next(c.source for c in master.notebook.cells if masters.is_cell(c, kind, task))


def outcome(
    master,
    task: str,
    source: str,
    solved: Solved,
    figure: bool = False,
    hidden: bool = True,
    replace: Callable[[dict], dict] = lambda _: {},
) -> tuple[bool, list[str]]:
    """Whether a check passes with an answer (`replace` changes its names), and what it printed."""
    check = cell(master, "Check", task)
    check = check if figure else check.replace("if all(passed):", "if False:")
    check = check if hidden else masters.HIDDEN.sub("", check)
    prepared, after = solved[master]
    names = master.tasks[task].names  # what the solution left behind is no answer
    space = {k: v for k, v in after.items() if k not in names} | untouched(prepared)
    said, passed = io.StringIO(), True
    with contextlib.redirect_stdout(said):
        try:
            exec(source, space)
            space |= untouched(prepared) | replace(space)
            exec(check, space)
        except Exception:
            passed = False
    plt.close("all")
    return passed, [line for line in said.getvalue().splitlines() if line[:1] in "✓✗○"]


@pytest.mark.slow
@pytest.mark.parametrize(("master", "task"), TASKS, ids=IDS)
def test_the_solution_and_unusual_right_answers_pass(master, task, solved, tmp_path, monkeypatch):
    right = answers(master).RIGHT[task]
    assert len(right) >= 2
    names, truth = master.tasks[task].visible + master.tasks[task].hidden, None
    own = cell(master, "Task", task)
    for number, (name, source) in enumerate({"the solution": own, **right}.items()):
        (records := tmp_path / str(number)).mkdir()
        monkeypatch.setenv(RECORDS, str(records))
        passed, said = outcome(master, task, source, solved, figure=source is own)
        assert passed, (name, said)
        assert len(said) == len(names)
        answered = read_records(records)  # the grader compares these with the solution's
        truth = truth or answered
        assert [n for n in names if not same(answered.get(n), truth[n])] == [], name


@pytest.mark.slow
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


def test_replaced_checks_leave_no_answer_to_compare(solved, tmp_path, monkeypatch):
    monkeypatch.setenv(RECORDS, str(tmp_path))
    for module in (course_utils, course_utils.exercises):
        monkeypatch.setattr(module, "check", module.check)  # put back after the cheat
    cheat = answers(MASTERS[0]).CHEATS["01.1"]["check replaced"]
    passed, said = outcome(MASTERS[0], "01.1", cheat, solved)
    assert passed
    assert all(line.startswith("✓") for line in said)
    assert read_records(tmp_path) == {}
    assert not same(None, torch.zeros(1).numpy())


FUNCTIONS = [(m, t) for m, t in TASKS if re.search(r"^def ", m.tasks[t].stub, re.M)]
LIBRARIES = [(m, t) for m, t in TASKS if "from_scratch" in m.tasks[t].check]


@pytest.mark.slow
@pytest.mark.parametrize(("master", "task"), LIBRARIES, ids=[task for _, task in LIBRARIES])
def test_a_library_does_not_write_it_for_you(master, task, solved):
    calls = masters.check_calls(cell(master, "Check", task))
    bare = [c.args[0].value for c in calls if not {"from_scratch"} & {k.arg for k in c.keywords}]
    assert not set(bare) & set(master.tasks[task].hidden), "a library would do for hidden inputs"
    cheats = {k: v for k, v in answers(master).CHEATS[task].items() if k.startswith("library")}
    assert cheats
    for name, source in cheats.items():
        passed, said = outcome(master, task, source, solved)
        assert not passed, (name, said)
        assert any("write it yourself" in line for line in said), (name, said)


@pytest.mark.slow
@pytest.mark.parametrize(("master", "task"), FUNCTIONS, ids=[task for _, task in FUNCTIONS])
def test_answers_to_the_visible_inputs_are_not_enough(master, task, solved):
    """What the solution says to the visible checks, said again to the hidden ones."""
    said: dict[str, list] = {}

    def record(space: dict) -> dict:
        def keeping(name: str, function: Callable) -> Callable:
            def call(*arguments, **keywords):
                said.setdefault(name, []).append(function(*arguments, **keywords))
                return said[name][-1]

            return call

        names = [n for n in master.tasks[task].names if callable(space[n])]
        return {name: keeping(name, space[name]) for name in names}

    def again(answers: list) -> Callable:
        return lambda *_, **__: answers.pop(0) if len(answers) > 1 else answers[0]

    own = cell(master, "Task", task)
    assert outcome(master, task, own, solved, hidden=False, replace=record)[0]
    assert said
    copied = {name: again(answers) for name, answers in said.items()}
    assert not outcome(master, task, own, solved, replace=lambda _: copied)[0]


def names(source: str) -> tuple[set[str], set[str]]:
    """Names that a cell binds at its outer level, and all that it reads and does not bind."""
    table = symtable.symtable(source, "cell", "exec")
    bound = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    loaded = {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)}
    return bound, loaded - bound


@pytest.mark.parametrize("master", MASTERS, ids=lambda master: master.name)
def test_no_check_takes_the_name_of_another_answer(master):
    """In JupyterLab students run checks again, in any order."""
    setup = next(c.source for c in master.notebook.cells if c.source.startswith("# Set-up"))
    fixed = names(setup)[0]
    for task in master.tasks:
        defined, read = names(cell(master, "Task", task))[0], names(cell(master, "Check", task))[1]
        assert not defined & fixed, "set-up is run again before the checks"
        for other in master.tasks:
            bound = names(cell(master, "Check", other))[0]
            assert not bound & fixed, f"check {other} binds names of the set-up"
            if other != task:
                assert not bound & defined & read, f"check {other} binds answers of {task}"


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
