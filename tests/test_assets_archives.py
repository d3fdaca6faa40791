"""Archives that must not be trusted, as programs write them, and damaged."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import _made
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import archives
from course_utils.datasets import DatasetError
from course_utils.datasets.layouts import Files

FILES = {"set/a.jpg": b"a" * 900, "set/deeper/b.jpg": b"b" * 700}


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def zip_with(path: Path, *entries) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set/good.jpg", b"good")
        for entry, data in entries:
            archive.writestr(entry, data)
    return path


def tar_with(path: Path, info: tarfile.TarInfo, data: bytes = b"") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        good = tarfile.TarInfo("set/good.jpg")
        good.size = 4
        archive.addfile(good, io.BytesIO(b"good"))
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return path


def refused(path: Path) -> str:
    """Return why reading is refused, which writes nothing."""
    before, content = set(path.parent.rglob("*")), path.read_bytes()
    with pytest.raises(DatasetError) as caught:
        Files(path)
    assert set(path.parent.rglob("*")) == before
    assert path.read_bytes() == content
    assert archives.problem(path, read=True) in str(caught.value)
    assert "delete" not in str(caught.value).lower()
    assert str(caught.value).startswith(f"{path} cannot be read: ")
    return str(caught.value)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "name",
    [
        "../evil.jpg",
        "set/../../evil.jpg",
        "set\\..\\..\\evil.jpg",
        "/tmp/evil.jpg",
        "\\\\server\\share\\evil.jpg",
        "C:/evil.jpg",
        "C:evil.jpg",
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_entries_outside_the_folder_are_refused(kind, name, tmp_path):
    if kind == "zip":
        info = zipfile.ZipInfo("placeholder")
        info.filename = name  # as it is: the constructor would mend it
        path = zip_with(tmp_path / "set.zip", (info, b"evil"))
    else:
        path = tar_with(tmp_path / "set.tar.gz", tarfile.TarInfo(name), b"evil")
    assert "leads out of the folder" in refused(path)


@pytest.mark.parametrize("kind", ["zip", tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind, tmp_path):
    """Among them the classic: a link to a folder outside, then a file 'below' it."""
    if kind == "zip":
        link = _made.link_entry("set/link", str(tmp_path))
        path = zip_with(tmp_path / "set.zip", link, ("set/link/evil.jpg", b"evil"))
    else:
        info = tarfile.TarInfo("set/link")
        info.type, info.linkname = kind, "/etc/passwd"
        path = tar_with(tmp_path / "set.tar.gz", info)
    assert "'set/link' is a link or a device" in refused(path)
    assert not (tmp_path / "evil.jpg").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_files_that_are_there_twice_are_refused(tmp_path):
    path = zip_with(tmp_path / "set.zip", ("set/a", b"1"), ("set/a", b"2"))
    assert "it holds 'set/a' twice" in refused(path)


def test_encrypted_entries_are_refused(tmp_path):
    path = zip_with(tmp_path / "set.zip")
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag, in the local header and in the list at the end
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "encrypted" in archives.problem(path, read=True)
    with pytest.raises(DatasetError, match="set/good.jpg in .* cannot be read: .*encrypted"):
        Files(path).read("set/good.jpg")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_decompression_bombs_are_refused(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "SMALL_BYTES", 1_000_000)
    if kind == "zip":
        path = zip_with(tmp_path / "set.zip", ("set/bomb", bytes(2_000_000)))
    else:
        path = tar_with(tmp_path / "set.tar.gz", tarfile.TarInfo("set/bomb"), bytes(2_000_000))
    assert "unpacks to more than" in refused(path)
    monkeypatch.setattr(archives, "SMALL_BYTES", 3_000_000)
    assert set(Files(path)) == {"set/good.jpg", "set/bomb"}
    monkeypatch.setattr(archives, "MAX_FILES", 1)
    assert "unpacks to more than" in refused(path)


@pytest.mark.parametrize("name", ["photos.rar", "photos.7z", "photos.zip", "photos"])
def test_other_formats_are_named_and_kept(name, tmp_path):
    path = put(tmp_path / name, b"Rar!\x1a\x07\x01\x00 and more")
    reason = refused(path)
    assert ".zip, .tar, .tar.gz, .tar.bz2 or .tar.xz" in reason
    assert "pack the folder as .zip" in reason


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_cut_archives_are_refused(kind, tmp_path):
    pictures = {f"set/{i}.jpg": os.urandom(3_000) for i in range(9)}
    whole = _made.pack(pictures) if kind == "zip" else _made.pack_tar(pictures)
    path = put(tmp_path / f"set.{kind}", whole[: len(whole) * 2 // 3])
    refused(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_mutated_archives_are_read_or_raise_one_error(data, tmp_path_factory):
    whole = bytearray(data.draw(st.sampled_from([_made.pack(FILES), _made.pack_tar(FILES)])))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = put(tmp_path_factory.getbasetemp() / "fuzz" / "set.zip", bytes(whole))
    try:
        held = Files(path)
    except DatasetError:
        return
    assert all(isinstance(content, bytes | Exception) for content in held.values())


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize("name", ["SET.ZIP", "set.zip", "set.tar", "set.tar.gz", "set"])
def test_the_format_is_known_by_the_contents(name, tmp_path):
    data = _made.pack_tar(FILES) if "tar" in name else _made.pack(FILES)
    assert Files(put(tmp_path / name, data)) == FILES
    assert {inside: opener().read() for inside, opener in archives.members(data)} == FILES


def test_backslashes_of_windows_separate_folders(tmp_path):
    """As PowerShell 5 writes them, the folders with a backslash at their end."""
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("set\\", "set\\deeper\\", "set\\a.jpg", "set\\deeper\\b.jpg"):
            info = zipfile.ZipInfo("placeholder")
            info.filename = name
            archive.writestr(info, b"" if name.endswith("\\") else b"picture")
    assert set(Files(path)) == {"set/a.jpg", "set/deeper/b.jpg"}


def test_clutter_of_file_managers_is_left_out(tmp_path):
    files = {"__MACOSX/set/._a.jpg": b"?", "set/.DS_Store": b"?", "set/Thumbs.db": b"?", **FILES}
    assert Files(put(tmp_path / "set.zip", _made.pack(files))) == FILES


def test_archives_in_archives_are_read_without_writing(tmp_path):
    inner, outer = (
        _made.pack(FILES),
        {"a/in.ZIP": _made.pack(FILES), "b.tgz": _made.pack_tar(FILES)},
    )
    path = put(tmp_path / "outer.tar", _made.pack_tar(outer))
    wanted = {f"{name}/{file}": data for name in outer for file, data in FILES.items()}
    assert Files(path).in_archives() == wanted
    put(path, _made.pack({"in.zip": inner[:-30]}))
    with pytest.raises(DatasetError, match=r"outer.tar/in.zip cannot be read: .* incomplete"):
        Files(path).in_archives()
    assert list(tmp_path.iterdir()) == [path]
