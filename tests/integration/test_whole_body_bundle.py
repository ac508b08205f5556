"""The model zoo's whole-body CT bundle through our runner: its real configuration, random weights.

Random weights must never reach a case: here they prove shapes, key names and the way through MONAI.
Facts of the configuration: Project-MONAI/model-zoo, wholeBody_ct_segmentation 0.2.5, configs/inference.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import SegResNet

from medviz.core.volume import GeometryReport, Outcome, Volume
from pipelines.segmenters.bundle import load_network, run_bundle, winners
from pipelines.segmenters.bundleconfig import read_bundle
from tests.make_bundle import channels, sha256, write_json
from tests.make_surfaces import ellipsoid, grid_around, oblique

STRUCTURES = 104


def inference() -> dict[str, Any]:
    """Return a configuration with the parts, names and values of the zoo's, in our own words elsewhere."""
    return {
        "displayable_configs": {"highres": True, "sw_overlap": 0.25, "sw_batch_size": 1},
        "imports": ["$import glob", "$import numpy", "$import os"],
        "image_key": "image",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "pixdim": "$[1.5, 1.5, 1.5] if @displayable_configs#highres else [3.0, 3.0, 3.0]",
        "modelname": "$'model.pt' if @displayable_configs#highres else 'model_lowres.pt'",
        "network_def": {
            "_target_": "SegResNet",
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": STRUCTURES + 1,
            "init_filters": 32,
            "blocks_down": [1, 2, 2, 4],
            "blocks_up": [1, 1, 1],
            "dropout_prob": 0.2,
        },
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "@image_key"},
                {"_target_": "EnsureTyped", "keys": "@image_key"},
                {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
                {"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"},
                {"_target_": "Spacingd", "keys": "@image_key", "pixdim": "@pixdim", "mode": "bilinear"},
                {"_target_": "NormalizeIntensityd", "keys": "@image_key", "nonzero": True},
                {"_target_": "ScaleIntensityd", "keys": "@image_key", "minv": -1.0, "maxv": 1.0},
            ],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [96, 96, 96],
            "sw_batch_size": "@displayable_configs#sw_batch_size",
            "overlap": "@displayable_configs#sw_overlap",
            "padding_mode": "replicate",
            "mode": "gaussian",
            "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        },
        "initialize": ["$setattr(torch.backends.cudnn, 'benchmark', True)"],
        "run": ["$@evaluator.run()"],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("zoo") / "wholeBody_ct_segmentation"
    (place / "configs").mkdir(parents=True)
    (place / "models").mkdir()
    torch.manual_seed(0)
    network = SegResNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=STRUCTURES + 1,
        init_filters=32,
        blocks_down=(1, 2, 2, 4),
        blocks_up=(1, 1, 1),
        dropout_prob=0.2,
    )
    weights = place / "models" / "model.pt"
    torch.save(network.state_dict(), weights)
    (place / "models" / "model.pt.sha256").write_text(f"{sha256(weights)}  model.pt\n")
    names = ("background", *(f"structure_{number}" for number in range(STRUCTURES)))
    metadata = {
        "version": "0.2.5",
        "name": "Whole body CT segmentation",
        "network_data_format": channels(names),
    }
    write_json(place / "configs" / "metadata.json", metadata)
    write_json(place / "configs" / "inference.json", inference())
    return place


def test_the_whole_body_bundle_loads_with_the_zoos_configuration(folder):
    bundle = read_bundle(folder)
    assert (bundle.codes, bundle.spacing_mm) == ("RAS", (1.5, 1.5, 1.5))
    assert len(bundle.channels) == STRUCTURES + 1
    assert bundle.temperature == 1.0
    network = load_network(bundle)
    assert sum(value.numel() for value in network.parameters()) > 18_000_000
    assert not network.training
    assert read_bundle(folder, overrides={"displayable_configs#highres": False}).spacing_mm == (3.0, 3.0, 3.0)


@pytest.mark.slow
def test_the_whole_body_bundle_runs_on_an_oblique_volume(folder):
    grid = grid_around(150.0, (5.0, 2.5, 2.5), axes=oblique())
    voxels = np.full(grid.shape, -1000, dtype=np.int16)
    voxels[ellipsoid(grid, (60.0, 50.0, 65.0))] = 40
    volume = Volume(voxels, grid, "CT", "HU", "no", GeometryReport(Outcome.CORRECT, "OK", "Synthetic."))
    bundle = read_bundle(folder, overrides={"displayable_configs#highres": False})
    found = run_bundle(bundle, volume)
    assert found.values.shape == (STRUCTURES + 1, *found.grid.shape)
    assert np.allclose(found.values.sum(axis=0), 1.0, atol=1e-3)
    channel, confidence = winners(found, volume.grid)
    assert channel.shape == volume.grid.shape
    assert confidence.min() >= 0.0
    assert channel.max() <= STRUCTURES
