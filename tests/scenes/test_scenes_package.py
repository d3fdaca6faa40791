"""The renderer stands alone, and its worker processes start wherever it is called from."""

from __future__ import annotations

import ast
import graphlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import course_scenes

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(course_scenes.__file__).parent

RENDER = """
from course_scenes import draw, render_scenes
scenes = draw("cifar10", 20, 1)
one, two = (render_scenes(scenes, 16, workers=n, progress=False) for n in (1, 2))
assert (one.images == two.images).all() and (one.masks == two.masks).all()
print("rendered")
"""


def _python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(FOLDER.parent), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )


def test_needs_neither_the_course_package_nor_torch(tmp_path: Path):
    code = (
        "import sys\n"
        "sys.modules['course_utils'] = sys.modules['torch'] = None  # importing them would fail\n"
        "import course_scenes\n"
        "for family in course_scenes.families():\n"
        "    course_scenes.render(family, 1, 8)\n"
        "import course_scenes.build, course_scenes.__main__, course_scenes.shortcuts\n"
    )
    run = _python("-c", code, folder=tmp_path)
    assert run.returncode == 0, run.stderr


def test_no_modules_import_each_other():
    imports = {path.stem: _imported(path) for path in FOLDER.glob("*.py")}
    order = list(graphlib.TopologicalSorter(imports).static_order())  # raises on a circle
    assert order.index("families") < order.index("pool") < order.index("catalogue")


def _imported(path: Path) -> set[str]:
    """Names of the package's own modules that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {name if (FOLDER / f"{name}.py").exists() else "__init__" for name in names}
    return found


@pytest.mark.slow
def test_workers_start_from_a_script_with_a_guard(tmp_path: Path):
    script = tmp_path / "script.py"
    indented = RENDER.strip().replace("\n", "\n    ")
    script.write_text(f'if __name__ == "__main__":\n    {indented}\n', encoding="utf-8")
    run = _python(str(script), folder=tmp_path)
    assert (run.returncode, run.stdout.strip()) == (0, "rendered"), run.stderr


@pytest.mark.slow
def test_script_without_a_guard_is_told_so(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(RENDER, encoding="utf-8")
    run = _python(str(script), folder=tmp_path)
    assert run.returncode != 0
    assert 'if __name__ == "__main__":' in run.stderr


@pytest.mark.slow
def test_workers_start_from_a_notebook(tmp_path: Path):
    cell = {"cell_type": "code", "source": RENDER, "metadata": {}, "outputs": []}
    notebook = tmp_path / "in.ipynb"
    kernel = {"name": "python3", "display_name": "Python", "language": "python"}
    content = {"cells": [{**cell, "id": "a", "execution_count": None}]}
    content |= {"metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    notebook.write_text(json.dumps(content), encoding="utf-8")
    run = _python("-m", "papermill", "in.ipynb", "out.ipynb", folder=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "rendered" in (tmp_path / "out.ipynb").read_text(encoding="utf-8")
