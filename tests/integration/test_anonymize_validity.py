"""What comes out opens everywhere, is as valid as what went in, and its objects still point to each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pydicom
import pytest

from anonymize.deid import deidentify
from anonymize.profile import Profile, profile_names
from anonymize.quarantine import admit
from medviz.core.study import DeidentifiedStudy
from tests import make_objects, make_probe, make_raw, uid_graph

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
]

_REFUSED = {"private"}
_QUOTED = re.compile(r"= <[^>]*>|<[^>]*> (?=for value)|\(0x[^)]*\)|\[[^\]]*\]")


class Run(NamedTuple):
    """A study before and after, with the profile used and the names of its objects."""

    profile: Profile
    source: Path
    study: DeidentifiedStudy
    names: dict[Path, str]


def tool(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        errors="replace",
    )


PROFILES = [
    pytest.param(name, marks=() if name == "surgical-planning" else pytest.mark.slow)
    for name in profile_names()
]


@pytest.fixture(scope="module", params=PROFILES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("validity")
    source = make_objects.write_study(folder / "in")
    orders = make_raw.orders(request.param, finder=make_probe.BlindFinder())
    study = make_probe.deidentified_probe(source, folder, orders)
    kinds = {(ds.SOPClassUID, int(ds.InstanceNumber)): name for name, ds in make_objects.study().items()}
    read = {path: pydicom.dcmread(path) for path in study.files}
    names = {path: kinds[ds.SOPClassUID, int(ds.InstanceNumber)] for path, ds in read.items()}
    return Run(orders.profile, source, study, names)


def errors(path: Path) -> Counter[str]:
    """Return dciodvfy's error lines without the values that they quote."""
    done = tool("dciodvfy", path)
    lines = (done.stdout + done.stderr).splitlines()
    return Counter(_QUOTED.sub("", line).strip() for line in lines if line.startswith("Error"))


def test_every_object_but_the_private_one_comes_out(run: Run) -> None:
    assert set(make_objects.study()) - set(run.names.values()) == _REFUSED
    assert [problem.reason for problem in run.study.problems] == ["PRIVATE_SOP_CLASS"]


def test_dciodvfy_finds_no_error_that_was_not_there_before(run: Run) -> None:
    new = {name: errors(path) - errors(run.source / name) for path, name in run.names.items()}
    assert {name: list(found) for name, found in new.items() if found} == {}


def test_every_file_opens_in_dcmtk_gdcm_and_pydicom(run: Run) -> None:
    import gdcm

    for path, name in run.names.items():
        assert tool("dcmftest", path).returncode == 0, name
        dump = tool("dcmdump", "-q", path)
        assert dump.returncode == 0, name
        assert "E: " not in dump.stderr, name
        assert tool("gdcmdump", path).returncode == 0, name
        reader = gdcm.Reader()
        reader.SetFileName(str(path))
        assert reader.Read(), name
        assert len(list(pydicom.dcmread(path).iterall())) > 20, name


def test_gdcm_reads_every_picture_as_it_was(run: Run) -> None:
    pictures = ("ct-0", "mr", "pet", "us", "us-loop", "xa", "sc", "enhanced-ct", "seg", "rtdose")
    for path, name in run.names.items():
        if name in pictures:
            found = tool("gdcminfo", path)
            assert found.returncode == 0, name
            assert (
                tool("gdcminfo", run.source / name).stdout.split("Origin")[0]
                == found.stdout.split("Origin")[0]
            )


def test_dicomqc_finds_no_error(run: Run, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("dicomqc")
    done = tool(program, "scan", "--quiet", "--uid-checks", "--json", tmp_path / "qc.json", *run.study.files)
    found = json.loads((tmp_path / "qc.json").read_text())
    assert done.returncode in (0, 1), done.stderr  # 1: the pseudonym is none of its own pattern
    assert found["summary"]["files_scanned"] == len(run.study.files)
    assert [finding for finding in found["findings"] if finding["severity"] == "error"] == []


def test_every_reference_points_to_what_it_pointed_to(run: Run) -> None:
    before, after = (uid_graph.read(folder.iterdir()) for folder in (run.source, run.study.folder))
    found = uid_graph.compare(before, after)
    assert found.references > 40
    assert [use for use in found.lost if use.path[0] not in removed_by_letter(run.profile)] == []
    assert found.clashes == ()
    assert found.stayed == ()
    ours = {str(ds.SOPInstanceUID) for ds in after.values()}
    assert {found.mapping[str(before[key].SOPInstanceUID)] for key in after} == ours


def removed_by_letter(profile: Profile) -> set[str]:
    """Return the sequences that the Basic Profile removes when no option cleans them (PS3.15 Table E.1-1)."""
    cleaned = {"ContentSequence": "clean_structured_content", "GraphicAnnotationSequence": "clean_graphics"}
    return {keyword for keyword, option in cleaned.items() if option not in profile.options}


@pytest.mark.parametrize("order", [1, -1], ids=["first to last", "last to first"])
def test_objects_that_come_one_by_one_weeks_apart_keep_their_references(tmp_path: Path, order: int) -> None:
    source = make_objects.write_study(tmp_path / "in", names=lambda name: name not in _REFUSED)
    later = one_by_one(sorted(source.iterdir())[::order], tmp_path)
    found = uid_graph.compare(uid_graph.read(source.iterdir()), uid_graph.read(later))
    assert len(later) == len(list(source.iterdir()))
    assert (found.lost, found.clashes, found.stayed) == ((), (), ())
    assert found.references > 40


def one_by_one(raw_paths: Sequence[Path], folder: Path) -> list[Path]:
    """Return the files of as many runs as there are objects."""
    files: list[Path] = []
    for raw_path in raw_paths:
        place = folder / "runs" / raw_path.name
        (place / "in").mkdir(parents=True)
        shutil.copy(raw_path, place / "in" / raw_path.name)
        orders = make_raw.orders(finder=make_probe.BlindFinder())
        study = make_probe.deidentified_probe(place / "in", place, orders)
        files += study.files
    return files


def test_two_studies_of_one_patient_share_the_pseudonym_and_no_other_uid(tmp_path: Path) -> None:
    first, second = make_objects.ct(0), make_objects.ct(1)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(second, keyword, f"{make_raw.ROOT}.99.{len(keyword)}")
    for name, ds in (("a", first), ("b", second)):
        make_raw.write(ds, tmp_path / name / "in" / "x")
    one, two = (
        pydicom.dcmread(
            deidentify(
                admit(tmp_path / name / "in", tmp_path / name / "raw"),
                tmp_path / name / "out",
                make_raw.orders(),
            ).files[0]
        )
        for name in ("a", "b")
    )
    assert (one.PatientID, one.PatientName) == (two.PatientID, two.PatientName)
    uids = [{str(use.uid) for use in uid_graph.uses(("", ""), ds)} for ds in (one, two)]
    assert uids[0].isdisjoint(uids[1])
