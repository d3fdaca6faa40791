"""One measurement in a process of its own, for `tools/bench.py`: prints one line of JSON.

``python tools/bench_child.py JOB '{"network": "squeezenet1_1", ...}'``; the jobs are the functions
of this module that take keyword arguments and return a dictionary.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PHOTO = "bull_mastiff"
MIB = 2**20


def import_cost() -> dict[str, float]:
    """Seconds that ``import course_utils`` takes after ``import torch``."""
    start = time.perf_counter()
    import torch  # noqa: F401

    between = time.perf_counter()
    import course_utils  # noqa: F401

    return {"torch": between - start, "course_utils": time.perf_counter() - between}


def integrated_gradients(
    network: str, method: str, n_steps: int, batch: int | None = None, tuned: bool = False
) -> dict[str, float]:
    """Time and peak memory of one call, cold, as a user gets it.

    `method` is "ours" or "captum"; `batch` is the chunk size or ``internal_batch_size`` (None: the
    default of either); `tuned` gives Captum this course's allocator settings too.
    """
    import course_utils as cu

    model, image, target = _subject(network)
    if tuned:
        cu.tune_allocator()
    if method == "ours":

        def call() -> Any:
            return cu.integrated_gradients(
                model, image, target, n_steps=n_steps, chunk_size=batch, progress=False
            )
    else:
        from captum.attr import IntegratedGradients

        explainer = IntegratedGradients(model)

        def call() -> Any:
            return explainer.attribute(
                image,
                target=target,
                n_steps=n_steps,
                internal_batch_size=batch,
                return_convergence_delta=True,
            )

    with _peak_memory() as memory:
        seconds, (_, delta) = _timed(call)
    return {"seconds": seconds, "mib": memory["mib"], "delta": float(delta)}


def beside_raw(network: str, n_steps: int, rounds: int) -> dict[str, Any]:
    """Integrated gradients beside plain forward and backward passes, warm, taking turns.

    The plain passes compute the gradient by the image only, on the model as it was loaded, with the
    tuned allocator, for several chunk sizes and both layouts of the images.
    """
    import torch

    import course_utils as cu

    model, image, target = _subject(network)
    cu.tune_allocator()
    layouts = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
    batches = {
        f"{chunk} {name}": image.repeat(chunk, 1, 1, 1).contiguous(memory_format=layout)
        for chunk in (2, 4, 8, 16, 32)
        for name, layout in layouts.items()
    }

    def passes(batch: torch.Tensor) -> None:
        for _ in range(max(1, 32 // len(batch))):
            leaf = batch.detach().requires_grad_()
            torch.autograd.grad(model(leaf)[:, target].sum(), leaf)

    raw: dict[str, list[float]] = {name: [] for name in batches}
    ours: list[float] = []
    for turn in range(rounds + 1):
        for name, batch in batches.items():
            seconds, _ = _timed(lambda batch=batch: passes(batch))
            raw[name].append(seconds / (len(batch) * max(1, 32 // len(batch))))
        seconds, _ = _timed(
            lambda: cu.integrated_gradients(model, image, target, n_steps=n_steps, progress=False)
        )
        ours.append(seconds / n_steps)
        if turn == 0:  # the first turn warms up
            raw, ours = {name: [] for name in batches}, []
    return {
        "raw": {name: statistics.median(values) for name, values in raw.items()},
        "ours": statistics.median(ours),
    }


def completeness(network: str, n_steps: int) -> dict[str, float]:
    """Completeness error of each quadrature, as a part of the score difference."""
    import torch

    import course_utils as cu
    from course_utils.attribution import METHODS

    model, image, target = _subject(network)
    with torch.no_grad():
        ends = model(torch.cat([image, torch.zeros_like(image)]))[:, target]
    difference = float(ends[0] - ends[1])
    errors = {}
    for method in METHODS:
        result = cu.integrated_gradients(
            model, image, target, n_steps=n_steps, method=method, progress=False
        )
        errors[method] = abs(float(result.delta) / difference)
    return errors


def grad_cam(network: str, method: str, calls: int, tuned: bool = False) -> dict[str, float]:
    """Median seconds of one Grad-CAM at the network's usual layer, scaled to the image's size."""
    import course_utils as cu

    model, image, target = _subject(network)
    layer = cu.load_network(network, verbose=False).layers.grad_cam
    if tuned:
        cu.tune_allocator()
    if method == "ours":

        def call() -> Any:
            return cu.grad_cam(model, image, target, layer)
    else:
        from captum.attr import LayerAttribution, LayerGradCam

        explainer = LayerGradCam(model, model.get_submodule(layer))

        def call() -> Any:
            maps = explainer.attribute(image, target, relu_attributions=True)
            return LayerAttribution.interpolate(maps, image.shape[-2:], "bilinear")

    for _ in range(3):
        call()
    return {"seconds": statistics.median(_timed(call)[0] for _ in range(calls))}


def _subject(network: str) -> tuple[Any, Any, int]:
    """Load a bundled network and a photograph; explain the class that it predicts."""
    import torch

    import course_utils as cu

    net = cu.load_network(network, verbose=False)
    image = net.preprocess(cu.load_photo(PHOTO))
    with torch.no_grad():
        return net.model, image, int(net.model(image).argmax())


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


@contextmanager
def _peak_memory() -> Iterator[dict[str, float]]:
    """Peak resident memory of the block in MiB, over what was resident before it."""
    import psutil

    process, result = psutil.Process(), {"mib": 0.0}
    before = process.memory_info().rss
    if _reset_high_water_mark():
        yield result
        status = Path("/proc/self/status").read_text(encoding="ascii")
        peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    else:
        peaks, done = [before], threading.Event()

        def watch() -> None:
            while not done.wait(0.002):
                peaks.append(max(peaks[-1], process.memory_info().rss))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield result
        finally:
            done.set()
            watcher.join()
        peak = peaks[-1]
    result["mib"] = (peak - before) / MIB


def _reset_high_water_mark() -> bool:
    """Ask Linux to start its record of the peak anew; other systems have to be watched."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def scenes(family: str, rounds: int) -> dict[str, Any]:
    """Speed of rendering one family of scenes."""
    from bench_scenes import measure

    return measure(family, rounds)


JOBS = {
    job.__name__: job
    for job in (
        import_cost,
        integrated_gradients,
        beside_raw,
        completeness,
        grad_cam,
        scenes,
    )
}

if __name__ == "__main__":
    print(json.dumps(JOBS[sys.argv[1]](**json.loads(sys.argv[2]))))
