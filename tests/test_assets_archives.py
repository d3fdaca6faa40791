"""Archives that must not be trusted, as programs write them, damaged, and interrupted."""

from __future__ import annotations

import io
import multiprocessing
import os
import shutil
import tarfile
import time
import zipfile
from pathlib import Path

import _made
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import archives, assets
from course_utils.assets import AssetUnavailable

FILES = {"set/a.jpg": b"a" * 900, "set/deeper/b.jpg": b"b" * 700}


@pytest.fixture(autouse=True)
def _fresh(fresh_assets):
    """Every test here starts with an empty cache."""


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


def refused(path: Path, folder: Path) -> str:
    """Unpacking raises, and leaves nothing behind, inside the folder or out of it."""
    before, content = set(path.parent.rglob("*")), path.read_bytes()
    with pytest.raises(AssetUnavailable) as caught:
        assets.unpack(path)
    left = set(path.parent.rglob("*")) - before
    assert left <= {folder, folder / "unpacked"}, left
    assert path.read_bytes() == content
    assert "delete" not in str(caught.value).lower()
    assert caught.value.name == path.name
    return caught.value.reasons[0]


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


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
def test_entries_outside_the_folder_are_refused(kind, name, tmp_path, fresh_assets):
    if kind == "zip":
        info = zipfile.ZipInfo("placeholder")
        info.filename = name  # as it is: the constructor would mend it
        path = zip_with(tmp_path / "set.zip", (info, b"evil"))
    else:
        path = tar_with(tmp_path / "set.tar.gz", tarfile.TarInfo(name), b"evil")
    assert "leads out of the folder" in refused(path, fresh_assets)


@pytest.mark.parametrize("kind", ["zip", tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind, tmp_path, fresh_assets):
    """Among them the classic: a link to a folder outside, then a file 'below' it."""
    if kind == "zip":
        link = _made.link_entry("set/link", str(tmp_path))
        path = zip_with(tmp_path / "set.zip", link, ("set/link/evil.jpg", b"evil"))
    else:
        info = tarfile.TarInfo("set/link")
        info.type, info.linkname = kind, "/etc/passwd"
        path = tar_with(tmp_path / "set.tar.gz", info)
    assert "'set/link' is a link or a device" in refused(path, fresh_assets)
    assert not (tmp_path / "evil.jpg").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_files_that_are_there_twice_are_refused(tmp_path, fresh_assets):
    path = zip_with(tmp_path / "set.zip", ("set/a", b"1"), ("set/a", b"2"))
    assert "exists" in refused(path, fresh_assets)


def test_encrypted_entries_are_refused(tmp_path, fresh_assets):
    path = zip_with(tmp_path / "set.zip")
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag, in the local header and in the list at the end
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "encrypted" in refused(path, fresh_assets)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_decompression_bombs_are_refused(kind, tmp_path, fresh_assets, monkeypatch):
    monkeypatch.setattr(archives, "SMALL_BYTES", 1_000_000)
    if kind == "zip":
        path = zip_with(tmp_path / "set.zip", ("set/bomb", bytes(2_000_000)))
    else:
        path = tar_with(tmp_path / "set.tar.gz", tarfile.TarInfo("set/bomb"), bytes(2_000_000))
    assert "unpacks to more than" in refused(path, fresh_assets)
    monkeypatch.setattr(archives, "SMALL_BYTES", 3_000_000)
    assert names_in(assets.unpack(path)) == {"set/good.jpg", "set/bomb"}
    monkeypatch.setattr(archives, "MAX_FILES", 1)
    assert "unpacks to more than" in refused(put(tmp_path / "b.zip", path.read_bytes()), tmp_path)


@pytest.mark.parametrize("name", ["photos.rar", "photos.7z", "photos.zip", "photos"])
def test_other_formats_are_named_and_kept(name, tmp_path, fresh_assets):
    path = put(tmp_path / name, b"Rar!\x1a\x07\x01\x00 and more")
    reason = refused(path, fresh_assets)
    assert ".zip, .tar, .tar.gz, .tar.bz2 or .tar.xz" in reason
    assert "pack the folder as .zip" in reason


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_cut_archives_are_refused(kind, tmp_path, fresh_assets):
    pictures = {f"set/{i}.jpg": os.urandom(3_000) for i in range(9)}
    whole = _made.pack(pictures) if kind == "zip" else _made.pack_tar(pictures)
    path = put(tmp_path / f"set.{kind}", whole[: len(whole) * 2 // 3])
    refused(path, fresh_assets)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_archives_unpack_or_raise_one_error(data):
    whole = bytearray(data.draw(st.sampled_from([_made.pack(FILES), _made.pack_tar(FILES)])))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = put(assets.cache_folder() / "fuzz" / "set.zip", bytes(whole))
    try:
        folder = assets.unpack(path)
    except AssetUnavailable:
        return
    assert path.parent.parent / "unpacked" in folder.parents


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize("name", ["SET.ZIP", "set.zip", "set.tar", "set.tar.gz", "set"])
def test_the_format_is_known_by_the_contents(name, tmp_path, fresh_assets):
    data = _made.pack_tar(FILES) if "tar" in name else _made.pack(FILES)
    folder = assets.unpack(put(tmp_path / name, data))
    assert folder.parent == fresh_assets / "unpacked"
    assert {inside: (folder / inside).read_bytes() for inside in FILES} == FILES
    assert names_in(folder) == set(FILES)


def test_backslashes_of_windows_separate_folders(tmp_path):
    """As PowerShell 5 writes them, the folders with a backslash at their end."""
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("set\\", "set\\deeper\\", "set\\a.jpg", "set\\deeper\\b.jpg"):
            info = zipfile.ZipInfo("placeholder")
            info.filename = name
            archive.writestr(info, b"" if name.endswith("\\") else b"picture")
    assert names_in(assets.unpack(path)) == {"set/a.jpg", "set/deeper/b.jpg"}


def test_clutter_of_file_managers_is_left_out(tmp_path):
    files = {"__MACOSX/set/._a.jpg": b"?", "set/.DS_Store": b"?", "set/Thumbs.db": b"?", **FILES}
    path = put(tmp_path / "set.zip", _made.pack(files))
    assert names_in(assets.unpack(path)) == set(FILES)


def test_unpacking_once_and_again_when_the_archive_changes(tmp_path, monkeypatch):
    path = put(tmp_path / "set.zip", _made.pack(FILES))
    folder = assets.unpack(path)
    with monkeypatch.context() as patch:
        patch.setattr(archives, "members", lambda *_: pytest.fail("unpacked again"))
        assert assets.unpack(path) == folder
    put(path, _made.pack({"set/c.jpg": b"c"}))
    assert names_in(assets.unpack(path)) == {"set/c.jpg"}
    with pytest.raises(FileNotFoundError):
        assets.unpack(tmp_path / "nothing.zip")


# ---------------------------------------------------------------- processes


def unpack_slowly(archive: Path, ready: Path, seconds: float) -> None:
    copy = shutil.copyfileobj

    def slow(source, sink, length=0):
        copy(source, sink, length)
        ready.touch()
        time.sleep(seconds)

    shutil.copyfileobj = slow  # in a process of its own
    assets.unpack(archive)


@pytest.mark.skipif(os.name != "posix", reason="forks")
def test_killed_and_simultaneous_unpacking_do_no_harm(tmp_path):
    path = put(tmp_path / "set.zip", _made.pack(FILES))
    context = multiprocessing.get_context("fork")
    ready = tmp_path / "victim", tmp_path / "slow"
    victim, slow = (
        context.Process(target=unpack_slowly, args=(path, file, seconds))
        for file, seconds in zip(ready, (30, 0.3), strict=True)
    )
    victim.start()
    slow.start()
    try:
        deadline = time.monotonic() + 60
        while not all(file.exists() for file in ready):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        victim.kill()
        victim.join()
        folder = assets.unpack(path)  # while the slow one is at it
        assert names_in(folder) == set(FILES)
        slow.join(30)
        assert slow.exitcode == 0
    finally:
        victim.kill()
        slow.kill()
    assert names_in(folder) == set(FILES)
