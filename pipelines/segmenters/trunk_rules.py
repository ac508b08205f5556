"""Trunk CT by Hounsfield rules alone: body, bone, air. No organ is guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medviz.core.anatomy import STRUCTURES
from medviz.core.progress import Progress, silent
from medviz.core.segmentation import Segmentation
from medviz.core.volume import Volume
from pipelines.segmenters import rules
from pipelines.segmenters.card import SegmenterCard
from pipelines.segmenters.labelling import HU_RULES, segmentation_of

CARD = SegmenterCard(
    title="Trunk CT by rules: body, bone, air",
    modality="CT",
    region="trunk",
    structures=("soft_tissue", "bone", "air"),
    bundle="",
    limits="Thresholds only: no organs or vessels, and contrast in vessels may be called bone.",
)


def segment(
    volume: Volume,
    *,
    models: Path | None = None,  # noqa: ARG001 - rules need no weights
    threads: int = 2,  # noqa: ARG001
    seed: int = 1,  # noqa: ARG001
    progress: Progress = silent,
) -> Segmentation:
    """Return body, bone and air of a trunk CT.

    Raises
    ------
    BadInput
        If the volume is not in Hounsfield units.
    """
    view = rules.coarse_view(volume)
    progress(0.1, "body")
    body = rules.find_body(volume, view)
    progress(0.6, "bone and air")
    labels = np.zeros(volume.grid.shape, dtype=np.uint8)
    labels[body] = STRUCTURES["soft_tissue"].label
    labels[rules.find_air(volume, body)] = STRUCTURES["air"].label
    labels[rules.find_bone(volume, body, view)] = STRUCTURES["bone"].label
    progress(1.0, "rules")
    return segmentation_of(labels, volume.grid, {}, models=(HU_RULES,))
