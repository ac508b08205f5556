"""Frames of enhanced multi-frame CT and MR: shared and per-frame functional groups (PS3.3 C.7.6.16)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipelines.geometry.elements import Elements
from pipelines.geometry.frames import Frame, rescale_of


def enhanced_frames(header: Elements, whole: Frame) -> tuple[Frame, ...]:
    """Return one `Frame` per frame; `whole` holds what the object says once for all of them."""
    shared = header.first("SharedFunctionalGroupsSequence")
    groups = header.items("PerFrameFunctionalGroupsSequence")
    if len(groups) != whole.layout.count:
        raise ValueError("the functional groups do not match the number of frames")
    return tuple(_frame(whole, _Groups(own, shared), n) for n, own in enumerate(groups))


class _Groups:
    """The functional groups of one frame: its own, else the shared ones."""

    def __init__(self, own: Elements, shared: Elements | None) -> None:
        self._places = [place for place in (own, shared) if place is not None]

    def item(self, *keywords: str) -> Elements | None:
        for place in self._places:
            for keyword in keywords:
                found = place.first(keyword)
                if found is not None:
                    return found
        return None

    def numbers(self, sequence: str, keyword: str) -> tuple[float, ...]:
        item = self.item(sequence)
        return item.numbers(keyword) if item else ()

    def text(self, sequence: str, keyword: str) -> str:
        item = self.item(sequence)
        return item.text(keyword) if item else ""

    def converted(self, sequence: str, keyword: str) -> str:
        item = self.item(sequence)
        return item.converted(keyword) if item else ""


def _frame(whole: Frame, groups: _Groups, index: int) -> Frame:
    kind = groups.item("CTImageFrameTypeSequence", "MRImageFrameTypeSequence")
    image_type = tuple(part.upper() for part in kind.texts("FrameType")) if kind else ()
    changes: dict[str, Any] = {
        "layout": replace(whole.layout, index=index),
        "position": groups.numbers("PlanePositionSequence", "ImagePositionPatient"),
        "orientation": groups.numbers("PlaneOrientationSequence", "ImageOrientationPatient"),
        "spacing_mm": groups.numbers("PixelMeasuresSequence", "PixelSpacing"),
        "image_type": image_type or whole.image_type,
        "traits": _traits(whole, groups, image_type),
        "kernel": groups.text("CTReconstructionSequence", "ConvolutionKernel") or whole.kernel,
        "time": groups.text("FrameContentSequence", "FrameAcquisitionDateTime") or whole.time,
    }
    transformation = groups.item("PixelValueTransformationSequence")
    if transformation is not None:
        changes["rescale"] = rescale_of(transformation)
    tilt = groups.numbers("CTTableDynamicsSequence", "GantryDetectorTilt")
    if tilt:
        changes["tilt_deg"] = tilt[0]
    return replace(whole, **changes)


def _traits(whole: Frame, groups: _Groups, image_type: tuple[str, ...]) -> dict[str, str]:
    content = "FrameContentSequence"
    acquisition = groups.converted(content, "FrameAcquisitionNumber")
    own = {
        "stack": groups.text(content, "StackID"),
        "temporal": groups.converted(content, "TemporalPositionIndex"),
        "phase": groups.converted("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase"),
        "trigger": "",
        "acquisition": acquisition,
        "echo": groups.converted("MREchoSequence", "EffectiveEchoTime"),
        "b_value": groups.converted("MRDiffusionSequence", "DiffusionBValue"),
        "kernel": groups.text("CTReconstructionSequence", "ConvolutionKernel"),
        "kind": "/".join(image_type),
    }
    return {name: own.get(name) or value for name, value in whole.traits.items()}
