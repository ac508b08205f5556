"""The grid agrees with DICOM's formula, with NIfTI's readers and with ITK."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medviz.core.space import (
    Grid,
    ItkGeometry,
    grid_from_itk,
    grid_from_nifti,
    itk_geometry,
    nifti_affine,
    orientation_letters,
)

ANGLES = st.tuples(*[st.floats(-180, 180)] * 3)
SPACINGS = st.tuples(*[st.floats(0.2, 6.0)] * 3)


def grid_of(angles: tuple[float, ...], spacing: tuple[float, ...], shape: tuple[int, int, int]) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * np.asarray(spacing)
    affine[:3, 3] = (-11.0, 23.0, 5.0)
    return Grid(shape, affine, "1.2.3")


@given(ANGLES, SPACINGS)
@settings(max_examples=50, deadline=None)
def test_a_point_goes_to_an_index_and_back(angles: tuple[float, ...], spacing: tuple[float, ...]) -> None:
    grid = grid_of(angles, spacing, (4, 5, 6))
    index = np.array([[1.5, 2.25, 3.0]])
    assert np.allclose(grid.indices(grid.points(index)), index)


@given(ANGLES, SPACINGS)
@settings(max_examples=30, deadline=None)
def test_itk_puts_every_corner_at_the_same_millimetre(
    angles: tuple[float, ...], spacing: tuple[float, ...]
) -> None:
    grid = grid_of(angles, spacing, (4, 5, 6))
    image = sitk.Image([6, 5, 4], sitk.sitkUInt8)
    geometry = itk_geometry(grid)
    image.SetOrigin(geometry.origin)
    image.SetSpacing(geometry.spacing)
    image.SetDirection(geometry.direction)
    for corner in ((0, 0, 0), (3, 4, 5), (1, 0, 5)):
        ours = grid.points(np.array([corner]))[0]
        assert np.allclose(image.TransformIndexToPhysicalPoint(corner[::-1]), ours, atol=1e-6)
    back = grid_from_itk(
        (6, 5, 4), ItkGeometry(geometry.origin, geometry.spacing, geometry.direction), "1.2.3"
    )
    assert back.is_same_as(grid)


def test_nifti_readers_see_the_same_place_in_ras(tmp_path: Path) -> None:
    grid = grid_of((20, -30, 75), (1.5, 0.7, 0.9), (4, 5, 6))
    array = np.arange(120, dtype=np.int16).reshape(grid.shape)
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(array.transpose(2, 1, 0), nifti_affine(grid)), path)
    image = sitk.ReadImage(str(path))  # ITK turns NIfTI's RAS into LPS by itself
    assert np.allclose(
        image.TransformIndexToPhysicalPoint((5, 4, 3)), grid.points(np.array([[3, 4, 5]]))[0], atol=1e-4
    )
    assert np.array_equal(sitk.GetArrayFromImage(image), array)
    loaded = nibabel.load(path)
    assert grid_from_nifti(loaded.shape, loaded.affine, "1.2.3").is_same_as(grid)


def test_a_usual_axial_stack_grows_up_back_and_left() -> None:
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = 1.5, 0.9, 0.9, 1
    assert orientation_letters(Grid((2, 2, 2), affine)) == "SPL"


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_grid_with_a_zero_spacing_cannot_exist(column: int) -> None:
    affine = np.eye(4)
    affine[:3, column] = 0
    with pytest.raises(ValueError, match="spacing"):
        Grid((2, 2, 2), affine)


def test_a_sheared_grid_cannot_exist() -> None:
    affine = np.eye(4)
    affine[1, 0] = 0.26
    with pytest.raises(ValueError, match="right angles"):
        Grid((2, 2, 2), affine)
