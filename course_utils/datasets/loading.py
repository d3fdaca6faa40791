"""`load_dataset`: find a copy, list its pictures, check them, split them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.model_selection import train_test_split

from .. import assets, checks, runtime
from .images import DatasetSplits, ImageDataset
from .layouts import DATASETS, SPLITS, DatasetError, Entry, Listing, Record, find_listing

#: Shares of training, validation and test where a data set gives no splits.
SHARES = (0.70, 0.15, 0.15)
#: Problems that an error message lists; the others are counted.
SHOWN_PROBLEMS = 5


def load_dataset(
    name: str,
    source: Literal["auto", "real", "embedded"] | None = None,
    *,
    edition: str = "plain",
    seed: int = 0,
    subset: int | Mapping[str, int] | None = None,
    folder: str | Path | None = None,
    verbose: bool = True,
) -> DatasetSplits:
    """Load a data set of the course: training, validation and test split.

    Parameters
    ----------
    name : {"cifar10", "vegetables", "smoking", "animals", "caltech101"}
        `data/README.md` describes them.
    source : {"auto", "real", "embedded"}, optional
        "real": the published photographs, or an error that says why they cannot be had. "embedded":
        the rendered pictures that come with the course, without touching the network. "auto": real
        if they are on this machine or a server answers within 3 s, else embedded, and the banner
        says why. Default: the lesson's data source (``COURSE_DATA_SOURCE``).
    edition : {"plain", "shortcut"}
        "shortcut": with a planted cue that agrees with the label in training and not in the test;
        there are embedded ones of "vegetables" and "smoking".
    seed : int
        Draws splits, subsets and the order of the pictures.
    subset : int or mapping of str to int, optional
        Only so many pictures of each class: of every split, or by split, as in ``{"train": 100}``.
    folder : str or Path, optional
        Where the real data set lies: a folder or an archive, in any of the layouts that
        `data/README.md` lists, or a folder that holds the archive. Nothing is searched elsewhere.
    verbose : bool
        Print which copy was loaded.

    Returns
    -------
    DatasetSplits
        Splits that a data set gives are kept; elsewhere they are 70, 15 and 15 %, stratified. Where
        only validation is missing, it gets 15 % of the training pictures, of "cifar10" 10 %.

    Raises
    ------
    ValueError
        For an unknown name, source or edition, or a `subset` that is none.
    AssetUnavailable
        If no copy can be had.
    DatasetError
        If a copy is not as it should be.

    Examples
    --------
    >>> vegetables = load_dataset("vegetables", "embedded")  # doctest: +SKIP
    vegetables (rendered by the course): 510 train + 90 val + 240 test pictures, 3 classes
    >>> picture, label = vegetables.train[0]  # doctest: +SKIP
    """
    entry = DATASETS[checks.one_of("name", name, DATASETS)]
    sizes = dict(subset) if isinstance(subset, Mapping) else dict.fromkeys(SPLITS, subset)
    counts = [size for size in sizes.values() if size is not None]
    if not sizes.keys() <= set(SPLITS) or any(not 1 <= n == int(n) for n in counts):
        raise ValueError(f"subset={subset!r}: give pictures per class, at least 1, for {SPLITS}")
    path, used, reason = _find(entry, source, edition, folder)
    listing = find_listing(entry, path)
    if listing.problems:
        advice = "mend such files, or move them elsewhere and take their rows out of the table"
        raise DatasetError(f"{path}: {_shortened(listing.problems)}; {advice}")
    there = {record.label for record in listing.records}
    if empty := [name for label, name in enumerate(listing.classes) if label not in there]:
        missing = f"no picture of {', '.join(empty)}"
        raise DatasetError(f"{path} has {missing}: it is not the whole data set")
    if skipped := listing.ignored:
        message = f"{name}: {len(skipped)} of the files in {path} are left out"
        warnings.warn(f"{message}: {_shortened(skipped)}", stacklevel=2)
    if used == "real" and not folder and len(listing.records) != entry.count:
        message = f"{path} has {len(listing.records):,} labelled pictures of {name}"
        warnings.warn(f"{message}; the published set has {entry.count:,}", stacklevel=2)
    parts = []
    for split, members in make_splits(listing, seed, entry.validation, entry.pool).items():
        members = _balanced(members, sizes.get(split), seed)
        parts.append(ImageDataset(f"{name} {split}", listing, members))
    loaded = DatasetSplits(name, edition, used, *parts, path, reason, tuple(skipped))
    if verbose:
        print(loaded)
    return loaded


def _find(
    entry: Entry, given: str | None, edition: str, folder: str | Path | None
) -> tuple[Path, str, str]:
    """Return the folder or archive to read, which copy it is, and why not the real one."""
    source = runtime.current().data_source if given is None else given
    checks.one_of("source", source, runtime.DATA_SOURCES)
    checks.one_of("edition", edition, dict.fromkeys(("plain", *entry.editions)))
    rendered = given == "embedded" or edition != "plain"
    if rendered and (folder is not None or given == "real"):
        raise ValueError("folder= and source='real' are for photographs: this copy is rendered")
    if folder is not None:
        return Path(folder).expanduser(), "real", ""
    reason = ""
    if source != "embedded" and not rendered:
        try:
            return assets.fetch(entry.asset), "real", ""
        except assets.AssetUnavailable as unavailable:
            if source == "real" or not entry.editions:
                raise
            reason = unavailable.reasons[-1]
    cue = "" if edition == "plain" else f"_{edition}"
    path = assets.embedded_folder() / f"{entry.asset}{cue}.zip"
    if not path.is_file():
        advice = 'incomplete installation, or load it with source="real"; cu.photo_names() are here'
        raise assets.AssetUnavailable(entry.asset, [f"there is no {path}"], advice)
    return path, "embedded", reason


def _shortened(problems: Sequence[str]) -> str:
    more = f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
    return "; ".join(problems[:SHOWN_PROBLEMS]) + more


def make_splits(
    listing: Listing, seed: int, validation: float, pool: int | None = None
) -> dict[str, list[Record]]:
    """Sort pictures into train, val and test, each with the same mixture of classes.

    Splits that the data set gives are kept; a picture without one gets its own by `SHARES`. Where
    there is training but no validation, the share `validation` of the training pictures becomes it.
    With `pool`, all splits are put together, that many pictures are drawn, and these are split.
    """
    records = listing.records
    if pool is not None:
        loose, _ = draw(records, pool, seed)
        records = [record._replace(split=None) for record in loose]
    splits = {name: [r for r in records if r.split == name] for name in SPLITS}
    if loose := [record for record in records if record.split not in SPLITS]:
        train, rest = draw(loose, round(SHARES[0] * len(loose)), seed)
        parts = train, *draw(rest, round(SHARES[1] * len(loose)), seed)
        splits = {name: splits[name] + part for name, part in zip(SPLITS, parts, strict=True)}
    elif not splits["val"]:
        train = splits["train"]
        splits["val"], splits["train"] = draw(train, round(validation * len(train)), seed)
    return splits


def draw(records: Sequence[Record], count: int, seed: int) -> tuple[list[Record], list[Record]]:
    """Return `count` of the pictures with the same mixture of classes, and the others.

    The result depends on the seed and the files alone, so that two people with the same data get
    the same parts.

    Raises
    ------
    DatasetError
        If a class has too few pictures.
    """
    records = sorted(records)
    if not 0 < count < len(records):
        return records[:count], records[count:]
    labels = [record.label for record in records]
    try:
        parts = train_test_split(records, train_size=count, stratify=labels, random_state=seed)
    except ValueError as error:
        raise DatasetError(f"{len(records)} pictures cannot be split: {error}") from error
    return sorted(parts[0]), sorted(parts[1])


def _balanced(records: Sequence[Record], per_class: int | None, seed: int) -> list[Record]:
    """Return pictures in random order, as many of each class (all of them for None).

    Any of the first is a fair sample. DatasetError if a class has too few.
    """
    generator, chosen = np.random.default_rng(seed), []
    for label in sorted({record.label for record in records}):
        members = sorted(record for record in records if record.label == label)
        if len(members) < (per_class or 0):
            raise DatasetError(f"class {label} has only {len(members)} pictures: lower subset=")
        chosen += [members[i] for i in generator.permutation(len(members))[:per_class]]
    chosen.sort()
    return [chosen[i] for i in np.random.default_rng(seed).permutation(len(chosen))]
