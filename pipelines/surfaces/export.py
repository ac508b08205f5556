"""Surfaces for other programs: STL, PLY, OBJ and GLB, each saying its unit and frame.

STL, PLY and OBJ hold LPS millimetres as they are. glTF's unit is the metre and its y axis points up,
so a GLB keeps LPS millimetres in its buffers and turns and scales them by the matrix of its root
node (glTF 2.0, 3.4 "Coordinate System and Units": +y up, the front of an asset faces +z).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviz import notice
from medviz.core.anatomy import structure
from medviz.core.surface import Surface
from pipelines.surfaces.shape import vertex_normals

OPACITIES: Mapping[str, float] = {
    "skin": 0.25,
    "soft_tissue": 0.25,
    "skull": 0.5,
    "brain": 0.6,
    "cerebrum": 0.6,
    "csf": 0.3,
}
LPS_MM_TO_GLTF = (0.001, 0, 0, 0, 0, 0, -0.001, 0, 0, 0.001, 0, 0, 0, 0, 0, 1)  # column by column
_STL_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_PLY_VERTEX = np.dtype([("point", "<f4", 3), ("colour", "u1", 3)])
_PLY_FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
_FLOAT, _UINT = 5126, 5125
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963


def export_surfaces(surfaces: Sequence[Surface], folder: Path) -> tuple[Path, ...]:
    """Write an STL and a PLY for each surface, and one OBJ and one GLB of all; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for surface in surfaces:
        files += [folder / f"{surface.name}.stl", folder / f"{surface.name}.ply"]
        export_stl(surface, files[-2])
        export_ply(surface, files[-1])
    export_obj(surfaces, folder / "surfaces.obj")
    export_glb(surfaces, folder / "surfaces.glb")
    return (*files, folder / "surfaces.obj", folder / "surfaces.mtl", folder / "surfaces.glb")


def export_stl(surface: Surface, path: Path) -> None:
    """Write a binary STL in LPS mm; its 80-byte header names unit, frame and structure."""
    header = f"units=mm frame=LPS structure={surface.name} NOT FOR DIAGNOSIS"
    if surface.shows_face:
        header += " RECOGNISABLE"
    corners = surface.vertices_mm[surface.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    records = np.zeros(len(corners), dtype=_STL_RECORD)
    records["normal"] = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
    records["corners"] = corners
    count = struct.pack("<I", len(corners))
    path.write_bytes(header.encode("ascii")[:80].ljust(80) + count + records.tobytes())


def export_ply(surface: Surface, path: Path) -> None:
    """Write a binary PLY in LPS mm with the structure's colour; unit and frame stand in its comments."""
    header = "\n".join(
        [
            "ply",
            "format binary_little_endian 1.0",
            *(f"comment {line}" for line in _remarks(surface)),
            f"element vertex {len(surface.vertices_mm)}",
            *(f"property float {axis}" for axis in "xyz"),
            *(f"property uchar {colour}" for colour in ("red", "green", "blue")),
            f"element face {len(surface.triangles)}",
            "property list uchar int vertex_indices",
            "end_header\n",
        ]
    )
    vertices = np.zeros(len(surface.vertices_mm), dtype=_PLY_VERTEX)
    vertices["point"] = surface.vertices_mm
    vertices["colour"] = np.round(np.array(surface.colour) * 255)
    faces = np.zeros(len(surface.triangles), dtype=_PLY_FACE)
    faces["count"], faces["corners"] = 3, surface.triangles
    path.write_bytes(header.encode("ascii") + vertices.tobytes() + faces.tobytes())


def export_obj(surfaces: Sequence[Surface], path: Path) -> None:
    """Write one OBJ in LPS mm, one object and group per structure, and its colours in a `.mtl` beside it."""
    words = notice(shows_face=any(surface.shows_face for surface in surfaces))
    lines = ["# units=mm frame=LPS", f"# {words}", f"mtllib {path.with_suffix('.mtl').name}"]
    first = 1
    for surface in surfaces:
        lines += [f"# {line}" for line in _remarks(surface)]
        lines += [f"o {surface.name}", f"g {surface.name}", f"usemtl {surface.name}"]
        lines += [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in surface.vertices_mm.tolist()]
        lines += [f"f {a} {b} {c}" for a, b, c in (surface.triangles + first).tolist()]
        first += len(surface.vertices_mm)
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    materials = [line for surface in surfaces for line in _material_lines(surface)]
    path.with_suffix(".mtl").write_text("\n".join(materials) + "\n", encoding="ascii")


def _material_lines(surface: Surface) -> list[str]:
    red, green, blue = surface.colour
    return [
        f"newmtl {surface.name}",
        f"Kd {red:.4f} {green:.4f} {blue:.4f}",
        f"d {OPACITIES.get(surface.name, 1.0):.2f}",
    ]


def _remarks(surface: Surface) -> list[str]:
    """Return what a file says about itself: unit, frame, structure, error and that it is a draft."""
    error = surface.error
    sure = "reliable" if surface.is_reliable else "UNSURE: check against the images"
    return [
        f"units=mm frame=LPS structure={surface.name}",
        f"volume_ml={surface.volume_ml:.3f} volume_error_percent={error.volume_percent:.3f}",
        f"distance_to_voxels_mm mean={error.mean_mm:.3f} p95={error.p95_mm:.3f} max={error.max_mm:.3f}",
        f"confidence: {sure}",
        notice(shows_face=surface.shows_face),
    ]


def export_glb(
    surfaces: Sequence[Surface], path: Path, *, opacities: Mapping[str, float] = OPACITIES
) -> None:
    """Write one GLB: node, mesh and material per structure, under a root that turns LPS mm to m.

    Parameters
    ----------
    opacities : mapping
        Structure to opacity, 0 to 1; what is missing is opaque.
    """
    scene = _Scene()
    for surface in surfaces:
        scene.add(surface, opacities.get(surface.name, 1.0))
    text = json.dumps(scene.document(), sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary = bytes(scene.buffer)
    chunks = (
        struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    )
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)


class _Scene:
    """A glTF document under construction."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self._views: list[dict[str, object]] = []
        self._accessors: list[dict[str, object]] = []
        self._meshes: list[dict[str, object]] = []
        self._materials: list[dict[str, object]] = []
        self._nodes: list[dict[str, object]] = []
        self._frame, self._shows_face = "", False

    def add(self, surface: Surface, opacity: float) -> None:
        """Add a surface as node, mesh and material of one number."""
        number = len(self._meshes)
        normals = vertex_normals(surface.vertices_mm, surface.triangles).astype("<f4")
        normals[~normals.any(axis=1)] = (0, 0, 1)
        position = self._accessor(surface.vertices_mm.astype("<f4"), "VEC3", _FLOAT, _ARRAY_BUFFER)
        self._accessors[position]["min"] = surface.vertices_mm.min(axis=0).tolist()
        self._accessors[position]["max"] = surface.vertices_mm.max(axis=0).tolist()
        normal = self._accessor(normals, "VEC3", _FLOAT, _ARRAY_BUFFER)
        corners = self._accessor(surface.triangles.astype("<u4").ravel(), "SCALAR", _UINT, _ELEMENT_BUFFER)
        primitive = {
            "attributes": {"POSITION": position, "NORMAL": normal},
            "indices": corners,
            "material": number,
        }
        self._meshes.append({"name": surface.name, "primitives": [primitive]})
        self._materials.append(_material(surface, opacity))
        self._nodes.append({"name": surface.name, "mesh": number, "extras": _extras(surface)})
        self._frame = surface.frame_of_reference
        self._shows_face |= surface.shows_face

    def document(self) -> dict[str, object]:
        """Return the glTF document."""
        root = len(self._nodes)
        children = list(range(root))
        return {
            "asset": {"version": "2.0", "generator": "MedViz", "extras": self._about()},
            "scene": 0,
            "scenes": [{"name": "patient", "nodes": [root]}],
            "nodes": [
                *self._nodes,
                {"name": "patient_lps_mm", "matrix": LPS_MM_TO_GLTF, "children": children},
            ],
            "meshes": self._meshes,
            "materials": self._materials,
            "accessors": self._accessors,
            "bufferViews": self._views,
            "buffers": [{"byteLength": len(self.buffer)}],
        }

    def _about(self) -> dict[str, str]:
        return {
            "units": "metres; the buffers hold millimetres under the matrix of node patient_lps_mm",
            "frame": "y up, z anterior, x left; the buffers hold DICOM patient coordinates (LPS)",
            "frame_of_reference": self._frame,
            "note": notice(shows_face=self._shows_face),
        }

    def _accessor(self, values: NDArray[Any], kind: str, component: int, target: int) -> int:
        data = np.ascontiguousarray(values).tobytes()
        view: dict[str, object] = {
            "buffer": 0,
            "byteOffset": len(self.buffer),
            "byteLength": len(data),
            "target": target,
        }
        self._views.append(view)
        self.buffer += data
        self._accessors.append(
            {
                "bufferView": len(self._views) - 1,
                "componentType": component,
                "count": len(values),
                "type": kind,
            }
        )
        return len(self._accessors) - 1


def _material(surface: Surface, opacity: float) -> dict[str, object]:
    """Return a matt two-sided material; glTF wants linear colour, ours is sRGB (IEC 61966-2-1)."""
    srgb = np.array(surface.colour)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    shading = {
        "baseColorFactor": [*np.round(linear, 6).tolist(), opacity],
        "metallicFactor": 0.0,
        "roughnessFactor": 0.7,
    }
    material: dict[str, object] = {"name": surface.name, "pbrMetallicRoughness": shading, "doubleSided": True}
    if opacity < 1:
        material["alphaMode"] = "BLEND"
    return material


def _extras(surface: Surface) -> dict[str, object]:
    return {
        "title": structure(surface.name).title,
        "snomed_ct": structure(surface.name).snomed_code,
        "volume_ml": round(surface.volume_ml, 3),
        "is_reliable": surface.is_reliable,
        "error_p95_mm": round(surface.error.p95_mm, 3),
    }
