"""The catalogue of photographs, and opening every kind of picture, whole or broken."""

from __future__ import annotations

import io
import re
import struct
import time
import tracemalloc
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from _server import disguised_html, html, refused_url, silent, status, truncated
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from course_utils.photos import PHOTOS, PhotoError, load_photo, photo, photo_names

ROOT = Path(__file__).resolve().parents[1]
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def pixels(source, **options) -> np.ndarray:
    image = load_photo(source, **options)
    assert image.mode == "RGB"
    return np.asarray(image)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def assert_close(actual, expected, levels: int) -> None:
    assert_allclose(np.asarray(actual, float), np.broadcast_to(expected, actual.shape), atol=levels)


@pytest.fixture
def landscape() -> Image.Image:
    """3 x 2 pixels, all different: every wrong turn shows."""
    return Image.fromarray(np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 14)


@pytest.fixture
def noise() -> Image.Image:
    """Return a picture that does not compress: half of its file is half of the picture."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


# ---------------------------------------------------------------- the catalogue


def test_catalogue_has_every_group():
    counts = Counter(entry.group for entry in PHOTOS.values())
    assert counts == {"imagenet": 20, "skimage": 8, "cifar10": 20, "paintings": 7}
    assert photo_names() == list(PHOTOS)
    assert {"bull_mastiff", "jeep_2", "chelsea", "cifar10_cat_00", "waves"} <= set(PHOTOS)


def test_imagenet_labels_and_categories_are_those_of_torchvision():
    from torchvision.models import SqueezeNet1_1_Weights

    categories = SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"]
    for name in photo_names("imagenet"):
        entry = photo(name)
        assert entry.category == categories[entry.label].lower()
        assert entry.path.name.endswith(f"_{entry.label}.jpg")
    assert all(entry.label is None for entry in PHOTOS.values() if entry.group != "imagenet")


def test_every_photograph_opens_and_is_described():
    for name, entry in PHOTOS.items():
        assert entry.name == name
        assert min(pixels(name).shape[:2]) >= 32
        assert entry.title[0].isupper()
        assert entry.credit
        assert entry.licence
        assert entry.clear or entry.note, f"{name}: say what is unclear"
    assert_array_equal(pixels("chelsea"), pixels(photo("chelsea")))


def test_names_can_be_chosen():
    assert "bald_eagle" in photo_names("imagenet")
    assert "chelsea" not in photo_names("imagenet")
    with pytest.raises(ValueError, match="group='imgnet' is unknown: did you mean 'imagenet'"):
        photo_names("imgnet")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("bald eagel", "bald_eagle"), ("Bull-Mastiff", "bull_mastiff"), ("dog", "cifar10_dog_12")],
)
def test_unknown_names_offer_close_ones(wrong, right):
    with pytest.raises(ValueError, match=f"did you mean .*{right}"):
        photo(wrong)
    with pytest.raises(PhotoError, match=f"neither in the catalogue nor a file.*{right}"):
        load_photo(wrong)


# ---------------------------------------------------------------- where a picture comes from


def test_every_source_gives_the_same_pixels(landscape, tmp_path, monkeypatch):
    data = encoded(landscape)
    path = tmp_path / "my picture.png"
    path.write_bytes(data)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").write_bytes(data)
    sources = (
        path, str(path), path.name, "plain",
        data, bytearray(data), memoryview(data), io.BytesIO(data), landscape,
    )  # fmt: skip
    for source in sources:
        assert_array_equal(pixels(source), np.asarray(landscape), err_msg=str(source))


def test_given_image_stays_as_it_is():
    image = Image.new("RGBA", (40, 20), (10, 20, 30, 0))
    image.getexif()[0x0112] = 6
    assert load_photo(image).size == (20, 40)
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGBA", (40, 20), (10, 20, 30, 0))
    color = Image.new("RGB", (2, 2))
    load_photo(color).putpixel((0, 0), RED)
    assert color.getpixel((0, 0)) == (0, 0, 0)


def test_given_jpeg_that_is_not_decoded_yet_stays_as_it_is(noise):
    image = Image.open(io.BytesIO(encoded(noise, "JPEG")))
    assert load_photo(image).size == (64, 64)
    assert image.size == (64, 64)
    assert np.asarray(image).shape == (64, 64, 3)


@pytest.mark.parametrize("source", [np.zeros((4, 4, 3), np.uint8), None, 3])
def test_other_types_are_refused(source):
    with pytest.raises(PhotoError, match=f"{type(source).__name__} cannot be used.*fromarray"):
        load_photo(source)


EXOTIC = ("BMP", "DDS", "DIB", "GIF", "ICO", "IM", "JPEG2000", "MPO", "PCX", "PPM", "QOI", "SGI",
          "SPIDER", "TGA", "TIFF", "WEBP")  # fmt: skip


@pytest.mark.parametrize("kind", EXOTIC)
def test_everything_that_pillow_opens_is_a_picture(kind, noise, tmp_path):
    image = noise.convert("F") if kind == "SPIDER" else noise
    path = tmp_path / "PICTURE.JFIF"  # the content counts, not the name
    image.save(path, kind)
    assert load_photo(path).size == (64, 64)


def test_formats_that_run_other_programs_are_refused(tmp_path):
    path = tmp_path / "picture.eps"
    Image.new("RGB", (4, 4)).save(path)
    with pytest.raises(PhotoError, match="export it as JPEG"):
        load_photo(path)


# ---------------------------------------------------------------- modes


def test_grey_and_bilevel():
    grey = np.array([[0, 100, 255]], np.uint8)
    assert_array_equal(pixels(encoded(Image.fromarray(grey))), np.repeat(grey[..., None], 3, 2))
    assert_array_equal(pixels(encoded(Image.new("1", (2, 2), 1))), np.full((2, 2, 3), 255))


def test_palette():
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    assert_array_equal(pixels(encoded(image)), [[RED, BLUE]])
    assert_array_equal(pixels(encoded(image, transparency=1)), [[RED, WHITE]])
    assert_array_equal(pixels(encoded(image, "GIF")), [[RED, BLUE]])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGBa", "La"])
def test_transparency_is_composited_on_white(mode):
    image = Image.new("LA" if mode == "La" else "RGBA", (3, 1))
    for column, alpha in enumerate((255, 102, 0)):
        image.putpixel((column, 0), (0,) * (len(image.mode) - 1) + (alpha,))
    assert_array_equal(pixels(image.convert(mode))[0, :, 0], [0, 153, 255])


def test_palette_with_alpha():
    image = Image.new("PA", (2, 1))
    image.putpalette([*RED, 0, 0, 0])
    image.putpixel((0, 0), (0, 255))
    image.putpixel((1, 0), (1, 102))
    assert_array_equal(pixels(image), [[RED, (153, 153, 153)]])


def test_transparent_color_of_a_picture_without_alpha():
    image = Image.new("RGB", (2, 1), RED)
    image.putpixel((1, 0), GREEN)
    assert_array_equal(pixels(encoded(image, transparency=GREEN)), [[RED, WHITE]])
    grey = Image.fromarray(np.array([[10, 20]], np.uint8))
    assert_array_equal(pixels(encoded(grey, transparency=20))[0, :, 0], [10, 255])


@pytest.mark.parametrize(("inks", "color"), [
    ((0, 255, 255, 0), RED), ((255, 0, 255, 0), GREEN), ((0, 0, 0, 0), WHITE),
    ((0, 0, 0, 255), (0, 0, 0)),
])  # fmt: skip
def test_inks_of_a_printer(inks, color):
    image = Image.new("CMYK", (16, 16), inks)
    jpeg = encoded(image, "JPEG", quality=95)
    assert b"Adobe" in jpeg  # such files store the inks inverted
    assert_close(pixels(jpeg), color, 3)
    assert_array_equal(pixels(encoded(image, "TIFF")), np.broadcast_to(color, (16, 16, 3)))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(kind):
    values = np.array([[0, 257, 12345, 40000, 65535]], np.uint16)
    result = pixels(encoded(Image.fromarray(values), kind))
    assert_array_equal(result[0, :, 0], [0, 1, 48, 156, 255])
    assert_array_equal(result[..., 0], result[..., 2])


def test_16_bit_big_endian_grey():
    values = np.array([[0, 12345, 65535]], ">u2")
    image = Image.frombytes("I;16B", (3, 1), values.tobytes())
    assert_array_equal(pixels(image)[0, :, 0], [0, 48, 255])


@pytest.mark.parametrize(("values", "expected"), [
    (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
    (np.array([[0, 32896, 65535]], np.int32), [0, 128, 255]),
    (np.array([[-100, 0, 100]], np.int32), [0, 128, 255]),
    (np.array([[70000, 70000]], np.int32), [0, 0]),
    (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
    (np.array([[0, 0.25, 200]], np.float32), [0, 0, 200]),
    (np.array([[-1, 0, 3]], np.float32), [0, 64, 255]),
])  # fmt: skip
def test_numbers_without_a_defined_range(values, expected):
    assert_array_equal(pixels(Image.fromarray(values))[0, :, 0], expected)
    assert_array_equal(pixels(encoded(Image.fromarray(values), "TIFF"))[0, :, 0], expected)


def test_numbers_that_are_none():
    with pytest.raises(PhotoError, match="not finite"):
        load_photo(Image.fromarray(np.array([[0, np.nan]], np.float32)))


def test_other_color_spaces():
    assert_array_equal(pixels(Image.new("HSV", (1, 1), (0, 255, 255))), [[RED]])
    assert_array_equal(pixels(Image.new("YCbCr", (1, 1), (255, 128, 128))), [[WHITE]])
    assert_close(pixels(Image.new("LAB", (1, 1), (255, 128, 128))), WHITE, 1)


def test_one_pixel():
    image = Image.new("RGB", (1, 1), (1, 2, 3))
    for kind in ("PNG", "BMP", "TIFF", "GIF"):
        assert_array_equal(pixels(encoded(image, kind)), [[(1, 2, 3)]])
    assert load_photo(encoded(image, "JPEG")).size == (1, 1)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_an_animation_the_first_frame_counts(kind):
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, BLUE)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert_close(pixels(data), RED, 3)


# ---------------------------------------------------------------- rotation

# what a viewer must do to the stored pixels, by the EXIF orientation that asks for it
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_rotation_is_applied(landscape, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(landscape, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert_array_equal(pixels(data), TURNS[orientation](np.asarray(landscape)))


def test_broken_exif_is_ignored(landscape):
    data = encoded(landscape, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert_array_equal(pixels(data), np.asarray(landscape))


# ---------------------------------------------------------------- colour profiles


def linear_profile() -> bytes:
    """Make a minimal ICC profile: the primaries of sRGB, but linear light (gamma 1)."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, 256) + b"\0\0"
    text = b"linear light\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(79)
    tags = {
        b"desc": description + bytes(-len(description) % 4),
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.43607, 0.22249, 0.01392),
        b"gXYZ": xyz(0.38515, 0.71687, 0.09708),
        b"bXYZ": xyz(0.14307, 0.06061, 0.71410),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    size = struct.pack(">I", offset + len(body))
    white = xyz(0.9642, 1.0, 0.8249)[8:]
    header = size + b"\0\0\0\0\x02\x10\0\0mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28) + white
    return header + bytes(128 - len(header)) + table + body


def test_color_profile_is_converted_to_srgb():
    """Half the light is value 188 in sRGB (IEC 61966-2-1)."""
    image = Image.new("RGB", (4, 4), (128, 128, 128))
    assert_close(pixels(encoded(image, icc_profile=linear_profile())), 188, 1)
    image.putalpha(255)
    assert_close(pixels(encoded(image, icc_profile=linear_profile())), 188, 1)


def test_useless_color_profile_is_ignored(landscape):
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"garbage", linear_profile()[:200]):
        data = encoded(landscape, icc_profile=profile)
        assert_array_equal(pixels(data), np.asarray(landscape))
    grey = encoded(Image.new("L", (2, 2), 128), icc_profile=linear_profile())  # of another space
    assert_array_equal(pixels(grey), np.full((2, 2, 3), 128))


# ---------------------------------------------------------------- size


def bomb(side: int) -> bytes:
    """Make a valid bilevel PNG of side x side zeros: a few kB that decode to side² pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + side // 8)) for _ in range(side)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [20_000, 12_000])
def test_decompression_bomb_is_refused_before_decoding(side, tmp_path):
    data = bomb(side)
    assert len(data) < 100_000
    path = tmp_path / "bomb.png"
    path.write_bytes(data)
    start = time.monotonic()
    tracemalloc.start()
    for source in (data, path):
        with pytest.raises(PhotoError, match=r"pixels.*MAX_IMAGE_PIXELS"):
            load_photo(source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6
    assert time.monotonic() - start < 2


def test_limit_is_pillows_own(noise, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64)
    assert load_photo(encoded(noise)).size == (64, 64)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 - 1)
    for source in (noise, encoded(noise)):
        with pytest.raises(PhotoError, match="64 x 64.*MAX_IMAGE_PIXELS"):
            load_photo(source)
    with pytest.raises(PhotoError, match="0 x 5"):
        load_photo(Image.new("RGB", (0, 5)))


# ---------------------------------------------------------------- broken files


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_truncated_files_are_named(noise, kind, share, tmp_path):
    data = encoded(noise, kind)
    path = tmp_path / "half.img"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PhotoError, match=r"half\.img. cannot be used.*copy it again"):
        load_photo(path)


def test_corrupt_files_never_end_in_another_error(noise):
    """Flip bytes everywhere: the picture opens, or a PhotoError says why not."""
    generator = np.random.default_rng(0)
    refused = 0
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        data = np.frombuffer(encoded(noise.resize((16, 16)), kind), np.uint8)
        for _ in range(60):
            damaged = data.copy()
            where = generator.integers(0, len(data), 4)
            damaged[where] = generator.integers(0, 256, 4)
            try:
                assert load_photo(damaged.tobytes()).mode == "RGB"
            except PhotoError:
                refused += 1
    assert refused > 60


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"just some text",
        b"\n<!DOCTYPE html><html>",
        b"<?xml version='1.0'?>\n<svg xmlns=''>",
        b"%PDF-1.7",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"\x00\x00\x00\x18ftypheic\x00\x00",
        b"PK\x03\x04....",
        b"version https://git-lfs.github.com/spec/v1\n",
    ],
)
def test_other_files_are_shown_by_their_first_bytes(data, tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    start = re.escape(repr(data[:24]))
    for source in (path, data, io.BytesIO(data)):
        with pytest.raises(PhotoError, match=f"cannot be used.*begins with {start}.*export"):
            load_photo(source)


def test_paths_that_lead_nowhere(tmp_path, noise, monkeypatch):
    noise.save(tmp_path / "my_dog.png")
    with pytest.raises(PhotoError, match="nor a file in .*did you mean 'my_dog.png'"):
        load_photo(tmp_path / "my_dgo.png")
    with pytest.raises(PhotoError, match="nor a file in .*missing"):
        load_photo(tmp_path / "missing" / "my_dog.png")
    with pytest.raises(PhotoError, match="directory|denied"):
        load_photo(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PhotoError, match="my_dog.png"):
        load_photo("mydog.png")
    for nonsense in ("x" * 5000 + ".jpg", "null\0byte.jpg", "~nobody-here/x.jpg", ""):
        with pytest.raises(PhotoError, match="What to do"):
            load_photo(nonsense)


# ---------------------------------------------------------------- addresses


@pytest.mark.usefixtures("fresh_assets")
class TestAddress:
    def test_picture(self, server, landscape):
        url = server.serve("/a/picture.png?size=3", encoded(landscape))
        assert_array_equal(pixels(url), np.asarray(landscape))

    @pytest.mark.parametrize(
        ("response", "message"),
        [
            (html(), "a web page instead"),
            (disguised_html(), "begins with b.*(?i:doctype html).*picture's address"),
            (status(404), "answered 404"),
            (b"", "begins with b''"),
            (b"no picture", "begins with b'no picture'"),
        ],
        ids=["html", "disguised", "404", "empty", "text"],
    )
    def test_answers_that_are_no_picture(self, server, response, message):
        url = server.serve("/picture.png", response)
        with pytest.raises(PhotoError, match=f"^{re.escape(url)} cannot be used.*{message}"):
            load_photo(url)

    def test_truncated_transfer(self, server, noise):
        url = server.serve("/picture.png", truncated(encoded(noise)))
        with pytest.raises(PhotoError, match="IncompleteRead"):
            load_photo(url)

    def test_nobody_answers(self, server, monkeypatch):
        monkeypatch.setattr("course_utils.assets.DECIDE_SECONDS", 0.5)
        start = time.monotonic()
        with pytest.raises(PhotoError, match="refused.*pass its path"):
            load_photo(refused_url("/picture.png"))
        with pytest.raises(PhotoError, match="no answer within 3 s"):
            load_photo(server.serve("/picture.png", silent()))
        assert time.monotonic() - start < 10

    def test_large_download_is_cut_off(self, server):
        with pytest.raises(PhotoError, match="50 MB"):
            load_photo(server.serve("/picture.png", bytes(50_000_001)))

    def test_offline(self, server, landscape, monkeypatch):
        monkeypatch.setenv("COURSE_DATA_SOURCE", "embedded")
        url = server.serve("/picture.png", encoded(landscape))
        with pytest.raises(PhotoError, match="embedded.*data_source='auto'"):
            load_photo(url)
        assert server.count() == 0

    def test_other_schemes(self):
        with pytest.raises(PhotoError, match="ftp"):
            load_photo("ftp://127.0.0.1/picture.png")
