"""`load_dataset`: find a copy, parse it, check it, split it."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from .. import assets, runtime
from .catalogue import DATASETS, Entry
from .images import DatasetSplits, ImageDataset, Transform
from .layouts import BACKGROUND, Listing, Record
from .splits import SPLITS, balanced, make_splits, shuffled, stratified, subset_sizes
from .stores import DatasetError, open_store
from .truth import Truth, read_truth

#: Problems that an error message lists; the others are counted.
SHOWN_PROBLEMS = 5


def load_dataset(
    name: str,
    source: Literal["auto", "real", "embedded"] | None = None,
    *,
    edition: str = "plain",
    seed: int = 0,
    subset: int | Mapping[str, int] | None = None,
    classes: Sequence[str] | None = None,
    validation: float | None = None,
    folder: str | Path | None = None,
    transform: Transform | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    progress: bool = True,
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
    classes : sequence of str, optional
        Only these classes, labelled in this order.
    validation : float, optional
        Share of the training pictures that becomes the validation split where the set has none;
        default 0.15, for "cifar10" 0.1. 0 leaves it empty.
    folder : str or Path, optional
        Where the real data set lies: a folder or an archive, in any of the layouts that
        `data/README.md` lists. Nothing is searched or downloaded.
    transform : callable, optional
        What ``split[i]`` does with the PIL picture, such as ``preset_transform()``.
    on_error : {"raise", "skip"}
        "raise": a file that is missing from ``train.csv``, or the other way round, and the like
        raise DatasetError here, a damaged picture when it is read. "skip": every picture is decoded
        once now; what does not work is left out, counted in a warning and listed in ``.skipped``.
    progress : bool
        Show bars.
    verbose : bool
        Print which copy was loaded.

    Returns
    -------
    DatasetSplits
        Splits that a data set gives are kept; elsewhere they are 70, 15 and 15 %, stratified.

    Raises
    ------
    ValueError
        For an unknown name, source, edition or class.
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
    entry = _entry(name, edition)
    source = _source(source, entry, edition, folder)
    sizes = subset_sizes(subset)
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error={on_error!r}: choose "raise" or "skip"')
    path, used, reason = _find(entry, source, edition, folder, progress=progress)
    listing = _parse(entry, path, classes)
    _check(listing, entry, used, expect_all=classes is None and folder is None)
    skipped = _settle_problems(listing, name, on_error, progress=progress)
    truth = read_truth(listing) if used == "embedded" or folder is not None else None
    records = _with_known_splits(listing.records, truth)
    if entry.pool is not None:
        records = _pool(records, entry.pool, seed)
    share = entry.validation if validation is None else validation
    parts = {}
    for split, members in make_splits(records, seed, share).items():
        size = sizes[split]
        chosen = members if size is None or not members else balanced(members, size, seed)
        parts[split] = ImageDataset(
            f"{name} {split}",
            listing.classes,
            listing.store,
            listing.root,
            shuffled(chosen, seed),
            truth,
            transform,
        )
    loaded = DatasetSplits(
        name, edition, used, *(parts[s] for s in SPLITS), path, seed, reason, tuple(skipped)
    )
    if verbose:
        print(loaded.banner)
    return loaded


# ---------------------------------------------------------------------------- which copy


def _entry(name: str, edition: str) -> Entry:
    if name not in DATASETS:
        close = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"No data set {name!r}: {hint}There are {', '.join(DATASETS)}")
    entry = DATASETS[name]
    if edition != "plain" and edition not in entry.embedded:
        having = [known for known, other in DATASETS.items() if edition in other.embedded]
        there = f"there is one of {' and '.join(having)}" if having else "there is none"
        raise ValueError(f"{name} has no edition {edition!r}: {there}")
    return entry


def _source(source: str | None, entry: Entry, edition: str, folder: str | Path | None) -> str:
    given = source is not None
    source = runtime.current().data_source if source is None else source
    if source not in runtime.DATA_SOURCES:
        raise ValueError(f"source={source!r}: choose one of {', '.join(runtime.DATA_SOURCES)}")
    if folder is not None:
        if given and source == "embedded":
            raise ValueError('folder= is for the real data set: leave out source="embedded"')
        return "real"
    if edition != "plain":
        if given and source == "real":
            raise ValueError(
                f"the {edition} edition is rendered by the course, so there is no real one: leave "
                'out source="real"'
            )
        return "embedded"
    return source


def _find(
    entry: Entry, source: str, edition: str, folder: str | Path | None, *, progress: bool
) -> tuple[Path, str, str]:
    """Return the folder or archive to read, which copy it is, and why not the real one."""
    if folder is not None:
        path = Path(folder).expanduser()
        return _readable(entry, path, progress=progress), "real", ""
    if source == "embedded":
        return _embedded(entry, edition), "embedded", ""
    try:
        path = assets.fetch(entry.asset, offline=False)
        return _readable(entry, path, progress=progress), "real", ""
    except assets.AssetUnavailable as unavailable:
        if source == "real" or not entry.embedded:
            raise
        return _embedded(entry, edition), "embedded", unavailable.reasons[-1]


def _embedded(entry: Entry, edition: str) -> Path:
    if not entry.embedded:
        raise assets.AssetUnavailable(
            entry.title,
            ["embedded: the course comes with no copy of it"],
            'load it with source="real", or use the bundled photographs instead: cu.photo_names() '
            "lists them and cu.load_photo(name) opens one.",
        )
    return assets.embedded_folder() / f"{entry.embedded[edition]}.zip"


def _readable(entry: Entry, path: Path, *, progress: bool) -> Path:
    """Unpack an archive that cannot be read in place: a tar, or a tar inside a zip."""
    if path.is_dir() or not path.exists():
        return path
    if path.suffix == ".zip" and entry.inner is None:
        return path
    folder = assets.unpack(path)
    return folder if path.suffix != ".zip" else assets.unpack(next(folder.rglob(entry.inner)))


# ---------------------------------------------------------------------------- what is in it


def _parse(entry: Entry, path: Path, classes: Sequence[str] | None) -> Listing:
    """Parse the copy, and keep the wanted classes."""
    store = open_store(path)
    if not entry.classes:  # every folder is a class
        wanted = [] if classes is None else list(classes)
        listing = entry.parse(store, wanted)
        missing = set(wanted) - {listing.classes[record.label] for record in listing.records}
        if missing:
            raise ValueError(
                f"{entry.title} has no class {sorted(missing)[0]!r}: its folders are the classes, "
                f"and {BACKGROUND!r} is one of them, left out unless it is named"
            )
        return listing
    wanted = tuple(entry.classes if classes is None else classes)
    if unknown := [name for name in wanted if name not in entry.classes]:
        raise ValueError(
            f"{entry.title} has no class {unknown[0]!r}: there are {', '.join(entry.classes)}"
        )
    listing = entry.parse(store, entry.file_classes)
    if wanted != listing.classes:
        label_of = {listing.classes.index(name): label for label, name in enumerate(wanted)}
        listing.records = [
            record._replace(label=label_of[record.label])
            for record in listing.records
            if record.label in label_of
        ]
        listing.classes = wanted
    return listing


def _check(listing: Listing, entry: Entry, used: str, *, expect_all: bool) -> None:
    """Refuse a copy that lacks a class; warn if the published one has another size."""
    counts = [0] * len(listing.classes)
    for record in listing.records:
        counts[record.label] += 1
    if empty := [name for name, n in zip(listing.classes, counts, strict=True) if n == 0]:
        raise DatasetError(
            f"{listing.store.location} has no picture of {', '.join(empty)}: it is not a whole "
            f"copy of {entry.title}; delete it or pass another one with folder="
        )
    if used == "real" and expect_all and len(listing.records) != entry.count:
        warnings.warn(
            f"{listing.store.location} has {len(listing.records):,} labelled pictures of "
            f"{entry.title}; the published set has {entry.count:,}",
            stacklevel=3,
        )


def _settle_problems(listing: Listing, name: str, on_error: str, *, progress: bool) -> list[str]:
    """Raise on what does not fit or, to skip, leave it and all damaged pictures out."""
    if on_error == "raise":
        if listing.problems:
            raise DatasetError(
                f"{listing.store.location}: {_shortened(listing.problems)}. Mend it, or pass "
                'on_error="skip" to leave such files out and count them'
            )
        return []
    damaged = _damaged(listing, name, progress=progress)
    listing.records = [record for record in listing.records if record.file not in damaged]
    skipped = [*listing.problems, *damaged.values()]
    if skipped:
        warnings.warn(
            f"{name}: {len(skipped)} of the files in {listing.store.location} are left out: "
            f"{_shortened(skipped)}",
            stacklevel=3,
        )
    return skipped


def _shortened(problems: Sequence[str]) -> str:
    more = len(problems) - SHOWN_PROBLEMS
    return "; ".join(problems[:SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")


def _damaged(listing: Listing, name: str, *, progress: bool) -> dict[str, str]:
    """Decode every picture, and return those that cannot be, with the reason."""

    def problem(record: Record) -> str | None:
        try:
            listing.store.image(listing.root + record.file)
        except DatasetError as error:
            return str(error)
        return None

    options = {} if progress else {"disable": True}
    with ThreadPoolExecutor() as pool:
        reasons = runtime.progress(
            pool.map(problem, listing.records),
            total=len(listing.records),
            description=f"checking {name}",
            **options,
        )
        found = zip(listing.records, reasons, strict=True)
        return {record.file: reason for record, reason in found if reason is not None}


def _with_known_splits(records: Sequence[Record], truth: Truth | None) -> list[Record]:
    """Take over the splits that ``scenes.jsonl`` gives, where the folders give none."""
    if truth is None:
        return list(records)
    return [
        record
        if record.split is not None
        else record._replace(split=truth.scenes.get(record.file, {}).get("split"))
        for record in records
    ]


def _pool(records: Sequence[Record], count: int, seed: int) -> list[Record]:
    """Forget the splits, and draw `count` pictures with the same mixture of classes."""
    loose = [record._replace(split=None) for record in records]
    if len(loose) <= count:
        return loose
    return stratified(loose, (count / len(loose),), seed)[0]
