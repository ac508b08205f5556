"""Reports, labels and graphics: the tree stays whole and valid, the people in it go."""

from __future__ import annotations

from io import BytesIO

import pydicom
import pytest
from pydicom.dataset import Dataset

from anonymize import headers
from anonymize.denylist import DenyList
from anonymize.elements import Encoding, parse_file
from anonymize.judge import Judge, Person, Place
from anonymize.keys import ProjectKeys
from anonymize.profile import Profile, load_profile
from anonymize.text import TextCleaner
from tests import make_objects, make_raw

KEYS = ProjectKeys(bytes(range(32)))
PERSON = Person("MEDVIZ^0123ABCD", "0123ABCD", -1000)
PLANNING = load_profile("surgical-planning")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def judged(ds: Dataset, profile: Profile = PLANNING) -> Dataset:
    """Return a data set as the judge lets it leave, read by pydicom."""
    parsed = parse_file(make_raw.to_bytes(ds))
    deny = DenyList()
    headers.collect(parsed, deny, set())
    place = Place(headers.check_kind(parsed), 0, parsed.encoding, headers.character_set_of(parsed), PERSON)
    judge = Judge(profile, KEYS, TextCleaner(deny, make_raw.CarefulReader()))
    kept, _ = judge.judged_all(parsed.elements, place)
    stream = BytesIO(b"".join(encoded for _, encoded in kept))
    encoding: Encoding = parsed.encoding
    return pydicom.filereader.read_dataset(stream, not encoding.is_explicit, encoding.is_little)


def named(value: str, scheme: str = "DCM", meaning: str = "Finding") -> Dataset:
    return make_objects.code(value, scheme, meaning)


def text(value: str, concept: Dataset | None = None) -> Dataset:
    return make_objects.content("TEXT", "CONTAINS", concept or named("121071"), TextValue=value)


def report_of(*children: Dataset) -> Dataset:
    """Return the invented text report with other content."""
    ds = make_objects.one("sr")
    ds.ContentSequence = pydicom.Sequence(children)
    return ds


def test_a_text_item_loses_the_name_and_keeps_the_finding() -> None:
    ds = judged(report_of(text("Tumor in the left frontal lobe, discussed with Rumpelstein")))
    (item,) = ds.ContentSequence
    assert "frontal lobe" in item.TextValue
    assert "Rumpelstein" not in item.TextValue
    assert item.ConceptNameCodeSequence[0].CodeValue == "121071"
    assert item.RelationshipType == "CONTAINS"


def test_a_text_of_which_nothing_is_left_becomes_a_dummy_not_an_empty_item() -> None:
    (item,) = judged(report_of(text("Rumpelstein Gundula"))).ContentSequence
    assert item.TextValue == "REMOVED"
    assert item.ValueType == "TEXT"


def test_an_item_that_the_table_removes_goes_and_one_that_it_dummies_stays_without_its_value() -> None:
    accession = text("ACC5550123", named("121022", "DCM", "Accession Number"))
    observer = make_objects.content(
        "PNAME", "HAS OBS CONTEXT", named("121008", "DCM", "Person Observer Name"), PersonName="Zwirbelbart"
    )
    kept = judged(report_of(accession, observer, text("Tumor"))).ContentSequence
    assert "121022" not in [item.ConceptNameCodeSequence[0].CodeValue for item in kept]
    names = [str(item.PersonName) for item in kept if "PersonName" in item]
    assert names in ([], ["REMOVED"])
    assert kept[-1].TextValue == "Tumor"


def test_no_item_vanishes_from_a_tree_that_counts_its_items() -> None:
    accession = text("ACC5550123", named("121022", "DCM", "Accession Number"))
    linking = make_objects.item(RelationshipType="INFERRED FROM", ReferencedContentItemIdentifier=[1, 2])
    linked = text("Tumor")
    linked.ContentSequence = pydicom.Sequence([linking])
    kept = judged(report_of(accession, text("Lesion"), linked)).ContentSequence
    assert len(kept) == 3
    assert kept[0].TextValue == "REMOVED"
    assert kept[1].TextValue == "Lesion"
    assert kept[2].ContentSequence[0].ReferencedContentItemIdentifier == [1, 2]


def test_dates_in_a_report_move_with_all_other_dates() -> None:
    date = make_objects.content("DATE", "CONTAINS", named("111060", "DCM", "Study Date"), Date="20240310")
    (item,) = judged(report_of(date)).ContentSequence
    assert item.Date == "20210614"
    (item,) = judged(report_of(date), load_profile("safe-harbor")).ContentSequence
    assert item.Date == "20240101"


def test_a_local_concept_name_becomes_a_pseudonym_that_is_the_same_everywhere() -> None:
    local = named("RUMP-17", "99KLINIK", "Rumpelstein score")
    first, second, other = judged(
        report_of(
            text("Tumor", local), text("Lesion", local), text("Tumor", named("RUMP-18", "99KLINIK", "x"))
        )
    ).ContentSequence
    codes = [item.ConceptNameCodeSequence[0] for item in (first, second, other)]
    assert {code.CodingSchemeDesignator for code in codes} == {"99MEDVIZ"}
    assert codes[0].CodeValue == codes[1].CodeValue != codes[2].CodeValue
    assert all("Rumpel" not in code.CodeMeaning and "RUMP" not in code.CodeValue for code in codes)


def test_without_the_option_a_report_is_one_item_that_says_nothing() -> None:
    (item,) = judged(report_of(text("Tumor"), text("Lesion")), load_profile("basic")).ContentSequence
    assert (item.ValueType, item.TextValue) == ("TEXT", "REMOVED")
    assert item.ConceptNameCodeSequence[0].CodeMeaning == "Unknown"


def test_references_to_pictures_stay_and_measurements_keep_their_numbers() -> None:
    before = make_objects.one("sr")
    after = judged(before)
    number = next(item for item in after.iterall() if item.keyword == "NumericValue")
    assert number.value in [item.value for item in before.iterall() if item.keyword == "NumericValue"]
    old = [str(item.value) for item in before.iterall() if item.keyword == "ReferencedSOPInstanceUID"]
    new = [str(item.value) for item in after.iterall() if item.keyword == "ReferencedSOPInstanceUID"]
    assert len(new) == len(old) > 0
    assert len(set(zip(old, new, strict=True))) == len(set(old)) == len(set(new))
    assert not set(old) & set(new)


def test_names_of_contours_lose_the_patient_and_stay_different() -> None:
    ds = make_objects.one("rtstruct")
    for number, roi in enumerate(ds.StructureSetROISequence):
        roi.ROIName = ["GTV Rumpelstein", "Rumpelstein"][number % 2]
    names = [str(roi.ROIName) for roi in judged(ds).StructureSetROISequence]
    assert len(set(names)) == len(names) == len(ds.StructureSetROISequence)
    assert not any("Rumpel" in name for name in names)
    assert all(name[-1].isdigit() for name in names)


def test_an_annotation_keeps_its_drawing_and_loses_the_name_in_its_text() -> None:
    ds = make_objects.one("pr")
    annotation = ds.GraphicAnnotationSequence[0]
    annotation.TextObjectSequence[0].UnformattedTextValue = "Tumor of Rumpelstein"
    kept = judged(ds).GraphicAnnotationSequence[0]
    assert "Tumor" in kept.TextObjectSequence[0].UnformattedTextValue
    assert "Rumpelstein" not in kept.TextObjectSequence[0].UnformattedTextValue
    if "GraphicObjectSequence" in annotation:
        drawn = kept.GraphicObjectSequence[0]
        assert drawn.GraphicData == annotation.GraphicObjectSequence[0].GraphicData
    basic = judged(ds, load_profile("basic")).GraphicAnnotationSequence[0]
    assert basic.TextObjectSequence[0].UnformattedTextValue == "REMOVED"


def test_a_layer_named_after_somebody_gets_one_new_name_wherever_it_stands() -> None:
    ds = make_objects.one("pr")
    ds.GraphicLayerSequence[0].GraphicLayer = "RUMPELSTEIN"
    ds.GraphicAnnotationSequence[0].GraphicLayer = "RUMPELSTEIN"
    after = judged(ds)
    layer = after.GraphicLayerSequence[0].GraphicLayer
    assert layer == after.GraphicAnnotationSequence[0].GraphicLayer
    assert layer.startswith("LAYER ")
    assert judged(after_again(ds, after)).GraphicLayerSequence[0].GraphicLayer == layer


def after_again(ds: Dataset, after: Dataset) -> Dataset:
    """Return a file of what left the judge, to be judged again."""
    again = pydicom.Dataset(after)
    again.file_meta, again.SOPClassUID = ds.file_meta, ds.SOPClassUID
    return again


def test_a_person_who_verified_becomes_a_dummy_with_everything_the_standard_demands() -> None:
    ds = make_objects.one("sr")
    ds.VerificationFlag = "VERIFIED"
    ds.VerifyingObserverSequence = pydicom.Sequence(
        [make_objects.item(VerifyingObserverName="Zwirbelbart^Anselm", VerifyingOrganization="Klinikum")]
    )
    (observer,) = judged(ds).VerifyingObserverSequence
    assert observer.VerifyingObserverName == "REMOVED"
    assert observer.VerificationDateTime
    assert "VerifyingObserverIdentificationCodeSequence" in observer


def test_a_document_that_nobody_judged_is_held() -> None:
    from medviz.core.errors import StudyUnreadable

    with pytest.raises(StudyUnreadable) as caught:
        judged(make_objects.one("pdf"))
    assert caught.value.reason == "HELD_FOR_REVIEW"
