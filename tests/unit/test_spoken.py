"""What is said holds the same numbers as what is captioned, and is said as a person would."""

# ruff: noqa: E501 - tables of sentences read as rows
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.captions import MOST_CHARACTERS, caption_lines
from pipelines.spoken import ENGLISH, numbers_of, spoken_form


@pytest.mark.parametrize("rule", ENGLISH, ids=lambda rule: rule.example)
def test_every_entry_says_its_example(rule) -> None:
    assert spoken_form(rule.example) == rule.example_said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("The catheter runs 62.4 mm.", "The catheter runs 62.4 millimetres."),
        ("It is 1 mm, then 1.0 mm, then 11 mm.", "It is 1 millimetre, then 1.0 millimetres, then 11 millimetres."),
        ("The brain is 1312.5 ml.", "The brain is 1,312.5 millilitres."),
        ("The search compared 12345 and 4,212 candidates.", "The search compared 12,345 and 4,212 candidates."),
        ("It covers 80% of segment VI at -20 HU.", "It covers 80 percent of segment 6 at minus 20 Hounsfield units."),
        ("Mild mmHg and ammo stay.", "Mild mmHg and ammo stay."),
        ("I see the CT and the CSF.", "I see the C T and the C S F."),
    ],
)  # fmt: skip
def test_a_sentence_is_said_as_a_person_would(written: str, said: str) -> None:
    assert spoken_form(written) == said


@given(
    st.floats(0, 99999, allow_nan=False),
    st.integers(0, 3),
    st.sampled_from(["mm", "ml", "mL", "cm", "HU", "%", "degrees", "deg", "mm/s", "Gy", ""]),
)
def test_speech_and_caption_always_hold_the_same_numbers(value: float, decimals: int, unit: str) -> None:
    number = f"{value:.{decimals}f}"
    assert numbers_of(spoken_form(f"It measures {number} {unit}.")) == (number,)


def test_no_unit_symbol_is_left_to_the_voice() -> None:
    said = spoken_form("It is 3 mm, 4 cm, 5 ml, 6 mL, 7 HU, 8%, 9 deg and 10 Gy.")
    assert not {"mm", "cm", "ml", "mL", "HU", "%", "deg", "Gy"} & set(said.replace(",", " ").split())


SENTENCE = "The least distance between the catheter and the deep grey nuclei on the left side is 6.2 mm here."


def test_caption_lines_are_short_even_and_keep_every_word() -> None:
    lines = caption_lines(SENTENCE)
    assert " ".join(lines) == SENTENCE
    assert all(len(line) <= MOST_CHARACTERS for line in lines)
    assert len(lines) == 3


def test_a_number_stays_with_its_unit() -> None:
    for cut in range(20, 60):
        lines = caption_lines(
            f"{'word ' * (cut // 5)}{'x' * (cut % 5 + 1)} 62.4 mm and more words behind it."
        )
        assert any("62.4 mm" in line for line in lines)


@given(st.text("abcdefg ", min_size=1).filter(lambda text: bool(text.strip())))
def test_captions_keep_every_word_of_any_text(text: str) -> None:
    assert " ".join(caption_lines(text)).split() == text.split()
