"""The resolver: order of places, faults of servers, disks and processes, and the command."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import runpy
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from _made import pack
from _server import (
    dies,
    disguised_html,
    drip,
    html,
    refused_url,
    silent,
    stalls,
    status,
    truncated,
)

from course_utils import assets
from course_utils.assets import AssetUnavailable

BODY = bytes(range(256)) * 400
ARCHIVE = pack({"set/a.jpg": b"a" * 900})
ROOT = Path(__file__).resolve().parents[1]
NO_DIGEST = {"file": "set.zip", "kind": "dataset", "hash": "", "size": None}

pytestmark = pytest.mark.filterwarnings("ignore:.* is skipped")


@pytest.fixture(autouse=True)
def _fresh(fresh_assets):
    """Every test here starts with an empty cache."""


def put(path: Path, body: bytes = BODY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def unavailable(name: str = "net") -> AssetUnavailable:
    with pytest.raises(AssetUnavailable) as caught:
        assets.fetch(name)
    return caught.value


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


# ---------------------------------------------------------------- the manifest


def test_manifest_entries_are_complete():
    for name, entry in assets.manifest().items():
        assert entry.urls
        assert all(url.startswith("https://") for url in entry.urls)
        assert {"licence", "citation"} <= set(entry.about) <= {"licence", "citation", "note"}
        assert Path(entry.file).name == entry.file
        assert entry.hash or entry.about["note"], f"{name}: a missing digest must be explained"
        if entry.kind == "weights":  # PyTorch puts the start of the digest into the file name
            start = entry.file.rsplit("-", 1)[1].removesuffix(".pth")
            assert entry.hash.startswith(f"sha256:{start}")
        else:
            assert entry.unpacked, f"{name}: how is an unpacked copy known?"
    kinds = {name: entry.kind for name, entry in assets.manifest().items()}
    weights, sets = ({n for n in kinds if kinds[n] == kind} for kind in ("weights", "dataset"))
    assert {"mobilenet_v3_large", "resnet18", "vgg19"} <= weights
    assert {"cifar10", "vegetables", "smoking", "caltech101"} == sets


def test_what_comes_with_the_course_is_found_in_a_checkout_and_when_installed(
    tmp_path, monkeypatch
):
    monkeypatch.undo()
    read = assets.manifest.__wrapped__
    known = read()
    assert assets.embedded_folder() == ROOT / "data" / "embedded"
    assert assets.course_file("checkpoints") == ROOT / "data" / "checkpoints"
    monkeypatch.setattr(assets, "__file__", str(tmp_path / "course_utils" / "assets.py"))
    installed = tmp_path / "course_utils"
    put(installed / "_assets.toml", (ROOT / "data" / "assets.toml").read_bytes())
    assert read() == known
    assert assets.embedded_folder() == installed / "_embedded"
    assert assets.course_file("checkpoints") == installed / "_checkpoints"


def test_unknown_name_offers_close_ones():
    with pytest.raises(ValueError, match="did you mean 'resnet18'"):
        assets.fetch("resnet")


# ---------------------------------------------------------------- places, in order


def test_places_are_tried_in_order(add_asset, fresh_assets, tmp_path, monkeypatch):
    add_asset("net", BODY)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "class"))
    monkeypatch.setattr(assets, "KAGGLE_INPUT", tmp_path / "kaggle")
    assert assets.find_local("net") is None
    for path in [
        tmp_path / "torch" / "hub" / "checkpoints" / "net.bin",
        fresh_assets / "net.bin",
        tmp_path / "kaggle" / "datasets" / "someone" / "weights" / "net.bin",
        tmp_path / "class" / "weights" / "net.bin",
        tmp_path / "class" / "net.bin",
    ]:
        put(path)
        assert assets.find_local("net") == assets.fetch("net") == path


def test_unpacked_copies_are_found(add_asset, fresh_assets, tmp_path, monkeypatch):
    add_asset("set", ARCHIVE, **NO_DIGEST, unpacked=["train/a/*.jpg"])
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "class"))
    monkeypatch.setattr(assets, "KAGGLE_INPUT", tmp_path / "kaggle")
    assert assets.find_local("set") is None
    put(fresh_assets / "set.zip", ARCHIVE)
    for folder in (tmp_path / "kaggle" / "set" / "deeper", tmp_path / "class" / "dataset" / "set"):
        put(folder / "train" / "a" / "1.jpg")
        assert assets.find_local("set") == folder


@pytest.mark.filterwarnings("default")
def test_wrong_file_in_the_shared_folder_is_reported_skipped_and_kept(
    add_asset, fresh_assets, tmp_path, monkeypatch
):
    add_asset("net", BODY)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "class"))
    wrong = put(tmp_path / "class" / "net.bin", BODY[::-1])
    right = put(fresh_assets / "net.bin")
    with pytest.warns(UserWarning, match=r"net\.bin is skipped: its sha256 is"):
        assert assets.find_local("net") == right
    put(wrong, BODY[:-1])
    with pytest.warns(UserWarning, match="has 102,399 bytes and should have 102,400"):
        assert assets.find_local("net") == right
    assert wrong.read_bytes() == BODY[:-1]


def test_a_file_is_hashed_once_and_again_after_a_change(add_asset, fresh_assets):
    add_asset("net", BODY)
    path = put(fresh_assets / "net.bin")
    assets._digest.cache_clear()
    assert assets.find_local("net") == assets.find_local("net") == path
    assert assets._digest.cache_info().misses == 1
    put(path, BODY[::-1])
    os.utime(path, ns=(1, 1))
    assert assets.find_local("net") is None


def test_other_digests_and_none(add_asset, fresh_assets):
    add_asset("set", BODY, file="s.zip", hash="md5:" + __import__("hashlib").md5(BODY).hexdigest())
    path = put(fresh_assets / "s.zip")
    assert assets.find_local("set") == path
    put(path, BODY[::-1])
    assert assets.find_local("set") is None
    add_asset("open", ARCHIVE, **NO_DIGEST)
    path = put(fresh_assets / "set.zip", ARCHIVE)
    assert assets.find_local("open") == path
    put(path, ARCHIVE[:-30])
    assert assets.find_local("open") is None


# ---------------------------------------------------------------- downloads


def test_download_arrives_verified_and_is_kept(add_asset, server, fresh_assets):
    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    path = assets.fetch("net")
    assert path == fresh_assets / "net.bin"
    assert path.read_bytes() == BODY
    assert files_below(fresh_assets) == ["net.bin"]
    if os.name == "posix":
        assert path.stat().st_mode & 0o444 == 0o444, "others of the class cannot read it"
    assert assets.fetch("net") == path
    assert server.count() == 1


def test_mirror_replaces_the_addresses(add_asset, server, monkeypatch):
    add_asset("net", BODY, urls=[refused_url("/net.bin")])
    server.serve("/class/net.bin", BODY)
    monkeypatch.setenv("COURSE_MIRROR", f"{server.url}/class/")
    assert assets.fetch("net").read_bytes() == BODY


@pytest.mark.parametrize(
    ("response", "reason", "downloads"),
    [
        (status(404), "the server answered 404", 0),
        (status(503), "the server answered 503", 0),
        (status(403), "403 Client Error", 3),
        (html(), "a web page instead of the file", 0),
        (disguised_html(), "has 28 bytes and should have", 3),
        (BODY[::-1], "its sha256 is .* and should be", 3),
        (BODY[:-7], "has 102,393 bytes and should have 102,400", 3),
        (truncated(BODY), "bytes read", 3),
        (dies(BODY), "reset", 3),
    ],
    ids=["404", "503", "403", "html", "disguised", "wrong", "short", "truncated", "dies"],
)
def test_faulty_servers_are_named_and_the_next_address_is_used(
    add_asset, server, fresh_assets, response, reason, downloads
):
    bad, good = server.serve("/bad.bin", response), server.serve("/good.bin", BODY)
    add_asset("net", BODY, urls=[bad])
    error = unavailable()
    assert error.name == "net"
    assert re.search(rf"^{re.escape(bad)}: .*{reason}", error.reasons[-1])
    assert "net.bin" in error.advice
    assert "COURSE_DATA" in error.advice
    assert "delete" not in str(error).lower()
    assert all(part in str(error) for part in (*error.reasons, error.advice))
    assert server.count("/bad.bin") == downloads
    assert files_below(fresh_assets) == []
    add_asset("net", BODY, urls=[bad, good])
    assert assets.fetch("net").read_bytes() == BODY


def test_dropped_connection_is_tried_again(add_asset, server):
    url = server.serve("/net.bin", [dies(BODY), truncated(BODY), BODY])
    add_asset("net", BODY, urls=[url])
    assert assets.fetch("net").read_bytes() == BODY
    assert server.count() == 3


def test_stalled_transfer_counts_as_dropped(add_asset, server, monkeypatch):
    monkeypatch.setattr(assets, "STALL_SECONDS", 0.3)
    add_asset("net", BODY, urls=[server.serve("/net.bin", [stalls(BODY), BODY])])
    assert assets.fetch("net").read_bytes() == BODY


def test_archive_without_digest_is_checked_by_its_contents(add_asset, server, fresh_assets):
    url = server.serve("/set.zip", [truncated(ARCHIVE), ARCHIVE[:-30], ARCHIVE])
    add_asset("set", ARCHIVE, urls=[url], **NO_DIGEST)
    damaged = put(fresh_assets / "set.zip", ARCHIVE[:-9])
    assert assets.fetch("set") == damaged
    assert damaged.read_bytes() == ARCHIVE
    server.serve("/set.zip", pack({"../evil.jpg": b"evil"}))
    damaged.unlink()
    assert "leads out of the folder" in unavailable("set").reasons[-1]
    assert files_below(fresh_assets) == []


def test_a_damaged_copy_stays_until_a_good_one_has_arrived(add_asset, server, fresh_assets):
    add_asset("set", ARCHIVE, urls=[server.serve("/set.zip", ARCHIVE[:-30])], **NO_DIGEST)
    damaged = put(fresh_assets / "set.zip", ARCHIVE[:-9])
    unavailable("set")
    assert damaged.read_bytes() == ARCHIVE[:-9]


def _fetch_into(queue, url: str) -> None:
    assets.manifest = lambda: {"set": assets.Asset("set", "set.zip", "dataset", [url])}
    queue.put(assets.fetch("set"))


@pytest.mark.skipif(os.name != "posix", reason="forks")
def test_two_processes_that_fetch_at_once_both_get_the_whole_file(server, fresh_assets):
    url = server.serve("/set.zip", drip(ARCHIVE, seconds=0.5))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_fetch_into, args=(queue, url)) for _ in range(2)]
    for process in processes:
        process.start()
    for _ in processes:
        assert queue.get(timeout=30).read_bytes() == ARCHIVE
    for process in processes:
        process.join(10)
    assert files_below(fresh_assets) == ["set.zip"]


def test_small_downloads_are_bounded(server):
    assert assets.download(server.serve("/a.jpg", BODY)) == BODY
    for url, options in [
        (server.url + "/none.jpg", {}),
        (server.serve("/page", html()), {}),
        (server.serve("/half.jpg", truncated(BODY)), {}),
        (server.serve("/big.jpg", BODY), {"limit": 1_000}),
        (refused_url("/a.jpg"), {}),
        ("no address", {}),
        ("ftp://127.0.0.1/a.jpg", {}),
    ]:
        with pytest.raises(AssetUnavailable) as caught:
            assets.download(url, **options)
        assert caught.value.name == url
        assert len(caught.value.reasons) == 1
    start = time.monotonic()
    with pytest.raises(AssetUnavailable, match=r"0\.2 s"):
        assets.download(server.serve("/slow.jpg", drip(BODY, seconds=4)), seconds=0.2)
    assert time.monotonic() - start < 3


# ---------------------------------------------------------------- no server


def test_silence_is_decided_in_seconds_and_refusal_at_once(add_asset, server, monkeypatch):
    """Servers are asked at the same time, and the lookup of a name may hang too."""
    lookup = socket.getaddrinfo
    hanging = threading.Event()

    def hangs(host, *rest, **options):
        if host == "weights.invalid":
            hanging.wait(30)
        return lookup(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    mute = server.serve("/net.bin", silent())
    add_asset("net", BODY, urls=["http://weights.invalid/net.bin", mute])
    start = time.monotonic()
    assert all("no answer within 3 s" in reason for reason in unavailable().reasons[-2:])
    assert time.monotonic() - start < 10
    hanging.set()
    add_asset("net", BODY, urls=[refused_url("/net.bin")])
    start = time.monotonic()
    assert "refused" in unavailable().reasons[-1]
    assert time.monotonic() - start < 2.5


def test_offline_never_asks(add_asset, server, fresh_assets, monkeypatch):
    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    monkeypatch.setattr(assets.requests, "head", lambda *a, **k: pytest.fail("asked"))
    with pytest.raises(AssetUnavailable, match="network: not used"):
        assets.fetch("net", offline=True)
    assert assets.status().loc["net", "path"] is None
    put(fresh_assets / "net.bin")
    assert assets.fetch("net", offline=True).exists()


# ---------------------------------------------------------------- disks


def test_cache_that_cannot_be_written_gives_way_to_a_temporary_folder(
    add_asset, server, tmp_path, monkeypatch
):
    """Permissions do not bind the superuser, so the cache lies below a file."""
    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    put(tmp_path / "a file")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "a file" / "cache"))
    with pytest.warns(UserWarning, match="cannot be written.*COURSE_CACHE"):
        path = assets.fetch("net")
    assert path.read_bytes() == BODY
    assert assets.find_local("net") == assets.fetch("net") == path
    assert server.count() == 1


def test_read_only_cache_is_read(add_asset, server, fresh_assets, monkeypatch):
    def refuse(*_args, dir, **_options):
        if Path(dir) == fresh_assets:
            raise OSError(errno.EROFS, "Read-only file system")

    add_asset("net", BODY)
    path = put(fresh_assets / "net.bin")
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.warns(UserWarning, match="Read-only file system"):
        assert assets.fetch("net") == path


def test_full_disk_is_named_and_leaves_nothing(add_asset, server, fresh_assets, monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    monkeypatch.setattr(Path, "replace", full)
    assert "No space left" in unavailable().reasons[-1]
    assert files_below(fresh_assets) == []


# ---------------------------------------------------------------- for people


def test_prefetch_fills_a_folder_from_the_cache_and_the_network(
    add_asset, server, fresh_assets, tmp_path, monkeypatch, capsys
):
    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    add_asset("set", ARCHIVE, **NO_DIGEST)
    add_asset("gone", BODY, urls=[server.url + "/gone.bin"])
    put(fresh_assets / "set.zip", ARCHIVE)
    folder = tmp_path / "class"
    assert assets.main(["prefetch", "--to", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert "404" in printed
    assert files_below(folder) == ["dataset", "net.bin", "set.zip", "weights"]
    assert assets.main(["prefetch", "--to", str(folder), "net", "set"]) == 0
    assert server.count("/net.bin") == 1, "what is there is kept"
    monkeypatch.setenv("COURSE_DATA", str(folder))
    assert assets.find_local("net") == folder / "weights" / "net.bin"
    assert assets.find_local("set") == folder / "dataset" / "set.zip"
    with pytest.raises(SystemExit):
        assets.main(["prefetch", "--to", str(folder), "nett"])
    assert "net, set, gone" in capsys.readouterr().err


def test_status_says_what_is_where(add_asset, fresh_assets, capsys):
    add_asset("here", BODY)
    add_asset("gone", BODY, size=None)
    path = put(fresh_assets / "here.bin")
    assert assets.status()["path"].to_dict() == {"here": path, "gone": None}
    assert assets.status().loc["here", "megabytes"] == pytest.approx(0.1024)
    assert assets.main(["status"]) == 0
    assert str(path) in capsys.readouterr().out


def test_verify_reads_everything_again(add_asset, fresh_assets, tmp_path, capsys):
    add_asset("net", BODY)
    add_asset("set", ARCHIVE, **NO_DIGEST)
    put(fresh_assets / "net.bin")
    own = put(tmp_path / "embedded" / "smoking.zip", ARCHIVE)
    put(fresh_assets / "set.zip", ARCHIVE)
    assert assets.main(["verify"]) == 0
    damaged = bytearray(ARCHIVE)
    damaged[damaged.index(b"a.jpg") + 6] ^= 255  # in the picture, not in the list of contents
    put(own, damaged)
    assert assets.main(["verify"]) == 1
    assert list(assets.verify().query("problem != ''")["name"]) == ["smoking"]
    put(own, ARCHIVE)
    put(fresh_assets / "net.bin", BODY[::-1])
    assert list(assets.verify().query("problem != ''")["name"]) == ["net"]


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_the_command_runs_as_a_module(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["assets", "status"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("course_utils.assets", run_name="__main__")
    assert ended.value.code == 0
    assert "resnet18" in capsys.readouterr().out
