"""MedViz: from a DICOM study and a surgical plan to a narrated film that a clinician signs."""

__version__ = "0.1.0"

NOT_FOR_DIAGNOSIS = "Draft for clinical review. Not a medical device. Not for diagnosis."
RECOGNISABLE = "Recognisable: the face was kept."


def notice(*, shows_face: bool) -> str:
    """Return what every output says about itself; a face that was kept is said first."""
    return f"{RECOGNISABLE} {NOT_FOR_DIAGNOSIS}" if shows_face else NOT_FOR_DIAGNOSIS
