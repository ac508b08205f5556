"""Volume in, label map out: which voxel is which structure, how sure, and what looks implausible."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from medviz import plugins
from medviz.core.errors import BadInput, Uncertain
from medviz.core.progress import Progress, silent
from medviz.core.segmentation import Segmentation
from medviz.core.volume import Volume
from pipelines.plausibility import judge

_SEGMENTER_SHARE = 0.95


def segment(
    volume: Volume,
    *,
    segmenter: str = "head",
    models: Path | None = None,
    threads: int = 2,
    seed: int = 1,
    progress: Progress = silent,
) -> Segmentation:
    """Return the structures of a volume, each with confidence, reliability and findings.

    Parameters
    ----------
    volume : Volume
        HU, defaced where needed.
    segmenter : str
        File in `pipelines/segmenters`, or a guest.
    models : Path or None
        The site's models folder.
    threads : int
        Threads of torch and ITK; the result is the same bytes for the same number.

    Raises
    ------
    BadInput
        If the segmenter is unknown or made for another modality (``WRONG_MODALITY``).
    WeightsMissing
        If its weights are not here or not the pinned bytes.
    Uncertain
        If it found nothing (``NOTHING_FOUND``).
    Cancelled
        If `progress` raises it.
    """
    chosen = plugins.load("segmenters", segmenter)
    if chosen.CARD.modality != volume.modality:
        raise BadInput(
            f"The segmenter {segmenter} is made for {chosen.CARD.modality}, not {volume.modality}.",
            reason="WRONG_MODALITY",
            mend="Choose another series or segmenter.",
        )
    found: Segmentation = chosen.segment(
        volume,
        models=models,
        threads=threads,
        seed=seed,
        progress=lambda done, figure: progress(_SEGMENTER_SHARE * done, figure),
    )
    if not found.structures:
        raise Uncertain(
            "No body was found in this volume.",
            reason="NOTHING_FOUND",
            mend="Check that the series is a CT of a patient.",
        )
    progress(_SEGMENTER_SHARE, "checking plausibility")
    judged = replace(judge(found), shows_face=volume.shows_face)
    progress(1.0, f"{len(judged.structures)} structures")
    return judged
