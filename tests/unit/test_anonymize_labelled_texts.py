"""The labelled sets: what is missed and kept, with the real readers of names, and no socket opened."""

from __future__ import annotations

import random
import re
import socket

import pytest

from anonymize import chinese, prose
from anonymize.denylist import DenyList
from anonymize.prose import PresidioReader
from anonymize.text import TextCleaner, TextPolicy
from tests import make_texts

PROSE = "The patient was seen by Rose Tanaka from Leeds, who may mail rose@mailhost.example about the scan."


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuse every way to the network, and count who asked."""
    asked: list[str] = []

    def refuse(*arguments: object, **_: object) -> None:
        asked.append(repr(arguments[:2]))
        raise OSError("the network is shut")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    return asked


def cleaned(deny: DenyList, text: str) -> str:
    return TextCleaner(deny, PresidioReader()).cleaned(text)


@pytest.mark.slow
@pytest.mark.parametrize("name", make_texts.SETS)
def test_no_identifying_word_is_left_and_harmless_words_are_kept(name: str) -> None:
    found = make_texts.score(name, cleaned)
    assert found.missed == 0
    assert found.kept_share >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", make_texts.SETS)
def test_cleaning_a_cleaned_text_changes_nothing(name: str) -> None:
    for deny, texts in make_texts.labelled(name):
        cleaner = TextCleaner(deny, PresidioReader())
        for text in texts:
            once = cleaner.cleaned(text.text)
            assert cleaner.cleaned(once) == once


@pytest.mark.slow
def test_the_readers_of_names_open_no_socket(no_sockets: list[str]) -> None:
    prose.analyzer.cache_clear()
    chinese.lac.cache_clear()
    assert prose.analyzer() is not None
    assert chinese.lac() is not None
    assert prose.analyzer().analyze("mail rose@example.org", language="en")  # through tldextract
    kept = cleaned(DenyList(), PROSE + " 患者张伟因头痛入院。")
    assert kept == "The patient was seen by from, who may mail about the scan. 患者 因头痛入院。"
    assert no_sockets == []


def test_without_the_english_model_every_doubtful_word_of_a_sentence_goes(
    monkeypatch: pytest.MonkeyPatch, no_sockets: list[str]
) -> None:
    monkeypatch.setattr(prose, "MODEL", "en_core_web_no_such_model")
    prose.analyzer.cache_clear()
    text = "Daisy noticed a lump in the left breast; Grace saw it on the scan too."
    kept = cleaned(DenyList(), text)
    prose.analyzer.cache_clear()
    assert "Daisy" not in kept
    assert "Grace" not in kept
    assert "a lump in the left breast" in kept
    assert no_sockets == []


def test_without_the_chinese_reader_only_words_of_radiology_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chinese, "lac", lambda: None)
    assert cleaned(DenyList(), "头颅平扫 张伟 高明 动脉期") == "头颅平扫 动脉期"


@pytest.mark.slow
def test_listed_names_of_random_people_never_stay_in_any_order() -> None:
    numbers = random.Random(7)
    surnames = ["Brown", "Long", "May", "Head", "Van Dyke", "O'Neil", "Müller", "Wang", "Smith-Jones"]
    given = ["Grace", "Will", "Anna Maria", "Jean-Luc", "Mark", "Xiao Ming"]
    for _ in range(40):
        surname, name = numbers.choice(surnames), numbers.choice(given)
        deny = DenyList()
        deny.add_name(f"{surname}^{name.replace(' ', '^')}")
        texts = [
            f"{name} {surname} had a scan of the thorax",
            f"{surname}, {name} thorax",
            f"{surname}^{name} thorax".upper(),
            f"{surname}_{name} thorax",
            f"{surname.lower()}{name.lower()} thorax",
            f"seen with {surname}'s daughter, thorax",
        ]
        parts = [
            part for part in f"{surname} {name}".replace("-", " ").replace("'", " ").split() if len(part) > 1
        ]
        for text in texts:
            kept = cleaned(deny, text)
            assert "thorax" in kept.lower()
            assert not {part.lower() for part in parts} & set(kept.lower().replace(",", " ").split()), (
                text,
                kept,
            )


def test_words_of_a_page_are_judged_with_their_neighbours() -> None:
    words = re.split(" ", "Referred by Dr. Mark Stone for a stone in the left kidney; mark the level.")
    unsafe = TextCleaner(DenyList(), PresidioReader()).unsafe_words(words)
    assert [word for word, is_unsafe in zip(words, unsafe, strict=True) if is_unsafe] == [
        "Dr.",
        "Mark",
        "Stone",
    ]
    assert TextCleaner(DenyList(), PresidioReader()).unsafe_words([]) == []


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (TextPolicy(), "CT of the thorax, asked by in at"),
        (TextPolicy(keeps_years=True), "CT of the thorax 2021, asked by in at"),
        (TextPolicy(keeps_times_of_day=True), "CT of the thorax, asked by in at 14:35"),
    ],
)
def test_a_policy_keeps_what_it_says_and_nothing_more(policy: TextPolicy, kept: str) -> None:
    text = "CT of the thorax 17.05.2021, asked by Dr. Qvist in Xanthia at 14:35"
    assert TextCleaner(DenyList(), PresidioReader(), policy).cleaned(text) == kept


def test_clinicians_and_institutions_of_the_header_stay_only_when_the_policy_says_so() -> None:
    deny = DenyList()
    deny.add_name("Long^Anna")
    deny.add_name("Qvist^Bo^^Dr", is_clinician=True)
    deny.add_text("Xanthia General Hospital", is_institution=True)
    deny.add_text("4 Zither Road, Obertal")
    text = "Asked by Dr. Bo Qvist in Xanthia General Hospital for Anna Long of Obertal"

    def kept(policy: TextPolicy) -> str:
        return TextCleaner(deny, PresidioReader(), policy).cleaned(text)

    assert "Qvist" not in kept(TextPolicy())
    assert "Xanthia" not in kept(TextPolicy())
    assert "Dr. Bo Qvist" in kept(TextPolicy(keeps_clinicians=True))
    assert "Xanthia" not in kept(TextPolicy(keeps_clinicians=True))
    assert "Xanthia General Hospital" in kept(TextPolicy(keeps_institutions=True))
    assert "Qvist" not in kept(TextPolicy(keeps_institutions=True))
    everything = kept(TextPolicy(keeps_clinicians=True, keeps_institutions=True))
    assert not {"Anna", "Long", "Obertal"} & set(everything.split())


def test_a_title_keeps_no_name_of_the_patient() -> None:
    deny = DenyList()
    deny.add_name("Qvist^Bo")
    policy = TextPolicy(keeps_clinicians=True)
    assert "Qvist" not in TextCleaner(deny, PresidioReader(), policy).cleaned("Dr. Qvist was scanned today")
    assert "Mrs" not in TextCleaner(deny, PresidioReader(), policy).cleaned("Mrs. Hedda was scanned today")


@pytest.mark.parametrize(
    "date",
    [
        *("17.05.2023", "17/5/23", "2023-05-17", "20230517", "17 May 2023", "17MAY2023", "May 17, 2023"),
        *(
            "17th of May",
            "May '23",
            "17.V.2023",
            "17. Mai 2023",
            "17 mai 2023",
            "3 de mayo de 2021",
            "2023_05_17",
        ),
        *(
            "2023年5月17日",
            "二〇二三年五月十七日",
            "5月17日",
            "MAY-17-23",
            "05/2023",
            "2023-05-17T10:44:00Z",
            "5/17",
        ),
    ],
)
def test_no_digit_of_a_date_stays_in_any_spelling(date: str) -> None:
    kept = TextCleaner(DenyList(), PresidioReader()).cleaned(f"axial {date} thorax")
    assert kept == "axial thorax"


@pytest.mark.parametrize(
    "number",
    [
        *("MRN12345", "#45567", "23-4451", "0012-33-4567", "123456", "AB123456C", "D12 3456 78"),
        *(
            "+49 (0)30 1234567",
            "030/1234567",
            "555-0134",
            "1-800-555-0199",
            "13812345678",
            "110105197302140021",
        ),
        *(
            "192.168.1.20",
            "x@mailhost.example",
            "www.mailhost.example",
            "沪A12345",
            "943 476 5919",
            "1.2.840.1.5",
        ),
    ],
)
def test_no_part_of_a_number_that_identifies_stays(number: str) -> None:
    kept = TextCleaner(DenyList(), PresidioReader()).cleaned(f"axial {number} thorax")
    assert kept == "axial thorax"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "5 mm x 7 mm",
            "120/80 mmHg",
            "L4/5",
            "HU 1250",
            "b=1000",
            "TR 4500 TE 90",
            "matrix 512x512",
            "2 weeks",
        ),
        *(
            "window 1500/-600",
            "5000 IU heparin",
            "10 o'clock position",
            "1000-1500 HU",
            "pT2N0M0",
            "BI-RADS 4b",
        ),
        *(
            "circle of Willis",
            "Baker cyst",
            "Dandy-Walker variant",
            "foramen of Monro",
            "Child-Pugh B",
            "Hodgkin lymphoma",
        ),
        *(
            "It may be a cyst.",
            "Mark the level of T12.",
            "a 67-year-old man",
            "帕金森病",
            "右肺上叶尖段",
            "吸烟40年",
        ),
    ],
)
def test_measures_terms_and_eponyms_stay(text: str) -> None:
    assert TextCleaner(DenyList(), PresidioReader()).cleaned(text) == text
