"""Named photographs that come with the course, and any other picture opened safely.

The catalogue (``data/photos.csv``) lists photographs in packages that the course installs anyway,
and a few paintings of its own. Somebody looked at each of them. Labels are those of the data sets,
wrong ones included: a lesson on explanations needs both.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from . import assets, checks, runtime

__all__ = ["Photo", "PhotoError", "load_photo", "photo", "photo_names"]

# Pillow hands EPS and WMF to other programs, and unpacks FITS without a limit.
_UNSAFE_FORMATS = {"EPS", "WMF", "FITS"}


@dataclass(frozen=True)
class Photo:
    """One picture of the catalogue.

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
    group : {"imagenet", "skimage", "cifar10", "paintings"}
        Where it belongs.
    category : str
        The label in words: ImageNet's or CIFAR-10's class, or what the picture shows.
    clear : bool
        One clear object, rightly labelled: a good first example for an explanation.
    note : str
        What else to know before explaining it; may be empty.
    credit, licence : str
        Where it comes from, and what may be done with it.
    """

    name: str
    title: str
    path: Path
    label: int | None
    group: str
    category: str
    clear: bool
    note: str
    credit: str
    licence: str


PhotoSource = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | Photo | io.IOBase
)


class PhotoError(ValueError):
    """A photograph that cannot be used; the message says what was given and what to do."""

    def __init__(self, given: str, problem: str, remedy: str) -> None:
        given = given if len(given) <= 160 else f"{given[:120]}…{given[-30:]}"
        super().__init__(f"{given} cannot be used as a photograph: {problem}. What to do: {remedy}")


def _read_catalogue() -> dict[str, Photo]:
    """Read the table; pictures of packages that are not installed are left out."""
    folders = {"": assets.course_file("paintings")}
    for package in ("foolbox", "skimage"):
        if spec := importlib.util.find_spec(package):  # the package itself is not imported
            folders[package] = Path(spec.origin or "").parent / "data"
    with assets.course_file("photos.csv").open(encoding="utf-8", newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["package"] in folders]
    for row in rows:
        row["path"] = folders[row.pop("package")] / row.pop("file")
        row["label"] = int(row["label"]) if row["label"] else None
        row["clear"] = row["clear"] == "yes"
    return {row["name"]: Photo(**row) for row in rows if row["path"].is_file()}


#: The catalogue: all pictures by name.
PHOTOS: dict[str, Photo] = _read_catalogue()


def photo_names(group: str | None = None) -> list[str]:
    """Names of the pictures in the catalogue.

    Parameters
    ----------
    group : {"imagenet", "skimage", "cifar10", "paintings"}, optional
        Only these; default all.

    Raises
    ------
    ValueError
        For an unknown group.

    Examples
    --------
    >>> photo_names("imagenet")[:3]
    ['bull_mastiff', 'folding_chair', 'beaker']
    """
    groups = dict.fromkeys(photo.group for photo in PHOTOS.values())
    checks.one_of("group", group, [*groups, None])
    return [name for name, photo in PHOTOS.items() if group in (None, photo.group)]


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
        raise ValueError(f"No photograph is called {name!r}: {_suggestion(name)}")
    return PHOTOS[name]


def _suggestion(name: str, folder: Path | None = None) -> str:
    """Offer names of the catalogue, and of files in a folder, that are close to a name."""
    there = [item.name for item in folder.iterdir()] if folder and folder.is_dir() else []
    near = " or ".join(map(repr, checks.closest(name, [*there, *PHOTOS])))
    advice = "cu.photo_names() lists the names; a path is good too"
    return f"did you mean {near}?" if near else advice


def load_photo(source: PhotoSource) -> Image.Image:
    """Open a picture as an upright RGB image with 8 bits per channel.

    The rotation in the EXIF data is applied, colour profiles are converted to sRGB, transparency is
    composited on white, of an animation the first frame is taken, and 16-bit greys are scaled.

    Parameters
    ----------
    source : str, path, bytes, PIL.Image.Image, Photo or binary file
        A name of the catalogue, a path, an http(s) URL, the bytes of a file, or an image, which
        stays as it is. A name of the catalogue goes before a file of the same name.

    Returns
    -------
    PIL.Image.Image
        Mode "RGB".

    Raises
    ------
    PhotoError
        If there is no such file or name, no server answers (within 3 s), or what is there is not an
        intact picture of at most ``PIL.Image.MAX_IMAGE_PIXELS`` pixels (89 million).

    Examples
    --------
    >>> load_photo("bald_eagle").mode
    'RGB'
    """
    file, given = _locate(source)
    try:
        if isinstance(source, Image.Image):
            return _convert(_checked(source))
        Image.init()
        safe = [name for name in Image.ID if name not in _UNSAFE_FORMATS]
        with Image.open(file, formats=safe) as image:
            return _convert(_checked(image))
    except Exception as error:  # decoders of broken files raise nearly everything
        raise PhotoError(given, *_diagnosis(error, file)) from error


def _locate(source: PhotoSource) -> tuple[Path | io.BytesIO, str]:
    """Return the file, or its bytes, and what to call it in messages."""
    source = PHOTOS.get(source, source) if isinstance(source, str) else source
    if isinstance(source, Photo):
        return source.path, f"The photograph {source.name!r}"
    if isinstance(source, Image.Image):
        return io.BytesIO(), f"The given image ({source.mode}, {source.width} x {source.height})"
    if isinstance(source, str) and re.match(r"[a-z][a-z0-9+.-]+://", source, re.IGNORECASE):
        return io.BytesIO(_download(source)), source
    if isinstance(source, str | os.PathLike):
        # unlike Path.expanduser, it takes "~nobody" for a name
        return Path(os.path.expanduser(source)), repr(str(source))  # noqa: PTH111
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source), f"The given {len(bytes(source)):,} bytes"
    if hasattr(source, "read"):
        return io.BytesIO(source.read()), f"The file {getattr(source, 'name', 'object')}"
    problem = "a name, path, URL, bytes or PIL image is expected"
    remedy = "turn an array of uint8 (height, width, 3) into an image with PIL.Image.fromarray"
    raise PhotoError(f"A {type(source).__name__}", problem, remedy)


def _download(url: str) -> bytes:
    if runtime.current().data_source == "embedded":
        problem = 'the data source is "embedded", so the network is not used'
        raise PhotoError(url, problem, "call cu.setup(data_source='auto'), or pass a path")
    try:
        return assets.download(url)
    except assets.AssetUnavailable as error:
        raise PhotoError(url, error.reasons[-1], error.advice) from error


def _diagnosis(error: Exception, file: Path | io.BytesIO) -> tuple[str, str]:
    """Say what is wrong with a picture, and what to do."""
    if isinstance(error, Image.DecompressionBombError):
        return str(error), "make it smaller; or, if you trust it, raise PIL.Image.MAX_IMAGE_PIXELS"
    if isinstance(error, FileNotFoundError) and isinstance(file, Path):
        problem = f"it is neither in the catalogue nor a file in {file.parent.absolute()}"
        return problem, _suggestion(file.name, file.parent)
    if isinstance(error, UnidentifiedImageError):
        data = file.read_bytes() if isinstance(file, Path) else file.getvalue()
        remedy = "copy it again, or export it as JPEG; of a web page, copy the picture's address"
        return f"it begins with {data[:24]!r}, as no intact picture does", remedy
    problem = f"it cannot be opened, or is damaged or incomplete ({error})"
    return problem, "check the path; download or copy it again"


def _checked(image: Image.Image) -> Image.Image:
    """Refuse too many pixels before they are decoded, where Pillow by itself only warns."""
    pixels, limit = image.width * image.height, Image.MAX_IMAGE_PIXELS or float("inf")
    if 0 < pixels <= limit:
        return image
    size = f"{image.width} x {image.height} = {pixels / 1e6:.0f} million pixels"
    raise Image.DecompressionBombError(f"it has {size}; 1 to {limit / 1e6:.0f} million are opened")


def _convert(image: Image.Image) -> Image.Image:
    """Decode, turn upright and convert; a new image."""
    image.load()
    with suppress(Exception):  # a broken note on rotation is as good as none
        image = ImageOps.exif_transpose(image)
    rgb = _to_rgb(image)
    rgb.info = {}
    return rgb


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _grey_from_numbers(image).convert("RGB")
    profile = image.info.get("icc_profile")
    if not image.has_transparency_data:
        return _to_srgb(image.convert("RGB") if image.mode == "P" else image, profile)
    # what is transparent has no colour of its own, and pages are white
    image = image.convert("LA") if image.mode == "La" else image  # La converts to nothing else
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    return Image.composite(_to_srgb(image.convert("RGB"), profile), white, image.getchannel("A"))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert by the embedded colour profile if there is a usable one, else as Pillow does."""
    if profile:
        with suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(embedded).lower():
                target = ImageCms.createProfile("sRGB")
                return ImageCms.profileToProfile(image, embedded, target, outputMode="RGB")
    return image.convert("RGB")


def _grey_from_numbers(image: Image.Image) -> Image.Image:
    """Scale greys with more than 8 bits to 0..255, where Pillow's own conversion clips them.

    16 bits span 0..65535. Other numbers have no defined range: 0..255, 0..65535 and, for floats,
    0..1 are taken as such, anything else is stretched from its smallest to its largest value.
    """
    values = np.asarray(image).astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("some of its values are not finite")
    tops = {"I": (255, 65535), "F": (1, 255, 65535)}.get(image.mode, (65535,))
    low, high = values.min(), values.max()
    if low >= 0 and high <= 65535:
        low, high = 0, min(top for top in tops if high <= top)
    return Image.fromarray(((values - low) / max(high - low, 1e-12) * 255).round().astype("uint8"))
