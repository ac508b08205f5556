"""Synthetic heads: label maps turned into images that look like CT, or like nothing in particular.

The method is SynthSeg's (Billot et al., *Medical Image Analysis* 86:102789, 2023,
https://doi.org/10.1016/j.media.2023.102789): deform a label map, give every tissue a random
intensity, add what scanners add. Three images in four look like CT in Hounsfield units, the
others have random contrast and a bias field, so that a network cannot rely on grey values alone.

Arrays are (x, y, z) in RAS here, on a 2 mm grid: the order MONAI bundles use. The same seed
always gives the same image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch.nn import functional

SPACING_MM = 2.0
CROP = (80, 96, 80)
HELD_OUT = ("training_seg_19", "training_seg_20")
BRAIN_WINDOW_HU = (-20.0, 100.0)
WIDE_WINDOW_HU = (-1000.0, 1500.0)
CT_SHARE = 0.75

CLASSES = (
    "background",
    "cerebrum",
    "deep_grey",
    "ventricles",
    "cerebellum",
    "brainstem",
    "csf",
    "other_head",
)

# name of the tissue, class it is taught as, values of the label map (FreeSurfer's, and the
# extra-cerebral ones, whose meaning was read from their place and shape: upstream names only 507)
TISSUES: tuple[tuple[str, int, tuple[int, ...]], ...] = (
    ("outside", 0, (0,)),
    ("white", 1, (2, 41)),
    ("cortex", 1, (3, 42, 30, 62)),
    ("ventricle", 3, (4, 5, 14, 15, 43, 44, 72)),
    ("cerebellar white", 4, (7, 46)),
    ("cerebellar cortex", 4, (8, 47)),
    ("thalamus", 2, (10, 49)),
    ("caudate", 2, (11, 26, 50, 58)),
    ("putamen", 2, (12, 51)),
    ("pallidum", 2, (13, 52)),
    ("hippocampus", 1, (17, 18, 53, 54)),
    ("ventral diencephalon", 2, (28, 60)),
    ("brainstem", 5, (16,)),
    ("white lesion", 1, (25, 57)),
    ("choroid plexus", 3, (136, 137, 163, 164)),
    ("outer csf", 6, (24,)),
    ("chiasm", 6, (85,)),
    ("vein", 7, (514, 530)),
    ("compact bone", 7, (515,)),
    ("spongy bone", 7, (516,)),
    ("cavity", 7, (502,)),
    ("eye", 7, (506,)),
    ("soft tissue", 7, (507,)),
    ("orbit", 7, (508,)),
    ("mucosa", 7, (509,)),
    ("skin", 7, (511,)),
    ("cord", 7, (512,)),
)
TISSUE = {name: index for index, (name, _, _) in enumerate(TISSUES)}
CLASS_OF_TISSUE = np.array([taught for _, taught, _ in TISSUES], dtype=np.uint8)
BRAIN = np.isin(CLASS_OF_TISSUE, (1, 2, 3, 4, 5))
INTRACRANIAL = np.isin(CLASS_OF_TISSUE, (1, 2, 3, 4, 5, 6))
EXTRACEREBRAL = np.flatnonzero(CLASS_OF_TISSUE == 7)

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Head:
    """One label map on the 2 mm grid.

    Attributes
    ----------
    name : str
        File name without its endings.
    tissue : uint8 array (x, y, z)
        Index into `TISSUES`.
    outside_mm : uint8 array (x, y, z)
        Distance from brain and CSF, in millimetres; 0 inside them, at most 255.
    """

    name: str
    tissue: Bytes
    outside_mm: Bytes


@dataclass(frozen=True, slots=True)
class Example:
    """One synthetic image and its truth.

    Attributes
    ----------
    image : float32 array (2, x, y, z)
        Brain window and wide window, each from -1 to 1.
    target : uint8 array (x, y, z)
        Index into `CLASSES`.
    """

    image: Floats
    target: Bytes


# ------------------------------------------------------------------ label maps


def tissue_lookup() -> Bytes:
    """Return the tissue index of every label-map value; unknown values count as soft tissue."""
    table = np.full(1024, TISSUE["soft tissue"], dtype=np.uint8)
    for index, (_, _, values) in enumerate(TISSUES):
        table[list(values)] = index
    return table


def halve_by_majority(tissue: Bytes) -> Bytes:
    """Return the most frequent tissue of every 2 x 2 x 2 block."""
    x, y, z = (size // 2 for size in tissue.shape)
    blocks = tissue[: 2 * x, : 2 * y, : 2 * z].reshape(x, 2, y, 2, z, 2)
    best = np.zeros((x, y, z), dtype=np.uint8)
    votes = np.zeros((x, y, z), dtype=np.uint8)
    for index in range(len(TISSUES)):
        count = (blocks == index).sum(axis=(1, 3, 5), dtype=np.uint8)
        wins = count > votes
        best[wins] = index
        votes[wins] = count[wins]
    return best


def make_head(name: str, tissue: Bytes) -> Head:
    """Return a head with its distance map, from tissues on the 2 mm grid."""
    distance = ndimage.distance_transform_edt(~INTRACRANIAL[tissue], sampling=SPACING_MM)
    return Head(name, tissue, np.clip(distance, 0, 255).astype(np.uint8))


def read_head(path: Path, cache: Path) -> Head:
    """Return the head of one 1 mm label map; the 2 mm version is kept in `cache`."""
    name = path.name.removesuffix(".nii.gz")
    kept = cache / f"{name}.npy"
    if not kept.exists():
        image = nib.as_closest_canonical(nib.load(path))  # type: ignore[no-untyped-call]
        values = np.asarray(image.dataobj).astype(np.int16)
        cache.mkdir(parents=True, exist_ok=True)
        np.save(kept, halve_by_majority(tissue_lookup()[values]))
    return make_head(name, np.load(kept))


def read_heads(folder: Path, cache: Path) -> tuple[list[Head], list[Head]]:
    """Return the heads to train on and the heads held out for synthetic validation."""
    paths = sorted(folder.glob("*.nii.gz"))
    if not paths:
        raise FileNotFoundError("The folder given as --label-maps holds no .nii.gz file.")
    heads = [read_head(path, cache) for path in paths]
    held_out = [head for head in heads if head.name in HELD_OUT]
    return [head for head in heads if head.name not in HELD_OUT], held_out


# ------------------------------------------------------------------ shape


def rotation(angles_rad: Floats) -> npt.NDArray[np.float64]:
    """Return the 3 x 3 rotation about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles_rad), np.sin(angles_rad)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    product: npt.NDArray[np.float64] = about_z @ about_y @ about_x
    return product


def smooth_field(rng: Rng, shape: Sequence[int], knots: int) -> Floats:
    """Return a smooth random field of standard deviation near 1: noise on a coarse grid, enlarged."""
    coarse = torch.from_numpy(rng.standard_normal((1, 1, knots, knots, knots), dtype=np.float32))
    field = functional.interpolate(coarse, size=tuple(shape), mode="trilinear", align_corners=True)
    return field[0, 0].numpy()


def random_affine(rng: Rng) -> npt.NDArray[np.float64]:
    """Return rotation (+-20 degrees), scale (0.85 to 1.15), shear and a left-right flip as a matrix."""
    turn = rotation(np.radians(rng.uniform(-20, 20, 3)).astype(np.float32))
    scale = np.diag(1.0 / (rng.uniform(0.88, 1.12) * rng.uniform(0.95, 1.05, 3)))
    shear = np.eye(3) + np.triu(rng.uniform(-0.06, 0.06, (3, 3)), 1)
    flip = np.diag([rng.choice([-1.0, 1.0]), 1.0, 1.0])
    product: npt.NDArray[np.float64] = flip @ turn @ shear @ scale
    return product


def random_centre(rng: Rng, head: Head) -> npt.NDArray[np.float64]:
    """Return the voxel the crop is centred on: mostly near the brain's middle, sometimes anywhere."""
    places = np.argwhere(BRAIN[head.tissue[::4, ::4, ::4]]) * 4.0
    if rng.random() < 0.3:
        places = np.argwhere(head.tissue[::4, ::4, ::4] > 0) * 4.0
        centre: npt.NDArray[np.float64] = places[rng.integers(len(places))]
        return centre
    jittered: npt.NDArray[np.float64] = places.mean(axis=0) + rng.normal(0, 6, 3)
    return jittered


def sampled_voxels(rng: Rng, head: Head, shape: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return for every voxel of the crop the flat index into the head, after affine and elastic change.

    A voxel outside the head's grid has index -1.
    """
    matrix, centre = random_affine(rng), random_centre(rng, head)
    axes = [np.arange(size, dtype=np.float32) - (size - 1) / 2 for size in shape]
    strength, knots = rng.uniform(0, 2.2), int(rng.integers(4, 9))
    flat = np.zeros(tuple(shape), dtype=np.int64)
    inside = np.ones(tuple(shape), dtype=np.bool_)
    for axis, extent in enumerate(head.tissue.shape):
        row = matrix[axis].astype(np.float32)
        place = (
            row[0] * axes[0][:, None, None]
            + row[1] * axes[1][None, :, None]
            + row[2] * axes[2][None, None, :]
            + np.float32(centre[axis])
        )
        place = np.rint(place + np.float32(strength) * smooth_field(rng, shape, knots)).astype(np.int64)
        inside &= (place >= 0) & (place < extent)
        flat = flat * extent + place
    return np.where(inside, flat, -1)


def deform(rng: Rng, head: Head, shape: Sequence[int]) -> tuple[Bytes, Bytes]:
    """Return tissue and distance (mm) of a randomly placed and deformed crop of the head."""
    flat = sampled_voxels(rng, head, shape)
    safe = np.maximum(flat, 0)
    tissue = np.where(flat < 0, np.uint8(0), head.tissue.ravel()[safe])
    outside = np.where(flat < 0, np.uint8(255), head.outside_mm.ravel()[safe])
    return tissue, outside


# ------------------------------------------------------------------ CT


def ct_levels_hu(rng: Rng) -> tuple[Floats, Floats]:
    """Return mean and texture (standard deviation) of every tissue in HU, drawn for one scan."""
    u = rng.uniform
    white = u(22, 33)
    cortex = white + u(3, 11)
    csf = u(0, 14)
    levels = {
        "outside": (-1000.0, 3.0),
        "white": (white, u(0.5, 2)),
        "cortex": (cortex, u(0.5, 2.5)),
        "ventricle": (csf if rng.random() > 0.04 else u(40, 75), u(0.3, 2)),
        "cerebellar white": (white + u(-1, 6), u(0.5, 2)),
        "cerebellar cortex": (cortex + u(-3, 4), u(0.5, 2.5)),
        "thalamus": (white + u(1, 9), u(0.5, 2)),
        "caudate": (white + u(2, 12), u(0.5, 2)),
        "putamen": (white + u(2, 12), u(0.5, 2)),
        "pallidum": (white + u(2, 12) + (u(0, 60) if rng.random() < 0.1 else 0), u(0.5, 3)),
        "hippocampus": (cortex + u(-4, 2), u(0.5, 2)),
        "ventral diencephalon": (white + u(0, 8), u(0.5, 2)),
        "brainstem": (white + u(-3, 7), u(0.5, 2)),
        "white lesion": (white - u(0, 10), u(0.5, 2)),
        "choroid plexus": (u(20, 45) if rng.random() < 0.7 else u(60, 250), u(2, 20)),
        "outer csf": (csf + u(-2, 6) if rng.random() > 0.04 else u(35, 70), u(0.5, 3)),
        "chiasm": (white + u(0, 8), 1.0),
        "vein": (u(38, 75) if rng.random() < 0.7 else u(90, 260), u(2, 12)),
        "compact bone": (u(450, 1500), u(40, 250)),
        "spongy bone": (u(150, 900), u(40, 200)),
        "cavity": (u(-1000, -600) if rng.random() < 0.85 else u(0, 60), u(5, 60)),
        "eye": (u(0, 30), u(1, 5)),
        "soft tissue": (u(-100, 65), u(5, 25)),
        "orbit": (u(-100, 50), u(5, 25)),
        "mucosa": (u(0, 65) if rng.random() < 0.6 else u(-900, -100), u(5, 60)),
        "skin": (u(-100, 70), u(5, 30)),
        "cord": (white + u(0, 10), 1.5),
    }
    drawn = np.array([levels[name] for name, _, _ in TISSUES], dtype=np.float32)
    return drawn[:, 0], drawn[:, 1]


def shuffle_extracerebral(rng: Rng, mean: Floats) -> None:
    """Give every extra-cerebral tissue a random part: bone, soft tissue, fat or air."""
    for index in EXTRACEREBRAL:
        part = rng.random()
        if part < 0.35:
            mean[index] = rng.uniform(150, 1500)
        elif part < 0.92:
            mean[index] = rng.uniform(-120, 110)
        else:
            mean[index] = rng.uniform(-1000, -300)


def add_fat_and_muscle(rng: Rng, image: Floats, tissue: Bytes) -> None:
    """Mix fat (-120 to -60 HU) and muscle (35 to 75 HU) in the soft tissue, in smooth patches."""
    pattern = smooth_field(rng, image.shape, int(rng.integers(6, 20)))
    soft = (tissue == TISSUE["soft tissue"]) | (tissue == TISSUE["orbit"])
    muscle = soft & (pattern > rng.uniform(-0.8, 0.8))
    image[muscle] += rng.uniform(35, 75) - image[muscle].mean() if muscle.any() else 0
    fat = soft & ~muscle
    image[fat] += rng.uniform(-120, -60) - image[fat].mean() if fat.any() else 0


def add_bone_ring(rng: Rng, image: Floats, tissue: Bytes, outside_mm: Bytes) -> None:
    """Draw a closed shell of bone around brain and CSF, 0 to 6 mm away and 3 to 10 mm thick.

    The shell wavers by a few millimetres; what lies between it and the CSF is dura and blood
    (20 to 75 HU), what lies outside it is soft tissue where the map had bone.
    """
    wave = smooth_field(rng, image.shape, 6) * rng.uniform(0, 1.5)
    distance = outside_mm + wave
    start = rng.uniform(0, 6) if rng.random() < 0.4 else rng.uniform(0, 2.5)
    end = start + rng.uniform(3, 10)
    head = CLASS_OF_TISSUE[tissue] == 7
    beyond = head & (distance >= end) & np.isin(tissue, (TISSUE["compact bone"], TISSUE["spongy bone"]))
    image[beyond] = rng.uniform(-110, 70)
    image[head & (distance < start)] = rng.uniform(20, 75)
    ring = head & (distance >= start) & (distance < end)
    compact, spongy = rng.uniform(500, 1500), rng.uniform(150, 1000)
    middle = (distance > start + 0.3 * (end - start)) & (distance < start + 0.7 * (end - start))
    image[ring] = compact
    image[ring & middle] = spongy


def add_air_cells(rng: Rng, image: Floats, tissue: Bytes) -> None:
    """Put mastoid-like air cells into bone of the lower half."""
    pattern = smooth_field(rng, image.shape, int(rng.integers(16, 30)))
    low = np.zeros(image.shape, dtype=np.bool_)
    low[:, :, : int(image.shape[2] * rng.uniform(0.3, 0.55))] = True
    cells = (image > 150) & low & (CLASS_OF_TISSUE[tissue] == 7) & (pattern > rng.uniform(0.3, 1.2))
    image[cells] = rng.uniform(-1000, -300)


def add_lesion(rng: Rng, image: Floats, tissue: Bytes) -> None:
    """Draw one blood, tumour, oedema or calcium spot in the brain; what is taught stays the same."""
    brain = np.argwhere(BRAIN[tissue[::2, ::2, ::2]]) * 2
    if not len(brain):
        return
    centre = brain[rng.integers(len(brain))]
    radius = rng.uniform(2, 12, 3) * rng.uniform(0.4, 1.0)
    axes = np.ogrid[tuple(slice(0, size) for size in image.shape)]
    far = sum(((axis - c) / r) ** 2 for axis, c, r in zip(axes, centre, radius, strict=True))
    spot = (far + 0.3 * smooth_field(rng, image.shape, 10) < 1) & BRAIN[tissue]
    kind = rng.integers(4)
    low, high = ((55, 85), (8, 22), (25, 60), (90, 400))[kind]
    image[spot] = rng.uniform(low, high)


def add_table(rng: Rng, image: Floats, tissue: Bytes) -> None:
    """Draw a curved head-rest behind the head, with a thin hard shell and a light core."""
    rows = np.flatnonzero((tissue > 0).any(axis=(0, 2)))
    if not len(rows):
        return
    x = np.arange(image.shape[0])[:, None, None] - image.shape[0] / 2 + rng.normal(0, 4)
    y = np.arange(image.shape[1])[None, :, None]
    depth = rows[0] - rng.uniform(0.5, 6) + rng.uniform(0, 0.02) * x**2 - y
    thick = rng.uniform(2, 10)
    shell = (np.abs(depth) < 0.8) | (np.abs(depth - thick) < 0.8)
    free = tissue == 0
    image[np.broadcast_to((depth > 0) & (depth < thick), image.shape) & free] = rng.uniform(-950, -100)
    image[np.broadcast_to(shell, image.shape) & free] = rng.uniform(-600, 300)


def add_streaks(rng: Rng, image: Floats) -> None:
    """Add metal and the streaks it throws into its slices."""
    x0, y0 = (rng.uniform(0.2, 0.8) * size for size in image.shape[:2])
    z0 = int(rng.uniform(0, 0.6) * image.shape[2])
    x, y = np.ogrid[: image.shape[0], : image.shape[1]]
    angle = np.arctan2(y - y0, x - x0)
    distance = np.hypot(x - x0, y - y0) + 2
    waves = sum(np.cos(int(k) * angle + rng.uniform(0, 6.3)) for k in rng.integers(3, 25, 4))
    streaks = rng.uniform(20, 250) * waves * np.exp(-distance / rng.uniform(10, 50))
    reach = slice(max(0, z0 - int(rng.integers(1, 5))), z0 + int(rng.integers(1, 5)))
    image[:, :, reach] += streaks[:, :, None].astype(np.float32)
    metal = np.broadcast_to((distance < 2 + rng.uniform(0.5, 3))[:, :, None], image.shape)
    image[:, :, reach][metal[:, :, reach]] = 3000


def blur(image: Floats, sigma: Sequence[float]) -> Floats:
    """Return the image blurred by a Gaussian per axis, in voxels."""
    for axis, width in enumerate(sigma):
        if width > 0.15:
            image = ndimage.gaussian_filter1d(image, width, axis=axis, truncate=2.5, mode="nearest")
    return image


def thicken_slices(rng: Rng, image: Floats, noise_hu: float) -> Floats:
    """Return the image as a scanner with 1 to 5 mm slices and `noise_hu` of noise gives it."""
    count = image.shape[2]
    thickness_mm = rng.uniform(SPACING_MM, 5.0) if rng.random() < 0.6 else SPACING_MM
    slices = max(2, round(count * SPACING_MM / thickness_mm))
    stack = torch.from_numpy(np.ascontiguousarray(image))[None]
    if slices < count:
        wide = ndimage.gaussian_filter1d(image, 0.35 * thickness_mm / SPACING_MM, axis=2, truncate=2.0)
        stack = functional.interpolate(torch.from_numpy(wide), size=slices, mode="linear")[None]
    noise = rng.standard_normal(tuple(stack.shape), dtype=np.float32) * np.float32(noise_hu)
    noise[0] = blur(noise[0], (rng.uniform(0, 0.7),) * 2)
    stack = stack + torch.from_numpy(noise)
    if slices < count:
        stack = functional.interpolate(stack[0], size=count, mode="linear", align_corners=False)[None]
    return stack[0].numpy()


def field_of_view(rng: Rng, shape: Sequence[int]) -> Bools:
    """Return where the scan has data: slices cut at top and bottom, sometimes a round field."""
    seen = np.ones(tuple(shape), dtype=np.bool_)
    if rng.random() < 0.35:
        seen[:, :, : int(rng.uniform(0, 0.35) * shape[2])] = False
    if rng.random() < 0.3:
        seen[:, :, shape[2] - int(rng.uniform(0, 0.3) * shape[2]) :] = False
    if rng.random() < 0.3:
        x, y = np.ogrid[: shape[0], : shape[1]]
        off = np.hypot(x - shape[0] / 2 + rng.normal(0, 4), y - shape[1] / 2 + rng.normal(0, 4))
        seen &= (off < shape[0] * rng.uniform(0.47, 0.65))[:, :, None]
    return seen


def paint_ct(rng: Rng, tissue: Bytes, outside_mm: Bytes) -> Floats:
    """Return an ideal CT of the tissues in HU: no blur, no noise."""
    mean, texture = ct_levels_hu(rng)
    style = rng.random()
    if style < 0.2:
        shuffle_extracerebral(rng, mean)
    pattern = rng.standard_normal(tissue.shape, dtype=np.float32)
    image = mean[tissue] + texture[tissue] * pattern
    if 0.2 <= style < 0.9:
        add_fat_and_muscle(rng, image, tissue)
    if rng.random() < 0.4:
        add_bone_ring(rng, image, tissue, outside_mm)
    if rng.random() < 0.6:
        add_air_cells(rng, image, tissue)
    for _ in range(int(rng.choice(4, p=(0.55, 0.25, 0.12, 0.08)))):
        add_lesion(rng, image, tissue)
    if rng.random() < 0.5:
        add_table(rng, image, tissue)
    return image


def scan_ct(rng: Rng, image: Floats) -> Floats:
    """Return the ideal CT as a scanner shows it: blur, streaks, shading, thick slices and noise."""
    width = rng.uniform(0.2, 0.85)
    image = blur(image, (width, width, rng.uniform(0.2, 0.85)))
    if rng.random() < 0.12:
        add_streaks(rng, image)
    image += smooth_field(rng, image.shape, 4) * np.float32(rng.uniform(0, 4)) + np.float32(
        rng.normal(0, 2.5)
    )
    return thicken_slices(rng, image, rng.uniform(1, 6) if rng.random() < 0.7 else rng.uniform(6, 14))


def window(image: Floats, window_hu: tuple[float, float]) -> Floats:
    """Return the image clipped to a window and scaled to -1 .. 1."""
    low, high = window_hu
    return ((np.clip(image, low, high) - low) / (high - low) * 2 - 1).astype(np.float32)


def synthesise_ct(rng: Rng, tissue: Bytes, outside_mm: Bytes) -> Example:
    """Return a synthetic CT, both windows, and its truth."""
    image = scan_ct(rng, paint_ct(rng, tissue, outside_mm))
    seen = field_of_view(rng, tissue.shape)
    image[~seen] = rng.choice([-1000.0, -1024.0, -3024.0])
    target = np.where(seen, CLASS_OF_TISSUE[tissue], np.uint8(0))
    return Example(np.stack([window(image, BRAIN_WINDOW_HU), window(image, WIDE_WINDOW_HU)]), target)


# ------------------------------------------------------------------ random contrast


def synthesise_mr(rng: Rng, tissue: Bytes) -> Example:
    """Return an image of random contrast, like MR of an unknown sequence, and its truth."""
    mean = rng.uniform(0, 1, len(TISSUES)).astype(np.float32)
    spread = rng.uniform(0.01, 0.1, len(TISSUES)).astype(np.float32)
    mean[0] = 0 if rng.random() < 0.8 else mean[0]
    taught = CLASS_OF_TISSUE[tissue]
    if rng.random() < 0.25:
        tissue, taught = (
            np.where(taught == 7, np.uint8(0), tissue),
            np.where(taught == 7, np.uint8(0), taught),
        )
    image = mean[tissue] + spread[tissue] * rng.standard_normal(tissue.shape, dtype=np.float32)
    image = blur(image, rng.uniform(0.2, 0.8, 3).tolist())
    image = image * np.exp(smooth_field(rng, image.shape, 4) * np.float32(rng.uniform(0, 0.35)))
    image = thicken_slices(rng, image, rng.uniform(0.005, 0.08))
    low, high = np.percentile(image[::2, ::2, ::2], (0.5, 99.5))
    image = np.clip((image - low) / (high - low + 1e-6), 0, 1) ** np.float32(np.exp(rng.normal(0, 0.25)))
    scaled = (image * 2 - 1).astype(np.float32)
    return Example(np.stack([scaled, scaled]), taught)


def synthesise(
    head: Head, seed: Sequence[int], *, shape: Sequence[int] = CROP, only_ct: bool = False
) -> Example:
    """Return one synthetic image of a head with its truth; the same seed gives the same image.

    Parameters
    ----------
    shape : sequence of int
        Size of the crop in voxels of 2 mm.
    """
    rng = np.random.default_rng(seed)
    tissue, outside_mm = deform(rng, head, shape)
    if only_ct or rng.random() < CT_SHARE:
        return synthesise_ct(rng, tissue, outside_mm)
    return synthesise_mr(rng, tissue)
