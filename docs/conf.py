"""Sphinx settings of the site, whose sources `python -m tools.lessons site` collects."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(ROOT / "data"), str(DOCS / "_extensions")]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "Explaining image classifiers"
author = "The course authors"
copyright = "The course authors. Code: MIT. Prose and figures: CC BY 4.0"
version = release = PROJECT["version"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
    "mathml",
    "lessons",
    "stand_ins",
]
exclude_patterns = ["_extensions", "_static", "README.md"]
templates_path = []  # themes append to it: to Sphinx's own list, a second build would see a change
smartquotes_action = "D"  # dashes only: quotation marks are typeset as they are written
suppress_warnings = ["myst.header", "design.card_legacy", "ref.python"]

# --- notebooks and Markdown -------------------------------------------------------------------

nb_execution_mode = "off"  # the lessons come executed
nb_ipywidgets_js = {}  # the widget manager would come from the network
nb_merge_streams = True
nb_render_markdown_format = "myst"
nb_mime_priority_overrides = [("html", "image/jpeg", 5), ("html", "image/png", 6)]
myst_enable_extensions = ["amsmath", "attrs_block", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
myst_update_mathjax = False
html_math_renderer = "mathml"

# --- API pages from the docstrings ------------------------------------------------------------

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings state types, with shapes and ranges
default_role = "literal"  # single backticks in docstrings are code
toc_object_entries_show_parents = "hide"
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]  # also "x, y : float", two in a line
add_module_names = False

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

# --- pages --------------------------------------------------------------------------------------

REPOSITORY = PROJECT["urls"]["Repository"]

html_theme = "sphinx_book_theme"
html_title = project
html_logo = html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_context = {"default_mode": "auto"}
html_copy_source = True
html_sourcelink_suffix = ""
html_show_sphinx = False
html_show_search_summary = False  # it fetches pages, which browsers refuse for files
html_theme_options = {
    "repository_url": REPOSITORY,
    "repository_branch": "main",
    "path_to_docs": "",
    "use_repository_button": True,
    "use_download_button": True,
    "home_page_in_toc": False,
    "show_toc_level": 2,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "logo": {"text": project},
    "navbar_start": [],
    "navbar_persistent": [],
    "toc_title": "On this page",
}
