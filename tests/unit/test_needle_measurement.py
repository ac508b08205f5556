"""Lengths, angles and distances against closed-form answers on spheres painted into voxels."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.planning.headframe import head_frame
from pipelines.planning.path import boundary_mm, make_ruler
from pipelines.planning.target import margin_at
from tests.make_head import Head, Part, make_grid, make_head, make_segmentation, rotation

SKIN_MM, SKULL_MM, BRAIN_MM, VENTRICLE_MM = 88.0, 80.0, 72.0, 14.0
RISKS = {"brainstem": ((30.0, 0.0, -5.0), 10.0), "deep_grey": ((-26.0, -18.0, 12.0), 8.0)}
RADIUS_MM = 1.25


@pytest.fixture(scope="module")
def spheres() -> Head:
    ball = lambda name, radius, level: Part(name, (0, 0, 0), (radius,) * 3, level)  # noqa: E731
    risks = [Part(name, centre, (radius,) * 3, 30) for name, (centre, radius) in RISKS.items()]
    parts = (
        ball("soft_tissue", SKIN_MM, 40),
        ball("skull", SKULL_MM, 1000),
        ball("cerebrum", BRAIN_MM, 35),
        ball("ventricles", VENTRICLE_MM, 5),
        *risks,
    )
    return make_head(parts, spacing_mm=(1.0, 1.0, 1.0))


def from_sphere(target, outward, radius_mm) -> float:
    """Return the distance from a point to a centred sphere along a unit vector (quadratic formula)."""
    along = float(target @ outward)
    return float(-along + np.sqrt(along**2 - (target @ target - radius_mm**2)))


# target (head's own axes), direction outward: straight, steep, oblique, from the side, past the brainstem
TABLE = [
    ((0, 0, 0), (0, 0, 1)),
    ((0, 0, 0), (-0.3, -0.5, 0.8)),
    ((4, -6, 3), (0.35, -0.55, 0.75)),
    ((-5, 5, -4), (-0.7, 0.2, 0.7)),
    ((6, 2, -2), (0.95, 0.1, 0.3)),
    ((2, -9, 1), (0.9, 0.3, 0.35)),
]


@pytest.mark.parametrize(("target", "outward"), TABLE)
def test_a_path_is_measured_within_half_a_millimetre_and_one_degree(spheres, target, outward):
    own = np.array(target, dtype=float)
    way = np.array(outward) / np.linalg.norm(outward)
    ruler = make_ruler(spheres.segmentation, tuple(RISKS))
    profile = ruler.profile(np.array(spheres.place(target)), way)
    assert profile is not None
    measured = ruler.trajectory(profile, radius_mm=RADIUS_MM)

    length, skull = from_sphere(own, way, SKIN_MM), from_sphere(own, way, SKULL_MM)
    brain, wall = from_sphere(own, way, BRAIN_MM), from_sphere(own, way, VENTRICLE_MM)
    assert measured.length_mm == pytest.approx(length, abs=0.5)
    assert profile.skull_depth_mm == pytest.approx(length - skull, abs=0.6)
    assert profile.inside_mm(["skull"]) == pytest.approx(skull - brain, abs=0.6)
    assert profile.inside_mm(["ventricles"]) == pytest.approx(wall, abs=0.5)
    for radius, angle in ((SKIN_MM, measured.angle_to_skin_deg), (SKULL_MM, measured.angle_to_skull_deg)):
        point = own + from_sphere(own, way, radius) * way
        assert angle == pytest.approx(np.degrees(np.arcsin(point @ way / radius)), abs=1.0)
    for clearance in measured.clearances:
        centre, radius = RISKS[clearance.structure]
        offset = np.array(centre) - own
        nearest = np.clip(offset @ way, 0, length) * way
        expected = float(np.linalg.norm(offset - nearest)) - radius - RADIUS_MM
        if expected > -RADIUS_MM:
            assert clearance.distance_mm == pytest.approx(expected, abs=0.5)
            assert abs(clearance.distance_mm - expected) <= clearance.uncertainty_mm


def test_a_needle_through_a_structure_has_a_negative_distance_to_it(spheres):
    ruler = make_ruler(spheres.segmentation, ("brainstem",))
    target = np.zeros(3)
    way = np.array(RISKS["brainstem"][0]) / np.linalg.norm(RISKS["brainstem"][0])
    profile = ruler.profile(np.array(spheres.place(target)), way)
    assert profile is not None
    clearance = ruler.trajectory(profile, radius_mm=RADIUS_MM).clearances[0]
    assert clearance.distance_mm == pytest.approx(-10.0 - RADIUS_MM, abs=0.7)
    assert "brainstem" in [run.structure for run in profile.runs()]


def test_the_structures_on_the_way_are_named_in_order(spheres):
    ruler = make_ruler(spheres.segmentation, ())
    profile = ruler.profile(np.array(spheres.place((0, 0, 0))), np.array([0.0, -0.6, 0.8]))
    assert profile is not None
    runs = profile.runs()
    assert [run.structure for run in runs] == ["soft_tissue", "skull", "cerebrum", "ventricles"]
    assert runs[0].from_mm == 0
    assert runs[-1].to_mm == pytest.approx(profile.length_mm)


def test_a_way_that_leaves_the_image_inside_the_head_has_no_profile(spheres):
    labels = spheres.segmentation.labels[:130]  # the vertex is cut off
    grid = make_grid((1.0, 1.0, 1.0))
    cut = make_segmentation(labels.copy(), type(grid)(labels.shape, grid.affine, grid.frame_of_reference))
    ruler = make_ruler(cut, ())
    assert ruler.profile(np.array(spheres.place((0, 0, 0))), np.array([0.0, 0.0, 1.0])) is None


def test_a_surface_point_lies_on_its_sphere_within_a_third_of_a_voxel(spheres):
    centre, radius = RISKS["brainstem"]
    points = boundary_mm(spheres.segmentation, "brainstem")
    away = np.linalg.norm(points - np.array(spheres.place(centre)), axis=1) - radius
    assert np.abs(away).max() < 0.5
    assert abs(away.mean()) < 0.1


def test_the_margin_of_a_point_is_its_distance_to_the_wall(spheres):
    at = np.array(spheres.place((4.0, 3.0, 0.0)))
    assert margin_at(spheres.segmentation, "ventricles", at) == pytest.approx(VENTRICLE_MM - 5.0, abs=0.5)


@pytest.mark.parametrize(("about_z", "about_y"), [(0, 0), (12, 8), (-20, -10)])
def test_the_midline_of_a_turned_head_is_found_within_a_degree(about_z, about_y):
    head = make_head(to_patient=rotation(2, about_z) @ rotation(1, about_y))
    frame = head_frame(head.segmentation)
    left = head.to_patient[:, 0]
    assert np.degrees(np.arccos(np.clip(frame.axes[0] @ left, -1, 1))) < 1.0
    assert abs((frame.origin_mm - np.array(head.centre_mm)) @ left) < 0.5
    assert frame.own(np.array([head.place((30.0, 0, 0))]))[0, 0] == pytest.approx(30.0, abs=1.0)
