"""Colab and Kaggle: what the first cell of a lesson installs there."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["complete"]

DISTRIBUTION = "explaining-image-classifiers"


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


if __name__ == "__main__":  # python -m course_utils.launch stamp OWNER/NAME, in a fork's checkout
    if sys.argv[1:2] != ["stamp"]:
        sys.exit("usage, in a fork: python -m course_utils.launch stamp [OWNER/NAME] [--ref TAG]")
    sys.exit(subprocess.run([sys.executable, "-m", "tools.fork", *sys.argv[2:]]).returncode)
