"""Archives that must not be trusted, disks that fill up, processes that are killed or race."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import _made
import pytest
from _server import html, refused_url, silent, truncated

from course_utils import _archives, assets
from course_utils._archives import ArchiveError
from course_utils.assets import AssetUnavailable

ROOT = Path(__file__).resolve().parents[1]
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
    before = set(path.parent.rglob("*"))
    with pytest.raises(AssetUnavailable) as caught:
        assets.unpack("set", path, progress=False)
    assert not list(folder.rglob("*.part"))
    assert not (folder / "unpacked" / "set").exists()
    outside = set(path.parent.rglob("*")) - before
    assert all(folder in (p, *p.parents) for p in outside), outside
    assert "delete" in caught.value.advice
    return caught.value.reasons[0]


def unpacked_names(folder: Path) -> set[str]:
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    return {p.relative_to(folder).as_posix() for p in files}


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.jpg", "leads out of its folder"),
        ("set/../../evil.jpg", "leads out of its folder"),
        ("set\\..\\..\\evil.jpg", "leads out of its folder"),
        ("/tmp/evil.jpg", "is an absolute path"),
        ("\\\\server\\share\\evil.jpg", "is an absolute path"),
        ("C:/evil.jpg", "is an absolute path"),
        ("C:evil.jpg", "is an absolute path"),
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_entries_outside_the_folder_are_refused(kind, name, reason, tmp_path, fresh_assets):
    if kind == "zip":
        info = zipfile.ZipInfo("placeholder")
        info.filename = name  # as it is: the constructor would mend it
        path = zip_with(tmp_path / "set.zip", (info, b"evil"))
        with pytest.raises(ArchiveError, match=reason):
            _archives.open_zip(path)
    else:
        path = tar_with(tmp_path / "set.tar.gz", tarfile.TarInfo(name), b"evil")
    assert reason in refused(path, fresh_assets)


def test_links_in_a_zip_are_refused(tmp_path, fresh_assets):
    path = zip_with(tmp_path / "set.zip", _made.link_entry("set/link", "/etc/passwd"))
    assert "'set/link' is a link" in refused(path, fresh_assets)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind, tmp_path, fresh_assets):
    info = tarfile.TarInfo("set/link")
    info.type, info.linkname = kind, "/etc/passwd"
    path = tar_with(tmp_path / "set.tar.gz", info)
    assert "'set/link' is a link or a device" in refused(path, fresh_assets)


def test_a_link_cannot_redirect_a_later_file(tmp_path, fresh_assets):
    """The classic: a link to a folder outside, then a file 'below' it."""
    entries = (_made.link_entry("set/door", str(tmp_path)), ("set/door/evil.jpg", b"evil"))
    refused(zip_with(tmp_path / "set.zip", *entries), fresh_assets)
    assert not (tmp_path / "evil.jpg").exists()


def test_files_that_are_there_twice_are_refused(tmp_path, fresh_assets):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = zip_with(tmp_path / "set.zip", ("set/a", b"1"), ("set/a", b"2"))
    assert "'set/a' twice" in refused(path, fresh_assets)
    tar = tar_with(tmp_path / "set.tar.gz", tarfile.TarInfo("set/good.jpg"), b"again")
    assert "'set/good.jpg' is twice" in refused(tar, fresh_assets)


def test_encrypted_entries_are_refused(tmp_path, fresh_assets):
    path = zip_with(tmp_path / "set.zip")
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag, in the local header and in the list at the end
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "encrypted" in refused(path, fresh_assets)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_bombs_are_refused_early(kind, tmp_path, fresh_assets, monkeypatch):
    monkeypatch.setattr(_archives, "HARMLESS_BYTES", 1_000_000)
    data = bytes(3_000_000)
    if kind == "zip":
        path = zip_with(tmp_path / "set.zip", ("set/zeros.jpg", data))
    else:
        path = tar_with(tmp_path / "set.tar.gz", tarfile.TarInfo("set/zeros.jpg"), data)
    assert path.stat().st_size < 10_000
    assert "more than 100 times its size" in refused(path, fresh_assets)
    monkeypatch.setattr(_archives, "HARMLESS_BYTES", 5_000_000)
    assert (assets.unpack("set", path, progress=False) / "set" / "zeros.jpg").exists()


def test_too_much_and_too_many_are_refused(tmp_path, fresh_assets, monkeypatch):
    path = put(tmp_path / "set.zip", _made.pack(FILES))
    monkeypatch.setattr(_archives, "MAX_BYTES", 1_000)
    assert "unpacks to more than 1e-06 GB" in refused(path, fresh_assets)
    monkeypatch.setattr(_archives, "MAX_FILES", 1)
    assert "more than 1 files" in refused(path, fresh_assets)


def test_a_zip_that_lies_about_sizes_is_refused(tmp_path, fresh_assets):
    """The list at the end announces 10 bytes: what comes out is cut there, its checksum fails."""
    path = zip_with(tmp_path / "set.zip", ("set/zeros.jpg", bytes(100_000)))
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    path.write_bytes(data)
    assert "damaged or incomplete" in refused(path, fresh_assets)


@pytest.mark.parametrize("name", ["set.zip", "set.tar.gz"])
def test_damaged_archives_are_named(name, tmp_path, fresh_assets):
    whole = _made.pack(FILES) if name.endswith("zip") else _made.pack_tar(FILES)
    path = put(tmp_path / name, whole[: len(whole) * 2 // 3])
    assert "is damaged or incomplete" in refused(path, fresh_assets)
    path = put(tmp_path / name, whole[:-4])  # only the very end is missing
    assert "is damaged or incomplete" in refused(path, fresh_assets)


def test_clutter_of_file_managers_is_left_out(tmp_path):
    files = {"__MACOSX/set/._a.jpg": b"?", "set/.DS_Store": b"?", "set/Thumbs.db": b"?", **FILES}
    path = put(tmp_path / "set.zip", _made.pack(files))
    assert unpacked_names(assets.unpack("set", path, progress=False)) == set(FILES)
    archive, names = _archives.open_zip(path)
    archive.close()
    assert set(names) == set(FILES)


# ---------------------------------------------------------------- unpacking


@pytest.mark.parametrize("name", ["set.zip", "set.tar.gz"])
def test_unpacking_once(name, tmp_path, fresh_assets, monkeypatch):
    data = _made.pack(FILES) if name.endswith("zip") else _made.pack_tar(FILES)
    path = put(tmp_path / name, data)
    folder = assets.unpack("set", path, progress=False)
    assert folder == fresh_assets / "unpacked" / "set"
    assert {n: (folder / n).read_bytes() for n in FILES} == FILES
    assert unpacked_names(folder) == set(FILES)
    monkeypatch.setattr(_archives, "extract", lambda *_a, **_k: pytest.fail("unpacked again"))
    assert assets.unpack("set", path) == folder


def test_another_archive_replaces_what_was_unpacked(tmp_path):
    old = put(tmp_path / "old.zip", _made.pack(FILES))
    new = put(tmp_path / "new.zip", _made.pack({"set/c.jpg": b"c"}))
    folder = assets.unpack("set", old, progress=False)
    assert unpacked_names(assets.unpack("set", new, progress=False)) == {"set/c.jpg"}
    shutil.rmtree(folder)
    (folder / "set").mkdir(parents=True)  # a folder without its marker is not taken for complete
    assert unpacked_names(assets.unpack("set", new, progress=False)) == {"set/c.jpg"}


def test_tar_inside_a_zip(tmp_path):
    path = put(tmp_path / "caltech.zip", _made.pack(_made.caltech(2)))
    folder = assets.unpack("set", path, inner="*101_ObjectCategories.tar.gz", progress=False)
    assert len(unpacked_names(folder)) == 10
    with pytest.raises(AssetUnavailable, match=r"holds no \*nothing.tar"):
        assets.unpack("set", path, inner="*nothing.tar", progress=False)


# ---------------------------------------------------------------- disks


def fill_after(monkeypatch, size: int) -> None:
    """Let the disk be full after so many bytes."""
    written = 0
    original = shutil.copyfileobj

    def copy(source, sink, length=0):
        nonlocal written
        written += len(source.read())
        if written > size:
            sink.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(source, sink, length)

    monkeypatch.setattr(_archives.shutil, "copyfileobj", copy)


def test_full_disk_while_unpacking_leaves_nothing_and_says_how_much_is_needed(
    tmp_path, fresh_assets, monkeypatch
):
    path = put(tmp_path / "set.zip", _made.pack(FILES))
    with monkeypatch.context() as patch:
        fill_after(patch, 1_000)
        with pytest.raises(AssetUnavailable) as caught:
            assets.unpack("set", path, progress=False)
    assert "is full (1.6 kB are needed)" in caught.value.reasons[0]
    assert "free some space" in caught.value.advice
    assert unpacked_names(fresh_assets) == set()
    assert not list((fresh_assets / "unpacked").glob("*.part"))
    assert unpacked_names(assets.unpack("set", path, progress=False)) == set(FILES)


def test_too_little_space_is_noticed_before_unpacking(tmp_path, monkeypatch):
    path = put(tmp_path / "set.zip", _made.pack(FILES))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    monkeypatch.setattr(_archives, "extract", lambda *_a, **_k: pytest.fail("began to unpack"))
    with pytest.raises(AssetUnavailable, match=r"full \(1.6 kB are needed\)"):
        assets.unpack("set", path, progress=False)


def test_read_only_cache_is_replaced_for_this_session(tmp_path, fresh_assets, monkeypatch):
    def refuse(*_args, **_options):
        raise OSError(errno.EROFS, "Read-only file system")

    path = put(tmp_path / "set.zip", _made.pack(FILES))
    with monkeypatch.context() as patch:
        patch.setattr(assets.tempfile, "TemporaryFile", refuse)
        with pytest.warns(UserWarning, match="Read-only file system.*COURSE_CACHE"):
            folder = assets.unpack("set", path, progress=False)
        assert fresh_assets not in folder.parents
        assert unpacked_names(folder) == set(FILES)
        patch.setattr(_archives, "extract", lambda *_a, **_k: pytest.fail("unpacked again"))
        assert assets.unpack("set", path, progress=False) == folder
    shutil.rmtree(folder.parent)


# ---------------------------------------------------------------- processes

CHILD = """
import shutil, sys, time
from pathlib import Path
from course_utils import _archives, assets
archive, seconds, ready = Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
original = shutil.copyfileobj
def slow(source, sink, length=0):
    original(source, sink, length)
    ready.touch()
    time.sleep(seconds)
_archives.shutil.copyfileobj = slow
print(assets.unpack("set", archive, progress=False))
"""


def child(archive: Path, seconds: float, ready: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(archive), str(seconds), str(ready)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def test_killed_unpacking_leaves_no_harm_and_two_processes_unpack_once(
    tmp_path, fresh_assets, monkeypatch
):
    path = put(tmp_path / "set.zip", _made.pack(FILES))
    victim = child(path, 30, tmp_path / "victim")
    other = None
    try:
        wait_until((tmp_path / "victim").exists)
        victim.kill()
        victim.communicate()
        folder = fresh_assets / "unpacked"
        assert len(list(folder.glob(".set.*.part"))) == 1
        assert not (folder / "set").exists()

        other = child(path, 0.5, tmp_path / "other")  # removes it, and unpacks for a second
        wait_until((tmp_path / "other").exists)
        assert len(list(folder.glob(".set.*.part"))) == 1
        monkeypatch.setattr(_archives, "extract", lambda *_a, **_k: pytest.fail("unpacked twice"))
        assert assets.unpack("set", path, progress=False) == folder / "set"
        output, _ = other.communicate(timeout=60)
    finally:
        victim.kill()
        if other is not None:
            other.kill()
    assert output.strip() == str(folder / "set")
    assert unpacked_names(folder / "set") == set(FILES)
    assert not list(folder.glob("*.part"))


# ---------------------------------------------------------------- data sets among the assets


def test_archive_without_digest_is_checked_by_opening_it(add_asset, server, fresh_assets):
    body = _made.pack(FILES)
    url = server.serve("/set.zip", [body, truncated(body), body[:-30], body])
    options = {"file": "set.zip", "kind": "dataset", "sha256": "", "size": None, "note": "none"}
    add_asset("set", body, urls=[url], **options)
    path = assets.fetch("set", progress=False)
    assert path.read_bytes() == body
    assert server.count() == 1 + 3  # asked once; both broken ones were fetched again
    path.write_bytes(body[:-30])
    with pytest.warns(UserWarning, match=r"set\.zip is skipped: set\.zip is damaged"):
        assert assets.find("set") is None


def test_web_page_instead_of_an_archive(add_asset, server):
    add_asset(
        "set", b"", urls=[server.serve("/set.zip", html())], file="set.zip", kind="dataset",
        sha256="", size=None,
    )  # fmt: skip
    with pytest.raises(AssetUnavailable, match="a web page instead of the file"):
        assets.fetch("set", progress=False)


def test_malicious_archive_from_a_server_is_not_kept(add_asset, server, tmp_path, fresh_assets):
    body = zip_with(tmp_path / "evil.zip", ("../evil.jpg", b"evil")).read_bytes()
    add_asset(
        "set", body, urls=[server.serve("/set.zip", body)], file="set.zip", kind="dataset",
        sha256="", size=None,
    )  # fmt: skip
    with pytest.raises(AssetUnavailable, match="leads out of its folder"):
        assets.fetch("set", progress=False)
    assert list(fresh_assets.glob("set*")) == []


def test_md5_is_compared_where_it_is_all_there_is(add_asset, fresh_assets):
    import hashlib

    body = _made.pack(FILES)
    options = {"file": "set.zip", "kind": "dataset", "sha256": ""}
    add_asset("set", body, md5=hashlib.md5(body).hexdigest(), **options)
    path = put(fresh_assets / "set.zip", body)
    assert assets.find("set") == path
    path.write_bytes(body[:-1] + b"?")
    with pytest.warns(UserWarning, match="its MD5 is"):
        assert assets.find("set") is None


def data_asset(add_asset, urls=(), **changes):
    return add_asset(
        "set", b"", urls=list(urls),
        **{"file": "set.zip", "kind": "dataset", "sha256": "", "size": None, "also": ("other.zip",),
           "unpacked": ("train/a/*.jpg",), "kaggle": "someone/set", **changes},
    )  # fmt: skip


def test_unpacked_copies_and_other_archives_are_found_in_order(
    add_asset, fresh_assets, tmp_path, monkeypatch
):
    data_asset(add_asset)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "class"))
    monkeypatch.setattr(assets, "KAGGLE_INPUT", tmp_path / "kaggle")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "hub"))
    body = _made.pack(FILES)
    last_to_first = [
        tmp_path / "hub" / "datasets" / "someone" / "set" / "versions" / "3",
        fresh_assets / "unpacked" / "set",
        fresh_assets / "set.zip",
        tmp_path / "kaggle" / "set" / "deeper",
        tmp_path / "kaggle" / "other" / "other.zip",
        tmp_path / "class" / "dataset" / "set",
        tmp_path / "class" / "dataset" / "set.zip",
    ]
    for place in last_to_first:
        if place.suffix == ".zip":
            put(place, body)
        else:
            put(place / "train" / "a" / "1.jpg", b"")
            put(place / "train" / "a" / "2.jpg", b"")
        assert assets.obtain("set") == place
    states = [row.state for row in assets.status(check_network=False)]
    assert states == ["present"]


def test_prefetch_copies_another_archive_under_its_own_name(add_asset, fresh_assets, tmp_path):
    data_asset(add_asset)
    put(fresh_assets / "other.zip", _made.pack(FILES))
    (result,) = assets.prefetch(tmp_path / "class").values()
    assert result == tmp_path / "class" / "dataset" / "other.zip"
    assert result.read_bytes() == (fresh_assets / "other.zip").read_bytes()
    assert list(assets.prefetch(tmp_path / "class").values()) == [result]


def test_half_unpacked_folder_is_no_copy(add_asset, fresh_assets):
    data_asset(add_asset)
    put(fresh_assets / "unpacked" / ".set.0123.part" / "train" / "a" / "1.jpg", b"")
    with pytest.raises(AssetUnavailable):
        assets.obtain("set")


def test_kagglehub_is_asked_last(add_asset, tmp_path, monkeypatch):
    data_asset(add_asset, urls=[refused_url("/set.zip")])
    monkeypatch.setitem(sys.modules, "kagglehub", None)  # not installed
    with pytest.raises(AssetUnavailable, match="pip install kagglehub") as caught:
        assets.obtain("set")
    assert "refused" in caught.value.reasons[-2]

    class Hub:
        folder = tmp_path

        @classmethod
        def dataset_download(cls, handle):
            assert handle == "someone/set"
            if cls.folder is None:
                raise RuntimeError("403: log in first")
            return str(cls.folder)

    monkeypatch.setitem(sys.modules, "kagglehub", Hub)
    assert assets.obtain("set") == tmp_path
    Hub.folder = None
    with pytest.raises(AssetUnavailable, match="log in first"):
        assets.obtain("set")
    with pytest.raises(AssetUnavailable, match="embedded"):
        assets.obtain("set", offline=True)


def test_status_and_verify_show_data_sets_and_the_courses_own_archives(
    add_asset, fresh_assets, tmp_path, capsys
):
    body = _made.pack(_made.vegetables(3))
    put(tmp_path / "first.zip", body)
    known = assets.contents_digest(tmp_path / "first.zip")
    options = {"sha256": "", "size": None, "kind": "dataset"}
    add_asset("vegetables", b"", file="v.zip", contents=known, **options)
    add_asset("folder", b"", file="f.zip", unpacked=("here/*.jpg",), **options)
    own = put(tmp_path / "embedded" / "smoking.zip", _made.pack(_made.embedded_smoking()))
    put(fresh_assets / "v.zip", _made.pack(_made.vegetables(3, root="another-name/")))
    put(fresh_assets / "some" / "here" / "a.jpg", b"")

    rows = {row.name: row for row in assets.status(check_network=False)}
    assert [row.state for row in rows.values()] == ["present", "unpacked", "present"]
    assert rows["folder"].path == fresh_assets / "some"
    assert rows["smoking"].kind == "embedded"
    assert rows["smoking"].size == own.stat().st_size
    assert assets.main(["verify"]) == 0
    output = capsys.readouterr().out
    assert "(same contents as the copy the course knows)" in output
    assert "2 files checked, 0 wrong" in output

    put(fresh_assets / "v.zip", _made.pack(_made.vegetables(2)))
    damaged = bytearray(own.read_bytes())
    damaged[300] ^= 255
    own.write_bytes(damaged)
    assert assets.main(["verify"]) == 1
    output = capsys.readouterr().out
    assert "(not the same contents as the copy the course knows)" in output
    assert "WRONG smoking" in output
    assert "is damaged" in output


def test_own_archives_are_found_in_a_checkout_and_when_installed(tmp_path, monkeypatch):
    monkeypatch.undo()
    assert assets.embedded_folder() == ROOT / "data" / "embedded"
    monkeypatch.setattr(assets, "__file__", str(tmp_path / "site" / "course_utils" / "assets.py"))
    with pytest.raises(AssetUnavailable, match=r"incomplete: clone or install"):
        assets.embedded("vegetables")
    path = put(tmp_path / "site" / "course_utils" / "_embedded" / "vegetables.zip", b"")
    assert assets.embedded("vegetables") == path


def test_silent_server_is_decided_in_three_seconds(add_asset, server):
    data_asset(add_asset, urls=[server.serve("/set.zip", silent())], kaggle="")
    start = time.monotonic()
    with pytest.raises(AssetUnavailable, match="no answer within 3 s"):
        assets.obtain("set")
    assert time.monotonic() - start < 3.7


def test_marker_is_json(tmp_path):
    path = put(tmp_path / "set.zip", _made.pack(FILES))
    marker = assets.unpack("set", path, progress=False) / ".unpacked.json"
    assert json.loads(marker.read_text()) == {
        "archive": "set.zip",
        "size": path.stat().st_size,
        "inner": None,
    }
