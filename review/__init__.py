"""The clinician's desk: nothing leaves before its exact bytes are signed."""
