"""What `exercises.check` says of right, wrong, missing and failing answers."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from captum.attr import Saliency
from scipy.stats import kendalltau

import course_utils as cu
from course_utils.evaluation import shapley_values
from course_utils.exercises import check


@pytest.mark.parametrize(
    "answer",
    [
        torch.ones(2, 3, requires_grad=True),
        torch.ones(2, 3, dtype=torch.bfloat16),
        np.ones((2, 3)),
        [[1, 1, 1], [1, 1, 1]],
        lambda: torch.ones(2, 3),
    ],
)
def test_equal_answers_pass_whatever_holds_them(answer, capsys):
    assert check("ones", answer, torch.ones(2, 3))
    assert capsys.readouterr().out == "✓ ones\n"


def misspelt():
    return ones  # noqa: F821


@pytest.mark.parametrize("answer", [None, ..., lambda: None, lambda: ..., lambda: share])  # noqa: F821
def test_a_stub_is_not_an_error(answer, capsys):
    assert not check("later", answer, 1.0)
    assert "not answered yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (torch.ones(3, 2), "expected shape (2, 3), got (3, 2)"),
        (torch.full((2, 3), float("nan")), "NaN"),
        (torch.tensor([[1.0, 1, 1], [1, 2, 1]]), "the first is at (1, 1), expected 1, got 2"),
        (lambda: misspelt(), "your code stopped with NameError"),
        (lambda: torch.ones(2, 3) @ torch.ones(2, 3), "your code stopped with RuntimeError"),
        ("one", "expected numbers"),
    ],
)
def test_a_wrong_answer_is_explained_with_the_hint(answer, words, capsys):
    assert not check("ones", answer, torch.ones(2, 3), hint="look again")
    said = capsys.readouterr().out
    assert words in said
    assert said.endswith("Hint: look again\n")


def test_texts_and_single_numbers(capsys):
    assert check("word", "cat", "cat")
    assert check("close", 0.33333, 1 / 3, rtol=1e-3)
    assert not check("number", 2, 3)
    assert "expected 3, got 2" in capsys.readouterr().out
    assert not check("word", "dog", "cat")


def test_gradients_that_rounding_switches_do_not_make_an_answer_wrong():
    expected = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    switched, shifted, holed = expected.clone(), expected.roll(1, dims=3), expected.clone()
    switched[5, 0, :2] += 0.005  # one of 20 gradients on the other side of a kink
    assert check("20 steps", switched, expected)
    assert not check("20 steps", shifted, expected)
    assert not check("20 steps", expected * 1.002, expected)
    assert not check("20 steps", switched, torch.where(expected > 0, expected, float("nan")))
    assert not check("20 steps", switched, torch.where(expected > 0, expected, float("inf")))
    holed[0, 0, 0, 0] += 1  # one pixel of all
    assert not check("20 steps", holed, expected)
    assert not check("few numbers", switched[5, 0].flatten()[:99], expected[5, 0].flatten()[:99])


def test_the_answer_is_left_as_it_was():
    answer = torch.ones(2, requires_grad=True)
    check("ones", answer, torch.zeros(2))
    assert answer.requires_grad
    assert answer.grad is None


# --- tasks of assignments -------------------------------------------------------------------------


def test_from_scratch_refuses_library_methods_however_they_were_imported():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3)).eval()
    x, captum, ours = torch.rand(1, 3, 2, 2), Saliency(net), cu.integrated_gradients
    expected = captum.attribute(x.clone().requires_grad_(), target=1)
    answers = {
        "captum": lambda: captum.attribute(x.clone().requires_grad_(), target=1),
        "course": lambda: ours(net, x, 1, progress=False).attributions,
    }
    for name, answer in answers.items():
        assert not cu.check(name, answer, expected, from_scratch=True)
        assert cu.check(
            name, lambda: captum.attribute(x.clone().requires_grad_(), target=1), expected
        )
    functions = kendalltau, cu.evaluation.shapley_values
    others = {kendalltau: ([1, 2], [1, 2]), shapley_values: ([0, 1, 2, 3],)}
    for function, arguments in others.items():
        call = functools.partial(function, *arguments)
        assert not cu.check("other", lambda call=call: call()[0], 1, from_scratch=functions)
        assert cu.check("and again", lambda call=call: call()[0], 1)
    own = lambda: net[1].weight[1].abs().view(1, 3, 2, 2)  # noqa: E731
    assert cu.check("own", own, expected, from_scratch=True)
    assert ours(net, x, 1, progress=False).attributions.shape == x.shape, "and they work again"


def test_answers_are_recorded_for_a_grader_only(tmp_path, monkeypatch):
    cu.check("before", 1.0, 1.0)
    monkeypatch.setenv("GRADER_RECORDS", str(tmp_path))
    cu.check("number", lambda: 2.5, 1.0)
    cu.check("text", "cat", "dog")
    cu.check("nothing", ..., 1.0)
    cu.check("stops", lambda: 1 / 0, 1.0)
    records = [np.load(path) for path in sorted(tmp_path.iterdir())]
    assert [(str(r["name"]), r["answer"].tolist()) for r in records] == [
        ("number", 2.5),
        ("text", "cat"),
    ]


def test_seed_depends_on_the_student_and_the_grader_decides_who_that_is(monkeypatch):
    assert cu.student_seed("Ada ") == cu.student_seed("ada") != cu.student_seed("bob")
    with pytest.raises(ValueError, match="user name"):
        cu.student_seed(" ")
    monkeypatch.setenv("GRADER_STUDENT", "bob")
    assert cu.student_seed("ada") == cu.student_seed("bob")


def test_no_number_stands_for_an_expected_nan(capsys):
    assert not check("a gap", [1.0, 0.0, 2.0], [1.0, float("nan"), 2.0])
    assert "the first is at (1,), expected nan, got 0" in capsys.readouterr().out
