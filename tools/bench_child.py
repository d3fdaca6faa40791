"""One measurement in a process of its own, for `tools/bench.py`: prints one line of JSON.

``python tools/bench_child.py JOB '{"network": "squeezenet1_1", ...}'``; the jobs are the functions
of this module that take keyword arguments and return a dictionary.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
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


def scenes(family: str, rounds: int) -> dict[str, Any]:
    """Speed of rendering one family of scenes."""
    from bench_scenes import measure

    return measure(family, rounds)


JOBS = {
    job.__name__: job
    for job in (
        import_cost,
        grad_cam,
        scenes,
    )
}

if __name__ == "__main__":
    print(json.dumps(JOBS[sys.argv[1]](**json.loads(sys.argv[2]))))
