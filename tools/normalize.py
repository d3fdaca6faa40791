"""Notebooks in one normal form, so that what is committed changes only where a result changed."""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
#: Tags of the cells that papermill adds: a failure's mark, parameters from the command line.
PAPERMILL_TAGS = {"papermill-error-cell-tag", "injected-parameters"}
#: What a notebook says of itself: the kernel, and nothing about the machine.
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
#: Cell metadata that readers need; anything else says how the notebook was executed.
KEPT_CELL_METADATA = ("tags", "slideshow", "nbgrader", "deletable", "editable")


def read(path: Path) -> NotebookNode:
    """Open a notebook in format 4, with the errors of its own if it is not one."""
    return nbformat.read(path, as_version=4)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook, whole or not at all, with the same line ends on every platform."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial")
    text = nbformat.writes(notebook, version=4).rstrip("\n") + "\n"
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    unfinished.replace(path)


def without_papermill_marks(notebook: NotebookNode) -> NotebookNode:
    """Copy a notebook, less the cells that papermill adds to it."""
    notebook = copy.deepcopy(notebook)
    notebook.cells = [
        cell for cell in notebook.cells if not PAPERMILL_TAGS & set(cell.metadata.get("tags", []))
    ]
    return notebook


def normalized(notebook: NotebookNode) -> NotebookNode:
    """Copy a notebook into the form that is committed.

    Metadata name the kernel and nothing about the machine; every cell has an id; execution counts
    are 1, 2, …; no times, no widget state, no widget views (the static figure beside them stays),
    nothing from stderr; pieces of one output stream are joined, since where they break is chance.

    Parameters
    ----------
    notebook
        Executed or not; it is left as it is.
    """
    notebook = without_papermill_marks(notebook)
    notebook.metadata = nbformat.from_dict(copy.deepcopy(METADATA))
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    taken, count = set(), 0
    for number, cell in enumerate(notebook.cells):
        kept = {key: cell.metadata[key] for key in KEPT_CELL_METADATA if key in cell.metadata}
        cell.metadata = nbformat.from_dict(kept)
        cell.source = cell.source.rstrip()
        if not cell.get("id") or cell.id in taken:
            cell.id = f"cell-{number:03d}"
        taken.add(cell.id)
        if cell.cell_type == "code":
            count += cell.execution_count is not None
            cell.execution_count = count if cell.execution_count is not None else None
            cell.outputs = normalized_outputs(cell.outputs, cell.execution_count)
    return notebook


def normalized_outputs(outputs: list[NotebookNode], count: int | None) -> list[NotebookNode]:
    """Normalise one cell's outputs: streams joined, stderr and widget views gone."""
    kept: list[NotebookNode] = []
    for output in copy.deepcopy(outputs):
        if WIDGET_VIEW in output.get("data", {}):  # what else it carries is its static form
            output.data = {k: v for k, v in output.data.items() if k.startswith("image/")}
        if output.output_type == "stream" and kept and kept[-1].output_type == "stream":
            kept[-1].text += output.text if output.name != "stderr" else ""
        elif output.get("name") != "stderr" and output.get("data", True):
            kept.append(output)
        if output.output_type == "execute_result":
            output.execution_count = count
    for output in kept:
        if "text" in output:  # what carriage returns overwrote is dropped, as a terminal does
            lines = output.text.split("\n")
            output.text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)
    return kept
