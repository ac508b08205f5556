"""One invented study with every kind of object that a hospital sends, and true references between them.

`study()` gives the data sets by name. CT, MR, PET, ultrasound, angiography, screenshots, enhanced CT, SEG,
RT, structured reports, key objects, presentation states, documents and video belong to one patient and
one study; SEG, RTSTRUCT, PR and SR point to the CT, RTDOSE to RTPLAN to RTSTRUCT, KOS to a screenshot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid as uids
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.sr.codedict import codes

from tests import make_documents, make_raw
from tests.make_raw import ROOT, STUDY_UID

CT_FRAME, ENHANCED_FRAME = f"{ROOT}.9", f"{ROOT}.10"
DIMENSIONS, LESION = f"{ROOT}.31", f"{ROOT}.32"
PRIVATE_CLASS = "1.2.826.0.1.3680043.9.9999.55"


def item(**values: Any) -> Dataset:
    """Return a data set with the given attributes; lists of data sets become sequences."""
    ds = Dataset()
    for keyword, value in values.items():
        is_items = isinstance(value, Dataset) or (
            isinstance(value, list) and value and isinstance(value[0], Dataset)
        )
        setattr(ds, keyword, Items(value if isinstance(value, list) else [value]) if is_items else value)
    return ds


def code(value: str, scheme: str, meaning: str) -> Dataset:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def coded(concept: Any) -> Dataset:
    """Return an item for a concept of pydicom's dictionary."""
    return code(concept.value, concept.scheme_designator, concept.meaning)


def reference(ds: Dataset, **more: Any) -> Dataset:
    """Return an item that points to an instance."""
    return item(ReferencedSOPClassUID=ds.SOPClassUID, ReferencedSOPInstanceUID=ds.SOPInstanceUID, **more)


def series_uid(series: int) -> str:
    return f"{STUDY_UID}.{series}"


def new(sop_class: str, modality: str, series: int, instance: int = 1, **values: Any) -> Dataset:
    """Return an object of the study with patient, study, series and equipment."""
    ds = item(
        SpecificCharacterSet="ISO_IR 100",
        SOPClassUID=sop_class,
        SOPInstanceUID=f"{series_uid(series)}.{instance}",
        StudyInstanceUID=STUDY_UID,
        SeriesInstanceUID=series_uid(series),
        PatientName=make_raw.NAME,
        PatientID=make_raw.PATIENT_ID,
        PatientBirthDate="19310407",
        PatientSex="F",
        StudyDate="20240310",
        StudyTime="091500",
        StudyID="77001",
        AccessionNumber="ACC5550123",
        ReferringPhysicianName="Zwirbelbart^Anselm",
        InstitutionName="Klinikum Quastenhausen",
        Modality=modality,
        SeriesNumber=series,
        InstanceNumber=instance,
        SeriesDate="20240311",
        SeriesTime="092000",
        ContentDate="20240312",
        ContentTime="101010",
        Manufacturer="Acme",
        ManufacturerModelName="One",
        DeviceSerialNumber="SN-20417",
        SoftwareVersions="1.0",
        **values,
    )
    ds.file_meta = make_raw.meta(sop_class, ds.SOPInstanceUID)
    return ds


def with_pixels(
    ds: Dataset, pixels: NDArray[Any], *, photometric: str = "MONOCHROME2", stored: int = 0
) -> Dataset:
    """Give an object pixels of shape (rows, columns), (frames, rows, columns) or (..., 3), unsigned."""
    bits, samples = pixels.dtype.itemsize * 8, 3 if photometric == "RGB" else 1
    ds.Rows, ds.Columns = pixels.shape[-3:-1] if samples == 3 else pixels.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = samples, photometric, 0
    if samples == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated, ds.BitsStored = bits, stored or bits
    ds.HighBit = ds.BitsStored - 1
    if pixels.ndim == (4 if samples == 3 else 3):
        ds.NumberOfFrames = pixels.shape[0]
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"
    return ds


def dark(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return dark noise in which no text can be read."""
    return np.random.default_rng(seed).integers(0, 60, shape).astype(np.uint8)


def words(*shape: int, seed: int = 0) -> NDArray[np.uint16]:
    """Return 12-bit noise."""
    return np.random.default_rng(seed).integers(0, 3000, shape).astype(np.uint16)


def _geometry(index: int = 0) -> dict[str, Any]:
    return {
        "FrameOfReferenceUID": CT_FRAME,
        "PositionReferenceIndicator": None,
        "ImagePositionPatient": [-8.125, -8.0, 2.0 * index],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [1.0, 1.0],
        "SliceThickness": 2.0,
        "PatientPosition": "HFS",
    }


def ct(index: int) -> Dataset:
    ds = new(
        uids.CTImageStorage,
        "CT",
        1,
        index + 1,
        **_geometry(index),
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        AcquisitionNumber=1,
        AcquisitionDate="20240312",
        AcquisitionTime="101010.5",
        KVP=120,
        ConvolutionKernel="H30s",
        SeriesDescription="HEAD 1.5 H30s",
        RescaleIntercept=-1024,
        RescaleSlope=1,
        RescaleType="HU",
        BodyPartExamined="HEAD",
        PatientOrientation=None,
        Laterality=None,
    )
    del ds.Laterality, ds.PatientOrientation
    return with_pixels(ds, words(16, 16, seed=index), stored=12)


def mr() -> Dataset:
    ds = new(
        uids.MRImageStorage,
        "MR",
        2,
        **_geometry(),
        ImageType=["ORIGINAL", "PRIMARY", "M"],
        ScanningSequence="SE",
        SequenceVariant="NONE",
        ScanOptions=None,
        MRAcquisitionType="2D",
        EchoTime=20,
        RepetitionTime=500,
        EchoTrainLength=1,
        SequenceName="se2d1",
        BodyPartExamined="HEAD",
    )
    return with_pixels(ds, words(16, 16, seed=20))


def pet() -> Dataset:
    ds = new(
        uids.PositronEmissionTomographyImageStorage,
        "PT",
        3,
        **_geometry(),
        ImageType=["ORIGINAL", "PRIMARY"],
        AcquisitionDate="20240312",
        AcquisitionTime="101010",
        Units="BQML",
        CountsSource="EMISSION",
        SeriesType=["STATIC", "IMAGE"],
        NumberOfSlices=1,
        CorrectedImage=["DECY", "ATTN"],
        DecayCorrection="START",
        CollimatorType="NONE",
        RescaleIntercept=0,
        RescaleSlope=1,
        FrameReferenceTime=0,
        ImageIndex=1,
        ActualFrameDuration=60000,
        DecayFactor=1.5,
        BodyPartExamined="BRAIN",
    )
    ds.RadiopharmaceuticalInformationSequence = Items(
        [
            item(
                Radiopharmaceutical="FDG",
                RadiopharmaceuticalStartDateTime="20240312090000",
                RadionuclideTotalDose=3.5e8,
                RadionuclideHalfLife=6586.2,
                RadionuclideCodeSequence=code("C-111A1", "SRT", "^18^Fluorine"),
            )
        ]
    )
    ds.PatientOrientationCodeSequence = Items([code("F-10450", "SRT", "recumbent")])
    ds.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = Items(
        [code("F-10340", "SRT", "supine")]
    )
    ds.PatientGantryRelationshipCodeSequence = Items([code("F-10470", "SRT", "headfirst")])
    del ds.PatientPosition
    return with_pixels(ds, words(16, 16, seed=30))


def ultrasound() -> Dataset:
    ds = new(uids.UltrasoundImageStorage, "US", 4, ImageType=["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"])
    ds.PatientOrientation, ds.LossyImageCompression, ds.BodyPartExamined = None, "00", "ABDOMEN"
    return with_pixels(ds, dark(16, 24, 3), photometric="RGB")


def ultrasound_loop() -> Dataset:
    ds = new(
        uids.UltrasoundMultiFrameImageStorage, "US", 5, ImageType=["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"]
    )
    ds.PatientOrientation, ds.LossyImageCompression, ds.FrameTime = None, "00", 40
    ds.BodyPartExamined = "ABDOMEN"
    ds.FrameIncrementPointer = 0x00181063
    return with_pixels(ds, dark(3, 16, 24, 3), photometric="RGB")


def angiogram() -> Dataset:
    ds = new(
        uids.XRayAngiographicImageStorage,
        "XA",
        6,
        ImageType=["ORIGINAL", "PRIMARY", "SINGLE PLANE"],
        PixelIntensityRelationship="LIN",
        KVP=70,
        RadiationSetting="GR",
        XRayTubeCurrent=100,
        ExposureTime=10,
        PositionerMotion="STATIC",
        PositionerPrimaryAngle=0,
        PositionerSecondaryAngle=0,
        FrameTime=66,
        PatientOrientation=None,
        BodyPartExamined="HEAD",
        Exposure=1,
    )
    ds.FrameIncrementPointer = 0x00181063
    return with_pixels(ds, dark(2, 16, 16))


def screenshot() -> Dataset:
    ds = new(
        uids.SecondaryCaptureImageStorage, "OT", 7, ConversionType="WSD", ImageType=["DERIVED", "SECONDARY"]
    )
    ds.PatientOrientation, ds.BodyPartExamined = None, "HEAD"
    return with_pixels(ds, dark(16, 24, 3, seed=7), photometric="RGB")


def enhanced_ct(source: Sequence[Dataset]) -> Dataset:
    """Return an enhanced CT of three frames, each derived from one slice of the series."""
    ds = new(
        uids.EnhancedCTImageStorage,
        "CT",
        8,
        ImageType=["DERIVED", "PRIMARY", "VOLUME", "NONE"],
        FrameOfReferenceUID=CT_FRAME,
        PositionReferenceIndicator=None,
        PatientPosition="HFS",
        AcquisitionNumber=1,
        AcquisitionDateTime="20240312101010",
        AcquisitionDuration=1,
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
        PresentationLUTShape="IDENTITY",
        ContentQualification="RESEARCH",
        BurnedInAnnotation="NO",
        LossyImageCompression="00",
        AcquisitionContextSequence=None,
        MultienergyCTAcquisition="NO",
    )
    ds.AcquisitionContextSequence = Items([])
    ds.DimensionOrganizationSequence = Items([item(DimensionOrganizationUID=DIMENSIONS)])
    ds.DimensionIndexSequence = Items(
        [
            item(
                DimensionOrganizationUID=DIMENSIONS,
                DimensionIndexPointer=0x00209057,
                FunctionalGroupPointer=0x00209111,
            )
        ]
    )
    evidence = item(
        StudyInstanceUID=STUDY_UID,
        ReferencedSeriesSequence=item(
            SeriesInstanceUID=series_uid(1), ReferencedSOPSequence=[reference(slice_) for slice_ in source]
        ),
    )
    ds.SourceImageEvidenceSequence = ds.ReferencedImageEvidenceSequence = Items([evidence])
    ds.SharedFunctionalGroupsSequence = Items([_shared_groups()])
    ds.PerFrameFunctionalGroupsSequence = Items([_frame_groups(k, slice_) for k, slice_ in enumerate(source)])
    return with_pixels(ds, words(len(source), 16, 16, seed=80), stored=12)


def _shared_groups() -> Dataset:
    return item(
        PixelMeasuresSequence=item(PixelSpacing=[1.0, 1.0], SliceThickness=2.0),
        PlaneOrientationSequence=item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        PixelValueTransformationSequence=item(RescaleIntercept=-1024, RescaleSlope=1, RescaleType="HU"),
        FrameVOILUTSequence=item(WindowCenter=40, WindowWidth=400),
        FrameAnatomySequence=item(
            FrameLaterality="U", AnatomicRegionSequence=code("69536005", "SCT", "Head")
        ),
        CTImageFrameTypeSequence=item(
            FrameType=["DERIVED", "PRIMARY", "VOLUME", "NONE"],
            PixelPresentation="MONOCHROME",
            VolumetricProperties="VOLUME",
            VolumeBasedCalculationTechnique="NONE",
        ),
        IrradiationEventIdentificationSequence=item(IrradiationEventUID=f"{ROOT}.40"),
    )


def _frame_groups(index: int, source: Dataset) -> Dataset:
    content = item(
        FrameAcquisitionNumber=1,
        FrameReferenceDateTime="20240312101010",
        StackID="1",
        InStackPositionNumber=index + 1,
        FrameAcquisitionDateTime="20240312101010",
        FrameAcquisitionDuration=1,
        DimensionIndexValues=[index + 1],
    )
    derived = item(
        DerivationCodeSequence=code("113072", "DCM", "Multiplanar reformatting"),
        SourceImageSequence=reference(
            source,
            PurposeOfReferenceCodeSequence=code(
                "121322", "DCM", "Source image for image processing operation"
            ),
        ),
    )
    return item(
        FrameContentSequence=content,
        PlanePositionSequence=item(ImagePositionPatient=[-8.125, -8.0, 2.0 * index]),
        DerivationImageSequence=derived,
        ReferencedImageSequence=reference(
            source, PurposeOfReferenceCodeSequence=code("121311", "DCM", "Localizer")
        ),
    )


def segmentation(source: Sequence[Dataset]) -> Dataset:
    """Return highdicom's segmentation of the CT series."""
    import highdicom as hd

    lesion = hd.seg.SegmentDescription(
        1,
        "Lesion",
        codes.SCT.MorphologicallyAbnormalStructure,
        codes.SCT.Lesion,
        "MANUAL",
        tracking_uid=LESION,
        tracking_id="Lesion 1",
        anatomic_regions=[codes.SCT.Brain],
    )
    mask = np.zeros((len(source), 16, 16), np.uint8)
    mask[:, 4:9, 5:9] = 1
    ds = hd.seg.Segmentation(
        source,
        mask,
        "BINARY",
        [lesion],
        series_uid(9),
        9,
        f"{series_uid(9)}.1",
        1,
        "Acme",
        "One",
        "1.0",
        "SN-20417",
        content_label="LESION",
    )
    return _settled(ds)


def _settled(ds: Dataset) -> Dataset:
    """Return a plain data set of one that highdicom made, without the clock's dates and random UIDs."""
    plain = Dataset()
    plain.update(ds)
    plain.file_meta = make_raw.meta(ds.SOPClassUID, ds.SOPInstanceUID, ds.file_meta.TransferSyntaxUID)
    for keyword, value in _CLOCK.items():
        if keyword in plain:
            plain[keyword].value = value
    if "DimensionOrganizationSequence" in plain:
        for part in (*plain.DimensionOrganizationSequence, *plain.DimensionIndexSequence):
            part.DimensionOrganizationUID = f"{ROOT}.33"
    return plain


_CLOCK = {
    "ContentDate": "20240312",
    "ContentTime": "101010",
    "SeriesDate": "20240311",
    "SeriesTime": "092000",
    "InstanceCreationDate": "20240312",
    "InstanceCreationTime": "101010",
    "PresentationCreationDate": "20240312",
    "PresentationCreationTime": "101010",
}


def structures(source: Sequence[Dataset]) -> Dataset:
    """Return an RTSTRUCT with one contour on each slice of the CT series."""
    ds = new(
        uids.RTStructureSetStorage,
        "RTSTRUCT",
        10,
        StructureSetLabel="PLAN",
        StructureSetDate="20240312",
        StructureSetTime="101010",
        OperatorsName=None,
        FrameOfReferenceUID=CT_FRAME,
        PositionReferenceIndicator=None,
    )
    images = [reference(slice_) for slice_ in source]
    study = item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=STUDY_UID,
        RTReferencedSeriesSequence=item(SeriesInstanceUID=series_uid(1), ContourImageSequence=images),
    )
    ds.ReferencedFrameOfReferenceSequence = Items(
        [item(FrameOfReferenceUID=CT_FRAME, RTReferencedStudySequence=study)]
    )
    ds.StructureSetROISequence = Items(
        [
            item(
                ROINumber=1,
                ReferencedFrameOfReferenceUID=CT_FRAME,
                ROIName="Brain",
                ROIGenerationAlgorithm="MANUAL",
                TrackingID="Lesion 1",
                TrackingUID=LESION,
            )
        ]
    )
    contours = [
        item(
            ContourImageSequence=reference(slice_),
            ContourGeometricType="CLOSED_PLANAR",
            NumberOfContourPoints=3,
            ContourData=[0, 0, z, 4, 0, z, 4, 4, z],
        )
        for slice_, z in ((slice_, float(slice_.ImagePositionPatient[2])) for slice_ in source)
    ]
    ds.ROIContourSequence = Items(
        [item(ReferencedROINumber=1, ROIDisplayColor=[255, 0, 0], ContourSequence=contours)]
    )
    ds.RTROIObservationsSequence = Items(
        [item(ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType="ORGAN", ROIInterpreter=None)]
    )
    return ds


def plan(structure_set: Dataset) -> Dataset:
    """Return an RTPLAN without beams that rests on the structure set."""
    ds = new(
        uids.RTPlanStorage,
        "RTPLAN",
        11,
        OperatorsName=None,
        RTPlanLabel="PLAN1",
        RTPlanDate="20240312",
        RTPlanTime="101010",
        RTPlanGeometry="PATIENT",
        ApprovalStatus="UNAPPROVED",
        FrameOfReferenceUID=CT_FRAME,
        PositionReferenceIndicator=None,
        ReferencedStructureSetSequence=reference(structure_set),
        FractionGroupSequence=item(
            FractionGroupNumber=1,
            NumberOfFractionsPlanned=1,
            NumberOfBeams=0,
            NumberOfBrachyApplicationSetups=0,
        ),
    )
    ds.PatientSetupSequence = Items(
        [item(PatientSetupNumber=1, PatientPosition="HFS", SetupTechnique="ISOCENTRIC")]
    )
    return ds


def dose(rt_plan: Dataset) -> Dataset:
    """Return an RTDOSE of two planes that was computed for the plan."""
    ds = new(
        uids.RTDoseStorage,
        "RTDOSE",
        12,
        **_geometry(),
        OperatorsName=None,
        DoseUnits="GY",
        DoseType="PHYSICAL",
        DoseSummationType="PLAN",
        DoseGridScaling=0.001,
        GridFrameOffsetVector=[0, 2],
        ReferencedRTPlanSequence=reference(rt_plan),
        FrameIncrementPointer=0x3004000C,
    )
    del ds.PatientPosition
    return with_pixels(ds, words(2, 16, 16, seed=120))


def content(kind: str, relation: str, name: Dataset | None, *children: Dataset, **values: Any) -> Dataset:
    """Return a content item of a structured report (PS3.3 C.17.3)."""
    node = item(ValueType=kind, **values)
    if relation:
        node.RelationshipType = relation
    if name is not None:
        node.ConceptNameCodeSequence = Items([name])
    if kind == "CONTAINER":
        node.ContinuityOfContent = "SEPARATE"
    if children:
        node.ContentSequence = Items(children)
    return node


def _report(sop_class: str, series: int, root: Dataset, evidence: Mapping[int, Sequence[Dataset]]) -> Dataset:
    ds = new(sop_class, "SR", series, CompletionFlag="COMPLETE", VerificationFlag="VERIFIED")
    ds.update(root)
    ds.ReferencedPerformedProcedureStepSequence = Items([])
    ds.PerformedProcedureCodeSequence = Items([])
    ds.VerifyingObserverSequence = Items(
        [
            item(
                VerifyingOrganization="Klinikum Quastenhausen",
                VerificationDateTime="20240313120000",
                VerifyingObserverName="Zwirbelbart^Anselm",
                VerifyingObserverIdentificationCodeSequence=code("ZW1", "99KQ", "Zwirbelbart"),
            )
        ]
    )
    series_items = [
        item(SeriesInstanceUID=series_uid(number), ReferencedSOPSequence=[reference(ds) for ds in instances])
        for number, instances in evidence.items()
    ]
    if series_items:
        ds.CurrentRequestedProcedureEvidenceSequence = Items(
            [item(StudyInstanceUID=STUDY_UID, ReferencedSeriesSequence=series_items)]
        )
    return ds


def text_report() -> Dataset:
    """Return a Basic Text SR with a finding in prose."""
    finding = content("TEXT", "CONTAINS", coded(codes.DCM.Finding), TextValue="No lesion in the brain.")
    observer = content(
        "PNAME", "HAS OBS CONTEXT", coded(codes.DCM.PersonObserverName), PersonName="Zwirbelbart^Anselm"
    )
    root = content("CONTAINER", "", code("18747-6", "LN", "CT Report"), observer, finding)
    return _report(uids.BasicTextSRStorage, 13, root, {})


def report(source: Sequence[Dataset], seg: Dataset) -> Dataset:
    """Return a Comprehensive SR that measures a lesion on a slice and in a segment."""
    image = content("IMAGE", "SELECTED FROM", None, ReferencedSOPSequence=reference(source[1]))
    points = content(
        "SCOORD",
        "INFERRED FROM",
        code("121055", "DCM", "Path"),
        image,
        GraphicData=[4.0, 4.0, 8.0, 4.0],
        GraphicType="POLYLINE",
    )
    millimetres = item(
        NumericValue="4.0",
        MeasurementUnitsCodeSequence=code("mm", "UCUM", "millimeter"),
    )
    length = content(
        "NUM", "CONTAINS", code("410668003", "SCT", "Length"), points, MeasuredValueSequence=millimetres
    )
    segment = content(
        "IMAGE",
        "CONTAINS",
        code("121191", "DCM", "Referenced Segment"),
        ReferencedSOPSequence=reference(seg, ReferencedSegmentNumber=1),
    )
    group = content(
        "CONTAINER",
        "CONTAINS",
        code("125007", "DCM", "Measurement Group"),
        content(
            "TEXT", "HAS OBS CONTEXT", code("112039", "DCM", "Tracking Identifier"), TextValue="Lesion 1"
        ),
        content("UIDREF", "HAS OBS CONTEXT", code("112040", "DCM", "Tracking Unique Identifier"), UID=LESION),
        segment,
        length,
    )
    when = content(
        "DATETIME",
        "HAS OBS CONTEXT",
        code("121135", "DCM", "Observation DateTime"),
        DateTime="20240312110000",
    )
    day = content("DATE", "CONTAINS", code("111526", "DCM", "DateTime Started"), Date="20240312")
    hour = content("TIME", "CONTAINS", code("111527", "DCM", "DateTime Ended"), Time="111500")
    finding = content("CODE", "CONTAINS", coded(codes.DCM.Finding))
    finding.ConceptCodeSequence = Items([code("52988006", "SCT", "Lesion")])
    root = content(
        "CONTAINER", "", code("126000", "DCM", "Imaging Measurement Report"), when, group, finding, day, hour
    )
    return _report(uids.ComprehensiveSRStorage, 14, root, {1: [source[1]], 9: [seg]})


def key_objects(shot: Dataset) -> Dataset:
    """Return a key object selection of the screenshot."""
    image = content("IMAGE", "CONTAINS", None, ReferencedSOPSequence=reference(shot))
    described = content(
        "TEXT", "CONTAINS", code("113012", "DCM", "Key Object Description"), TextValue="For the surgeon."
    )
    root = content("CONTAINER", "", code("113000", "DCM", "Of Interest"), described, image)
    root.ContentTemplateSequence = Items([item(MappingResource="DCMR", TemplateIdentifier="2010")])
    ds = _report(uids.KeyObjectSelectionDocumentStorage, 15, root, {7: [shot]})
    for keyword in (
        "CompletionFlag",
        "VerificationFlag",
        "VerifyingObserverSequence",
        "PerformedProcedureCodeSequence",
    ):
        delattr(ds, keyword)
    ds.Modality = "KO"
    return ds


def presentation(source: Sequence[Dataset]) -> Dataset:
    """Return a presentation state that writes a text on a slice."""
    note = item(
        AnchorPointAnnotationUnits="PIXEL",
        UnformattedTextValue="Lesion",
        AnchorPoint=[4.0, 4.0],
        AnchorPointVisibility="Y",
    )
    ds = new(
        uids.GrayscaleSoftcopyPresentationStateStorage,
        "PR",
        16,
        PresentationCreationDate="20240312",
        PresentationCreationTime="101010",
        ContentLabel="STATE",
        ContentDescription="Lesion",
        ContentCreatorName="Zwirbelbart^Anselm",
        PresentationLUTShape="IDENTITY",
        BodyPartExamined="HEAD",
        ReferencedSeriesSequence=item(
            SeriesInstanceUID=series_uid(1), ReferencedImageSequence=[reference(ds) for ds in source]
        ),
        DisplayedAreaSelectionSequence=item(
            DisplayedAreaTopLeftHandCorner=[1, 1],
            DisplayedAreaBottomRightHandCorner=[16, 16],
            PresentationSizeMode="SCALE TO FIT",
            PresentationPixelSpacing=[1, 1],
        ),
        GraphicAnnotationSequence=item(
            ReferencedImageSequence=reference(source[1]), GraphicLayer="NOTES", TextObjectSequence=note
        ),
        GraphicLayerSequence=item(GraphicLayer="NOTES", GraphicLayerOrder=1),
    )
    del ds.ContentDate, ds.ContentTime
    return ds


def _document(sop_class: str, modality: str, series: int, mime: str, data: bytes, title: str) -> Dataset:
    ds = new(
        sop_class,
        modality,
        series,
        BurnedInAnnotation="YES",
        DocumentTitle=title,
        ConversionType="WSD",
        MIMETypeOfEncapsulatedDocument=mime,
        AcquisitionDateTime="20240312101010",
        EncapsulatedDocumentLength=len(data),
    )
    ds.ConceptNameCodeSequence = Items([code("18748-4", "LN", "Diagnostic imaging study")])
    ds.EncapsulatedDocument = data + b"\0" * (len(data) % 2)
    return ds


def pdf(data: bytes | None = None) -> Dataset:
    """Return an Encapsulated PDF."""
    made = data if data is not None else make_documents.pdf()
    return _document(uids.EncapsulatedPDFStorage, "DOC", 17, "application/pdf", made, "Report")


def stl(data: bytes | None = None) -> Dataset:
    """Return an Encapsulated STL in the CT's frame of reference."""
    made = data if data is not None else make_documents.stl()
    return _model(_document(uids.EncapsulatedSTLStorage, "M3D", 18, "model/stl", made, "Skull"))


def obj(data: bytes | None = None) -> Dataset:
    """Return an Encapsulated OBJ in the CT's frame of reference."""
    made = data if data is not None else make_documents.obj()
    return _model(_document(uids.EncapsulatedOBJStorage, "M3D", 19, "model/obj", made, "Skull"))


def _model(ds: Dataset) -> Dataset:
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = CT_FRAME, None
    ds.BurnedInAnnotation = "NO"
    ds.MeasurementUnitsCodeSequence = Items([code("mm", "UCUM", "millimeter")])
    ds.ModelModification, ds.ModelMirroring = "NO", "NO"
    del ds.ConversionType
    return ds


def video(data: bytes | None = None) -> Dataset:
    """Return an endoscopic video, MPEG-4 AVC."""
    ds = new(uids.VideoEndoscopicImageStorage, "ES", 20, ImageType=["ORIGINAL", "PRIMARY"], FrameTime=40)
    ds.AcquisitionContextSequence = Items([])
    ds.PatientOrientation, ds.FrameIncrementPointer, ds.LossyImageCompression = None, 0x00181063, "01"
    ds.LossyImageCompressionRatio, ds.LossyImageCompressionMethod = 20, "ISO_14496_10"
    ds.BodyPartExamined = "BRAIN"
    ds.AnatomicRegionSequence = Items([coded(codes.SCT.Brain)])
    ds.BurnedInAnnotation, ds.CineRate, ds.RecommendedDisplayFrameRate = "NO", 25, 25
    with_pixels(ds, np.zeros((make_documents.VIDEO_FRAMES, 64, 64, 3), np.uint8), photometric="RGB")
    ds.PhotometricInterpretation = "YBR_PARTIAL_420"
    ds.file_meta.TransferSyntaxUID = uids.MPEG4HP41
    set_compressed(ds, [data if data is not None else make_documents.mp4()])
    return ds


def set_compressed(ds: Dataset, frames: Sequence[bytes]) -> None:
    """Store code streams, one a frame, as encapsulated pixel data."""
    ds.PixelData = encapsulate(list(frames))
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True


def private_object() -> Dataset:
    """Return an object of a vendor's own SOP class."""
    ds = new(PRIVATE_CLASS, "OT", 21)
    ds.add_new(0x00290010, "LO", "ACME RAW")
    ds.add_new(0x00291001, "OB", b"Rumpelstein raw data")
    return ds


@lru_cache(maxsize=1)
def _study() -> dict[str, bytes]:
    import pickle

    slices = [ct(index) for index in range(3)]
    seg, struct, shot = segmentation(slices), structures(slices), screenshot()
    rt_plan = plan(struct)
    made = {f"ct-{index}": ds for index, ds in enumerate(slices)} | {
        "mr": mr(),
        "pet": pet(),
        "us": ultrasound(),
        "us-loop": ultrasound_loop(),
        "xa": angiogram(),
        "sc": shot,
        "enhanced-ct": enhanced_ct(slices),
        "seg": seg,
        "rtstruct": struct,
        "rtplan": rt_plan,
        "rtdose": dose(rt_plan),
        "text-sr": text_report(),
        "sr": report(slices, seg),
        "kos": key_objects(shot),
        "pr": presentation(slices),
        "pdf": pdf(),
        "stl": stl(),
        "obj": obj(),
        "video": video(),
        "private": private_object(),
    }
    return {name: pickle.dumps(ds) for name, ds in made.items()}


def study() -> dict[str, Dataset]:
    """Return every object of the study by name; the caller may change them."""
    return {name: one(name) for name in _study()}


def one(name: str) -> Dataset:
    """Return an object of the study; the caller may change it."""
    import pickle

    ds: Dataset = pickle.loads(_study()[name])
    return ds


def write_study(folder: Path, *, names: Callable[[str], bool] = lambda name: True) -> Path:
    """Write the objects whose names are wanted, one file each."""
    for name, ds in study().items():
        if names(name):
            make_raw.write(ds, folder / name)
    return folder
