"""nbconvert's exporter for the pages: our template, formulas as MathML, pictures as files."""

from __future__ import annotations

import base64
import html
import struct
from pathlib import Path
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert.exporters.templateexporter import TemplateExporter
from nbconvert.filters import Highlight2HTML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from tools.site.formulas import FormulaError, to_mathml

TEMPLATES = Path(__file__).parent / "templates"

SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/svg+xml": ".svg", "image/gif": ".gif"}

#: Used where a figure has none; `tests/test_notebooks.py` refuses such a figure in a lesson.
NO_ALT = "Figure without a description"


class FormulaRenderer(IPythonRenderer):
    """nbconvert's markdown renderer with formulas as MathML."""

    def __init__(self, problems: list[str], attachments: dict[str, Any]) -> None:
        super().__init__(escape=False, attachments=attachments, exclude_anchor_links=True)
        self.problems = problems

    def formula(self, tex: str, display: bool) -> str:
        """Convert one formula; one that cannot be converted is shown as it is, and reported."""
        try:
            return to_mathml(html.unescape(tex), display)
        except FormulaError as error:
            self.problems.append(f"formula {error}")
            return f'<code class="formula-failed">{html.escape(tex)}</code>'

    def block_math(self, body: str) -> str:
        """``$$…$$``."""
        return f'<div class="formula">{self.formula(body, display=True)}</div>'

    def latex_environment(self, name: str, body: str) -> str:
        r"""``\begin{…}…\end{…}`` outside of dollar signs."""
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")

    def inline_math(self, body: str) -> str:
        """``$…$``."""
        return self.formula(body, display=False)


class LessonExporter(TemplateExporter):
    """One notebook's cells as HTML; the page around them is made elsewhere.

    Parameters
    ----------
    folder
        Where pictures are written.
    prefix
        What the page calls that folder: the beginning of each picture's address.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder, self.prefix = folder, prefix
        self.problems: list[str] = []
        self.pictures = 0
        super().__init__(template_name="lesson", extra_template_basedirs=[str(TEMPLATES)])

    def _file_extension_default(self) -> str:
        return ".html"

    def default_filters(self) -> Any:
        """Add ours to nbconvert's."""
        yield from super().default_filters()
        yield "highlight_code", Highlight2HTML(pygments_lexer="python", parent=self)
        yield "markdown2html", self.markdown_to_html
        yield "latex2html", self.latex_to_html
        yield "picture", self.picture

    @pass_context
    def markdown_to_html(self, context: Context, source: str) -> str:
        """Markdown of a cell or an output as HTML."""
        attachments = (context.get("cell") or {}).get("attachments", {})
        renderer = FormulaRenderer(self.problems, attachments)
        return MarkdownWithMath(renderer=renderer).render(source)

    def latex_to_html(self, source: str) -> str:
        """``text/latex`` output as MathML."""
        renderer = FormulaRenderer(self.problems, {})
        return renderer.block_math(source.strip().strip("$"))

    def picture(self, output: NotebookNode, kind: str) -> str:
        """Write an output's picture beside the page and return the figure that shows it."""
        data = output.data[kind]
        content = data.encode() if kind == "image/svg+xml" else base64.b64decode(data)
        own = output.metadata.get(kind, {})
        alt = (own.get("alt") if isinstance(own, dict) else None) or output.metadata.get("alt")
        self.pictures += 1
        name = f"figure-{self.pictures:02d}{SUFFIXES[kind]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)
        source = f"{self.prefix}/{name}"
        return (
            f'<figure class="picture"><a class="zoom" href="{source}" '
            f'title="Open the picture at full size"><img src="{source}" '
            f'alt="{html.escape(alt or NO_ALT)}" loading="lazy"'
            f"{size_attributes(content)}></a></figure>"
        )


def size_attributes(png: bytes) -> str:
    """``width`` and ``height`` in CSS pixels, so that the page does not jump while loading.

    A PNG that states its resolution (figures do) is shown at its physical size, 96 pixels an inch,
    so that it is sharp on dense screens; any other kind of picture gives an empty string.
    """
    if png[:8] != b"\x89PNG\r\n\x1a\n":
        return ""
    width, height = struct.unpack(">II", png[16:24])
    position, scale = 8, 1.0
    while position + 8 <= len(png):
        length, kind = struct.unpack(">I4s", png[position : position + 8])
        if kind == b"pHYs":
            per_meter, _, unit = struct.unpack(">IIB", png[position + 8 : position + 17])
            if unit == 1 and per_meter > 0:
                scale = min(1.0, 96 / (per_meter * 0.0254))
        if kind == b"IDAT":
            break
        position += 12 + length
    return f' width="{round(width * scale)}" height="{round(height * scale)}"'
