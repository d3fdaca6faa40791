"""What is installed and where it comes from: one list of versions, one name of the repository."""

from __future__ import annotations

import ast
import os
import re
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import tasks

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
