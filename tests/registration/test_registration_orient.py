from pathlib import Path

import numpy as np
import pytest

from konsil.cohort.cases import Case
from konsil.cohort.folder import SiteFolder
from konsil.cohort.volume import Volume, read_volume, write_volume
from konsil.registration.orient import closest_canonical, orient

SAGITTAL = np.array([[0, 0, 2.0, -9], [-1, 0, 0, 4], [0, -1, 0, 5], [0, 0, 0, 1]])  # i to the back, j down, k right


def test_every_voxel_keeps_its_value_and_its_place() -> None:
    volume = Volume(np.arange(24, dtype=np.int16).reshape(2, 3, 4), SAGITTAL)
    turned = closest_canonical(volume)
    assert turned.data.shape == (4, 2, 3)
    assert (np.diag(turned.affine)[:3] > 0).all()
    for index in np.ndindex(volume.data.shape):
        point = SAGITTAL @ [*index, 1]
        i, j, k, _ = np.rint(np.linalg.inv(turned.affine) @ point).astype(int)
        assert turned.data[i, j, k] == volume.data[index]


def test_orient_is_done_once_per_input_and_again_when_it_changes(tmp_path: Path) -> None:
    cohort, case = SiteFolder(tmp_path).cohort("one"), Case("a", "1")
    volume = Volume(np.arange(24, dtype=np.int16).reshape(2, 3, 4), SAGITTAL)
    write_volume(cohort.raw(case, "T1w"), volume)
    assert orient(cohort).done == (str(case),)
    made = cohort.oriented(case, "T1w")
    first = made.stat().st_mtime_ns
    orient(cohort)
    assert made.stat().st_mtime_ns == first
    write_volume(cohort.raw(case, "T1w"), Volume(volume.data + 1, SAGITTAL))
    orient(cohort)
    assert read_volume(made, "it").data.max() == 24


def test_a_broken_image_is_set_aside_and_comes_back_when_mended(tmp_path: Path) -> None:
    cohort, case = SiteFolder(tmp_path).cohort("one"), Case("a", "1")
    raw = cohort.raw(case, "FLAIR")
    raw.parent.mkdir(parents=True)
    raw.write_bytes(b"this is no image")
    assert "the raw FLAIR cannot be read" in orient(cohort).set_aside[str(case)]
    write_volume(raw, Volume(np.arange(24, dtype=np.int16).reshape(2, 3, 4), SAGITTAL))
    assert orient(cohort).done == (str(case),)
    assert cohort.set_aside_cases() == {}


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_whole_numbers_stay_whole_numbers(tmp_path: Path, dtype: type) -> None:
    cohort, case = SiteFolder(tmp_path).cohort("one"), Case("a", "1")
    write_volume(cohort.raw(case, "T1w"), Volume(np.arange(24).reshape(2, 3, 4).astype(dtype), SAGITTAL))
    orient(cohort)
    assert read_volume(cohort.oriented(case, "T1w"), "it").data.dtype == dtype


def test_lesions_drawn_on_oblique_slices_keep_their_volume_and_their_place() -> None:
    """Turned by 25 degrees and stored sagittally: only the order of the voxels may change, none is interpolated."""
    turn = np.deg2rad(25)
    oblique = np.eye(4)
    oblique[:3, :3] = [[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]
    drawn = np.zeros((20, 30, 30), np.uint8)
    drawn[4:7, 10:15, 20:22] = 1
    before = Volume(drawn, oblique @ SAGITTAL)
    after = closest_canonical(before)
    assert set(np.unique(after.data)) == {0, 1}
    assert after.data.sum() * after.voxel_ml == pytest.approx(drawn.sum() * before.voxel_ml)
    middles = [v.affine[:3, :3] @ np.argwhere(v.data).mean(0) + v.affine[:3, 3] for v in (before, after)]
    np.testing.assert_allclose(middles[1], middles[0], atol=1e-9)
    assert (np.diag(after.affine)[:3] > 0).all()
