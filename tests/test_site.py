"""The site: every page as a file, and as a browser without a network shows it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from _browser import Browser, find_browser
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import lessons, normalize, tasks

sys.path.insert(0, str(tasks.ROOT / "docs" / "_extensions"))
from mathml import FormulaError, to_mathml

pytestmark = pytest.mark.slow

#: Two made-up lessons, of which the second fails.
FIRST, SECOND = "98_first", "99_second"

SEARCHES = (
    *("saliency", "Grad-CAM", "integrated gradients", "completeness", "quadrature"),
    *("mushroom", "adversarial", "Gram matrix", "load_dataset", "prefetch"),
)

# --- the course's own pages -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> types.SimpleNamespace:
    """Run two made-up lessons beside the course's, as `make run` does in a fresh clone."""
    root, said, built = tmp_path_factory.mktemp("build"), [], []
    paths = [root / "notebooks" / name for name in (f"{FIRST}.ipynb", f"{SECOND}.ipynb")]
    for path, cells in zip(paths, (LESSON, FAILING), strict=True):
        normalize.write(new_notebook(cells=cells), path)
    every, build = [*tasks.lesson_paths(), *paths], lessons.build_site

    def noted(site: Path) -> int:
        code = build(site)
        built.append((code, (site / "glossary.html").stat().st_mtime_ns))
        return code

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lessons, "EXECUTED", root / "executed")
        patch.setattr(lessons, "SITE", root / "site")
        patch.setattr(tasks, "lesson_paths", lambda selection="": every)
        patch.setattr(lessons, "build_site", noted)
        patch.setattr(lessons.tqdm, "write", said.append)
        patch.setenv("COURSE_PROFILE", "fast")
        code = lessons.run(paths)
    codes, written = zip(*built, strict=True)
    assert (code, codes) == (1, (0, 0, 0)), "one lesson fails, no page has a problem"
    assert len(set(written)) == 1, "a page that did not change was written again"
    return types.SimpleNamespace(said="\n".join(said), site=root / "site")


@pytest.fixture(scope="module")
def site(run) -> Path:
    return run.site


def pages_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]


@cache
def soup_of(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_pages_load_nothing_from_elsewhere(site: Path):
    for path in pages_of(site):
        for tag in soup_of(path).find_all(["img", "script", "link", "iframe", "source", "video"]):
            address = str(tag.get("src") or tag.get("href") or "")
            assert not re.match(r"(https?:)?//", address), (path.name, address)
            assert tag.name != "script" or "://" not in tag.get_text(), path.name
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text("utf-8"))


def test_links_lead_somewhere(site: Path):
    pages = {path.resolve(): soup_of(path) for path in pages_of(site)}
    anchors = {path: {tag["id"] for tag in soup.find_all(id=True)} for path, soup in pages.items()}
    broken = []
    for path, soup in pages.items():
        for link in soup.find_all("a", href=True):
            parts = urlsplit(link["href"])
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                broken.append(f"{path.name}: {link['href']}")
            elif parts.fragment and target in anchors:
                known = parts.fragment in anchors[target]
                broken += [] if known else [f"{path.name}: {link['href']} has no such anchor"]
    assert not broken, "\n".join(sorted(set(broken)))


def test_every_figure_keeps_its_description(site: Path):
    for path in tasks.lesson_paths():
        described = [
            output.metadata.get(kind, {}).get("alt") or output.metadata.get("alt")
            for cell in normalize.read(path).cells
            for output in cell.get("outputs", [])
            for kind in output.get("data", {})
            if kind in ("image/png", "image/jpeg")
        ]
        images = soup_of(site / "notebooks" / f"{path.stem}.html").select(".cell_output img")
        assert [image["alt"] for image in images] == described
        assert all(image.get("style") or image.get("width") for image in images), "no size"


def test_formulas_are_drawn(site: Path):
    drawn = 0
    for path in pages_of(site):
        soup = soup_of(path)
        assert not soup.select(".formula-failed"), path.name
        drawn += len(soup.find_all("math"))
        prose = " ".join(p.get_text() for p in soup.find_all("p") if not p.find("code"))
        assert not re.search(r"\$[^$]*\\[a-z]+|\\frac|\\sum", prose), path.name
    assert drawn > 100


def test_start_page_has_a_card_for_each_lesson(site: Path):
    paths = tasks.lesson_paths()
    *cards, first, second = soup_of(site / "index.html").select(".lesson-card")
    assert FIRST in first.select_one("a")["href"]
    assert SECOND in second.select_one("a")["href"]
    for card, path in zip(cards, paths, strict=True):
        assert card.select_one("img")["alt"] not in ("", "Figure")
        assert card.select_one("a")["href"] == f"notebooks/{path.stem}.html"
        assert "minutes" in card.select_one(".sd-card-footer").get_text()
        assert card.select_one(".state").get_text() == "stored outputs"


def test_a_lesson_can_be_opened_elsewhere_and_downloaded(site: Path):
    path = tasks.lesson_paths()[0]
    soup = soup_of(site / "notebooks" / f"{path.stem}.html")
    addresses = [link["href"] for link in soup.select("a[href]")]
    for place in ("colab.research.google.com", "kaggle.com/kernels"):
        assert sum(place in address for address in addresses) >= 2, "button and menu"
    download = site / "notebooks" / soup.select_one(".actions a[download]")["href"]
    assert json.loads(download.read_text("utf-8"))["cells"]


def test_no_paper_stands_twice():
    """After a key that comes again, Sphinx reads no further and forgets the rest."""
    text = (tasks.ROOT / "docs" / "references.bib").read_text(encoding="utf-8")
    keys = re.findall(r"^@\w+\{([^,]+),", text, re.M)
    assert sorted(keys) == sorted(set(keys))


def test_lessons_cite_what_references_bib_holds(site: Path):
    from lessons import PAPER, papers

    known = papers((tasks.ROOT / "docs" / "references.bib").read_text(encoding="utf-8"))
    missing = {
        f"{number} ({path.name})"
        for path in tasks.lesson_paths()
        for cell in normalize.read(path).cells
        if cell.cell_type == "markdown" and re.search(r"^#+ .*References", cell.source, re.M)
        for line in cell.source.split("\n")
        if line.startswith("- ") and not any(n in known for n in PAPER.findall(line))
        for number in PAPER.findall(line)
    }
    assert not missing, f"add to docs/references.bib: {', '.join(sorted(missing))}"
    cited = soup_of(site / "notebooks" / f"{tasks.lesson_paths()[0].stem}.html")
    assert cited.select("a[href*='references.html#']")


def test_every_public_module_has_a_page(site: Path):
    for path in (tasks.ROOT / "course_utils").iterdir():
        if not path.name.startswith("_") and (path.suffix == ".py" or path.is_dir()):
            assert (site / "api" / f"{path.stem}.html").exists(), path.stem


def test_fields_described_together_keep_all_their_names(site: Path):
    """Sphinx's own fields for attributes take the first of two names for a type."""
    text = " ".join(soup_of(site / "api" / "augmentation.html").get_text().split())
    assert "brightness, contrast (float)" in text
    assert "crop (int)" in text


def test_no_sentence_of_a_property_is_taken_for_a_type(site: Path):
    """Of "What it is: why" Sphinx makes a type and a description."""
    for path in (site / "api").glob("*.html"):
        fields = {tag.get_text(strip=True) for tag in soup_of(path).select("dl.field-list > dt")}
        assert "Type:" not in fields, path.stem


def test_the_package_is_read_without_its_libraries():
    """As for the site: in this process PyTorch is there, so that nothing is stood in for."""
    program = (
        "import importlib, sys, lessons, stand_ins\n"
        "sys.meta_path.insert(0, stand_ins.Finder)\n"
        "for name in lessons.public_modules():\n"
        "    module = importlib.import_module(f'course_utils.{name}')\n"
        "    for public in getattr(module, '__all__', ()):\n"
        "        thing = getattr(module, public)\n"
        "        assert not isinstance(thing, stand_ins.Anything), (name, public)\n"
        "assert isinstance(sys.modules['torch'], stand_ins.Module)\n"
    )
    folders = [tasks.ROOT / "docs" / "_extensions", tasks.ROOT, tasks.ROOT / "data"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    if find_browser() is None:
        pytest.skip("no Chromium or Chrome on this machine: the pages are not opened in a browser")
    with Browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


def test_a_browser_without_a_network_shows_every_page(site: Path, browser: Browser):
    wrong = []
    for path in pages_of(site):
        browser.open(path.as_uri())
        outside = [u for u in browser.requests() if not u.startswith(("file:", "data:", "about:"))]
        wrong += [f"{path.name} asks for {address}" for address in outside]
        wrong += [f"{path.name}: {complaint}" for complaint in browser.complaints()]
        unseen = browser.evaluate(
            "[...document.querySelectorAll('math')].filter(m => !m.closest('details')"
            " && !m.getBoundingClientRect().width).length"
            " + [...document.images].filter(i => i.complete && !i.naturalWidth).length"
        )
        wrong += [f"{path.name}: {unseen} formulas or pictures not drawn"] if unseen else []
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("words", SEARCHES)
def test_the_search_finds(words: str, site: Path, browser: Browser):
    browser.open(f"{(site / 'search.html').as_uri()}?q={words.replace(' ', '+')}")
    for _ in range(50):
        found = browser.evaluate("document.querySelectorAll('#search-results li').length")
        if found:
            break
        browser.open(browser.evaluate("location.href"), settle=0.3)
    assert found
    assert browser.complaints() == []


@pytest.mark.parametrize("page", ["index", "notebooks/LESSON", "api/attribution", "data/README"])
def test_pages_fit_a_phone_and_both_themes(page: str, site: Path, browser: Browser):
    path = site / f"{page.replace('LESSON', tasks.lesson_paths()[2].stem)}.html"
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.send("Emulation.setDeviceMetricsOverride", **phone)
    grounds = {}
    for theme in ("light", "dark"):
        browser.evaluate(f"localStorage.setItem('mode', '{theme}')")
        browser.open(path.as_uri())
        browser.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        style = "getComputedStyle(document.body).backgroundColor"
        grounds[theme] = sum(map(int, re.findall(r"\d+", browser.evaluate(style))[:3]))
        figure = "document.querySelector('.cell_output img, img.poster')"
        if browser.evaluate(f"!!{figure}"):
            color = browser.evaluate(f"getComputedStyle({figure}).backgroundColor")
            assert color == "rgb(255, 255, 255)", "figures lie on white"
    browser.send("Emulation.clearDeviceMetricsOverride")
    assert grounds["dark"] < 150 < 600 < grounds["light"]


# --- made-up lessons, executed for the site -------------------------------------------------------

ALT = 'A red dot, 1 × 1 pixel, and a "quotation" to escape.'
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PROSE = r"""# 98 · First steps

[![Open in Colab](https://example.org/badge.svg)](https://colab.research.google.com/x)

**The promise of *this* lesson.**

*Time:* 5 minutes of reading. *Before this:* nothing.

Inline $x'_i \in \mathbb{R}$, and

$$\begin{aligned} F(x) &= \int_0^1 \frac{\partial F}{\partial t} \mathrm{d}t \end{aligned}$$

See [the other lesson](99_second.ipynb), [the data](../data/README.md)
and [the licence](../LICENSE).

<details><summary>Answer</summary>

Because of $\alpha$.

</details>
"""
SHOW = f"""\
from IPython.display import display
import base64, io
from PIL import Image
picture = io.BytesIO()
Image.new("RGB", (8, 8)).save(picture, "JPEG", dpi=(192, 192))
jpeg = base64.b64encode(picture.getvalue()).decode()
show = lambda data, metadata: display(data, raw=True, metadata=metadata)
show({{"image/png": "{PIXEL}", "text/plain": ""}}, {{"image/png": {{"alt": {ALT!r}}}}})
show({{"image/jpeg": jpeg}}, {{"image/jpeg": {{"alt": "A black square."}}}})
show({{"image/jpeg": jpeg}}, {{"alt": "Another black square."}})
"""
LESSON = [
    new_markdown_cell(PROSE),
    new_code_cell("answer = 41", metadata={"tags": ["parameters"]}),
    new_code_cell(SHOW),
    new_code_cell("import ipywidgets\nipywidgets.IntSlider(value=3)"),
    new_code_cell("print('deep')", metadata={"tags": ["deeper"]}),
    new_markdown_cell("## Going deeper\n\nFirst words.", metadata={"tags": ["deeper"]}),
    new_markdown_cell("### More\n\nMore words.", metadata={"tags": ["deeper"]}),
    new_code_cell("print(1)", metadata={"tags": ["deeper"]}),
    new_markdown_cell("## References\n\nNone."),
]
FAILING = [
    new_markdown_cell("# 99 · Second\n\n**It fails.**\n\n*Time:* 5 minutes."),
    new_code_cell("values = {}"),
    new_code_cell("values['missing <key>']"),
    new_code_cell("print('never reached')"),
]


@pytest.fixture(scope="module")
def made(run) -> types.SimpleNamespace:
    """Return the run with the pages of the made-up lessons and the start page."""
    first, second = (run.site / "notebooks" / f"{name}.html" for name in (FIRST, SECOND))
    pages = {"first": soup_of(first), "second": soup_of(second)}
    return types.SimpleNamespace(**vars(run), **pages, index=soup_of(run.site / "index.html"))


def test_pages_say_that_they_were_executed_here(made):
    assert re.search(r"executed here, in \d+ s · fast profile", made.first.select_one(".fact").text)
    states = [tag.get_text() for tag in made.index.select(".state")][-2:]
    assert re.fullmatch(r"executed here, in \d+ s", states[0])
    assert re.fullmatch(r"failed after \d+ s: KeyError: 'missing <key>'", states[1])


def test_a_failing_lesson_shows_cell_and_error(made):
    soup = made.second
    assert "values['missing <key>']" in made.said
    assert "KeyError: 'missing <key>'" in made.said
    banner = soup.select_one(".banner")
    assert "cell 3" in banner.get_text()
    assert "KeyError: 'missing <key>'" in banner.get_text()
    assert soup.find(id="failed-cell")
    assert "KeyError" in soup.select_one(".cell_output").get_text()


def test_figures_of_both_kinds_keep_both_forms_of_description(made):
    images = made.first.select(".cell_output img")
    assert [image["alt"] for image in images] == [ALT, "A black square.", "Another black square."]
    assert "4px" in images[1]["style"], "a picture for dense screens is shown at its size in inches"


def test_cells_are_folded_by_their_tags(made):
    summaries = [tag.get_text(strip=True) for tag in made.first.select(".cell summary")]
    assert [text for text in summaries if "Parameters" in text]
    assert [text for text in summaries if "The code" in text]
    deeper = made.first.select_one("details.deeper")
    assert "First words." in deeper.get_text()
    assert "More words." in deeper.get_text()
    assert "None." not in deeper.get_text(), "the next section is not folded"


def test_prose_of_a_lesson(made):
    article = made.first.select_one("article")
    assert len(article.find_all("math")) == 3
    assert article.find("math", display="block").find("mtable")
    assert article.select_one("p.lead").get_text() == "The promise of this lesson."
    links = {link.get_text(): link["href"] for link in article.find_all("a", href=True)}
    assert links["the other lesson"] == f"{SECOND}.html"
    assert links["the data"] == "../data/README.html"
    assert links["the licence"].endswith("/blob/main/LICENSE")
    assert not [src for tag in article.select("img") if "example.org" in (src := tag["src"])]
    assert "IntSlider(" not in "".join(tag.get_text() for tag in article.select(".cell_output"))


# --- formulas -------------------------------------------------------------------------------------

FORMULAS = [
    r"\mathrm{IG}_i(x) = (x_i - x'_i)\int_0^1 \frac{\partial F(\alpha)}{\partial x_i}\,d\alpha",
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
