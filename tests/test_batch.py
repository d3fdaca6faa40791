"""The batch pipeline: what it writes, and that it finishes with the same bytes whatever happens."""

from __future__ import annotations

import hashlib
import json
import os
import re
import runpy
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import captum.attr
import filelock
import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from _small import SIDE, make_pictures, tiny
from PIL import Image
from torch import nn

import course_utils as cu
from course_utils import batch
from course_utils.networks import Network

ROOT = Path(__file__).resolve().parents[1]


def files_of(out: Path) -> dict[str, str]:
    """Digests of all files that a run leaves, hidden ones included."""
    paths = [path for path in out.rglob("*") if path.is_file() and path.name != ".lock"]
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def read(out: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Load a run with the two lines that the module's docstring shows."""
    shown = re.findall(r"^    ((?:table|a_batch) = .*?)(?:  #.*)?$", batch.__doc__, re.M)
    assert len(shown) == 2
    names = {"pandas": pd, "numpy": np}
    for line in shown:
        exec(line.replace("maps/shards", f"{out}/shards").replace("224", str(SIDE)), names)
    return names["table"], names["a_batch"]


# --- what is written ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", batch.METHODS)
def test_rows_hold_what_the_network_and_the_method_say(method: str, tmp_path: Path):
    network, paths = tiny(), make_pictures(tmp_path / "in", 7)
    found = batch.explain(paths, network, tmp_path / "out", method=method, shard_size=3)
    table, a_batch = read(tmp_path / "out")
    images = network.preprocess(paths)
    with torch.no_grad():
        logits = network.model(images)
    targets = logits.argmax(1)
    model = network.model
    expected = {
        "ig": lambda: captum.attr.IntegratedGradients(model).attribute(images, target=targets),
        "gradcam": lambda: cu.grad_cam(model, images, targets, "3"),
        "deeplift": lambda: cu.deeplift(model, images, targets)[0],
        "saliency": lambda: captum.attr.Saliency(model).attribute(images, target=targets),
        "gradient_x_input": lambda: images * path_gradient(model, images, targets),
    }[method]().detach()
    assert list(table["picture"]) == paths
    assert (table["predicted"] == targets.numpy()).all()
    assert (table["target"] == table["predicted"]).all()
    assert list(table["label"]) == ["abcde"[index] for index in targets]
    np.testing.assert_allclose(table["confidence"], logits.softmax(1).amax(1), rtol=1e-5)
    np.testing.assert_allclose(table["logit"], logits.amax(1), rtol=1e-5)
    np.testing.assert_allclose(table["total"], expected.sum((1, 2, 3)), rtol=1e-4, atol=1e-5)
    maps = expected.sum(1, keepdim=True).numpy()
    np.testing.assert_allclose(a_batch, maps, rtol=2e-3, atol=1e-6 + 1e-3 * np.abs(maps).max())
    if method in ("ig", "deeplift"):
        with torch.no_grad():
            at_grey = model(torch.zeros_like(images)).gather(1, targets[:, None])[:, 0]
        missed = table["total"] - (table["logit"] - at_grey.numpy())
        np.testing.assert_allclose(table["delta"], missed, atol=1e-4)
    else:
        assert table["delta"].isna().all()
    assert found["explained"] == 7
    assert found["map_shape"] == [SIDE, SIDE]
    assert [len(list((tmp_path / "out" / f).iterdir())) for f in ("shards", "figures")] == [3, 7]


def path_gradient(model: nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    images = images.clone().requires_grad_()
    return torch.autograd.grad(model(images).gather(1, targets[:, None]).sum(), images)[0]


def test_manifest_names_what_was_run_and_each_file(tmp_path: Path):
    paths = make_pictures(tmp_path / "in", 5)
    batch.explain(paths, tiny(), tmp_path / "out", settings={"n_steps": 7}, shard_size=2)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert manifest["finished"]
    assert (manifest["network"], manifest["method"]) == ("tiny", "ig")
    assert manifest["settings"] == {"n_steps": 7, "black": False}
    digests = files_of(tmp_path / "out")
    shards = {name: digest for name, digest in digests.items() if name.startswith("shards/")}
    assert manifest["shards"] == shards
    pictures = [*(tmp_path / "out" / "figures").iterdir(), *(tmp_path / "out/sheets").iterdir()]
    assert len(pictures) == 5 + 3
    for path in pictures:
        with Image.open(path) as image:
            assert min(image.size) > 200
            assert np.asarray(image).std() > 10, "an empty figure"


def test_settings_target_and_baseline_are_used(tmp_path: Path):
    network, paths = tiny(), make_pictures(tmp_path / "in", 3)
    settings = {"n_steps": 300, "black": True}
    batch.explain(paths, network, tmp_path / "out", settings=settings, target="d", figures=False)
    table, _ = read(tmp_path / "out")
    images, black = network.preprocess(paths), network.preprocess(Image.new("RGB", (40, 40)))
    with torch.no_grad():
        differences = (network.model(images) - network.model(black))[:, 3].numpy()
    assert (table["target"] == 3).all()
    np.testing.assert_allclose(table["total"], differences, rtol=0.01, atol=0.02)
    assert not list((tmp_path / "out" / "figures").iterdir())


def test_a_method_of_ones_own(tmp_path: Path):
    def brightness(network, images, targets, *, power=1):
        return images**power, None

    network, paths = tiny(), make_pictures(tmp_path / "in", 3)
    options = {"method": brightness, "settings": {"power": 2}}
    batch.explain(paths, network, tmp_path / "out", **options)
    _, a_batch = read(tmp_path / "out")
    maps = (network.preprocess(paths) ** 2).sum(1, keepdim=True)
    np.testing.assert_allclose(a_batch, maps, rtol=1e-3)
    assert "power" in json.loads((tmp_path / "out" / "manifest.json").read_bytes())["method"]


def test_pictures_may_be_named_images(tmp_path: Path):
    paths = make_pictures(tmp_path / "in", 3)
    images = {f"picture {i}": Image.open(path).convert("RGB") for i, path in enumerate(paths)}
    batch.explain(images, tiny(), tmp_path / "a", method="gradcam")
    batch.explain(paths, tiny(), tmp_path / "b", method="gradcam")
    (from_images, maps), (from_paths, same) = read(tmp_path / "a"), read(tmp_path / "b")
    assert list(from_images["picture"]) == list(images)
    assert (maps == same).all()
    assert (from_images["logit"] == from_paths["logit"]).all()


def test_folders_patterns_and_names_are_found_once_each(tmp_path: Path):
    paths = make_pictures(tmp_path / "in" / "deep", 3)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    odd = tmp_path / "in" / "a[1].png"
    Path(paths[0]).rename(odd)
    given = [tmp_path / "in", f"{tmp_path}/in/**/*.png", str(odd), "bald_eagle"]
    names = [name for name, _ in batch._find(given)]
    assert names == [str(odd), *paths[1:], "bald_eagle"]
    for nothing in (tmp_path / "in" / "*.gif", [], {}):
        with pytest.raises(batch.BatchError, match="No pictures"):
            batch._find(nothing)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "ige"}, ValueError, "choose one of ig, gradcam"),
        ({"settings": {"steps": 9}}, TypeError, "steps"),
        ({"target": "z"}, ValueError, "'z'"),
        ({"target": 9}, IndexError, "9 is out of range"),
        ({"shard_size": 0}, ValueError, "at least 1"),
        ({"network": "resnet"}, ValueError, "did you mean 'resnet18'"),
    ],
)
def test_mistakes_are_met_at_the_border(options, error, message, tmp_path: Path):
    paths = make_pictures(tmp_path / "in", 2)
    with pytest.raises(error, match=message):
        batch.explain(paths, options.pop("network", tiny()), tmp_path / "out", **options)


def test_the_network_and_the_number_of_threads_stay_as_they_were(tmp_path: Path):
    network = tiny()
    before = {name: value.clone() for name, value in network.model.state_dict().items()}
    threads = torch.get_num_threads()
    batch.explain(make_pictures(tmp_path / "in", 3), network, tmp_path / "out", method="gradcam")
    assert torch.get_num_threads() == threads
    assert not network.model[3]._forward_hooks
    for name, value in network.model.state_dict().items():
        assert torch.equal(value, before[name])


def test_quantus_takes_what_is_loaded(tmp_path: Path):
    quantus = pytest.importorskip("quantus")
    network, paths = tiny(), make_pictures(tmp_path / "in", 4)
    batch.explain(paths, network, tmp_path / "out", method="saliency")
    table, a_batch = read(tmp_path / "out")
    metric = quantus.Sparseness(disable_warnings=True, display_progressbar=False)
    scores = metric(
        model=network.model,
        x_batch=network.preprocess(list(table["picture"])).numpy(),
        y_batch=table["target"].to_numpy(),
        a_batch=a_batch,
    )
    assert len(scores) == 4
    assert np.isfinite(scores).all()


# --- bad pictures -------------------------------------------------------------------------------


def test_bad_pictures_are_reported_and_skipped(tmp_path: Path):
    good = make_pictures(tmp_path / "in", 4)
    text, cut = tmp_path / "in" / "0001b.png", tmp_path / "in" / "0002b.png"
    text.write_text("<html>not found</html>")
    cut.write_bytes(Path(good[2]).read_bytes()[:200])
    given = sorted([*good, str(text), str(cut)])
    given.insert(3, "no_such_picture")
    results = [batch.explain(given, tiny(), tmp_path / n, shard_size=3) for n in "ab"]
    table, _ = read(tmp_path / "a")
    assert list(table["picture"]) == good
    skipped = results[0]["skipped"]
    assert list(skipped) == [str(text), "no_such_picture", str(cut)]
    assert "no intact picture" in skipped[str(text)]
    assert "damaged" in skipped[str(cut)]
    assert "neither in the catalogue" in skipped["no_such_picture"]
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_nothing_but_bad_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    assert batch.main([str(bad), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("0 explained, 1 skipped")
    assert f"skipped {bad}" in said.err
    assert len(pd.read_parquet(tmp_path / "out" / "shards")) == 0


# --- what is kept, and what is not --------------------------------------------------------------


def test_only_what_changed_is_computed_again(tmp_path: Path):
    paths, network, out = make_pictures(tmp_path / "in", 8), tiny(), tmp_path / "out"
    options = {"method": "saliency", "shard_size": 2}
    assert batch.explain(paths, network, out, **options)["kept"] == 0
    whole = files_of(out)
    assert batch.explain(paths, network, out, **options)["kept"] == 4
    assert files_of(out) == whole
    Path(paths[2]).write_bytes(Path(paths[0]).read_bytes())
    assert batch.explain(paths, network, out, **options)["kept"] == 3
    table, a_batch = read(out)
    assert list(table["picture"]) == paths
    assert (a_batch[2] == a_batch[0]).all()
    more = paths + make_pictures(tmp_path / "more", 2, seed=9)
    assert batch.explain(more, network, out, **options)["kept"] == 4
    assert batch.explain(paths[:4], network, out, **options)["kept"] == 2
    assert sum(name.startswith("figures/") for name in files_of(out)) == 4, "others are removed"


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path):
    paths, out = make_pictures(tmp_path / "in", 2), tmp_path / "out"
    batch.explain(paths, tiny(), out)
    whole = files_of(out)
    for folder in ("", "shards", "figures", "sheets"):
        (out / folder / ".0ab52dd9.part").write_bytes(b"half")
    batch.explain(paths, tiny(), out)
    assert files_of(out) == whole


def test_damage_is_found(tmp_path: Path):
    paths, out = make_pictures(tmp_path / "in", 6), tmp_path / "out"
    batch.explain(paths, tiny(), out, shard_size=2)
    whole = files_of(out)
    first, second, _ = sorted((out / "shards").iterdir())
    first.write_bytes(first.read_bytes()[:-100])
    second.write_bytes(b"")
    next((out / "figures").glob("00002-*")).unlink()
    assert batch.explain(paths, tiny(), out, shard_size=2)["kept"] == 0
    assert files_of(out) == whole


def test_the_key_holds_weights_picture_method_settings_and_version(tmp_path: Path, monkeypatch):
    paths, keys = make_pictures(tmp_path / "in", 2), []

    def keys_of(name: str, network: Network, **options) -> set[str]:
        options = {"method": "gradcam", **options}
        batch.explain(paths, network, tmp_path / name, figures=False, **options)
        return set(read(tmp_path / name)[0]["key"])

    keys += keys_of("first", tiny())
    assert set(keys) == keys_of("again", tiny())
    keys += keys_of("weights", tiny(seed=1))
    keys += keys_of("method", tiny(), method="saliency")
    keys += keys_of("settings", tiny(), settings={"relu": False})
    keys += keys_of("target", tiny(), target=1)
    look = replace(tiny().preprocess, mean=(0.4,) * 3)
    keys += keys_of("preprocess", replace(tiny(), preprocess=look))
    monkeypatch.setattr(torch, "__version__", "99")
    keys += keys_of("version", tiny())
    assert len(keys) == len(set(keys)) == 14


def test_a_folder_with_another_run_is_refused(tmp_path: Path):
    paths, out = make_pictures(tmp_path / "in", 2), tmp_path / "out"
    batch.explain(paths, tiny(), out, method="gradcam")
    whole = files_of(out)
    with pytest.raises(batch.BatchError, match=r"holds another run, with method 'gradcam'.*delete"):
        batch.explain(paths, tiny(), out, method="saliency")
    assert files_of(out) == whole


def test_the_number_of_threads_does_not_change_a_byte(tmp_path: Path):
    paths, before = make_pictures(tmp_path / "in", 12), torch.get_num_threads()
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            batch.explain(paths, tiny(), tmp_path / str(threads), shard_size=2)
    finally:
        torch.set_num_threads(before)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2") == files_of(tmp_path / "4")


# --- trouble ------------------------------------------------------------------------------------


def test_two_runs_into_one_folder(tmp_path: Path):
    paths, out = make_pictures(tmp_path / "in", 2), tmp_path / "out"
    out.mkdir()
    with (
        filelock.FileLock(out / ".lock"),
        pytest.raises(
            batch.BatchError, match="out cannot be written .another run is writing there"
        ),
    ):
        batch.explain(paths, tiny(), out)
    assert batch.explain(paths, tiny(), out)["explained"] == 2


def test_an_error_in_the_method_keeps_what_is_finished(tmp_path: Path):
    paths, out, calls = make_pictures(tmp_path / "in", 12), tmp_path / "out", []

    def fails_in_the_middle(network, images, targets):
        calls.append(len(images))
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return images, None

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            batch.explain(paths, tiny(), out, method=fails_in_the_middle, shard_size=2)
        assert len(calls) < 6, "no more shards are begun"
        finished = len(calls) - 1
        result = batch.explain(paths, tiny(), out, method=fails_in_the_middle, shard_size=2)
    finally:
        torch.set_num_threads(before)
    assert (result["kept"], result["explained"]) == (finished, 12)


@pytest.mark.skipif(os.name != "posix", reason="needs limits and users of POSIX")
@pytest.mark.parametrize("trouble", ["full disk", "read-only folder"])
def test_what_cannot_be_written(trouble: str, tmp_path: Path, monkeypatch):
    """Nothing is torn, the message says what to do, and the same call goes on afterwards."""
    paths, out = make_pictures(tmp_path / "in", 6), tmp_path / "out"
    batch.explain(paths[:2], tiny(), out, shard_size=2)
    before = files_of(out)
    if trouble == "full disk":
        fsync = os.fsync

        def full(descriptor: int) -> None:
            if os.fstat(descriptor).st_size > 3_000:  # the manifest fits, a shard does not
                raise OSError(28, "No space left on device")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", full)
    else:
        if os.geteuid() == 0:
            pytest.skip("the administrator may write everywhere")
        (out / "shards").chmod(0o555)
    try:
        with pytest.raises(batch.BatchError, match=r"out cannot be written \(.*run the same"):
            batch.explain(paths, tiny(), out, shard_size=2)
    finally:
        monkeypatch.undo()
        (out / "shards").chmod(0o755)
    after = files_of(out)
    assert {name: after[name] for name in before if name != "manifest.json"}.items() <= (
        before.items()
    )
    assert not [name for name in after if name.endswith(".part")]
    assert batch.explain(paths, tiny(), out, shard_size=2)["kept"] == 1
    batch.explain(paths, tiny(), tmp_path / "other", shard_size=2)
    assert files_of(out) == files_of(tmp_path / "other")


KILLS = '''
import json, os, random, signal, sys, time
from pathlib import Path
sys.path[:0] = sys.argv[1:4]
import pyarrow.pandas_compat, torchvision.transforms  # once, not in every process
from PIL import Image
from test_batch import batch, files_of, tiny

Image.init()
folder, network = Path(sys.argv[4]), tiny()
paths = sorted(map(str, (folder / "in").iterdir()))


def run(out):
    """Start a run as a process of its own."""
    child = os.fork()
    if child:
        return child
    kept = batch.explain(paths, network, out, method="saliency", shard_size=2)["kept"]
    (folder / "kept").write_text(str(kept))
    os._exit(0)


os.waitpid(run(folder / "whole"), 0)
begin = time.perf_counter()
os.waitpid(run(folder / "again"), 0)
a_shard, generator = (time.perf_counter() - begin) / 6, random.Random()
for trial in range(20):
    out, finished = folder / str(trial), generator.randrange(6)
    child = run(out)
    while len(list(out.glob("shards/[!.]*"))) < finished:
        time.sleep(0.0005)
    time.sleep(generator.uniform(0, a_shard))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    there = {p.name: p.stat() for p in out.glob("shards/[!.]*")}
    left = len(list(out.rglob("*.part")))
    os.waitpid(run(out), 0)
    print(json.dumps({
        "finished": len(there), "kept": int((folder / "kept").read_text()), "left": left,
        "untouched": all(
            (old.st_mtime_ns, old.st_ino) == (new.st_mtime_ns, new.st_ino)
            for name, old in there.items() for new in [(out / "shards" / name).stat()]),
        "same": files_of(out) == files_of(folder / "whole"),
    }))
'''


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_at_twenty_random_points_it_finishes_with_the_same_bytes(tmp_path: Path):
    make_pictures(tmp_path / "in", 12)
    places = [str(ROOT), str(ROOT / "tests"), str(ROOT / "data"), str(tmp_path)]
    command = [sys.executable, "-c", KILLS, *places]
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    trials = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(trials) == 20
    assert all(trial["same"] for trial in trials)
    assert all(trial["untouched"] for trial in trials), "a finished shard was computed again"
    assert all(trial["kept"] == trial["finished"] for trial in trials)
    assert sum(0 < trial["finished"] < 6 for trial in trials) >= 8, trials
    assert any(trial["left"] for trial in trials), "never killed while it wrote"


@pytest.mark.slow
def test_two_worker_processes_of_which_one_is_killed(tmp_path: Path):
    pytest.importorskip("distributed")
    paths, network = make_pictures(tmp_path / "in", 40), tiny()
    options = {"method": "saliency", "shard_size": 2}
    batch.explain(paths, network, tmp_path / "threads", **options)
    out, stop, at = tmp_path / "processes", threading.Event(), []

    def kill_one() -> None:
        while len(list(out.glob("shards/[!.]*"))) < 3 and not stop.wait(0.01):
            pass
        children = psutil.Process().children(recursive=True)
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        at.append((len(workers), len(list(out.glob("shards/[!.]*")))))
        workers[-1].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        result = batch.explain(paths, network, out, workers=2, **options)
    finally:
        stop.set()
        killer.join()
    (workers, finished) = at[0]
    assert workers == 2
    assert 3 <= finished < 20, "not in mid-run"
    assert result["explained"] == 40
    assert files_of(out) == files_of(tmp_path / "threads")


def test_a_scheduler_that_runs_already(tmp_path: Path):
    distributed = pytest.importorskip("distributed")
    paths, network = make_pictures(tmp_path / "in", 6), tiny()
    batch.explain(paths, network, tmp_path / "threads", shard_size=2)
    with distributed.LocalCluster(
        2, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1"
    ) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tcp://")
        batch.explain(paths, network, tmp_path / "dask", shard_size=2, scheduler=address)
    assert files_of(tmp_path / "dask") == files_of(tmp_path / "threads")


def test_no_scheduler_answers(tmp_path: Path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    connect = distributed.Client
    monkeypatch.setattr(distributed, "Client", lambda *a, **k: connect(*a, **{**k, "timeout": 0.2}))
    paths = make_pictures(tmp_path / "in", 2)
    with pytest.raises(batch.BatchError, match="No Dask scheduler"):
        batch.explain(paths, tiny(), tmp_path / "out", scheduler="tcp://127.0.0.1:9")


# --- the command --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_command(tmp_path: Path, capsys, monkeypatch):
    (tmp_path / "list.txt").write_text("bald_eagle\nno_such_picture\n")
    make_pictures(tmp_path / "in", 2)
    arguments = [f"{tmp_path}/in/*.png", f"@{tmp_path}/list.txt", "--network", "squeezenet1_1"]
    arguments += ["--method", "ig", "--settings", '{"n_steps": 3}', "--target", "dalmatian"]
    arguments += ["--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["batch", *arguments])
    for kept in (0, 1):
        with pytest.raises(SystemExit) as done:
            runpy.run_module("course_utils.batch", run_name="__main__")  # python -m
        assert done.value.code == 0
        said = capsys.readouterr()
        assert said.out == f"3 explained, 1 skipped; 1 shards, {kept} of them from before\n"
        assert "skipped no_such_picture: " in said.err
    table = pd.read_parquet(tmp_path / "out" / "shards")
    assert list(table["label"])[-1] == "bald eagle"
    assert (table["target"] == 251).all()
    with pytest.raises(SystemExit) as stopped:
        batch.main([*arguments, "--settings", '{"steps": 3}'])
    assert stopped.value.code == 1
    assert "steps" in capsys.readouterr().err
