"""Tests and notebooks in one queue: what takes long comes first, notebooks have their variables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tools import tasks

KERNELS = tasks.notebook_environment("fast")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Notebooks first, then the files with most slow tests: no worker waits long at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    every = Counter(item.path for item in items)

    def place(item: pytest.Item) -> tuple[bool, int, int]:
        return item.path.suffix != ".ipynb", -slow[item.path], -every[item.path]

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Start a notebook's kernel as lessons are executed everywhere, in the fast profile."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KERNELS.items() if item.path.suffix == ".ipynb" else ():
            patch.setenv(name, value)
        return (yield)
