"""Lesson 10: its pipeline against the course's, its power cuts, and its statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from _lessons import definitions
from _small import make_pictures, tiny
from sklearn.metrics import roc_auc_score

import course_utils as cu


@pytest.fixture
def lesson(tmp_path: Path) -> dict[str, Any]:
    return definitions("10", steps=12, folder=tmp_path)


def test_pipeline_agrees_with_the_course(lesson, tmp_path: Path):
    network, paths = tiny(), make_pictures(tmp_path / "in", 7)
    broken = tmp_path / "in" / "broken.png"
    broken.write_text("no picture")
    given = [*paths, str(broken)]
    skipped, computed = lesson["pipeline"](network, given, tmp_path / "ours", size=3)
    assert list(skipped) == [str(broken)]
    assert computed == 3
    how = {"settings": {"n_steps": 12}, "shard_size": 3}
    cu.batch.explain(given, network, tmp_path / "theirs", **how)
    ours = pd.read_parquet(tmp_path / "ours")
    theirs = pd.read_parquet(tmp_path / "theirs" / "shards")
    assert list(ours["picture"]) == list(theirs["picture"]) == paths
    assert list(ours["label"]) == list(theirs["label"])
    for name in ("confidence", "total", "delta"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-4)
    maps, same = (np.stack(table["map"]).astype(float) for table in (ours, theirs))
    np.testing.assert_allclose(maps, same, atol=2e-3 * np.abs(same).max())


def test_a_shard_of_bad_files_does_not_stop_the_run(lesson, tmp_path: Path):
    paths = make_pictures(tmp_path / "in", 2)
    bad = [tmp_path / "in" / name for name in ("x.png", "y.png")]
    for path in bad:
        path.write_text("no picture")
    given = [*map(str, bad), *paths]
    skipped, computed = lesson["pipeline"](tiny(), given, tmp_path / "out", size=2)
    assert list(skipped) == [str(path) for path in bad]
    assert computed == 1


def test_the_key_follows_weights_pictures_and_their_order(lesson, tmp_path: Path):
    key, paths = lesson["key_of"], make_pictures(tmp_path / "in", 3)
    first = key(tiny(), paths)
    assert key(tiny(), list(paths)) == first
    others = [key(tiny(seed=1), paths), key(tiny(), paths[::-1]), key(tiny(), paths[:2])]
    lesson["steps"] = 13
    others.append(key(tiny(), paths))
    Path(paths[0]).write_bytes(Path(paths[1]).read_bytes())
    others.append(key(tiny(), paths))
    assert len({first, *others}) == 6


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 0.999])
def test_a_power_cut_tears_only_what_is_written_directly(lesson, share: float, tmp_path: Path):
    network, paths = tiny(), make_pictures(tmp_path / "in", 6)
    run = lesson["pipeline"]
    run(network, paths, tmp_path / "uncut", size=2)
    truth = {path.name: path.read_bytes() for path in (tmp_path / "uncut").iterdir()}
    for save in ("save_whole", "save_directly"):
        out = tmp_path / save
        write = lesson["battery"](int(share * sum(map(len, truth.values()))))
        with pytest.raises(lesson["PowerCut"]):
            run(network, paths, out, lesson[save], size=2, write=write)
        whole = [path for path in out.glob("*.parquet") if path.read_bytes() == truth[path.name]]
        _, again = run(network, paths, out, lesson[save], size=2)
        found = {path.name: path.read_bytes() for path in out.glob("*.parquet")}
        if save == "save_whole":
            assert found == truth
            assert again == 3 - len(whole), "a finished shard was computed again"
        else:
            assert found != truth, "the torn shard is taken for finished"


def test_missed_is_a_share_of_the_score_difference(lesson):
    table = pd.DataFrame({"total": [9.0, -3.0], "delta": [-1.0, 1.0]})
    np.testing.assert_allclose(lesson["missed"](table), [0.1, 0.25])


def test_auc_is_scikit_learns(lesson):
    generator = np.random.default_rng(0)
    wrong, values = generator.random(80) < 0.3, generator.integers(0, 9, 80)
    found = lesson["auc"](np.stack([wrong, values], axis=1).astype(float))
    assert found == pytest.approx(roc_auc_score(wrong, values))


def test_the_odd_one_is_the_most_unlike(lesson):
    torch.manual_seed(0)
    values = torch.rand(9, 1, 8, 8) * 0.1
    values[:8, :, :4] += 1
    values[8, :, 4:] += 1
    lesson["table"] = pd.DataFrame({"label": ["a"] * 9})
    found = lesson["unlike"](values)
    assert found.argmax() == 8
    assert found[8] > 0.5 > found[:8].max()
    lesson["table"] = pd.DataFrame({"label": ["a"] * 8 + ["b"]})
    assert np.isnan(lesson["unlike"](values)).tolist() == [False] * 8 + [True]


def test_strength_has_no_sign_and_mean_one(lesson):
    maps = np.random.default_rng(0).normal(size=(3, 1, 8, 8))
    found = lesson["strength"](maps)
    np.testing.assert_allclose(found.mean((1, 2)), 1)
    np.testing.assert_allclose(lesson["strength"](-5 * maps), found)
