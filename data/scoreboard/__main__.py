"""``make scoreboard``: the full tables, in ``data/scoreboard.parquet``. Stop it and go on any time.

Every network is a few pieces of work; each finished piece is a file in ``build/scoreboard`` and is
not computed again. ``python -m scoreboard --fresh`` begins anew; ``--methods my_methods.py`` adds
methods of your own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import pickle
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from .measure import AGAIN, measure_cue, measure_methods, measure_metrics, methods_of
from .metrics import METRICS
from .networks import BUILD
from .parts import Game, board_scenes, render_games
from .subjects import BUNDLED, load_subject
from .tables import cost_table, cue_table, gain_table, method_table, metric_table, scene_table

RESULT = Path(__file__).resolve().parents[1] / "scoreboard.parquet"
#: Scenes by family, and how many of them for bundled networks, metrics and the planted cue.
SCENES = {"animals": 60, "smoking": 30}
BUNDLED_SCENES, METRIC_SCENES, CUE_SCENES = 24, 24, 30
SEEDS = (0, 1, 2)
Piece = tuple[str, str, str, int]


def pieces() -> list[Piece]:
    """Return all pieces of work, (what, family, regime, seed), long ones first."""
    trained = [
        (family, regime, seed)
        for family in SCENES
        for regime in ("complete", "incomplete")
        for seed in SEEDS
    ]
    measured = [row for row in trained if row[1] == "complete" or row[2] == 0]
    again = [row for row in trained if row[2] == 0]
    bundled = [("animals", name, 0) for name in BUNDLED]
    cues = [("animals", regime, seed) for regime in ("shortcut", "complete") for seed in SEEDS]
    return [
        *(("methods", *row) for row in bundled),
        *(("again", *row) for row in again),
        *(("metrics", *row) for row in measured),
        *(("methods", *row) for row in trained),
        *(("cue", *row) for row in cues),
    ]


def games_of(family: str, *, progress: bool = True) -> list[Game]:
    """Render the subsets of a family's scenes, or read them where that was done before."""
    path = BUILD / f"games_{family}_{SCENES[family]}.pkl"
    if not path.is_file():
        games = render_games(board_scenes(family, SCENES[family]), progress=progress)
        _write(path, lambda new: new.write_bytes(pickle.dumps(games)))
    return pickle.loads(path.read_bytes())


def compute(piece: Piece, own_methods: Path | None = None) -> Path:
    """Compute one piece of work, unless its file is there already."""
    what, family, regime, seed = piece
    path = BUILD / "pieces" / f"{what}_{family}_{regime}_{seed}.parquet"
    if path.is_file():
        return path
    torch.set_num_threads(1)
    _open_methods(own_methods)
    subject, games = load_subject(family, regime, seed), games_of(family, progress=False)
    if what == "methods":
        games = games[:BUNDLED_SCENES] if regime in BUNDLED else games
        table = measure_methods(subject, games, methods_of())
    elif what in ("metrics", "again"):
        names = [name for name in METRICS if (name in AGAIN) == (what == "again")]
        table = measure_metrics(subject, games[:METRIC_SCENES], methods_of(), names)
    else:
        table = measure_cue(subject, games[:CUE_SCENES], methods_of())
    _write(path, table.to_parquet)
    return path


def _open_methods(path: Path | None) -> None:
    if path is not None:
        spec = importlib.util.spec_from_file_location("own_methods", path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _write(path: Path, write: Any) -> None:
    """Write a file so that it is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}.new")
    write(new)
    new.replace(path)


def assemble(own_methods: Path | None = None) -> dict[str, pd.DataFrame]:
    """Read all pieces and make the tables of them."""
    _open_methods(own_methods)
    found: dict[str, dict[tuple[str, str, int], pd.DataFrame]] = {}
    for what, *key in pieces():
        path = BUILD / "pieces" / f"{what}_{key[0]}_{key[1]}_{key[2]}.parquet"
        found.setdefault(what, {})[tuple(key)] = pd.read_parquet(path)
    for key, table in found["again"].items():
        found["metrics"][key] = pd.concat([found["metrics"][key], table], ignore_index=True)
    scenes, gains = scene_table(found["methods"]), gain_table(found["methods"])
    return {
        "methods": method_table(scenes, gains, cost_table(found["methods"])),
        "metrics": metric_table(found["metrics"], scenes),
        "cue": cue_table(found["cue"]),
        "scenes": scenes,
    }


def save(tables: dict[str, pd.DataFrame], path: Path, about: dict[str, Any]) -> None:
    """Write the tables into one file, with how they were made; `load_scoreboard` reads it."""
    rows = pd.concat([table.assign(table=name) for name, table in tables.items()])
    for column in rows:
        if rows[column].dtype == object:
            rows[column] = rows[column].astype("category")
        elif rows[column].dtype == float:
            rows[column] = rows[column].astype("float32")
    rows.attrs["about"] = json.dumps(about)
    _write(path, lambda new: rows.to_parquet(new, index=False, compression="zstd"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="forget what was computed before")
    parser.add_argument("--methods", type=Path, help="a Python file with methods of your own")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(arguments)
    if options.fresh:
        shutil.rmtree(BUILD / "pieces", ignore_errors=True)
    start = time.time()
    for family in SCENES:
        games_of(family)
    print(f"subsets of parts: {time.time() - start:.0f} s", flush=True)
    work = pieces()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, context) as pool:
        jobs = [pool.submit(compute, piece, options.methods) for piece in work]
        for job in tqdm(as_completed(jobs), total=len(jobs), desc="scoreboard", unit="piece"):
            job.result()
    seconds = time.time() - start
    about = {
        "command": "make scoreboard",
        "seconds": round(seconds),
        "scenes": SCENES,
        "seeds": list(SEEDS),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": {name: version(name) for name in ("torch", "captum", "numpy", "scipy")},
    }
    save(assemble(options.methods), options.out, about)
    size = options.out.stat().st_size / 1e6
    print(f"written to {options.out}, {size:.2f} MB, after {seconds / 60:.1f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
