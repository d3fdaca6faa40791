"""Open any picture as an upright 8-bit RGB image, or say what is wrong with it and how to mend it.

Photographs come rotated by a tag, with transparency, in the inks of a printer, with 16 bits, or
not at all: truncated, renamed web pages, decompression bombs. A network sees only what arrives
here, so a wrong conversion would silently change what is being explained.
"""

from __future__ import annotations

import difflib
import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from .. import _web, runtime
from .catalogue import PHOTOS, Photo, suggestion

#: Most pixels that are decoded, unless `load_photo` is told otherwise: 100 megapixels.
MAX_PIXELS = 100_000_000
#: Most bytes that are downloaded for a photograph.
MAX_DOWNLOAD = 50_000_000

# Pillow also reads formats that run other programs (EPS) or are not photographs: not here.
_FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "AVIF", "JPEG2000", "PPM", "ICO",
)  # fmt: skip
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif"}

# What a file is when it is not an image: how it starts (at which byte), and what to do
_IMPOSTORS = (
    (0, rb"\s*<(!doctype html|html|head)", "a web page", "open the address in a browser, "
     "right-click the picture, choose 'copy image address', and use that"),
    (0, rb"\s*(<\?xml.*)?<svg", "an SVG drawing", "export it as PNG first"),
    (0, rb"%PDF", "a PDF document", "export the page as PNG first"),
    (0, rb"%!PS", "a PostScript file", "export it as PNG first"),
    (4, rb"ftyp(heic|heix|mif1|msf1|hevc)", "a HEIC photograph, as iPhones save them",
     "export it as JPEG (on the phone: Settings, Camera, Formats, Most Compatible)"),
    (0, rb"PK\x03\x04", "a ZIP archive", "unpack it and pass one of its pictures"),
    (0, rb"version https://git-lfs", "a Git LFS pointer, not the file itself",
     "run `git lfs pull` in its repository"),
)  # fmt: skip

PhotoSource = str | Path | bytes | bytearray | memoryview | Image.Image | Photo | IO[bytes]


class PhotoError(ValueError):
    """A photograph that cannot be used; the message says what was given and what to do."""

    def __init__(self, given: str, problem: str, remedy: str) -> None:
        given = given if len(given) <= 160 else f"{given[:120]}…{given[-30:]}"
        super().__init__(f"{given} cannot be used as a photograph: {problem}. What to do: {remedy}")


class _UnusableError(Exception):
    """The pixels cannot be converted: (problem, remedy), for the `PhotoError` that it becomes."""


def load_photo(
    source: PhotoSource, *, max_side: int | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Open a photograph as an upright RGB image with 8 bits per channel.

    The rotation in the EXIF data is applied, colour profiles are converted to sRGB, transparency is
    composited on white, of an animation the first frame is taken, and 16-bit greys are scaled.

    Parameters
    ----------
    source : str, Path, bytes, PIL.Image.Image, Photo or binary file
        A name of the catalogue, a path, an http(s) URL, the bytes of a file, or an image, which
        stays as it is. A name of the catalogue goes before a file of the same name.
    max_side : int, optional
        Shrink so that the longer side has at most this many pixels; smaller images stay.
    max_pixels : int
        Refuse larger images before decoding them.

    Returns
    -------
    PIL.Image.Image
        Mode "RGB".

    Raises
    ------
    PhotoError
        If there is no such file or name, no server answers (within 3 s), or what is there is not an
        intact image of at most `max_pixels`.

    Examples
    --------
    >>> load_photo("bald_eagle").size
    (512, 512)
    >>> load_photo("bald_eagle", max_side=128).size
    (128, 128)
    """
    if max_side is not None and max_side < 1:
        raise ValueError(f"max_side={max_side} must be at least 1 pixel, or None for no limit")
    if isinstance(source, Image.Image):
        given = f"The given image ({source.mode}, {source.width} x {source.height})"
        return _finish(source, given, max_side, max_pixels)
    file, given = _locate(source)
    with _opened(file, given, max_pixels) as image:
        return _finish(image, given, max_side, max_pixels)


# ---------------------------------------------------------------------------- where it is


def _locate(source: PhotoSource) -> tuple[Path | io.BytesIO, str]:
    """Return the file, or its bytes, and what to call it in messages."""
    if isinstance(source, Photo):
        return source.path, f"The photograph {source.name!r}"
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source), f"The given {len(bytes(source)):,} bytes"
    if isinstance(source, Path):
        return _existing(source), str(source)
    if isinstance(source, str):
        return _locate_text(source)
    if hasattr(source, "read"):
        return io.BytesIO(source.read()), f"The file {getattr(source, 'name', 'object')}"
    raise PhotoError(
        f"A {type(source).__name__}",
        "a name, path, URL, bytes or PIL image is expected",
        "turn an array of uint8 (height, width, 3) into an image with PIL.Image.fromarray",
    )


def _locate_text(text: str) -> tuple[Path | io.BytesIO, str]:
    if text in PHOTOS:
        return PHOTOS[text].path, f"The photograph {text!r}"
    if text.lower().startswith("file://"):
        return _existing(Path(url2pathname(urlsplit(text).path))), text
    if re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE):
        return io.BytesIO(_download(text)), text
    path = Path(text)
    looks_like_a_name = path.name == text and path.suffix.lower() not in _SUFFIXES
    if looks_like_a_name and text not in {item.name for item in Path().iterdir()}:
        problem = "it is neither in the catalogue nor a file here"
        raise PhotoError(repr(text), problem, suggestion(text))
    return _existing(path), text


def _existing(path: Path) -> Path:
    try:
        path = path.expanduser()
        if path.is_file():
            return path
        problem, remedy = _folder(path) if path.is_dir() else _missing(path)
    except (OSError, ValueError, RuntimeError) as error:  # too long, a null byte, no such user
        problem, remedy = f"the path cannot be read ({error})", "check the path"
    raise PhotoError(str(path), problem, remedy)


def _folder(path: Path) -> tuple[str, str]:
    inside = sorted(item for item in path.iterdir() if item.suffix.lower() in _SUFFIXES)
    example = f", such as {inside[0]}" if inside else " (there is none in it)"
    return "it is a folder", f"pass the path of a picture{example}"


def _missing(path: Path) -> tuple[str, str]:
    parent = path.parent
    if not parent.is_dir():
        return f"the folder {parent} does not exist", f"check the path (now in {Path.cwd()})"
    near = difflib.get_close_matches(path.name, [item.name for item in parent.iterdir()], n=3)
    where = parent.resolve()
    if near:
        return f"there is no such file in {where}", f"use one that is there: {', '.join(near)}"
    return f"there is no such file in {where}", "check the path"


def _download(url: str) -> bytes:
    if urlsplit(url).scheme.lower() not in {"http", "https"}:
        raise PhotoError(url, "only http and https are opened", "download it, and pass its path")
    if runtime.current().data_source == "embedded":
        raise PhotoError(
            url,
            'the data source is "embedded", so the network is not used',
            "choose another with COURSE_DATA_SOURCE=auto or cu.setup(data_source='auto'), or "
            "download the picture and pass its path",
        )
    try:
        return _web.read_bytes(url, limit=MAX_DOWNLOAD)
    except _web.DownloadError as error:
        raise PhotoError(
            url, error.reason, "open the address in a browser, save the picture, and pass its path"
        ) from error


# ---------------------------------------------------------------------------- decoding


@contextmanager
def _opened(file: Path | io.BytesIO, given: str, max_pixels: int) -> Iterator[Image.Image]:
    """Open the file and read its header; nothing is decoded yet."""
    try:
        start = _first_bytes(file)
    except OSError as error:
        problem = f"it cannot be read ({error.strerror or error})"
        raise PhotoError(given, problem, "check its permissions") from error
    if not start:
        raise PhotoError(given, "it is empty (0 bytes)", "download or copy it again")
    with _decoding(given, start), _pillow_limit(None):
        image = Image.open(file, formats=_known_formats())
    with image:
        yield image


def _first_bytes(file: Path | io.BytesIO) -> bytes:
    if isinstance(file, io.BytesIO):
        return file.getbuffer()[:512].tobytes()
    with file.open("rb") as stream:
        return stream.read(512)


def _known_formats() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]  # AVIF needs a recent Pillow


@contextmanager
def _decoding(given: str, start: bytes = b"") -> Iterator[None]:
    """Turn whatever Pillow raises on a broken file into a `PhotoError`."""
    try:
        yield
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError(given, *_what_it_is(start)) from error
    except _UnusableError as error:
        raise PhotoError(given, *error.args) from error
    except Image.DecompressionBombError as error:
        raise PhotoError(given, str(error), "make it smaller first") from error
    except MemoryError as error:
        raise PhotoError(given, "there is not enough memory for it", "make it smaller") from error
    except Exception as error:  # decoders of broken files raise nearly everything
        problem = f"the file is damaged or incomplete ({error})"
        raise PhotoError(given, problem, "download or copy it again") from error


def _what_it_is(start: bytes) -> tuple[str, str]:
    for offset, pattern, what, remedy in _IMPOSTORS:
        if re.match(pattern, start[offset:], re.IGNORECASE | re.DOTALL):
            return f"it is {what}", remedy
    return (
        "it is not an image in a format that is known here, or its start is damaged",
        f"use {', '.join(_known_formats()[:5])}; if it is one of these, download or copy it again",
    )


_limit_lock = threading.RLock()


@contextmanager
def _pillow_limit(pixels: int | None) -> Iterator[None]:
    """Set Pillow's own guard against decompression bombs, which is global, for a moment."""
    with _limit_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's half-way warning, and notes on broken EXIF
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _finish(image: Image.Image, given: str, max_side: int | None, max_pixels: int) -> Image.Image:
    """Decode, turn upright, convert and shrink; `image` itself keeps its pixels."""
    _check_size(image, given, max_pixels)
    with _decoding(given), _pillow_limit(max_pixels):
        if max_side is not None and image.format == "JPEG":
            # the decoder itself can skip detail: several times faster, far less memory
            image.draft(None, _fit(image.size, 2 * max_side))
        image.load()
        upright = _upright(image)
        rgb = _to_rgb(upright)
        if max_side is not None and max(rgb.size) > max_side:
            rgb = rgb.resize(_fit(rgb.size, max_side), Image.Resampling.LANCZOS)
    rgb.info = {}
    return rgb


def _check_size(image: Image.Image, given: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise PhotoError(
            given,
            f"it has {width} x {height} = {width * height / 1e6:.0f} million pixels, and the limit "
            f"is {max_pixels / 1e6:.0f} million, so that a small file cannot fill the memory",
            "make it smaller in an image editor, or, if you trust it, pass a larger max_pixels",
        )
    if width < 1 or height < 1:
        raise PhotoError(given, "it has no pixels", "use another picture")


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _upright(image: Image.Image) -> Image.Image:
    """Apply the rotation that the camera noted; a broken note is as good as none."""
    with suppress(Exception):
        return ImageOps.exif_transpose(image)
    return image.copy()


# ---------------------------------------------------------------------------- colours


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _grey_from_numbers(np.asarray(image), image)
    if image.mode in {"RGBA", "RGBa", "LA", "La", "PA"} or "transparency" in image.info:
        return _on_white(image)
    if image.mode == "P":
        return _to_srgb(image.convert("RGB"), image)
    return _to_srgb(image, image)


def _grey_from_numbers(values: np.ndarray, image: Image.Image) -> Image.Image:
    """Scale greys with more than 8 bits to 0..255; Pillow's own conversion would clip them.

    16-bit files span 0..65535. 32-bit integers and floats have no defined range: 0..255, 0..65535
    and, for floats, 0..1 are taken as such, anything else is stretched from its smallest to its
    largest value.
    """
    values = values.astype(np.float64)
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise _UnusableError("some of its values are not finite", "replace NaN and infinity first")
    if image.mode.startswith("I;16") or (image.format == "PNG" and image.mode == "I"):
        low, high = 0.0, 65535.0
    elif image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    elif low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    grey = (values - low) / max(high - low, 1e-12) * 255
    return Image.fromarray(grey.round().astype(np.uint8)).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """Composite on white: what is transparent has no colour of its own, and pages are white."""
    if image.mode == "La":  # Pillow converts this one to nothing but LA
        image = image.convert("LA")
    with_alpha = image.convert("RGBA")
    alpha = with_alpha.getchannel("A")
    color = _to_srgb(with_alpha.convert("RGB"), image)
    return Image.composite(color, Image.new("RGB", image.size, "white"), alpha)


def _to_srgb(image: Image.Image, original: Image.Image) -> Image.Image:
    """Convert by the embedded colour profile if there is a usable one, else as Pillow does."""
    profile = original.info.get("icc_profile")
    if profile:
        with suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(embedded).lower():
                target = ImageCms.createProfile("sRGB")
                return ImageCms.profileToProfile(image, embedded, target, outputMode="RGB")
    return image.convert("RGB")
