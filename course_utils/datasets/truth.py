"""What is known about rendered pictures: masks of their parts, scene parameters, interventions.

An embedded archive holds, beside the folders of the real data set, ``masks/``, ``parts.json``,
``scenes.jsonl``, ``interventions/`` and ``interventions.jsonl`` (`course_scenes.build` says
what is in them). A real data set has none of these.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from .layouts import Listing
from .stores import DatasetError, Store


@dataclass
class Truth:
    """Everything known about the pictures of one archive; files are below its root.

    Attributes
    ----------
    store, root
        As in `Listing`.
    parts : dict of int to str
        Part id to name; 0 is the background.
    masks : set of str
        Files that have a mask.
    scenes : dict of str to dict
        The line of ``scenes.jsonl`` (or ``interventions.jsonl``) of each file.
    interventions : dict of str to dict
        For each intervention, the original's file to the changed picture's.
    """

    store: Store
    root: str
    parts: dict[int, str] = field(default_factory=dict)
    masks: set[str] = field(default_factory=set)
    scenes: dict[str, dict[str, Any]] = field(default_factory=dict)
    interventions: dict[str, dict[str, str]] = field(default_factory=dict)

    def mask(self, file: str) -> np.ndarray:
        """Return the part ids of a picture's pixels, uint8 (H, W)."""
        if file not in self.masks:
            raise LookupError(f"{file} has no mask")
        data = self.store.read(self.root + mask_file(file))
        try:
            with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
                return np.array(image.convert("L") if image.mode != "L" else image)
        except (OSError, SyntaxError, ValueError) as error:
            raise DatasetError(
                f"{self.root}{mask_file(file)} in {self.store.location} is damaged: {error}"
            ) from error


def mask_file(file: str) -> str:
    """Return where the mask of a picture lies."""
    return f"masks/{PurePosixPath(file).with_suffix('.png')}"


def read_truth(listing: Listing) -> Truth | None:
    """Read what an archive knows about its pictures; None for a real data set."""
    store, root = listing.store, listing.root
    names = set(store.names())
    if f"{root}scenes.jsonl" not in names and f"{root}parts.json" not in names:
        return None
    truth = Truth(store, root)
    if f"{root}parts.json" in names:
        parts = json.loads(store.read(f"{root}parts.json"))
        truth.parts = {int(number): name for number, name in parts.items()}
    for table in ("scenes.jsonl", "interventions.jsonl"):
        if f"{root}{table}" in names:
            lines = _read_lines(store, f"{root}{table}")
            truth.scenes |= {line["file"]: line for line in lines}
    files = {record.file for record in listing.records} | truth.scenes.keys()
    truth.masks = {file for file in files if root + mask_file(file) in names}
    truth.interventions = _pairs(truth.scenes)
    return truth


def _read_lines(store: Store, name: str) -> list[dict[str, Any]]:
    lines = store.read(name).decode("utf-8").splitlines()
    try:
        return [json.loads(line) for line in lines if line.strip()]
    except ValueError as error:
        raise DatasetError(f"{name} in {store.location} is damaged: {error}") from error


def _pairs(scenes: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    pairs: dict[str, dict[str, str]] = defaultdict(dict)
    for file, line in scenes.items():
        if "intervention" in line:
            pairs[line["intervention"]][line["original"]] = file
    return dict(pairs)
