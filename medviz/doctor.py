"""What this machine has and lacks, each with the line that mends it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medviz.core.errors import NotAvailable
from medviz.core.settings import Settings

_OURS = ("medviz", "anonymize", "pipelines", "review", "sample_data")
_DISTRIBUTION = "medviz-clinic"
_LEAST_DISK_GB, _LEAST_MEMORY_GB = 5.0, 6.0
_CODEC_PACKAGES = ("python-gdcm", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: whether it is good enough, what was found, and the line that mends it."""

    name: str
    is_good: bool
    is_needed: bool
    found: str
    mend: str = ""


def examine(settings: Settings) -> tuple[Check, ...]:
    """Return every check of this machine. Opens no socket and changes nothing."""
    checks: tuple[Callable[[], Check], ...] = (
        _names,
        _codecs,
        _encoder,
        _reference_rendering,
        _gpu,
        lambda: _weights(settings.models),
        lambda: _disk(settings.home),
        _memory,
        _sample_tools,
    )
    return tuple(check() for check in checks)


def refuse_foreign_names() -> None:
    """Raise when another distribution owns one of our import names: pip overwrites silently.

    Raises
    ------
    NotAvailable
        If it does.
    """
    check = _names()
    if not check.is_good:
        raise NotAvailable(check.found, reason="NAME_CLASH", mend=check.mend)


def _names() -> Check:
    owners = importlib.metadata.packages_distributions()
    foreign = sorted({owner for name in _OURS for owner in owners.get(name, []) if owner != _DISTRIBUTION})
    if foreign:
        names = ", ".join(foreign)
        mend = f"pip uninstall {' '.join(foreign)} && pip install --force-reinstall --no-deps {_DISTRIBUTION}"
        return Check("import names", False, True, f"Another distribution owns our names: {names}.", mend)
    return Check("import names", True, True, "ours alone")


def _codecs() -> Check:
    missing = [name for name in _CODEC_PACKAGES if not _is_installed(name)]
    if missing:
        return Check("DICOM codecs", False, True, "missing", f"pip install {' '.join(missing)}")
    return Check("DICOM codecs", True, True, "JPEG, JPEG-LS, JPEG 2000, HTJ2K, RLE")


def _encoder() -> Check:
    try:
        import av

        av.codec.Codec("libx264", "w")
        av.codec.Codec("aac", "w")
    except (ImportError, ValueError):
        return Check("film encoder", False, True, "no H.264 encoder", "pip install --force-reinstall av")
    return Check("film encoder", True, True, "H.264 and AAC")


def _reference_rendering() -> Check:
    import ctypes.util

    if ctypes.util.find_library("EGL") and ctypes.util.find_library("GL"):
        return Check("rendering", True, False, "EGL")
    mend = "apt-get install -y libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libxrender1"
    found = "no EGL; the film does not need it, the reference pictures do"
    return Check("rendering", False, False, found, mend)


def _gpu() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("GPU", True, False, torch.cuda.get_device_name(0))
    return Check(
        "GPU", False, False, "none; everything runs on the CPU", "install a CUDA build of torch 2.13"
    )


def _weights(models: Path) -> Check:
    from pipelines.models.store import ModelState, list_models

    missing = [status.entry.id for status in list_models(models) if status.state is not ModelState.READY]
    if missing:
        line = "; ".join(f"medviz models pull {name}" for name in missing)
        return Check("weights", False, True, f"missing: {', '.join(missing)}", line)
    return Check("weights", True, True, "all present")


def _disk(home: Path) -> Check:
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free_gb = shutil.disk_usage(place).free / 1e9
    mend = f"free {_LEAST_DISK_GB:.0f} GB, or set MEDVIZ_HOME to a larger disk"
    return Check("disk", free_gb >= _LEAST_DISK_GB, True, f"{free_gb:.0f} GB free", mend)


def _memory() -> Check:
    import psutil

    free_gb = psutil.virtual_memory().available / 1e9
    found = f"{free_gb:.1f} GB available, {os.cpu_count()} cores"
    return Check("memory", free_gb >= _LEAST_MEMORY_GB, True, found, "close other programs or add memory")


def _sample_tools() -> Check:
    has_both = bool(shutil.which("apt-get") and shutil.which("dpkg-deb"))
    found = "apt-get and dpkg-deb" if has_both else "no apt-get: the real sample cannot be fetched here"
    return Check("sample", has_both, False, found, "medviz demo --sample phantom")


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
