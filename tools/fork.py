"""Name another repository: ``python -m course_utils.launch stamp [OWNER/NAME] [--ref TAG]``.

``pyproject.toml`` names the repository once. Badges, first cells, pages and metadata repeat it;
this renames all of them. Without OWNER/NAME it takes the git remote ``origin``; REF is the branch
or tag that badges open and first cells install.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def repository(root: Path = ROOT) -> tuple[str, str]:
    """``OWNER/NAME`` and branch or tag, as ``pyproject.toml`` has them."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    address = project["project"]["urls"]["Repository"]
    return address.removeprefix("https://github.com/"), project["tool"]["course"]["ref"]


def source(slug: str, ref: str) -> str:
    """Return what follows ``git+https://github.com/`` in first cells."""
    return slug if ref == "main" else f"{slug}@{ref}"


def stamp(slug: str | None = None, ref: str = "main", root: Path = ROOT) -> str:
    """Rename the repository everywhere; return its new name.

    Parameters
    ----------
    slug
        ``OWNER/NAME``; by default that of the git remote ``origin``.
    ref
        Branch or tag that badges open and first cells install.

    Raises
    ------
    ValueError
        If it is no ``OWNER/NAME``, or there is no such remote.
    """
    git = ["git", "-C", str(root)]
    if slug is None:
        said = subprocess.run([*git, "remote", "-v"], capture_output=True, text=True).stdout
        found = re.search(r"^origin\s.*github\.com[:/]([\w.-]+/[\w.-]+?)(\.git)?\s", said, re.M)
        slug = found[1] if found else ""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", slug):
        raise ValueError(f"a repository is named OWNER/NAME, for example ada/course; got {slug!r}")
    old, old_ref = repository(root)
    places = [
        (rf"(git\+https://github\.com/){source(old, old_ref)}(?=[\"\\])", source(slug, ref)),
        (rf"(github(?:\.com)?/){re.escape(old)}/blob/{re.escape(old_ref)}/", f"{slug}/blob/{ref}/"),
        (rf"(github(?:\.com)?/){re.escape(old)}(?![\w-]|\.\w|@)", slug),
    ]
    texts = ("*.md", "*.toml", "*.cff", "*.ipynb", "*.yml")
    for line in subprocess.check_output([*git, "ls-files", *texts], text=True).splitlines():
        text = (root / line).read_text(encoding="utf-8")
        for pattern, new in places:
            text = re.sub(pattern, rf"\g<1>{new}", text)
        if line == "pyproject.toml":
            text = re.sub(r'^ref = "[^"]+"', f'ref = "{ref}"', text, flags=re.M)
        (root / line).write_text(text, encoding="utf-8", newline="\n")
    return slug


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="stamp", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("slug", nargs="?", metavar="OWNER/NAME")
    parser.add_argument("--ref", default="main", help="branch or tag (default: main)")
    options = parser.parse_args()
    try:
        print("named", stamp(options.slug, options.ref))
    except ValueError as error:
        sys.exit(f"error: {error}")
