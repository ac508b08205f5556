"""Documents leave as pictures of pages or bare numbers; nothing of the old file is in the new one."""

from __future__ import annotations

import io
import struct
from dataclasses import replace

import numpy as np
import pypdfium2
import pytest
from numpy.typing import NDArray
from PIL import Image

from anonymize import contents, documents
from anonymize.contents import ContentProof, Tools
from anonymize.denylist import DenyList
from anonymize.documents import (
    CleanDocument,
    document_of,
    page_picture,
    read_mesh,
    without_identity,
    write_mesh,
)
from anonymize.elements import ParsedFile, parse_file
from anonymize.ocr import text_finder
from anonymize.pixels import TextBox, TextFinder
from anonymize.profile import load_profile
from anonymize.text import TextCleaner
from medviz.core.errors import StudyUnreadable
from tests import make_documents, make_objects, make_raw


class SilentFinder:
    """Finds no text in any picture."""

    def find(self, picture: NDArray[np.uint8]) -> list[TextBox]:
        return []


class DarkLineFinder:
    """Takes everything dark on a page for one line that says `text`."""

    def __init__(self, text: str, score: float = 0.99) -> None:
        self.text, self.score = text, score

    def find(self, picture: NDArray[np.uint8]) -> list[TextBox]:
        rows, columns = np.nonzero(picture.max(axis=-1) < 100)
        if not len(rows):
            return []
        edges = int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1
        return [TextBox(*edges, self.text, self.score)]


def cleaner() -> TextCleaner:
    deny = DenyList()
    deny.add_name("Rumpelstein^Gundula")
    return TextCleaner(deny, make_raw.CarefulReader())


def parsed_pdf(data: bytes) -> ParsedFile:
    return parse_file(make_raw.to_bytes(make_objects.pdf(data)))


def cleaned(data: bytes, finder: TextFinder | None = None) -> CleanDocument:
    return without_identity(
        parsed_pdf(data), "encapsulated-pdf", finder=finder or SilentFinder(), cleaner=cleaner()
    )


def ink(picture: NDArray[np.uint8]) -> int:
    return int((picture.max(axis=-1) < 100).sum())


def test_a_harmless_page_looks_as_before() -> None:
    data = make_documents.pdf("No lesion.")
    after = page_picture(document_of(cleaned(data).parsed))
    assert np.array_equal(after, page_picture(data))
    assert ink(after) > 50


def test_names_of_the_text_layer_are_filled_and_the_finding_stays() -> None:
    data = make_documents.pdf("No lesion. Gundula")
    result = cleaned(data)
    before, after = page_picture(data), page_picture(document_of(result.parsed))
    assert result.boxes == 1
    assert 0 < ink(after) < ink(before)
    same = (before == after).all(axis=-1)
    changed = np.nonzero(~same)[1]
    finding = np.nonzero((page_picture(make_documents.pdf("No lesion")) < 100).any(axis=-1))[1]
    assert changed.min() > finding.max()


def test_the_new_pdf_holds_pictures_only() -> None:
    secret = b"Gundula"
    data = make_documents.pdf(
        "No lesion.",
        info="/Title (Gundula) /Author (Rumpelstein)",
        catalog="/Names << /JavaScript << >> >> /OpenAction 10 0 R",
        objects={10: b"<< /S /JavaScript /JS (app.alert\\('Gundula'\\)) >>"},
        header=b"%Gundula\n",
        tail=b"Gundula",
    )
    assert secret in data
    after = document_of(cleaned(data).parsed)
    assert secret not in after
    opened = pypdfium2.PdfDocument(after)
    assert len(opened) == 1
    assert opened[0].get_textpage().count_chars() == 0
    assert not any(opened.get_metadata_dict().values())
    assert opened.count_attachments() == 0
    assert opened[0].get_size() == pytest.approx((200, 200), abs=0.5)
    opened.close()


def test_unseen_text_of_a_page_is_not_in_the_output() -> None:
    data = make_documents.pdf("No lesion.", content=b"BT 3 Tr /F1 12 Tf 20 20 Td (Gundula) Tj ET")
    opened = pypdfium2.PdfDocument(data)
    assert "Gundula" in opened[0].get_textpage().get_text_range()
    opened.close()
    after = pypdfium2.PdfDocument(document_of(cleaned(data).parsed))
    assert after[0].get_textpage().count_chars() == 0
    after.close()


def test_cleaning_a_clean_document_again_changes_nothing() -> None:
    once = document_of(cleaned(make_documents.pdf("No lesion. Gundula")).parsed)
    assert document_of(cleaned(once).parsed) == once


def test_the_same_document_gives_the_same_bytes() -> None:
    data = make_documents.pdf("No lesion. Gundula")
    assert document_of(cleaned(data).parsed) == document_of(cleaned(data).parsed)


def test_the_length_of_the_document_is_true() -> None:
    parsed = cleaned(make_documents.pdf()).parsed
    told = next(part.value for part in parsed.elements if part.tag == documents.DOCUMENT_LENGTH)
    value = next(part for part in parsed.elements if part.tag == documents.DOCUMENT)
    length = struct.unpack("<L", told)[0]
    assert value.is_cleared
    assert value.value[:length].endswith(b"%%EOF\n")
    assert len(value.value) - length < 2


def test_a_scanned_name_is_found_by_reading_the_page() -> None:
    """The page's text layer is harmless, its picture reads otherwise."""
    result = cleaned(make_documents.pdf("No lesion."), DarkLineFinder("Gundula Rumpelstein"))
    assert ink(page_picture(document_of(result.parsed))) == 0
    assert result.picture.startswith(b"\x89PNG")


def test_only_the_words_that_must_go_are_filled_in_a_line_that_is_surely_read() -> None:
    parts = documents._unsafe_parts(
        TextBox(0, 10, 0, 170, "No lesion Gundula", 0.99), cleaner(), as_whole=False
    )
    assert [part.text for part in parts] == ["Gundula"]
    assert 70 < parts[0].left <= 100  # the word starts at 100; a letter more is filled
    assert parts[0].right == 170


def test_an_unsure_line_is_filled_whole() -> None:
    line = TextBox(0, 10, 0, 180, "No lesion", 0.4)
    assert documents._unsafe_parts(line, cleaner(), as_whole=False) == [line]


def test_a_slip_of_reading_does_not_save_a_name() -> None:
    line = TextBox(0, 10, 0, 180, "lesion Rumpe1stein", 0.99)
    assert documents._unsafe_parts(line, cleaner(), as_whole=False)


class Stubborn:
    """Reads a name in whatever it sees."""

    def find(self, picture: NDArray[np.uint8]) -> list[TextBox]:
        return [TextBox(1, 9, 1, 90, "Gundula", 0.99)]


@pytest.mark.parametrize(
    ("data", "finder", "reason"),
    [
        (b"%PDF-1.4 broken", SilentFinder(), "DOCUMENT_UNREADABLE"),
        (b"not a document ", SilentFinder(), "DOCUMENT_UNREADABLE"),
        (make_documents.pdf(), Stubborn(), "TEXT_REMAINS"),
    ],
)
def test_what_cannot_be_cleaned_is_held_with_its_reason(data: bytes, finder: TextFinder, reason: str) -> None:
    with pytest.raises(StudyUnreadable) as caught:
        cleaned(data, finder)
    assert caught.value.reason == reason


def test_an_encrypted_pdf_is_held() -> None:
    key = "/Filter /Standard /V 1 /R 2 /O <" + "41" * 32 + "> /U <" + "42" * 32 + "> /P -4"
    data = make_documents.pdf().replace(b"/Root 1 0 R", b"/Encrypt << " + key.encode() + b" >> /Root 1 0 R")
    with pytest.raises(StudyUnreadable) as caught:
        cleaned(data)
    assert caught.value.reason == "DOCUMENT_UNREADABLE"


def test_without_a_finder_a_pdf_is_held() -> None:
    with pytest.raises(StudyUnreadable) as caught:
        without_identity(parsed_pdf(make_documents.pdf()), "encapsulated-pdf", finder=None, cleaner=cleaner())
    assert caught.value.reason == "NO_TEXT_FINDER"


def test_clinical_documents_in_xml_are_refused() -> None:
    with pytest.raises(StudyUnreadable) as caught:
        without_identity(
            parsed_pdf(b"<ClinicalDocument/> "), "encapsulated-cda", finder=SilentFinder(), cleaner=cleaner()
        )
    assert caught.value.reason == "DOCUMENT_REFUSED"


def test_a_persons_boxes_are_filled_on_every_page() -> None:
    result = without_identity(
        parsed_pdf(make_documents.pdf("Gundula")),
        "encapsulated-pdf",
        finder=None,
        cleaner=cleaner(),
        verdict=[TextBox(0, 473, 0, 473, "", 1.0)],
    )
    assert ink(page_picture(document_of(result.parsed))) == 0


@pytest.mark.parametrize(
    "data",
    [make_documents.stl(b"Gundula", attribute=b"Rumpelstein", tail=b"Gundula"), make_documents.text_stl()],
)
def test_a_mesh_keeps_its_triangles_and_loses_all_else(data: bytes) -> None:
    mesh = read_mesh(data, "encapsulated-stl")
    after = write_mesh(mesh, "encapsulated-stl")
    assert after[:80] == bytes(80)
    assert len(after) == 84 + 50 * len(mesh.faces)
    assert b"Gundula" not in after
    triangles = np.frombuffer(after[84:], documents._TRIANGLE)
    assert not triangles["attribute"].any()
    assert np.allclose(triangles["normal"], [0, 0, 1])
    again = read_mesh(after, "encapsulated-stl")
    assert np.array_equal(again.vertices, mesh.vertices)


def test_an_obj_keeps_vertices_and_faces_only() -> None:
    data = make_documents.obj(
        "# Gundula", "mtllib Gundula.mtl", "o Rumpelstein", "usemtl Gundula", "vn 0 0 1"
    )
    after = write_mesh(read_mesh(data, "encapsulated-obj"), "encapsulated-obj")
    assert after == b"v 0.0 0.0 0.0\nv 1.0 0.0 0.0\nv 0.0 1.0 0.0\nf 1 2 3\n"


def test_faces_of_many_corners_and_counted_from_the_end_are_read() -> None:
    data = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf -4/1 -3/2 -2/3 -1/4\n"
    assert read_mesh(data, "encapsulated-obj").faces.tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("encapsulated-stl", b"Gundula"),
        ("encapsulated-stl", make_documents.stl()[:100]),
        ("encapsulated-obj", b"v 0 0 0\nf 1 2 3\n"),
        ("encapsulated-obj", b"v 0 0 Gundula\n"),
        ("encapsulated-obj", b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"),
    ],
)
def test_a_mesh_that_makes_no_sense_is_held(kind: str, data: bytes) -> None:
    with pytest.raises(StudyUnreadable) as caught:
        read_mesh(data, kind)
    assert caught.value.reason == "DOCUMENT_UNREADABLE"


def test_materials_keep_numbers_only() -> None:
    parsed = documents.with_document(
        parsed_pdf(b"x "), b"# Gundula\nnewmtl Gundula\nKd 0.5 0.5 1\nmap_Kd Gundula.png\nillum 2\n"
    )
    result = without_identity(parsed, "encapsulated-mtl", finder=None, cleaner=cleaner())
    assert document_of(result.parsed) == b"newmtl material_1\nKd 0.5 0.5 1\nillum 2\n"


@pytest.mark.parametrize(("kind", "is_held"), [("encapsulated-pdf", True), ("encapsulated-stl", False)])
def test_a_profile_that_does_not_clean_pixels_holds_pages_but_not_meshes(kind: str, is_held: bool) -> None:
    ds = make_objects.pdf(make_documents.pdf() if is_held else make_documents.stl())
    parsed = parse_file(make_raw.to_bytes(ds))
    profile = replace(load_profile("surgical-planning"), options=())

    def clean() -> ContentProof:
        tools = Tools(SilentFinder())
        return contents.cleaned(parsed, kind, profile=profile, cleaner=cleaner(), tools=tools, sha256="")[1]

    if not is_held:
        assert clean().is_cleaned
        return
    with pytest.raises(StudyUnreadable) as caught:
        clean()
    assert caught.value.reason == "HELD_FOR_REVIEW"


def test_a_held_page_can_be_shown_to_a_person() -> None:
    shown = contents.preview(parsed_pdf(make_documents.pdf("Gundula")))
    assert shown.startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_scanned_page_loses_its_names_and_keeps_its_finding_with_the_real_reader() -> None:
    finder = text_finder()
    assert finder is not None
    page = 255 - make_raw.picture_of_text(
        [(40, 20, "Gundula Rumpelstein"), (120, 20, "No fracture of the skull.")], side=320
    )
    scan = io.BytesIO()
    Image.fromarray(page).save(scan, "PDF", resolution=documents.DOTS_PER_INCH)
    before = page_picture(scan.getvalue())
    after = page_picture(document_of(cleaned(scan.getvalue(), finder).parsed))
    assert ink(after[35:65]) == 0
    assert np.array_equal(after[110:145], before[110:145])
