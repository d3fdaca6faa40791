"""The commands: what is refused, what is installed, how lessons are executed and stored."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools import lessons, normalize, tasks

# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("COURSE_PROFILE", "fsat", "'fsat'; it can be fast, standard, full"),
        ("PROFILE", "fsat", "'fsat'; it can be fast, standard, full"),
        ("COURSE_DATA_SOURCE", "internet", "it can be auto, real, embedded"),
        ("COURSE_DATA", "/no/such/folder", "not a folder"),
        ("COURSE_PROFIL", "fast", "there is no setting COURSE_PROFIL; there are: COURSE_PROFILE"),
        ("LESSONS", "02 77", "no lesson begins with '77'"),
    ],
)
@pytest.mark.parametrize("command", ["run", "test", "check", "outputs"])
def test_wrong_settings_are_refused_before_anything_happens(
    name, value, message, command, monkeypatch, capsys
):
    def never(*arguments, **options):
        raise AssertionError("nothing may be started")

    monkeypatch.setattr(tasks.subprocess, "call", never)
    monkeypatch.setattr(tasks, "install", never)
    monkeypatch.setenv("COURSE_PROFILE", "standard")
    monkeypatch.setenv(name, value)
    assert tasks.main([command]) == 2
    assert message in capsys.readouterr().err


def test_settings_that_are_right_or_empty(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    monkeypatch.setenv("COURSE_DATA_SOURCE", "")
    monkeypatch.setenv("LESSONS", "02,04")
    tasks.check_settings()
    assert [path.name[:2] for path in tasks.lesson_paths("04 02")] == ["02", "04"]
    assert all(path.name[0].isdigit() for path in tasks.lesson_paths()), "no template among them"


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MF"))}
    options = {"cwd": tasks.ROOT, "env": {**kept, **variables}, "capture_output": True}
    return subprocess.run(["make", f"PYTHON={sys.executable}", *arguments], text=True, **options)


needs_make = pytest.mark.skipif(
    os.name == "nt" or shutil.which("make") is None, reason="needs make and a POSIX shell"
)


@needs_make
@pytest.mark.parametrize("wrong", ["PROFILE=fsat", "LESSONS=77", "COURSE_DATA_SOURCE=web"])
def test_make_refuses_first(wrong: str):
    name, _, value = wrong.partition("=")
    done = make("run", **{name: value})
    assert done.returncode == 2
    assert "error:" in done.stderr
    assert "install" not in done.stdout
    assert "tools.lessons" not in done.stdout


@needs_make
@pytest.mark.parametrize("task", tasks.COMMANDS)
def test_the_makefile_says_what_the_script_does(task: str):
    said = [line.split() for line in make("-n", "HERE=1", "LESSONS=02", task).stdout.splitlines()]
    said = [[word for word in line if not word.startswith("OMP_")] for line in said]
    expected = tasks.commands(task, sys.executable, "02")
    shown = [[word.replace('"', "") for word in line] for line in said if "-m" in line]
    assert [" ".join(line) for line in shown] == [" ".join(line) for line in expected]


def test_the_makefile_is_short():
    assert len((tasks.ROOT / "Makefile").read_text().splitlines()) <= 70


# --- environments ---------------------------------------------------------------------------------


@pytest.fixture
def installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Let `install` work in an empty repository, without installing: a record of its commands."""
    record = types.SimpleNamespace(commands=[], code=0, venv=tmp_path / ".venv")
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text("# pins\nx==1\ny==1\nz==1 ; sys_platform == 'linux'\n")
    monkeypatch.setattr(tasks, "ROOT", tmp_path)
    monkeypatch.setattr(tasks, "BUILD", tmp_path / "build")
    monkeypatch.setattr(tasks, "LOCK", tmp_path / "requirements.lock")
    monkeypatch.setattr(tasks, "PROJECT", tmp_path / "pyproject.toml")

    def start(command, stdout, **options):
        record.commands.append(command)
        if "venv" in command:
            tasks.environment_python(record.venv).parent.mkdir(parents=True, exist_ok=True)
            tasks.environment_python(record.venv).touch()
        stdout.write("ERROR: the reason\n")
        stdout.flush()
        return types.SimpleNamespace(wait=lambda: record.code)

    monkeypatch.setattr(tasks.subprocess, "Popen", start)
    return record


def test_installation_happens_once_and_again_after_a_change(installer, tmp_path: Path):
    tasks.install(installer.venv)
    assert [command[6:] for command in installer.commands[1:]] == [
        ["--upgrade", "pip"],
        ["--no-deps", "x==1", "z==1 ; sys_platform == 'linux'"],
        ["--no-deps", "y==1"],
        ["-r", str(tasks.LOCK), "-e", str(tmp_path)],
    ]
    tasks.install(installer.venv)
    assert len(installer.commands) == 5
    tasks.LOCK.write_text("y\n")
    tasks.install(installer.venv)
    assert len(installer.commands) == 10


@pytest.mark.parametrize("code", [1, -9])
def test_failed_installation_tells_why_and_is_done_again(code, installer):
    installer.code = code
    with pytest.raises(tasks.TaskError, match="the reason"):
        tasks.install(installer.venv)
    installer.code = 0
    tasks.install(installer.venv)
    assert len(installer.commands) == 6


def test_an_old_python_is_refused(installer, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    with pytest.raises(tasks.TaskError, match=r"needs Python 3\.11 or newer, and this is 3\.9\.2"):
        tasks.install(installer.venv)
    assert not installer.commands


def test_what_leaks_in_is_left_out(monkeypatch):
    for name in ("PIP_USER", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "MPLBACKEND"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    environment = tasks.notebook_environment("fast")
    assert not {"PIP_USER", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "MPLBACKEND"} & {*environment}
    assert environment["PIP_FIND_LINKS"] == "/wheels", "the user says where packages come from"
    assert environment["OMP_NUM_THREADS"] == "1"


def test_every_part_of_test_runs_whatever_fails(monkeypatch, capsys):
    calls = []
    for name in ("HERE", "LESSONS", "PROFILE"):  # as the tests may have been called with
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tasks, "install", lambda venv: venv / "bin" / "python")
    monkeypatch.setattr(tasks.shutil, "rmtree", lambda *arguments, **options: None)
    monkeypatch.setattr(tasks, "check_settings", lambda: None)

    def call(command, cwd, env):
        calls.append(command)
        assert "COURSE_PROFILE" not in env
        return int("check" in command or "pytest" in command)

    monkeypatch.setattr(tasks.subprocess, "call", call)
    assert tasks.main(["test"]) == 1
    assert len(calls) == 4
    assert {command[0] for command in calls} == {str(tasks.TEST_VENV / "bin" / "python")}
    assert {*map(str, tasks.lesson_paths()), "tests", "--nbval-lax"} <= {*calls[-1]}
    assert "not slow" not in calls[-1]
    assert "3 parts passed, 2 failed" in capsys.readouterr().out


def test_notebooks_come_first_in_the_queue_and_with_their_variables(request, monkeypatch):
    queue = request.config.pluginmanager.get_plugin(str(tasks.ROOT / "conftest.py"))

    def item(name: str, slow: bool = False) -> types.SimpleNamespace:
        return types.SimpleNamespace(path=Path(name), get_closest_marker=lambda _: slow)

    items = [item("quick.py"), item("slow.py"), item("slow.py", slow=True), item("a.ipynb")]
    queue.pytest_collection_modifyitems(items)
    assert [one.path.stem for one in items] == ["a", "slow", "slow", "quick"]
    monkeypatch.delenv("COURSE_PROFILE", raising=False)
    for name, profile in (("a.ipynb", "fast"), ("quick.py", None)):
        running = queue.pytest_runtest_setup(item(name))
        next(running)
        assert os.environ.get("COURSE_PROFILE") == profile
        running.close()
        assert "COURSE_PROFILE" not in os.environ


# --- execution ------------------------------------------------------------------------------------

KERNEL = "import os, sys\nprint(sys.executable)\nprint(os.environ['COURSE_PROFILE'], os.getcwd())"


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> types.SimpleNamespace:
    """Store two lessons, one of which fails, where a user's kernel of that name is broken."""
    root = tmp_path_factory.mktemp("course")
    good = [
        new_code_cell("seed = 0", metadata={"tags": ["parameters"]}),
        new_code_cell(KERNEL),
        new_code_cell("print('Verdict: it is', seed)"),
    ]
    bad = [new_code_cell("values = {}"), new_code_cell("values['missing']"), new_code_cell("1")]
    normalize.write(new_notebook(cells=good), root / "notebooks" / "01_good.ipynb")
    normalize.write(new_notebook(cells=bad), root / "notebooks" / "02_bad.ipynb")
    trap = {"argv": ["/no/such/python", "{connection_file}"], "display_name": "x", "language": "x"}
    spec = root / "user" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps(trap))
    sources = sorted((root / "notebooks").glob("*.ipynb"))
    before = sources[1].read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(root / "user"))
        patch.setattr(lessons, "EXECUTED", root / "executed")
        code = lessons.run(sources, store=True)
    records = {
        source.stem: normalize.read(root / "executed" / source.name).metadata["course"]
        for source in sources
    }
    return types.SimpleNamespace(
        root=root, code=code, sources=sources, records=records, before=before
    )


def test_a_failing_lesson_stops_no_other_and_is_not_stored(outcome):
    assert outcome.code == 1
    good, bad = outcome.records["01_good"], outcome.records["02_bad"]
    assert (good["status"], good["failure"], good["profile"]) == ("ok", None, "standard")
    assert bad["status"] == "failed"
    assert (bad["failure"]["cell"], bad["failure"]["source"]) == (1, "values['missing']")
    assert bad["failure"]["error"] == "KeyError: 'missing'"
    assert outcome.sources[1].read_bytes() == outcome.before


def test_stored_outputs_are_of_this_python_and_in_normal_form(outcome):
    notebook = normalize.read(outcome.sources[0])
    assert notebook == normalize.normalized(notebook)
    python, rest = notebook.cells[1].outputs[0].text.split("\n")[:2]
    assert Path(python).samefile(sys.executable)
    assert rest.split()[0] == "standard"
    assert Path(rest.split(maxsplit=1)[1]).samefile(outcome.root / "notebooks")


def test_a_lesson_changed_since_shows_what_is_stored(outcome, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(lessons, "EXECUTED", outcome.root / "executed")
    source = outcome.sources[0]
    assert lessons.newest(source).metadata["course"]["status"] == "ok"
    changed = normalize.read(source)
    changed.cells[0].source += "  # changed"
    normalize.write(changed, tmp_path / source.name)
    assert "course" not in lessons.newest(tmp_path / source.name).metadata


def test_clean_leaves_the_users_own_folders_alone(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(tasks, "ROOT", tmp_path)
    gone = [tmp_path / name for name in ("build", ".venv", ".ruff_cache", "data/x/__pycache__")]
    kept = [tmp_path / name for name in ("data/x", "mine/__pycache__", "mine/.ipynb_checkpoints")]
    for folder in (*gone, *kept):
        folder.mkdir(parents=True, exist_ok=True)
    assert tasks.clean() == 0
    assert [folder.exists() for folder in (*gone, *kept)] == [False] * 4 + [True] * 3


@pytest.mark.slow
def test_papermill_stays_quiet_when_a_theme_has_turned_on_logging():
    quiet = "import logging, a11y_pygments; from tools import lessons; import papermill.execute"
    shown = f"{quiet}; papermill.execute.logger.info('a step')"
    finished = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def test_verdicts_that_move_are_counted(monkeypatch, tmp_path: Path, capsys):
    def executed(jobs, threads):
        for job in jobs:
            _, target, parameters, environment = job
            assert environment["OMP_NUM_THREADS"] == str(threads), "cores for each"
            seed = parameters["seed"]
            moving = "yes" if seed != 2 else "no"
            mean = f"the mean is 0.{seed}{threads}, p = {10.0 ** -(3 + seed)}"
            text = f"Verdict: {moving}\nnot one\nVerdict: {mean}\n"
            output = new_output("stream", name="stdout", text=text)
            normalize.write(new_notebook(cells=[new_code_cell("", outputs=[output])]), target)
            yield job, {"status": "ok"}

    monkeypatch.setattr(lessons, "execute_all", executed)
    monkeypatch.setattr(tasks, "BUILD", tmp_path)
    assert lessons.verdicts([tmp_path / "01_a.ipynb"]) == 1
    said = capsys.readouterr().out
    assert "MOVED  yes" in said
    assert "same   the mean is 0.01, p = 0.001" in said
    assert "the mean is 0.21, p = 1e-05" in said
    assert "1 verdicts moved, 0 executions failed" in said


@pytest.mark.slow
def test_notebook_tests_fail_for_errors_and_marked_results_only(tmp_path: Path):
    """The command of `make test` executes every cell; unmarked outputs may differ."""

    def cell(source: str, stored: str, *tags: str):
        output = new_output("stream", name="stdout", text=stored)
        metadata = {"tags": list(tags)}
        return new_code_cell(source, outputs=[output], execution_count=1, metadata=metadata)

    cells = [
        cell("raise ValueError('stop')", "2\n"),
        cell("print(1 + 1)", "3\n", "nbval-check-output"),
        cell("print(1 + 1)", "2\n", "nbval-check-output"),
        cell("print(1 + 1)", "3\n"),
    ]
    normalize.write(new_notebook(cells=cells), tmp_path / "made.ipynb")
    command = [*tasks.notebook_tests(sys.executable, [tmp_path / "made.ipynb"]), "-n0"]
    environment = tasks.notebook_environment("fast")
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.findall(r"^FAILED \S*::Cell (\d+)", done.stdout, re.M) == ["0", "1"]
    assert "2 failed, 2 passed" in done.stdout
