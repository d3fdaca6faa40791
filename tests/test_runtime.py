"""Device, profile, data source, seeds, allocator and progress of `course_utils.runtime`."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from course_utils import runtime


@pytest.fixture(autouse=True)
def _fresh_runtime(monkeypatch):
    monkeypatch.setattr(runtime, "_current", None)
    for name in ("COURSE_PROFILE", "COURSE_DATA_SOURCE"):
        monkeypatch.delenv(name, raising=False)


def test_defaults_come_from_the_environment_and_arguments_win(monkeypatch):
    assert (runtime.current().profile, runtime.current().data_source) == ("standard", "auto")
    monkeypatch.setenv("COURSE_PROFILE", "fast")
    monkeypatch.setenv("COURSE_DATA_SOURCE", "embedded")
    assert (runtime.current().profile, runtime.current().data_source) == ("fast", "embedded")
    chosen = runtime.setup(profile="full", verbose=False)
    assert (chosen.profile, chosen.data_source) == ("full", "embedded")
    assert runtime.current() is chosen


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        ({"profile": "quick"}, {}, "profile='quick' is unknown: choose one of fast, standard"),
        ({"data_source": "web"}, {}, "data_source='web' is unknown"),
        ({"profile": 3}, {}, "profile=3 is unknown"),
        ({}, {"COURSE_PROFILE": "fsat"}, "COURSE_PROFILE='fsat' is unknown: did you mean 'fast'?"),
        ({}, {"COURSE_DATA_SOURCE": "Embeded"}, "COURSE_DATA_SOURCE='Embeded' is unknown: did you"),
    ],
)
def test_bad_settings_say_what_to_choose(arguments, environment, words, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="choose|did you mean") as error:
        runtime.setup(**arguments, verbose=False)
    assert words in str(error.value)


def test_choose_falls_back_from_full_to_standard():
    def pick(profile, **values):
        return runtime.Runtime(torch.device("cpu"), profile, "auto").choose(**values)

    assert pick("fast", fast=1, standard=2) == 1
    assert pick("standard", fast=1, standard=2, full=3) == 2
    assert pick("full", fast=1, standard=2, full=3) == 3
    assert pick("full", fast=1, standard=2) == 2


def test_setup_seeds_every_generator():
    def draw():
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    runtime.setup(seed=7, verbose=False)
    first = draw()
    runtime.setup(seed=7, verbose=False)
    assert draw() == first
    runtime.setup(seed=8, verbose=False)
    assert all(new != old for new, old in zip(draw(), first, strict=True))


def test_setup_prints_one_summary(capsys):
    runtime.setup(profile="fast", data_source="embedded", seed=3, device="cpu")
    printed = capsys.readouterr().out
    assert "profile fast · data source embedded · seed 3 · cpu" in printed
    assert torch.__version__ in printed


def _in_a_fresh_process(code, **environment):
    clean = {k: v for k, v in os.environ.items() if k != "COURSE_ALLOCATOR"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
@pytest.mark.slow
def test_the_allocator_is_tuned_once_and_keeps_freed_memory():
    # page faults of a loop that allocates and frees 64 MB, once the heap has settled
    count = (
        "import ctypes, resource, torch\n"
        "from course_utils import runtime\n"
        "calls, library = [], ctypes.CDLL\n"
        "ctypes.CDLL = lambda name: calls.append(1) or library(name)\n"
        "def faults():\n"
        "    for _ in range(10): torch.ones(16 << 20)\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(10): torch.ones(16 << 20)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "system, tuned = faults(), [runtime.tune_allocator() for _ in range(3)]\n"
        "print(system, faults(), len(calls), all(tuned))"
    )
    system, tuned, calls, worked = _in_a_fresh_process(count).split()
    assert int(tuned) < int(system) / 5
    assert (calls, worked) == ("1", "True")


def test_the_allocator_can_be_left_alone(monkeypatch):
    monkeypatch.setenv("COURSE_ALLOCATOR", "system")
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda name: pytest.fail("it was touched"))
    assert runtime.tune_allocator.__wrapped__() is False


def test_other_libraries_of_c_are_left_alone(monkeypatch):
    monkeypatch.setattr(runtime.platform, "libc_ver", lambda: ("", ""))
    assert runtime.tune_allocator.__wrapped__() is False


def test_progress_counts_and_stays_silent_when_disabled(monkeypatch, capsys):
    assert list(runtime.progress(range(3), description="steps")) == [0, 1, 2]
    with runtime.progress(total=5, description="by hand", delay=0) as bar:
        bar.update(5)
        assert bar.n == 5
    assert "by hand" in capsys.readouterr().err
    with runtime.progress(total=2, description="hidden", delay=0, shown=False) as bar:
        bar.update(2)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with runtime.progress(total=2, description="quiet", delay=0) as bar:
        bar.update(2)
    assert capsys.readouterr().err == ""


def test_importing_the_package_imports_little():
    heavy = {"matplotlib", "captum", "torchvision", "requests", "pooch", "ipywidgets", "skimage"}
    code = (
        f"import sys, course_utils as cu; print({heavy} & {{*sys.modules}})\n"
        "cu.photo_names(); print({'foolbox', 'skimage', 'torchvision'} & {*sys.modules})"
    )
    assert _in_a_fresh_process(code).split() == ["set()", "set()"]


def test_every_public_name_exists():
    import course_utils as cu

    missing = [name for name in cu.__all__ if getattr(cu, name, None) is None]
    assert missing == []
    assert set(cu.__all__) <= set(dir(cu))
    with pytest.raises(AttributeError, match="no_such_name"):
        cu.no_such_name  # noqa: B018
