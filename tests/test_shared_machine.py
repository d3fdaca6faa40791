"""A computer room: the course installed once and read-only, a shared folder, two users at once."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import _made
import pytest

ROOT = Path(__file__).resolve().parent.parent

#: What a student's first hour reads and writes: set-up, a network, the class's data, a data set of
#: the course, a method, results at home.
HOUR = """
import sys
from pathlib import Path
import course_utils as cu
assert Path(cu.__file__).is_relative_to(sys.argv[1]), cu.__file__
cu.setup("fast", seed=1, verbose=False)
network = cu.load_network("squeezenet1_1", verbose=False)
real = cu.load_dataset("cifar10", source="real", verbose=False)
assert Path(real.origin).is_relative_to(sys.argv[2]), real.origin
rendered = cu.load_dataset("vegetables", source="embedded", verbose=False)
result = cu.batch.explain(
    ["bull_mastiff", "tabby"], network, Path.home() / "maps", method="gradcam"
)
print(len(rendered.train), sorted(p.name for p in (Path.home() / "maps").iterdir()))
"""


def installed(folder: Path) -> Path:
    """Lay the course out as its wheel does."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    places = {name: Path(name).name for name in wheel["packages"]} | wheel["force-include"]
    for source, target in places.items():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, folder / target)
    return folder


def contents(folder: Path) -> dict[str, int]:
    """When each file and folder was changed last."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.slow
def test_two_users_of_one_read_only_installation(tmp_path):
    site, shared = installed(tmp_path / "site"), tmp_path / "class"
    _made.write(shared, _made.cifar_folders())
    for path in (*site.rglob("*"), *shared.rglob("*"), site, shared):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    before = contents(site) | contents(shared)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COURSE_", "XDG_", "PYTHON"))}
    running = []
    for user in ("ada", "bob"):
        home = tmp_path / user
        home.mkdir()
        own = {"HOME": str(home), "USERPROFILE": str(home), "COURSE_DATA": str(shared)}
        command = [sys.executable, "-c", HOUR, str(site), str(shared)]
        environment = kept | own | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"  # as where it cannot be written
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(command, cwd=home, env=environment, **pipes))
    said = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert said[0][0] == said[1][0] != ""
    assert contents(site) | contents(shared) == before, "something was written for all"
    assert all((tmp_path / user / "maps" / "manifest.json").exists() for user in ("ada", "bob"))
