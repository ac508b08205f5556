"""Head CT: the network `medviz_head` for the brain, Hounsfield rules for skin, skull and air."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medviz.core.anatomy import STRUCTURES
from medviz.core.progress import Progress, silent
from medviz.core.segmentation import Finding, ModelRecord, Segmentation
from medviz.core.space import Grid
from medviz.core.volume import Volume
from pipelines.segmenters import rules
from pipelines.segmenters.card import SegmenterCard
from pipelines.segmenters.labelling import HU_RULES, segmentation_of

if TYPE_CHECKING:
    from pipelines.segmenters.bundle import Probabilities

CARD = SegmenterCard(
    title="Head CT: brain parts by a small network, skin, skull and air by rules",
    modality="CT",
    region="head",
    structures=(
        "soft_tissue",
        "skull",
        "cerebrum",
        "deep_grey",
        "ventricles",
        "cerebellum",
        "brainstem",
        "csf",
        "air",
    ),
    bundle="medviz_head",
    limits="Trained on synthetic heads alone and never validated; it knows neither lesions nor vessels.",
)
BRAIN = ("cerebrum", "deep_grey", "ventricles", "cerebellum", "brainstem")
IN_ONE_PIECE = ("cerebrum", "cerebellum", "brainstem")
MARGIN_MM = 10.0
_NETWORK_SHARE = 0.6


def segment(
    volume: Volume,
    *,
    models: Path | None = None,
    threads: int = 2,
    seed: int = 1,
    progress: Progress = silent,
) -> Segmentation:
    """Return brain parts, skull, soft tissue and air of a head CT.

    Raises
    ------
    WeightsMissing
        If the network's weights are not here or not the pinned bytes; there is no fallback.
    BadInput
        If the volume is not in Hounsfield units.
    """
    from pipelines.segmenters.bundle import run_bundle, winners
    from pipelines.segmenters.bundleconfig import find_bundle, read_bundle

    bundle = read_bundle(find_bundle(CARD.bundle, models))
    view = rules.coarse_view(volume)
    body = rules.find_body(volume, view)
    found = run_bundle(
        bundle,
        cropped(volume, body),
        threads=threads,
        seed=seed,
        progress=lambda done, figure: progress(_NETWORK_SHARE * done, figure),
    )
    remove_islands(found)
    channel, confidence = winners(found, volume.grid, threads=threads)
    progress(0.8, "rules for skin, skull and air")
    masks = rules.find_head(volume, body, view)
    return fuse(volume, masks, _labels_of(channel, found.channels), confidence, model=found.model)


def cropped(volume: Volume, body: NDArray[np.bool_]) -> Volume:
    """Return the part of a volume around the body, with 10 mm to spare; all of it when there is no body."""
    if not body.any():
        return volume
    box = []
    for axis, step_mm in enumerate(volume.grid.spacing_mm):
        held = np.flatnonzero(body.any(axis=tuple(other for other in range(3) if other != axis)))
        spare = int(np.ceil(MARGIN_MM / step_mm))
        box.append(slice(max(0, int(held[0]) - spare), int(held[-1]) + 1 + spare))
    affine = np.array(volume.grid.affine)
    affine[:3, 3] = volume.grid.points(np.array([[part.start for part in box]]))[0]
    voxels = volume.voxels[tuple(box)]
    slices, rows, columns = voxels.shape
    grid = Grid((slices, rows, columns), affine, volume.grid.frame_of_reference)
    return replace(volume, voxels=voxels, grid=grid)


def remove_islands(found: Probabilities) -> None:
    """Take its probability from every piece that lies apart, so that the next likeliest class fills it.

    The brain and its fluid are one piece; so are cerebrum, cerebellum and brainstem.
    """
    number = {name: index for index, name in enumerate(found.channels)}
    likeliest = found.values.argmax(axis=0)
    head = [number[name] for name in (*BRAIN, "csf") if name in number]
    _take(found.values, np.isin(likeliest, head), head)
    for name in IN_ONE_PIECE:
        if name in number:
            _take(found.values, likeliest == number[name], [number[name]])
    total = found.values.sum(axis=0, keepdims=True)
    np.divide(found.values, total, out=found.values, where=total > 0)


def _take(values: NDArray[np.float32], mask: NDArray[np.bool_], channels: list[int]) -> None:
    islands = mask & ~rules.largest(mask)
    for channel in channels:
        values[channel][islands] = 0.0


def _labels_of(channel: NDArray[np.uint8], names: tuple[str, ...]) -> NDArray[np.uint8]:
    """Return the anatomy table's labels of the network's channels; 0 where it knows no structure."""
    lookup = np.zeros(256, dtype=np.uint8)
    for index, name in enumerate(names):
        lookup[index] = STRUCTURES[name].label if name in STRUCTURES else 0
    return lookup[channel]


def fuse(
    volume: Volume,
    masks: rules.HeadMasks,
    brain: NDArray[np.uint8],
    confidence: NDArray[np.float32],
    *,
    model: ModelRecord,
) -> Segmentation:
    """Return rules and network together: the network may speak only inside the cavity of the skull.

    Parameters
    ----------
    brain : ndarray of uint8, shape of the volume
        The network's labels, 0 where it saw none.
    confidence : ndarray of float32
        Its probability for them.
    """
    labels = np.zeros(volume.grid.shape, dtype=np.uint8)
    labels[masks.body] = STRUCTURES["soft_tissue"].label
    labels[masks.air] = STRUCTURES["air"].label
    labels[masks.bone] = STRUCTURES["skull"].label
    has_cavity = bool(masks.cavity.any())
    is_brain = (brain > 0) & (masks.cavity if has_cavity else masks.body & ~masks.bone & ~masks.air)
    labels[is_brain] = brain[is_brain]
    findings = () if has_cavity else (_NO_CAVITY,)
    means = _mean_confidence(np.where(is_brain, brain, np.uint8(0)), confidence)
    return segmentation_of(labels, volume.grid, means, models=(model, HU_RULES), findings=findings)


_NO_CAVITY = Finding(
    "skull",
    "NO_SKULL_CAVITY",
    "No closed skull cavity was found, so the network's brain was not held inside one.",
)


def _mean_confidence(labels: NDArray[np.uint8], confidence: NDArray[np.float32]) -> dict[str, float]:
    """Return the mean probability over the voxels of each structure; slice by slice, to save memory."""
    total, count = np.zeros(256), np.zeros(256)
    for plane, sure in zip(labels, confidence, strict=True):
        total += np.bincount(plane.ravel(), sure.ravel(), minlength=256)
        count += np.bincount(plane.ravel(), minlength=256)
    return {
        item.name: float(total[item.label] / count[item.label])
        for item in STRUCTURES.values()
        if item.label and count[item.label]
    }
