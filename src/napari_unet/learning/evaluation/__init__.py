"""How well labels agree with the truth: voxels, objects, boundaries, partitions; 2D and 3D.

Every measure but that of boundaries follows from one table of how many voxels each pair of labels shares
(`napari_unet.learning.overlap.count_overlaps`), which is made once. `object_scores` and `class_scores` give all of
them by name.
"""

from napari_unet.learning.evaluation.boundaries import BoundaryCounts, boundary_f1, count_boundaries
from napari_unet.learning.evaluation.intervals import bootstrap
from napari_unet.learning.evaluation.matching import (
    THRESHOLDS,
    Matches,
    Pairs,
    match_objects,
    match_pairs,
    panoptic_quality,
)
from napari_unet.learning.evaluation.mistakes import Mistakes, find_mistakes
from napari_unet.learning.evaluation.partitions import adapted_rand_error, variation_of_information
from napari_unet.learning.evaluation.report import class_scores, object_scores
from napari_unet.learning.evaluation.voxels import class_dice, dice, iou

__all__ = [
    "THRESHOLDS",
    "BoundaryCounts",
    "Matches",
    "Mistakes",
    "Pairs",
    "adapted_rand_error",
    "bootstrap",
    "boundary_f1",
    "class_dice",
    "class_scores",
    "count_boundaries",
    "dice",
    "find_mistakes",
    "iou",
    "match_objects",
    "match_pairs",
    "object_scores",
    "panoptic_quality",
    "variation_of_information",
]
