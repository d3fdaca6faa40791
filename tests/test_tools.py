"""The commands, the execution of lessons and the site, tried on tiny notebooks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import lessons, normalize, tasks
from tools.site import build_site, page
from tools.site.exporter import NO_ALT
from tools.site.formulas import FormulaError, to_mathml

ALT = 'A red dot, 1 × 1 pixel, and a "quotation" to escape.'
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

# --- tiny lessons, executed once ------------------------------------------------------------------

PROSE = r"""# 01 · First steps

[![Open in Colab](https://example.org/badge.svg)](https://example.org/colab)

The promise of *this* lesson.

## Formulas

Inline $x'_i \in \mathbb{R}$, a price of 5 dollars, and

$$\begin{aligned} F(x) - F(x') &= \int_0^1 \frac{\partial F}{\partial \alpha}\,\mathrm{d}\alpha \\
&\approx \tfrac{1}{n} \sum_k \lVert g_k \rVert + \operatorname{relu}(x) \end{aligned}$$

> [!NOTE]
> See [the other lesson](02_second.ipynb#Break-it) and [the data](../data/README.md).

![A remote picture](https://example.org/picture.png)

<details><summary>Answer</summary>

Because of $\alpha$.

</details>
"""

SHOW = f"""\
from IPython.display import display
display({{"image/png": "{PIXEL}", "text/plain": "Figure"}}, raw=True,
        metadata={{"image/png": {{"alt": {ALT!r}}}}})
"""

WIDGET = """\
import sys
import ipywidgets
print("noise", file=sys.stderr)
ipywidgets.IntSlider(value=3)"""
KERNEL = "import os, sys\nprint(sys.executable)\nprint(os.environ['COURSE_PROFILE'], os.getcwd())"


def first_lesson():
    cells = [
        new_markdown_cell(PROSE),
        new_code_cell("answer = 41", metadata={"tags": ["parameters"]}),
        new_code_cell(KERNEL),
        new_code_cell(SHOW),
        new_code_cell("print('small picture')\n" + SHOW, metadata={"tags": ["thumbnail"]}),
        new_code_cell(WIDGET),
        new_code_cell("print(answer + 1)", metadata={"tags": ["nbval-check-output"]}),
    ]
    return new_notebook(cells=cells)


def failing_lesson():
    cells = [
        new_markdown_cell("# Second\n\nA lesson that fails."),
        new_markdown_cell("## Break it"),
        new_code_cell("values = {}"),
        new_code_cell("values['missing <key>']"),
        new_code_cell("print('never reached')"),
    ]
    return new_notebook(cells=cells)


@contextmanager
def standing_in(root: Path) -> Iterator[list[str]]:
    """Let the tools take `root` for the repository, amid traps; yield what they say."""
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(root / "user"))
        patch.setenv("JUPYTER_PATH", str(root / "path"))
        patch.setenv("MPLBACKEND", "TkAgg")
        environment = tasks.notebook_environment(Path(sys.executable), "fast")
        assert "MPLBACKEND" not in environment
        patch.delenv("MPLBACKEND")
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(lessons, "NOTEBOOKS", root / "notebooks")
        patch.setattr(lessons, "EXECUTED", root / "build" / "executed")
        patch.setattr(lessons, "RECORDS", root / "build" / "lessons.json")
        patch.setattr(lessons, "SITE", root / "build" / "site")
        patch.setattr(tasks, "say", said.append)
        patch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
        yield said


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> types.SimpleNamespace:
    """Two lessons, run as `make run` runs them, where a user's kernels of that name are broken."""
    root = tmp_path_factory.mktemp("course")
    normalize.write(first_lesson(), root / "notebooks" / "01_first.ipynb")
    normalize.write(failing_lesson(), root / "notebooks" / "02_second.ipynb")
    trap = {"argv": ["/no/such/python", "{connection_file}"], "display_name": "x", "language": "x"}
    for folder in ("user", "path"):
        spec = root / folder / "kernels" / "python3" / "kernel.json"
        spec.parent.mkdir(parents=True)
        spec.write_text(json.dumps(trap))
    sources = sorted((root / "notebooks").glob("*.ipynb"))
    with standing_in(root) as said:
        code = lessons.run(sources, {"answer": 99})
    return types.SimpleNamespace(root=root, code=code, said="\n".join(said), sources=sources)


def page_of(course, name: str) -> BeautifulSoup:
    text = (course.root / "build" / "site" / f"{name}.html").read_text(encoding="utf-8")
    return BeautifulSoup(text, "html.parser")


def test_a_failing_lesson_stops_no_other_but_counts(course):
    assert course.code == 1
    assert "ok     01_first" in course.said
    assert "FAILED 02_second" in course.said
    assert "values['missing <key>']" in course.said
    assert "KeyError: 'missing <key>'" in course.said
    assert "index.html" in course.said
    assert "never reached" not in course.said


def test_records(course):
    records = json.loads((course.root / "build" / "lessons.json").read_text())["lessons"]
    first, second = records
    assert (first["name"], first["status"], first["failure"]) == ("01_first", "ok", None)
    assert 0 < first["seconds"] < 120
    assert first["profile"] == "fast"
    assert second["status"] == "failed"
    assert second["failure"]["cell"] == 3
    assert second["failure"]["source"] == "values['missing <key>']"
    assert second["failure"]["error"].startswith("KeyError")


def test_kernel_is_this_python_whatever_the_user_has(course):
    executed = normalize.read(course.root / "build" / "executed" / "01_first.ipynb")
    printed = "".join(
        output.get("text", "") for cell in executed.cells for output in cell.get("outputs", [])
    )
    python, rest = printed.split("\n")[:2]
    assert Path(python).samefile(sys.executable)
    assert rest.split()[0] == "fast"
    assert Path(rest.split(maxsplit=1)[1]).samefile(course.root / "notebooks")
    assert "100" in printed.split(), "the parameter from the command line was used"


def test_committed_notebooks_are_left_alone(course):
    stored = normalize.read(course.root / "notebooks" / "01_first.ipynb")
    assert all(not cell.outputs for cell in stored.cells if cell.cell_type == "code")


def test_store_writes_normal_form_and_skips_failures(course):
    before = {path: path.read_bytes() for path in course.sources}
    try:
        with standing_in(course.root):
            assert lessons.store(course.sources) == 1
        first, second = course.sources
        assert second.read_bytes() == before[second]
        notebook = normalize.read(first)
        assert notebook == normalize.normalized(notebook)
        counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
        assert counts == [1, 2, 3, 4, 5, 6]
        assert notebook.cells[6].outputs[0].text == "42\n"
        assert notebook.cells[5].outputs == [], "neither the widget nor what went to stderr"
        assert notebook.cells[3].outputs[0].metadata["image/png"]["alt"] == ALT
    finally:
        for path, content in before.items():
            path.write_bytes(content)


# --- the site -------------------------------------------------------------------------------------


def test_pages_load_nothing_from_elsewhere(course):
    site = course.root / "build" / "site"
    for path in site.glob("*.html"):
        assert page.remote_loads(path.read_text(encoding="utf-8")) == []
        soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        assert not soup.find_all("script")
        for element in soup.find_all(["img", "link"]):
            address = element.get("src") or element.get("href")
            assert address.startswith("data:") or (site / address).exists(), address
    style = (site / "style.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style


def test_links_on_pages_lead_somewhere(course):
    site = course.root / "build" / "site"
    for path in site.glob("*.html"):
        soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for link in soup.find_all("a"):
            address, _, anchor = link["href"].partition("#")
            if address.startswith(("http:", "https:")):
                continue
            target = site / address if address else path
            assert target.exists(), link
            if anchor and target.suffix == ".html":
                other = BeautifulSoup(target.read_text(encoding="utf-8"), "html.parser")
                assert other.find(id=anchor), link


def test_page_content(course):
    soup = page_of(course, "01_first")
    assert soup.h1.get_text() == "First steps"
    assert soup.select_one(".lead").get_text() == "The promise of this lesson."
    assert [a.get_text() for a in soup.select(".toc a")] == ["Formulas"]
    assert soup.select_one(".aside.note .aside-title").get_text() == "Note"
    links = {a.get_text(): a["href"] for a in soup.select("article a, .actions a")}
    assert links["the other lesson"] == "02_second.html#Break-it"
    assert links["the data"].endswith("/blob/main/data/README.md")
    assert links["Open in Colab"] == "https://example.org/colab"
    assert links["Download notebook"] == "notebooks/01_first.ipynb"
    assert soup.select_one("span.badge").get_text() == "A remote picture"
    assert soup.select_one(".widget-note"), "a reader is told of the widget"
    assert "IntSlider(" not in "".join(x.get_text() for x in soup.select(".outputs"))
    assert "noise" not in [pre.get_text().strip() for pre in soup.find_all("pre")]


def test_figures_keep_their_alternative_text(course):
    images = page_of(course, "01_first").select("figure.picture img")
    assert [image["alt"] for image in images] == [ALT, ALT]
    assert all(image["loading"] == "lazy" and image["width"] == "1" for image in images)
    assert all(image.parent["href"] == image["src"] for image in images)


def test_formulas_are_mathml(course):
    article = page_of(course, "01_first").article
    assert len(article.find_all("math")) == 3
    assert article.find("math", display="block").find("mtable")
    for code in article.find_all(["code", "pre"]):
        code.decompose()
    text = article.get_text()
    assert "$" not in text
    assert "\\" not in text
    assert "ℝ" in text
    assert "∂" in text


def test_failure_is_shown_where_it_happened(course):
    soup = page_of(course, "02_second")
    banner = soup.select_one(".banner.failure")
    assert "KeyError: 'missing <key>'" in banner.get_text()
    assert banner.select_one("a")["href"] == "#cell-4"
    cell = soup.find(id="cell-4")
    assert "failed" in cell["class"]
    assert "values" in cell.select_one(".input").get_text()
    assert "KeyError" in cell.select_one(".error").get_text()
    assert not page_of(course, "01_first").select(".banner.failure")


def test_previous_and_next(course):
    first, second = page_of(course, "01_first"), page_of(course, "02_second")
    assert first.select_one("a[rel=next]")["href"] == "02_second.html"
    assert not first.select_one("a[rel=prev]")
    assert second.select_one("a[rel=prev]")["href"] == "01_first.html"
    assert second.select_one(".sidebar [aria-current=page]")["href"] == "02_second.html"


def test_index(course):
    soup = page_of(course, "index")
    first, second = soup.select(".card")
    assert first.h3.get_text() == "First steps"
    assert first.select_one(".promise").get_text() == "The promise of this lesson."
    assert first.img["src"] == "files/01_first/thumbnail.png"
    assert first.img["alt"] == ALT
    assert "ran in" in first.select_one(".state").get_text()
    assert "failed at cell 4: KeyError" in second.select_one(".state").get_text()


def test_pages_can_be_read_without_seeing_them(course):
    for name in ("index", "01_first", "02_second"):
        soup = page_of(course, name)
        assert soup.html["lang"] == "en"
        assert soup.title.get_text().strip()
        assert len(soup.find_all("h1")) == 1
        assert soup.find("main")
        skip = soup.find("a")
        assert soup.find(id=skip["href"].removeprefix("#")), "the first link skips the navigation"
        levels = [int(h.name[1]) for h in soup.find_all(["h1", "h2", "h3", "h4"])]
        assert all(below <= above + 1 for above, below in pairwise(levels))
        assert all(image.get("alt") for image in soup.find_all("img"))
        assert all(nav.get("aria-label") for nav in soup.find_all("nav"))
        identifiers = [element["id"] for element in soup.find_all(id=True)]
        assert len(identifiers) == len(set(identifiers))


def test_downloads_are_in_normal_form(course):
    notebook = normalize.read(course.root / "build" / "site" / "notebooks" / "01_first.ipynb")
    assert notebook == normalize.normalized(notebook)
    assert [cell.cell_type for cell in notebook.cells] == ["markdown", *["code"] * 6]


def test_a_changed_lesson_is_shown_with_its_stored_outputs(course):
    first = course.sources[0]
    before = first.read_bytes()
    changed = normalize.read(first)
    changed.cells[0].source += "\nA new sentence."
    with standing_in(course.root):
        records = lessons.load_records()
        assert all(record for _, _, record in lessons.lessons_for_site(records))
        try:
            normalize.write(changed, first)
            _, notebook, record = lessons.lessons_for_site(records)[0]
        finally:
            first.write_bytes(before)
    assert record is None
    assert "A new sentence." in notebook.cells[0].source


def made(*cells, name: str = "01_made"):
    return [(name, new_notebook(cells=list(cells)), None)]


def test_problems_of_pages_are_reported(tmp_path: Path):
    remote = (
        '<link rel="stylesheet" href="//e.org/a.css"><p style="background: url(https://e.org/a)">'
    )
    output = new_output("display_data", {"text/html": remote})
    lesson = made(
        new_markdown_cell("# A\n\nA formula $\\nosuchcommand{x}$.\n\n![gone](gone.png)"),
        new_code_cell("show()", outputs=[output], execution_count=1),
    )
    found = build_site(lesson, tmp_path / "site", "a/b")
    assert any("nosuchcommand" in problem for problem in found)
    assert any("gone.png" in problem for problem in found)
    assert any("//e.org/a.css" in problem for problem in found)
    assert any("a style loads https://e.org/a" in problem for problem in found)
    assert all(problem.startswith("01_made: ") for problem in found)


def test_site_never_empties_a_folder_of_something_else(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="not a site made here"):
        build_site(made(new_markdown_cell("# A")), tmp_path, "a/b")
    assert (tmp_path / "thesis.tex").exists()


def test_site_of_nothing_and_of_a_bare_notebook(tmp_path: Path):
    assert build_site([], tmp_path / "empty", "a/b") == []
    picture = new_output("display_data", {"image/png": PIXEL})
    notebook = made(new_code_cell("x", outputs=[picture], execution_count=1), name="bare")
    assert build_site(notebook, tmp_path / "bare", "a/b") == []
    assert NO_ALT in (tmp_path / "bare" / "bare.html").read_text(encoding="utf-8")


FORMULAS = [
    r"\mathrm{IG}_i(x) = (x_i - x'_i)\int_0^1 \frac{\partial F(\alpha)}{\partial x_i}\,d\alpha",
    r"\begin{aligned} a &= b \\ &= c \end{aligned}",
    r"\begin{cases} x & x > 0 \\ 0 & \text{otherwise} \end{cases}",
    r"\tfrac12 \dfrac{1}{n} \mathbb{E}_{x' \sim D}\left[ f(x') \right]",
    r"\lVert x \rVert_2 = \sqrt{\sum_i x_i^2}, \quad \hat c = \operatorname*{arg\,max}_c f_c(x)",
    r"\operatorname{relu}(x) \le \max(0, x) \ne \nabla f \cdot \dot\gamma \approx \underbrace{a}_b",
    r"\mathcal{L} \mathbf{x} \boldsymbol{\alpha} \mathbb{R}^{H \times W} \to \big( x \big)",
]


@pytest.mark.parametrize("tex", FORMULAS)
@pytest.mark.parametrize("display", [True, False])
def test_formula(tex: str, display: bool):
    math = to_mathml(tex, display)
    assert "\\" not in math
    assert "&amp;amp;" not in math
    assert f'display="{"block" if display else "inline"}"' in math
    assert BeautifulSoup(math, "html.parser").math.get_text().strip()


@pytest.mark.parametrize("tex", [r"\nosuchcommand x", r"\frac", r"x_1_2", "a & b", r"\left( x"])
def test_formula_that_cannot_be_drawn(tex: str):
    with pytest.raises(FormulaError):
        to_mathml(tex, display=True)


# --- notebooks under nbval ------------------------------------------------------------------------


def test_notebook_test_fails_for_errors_and_marked_results_only(tmp_path: Path):
    """The command of `make test` executes every cell; unmarked outputs may differ."""

    def notebook(name: str, source: str, stored: str, *tags: str) -> Path:
        output = new_output("stream", name="stdout", text=stored)
        cell = new_code_cell(source, outputs=[output], execution_count=1)
        cell.metadata["tags"] = list(tags)
        normalize.write(new_notebook(cells=[cell]), tmp_path / f"{name}.ipynb")
        return tmp_path / f"{name}.ipynb"

    paths = [
        notebook("raises", "raise ValueError('stop')", "2\n"),
        notebook("wrong", "print(1 + 1)", "3\n", "nbval-check-output"),
        notebook("right", "print(1 + 1)", "2\n", "nbval-check-output"),
        notebook("unmarked", "print(1 + 1)", "3\n"),
    ]
    report = tmp_path / "report.xml"
    command = tasks.notebook_test_command(Path(sys.executable), paths, report)
    environment = tasks.notebook_environment(Path(sys.executable), "fast")
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert tasks.junit_counts(report) == {"passed": 2, "failed": 2, "skipped": 0, "error": 0}
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert {Path(line.split()[1].split("::")[0]).stem for line in failed} == {"raises", "wrong"}


# --- tasks.py: environments -----------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty repository that `tasks` takes for its own."""
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text("x\n")
    (tmp_path / "notebooks").mkdir()
    for name in ("00_a", "02_b", "03_c"):
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text("{}")
    monkeypatch.setattr(tasks, "ROOT", tmp_path)
    monkeypatch.setattr(tasks, "BUILD", tmp_path / "build")
    monkeypatch.setattr(tasks, "LOCK", tmp_path / "requirements.lock")
    monkeypatch.setattr(tasks, "PROJECT", tmp_path / "pyproject.toml")
    monkeypatch.setattr(tasks, "VENV", tmp_path / ".venv")
    return tmp_path


@pytest.fixture
def installer(repository: Path, monkeypatch: pytest.MonkeyPatch):
    """Installation without installing: what would have been run, and a switch to make it fail."""
    record = types.SimpleNamespace(created=0, commands=[], fail=False)

    def create(venv: Path) -> None:
        record.created += 1
        shutil.rmtree(venv, ignore_errors=True)
        tasks.environment_python(venv).parent.mkdir(parents=True)
        tasks.environment_python(venv).touch()

    def run(command, log: Path, description: str) -> None:
        if record.fail:
            raise tasks.TaskError("no network")
        record.commands.append(command[3:])

    monkeypatch.setattr(tasks, "create_venv", create)
    monkeypatch.setattr(tasks, "run_logged", run)
    monkeypatch.setattr(tasks, "python_version_of", lambda python: (3, 11, 7))
    return record


def test_install_happens_once(installer, repository: Path):
    python = tasks.install(tasks.VENV)
    assert python == tasks.environment_python(tasks.VENV)
    assert installer.created == 1
    lock, course = installer.commands
    assert lock[-2:] == ["-r", str(tasks.LOCK)]
    assert course[-3:] == ["--no-deps", "-e", str(repository)]
    tasks.install(tasks.VENV)
    assert len(installer.commands) == 2, "the second time nothing is installed"


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_install_again_when_what_is_wanted_changed(installer, repository: Path, changed: str):
    tasks.install(tasks.VENV)
    (repository / changed).write_text("y\n")
    tasks.install(tasks.VENV)
    assert len(installer.commands) == 4
    assert installer.created == 1, "the environment itself is kept"


def test_half_finished_install_is_done_again(installer, repository: Path):
    installer.fail = True
    with pytest.raises(tasks.TaskError):
        tasks.install(tasks.VENV)
    installer.fail = False
    tasks.install(tasks.VENV)
    assert len(installer.commands) == 2
    installer.fail = True
    (repository / "requirements.lock").write_text("z\n")
    with pytest.raises(tasks.TaskError):
        tasks.install(tasks.VENV)
    (repository / "requirements.lock").write_text("x\n")
    installer.fail = False
    tasks.install(tasks.VENV)
    assert len(installer.commands) == 4, "not even after the old lock came back"


def test_broken_environment_is_made_anew(installer, repository: Path, monkeypatch, capsys):
    tasks.install(tasks.VENV)
    monkeypatch.setattr(tasks, "python_version_of", lambda python: None)
    tasks.install(tasks.VENV)
    assert installer.created == 2
    assert "making it anew" in capsys.readouterr().out


def test_environment_with_an_old_python_is_left_to_its_owner(installer, monkeypatch):
    tasks.install(tasks.VENV)
    monkeypatch.setattr(tasks, "python_version_of", lambda python: (3, 9, 1))
    with pytest.raises(tasks.TaskError, match=r"made with Python 3\.9\.1; .* Remove the folder"):
        tasks.install(tasks.VENV)
    assert installer.created == 1


def test_python_without_ensurepip_is_explained(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(tasks.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(tasks.TaskError, match=r"sudo apt install python3\.\d+-venv"):
        tasks.create_venv(tmp_path / "venv")


def test_old_python_is_refused_with_advice(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    monkeypatch.setattr(tasks.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer"):
        tasks.require_python()


def test_old_python_hands_over_to_a_newer_one(monkeypatch):
    calls = []
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    newer = {"python3.12": "/usr/bin/python3.12"}
    monkeypatch.setattr(tasks.shutil, "which", newer.get)
    monkeypatch.setattr(tasks.subprocess, "call", lambda command: calls.append(command) or 7)
    with pytest.raises(SystemExit) as stopped:
        tasks.require_python()
    assert stopped.value.code == 7
    assert calls == [["/usr/bin/python3.12", *sys.argv]]


def test_python_version_of(tmp_path: Path):
    assert tasks.python_version_of(Path(sys.executable)) == tuple(sys.version_info[:3])
    assert tasks.python_version_of(tmp_path / "none") is None


def test_failing_command_shows_its_end_and_where_the_rest_is(tmp_path: Path, capsys):
    code = "import sys; print('first'); print('the reason', file=sys.stderr); sys.exit(3)"
    log = tmp_path / "install.log"
    with pytest.raises(tasks.TaskError, match="status 3") as error:
        tasks.run_logged([sys.executable, "-c", code], log, "doing it")
    assert "the reason" in str(error.value)
    assert str(log) in str(error.value)
    assert "first" in log.read_text()
    tasks.run_logged([sys.executable, "-c", "print('more')"], log, "doing more")
    assert "more" in log.read_text()
    assert "doing more ..." in capsys.readouterr().out


def test_what_leaks_in_is_left_out(monkeypatch):
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    environment = tasks.clean_environment()
    assert not {"PIP_USER", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"} & set(environment)
    assert environment["PIP_FIND_LINKS"] == "/wheels", "the user says where packages come from"


# --- tasks.py: commands ---------------------------------------------------------------------------


def names(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


def test_lessons_are_chosen_by_the_beginning_of_their_name(repository: Path):
    assert names(tasks.lesson_paths()) == ["00_a", "02_b", "03_c"]
    assert names(tasks.lesson_paths("02")) == ["02_b"]
    assert names(tasks.lesson_paths(" 03, 00 ")) == ["00_a", "03_c"]
    with pytest.raises(tasks.TaskError, match="no lesson begins with '07'.*00_a, 02_b, 03_c"):
        tasks.lesson_paths("02 07")


def test_run_passes_on_what_was_asked(repository: Path, monkeypatch):
    calls = []
    monkeypatch.setattr(tasks, "install", lambda venv: Path("python"))
    monkeypatch.setattr(tasks, "call", lambda command: calls.append(list(map(str, command))) or 0)
    monkeypatch.setenv("LESSONS", "02")
    assert tasks.main(["run", "--profile", "fast", "--", "-p", "seed=1"]) == 0
    command = "python -m tools.lessons run --profile fast -p seed=1 02_b.ipynb"
    assert calls == [command.split()]


def test_mistakes_are_told_without_a_traceback(repository: Path, capsys):
    assert tasks.main(["run", "--lessons", "99"]) == 2
    assert "error: no lesson begins with '99'" in capsys.readouterr().err


def test_every_part_runs_whatever_fails(repository: Path, monkeypatch, capsys):
    calls = []

    def call(command, environment=None):
        command = [str(part) for part in command]
        calls.append((command, environment))
        report = next((x.split("=")[1] for x in command if x.startswith("--junitxml")), None)
        if report and "--nbval-lax" in command:
            Path(report).write_text('<testsuites><testsuite tests="9" skipped="1"/></testsuites>')
        elif report:
            Path(report).write_text('<testsuites><testsuite tests="5" failures="2"/></testsuites>')
            return 1
        return 1 if "--check" in command else 0

    monkeypatch.setattr(tasks, "call", call)
    monkeypatch.setattr(tasks, "install", lambda venv: Path("python"))
    assert tasks.main(["check"]) == 1
    assert len(calls) == 4
    kernel_environment = calls[-1][1]
    assert kernel_environment["COURSE_PROFILE"] == "fast"
    assert kernel_environment["COURSE_DATA_SOURCE"] == "embedded"
    assert kernel_environment["TQDM_DISABLE"] == "1"
    lines = capsys.readouterr().out.rstrip().split("\n")
    assert "3 failed, 12 passed, 1 skipped in" in lines[-1]
    assert lines[-1].startswith("=")
    assert [line.split()[0] for line in lines[-6:-1]] == ["ok", "ok", "FAILED", "FAILED", "ok"]


def test_a_part_that_never_reports_counts_as_an_error(tmp_path: Path, capsys):
    part = tasks.timed("unit tests", lambda: 4, tmp_path / "no-report.xml")
    assert (part.passed, part.counts) == (False, {"error": 1})
    assert tasks.summarize([part]) == 1
    assert "1 error in" in capsys.readouterr().out


def test_test_uses_a_fresh_environment_each_time(repository: Path, monkeypatch):
    monkeypatch.setattr(tasks, "TEST_VENV", repository / "build" / "test-venv")
    (tasks.TEST_VENV / "old").mkdir(parents=True)
    installed = []
    monkeypatch.setattr(tasks, "install", lambda venv: installed.append(venv.exists()) or venv)
    monkeypatch.setattr(tasks, "check_parts", lambda python, options, part: 0)
    assert tasks.main(["test"]) == 0
    assert installed == [False]


def test_clean(repository: Path):
    for folder in ("build/site", ".venv/bin", "tools/__pycache__", "notebooks/.ipynb_checkpoints"):
        (repository / folder).mkdir(parents=True)
    assert tasks.main(["clean"]) == 0
    assert sorted(path.name for path in repository.iterdir() if path.is_dir()) == [
        *(".venv", "notebooks", "tools")
    ]
    assert tasks.main(["clean", "--all"]) == 0
    assert not (repository / ".venv").exists()
    assert (repository / "notebooks" / "00_a.ipynb").exists()


@pytest.mark.skipif(
    os.name == "nt" or shutil.which("make") is None, reason="needs make and a POSIX shell"
)
def test_makefile_is_a_thin_front(tmp_path: Path):
    witness = tmp_path / "python"
    witness.write_text('#!/bin/sh\necho "$@"\nenv\n')
    witness.chmod(0o755)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MF"))}

    def make(*arguments: str) -> list[str]:
        command = ["make", f"PYTHON={witness}", *arguments]
        options = {"cwd": tasks.ROOT, "env": kept, "capture_output": True, "text": True}
        return subprocess.run(command, check=True, **options).stdout.split("\n")

    for name in tasks.COMMANDS:
        assert make(name)[0] == f"tools/tasks.py {name}"
    assert make("ARGS=-k photos", "test")[0] == "tools/tasks.py test -- -k photos"
    shown = make("LESSONS=02", "PROFILE=fast", "HERE=1", "run")
    assert {"LESSONS=02", "COURSE_PROFILE=fast", "HERE=1"} <= set(shown)


@pytest.mark.parametrize(
    "start", ["import tools.bench", "import runpy; runpy.run_path('tools/bench.py')"]
)
def test_the_benchmark_finds_its_parts(start):
    """As the module that `make bench` runs, and as a script."""
    command = [
        sys.executable,
        "-c",
        f"{start}; import bench_child, bench_scenes",
    ]
    subprocess.run(command, cwd=tasks.ROOT, check=True, capture_output=True)
