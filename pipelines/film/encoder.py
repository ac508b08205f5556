"""Frames to H.264, sound to AAC, and shots to one MP4 that plays while it loads."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from medviz.core.errors import RenderingMissing, StorageFull
from pipelines.film.compiled import compiled

Planes = NDArray[np.uint8]

_GOP_S = 2
_SOUND_HZ = 48000
_CHAPTER_BASE = Fraction(1, 1000)


@compiled
def _to_yuv(rgb: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    height, width = rgb.shape[0], rgb.shape[1]
    flat = out[height:].reshape(-1)
    chroma = (height // 2) * (width // 2)
    for y in range(0, height, 2):
        for x in range(0, width, 2):
            cb, cr = 0.0, 0.0
            for j in range(2):
                for i in range(2):
                    r, g, b = (
                        float(rgb[y + j, x + i, 0]),
                        float(rgb[y + j, x + i, 1]),
                        float(rgb[y + j, x + i, 2]),
                    )
                    luma = 0.2126 * r + 0.7152 * g + 0.0722 * b
                    out[y + j, x + i] = int(16.5 + luma * 219.0 / 255.0)
                    cb += (b - luma) / 1.8556
                    cr += (r - luma) / 1.5748
            at = (y // 2) * (width // 2) + x // 2
            flat[at] = int(128.5 + cb / 4.0 * 224.0 / 255.0)
            flat[chroma + at] = int(128.5 + cr / 4.0 * 224.0 / 255.0)


def planes_of(rgb: NDArray[np.uint8]) -> Planes:
    """Return an sRGB frame as planar YUV 4:2:0, BT.709, video range; shape (height * 3 / 2, width)."""
    height, width = rgb.shape[:2]
    out = np.empty((height * 3 // 2, width), dtype=np.uint8)
    _to_yuv(rgb, out)
    return out


@contextlib.contextmanager
def disk_watched() -> Iterator[None]:
    """Turn a full disk into `StorageFull`, and a missing encoder into `RenderingMissing`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                "The disk is full; the shots finished so far are kept.",
                mend="Free some space and run the same command again.",
            ) from None
        raise
    except av.codec.codec.UnknownCodecError:
        raise RenderingMissing(
            "This machine's video library has no H.264 encoder.",
            mend="Install the PyAV wheel: pip install --force-reinstall av",
        ) from None


class ShotWriter:
    """Encodes one shot into a file of its own; the file appears only when the shot is whole.

    Parameters
    ----------
    path : Path
        File to make.
    width, height : int
        Even numbers of pixels.
    frames_per_second : int
        Constant rate.
    """

    def __init__(self, path: Path, width: int, height: int, frames_per_second: int) -> None:
        self._path, self._size, self._count = path, (width, height), 0
        self._temporary = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
        self._container: Any = av.open(str(self._temporary), "w", options={"fflags": "+bitexact"})
        self._stream = self._container.add_stream("libx264", rate=frames_per_second)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._stream.time_base = Fraction(1, frames_per_second)
        self._stream.codec_context.options = _video_options(frames_per_second)
        self._base = Fraction(1, frames_per_second)

    def add(self, planes: Planes, times: int = 1) -> None:
        """Add a frame, held for `times` frames."""
        for _ in range(times):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = self._count, self._base
            self._count += 1
            for packet in self._stream.encode(frame):
                self._container.mux(packet)

    def finish(self) -> None:
        """Write what is left and make the file visible."""
        for packet in self._stream.encode():
            self._container.mux(packet)
        self._container.close()
        with self._temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        self._temporary.replace(self._path)

    def abandon(self) -> None:
        """Drop the half-made file."""
        with contextlib.suppress(OSError):  # a full disk: the file goes anyway
            self._container.close()
        self._temporary.unlink(missing_ok=True)


def _video_options(frames_per_second: int) -> dict[str, str]:
    """Return the encoder's settings: one thread and no B-frames, so that bytes repeat and shots join."""
    gop = _GOP_S * frames_per_second
    return {
        "preset": "veryfast",
        "crf": "20",
        "profile": "high",
        "threads": "1",
        "flags": "+bitexact+cgop+global_header",
        "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:open-gop=0:aq-mode=1:"
        "colorprim=bt709:transfer=bt709:colormatrix=bt709:fullrange=off",
    }


@dataclass(frozen=True, slots=True)
class FilmChapter:
    """A chapter: when it starts and ends in seconds, and its title."""

    start_s: float
    end_s: float
    title: str


@dataclass(frozen=True, slots=True, eq=False)
class SoundTrack:
    """Mono int16 samples and their rate in Hz."""

    samples: NDArray[np.int16]
    rate_hz: int


def join(
    shots: list[Path],
    sound: SoundTrack,
    path: Path,
    *,
    frames_per_second: int,
    chapters: list[FilmChapter],
    metadata: dict[str, str],
) -> None:
    """Write the film: the shots' packets unchanged, the sound, chapters and metadata. Atomic.

    Raises
    ------
    StorageFull
        If the disk ran out.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
    try:
        with disk_watched():
            _join(shots, sound, temporary, frames_per_second, chapters, metadata)
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _join(
    shots: list[Path],
    sound: SoundTrack,
    path: Path,
    frames_per_second: int,
    chapters: list[FilmChapter],
    metadata: dict[str, str],
) -> None:
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", options=options) as out:
        with av.open(str(shots[0])) as first:
            video = out.add_stream_from_template(first.streams.video[0])
        video.time_base = Fraction(1, frames_per_second * 512)
        audio: Any = out.add_stream("aac", rate=_SOUND_HZ, layout="mono")
        audio.bit_rate = 128_000
        audio.codec_context.options = {"flags": "+bitexact"}
        out.metadata.update(metadata)
        out.set_chapters([_chapter(number, item) for number, item in enumerate(chapters)])
        packets = _merged(_video_packets(shots, video, frames_per_second), _audio_packets(sound, audio))
        for packet in packets:
            out.mux(packet)


def _chapter(number: int, chapter: FilmChapter) -> Any:
    return {
        "id": number,
        "start": round(chapter.start_s * 1000),
        "end": round(chapter.end_s * 1000),
        "time_base": _CHAPTER_BASE,
        "metadata": {"title": chapter.title},
    }


def _video_packets(shots: list[Path], stream: Any, frames_per_second: int) -> Iterator[Any]:
    """Yield the packets of all shots, timed by counting frames."""
    count, base = 0, Fraction(1, frames_per_second)
    for shot in shots:
        with av.open(str(shot)) as source:
            for packet in source.demux(source.streams.video[0]):
                if packet.size == 0:
                    continue
                packet.time_base = base
                packet.pts = packet.dts = count
                packet.duration = 1
                packet.stream = stream
                count += 1
                yield packet


def _audio_packets(sound: SoundTrack, stream: Any) -> Iterator[Any]:
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=_SOUND_HZ, frame_size=1024)
    step = sound.rate_hz
    for start in range(0, len(sound.samples), step):
        block = np.ascontiguousarray(sound.samples[start : start + step][None])
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = sound.rate_hz, start, Fraction(1, sound.rate_hz)
        for piece in resampler.resample(frame):
            yield from stream.encode(piece)
    for piece in resampler.resample(None):
        yield from stream.encode(piece)
    yield from stream.encode()


def _merged(video: Iterator[Any], audio: Iterator[Any]) -> Iterator[Any]:
    """Yield video and audio packets by time, so that the file plays while it loads."""
    v, a = next(video, None), next(audio, None)
    while v is not None or a is not None:
        if a is None or (v is not None and v.pts * v.time_base <= a.pts * a.time_base):
            yield v
            v = next(video, None)
        else:
            yield a
            a = next(audio, None)
