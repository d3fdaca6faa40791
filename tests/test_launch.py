"""Colab and Kaggle: the first cell installs what is missing and changes nothing else; forks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import pytest

from course_utils import launch

ROOT = Path(__file__).resolve().parents[1]
VARIABLES = (launch.COLAB_VARIABLE, launch.KAGGLE_VARIABLE)


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
    script.write_text(witness + launch.bootstrap_cell("some/course"), encoding="utf-8")
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
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "git+https://github.com/some/course"]
    assert done.stdout.split() == [*pip, "complete"]


def test_first_cell_says_what_to_do_without_internet(tmp_path: Path):
    done = run_bootstrap(tmp_path, code=1, KAGGLE_KERNEL_RUN_TYPE="Interactive")
    assert done.returncode == 1
    assert "Switch the internet on" in done.stderr.splitlines()[-1]


def test_first_cell_installs_attached_wheels_and_a_tag(tmp_path: Path):
    cell = launch.bootstrap_cell("some/course", "v1.2")
    assert "git+https://github.com/some/course@v1.2" in cell
    folder = tmp_path / "datasets" / "me" / "wheels"
    folder.mkdir(parents=True)
    wheel = folder / "explaining_image_classifiers-0.1.0-py3-none-any.whl"
    wheel.touch()
    lines = cell.replace("/kaggle/input", str(tmp_path)).splitlines()
    wanted = ("wheel =", "attached =", "source =")
    lines = [line.strip() for line in lines if line.strip().startswith(wanted)]
    names: dict = {"Path": Path}
    exec("\n".join(lines), names)
    assert names["source"] == wheel


def test_first_cell_is_short_and_needs_no_magic():
    lines = launch.bootstrap_cell("some/course").split("\n")
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


# --- one name of the repository -------------------------------------------------------------------


def test_every_place_names_the_same_repository():
    slug, ref = launch.repository()
    for path in [ROOT / "README.md", *(ROOT / "notebooks").rglob("*.ipynb")]:
        text = path.read_text(encoding="utf-8")
        named = re.findall(
            r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)/blob/(\w+)", text
        )
        named += re.findall(r"src=https://github\.com/([\w.-]+/[\w.-]+)/blob/(\w+)", text)
        named += [(n, ref) for n in re.findall(r"git\+https://github\.com/([\w.-]+/[\w-]+)", text)]
        assert named, f"{path.name} has no badges"
        assert set(named) == {(slug, ref)}, f"run `python -m course_utils.launch stamp {slug}`"


@pytest.fixture
def fork(tmp_path: Path) -> Path:
    """Copy of the texts that name the repository, under git."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    slug = launch.repository()[0].encode()
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and slug in (ROOT / name).read_bytes():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    return tmp_path


def test_stamp_renames_everywhere(fork: Path):
    (old, _), kept = launch.repository(), "another/course-notes"
    with (fork / "README.md").open("a") as readme:
        readme.write(f"github.com/{old}-notes, github.com/{kept}")
    for slug, ref in [("new.name/my-course", "v2"), ("new.name/my-course", "main"), (old, "main")]:
        assert launch.stamp(slug, ref, fork) == slug
        assert launch.repository(fork) == (slug, ref)
        readme = (fork / "README.md").read_text(encoding="utf-8")
        assert launch.badges("00_start_here.ipynb", slug, ref) in readme
        assert f"{old}-notes, github.com/{kept}" in readme, "others keep their names"
        for path in (fork / "notebooks").glob("[0-9]*.ipynb"):
            first = json.loads(path.read_text(encoding="utf-8"))["cells"]
            assert launch.badges(path.name, slug, ref) in "".join(first[0]["source"])
            assert "".join(first[1]["source"]) == launch.bootstrap_cell(slug, ref)
    again = subprocess.run(["git", "diff", "--stat"], cwd=fork, capture_output=True, text=True)
    assert [line for line in again.stdout.splitlines() if "README" not in line][:-1] == []


def test_stamp_takes_the_git_remote(fork: Path):
    with pytest.raises(ValueError, match="OWNER/NAME"):
        launch.stamp(root=fork)
    url = "git@github.com:ada/explain.git"
    subprocess.run(["git", "remote", "add", "origin", url], cwd=fork, check=True)
    assert launch.stamp(root=fork) == "ada/explain"
    with pytest.raises(ValueError, match="not a slug"):
        launch.stamp("not a slug", root=fork)
