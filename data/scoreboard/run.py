"""``make scoreboard``: the full tables, in ``data/scoreboard.parquet``. Stop it and go on any time.

Every network is a few pieces of work; each finished piece is a file in ``build/scoreboard`` and is
not computed again. ``python -m scoreboard --fresh`` begins anew; ``--methods my_methods.py`` adds
methods of your own; ``--animals 30`` takes fewer scenes.

It keeps the rules of lesson 10's pipeline, `course_utils.batch`: a piece is written whole or not at
all, its name holds a hash of weights, sources, sizes and versions, and what is finished is found
again. It does not call it, for four reasons: the pipeline explains one class for all pictures, and
here each scene has its own rival; it refuses methods that draw random numbers, and here LIME, RISE
and SmoothGrad do (seeded); a run of it knows one network and one method, and here 18 networks meet
40 methods; it keeps the maps, a third of a gigabyte, and here their sums over parts are enough.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import inspect
import json
import multiprocessing
import os
import pickle
import platform
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from tqdm.auto import tqdm

from . import measure, methods, metrics, networks, parts, subjects
from .measure import AGAIN, measure_cue, measure_methods, measure_metrics, methods_of
from .metrics import METRICS
from .networks import BUILD
from .page import write_page
from .parts import Game, board_scenes, render_games
from .subjects import BUNDLED, load_subject
from .tables import cost_table, cue_table, gain_table, method_table, metric_table, scene_table

VERSIONS = ("torch", "captum", "numpy", "scipy")
RESULT = Path(__file__).resolve().parents[1] / "scoreboard.parquet"
#: Scenes by family; of them for metrics and the planted cue; for the large bundled networks.
SCENES = {"animals": 60, "smoking": 40}
FEWER, BUNDLED_SCENES = 20, 6
#: Networks by family, complete ones, on which metrics are tried; metrics that explain again: half.
METRIC_SEEDS = {"animals": 2, "smoking": 1}
SEEDS = (0, 1, 2)
#: What a piece of work depends on, besides its network; metrics also on the metrics.
SOURCES = (measure, methods, networks, parts, subjects)


class Piece(NamedTuple):
    """A piece of work: what to measure of which network, on how many scenes."""

    what: str
    family: str
    regime: str
    seed: int
    scenes: int

    @property
    def network(self) -> tuple[str, str, int]:
        """Family, regime and seed."""
        return self[1:4]

    def path(self, own_methods: Path | None = None) -> Path:
        """Return the file of the result: its name holds a hash of all that the result depends on.

        What is finished is found again, and what has changed is not taken for it.
        """
        sources = (*SOURCES, metrics) if self.what in ("metrics", "again") else SOURCES
        found = [repr(self), networks.digests()[networks.network_name(*self.network)]]
        found += [inspect.getsource(module) for module in sources]
        found += [f"{name} {version(name)}" for name in VERSIONS]
        found += [] if own_methods is None else [own_methods.read_text()]
        key = hashlib.sha256("\0".join(found).encode()).hexdigest()[:12]
        name = f"{self.what}_{self.family}_{self.regime}_{self.seed}_{key}.parquet"
        return BUILD / "pieces" / name


def pieces(scenes: Mapping[str, int] | None = None) -> list[Piece]:
    """Return all pieces of work for so many scenes by family, short ones last."""
    scenes = SCENES if scenes is None else scenes
    animals = min(scenes["animals"], FEWER)
    trained = [
        ("methods", family, regime, seed, scenes[family])
        for family in scenes
        for regime in ("complete", "incomplete")
        for seed in SEEDS
    ]
    few = min(animals, BUNDLED_SCENES)
    bundled = [("methods", "animals", name, 0, few) for name in reversed(BUNDLED)]
    cues = [
        ("cue", "animals", name, s, animals) for name in ("shortcut", "complete") for s in (0, 1)
    ]
    measured = [
        (what, family, "complete", seed, min(scenes[family], FEWER))
        for what, share in (("again", 2), ("metrics", 1))
        for family, seeds in METRIC_SEEDS.items()
        for seed in range(seeds // share)
    ]
    return [Piece(*row) for row in (*trained, *cues, *bundled, *measured)]


def games_of(family: str, count: int, *, progress: bool = True) -> list[Game]:
    """Render the subsets of a family's scenes, or read them where that was done before."""
    source = hashlib.sha256(inspect.getsource(parts).encode()).hexdigest()[:12]
    path = BUILD / f"games_{family}_{count}_{source}.pkl"
    if not path.is_file():
        games = render_games(board_scenes(family, count), progress=progress)
        _write(path, lambda new: new.write_bytes(pickle.dumps(games)))
    return pickle.loads(path.read_bytes())


def compute(piece: Piece, all_scenes: int, own_methods: Path | None = None) -> Path:
    """Compute one piece of work, unless its file is there already."""
    path = piece.path(own_methods)
    if path.is_file():
        return path
    torch.set_num_threads(1)
    _open_methods(own_methods)
    start, subject = time.process_time(), load_subject(*piece.network)
    games = games_of(piece.family, all_scenes, progress=False)[: piece.scenes]
    if piece.what == "methods":
        table = measure_methods(subject, games, methods_of())
    elif piece.what == "cue":
        table = measure_cue(subject, games, methods_of())
    else:
        names = [name for name in METRICS if (name in AGAIN) == (piece.what == "again")]
        table = measure_metrics(subject, games, methods_of(), names)
    table.attrs["seconds"] = time.process_time() - start
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


def assemble(
    work: Sequence[Piece], own_methods: Path | None = None
) -> tuple[dict[str, pd.DataFrame], float]:
    """Make the tables of all pieces; also return the processor seconds that these took."""
    _open_methods(own_methods)
    found: dict[str, dict[tuple[str, str, int], pd.DataFrame]] = {}
    for piece in work:
        table = pd.read_parquet(piece.path(own_methods))
        found.setdefault(piece.what, {})[piece.network] = table
    seconds = sum(table.attrs["seconds"] for tables in found.values() for table in tables.values())
    for key, table in found["again"].items():
        found["metrics"][key] = pd.concat([found["metrics"][key], table], ignore_index=True)
    scenes, gains = scene_table(found["methods"]), gain_table(found["methods"])
    tables = {
        "methods": method_table(scenes, gains, cost_table(found["methods"])),
        "metrics": metric_table(found["metrics"], scenes),
        "scores": pd.concat(found["metrics"].values()),
        "cue": cue_table(found["cue"]),
        "scenes": scenes[["family", "regime", "seed", "scene", "method", "game", "mode", "tau"]],
    }
    return tables, seconds


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
    for family, count in SCENES.items():
        parser.add_argument(f"--{family}", type=int, default=count, help="how many scenes")
    options = parser.parse_args(arguments)
    if options.fresh:
        shutil.rmtree(BUILD / "pieces", ignore_errors=True)
    start, scenes = time.time(), {family: getattr(options, family) for family in SCENES}
    for family, count in scenes.items():
        games_of(family, count)
    rendered = time.time() - start
    print(f"subsets of parts: {rendered:.0f} s", flush=True)
    work = pieces(scenes)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, context) as pool:
        jobs = [pool.submit(compute, one, scenes[one.family], options.methods) for one in work]
        for job in tqdm(as_completed(jobs), total=len(jobs), desc="scoreboard", unit="piece"):
            job.result()
    tables, seconds = assemble(work, options.methods)
    about = {
        "command": "make scoreboard",
        # rendering shares two cores; what an earlier run rendered is not counted
        "processor_seconds": round(seconds + 2 * rendered + time.process_time()),
        "scenes": scenes,
        "fewer": FEWER,
        "seeds": list(SEEDS),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": {name: version(name) for name in VERSIONS},
    }
    save(tables, options.out, about)
    size = options.out.stat().st_size / 1e6
    print(
        f"written to {options.out}, {size:.2f} MB, after {(time.time() - start) / 60:.1f} minutes"
    )
    if options.out == RESULT:
        write_page()
    return 0
