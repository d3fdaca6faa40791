"""torchvision beside a PyTorch whose C++ operators do not match."""

import subprocess
import sys

from course_utils import _torchvision


def test_torchvision_imports_after_the_package():
    code = (
        "import course_utils, torchvision\n"
        "from torchvision.transforms.v2 import functional\n"
        "from torchvision.models import get_model; get_model('squeezenet1_1')\n"
        "print('fine')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "fine", done.stderr


def test_with_matching_operators_nothing_is_defined(monkeypatch):
    monkeypatch.setattr(_torchvision, "_library", None)
    monkeypatch.setattr(_torchvision.torch.ops, "load_library", lambda path: None)

    def forbidden(*_):
        raise AssertionError("a library was defined although torchvision's own operators load")

    monkeypatch.setattr(_torchvision.torch.library, "Library", forbidden)
    assert _torchvision.ensure_importable() is False
    assert _torchvision._library is None


def test_missing_operators_are_defined_once(monkeypatch):
    defined = []

    class Recorder:
        def __init__(self, namespace, kind):
            defined.append((namespace, kind))

        def define(self, schema):
            defined.append(schema)

    def does_not_load(path):
        raise OSError("libcudart.so.13: cannot open shared object file")

    class NoOperators:
        torchvision = object()
        load_library = staticmethod(does_not_load)

    monkeypatch.setattr(_torchvision, "_library", None)
    monkeypatch.setattr(_torchvision.torch, "ops", NoOperators)
    monkeypatch.setattr(_torchvision.torch.library, "Library", Recorder)
    assert _torchvision.ensure_importable() is True
    assert _torchvision.ensure_importable() is True
    schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    assert defined == [("torchvision", "DEF"), "nms" + schema, "qnms" + schema]


def test_without_torchvision_nothing_happens(monkeypatch):
    monkeypatch.setattr(_torchvision, "_library", None)
    monkeypatch.setattr(_torchvision.importlib.util, "find_spec", lambda name: None)
    assert _torchvision.ensure_importable() is False
