"""Lessons as pages: their header, folded cells, described figures, and the cards of the start page.

A notebook is changed as it is read, and stays as it is on disk. What happened when it was executed
for this site is in its metadata under ``course`` (`tools/lessons.py` puts it there).
"""

from __future__ import annotations

import ast
import base64
import functools
import io
import json
import re
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any

from docutils import nodes
from myst_nb.core.render import MimeData, NbElementRenderer
from PIL import Image
from pybtex import plugin
from sphinx.application import Sphinx

#: Folded code cells, by tag, and the words that unfold them.
FOLDED = {
    "bootstrap": "Setting up on Colab and Kaggle",
    "parameters": "Parameters",
    "deeper": "The code",
    "hide-input": "The code",
}
BADGE = re.compile(r"\[!\[([^\]]*)\]\([^)]*\)\]\(([^)]+)\)")
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#|data:|attachment:)([^)\s#]+)(#[^)\s]*)?(?=\))")
PAPER = re.compile(r"(?:arxiv\.org/abs/|doi\.org/)([\w./-]+\w)")
DEEPER = "<!-- deeper -->"
#: Twice the size at which a card's picture is shown, for dense screens; and its margin.
CARD_SIZE, CARD_MARGIN = (800, 500), 28

#: The package, which is not imported here: that would import PyTorch.
PACKAGE = Path(__file__).resolve().parents[2] / "course_utils"
#: Its modules, the lowest first.
MODULES = (
    *("checks", "runtime", "archives", "assets", "photos", "networks", "datasets", "augmentation"),
    *("training", "attribution", "optimization", "evaluation", "plots", "batch", "widgets"),
    "exercises",
)

Cell = dict[str, Any]


# --- a lesson -------------------------------------------------------------------------------------


def text_of(cell: Cell) -> str:
    """Source of a cell, however the file stores it."""
    return "".join(cell["source"])


def state(notebook: dict[str, Any]) -> str:
    """Say where a lesson's outputs come from."""
    record = notebook["metadata"].get("course")
    if not record:
        return "stored outputs"
    seconds = round(record["seconds"])
    taken = f"{seconds} s" if seconds < 100 else f"{seconds // 60} min {seconds % 60:02d} s"
    if record["status"] == "ok":
        return f"executed here, in {taken}"
    return f"failed after {taken}: {record['failure']['error'][:90]}"


def with_header(notebook: dict[str, Any], name: str) -> None:
    """Put buttons and the run time under the title, and set the promise in larger type."""
    first = notebook["cells"][0]
    source = text_of(first)
    buttons = [f'<a class="button" href="../_sources/notebooks/{name}.ipynb" download>Download</a>']
    for label, address in BADGE.findall(source):
        icon = "colab" if "colab" in address else "kaggle"
        picture = f'<img src="../_static/{icon}.svg" alt="" width="18" height="18">'
        buttons.append(f'<a class="button outside" href="{address}">{picture}{escape(label)}</a>')
    record = notebook["metadata"].get("course")
    facts = state(notebook)
    if record:
        facts += f" · {record['profile']} profile · torch {record['torch']}"
    bar = f'<p class="actions">{"".join(buttons)}<span class="fact">{escape(facts)}</span></p>'
    title, _, rest = BADGE.sub("", source).lstrip().partition("\n")
    failure = (record or {}).get("failure")
    banner = failure_banner(failure) if failure else ""
    first["source"] = f"{title}\n\n{bar}\n\n{banner}{{.lead}}\n{rest.strip()}"


def failure_banner(failure: dict[str, Any]) -> str:
    """Say at the top of a page where its lesson stopped."""
    place = '<a href="#failed-cell">a cell below</a>'
    if failure["cell"] is not None:
        place = f'<a href="#failed-cell">cell {failure["cell"] + 1}</a>'
    error = escape(failure["error"])
    return f'<div class="banner">This lesson stopped at {place}: <code>{error}</code></div>\n\n'


def fold(cells: list[Cell]) -> None:
    """Fold cells by their tags: single cells of code, and whole sections tagged ``deeper``."""
    in_deeper_section = False
    for cell in cells:
        tags = cell["metadata"].setdefault("tags", [])
        if cell["cell_type"] == "markdown":
            heading = re.match(r"##? .*", text_of(cell))
            if heading:
                in_deeper_section = "deeper" in tags
                if in_deeper_section:
                    rest = text_of(cell)[heading.end() :]
                    cell["source"] = f"{heading.group()}\n\n{DEEPER}\n{rest}"
            continue
        label = next((FOLDED[tag] for tag in FOLDED if tag in tags), None)
        if label and not (in_deeper_section and "deeper" in tags):
            tags.append("hide-input")
            cell["metadata"]["mystnb"] = {"code_prompt_show": label, "code_prompt_hide": label}


def fold_deeper_sections(app: Sphinx, doctree: nodes.document) -> None:
    """Wrap what follows a `DEEPER` mark, to the end of its section, in ``<details>``."""
    for mark in [n for n in doctree.findall(nodes.raw) if n.astext().strip() == DEEPER]:
        opening = '<details class="deeper"><summary>Optional: unfold to go deeper</summary>'
        parent = mark.parent
        parent.replace(mark, nodes.raw("", opening, format="html"))
        parent.append(nodes.raw("", "</details>", format="html"))


def with_citations(text: str, keys: dict[str, str]) -> str:
    """Cite, after every listed paper, its entry in references.bib."""
    lines = []
    for line in text.split("\n"):
        found = [keys[key] for key in PAPER.findall(line) if key in keys]
        cited = f" {{cite:p}}`{found[0]}`" if found and line.startswith("- ") else ""
        lines.append(line + cited)
    return "\n".join(lines)


def papers(bibliography: str) -> dict[str, str]:
    """Keys of references.bib by arXiv number and by DOI."""
    found = {}
    for entry in re.split(r"^@", bibliography, flags=re.M)[1:]:
        key = re.match(r"\w+\{([^,]+),", entry).group(1)
        for number in re.findall(r"^\s*(?:eprint|doi) = \{([^}]+)\}", entry, re.M):
            found[number] = key
    return found


def point_links(text: str, folder: Path, root: Path, repository: str) -> str:
    """Turn links to files that are no part of the site into links to the repository."""

    def pointed(found: re.Match[str]) -> str:
        target = folder / found.group(1)
        if target.exists():
            return found.group()
        inside = PurePosixPath(target.resolve().relative_to(root.resolve()).as_posix())
        return f"{repository}/blob/main/{inside}{found.group(2) or ''}"

    return LINK.sub(pointed, text)


def read_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Prepare a page's text: ``source-read`` of Sphinx."""
    root = Path(app.srcdir)
    path = Path(app.env.doc2path(docname))
    repository = app.config.html_theme_options["repository_url"]
    if path.suffix == ".md":
        if docname == "index":
            source[0] = source[0].replace("{lesson-cards}", lesson_cards(app))
        elif docname == "api":
            source[0] = source[0].replace("{modules}", module_table())
        elif docname in ("data/README", "CONTRIBUTING"):
            source[0] = point_links(source[0], path.parent, root, repository)
        return
    if path.suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    failure = (notebook["metadata"].get("course") or {}).get("failure")
    keys = papers((root / "references.bib").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = point_links(text_of(cell), path.parent, root, repository)
            cell["source"] = with_citations(text, keys)
    if notebook["cells"] and notebook["cells"][0]["cell_type"] == "markdown":
        with_header(notebook, path.stem)
    fold(notebook["cells"])
    if failure and failure["cell"] is not None:
        anchor = {"cell_type": "markdown", "metadata": {}, "source": '<a id="failed-cell"></a>'}
        notebook["cells"].insert(failure["cell"], anchor)
    source[0] = json.dumps(notebook)


# --- figures --------------------------------------------------------------------------------------


def describe_figures() -> None:
    """Let figures keep the alt text in their metadata, and their size on a dense screen.

    MyST-NB takes width and height from an output's metadata, and nothing else.
    """
    original = NbElementRenderer.render_image

    def render_image(self: NbElementRenderer, data: MimeData) -> list[nodes.Element]:
        (image,) = original(self, data)
        own = data.output_metadata.get(data.mime_type)
        own = own if isinstance(own, dict) else {}
        image["alt"] = own.get("alt") or data.output_metadata.get("alt") or "Figure"
        if data.mime_type in ("image/png", "image/jpeg") and "width" not in image:
            with Image.open(io.BytesIO(base64.b64decode(data.content))) as picture:
                scale = min(1.0, 96 / (picture.info.get("dpi") or (96, 96))[0])
                image["width"] = f"{round(picture.width * scale)}px"
        return [image]

    render_image.describes = True
    if not hasattr(original, "describes"):
        NbElementRenderer.render_image = render_image


# --- cards ----------------------------------------------------------------------------------------


def lesson_cards(app: Sphinx) -> str:
    """Write the start page's grid: a card with picture, promise, time and run time per lesson."""
    cards = []
    for path in sorted((Path(app.srcdir) / "notebooks").glob("*.ipynb")):
        app.env.note_dependency(str(path))
        notebook = json.loads(path.read_text(encoding="utf-8"))
        first = text_of(notebook["cells"][0])
        number, title = re.match(r"# (?:(\d+)\s*[·:.–-]\s*)?(.*)", first).groups()
        promise = re.search(r"\*\*(.+?)\*\*", BADGE.sub("", first), re.S)
        time = re.search(r"\*Time:?\*:?\s*([^.]*\.)", first)
        record = notebook["metadata"].get("course") or {"status": "stored"}
        cards.append(f":::{{grid-item-card}}\n:link: notebooks/{path.stem}\n:link-type: doc")
        cards.append(f":class-card: lesson-card {record['status']}")
        picture = thumbnail(notebook, Path(app.srcdir) / "_thumbnails" / f"{path.stem}.jpg")
        if picture:
            cards.append(f":img-top: _thumbnails/{path.stem}.jpg\n:img-alt: {picture}")
        cards.append(f"\n<p class='eyebrow'>Lesson {number or ''}</p>\n")
        cards.append(f"<p class='card-title'>{escape(title)}</p>\n")
        cards.append(f"{' '.join(promise.group(1).split()) if promise else ''}\n")
        cards.append(f"+++\n{' '.join(time.group(1).split()) if time else ''}")
        cards.append(f"<span class='state'>{escape(state(notebook))}</span>\n:::")
    return "::::{grid} 1 2 2 3\n:gutter: 4\n" + "\n".join(cards) + "\n::::"


def thumbnail(notebook: dict[str, Any], target: Path) -> str | None:
    """Make a card's picture: of the cell tagged ``thumbnail``, else of the first figure.

    Returns
    -------
    str or None
        Its description, or None if the lesson has no figure.
    """
    cells = [cell for cell in notebook["cells"] if cell.get("outputs")]
    cells.sort(key=lambda cell: "thumbnail" not in cell["metadata"].get("tags", []))
    for output in (output for cell in cells for output in cell["outputs"]):
        kinds = [k for k in ("image/png", "image/jpeg") if k in output.get("data", {})]
        if not kinds:
            continue
        content = base64.b64decode("".join(output["data"][kinds[0]]))
        figure = Image.open(io.BytesIO(content)).convert("RGB")
        width, height = CARD_SIZE
        inner = width - 2 * CARD_MARGIN
        scaled = figure.resize((inner, round(figure.height * inner / figure.width)))
        top = CARD_MARGIN + max(0, (height - 2 * CARD_MARGIN - scaled.height) // 2)
        card = Image.new("RGB", CARD_SIZE, "white")
        card.paste(scaled, (CARD_MARGIN, top))
        if top + scaled.height > height:  # what does not fit fades out
            fade = Image.linear_gradient("L").resize((width, height // 4))
            card.paste("white", (0, height - fade.height), fade)
        target.parent.mkdir(exist_ok=True)
        card.save(target, quality=88)
        own = output["metadata"].get(kinds[0], {})
        return " ".join((own.get("alt") or output["metadata"].get("alt") or "Figure").split())
    return None


# --- the package ----------------------------------------------------------------------------------


def public_modules() -> dict[str, str]:
    """Modules of the package with the first lines of their docstrings, the lowest module first."""
    found = {}
    for path in sorted(PACKAGE.iterdir()):
        source = path / "__init__.py" if path.is_dir() else path
        if path.name.startswith("_") or source.suffix != ".py" or not source.exists():
            continue
        text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
        found[path.stem] = text.split("\n")[0]
    return dict(sorted(found.items(), key=lambda item: (*MODULES, item[0]).index(item[0])))


def module_pages(app: Sphinx) -> None:
    """Write one page per module: what its ``__all__`` names, from the docstrings."""
    folder = Path(app.srcdir) / "api"
    modules = public_modules()
    for path in folder.glob("*.rst"):
        if path.stem not in modules:
            path.unlink()
    for name in modules:
        title = f"course_utils.{name}"
        page = f"{title}\n{'=' * len(title)}\n\n.. automodule:: course_utils.{name}\n   :members:\n"
        target = folder / f"{name}.rst"
        if not target.exists() or target.read_text(encoding="utf-8") != page:
            folder.mkdir(exist_ok=True)
            target.write_text(page, encoding="utf-8")


def module_table() -> str:
    """Write the table of modules for the API page, and their place in the navigation."""
    modules = public_modules()
    rows = [f"| [`{name}`](api/{name}.rst) | {text} |" for name, text in modules.items()]
    pages = "\n".join(f"api/{name}" for name in modules)
    tree = f"```{{toctree}}\n:hidden:\n\n{pages}\n```"
    return "\n".join(["| module | is |", "|---|---|", *rows, "", tree])


def mend_docstring(
    app: Sphinx, kind: str, name: str, thing: Any, options: Any, lines: list
) -> None:
    """Let bars around a word be bars, where reST would look for a substitution."""
    lines[:] = [re.sub(r"(?<!`)\|(\w+)\|", r"\\|\1\\|", line) for line in lines]


def skip_member(app: Sphinx, kind: str, name: str, thing: Any, skip: bool, options: Any) -> bool:
    """Leave out what a named tuple says of its fields, and what comes from other libraries."""
    module = getattr(thing, "__module__", None) or "course_utils"
    field = (getattr(thing, "__doc__", None) or "").startswith("Alias for field number")
    return skip or field or not module.startswith("course_")


# --- buttons of the theme -------------------------------------------------------------------------


def add_kaggle(app: Sphinx, pagename: str, template: str, context: Any, doctree: Any) -> None:
    """Add Kaggle to the theme's launch buttons, beside Colab."""
    for button in context.get("header_buttons", []):
        if button.get("label") == "launch-buttons":
            repository = app.config.html_theme_options["repository_url"]
            address = f"{repository}/blob/main/{pagename}.ipynb"
            button["buttons"].append(
                {
                    "type": "link",
                    "text": "Kaggle",
                    "tooltip": "Launch on Kaggle",
                    "icon": "_static/kaggle.svg",
                    "url": f"https://kaggle.com/kernels/welcome?src={address}",
                }
            )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    describe_figures()
    plugin.entry_points = functools.cache(plugin.entry_points)  # looked up for each citation
    app.connect("builder-inited", module_pages)
    app.connect("source-read", read_source)
    app.connect("doctree-read", fold_deeper_sections)
    app.connect("autodoc-process-docstring", mend_docstring)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("html-page-context", add_kaggle, priority=502)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
