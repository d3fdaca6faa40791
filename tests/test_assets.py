"""The resolver: order of places, faults of servers, disks and processes, and the command."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pooch
import pytest
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
from filelock import FileLock

from course_utils import _web, assets, runtime
from course_utils.assets import AssetUnavailable

BODY = bytes(range(256)) * 400
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _fresh(fresh_assets):
    """Every test here starts with an empty cache."""


def unavailable(name: str = "net") -> AssetUnavailable:
    with pytest.raises(AssetUnavailable) as caught:
        assets.fetch(name, progress=False)
    return caught.value


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.part")]


# ---------------------------------------------------------------- the manifest


def test_manifest_entries_are_complete():
    for name, entry in assets.manifest().items():
        assert entry.name == name
        assert entry.urls
        assert all(url.startswith("https://") for url in entry.urls)
        assert entry.licence
        assert entry.citation
        assert entry.kind in {"weights", "dataset"}
        if entry.sha256:
            assert len(bytes.fromhex(entry.sha256)) == 32
        else:
            assert entry.note, f"{name}: a missing digest must be explained"
        if entry.contents:
            assert len(bytes.fromhex(entry.contents)) == 32
        if entry.kind == "dataset":
            assert entry.unpacked, f"{name}: how is an unpacked copy known?"
        if entry.kind == "weights":  # PyTorch puts the start of the digest into the file name
            assert entry.sha256.startswith(entry.file.rsplit("-", 1)[1].removesuffix(".pth"))
            assert all(url.endswith(entry.file) for url in entry.urls)
    assert {"mobilenet_v3_large", "resnet18", "vgg19"} <= set(assets.names("weights"))
    assert {"cifar10", "vegetables", "smoking", "caltech101"} == set(assets.names("dataset"))


def test_the_wheel_carries_the_manifest():
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"]["data/assets.toml"] == "course_utils/_assets.toml"


def test_an_installed_course_reads_its_own_copy(monkeypatch, tmp_path):
    read = assets.manifest.__wrapped__
    monkeypatch.setattr(assets, "__file__", str(tmp_path / "course_utils" / "assets.py"))
    with pytest.raises(FileNotFoundError, match="reinstall the course"):
        read()
    put(tmp_path / "course_utils" / "_assets.toml", (ROOT / "data" / "assets.toml").read_bytes())
    assert read() == assets.manifest()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file='a'\nurls=[]\nkind='weights'", "lacks.*sha256"),
        ("file='a'\nurls=[]\nkind='weights'\nsha256=''\ncolour=1", "unknown fields.*colour"),
        ("file='../a'\nurls=[]\nkind='weights'\nsha256=''", "bare file name"),
    ],
)
def test_manifest_mistakes_are_named(tmp_path, text, message):
    path = tmp_path / "assets.toml"
    path.write_text(f"[net]\n{text}\n")
    with pytest.raises(ValueError, match=message):
        assets.read_manifest(path)


def test_unknown_name_offers_close_ones():
    with pytest.raises(ValueError, match="did you mean resnet18"):
        assets.fetch("resnet")


# ---------------------------------------------------------------- places, in order


def put(path: Path, body: bytes = BODY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def test_places_are_tried_in_order(add_asset, fresh_assets, tmp_path, monkeypatch):
    add_asset("net", BODY)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "class"))
    monkeypatch.setattr(assets, "KAGGLE_INPUT", tmp_path / "kaggle")
    last_to_first = [
        tmp_path / "torch" / "hub" / "checkpoints" / "net.bin",
        fresh_assets / "weights" / "net.bin",
        fresh_assets / "net.bin",
        tmp_path / "kaggle" / "datasets" / "someone" / "weights" / "net.bin",
        tmp_path / "class" / "weights" / "net.bin",
        tmp_path / "class" / "net.bin",
    ]
    assert assets.find("net") is None
    for path in last_to_first:
        put(path)
        assert assets.find("net") == path
        assert assets.fetch("net") == path


def test_pytorch_cache_serves_weights_only(add_asset, tmp_path):
    add_asset("photos", BODY, file="p.zip", kind="dataset")
    put(tmp_path / "torch" / "hub" / "checkpoints" / "p.zip")
    assert assets.find("photos") is None


def test_wrong_file_in_the_shared_folder_is_reported_skipped_and_kept(
    add_asset, fresh_assets, tmp_path, monkeypatch
):
    add_asset("net", BODY)
    wrong = put(tmp_path / "class" / "net.bin", BODY[::-1])
    right = put(fresh_assets / "net.bin")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "class"))
    with pytest.warns(UserWarning, match=r"net\.bin is skipped: its SHA-256 is"):
        assert assets.find("net") == right
    assert wrong.read_bytes() == BODY[::-1]


def test_file_of_another_size_is_refused_without_hashing(add_asset, fresh_assets, monkeypatch):
    add_asset("net", BODY)
    put(fresh_assets / "net.bin", BODY[:-1])
    monkeypatch.setattr(assets, "_digest", lambda *_: pytest.fail("hashed a file of wrong size"))
    with pytest.warns(UserWarning, match="has 102,399 bytes and should have 102,400"):
        assert assets.find("net") is None


def test_a_file_is_hashed_once_and_again_after_a_change(add_asset, fresh_assets):
    add_asset("net", BODY)
    path = put(fresh_assets / "net.bin")
    assets._digest.cache_clear()
    assert assets.find("net") == assets.find("net") == path
    assert assets._digest.cache_info().misses == 1
    put(path, BODY[::-1])
    os.utime(path, ns=(1, 1))
    with pytest.warns(UserWarning, match="SHA-256"):
        assert assets.find("net") is None


def test_unknown_digest_is_accepted_by_size(add_asset, fresh_assets):
    add_asset("set", BODY, sha256="", kind="dataset", note="no digest published")
    path = put(fresh_assets / "set.bin")
    assert assets.find("set") == path


# ---------------------------------------------------------------- downloads


def test_download_arrives_verified_and_is_kept(add_asset, server, fresh_assets):
    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    path = assets.fetch("net", progress=False)
    assert path == fresh_assets / "net.bin"
    assert path.read_bytes() == BODY
    assert leftovers(fresh_assets) == []
    asked = server.count()
    assert assets.fetch("net") == path
    assert server.count() == asked


def test_progress_bar_is_shown_and_can_be_switched_off(
    add_asset, server, fresh_assets, monkeypatch, capfd
):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    original = runtime.progress
    monkeypatch.setattr(runtime, "progress", lambda **o: original(**{**o, "delay": 0}))
    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    assets.fetch("net", progress=False)
    assert "net.bin" not in "".join(capfd.readouterr())
    (fresh_assets / "net.bin").unlink()
    assets.fetch("net")
    assert "net.bin" in "".join(capfd.readouterr())


def test_file_of_unknown_size_and_digest_is_downloaded(add_asset, server):
    add_asset("set", BODY, urls=[server.serve("/set.bin", BODY)], size=None, sha256="")
    assert assets.fetch("set").read_bytes() == BODY


def test_mirror_replaces_the_addresses(add_asset, server, monkeypatch):
    add_asset("net", BODY, urls=[refused_url("/net.bin")])
    server.serve("/class/net.bin", BODY)
    monkeypatch.setenv("COURSE_MIRROR", f"{server.url}/class/")
    assert assets.fetch("net", progress=False).read_bytes() == BODY


@pytest.mark.parametrize(
    ("response", "reason", "downloads"),
    [
        (status(404), "the server answered 404", 0),
        (status(503), "the server answered 503", 0),
        (html(), "a web page instead of the file", 0),
        (disguised_html(), "a web page instead of the file", 1),
        (BODY[::-1], "its SHA-256 is .* and should be", 1),
        (BODY[:-7], "has 102,393 bytes and should have 102,400.*3 times", 3),
        (truncated(BODY), "the connection was dropped.*3 times", 3),
        (dies(BODY), "the connection was dropped.*3 times", 3),
    ],
    ids=["404", "503", "html", "disguised", "wrong", "short", "truncated", "dies"],
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
    assert all(part in str(error) for part in (*error.reasons, error.advice))
    assert server.count("/bad.bin") == 1 + downloads
    assert not (fresh_assets / "net.bin").exists()
    assert leftovers(fresh_assets) == []
    add_asset("net", BODY, urls=[bad, good])
    assert assets.fetch("net", progress=False).read_bytes() == BODY


def test_dropped_connection_is_tried_again(add_asset, server):
    url = server.serve("/net.bin", [BODY, dies(BODY), truncated(BODY), BODY])
    add_asset("net", BODY, urls=[url])
    assert assets.fetch("net", progress=False).read_bytes() == BODY
    assert server.count() == 4


def test_stalled_transfer_counts_as_dropped(add_asset, server, monkeypatch):
    monkeypatch.setattr(_web, "STALL_SECONDS", 0.3)
    add_asset("net", BODY, urls=[server.serve("/net.bin", [BODY, stalls(BODY), BODY])])
    assert assets.fetch("net", progress=False).read_bytes() == BODY


def test_damaged_file_in_the_cache_is_replaced(add_asset, server, fresh_assets):
    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    path = put(fresh_assets / "net.bin", BODY[::-1])
    with pytest.warns(UserWarning, match="skipped"):
        assert assets.fetch("net", progress=False) == path
    assert path.read_bytes() == BODY


# ---------------------------------------------------------------- no server


def hanging_lookup(*_args, **_options):
    time.sleep(8)
    raise socket.gaierror("slow resolver")


def test_no_server_is_decided_at_once(add_asset):
    add_asset("net", BODY, urls=[refused_url("/net.bin")])
    start = time.monotonic()
    assert "refused" in unavailable().reasons[-1]
    assert assets.is_reachable("net") is False
    assert time.monotonic() - start < 1.5


def test_silent_server_and_hanging_lookup_are_decided_in_three_seconds(
    add_asset, server, monkeypatch
):
    """Both at once: several addresses share the three seconds."""
    monkeypatch.setattr(socket, "getaddrinfo", _only_names_hang(socket.getaddrinfo))
    mute = server.serve("/net.bin", silent())
    add_asset("net", BODY, urls=["http://weights.invalid/net.bin", mute])
    start = time.monotonic()
    assert assets.is_reachable("net") is False
    assert 2.5 < time.monotonic() - start < 3.5
    start = time.monotonic()
    assert "no answer within 3 s" in unavailable().reasons[-1]
    assert "no answer within 3 s" in unavailable().reasons[-2]
    assert time.monotonic() - start < 0.5, "the answer was not remembered"


def _only_names_hang(original):
    def lookup(host, *rest, **options):
        if host == "weights.invalid":
            return hanging_lookup()
        return original(host, *rest, **options)

    return lookup


def test_dead_host_is_remembered_for_all_its_files_for_a_while(add_asset, monkeypatch):
    host = refused_url("")
    add_asset("one", BODY, urls=[f"{host}/one.bin"])
    add_asset("two", BODY, urls=[f"{host}/two.bin"])
    asked = []
    original = _web._ask_one
    monkeypatch.setattr(_web, "_ask_one", lambda *a: asked.append(a[0]) or original(*a))
    for name in ("one", "two", "one"):
        assert not assets.is_reachable(name)
    assert asked == [f"{host}/one.bin"]
    _web._memory[host] = (time.monotonic() - 20, _web._memory[host][1])
    assert "20 s ago; it is asked again in 40 s" in unavailable("one").reasons[-1]
    _web._memory[host] = (time.monotonic() - 61, _web._memory[host][1])
    assert not assets.is_reachable("two")
    assert len(asked) == 2


def test_missing_file_does_not_condemn_its_host(add_asset, server):
    add_asset("gone", BODY, urls=[server.url + "/gone.bin"])
    add_asset("here", BODY, urls=[server.serve("/here.bin", BODY)])
    assert not assets.is_reachable("gone")
    assert assets.is_reachable("here")


def test_offline_never_asks(add_asset, server, fresh_assets, monkeypatch):
    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    monkeypatch.setenv("COURSE_DATA_SOURCE", "embedded")
    assert "embedded" in unavailable().reasons[-1]
    assert assets.is_reachable("net") is False
    (row,) = assets.status()
    assert row.state == "not checked"
    (result,) = assets.prefetch(fresh_assets / "class").values()
    assert isinstance(result, AssetUnavailable)
    assert server.count() == 0
    assert assets.fetch("net", progress=False, offline=False).read_bytes() == BODY
    assert assets.fetch("net").exists()  # what is here is used offline


# ---------------------------------------------------------------- disks


def test_cache_that_cannot_be_written_gives_way_to_a_temporary_folder(
    add_asset, server, tmp_path, monkeypatch
):
    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    put(tmp_path / "a file")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "a file" / "cache"))
    with pytest.warns(UserWarning, match="cannot be written.*temporary folder.*COURSE_CACHE"):
        path = assets.fetch("net", progress=False)
    assert path.read_bytes() == BODY
    asked = server.count()
    assert assets.find("net") == assets.fetch("net") == path
    assert server.count() == asked
    shutil.rmtree(path.parent)


def test_read_only_cache_gives_way_too(add_asset, server, fresh_assets, monkeypatch):
    """Permissions do not bind the superuser, so the refusal is simulated."""

    def refuse(*_args, **options):
        assert options["dir"] == fresh_assets
        raise OSError(errno.EROFS, "Read-only file system")

    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    monkeypatch.setattr(assets.tempfile, "TemporaryFile", refuse)
    with pytest.warns(UserWarning, match="Read-only file system"):
        path = assets.fetch("net", progress=False)
    assert path.read_bytes() == BODY
    assert fresh_assets not in path.parents
    shutil.rmtree(path.parent)


def test_too_little_space_is_noticed_before_the_download(add_asset, server, monkeypatch):
    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    assert (
        "is full (102 kB are needed): free some space, or set COURSE_CACHE"
        in unavailable().reasons[-1]
    )
    assert server.count() == 1  # only asked, nothing downloaded


def test_disk_that_fills_during_the_download_is_named(add_asset, server, fresh_assets, monkeypatch):
    def fill(_self, _url, output_file, _pooch):
        Path(output_file).write_bytes(BODY[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", fill)
    assert "is full" in unavailable().reasons[-1]
    assert leftovers(fresh_assets) == []


# ---------------------------------------------------------------- processes

BIG = BODY * 10
CHILD = f"""
import sys, time
from pathlib import Path
from course_utils import assets
url, ready, go = sys.argv[1:]
entry = assets.Asset("net", "net.bin", (url,), "weights", {hashlib.sha256(BIG).hexdigest()!r})
assets.manifest = lambda: {{"net": entry}}
Path(ready).touch()
while not Path(go).exists():
    time.sleep(0.01)
print(assets.fetch("net", progress=False))
"""


class Child:
    """Another process that downloads when told to (it inherits COURSE_CACHE)."""

    def __init__(self, name: str, url: str, folder: Path) -> None:
        self.ready, self._go = folder / f"{name}.ready", folder / f"{name}.go"
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, url, str(self.ready), str(self._go)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )

    def go(self) -> None:
        """Let it download."""
        self._go.touch()


def wait_until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def test_killed_download_leaves_no_harm_and_two_processes_download_once(
    add_asset, server, fresh_assets, tmp_path
):
    url = server.serve("/net.bin", [BIG, stalls(BIG), drip(BIG, seconds=1.5)])
    add_asset("net", BIG, urls=[url])
    victim, other = Child("victim", url, tmp_path), Child("other", url, tmp_path)
    try:
        wait_until(lambda: victim.ready.exists() and other.ready.exists())
        victim.go()
        wait_until(lambda: any(p.stat().st_size for p in fresh_assets.glob(".net.bin.*.part")))
        victim.process.kill()
        victim.process.communicate()
        assert len(leftovers(fresh_assets)) == 1
        assert assets.find("net") is None

        other.go()
        wait_until(lambda: server.count() == 2 + 2)  # the other one downloads
        path = assets.fetch("net", progress=False)  # and this process waits for it
        output, _ = other.process.communicate(timeout=60)
    finally:
        victim.process.kill()
        other.process.kill()
    assert output.strip() == str(path)
    assert path.read_bytes() == BIG
    assert leftovers(fresh_assets) == []
    assert server.count() == 2 + 2 + 1  # this process only asked


def test_a_standing_download_of_another_process_is_not_waited_for_forever(
    add_asset, server, fresh_assets, monkeypatch
):
    monkeypatch.setattr(assets, "PATIENCE_SECONDS", 0.2)
    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    part = put(fresh_assets / ".net.bin.0123.part", b"half")
    with FileLock(fresh_assets / ".net.bin.lock"):
        path = assets.fetch("net", progress=False)
    assert path.read_bytes() == BODY
    assert part.exists()  # it may be alive: only its own process, or the next alone, removes it


# ---------------------------------------------------------------- status, verify, prefetch


def test_status_says_where_everything_stands(add_asset, server, fresh_assets):
    add_asset("here", BODY)
    add_asset("there", BODY, urls=[server.serve("/there.bin", BODY)])
    add_asset("gone", BODY, urls=[server.url + "/gone.bin"])
    add_asset("mute", BODY, urls=[server.serve("/mute.bin", silent())])
    path = put(fresh_assets / "here.bin")
    start = time.monotonic()
    rows = {row.name: row for row in assets.status()}
    assert time.monotonic() - start < 3.5
    states = {name: row.state for name, row in rows.items()}
    assert states == {
        "here": "present",
        "there": "reachable",
        "gone": "unavailable",
        "mute": "unavailable",
    }
    assert rows["here"].path == path
    assert rows["here"].size == rows["there"].size == len(BODY)
    assert "404" in rows["gone"].source


def test_status_command_prints_a_table(add_asset, fresh_assets, capsys):
    add_asset("here", BODY)
    add_asset("elsewhere", BODY, urls=[refused_url()], size=574673361)
    put(fresh_assets / "here.bin")
    assert assets.main(["status", "--offline"]) == 0
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "kind", "state", "size", "where"]
    assert rows[0].split() == ["here", "weights", "present", "102", "kB", str(fresh_assets)]
    assert "not checked" in rows[1]
    assert "575 MB" in rows[1]


def test_verify_hashes_every_copy(add_asset, fresh_assets, tmp_path, monkeypatch, capsys):
    add_asset("net", BODY)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "class"))
    put(fresh_assets / "net.bin")
    assert assets.main(["verify"]) == 0
    assert "1 files checked, 0 wrong" in capsys.readouterr().out
    put(tmp_path / "class" / "net.bin", BODY[::-1])
    assert assets.main(["verify"]) == 1
    output = capsys.readouterr().out
    assert "WRONG" in output
    assert "2 files checked, 1 wrong" in output


def test_prefetch_fills_a_folder_that_then_serves_the_class(
    add_asset, server, fresh_assets, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "class"
    add_asset("gone", BODY, urls=[server.url + "/gone.bin"])
    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    add_asset("local", BODY[:50], urls=[refused_url()])
    put(fresh_assets / "local.bin", BODY[:50])
    assert assets.main(["prefetch", "--to", str(folder)]) == 1
    captured = capsys.readouterr()
    assert "2 of 3 files" in captured.out
    assert "404" in captured.err
    assert {path.name for path in (folder / "weights").glob("[!.]*")} == {"net.bin", "local.bin"}

    asked = server.count()
    assert assets.main(["prefetch", "--to", str(folder), "net", "local"]) == 0
    assert server.count() == asked  # both were there
    assert f"COURSE_DATA={folder}" in capsys.readouterr().out
    monkeypatch.setenv("COURSE_DATA", str(folder))
    assert assets.find("net") == folder / "weights" / "net.bin"


def test_prefetch_into_a_folder_that_cannot_be_written_fails_there(add_asset, server, tmp_path):
    add_asset("net", BODY, urls=[server.serve("/net.bin", BODY)])
    blocked = put(tmp_path / "a file") / "class"
    (result,) = assets.prefetch(blocked).values()
    assert isinstance(result, AssetUnavailable)
    assert "cannot be written" in result.reasons[-1]


def test_command_names_mistakes(add_asset, tmp_path, capsys):
    add_asset("net", BODY)
    assert assets.main(["prefetch", "--to", str(tmp_path), "nett"]) == 2
    assert "did you mean net" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        assets.main(["--help"])
    assert "COURSE_DATA" in capsys.readouterr().out


def test_sizes_for_people():
    sizes = {None: "?", 999: "999 B", 4_958_839: "4.96 MB", 574_673_361: "575 MB"}
    assert {size: assets.human_size(size) for size in sizes} == sizes
