"""Lesson 00's own functions: one picture at a time, and a loss with the right sign."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from _lessons import NOTEBOOKS, definitions
from captum.attr import Saliency
from torch import nn

from tools import normalize

X = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def lesson(**values: Any) -> SimpleNamespace:
    net = SimpleNamespace(denormalize=lambda x: x)
    return SimpleNamespace(**definitions("00", net=net, **values))


@pytest.mark.parametrize("size", [3.0, -3.0])
def test_what_a_logit_loses_is_positive_also_where_it_is_negative(size):
    """The logit falls with the detail, from 3 or from -3, by as much."""
    detail = X.var(dim=(1, 2, 3)).item()
    model = lambda x: x.var(dim=(1, 2, 3))[:, None] - detail + size  # noqa: E731
    ranked = torch.rand(2, 196)
    left = lesson(model=model).lost(X, 0, ranked)
    assert all(0 < share < 1 for share in left)
    other = lesson(model=lambda x: model(x) - size + 3).lost(X, 0, ranked)
    assert left == pytest.approx(other, abs=0.01)


def test_what_is_lost_is_what_the_highest_tiles_held():
    """A network that sees only the upper left tile loses it to the row that ranks it highest."""
    first = torch.zeros(2, 196)
    first[0, 0] = first[1, 195] = 1
    lost = lesson(model=lambda x: x[:, :1, :16, :16].var(dim=(1, 2, 3))[:, None] + 1).lost
    seen, unseen = lost(X, 0, first + torch.linspace(0.1, 0, 196).roll(98))
    assert seen > 0.01
    assert abs(unseen) < 1e-3


def test_a_map_is_read_by_size_or_by_sign_and_by_nothing_else():
    tiles, map_ = lesson().tiles, torch.linspace(-1, 1, 224).expand(224, 224)
    assert tiles(map_, "sign").view(14, 14)[0, 0] < 0 < tiles(map_, "size").view(14, 14)[0, 0]
    with pytest.raises(KeyError):
        tiles(map_, "Size")


def test_several_pictures_are_not_taken_for_one():
    names = lesson()
    assert names.superpixels(X).shape == (1, 1, 224, 224)
    with pytest.raises(ValueError, match="too many values"):
        names.superpixels(torch.cat([X, X / 2]))
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(AssertionError, match="one picture"):
        names.smooth(Saliency(model), torch.rand(2, 3, 2, 2), 1, nt_samples=2)


def test_a_fourth_control_is_not_taken_for_a_method(capsys):
    """Exercise 3 asks for it, and then for section 2 again."""
    (path,) = NOTEBOOKS.glob("00_*.ipynb")
    (source,) = (c.source for c in normalize.read(path).cells if "likeness = " in c.source)
    controls = dict.fromkeys(["Edge detector", "Centre", "Random", "Vertical edges"])
    explain = dict.fromkeys(["Saliency", "DeepLift", "LIME"]) | controls
    maps = {name: torch.rand(1, 3, 224, 224) for name in explain}
    exec(source, definitions("00", controls=controls, explain=explain, maps=maps))
    assert "of 3 methods" in capsys.readouterr().out
