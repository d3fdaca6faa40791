"""Which pictures are for training, which for choosing settings, which for the final test.

Every split is stratified (each class has the same share of it, up to rounding) and depends on the
seed and the list of files only, so that two people with the same data get the same splits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .layouts import Record
from .stores import DatasetError

SPLITS = ("train", "val", "test")
#: Shares of training, validation and test where a data set gives no splits.
SHARES = (0.70, 0.15, 0.15)

Splits = dict[str, list[Record]]


def stratified(records: Sequence[Record], shares: Sequence[float], seed: int) -> list[list[Record]]:
    """Cut a list of pictures into parts with the same mixture of classes.

    Parameters
    ----------
    records : sequence of Record
    shares : sequence of float
        Share of each part; what they lack to 1 is left out.
    seed : int
        Another seed shuffles differently.

    Raises
    ------
    DatasetError
        If a class has too few pictures for every part to get one.

    Examples
    --------
    >>> records = [Record(f"{i}.jpg", i % 2) for i in range(20)]
    >>> [len(part) for part in stratified(records, (0.7, 0.15, 0.15), seed=0)]
    [14, 3, 3]
    """
    rest, parts = sorted(records), []
    counts = [round(share * len(rest)) for share in shares]
    if abs(sum(shares) - 1) < 1e-6:  # the last part takes what rounding left
        counts[-1] = len(rest) - sum(counts[:-1])
    for count in counts:
        part, rest = _take(rest, count, seed)
        parts.append(part)
    return parts


def _take(records: list[Record], count: int, seed: int) -> tuple[list[Record], list[Record]]:
    """Return `count` of the pictures, stratified, and the others; both in the files' order."""
    from sklearn.model_selection import train_test_split

    if count <= 0:
        return [], records
    if count >= len(records):
        return records, []
    labels = [record.label for record in records]
    try:
        taken, rest = train_test_split(
            np.arange(len(records)), train_size=count, stratify=labels, random_state=seed
        )
    except ValueError as error:
        smallest = min(np.bincount(labels)[np.unique(labels)])
        raise DatasetError(
            f"{len(records)} pictures cannot be split with the same mixture of classes, because "
            f"the smallest class has only {smallest} ({error}). Pass a larger data set, or fewer "
            "classes"
        ) from error
    return [records[i] for i in sorted(taken)], [records[i] for i in sorted(rest)]


def make_splits(records: Sequence[Record], seed: int, validation: float) -> Splits:
    """Sort pictures into train, val and test.

    Splits that the data set gives are kept; a picture without one gets its own by `SHARES`. Where
    there is training but no validation, `validation` of the training pictures become it.

    Parameters
    ----------
    records : sequence of Record
    seed : int
    validation : float
        Share of the training pictures to hold back, 0 to 1.
    """
    splits: Splits = {name: [r for r in records if r.split == name] for name in SPLITS}
    loose = [record for record in records if record.split is None]
    if loose:
        for name, part in zip(SPLITS, stratified(loose, SHARES, seed), strict=True):
            splits[name] += part
    elif not splits["val"] and validation > 0:
        held, kept = stratified(splits["train"], (validation, 1 - validation), seed)
        splits["train"], splits["val"] = kept, held
    return splits


def shuffled(records: Sequence[Record], seed: int) -> list[Record]:
    """Return the pictures in a random order, drawn by the seed: the first are a fair sample."""
    order = np.random.default_rng(seed).permutation(len(records))
    ordered = sorted(records)
    return [ordered[i] for i in order]


def balanced(records: Sequence[Record], per_class: int, seed: int) -> list[Record]:
    """Draw the same number of pictures of each class.

    Raises
    ------
    DatasetError
        If a class has fewer than `per_class`.
    """
    generator = np.random.default_rng(seed)
    chosen: list[Record] = []
    for label in sorted({record.label for record in records}):
        members = [record for record in sorted(records) if record.label == label]
        if len(members) < per_class:
            raise DatasetError(
                f"subset: {per_class} pictures of each class were asked for, and the class with "
                f"index {label} has {len(members)} in this split: ask for at most that many"
            )
        picked = generator.permutation(len(members))[:per_class]
        chosen += [members[i] for i in picked]
    return chosen


def subset_sizes(subset: int | Mapping[str, int] | None) -> dict[str, int | None]:
    """Return images per class for every split: one number is for all; splits not named stay whole.

    Raises
    ------
    ValueError
        For an unknown split or a number below 1.
    """
    if subset is None:
        return dict.fromkeys(SPLITS)
    sizes = dict(subset) if isinstance(subset, Mapping) else dict.fromkeys(SPLITS, subset)
    if unknown := set(sizes) - set(SPLITS):
        raise ValueError(f"subset={subset!r}: no split is called {sorted(unknown)[0]!r}; {SPLITS}")
    if any(size < 1 for size in sizes.values()):
        raise ValueError(f"subset={subset!r}: at least 1 picture of each class is needed")
    return {name: sizes.get(name) for name in SPLITS}
