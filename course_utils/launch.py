"""Opening a lesson elsewhere: Colab and Kaggle badges, and the cell that installs the course there.

The repository is named once, in ``pyproject.toml`` under ``[project.urls] Repository``; badges and
the bootstrap cell are derived from it. A fork runs ``python tools/tasks.py slug OWNER/NAME``, which
rewrites that line, the README and the notebooks together.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
from typing import Literal

Place = Literal["colab", "kaggle", "jupyter", "script"]

DISTRIBUTION = "explaining-image-classifiers"

#: Environment variables that only the hosted services set.
COLAB_VARIABLE = "COLAB_RELEASE_TAG"
KAGGLE_VARIABLE = "KAGGLE_KERNEL_RUN_TYPE"

_BOOTSTRAP = """\
# On Colab and Kaggle: install the course, once per session. Anywhere else: nothing happens here.
import importlib.util
import os
import subprocess
import sys

hosted = "{colab}" in os.environ or "{kaggle}" in os.environ
if hosted and importlib.util.find_spec("course_utils") is None:
    source = "git+https://github.com/{slug}"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)
"""


def where() -> Place:
    """Say where this Python runs.

    Returns
    -------
    {"colab", "kaggle", "jupyter", "script"}
        The two hosted services first, then any other Jupyter kernel, else a plain interpreter
        (a script, a test, a terminal).
    """
    if COLAB_VARIABLE in os.environ or "google.colab" in sys.modules:
        return "colab"
    if KAGGLE_VARIABLE in os.environ:
        return "kaggle"
    # A kernel has IPython loaded already: asking sys.modules keeps this free of an import.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return "jupyter" if shell is not None and hasattr(shell, "kernel") else "script"


def repository_slug() -> str:
    """Read ``OWNER/NAME`` of the course's repository from the installed package's metadata.

    Returns
    -------
    str
        For example ``"someone/course"``.

    Raises
    ------
    LookupError
        If the package is not installed, or its metadata names no GitHub repository.
    """
    try:
        urls = importlib.metadata.metadata(DISTRIBUTION).get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        raise LookupError(
            f"the package {DISTRIBUTION!r} is not installed, so its repository is not known; "
            "install it with `pip install -e .` in the repository's folder"
        ) from None
    for entry in urls:
        label, _, url = entry.partition(",")
        match = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", url.strip())
        if label.strip().lower() == "repository" and match:
            return match.group(1)
    raise LookupError(
        f"the metadata of {DISTRIBUTION!r} has no 'Repository' URL on github.com (found {urls}); "
        "set [project.urls] Repository in pyproject.toml and install again"
    )


def colab_url(notebook: str, slug: str | None = None) -> str:
    """Address that opens a lesson in Google Colab.

    Parameters
    ----------
    notebook
        File name inside ``notebooks/``, for example ``"00_start_here.ipynb"``.
    slug
        ``OWNER/NAME``; by default the repository that the package's metadata names.
    """
    slug = slug or repository_slug()
    return f"https://colab.research.google.com/github/{slug}/blob/main/notebooks/{notebook}"


def kaggle_url(notebook: str, slug: str | None = None) -> str:
    """Address that opens a lesson in a Kaggle notebook; parameters as in `colab_url`."""
    slug = slug or repository_slug()
    source = f"https://github.com/{slug}/blob/main/notebooks/{notebook}"
    return f"https://kaggle.com/kernels/welcome?src={source}"


def badges(notebook: str, slug: str | None = None) -> str:
    """Markdown of the two badges at the top of a lesson; parameters as in `colab_url`."""
    colab_image = "https://colab.research.google.com/assets/colab-badge.svg"
    kaggle_image = "https://kaggle.com/static/images/open-in-kaggle.svg"
    return (
        f"[![Open in Colab]({colab_image})]({colab_url(notebook, slug)}) "
        f"[![Open in Kaggle]({kaggle_image})]({kaggle_url(notebook, slug)})"
    )


def bootstrap_cell(slug: str | None = None) -> str:
    """Source of the cell tagged ``bootstrap``, the first code cell of every lesson.

    It must work before the course is installed, so it is plain Python with no import from here.

    Parameters
    ----------
    slug
        ``OWNER/NAME``; by default the repository that the package's metadata names.
    """
    slug = slug or repository_slug()
    text = _BOOTSTRAP.format(slug=slug, colab=COLAB_VARIABLE, kaggle=KAGGLE_VARIABLE)
    return text.rstrip("\n")
