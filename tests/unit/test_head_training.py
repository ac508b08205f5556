"""The head network's training: what its images look like, and that a stopped run goes on exactly."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.training import head as training
from pipelines.training.synthesis import (
    BRAIN_WINDOW_HU,
    CLASS_OF_TISSUE,
    CLASSES,
    TISSUE,
    WIDE_WINDOW_HU,
    Head,
    deform,
    halve_by_majority,
    make_head,
    paint_ct,
    synthesise,
    tissue_lookup,
)

SHAPE = (24, 24, 24)


def shells(size: int = 48) -> np.ndarray:
    """Return nested balls: ventricle, white, cortex, CSF, bone, skin, from inside out."""
    axes = np.ogrid[:size, :size, :size]
    radius = np.sqrt(sum((axis - size / 2) ** 2 for axis in axes))
    tissue = np.zeros((size, size, size), dtype=np.uint8)
    layers = (
        ("skin", 21),
        ("compact bone", 19),
        ("outer csf", 16),
        ("cortex", 14),
        ("white", 12),
        ("ventricle", 4),
    )
    for name, reach in layers:
        tissue[radius < reach] = TISSUE[name]
    return tissue


@pytest.fixture(scope="module")
def head() -> Head:
    return make_head("shells", shells())


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def in_hu(image: np.ndarray, window_hu: tuple[float, float]) -> np.ndarray:
    low, high = window_hu
    return (image + 1) / 2 * (high - low) + low


def test_every_label_value_has_a_tissue_and_every_tissue_a_class():
    table = tissue_lookup()
    assert table[0] == TISSUE["outside"]
    assert table[16] == TISSUE["brainstem"]
    assert table[4] == table[43] == TISSUE["ventricle"]
    assert table[999] == TISSUE["soft tissue"]
    assert set(CLASS_OF_TISSUE) == set(range(len(CLASSES)))


def test_a_block_takes_the_tissue_that_most_of_its_voxels_have():
    fine = np.zeros((4, 4, 4), dtype=np.uint8)
    fine[:2, :2, :2] = TISSUE["white"]
    fine[0, 0, 0] = TISSUE["cortex"]
    coarse = halve_by_majority(fine)
    assert coarse.shape == (2, 2, 2)
    assert coarse[0, 0, 0] == TISSUE["white"]
    assert (coarse.ravel()[1:] == 0).all()


def test_the_distance_map_is_zero_in_the_brain_and_counts_millimetres_outside(head):
    centre = head.tissue.shape[0] // 2
    assert head.outside_mm[centre, centre, centre] == 0
    assert abs(int(head.outside_mm[centre + 20, centre, centre]) - 2 * 5) <= 2


def test_tissues_lie_in_the_ranges_a_ct_shows(head):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        tissue, outside_mm = deform(rng, head, (40, 40, 40))
        image = paint_ct(rng, tissue, outside_mm)
        white = np.median(image[tissue == TISSUE["white"]])
        cortex = np.median(image[tissue == TISSUE["cortex"]])
        csf = np.median(image[tissue == TISSUE["outer csf"]])
        assert 20 <= white <= 36
        assert 22 <= cortex <= 48
        assert -4 <= csf <= 22 or 33 <= csf <= 72  # the second range is blood
        assert white < cortex


def test_bone_is_brighter_than_brain_where_the_skull_is_drawn_from_the_map(head):
    brighter = 0
    for seed in range(10):
        example = synthesise(head, [seed], shape=(40, 40, 40), only_ct=True)
        wide = in_hu(example.image[1], WIDE_WINDOW_HU)
        brain = example.target == CLASSES.index("cerebrum")
        brighter += (
            np.percentile(wide[example.target == CLASSES.index("other_head")], 90) > wide[brain].mean()
        )
    assert brighter >= 8


def test_both_windows_stay_between_minus_one_and_one(head):
    for seed in range(12):
        example = synthesise(head, [seed], shape=SHAPE)
        assert example.image.dtype == np.float32
        assert example.image.shape == (2, *SHAPE)
        assert np.isfinite(example.image).all()
        assert example.image.min() >= -1
        assert example.image.max() <= 1
        assert example.target.max() < len(CLASSES)


def test_labels_move_with_the_image(head):
    """Where the truth says ventricle the image is darker than cerebrum, unless blood or a lesion fills it."""
    gaps_hu = []
    for seed in range(12):
        example = synthesise(head, [seed], shape=(40, 40, 40), only_ct=True)
        level_hu = in_hu(example.image[0], BRAIN_WINDOW_HU)
        ventricle = level_hu[example.target == CLASSES.index("ventricles")]
        brain = level_hu[example.target == CLASSES.index("cerebrum")]
        if len(ventricle) > 50 and len(brain) > 50:
            gaps_hu.append(np.median(brain) - np.median(ventricle))
    assert len(gaps_hu) >= 6
    assert np.mean(np.array(gaps_hu) > 4) >= 0.75


def test_two_seeds_place_the_head_differently(head):
    first, second = (deform(np.random.default_rng(seed), head, SHAPE)[0] for seed in (1, 2))
    assert (first != second).mean() > 0.05


def test_the_same_seed_gives_the_same_image_and_another_seed_another(head):
    first, again, other = (synthesise(head, [1, number], shape=SHAPE) for number in (5, 5, 6))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.target, again.target)
    assert not np.array_equal(first.image, other.image)


def trained(head: Head, out: Path, stops: tuple[int, ...]) -> training.Run:
    examples = training.Examples([head], 3, (32, 32, 32))
    for stop in stops:
        run = training.train(
            examples, out, training.Schedule(4, None), seed=3, workers=0, save_every=2, stop_at_step=stop
        )
    return run


@pytest.mark.usefixtures("one_thread")
def test_two_steps_and_two_more_after_a_stop_equal_four_steps(head, tmp_path):
    whole = trained(head, tmp_path / "whole", (4,))
    resumed = trained(head, tmp_path / "resumed", (2, 4))
    assert whole.step == resumed.step == 4
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
        assert torch.equal(whole.average[name], resumed.average[name]), name


def test_a_crop_too_small_for_the_network_is_refused(head):
    with pytest.raises(ValueError, match="at least 32"):
        training.Examples([head], 3, (16, 32, 32))


def test_a_kill_while_saving_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    training.write_whole(path, b"old")

    def killed(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training.os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        training.write_whole(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_schedule_needs_steps_or_minutes_and_falls_to_almost_nothing():
    with pytest.raises(ValueError, match="either"):
        training.Schedule(None, None)
    schedule = training.Schedule(None, 10.0)
    assert schedule.rate(100, 0.0) == pytest.approx(schedule.peak_rate)
    assert schedule.rate(5000, 600.0) == pytest.approx(0.01 * schedule.peak_rate)


def test_the_temperature_tames_an_overconfident_network():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 3, generator=generator)
    truth = torch.distributions.Categorical(logits=logits).sample()
    assert training.fitted_temperature(3 * logits, truth) == pytest.approx(3, rel=0.15)


def bundle_folder() -> Path:
    return Path(training.__file__).parents[1] / "segmenters" / "bundles" / "medviz_head"


def test_the_bundle_describes_the_network_that_is_trained():
    from monai.bundle.config_parser import ConfigParser

    parser = ConfigParser()
    parser.read_config(bundle_folder() / "configs" / "inference.json")
    described = parser.get_parsed_content("network_def").state_dict()
    built = training.build_network().state_dict()
    assert {name: value.shape for name, value in described.items()} == {
        name: value.shape for name, value in built.items()
    }


def test_the_bundle_names_the_weights_it_holds():
    import hashlib

    metadata = json.loads((bundle_folder() / "configs" / "metadata.json").read_text())
    content = (bundle_folder() / "models" / "model.pt").read_bytes()
    assert hashlib.sha256(content).hexdigest() == metadata["weights"]["sha256"]
    assert len(content) < 10_000_000
    channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert tuple(channels[str(index)] for index in range(len(CLASSES))) == CLASSES
    weights = torch.load(bundle_folder() / "models" / "model.pt", weights_only=True)
    training.build_network().load_state_dict(weights)
