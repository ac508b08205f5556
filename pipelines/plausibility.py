"""Whether a segmentation looks like a person: volumes, order, pieces, edges of the scan, closed skull."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medviz.core.anatomy import structure
from medviz.core.segmentation import Finding, Segmentation

LEAST_CONFIDENCE = 0.6
LEAST_SHARE = 0.9
OPEN_SKULL_CM2 = 1.0


# Matsumae et al., J Neurosurg 1996;84:982: brain 1302 +- 112 ml (men), 1143 +- 105 ml (women), 24-80 years.
_MATSUMAE = "mean +- 3 standard deviations of healthy men and women, Matsumae 1996, and 100 ml for ventricles"
# ICRP 110 reference adults: liver 1333 and 1714 ml, kidneys 142 + 120 and 146 + 150 ml.
_ICRP = "half to twice the ICRP 110 reference adults"
_OURS = "wide limits of ours, without a published source"


@dataclass(frozen=True, slots=True)
class VolumeRange:
    """Volume of a whole structure in adults, in ml, and its source: outside it something is wrong or rare."""

    least_ml: float
    most_ml: float
    source: str


RANGES: dict[str, VolumeRange] = {
    "brain": VolumeRange(828, 1740, _MATSUMAE),
    "cerebrum": VolumeRange(650, 1500, _OURS),
    "cerebellum": VolumeRange(80, 200, _OURS),
    "brainstem": VolumeRange(15, 50, _OURS),
    "ventricles": VolumeRange(4, 150, _OURS),
    "deep_grey": VolumeRange(15, 90, _OURS),
    "liver": VolumeRange(667, 3428, _ICRP),
    "spleen": VolumeRange(40, 600, _OURS),
    "kidney_left": VolumeRange(60, 300, _ICRP),
    "kidney_right": VolumeRange(60, 300, _ICRP),
}

# whole structures that are one piece, and must not be cut by the edge of the scan to be measured
IN_ONE_PIECE = ("cerebrum", "cerebellum", "brainstem", "liver", "spleen", "kidney_left", "kidney_right")
MUST_BE_WHOLE = ("brain", "cerebrum", "deep_grey", "ventricles", "cerebellum", *IN_ONE_PIECE[3:], "tumour")


@dataclass(frozen=True, slots=True)
class Order:
    """A rule of place: the centre of `first` lies farther along an LPS axis than that of `second`."""

    first: str
    second: str
    axis: int
    words: str


ORDERS = (
    Order("cerebrum", "cerebellum", 2, "above"),
    Order("cerebellum", "cerebrum", 1, "behind"),
    Order("cerebrum", "brainstem", 2, "above"),
    Order("cerebellum", "brainstem", 1, "behind"),
    Order("kidney_left", "kidney_right", 0, "to the left of"),
    Order("spleen", "liver", 0, "to the left of"),
)

_UNRELIABLE = ("VOLUME_IMPLAUSIBLE", "ORDER_IMPLAUSIBLE", "IN_PIECES", "LOW_CONFIDENCE")


def judge(segmentation: Segmentation) -> Segmentation:
    """Return the segmentation with its findings, and unsure structures marked as not reliable.

    A finding names the structure and what a reviewer should look at. A structure that the edge of the scan
    cuts off is said to be so, and is not called implausible for being small.
    """
    cut = cut_off(segmentation)
    findings = [
        *segmentation.findings,
        *(_cut_finding(name) for name in cut),
        *confidence_findings(segmentation),
        *volume_findings(segmentation, cut),
        *piece_findings(segmentation),
        *order_findings(segmentation),
        *skull_findings(segmentation),
    ]
    unsure = {finding.structure for finding in findings if finding.code in _UNRELIABLE}
    structures = tuple(
        replace(item, is_reliable=item.is_reliable and item.name not in unsure)
        for item in segmentation.structures
    )
    return replace(segmentation, structures=structures, findings=tuple(findings))


def confidence_findings(segmentation: Segmentation) -> list[Finding]:
    """Return the structures whose mean calibrated probability is under 0.6."""
    return [
        Finding(
            item.name,
            "LOW_CONFIDENCE",
            f"The network is unsure of the {_title(item.name)}: mean probability {item.confidence:.2f}.",
        )
        for item in segmentation.structures
        if item.confidence is not None and item.confidence < LEAST_CONFIDENCE
    ]


def volume_findings(segmentation: Segmentation, cut: tuple[str, ...] = ()) -> list[Finding]:
    """Return the structures outside the volumes of adults; one that is cut off may be small."""
    findings = []
    for item in segmentation.structures:
        usual = RANGES.get(item.name)
        is_small = usual is not None and item.volume_ml < usual.least_ml and item.name not in cut
        if usual is not None and (is_small or item.volume_ml > usual.most_ml):
            findings.append(
                Finding(
                    item.name,
                    "VOLUME_IMPLAUSIBLE",
                    f"The {_title(item.name)} measures {item.volume_ml:.0f} ml; adults have "
                    f"{usual.least_ml:.0f} to {usual.most_ml:.0f} ml.",
                )
            )
    return findings


def piece_findings(segmentation: Segmentation) -> list[Finding]:
    """Return the structures that should be one piece and of which over a tenth lies apart."""
    findings = []
    for name in IN_ONE_PIECE:
        if name in segmentation.names():
            share = largest_share(segmentation.mask(name))
            if share < LEAST_SHARE:
                sentence = f"The {_title(name)} is in pieces; the largest holds {100 * share:.0f} %."
                findings.append(Finding(name, "IN_PIECES", sentence))
    return findings


def largest_share(mask: NDArray[np.bool_]) -> float:
    """Return the share of the mask's voxels that its largest connected part holds, 0 to 1."""
    if not mask.any():
        return 0.0
    parts, count = ndimage.label(mask)
    sizes = np.zeros(count + 1, dtype=np.int64)
    for plane in parts:
        sizes += np.bincount(plane.ravel(), minlength=count + 1)
    return float(sizes[1:].max() / sizes[1:].sum())


def order_findings(segmentation: Segmentation) -> list[Finding]:
    """Return the structures that lie on the wrong side of another: left, right, above, behind."""
    findings = []
    present = set(segmentation.names())
    centres = {
        name: centre_mm(segmentation, name)
        for name in sorted({name for order in ORDERS for name in (order.first, order.second)} & present)
    }
    for order in ORDERS:
        pair = (order.first, order.second)
        if set(pair) <= set(centres) and centres[pair[0]][order.axis] <= centres[pair[1]][order.axis]:
            sentence = f"The {_title(order.first)} should lie {order.words} the {_title(order.second)}."
            findings += [Finding(name, "ORDER_IMPLAUSIBLE", sentence) for name in pair]
    return findings


def centre_mm(segmentation: Segmentation, name: str) -> NDArray[np.float64]:
    """Return the centre of gravity of a structure's voxels, LPS mm, shape (3,)."""
    mask = segmentation.mask(name)
    middle = [
        _middle(mask.sum(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)
    ]
    centre: NDArray[np.float64] = segmentation.grid.points(np.array([middle]))[0]
    return centre


def _middle(counts: NDArray[np.intp]) -> float:
    return float((np.arange(len(counts)) * counts).sum() / counts.sum())


def cut_off(segmentation: Segmentation) -> tuple[str, ...]:
    """Return the structures that reach the edge of the scan and should not."""
    border = np.zeros(256, dtype=np.bool_)
    for axis in range(3):
        for side in (0, -1):
            border[np.unique(np.take(segmentation.labels, side, axis=axis))] = True
    names = []
    for name in MUST_BE_WHOLE:
        values = [structure(part).label for part in structure(name).members] or [structure(name).label]
        if name in segmentation.names() and border[values].any():
            names.append(name)
    return tuple(names)


def _cut_finding(name: str) -> Finding:
    return Finding(
        name,
        "CUT_OFF",
        f"The {_title(name)} reaches the edge of the scan, so its measured volume is a lower bound.",
    )


def skull_findings(segmentation: Segmentation) -> list[Finding]:
    """Return a finding when the vault of the skull has an opening of more than 1 cm2."""
    if not {"skull", "brain"} <= set(segmentation.names()):
        return []
    area_cm2, where = skull_opening(segmentation)
    if area_cm2 < OPEN_SKULL_CM2:
        return []
    sentence = f"The skull is open over about {area_cm2:.0f} cm2 {where}: surgery, injury, or thin bone."
    return [Finding("skull", "SKULL_OPEN", sentence)]


def skull_opening(segmentation: Segmentation, *, rays: int = 6000) -> tuple[float, str]:
    """Return how much of the vault has no bone, in cm2 of the brain's surface, and on which side.

    Rays from the middle of the brain to everywhere above it (a spherical Fibonacci grid); a ray that
    leaves the brain and meets no bone before it ends in air is open. Its area is its solid angle times
    the square of the distance at which it left the brain: a little too small where the vault is
    oblique to it. Openings of the base (nerves, vessels, cord) lie below.
    """
    grid, centre = segmentation.grid, centre_mm(segmentation, "brain")
    directions = _upward(rays)
    steps_mm = np.arange(0.0, 140.0, 1.0)
    points = centre + directions[:, None, :] * steps_mm[None, :, None]
    voxels = np.rint(grid.indices(points.reshape(-1, 3))).astype(np.int64)
    is_held = np.asarray(((voxels >= 0) & (voxels < grid.shape)).all(axis=1))
    safe = np.where(is_held[:, None], voxels, 0)
    labels = np.where(is_held, segmentation.labels[tuple(safe.T)], 0).reshape(rays, -1)
    is_bone = labels == structure("skull").label
    brain = [structure(name).label for name in (*structure("brain").members, "csf")]
    is_brain = np.isin(labels, brain)
    leaves_mm = steps_mm[is_brain.shape[1] - 1 - np.argmax(is_brain[:, ::-1], axis=1)]
    last = is_held.reshape(rays, -1).sum(axis=1) - 1
    ends_in_air = labels[np.arange(rays), last] == 0
    is_open = ~is_bone.any(axis=1) & is_brain.any(axis=1) & ends_in_air
    area_mm2 = (leaves_mm[is_open] ** 2).sum() * 2 * np.pi / rays
    return float(area_mm2) / 100.0, _side(directions[is_open])


def _upward(rays: int) -> NDArray[np.float64]:
    """Return unit vectors spread evenly over the upper half of the sphere, LPS."""
    height = (np.arange(rays) + 0.5) / rays
    turn = np.pi * (1 + 5**0.5) * np.arange(rays)
    flat = np.sqrt(1 - height**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), height], axis=1)


def _side(directions: NDArray[np.float64]) -> str:
    if not len(directions):
        return ""
    x, y, _ = directions.mean(axis=0)
    side = "on the left" if x > 0.2 else "on the right" if x < -0.2 else "in the middle"
    return f"{side}, {'behind' if y > 0 else 'in front'}"


def _title(name: str) -> str:
    return structure(name).title
