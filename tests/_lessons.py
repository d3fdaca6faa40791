"""What a lesson defines, and the networks it is named after, for tests of its code."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import torch
from torch import nn

from course_utils import networks
from tools import normalize

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def definitions(lesson: str, **values: Any) -> dict[str, Any]:
    """Execute a lesson's imports and its functions and classes, and nothing else of it.

    Parameters
    ----------
    lesson
        Start of the notebook's name, such as ``"03"``.
    **values
        Global names that the functions look up, such as ``net`` or ``run``.

    Returns
    -------
    dict
        The names: ``definitions("02")["integrated_gradients"]`` is the lesson's own function.
    """
    (path,) = NOTEBOOKS.glob(f"{lesson}_*.ipynb")
    cells = [cell for cell in normalize.read(path).cells if cell.cell_type == "code"]
    wanted = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    names: dict[str, Any] = {"__name__": path.stem, **values}
    for cell in cells:
        if "bootstrap" in cell.metadata.get("tags", []):
            continue
        body = [node for node in ast.parse(cell.source).body if isinstance(node, wanted)]
        module = ast.Module(body=body, type_ignores=[])
        exec(compile(module, f"{path.name}:{cell.id}", "exec"), names)
    return names


def random_weights(name: str, seed: int = 0) -> nn.Module:
    """Build a named network with random numbers of a trained network's scale, in ``eval()``."""
    torch.manual_seed(seed)
    return networks.NETWORKS[name].build().eval()
