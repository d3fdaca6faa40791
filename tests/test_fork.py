"""One name of the repository: in every place, and another one in a fork."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lessons.lesson_rules import badges
from tools import fork


def test_every_place_names_the_same_repository():
    slug, ref = fork.repository()
    for path in [fork.ROOT / "README.md", *(fork.ROOT / "notebooks").rglob("*.ipynb")]:
        text = path.read_text(encoding="utf-8")
        named = re.findall(
            r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)/blob/(\w+)", text
        )
        named += re.findall(r"src=https://github\.com/([\w.-]+/[\w.-]+)/blob/(\w+)", text)
        named += [(n, ref) for n in re.findall(r"git\+https://github\.com/([\w.-]+/[\w-]+)", text)]
        assert named, f"{path.name} has no badges"
        assert set(named) == {(slug, ref)}, f"run `python -m course_utils.launch stamp {slug}`"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Copy of the texts that name the repository, under git."""
    listed = subprocess.run(["git", "ls-files"], cwd=fork.ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    slug = fork.repository()[0].encode()
    for name in listed.stdout.splitlines():
        if (fork.ROOT / name).is_file() and slug in (fork.ROOT / name).read_bytes():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(fork.ROOT / name, tmp_path / name)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    return tmp_path


def test_stamp_renames_everywhere(copied: Path):
    (old, _), kept = fork.repository(), "another/course-notes"
    with (copied / "README.md").open("a") as readme:
        readme.write(f"github.com/{old}-notes, github.com/{kept}")
    for slug, ref in [("new.name/my-course", "v2"), ("new.name/my-course", "main"), (old, "main")]:
        assert fork.stamp(slug, ref, copied) == slug
        assert fork.repository(copied) == (slug, ref)
        readme = (copied / "README.md").read_text(encoding="utf-8")
        assert badges("00_start_here.ipynb", slug, ref) in readme
        assert f"{old}-notes, github.com/{kept}" in readme, "others keep their names"
        for path in (copied / "notebooks").glob("[0-9]*.ipynb"):
            first = json.loads(path.read_text(encoding="utf-8"))["cells"]
            assert badges(path.name, slug, ref) in "".join(first[0]["source"])
            installed = f'"git+https://github.com/{fork.source(slug, ref)}"'
            assert installed in "".join(first[1]["source"])
    again = subprocess.run(["git", "diff", "--stat"], cwd=copied, capture_output=True, text=True)
    assert [line for line in again.stdout.splitlines() if "README" not in line][:-1] == []


def test_stamp_takes_the_git_remote(copied: Path):
    with pytest.raises(ValueError, match="OWNER/NAME"):
        fork.stamp(root=copied)
    url = "git@github.com:ada/explain.git"
    subprocess.run(["git", "remote", "add", "origin", url], cwd=copied, check=True)
    assert fork.stamp(root=copied) == "ada/explain"
    with pytest.raises(ValueError, match="not a slug"):
        fork.stamp("not a slug", root=copied)


@pytest.mark.slow
def test_the_command_that_the_instructors_page_names():
    command = [sys.executable, "-m", "course_utils.launch", "stamp", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, cwd=fork.ROOT, check=True).stdout
    assert "OWNER/NAME" in said
    assert "--ref" in said
