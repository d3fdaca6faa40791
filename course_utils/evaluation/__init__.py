"""How good an explanation is: against masks, against interventions, against controls.

- masks: `relevance_mass`, `pointing_game`, `mask_iou`, `part_relevance`, `part_table`
- interventions: `intervention_effect`, `effect_correlation`, `deletion_curve`
- controls: `random_maps`, `edge_maps`, `compare_with_controls`
- likeness of maps: `spearman_similarity`, `cosine_similarity`
- how sure: `bootstrap_interval`, `permutation_test`, `effect_correlation`

Maps are (N, C, H, W) or (N, H, W), tensors on any device, arrays or lists; what comes back is one
number per image, as an array on the CPU. What is not defined, because a map is zero everywhere or
not finite or a mask is empty, is NaN, is warned of once, and is left out of averages, which count
it.
"""

from .controls import Comparison, compare_with_controls, edge_maps, random_maps
from .interventions import InterventionEffect, deletion_curve, intervention_effect
from .measures import (
    cosine_similarity,
    mask_iou,
    part_ids,
    part_relevance,
    part_table,
    pointing_game,
    relevance_mass,
    spearman_similarity,
)  # fmt: skip
from .statistics import (
    Interval,
    PermutationTest,
    bootstrap_interval,
    effect_correlation,
    permutation_test,
)  # fmt: skip

__all__ = [
    "Comparison", "Interval", "InterventionEffect", "PermutationTest",
    "bootstrap_interval", "compare_with_controls", "cosine_similarity", "deletion_curve",
    "edge_maps", "effect_correlation", "intervention_effect", "mask_iou", "part_ids",
    "part_relevance", "part_table", "permutation_test", "pointing_game",
    "random_maps", "relevance_mass", "spearman_similarity",
]  # fmt: skip
