"""The photographs that are always there: samples in foolbox and scikit-image, with titles.

Every picture was looked at by a person: `Photo.clear` says whether it shows one clear object
that is what its label says, and `Photo.note` what is special about it. The labels are those of the
data sets, wrong ones included: a lesson on explanations needs both.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

#: Collections, and the package that brings each.
COLLECTIONS = {"imagenet": "foolbox", "cifar10": "foolbox", "skimage": "scikit-image"}


@dataclass(frozen=True)
class Photo:
    """One photograph of the catalogue.

    Attributes
    ----------
    name : str
        What `load_photo` opens.
    title : str
        What can be seen, for a figure's title.
    path : Path
        The file.
    label : int or None
        ImageNet class index, 0 to 999, that the data set gives; None outside ImageNet.
    collection : {"imagenet", "cifar10", "skimage"}
        Where it belongs.
    credit : str
        Where it comes from and under which licence.
    category : str
        The label in words: ImageNet's or CIFAR-10's class, or what the picture shows.
    clear : bool
        One clear object, rightly labelled: a good first example for an explanation.
    note : str
        What else to know before explaining it; may be empty.
    """

    name: str
    title: str
    path: Path
    label: int | None
    collection: str
    credit: str
    category: str
    clear: bool
    note: str = ""


# (file, name, title, clear, note); the number at the end of the file's name is the label
_IMAGENET = (
    ("imagenet_00_243.jpg", "bull_mastiff", "Bull mastiff on a lead", True,
     "the owner's legs and the green lead are beside the dog"),
    ("imagenet_01_559.jpg", "folding_chair", "Red folding chairs in a ring", False,
     "one chair in front, seven cut or small behind it"),
    ("imagenet_02_438.jpg", "beaker", "Pouring a green liquid into a beaker", False,
     "a hand, a bottle and a second beaker share the picture"),
    ("imagenet_03_990.jpg", "buckeye", "Horse chestnuts on the branch", True,
     "two fruits, one bursting open"),
    ("imagenet_04_949.jpg", "strawberry", "Nine strawberries on a board", False,
     "small, scattered objects: does a map find each of them?"),
    ("imagenet_05_853.jpg", "thatch", "Thatched cottages behind a memorial", False,
     "the label is the roof, a memorial stands in front"),
    ("imagenet_06_609.jpg", "jeep", "Off-road car on a gravel road", True,
     "sepia toned: almost no colour"),
    ("imagenet_07_609.jpg", "jeep_2", "Blue off-road car climbing rocks", True, ""),
    ("imagenet_08_915.jpg", "yurt", "Two yurts in a winter forest", False,
     "trees, a fence and a second yurt"),
    ("imagenet_09_455.jpg", "bottlecap", "Red bottle cap", True,
     "large lettering, and the texture of a painting"),
    ("imagenet_10_541.jpg", "drum", "Red snare drum with brushes", True,
     "a credit line is written along the lower edge, most of which a centre crop removes"),
    ("imagenet_11_630.jpg", "loafer", "Black laced shoe", False,
     "cut off on both sides; it has laces, so the label is doubtful"),
    ("imagenet_12_741.jpg", "prayer_rug", "Stained-glass windows", False,
     "the label is wrong: these are windows, with the pattern of a rug"),
    ("imagenet_13_471.jpg", "cannon", "Field gun on a pavement", True, ""),
    ("imagenet_14_129.jpg", "spoonbill", "Two white birds on a power line", False,
     "small birds with curved, pointed bills: ibises, so the label is wrong"),
    ("imagenet_15_99.jpg", "goose", "Geese on a lawn", False, "three geese and a part of a fourth"),
    ("imagenet_16_251.jpg", "dalmatian", "Dalmatian sniffing at the ground", True,
     "black spots on white: texture against shape"),
    ("imagenet_17_22.jpg", "bald_eagle", "Bald eagle in flight", True,
     "in the centre, before a blurred background"),
    ("imagenet_18_317.jpg", "leafhopper", "Leafhopper on a blade of grass", True,
     "in the centre, before a blurred background"),
    ("imagenet_19_305.jpg", "dung_beetle", "Dung beetle on a stone", True,
     "dark object on a light, textured background"),
)  # fmt: skip

_CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

# title, clear, note, in the order of the files
_CIFAR10 = (
    ("Cat on an orange cover", False, "hard to make out, even for people"),
    ("White ferry in port", True, ""),
    ("Motor yacht in a marina", True, ""),
    ("Airliner on the cover of a book", False, "printed text above the object"),
    ("Frog among leaves", True, ""),
    ("Toad on red soil", True, "object and background share their colour"),
    ("White car with open doors", True, ""),
    ("Green frog", True, ""),
    ("Tabby cat", True, ""),
    ("Blue off-road car", True, ""),
    ("Fighter jet in a blue sky", True, "plain background"),
    ("White lorry before a castle", True, ""),
    ("White and tan dog", True, ""),
    ("White horse", True, "plain, dark background"),
    ("Blue lorry", True, ""),
    ("Cargo ship from above", True, "green water"),
    ("Puppy in someone's arms", True, ""),
    ("Head of a bridled horse", True, ""),
    ("Wooden ship", True, ""),
    ("Yellow frog on the ground", True, ""),
)

_SKIMAGE = (
    ("chelsea.png", "chelsea", "cat", "Chelsea the cat", True,
     "the head fills the frame", "Stéfan van der Walt, CC0"),
    ("coffee.png", "coffee", "cup of espresso", "Cup of espresso on a wooden table", True,
     "several classes fit: espresso, cup", "Rachel Michetti, CC0"),
    ("rocket.jpg", "rocket", "rocket", "Rocket on its launch pad at dusk", True,
     "thin object among four masts", "SpaceX, public domain"),
    ("motorcycle_left.png", "motorcycle", "motorcycle", "Red motorcycle in a garage", True,
     "busy background", "Middlebury Stereo 2014, Scharstein et al. (2014), GCPR"),
    ("astronaut.png", "astronaut", "person", "Astronaut Eileen Collins", False,
     "a person, a helmet, a flag and a model of the shuttle", "NASA, public domain"),
    ("hubble_deep_field.jpg", "hubble_deep_field", "galaxies", "Hubble extreme deep field", False,
     "no object of any class: a control", "NASA, public domain"),
    ("retina.jpg", "retina", "retina", "Retina of a human eye", False,
     "no object of any class: a control", "Häggström (2014), WikiJournal of Medicine 1(2), CC0"),
    ("ihc.png", "tissue", "tissue", "Stained tissue under a microscope", False,
     "no object of any class: a control", "no known copyright restrictions"),
)  # fmt: skip

_FOOLBOX_CREDIT = "sample in the Python package foolbox (MIT licence); photographer not recorded"
_DRUM_CREDIT = "themusicianlab, CC BY (as the picture says); sample in the Python package foolbox"
_CIFAR10_CREDIT = "CIFAR-10, Krizhevsky (2009); sample in the Python package foolbox (MIT licence)"


def _package_data(package: str) -> Path | None:
    """Return the package's data folder without importing the package."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent / "data" if spec is not None and spec.origin else None


def _imagenet(folder: Path) -> list[Photo]:
    return [
        Photo(
            name=name,
            title=title,
            path=folder / file,
            label=int(re.findall(r"\d+", file)[-1]),
            collection="imagenet",
            credit=_DRUM_CREDIT if name == "drum" else _FOOLBOX_CREDIT,
            category=re.sub(r"_\d+$", "", name).replace("_", " "),
            clear=clear,
            note=note,
        )
        for file, name, title, clear, note in _IMAGENET
    ]


def _cifar10(folder: Path) -> list[Photo]:
    found = []
    for path in sorted(folder.glob("cifar10_*_*.png")):
        index, label = map(int, re.findall(r"_(\d+)", path.stem))
        title, clear, note = _CIFAR10[index]
        category = _CIFAR10_CLASSES[label]
        name = f"cifar10_{category}_{index:02d}"
        found.append(
            Photo(name, title, path, None, "cifar10", _CIFAR10_CREDIT, category, clear, note)
        )
    return found


def _skimage(folder: Path) -> list[Photo]:
    return [
        Photo(name, title, folder / file, None, "skimage", credit, category, clear, note)
        for file, name, category, title, clear, note, credit in _SKIMAGE
    ]


def _catalogue() -> dict[str, Photo]:
    sources = (("foolbox", _imagenet), ("skimage", _skimage), ("foolbox", _cifar10))
    photos = [
        photo
        for package, listing in sources
        if (folder := _package_data(package)) is not None
        for photo in listing(folder)
    ]
    return {photo.name: photo for photo in photos if photo.path.is_file()}


#: All photographs by name: ImageNet's, scikit-image's, CIFAR-10's.
PHOTOS: dict[str, Photo] = _catalogue()


def photo_names(collection: str | None = None, *, clear: bool | None = None) -> list[str]:
    """Names of the photographs in the catalogue.

    Parameters
    ----------
    collection : {"imagenet", "cifar10", "skimage"}, optional
        Only these; default all.
    clear : bool, optional
        Only those with one clear, rightly labelled object (True), or only the others (False).

    Raises
    ------
    ValueError
        For an unknown collection.

    Examples
    --------
    >>> photo_names("imagenet")[:3]
    ['bull_mastiff', 'folding_chair', 'beaker']
    """
    if collection is not None and collection not in COLLECTIONS:
        raise ValueError(
            f"No collection {collection!r} of photographs: choose from {', '.join(COLLECTIONS)}"
        )
    return [
        name
        for name, photo in PHOTOS.items()
        if collection in (None, photo.collection) and clear in (None, photo.clear)
    ]


def photo(name: str) -> Photo:
    """Return the catalogue's entry for a name.

    Raises
    ------
    ValueError
        If there is none; the message offers close names.

    Examples
    --------
    >>> photo("bald_eagle").label
    22
    """
    if name not in PHOTOS:
        raise ValueError(f"No photograph is called {name!r}: {suggestion(name)}")
    return PHOTOS[name]


def suggestion(name: str) -> str:
    """Say which catalogue names are close to `name`, or how to list them."""
    wanted = str(name).lower().replace(" ", "_").replace("-", "_")
    close = difflib.get_close_matches(wanted, PHOTOS, n=3)
    close += [known for known in PHOTOS if wanted and wanted in known and known not in close][:3]
    if close:
        return f"did you mean {' or '.join(map(repr, close[:4]))}?"
    if not PHOTOS:
        return "the catalogue is empty, because foolbox and scikit-image are not installed"
    return "cu.photo_names() lists the names"
