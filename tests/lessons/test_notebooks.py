"""Every committed lesson keeps the course's rules, and each rule can fail."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import lesson_rules
import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)

from tools import fork, normalize, tasks

LESSONS = tasks.lesson_paths()
TEMPLATE = lesson_rules.TEMPLATE
REPO = fork.repository()
NAME = "02_made_up.ipynb"
PALETTE_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABAQMAAAAl21bKAAAAA1BMVEUAAACn"
    "ej3aAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="
)
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_there_are_lessons():
    assert LESSONS, "notebooks/ holds no lesson"


@pytest.mark.parametrize("path", [TEMPLATE, *LESSONS], ids=lambda path: path.stem)
def test_lesson_keeps_the_rules(path: Path):
    found = lesson_rules.problems(normalize.read(path), path.name, REPO)
    assert not found, "\n".join([path.name, *found])


def test_template_is_within_all_bounds_and_prints_its_verdicts():
    notebook = normalize.read(TEMPLATE)
    assert lesson_rules.over_bounds(notebook, TEMPLATE.stat().st_size) == []
    printed_lines = [
        line
        for cell in lesson_rules.code_cells(notebook)
        for output in cell.outputs
        for line in output.get("text", "").split("\n")
    ]
    answers = sum(cell.source.count("</details>") for cell in notebook.cells)
    assert sum(line.startswith("Verdict: ") for line in printed_lines) == answers == 3


@pytest.mark.slow
def test_template_runs_in_the_fast_profile(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_PROFILE", "fast")
    names = {"__name__": "template"}
    for cell in lesson_rules.code_cells(normalize.read(TEMPLATE)):
        if "bootstrap" not in lesson_rules.tags(cell):
            exec(compile(cell.source, cell.id, "exec"), names)
    assert capsys.readouterr().out.count("Verdict: ") == 3


# --- a notebook that keeps every rule, and ways to break it ---------------------------------------


def code(source: str, *tags: str, outputs: list[NotebookNode] | None = None) -> NotebookNode:
    return new_code_cell(source, metadata={"tags": list(tags)}, outputs=outputs or [])


def figure(png: str = PIXEL, **metadata: object) -> NotebookNode:
    return new_output("display_data", {"image/png": png}, metadata=metadata)


def printed(text: str) -> NotebookNode:
    return new_output("stream", name="stdout", text=text)


def good() -> NotebookNode:
    """Make the smallest lesson that keeps every rule."""
    alt = "Bar plot: five classes, the goose far ahead of the others."
    badges = lesson_rules.badges(NAME, *REPO)
    cells = [
        new_markdown_cell(f"# Made up\n\n{badges}\n\nYou will be able to wait.\n\nTime: 1 minute."),
        code(lesson_rules.FIRST_CELL, "bootstrap"),
        code("seed = 0", "parameters"),
        code(
            "print(cu.setup())",
            outputs=[printed("profile standard · data source embedded · seed 0 · CPU\n")],
        ),
        code("show()", outputs=[figure(**{"image/png": {"alt": alt}, "alt": alt})]),
        code("print(1 + 1)", "nbval-check-output", outputs=[printed("2\n")]),
        *(new_markdown_cell(f"## {title}") for title in ("1. Measure it", "Break it", "Explore")),
        new_markdown_cell("## References\n\n- Someone (2020).\n\n**Next lesson:** more."),
    ]
    notebook = new_notebook(cells=cells)
    number_cells(notebook)
    return normalize.normalized(notebook)


def number_cells(notebook: NotebookNode) -> None:
    for number, cell in enumerate(lesson_rules.code_cells(notebook), start=1):
        cell.execution_count = number


def test_good_notebook_keeps_the_rules():
    assert lesson_rules.problems(good(), NAME, REPO) == []


def add_code(source: str):
    def change(notebook: NotebookNode) -> None:
        notebook.cells.insert(6, new_code_cell(source, id="added"))
        number_cells(notebook)

    return change


def add_markdown(source: str, times: int, *tags: str):
    def change(notebook: NotebookNode) -> None:
        for number in range(times):
            cell = new_markdown_cell(source, id=f"added-{number}", metadata={"tags": list(tags)})
            notebook.cells.append(cell)

    return change


def add_output(output: NotebookNode):
    def change(notebook: NotebookNode) -> None:
        notebook.cells[4].outputs.append(output)

    return change


def retag(index: int, *tags: str):
    def change(notebook: NotebookNode) -> None:
        notebook.cells[index].metadata["tags"] = list(tags)

    return change


def edit(index: int, old: str, new: str):
    def change(notebook: NotebookNode) -> None:
        assert old in notebook.cells[index].source
        notebook.cells[index].source = notebook.cells[index].source.replace(old, new)

    return change


def set_count(notebook: NotebookNode) -> None:
    notebook.cells[5].execution_count = 7


def clear_outputs(notebook: NotebookNode) -> None:
    for cell in lesson_rules.code_cells(notebook):
        cell.execution_count, cell.outputs = None, []


def drop(index: int):
    return lambda notebook: notebook.cells.pop(index)


def add_metadata(notebook: NotebookNode) -> None:
    notebook.metadata["widgets"] = {"state": {}}


def same_ids(notebook: NotebookNode) -> None:
    notebook.cells[4].id = notebook.cells[3].id


def invalid(notebook: NotebookNode) -> None:
    notebook.cells[3]["surprise"] = 1


ERROR = new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])
REMOTE = new_output("display_data", {"text/html": '<img src="https://example.org/a.png">'})
PALETTE = figure(png=PALETTE_PIXEL, alt="One pixel, chosen from a palette of 256 colours.")
FAST = printed("profile fast · data source embedded · seed 0 · CPU\n")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (invalid, "not a valid notebook"),
        (set_count, "execution counts"),
        (clear_outputs, "make outputs"),
        (add_output(ERROR), "stores an error: ValueError"),
        (add_output(FAST), "another profile"),
        (add_output(new_output("stream", name="stderr", text="warning")), "normal form"),
        (add_metadata, "normal form"),
        (retag(5), "nbval-check-output"),
        (add_output(figure()), "alt text"),
        (add_output(figure(alt="A figure")), "alt text is 'A figure'"),
        (add_output(REMOTE), "loads from the network"),
        (edit(6, "## 1.", "![](a.png)\n\n## 1."), "no alt text"),
        (edit(6, "## 1.", '<img src="a.png">\n\n## 1.'), "no alt text"),
        (add_code("!pip install torch"), "shell command"),
        (add_code("%pip install torch"), "bootstrap cell is the place"),
        (add_code("import os\nos.chdir('..')"), "working directory"),
        (add_code('open("/home/me/cat.jpg")'), "is a path"),
        (add_code(r'open("C:\\cat.jpg")'), "is a path"),
        (edit(0, "# Made up", "Made up"), "title"),
        (edit(0, "colab.research", "elsewhere"), "badges"),
        (edit(0, "You will be able to", "Please"), "be able to do"),
        (edit(0, "minute", "hour"), "how much time"),
        (retag(1), "'bootstrap'; exactly one"),
        (retag(3, "parameters"), "2 cells are tagged 'parameters'"),
        (edit(1, "git+https", "git+http"), "_template.ipynb"),
        (drop(6), "no section 'Measure it'"),
        (drop(7), "no section 'Break it'"),
        (drop(8), "no section 'Explore'"),
        (drop(9), "no section 'References'"),
        (edit(9, "**Next lesson:** more.", ""), "next lesson is"),
        (edit(8, "## Explore", "# Explore"), "one title"),
        (edit(8, "## Explore", "#### Explore"), "one level deeper"),
        (same_ids, "ids"),
        (add_output(PALETTE), "256 colours"),
    ],
)
def test_each_rule_can_fail(change, complaint: str):
    notebook = good()
    change(notebook)
    found = lesson_rules.problems(notebook, NAME, REPO)
    assert any(complaint in problem for problem in found), found


@pytest.mark.parametrize(
    ("change", "passed"),
    [
        (add_code("\n".join(["x = 1  # one", "", "# two"] * 301)), "code lines, at most 300"),
        (add_code("\n".join(["x = 1"] * 16)), None),
        (add_markdown("word [link](https://example.org/a) " * 1150, 1), None),
        (add_markdown("word [link](https://example.org/a) " * 1300, 1), "words, at most 2400"),
        (add_markdown("Once more.", 45), "55 cells"),
        (add_markdown("Once more.", 13, "deeper"), "13 deeper cells"),
        (add_markdown("<details><summary>Answer 1</summary>\n\nRead the figure.\n</details>", 1),
         "1 answers without a number"),
        (add_markdown("<details><summary>Answer</summary>\n\nBy 3 %.\n</details>", 1), None),
        (drop(4), "9 cells before the first figure"),
    ],
)  # fmt: skip
def test_bounds_are_listed(change, passed: str | None, monkeypatch):
    monkeypatch.setitem(lesson_rules.BOUNDS, "cells before the first figure", 8)
    notebook = good()
    change(notebook)
    found = lesson_rules.over_bounds(notebook, 1_900_000)
    assert len(found) == (passed is not None), found
    assert passed is None or passed in found[0]
    assert "2100 kB, at most 2000" in lesson_rules.over_bounds(notebook, 2_100_000)


def test_command_prints_errors_and_bounds_and_fails_for_errors_only(tmp_path, capsys):
    notebook = good()
    add_markdown("Once more, and next.", 45)(notebook)
    normalize.write(notebook, tmp_path / NAME)
    assert lesson_rules.main([str(tmp_path / NAME)]) == 0
    assert "bound: 55 cells, at most 50" in capsys.readouterr().out
    drop(8)(notebook)
    normalize.write(notebook, tmp_path / NAME)
    assert lesson_rules.main([str(tmp_path / NAME)]) == 1
    assert "error: there is no section 'Explore'" in capsys.readouterr().out


def test_first_lesson_needs_no_measuring():
    notebook = good()
    notebook.cells = [cell for cell in notebook.cells if "Measure it" not in cell.source]
    badges = [lesson_rules.badges(name, *REPO) for name in (NAME, "00_start_here.ipynb")]
    notebook.cells[0].source = notebook.cells[0].source.replace(*badges)
    assert lesson_rules.problems(notebook, "00_start_here.ipynb", REPO) == []


# --- normal form ----------------------------------------------------------------------------------


def untidy() -> NotebookNode:
    widget = {"text/plain": "HBox(...)", normalize.WIDGET_VIEW: {"model_id": "1"}}
    both = {**widget, "image/png": PIXEL}
    outputs = [
        printed("one\n"),
        new_output("stream", name="stderr", text="warning\n"),
        printed("10%\r100%\n"),
        new_output("display_data", widget),
        new_output("display_data", both, metadata={"alt": "A figure that stays."}),
        new_output("execute_result", {"text/plain": "4"}, execution_count=9),
    ]
    cell = new_code_cell("x\n", execution_count=9, outputs=outputs)
    cell.metadata = nbformat.from_dict(
        {"tags": ["keep"], "papermill": {"duration": 1.5}, "execution": {"iopub": "2020"}}
    )
    marker = new_markdown_cell("error!", metadata={"tags": ["papermill-error-cell-tag"]})
    metadata = {
        "papermill": {"start_time": "2020"},
        "widgets": {},
        "kernelspec": {"name": "mine", "display_name": "Mine"},
    }
    return new_notebook(cells=[marker, new_code_cell("never run"), cell], metadata=metadata)


def test_normal_form():
    before = untidy()
    as_it_was = copy.deepcopy(before)
    after = normalize.normalized(before)
    assert before == as_it_was
    assert after.metadata == normalize.METADATA
    never, cell = after.cells
    assert never.execution_count is None
    assert cell.execution_count == 1
    assert cell.metadata == {"tags": ["keep"]}
    assert cell.source == "x"
    kinds = [(output.output_type, output.get("text")) for output in cell.outputs]
    assert kinds == [
        ("stream", "one\n100%\n"),
        ("display_data", None),
        ("execute_result", None),
    ]
    assert set(cell.outputs[1].data) == {"image/png"}
    assert cell.outputs[1].metadata == {"alt": "A figure that stays."}
    assert cell.outputs[2].execution_count == 1
    assert normalize.normalized(after) == after


def test_written_notebooks_are_the_same_bytes(tmp_path: Path):
    path = tmp_path / "a.ipynb"
    normalize.write(good(), path)
    first = path.read_bytes()
    normalize.write(normalize.normalized(normalize.read(path)), path)
    assert path.read_bytes() == first
    assert first.endswith(b"}\n")
    assert b"\r" not in first
    assert not re.search(rb"iopub|papermill|start_time", first)
