"""Finds the brain in MR of any contrast with the network `medviz_head`, coarsely: enough to see a face by.

A quarter of what that network was trained on had random contrast, as in MR of an unknown sequence.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

NETWORK_MM = 2.0
_PARTS = ("cerebrum", "deep_grey", "ventricles", "cerebellum", "brainstem")
_LEAST_ML = 150.0


class HeadBrain:
    """The brain by the bundle `medviz_head`.

    Parameters
    ----------
    models : Path or None
        Where bundles were imported to.
    threads : int
        Processor threads.

    Raises
    ------
    WeightsMissing
        From `find`, if the network's weights are not here or not the pinned bytes.
    """

    def __init__(self, *, models: Path | None = None, threads: int = 2) -> None:
        self.models, self.threads = models, threads

    def find(
        self, voxels: NDArray[np.float32], spacing_mm: tuple[float, float, float]
    ) -> NDArray[np.bool_] | None:
        """Return the brain, shape of `voxels` (up, back, left in LPS), or None when there is none.

        None too when less than 150 ml looks like a brain.
        """
        image = _scaled(voxels)
        factors = [mm / NETWORK_MM for mm in spacing_mm]
        small = image if np.allclose(factors, 1) else ndimage.zoom(image, factors, order=1)
        labels = self._labels(small[:, ::-1, ::-1].transpose(2, 1, 0))  # RAS: right, front, up
        brain = labels.transpose(2, 1, 0)[:, ::-1, ::-1]
        piece = _largest(brain)
        if piece.sum() * NETWORK_MM**3 / 1000 < _LEAST_ML:
            return None
        if piece.shape != voxels.shape:
            sizes = [wanted / got for wanted, got in zip(voxels.shape, piece.shape, strict=True)]
            piece = ndimage.zoom(piece.astype(np.float32), sizes, order=1) > 0.5
        return piece

    def _labels(self, image: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return where the network sees brain, shape of `image` (right to left, back to front, up)."""
        import torch

        from pipelines.segmenters.bundle import bundle_part, load_network
        from pipelines.segmenters.bundleconfig import find_bundle, read_bundle

        bundle = read_bundle(find_bundle("medviz_head", self.models))
        network, inferer = load_network(bundle), bundle_part(bundle, "inferer")
        channels = [bundle.channels.index(name) for name in _PARTS]
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode():
                stacked = np.ascontiguousarray(np.stack([image, image]))
                answer = inferer(torch.from_numpy(stacked)[None], network)
                found: NDArray[np.int64] = answer[0].argmax(dim=0).numpy()
        finally:
            torch.set_num_threads(before)
        return np.isin(found, channels)


def _scaled(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return levels scaled to -1 .. 1 between their 0.5th and 99.5th percentile, as in training."""
    low, high = np.percentile(voxels, (0.5, 99.5))
    scaled = np.clip((voxels - low) / max(float(high - low), 1e-6), 0, 1) * 2 - 1
    return np.asarray(scaled, dtype=np.float32)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest piece of a mask after thin bridges were cut."""
    labels, count = ndimage.label(ndimage.binary_opening(mask, iterations=2))
    if count == 0:
        return np.zeros_like(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    core = labels == int(np.argmax(sizes))
    piece: NDArray[np.bool_] = ndimage.binary_dilation(core, iterations=2) & mask
    return piece
