"""Whole splits in memory."""

from __future__ import annotations

import _made
import numpy as np
import pytest
import torch
from PIL import Image

from course_utils import runtime
from course_utils.datasets import images as images_module
from course_utils.datasets import load_dataset

from torchvision.transforms.v2 import functional as reference


@pytest.fixture
def split(tmp_path):
    folder = _made.write(tmp_path / "v", _made.vegetables())
    return load_dataset("vegetables", folder=folder, verbose=False).train


# ---------------------------------------------------------------- to_tensors


def test_tensors_hold_the_same_pixels(split):
    result = split.to_tensors()
    assert result.images.shape == (42, 3, 16, 16)
    assert result.images.dtype == torch.uint8
    assert result.images.is_contiguous()
    assert torch.equal(result.labels, split.labels)
    for index in (0, 7, 41):
        assert np.array_equal(result.images[index].permute(1, 2, 0), np.asarray(split[index][0]))


def test_tensors_are_made_once_for_each_size(split, monkeypatch):
    first, smaller = split.to_tensors(), split.to_tensors(8)
    assert smaller.images.shape == (42, 3, 8, 8)
    monkeypatch.setattr(images_module.ImageOps, "fit", lambda *_: pytest.fail("decoded again"))
    assert split.to_tensors().images is first.images
    assert split.to_tensors(8).images is smaller.images


def test_size_cuts_out_the_centre_as_torchvision_does(split, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (60, 96, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    expected = reference.center_crop(reference.resize(image, [30]), [30, 30])
    monkeypatch.setattr(split, "image", lambda index: image)
    ours = split.to_tensors(30).images[0].permute(1, 2, 0).numpy().astype(int)
    # away from the rim, where the one sees what was cut away and the other does not
    assert np.abs(ours - np.asarray(expected, int))[2:-2, 2:-2].max() <= 1


def test_tensor_that_would_not_fit_is_refused(split, monkeypatch):
    monkeypatch.setattr(images_module, "MAX_GB", 0.001)
    with pytest.raises(
        ValueError, match=r"vegetables train as a tensor \(42, 3, 224, 224\) would take 0\.0 GB"
    ):
        split.to_tensors(224)
    split.to_tensors(32)


def test_bar_is_shown_and_can_be_switched_off(split, monkeypatch, capfd):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    original = runtime.progress
    monkeypatch.setattr(runtime, "progress", lambda *a, **o: original(*a, **{**o, "delay": 0}))
    split.to_tensors(progress=False)
    assert "decoding" not in "".join(capfd.readouterr())
    split.to_tensors(9)
    assert "decoding vegetables train" in "".join(capfd.readouterr())


def test_empty_split_has_empty_tensors(split):
    empty = split.subset([]).to_tensors()
    assert empty.images.shape[0] == len(empty.labels) == 0
