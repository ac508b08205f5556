"""Raw studies with an invented patient, and names planted in every place that can hold one."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    SecondaryCaptureImageStorage,
)

from anonymize.contents import Tools
from anonymize.deid import Orders, deidentify
from anonymize.denylist import words_of
from anonymize.keys import ProjectKeys
from anonymize.pixels import TextBox, TextFinder
from anonymize.profile import load_profile
from anonymize.quarantine import admit
from medviz.core.study import DeidentifiedStudy

ROOT = "1.2.826.0.1.3680043.9.9999"
NAME, PATIENT_ID = "Rumpelstein^Gundula^Ottilie", "PLX-480-1177"
STUDY_UID, SERIES_UID, FRAME_UID = f"{ROOT}.1", f"{ROOT}.1.1", f"{ROOT}.9"

SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "big": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
}


def meta(sop_class: str, uid: str, syntax: str = ExplicitVRLittleEndian) -> FileMetaDataset:
    """Return a File Meta group."""
    group = FileMetaDataset()
    group.MediaStorageSOPClassUID = sop_class
    group.MediaStorageSOPInstanceUID = uid
    group.TransferSyntaxUID = syntax
    return group


def ct_slice(index: int = 0, *, side: int = 16, syntax: str = ExplicitVRLittleEndian) -> Dataset:
    """Return one CT slice of `side` x `side` voxels, 2 mm below the next, of an invented patient."""
    ds = Dataset()
    ds.file_meta = meta(CTImageStorage, f"{SERIES_UID}.{index + 1}", syntax)
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"{SERIES_UID}.{index + 1}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = STUDY_UID, SERIES_UID, FRAME_UID
    ds.PatientName, ds.PatientID = NAME, PATIENT_ID
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19310407", "F", "093Y"
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.StudyID = "20240310", "091500", "ACC5550123", "77001"
    ds.AcquisitionDate, ds.AcquisitionTime = "20240312", "101010.5"
    ds.ReferringPhysicianName = "Zwirbelbart^Anselm"
    ds.InstitutionName = "Klinikum Quastenhausen"
    ds.SeriesDescription = "HEAD 1.5 H30s"
    ds.Modality, ds.Manufacturer, ds.PatientPosition = "CT", "Acme", "HFS"
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = 3, index + 1, 1
    ds.ImagePositionPatient = [-8.125, -8.0, 2.0 * index]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness, ds.GantryDetectorTilt = [1.0, 1.0], 2.0, 0.0
    ds.ConvolutionKernel, ds.KVP = "H30s", 120
    ds.RescaleIntercept, ds.RescaleSlope = -1024, 1
    set_pixels(ds, gradient(side, seed=index))
    return ds


def gradient(side: int, *, seed: int) -> NDArray[np.uint16]:
    """Return noise that no two slices share, shape (side, side)."""
    return np.random.default_rng(seed).integers(0, 3000, (side, side)).astype(np.uint16)


def set_pixels(ds: Dataset, pixels: NDArray[np.uint16]) -> None:
    """Store 16-bit pixels in the byte order of the data set."""
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    order = ">u2" if ds.file_meta.TransferSyntaxUID == ExplicitVRBigEndian else "<u2"
    ds.PixelData = pixels.astype(order).tobytes()
    ds["PixelData"].VR = "OW"


def to_bytes(ds: Dataset) -> bytes:
    """Return the data set as a DICOM file."""
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def write(ds: Dataset, path: Path) -> Path:
    """Write the data set as a DICOM file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_bytes(ds))
    return path


def write_study(folder: Path, *, slices: int = 3, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a CT series whose file names hold the patient's name."""
    for index in range(slices):
        write(ct_slice(index, syntax=syntax), folder / "series" / f"Rumpelstein_{index:03d}.dcm")
    return folder


def write_disc(folder: Path, *, slices: int) -> None:
    """Write a CT series with a DICOMDIR (PS3.10 8.6), one record a slice."""
    directory, records = Dataset(), []
    for index in range(slices):
        write(ct_slice(index), folder / "PT000000" / f"IM{index:06d}")
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = ["PT000000", f"IM{index:06d}"]
        records.append(record)
    directory.file_meta = meta(MediaStorageDirectoryStorage, f"{ROOT}.8")
    directory.DirectoryRecordSequence = Items(records)
    write(directory, folder / "DICOMDIR")


class CarefulReader:
    """Suspects every word that starts with a capital inside a sentence: a stand-in for name recognition."""

    def suspects(self, text: str) -> frozenset[str]:
        """Return the capitalised words, folded."""
        return frozenset(word for part in text.split()[1:] if part[0].isupper() for word in words_of(part))


def orders(
    profile: str = "surgical-planning", *, keys: ProjectKeys | None = None, finder: TextFinder | None = None
) -> Orders:
    """Return orders with a key that never changes and no language model."""
    key = keys or ProjectKeys(bytes(32))
    return Orders(load_profile(profile), key, tools=Tools(finder), prose=CarefulReader())


def deidentified(source: Path, folder: Path, orders_: Orders | None = None) -> DeidentifiedStudy:
    """Return the study at `source`, de-identified into folder/out."""
    return deidentify(admit(source, folder / "raw"), folder / "out", orders_ or orders())


class BrightFinder:
    """Takes everything bright for text that says `text`; counts the pictures it has read."""

    def __init__(self, text: str = "GUNDULA RUMPELSTEIN", score: float = 0.99) -> None:
        self.text, self.score, self.pictures = text, score, 0

    def find(self, picture: NDArray[np.uint8]) -> list[TextBox]:
        """Return one box around everything brighter than 200."""
        self.pictures += 1
        rows, columns = np.nonzero(picture.max(axis=-1) > 200)
        if picture.max() == picture.min() or not len(rows):
            return []
        edges = int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1
        return [TextBox(*edges, self.text, self.score)]


def screenshot(pixels: NDArray[np.uint8], *, index: int = 0) -> Dataset:
    """Return a secondary capture, pixels of shape (rows, columns, 3) or (frames, rows, columns, 3)."""
    ds = ct_slice(900 + index)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ConvolutionKernel"):
        delattr(ds, keyword)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.Modality, ds.ConversionType, ds.ImageType = "OT", "WSD", ["DERIVED", "SECONDARY"]
    ds.SeriesInstanceUID, ds.SeriesNumber = f"{STUDY_UID}.2", 900
    if pixels.ndim == 4:
        ds.NumberOfFrames = pixels.shape[0]
    ds.Rows, ds.Columns, ds.SamplesPerPixel = *pixels.shape[-3:-1], 3
    ds.PhotometricInterpretation, ds.PlanarConfiguration = "RGB", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OB"
    return ds


def picture_of_text(lines: Sequence[tuple[int, int, str]], *, side: int = 256) -> NDArray[np.uint8]:
    """Return a dark picture with white text at (row, column), shape (side, side, 3)."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (side, side), (16, 16, 16))
    draw = ImageDraw.Draw(image)
    for row, column, text in lines:
        draw.text((column, row), text, fill=(255, 255, 255), font=ImageFont.load_default(size=16))
    return np.array(image)


class Planted:
    """A CT slice with a unique token in every place that can hold one; `tokens` lists them."""

    def __init__(self, *, syntax: str = ExplicitVRLittleEndian) -> None:
        self.tokens: list[str] = []
        self.ds = ct_slice(syntax=syntax)
        self._plant_text()
        self._plant_nested()
        self._plant_private()
        self._plant_pictures()

    def token(self) -> str:
        """Return a new token that looks like a word."""
        number = len(self.tokens)
        token = "Qx" + "".join(chr(97 + number // 26**power % 26) for power in (2, 1, 0)) + "vzj"
        self.tokens.append(token)
        return token

    def _plant_text(self) -> None:
        ds = self.ds
        ds.PatientName = f"{self.token()}^{self.token()}^{self.token()}"
        ds.OtherPatientNames = f"{self.token()}^{self.token()}"
        ds.PatientID, ds.IssuerOfPatientID = self.token(), self.token()
        for keyword in _TEXT_KEYWORDS:
            setattr(ds, keyword, self.token())
        ds.SeriesDescription = f"HEAD {self.token()} 1.5"
        ds.StudyDescription = f"CT Kopf of {ds.PatientName.family_name} born 07.04.1931"
        ds.ImageComments = f"Patient {self.token()} was seen by Dr. {self.token()}, call {self.token()}@x.org"
        ds.ProtocolName = f"{ds.PatientName.given_name} HeadRoutine"
        self.tokens += ["07.04.1931", "19310407", "20240310", "ACC5550123"]

    def _plant_nested(self) -> None:
        deepest = Dataset()
        deepest.PatientName, deepest.ImageComments = self.token(), self.token()
        deepest.SeriesDescription, deepest.StationName = self.token(), self.token()
        middle, outer = Dataset(), Dataset()
        middle.ReferencedImageSequence = Items([deepest])
        middle.OperatorsName = self.token()
        outer.DerivationCodeSequence = Items([self._code()])
        outer.ReferencedSOPClassUID, outer.ReferencedSOPInstanceUID = CTImageStorage, f"{SERIES_UID}.2"
        outer.PurposeOfReferenceCodeSequence = Items([middle])
        outer.add_new(0x00290010, "LO", "ACME HEADER")
        outer.add_new(0x00291001, "LO", self.token())
        self.ds.SourceImageSequence = Items([outer])
        self.ds.RequestAttributesSequence = Items([deepest])
        self.ds.ReferencedStudySequence = Items([deepest])
        self.ds.AnatomicRegionSequence = Items([self._code(), brain_code()])

    def _code(self) -> Dataset:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator = self.token(), "99ACME"
        item.CodeMeaning = self.token()
        return item

    def _plant_private(self) -> None:
        inner = Dataset()
        inner.PatientName = self.token()
        self.ds.add_new(0x00090010, "LO", self.token())
        self.ds.add_new(0x00091001, "LO", self.token())
        self.ds.add_new(0x00091002, "OB", self.token().encode() + b"\0")
        self.ds.add_new(0x00091003, "SQ", Items([inner]))
        self.ds.add_new(0x00091004, "UN", self.token().encode("utf-16-le"))

    def _plant_pictures(self) -> None:
        ds, icon = self.ds, Dataset()
        set_icon(icon, self.token())
        ds.IconImageSequence = Items([icon])
        ds.add_new(0x60000010, "US", 8)
        ds.add_new(0x60000011, "US", 8)
        ds.add_new(0x60000022, "LO", self.token())
        ds.add_new(0x60003000, "OW", self.token().encode() + b"\0" * 8)
        ds.add_new(0x60004000, "LT", self.token())
        ds.add_new(0x50000022, "LO", self.token())
        ds.add_new(0x50003000, "OW", self.token().encode())
        ds.add_new(0x00282000, "OB", self.token().encode())
        ds.add_new(0xFFFCFFFC, "OB", self.token().encode())
        ds.PixelData += self.token().encode()

    def to_bytes(self) -> bytes:
        """Return the file, with tokens in its preamble and File Meta as well."""
        self.ds.file_meta.SourceApplicationEntityTitle = self.token()
        self.ds.file_meta.PrivateInformationCreatorUID = f"{ROOT}.4"
        self.ds.file_meta.PrivateInformation = self.token().encode()
        self.ds.file_meta.ImplementationVersionName = self.token()
        self.ds.preamble = (self.token().encode() + bytes(128))[:128]
        self.tokens += [STUDY_UID, SERIES_UID, FRAME_UID, ROOT]
        return to_bytes(self.ds)


_TEXT_KEYWORDS = (
    *("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName", "OperatorsName"),
    *("PerformingPhysicianName", "ReferringPhysicianName", "NameOfPhysiciansReadingStudy", "PatientComments"),
    *("PatientAddress", "PatientTelephoneNumbers", "MedicalRecordLocator", "AdditionalPatientHistory"),
    *("Occupation", "DeviceSerialNumber", "GantryID", "RequestingPhysician", "CurrentPatientLocation"),
    *("ContrastBolusAgent", "DerivationDescription", "AcquisitionDeviceProcessingDescription", "FilterType"),
    *("CommentsOnThePerformedProcedureStep", "PerformedProcedureStepID", "RequestedProcedureDescription"),
    *("EthnicGroup", "MilitaryRank", "BranchOfService", "InsurancePlanIdentification", "CountryOfResidence"),
    *(
        "AcquisitionProtocolDescription",
        "SoftwareVersions",
        "SecondaryCaptureDeviceManufacturer",
        "PatientSex",
    ),
)


def brain_code() -> Dataset:
    """Return the public code for the brain."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "12738006", "SCT", "Brain"
    return item


def set_icon(icon: Dataset, token: str) -> None:
    """Make a small picture whose bytes spell a token."""
    icon.Rows, icon.Columns, icon.SamplesPerPixel = 1, len(token), 1
    icon.PhotometricInterpretation, icon.PixelRepresentation = "MONOCHROME2", 0
    icon.BitsAllocated, icon.BitsStored, icon.HighBit = 8, 8, 7
    icon.PixelData = token.encode()
    icon["PixelData"].VR = "OB"


def pixel_value_bytes(path: Path) -> bytes:
    """Return what follows the header of the pixel element of an explicit little endian file."""
    data = path.read_bytes()
    start = data.rindex(struct.pack("<HH", 0x7FE0, 0x0010))
    return data[start + 12 :]
