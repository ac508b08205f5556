"""The real readers: rapidocr on pictures and presidio on sentences, with every socket shut."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pydicom
import pytest

from anonymize.deid import deidentify_path
from anonymize.denylist import DenyList
from anonymize.ocr import text_finder
from anonymize.prose import PresidioReader, analyzer
from anonymize.text import TextCleaner
from tests import make_raw

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # third-party packages warn at import


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something opened a socket")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_a_screenshot_with_a_name_comes_out_without_it(tmp_path: Path) -> None:
    lines = [
        (10, 10, "RUMPELSTEIN, GUNDULA"),
        (40, 10, "PLX-480-1177"),
        (70, 10, "07.04.1931"),
        (200, 180, "5 mm"),
    ]
    frames = np.stack([make_raw.picture_of_text(lines), make_raw.picture_of_text(lines[:1])])
    make_raw.write(make_raw.screenshot(frames), tmp_path / "in" / "shot")
    finder = text_finder()
    assert finder is not None

    study = deidentify_path(
        tmp_path / "in",
        tmp_path / "out",
        make_raw.orders(finder=finder),
        settings_home=tmp_path / "home",
    )

    after = pydicom.dcmread(study.files[0]).pixel_array
    assert (after[:, :100] == 16).all()
    left = [box.text for frame in after for box in finder.find(frame)]
    assert left in ([], ["5 mm"], ["5mm"])


def test_a_clean_picture_comes_out_unchanged(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:256, :256]
    disc = ((rows - 128) ** 2 + (columns - 128) ** 2 < 90**2) * 120
    picture = np.repeat(disc[..., None], 3, axis=-1).astype(np.uint8)
    make_raw.write(make_raw.screenshot(picture), tmp_path / "in" / "shot")
    study = deidentify_path(
        tmp_path / "in",
        tmp_path / "out",
        make_raw.orders("basic", finder=text_finder()),
        settings_home=tmp_path / "home",
    )
    assert np.array_equal(pydicom.dcmread(study.files[0]).pixel_array, picture)


def test_a_surname_that_is_also_a_medical_word_is_dropped_from_a_sentence() -> None:
    cleaner = TextCleaner(DenyList(), PresidioReader())
    cleaned = cleaner.cleaned("The patient John Brown was moved during the scan after contrast")
    assert "Brown" not in cleaned
    assert "John" not in cleaned
    assert "was moved during the scan after contrast" in cleaned


def test_an_address_in_a_sentence_asks_no_name_server() -> None:
    text = "please write to the doctor at brown@example.org about the contrast"
    found = analyzer().analyze(text, language="en", entities=["EMAIL_ADDRESS"])
    assert [text[item.start : item.end] for item in found] == ["brown@example.org"]
    cleaned = TextCleaner(DenyList(), PresidioReader()).cleaned(text)
    assert "brown" not in cleaned
    assert "example" not in cleaned
    assert cleaned.startswith("please write to the doctor")
