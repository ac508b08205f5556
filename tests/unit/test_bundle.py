"""The MONAI bundle runner on a tiny bundle with real configuration and weights."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from medviz.core.errors import BadInput, Cancelled, NotAvailable, WeightsMissing
from medviz.core.volume import GeometryReport, Outcome, Volume
from pipelines.segmenters import bundle as runner
from pipelines.segmenters.bundle import run_bundle, winners
from pipelines.segmenters.bundleconfig import find_bundle, read_bundle
from pipelines.segmenters.resampling import upright_grid
from pipelines.segmenters.rules import largest
from tests.make_bundle import CHANNELS, change_json, inference, make_bundle, sha256, write_json
from tests.make_surfaces import (
    AXIAL,
    CENTRE_MM,
    FEET_FIRST,
    MIRRORED,
    SAGITTAL,
    ellipsoid,
    grid_around,
    oblique,
)

LEFT_MM = tuple(np.add(CENTRE_MM, (26.0, -8.0, 12.0)))
RIGHT_MM = tuple(np.add(CENTRE_MM, (-22.0, 20.0, -16.0)))


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture
def bundle(taught, tmp_path):
    return shutil.copytree(taught, tmp_path / "tiny")


def body_with_two_spots(axes=AXIAL, spacing_mm=(3.0, 2.0, 2.0)):
    """A body of 30 HU, a spot of 100 HU on the patient's left, one of 180 HU on the right."""
    grid = grid_around(150.0, spacing_mm, axes=axes)
    voxels = np.full(grid.shape, -1000, dtype=np.int16)
    voxels[ellipsoid(grid, (50.0, 55.0, 45.0))] = 30
    voxels[ellipsoid(grid, (12.0, 14.0, 10.0), centre_mm=LEFT_MM)] = 100
    voxels[ellipsoid(grid, (13.0, 11.0, 12.0), centre_mm=RIGHT_MM)] = 180
    return Volume(voxels, grid, "CT", "HU", "no", GeometryReport(Outcome.CORRECT, "OK", "Synthetic."))


def centre_of(channel, name, grid):
    """Centre of the largest piece: the rim of a brighter spot passes through the levels between."""
    piece = largest(channel == CHANNELS.index(name))
    return grid.points(np.argwhere(piece).mean(axis=0)[None])[0]


@pytest.mark.parametrize(
    "axes",
    [AXIAL, SAGITTAL, FEET_FIRST, MIRRORED, oblique()],
    ids=["axial", "sagittal", "feet first", "mirrored", "oblique"],
)
def test_the_same_anatomy_is_found_however_the_stack_lies(bundle, axes):
    volume = body_with_two_spots(axes)
    channel, confidence = winners(run_bundle(read_bundle(bundle), volume), volume.grid)
    assert np.allclose(centre_of(channel, "ventricles", volume.grid), LEFT_MM, atol=1.5)
    assert np.allclose(centre_of(channel, "cerebellum", volume.grid), RIGHT_MM, atol=1.5)
    assert confidence[channel > 0].mean() > 0.8
    assert confidence.max() <= 1.0
    truth = ellipsoid(volume.grid, (13.0, 11.0, 12.0), centre_mm=RIGHT_MM)
    found = channel == CHANNELS.index("cerebellum")
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.85


def test_probabilities_sum_to_one_and_temperature_makes_them_less_sure(bundle):
    volume = body_with_two_spots()
    sharp = run_bundle(read_bundle(bundle), volume)
    assert np.allclose(sharp.values.sum(axis=0), 1.0, atol=1e-4)
    change_json(bundle / "configs" / "metadata.json", calibration={"temperature": 3.0})
    soft = run_bundle(read_bundle(bundle), volume)
    assert np.array_equal(soft.values.argmax(axis=0), sharp.values.argmax(axis=0))
    assert soft.values.max(axis=0).mean() < sharp.values.max(axis=0).mean() - 0.01


def test_two_runs_give_the_same_bytes_and_leave_torch_as_it_was(bundle):
    volume = body_with_two_spots()
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    numbers = torch.random.get_rng_state()
    first, second = (run_bundle(read_bundle(bundle), volume, threads=2, seed=4) for _ in range(2))
    assert first.values.tobytes() == second.values.tobytes()
    assert before == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    assert torch.equal(numbers, torch.random.get_rng_state())


def test_the_record_names_the_weights(bundle):
    record = run_bundle(read_bundle(bundle), body_with_two_spots()).model
    assert (record.name, record.version) == ("tiny", "0.0.1")
    assert len(record.weights_sha256) == 64


def test_progress_counts_windows_and_the_user_can_stop_between_two(bundle):
    told = []
    run_bundle(
        read_bundle(bundle), body_with_two_spots(), progress=lambda done, figure: told.append((done, figure))
    )
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == 1.0
    assert "window 8 of 8" in told[-1][1]

    def stop(done, figure):
        if done > 0.4:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        run_bundle(read_bundle(bundle), body_with_two_spots(), progress=stop)


def test_weights_that_are_not_here_are_told_with_their_hash_and_address(bundle):
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    pinned = metadata["weights"] | {"address": "https://example.org/model.pt"}
    change_json(bundle / "configs" / "metadata.json", weights=pinned)
    (bundle / "models" / "model.pt").unlink()
    with pytest.raises(WeightsMissing) as caught:
        run_bundle(read_bundle(bundle), body_with_two_spots())
    assert caught.value.reason == "WEIGHTS_MISSING"
    assert pinned["sha256"] in str(caught.value)
    assert "https://example.org/model.pt" in str(caught.value)
    assert "medviz models" in caught.value.mend


def test_one_changed_byte_of_the_weights_is_refused_before_they_are_opened(bundle):
    path = bundle / "models" / "model.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsMissing) as caught:
        run_bundle(read_bundle(bundle), body_with_two_spots())
    assert caught.value.reason == "WEIGHTS_CHANGED"


def test_weights_without_a_pinned_hash_are_refused(bundle):
    change_json(bundle / "configs" / "metadata.json", weights={})
    with pytest.raises(WeightsMissing) as caught:
        run_bundle(read_bundle(bundle), body_with_two_spots())
    assert caught.value.reason == "WEIGHTS_UNPINNED"


def test_a_hash_may_stand_in_a_file_beside_imported_weights(bundle):
    pinned = json.loads((bundle / "configs" / "metadata.json").read_text())["weights"]["sha256"]
    change_json(bundle / "configs" / "metadata.json", weights={})
    (bundle / "models" / "model.pt.sha256").write_text(f"{pinned}  model.pt\n")
    assert read_bundle(bundle).weights_sha256 == pinned


def test_weights_of_another_network_are_refused(bundle):
    network = inference()["network_def"] | {"channels": [16, 8]}
    change_json(bundle / "configs" / "inference.json", network_def=network)
    with pytest.raises(WeightsMissing) as caught:
        run_bundle(read_bundle(bundle), body_with_two_spots())
    assert caught.value.reason == "WEIGHTS_DO_NOT_FIT"


def test_metadata_that_names_another_number_of_channels_is_refused(bundle):
    change_json(
        bundle / "configs" / "metadata.json",
        network_data_format={"outputs": {"pred": {"channel_def": {"0": "x"}}}},
    )
    with pytest.raises(BadInput) as caught:
        read_bundle(bundle)
    assert caught.value.reason == "BUNDLE_REFUSED"


def test_a_pickle_that_would_run_code_is_not_opened(bundle, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "proof"), "w"))

    path = bundle / "models" / "model.pt"
    torch.save({"model": Evil()}, path)

    change_json(
        bundle / "configs" / "metadata.json", weights={"path": "models/model.pt", "sha256": sha256(path)}
    )
    with pytest.raises(WeightsMissing):
        run_bundle(read_bundle(bundle), body_with_two_spots())
    assert not (tmp_path / "proof").exists()


PROOF = "__import__('pathlib').Path('PROOF').write_text('ran')"
BAD_CONFIGS = {
    "a call in the spacing": {"pixdim": f"${PROOF}"},
    "an attribute": {"pixdim": "$().__class__"},
    "a lambda in a transform": {
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Spacingd", "keys": "image", "pixdim": [4, 4, 4]},
                {"_target_": "Lambdad", "keys": "image", "func": f"$lambda x: {PROOF}"},
            ],
        }
    },
    "a class outside MONAI": {"network_def": {"_target_": "subprocess.run", "out_channels": 4}},
    "a script of its own": {"network_def": {"_target_": "scripts.net.Net", "out_channels": 4}},
    "a debugger": {"inferer": {"_target_": "SimpleInferer", "_mode_": "debug"}},
    "another file": {"inferer": "%other.json::inferer"},
    "a requirement that runs": {"inferer": {"_target_": "SimpleInferer", "_requires_": f"${PROOF}"}},
}


@pytest.mark.parametrize("changes", BAD_CONFIGS.values(), ids=BAD_CONFIGS.keys())
def test_a_bundle_cannot_run_code(bundle, changes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_json(bundle / "configs" / "inference.json", inference(**changes))
    with pytest.raises(BadInput) as caught:
        run_bundle(read_bundle(bundle), body_with_two_spots())
    assert caught.value.reason == "BUNDLE_REFUSED"
    assert not (tmp_path / "PROOF").exists()


def test_what_the_zoo_runs_after_inference_is_never_read(bundle):
    assert "run" in inference()
    kept = read_bundle(bundle).config
    assert set(kept) == {"network_def", "preprocessing", "inferer", "classes", "is_fine", "pixdim"}


def test_a_value_of_the_configuration_can_be_chosen(bundle):
    assert read_bundle(bundle).spacing_mm == (4.0, 4.0, 4.0)
    assert read_bundle(bundle, overrides={"is_fine": True}).spacing_mm == (1.5, 1.5, 1.5)


def test_a_volume_too_large_for_the_memory_is_refused_before_it_is_tried(bundle, monkeypatch):
    monkeypatch.setattr(runner, "MOST_BYTES", 1_000_000)
    with pytest.raises(NotAvailable) as caught:
        run_bundle(read_bundle(bundle), body_with_two_spots())
    assert caught.value.reason == "VOLUME_TOO_LARGE"


def test_a_bundle_that_is_nowhere_is_missing(tmp_path):
    with pytest.raises(WeightsMissing):
        find_bundle("no_such_bundle", tmp_path)
    with pytest.raises(WeightsMissing):
        read_bundle(tmp_path)


def test_an_upright_grid_covers_the_volume_and_runs_along_the_patients_axes():
    grid = grid_around(80.0, (3.0, 1.0, 1.0), axes=oblique())
    upright = upright_grid(grid, codes="RAS", spacing_mm=(2.0, 2.0, 2.0))
    assert np.allclose(upright.affine[:3, :3], np.diag([-2.0, -2.0, 2.0]))
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape])).reshape(3, -1).T
    held = upright.indices(grid.points(corners))
    assert (held > -0.5).all()
    assert (held < np.array(upright.shape) - 0.5).all()
    with pytest.raises(ValueError, match="three different axes"):
        upright_grid(grid, codes="RLS", spacing_mm=(2.0, 2.0, 2.0))
