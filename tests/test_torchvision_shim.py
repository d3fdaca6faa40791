"""torchvision beside a PyTorch whose C++ operators do not match."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from course_utils import _torchvision

ROOT = Path(__file__).resolve().parents[1]
GROUP = "torch.backends"
USE = "from torchvision.models import get_model; get_model('squeezenet1_1'); print('fine')"


def run(code: str, *folders: Path, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*folders, ROOT))), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or done.stderr


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder that looks to Python as if this checkout were installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    info = tmp_path / "explaining_image_classifiers-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n"
    )
    lines = [f"{name} = {target}" for name, target in project["entry-points"][GROUP].items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]))
    return tmp_path


@pytest.mark.slow
def test_installed_any_order_works(installed):
    """PyTorch calls the hook, which imports nothing more of the course."""
    listed = (
        "import sys; print(*[name for name in sys.modules if name.startswith('course_utils.')])"
    )
    printed = run(f"import torch, torchvision; {listed}; import course_utils; {USE}", installed)
    assert printed.split() == ["course_utils._torchvision", "fine"]


@pytest.mark.slow
def test_sources_that_are_not_installed_work_after_the_package():
    code = f"import course_utils, torchvision; {USE}"
    assert run(code, TORCH_DEVICE_BACKEND_AUTOLOAD="0") == "fine"


class Recorder:
    """Stands for torch.ops and torch.library, where torchvision's operators load, or do not."""

    def __init__(self, monkeypatch, *, loads: bool) -> None:
        self.defined, self.loads = [], loads
        self.torchvision = object()
        monkeypatch.setattr(torch, "ops", self)
        monkeypatch.setattr(torch.library, "Library", self.library)
        monkeypatch.setattr(_torchvision, "_libraries", [])
        monkeypatch.setattr(sys, "platform", "linux")

    def load_library(self, path) -> None:
        if not self.loads:
            raise OSError("libcudart.so.13: cannot open shared object file")

    def library(self, namespace, kind):
        self.defined.append((namespace, kind))
        return self

    def define(self, schema) -> None:
        self.defined.append(schema)


def test_missing_operators_are_defined(monkeypatch):
    recorder = Recorder(monkeypatch, loads=False)
    _torchvision.ensure_importable()
    schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    assert recorder.defined == [("torchvision", "DEF"), "nms" + schema, "qnms" + schema]


def test_with_matching_operators_or_without_torchvision_nothing_is_defined(monkeypatch):
    recorder = Recorder(monkeypatch, loads=True)
    _torchvision.ensure_importable()
    recorder.loads = False
    recorder.torchvision = type("Namespace", (), {"nms": None})  # defined already
    _torchvision.ensure_importable()
    recorder.torchvision = object()
    monkeypatch.setattr(_torchvision.importlib.util, "find_spec", lambda name: None)
    _torchvision.ensure_importable()
    assert recorder.defined == []
