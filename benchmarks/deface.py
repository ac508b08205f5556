"""Prints how much of a face is gone, and what of skull and brain changed: ours and quickshear, side by side.

    python -m benchmarks.deface [--t1 FILE.nii.gz --t1-brain FILE.nii.gz] [--pictures FOLDER]

The CT is the sample head that `medviz sample` brings. The T1 and its brain are by default those of Debian's
package `mricron-data`. Rivals and the face detector (OpenCV's Haar cascades) run in the rivals' environment.
Each landmark was picked by hand on a picture of the skin before anything was cut.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from anonymize.face import deface
from benchmarks.rivals import HOME
from medviz.core.errors import MedVizError
from medviz.core.settings import load_settings
from medviz.core.space import Grid, grid_from_nifti, nifti_affine
from medviz.core.volume import GeometryReport, Outcome, Volume
from pipelines.segmenters.brain import HeadBrain
from sample_data.head_ct import fetch_project, read_project

TEMPLATES = Path("/usr/share/mricron/templates")
_FACE_MM = 5.0
Mask = NDArray[np.bool_]


class Subject(NamedTuple):
    """A head before it is cut: volume (rows go back), air level, bone, brain, landmarks (LPS x and z)."""

    name: str
    volume: Volume
    air: float
    bone: Mask | None
    brain: Mask
    landmarks_mm: dict[str, tuple[float, float]]


def _volume(voxels: NDArray[np.int16], grid: Grid, modality: str) -> Volume:
    unit = "HU" if modality == "CT" else ""
    return Volume(voxels, grid, modality, unit, "no", GeometryReport(Outcome.CORRECT, "OK", "read here"))


def ct_subject(cache: Path) -> Subject:
    """Return the sample head CT; its brain is soft tissue that bone encloses in axial slices."""
    hu = read_project(fetch_project(cache))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 0.9570312], [0, 0.9570312, 0], [1.5, 0, 0]])
    affine[:3, 3] = (-122, -122, -60)
    bone = hu > 300
    inside = np.stack([ndimage.binary_fill_holes(ndimage.binary_closing(p, iterations=4)) for p in bone])
    brain = ndimage.binary_opening(inside & (hu > 0) & (hu < 80), iterations=3)
    labels, _ = ndimage.label(brain)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    marks = {"nose": (3, -31), "left eye": (36, -3), "right eye": (-29, -3), "mouth": (3, -57)}
    return Subject(
        "CT", _volume(hu, Grid(hu.shape, affine), "CT"), -300, bone, labels == sizes.argmax(), marks
    )


def t1_subject(path: Path, brain: Path) -> Subject:
    """Return a T1 head, rows turned to go back, with the brain that another tool (BET) found in it."""
    found = []
    for file in (path, brain):
        image = nib.as_closest_canonical(nib.load(file))
        found.append(np.ascontiguousarray(np.asarray(image.dataobj).transpose(2, 1, 0)[:, ::-1, ::-1]))
    image = nib.as_closest_canonical(nib.load(path))
    grid = grid_from_nifti(image.shape, image.affine)
    affine = grid.affine.copy()
    affine[:3, 3] = grid.points(np.array([[0, grid.shape[1] - 1, grid.shape[2] - 1]]))[0]
    affine[:3, 1:3] *= -1
    marks = {"nose": (-6, -60), "left eye": (29, -40), "right eye": (-42, -40)}
    voxels = found[0].astype(np.int16)
    return Subject("T1", _volume(voxels, Grid(voxels.shape, affine), "MR"), 30, None, found[1] > 0, marks)


def body_of(subject: Subject, volume: Volume) -> Mask:
    """Return the largest piece that is not air."""
    labels, _ = ndimage.label(volume.voxels > subject.air)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: Mask = labels == sizes.argmax()
    return largest


def moved_mm(subject: Subject, after: Volume) -> dict[str, float]:
    """Return how far behind the old skin the first tissue lies now, median within 5 mm of each landmark."""
    grid = subject.volume.grid
    depths = [
        np.where(body.any(axis=1), np.argmax(body, axis=1), body.shape[1]) * grid.spacing_mm[1]
        for body in (body_of(subject, subject.volume), body_of(subject, after))
    ]
    heights = grid.affine[2, 3] + np.arange(grid.shape[0])[:, None] * grid.affine[2, 0]
    sides = grid.affine[0, 3] + np.arange(grid.shape[2])[None, :] * grid.affine[0, 2]
    found = {}
    for name, (left, up) in subject.landmarks_mm.items():
        near = (heights - up) ** 2 + (sides - left) ** 2 < _FACE_MM**2
        found[name] = float(np.median((depths[1] - depths[0])[near]))
    return found


def picture(subject: Subject, volume: Volume) -> Image.Image:
    """Return the skin as seen from the front, lit from above."""
    body, (up, back, left) = body_of(subject, volume), volume.grid.spacing_mm
    depth = ndimage.gaussian_filter(np.argmax(body, axis=1) * back, 1.0)
    rise, side = np.gradient(depth, up, left)
    light = np.clip((1 + 0.4 * rise - 0.2 * side) / np.sqrt(1 + rise**2 + side**2) / 1.2, 0, 1)
    light[~body.any(axis=1)] = 0
    made = Image.fromarray((light[::-1] * 255).astype(np.uint8))
    return made.resize((int(made.width * left * 2), int(made.height * up * 2)), Image.Resampling.BICUBIC)


_DETECT = """
import cv2, json, sys
picture = cv2.imread(sys.argv[1], 0)
found = {}
for name in ("frontalface_default", "frontalface_alt2", "profileface", "eye"):
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + f"haarcascade_{name}.xml")
    found[name] = len(cascade.detectMultiScale(picture, 1.05, 3, minSize=(30, 30)))
print(json.dumps(found))
"""

_QUICKSHEAR = """
import nibabel, sys
from quickshear import quickshear
head, brain = nibabel.load(sys.argv[1]), nibabel.load(sys.argv[2])
nibabel.save(quickshear(head, brain, 10), sys.argv[3])
"""


def in_rivals(code: str, *arguments: str) -> str:
    """Return what a short program prints in the rivals' environment; empty when it cannot run there."""
    python = HOME / "bin" / "python"
    if not python.is_file():
        return ""
    done = subprocess.run([python, "-c", code, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def faces_seen(subject: Subject, volume: Volume) -> str:
    """Return how many faces and eyes a detector sees from the front, or why it did not look."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "front.png"
        picture(subject, volume).save(path)
        told = in_rivals(_DETECT, str(path))
    return ", ".join(f"{name} {count}" for name, count in json.loads(told).items()) if told else "no detector"


def ours(subject: Subject) -> Volume:
    """Return what the product makes of it."""
    return deface(subject.volume, brain=HeadBrain(threads=1))[0]


def quickshear(subject: Subject) -> Volume:
    """Return what quickshear makes of it, given the same brain that is measured against."""
    volume = subject.volume
    affine = nifti_affine(volume.grid)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("head.nii.gz", "brain.nii.gz", "out.nii.gz")]
        base = float(volume.voxels.min())  # quickshear writes 0: Hounsfield units are moved so that air is 0
        for path, array in zip(paths, (volume.voxels - base, subject.brain), strict=False):
            nib.save(nib.Nifti1Image(array.transpose(2, 1, 0).astype(np.float32), affine), path)
        in_rivals(_QUICKSHEAR, *map(str, paths))
        if not paths[2].is_file():
            raise MedVizError("quickshear 1.2.0 is not in the rivals' environment")
        made = np.asarray(nib.load(paths[2]).dataobj).transpose(2, 1, 0) + base
    return _volume(np.ascontiguousarray(np.rint(made)).astype(np.int16), volume.grid, volume.modality)


def report(subject: Subject, name: str, method: Callable[[Subject], Volume], pictures: Path | None) -> None:
    """Print the figures of one method on one head."""
    start, own = time.perf_counter(), time.process_time()
    try:
        after = method(subject)
    except MedVizError as error:
        print(f"{subject.name:3} {name:12} {error.message}")
        return
    seconds = time.process_time() - own, time.perf_counter() - start
    changed = after.voxels != subject.volume.voxels
    removed = (body_of(subject, subject.volume) & (after.voxels <= subject.air)).sum()
    marks = ", ".join(f"{mark} {mm:.0f}" for mark, mm in moved_mm(subject, after).items())
    bone = "-" if subject.bone is None else str(int((changed & subject.bone).sum()))
    print(
        f"{subject.name:3} {name:12} {removed * subject.volume.grid.voxel_ml:5.0f} ml gone; "
        f"skin moved (mm): {marks}; "
        f"changed: bone {bone}, brain {int((changed & subject.brain).sum())} voxels; "
        f"CPU {seconds[0]:.1f} s, wall {seconds[1]:.1f} s; detector: {faces_seen(subject, after)}"
    )
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        picture(subject, after).save(pictures / f"{subject.name}-{name}.png")


def main() -> None:
    """Print one line a head and method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--t1", type=Path, default=TEMPLATES / "ch2.nii.gz")
    parser.add_argument("--t1-brain", type=Path, default=TEMPLATES / "ch2bet.nii.gz")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the skin afterwards")
    parser.add_argument("--cache", type=Path, default=load_settings().home / "samples")
    arguments = parser.parse_args()
    subjects = [ct_subject(arguments.cache)]
    if arguments.t1.is_file() and arguments.t1_brain.is_file():
        subjects.append(t1_subject(arguments.t1, arguments.t1_brain))
    for subject in subjects:
        print(f"{subject.name:3} {'before':12} detector: {faces_seen(subject, subject.volume)}")
        report(subject, "medviz", ours, arguments.pictures)
        report(subject, "quickshear", quickshear, arguments.pictures)


if __name__ == "__main__":
    main()
