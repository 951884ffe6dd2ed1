"""Where work is left out, the measure stays the one that its definition says: compared with the plain way of taking it.

The plain ways go over the whole image; they are slower by a factor of two to ten, and nobody needs them but this page.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
from scipy import ndimage

from konsil.cohort.grid import as_itk, coarsened, from_itk
from konsil.cohort.growth import distance_mm
from konsil.cohort.volume import Volume
from konsil.phantom.patient import make_patient
from konsil.quality.air import air_structure, corrupted_air, histogram
from konsil.quality.artifact_score import averaged
from konsil.quality.atlas import Placement, brain, lay, place_atlas
from konsil.quality.boundary import follow
from konsil.quality.ghosts import ghosts, streaks
from konsil.quality.masks import LEAST_OVERLAP, draw, overlap
from konsil.quality.noise import noise_sd
from konsil.quality.regions import Regions, find_regions
from konsil.quality.sharpness import efc

Head = tuple[Volume, Placement, Regions]


@pytest.fixture(scope="module", params=["A", "B", "C"])
def head(request: pytest.FixtureRequest) -> Head:
    """The FLAIR of one patient of each site, with a bright block in the air."""
    image = make_patient(11, request.param, resolution_mm=2.5).flair
    volume = Volume(image.array.copy(), image.affine)
    placement = place_atlas(volume)
    regions = find_regions(volume, draw(volume, placement).data > 0, placement)
    deep = np.argwhere(ndimage.binary_erosion(regions.air, iterations=4))
    x, y, z = deep[len(deep) // 2]
    volume.data[x - 2 : x + 3, y - 2 : y + 3, z - 2 : z + 3] += 3000
    return volume, placement, regions


def plain_coarsened(image: Any, grid_mm: float) -> Any:
    """ITK's own filters, one after another."""
    spacing = np.array(image.GetSpacing())
    target = np.maximum(spacing, grid_mm)
    for axis in np.flatnonzero(spacing < 0.8 * grid_mm):
        zero = sitk.RecursiveGaussianImageFilter.ZeroOrder
        image = sitk.RecursiveGaussian(image, 0.42 * grid_mm, False, zero, int(axis))
    size = np.maximum(np.ceil(np.array(image.GetSize()) * spacing / target), 4).astype(int)
    axes = np.array(image.GetDirection()).reshape(3, 3)
    origin = np.array(image.GetOrigin()) + axes @ ((target - spacing) / 2)
    plan = (size.tolist(), sitk.Transform(), sitk.sitkLinear, origin.tolist(), target.tolist(), image.GetDirection())
    return sitk.Resample(image, *plan)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9, 3.4, 5.0), (2.0, 2.0, 3.9)])
def test_smoothing_by_matrices_is_the_smoothing_of_itk(spacing: tuple[float, ...]) -> None:
    turn = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * spacing, [5, -7, 3]
    image = as_itk(Volume(np.random.default_rng(1).integers(0, 1000, (31, 25, 23)).astype(np.int16), affine))
    plain, quick = from_itk(plain_coarsened(image, 4.0)), from_itk(coarsened(image, 4.0))
    np.testing.assert_allclose(quick.data, plain.data, atol=1e-3)
    np.testing.assert_allclose(quick.affine, plain.affine, atol=1e-9)


def test_the_atlas_lies_where_a_look_at_every_voxel_lays_it(head: Head) -> None:
    image, placement, _ = head
    atlas = brain()
    matrix = np.linalg.inv(placement.matrix @ atlas.affine) @ image.affine
    plain = ndimage.affine_transform(atlas.data, matrix[:3, :3], matrix[:3, 3], image.data.shape, order=1)
    index = np.moveaxis(np.indices(image.data.shape), 0, -1) @ matrix[:3, :3].T + matrix[:3, 3]
    ends = ((index < 0) | (index > np.array(atlas.data.shape) - 1)).any(axis=-1)  # ITK goes on for half a voxel
    np.testing.assert_allclose(lay(atlas, placement, image)[~ends], plain[~ends], atol=1e-4)


def test_two_outlines_are_compared_on_few_voxels_as_on_all(head: Head) -> None:
    image, placement, _ = head
    fine = Volume(np.zeros(np.array(image.data.shape) * 2, np.int16), image.affine @ np.diag([0.5, 0.5, 0.5, 1.0]))
    drawn = follow(image, lay(brain(), placement, image), fine)
    outline = lay(brain(), placement, fine) > 0.5
    plain = 2 * (outline & drawn).sum() / (outline.sum() + drawn.sum())
    assert overlap(Volume(drawn, fine.affine), placement) == pytest.approx(plain, abs=0.002)
    assert LEAST_OVERLAP < plain < 0.999


def test_an_outline_that_strays_from_the_atlas_gives_way_to_it(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    image, placement, _ = head
    outline = lay(brain(), placement, image) > 0.5
    assert (draw(image, placement).data != outline).any()
    monkeypatch.setattr("konsil.quality.masks.LEAST_OVERLAP", 1.01)
    assert (draw(image, placement).data == outline).all()


def test_the_depth_of_a_brain_is_that_of_a_distance_map(head: Head) -> None:
    image, _, regions = head
    plain = ndimage.distance_transform_edt(regions.brain, sampling=image.spacing_mm)
    np.testing.assert_allclose(distance_mm(~regions.brain, image.spacing_mm), plain, atol=1e-4)


def test_noise_in_a_box_is_the_noise_of_the_blocks_of_the_whole(head: Head) -> None:
    image, _, regions = head
    even = tuple(slice(0, size // 2 * 2) for size in image.data.shape)
    detail, inside = image.data[even].astype(float), regions.parenchyma[even]
    for axis in range(3):
        one, two = (tuple(slice(start, None, 2) if k == axis else slice(None) for k in range(3)) for start in range(2))
        detail, inside = detail[one] - detail[two], inside[one] & inside[two]
    plain = np.median(np.abs(detail[inside])) / np.sqrt(8) / 0.6745
    assert noise_sd(image.data, regions.parenchyma) == pytest.approx(plain, rel=1e-12)


def test_ghosts_and_streaks_are_differences_of_means(head: Head) -> None:
    image, _, regions = head
    data, air, inside = image.data, regions.air, regions.brain
    signal = np.median(data[inside])
    lines = [inside.any(axis=axis, keepdims=True) for axis in range(3)]
    nowhere = air & ~(lines[0] | lines[1] | lines[2])
    for axis in range(3):
        ghost = np.roll(inside, data.shape[axis] // 2, axis=axis)
        for found, where, elsewhere in (
            (ghosts(data, inside, air)[axis], air & ghost, air & ~ghost),
            (streaks(data, inside, air)[axis], air & lines[axis], nowhere),
        ):
            if min(where.sum(), elsewhere.sum()) >= 200:
                assert found == pytest.approx((data[where].mean() - data[elsewhere].mean()) / signal, abs=1e-9)
            else:
                assert found is None


def test_the_air_is_measured_as_if_nobody_had_cut_it_out(head: Head) -> None:
    image, _, regions = head
    data, air = image.data, regions.air
    whole = ndimage.minimum_filter(air, 3, mode="constant")
    plain = ndimage.uniform_filter(data.astype(np.float32), 3)[whole].std() * np.sqrt(27) / data[air].std()
    assert air_structure(data, air) == pytest.approx(plain, rel=1e-4)
    values = data[air].astype(float)
    limit = np.median(values) + 10 * np.median(np.abs(values - np.median(values))) / 0.6745
    opened = ndimage.binary_opening(air & (data > limit), ndimage.generate_binary_structure(3, 1))
    assert opened.any(), "the block shows"
    np.testing.assert_array_equal(corrupted_air(data, air), opened)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_a_histogram_counts_every_value_once(kind: type) -> None:
    values = np.random.default_rng(3).rayleigh(30, 20000).astype(kind)
    counts, edges = histogram(values)
    assert counts.sum() == values.size
    middle = len(counts) // 3
    between = (values >= edges[middle]) & (values < edges[middle + 1])
    assert counts[middle] == between.sum()


def test_the_entropy_of_whole_numbers_is_that_of_the_same_numbers_as_decimals(head: Head) -> None:
    image, _, _ = head
    values = np.abs(image.data[image.data != 0].astype(float))
    shares = values / np.sqrt((values**2).sum())
    root = np.sqrt(image.data.size)
    assert efc(image.data) == pytest.approx(-(shares * np.log(shares)).sum() / (root * np.log(root)), rel=1e-9)
    assert efc(image.data.astype(np.float32)) == pytest.approx(efc(image.data), rel=1e-6)


def test_blocks_are_means(head: Head) -> None:
    image, _, _ = head
    fine = Volume(image.data[:40, :42, :44], np.diag([1.0, 1.0, 0.7, 1.0]))
    cut: npt.NDArray[Any] = fine.data[:, :, :42].reshape(20, 2, 21, 2, 14, 3)
    np.testing.assert_allclose(averaged(fine).data, cut.mean(axis=(1, 3, 5)), rtol=1e-5)
