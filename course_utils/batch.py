"""Many photographs to predictions, maps and figures; stopped anywhere, the same command goes on.

A run cuts its list of pictures into shards of 20. A shard is the unit of work: one Parquet file
with a row for each picture, written after its figures and its contact sheet, and at once (temporary
file, ``fsync``, ``os.replace``). Its name holds a hash of weights, picture bytes, method, settings
and versions: what is finished is found again, and what has changed is not taken for it. From a
terminal, with folders, patterns, files, names of the course's photographs, or ``@list.txt``::

    python -m course_utils.batch holiday "more/*.jpg" bald_eagle --network squeezenet1_1
        --method ig --settings '{"n_steps": 100}' --out maps

    maps/manifest.json       what was run, what was skipped and why, the SHA-256 of each shard
    maps/shards/*.parquet    a row for each picture: scores, and the map in float16
    maps/figures/*.jpg       photograph and map
    maps/sheets/*.jpg        a contact sheet for each shard

The columns are `picture`, `key` (the hash), `predicted`, `label`, `confidence`, `target` and
`logit` (of the class that is explained), `total` (the map's sum), `delta` (that sum minus the score
difference from the baseline, where the method has one) and `map`, a picture's pixels row by row.
Two lines load them, into pandas and as the ``a_batch`` of Quantus::

    table = pandas.read_parquet("maps/shards")  # columns=["picture", "delta"] leaves out the maps
    a_batch = numpy.stack(table["map"]).astype("float32").reshape(-1, 1, 224, 224)

Threads share the work, each with PyTorch on one core; so do Dask's worker processes, on this
machine (``--workers 2``) or on others that see the same folders (``--scheduler tcp://…``; both need
the extra ``cluster``). The bytes are the same, on one kind of processor.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import functools
import hashlib
import importlib.metadata
import inspect
import json
import operator
import os
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import captum.attr
import filelock
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from . import checks, plots, runtime
from .attribution import deeplift, grad_cam, integrated_gradients
from .datasets.layouts import is_picture
from .networks import NETWORKS, Network, load_network
from .photos import PHOTOS, PhotoError, PhotoSource

__all__ = ["METHODS", "BatchError", "explain"]

#: What explains a batch: ``f(network, images, targets, **settings)`` to maps (N, C, H, W), and
#: completeness errors (N,) or None.
Method = Callable[..., tuple[Tensor, Tensor | None]]
_SCHEMA = pa.schema(
    {"picture": pa.string(), "key": pa.string(), "predicted": pa.int32(), "label": pa.string(),
     "confidence": pa.float32(), "target": pa.int32(), "logit": pa.float32(),
     "total": pa.float64(), "delta": pa.float64(), "map": pa.list_(pa.float16())}
)  # fmt: skip


class BatchError(RuntimeError):
    """A run that cannot start or go on. What is finished stays; the message says what to do."""


# ---------------------------------------------------------------------------- methods


def _start(network: Network, black: bool) -> Tensor | float:
    """Return black as the network sees it, or zero: grey after normalisation."""
    return network.preprocess(Image.new("RGB", (256, 256))) if black else 0.0


def _ig(net: Network, x: Tensor, target: Tensor, *, n_steps: int = 50, black: bool = False) -> Any:
    options = {"baselines": _start(net, black), "n_steps": n_steps, "progress": False}
    return integrated_gradients(net.model, x, target, **options)


def _deeplift(net: Network, x: Tensor, target: Tensor, *, black: bool = False) -> Any:
    return deeplift(net.model, x, target, _start(net, black))


def _cam(net: Network, x: Tensor, target: Tensor, *, layer: str = "", relu: bool = True) -> Any:
    return grad_cam(net.model, x, target, layer or net.layers.grad_cam, relu=relu), None


def _captum(name: str, net: Network, x: Tensor, target: Tensor) -> Any:
    method, size = getattr(captum.attr, name)(net.model), checks.gradient_chunk_size(x)
    parts = zip(x.split(size), target.split(size), strict=True)
    maps = [method.attribute(x.clone().requires_grad_(), target=t) for x, t in parts]
    return torch.cat(maps).detach(), None


#: Methods by name. One of your own is passed as a function, or added here. It must not draw random
#: numbers: a shard that is computed again must give the same bytes.
METHODS: dict[str, Method] = {
    "ig": _ig, "gradcam": _cam, "deeplift": _deeplift,
    "saliency": functools.partial(_captum, "Saliency"),
    "gradient_x_input": functools.partial(_captum, "InputXGradient"),
}  # fmt: skip


# ---------------------------------------------------------------------------- one shard


def _shard(
    how: Sequence[Any], out: Path, identity: str, figures: bool, number: int, pictures: Sequence
) -> dict[str, Any]:  # fmt: skip
    """Explain some pictures and write what comes out, or find that it is there."""
    torch.set_num_threads(1)  # sums come out the same, however many share the work
    read = {name: _read(source) for name, source in pictures}
    keys = {name: _hash([identity.encode(), content]) for name, (content, _) in read.items()}
    path = out / "shards" / f"{number:05d}-{_hash(map(str.encode, keys.values()))[:16]}.parquet"
    if facts := _finished(path):
        return {**facts, "kept": 1}
    table, files, shape, images, skipped = _SCHEMA.empty_table(), [], None, {}, {}
    for name, (_, source) in read.items():
        try:
            images[name] = how[0].preprocess(source)
        except PhotoError as error:
            skipped[name] = str(error)
    if images:
        scores, maps = _explain(*how, batch := torch.cat(list(images.values())))
        scores |= {"picture": list(images), "key": [keys[name] for name in images]}
        ends = pa.array(np.arange(len(maps) + 1, dtype=np.int32) * maps[0].size)
        pixels = pa.array(maps.astype(np.float16).ravel())
        table = pa.table(scores | {"map": pa.ListArray.from_arrays(ends, pixels)}, _SCHEMA)
        files = _draw(out, number, scores, how[0].denormalize(batch), maps) if figures else []
        shape = maps.shape[1:]
    facts = {"rows": len(table), "skipped": skipped, "files": files, "shape": shape}
    table = table.replace_schema_metadata({"run": json.dumps(facts)})
    how = {"use_dictionary": False, "write_statistics": False, "compression": "zstd"}
    how["use_byte_stream_split"] = ["map.list.element"]
    _write(path, lambda file: pq.write_table(table, file, **how))
    return {**_finished(path), "kept": 0}


def _read(source: PhotoSource) -> tuple[bytes, PhotoSource]:
    """Return the bytes that a picture is known by, and what to open."""
    if isinstance(source, Image.Image):
        return f"{source.mode} {source.size}".encode() + source.tobytes(), source
    if isinstance(source, str | os.PathLike):
        with contextlib.suppress(OSError):  # load_photo will say why
            known = PHOTOS.get(str(source))
            source = (known.path if known else Path(source).expanduser()).read_bytes()
    return (source if isinstance(source, bytes) else str(source).encode()), source


def _hash(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _finished(path: Path) -> dict[str, Any] | None:
    """Return what a shard says of itself, or None if it is not there with all its figures."""
    try:
        content = path.read_bytes()
        facts = json.loads(pq.read_schema(pa.BufferReader(content)).metadata[b"run"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    facts |= {"file": f"shards/{path.name}", "sha256": hashlib.sha256(content).hexdigest()}
    return facts if all((path.parents[1] / file).is_file() for file in facts["files"]) else None


def _write(path: Path, save: Callable[[Any], Any]) -> None:
    """Write a file that is there whole or not at all."""
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            save(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _explain(
    network: Network, method: Method, settings: Mapping[str, Any], target: Any, images: Tensor
) -> tuple[dict[str, Any], Any]:  # fmt: skip
    """Return the columns of scores, and the maps (N, H, W)."""
    # hooks belong to one thread, weights to all: the modules are copied, the numbers shared
    shared = (*network.model.parameters(), *network.model.buffers())
    model = copy.deepcopy(network.model, {id(tensor): tensor for tensor in shared})
    size = checks.default_chunk_size(images)
    with torch.no_grad():
        parts = (checks.in_fastest_layout(model, part)[0] for part in images.split(size))
        logits = checks.check_outputs(torch.cat(list(parts)), len(images))
    confidence, predicted = logits.softmax(1).max(1)
    target = predicted if target is None else target
    targets = checks.check_targets(target, len(images), logits.shape[1], images.device)
    maps, deltas = method(replace(network, model=model), images, targets, **settings)
    maps = checks.to_numpy(maps.double().sum(1))
    scores = {
        "predicted": predicted, "label": [network.labels[index] for index in predicted],
        "confidence": confidence, "target": targets, "total": maps.sum((1, 2)),
        "logit": logits.gather(1, targets[:, None])[:, 0],
        "delta": np.full(len(maps), np.nan) if deltas is None else deltas.double(),
    }  # fmt: skip
    return {name: checks.to_numpy(values) for name, values in scores.items()}, maps


def _draw(out: Path, number: int, scores: dict, pictures: Tensor, maps: Any) -> list[str]:
    """Write a figure for each picture, and all as a contact sheet; return the files' names."""
    files, figures = [], []
    columns = (scores[name] for name in ("picture", "label", "confidence", "total", "delta"))
    for place, (name, label, sure, total, delta) in enumerate(zip(*columns, strict=True)):
        name, sure = Path(name).stem, plots.style.format_percent(sure)
        missed = "" if np.isnan(delta) else f"convergence delta {delta:.2g}, "
        words = f"{label}, {sure}\n{name}\nsum {total:.3g}, {missed}"
        figures.append(plots.draw_pair(pictures[place], maps[place], words))
        name = "".join(letter if letter.isalnum() else "-" for letter in name)[:60]
        files.append(f"figures/{number:05d}-{place:02d}-{name}.jpg")
    files.append(f"sheets/{number:05d}.jpg")
    for file, image in zip(files, [*figures, plots.contact_sheet(figures)], strict=True):
        _write(out / file, functools.partial(image.save, format="jpeg", quality=90))
    return files


# ---------------------------------------------------------------------------- a run


def explain(
    pictures: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, PhotoSource],
    network: str | Network, out: str | os.PathLike[str], *,
    method: str | Method = "ig", settings: Mapping[str, Any] | None = None,
    target: int | str | None = None, shard_size: int = 20, figures: bool = True,
    workers: int = 0, scheduler: str | None = None
) -> dict[str, Any]:  # fmt: skip
    """Predict and explain many pictures; called again, go on where it stopped.

    Parameters
    ----------
    pictures : path, name, pattern, sequence of these, or mapping
        Folders (with their subfolders), files, patterns such as ``"holiday/*.jpg"``, names of the
        catalogue; or names with paths, bytes or PIL images.
    network : str or Network
        A name for `load_network`, or any model in a `Network`.
    out : path
        A folder for this run alone; made if missing. Afterwards it holds this run and no more.
    method : str or function
        One of `METHODS`, or a function like those.
    settings : mapping, optional
        Keywords of the method, such as ``{"n_steps": 100}``; values that JSON can hold.
    target : int or str, optional
        The class to explain, by index or name; by default the predicted class of each picture.
    shard_size : int
        Pictures in a shard: what each thread or process loses when it is killed.
    figures : bool
        Write a figure for each picture, and contact sheets.
    workers : int
        Use so many Dask worker processes on this machine; by default threads do the work, as many
        as PyTorch has, and one on a GPU.
    scheduler : str, optional
        Address of a running Dask scheduler, whose workers see the same folders.

    Returns
    -------
    dict
        What ``manifest.json`` holds, and `kept`: how many shards were there before. `skipped` maps
        each picture that could not be explained to the reason.

    Raises
    ------
    BatchError
        If there are no pictures, `out` holds another run, is being written by one, or cannot be
        written, or if there is no Dask, or none at that address.
    ValueError, TypeError
        For an unknown network, method or target, or settings that the method does not have.
    """
    found, out = _find(pictures), Path(out).expanduser().absolute()
    if shard_size < 1:
        raise ValueError(f"shard_size must be at least 1, got {shard_size!r}")
    shards = [found[i : i + shard_size] for i in range(0, len(found), shard_size)]
    network = load_network(network) if isinstance(network, str) else network
    target = network.index_of(target) if isinstance(target, str) else target
    method, settings, about = _describe(network, method, settings or {})
    about |= {"target": target, "shard_size": shard_size, "figures": figures}
    identity, threads = json.dumps(about, sort_keys=True), torch.get_num_threads()
    run = functools.partial(_shard, (network, method, settings, target), out, identity, figures)
    try:
        for folder in ("shards", "figures", "sheets"):
            (out / folder).mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(out / ".lock", timeout=0):
            path, about = out / "manifest.json", json.loads(identity)
            old = json.loads(path.read_bytes()) if path.exists() else about
            if other := [f"{k} {old.get(k)!r}" for k, v in about.items() if old.get(k) != v]:
                advice = "choose another folder, or delete it"
                raise BatchError(f"{out} holds another run, with {', '.join(other)}: {advice}")
            _write(path, lambda file: file.write(identity.encode()))
            pool = (threads if network.device.type == "cpu" else 1, workers, scheduler)
            return _finish(out, about, _work(run, shards, *pool))
    except OSError as error:
        busy = isinstance(error, filelock.Timeout) and "another run is writing there"
        advice = "what is finished stays; mend it (space? permission?) and run the same again"
        problem = f"{out} cannot be written ({busy or error.strerror or error})"
        raise BatchError(f"{problem}: {advice}") from error
    finally:
        torch.set_num_threads(threads)


def _find(pictures: Any) -> list[tuple[str, PhotoSource]]:
    """Return names and pictures, in order and once each."""
    found = dict(pictures) if isinstance(pictures, Mapping) else {}
    pictures = [pictures] if isinstance(pictures, str | os.PathLike) else pictures
    for given in [] if found else map(os.fspath, pictures):
        path, names = Path(given).expanduser(), [given]
        if path.is_dir() and given not in PHOTOS:
            names = sorted(str(file) for file in path.rglob("*") if is_picture(file.name))
        elif {*"*?["} & {*given} and not path.exists():
            names = sorted(map(str, Path(path.anchor).glob(str(path.relative_to(path.anchor)))))
        found |= {name: name for name in names}
    if not found:
        raise BatchError(f"No pictures in {pictures!r}: pass a folder, pattern, path or name")
    return list(found.items())


def _describe(network: Network, method: str | Method, settings: Mapping[str, Any]) -> tuple:
    """Return the method, all its settings, and what decides what comes out."""
    if isinstance(method, str) and method not in METHODS:
        raise ValueError(f"No method {method!r}: choose one of {', '.join(METHODS)}")
    function = METHODS[method] if isinstance(method, str) else method
    bound = inspect.signature(function).bind(network, None, None, **settings)
    bound.apply_defaults()
    model, state = str(network.model).encode(), network.model.state_dict()
    weights = (name.encode() + checks.to_numpy(value).tobytes() for name, value in state.items())
    course = importlib.metadata.distributions(name="explaining-image-classifiers")
    return function, bound.kwargs, {
        "network": network.name, "weights": _hash([model, _hash(weights).encode()]),
        "preprocess": {k: v for k, v in vars(network.preprocess).items() if k != "device"},
        "method": method if isinstance(method, str) else inspect.getsource(method),
        "settings": bound.kwargs, "versions": [*(c.version for c in course), torch.__version__],
    }  # fmt: skip


def _work(run: Any, shards: list, threads: int, workers: int, scheduler: str | None) -> list[dict]:
    """Do all shards, in threads or Dask's worker processes; after an error begin no more."""
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(threads))
        if workers or scheduler:
            here = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
            try:
                from distributed import Client

                client = Client(scheduler, timeout=15) if scheduler else Client(**here)
            except (ImportError, OSError) as error:
                advice = "pip install 'explaining-image-classifiers[cluster]'; does it answer?"
                raise BatchError(f"No Dask scheduler ({error}): {advice}") from error
            run = stack.enter_context(client).scatter(run, broadcast=True)
            pool = client.get_executor(pure=False)
        bar, results = stack.enter_context(runtime.progress(total=sum(map(len, shards)))), []
        for facts in pool.map(operator.call, [run] * len(shards), range(len(shards)), shards):
            bar.update(facts["rows"] + len(facts["skipped"]))
            results.append(facts)
        return results


def _finish(out: Path, about: dict[str, Any], entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Remove what does not belong to this run, and write the manifest."""
    wanted = {out / file for entry in entries for file in (entry["file"], *entry["files"])}
    patterns = "shards/*", "figures/*", "sheets/*", ".*.part"
    for path in {path for pattern in patterns for path in out.glob(pattern)} - wanted:
        path.unlink()
    manifest = about | {
        "finished": True, "explained": sum(entry["rows"] for entry in entries),
        "skipped": {name: why for entry in entries for name, why in entry["skipped"].items()},
        "map_shape": next((entry["shape"] for entry in entries if entry["shape"]), None),
        "shards": {entry["file"]: entry["sha256"] for entry in entries},
    }  # fmt: skip
    content = json.dumps(manifest, indent=1, ensure_ascii=False).encode()
    _write(out / "manifest.json", lambda file: file.write(content))
    return {**manifest, "kept": sum(entry["kept"] for entry in entries)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m course_utils.batch``; return the exit status."""
    parser = argparse.ArgumentParser("python -m course_utils.batch", fromfile_prefix_chars="@")
    parser.epilog, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("pictures", nargs="+", help="folders, patterns, files, names, @list.txt")
    add("--network", choices=NETWORKS, default="squeezenet1_1")
    add("--method", choices=METHODS, default="ig")
    add("--out", required=True, metavar="FOLDER")
    add("--settings", type=json.loads, metavar="JSON", help="of the method: '{\"n_steps\": 99}'")
    add("--target", type=lambda text: int(text) if text.isdigit() else text, metavar="CLASS")
    add("--no-figures", dest="figures", action="store_false")
    add("--workers", type=int, default=0, metavar="N", help="Dask worker processes, here")
    add("--scheduler", metavar="tcp://…", help="address of a running Dask scheduler")
    try:
        result = explain(**vars(parser.parse_args(arguments)))
    except (BatchError, LookupError, TypeError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    for name, reason in (skipped := result["skipped"]).items():
        print(f"skipped {name}: {reason}", file=sys.stderr)
    shards = f"{len(result['shards'])} shards, {result['kept']} of them from before"
    print(f"{result['explained']} explained, {len(skipped)} skipped; {shards}")
    return int(not result["explained"])


if __name__ == "__main__":
    # under its real name, so that worker processes know its classes
    from course_utils.batch import main as run_main

    sys.exit(run_main())
