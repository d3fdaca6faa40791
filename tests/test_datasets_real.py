"""The published data sets themselves, where a copy lies beside the repository (else skipped).

``../shared/data``, or the folder that ``COURSE_TEST_DATA`` names.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from course_utils.datasets import load_dataset

FOLDER = Path(
    os.environ.get("COURSE_TEST_DATA")
    or Path(__file__).resolve().parents[1].parent / "shared" / "data"
)
VEGETABLES = FOLDER / "GradCAM-Dataset-main.zip"
CIFAR10 = FOLDER / "cifar10_jpeg.zip"

needs_vegetables = pytest.mark.skipif(not VEGETABLES.is_file(), reason=f"no {VEGETABLES}")
needs_cifar10 = pytest.mark.skipif(not CIFAR10.is_file(), reason=f"no {CIFAR10}")


@pytest.fixture(autouse=True)
def _fresh(fresh_assets):
    """Every test here starts with an empty cache."""


@needs_vegetables
def test_vegetable_photographs_from_a_server(server, monkeypatch, recwarn):
    server.serve("/GradCAM-Dataset-main.zip", VEGETABLES.read_bytes())
    monkeypatch.setenv("COURSE_MIRROR", server.url)
    loaded = load_dataset("vegetables", "real", verbose=False)
    assert not recwarn.list, "186 pictures, as published"
    assert [len(split) for split in loaded] == [130, 28, 28]
    totals = np.sum([list(split.class_counts.values()) for split in loaded], axis=0)
    assert totals.tolist() == [63, 62, 61]
    for split in loaded:
        images, labels = split.to_tensors()
        assert images.shape[1:] == (3, 227, 227)
        assert torch.equal(labels, split.labels)
        names = [path.removeprefix("train_images/").partition("_")[0] for path in split.paths]
        assert names == [loaded.classes[label] for label in labels]
    by_hue = loaded.train.to_tensors(16).images.float().mean(dim=(2, 3))
    eggplant, cucumber = (by_hue[loaded.train.labels == k].mean(dim=0) for k in (1, 0))
    assert cucumber[1] - cucumber[2] > eggplant[1] - eggplant[2], "cucumbers are greener"


@needs_vegetables
def test_every_vegetable_can_be_read_and_none_is_skipped(recwarn):
    loaded = load_dataset("vegetables", folder=VEGETABLES, verbose=False)
    for split in loaded:
        split.to_tensors(224, progress=False)
    assert not recwarn.list
    assert loaded.skipped == ()


@pytest.mark.slow
@needs_cifar10
def test_cifar10_as_jpegs(tmp_path, monkeypatch, recwarn):
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / CIFAR10.name).symlink_to(CIFAR10)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "class"))
    loaded = load_dataset("cifar10", "real", verbose=False)
    assert not recwarn.list, "60,000 pictures, as published"
    assert [len(split) for split in loaded] == [45_000, 5_000, 10_000]
    assert [set(split.class_counts.values()) for split in loaded] == [{4_500}, {500}, {1_000}]
    few = loaded.test.subset(range(2_000)).to_tensors(progress=False)
    assert few.images.shape == (2_000, 3, 32, 32)
    mean = few.images.float().mean(dim=(0, 2, 3)) / 255
    torch.testing.assert_close(mean, torch.tensor([0.4914, 0.4822, 0.4465]), atol=0.02, rtol=0)


@pytest.mark.slow
@needs_cifar10
def test_animals(recwarn):
    loaded = load_dataset("animals", folder=CIFAR10, verbose=False)
    assert not recwarn.list
    assert [len(split) for split in loaded] == [3_500, 750, 750]
    for split in loaded:
        counts = list(split.class_counts.values())
        assert max(counts) - min(counts) <= 1
    paths = [set(split.paths) for split in loaded]
    assert len(set.union(*paths)) == 5_000
