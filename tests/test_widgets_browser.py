"""The widget in JupyterLab, and as a page of its own: turned in a browser, as a person would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from _browser import Browser, find_browser
from nbformat import write
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from tools import tasks

pytestmark = pytest.mark.slow

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
CELL = """\
from course_utils import widgets

widgets.explain_photograph("goose", method="Saliency")
"""
#: The figure that is shown, the menu with a label, and the sentence below the knobs.
FIGURE = "([...document.querySelectorAll('.jp-OutputArea-output img')].pop() || {}).src"
KERNEL_STATUS = """\
(kernel => kernel && `${kernel.connectionStatus}, ${kernel.status}`)(
  [...jupyterapp.shell.widgets('main')][0]?.sessionContext?.session?.kernel)"""
MENU = "[...document.querySelectorAll('.widget-dropdown')].find(m => m.innerText.startsWith('%s'))"
SENTENCE = "(document.querySelector('.widget-html') || {}).innerText"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if find_browser() is None:
        pytest.skip("no Chromium or Chrome on this machine: the widget is not tried in a browser")
    with Browser(tmp_path / "browser") as running:
        yield running


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start a Jupyter application; returns its address, token included."""
    started = []
    folders = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "RUNTIME")}
    variables = {**tasks.notebook_environment("fast"), **folders, "HOME": str(tmp_path)}
    variables["PYTHONPATH"] = os.pathsep.join([str(tasks.ROOT), str(tasks.ROOT / "data")])

    def start(*command: str) -> str:
        log = (tmp_path / "log").open("w")
        line = [sys.executable, "-m", *command, "--no-browser", "--port=0"]
        started.append(subprocess.Popen(line, env=variables, cwd=tmp_path, stdout=log, stderr=log))
        return log.name

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=20)


def wait_for(found: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"{what} did not come in {seconds:.0f} s"
        time.sleep(0.1)
    return value


def choose(browser: Browser, label: str, option: str) -> None:
    """Choose from a menu, as a hand does."""
    menu = f"{MENU % label}.querySelector('select')"
    browser.evaluate(f"{menu}.value = {option!r}")
    browser.evaluate(f"{menu}.dispatchEvent(new Event('change', {{bubbles: true}}))")


def upload(browser: Browser, path: Path) -> None:
    """Press the button and choose a file in the dialogue that opens."""
    browser.send("Page.setInterceptFileChooserDialog", enabled=True)
    browser.evaluate("document.querySelector('.jupyter-button').scrollIntoView({block: 'center'})")
    box = "document.querySelector('.jupyter-button').getBoundingClientRect()"
    place = {axis: browser.evaluate(f"{box}.{axis} + 5") for axis in ("x", "y")}
    browser.events.clear()
    for kind in ("mousePressed", "mouseReleased"):
        browser.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def opened() -> list[dict[str, Any]]:
        browser.evaluate("0")  # brings the events
        return [e for e in browser.events if e["method"] == "Page.fileChooserOpened"]

    node = wait_for(opened, "the dialogue")[0]["params"]["backendNodeId"]
    browser.send("DOM.setFileInputFiles", files=[str(path)], backendNodeId=node)


def turn_the_knobs(browser: Browser, folder: Path) -> None:
    """Choose another method, upload a photograph and a broken file; see what changes."""
    seen = [wait_for(lambda: browser.evaluate(FIGURE), "the first figure", 180)]
    Image.new("RGB", (300, 200), "orange").save(folder / "mine.png")
    (folder / "broken.png").write_bytes(b"not a picture")

    def another() -> bool:
        return browser.evaluate(FIGURE) not in (None, seen[-1])

    choose(browser, "method", "Grad-CAM")
    seen += [wait_for(another, "another method's map") and browser.evaluate(FIGURE)]
    upload(browser, folder / "mine.png")
    seen += [wait_for(another, "the uploaded photograph") and browser.evaluate(FIGURE)]
    chosen = browser.evaluate(f"{MENU % 'photo'}.querySelector('select').value")
    assert chosen.endswith("mine.png")
    upload(browser, folder / "broken.png")
    said = wait_for(lambda: browser.evaluate(SENTENCE), "a sentence")
    assert "broken.png" in said
    assert browser.evaluate(FIGURE) == seen[-1], "nothing is lost"
    assert len(set(seen)) == 3


def test_the_widget_in_jupyterlab(serve, browser, tmp_path: Path):
    (tmp_path / "notebooks").mkdir()
    tiny = new_notebook(cells=[new_code_cell(CELL)], metadata={"kernelspec": KERNEL})
    write(tiny, tmp_path / "notebooks" / "tiny.ipynb")
    serve(
        *("jupyterlab", "--allow-root", "--expose-app-in-browser", "--IdentityProvider.token=x"),
        f"--ServerApp.root_dir={tmp_path / 'notebooks'}",
    )
    running = wait_for(lambda: list((tmp_path / "RUNTIME").glob("jpserver-*.json")), "the server")
    port = json.loads(running[0].read_text())["port"]
    browser.open(f"http://127.0.0.1:{port}/lab/tree/tiny.ipynb?token=x")
    # The page shows "idle" before it has a kernel; what is run then is lost or asks which kernel.
    wait_for(lambda: browser.evaluate(KERNEL_STATUS) == "connected, idle", "a kernel", 180)
    browser.evaluate("jupyterapp.commands.execute('notebook:run-all-cells') && 0")
    turn_the_knobs(browser, tmp_path)
