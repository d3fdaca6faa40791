"""The scoreboard: subsets of parts, exact values, tables, networks and methods, one's own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import course_scenes
import course_utils as cu
import scoreboard
from course_utils.evaluation import shapley_interactions, shapley_values
from scoreboard import measure, networks, parts, run, subjects, tables, train
from scoreboard.methods import METHODS, Differences, method
from scoreboard.metrics import METRICS


@pytest.fixture(scope="module")
def games() -> list[parts.Game]:
    """Render a cat and a dog with every subset of their parts."""
    pair = course_scenes.draw("animals", 2, seed=5)
    return parts.render_games(pair, workers=1, progress=False)


@pytest.fixture(scope="module")
def smoker() -> parts.Game:
    drawn = course_scenes.draw("smoking", 30, seed=5)
    scene = next(
        one for one in drawn if len(parts.players(one)) == 6 and parts.SMOKE in parts.players(one)
    )
    return parts.render_games([scene], workers=1, progress=False)[0]


# ---------------------------------------------------------------------------- subsets of parts


@pytest.mark.slow
def test_players_of_animals_and_people(games: list[parts.Game], smoker: parts.Game):
    assert games[0].names == ("head", "trunk", "fore legs", "hind legs", "tail", "background")
    horse = course_scenes.draw("animals", 3, seed=5)[2]
    assert list(parts.players(horse))[-2:] == ["mane", "background"]
    assert {"face", "cigarette", "smoke", "background"} <= set(smoker.names)
    for scene in course_scenes.draw("smoking", 20, seed=1):
        assert 4 <= len(parts.players(scene)) <= 8


@pytest.mark.slow
def test_every_pixel_belongs_to_one_part(games: list[parts.Game], smoker: parts.Game):
    for game in (*games, smoker):
        np.testing.assert_array_equal(game.masks.sum(0), 1)
        assert len(game.pictures) == 2 ** len(game.names)


@pytest.mark.slow
def test_whole_and_empty_pictures_are_the_renderers_own(games: list[parts.Game]):
    for game in games:
        whole = course_scenes.render_scenes([game.scene], parts.SIZE, progress=False)
        np.testing.assert_array_equal(game.picture, whole.images[0])
        np.testing.assert_array_equal(game.masks[:-1].any(0), whole.masks[0] > 0)
        assert (game.pictures[0] == parts.GREY["animals"]).all()
        empty = course_scenes.intervene(game.scene, "remove_object")
        bare = course_scenes.render_scenes([empty], parts.SIZE, progress=False).images[0]
        np.testing.assert_array_equal(game.pictures[len(game.pictures) // 2], bare)


@pytest.mark.slow
def test_a_subset_is_rendered_without_what_it_lacks(games: list[parts.Game]):
    game = games[1]
    for place, name in enumerate(game.names[:-1]):
        if not game.masks[place].any():
            continue  # hidden behind another part
        without = game.pictures[len(game.pictures) - 1 - (1 << place)]
        one = course_scenes.render_scenes([game.scene.changed(without=[name])], parts.SIZE)
        np.testing.assert_array_equal(without, one.images[0])
        changed = (without != game.picture).any(-1)
        assert changed[game.masks[place]].mean() > 0.9, name
        # what else changes is its shadow, on the ground or on another part: a small share
        assert changed[~game.masks[place]].mean() < 0.2, name


@pytest.mark.slow
def test_smoke_can_be_there_without_the_cigarette(smoker: parts.Game):
    cigarette, smoke = (smoker.names.index(name) for name in ("cigarette", "smoke"))
    last = len(smoker.pictures) - 1
    alone = smoker.pictures[last - (1 << cigarette)]
    neither = smoker.pictures[last - (1 << cigarette) - (1 << smoke)]
    changed = (alone != neither).any(-1)
    assert changed.sum() > 20
    # smoke is where smoke was, or where the cigarette was before it
    assert (smoker.masks[smoke] | smoker.masks[cigarette])[changed].all()


@pytest.mark.slow
def test_covered_pictures_show_grey(games: list[parts.Game]):
    game = games[0]
    covered = game.covered()
    np.testing.assert_array_equal(covered[-1], game.picture)
    assert (covered[-2][game.masks[0]] == parts.GREY["animals"]).all()
    np.testing.assert_array_equal(covered[-2][~game.masks[0]], game.picture[~game.masks[0]])


@pytest.mark.slow
def test_two_processes_give_the_same_bytes(games: list[parts.Game]):
    (again,) = parts.render_games([games[0].scene], workers=2, progress=False)
    np.testing.assert_array_equal(again.pictures, games[0].pictures)


# ---------------------------------------------------------------------------- exact values


def seen_share(game: parts.Game) -> np.ndarray:
    """Share of its full area that each part shows in each covered subset: 0 or 1."""
    return np.arange(len(game.pictures))[:, None] >> np.arange(len(game.names)) & 1


class Additive(nn.Module):
    """Sum of the pixels times fixed weights: an additive game where parts turn grey (zero)."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("weights", torch.from_numpy(weights).double())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        score = (images.double().sum(1) * self.weights).sum((1, 2))
        return torch.stack([score, torch.zeros_like(score)], dim=1)


class Multiplicative(nn.Module):
    """One where two regions both differ from grey, else zero."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("regions", torch.from_numpy(np.stack([first, second])))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        there = images.abs().sum(1)[:, None] * self.regions > 1e-3
        score = there.flatten(2).any(2).all(1).double()
        return torch.stack([score, torch.zeros_like(score)], dim=1)


def toy(network: nn.Module) -> subjects.Subject:
    mean = tuple(value / 255 for value in parts.GREY["animals"])
    model = Differences(network, 2).double()
    return subjects.Subject(
        "animals", "toy", 0, model, nn.Identity(), mean, (0.25,) * 3, 2, lrp=False
    )


@pytest.mark.slow
def test_additive_network_pays_each_part_its_pixels(games: list[parts.Game]):
    game = games[1]
    weights = np.random.default_rng(0).normal(size=(parts.SIZE, parts.SIZE))
    subject = toy(Additive(weights))
    # class 0 against class 1; covered, so that parts do not throw shadows on each other
    found = shapley_values(subject.values(game.covered(), 1))
    whole = subject.inputs(game.picture[None])[0].sum(0).double().numpy()
    np.testing.assert_allclose(found, (game.masks * weights * whole).sum((1, 2)), atol=1e-4)
    np.testing.assert_allclose(
        shapley_interactions(subject.values(game.covered(), 1)), 0, atol=1e-4
    )


@pytest.mark.slow
def test_multiplicative_network_shares_its_one_between_two_parts(games: list[parts.Game]):
    game = games[0]
    head, tail = game.names.index("head"), game.names.index("tail")
    values = toy(Multiplicative(game.masks[head], game.masks[tail])).values(game.covered(), 1)
    expected = np.zeros(len(game.names))
    expected[[head, tail]] = 0.5
    np.testing.assert_allclose(shapley_values(values), expected, atol=1e-12)
    pairs = np.zeros((len(expected), len(expected)))
    pairs[head, tail] = pairs[tail, head] = 1
    np.testing.assert_allclose(shapley_interactions(values), pairs, atol=1e-12)


@pytest.mark.slow
def test_rendered_game_of_a_network_that_looks_at_the_heads_place(games: list[parts.Game]):
    """Rendered again, a part leaves its place to what is behind: known for two regions apart."""
    game = games[0]
    head, tail = game.names.index("head"), game.names.index("tail")
    background = len(game.names) - 1
    network = Multiplicative(game.masks[head], game.masks[tail])
    truth = subjects.find_truth(toy(network), game, 1)
    # with the background there is always something to see in both places: nothing else matters
    assert truth.stays[:-1] == pytest.approx(np.zeros(background), abs=1e-12)
    assert truth.plays.sum() == pytest.approx(1)
    assert truth.plays[background] > 0.5


def test_share_that_single_parts_and_pairs_explain():
    bits = np.arange(16)[:, None] >> np.arange(4) & 1
    assert subjects.explained_share(bits @ [1.0, -2, 3, 0.5], 1) == pytest.approx(1)
    product = (bits[:, 0] * bits[:, 1]).astype(float)
    assert subjects.explained_share(product, 1) == pytest.approx(2 / 3)
    assert subjects.explained_share(product, 2) == pytest.approx(1)


@pytest.mark.slow
def test_background_stays_is_the_half_with_background(games: list[parts.Game]):
    values = np.random.default_rng(0).normal(size=len(games[0].pictures))
    truth = subjects.Truth(values, values)
    half = values[len(values) // 2 :]
    assert np.isnan(truth.stays[-1])
    assert np.nansum(truth.stays) == pytest.approx(half[-1] - half[0])
    assert truth.removed[0] == pytest.approx(values[-1] - values[-2])


def test_pooling_before_the_relu_is_the_same_function():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 8, 8)
    pool = nn.MaxPool2d(2)
    assert torch.equal(pool(x).relu(), pool(x.relu()))


def test_folded_network_is_the_trained_one():
    torch.manual_seed(0)
    model = networks.small_cnn(3, batch_norm=True)
    model(torch.randn(8, 3, 64, 64))
    images = torch.randn(2, 3, 64, 64)
    expected = model.eval()(images)
    torch.testing.assert_close(
        train._without_batch_norm(model)(images), expected, atol=2e-3, rtol=2e-3
    )


# ---------------------------------------------------------------------------- tables


def part_table(seed: int, noise: float) -> pd.DataFrame:
    """Make up a truth of 25 scenes, and a method that gives it with noise."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=(25, 4))
    rows = {
        "truth, plays": truth,
        "truth, stays": np.hstack([truth[:, :3], np.full((25, 1), np.nan)]),
        "DeepLift": 2 * truth + noise * generator.normal(size=truth.shape),
        "random": generator.normal(size=truth.shape),
    }
    return pd.concat(
        pd.DataFrame(
            {
                "family": "animals", "regime": "complete", "seed": seed,
                "scene": np.repeat(range(25), 4), "part": ["a", "b", "c", "background"] * 25,
                "visible": True, "method": name, "signed": values.ravel(),
                "absolute": np.abs(values).ravel(), "passes": 1.0, "seconds": 0.1,
            }
        )
        for name, values in rows.items()
    )  # fmt: skip


def test_table_of_methods_finds_the_planted_order_and_gain():
    made = {("animals", "complete", seed): part_table(seed, 0.3) for seed in (0, 1)}
    scenes, gains = tables.scene_table(made), tables.gain_table(made)
    table = tables.method_table(scenes, gains, tables.cost_table(made))
    best = table.query("game == 'plays' and mode == 'signed' and measure == 'tau'")
    tau = best.set_index("method")["value"]
    assert tau["DeepLift"] > 0.7 > 0.3 > abs(tau["random"])
    assert (best["low"] <= best["value"]).all()
    assert (best["value"] <= best["high"]).all()
    gain = table.query("game == 'plays' and mode == 'signed' and measure == 'own_gain'")
    gain = gain.set_index("method")
    # the two truths are independent: all of the agreement is gain
    assert gain.loc["DeepLift", "low"] > 0.4
    assert gain.loc["random", "low"] < 0 < gain.loc["random", "high"]


def test_magnitudes_meet_the_truth_with_its_signs_and_covered_parts_are_a_truth_too():
    made = part_table(0, 0.0)
    covered = made[made["method"] == "truth, plays"].assign(method="Shapley, parts covered")
    found = tables.agreements(pd.concat([made, covered.assign(signed=-covered["signed"])]))
    found = found[found["method"] == "DeepLift"].groupby(["game", "mode"])["tau"].mean()
    assert found["plays", "signed"] == pytest.approx(1)
    assert found["covered", "signed"] == pytest.approx(-1)
    assert abs(found["plays", "absolute"]) < 0.5
    assert set(tables.agreements(made, made)["game"]) == {"plays", "stays"}


def test_completeness_counts_all_parts_and_the_best_scale_none():
    made = {("animals", "complete", 0): part_table(0, 0.0)}
    scenes = tables.scene_table(made).query("method == 'DeepLift' and mode == 'signed'")
    assert scenes["tau"].min() == pytest.approx(1)
    assert scenes["scale_error"].max() == pytest.approx(0, abs=1e-6)
    assert scenes["completeness_gap"].max() > 0  # twice the truth is not complete


@pytest.mark.slow
def test_detection_of_a_planted_cue():
    generator = np.random.default_rng(0)
    rows = {}
    for regime in ("shortcut", "complete"):
        for seed in (0, 1):
            seen = 0.5 * (regime == "shortcut") + 0.1 * generator.normal(size=30)
            shares = np.concatenate([seen, generator.normal(size=30)])
            rows["animals", regime, seed] = pd.DataFrame(
                {
                    "method": np.repeat(["finds", "misses"], 30),
                    "scene": np.tile(range(30), 2), "share": shares, "magnitude": abs(shares),
                    "family": "animals", "regime": regime, "seed": seed,
                }
            )  # fmt: skip
    found = tables.cue_table(rows).set_index("method")
    assert found.loc["finds", "low"] > 0.95
    assert found.loc["misses", "low"] < 0.5 < found.loc["misses", "high"]


# ---------------------------------------------------------------------------- the command


def test_finished_pieces_are_not_computed_again(monkeypatch, tmp_path):
    calls: list[int] = []

    def measured(*_: object) -> pd.DataFrame:
        calls.append(1)
        return pd.DataFrame({"share": [0.5]})

    monkeypatch.setattr(run, "BUILD", tmp_path)
    monkeypatch.setattr(run, "load_subject", lambda *_: None)
    monkeypatch.setattr(run, "games_of", lambda *_, **__: [])
    monkeypatch.setattr(run, "measure_cue", measured)
    piece = run.Piece("cue", "animals", "complete", 0, 3)
    first, second = run.compute(piece, 3), run.compute(piece, 3)
    assert first == second
    assert calls == [1]
    assert [*first.parent.iterdir()] == [first]


def test_what_a_piece_depends_on_is_in_its_name(monkeypatch, tmp_path):
    piece = run.Piece("cue", "animals", "complete", 0, 3)
    (tmp_path / "mine.py").write_text("")
    known = {piece.path(), piece._replace(scenes=4).path(), piece.path(tmp_path / "mine.py")}
    assert piece.path() in known
    digests = networks.digests()
    monkeypatch.setattr(run.networks, "digests", lambda: dict.fromkeys(digests, "changed"))
    known.add(piece.path())
    monkeypatch.setattr(run, "version", lambda _: "0.0")
    known.add(piece.path())
    assert len(known) == 5


def test_a_piece_that_fails_leaves_no_file(monkeypatch, tmp_path):
    def stopped(path):
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run._write(tmp_path / "piece.parquet", stopped)
    assert not (tmp_path / "piece.parquet").exists()


def test_every_network_of_the_tables_is_a_piece():
    work = run.pieces()
    assert len(set(work)) == len(work)
    for family in ("animals", "smoking"):
        for regime in ("complete", "incomplete"):
            assert {w[3] for w in work if w[:3] == ("methods", family, regime)} == {0, 1, 2}


def test_tables_are_stored_with_how_they_were_made(tmp_path):
    table = pd.DataFrame({"method": ["DeepLift", "random"], "value": [0.5, 0.0]})
    path = tmp_path / "board.parquet"
    run.save({"methods": table, "cue": table.assign(low=0.1)}, path, {"command": "make scoreboard"})
    found, about = scoreboard.load_scoreboard(path)
    assert set(found) == {"methods", "cue"}
    assert list(found["methods"]["value"]) == [0.5, 0.0]
    assert "low" not in found["methods"]
    assert about == {"command": "make scoreboard"}


# ---------------------------------------------------------------------------- networks and methods


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
        first, second = scoreboard.score("plain input", games=games[:1])
    finally:
        del METHODS["plain input"]
    assert set(first["measure"]) == {*tables.MEASURES, "own_gain"}
    # it looks at no network: it cannot tell one from another
    gain = first.query("measure == 'own_gain' and mode == 'signed' and game == 'plays'")
    assert abs(gain["value"].item()) < 1
    assert set(second["metric"]) == set(METRICS)


@pytest.mark.slow
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
