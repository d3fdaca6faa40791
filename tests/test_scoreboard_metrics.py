"""The popular metrics: planted maps, batches, metadata, and what they are equal to."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve
from torch import nn

from course_utils import evaluation as ev
from scoreboard.metrics import METRICS, impute


class Left(nn.Module):
    """The mean of the left half, minus that of the right half."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        half = x.shape[-1] // 2
        difference = x[..., :half].mean((1, 2, 3)) - x[..., half:].mean((1, 2, 3))
        return torch.stack([difference, -difference], dim=1)


@pytest.fixture(scope="module")
def case() -> dict:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(6, 3, 16, 16, generator=generator) + 0.5
    left = np.zeros((6, 16, 16), bool)
    left[:, :, :8] = True
    parts = [np.stack([one, ~one]) for one in left]
    # half of the pictures are of the other class, whose evidence is on the right
    target = torch.tensor([0, 1] * 3)
    masks = np.where(target.numpy()[:, None, None] == 0, left, ~left)
    effects = [np.array([1.0, -1.0]) * (1 - 2 * int(goal)) for goal in target]

    def explain(model: nn.Module, x: torch.Tensor, goal: torch.Tensor) -> np.ndarray:
        x = x.detach().clone().requires_grad_(True)
        score = model(x).gather(1, goal[:, None]).sum()
        return (torch.autograd.grad(score, x)[0] * x).sum(1).detach().numpy()

    return {
        "model": Left().eval(),
        "images": images,
        "target": target,
        "masks": masks,
        "parts": parts,
        "effects": effects,
        "explain": explain,
    }


def planted(case: dict) -> dict[str, np.ndarray]:
    """Return a good map, its opposite, and noise that looks at nothing."""
    good = case["explain"](case["model"], case["images"], case["target"])
    return {
        "good": good,
        "bad": -good,
        "random": np.random.default_rng(1).normal(size=good.shape),
    }


SIGNED = ["deletion", "insertion", "ROAD", "faithfulness correlation"]


@pytest.mark.parametrize("name", [*SIGNED, "one part greyed", "one part removed"])
def test_metric_ranks_planted_maps(name: str, case: dict):
    metric = METRICS[name]
    means = {k: metric.goodness(metric(m, **case)).mean() for k, m in planted(case).items()}
    assert means["good"] > means["random"] > means["bad"]


@pytest.mark.parametrize("name", ["relevance mass", "rank accuracy", "pointing game"])
def test_where_a_map_lies(name: str, case: dict):
    metric, good = METRICS[name], planted(case)["good"] * case["masks"]
    assert metric(good, **case).mean() == pytest.approx(1)
    assert metric(np.where(case["masks"], 0.0, 1.0), **case).mean() == 0


@pytest.mark.parametrize("name", METRICS)
def test_a_batch_is_as_many_single_calls(name: str, case: dict):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 2))
    case, maps = {**case, "model": network.eval()}, planted(case)["random"]
    atol = 1e-2 if name == "ROAD" else 1e-5  # its solver stops when all pictures are good enough
    alone = []
    for i in range(3):
        one = {k: v[i : i + 1] if hasattr(v, "__len__") else v for k, v in case.items()}
        alone += [*METRICS[name](maps[i : i + 1], **{**one, "model": case["model"]})]
    some = {k: v[:3] if hasattr(v, "__len__") else v for k, v in case.items()}
    together = METRICS[name](maps[:3], **{**some, "model": case["model"]})
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=atol)


def test_infidelity_is_zero_for_a_linear_model(case: dict):
    metric, maps = METRICS["infidelity"], planted(case)
    np.testing.assert_allclose(metric(maps["good"], **case), 0, atol=1e-9)
    assert metric(maps["random"], **case).mean() > 0.5


def test_every_metric_has_its_metadata_and_keeps_its_range(case: dict):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 2))
    case = {**case, "model": network.requires_grad_(False).eval()}
    maps = case["explain"](network, case["images"], case["target"])
    assert len(METRICS) >= 12
    for name, metric in METRICS.items():
        assert metric.name == name
        assert min(map(len, (metric.measures, metric.fooled_by, metric.source))) > 10, name
        values = metric(maps, **case)
        assert values.shape == (6,), name
        low, high = metric.range
        assert ((values >= low - 1e-9) & (values <= high + 1e-9)).all(), name
        np.testing.assert_array_equal(values, metric(maps, **case))


def test_noise_and_constants_against_explaining_again(case: dict):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 2))
    case = {**case, "model": network.requires_grad_(False).eval()}

    def picture(_: nn.Module, x: torch.Tensor, goal: torch.Tensor) -> np.ndarray:
        return x.mean(1).numpy()

    maps = picture(network, case["images"], case["target"])
    randomised = METRICS["parameter randomisation"]
    np.testing.assert_allclose(randomised(maps, **{**case, "explain": picture}), 1)
    smooth = METRICS["smooth parameter randomisation"]
    np.testing.assert_allclose(smooth(maps, **{**case, "explain": picture}), 1)
    assert randomised(planted(case)["good"], **case).mean() < 0.9
    constant = {**case, "explain": lambda _, x, goal: np.ones((6, 16, 16))}
    assert METRICS["max-sensitivity"](np.ones((6, 16, 16)), **constant).max() == 0


def test_one_pixel_is_sparse_and_a_plain_map_is_not():
    maps = np.zeros((2, 8, 8))
    maps[0, 3, 3] = 5
    maps[1] = 1
    assert METRICS["sparseness"](maps).tolist() == pytest.approx([63 / 64, 0])
    assert METRICS["complexity"](maps).tolist() == pytest.approx([0, math.log(64)])


def test_imputation_solves_the_linear_system():
    generator = np.random.default_rng(0)
    images = torch.tensor(generator.normal(size=(2, 3, 9, 7)))
    gone = torch.tensor(generator.random((2, 1, 9, 7)) < 0.6)
    found = impute(images, gone, tolerance=1e-10)
    weights = {
        (a, b): 1 / 6 if a == 0 or b == 0 else 1 / 12
        for a in (-1, 0, 1)
        for b in (-1, 0, 1)
        if (a, b) != (0, 0)
    }
    triples = zip(images.numpy(), gone[:, 0].numpy(), found.numpy(), strict=True)
    for picture, hole, expected in triples:
        matrix, right = lil_matrix((63, 63)), np.zeros((63, 3))
        for row, column in np.ndindex(9, 7):
            here = row * 7 + column
            if not hole[row, column]:
                matrix[here, here], right[here] = 1, picture[:, row, column]
                continue
            for (down, across), weight in weights.items():
                if 0 <= row + down < 9 and 0 <= column + across < 7:
                    matrix[here, here] += weight
                    matrix[here, here + 7 * down + across] -= weight
        solved = spsolve(matrix.tocsr(), right).T.reshape(3, 9, 7)
        np.testing.assert_allclose(expected, solved, atol=1e-6)


def test_insertion_is_deletion_from_the_other_end(case: dict):
    maps = planted(case)["good"]
    deleted = ev.deletion_curve(
        case["model"], case["images"], -maps, case["target"], fill=0.0, score="logit"
    )
    inserted = METRICS["insertion"](maps, **case)
    curve = ev.deletion_curve(
        case["model"], torch.zeros_like(case["images"]), maps, case["target"],
        fill=case["images"], score="logit",
    )  # fmt: skip
    np.testing.assert_allclose(curve.scores[:, ::-1], deleted.scores, atol=1e-5)
    np.testing.assert_allclose(inserted, curve.area, atol=0.02)


# ---------------------------------------------------------------------------- other libraries


def small_network(channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    head = nn.Linear(8 * 14 * 14, 2)
    model = nn.Sequential(nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.Flatten(), head)
    return model.requires_grad_(False).eval()


def test_infidelity_is_captums(case: dict):
    from captum.metrics import infidelity

    model, maps = small_network(), planted(case)["random"]
    squares: list[torch.Tensor] = []
    hook = model.register_forward_pre_hook(lambda _, given: squares.append(given[0]))
    found = METRICS["infidelity"](maps, **{**case, "model": model})
    hook.remove()
    squares = [one for one in squares if (one == 0).any()]  # what is covered is exactly zero
    covered = torch.stack(squares, dim=1).flatten(0, 1)
    inside = (covered == 0).all(1, keepdim=True).float()

    def perturb(inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.cat([inside, 0 * inside, 0 * inside], dim=1), covered

    attributions = torch.from_numpy(maps).float()[:, None] * torch.tensor([1, 0, 0])[:, None, None]
    expected = infidelity(
        model, perturb, case["images"], attributions, target=case["target"],
        n_perturb_samples=len(squares), normalize=True,
    )  # fmt: skip
    score = ev.interventions.class_scores
    repeated = case["target"].repeat_interleave(len(squares))
    falls = score(model, case["images"], case["target"])[:, None] - score(
        model, covered, repeated
    ).reshape(6, -1)
    np.testing.assert_allclose(found, expected.numpy() / (falls**2).mean(1), rtol=1e-3)


def test_max_sensitivity_is_captums(case: dict):
    from captum.metrics import sensitivity_max

    from scoreboard.metrics import _noisy

    model, explain = small_network(), case["explain"]
    mine = {**case, "model": model}
    noisy = torch.stack(_noisy(SimpleNamespace(images=case["images"], seed=0)), dim=1)

    @torch.enable_grad()
    def explanation(inputs: tuple[torch.Tensor], target: torch.Tensor) -> tuple[torch.Tensor]:
        images = inputs[0] if isinstance(inputs, tuple) else inputs
        return (torch.from_numpy(explain(model, images, target)),)

    expected = sensitivity_max(
        explanation, case["images"], lambda _: noisy.flatten(0, 1),
        n_perturb_samples=noisy.shape[1], target=case["target"],
    )  # fmt: skip
    maps = explain(model, case["images"], case["target"])
    found = METRICS["max-sensitivity"](maps, **mine)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4)


def quantus_or_skip():
    return pytest.importorskip("quantus", reason="no Quantus to compare with", exc_type=ImportError)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("relevance mass", "RelevanceMassAccuracy"),
        ("rank accuracy", "RelevanceRankAccuracy"),
        ("pointing game", "PointingGame"),
        ("sparseness", "Sparseness"),
        ("complexity", "Complexity"),
    ],
)
def test_metric_is_quantus(name: str, theirs: str, case: dict):
    quantus = pytest.importorskip(
        "quantus", reason="Quantus, which it is compared with, is not here"
    )
    maps = planted(case)["random"]
    metric = getattr(quantus, theirs)(
        abs=True, normalise=False, disable_warnings=True, display_progressbar=False
    )
    expected = metric(
        model=small_network(),
        x_batch=case["images"].numpy(),
        y_batch=case["target"].numpy(),
        a_batch=maps[:, None],
        s_batch=case["masks"][:, None],
    )
    np.testing.assert_allclose(METRICS[name](maps, **case), np.array(expected, float), atol=1e-6)


def test_deletion_is_the_pixel_flipping_of_quantus(case: dict):
    quantus = pytest.importorskip(
        "quantus", reason="Quantus, which it is compared with, is not here"
    )
    # of one channel: Quantus flips channel by channel
    model, maps, grey = small_network(1), planted(case)["random"], case["images"][:, :1]
    metric = quantus.PixelFlipping(
        features_in_step=32, perturb_baseline=0.0, normalise=False, disable_warnings=True
    )
    expected = metric(
        model=model,
        x_batch=grey.numpy(),
        y_batch=case["target"].numpy(),
        a_batch=maps[:, None],
        softmax=False,
    )
    shares = np.linspace(0, 1, 9)
    found = ev.deletion_curve(
        model, grey, maps, case["target"], fill=0.0, score="logit", fractions=shares
    )
    np.testing.assert_allclose(found.scores[:, 1:], np.array(expected), atol=1e-5)
