"""TeX formulas as MathML, which browsers draw without a script; a Sphinx extension."""

from __future__ import annotations

import re
from html import escape, unescape
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.converter import Converter
from sphinx.application import Sphinx
from sphinx.util import logging

#: Environments of amsmath that the converter lacks, and the one it has that draws the same.
ENVIRONMENTS = {
    "aligned": "align*",
    "align": "align*",
    "split": "align*",
    "eqnarray": "align*",
    "gathered": "gather*",
    "gather": "gather*",
}

#: Characters that the converter calls identifiers; browsers space operators better.
OPERATORS = {"~": "∼", "⌊": "⌊", "⌋": "⌋", "⌈": "⌈", "⌉": "⌉"}

PRIMES = set("′″‴⁗")
THIN_SPACE = "\u2009"

MATHML = "http://www.w3.org/1998/Math/MathML"


class FormulaError(ValueError):
    """A formula that cannot be drawn; the message holds it."""


def to_mathml(tex: str, display: bool) -> str:
    """Convert one formula.

    Parameters
    ----------
    tex
        Without its dollar signs.
    display
        On a line of its own (``$$…$$``), or within a line.

    Returns
    -------
    str
        A ``<math>`` element.

    Raises
    ------
    FormulaError
        If the formula is not valid, or uses a command that the converter does not know.
    """
    prepared = _prepared(tex)
    try:
        tree = Converter(display="block" if display else "inline").convert_to_element(prepared)
    except Exception as error:  # the converter's errors have no common ancestor
        raise FormulaError(f"{tex.strip()!r}: {type(error).__name__} {error}".rstrip()) from error
    for element in tree.iter():
        element.text = unescape(element.text) if element.text else element.text
        _mend(element)
    for element in list(tree.iter()):
        _set_prime(element)
    _refuse_leftovers(tree, tex)
    tree.set("xmlns", MATHML)
    return ElementTree.tostring(tree, encoding="unicode")


def _prepared(tex: str) -> str:
    """Spell what the converter does not know in a way that it does."""
    for name, known in ENVIRONMENTS.items():
        tex = tex.replace(rf"\begin{{{name}}}", rf"\begin{{{known}}}")
        tex = tex.replace(rf"\end{{{name}}}", rf"\end{{{known}}}")
    tex = re.sub(r"\\operatorname\*\s*\{\s*arg\s*(?:\\[,;: ])?\s*(max|min)\s*\}", r"\\arg\1", tex)
    tex = re.sub(r"\\(?:begin|end)\{equation\*?\}", "", tex)
    tex = re.sub(r"\\(?:label|tag)\{[^{}]*\}", "", tex)
    # Words in upright type are one thing, not a product of letters.
    tex = re.sub(r"\\mathrm\s*\{([A-Za-z0-9 -]+)\}", r"\\text{\1}", tex)
    return tex.strip()


def _mend(element: ElementTree.Element) -> None:
    """Change one element to what browsers draw as TeX would."""
    text = element.text or ""
    if element.tag == "mi" and text in OPERATORS:
        element.tag, element.text = "mo", OPERATORS[text]
    elif element.tag == "mo" and text in ("|", "‖") and not element.get("minsize"):
        # Bars of a norm: as high as the letters, and close to them.
        element.attrib = {"stretchy": "false", "lspace": "0.05em", "rspace": "0.05em"}
    elif element.tag == "mo" and len(text) > 1 and text.replace(THIN_SPACE, "").isalpha():
        # A function's name: space before it, none before its bracket.
        element.set("lspace", "0.167em")
        element.set("rspace", "0em")
    elif element.tag == "mo" and element.get("minsize"):
        element.set("stretchy", "true")
        element.set("symmetric", "true")


def _set_prime(element: ElementTree.Element) -> None:
    """Put a prime beside its letter: it is raised already, a superscript would lift it twice."""
    if element.tag not in ("msup", "msubsup") or not set(element[-1].text or "-") <= PRIMES:
        return
    base, *scripts, prime = element
    prime.tag, prime.attrib = "mo", {"lspace": "0em", "rspace": "0em"}
    primed = ElementTree.Element("mrow")
    primed.extend([base, prime])
    for child in list(element):
        element.remove(child)
    element.tag = "msub" if scripts else "mrow"
    element.extend([primed, *scripts])


def _refuse_leftovers(tree: ElementTree.Element, tex: str) -> None:
    """Raise if something of the formula came through unconverted."""
    for element in tree.iter():
        text = element.text or ""
        command = re.search(r"\\[A-Za-z]+", text)
        if command:
            raise FormulaError(f"{tex.strip()!r}: {command.group()} is not known")
        if element.tag == "mi" and text == "&":
            raise FormulaError(f"{tex.strip()!r}: '&' outside of an environment that is known")


# --- Sphinx ---------------------------------------------------------------------------------------


def visit_inline(writer: Any, node: nodes.math) -> None:
    """Write ``$…$``."""
    writer.body.append(drawn(node, display=False))
    raise nodes.SkipNode


def visit_block(writer: Any, node: nodes.math_block) -> None:
    """Write ``$$…$$`` in a box that scrolls by itself on a narrow screen."""
    writer.body.append(f'<div class="formula">{drawn(node, display=True)}</div>')
    raise nodes.SkipNode


def drawn(node: nodes.Element, display: bool) -> str:
    """Convert a formula, or show it as it is and warn."""
    try:
        return to_mathml(node.astext(), display)
    except FormulaError as error:
        logging.getLogger(__name__).warning("formula %s", error, location=node)
        return f'<code class="formula-failed">{escape(node.astext())}</code>'


def setup(app: Sphinx) -> dict[str, Any]:
    """Register as ``html_math_renderer = "mathml"``."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
