"""Data sets as people have them: other programs, other machines, other habits; and damaged ones."""

from __future__ import annotations

import io
import os
import re
import unicodedata
import zipfile
from pathlib import Path

import _made
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from course_utils.datasets import DatasetError, load_dataset

ROOT = "GradCAM-Dataset-main/"
PICTURES = [name for name in _made.vegetables(8) if name.endswith(".jpg")]


@pytest.fixture(autouse=True)
def _fresh(fresh_assets):
    """Every test here starts with an empty cache."""


def load(folder: Path, name: str = "vegetables", **options):
    return load_dataset(name, folder=folder, verbose=False, **options)


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def count(loaded) -> int:
    """Return the number of pictures; decode each, and compare its label with its file's name."""
    for split in loaded:
        split.to_tensors(8, progress=False)
        for path, label in zip(split.paths, split.labels, strict=True):
            assert Path(path).name.lower().startswith(split.classes[label] + "_")
    return sum(map(len, loaded))


def encoded(kind: str, seed: int = 0) -> bytes:
    """Make a picture as a file of this kind."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(_made.picture(seed))).save(buffer, kind)
    return buffer.getvalue()


# ---------------------------------------------------------------- pictures of every kind


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        (".jfif", "JPEG"), (".JPG", "JPEG"), (".jpe", "JPEG"), (".tif", "TIFF"), (".TIFF", "TIFF"),
        (".PNG", "PNG"), (".webp", "WEBP"), (".bmp", "BMP"), (".gif", "GIF"), (".jp2", "JPEG2000"),
        (".ppm", "PPM"),
    ],
)  # fmt: skip
def test_every_kind_that_pillow_opens_is_a_picture(suffix, kind, tmp_path):
    files = {}
    for number, (name, data) in enumerate(_made.smoking().items()):
        other = number % 2 == 0
        files[name.replace(".jpg", suffix) if other else name] = encoded(kind) if other else data
    assert count(load(_made.write(tmp_path / "s", files), "smoking")) == len(files) == 22
    others = ("eggplant", "mushroom")
    table = [f"train_images/cucumber_{i}{suffix},0" for i in range(20)]
    table += [f"train_images/{title}_{i}.jpg,{title}" for title in others for i in range(20)]
    files = {"train.csv": _made.table(table)}
    files |= {f"train_images/cucumber_{i}{suffix}": encoded(kind, i) for i in range(20)}
    files |= {f"train_images/{t}_{i}.jpg": _made.picture(i) for t in others for i in range(20)}
    path = put(tmp_path / "v.zip", _made.pack(files))
    assert count(load(path)) == 60


def test_what_is_no_picture_is_counted_and_named(tmp_path):
    extra = {f"Training/smoking_{i}.heic": b"ftypheic" for i in range(7)}
    folder = _made.write(tmp_path / "s", _made.smoking() | extra | {"README.md": b"about"})
    with pytest.warns(
        UserWarning, match=r"7 of the files in .* left out: .*_0.heic .*; and 2 more"
    ):
        loaded = load(folder, "smoking")
    assert count(loaded) == 22
    assert len(loaded.skipped) == 7
    assert "7 files skipped" in str(loaded)
    twice = [("mine/", name) for name in _made.smoking()] + [
        ("a/copy/", n) for n in _made.smoking()
    ]
    copies = {"".join(name): _made.smoking()[name[1]] for name in twice}
    folder = _made.write(tmp_path / "t", copies | {"a/copy/README.md": b"no picture, no concern"})
    with pytest.warns(UserWarning, match="22 of the files .* lies outside of the data set"):
        assert count(load(folder, "smoking")) == 22


# ---------------------------------------------------------------- archives and folders


def windows(files: dict[str, bytes]) -> bytes:
    """Pack a zip as Compress-Archive of PowerShell 5 does: backslashes, entries for folders."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for folder in sorted({name.rpartition("/")[0] for name in files} - {""}):
            archive.writestr(zipfile.ZipInfo(folder.replace("/", "\\") + "\\"), b"")
        for name, data in files.items():
            info = zipfile.ZipInfo("x")
            info.filename = name.replace("/", "\\")
            archive.writestr(info, data)
    return buffer.getvalue()


def macos(files: dict[str, bytes]) -> dict[str, bytes]:
    """Add what macOS, Windows and Jupyter add to folders and archives."""
    clutter = {f"__MACOSX/{n.rpartition('/')[0]}/._{n.rpartition('/')[2]}": b"\0" for n in files}
    clutter |= {f"{ROOT}.DS_Store": b"\0", f"{ROOT}train_images/Thumbs.db": b"\0"}
    copy = f"{ROOT}train_images/.ipynb_checkpoints/cucumber_1-checkpoint.jpg"
    return files | clutter | {copy: files[f"{ROOT}train_images/cucumber_1.jpg"]}


@pytest.mark.parametrize("form", ["windows", "macos", "ZIP", "no suffix", "tar", "folder"])
@pytest.mark.parametrize("place", ["itself", "in a folder", "in an archive", "one level deeper"])
def test_archives_and_folders_of_every_origin(form, place, tmp_path, recwarn):
    files = _made.vegetables(8)
    name, data = {
        "windows": ("v.zip", windows(files)),
        "macos": ("v.zip", _made.pack(macos(files))),
        "ZIP": ("V.ZIP", _made.pack(files)),
        "no suffix": ("archive", _made.pack(files)),
        "tar": ("v.tar.gz", _made.pack_tar(files)),
        "folder": ("", b""),
    }[form]
    inside = macos(files) if form == "folder" else {name: data, "readme.txt": b"hello"}
    if place != "itself" and form == "no suffix":
        pytest.skip("a file without a suffix is an archive only if it is the one that is named")
    if place == "in an archive":
        path = put(tmp_path / "outer.zip", _made.pack(inside))
    else:
        deeper = "a/b/" if place == "one level deeper" else ""
        path = _made.write(tmp_path / "x", {deeper + n: d for n, d in inside.items()})
        path = path / name if place == "itself" and form != "folder" else path
    assert count(load(path)) == 24
    assert not recwarn.list
    assert all(file.startswith("train_images/") for file in load(path).train.paths)


@pytest.mark.parametrize("table", ["NFC", "NFD"])
@pytest.mark.parametrize("disk", ["NFC", "NFD"])
@pytest.mark.parametrize("packed", [True, False])
def test_accents_in_either_unicode_form(table, disk, packed, tmp_path):
    def accented(name: str, form: str) -> str:
        return unicodedata.normalize(form, name.replace("_", "_é"))

    files = _made.vegetables(8)
    rows = files.pop(f"{ROOT}train.csv").decode().replace("_images", "-images")
    files = {accented(n.replace("_images", "-images"), disk): d for n, d in files.items()}
    files[f"{ROOT}train.csv"] = (
        b"img_path,label\n" + accented(rows, table).partition("\n")[2].encode()
    )
    path = tmp_path / "v"
    path = put(path, _made.pack(files)) if packed else _made.write(path, files)
    assert count(load(path)) == 24


def test_accents_that_macos_packs_without_saying_how(tmp_path):
    """Finder writes names in UTF-8, without the flag of the zip format that says so."""
    files = {n.replace("train_images", "train_imagesZZ"): d for n, d in _made.vegetables(8).items()}
    table = files.pop(f"{ROOT}train.csv").decode().replace("_images/", "_imagesé/")
    files[f"{ROOT}train.csv"] = table.encode()
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    path = put(tmp_path / "v.zip", stored.getvalue().replace(b"_imagesZZ/", "_imagesé/".encode()))
    with zipfile.ZipFile(path) as archive:
        assert not any("é" in name for name in archive.namelist())
    assert count(load(path)) == 24


def test_a_folder_that_cannot_be_read_is_not_passed_over(tmp_path, monkeypatch):
    folder, scan = _made.write(tmp_path / "s", _made.smoking()), os.scandir

    def scandir(path):
        if str(path).endswith("Testing"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DatasetError, match="Permission denied.*Testing"):
        load(folder, "smoking")


def test_a_file_that_is_there_twice_is_refused(tmp_path):
    files = _made.vegetables(8) | {PICTURES[0].replace("/", "\\"): _made.picture()}
    with pytest.raises(DatasetError, match="twice"):
        load(put(tmp_path / "v.zip", _made.pack(files)))


# ---------------------------------------------------------------- tables


def as_table(header: str, row: str, **options) -> dict[str, bytes]:
    """Return the vegetables with another train.csv; `row` is a format of {path} and {label}."""
    files = _made.vegetables(8)
    lines = [header]
    for name in PICTURES:
        path, title = name.removeprefix(ROOT), name.split("/")[-1].split("_")[0]
        label = _made.VEGETABLES.index(title)
        lines.append(row.format(path=path, file=path.split("/")[1], label=label, title=title))
    text = options.get("end", "\n").join([*lines, ""])
    files[f"{ROOT}train.csv"] = text.encode(options.get("encoding", "utf-8"))
    return files


TABLES = {
    "absolute": ("img_path,label", "/home/someone/data/train_images/{file},{label}"),
    "absolute, other folder": ("img_path,label", "/somewhere/else/{file},{label}"),
    "windows": ("img_path,label", "C:\\Users\\me\\train_images\\{file},{label}"),
    "backslashes": ("img_path,label", ".\\train_images\\{file},{label}"),
    "name only": ("img_path,label", "{file},{label}"),
    "float labels": ("img_path,label", "{path},{label}.0"),
    "class names": ("img_path,label", "{path}, {title}"),
    "capitals": ("IMG_PATH,Label", "{path},{label}"),
    "semicolon": ("img_path;label", "{path};{label}"),
    "tab": ("img_path\tlabel", "{path}\t{label}"),
    "blanks": (" img_path , label ", " {path} ,  {label} "),
    "quotes": ('"img_path","label"', '"{path}","{label}"'),
    "quotes after blanks": ('"img_path", "label"', '"{path}", "{label}"'),
    "index column": (",img_path,label", "7,{path},{label}"),
    "Excel's announcement": ("sep=;\nimg_path;label", "{path};{label}"),
    "other order": ("label,img_path,note", "{label},{path},"),
}


@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("program", ["unix", "old mac", "excel", "notepad"])
def test_tables_as_programs_write_them(form, program, tmp_path):
    options = {
        "unix": {},
        "old mac": {"end": "\r", "encoding": "utf-8-sig"},
        "excel": {"end": "\r\n", "encoding": "utf-16"},
        "notepad": {"end": "\r\n\r\n", "encoding": "utf-8-sig"},
    }[program]
    files = as_table(*TABLES[form], **options)
    assert count(load(_made.write(tmp_path / "v", files))) == 24


def test_dashes_and_quotes_in_names_as_excel_stores_them(tmp_path):
    files = {n.replace("_images/", "_images – “mine”/"): d for n, d in _made.vegetables(8).items()}
    rows = files.pop(f"{ROOT}train.csv").decode().replace("_images/", "_images – “mine”/")
    files[f"{ROOT}train.csv"] = rows.encode("cp1252")
    assert count(load(_made.write(tmp_path / "v", files))) == 24


def test_names_in_other_case_are_found(tmp_path):
    files = {n.replace("cucumber_", "CUCUMBER_"): d for n, d in _made.vegetables(8).items()}
    assert count(load(_made.write(tmp_path / "v", files))) == 24


def test_bytes_that_are_not_utf_8_are_read(tmp_path):
    files = as_table("img_path,label,gruß", "{path},{label},schön", encoding="latin-1")
    assert count(load(_made.write(tmp_path / "v", files))) == 24


@pytest.mark.parametrize("label", ["-1", "3", "1.5", "", "carrot", "0 1", "NA", "nan", "²"])
def test_reasons_come_row_by_row_where_nothing_can_be_read(label, tmp_path):
    folder = _made.write(tmp_path / "v", as_table("img_path,label", "{path}," + label))
    wanted = f"train.csv, line 2: 'train_images/cucumber_1.jpg' has the label {label!r}, which"
    with pytest.raises(DatasetError, match=re.escape(wanted)):
        load(folder)


def test_empty_lines_count(tmp_path):
    files = _made.vegetables(8)
    files[f"{ROOT}train.csv"] = b"img_path,label\n\n\ngone.jpg,0\n"
    with pytest.raises(DatasetError, match="line 4: 'gone.jpg' is not in the data set"):
        load(_made.write(tmp_path / "v", files))


def test_a_table_may_lie_beside_its_pictures(tmp_path, recwarn):
    files = {n: data for n, data in _made.vegetables(8).items() if not n.endswith("README.md")}
    table = files[f"{ROOT}train.csv"].replace(b"train_images/", b"")
    beside = {n.replace("train_images/", ""): d for n, d in files.items()}
    folder = _made.write(tmp_path / "v", beside | {f"{ROOT}train.csv": table})
    assert load(folder).skipped == ()
    assert not recwarn
    with pytest.raises(DatasetError, match="files such as train.csv; it holds nothing"):
        load(_made.write(tmp_path / "empty", {"inside/.hidden": b""}))


def test_a_folder_of_several_data_sets_gives_the_one_that_is_asked_for(tmp_path):
    batches = {"cifar-10-batches-py/data_batch_1": b"CIFAR-10's, whole or not"}
    folder = _made.write(tmp_path / "all", _made.smoking() | batches)
    assert count(load(folder, "smoking")) == 22


def test_a_row_is_never_taken_for_another_picture(tmp_path):
    files = _made.vegetables(8)
    files[f"{ROOT}more/cucumber_1.jpg"] = files[f"{ROOT}train_images/cucumber_1.jpg"]
    rows = [f"{name.split('/')[-1]},0" for name in PICTURES[:1]]
    files[f"{ROOT}train.csv"] = _made.table(rows)
    with pytest.raises(DatasetError, match="line 2: 'cucumber_1.jpg' is not in the data set"):
        load(_made.write(tmp_path / "v", files))


# ---------------------------------------------------------------- fuzz

FUZZ = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
EMBEDDED = _made.pack(_made.embedded_vegetables(4, 3))


@FUZZ
@given(changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_zip_loads_or_is_a_dataset_error(changes, tmp_path):
    data = bytearray(EMBEDDED)
    for place, value in changes:
        data[-1 - place % len(data)] = value
    path = put(tmp_path / "v.zip", bytes(data))
    try:
        loaded = load(path)
        for split in loaded:
            split.to_tensors(progress=False)
            assert split.masks is None or len(split.masks) == len(split)
    except DatasetError:
        pass


@FUZZ
@given(
    data=st.binary(max_size=60)
    | st.builds(
        lambda start, text: start + text.encode("utf-8", "surrogatepass"),
        st.sampled_from([b"img_path,label\n", b"img_path;label\r", b"\xff\xfei\0", b'"img_path']),
        st.text(alphabet='a,;\t\n\r"\0é0.\ud800', max_size=40),
    )
)
@example(data=b"img_path,label\n,,\x00")
def test_any_bytes_as_a_table_load_or_are_a_dataset_error(data, tmp_path):
    files = _made.vegetables(4)
    folder = _made.write(tmp_path / "v", files)
    put(folder / ROOT / "train.csv", data)
    with pytest.raises(DatasetError):
        load(folder)
