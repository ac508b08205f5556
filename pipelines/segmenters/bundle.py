"""Runs a MONAI bundle on a volume: sliding window, temperature, and probabilities back in the patient."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.bundle.config_parser import ConfigParser
from monai.data.meta_tensor import MetaTensor
from numpy.typing import NDArray

from medviz.core.errors import BadInput, NotAvailable, WeightsMissing
from medviz.core.progress import Progress, silent
from medviz.core.segmentation import ModelRecord
from medviz.core.space import Grid
from medviz.core.volume import Volume
from pipelines.segmenters.bundleconfig import BundleConfig
from pipelines.segmenters.resampling import image_on, resampled, slabs, upright_grid

AIR_HU = -1000.0
MOST_BYTES = 6_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Probabilities:
    """Calibrated class probabilities on the network's grid.

    Parameters
    ----------
    values : ndarray of float32, shape (channel, *grid.shape)
        0 to 1; the channels of a voxel sum to 1.
    grid : Grid
        The network's upright grid, in the volume's frame of reference.
    channels : tuple of str
        What each channel is.
    model : ModelRecord
        Bundle, version and hash of its weights.
    """

    values: NDArray[np.float32]
    grid: Grid
    channels: tuple[str, ...]
    model: ModelRecord


def run_bundle(
    bundle: BundleConfig, volume: Volume, *, threads: int = 2, seed: int = 1, progress: Progress = silent
) -> Probabilities:
    """Return the bundle's class probabilities for a volume, on the network's own grid.

    The volume is turned upright and resampled by us, so that a sagittal, feet-first or oblique
    stack shows the network the same head; every other transform of the bundle is MONAI's. The same
    volume, threads and weights give the same bytes.

    Raises
    ------
    WeightsMissing
        If the weights are absent (``WEIGHTS_MISSING``), unpinned (``WEIGHTS_UNPINNED``), not the pinned
        bytes (``WEIGHTS_CHANGED``), or do not fit the network (``WEIGHTS_DO_NOT_FIT``).
    BadInput
        If the bundle cannot be used (``BUNDLE_REFUSED``).
    NotAvailable
        If the volume is too large for the memory a bundle may take (``VOLUME_TOO_LARGE``).
    Cancelled
        If `progress` raises it; between two windows.
    """
    grid = upright_grid(volume.grid, codes=bundle.codes, spacing_mm=bundle.spacing_mm)
    _check_size(grid, bundle)
    with _deterministic(threads, seed):
        network = load_network(bundle)
        progress(0.0, "resampling for the network")
        image = _input(bundle, volume, grid, threads)
        logits = _infer(bundle, network, image, progress)
        if logits.shape[0] != len(bundle.channels) or tuple(logits.shape[1:]) != grid.shape:
            raise _unfit("its network answers in another shape than its metadata says")
        values = torch.softmax(logits.div_(bundle.temperature), dim=0).numpy()
    return Probabilities(values, grid, bundle.channels, record_of(bundle))


def record_of(bundle: BundleConfig) -> ModelRecord:
    """Return the name, version and weights hash of a bundle."""
    return ModelRecord(bundle.name, bundle.version, bundle.weights_sha256)


def load_network(bundle: BundleConfig) -> torch.nn.Module:
    """Return the bundle's network with its weights, after the hash of their bytes was checked."""
    network = bundle_part(bundle, "network_def")
    if not isinstance(network, torch.nn.Module):
        raise _unfit("its network_def makes no network")
    try:
        network.load_state_dict(_state(_checked_weights(bundle)))
    except (RuntimeError, TypeError, AttributeError, pickle.UnpicklingError):
        raise WeightsMissing(
            f"The weights of {bundle.name} do not fit its network.",
            reason="WEIGHTS_DO_NOT_FIT",
            mend="Import the bundle again: configuration and weights must be of one version.",
        ) from None
    fast: Any = network.eval()  # torch's stub of `to` lacks the memory format
    ready: torch.nn.Module = fast.to(memory_format=torch.channels_last_3d)
    return ready


def _state(content: bytes) -> dict[str, Any]:
    """Return the tensors of a checkpoint, which some tools wrap in a dictionary; nothing else is read."""
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    for key in ("model", "state_dict", "network"):
        if isinstance(state.get(key), dict):
            return dict(state[key])
    return state


def _checked_weights(bundle: BundleConfig) -> bytes:
    source = f" They can be had from {bundle.address}." if bundle.address else ""
    mend = f"Get them with `medviz models pull` or `medviz models import`.{source}"
    if not bundle.weights_sha256:
        raise WeightsMissing(
            f"The weights of {bundle.name} have no pinned SHA-256.", reason="WEIGHTS_UNPINNED", mend=mend
        )
    if not bundle.weights.is_file():
        raise WeightsMissing(
            f"The weights of {bundle.name} are not here; wanted is SHA-256 {bundle.weights_sha256}.",
            mend=mend,
        )
    content = bundle.weights.read_bytes()
    if hashlib.sha256(content).hexdigest() != bundle.weights_sha256:
        raise WeightsMissing(
            f"The weights of {bundle.name} are not the pinned bytes (SHA-256 {bundle.weights_sha256}).",
            reason="WEIGHTS_CHANGED",
            mend=mend,
        )
    return content


def bundle_part(bundle: BundleConfig, section: str) -> Any:
    """Return what MONAI makes of a checked section."""
    try:
        parser = ConfigParser(json.loads(json.dumps(bundle.config)))
        return parser.get_parsed_content(section)
    except Exception as error:  # a door: whatever MONAI dislikes about a foreign configuration
        raise _unfit(f"MONAI could not make its {section} ({type(error).__name__})") from None


def _unfit(why: str) -> BadInput:
    return BadInput(
        f"The bundle cannot be used: {why}.", reason="BUNDLE_REFUSED", mend="Check the bundle's version."
    )


def _check_size(grid: Grid, bundle: BundleConfig) -> None:
    """Stop before memory does: sliding-window inference holds logits and weights of every voxel."""
    needed = int(np.prod(grid.shape)) * (len(bundle.channels) + 4) * 4
    if needed > MOST_BYTES:
        raise NotAvailable(
            f"{bundle.name} would need {needed / 1e9:.0f} GB for this volume.",
            reason="VOLUME_TOO_LARGE",
            mend="Choose a series of a smaller region, or the bundle's coarser variant.",
        )


def _input(bundle: BundleConfig, volume: Volume, grid: Grid, threads: int) -> torch.Tensor:
    """Return the network's input, shape (channel, *grid.shape), after the bundle's own transforms."""
    outside = AIR_HU if volume.unit == "HU" else float(volume.voxels.min())
    voxels = resampled(image_on(volume.voxels, volume.grid), grid, outside=outside, threads=threads)
    compose = bundle_part(bundle, "preprocessing")
    image = compose({"image": MetaTensor(torch.from_numpy(voxels)[None])})["image"]
    if tuple(image.shape[1:]) != grid.shape:
        raise _unfit("its preprocessing crops or pads")
    return torch.as_tensor(image, dtype=torch.float32)


def _infer(
    bundle: BundleConfig, network: torch.nn.Module, image: torch.Tensor, progress: Progress
) -> torch.Tensor:
    """Return logits, shape (channel, *spatial)."""
    inferer = bundle_part(bundle, "inferer")
    windows = _window_count(inferer, tuple(image.shape[1:]))
    with torch.inference_mode():
        answer = inferer(image.as_subclass(torch.Tensor)[None], _told(network, windows, progress))
    progress(1.0, f"window {windows} of {windows}")
    return torch.as_tensor(answer)[0].float().clone()


def _told(
    network: torch.nn.Module, windows: int, progress: Progress
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the network as a function that tells its progress before every batch of windows."""
    done = 0

    def predict(batch: torch.Tensor) -> torch.Tensor:
        nonlocal done
        progress(min(done / windows, 1.0), f"window {min(done + 1, windows)} of {windows}")
        done += len(batch)
        answer = network(batch.contiguous(memory_format=torch.channels_last_3d))
        return torch.as_tensor(answer[0] if isinstance(answer, (list, tuple)) else answer)

    return predict


def _window_count(inferer: object, shape: tuple[int, ...]) -> int:
    """Return how many windows MONAI's sliding window will take; 1 for other inferers."""
    roi = getattr(inferer, "roi_size", None)
    if roi is None:
        return 1
    sizes = [int(roi)] * 3 if isinstance(roi, int) else [int(size) for size in roi]
    overlap = getattr(inferer, "overlap", 0.25)
    shares = (
        [float(overlap)] * 3 if isinstance(overlap, (int, float)) else [float(share) for share in overlap]
    )
    count = 1
    for length, size, share in zip(shape, sizes, shares, strict=True):
        size = length if size <= 0 else size
        step = size if size == length else max(1, int(size * (1 - share)))
        count *= max(0, -(-(length - size) // step)) + 1
    return count


@contextmanager
def _deterministic(threads: int, seed: int) -> Iterator[None]:
    """Set torch to a fixed number of threads and deterministic kernels, and put back what was."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def winners(
    probabilities: Probabilities, grid: Grid, *, threads: int = 2, progress: Progress = silent
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return for every voxel of `grid` the likeliest channel and its probability.

    Probabilities, not labels, are interpolated: edges fall between voxels of the network's grid. Slab
    by slab and channel by channel, so that the memory needed does not grow with the channels.

    Returns
    -------
    channel : ndarray of uint8, shape of `grid`
        Channel 0 outside the network's grid.
    confidence : ndarray of float32, shape of `grid`
        0 to 1.
    """
    channel = np.zeros(grid.shape, dtype=np.uint8)
    confidence = np.zeros(grid.shape, dtype=np.float32)
    images = [image_on(values, probabilities.grid) for values in probabilities.values]
    for where, slab in slabs(grid):
        progress(where.start / grid.shape[0], "probabilities back to the volume")
        for number, image in enumerate(images):
            values = resampled(image, slab, outside=float(number == 0), threads=threads)
            is_better = values > confidence[where]
            channel[where][is_better] = number
            confidence[where][is_better] = values[is_better]
    progress(1.0, "probabilities back to the volume")
    return channel, np.minimum(confidence, 1.0, out=confidence)
