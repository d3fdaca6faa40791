"""How good an explanation is: against masks, against interventions, against controls.

- masks: `relevance_mass`, `energy_pointing_game`, `pointing_game`, `relevance_rank`, `mask_iou`,
  `part_relevance`, `part_table`
- interventions: `intervention_effect`, `effect_correlation`, `deletion_curve`, `insertion_curve`
- controls: `random_maps`, `edge_maps`, `center_maps`, `compare_with_controls`
- likeness of maps: `spearman_similarity`, `ssim_similarity`, `hog_similarity`,
  `top_k_intersection`, `cosine_similarity`, `compare_maps`
- how sure: `bootstrap_interval`, `permutation_test`

Maps are (N, C, H, W) or (N, H, W), tensors on any device or arrays; what comes back is one number
per image, as an array on the CPU. What is not defined, because a map is zero everywhere or a mask
is empty, is NaN, is warned of once, and is left out of averages, which say so. `METRICS` says of
each measure which direction is good, what chance gives, and who proposed it.
"""

from ._arrays import Parts, Reduce, Sign
from .controls import (
    CONTROLS,
    Comparison,
    center_maps,
    compare_with_controls,
    edge_maps,
    random_maps,
)
from .intervals import Interval, PermutationTest, bootstrap_interval, permutation_test
from .interventions import (
    Correlation,
    InterventionEffect,
    PerturbationCurve,
    class_scores,
    deletion_curve,
    effect_correlation,
    fill_pictures,
    insertion_curve,
    intervention_effect,
)
from .masks import (
    PartRow,
    RelevanceMass,
    bounding_boxes,
    energy_pointing_game,
    mask_iou,
    part_ids,
    part_relevance,
    part_table,
    pointing_game,
    relevance_mass,
    relevance_rank,
)
from .metrics import METRICS, Metric
from .similarity import (
    SIMILARITIES,
    compare_maps,
    cosine_similarity,
    hog_similarity,
    spearman_similarity,
    ssim_similarity,
    top_k_intersection,
)

__all__ = [
    "CONTROLS",
    "METRICS",
    "SIMILARITIES",
    "Comparison",
    "Correlation",
    "Interval",
    "InterventionEffect",
    "Metric",
    "PartRow",
    "Parts",
    "PermutationTest",
    "PerturbationCurve",
    "Reduce",
    "RelevanceMass",
    "Sign",
    "bootstrap_interval",
    "bounding_boxes",
    "center_maps",
    "class_scores",
    "compare_maps",
    "compare_with_controls",
    "cosine_similarity",
    "deletion_curve",
    "edge_maps",
    "effect_correlation",
    "energy_pointing_game",
    "fill_pictures",
    "hog_similarity",
    "insertion_curve",
    "intervention_effect",
    "mask_iou",
    "part_ids",
    "part_relevance",
    "part_table",
    "permutation_test",
    "pointing_game",
    "random_maps",
    "relevance_mass",
    "relevance_rank",
    "spearman_similarity",
    "ssim_similarity",
    "top_k_intersection",
]
