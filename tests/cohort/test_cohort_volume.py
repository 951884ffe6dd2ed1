import gzip
from pathlib import Path

import numpy as np
import pytest

from konsil.cohort.derivative import fingerprint, is_current, sidecar, stamp
from konsil.cohort.grid import as_itk, coarsened, from_itk, ras_matrix
from konsil.cohort.volume import Volume, read_mask, read_volume, write_volume
from konsil.errors import BadInput, Missing

OBLIQUE = np.array([[0.9, -0.2, 0, 5], [0.2, 0.9, 0, -7], [0, 0, 2, 3], [0, 0, 0, 1.0]])


def ramp(dtype: type = np.int16) -> Volume:
    return Volume(np.arange(60).reshape(3, 4, 5).astype(dtype), OBLIQUE)


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint8])
def test_writing_and_reading_keeps_voxels_and_place(tmp_path: Path, dtype: type) -> None:
    write_volume(tmp_path / "a.nii.gz", ramp(dtype))
    read = read_volume(tmp_path / "a.nii.gz", "the image")
    np.testing.assert_array_equal(read.data, ramp().data)
    np.testing.assert_allclose(read.affine, OBLIQUE, atol=1e-6)


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / name, ramp())
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_itk_shows_a_voxel_at_the_same_place_in_its_own_frame() -> None:
    image = as_itk(ramp())
    point = OBLIQUE @ [2, 1, 3, 1]
    assert image.TransformIndexToPhysicalPoint((2, 1, 3)) == pytest.approx((-point[0], -point[1], point[2]))
    assert image[2, 1, 3] == ramp().data[2, 1, 3]
    back = from_itk(image)
    np.testing.assert_array_equal(back.data, ramp().data)
    np.testing.assert_allclose(back.affine, OBLIQUE, atol=1e-9)


def test_a_linear_ramp_survives_coarsening() -> None:
    x = np.arange(40, dtype=np.float32)
    volume = Volume(np.broadcast_to(x[:, None, None], (40, 40, 40)).copy(), np.eye(4))
    small = from_itk(coarsened(as_itk(volume), 4.0))
    assert small.spacing_mm == pytest.approx([4, 4, 4])
    centres = small.affine[0, 0] * np.arange(10) + small.affine[0, 3]
    np.testing.assert_allclose(small.data[2:8, 5, 5], centres[2:8], atol=0.02)


def test_a_shift_in_lps_is_the_opposite_shift_in_ras() -> None:
    import SimpleITK as sitk

    matrix = ras_matrix(sitk.TranslationTransform(3, (1.0, 2.0, 3.0)))
    np.testing.assert_allclose(matrix[:3, 3], [-1, -2, 3])


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        (Volume(np.zeros((3, 3, 3), np.float32), np.eye(4)), "empty"),
        (Volume(np.full((3, 3, 3, 2), 1.0, np.float32), np.eye(4)), "not one 3-D image"),
        (Volume(np.arange(27.0).reshape(3, 3, 3) * np.nan, np.eye(4)), "no numbers"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, volume: Volume, words: str) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(volume.data, volume.affine), tmp_path / "a.nii.gz")
    with pytest.raises(BadInput, match=f"the scan.*{words}"):
        read_volume(tmp_path / "a.nii.gz", "the scan")


def test_a_sheared_grid_is_refused(tmp_path: Path) -> None:
    import nibabel

    sheared = np.eye(4)
    sheared[1, 2] = 0.2
    image = nibabel.Nifti1Image(ramp().data, sheared)
    nibabel.save(image, tmp_path / "a.nii.gz")
    with pytest.raises(BadInput, match="rectangular grid"):
        read_volume(tmp_path / "a.nii.gz", "the scan")


def test_a_truncated_file_is_refused_and_an_absent_one_missing(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz", ramp())
    whole = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="cannot be read"):
        read_volume(tmp_path / "a.nii.gz", "the scan")
    with pytest.raises(Missing):
        read_volume(tmp_path / "b.nii.gz", "the scan")


def test_a_changed_byte_is_noticed_by_the_checksum(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz", ramp())
    content = bytearray(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()))
    content[-1] ^= 1
    packed = bytearray(gzip.compress(bytes(content)))
    packed[-8:] = (tmp_path / "a.nii.gz").read_bytes()[-8:]  # checksum and length of what was meant
    (tmp_path / "a.nii.gz").write_bytes(packed)
    with pytest.raises(BadInput, match="cannot be read"):
        read_volume(tmp_path / "a.nii.gz", "the scan")


@pytest.mark.parametrize("kind", ["Nifti1Image", "Nifti2Image"])
def test_what_others_wrote_is_read_as_well(tmp_path: Path, kind: str) -> None:
    import nibabel

    for name in ("a.nii.gz", "a.nii"):
        nibabel.save(getattr(nibabel, kind)(ramp().data, OBLIQUE), tmp_path / name)
        np.testing.assert_array_equal(read_volume(tmp_path / name, "the image").data, ramp().data)


def test_a_mask_is_true_above_0(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz", ramp(np.uint8))
    mask = read_mask(tmp_path / "a.nii.gz", "the mask").data
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, ramp().data > 0)


def test_a_derived_file_is_current_until_its_source_changes(tmp_path: Path) -> None:
    source, made = tmp_path / "raw.nii.gz", tmp_path / "made.nii.gz"
    source.write_bytes(b"one")
    inputs = fingerprint({"raw": source})
    assert not is_current(made, inputs)
    made.write_bytes(b"result")
    assert not is_current(made, inputs), "without its sidecar a file may be from a killed run"
    stamp(made, "test", {"raw": source}, inputs)
    assert sidecar(made).name == "made.json"
    assert is_current(made, inputs)
    source.write_bytes(b"two")
    assert not is_current(made, fingerprint({"raw": source}))
