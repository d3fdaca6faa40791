"""What each measure is: its direction, its range, the level of chance, what it asks, its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One measure, described.

    Attributes
    ----------
    name : str
        Of the function in `course_utils.evaluation`.
    direction : {"higher", "lower", "neither"}
        Which values are good; "neither" where that depends on the question.
    low, high : float
        Range of its values; infinite where there is none.
    chance : str
        What a map gets that knows nothing.
    asks : str
        The question that it answers.
    source : str
        Where it was proposed.
    """

    name: str
    direction: Literal["higher", "lower", "neither"]
    low: float
    high: float
    chance: str
    asks: str
    source: str

    def __str__(self) -> str:
        good = {"neither": "neither direction is good in itself"}
        return (
            f"{self.name}: {self.asks} "
            f"({good.get(self.direction, f'{self.direction} is better')}; {self.low:g} to "
            f"{self.high:g}; chance: {self.chance}; {self.source})"
        )


_INFINITY = float("inf")
_ARRAS = "Arras, Osman, Samek 2022"
_ADEBAYO = "Adebayo et al. 2018"
_RISE = "Petsiuk, Das, Saenko 2018"
_MAP_OF_NOISE = "what unrelated maps get"

#: Every measure by the name of its function.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "relevance_mass", "higher", 0, 1, "area of the mask",
            "How much of the map lies on the thing?", _ARRAS,
        ),
        Metric(
            "energy_pointing_game", "higher", 0, 1, "area of the box",
            "How much of the positive map lies in the thing's box?", "Wang et al. 2020",
        ),
        Metric(
            "pointing_game", "higher", 0, 1, "area within the tolerance",
            "Is the strongest pixel on the thing?", "Zhang et al. 2018",
        ),
        Metric(
            "relevance_rank", "higher", 0, 1, "area of the mask",
            "How many of the strongest pixels lie on the thing?", _ARRAS,
        ),
        Metric(
            "mask_iou", "higher", 0, 1, "area / (2 - area)",
            "How well do the strongest pixels cover the thing and nothing else?",
            "intersection over union (Jaccard 1901) at the mask's own area",
        ),
        Metric(
            "effect_correlation", "higher", -1, 1, "0",
            "Does what the map says a part is worth agree with what its removal does?",
            "after Bhatt, Weller, Moura 2020",
        ),
        Metric(
            "deletion_curve", "lower", -_INFINITY, _INFINITY, "the area of a random map",
            "How fast does the score fall when the strongest pixels go?", _RISE,
        ),
        Metric(
            "insertion_curve", "higher", -_INFINITY, _INFINITY, "the area of a random map",
            "How fast does the score rise when the strongest pixels come?", _RISE,
        ),
        Metric(
            "spearman_similarity", "neither", -1, 1, "0",
            "Do two maps put the pixels in the same order?", _ADEBAYO,
        ),
        Metric(
            "ssim_similarity", "neither", -1, 1, _MAP_OF_NOISE,
            "Do two maps have the same local structure?", "Wang et al. 2004",
        ),
        Metric(
            "hog_similarity", "neither", -1, 1, _MAP_OF_NOISE,
            "Do the edges of two maps run the same way?", "Dalal, Triggs 2005",
        ),
        Metric(
            "top_k_intersection", "neither", 0, 1, "k",
            "How many of the strongest pixels do two maps share?", "Ghorbani, Abid, Zou 2019",
        ),
        Metric(
            "cosine_similarity", "neither", -1, 1, "0 for maps of zero mean",
            "Do two maps agree where they are strong?", "vector geometry",
        ),
    )
}  # fmt: skip
