"""Films keep their pictures and lose sound, notes and text."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless

from anonymize import contents, headers, video
from anonymize.denylist import DenyList
from anonymize.elements import ParsedFile, parse_file
from anonymize.pixels import TextBox
from anonymize.video import CleanFilm, is_film, pictures_of, without_identity
from medviz.core.errors import StudyUnreadable
from tests import make_documents, make_objects, make_raw

FRAMES = 6


def film(*, container: str = "mp4", has_text: bool = False, has_sound: bool = False) -> bytes:
    """Return six frames of H.264, a bar in each when it has text, a tone when it has sound."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as target:
        target.metadata["title"] = "Gundula"
        lane: Any = target.add_stream("libx264", rate=25)
        lane.width, lane.height, lane.pix_fmt = 64, 48, "yuv420p"
        lane.options = {"preset": "ultrafast", "x264-params": "threads=1"}
        sound: Any = target.add_stream("aac", rate=44100) if has_sound else None
        for number in range(FRAMES):
            target.mux(lane.encode(av.VideoFrame.from_ndarray(frame(number, has_text=has_text), "rgb24")))
        target.mux(lane.encode(None))
        if sound is not None:
            tone = np.zeros((1, 4096), np.float32)
            part = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            part.sample_rate = 44100
            target.mux(sound.encode(part))
            target.mux(sound.encode(None))
    return out.getvalue()


def frame(number: int, *, has_text: bool) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:48, :64]
    picture = np.repeat(((rows * 2 + columns + 8 * number) % 120)[..., None], 3, axis=2).astype(np.uint8)
    if has_text:
        picture[8:16, 8:40] = 255
    return picture


def parsed_of(data: bytes) -> ParsedFile:
    return parse_file(make_raw.to_bytes(make_objects.video(data)))


def cleaned(data: bytes, finder: make_raw.BrightFinder | None = None) -> CleanFilm:
    return without_identity(parsed_of(data), finder or make_raw.BrightFinder(), DenyList())


def stream_of(result: CleanFilm) -> bytes:
    return video._film_of(result.parsed)


def packets_of(data: bytes) -> list[bytes]:
    with av.open(io.BytesIO(data)) as source:
        return [bytes(packet) for packet in source.demux(source.streams.video[0]) if packet.size]


@pytest.mark.parametrize("container", ["mp4", "mpegts"])
def test_a_film_without_text_keeps_its_frames_and_loses_its_notes(container: str) -> None:
    before = make_documents.mp4(tags={"title": "Gundula"}, note="by Rumpelstein", container=container)
    assert b"Rumpelstein" in before
    result = cleaned(before)
    after = stream_of(result)
    assert not any(word in after for word in (b"Gundula", b"Rumpelstein", b"x264", b"Lavf"))
    pairs = zip(pictures_of(before), pictures_of(after), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)
    assert (result.frames, result.boxes) == (make_documents.VIDEO_FRAMES, 0)


@pytest.mark.parametrize("container", ["mp4", "mpegts"])
def test_cleaning_a_clean_film_again_changes_nothing(container: str) -> None:
    once = cleaned(make_documents.mp4(note="by Rumpelstein", container=container))
    again = without_identity(once.parsed, make_raw.BrightFinder(), DenyList())
    assert stream_of(again) == stream_of(once)


def test_the_same_film_gives_the_same_bytes() -> None:
    assert stream_of(cleaned(film())) == stream_of(cleaned(film()))


@pytest.mark.parametrize("container", ["mp4", "mpegts", "h264"])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
def test_every_codec_of_the_standard_loses_its_encoders_notes(codec: str, container: str) -> None:
    if container == "h264":
        container = {"libx264": "h264", "libx265": "hevc", "mpeg2video": "vob"}[codec]
    quiet = {"libx265": {"x265-params": "log-level=none"}}.get(codec, {})
    before = encoded(codec, container, quiet)
    bare, _ = video._bare_film(before)
    assert not any(word in bare for word in (b"x264", b"x265", b"Lav"))
    assert video._bare_film(bare)[0] == bare
    assert len(list(pictures_of(bare))) == 12


def encoded(codec: str, container: str, options: dict[str, str]) -> bytes:
    """Return twelve frames of noise that moves."""
    out = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (30, 40, 3)).astype(np.uint8)
    with av.open(out, "w", format=container) as target:
        lane: Any = target.add_stream(codec, rate=25)
        lane.width, lane.height, lane.pix_fmt, lane.options = 128, 96, "yuv420p", options
        for number in range(12):
            picture = np.full((96, 128, 3), 30, np.uint8)
            picture[20 + number : 50 + number, 40:80] = noise
            target.mux(lane.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        target.mux(lane.encode(None))
    return out.getvalue()


def test_sound_is_removed_and_the_compressed_pictures_stay_as_they_were() -> None:
    before = film(has_sound=True)
    result = cleaned(before)
    with av.open(io.BytesIO(stream_of(result))) as source:
        assert [lane.type for lane in source.streams] == ["video"]
    assert packets_of(stream_of(result))[1:] == packets_of(before)[1:]
    assert "sound was removed" in result.notes


def test_text_in_a_film_is_filled_on_every_frame_and_the_rest_stays() -> None:
    before = film(has_text=True)
    result = cleaned(before)
    assert result.parsed.syntax == JPEGLSLossless
    assert headers.text_of(result.parsed, 0x00280004) == "RGB"
    assert headers.number_of(result.parsed, 0x00280008) == FRAMES
    from anonymize.pictures import Frames

    after = Frames(result.parsed)
    untouched = np.ones((48, 64), bool)
    untouched[2:22, 2:46] = False
    for shown, stored in zip(pictures_of(before), after, strict=True):
        assert stored.max() < 200
        assert np.array_equal(stored[untouched], shown[untouched])
    assert result.boxes == FRAMES
    assert result.picture.startswith(b"\x89PNG")
    assert "JPEG-LS" in result.notes[-1]


def test_frames_in_which_nothing_changed_are_read_once() -> None:
    finder = make_raw.BrightFinder()
    cleaned(make_documents.mp4(), finder)
    moving = finder.pictures
    assert moving == make_documents.VIDEO_FRAMES
    still = make_raw.BrightFinder()
    pictures = [np.full((48, 64, 3), 40, np.uint8)] * 4
    read = video._film_reader(still, DenyList())
    assert [read(picture) for picture in pictures] == [()] * 4
    assert still.pictures == 1


def test_a_word_that_appears_later_is_read() -> None:
    read = video._film_reader(make_raw.BrightFinder(), DenyList())
    assert read(frame(0, has_text=False)) == ()
    assert len(read(frame(0, has_text=True))) == 1


def test_a_persons_boxes_are_filled_and_nothing_is_read() -> None:
    boxes = [TextBox(0, 10, 0, 10, "", 1.0)]
    result = without_identity(parsed_of(film(has_text=True)), None, DenyList(), verdict=boxes)
    assert (result.frames, result.boxes) == (0, FRAMES)
    assert without_identity(parsed_of(film()), None, DenyList(), verdict=[]).boxes == 0


def test_a_film_that_cannot_be_played_is_held() -> None:
    ds = make_objects.video(film())
    ds.PixelData = encapsulate([b"no film at all, of any kind"])
    with pytest.raises(StudyUnreadable) as caught:
        without_identity(parse_file(make_raw.to_bytes(ds)), make_raw.BrightFinder(), DenyList())
    assert caught.value.reason == "PIXELS_UNREADABLE"


def test_a_film_is_held_when_nothing_can_read_it() -> None:
    with pytest.raises(StudyUnreadable) as caught:
        without_identity(parsed_of(film()), None, DenyList())
    assert caught.value.reason == "NO_TEXT_FINDER"


def test_a_film_with_text_that_is_too_large_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "MOST_REWRITTEN_BYTES", 1000)
    with pytest.raises(StudyUnreadable) as caught:
        cleaned(film(has_text=True))
    assert caught.value.reason == "VIDEO_TEXT"


def test_the_standards_films_are_known_by_their_syntaxes() -> None:
    family = "1.2.840.10008.1.2.4."
    assert all(is_film(family + end) for end in ("100", "100.1", "102", "103.1", "106.1", "108"))
    assert not any(is_film(family + end) for end in ("50", "90", "110", "201"))


def test_a_frame_of_a_held_film_can_be_shown_to_a_person() -> None:
    shown = np.array(Image.open(io.BytesIO(contents.preview(parsed_of(film()), 2))))
    assert np.array_equal(shown, list(pictures_of(film()))[2])
