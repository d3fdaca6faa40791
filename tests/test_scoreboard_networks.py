"""The scoreboard's networks and methods, and a method of one's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import course_scenes
import course_utils as cu
import scoreboard
from scoreboard import measure, networks, parts, subjects, tables
from scoreboard.methods import METHODS, method
from scoreboard.metrics import METRICS


@pytest.fixture(scope="module")
def games() -> list[parts.Game]:
    """Render a cat and a horse."""
    cat, _, horse = course_scenes.draw("animals", 3, seed=5)
    return parts.render_games([cat, horse], workers=1, progress=False)


def test_small_networks_come_with_the_course():
    digests = networks.digests()
    for family in ("animals", "smoking"):
        for regime in ("complete", "incomplete"):
            for seed in range(3):
                name = networks.network_name(family, regime, seed)
                assert name in digests
                path = cu.assets.course_file("checkpoints") / f"{name}.safetensors"
                assert path.stat().st_size < 500_000
                assert networks.load_small(family, regime, seed).details["accuracy"] > 0.75


@pytest.fixture(scope="module")
def subject() -> subjects.Subject:
    return subjects.load_subject("animals", "complete", 0)


@pytest.mark.slow
def test_differences_are_differences(subject: subjects.Subject, games: list[parts.Game]):
    images = subject.inputs(np.stack([game.picture for game in games]))
    logits, differences = subject.model.network(images), subject.model(images)
    torch.testing.assert_close(differences[:, 0 * 3 + 2], logits[:, 0] - logits[:, 2])
    task = subject.task(games)
    best = torch.stack([task.target // 3, task.target % 3], dim=1)
    assert best[:, 0].tolist() == [game.label for game in games]
    assert (best[:, 0] != best[:, 1]).all()


@pytest.mark.slow
def test_all_methods_explain_and_complete_ones_are_complete(
    subject: subjects.Subject, games: list[parts.Game]
):
    task = subject.task(games)
    assert len([m for m in METHODS.values() if m.kind != "control"]) >= 16
    grey = task.score(task.images) - task.score(torch.zeros_like(task.images))
    for name, found in METHODS.items():
        before = task.images.clone()
        maps = found(task)
        assert maps.shape == (2, 64, 64), name
        assert np.isfinite(maps).all(), name
        np.testing.assert_array_equal(maps, found(task), err_msg=name)
        assert torch.equal(before, task.images), name
        if name in ("DeepLift", "KernelSHAP"):
            np.testing.assert_allclose(maps.sum((1, 2)), grey, rtol=2e-2, err_msg=name)
    assert not any(hasattr(layer, "rule") for layer in subject.model.modules())


@pytest.mark.slow
def test_a_method_of_ones_own_joins_both_tables(games: list[parts.Game]):
    @method("plain input", "control")
    def plain_input(task: scoreboard.Task) -> torch.Tensor:
        return task.images.sum(1)

    try:
        first, second = scoreboard.score("plain input", games=games)
    finally:
        del METHODS["plain input"]
    assert set(first["measure"]) == {*tables.MEASURES, "own_gain"}
    # it looks at no network: it cannot tell one from another
    gain = first.query("measure == 'own_gain' and mode == 'signed' and game == 'plays'")
    assert abs(gain["value"].item()) < 1
    assert set(second["metric"]) == set(METRICS)


def test_untrained_network_and_counted_passes(subject: subjects.Subject, games: list[parts.Game]):
    with measure.counted(subject) as passes:
        METHODS["IG, grey"](subject.task(games))
    assert passes[0] == 2 * len(games) * 24  # a forward and a backward pass for each step
    other = measure.untrained(subject)
    assert other.name == "animals untrained 0"


def test_stored_tables_are_whole_and_say_how_they_were_made():
    stored, about = scoreboard.load_scoreboard()
    assert cu.assets.course_file("scoreboard.parquet").stat().st_size <= 2_000_000
    assert {"command", "versions", "seeds", "scenes"} <= set(about)
    methods, metrics = stored["methods"], stored["metrics"]
    kinds = methods.drop_duplicates("method").set_index("method")["kind"]
    assert (~kinds.isin(["control", "reference"])).sum() >= 16
    assert {"random", "edges", "centre blob", "untrained: Grad-CAM"} <= set(kinds.index)
    assert metrics["metric"].nunique() >= 12
    for game in ("plays", "stays"):
        assert set(methods.query("game == @game")["mode"]) == set(tables.MODES)
        assert game in set(metrics["game"])
    for table in (methods, metrics):
        known = table.dropna(subset=["low"])
        assert len(known) >= 80
        assert (known["low"] <= known["value"] + 1e-6).all()
        assert (known["value"] <= known["high"] + 1e-6).all()
    networks_of = methods.groupby(["family", "regime"], observed=True).size()
    assert {("animals", "squeezenet1_1"), ("smoking", "incomplete")} <= set(networks_of.index)
