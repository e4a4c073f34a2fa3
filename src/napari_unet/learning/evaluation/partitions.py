"""Split and merge errors of an image divided into objects: variation of information, adapted Rand error.

Both look at pairs or shares of voxels and need no threshold. Voxels that the truth calls background do not count
unless asked for, as is usual (and as scikit-image's ``ignore_labels=(0,)``): otherwise the background, as one huge
object, decides alone. Voxels of true objects that were not found count as one object of the labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_unet.learning.overlap import Overlaps

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.intp]


def variation_of_information(table: Overlaps, background: bool = False) -> tuple[float, float]:
    """Return how many bits say into what true objects were split, and from what found ones were merged.

    Parameters
    ----------
    table : Overlaps
        Of truth and labels.
    background : bool
        Whether voxels that are background in the truth count.

    Returns
    -------
    tuple of float
        The conditional entropies H(labels | truth) of splits and H(truth | labels) of merges, in bits; both 0 if
        they agree, NaN if no voxel counts. Their sum is the variation of information (Meilă, *Journal of
        Multivariate Analysis* 98, 2007).
    """
    count, sides = _grouped(table, background)
    if not count.size:
        return np.nan, np.nan
    split, merge = (float(-(count * np.log2(count / sizes[place])).sum() / count.sum()) for sizes, place in sides)
    return max(0.0, split), max(0.0, merge)


def adapted_rand_error(table: Overlaps, background: bool = False) -> tuple[float, float, float]:
    """Return how wrong the pairs of voxels are that belong together, with precision and recall.

    Parameters
    ----------
    table, background
        See `variation_of_information`.

    Returns
    -------
    tuple of float
        Error, precision and recall. Precision: of the pairs of voxels with one label, the share that belongs to one
        true object. Recall: the other way round. The error is 1 − F1 of the two (Arganda-Carreras et al.,
        *Frontiers in Neuroanatomy* 9:142, 2015). NaN if there is no pair.
    """
    count, sides = _grouped(table, background)
    together = _pairs(count)
    in_truth, in_labels = (_pairs(sizes) for sizes, _ in sides)
    precision, recall = (together / n if n else np.nan for n in (in_labels, in_truth))
    both = in_truth + in_labels
    return (1 - 2 * together / both if both else np.nan), precision, recall


def _grouped(table: Overlaps, background: bool) -> tuple[Floats, list[tuple[Floats, Ids]]]:
    """Return the voxels of each pair that counts; of truth and labels the objects' voxels and each pair's place."""
    keep = np.ones(table.first.shape, bool) if background else table.first > 0
    count = table.count[keep].astype(np.float64)
    sides = []
    for side in (table.first, table.second):
        values, place = np.unique(side[keep], return_inverse=True)
        sides.append((np.bincount(place, count, values.size).astype(np.float64), place))
    return count, sides


def _pairs(sizes: Floats) -> float:
    """Return how many ordered pairs of two different voxels there are in groups of these sizes."""
    return float((sizes * (sizes - 1)).sum())
