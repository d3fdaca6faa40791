"""The checks at the border: targets, pictures, models, what they give, and arrays."""

from __future__ import annotations

import contextlib
import io
import textwrap

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import course_utils as cu
from course_utils import checks

INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
SPELLINGS = {
    "list": list,
    "tuple": tuple,
    "array": np.array,
    "unsigned": lambda entries: np.array(entries, np.uint16),
    "column": lambda entries: torch.tensor(entries)[:, None],
    "list of tensors": lambda entries: [torch.tensor(entry) for entry in entries],
    "list of NumPy's": lambda entries: [np.int32(entry) for entry in entries],
    **{str(dtype): lambda e, dtype=dtype: torch.tensor(e, dtype=dtype) for dtype in INTEGERS},
}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    entries=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    spelling=st.sampled_from(list(SPELLINGS)),
)
def test_targets_of_every_integer_type_agree(entries, spelling):
    before = SPELLINGS[spelling](entries)
    found = checks.check_targets(before, len(entries), 10, torch.device("cpu"))
    assert found.tolist() == entries
    assert found.dtype == torch.int64
    if len(entries) == 1:
        assert checks.check_targets(before, 3, 10, found.device).tolist() == 3 * entries


@pytest.mark.parametrize("target", [2, np.int8(2), np.array(2), torch.tensor(2), range(2, 3)])
def test_one_target_for_all(target):
    assert checks.check_targets(target, 3, 10, torch.device("cpu")).tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (True, TypeError),
        ([True, False], TypeError),
        (1.0, TypeError),
        (torch.tensor([1.0, 0.0]), TypeError),
        ("cat", TypeError),
        (None, TypeError),
        ([[1], [2, 3]], TypeError),
        ([], TypeError),
        ([1, 2, 3], ValueError),
        (torch.eye(2, dtype=torch.int64), ValueError),
        (-1, IndexError),
        ([0, 10], IndexError),
    ],
)
def test_other_targets_are_refused(target, error):
    with pytest.raises(error, match="target"):
        checks.check_targets(target, 2, 10, torch.device("cpu"))


class _Result:
    def __init__(self, logits):
        self.logits = logits


def test_the_advice_for_other_outputs_works():
    """The lines that the error shows are run, and then every method takes the network."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

        def forward(self, images):
            return _Result(self.head(self.convolution(images).relu().mean((2, 3))))

    model, images = Model().eval(), torch.randn(2, 3, 8, 8)
    explanations = (
        lambda net: cu.integrated_gradients(net, images, 0, n_steps=2),
        lambda net: cu.deeplift(net, images, 0),
        lambda net: cu.grad_cam(net, images, 0, model.convolution),
    )
    for explain in explanations:
        with pytest.raises(TypeError, match="Wrap it in a module") as caught:
            explain(model)
        names = {"torch": torch, "model": model}
        exec(textwrap.dedent(str(caught.value).split(":\n", 1)[1]), names)
        explain(names["scores"])


@pytest.mark.parametrize(
    "outputs", [(torch.ones(2, 3),), {"out": torch.ones(2, 3)}, torch.ones(2), torch.ones(2, 3, 1)]
)
def test_other_outputs_are_refused(outputs):
    with pytest.raises((TypeError, ValueError), match="Wrap it in a module"):
        checks.check_outputs(outputs, 2)


@pytest.mark.parametrize(
    "special", [nn.Dropout(), nn.BatchNorm2d(3), nn.RReLU(), nn.MultiheadAttention(2, 1)]
)
def test_a_module_left_in_training_mode_is_found(special):
    model = nn.Sequential(nn.Conv2d(3, 3, 1), special).eval()
    special.train()
    with pytest.raises(ValueError, match=r"model.eval\(\)"):
        checks.check_model(model, torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64, torch.int32])
def test_pictures_of_other_types_are_refused(dtype):
    with pytest.raises(TypeError, match="float"):
        checks.check_images(torch.zeros(1, 3, 4, 4, dtype=dtype))


def test_to_numpy():
    values = torch.rand(3, requires_grad=True)
    for given_ in (values, values.tolist(), values.detach().numpy(), list(values), tuple(values)):
        np.testing.assert_allclose(checks.to_numpy(given_), values.tolist(), rtol=1e-6)
    assert checks.to_numpy(values.bfloat16()).dtype == np.float32
    assert checks.to_numpy(values.half()).dtype == np.float16
    assert checks.to_numpy(torch.tensor([True])).dtype == bool
    assert checks.to_numpy(3).shape == ()


def test_default_chunks_hold_the_same_number_of_pixels():
    sides = (224, 112, 32, 999)
    images = [torch.empty(1, 3, side, side) for side in sides]
    assert [checks.default_chunk_size(each) for each in images] == [8, 32, 392, 1]
    assert [checks.gradient_chunk_size(each) for each in images] == [5, 20, 64, 1]


def test_unchanged_restores_after_an_interrupt_while_it_restores(monkeypatch):
    model, errors = nn.Sequential(nn.Identity()), [KeyboardInterrupt()]
    model.register_buffer("calls", torch.zeros(()))
    real = torch.Tensor.copy_

    def interrupted(tensor, source):
        if errors:
            raise errors.pop()
        return real(tensor, source)

    monkeypatch.setattr(torch.Tensor, "copy_", interrupted)
    with contextlib.suppress(KeyboardInterrupt), checks.unchanged(model):
        model.calls += 1
        model.note = io.StringIO()
        model.append(nn.ReLU())
    assert not errors
    assert float(model.calls) == 0
    assert not hasattr(model, "note")
    assert len(model) == 1
