"""Scoreboard: how far is each explanation, and each metric, from the exact truth.

- `parts`: a scene as a game, every subset of its parts rendered
- `networks`: small networks, trained here; `subjects`: what is explained, and the truth about it
- `methods`: explanation methods; `metrics`: popular metrics of them, with what fools each
- `measure`: what comes out; `tables`: intervals; `run`: all of it; `page`: the site's page
- ``python -m scoreboard`` makes ``data/scoreboard.parquet`` of it
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from course_utils.assets import course_file

from .measure import cue_task
from .methods import METHODS, Task, method
from .metrics import METRICS, Metric
from .parts import Game, board_scenes, render_games
from .subjects import Subject, explained_share, find_truth, load_subject, part_sums, visible

__all__ = [
    "METHODS",
    "METRICS",
    "Game",
    "Metric",
    "Subject",
    "Task",
    "board_scenes",
    "cue_task",
    "explained_share",
    "find_truth",
    "load_scoreboard",
    "load_subject",
    "method",
    "part_sums",
    "render_games",
    "score",
    "visible",
]  # fmt: skip


def load_scoreboard(path: Path | None = None) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Read the stored tables: methods, metrics, scores, cue, scenes; and how they were made."""
    rows = pd.read_parquet(course_file("scoreboard.parquet") if path is None else path)
    tables = {
        str(name): table.dropna(axis=1, how="all").drop(columns="table").reset_index(drop=True)
        for name, table in rows.groupby("table", observed=True)
    }
    return tables, json.loads(rows.attrs["about"])


def score(
    *names: str, games: Sequence[Game], regime: str = "complete"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put methods, by name, into both tables, on a few scenes and two networks.

    Parameters
    ----------
    *names : str
        Of `METHODS`.
    games : sequence of Game
        Of one family.
    regime : str

    Returns
    -------
    (DataFrame, DataFrame)
        Rows of table 1 (agreement with the truth) and of table 2 (what each metric says).
    """
    from .measure import measure_methods, measure_metrics, methods_of
    from .tables import gain_table, method_table, scene_table

    chosen, family = methods_of(names), games[0].scene.family
    subjects = [load_subject(family, regime, seed) for seed in (0, 1)]
    parts = {
        (family, regime, subject.seed): measure_methods(subject, games, chosen)
        for subject in subjects
    }
    table = method_table(scene_table(parts), gain_table(parts))
    metrics = measure_metrics(subjects[0], games, chosen)
    return table[table["method"].isin(names)], metrics[metrics["method"].isin(names)]
