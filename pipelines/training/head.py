"""Train the head network on synthetic heads, never on a real scan, and write its MONAI bundle.

The images come from `synthesis.py`. The 20 label maps behind them are not part of MedViz: they are
`data/training_label_maps/training_seg_*.nii.gz` of https://github.com/BBillot/SynthSeg (Apache-2.0;
cite Billot et al. 2023, https://doi.org/10.1016/j.media.2023.102789). The user gives their folder:

    python -m pipelines.training.head --label-maps DIR --out DIR --minutes 60 --seed 1

A run that was stopped, even by force, goes on from its last checkpoint when started again. Image
number `n` depends on the seed and on `n` alone, so with `--steps` the same weights come out on the
same machine whether or not the run was interrupted; with `--minutes` the learning rate follows the
clock. The last averaged weights are kept; no checkpoint is chosen. With `--bundle DIR` a finished
run is measured on the two held-out heads and its weights are written into the bundle.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import itertools
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.nets.segresnet import SegResNet
from scipy.optimize import minimize_scalar
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from pipelines.training.synthesis import (
    CLASSES,
    CROP,
    Example,
    Head,
    read_heads,
    synthesise,
)

VALIDATION_SEED = 20_230_501
MEASURED = tuple(name for name in CLASSES if name not in ("background", "other_head"))


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long to train, by steps or by minutes of this machine, and how fast to learn.

    Raises
    ------
    ValueError
        If not exactly one of `steps` and `minutes` is given.
    """

    steps: int | None
    minutes: float | None
    peak_rate: float = 2e-3
    warmup_steps: int = 60

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("Give either the steps or the minutes of the training.")

    def progress(self, step: int, elapsed_s: float) -> float:
        """Return the finished part of the run, 0 to 1."""
        if self.steps is not None:
            return min(1.0, step / self.steps)
        return min(1.0, elapsed_s / (60.0 * (self.minutes or 1.0)))

    def rate(self, step: int, elapsed_s: float) -> float:
        """Return the learning rate: a linear rise, then a cosine to 1 % of the peak."""
        rise = min(1.0, (step + 1) / self.warmup_steps)
        fall = 0.5 * (1.0 + math.cos(math.pi * self.progress(step, elapsed_s)))
        return self.peak_rate * rise * (0.01 + 0.99 * fall)


class Examples(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Synthetic images by number: number `n` depends on the seed and on `n` only.

    Raises
    ------
    ValueError
        If a side of `shape` is under 32 voxels or not a multiple of 8.
    """

    def __init__(self, heads: Sequence[Head], seed: int, shape: Sequence[int]) -> None:
        # oneDNN's bfloat16 weight gradients are garbage when the deepest level is 2 voxels wide
        if any(size < 32 or size % 8 for size in shape):
            raise ValueError("Give a crop of at least 32 voxels a side, each a multiple of 8.")
        self._heads, self._seed, self._shape = list(heads), seed, tuple(shape)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return image and truth of one number."""
        torch.set_num_threads(1)
        head = self._heads[np.random.default_rng([self._seed, number, 7]).integers(len(self._heads))]
        example = synthesise(head, [self._seed, number], shape=self._shape)
        return torch.from_numpy(example.image), torch.from_numpy(example.target)


# ------------------------------------------------------------------ network and its state


def build_network() -> SegResNet:
    """Return the untrained network; the bundle's `network_def` says the same."""
    return SegResNet(
        spatial_dims=3,
        init_filters=8,
        in_channels=2,
        out_channels=len(CLASSES),
        norm=("INSTANCE", {"affine": True}),
        blocks_down=(1, 2, 2, 3),
        blocks_up=(1, 1, 1),
    )


@dataclass(slots=True)
class Run:
    """The state of a training run: everything a checkpoint holds."""

    network: SegResNet
    average: dict[str, torch.Tensor]
    optimiser: torch.optim.AdamW
    step: int = 0
    elapsed_s: float = 0.0

    def save(self, path: Path) -> None:
        """Write the checkpoint beside its place, then move it there: a kill leaves the old one."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
        }
        write_whole(path, serialised(state))

    def load(self, path: Path) -> None:
        """Take up the run that `path` holds."""
        state: dict[str, Any] = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]


def serialised(state: dict[str, Any]) -> bytes:
    """Return the bytes that `torch.save` writes."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a kill at any moment leaves the old content or the new, never a part."""
    draft = path.with_name(path.name + ".part")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def memory_format(device: torch.device) -> torch.memory_format:
    """Return the layout that is fastest there."""
    return torch.channels_last_3d if device.type == "cpu" else torch.contiguous_format


def start_run(seed: int, device: torch.device) -> Run:
    """Return a fresh run: random weights, their average and the optimiser."""
    torch.manual_seed(seed)
    network = build_network().to(device)
    if device.type == "cpu":
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch lacks it
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    return Run(network, average, torch.optim.AdamW(network.parameters(), weight_decay=1e-4))


# ------------------------------------------------------------------ training


def dice_and_cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return 1 - mean Dice plus the mean cross-entropy.

    Parameters
    ----------
    logits : float tensor (1, class, x, y, z)
    target : integer tensor (1, x, y, z)
    """
    log_p = functional.log_softmax(logits.float(), dim=1)
    cross_entropy = functional.nll_loss(log_p, target)
    p = log_p.exp().flatten(2)[0]
    truth = functional.one_hot(target.flatten(), p.shape[0]).T.to(p.dtype)
    overlap, total = (p * truth).sum(1), p.sum(1) + truth.sum(1)
    return 1 - ((2 * overlap + 1) / (total + 1)).mean() + cross_entropy


def take_step(run: Run, image: torch.Tensor, target: torch.Tensor, rate: float) -> float:
    """Do one step of AdamW in bfloat16 and follow it with the average; return the loss.

    Raises
    ------
    RuntimeError
        If a gradient is not finite: the run stops at its last checkpoint.
    """
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    with torch.autocast(image.device.type, dtype=torch.bfloat16):
        logits = run.network(image)
    loss = dice_and_cross_entropy(logits, target)
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
    torch.nn.utils.clip_grad_norm_(run.network.parameters(), 1.0, error_if_nonfinite=True)
    run.optimiser.step()
    run.step += 1
    follow(run)
    return float(loss.detach())


def follow(run: Run) -> None:
    """Move the averaged weights toward the present ones; slowly, but quicker at the start."""
    keep = min(0.998, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        for name, value in run.network.state_dict().items():
            run.average[name].lerp_(value, 1 - keep)


def batches(examples: Examples, first: int, *, workers: int) -> Iterator[Any]:
    """Yield (image, target) from number `first` on, made by `workers` processes."""
    loader = DataLoader(
        examples,
        sampler=itertools.count(first),
        batch_size=1,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
        prefetch_factor=6 if workers else None,
    )
    return iter(loader)


def resumed_run(out: Path, seed: int, device: torch.device) -> Run:
    """Return the run whose checkpoint lies in `out`, or a fresh one."""
    out.mkdir(parents=True, exist_ok=True)
    run = start_run(seed, device)
    if (out / "checkpoint.pt").exists():
        run.load(out / "checkpoint.pt")
    return run


def train(
    examples: Examples,
    out: Path,
    schedule: Schedule,
    *,
    seed: int,
    workers: int = 1,
    save_every: int = 100,
    stop_at_step: int | None = None,
) -> Run:
    """Train, or go on training, until the schedule ends; return the run.

    `out` receives `checkpoint.pt` and `history.csv` (step, mean loss, seconds).
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run = resumed_run(out, seed, device)
    source, losses, last_s = batches(examples, run.step, workers=workers), [], time.monotonic()
    while schedule.progress(run.step, run.elapsed_s) < 1 and run.step != stop_at_step:
        image, target = next(source)
        image = image.to(device, memory_format=memory_format(device))
        rate = schedule.rate(run.step, run.elapsed_s)
        losses.append(take_step(run, image, target.to(device).long(), rate))
        now_s = time.monotonic()
        run.elapsed_s, last_s = run.elapsed_s + now_s - last_s, now_s
        if run.step % save_every == 0:
            run.save(out / "checkpoint.pt")
            report(out, run, schedule, losses)
            losses = []
    run.save(out / "checkpoint.pt")
    return run


def report(out: Path, run: Run, schedule: Schedule, losses: Sequence[float]) -> None:
    """Print one line of progress and append it to the history."""
    done = schedule.progress(run.step, run.elapsed_s)
    left_s = run.elapsed_s * (1 - done) / max(done, 1e-9)
    loss, pace = float(np.mean(losses)), run.step / run.elapsed_s
    print(f"step {run.step}  loss {loss:.4f}  {pace:.2f} steps/s  {left_s / 60:.1f} min left", flush=True)
    with (out / "history.csv").open("a", newline="") as file:
        csv.writer(file).writerow([run.step, f"{loss:.5f}", f"{run.elapsed_s:.1f}"])


# ------------------------------------------------------------------ measuring on held-out heads


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the network does on synthetic CT of heads it has not seen.

    Attributes
    ----------
    images : int
        Synthetic images measured.
    dice : dict
        Dice of each structure, voxels of all images pooled.
    temperature : float
        Divisor of the logits that makes the probabilities fit best (Guo et al. 2017).
    confidence : dict
        Mean calibrated probability over the voxels given to each structure.
    calibration_error : float
        Expected calibration error with that temperature, 15 bins.
    """

    images: int
    dice: dict[str, float]
    temperature: float
    confidence: dict[str, float]
    calibration_error: float


@dataclass(frozen=True, slots=True)
class Judged:
    """Logits (voxel, class), predicted and true class (voxel) of voxels in or near the brain."""

    logits: torch.Tensor
    predicted: torch.Tensor
    truth: torch.Tensor


def judge(network: SegResNet, example: Example) -> Judged:
    """Return what the network says where a structure is, or where it sees one."""
    with torch.inference_mode():
        logits = network(torch.from_numpy(example.image)[None])[0].flatten(1).T
    predicted, truth = logits.argmax(1), torch.from_numpy(example.target).flatten().long()
    matter = is_measured(predicted) | is_measured(truth)
    return Judged(logits[matter], predicted[matter], truth[matter])


def is_measured(classes: torch.Tensor) -> torch.Tensor:
    """Return which voxels belong to a structure that counts."""
    return torch.isin(classes, torch.tensor([CLASSES.index(name) for name in MEASURED]))


def fitted_temperature(logits: torch.Tensor, truth: torch.Tensor) -> float:
    """Return the temperature with the least cross-entropy, between 0.3 and 4."""

    def cross_entropy(log_temperature: float) -> float:
        return float(functional.cross_entropy(logits / math.exp(log_temperature), truth))

    fit = minimize_scalar(cross_entropy, bounds=(math.log(0.3), math.log(4)), method="bounded")
    return float(math.exp(fit.x))


def calibration_error(confidence: torch.Tensor, is_right: torch.Tensor) -> float:
    """Return the mean gap between confidence and share of right voxels over 15 bins."""
    bins = torch.clamp((confidence * 15).long(), max=14)
    gaps = [
        float((confidence[bins == b].mean() - is_right[bins == b].float().mean()).abs() * (bins == b).sum())
        for b in range(15)
        if (bins == b).any()
    ]
    return sum(gaps) / len(confidence)


def pooled_dice(predicted: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
    """Return the Dice of each structure that occurs."""
    dice = {}
    for name in MEASURED:
        mine, true = predicted == CLASSES.index(name), truth == CLASSES.index(name)
        total = int(mine.sum() + true.sum())
        if total:
            dice[name] = round(2 * int((mine & true).sum()) / total, 4)
    return dice


def measure(network: SegResNet, heads: Sequence[Head], *, images: int, shape: Sequence[int]) -> Measurement:
    """Return Dice and calibration on synthetic CT of `heads`; images alternate between them."""
    network.eval()
    judged = []
    for number in range(images):
        head = heads[number % len(heads)]
        example = synthesise(head, [VALIDATION_SEED, number], shape=shape, only_ct=True)
        judged.append(judge(network, example))
    logits, predicted, truth = (
        torch.cat([getattr(one, part) for one in judged]) for part in ("logits", "predicted", "truth")
    )
    temperature = fitted_temperature(logits[::7], truth[::7])
    confidence = functional.softmax(logits / temperature, dim=1).amax(1)
    means = {
        name: round(float(confidence[predicted == CLASSES.index(name)].mean()), 4)
        for name in MEASURED
        if (predicted == CLASSES.index(name)).any()
    }
    error = calibration_error(confidence, predicted == truth)
    return Measurement(images, pooled_dice(predicted, truth), round(temperature, 4), means, round(error, 4))


# ------------------------------------------------------------------ bundle


def rounded_weights(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights in half precision, on the CPU, in plain layout."""
    return {name: value.detach().cpu().contiguous().half() for name, value in weights.items()}


def write_bundle(bundle: Path, run: Run, heads: Sequence[Head], *, images: int = 32) -> Measurement:
    """Write the averaged weights into the bundle, and their checksum and figures into its metadata.

    What is measured are the rounded weights, as they are stored.
    """
    weights = rounded_weights(run.average)
    network = build_network()
    network.load_state_dict(weights)
    measurement = measure(network, heads, images=images, shape=CROP)
    content = serialised(weights)
    write_whole(bundle / "models" / "model.pt", content)
    metadata_path = bundle / "configs" / "metadata.json"
    metadata = json.loads(metadata_path.read_text())
    metadata["weights"] = {
        "path": "models/model.pt",
        "sha256": hashlib.sha256(content).hexdigest(),
        "parameters": sum(value.numel() for value in weights.values()),
        "stored_as": "float16",
    }
    metadata["calibration"]["temperature"] = measurement.temperature
    metadata["calibration"]["mean_confidence"] = measurement.confidence
    metadata["calibration"]["expected_calibration_error"] = measurement.calibration_error
    metadata["eval_metrics"]["synthetic_held_out_dice"] = measurement.dice
    metadata["eval_metrics"]["synthetic_held_out_images"] = measurement.images
    metadata["training"]["steps"] = run.step
    metadata["training"]["minutes"] = round(run.elapsed_s / 60, 1)
    write_whole(metadata_path, (json.dumps(metadata, indent=2) + "\n").encode())
    return measurement


# ------------------------------------------------------------------ command


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description="Train the head network from label maps.")
    parser.add_argument("--label-maps", type=Path, required=True, help="folder of training_seg_*.nii.gz")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint and history")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="60 when neither is given")
    length.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--bundle", type=Path, help="bundle that receives the weights at the end")
    return parser.parse_args()


def main() -> None:
    """Train from the command line."""
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    minutes = chosen.minutes if chosen.minutes or chosen.steps else 60.0
    seen, held_out = read_heads(chosen.label_maps, chosen.out / "cache")
    schedule = Schedule(chosen.steps, minutes)
    run = train(Examples(seen, chosen.seed, CROP), chosen.out, schedule, seed=chosen.seed)
    if chosen.bundle:
        print(write_bundle(chosen.bundle, run, held_out))


if __name__ == "__main__":
    main()
