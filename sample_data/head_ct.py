"""The real sample: the head CT that Debian's package `invesalius-examples` carries (GPL-2).

The package holds a project file of InVesalius: a gzip tar with `matrix.dat`, int16, (z, y, x) =
(108, 256, 256), 0.957 x 0.957 x 1.5 mm, in Hounsfield units. InVesalius stores each axial slice with its
rows turned over, so that y grows to the front; columns stay as in DICOM. Turning the rows back gives the
usual axial picture: nose up, the patient's left on the right side.

Nothing of it is in this repository; it is fetched by `apt-get download` (no root needed) and checked.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medviz.core.errors import BadInput, NotAvailable
from sample_data.dicomwriter import SeriesRecipe, fresh_folder, write_burned_in_capture, write_series

PACKAGE = "invesalius-examples"
PROJECT_SHA256 = "3b34f11f7c4f557f4c65cd6543c412a2f6ceb0cfecfd9c41184420e02d9b7e2a"
_MEMBER = "usr/share/doc/invesalius-examples/examples/Cranium.inv3"
_SHAPE = (108, 256, 256)
_MEND = (
    "On a Debian or Ubuntu machine run `apt-get download invesalius-examples`, bring the .deb here and "
    "pass it with `--source FILE.deb`; or use the phantom: `--sample phantom`."
)


def make_head_sample(folder: Path, *, cache: Path, source: Path | None = None) -> Path:
    """Write the real head CT as a DICOM study below `folder` and return the study's folder.

    Parameters
    ----------
    folder : Path
        The study is written to ``folder/head-ct``.
    cache : Path
        Where the downloaded package is kept.
    source : Path, optional
        A `.deb` or `Cranium.inv3` that was carried in; downloaded when not given.

    Raises
    ------
    NotAvailable
        If the package cannot be downloaded here.
    BadInput
        If what came is not the pinned file.
    """
    study = folder / "head-ct"
    if study.is_dir():
        return study
    partial = fresh_folder(folder / "head-ct.partial")
    hu = read_project(fetch_project(cache, source))
    recipe = SeriesRecipe(2, "Head 1.5 H31s", "HEAD", 0.9570312, 1.5, (-122.0, -122.0, -60.0))
    write_series(hu, recipe, partial, study="head-ct")
    write_burned_in_capture(partial, study="head-ct")
    return partial.rename(study)


def fetch_project(cache: Path, source: Path | None = None) -> Path:
    """Return the checked `Cranium.inv3`, from `source`, the cache or the Debian package."""
    cache.mkdir(parents=True, exist_ok=True)
    project = cache / "Cranium.inv3"
    if source is not None and source.suffix == ".inv3":
        return _checked(source)
    if not project.is_file():
        _extract(source or _download(cache), project)
    return _checked(project)


def read_project(project: Path) -> NDArray[np.int16]:
    """Return Hounsfield units, shape (108, 256, 256): slices go up, rows go back, columns go left."""
    with tarfile.open(project, "r:gz") as archive:
        member = next(item for item in archive.getmembers() if item.name.endswith("/matrix.dat"))
        stream = archive.extractfile(member)
        assert stream is not None, "a regular file has a stream"
        stored = np.frombuffer(stream.read(), dtype="<i2").reshape(_SHAPE)
    return np.ascontiguousarray(stored[:, ::-1, :]).astype(np.int16)


def _download(cache: Path) -> Path:
    if shutil.which("apt-get") is None:
        raise NotAvailable("apt-get is not on this machine.", reason="SAMPLE_MISSING", mend=_MEND)
    command = ["apt-get", "download", PACKAGE]
    done = subprocess.run(command, cwd=cache, capture_output=True, text=True, check=False)
    packages = sorted(cache.glob(f"{PACKAGE}_*.deb"))
    if done.returncode != 0 or not packages:
        mend = f"If the package is unknown, run `apt-get update` first. {_MEND}"
        raise NotAvailable("apt-get could not download the sample.", reason="SAMPLE_MISSING", mend=mend)
    return packages[-1]


def _extract(package: Path, project: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        raise NotAvailable("dpkg-deb is not on this machine.", reason="SAMPLE_MISSING", mend=_MEND)
    listing = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], capture_output=True, check=False)
    if listing.returncode != 0:
        raise BadInput("The given file is not a Debian package.", reason="SAMPLE_DAMAGED", mend=_MEND)
    temporary = project.with_suffix(".tar")
    temporary.write_bytes(listing.stdout)
    with tarfile.open(temporary) as archive:
        stream = archive.extractfile(f"./{_MEMBER}")
        assert stream is not None, "a regular file has a stream"
        project.write_bytes(stream.read())
    temporary.unlink()


def _checked(project: Path) -> Path:
    if hashlib.sha256(project.read_bytes()).hexdigest() != PROJECT_SHA256:
        raise BadInput("The sample is not the pinned file.", reason="SAMPLE_DAMAGED", mend=_MEND)
    return project
