"""Colab and Kaggle: the first cell installs what is missing and changes nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import nbformat
import pytest

from course_utils import launch
from tools import fork

TEMPLATE = nbformat.read(fork.ROOT / "notebooks" / "_template.ipynb", as_version=4)
FIRST_CELL = TEMPLATE.cells[1].source
INSTALLED = f"git+https://github.com/{fork.source(*fork.repository())}"
#: Environment variables that only the hosted services set.
VARIABLES = ("COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE")


# --- the first cell -------------------------------------------------------------------------------


def run_bootstrap(tmp_path: Path, code: int = 0, **variables: str) -> subprocess.CompletedProcess:
    """Run the cell without course_utils, with witnesses in place of pip and of `complete`."""
    kept = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    witness = (
        "import subprocess, sys, types\n"
        "class Done: returncode = " + str(code) + "\n"
        "def run(command, **options):\n"
        "    print(*command[1:])\n"
        "    package, module = types.ModuleType('course_utils'), types.ModuleType('launch')\n"
        "    module.complete = lambda: print('complete')\n"
        "    sys.modules |= {'course_utils': package, 'course_utils.launch': module}\n"
        "    return Done\n"
        "subprocess.run = run\n"
    )
    script = tmp_path / "cell.py"
    script.write_text(witness + FIRST_CELL, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-I", "-S", str(script)],
        capture_output=True,
        text=True,
        env={**kept, **variables},
        cwd=tmp_path,
    )


def test_first_cell_does_nothing_on_a_laptop(tmp_path: Path):
    done = run_bootstrap(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("variable", VARIABLES)
def test_first_cell_installs_where_hosted_without_dependencies(variable: str, tmp_path: Path):
    done = run_bootstrap(tmp_path, **{variable: "1"})
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", INSTALLED]
    assert done.stdout.split() == [*pip, "complete"]


def test_first_cell_says_what_to_do_without_internet(tmp_path: Path):
    done = run_bootstrap(tmp_path, code=1, KAGGLE_KERNEL_RUN_TYPE="Interactive")
    assert done.returncode == 1
    assert "Switch the internet on" in done.stderr.splitlines()[-1]


def test_first_cell_installs_attached_wheels(tmp_path: Path):
    folder = tmp_path / "datasets" / "me" / "wheels"
    folder.mkdir(parents=True)
    wheel = folder / "explaining_image_classifiers-0.1.0-py3-none-any.whl"
    wheel.touch()
    lines = FIRST_CELL.replace("/kaggle/input", str(tmp_path)).splitlines()
    wanted = ("wheel =", "attached =", "source =")
    lines = [line.strip() for line in lines if line.strip().startswith(wanted)]
    names: dict = {"Path": Path}
    exec("\n".join(lines), names)
    assert names["source"] == wheel


def test_first_cell_is_short_and_needs_no_magic():
    lines = FIRST_CELL.split("\n")
    assert len(lines) <= 20
    assert not any(line.lstrip().startswith(("!", "%")) for line in lines)


# --- what the host lacks --------------------------------------------------------------------------


class Host:
    """An environment of distributions {name: (version, requirements)}; pip adds from an index."""

    def __init__(self, has: dict, index: dict, monkeypatch: pytest.MonkeyPatch):
        self.has, self.index, self.commands, self.origin = dict(has), index, [], None
        read = types.SimpleNamespace(read_text=lambda _name: self.origin)
        monkeypatch.setattr(launch.metadata, "distribution", lambda _name: read)
        monkeypatch.setattr(launch.metadata, "version", self.version)
        monkeypatch.setattr(launch.metadata, "requires", self.requires)
        monkeypatch.setattr(launch.subprocess, "run", self.run)

    def version(self, name: str) -> str:
        if name not in self.has:
            raise metadata.PackageNotFoundError(name)
        return self.has[name][0]

    def requires(self, name: str) -> list[str]:
        self.version(name)
        return self.has[name][1]

    def run(self, command: list[str], **_options) -> subprocess.CompletedProcess:
        self.commands.append(command[5:])
        names = [re.match(r"[\w-]+", word)[0] for word in command[5:] if not word.startswith("--")]
        self.has |= {name: self.index[name] for name in names if name in self.index}
        failed = any(name not in self.index for name in names)
        return subprocess.CompletedProcess(command, int(failed))


COURSE = ["numpy>=2", "captum<1,>=0.8", 'pytest>=8; extra == "test"', 'winonly; os_name == "nope"']
INDEX = {"captum": ("0.9", ["numpy", "helper"]), "helper": ("1", ["numpy"])}


def test_only_what_is_missing_is_installed(monkeypatch, capsys):
    has = {launch.DISTRIBUTION: ("0.1", COURSE), "numpy": ("2.1.3", [])}
    host = Host(has, INDEX, monkeypatch)
    assert launch.complete() == ["captum<1,>=0.8", "helper"]
    assert host.commands == [["--no-deps", "captum<1,>=0.8"], ["--no-deps", "helper"]]
    assert host.has["numpy"] == ("2.1.3", [])
    assert launch.complete() == [], "run twice"
    assert len(host.commands) == 2
    assert capsys.readouterr().out == ""


def test_unfit_versions_are_named_and_kept(monkeypatch, capsys):
    has = {launch.DISTRIBUTION: ("0.1", COURSE), "numpy": ("1.26.4", []), **INDEX}
    host = Host(has, {}, monkeypatch)
    assert launch.complete() == []
    assert "numpy 1.26.4 (the course wants numpy>=2)" in capsys.readouterr().out
    assert host.commands == []


def test_what_cannot_be_had_is_an_error_that_says_what_to_do(monkeypatch):
    Host({launch.DISTRIBUTION: ("0.1", COURSE), "numpy": ("2.1", [])}, {}, monkeypatch)
    with pytest.raises(RuntimeError, match=r"captum.*make wheelhouse.*Internet on"):
        launch.complete()


def test_attached_wheels_need_no_network(monkeypatch, tmp_path):
    has = {launch.DISTRIBUTION: ("0.1", COURSE), "numpy": ("2.1.3", [])}
    host = Host(has, INDEX, monkeypatch)
    host.origin = json.dumps({"url": (tmp_path / "course-0.1-py3-none-any.whl").as_uri()})
    launch.complete()
    assert host.commands[0][:3] == ["--no-deps", "--no-index", f"--find-links={tmp_path}"]


def test_nothing_is_missing_here():
    assert launch.complete() == []
