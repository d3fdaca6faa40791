"""What is installed and where it comes from: one list of versions, one name of the repository."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import launch, tasks

ROOT = tasks.ROOT
PROJECT = tomllib.loads(tasks.PROJECT.read_text(encoding="utf-8"))["project"]
LOCK = tasks.LOCK.read_text(encoding="utf-8")
PINS = [Requirement(line) for line in LOCK.splitlines() if line and not line.startswith("#")]


def declared() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [
        Requirement(text) for text in [*PROJECT["dependencies"], *(x for e in extras for x in e)]
    ]


# --- versions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_lock_satisfies_what_the_package_declares(requirement: Requirement):
    name = canonicalize_name(requirement.name)
    pins = [pin for pin in PINS if canonicalize_name(pin.name) == name]
    assert pins, f"requirements.lock lacks {name}: run `make lock`"
    for pin in pins:
        (exact,) = pin.specifier
        assert requirement.specifier.contains(exact.version), f"{pin} does not fit {requirement}"


def test_lock_is_exact_and_portable():
    for pin in PINS:
        (exact,) = pin.specifier
        assert exact.operator == "==", pin
        assert "*" not in exact.version, pin
        assert not re.match(r"nvidia-|cuda-|triton", pin.name), f"{pin.name} is torch's to ask for"
    fixed = tomllib.loads(tasks.PROJECT.read_text(encoding="utf-8"))["tool"]["uv"]
    assert set(fixed["constraint-dependencies"]) <= set(LOCK.splitlines())
    assert "://" not in LOCK, "no address: packages come from the index that pip is set up with"
    assert "--" not in LOCK.replace("# ", ""), "no options"
    assert "make lock" in LOCK.split("\n")[1], "the header says how it is made"


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("python", ["3.11.9", "3.12.9", "3.13.1"])
def test_lock_names_each_package_once_on_each_platform(platform: str, python: str):
    names = {"linux": "posix", "darwin": "posix", "win32": "nt"}
    environment = {
        "sys_platform": platform,
        "os_name": names[platform],
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "implementation_name": "cpython",
        "platform_machine": "x86_64",
    }
    chosen = [pin.name for pin in PINS if not pin.marker or pin.marker.evaluate(environment)]
    assert len(chosen) == len(set(chosen))
    assert {"torch", "torchvision", "captum", "papermill", "nbval", "ruff"} <= set(chosen)


def test_conda_environment_names_what_the_package_declares():
    """Every direct dependency, at the same versions; from pip what conda-forge lacks."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, with_pip = environment["dependencies"]
    from_pip = with_pip["pip"]
    assert from_pip.pop() == "-e ."
    named = {}
    for text in [*conda, *from_pip]:
        requirement = Requirement(text)
        name = {"pytorch": "torch"}.get(requirement.name, requirement.name)
        named[canonicalize_name(name)] = requirement.specifier
    assert named.pop("python").contains("3.12")
    named.pop("pip")
    assert named == {canonicalize_name(r.name): r.specifier for r in declared()}


def test_python_version_is_stated_once():
    assert PROJECT["requires-python"] == ">=" + ".".join(map(str, tasks.MINIMUM_PYTHON))


def test_tasks_need_nothing_but_python():
    tree = ast.parse((ROOT / "tools" / "tasks.py").read_text(encoding="utf-8"))
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported <= {*sys.stdlib_module_names, "__future__"}


def test_licences():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Permission is hereby granted, free of charge" in text
    assert "creativecommons.org/licenses/by/4.0" in text
    assert text.count("Copyright (c) The course authors") == 2
    assert PROJECT["license"] == "MIT AND CC-BY-4.0"


# --- continuous integration -----------------------------------------------------------------------


def test_ci_runs_the_test_command():
    script = ROOT / ".ci" / "run"
    assert "set -euo pipefail" in script.read_text()
    assert script.read_text().rstrip().endswith("exec make test")
    if os.name == "posix":
        assert os.access(script, os.X_OK)
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    systems = {
        job["os"].split("-")[0] for job in workflow["jobs"]["test"]["strategy"]["matrix"]["include"]
    }
    assert systems == {"ubuntu", "macos", "windows"}
    commands = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    assert {".ci/run", "python tools/tasks.py test", "make run"} <= set(commands)


# --- one name of the repository -------------------------------------------------------------------


def test_every_place_names_the_same_repository():
    slug = tasks.repository_slug()
    assert PROJECT["urls"]["Repository"] == f"https://github.com/{slug}"
    files = [ROOT / "README.md", *(ROOT / "notebooks").rglob("*.ipynb")]
    for path in files:
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)", text)
        named += re.findall(r"src=https://github\.com/([\w.-]+/[\w.-]+)", text)
        named += re.findall(r"git\+https://github\.com/([\w.-]+/[\w-]+)", text)
        assert named, f"{path.name} has no badges"
        assert set(named) == {slug}, f"{path.name}: run `python tools/tasks.py slug {slug}`"


def test_slug_renames_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    old = tasks.repository_slug()
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    spelled = rf"github(\.com)?/{re.escape(old)}(?![\w-])"
    naming = [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    naming = [path for path in naming if re.search(spelled.encode(), path.read_bytes())]
    assert {"CITATION.cff", "README.md", "_template.ipynb"} <= {path.name for path in naming}
    for path in naming:
        (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    with (tmp_path / "README.md").open("a", encoding="utf-8") as readme:
        readme.write(f"github.com/{old}-notes")
    monkeypatch.setattr(tasks, "ROOT", tmp_path)
    monkeypatch.setattr(tasks, "PROJECT", tmp_path / "pyproject.toml")
    assert tasks.main(["slug", "new.name/my-course"]) == 0
    assert tasks.repository_slug() == "new.name/my-course"
    copies = [tmp_path / path.relative_to(ROOT) for path in naming]
    assert [path for path in copies if re.search(spelled, path.read_text(encoding="utf-8"))] == []
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"github.com/{old}-notes" in readme, "another repository keeps its name"
    assert launch.badges("00_start_here.ipynb", "new.name/my-course") in readme
    first = json.loads((tmp_path / "notebooks" / "00_start_here.ipynb").read_text("utf-8"))
    assert "".join(first["cells"][1]["source"]) == launch.bootstrap_cell("new.name/my-course")
    assert tasks.main(["slug", "not a slug"]) == 2
    assert "OWNER/NAME" in capsys.readouterr().err


# --- Colab and Kaggle -----------------------------------------------------------------------------


def run_bootstrap(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess:
    """Run the cell in an interpreter that has no course_utils, with pip replaced by a witness."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if k not in (launch.COLAB_VARIABLE, launch.KAGGLE_VARIABLE)
    }
    witness = "import subprocess\nsubprocess.run = lambda command, **options: print(*command[1:])\n"
    script = tmp_path / "cell.py"
    script.write_text(witness + launch.bootstrap_cell("some/course"), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-I", "-S", str(script)],
        capture_output=True,
        text=True,
        env={**kept, **variables},
        cwd=tmp_path,
    )


def test_bootstrap_does_nothing_on_a_laptop(tmp_path: Path):
    done = run_bootstrap(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("variable", [launch.COLAB_VARIABLE, launch.KAGGLE_VARIABLE])
def test_bootstrap_installs_where_hosted(variable: str, tmp_path: Path):
    done = run_bootstrap(tmp_path, **{variable: "1"})
    assert done.stdout.split() == [
        *("-m", "pip", "install", "--quiet"),
        "git+https://github.com/some/course",
    ]


def test_bootstrap_is_short_and_needs_no_magic():
    lines = launch.bootstrap_cell("some/course").split("\n")
    assert len(lines) <= 12
    assert not any(line.lstrip().startswith(("!", "%")) for line in lines)
