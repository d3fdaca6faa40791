"""Badges of a lesson, and the cell that installs the course on Colab and Kaggle.

The repository is named once, in ``pyproject.toml`` under ``[project.urls] Repository``. A fork runs
``python tools/tasks.py slug OWNER/NAME``, which renames it everywhere.
"""

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
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)"""


def badges(notebook: str, slug: str) -> str:
    """Markdown of the two badges of ``notebooks/<notebook>`` in the repository OWNER/NAME."""
    place = f"{slug}/blob/main/notebooks/{notebook}"
    colab_image = "https://colab.research.google.com/assets/colab-badge.svg"
    kaggle_image = "https://kaggle.com/static/images/open-in-kaggle.svg"
    kaggle = f"https://kaggle.com/kernels/welcome?src=https://github.com/{place}"
    return (
        f"[![Open in Colab]({colab_image})](https://colab.research.google.com/github/{place}) "
        f"[![Open in Kaggle]({kaggle_image})]({kaggle})"
    )


def bootstrap_cell(slug: str) -> str:
    """Source of the cell tagged ``bootstrap``, the first code cell of every lesson.

    It must work before the course is installed, so it is plain Python with no import from here.
    """
    return _BOOTSTRAP.format(slug=slug, colab=COLAB_VARIABLE, kaggle=KAGGLE_VARIABLE)
