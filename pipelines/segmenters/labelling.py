"""From a label map and what is known about each label to a `Segmentation`, composites included."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from medviz.core.anatomy import STRUCTURES, Structure
from medviz.core.segmentation import Finding, ModelRecord, Segmentation, SegmentedStructure
from medviz.core.space import Grid

HU_RULES = ModelRecord("medviz-hu-rules", "1")


def segmentation_of(
    labels: NDArray[np.uint8],
    grid: Grid,
    confidences: Mapping[str, float],
    *,
    models: tuple[ModelRecord, ...],
    findings: tuple[Finding, ...] = (),
) -> Segmentation:
    """Return the segmentation of a label map.

    Parameters
    ----------
    labels : ndarray of uint8, shape of `grid`
        Values of the anatomy table.
    confidences : mapping
        Structure to mean calibrated probability; a structure that is not in it came from a rule.
    """
    counts = np.bincount(labels.ravel(), minlength=256)
    found = []
    for item in STRUCTURES.values():
        entry = _entry(item, counts, confidences, grid.voxel_ml)
        if entry is not None:
            found.append(entry)
    return Segmentation(labels, grid, tuple(found), findings, models)


def _entry(
    item: Structure, counts: NDArray[np.intp], confidences: Mapping[str, float], voxel_ml: float
) -> SegmentedStructure | None:
    parts = [STRUCTURES[name] for name in item.members] or [item]
    parts = [part for part in parts if counts[part.label]]
    if not parts:
        return None
    voxels = int(sum(counts[part.label] for part in parts))
    is_network = all(part.name in confidences for part in parts)
    confidence = None
    if is_network:
        confidence = sum(confidences[part.name] * float(counts[part.label]) for part in parts) / voxels
    return SegmentedStructure(item.name, "network" if is_network else "rule", voxels * voxel_ml, confidence)
