"""Forward and backward passes at points of a path, a chunk at a time, as cheap as they get."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from .. import runtime
from ..checks import (
    Baselines,
    Forward,
    Target,
    check_chunk_size,
    check_images,
    check_model,
    check_outputs,
    check_targets,
    expand_baselines,
    in_fastest_layout,
)
from .folding import fold_batch_norm, same_scores

# What the activations of one chunk may take, in bytes. Larger chunks gain a few percent on a CPU;
# a GPU needs more to be busy.
_BUDGET = {"cpu": 320 * 2**20, "mps": 2**30, "cuda": 2**31}
_LARGEST_CHUNK = 256


class Chunk(NamedTuple):
    """One forward and backward pass over n images at s positions each."""

    scores: Tensor  # (n, s)
    outputs: Tensor  # (n * s, classes)
    gradients: Tensor  # (n, s, C, H, W)


class _Probe(NamedTuple):
    """A forward pass, and what a backward pass would need to remember of it."""

    outputs: Tensor  # (n, classes)
    bytes_per_image: float


class Path:
    """Checked inputs, the scores at both ends, and the cheapest way to gradients in between."""

    def __init__(
        self,
        model: Forward,
        inputs: Tensor,
        target: Target,
        baselines: Baselines,
        chunk_size: int | None,
        fast: bool,
    ) -> None:
        runtime.tune_allocator()
        self.inputs = check_images(inputs)
        self.baselines = expand_baselines(baselines, self.inputs)
        check_model(model, self.inputs)
        check_chunk_size(chunk_size)
        # sums over thousands of gradients are kept in double precision, which MPS does not have
        self.precise = torch.float32 if self.inputs.device.type == "mps" else torch.float64
        ends = torch.cat([self.inputs[:1], self.baselines[:1]])
        probe, self.layout = in_fastest_layout(lambda batch: _probe(model, batch), ends, fast)
        n_classes = probe.outputs.shape[1]
        self.targets = check_targets(target, len(self.inputs), n_classes, self.inputs.device)
        self.chunk_size = chunk_size or self._fitting(probe)
        self.score_difference = self._score_difference(model, probe.outputs)
        self.forward = model
        if fast:
            self._fold(model, ends, probe, chunk_size)

    def difference(self, images: slice) -> Tensor:
        """Subtract the baselines from some of the images."""
        return self.inputs[images] - self._baselines(images)

    def gradients(self, images: slice, alphas: Tensor) -> Chunk:
        """Scores and gradients of some images at some positions, in one pass."""
        difference = self.difference(images).contiguous(memory_format=self.layout)
        start = self._baselines(images).contiguous(memory_format=self.layout)
        start = start.expand_as(difference)
        shape = (len(difference), len(alphas))
        if shape[0] > 1:  # image by image, each at all positions
            start, difference = (
                each.repeat_interleave(shape[1], 0) for each in (start, difference)
            )
        points = start + alphas.to(self.inputs).repeat(shape[0]).view(-1, 1, 1, 1) * difference
        targets = self.targets[images].repeat_interleave(shape[1])
        with torch.enable_grad():
            points = points.contiguous(memory_format=self.layout).requires_grad_()
            outputs = self.forward(points)
            scores = outputs.gather(1, targets[:, None]).squeeze(1)
            if not scores.requires_grad:
                raise ValueError(
                    "the model's scores do not depend on the images in a differentiable way; look "
                    "for torch.no_grad(), detach() or argmax in its forward pass."
                )
            (gradients,) = torch.autograd.grad(scores.sum(), points)
        return Chunk(scores.detach().view(shape), outputs.detach(), gradients.unflatten(0, shape))

    def _baselines(self, images: slice) -> Tensor:
        return self.baselines if len(self.baselines) == 1 else self.baselines[images]

    def _score_difference(self, model: Forward, first: Tensor) -> Tensor:
        """Score of each input minus that of its baseline (N,), by the model as it is."""
        at_inputs = self._scores(model, self.inputs, first[:1])
        if len(self.baselines) == 1:
            at_baselines = first[1].index_select(0, self.targets)
        else:
            at_baselines = self._scores(model, self.baselines, first[1:])
        return (at_inputs - at_baselines).to(self.precise)

    def _scores(self, model: Forward, images: Tensor, first: Tensor) -> Tensor:
        """Scores of the targets; the first image's outputs are known already."""
        outputs = [first]
        with torch.no_grad():
            for part in images[1:].split(self.chunk_size):
                outputs.append(model(part.contiguous(memory_format=self.layout)))
        return torch.cat(outputs).gather(1, self.targets[:, None]).squeeze(1)

    def _fold(self, model: Forward, ends: Tensor, probe: _Probe, chunk_size: int | None) -> None:
        """Go on with the folded network if there is one and its scores are the model's."""
        folded = fold_batch_norm(model)
        if folded is None:
            return
        try:
            folded_probe = _probe(folded, ends.contiguous(memory_format=self.layout))
        except RuntimeError:
            return
        if same_scores(folded_probe.outputs, probe.outputs):
            self.forward = folded
            self.chunk_size = chunk_size or self._fitting(folded_probe)

    def _fitting(self, probe: _Probe) -> int:
        """Return how many images fit into the budget."""
        budget = _BUDGET.get(self.inputs.device.type, _BUDGET["cpu"])
        fitting = int(min(max(budget / max(probe.bytes_per_image, 1), 1), _LARGEST_CHUNK))
        return fitting - fitting % 4 if fitting > 4 else fitting  # vector units like multiples


def _probe(forward: Forward, batch: Tensor) -> _Probe:
    """Run forward and weigh the activations that are stored for a backward pass."""
    storages: dict[int, int] = {}

    def weigh(tensor: Tensor) -> Tensor:
        if tensor.ndim and len(tensor) == len(batch):  # activations; parameters are stored anyway
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), saved_tensors_hooks(weigh, lambda tensor: tensor):
        outputs = check_outputs(forward(batch.detach().requires_grad_()), len(batch))
    return _Probe(outputs.detach(), sum(storages.values()) / len(batch))
