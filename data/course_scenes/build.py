"""Build the embedded archives: rendered data sets in the folder layout of the real ones.

``python -m course_scenes build --to data/embedded`` renders every edition in `RECIPES` and
packs it into a zip. Beside the pictures, which lie where the real data set has them, there are

====================================  ==========================================================
``masks/<same path>.png``             part ids, 8 bits, 0 = background
``scenes.jsonl``                      one line per picture: file, split, label, class, scene (from
                                      which `Scene.from_dict` and `render_scenes` make it again)
``interventions/<name>/<same path>``  a test picture with one thing changed (masks likewise under
                                      ``masks/interventions/``), listed in ``interventions.jsonl``
``parts.json``                        part id to name
====================================  ==========================================================

The same code makes the same bytes: entries are sorted, and their time stamps fixed.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import Rendering, Scene, classes, draw, intervene, parts, render_scenes, shortcuts

__all__ = ["RECIPES", "Change", "Recipe", "build", "build_archive"]

#: Where the archives of the course come from: one seed for each split keeps them apart.
SPLIT_SEEDS = {"train": 10, "val": 11, "test": 12}
# the earliest date that a zip can hold; any fixed one would do
_TIME_STAMP = (1980, 1, 1, 0, 0, 0)
_TEXT_SUFFIXES = (".jsonl", ".json", ".csv")


@dataclass(frozen=True)
class Change:
    """An intervention to store beside the test pictures.

    Attributes
    ----------
    intervention : str
        Name for `intervene`.
    count : int
        How many test pictures get it: the first ones of the eligible classes, in turn.
    options : mapping
        What `intervene` is told.
    classes : tuple of str
        Eligible classes; empty for all.
    """

    intervention: str
    count: int
    options: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """What goes into one archive.

    Attributes
    ----------
    family : str
        What to draw.
    layout : str
        Which real data set's folders to use: "cifar10", "vegetables" or "smoking".
    size : int
        Pixels a side.
    counts : mapping of str to int
        Split ("train", "val", "test") to number of pictures; classes take turns.
    changes : mapping of str to Change
        Folder under ``interventions/`` to what is done there.
    shortcut : {None, "watermark", "backdrop"}
        Which cue is planted. The test pictures then come with the cue intact, and again under
        ``interventions/cue_absent`` and ``interventions/cue_reversed``.
    quality : int
        Of the JPEGs.
    chroma : {"4:4:4", "4:2:0"}
        Colour resolution of the JPEGs: small pictures need all of it.
    """

    family: str
    layout: Literal["cifar10", "vegetables", "smoking"]
    size: int
    counts: Mapping[str, int]
    changes: Mapping[str, Change] = field(default_factory=dict)
    shortcut: Literal["watermark", "backdrop"] | None = None
    quality: int = 80
    chroma: Literal["4:4:4", "4:2:0"] = "4:2:0"


# Together at most 25 MB: the qualities and counts are what fits.
RECIPES: dict[str, Recipe] = {
    "cifar10": Recipe(
        "cifar10", "cifar10", 32, {"train": 5000, "test": 1000}, quality=85, chroma="4:4:4"
    ),
    "vegetables": Recipe(
        "vegetables",
        "vegetables",
        128,
        {"train": 600, "test": 240},
        {
            "remove_object": Change("remove_object", 40),
            "remove_calyx": Change("remove_calyx", 40, classes=("cucumber", "eggplant")),
            "backdrop": Change("backdrop", 40, {"kind": "stone"}),
        },
    ),
    "smoking": Recipe(
        "smoking",
        "smoking",
        128,
        {"train": 800, "val": 120, "test": 300},
        {
            "hold_pen": Change("hold", 80, {"object": "pen"}, ("smoking",)),
            "hold_nothing": Change("hold", 80, {"object": "nothing"}, ("smoking",)),
        },
    ),
    "vegetables_shortcut": Recipe(
        "vegetables",
        "vegetables",
        128,
        {"train": 330, "test": 90},
        shortcut="backdrop",
        quality=78,
    ),
    "smoking_shortcut": Recipe(
        "smoking",
        "smoking",
        128,
        {"train": 260, "test": 72},
        shortcut="watermark",
        quality=78,
    ),
}


class Layout:
    """Where the files of one real data set lie; `root` is the folder that holds everything."""

    root = ""

    def path(self, split: str, class_name: str, index: int) -> str:
        """Return the path of a picture below `root`; `index` counts within split and class."""
        raise NotImplementedError

    def extra_files(self, records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Return the lists that the real data set comes with: path below `root` to text."""
        return {}


class Cifar10Layout(Layout):
    """``cifar10/train/airplane/0000.jpg``, as in the JPEG edition of CIFAR-10."""

    root = "cifar10/"

    def path(self, split: str, class_name: str, index: int) -> str:
        """Return the path of a picture below `root`."""
        return f"{split}/{class_name}/{index:04d}.jpg"


class VegetableLayout(Layout):
    """``GradCAM-Dataset-main/train_images/cucumber_1.jpg`` and a ``train.csv`` with the labels.

    The real set has no splits, only one folder: test pictures are numbered from 1001, and
    ``scenes.jsonl`` says which is which.
    """

    root = "GradCAM-Dataset-main/"
    first: ClassVar = {"train": 1, "val": 801, "test": 1001}

    def path(self, split: str, class_name: str, index: int) -> str:
        """Return the path of a picture below `root`."""
        return f"train_images/{class_name}_{self.first[split] + index}.jpg"

    def extra_files(self, records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Return ``train.csv``: image path and label."""
        rows = [f"{record['file']},{record['label']}" for record in records]
        return {"train.csv": "\n".join(["img_path,label", *rows]) + "\n"}


class SmokingLayout(Layout):
    """``Training/smoking_0001.jpg``: the label is the prefix of the file name."""

    folders: ClassVar = {"train": "Training", "val": "Validation", "test": "Testing"}

    def path(self, split: str, class_name: str, index: int) -> str:
        """Return the path of a picture below `root`."""
        return f"{self.folders[split]}/{class_name}_{index + 1:04d}.jpg"


LAYOUTS: dict[str, Layout] = {
    "cifar10": Cifar10Layout(),
    "vegetables": VegetableLayout(),
    "smoking": SmokingLayout(),
}


@dataclass(frozen=True)
class Variant:
    """Pictures of one split, as they are (`folder` empty) or with one thing changed.

    Attributes
    ----------
    folder : str
        Name below ``interventions/``.
    scenes : list of Scene
    indices : sequence of int
        Which of the split's scenes these are.
    cue : bool array, optional
        In a shortcut edition: whether each picture carries the cue.
    stamped : bool
        Whether the cue is a watermark, to be stamped on the rendered picture.
    """

    folder: str
    scenes: list[Scene]
    indices: Sequence[int]
    cue: NDArray[np.bool_] | None = None
    stamped: bool = False


class Renderer:
    """Renders scenes, each of them once: a watermark changes the picture and not the scene.

    Parameters
    ----------
    workers : int, optional
        Processes that share the work, see `render_scenes`.
    progress : bool
        Show progress bars.
    """

    def __init__(self, workers: int | None = 2, progress: bool = True) -> None:
        self._workers = workers
        self._progress = progress
        self._done: dict[tuple[str, int], tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}

    def render(self, scenes: Sequence[Scene], size: int) -> Rendering:
        """Return pictures and masks of scenes, rendering those that are new."""
        keys = [(json.dumps(scene.to_dict()), size) for scene in scenes]
        new = {key: scene for key, scene in zip(keys, scenes, strict=True) if key not in self._done}
        found = render_scenes(
            list(new.values()), size, workers=self._workers, progress=self._progress
        )
        self._done |= zip(new, zip(found.images, found.masks, strict=True), strict=True)
        images, masks = zip(*(self._done[key] for key in keys), strict=True)
        labels = np.array([scene.label for scene in scenes], np.int64)
        return Rendering(np.stack(images), np.stack(masks), labels, list(scenes))


class Picture(NamedTuple):
    """One rendered picture on its way into an archive."""

    record: dict[str, Any]
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def build(
    to: Path | str,
    only: Iterable[str] | None = None,
    workers: int | None = 2,
    progress: bool = True,
) -> list[Path]:
    """Build the archives of the course.

    Parameters
    ----------
    to : path
        Folder for the archives; made if missing.
    only : iterable of str, optional
        Names from `RECIPES`; default: all.
    workers : int, optional
        Processes that render, one thread each; the bytes do not depend on it.
    progress : bool
        Show progress bars.

    Returns
    -------
    list of Path
        The archives written.

    Raises
    ------
    ValueError
        For a name that is not in `RECIPES`.
    """
    names = list(RECIPES) if only is None else list(only)
    if unknown := set(names) - set(RECIPES):
        raise ValueError(f"no recipe for {sorted(unknown)}: there are {', '.join(RECIPES)}")
    folder = Path(to)
    folder.mkdir(parents=True, exist_ok=True)
    renderer = Renderer(workers, progress)
    return [
        build_archive(RECIPES[name], folder / f"{name}.zip", renderer=renderer) for name in names
    ]


def build_archive(recipe: Recipe, path: Path | str, renderer: Renderer | None = None) -> Path:
    """Render one edition and pack it; the file appears under its name only when it is complete.

    Parameters
    ----------
    recipe : Recipe
    path : path
        The zip to write.
    renderer : Renderer, optional
        Shared between archives that show the same scenes. Default: a new one, in this process.

    Returns
    -------
    Path
    """
    renderer = renderer or Renderer(workers=1, progress=False)
    layout = LAYOUTS[recipe.layout]
    pictures: list[Picture] = []
    changed: list[Picture] = []
    for split, count in recipe.counts.items():
        scenes = draw(recipe.family, count, seed=SPLIT_SEEDS[split])
        paths = _paths(layout, split, scenes)
        variants = _variants(recipe, split, scenes)
        for variant, rendering in _render(variants, recipe.size, renderer):
            found = _pictures(variant, rendering, paths, split)
            (changed if variant.folder else pictures).extend(found)
    files = dict(_encode(recipe, pictures + changed))
    files |= _lists(recipe, layout, pictures, changed)
    return _pack({layout.root + name: data for name, data in files.items()}, Path(path))


def _paths(layout: Layout, split: str, scenes: Sequence[Scene]) -> list[str]:
    counters: Counter[str] = Counter()
    paths = []
    for scene in scenes:
        paths.append(layout.path(split, scene.class_name, counters[scene.class_name]))
        counters[scene.class_name] += 1
    return paths


def _variants(recipe: Recipe, split: str, scenes: list[Scene]) -> list[Variant]:
    """Everything to render for one split: the pictures, and for the test their paired editions."""
    everyone = range(len(scenes))
    if recipe.shortcut is None:
        changes = recipe.changes if split == "test" else {}
        changed = [_change(name, change, scenes) for name, change in changes.items()]
        return [Variant("", scenes, everyone), *changed]
    seed = SPLIT_SEEDS[split]
    folders = {"intact": "", "absent": "cue_absent", "reversed": "cue_reversed"}
    if split != "test":
        folders = {"intact": ""}
    if recipe.shortcut == "watermark":
        target = len(classes(recipe.family)) - 1
        cues = shortcuts.watermark_cues([scene.label for scene in scenes], target, seed=seed)
        return [
            Variant(folder, scenes, everyone, cues[edition], stamped=True)
            for edition, folder in folders.items()
        ]
    variants = []
    for edition, folder in folders.items():
        placed, cue = shortcuts.tie_backdrops(scenes, seed=seed, edition=edition)
        variants.append(Variant(folder, placed, everyone, cue))
    return variants


def _change(name: str, change: Change, scenes: Sequence[Scene]) -> Variant:
    """Intervene in the first scenes that the change is meant for and that have what it takes."""
    chosen: list[int] = []
    changed: list[Scene] = []
    refusal = "no scene of these classes"
    for index, scene in enumerate(scenes):
        if change.classes and scene.class_name not in change.classes:
            continue
        try:
            changed.append(intervene(scene, change.intervention, **change.options))
        except ValueError as error:  # a cucumber without a stalk has none to remove
            refusal = str(error)
            continue
        chosen.append(index)
        if len(chosen) == change.count:
            break
    if not chosen:
        raise ValueError(f"{name}: {change.intervention!r} fits none of the scenes ({refusal})")
    return Variant(name, changed, chosen)


def _render(
    variants: Sequence[Variant], size: int, renderer: Renderer
) -> Iterator[tuple[Variant, Rendering]]:
    """Render the variants together, so that the workers stay busy; stamp the watermarks."""
    everything = [scene for variant in variants for scene in variant.scenes]
    together = renderer.render(everything, size)
    start = 0
    for variant in variants:
        rows = slice(start, start + len(variant.scenes))
        start = rows.stop
        images, masks = together.images[rows], together.masks[rows]
        if variant.stamped:
            images, masks, _ = shortcuts.stamp(images, masks, variant.cue)
        yield variant, Rendering(images, masks, together.labels[rows], variant.scenes)


def _pictures(
    variant: Variant, rendering: Rendering, paths: Sequence[str], split: str
) -> Iterator[Picture]:
    """Pair every rendered picture with its line in ``scenes.jsonl`` or ``interventions.jsonl``."""
    for row, (index, scene) in enumerate(zip(variant.indices, variant.scenes, strict=True)):
        record: dict[str, Any] = {
            "file": paths[index],
            "split": split,
            "label": scene.label,
            "class": scene.class_name,
        }
        if variant.folder:
            record["file"] = f"interventions/{variant.folder}/{paths[index]}"
            record |= {"intervention": variant.folder, "original": paths[index]}
        if variant.cue is not None:
            record["cue"] = bool(variant.cue[row])
            if split == "test":
                record["test_cue"] = variant.folder.removeprefix("cue_") or "intact"
        record["scene"] = scene.to_dict()
        yield Picture(record, rendering.images[row], rendering.masks[row])


def _encode(recipe: Recipe, pictures: Iterable[Picture]) -> Iterator[tuple[str, bytes]]:
    """Turn pictures into files: path to bytes."""
    for record, image, mask in pictures:
        path = Path(record["file"])
        yield record["file"], encode_jpeg(image, recipe.quality, recipe.chroma)
        yield f"masks/{path.with_suffix('.png').as_posix()}", encode_png(mask)


def encode_jpeg(image: NDArray[np.uint8], quality: int, chroma: str) -> bytes:
    """Encode an image, uint8 (H, W, 3), as JPEG with Huffman tables fitted to it."""
    buffer = io.BytesIO()
    subsampling = {"4:4:4": 0, "4:2:0": 2}[chroma]
    Image.fromarray(image).save(
        buffer, "JPEG", quality=quality, subsampling=subsampling, optimize=True
    )
    return buffer.getvalue()


def encode_png(mask: NDArray[np.uint8]) -> bytes:
    """Encode part ids, uint8 (H, W), as an 8-bit grey PNG."""
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _lists(
    recipe: Recipe, layout: Layout, pictures: Sequence[Picture], changed: Sequence[Picture]
) -> dict[str, bytes]:
    """Return the text files of an archive: scenes, interventions, parts, the real set's lists."""
    names = dict(parts(recipe.family))
    if recipe.shortcut == "watermark":
        names[shortcuts.WATERMARK] = "watermark"
    texts = {
        "scenes.jsonl": _lines(picture.record for picture in pictures),
        "parts.json": json.dumps({str(i): name for i, name in names.items()}, indent=1) + "\n",
        **layout.extra_files([picture.record for picture in pictures]),
    }
    if changed:
        texts["interventions.jsonl"] = _lines(picture.record for picture in changed)
    return {name: text.encode() for name, text in texts.items()}


def _lines(records: Iterable[Mapping[str, Any]]) -> str:
    rows = [json.dumps(record, separators=(",", ":"), ensure_ascii=False) for record in records]
    return "".join(f"{row}\n" for row in rows)


def _pack(files: Mapping[str, bytes], path: Path) -> Path:
    """Write a zip whose bytes depend on nothing but the files' names and contents."""
    partial = path.with_name(path.name + ".part")
    with zipfile.ZipFile(partial, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _TIME_STAMP)
            entry.external_attr = 0o644 << 16
            # pictures are compressed already
            packed = zipfile.ZIP_DEFLATED if name.endswith(_TEXT_SUFFIXES) else zipfile.ZIP_STORED
            archive.writestr(entry, files[name], packed, 9)
    return partial.replace(path)
