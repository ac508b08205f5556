"""The leak probe through the real readers: OCR, presidio and all, and the pages of its PDFs read again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pydicom
import pytest

from anonymize.deid import make_orders
from anonymize.ocr import text_finder
from medviz.core.study import DeidentifiedStudy
from tests import make_probe
from tests.make_probe import Planted

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # third-party packages warn at import


class Run(NamedTuple):
    """What was planted and what came out."""

    everything: list[Planted]
    study: DeidentifiedStudy


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("probe")
    everything = make_probe.write_probe(folder / "in")
    orders = make_orders("surgical-planning", settings_home=folder / "home", keeps_face=True)
    return Run(everything, make_probe.deidentified_probe(folder / "in", folder, orders))


def test_no_planted_word_is_in_any_byte_of_the_output(run: Run) -> None:
    left = make_probe.found_in(run.study.folder, run.everything)
    assert make_probe.leaks_by_kind(left) == {}


def test_no_planted_word_can_be_read_on_a_page_of_a_pdf(run: Run) -> None:
    import pypdfium2

    finder, read = text_finder(threads=1), []
    assert finder is not None
    for path in run.study.files:
        ds = pydicom.dcmread(path)
        if ds.get("MIMETypeOfEncapsulatedDocument") != "application/pdf":
            continue
        for page in pypdfium2.PdfDocument(bytes(ds.EncapsulatedDocument)):
            picture = np.asarray(page.render(scale=3).to_pil().convert("RGB"))
            read.append(" ".join(box.text for box in finder.find(picture)))
            assert not page.get_textpage().get_text_range()
    assert len(read) > 25
    assert not [text for text in read if "Vz" in text or "qxw" in text]
    assert sum("lesion" in text for text in read) > 20
