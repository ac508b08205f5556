"""Writes an array in Hounsfield units as a proper DICOM CT series with an invented patient's identity."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from sample_data.identity import PATIENT

_INTERCEPT_HU = -1024


@dataclass(frozen=True, slots=True)
class SeriesRecipe:
    """One axial head-first-supine series to write.

    Parameters
    ----------
    number : int
        Series number.
    description, body_part : str
        As a scanner would write them.
    pixel_mm : float
        Distance between pixel centres in the plane.
    slice_mm : float
        Distance between slices; the first slice is the lowest.
    origin_mm : tuple of float
        LPS position of the first pixel of the first slice.
    contrast_agent : str
        Empty when none was given.
    """

    number: int
    description: str
    body_part: str
    pixel_mm: float
    slice_mm: float
    origin_mm: tuple[float, float, float]
    contrast_agent: str = ""


def fresh_folder(folder: Path) -> Path:
    """Return `folder`, empty: what an interrupted run left in it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def uid(*parts: object) -> str:
    """Return a UID under 2.25 that is the same for the same parts."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}"


def write_series(hu: NDArray[np.int16], recipe: SeriesRecipe, folder: Path, *, study: str) -> list[Path]:
    """Write one CT series and return its files.

    Parameters
    ----------
    hu : ndarray of int16, shape (slices, rows, columns)
        Hounsfield units; slices from feet to head, rows from front to back, columns from the patient's
        right to left.
    recipe : SeriesRecipe
        Geometry and names.
    folder : Path
        Written into; made when missing.
    study : str
        Any text; series of one study share it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, plane in enumerate(hu):
        dataset = _ct_slice(plane, recipe, index, study)
        path = folder / f"s{recipe.number:02d}i{index + 1:04d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_burned_in_capture(folder: Path, *, study: str, lines: Sequence[str] | None = None) -> Path:
    """Write a secondary capture with the patient's name burned into its pixels, and return the file."""
    texts = lines or (
        f"{PATIENT.name.replace('^', ' ')}",
        f"ID {PATIENT.patient_id}  born 23.11.1951",
        f"{PATIENT.institution}",
        "CTDIvol 52.1 mGy   DLP 910 mGy cm",
    )
    picture = Image.new("L", (640, 480), 12)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=28)
    for row, text in enumerate(texts):
        draw.text((30, 60 + 70 * row), text, fill=235, font=font)
    dataset = _base_dataset(study, SecondaryCaptureImageStorage, uid(study, "sc"))
    dataset.SeriesInstanceUID, dataset.SeriesNumber = uid(study, "sc series"), 999
    dataset.SeriesDescription, dataset.Modality = "Dose report", "CT"
    dataset.ConversionType, dataset.BurnedInAnnotation = "WSD", "YES"
    dataset.InstanceNumber, dataset.ImageType = 1, ["DERIVED", "SECONDARY", "OTHER"]
    _set_pixels(dataset, np.asarray(picture), bits=8)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "s99i0001.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def _ct_slice(plane: NDArray[np.int16], recipe: SeriesRecipe, index: int, study: str) -> Dataset:
    dataset = _base_dataset(study, CTImageStorage, uid(study, recipe.number, index))
    x, y, z = recipe.origin_mm
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SeriesInstanceUID, dataset.SeriesNumber = uid(study, recipe.number), recipe.number
    dataset.SeriesDescription, dataset.BodyPartExamined = recipe.description, recipe.body_part
    dataset.ProtocolName = f"{recipe.description} for Dr {PATIENT.referring.split('^')[0]}"
    dataset.InstanceNumber, dataset.AcquisitionNumber = index + 1, 1
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = uid(study, "frame"), ""
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [x, y, z + index * recipe.slice_mm]
    dataset.PixelSpacing = [recipe.pixel_mm, recipe.pixel_mm]
    dataset.SliceThickness, dataset.SliceLocation = recipe.slice_mm, z + index * recipe.slice_mm
    dataset.PatientPosition, dataset.GantryDetectorTilt = "HFS", 0
    dataset.KVP, dataset.ConvolutionKernel = 120, "H31s"
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = _INTERCEPT_HU, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = 40, 80
    if recipe.contrast_agent:
        dataset.ContrastBolusAgent = recipe.contrast_agent
    _set_pixels(dataset, (plane.astype(np.int32) - _INTERCEPT_HU).clip(0, 4095).astype(np.uint16), bits=12)
    return dataset


def _base_dataset(study: str, sop_class: str, instance: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(instance)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.SourceApplicationEntityTitle = PATIENT.station
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, instance
    dataset.StudyInstanceUID, dataset.StudyID = uid(study, "study"), "1"
    _plant_identity(dataset)
    return dataset


def _plant_identity(dataset: Dataset) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID = PATIENT.name, PATIENT.patient_id
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = PATIENT.birth_date, "F", "072Y"
    dataset.PatientAddress, dataset.PatientTelephoneNumbers = PATIENT.address, PATIENT.telephone
    for moment in ("Study", "Series", "Acquisition", "Content"):
        setattr(dataset, f"{moment}Date", PATIENT.study_date)
        setattr(dataset, f"{moment}Time", PATIENT.study_time)
    dataset.AccessionNumber, dataset.ReferringPhysicianName = PATIENT.accession, PATIENT.referring
    dataset.OperatorsName, dataset.StationName = PATIENT.operator, PATIENT.station
    dataset.InstitutionName, dataset.InstitutionAddress = PATIENT.institution, PATIENT.address
    dataset.Manufacturer, dataset.ManufacturerModelName = "Invented Scanners", "Phantasm 64"
    dataset.StudyDescription = f"CT head for {PATIENT.name.split('^')[0]}, call {PATIENT.telephone}"
    dataset.ImageComments = f"Seen by Dr {PATIENT.referring.split('^')[0]} on 17 May 2024"
    _plant_request(dataset)
    private = dataset.private_block(0x0029, "INVENTED SCANNERS HEADER", create=True)
    private.add_new(0x10, "LO", f"{PATIENT.name} {PATIENT.patient_id}")
    private.add_new(0x11, "OB", f"raw:{PATIENT.name}:{PATIENT.institution} ".encode())


def _plant_request(dataset: Dataset) -> None:
    request = Dataset()
    request.RequestedProcedureID = PATIENT.accession
    request.RequestedProcedureDescription = f"Head CT, {PATIENT.name.replace('^', ' ')}"
    request.ScheduledProcedureStepID = PATIENT.accession
    dataset.RequestAttributesSequence = [request]


def _set_pixels(dataset: Dataset, pixels: NDArray[np.generic], *, bits: int) -> None:
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (8 if bits == 8 else 16), bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
