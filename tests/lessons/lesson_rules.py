"""The rules of a lesson (CONTRIBUTING.md): ``python -m tests.lessons.lesson_rules LESSON.ipynb``.

`problems` are errors: a lesson that has one is not committed. `over_bounds` lists where a lesson is
longer than a student's 45 minutes; nothing fails because of it.
"""

from __future__ import annotations

import base64
import copy
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools import fork, normalize

TEMPLATE = fork.ROOT / "notebooks" / "_template.ipynb"
#: What the template begins with, and every lesson with it.
FIRST_CELL = normalize.read(TEMPLATE).cells[1].source
SECTIONS = ("Measure it", "Break it", "Explore", "References")
#: What a lesson's code must not do, and why.
FORBIDDEN_CODE = {
    r"^\s*[!]": "runs a shell command; call a function of the course instead",
    r"^\s*%(pip|conda|cd)\b": "changes the environment; the bootstrap cell is the place for that",
    r"\bos\.chdir\b": "changes the working directory; name files through course_utils",
    r"""["'](/(home|Users|root|tmp|mnt|content|kaggle|data|opt)\b|~/|[A-Z]:[\\/])""": "is a path",
}
#: What the first cell must hold, and how to say that it does not.
OPENING = {
    r"\A# ": "begin with a title, '# …'",
    r"(?i)objectives|you will be able to|you can\b": "say what a reader will be able to do",
    r"(?is)\btime\b.*\bminutes?\b": "say how much time the lesson takes",
}
#: The most that a lesson's main path holds; "deeper" is what stands under "Going deeper".
BOUNDS = {
    "cells": 50, "deeper cells": 12, "code lines": 300, "words": 2400, "cells of > 15 lines": 2,
    "cells before the first figure": 12, "answers without a number": 0, "kB": 2000,
}  # fmt: skip


def badges(notebook: str, slug: str, ref: str = "main") -> str:
    """Markdown of the two badges of ``notebooks/<notebook>`` in the repository OWNER/NAME."""
    place = f"{slug}/blob/{ref}/notebooks/{notebook}"
    colab_image = "https://colab.research.google.com/assets/colab-badge.svg"
    kaggle_image = "https://kaggle.com/static/images/open-in-kaggle.svg"
    kaggle = f"https://kaggle.com/kernels/welcome?src=https://github.com/{place}"
    return (
        f"[![Open in Colab]({colab_image})](https://colab.research.google.com/github/{place}) "
        f"[![Open in Kaggle]({kaggle_image})]({kaggle})"
    )


def problems(notebook: NotebookNode, name: str, repo: tuple[str, str]) -> list[str]:
    """List everything that is wrong with a lesson; empty if it is fit to be committed.

    Parameters
    ----------
    notebook
        As stored, with outputs.
    name
        Its file name.
    repo
        ``OWNER/NAME`` and the branch or tag, which badges must name.
    """
    try:
        nbformat.validate(copy.deepcopy(notebook))  # it repairs what it finds
    except nbformat.ValidationError as error:
        return [f"not a valid notebook: {error.message}"]
    return [*stored_outputs(notebook), *code(notebook), *structure(notebook, name, repo)]


def tags(cell: NotebookNode) -> set[str]:
    """Tags of a cell."""
    return set(cell.metadata.get("tags", []))


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Code cells that hold any code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def pictures(cell: NotebookNode) -> Iterator[tuple[str, str, str]]:
    """Pictures among a cell's outputs: type, content in base64, description."""
    for output in cell.get("outputs", []):
        about = output.get("metadata", {})
        for kind in (kind for kind in output.get("data", {}) if kind.startswith("image/")):
            alt = about.get(kind, {}).get("alt") or about.get("alt") or ""
            yield kind, output.data[kind], alt.strip()


def stored_outputs(notebook: NotebookNode) -> Iterator[str]:
    """Check that outputs are there, in order, of the standard profile, described, without error."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}, not 1 to {len(counts)}: run `make outputs`"
    if normalize.normalized(notebook) != notebook:
        yield "not in normal form (metadata, ids, widget state, stderr): run `make outputs`"
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell {cell.id} stores an error: {output.ename}: {output.evalue}"
            if re.search(r"profile (?!standard · data source embedded)", output.get("text", "")):
                yield f"cell {cell.id}: outputs of another profile or data source than the course's"
            page = output.get("data", {}).get("text/html", "")
            if re.search(r"""(?:src\s*=|url\(|@import)\s*["']?(?:https?:)?//""", page):
                yield f"cell {cell.id}: an output loads from the network"
        for kind, content, alt in pictures(cell):
            if len(alt) < 20:
                yield f"cell {cell.id}: a figure's alt text is {alt!r}; use plots.show(alt=...)"
            if kind == "image/png" and base64.b64decode(content[:64])[25] == 3:
                yield f"cell {cell.id}: a PNG of 256 colours; store JPEG in full colour"


def code(notebook: NotebookNode) -> Iterator[str]:
    """Check the cells with a part to play, and that the code runs anywhere."""
    for tag in ("bootstrap", "parameters"):
        sources = [cell.source for cell in code_cells(notebook) if tag in tags(cell)]
        if len(sources) != 1:
            yield f"{len(sources)} cells are tagged {tag!r}; exactly one must be"
    if not any("nbval-check-output" in tags(cell) for cell in code_cells(notebook)):
        yield "no cell is tagged nbval-check-output, so no stored result is ever checked"
    first = next(iter(code_cells(notebook)), None)
    if first is None or first.source != FIRST_CELL:
        yield "the first code cell is not that of _template.ipynb"
    for cell in code_cells(notebook):
        for pattern, reason in FORBIDDEN_CODE.items() if cell is not first else ():
            found = re.search(pattern, cell.source, re.MULTILINE)
            if found:
                yield f"cell {cell.id}: {found.group().strip()!r} {reason}"


def structure(notebook: NotebookNode, name: str, repo: tuple[str, str]) -> Iterator[str]:
    """Check title, badges, objectives, sections, headings and pictures of the prose."""
    opening = OPENING | {re.escape(badges(name, *repo)): "hold the badges of this lesson"}
    for pattern, words in opening.items():
        if not re.search(pattern, notebook.cells[0].source):
            yield f"the first cell does not {words}"
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    prose = re.sub(r"^```.*?^```", "", prose, flags=re.MULTILINE | re.DOTALL)  # '#' in code
    headings = re.findall(r"^(#{1,6})\s+(?:\d+[.)]?\s+)?(.+?)\s*$", prose, re.MULTILINE)
    for section in SECTIONS[3:] if name.startswith("00") else SECTIONS:
        if not any(title.lower().startswith(section.lower()) for _, title in headings):
            yield f"there is no section {section!r}"
    levels = [len(marks) for marks, _ in headings]
    if levels.count(1) != 1 or any(below > above + 1 for above, below in pairwise(levels)):
        yield f"headings must be one title and then one level deeper at a time, not {levels}"
    if not re.search(r"\bnext\b", "\n".join(prose.split("\n")[-40:]), re.IGNORECASE):
        yield "the end does not say what the next lesson is"
    if re.search(r"!\[\s*\]\(|<img(?![^>]*\balt=[\"'][^\"'])[^>]*>", prose):
        yield "a picture of the prose has no alt text"


def over_bounds(notebook: NotebookNode, size: int) -> list[str]:
    """List the bounds that a lesson passes, with what it has; `size` is that of its file, bytes."""
    main = [cell for cell in notebook.cells if "deeper" not in tags(cell)]
    prose = "\n".join(cell.source for cell in main if cell.cell_type == "markdown")
    lengths = [
        len(re.findall(r"^[ \t]*[^#\s]", cell.source, re.MULTILINE))
        for cell in main
        if cell.cell_type == "code" and not {"bootstrap", "parameters"} & tags(cell)
    ]
    drawn = [number for number, cell in enumerate(notebook.cells) if any(pictures(cell))]
    answers = re.findall(r"<details>.*?</summary>(.*?)</details>", prose, re.DOTALL)
    words = re.sub(r"\(https?://[^)]*\)", "", prose).split()
    held = (
        len(main), len(notebook.cells) - len(main), sum(lengths), len(words),
        sum(length > 15 for length in lengths), drawn[0] if drawn else len(notebook.cells),
        sum(not re.search(r"\d", answer) for answer in answers), size // 1000,
    )  # fmt: skip
    pairs = zip(BOUNDS.items(), held, strict=True)
    return [f"{has} {what}, at most {most}" for (what, most), has in pairs if has > most]


def main(paths: list[str]) -> int:
    """Print errors and passed bounds of lessons; 1 if there is an error."""
    lines = []
    for path in map(Path, paths):
        notebook = normalize.read(path)
        errors = problems(notebook, path.name, fork.repository())
        lines += [path.name, *(f"  error: {problem}" for problem in errors)]
        lines += [f"  bound: {bound}" for bound in over_bounds(notebook, path.stat().st_size)]
    print(*lines, sep="\n")
    return int(any(line.startswith("  error") for line in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
