"""From executed notebooks to a folder of pages."""

from __future__ import annotations

import copy
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from bs4 import BeautifulSoup
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from nbconvert.filters import ansi2html
from nbformat import NotebookNode
from PIL import Image

from tools import normalize
from tools.site import page
from tools.site.exporter import TEMPLATES, LessonExporter

COURSE = "Explaining image classifiers"
PROMISE = (
    "Every method derived from scratch, proved equal to the reference, and measured: "
    "real networks, honest pictures, on your own laptop."
)

#: Size of a card's picture in pixels, twice what it is shown at, for dense screens; and its margin.
THUMBNAIL_SIZE, THUMBNAIL_MARGIN = (800, 500), 28


@dataclass
class Thumbnail:
    """A lesson's picture on its card."""

    address: str
    source: str  # the whole figure
    alt: str
    cropped: bool


@dataclass
class Lesson:
    """One lesson on its way to a page."""

    name: str
    notebook: NotebookNode
    record: dict[str, Any] | None  # its entry in build/lessons.json; None: stored outputs
    title: str = ""
    promise: str = ""
    content: str = ""
    badges: list[page.Link] = field(default_factory=list)
    contents: list[page.Heading] = field(default_factory=list)
    thumbnail: Thumbnail | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """File name of the lesson's page."""
        return f"{self.name}.html"

    @property
    def number(self) -> str:
        """``"02"`` of ``02_mobilenet_integrated_gradients``; empty if the name has none."""
        found = re.match(r"\d+", self.name)
        return found.group() if found else ""

    @property
    def status(self) -> str:
        """``ok``, ``failed``, or ``stored`` where nothing was executed for this site."""
        return self.record["status"] if self.record else "stored"

    @property
    def duration(self) -> str:
        """Time that the execution took, for people."""
        if not self.record:
            return ""
        seconds = round(self.record["seconds"])
        return f"{seconds} s" if seconds < 100 else f"{seconds // 60} min {seconds % 60:02d} s"

    @property
    def failure(self) -> dict[str, Any] | None:
        """Where the lesson stopped, with the traceback as HTML."""
        failure = self.record["failure"] if self.record else None
        if not failure:
            return None
        return {**failure, "html": ansi2html(failure["traceback"] or failure["error"])}


def build_site(
    lessons: list[tuple[str, NotebookNode, dict[str, Any] | None]], target: Path, slug: str
) -> list[str]:
    """Write the site anew.

    Parameters
    ----------
    lessons
        In order: name, notebook with outputs, entry of build/lessons.json or None.
    target
        The site's folder. What an earlier build left in it is removed.
    slug
        ``OWNER/NAME`` of the repository, for links to files that are not part of the site.

    Returns
    -------
    list of str
        What is wrong with the pages, for people: formulas that could not be converted, pictures
        without a file, addresses that would be loaded from the network. Empty if all is well.
    """
    clear(target)
    made = [Lesson(name, notebook, record) for name, notebook, record in lessons]
    names = {lesson.name for lesson in made}
    for lesson in made:
        convert(lesson, target, slug, names)
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shared = {"course": COURSE, "promise": PROMISE, "lessons": made, "slug": slug}
    for position, lesson in enumerate(made):
        before = made[position - 1] if position else None
        after = made[position + 1] if position + 1 < len(made) else None
        text = templates.get_template("page.html.j2").render(
            **shared, lesson=lesson, before=before, after=after
        )
        save(target / lesson.address, text)
        lesson.problems += page.remote_loads(text)
    save(target / "index.html", templates.get_template("index.html.j2").render(**shared))
    shutil.copyfile(TEMPLATES.parent / "style.css", target / "style.css")
    return [f"{lesson.name}: {problem}" for lesson in made for problem in lesson.problems]


def clear(target: Path) -> None:
    """Empty the site's folder, and refuse to empty a folder that holds anything else."""
    if target.exists() and any(target.iterdir()) and not (target / "style.css").exists():
        raise ValueError(f"{target} is not empty and not a site made here; choose another folder")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)


def save(path: Path, text: str) -> None:
    """Write a page with the same line ends on every platform."""
    path.write_text(text, encoding="utf-8", newline="\n")


def convert(lesson: Lesson, target: Path, slug: str, names: set[str]) -> None:
    """Fill in a lesson's content, contents, title, promise and thumbnail; write its files."""
    notebook = copy.deepcopy(lesson.notebook)
    for number, cell in enumerate(notebook.cells, start=1):
        cell.metadata["number"] = number
        if cell.cell_type == "code":
            cell.metadata["widget"] = any(map(normalize.is_widget, cell.outputs))
            cell.outputs = normalize.normalized_outputs(cell.outputs, cell.execution_count)
    exporter = LessonExporter(target / "files" / lesson.name, f"files/{lesson.name}")
    text, _ = exporter.from_notebook_node(notebook)
    lesson.problems += exporter.problems
    soup = BeautifulSoup(text, "html.parser")
    lesson.title = page.take_title(soup) or lesson.name.replace("_", " ")
    lesson.badges = page.take_badges(soup)
    lesson.promise = page.mark_promise(soup)
    lesson.contents = page.number_headings(soup)
    page.point_links(soup, names, f"https://github.com/{slug}", PurePosixPath("notebooks"))
    lesson.problems += page.localize_pictures(soup)
    page.wrap_tables(soup)
    page.mark_asides(soup)
    lesson.content = str(soup)
    lesson.thumbnail = make_thumbnail(lesson, soup, target)
    download = target / "notebooks" / f"{lesson.name}.ipynb"
    normalize.write(normalize.normalized(lesson.notebook), download)


def make_thumbnail(lesson: Lesson, soup: BeautifulSoup, target: Path) -> Thumbnail | None:
    """Make a lesson's card picture: of the cell tagged ``thumbnail``, else its first figure."""
    tagged = [
        picture
        for number, cell in enumerate(lesson.notebook.cells, start=1)
        if "thumbnail" in cell.metadata.get("tags", [])
        for picture in soup.select(f"#cell-{number} figure.picture img")
    ]
    pictures = tagged or soup.select("figure.picture img")
    raster = [image for image in pictures if not str(image["src"]).endswith(".svg")]
    if not raster:
        return None
    source, alt = str(raster[0]["src"]), str(raster[0]["alt"])
    with Image.open(target / source) as image:
        small, cropped = on_card(image.convert("RGB"))
    address = f"files/{lesson.name}/thumbnail.png"
    small.save(target / address, optimize=True)
    return Thumbnail(address, source, alt, cropped)


def on_card(figure: Image.Image) -> tuple[Image.Image, bool]:
    """Fit a figure to a card: as wide as the card, its foot cut off where it is taller.

    Returns
    -------
    card, cropped
        The picture in `THUMBNAIL_SIZE`, on white, and whether the figure's foot is missing.
    """
    width, height = THUMBNAIL_SIZE
    inner = width - 2 * THUMBNAIL_MARGIN
    scaled_height = round(figure.height * inner / figure.width)
    scaled = figure.resize((inner, scaled_height), Image.Resampling.LANCZOS)
    room = height - 2 * THUMBNAIL_MARGIN
    top = THUMBNAIL_MARGIN + max(0, (room - scaled_height) // 2)
    card = Image.new("RGB", THUMBNAIL_SIZE, "white")
    card.paste(scaled, (THUMBNAIL_MARGIN, top))
    return card, scaled_height > room
