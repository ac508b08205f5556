"""The gate between a narrator and the film: every sentence is checked against the fact it tells."""

from pipelines.verification.binder import Complaint, verify_narration, verify_sentence

__all__ = ["Complaint", "verify_narration", "verify_sentence"]
