"""Notebooks in one normal form, so that what is committed changes only where a result changed."""

from __future__ import annotations

import base64
import copy
import io
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from PIL import Image
from PIL.PngImagePlugin import PngInfo

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
#: Tag that papermill gives to the cells with which it marks a failure.
PAPERMILL_ERROR_TAG = "papermill-error-cell-tag"
#: Tag of the cell in which papermill puts parameters from the command line.
PAPERMILL_PARAMETERS_TAG = "injected-parameters"

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}

#: Figures of more bytes than this are stored with 256 colours: full of photographs or paintings,
#: they would make a notebook too heavy for the pages that show it.
LARGE_FIGURE = 800_000

#: Cell metadata that readers need; anything else says how the notebook was executed.
KEPT_CELL_METADATA = ("tags", "slideshow", "nbgrader", "deletable", "editable")


def read(path: Path) -> NotebookNode:
    """Open a notebook in format 4, with the errors of its own if it is not one."""
    return nbformat.read(path, as_version=4)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook, whole or not at all, with the same line ends on every platform."""
    text = nbformat.writes(notebook, version=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial")
    unfinished.write_text(text.rstrip("\n") + "\n", encoding="utf-8", newline="\n")
    unfinished.replace(path)


def without_papermill_marks(notebook: NotebookNode) -> NotebookNode:
    """Copy a notebook, less the cells that papermill adds to it."""
    notebook = copy.deepcopy(notebook)
    added = {PAPERMILL_ERROR_TAG, PAPERMILL_PARAMETERS_TAG}
    notebook.cells = [
        cell for cell in notebook.cells if not added & set(cell.metadata.get("tags", []))
    ]
    return notebook


def normalized(notebook: NotebookNode) -> NotebookNode:
    """Copy a notebook into the form that is committed.

    Metadata name the kernel and nothing about the machine; execution counts are 1, 2, …; no times,
    no widget state, no widget views (the static figure beside them stays), nothing from stderr;
    pieces of one output stream are joined, since where they break is chance; figures larger than
    `LARGE_FIGURE` keep 256 colours.

    Parameters
    ----------
    notebook
        Executed or not; it is left as it is.
    """
    notebook = without_papermill_marks(notebook)
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNELSPEC, "language_info": {"name": "python"}}
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    taken: set[str] = set()
    count = 0
    for number, cell in enumerate(notebook.cells):
        kept = {key: cell.metadata[key] for key in KEPT_CELL_METADATA if key in cell.metadata}
        cell.metadata = nbformat.from_dict(kept)
        cell.source = cell.source.rstrip()
        if not cell.get("id") or cell.id in taken:
            cell.id = f"cell-{number:03d}"
        taken.add(cell.id)
        if cell.cell_type != "code":
            continue
        executed = cell.execution_count is not None
        count += executed
        cell.execution_count = count if executed else None
        cell.outputs = normalized_outputs(cell.outputs, cell.execution_count)
    return notebook


def normalized_outputs(outputs: list[NotebookNode], count: int | None) -> list[NotebookNode]:
    """Normalise one cell's outputs: streams joined, stderr and widget views gone."""
    kept: list[NotebookNode] = []
    for output in copy.deepcopy(outputs):
        if output.output_type == "stream":
            if output.name == "stderr":
                continue
            if kept and kept[-1].output_type == "stream":
                kept[-1].text += output.text
                continue
        elif is_widget(output):
            # A widget's own text is its repr; whatever else it carries is its static form.
            output.data = {
                kind: value
                for kind, value in output.data.items()
                if kind not in (WIDGET_VIEW, "text/plain")
            }
            if not output.data:
                continue
        if output.output_type == "execute_result":
            output.execution_count = count
        if "image/png" in output.get("data", {}):
            output.data["image/png"] = lightened(output.data["image/png"])
        kept.append(output)
    for output in kept:
        if output.output_type == "stream":
            output.text = settle_carriage_returns(output.text)
    return kept


def lightened(figure: str) -> str:
    """Store a large figure (base64 of a PNG) with 256 colours, its description kept."""
    if len(figure) * 3 // 4 <= LARGE_FIGURE:
        return figure
    picture = Image.open(io.BytesIO(base64.b64decode(figure)))
    if picture.mode == "P":
        return figure
    about = PngInfo()
    for name, text in getattr(picture, "text", {}).items():
        about.add_itxt(name, text)
    resolution = picture.info.get("dpi", (100, 100))
    colored = picture.convert("RGB")
    few = colored.quantize(palette=colored.quantize(256), dither=Image.Dither.FLOYDSTEINBERG)
    buffer = io.BytesIO()
    few.save(buffer, format="PNG", optimize=True, pnginfo=about, dpi=resolution)
    return base64.b64encode(buffer.getvalue()).decode()


def is_widget(output: NotebookNode) -> bool:
    """Whether an output shows an ipywidget."""
    return WIDGET_VIEW in output.get("data", {})


def settle_carriage_returns(text: str) -> str:
    """Drop what carriage returns overwrote: the text as a terminal shows it in the end."""
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
