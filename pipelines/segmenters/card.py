"""What a segmenter says about itself, readable without loading its network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SegmenterCard:
    """The card of a segmenter.

    Parameters
    ----------
    title : str
        One phrase for people.
    modality : str
        DICOM modality it was made for.
    region : str
        Part of the body.
    structures : tuple of str
        Names in the anatomy table that it can find, composites left out.
    bundle : str
        MONAI bundle whose weights it needs; empty for rules alone.
    limits : str
        What it cannot do, in one sentence that a reviewer reads.
    """

    title: str
    modality: str
    region: str
    structures: tuple[str, ...]
    bundle: str
    limits: str
