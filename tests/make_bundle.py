"""A tiny MONAI bundle with real configuration and real, really trained weights, for the runner's tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle.config_parser import ConfigParser

CHANNELS = ("background", "cerebrum", "ventricles", "cerebellum")
LEVELS_HU = (-1000.0, 30.0, 100.0, 180.0)
NETWORK = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": "@classes",
    "channels": [8, 8],
    "strides": [1],
    "kernel_size": 1,
    "up_kernel_size": 1,
    "norm": None,
    "act": "RELU",
}


def inference(**changes: Any) -> dict[str, Any]:
    """Return an `inference.json` in the manner of MONAI's model zoo."""
    config: dict[str, Any] = {
        "imports": ["$import os", "$import torch"],
        "bundle_root": ".",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "is_fine": False,
        "pixdim": "$[1.5, 1.5, 1.5] if @is_fine else [4.0, 4.0, 4.0]",
        "classes": len(CHANNELS),
        "network_def": dict(NETWORK),
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
                {"_target_": "Spacingd", "keys": "image", "pixdim": "@pixdim", "mode": "bilinear"},
                {
                    "_target_": "ScaleIntensityRanged",
                    "keys": "image",
                    "a_min": -100,
                    "a_max": 200,
                    "b_min": 0,
                    "b_max": 1,
                    "clip": True,
                },
                {"_target_": "EnsureTyped", "keys": "image", "device": "@device"},
            ],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [24, 24, 24],
            "sw_batch_size": 2,
            "overlap": 0.25,
            "mode": "gaussian",
            "device": "$torch.device('cpu')",
        },
        "postprocessing": {"_target_": "Lambdad", "keys": "pred", "func": "$lambda x: x"},
        "run": ["$os.getcwd()"],
    }
    config.update(changes)
    return config


def make_bundle(
    folder: Path, config: dict[str, Any] | None = None, *, steps: int = 150, **metadata: Any
) -> Path:
    """Write a bundle whose network has learnt to tell four levels of HU apart; return its folder."""
    whole = config or inference()
    network = ConfigParser({key: whole[key] for key in ("network_def", "classes")}).get_parsed_content(
        "network_def"
    )
    learn(network, steps)
    (folder / "models").mkdir(parents=True)
    (folder / "configs").mkdir()
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    about = {
        "name": "tiny",
        "version": "0.0.1",
        "network_data_format": {
            "outputs": {"pred": {"channel_def": {str(n): c for n, c in enumerate(CHANNELS)}}}
        },
        "calibration": {"temperature": 1.0},
        "weights": {"path": "models/model.pt", "sha256": sha256(folder / "models" / "model.pt")},
    }
    write_json(folder / "configs" / "metadata.json", about)
    write_json(folder / "configs" / "inference.json", whole)
    return folder


def channels(names: Sequence[str]) -> dict[str, Any]:
    """Return what metadata says of the channels."""
    return {"outputs": {"pred": {"channel_def": {str(number): name for number, name in enumerate(names)}}}}


def learn(network: torch.nn.Module, steps: int) -> None:
    """Teach the network to name levels: each voxel a random level with some noise."""
    torch.manual_seed(5)
    for value in network.parameters():
        if value.dim() > 1:
            torch.nn.init.xavier_normal_(value)
    levels = torch.tensor(LEVELS_HU)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(steps):
        truth = torch.randint(0, len(levels), (1, 8, 8, 8))
        image = ((levels[truth] + torch.randn(truth.shape) * 8 + 100) / 300).clamp(0, 1)[None]
        loss = torch.nn.functional.cross_entropy(network(image), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def sha256(path: Path) -> str:
    """Return the hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_json(path: Path, value: object) -> None:
    """Write JSON."""
    path.write_text(json.dumps(value), encoding="utf-8")


def change_json(path: Path, **changes: Any) -> None:
    """Change values of a JSON file."""
    write_json(path, json.loads(path.read_text()) | changes)
