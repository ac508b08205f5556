"""Which series is taken, why, and why each other one was not."""

from __future__ import annotations

from pathlib import Path

import pytest

from medviz.core.errors import Cancelled, GeometryRefused
from medviz.core.study import DeidentifiedStudy, FileProblem
from medviz.core.volume import Outcome
from pipelines.geometry.choose import is_soft_kernel
from pipelines.stages.volume import SeriesPreference, assess, make_volume
from tests.make import Header, Placing, SeriesTruth, deidentified, make_ct_series
from tests.make_odd import each, put, second_pass, with_localizer, without

THICK = Placing((12, 48, 52), (5.0, 2.0, 1.9))
SHORT = Placing((6, 48, 52), (2.0, 2.0, 1.9))


def test_the_thin_soft_original_axial_series_is_taken_and_the_others_say_why_not(tmp_path: Path) -> None:
    best = make_ct_series(tmp_path, header=Header("best", series_number=9))
    make_ct_series(tmp_path, header=Header("thick"), placing=THICK)
    make_ct_series(tmp_path, header=Header("short"), placing=SHORT)
    make_ct_series(tmp_path, header=Header("sharp", kernel="B70f"))
    make_ct_series(tmp_path, header=Header("derived", image_type=("DERIVED", "SECONDARY", "MPR")))
    make_ct_series(tmp_path, header=Header("coronal"), placing=Placing(orientation=(1, 0, 0, 0, 0, -1)))
    make_ct_series(tmp_path, header=Header("mr", modality="MR"))
    make_ct_series(tmp_path, header=Header("holes"), edit=without(9, 10))
    report = make_volume(deidentified(tmp_path)).report
    assert report.series is not None
    assert report.series.series_uid == best.series_uid
    assert report.series.is_chosen
    assert report.series.spacing_mm == pytest.approx((2.0, 2.0, 1.9))
    reasons = " | ".join(sorted(other.why for other in report.others))
    assert len(report.others) == 7
    for words in (
        "thicker slices (5 mm against 2 mm)",
        "covers much less of the body",
        "a sharper kernel",
        "derived, not original",
        "not axial",
        "is MR, not CT",
        "refused (MISSING_SLICES)",
    ):
        assert words in reasons
    assert not any(other.is_chosen for other in report.others)


def test_a_refused_series_leads_to_the_next_best_with_a_warning(tmp_path: Path) -> None:
    make_ct_series(tmp_path, header=Header("thin"), edit=without(9))
    thick = make_ct_series(tmp_path, header=Header("thick"), placing=THICK)
    report = make_volume(deidentified(tmp_path)).report
    assert report.series is not None
    assert report.series.series_uid == thick.series_uid
    assert "Another stack of 31 slices was refused: MISSING_SLICES." in report.warnings


def test_a_series_whose_pixels_are_damaged_leads_to_the_next_best(tmp_path: Path) -> None:
    thin = make_ct_series(tmp_path, header=Header("thin"))
    thick = make_ct_series(tmp_path, header=Header("thick"), placing=THICK)
    thin.files[3].write_bytes(thin.files[3].read_bytes()[:-900])
    report = make_volume(deidentified(tmp_path)).report
    assert report.series is not None
    assert report.series.series_uid == thick.series_uid
    assert "refused (TRUNCATED)" in report.others[0].why


def test_the_series_named_is_taken_or_refused_and_no_other(tmp_path: Path) -> None:
    make_ct_series(tmp_path, header=Header("good"))
    holes = make_ct_series(tmp_path, header=Header("holes"), edit=without(9))
    mr = make_ct_series(tmp_path, header=Header("mr", modality="MR"))
    study = deidentified(tmp_path)
    with pytest.raises(GeometryRefused) as refusal:
        make_volume(study, series_uid=holes.series_uid)
    assert refusal.value.reason == "MISSING_SLICES"
    volume = make_volume(study, series_uid=mr.series_uid)
    assert (volume.modality, volume.unit) == ("MR", "")
    assert assess(study, series_uid="1.2.3").reason == "NO_SUCH_SERIES"


def test_a_plan_may_prefer_a_region_or_another_modality(tmp_path: Path) -> None:
    make_ct_series(tmp_path, header=Header("a"), edit=each(put(BodyPartExamined="CHEST")))
    head = make_ct_series(
        tmp_path, header=Header("b"), placing=THICK, edit=each(put(BodyPartExamined="HEAD"))
    )
    mr = make_ct_series(tmp_path, header=Header("c", modality="MR"))
    study = deidentified(tmp_path)
    assert chosen(study, SeriesPreference(region="head")) == head.series_uid
    assert chosen(study, SeriesPreference(modality="MR")) == mr.series_uid


def chosen(study: DeidentifiedStudy, preference: SeriesPreference) -> str:
    report = assess(study, preference=preference)
    return report.series.series_uid if report.series else ""


def test_of_two_acquisitions_in_one_series_one_is_taken_and_the_other_listed(tmp_path: Path) -> None:
    truth = make_ct_series(tmp_path, edit=second_pass(put(AcquisitionNumber=2)))
    report = make_volume(deidentified(tmp_path)).report
    assert report.series is not None
    assert (report.series.instances, report.series.series_uid) == (32, truth.series_uid)
    (other,) = report.others
    assert other.why.startswith("acquisition 2: ")
    assert any("holds 2 stacks" in warning for warning in report.warnings)


def test_what_is_set_aside_or_left_out_is_said(tmp_path: Path) -> None:
    make_ct_series(tmp_path, edit=with_localizer)
    study = deidentified(tmp_path, problems=(FileProblem("NOT_DICOM", 3), FileProblem("NOT_DICOM", 4)))
    warnings = make_volume(study).report.warnings
    assert "1 localizer image was set aside." in warnings
    assert "2 file(s) left out: NOT_DICOM." in warnings


@pytest.mark.parametrize("knows_series", [True, False])
def test_a_series_with_a_truncated_file_is_refused(tmp_path: Path, knows_series: bool) -> None:
    truth = make_ct_series(tmp_path)
    problem = FileProblem("TRUNCATED", 5, truth.series_uid if knows_series else "")
    report = assess(deidentified(tmp_path, problems=(problem,)))
    assert (report.outcome, report.reason) == (Outcome.REFUSED, "TRUNCATED")
    assert "again" in report.mend


def test_a_truncated_file_of_no_known_series_is_a_warning_when_there_are_several(tmp_path: Path) -> None:
    make_ct_series(tmp_path, header=Header("a"))
    make_ct_series(tmp_path, header=Header("b"))
    report = assess(deidentified(tmp_path, problems=(FileProblem("TRUNCATED", 5),)))
    assert report.outcome is Outcome.CORRECT
    assert any("damaged file" in warning for warning in report.warnings)


def test_files_held_back_from_the_series_are_said(tmp_path: Path) -> None:
    truth = make_ct_series(tmp_path)
    held = FileProblem("HELD_FOR_REVIEW", 40, truth.series_uid)
    report = assess(deidentified(tmp_path, problems=(held,)))
    assert any("held back" in warning for warning in report.warnings)


def test_an_empty_study_and_a_study_of_text_files_hold_no_images(tmp_path: Path) -> None:
    assert assess(DeidentifiedStudy(tmp_path, (), "tests")).reason == "NO_IMAGES"
    for n in range(3):
        (tmp_path / f"{n}.txt").write_text("nothing")
    assert assess(deidentified(tmp_path)).reason == "NO_IMAGES"


def test_a_report_of_a_refusal_lists_every_series(tmp_path: Path) -> None:
    make_ct_series(tmp_path, header=Header("a"), edit=without(9))
    make_ct_series(tmp_path, header=Header("b", modality="MR"))
    report = assess(deidentified(tmp_path))
    assert (report.outcome, report.reason) == (Outcome.REFUSED, "MISSING_SLICES")
    assert {other.modality for other in report.others} == {"CT", "MR"}


def test_progress_rises_to_one_and_may_stop_the_work(tmp_path: Path) -> None:
    make_ct_series(tmp_path)
    seen: list[float] = []
    make_volume(deidentified(tmp_path), progress=lambda done, figure: seen.append(done))
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)

    def stop(done: float, figure: str) -> None:
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        make_volume(deidentified(tmp_path), progress=stop)


@pytest.mark.parametrize(
    ("kernel", "is_soft"),
    [
        ("B30f", True), ("B70f", False), ("Br40", True), ("Hr60", False), ("H31s", True), ("STANDARD", True),
        ("BONEPLUS", False), ("LUNG", False), ("FC08", True), ("FC30", False), ("B", True), ("YA", False),
        ("", None), ("XYZ", None),
    ],
)  # fmt: skip
def test_kernels_of_four_vendors_are_known_as_soft_or_sharp(kernel: str, is_soft: bool | None) -> None:
    assert is_soft_kernel(kernel) is is_soft


def test_two_runs_give_the_same_report(tmp_path: Path) -> None:
    truth: SeriesTruth = make_ct_series(tmp_path)
    make_ct_series(tmp_path, header=Header("b"))
    study = deidentified(tmp_path)
    backwards = deidentified(tmp_path, files=study.files[::-1])
    assert assess(study) == assess(backwards)
    assert truth.files
