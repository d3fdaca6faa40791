"""How good an explanation is: against masks, against interventions, against controls.

- masks: `relevance_mass`, `pointing_game`, `mask_iou`, `part_relevance`
- interventions: `deletion_curve`
- controls: `random_maps`, `edge_maps`, `compare_with_controls`
- likeness of maps: `spearman_similarity`
- exact values of parts: `shapley_values`, `shapley_interactions`; does a map tell its own network
  from others: `own_gain`; how far methods and metrics are from the truth: the package `scoreboard`
- how sure: `bootstrap_interval`, `permutation_test`

Maps are (N, C, H, W) or (N, H, W), tensors on any device, arrays or lists; what comes back is one
number per image, as an array on the CPU. What is not defined, because a map is zero everywhere or
not finite or a mask is empty, is NaN, is warned of once, and is left out of averages, which count
it.
"""

from .controls import Comparison, compare_with_controls, edge_maps, random_maps
from .games import own_gain, shapley_interactions, shapley_values
from .interventions import deletion_curve
from .measures import (
    mask_iou,
    part_ids,
    part_relevance,
    pointing_game,
    relevance_mass,
    spearman_similarity,
)
from .statistics import Interval, PermutationTest, bootstrap_interval, permutation_test

__all__ = [
    "Comparison", "Interval", "PermutationTest", "bootstrap_interval", "compare_with_controls",
    "deletion_curve", "edge_maps", "mask_iou", "own_gain", "part_ids", "part_relevance",
    "permutation_test", "pointing_game", "random_maps", "relevance_mass", "shapley_interactions",
    "shapley_values", "spearman_similarity",
]  # fmt: skip
