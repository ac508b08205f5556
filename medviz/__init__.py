"""MedViz: from a DICOM study and a surgical plan to a narrated film that a clinician signs."""

__version__ = "0.1.0"

NOT_FOR_DIAGNOSIS = "Draft for clinical review. Not a medical device. Not for diagnosis."
