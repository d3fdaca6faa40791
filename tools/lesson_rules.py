"""What every committed lesson must be: the rules of the course's design, as checks.

`tests/test_notebooks.py` applies them to every notebook, and shows on made-up notebooks that each
of them can fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import nbformat
from bs4 import BeautifulSoup
from nbformat import NotebookNode

from course_utils import launch
from tools import normalize
from tools.site import page

MIN_ALT_LENGTH = 20
CELL_LINES, CELL_LINES_LIMIT, LONG_CELLS_SHARE = 15, 25, 0.10
SECTIONS = ("Measure it", "Break it", "Explore")

#: What a lesson's code must not do, and why.
FORBIDDEN_CODE = {
    r"^\s*[!]": "runs a shell command; call a function of the course instead",
    r"^\s*%(pip|conda|cd)\b": "changes the environment; the bootstrap cell is the place for that",
    r"\bos\.chdir\b": "changes the working directory; name files through course_utils",
    r"""["'](/(home|Users|root|tmp|mnt|content|kaggle|data|opt|var)\b|~/|[A-Za-z]:[\\/])""": (
        "names a path that exists on one machine only"
    ),
}


def problems(notebook: NotebookNode, name: str, slug: str) -> list[str]:
    """List everything that is wrong with a lesson; empty if it is fit to be committed.

    Parameters
    ----------
    notebook
        As stored, with outputs.
    name
        Its file name.
    slug
        ``OWNER/NAME`` of the repository, which badges and the bootstrap cell must name.
    """
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        return [f"not a valid notebook: {error.message}"]
    checks = (stored_outputs, figures, code, opening, structure)
    return [problem for check in checks for problem in check(notebook, name, slug)]


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Code cells that hold any code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def tagged(notebook: NotebookNode, tag: str) -> list[NotebookNode]:
    """Cells with a tag."""
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def stored_outputs(notebook: NotebookNode, name: str, slug: str) -> Iterator[str]:
    """Check that outputs are there, of the standard profile, and in normal form."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}, not 1 to {len(counts)}: run `make outputs`"
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell {cell.id} stores an error: {output.ename}: {output.evalue}"
            text = output.get("text", "")
            for found in re.findall(r"profile (\w+) · data source (\w+)", text):
                if found != ("standard", "embedded"):
                    yield f"outputs come from profile {found[0]}, data source {found[1]}"
    if not tagged(notebook, "nbval-check-output"):
        yield "no cell is tagged nbval-check-output, so no stored result is ever checked"
    if normalize.normalized(notebook) != notebook:
        yield "not in normal form (metadata, widget state, stderr): run `make tidy`"


def figures(notebook: NotebookNode, name: str, slug: str) -> Iterator[str]:
    """Check that every picture has a description and is part of the notebook."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data, metadata = output.get("data", {}), output.get("metadata", {})
            for kind in (kind for kind in data if kind.startswith("image/")):
                own = metadata.get(kind, {})
                alt = own.get("alt") or metadata.get("alt") or ""
                if len(alt.strip()) < MIN_ALT_LENGTH:
                    yield f"cell {cell.id}: a figure's alt text is {alt!r}; use plots.show(alt=...)"
            for load in page.remote_loads(data.get("text/html", "")):
                yield f"cell {cell.id}: an output loads from the network: {load}"
        if cell.cell_type == "markdown":
            for image in BeautifulSoup(cell.source, "html.parser").find_all("img"):
                if not image.get("alt"):
                    yield f"cell {cell.id}: <img> without alt text"
            if re.search(r"!\[\s*\]\(", cell.source):
                yield f"cell {cell.id}: a picture without alt text"


def code(notebook: NotebookNode, name: str, slug: str) -> Iterator[str]:
    """Check that cells are short, and run anywhere."""
    cells = code_cells(notebook)
    lengths = {cell.id: len(re.findall(r"^.*\S", cell.source, re.MULTILINE)) for cell in cells}
    for cell_id, length in lengths.items():
        if length > CELL_LINES_LIMIT:
            yield f"cell {cell_id} has {length} lines; {CELL_LINES_LIMIT} is the limit"
    long_ones = [cell_id for cell_id, length in lengths.items() if length > CELL_LINES]
    if len(long_ones) > LONG_CELLS_SHARE * len(cells):
        yield (
            f"{len(long_ones)} of {len(cells)} cells have more than {CELL_LINES} lines, and at "
            f"most {LONG_CELLS_SHARE:.0%} may: {', '.join(long_ones)}"
        )
    for cell in cells:
        for pattern, reason in FORBIDDEN_CODE.items():
            found = re.search(pattern, cell.source, re.MULTILINE)
            if found:
                yield f"cell {cell.id}: {found.group().strip()!r} {reason}"


def opening(notebook: NotebookNode, name: str, slug: str) -> Iterator[str]:
    """Check title, badges, objectives; then the bootstrap cell and the parameters."""
    first = notebook.cells[0].source if notebook.cells else ""
    if not first.startswith("# "):
        yield "the first cell does not begin with a title, '# …'"
    if launch.badges(name, slug) not in first:
        yield f"the first cell lacks the badges: {launch.badges(name, slug)}"
    if not re.search(r"objectives|you will be able to|you can\b", first, re.IGNORECASE):
        yield "the first cell does not say what a reader will be able to do"
    if not re.search(r"\btime\b.*\bminutes?\b", first, re.IGNORECASE | re.DOTALL):
        yield "the first cell does not say how much time the lesson takes"
    for tag in ("bootstrap", "parameters"):
        if len(tagged(notebook, tag)) != 1:
            yield f"{len(tagged(notebook, tag))} cells are tagged {tag!r}; exactly one must be"
    bootstrap = tagged(notebook, "bootstrap")
    if bootstrap and bootstrap[0].source != launch.bootstrap_cell(slug):
        yield "the bootstrap cell is not what course_utils.launch.bootstrap_cell() gives"
    if bootstrap and bootstrap[0] is not code_cells(notebook)[0]:
        yield "the bootstrap cell is not the first code cell"


def structure(notebook: NotebookNode, name: str, slug: str) -> Iterator[str]:
    """Check for the sections that every lesson has."""
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^#{2,4}\s+(?:\d+[.)]?\s+)?(.+?)\s*$", prose, re.MULTILINE)
    wanted = ("References",) if name.startswith("00") else (*SECTIONS, "References")
    for section in wanted:
        if not any(heading.lower().startswith(section.lower()) for heading in headings):
            yield f"there is no section {section!r}"
    if not re.search(r"\bnext\b", "\n".join(prose.split("\n")[-40:]), re.IGNORECASE):
        yield "the end does not say what the next lesson is"
    levels = [len(marks) for marks in re.findall(r"^(#{1,6})\s", without_code(prose), re.MULTILINE)]
    if levels.count(1) != 1:
        yield f"there are {levels.count(1)} titles ('# …'); there must be one"
    for above, below in pairwise(levels):
        if below > above + 1:
            yield f"a heading of level {below} follows one of level {above}"


def without_code(prose: str) -> str:
    """Markdown less its fenced code, in which '#' begins a comment."""
    return re.sub(r"^```.*?^```", "", prose, flags=re.MULTILINE | re.DOTALL)
