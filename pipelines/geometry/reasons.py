"""Every way the geometry contract can end: a stable code, one sentence, and what to do next.

docs/geometry.md holds the same table; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass

from medviz.core.errors import GeometryRefused


@dataclass(frozen=True, slots=True)
class Reason:
    """What a code means to a person, and the mend when it refuses."""

    code: str
    meaning: str
    mend: str = ""


_EXPORT_AGAIN = "Export the series again from the archive or the scanner"

_TABLE = (
    Reason("OK", "The slices are even, straight and complete."),
    Reason(
        "GANTRY_TILT",
        "The gantry was tilted, so the slices are sheared against each other.",
        "Ask the scanner for a reconstruction without tilt.",
    ),
    Reason(
        "SHIFTED_SLICES",
        "Slices are displaced within their plane in a way no tilt explains.",
        f"{_EXPORT_AGAIN}, or ask for a reconstruction with one field of view.",
    ),
    Reason(
        "UNEVEN_SPACING",
        "The distance between slices changes along the stack.",
        "Use a reconstruction with one slice distance, or split the series where the distance changes.",
    ),
    Reason(
        "MISSING_SLICES",
        "Slices are missing inside the stack.",
        f"{_EXPORT_AGAIN}: the transfer was not complete.",
    ),
    Reason("NO_IMAGES", "The study holds no images.", "Give the folder that holds the CT series."),
    Reason("NO_SUCH_SERIES", "The series asked for is not in the study.", "Pick one of the series listed."),
    Reason(
        "WRONG_MODALITY",
        "No series has the modality that is needed.",
        "Give a study that holds one, or name the series to use anyway.",
    ),
    Reason(
        "LOCALIZER_ONLY",
        "The series holds only localizer images.",
        f"{_EXPORT_AGAIN} with its slices, not only the scout view.",
    ),
    Reason(
        "NOT_SLICES",
        "The series holds pictures (screen captures, dose reports, projections, colour), not slices.",
        "Pick a series of original slices.",
    ),
    Reason(
        "TOO_FEW_SLICES",
        "There are fewer than three slices, which makes no volume.",
        f"{_EXPORT_AGAIN} with all its slices.",
    ),
    Reason(
        "TOO_LARGE",
        "The volume would be larger than a machine can be trusted to hold.",
        "Use a reconstruction with fewer or smaller slices.",
    ),
    Reason(
        "NO_POSITION",
        "Slices do not say where they lie (0020,0032).",
        f"{_EXPORT_AGAIN} as original DICOM: converted images have lost their place.",
    ),
    Reason(
        "NO_ORIENTATION",
        "Slices do not say how they are oriented (0020,0037).",
        f"{_EXPORT_AGAIN} as original DICOM: converted images have lost their orientation.",
    ),
    Reason(
        "ORIENTATION_INVALID",
        "The orientation is not two unit vectors at a right angle.",
        f"{_EXPORT_AGAIN}; the header is damaged.",
    ),
    Reason(
        "PIXEL_SPACING_INVALID",
        "The pixel spacing is missing, zero or not a number.",
        f"{_EXPORT_AGAIN} as original DICOM.",
    ),
    Reason(
        "MIXED_ORIENTATION",
        "Slices of one stack are oriented differently.",
        "Split the series by orientation, or export it again.",
    ),
    Reason(
        "MATRIX_VARIES",
        "Slices of one stack have different numbers of rows or columns.",
        "Split the series by matrix size, or export it again.",
    ),
    Reason(
        "PIXEL_SPACING_VARIES",
        "Slices of one stack have different pixel spacings.",
        "Split the series by field of view, or ask for one reconstruction.",
    ),
    Reason(
        "FRAME_OF_REFERENCE_VARIES",
        "Slices of one series belong to different frames of reference, so their places cannot be compared.",
        "Export the two scans as two series.",
    ),
    Reason(
        "SAME_PLACE_DIFFERENT_PIXELS",
        "Several slices lie at one place with different pixels, and nothing in the header tells them apart.",
        "Export phases or repeated acquisitions as separate series.",
    ),
    Reason(
        "TRUNCATED",
        "A file of the series ends too early.",
        f"{_EXPORT_AGAIN}: the transfer broke off.",
    ),
    Reason(
        "UNREADABLE",
        "A file or its pixels cannot be read.",
        f"{_EXPORT_AGAIN}; if it happens again, the file is damaged at its source.",
    ),
    Reason(
        "NO_DECODER",
        "This machine cannot decode the transfer syntax of the pixels.",
        "Run `medviz doctor`; it names the codec that is missing.",
    ),
    Reason(
        "PIXEL_FORMAT",
        "The pixels are stored in a form that is not a grey slice of whole numbers.",
        "Pick a series of original slices.",
    ),
    Reason(
        "NOT_HOUNSFIELD",
        "The header does not say how stored numbers become Hounsfield units.",
        "Use the original CT reconstruction, not a material, spectral or converted image.",
    ),
    Reason(
        "RESCALE_INVALID",
        "The rescale slope or intercept is zero, missing or not a number.",
        f"{_EXPORT_AGAIN}; the header is damaged.",
    ),
)

REASONS: dict[str, Reason] = {reason.code: reason for reason in _TABLE}


def refused(code: str, detail: str = "") -> GeometryRefused:
    """Return the error of a reason code; `detail` is a sentence with figures, never patient data."""
    reason = REASONS[code]
    message = f"{reason.meaning} {detail}".strip()
    return GeometryRefused(message, reason=code, mend=reason.mend)
