"""Colab and Kaggle: the badges of a lesson, its first cell, and what that cell installs.

The repository is named once, in ``pyproject.toml``. In a fork,
``python -m course_utils.launch stamp`` (or ``stamp OWNER/NAME --ref TAG``) names that one instead.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["badges", "bootstrap_cell", "complete", "stamp"]

DISTRIBUTION = "explaining-image-classifiers"
#: Environment variables that only the hosted services set.
COLAB_VARIABLE = "COLAB_RELEASE_TAG"
KAGGLE_VARIABLE = "KAGGLE_KERNEL_RUN_TYPE"
ROOT = Path(__file__).resolve().parents[1]

_BOOTSTRAP = """\
# On Colab and Kaggle: install the course, once per session. Anywhere else: nothing happens here.
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

if "{colab}" in os.environ or "{kaggle}" in os.environ:
    if importlib.util.find_spec("course_utils") is None:
        wheel = "explaining_image_classifiers-*.whl"
        attached = [w for n in range(1, 5) for w in Path("/kaggle/input").glob("*/" * n + wheel)]
        source = [*attached, "git+https://github.com/{source}"][0]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", str(source)]
        if subprocess.run(pip).returncode:
            raise RuntimeError("Switch the internet on (Kaggle: Settings), or attach the wheels.")
        importlib.invalidate_caches()
    importlib.import_module("course_utils.launch").complete()"""


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


def bootstrap_cell(slug: str, ref: str = "main") -> str:
    """Source of the cell tagged ``bootstrap``, the first code cell of every lesson.

    It must work before the course is installed, so it is plain Python with no import from here.
    """
    return _BOOTSTRAP.format(
        source=_source(slug, ref), colab=COLAB_VARIABLE, kaggle=KAGGLE_VARIABLE
    )


def _source(slug: str, ref: str) -> str:
    return slug if ref == "main" else f"{slug}@{ref}"


# --- what the host lacks ----------------------------------------------------------------------


def requirements(name: str) -> Iterator[Requirement]:
    """Give what an installed distribution requires here, without its extras."""
    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _missing() -> list[str]:
    """List what the course requires, or those require, and is not installed at all."""
    missing, seen, queue = {}, set(), [Requirement(DISTRIBUTION)]
    while queue:
        requirement = queue.pop(0)  # the course's own, with their versions, before others'
        name = canonicalize_name(requirement.name)
        if name in seen:
            continue
        seen.add(name)
        try:
            queue += requirements(requirement.name)
        except metadata.PackageNotFoundError:
            missing[name] = f"{requirement.name}{requirement.specifier}"
    return sorted(missing.values())


def _unfit() -> list[str]:
    """List what the course requires and is installed in a version that does not fit."""
    return [
        f"{wanted.name} {version} (the course wants {wanted.name}{wanted.specifier})"
        for wanted in requirements(DISTRIBUTION)
        if not wanted.specifier.contains(version := metadata.version(wanted.name), prereleases=True)
    ]


def complete() -> list[str]:
    """Install what the course needs and the host lacks; change nothing that is there.

    Packages come without their dependencies, which are then looked at in turn: so a host's torch,
    numpy or ipywidgets is never replaced, and no restart is needed. Wheels attached on Kaggle
    (``make wheelhouse``) are used without the internet.

    Returns
    -------
    list of str
        What was installed.

    Raises
    ------
    RuntimeError
        If packages can be had neither from attached wheels nor from the package index.
    """
    installed: list[str] = []
    while missing := _missing():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *_wheels(), *missing]
        if subprocess.run(pip, check=False).returncode:
            raise RuntimeError(
                f"could not install {', '.join(missing)}. Without internet: make a data set of the "
                "folder that `make wheelhouse` fills, and attach it (Add Input). With internet: "
                "Settings, Internet on; then run this cell again."
            )
        importlib.invalidate_caches()
        installed += missing
    for line in _unfit():
        print(f"note: {line}")
    return installed


def _wheels() -> list[str]:
    """Give pip the folder of wheels that the course came from, if it came from one."""
    origin = metadata.distribution(DISTRIBUTION).read_text("direct_url.json") or "{}"
    url = json.loads(origin).get("url", "")
    folder = url2pathname(urlsplit(url).path.rpartition("/")[0])
    return ["--no-index", f"--find-links={folder}"] if url.endswith(".whl") else []


# --- the repository's name --------------------------------------------------------------------


def repository(root: Path = ROOT) -> tuple[str, str]:
    """``OWNER/NAME`` and branch or tag, as ``pyproject.toml`` has them.

    Raises
    ------
    FileNotFoundError
        Outside a checkout of the course.
    """
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    slug = re.search(r'^Repository = "https://github\.com/([\w.-]+/[\w.-]+)"', text, re.M)
    ref = re.search(r'^ref = "([^"]+)"', text, re.M)
    if not slug or not ref:
        raise ValueError('pyproject.toml lacks Repository = "https://github.com/…" or ref = "…"')
    return slug[1], ref[1]


def stamp(slug: str | None = None, ref: str = "main", root: Path = ROOT) -> str:
    """Name another repository in badges, first cells, pages and metadata: for forks.

    Parameters
    ----------
    slug : str, optional
        ``OWNER/NAME``; by default that of the git remote ``origin``.
    ref : str
        Branch or tag that badges open and first cells install.

    Raises
    ------
    ValueError
        If it is no ``OWNER/NAME``, or there is no such remote.
    """
    if slug is None:
        command = ["git", "-C", str(root), "remote", "get-url", "origin"]
        url = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        found = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(\.git)?$", url)
        slug = found[1] if found else ""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", slug):
        raise ValueError(f"a repository is named OWNER/NAME, for example ada/course; got {slug!r}")
    old, old_ref = repository(root)
    places = [
        (rf"(git\+https://github\.com/){_source(old, old_ref)}(?=[\"\\])", _source(slug, ref)),
        (rf"(github(?:\.com)?/){re.escape(old)}/blob/{re.escape(old_ref)}/", f"{slug}/blob/{ref}/"),
        (rf"(github(?:\.com)?/){re.escape(old)}(?![\w-]|\.\w|@)", slug),
    ]
    texts = ("*.md", "*.toml", "*.cff", "*.ipynb", "*.yml")
    git = ["git", "-C", str(root), "ls-files", *texts]
    for line in subprocess.check_output(git, text=True).splitlines():
        text = (root / line).read_text(encoding="utf-8")
        for pattern, new in places:
            text = re.sub(pattern, rf"\g<1>{new}", text)
        if line == "pyproject.toml":
            text = re.sub(r'^ref = "[^"]+"', f'ref = "{ref}"', text, flags=re.M)
        (root / line).write_text(text, encoding="utf-8", newline="\n")
    return slug


def main() -> int:
    """Run ``python -m course_utils.launch complete`` or ``… stamp [OWNER/NAME] [--ref TAG]``."""
    parser = argparse.ArgumentParser(prog="python -m course_utils.launch", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("complete", help="install what the host lacks")
    stamping = commands.add_parser("stamp", help="name another repository")
    stamping.add_argument("slug", nargs="?", help="OWNER/NAME; by default the git remote's")
    stamping.add_argument("--ref", default="main", help="branch or tag (default: main)")
    options = parser.parse_args()
    try:
        if options.command == "complete":
            complete()
        else:
            print(f"named {stamp(options.slug, options.ref)}, {options.ref}")
    except (RuntimeError, ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
