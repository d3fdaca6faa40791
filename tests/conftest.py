"""Fixtures for all tests: nothing leaves this machine, and nothing of the user's is touched.

Fixtures import what they need: the process that only hands out tests should not wait for PyTorch.
"""

from __future__ import annotations

import hashlib
import io
import ipaddress
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _server import LoopbackServer

if TYPE_CHECKING:
    from course_utils import assets, networks


@pytest.fixture(autouse=True)
def _only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to other machines: a test that needs the internet must fail everywhere."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "127.0.0.1"
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise ConnectionRefusedError(f"refused: tests may not talk to {host}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """Start a web server on 127.0.0.1; `_server.py` says how to use it."""
    with LoopbackServer() as running:
        yield running


@pytest.fixture
def fresh_assets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give `assets` an empty cache below tmp_path, no shared folder, no memory; return the cache.

    The data source is "auto", whatever the environment says, and the archives of the course are
    those in tmp_path / "embedded", which is not there.
    """
    from course_utils import assets, runtime

    for variable in ("COURSE_DATA", "COURSE_MIRROR", "COURSE_DATA_SOURCE"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    cache = tmp_path / "cache"
    monkeypatch.setenv("COURSE_CACHE", str(cache))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(assets, "KAGGLE_INPUT", tmp_path / "no-kaggle")
    monkeypatch.setattr(assets, "embedded_folder", lambda: tmp_path / "embedded")
    monkeypatch.setattr(runtime, "_current", None)
    assets._head.cache_clear()
    assets._writable.cache_clear()
    return cache


AddAsset = Callable[..., "assets.Asset"]


@pytest.fixture
def add_asset(monkeypatch: pytest.MonkeyPatch, fresh_assets: Path) -> AddAsset:
    """Replace the manifest by entries of the test's own.

    ``add_asset("resnet18", body, urls=[...], file="resnet18.pth", kind="weights")``: digest and
    size are those of `body` unless given.
    """
    from course_utils import assets

    entries: dict[str, assets.Asset] = {}
    monkeypatch.setattr(assets, "manifest", lambda: entries)

    def add(name: str, body: bytes, *, urls: list[str] | None = None, **changes) -> assets.Asset:
        values = {
            "file": f"{name}.bin",
            "kind": "weights",
            "hash": f"sha256:{hashlib.sha256(body).hexdigest()}",
            "size": len(body),
            **changes,
        }
        entries[name] = assets.Asset(name=name, urls=tuple(urls or ()), **values)
        return entries[name]

    return add


LoadNamed = Callable[[str], "networks.Network"]


@pytest.fixture(scope="session")
def published() -> dict[str, assets.Asset]:
    """Give the course's manifest, whatever a test puts in its place."""
    from course_utils import assets

    return assets.manifest()


@pytest.fixture
def load_named(
    published: dict[str, assets.Asset], server: LoopbackServer, add_asset: AddAsset
) -> LoadNamed:
    """Load a network by its name, with random weights, through the whole path of a download.

    ``load_named("vgg19")`` is the true architecture and file name; only the numbers are not the
    published ones. It takes seconds and half a gigabyte for VGG19.
    """
    import torch
    from _lessons import random_weights

    from course_utils import networks

    def load(name: str) -> networks.Network:
        file = published[name].file
        content = io.BytesIO()
        torch.save(random_weights(name).state_dict(), content)
        body = content.getvalue()
        add_asset(name, body, urls=[f"{server.url}/{file}"], file=file)
        server.serve(f"/{file}", body)
        return networks.load_network(name, device="cpu", allow_stand_in=False, verbose=False)

    return load
