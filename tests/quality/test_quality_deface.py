"""The face goes, the brain stays to the last bit: on a phantom whose brain is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.cohort.adopt import Pair, adopt
from konsil.cohort.folder import SiteFolder
from konsil.cohort.frozen import read_frozen
from konsil.cohort.volume import Volume, read_volume, write_volume
from konsil.phantom.patient import Patient
from konsil.quality.deface import MARGIN_MM, defaced, face_of


@pytest.fixture(scope="module")
def heads(phantom: Patient) -> dict[str, tuple[Volume, np.ndarray, np.ndarray]]:
    """Per suffix: the image, its true brain, and the voxels that are emptied."""
    pairs = {"T1w": (phantom.t1w, phantom.brain_t1w), "FLAIR": (phantom.flair, phantom.brain_flair)}
    volumes = {name: (Volume(image.array, image.affine), brain) for name, (image, brain) in pairs.items()}
    return {name: (image, brain, face_of(image)) for name, (image, brain) in volumes.items()}


def places(image: Volume) -> np.ndarray:
    """RAS mm of every voxel, (3, X, Y, Z)."""
    indices = np.indices(image.data.shape)
    return np.tensordot(image.affine[:3, :3], indices, 1) + image.affine[:3, 3].reshape(3, 1, 1, 1)


@pytest.mark.parametrize("suffix", ["T1w", "FLAIR"])
def test_every_voxel_of_the_brain_and_its_surroundings_stays(
    heads: dict[str, tuple[Volume, np.ndarray, np.ndarray]], suffix: str
) -> None:
    image, brain, emptied = heads[suffix]
    kept = ndimage.distance_transform_edt(~brain, sampling=image.spacing_mm) < MARGIN_MM - max(image.spacing_mm)
    after = defaced(image, emptied)
    assert (after.data[kept] == image.data[kept]).all()
    assert after.data.dtype == image.data.dtype
    assert (after.data[~emptied] == image.data[~emptied]).all()


@pytest.mark.parametrize("suffix", ["T1w", "FLAIR"])
def test_the_face_is_empty(heads: dict[str, tuple[Volume, np.ndarray, np.ndarray]], suffix: str) -> None:
    image, brain, emptied = heads[suffix]
    _, y, z = places(image)
    front, bottom = y[brain].max(), z[brain].min()
    face = (y > front - 45) & (z < bottom + 15)  # eyes, nose and mouth lie here, whoever it is
    bright = image.data > 0.3 * np.median(image.data[brain])
    assert (face & bright).sum() * image.voxel_ml > 50, "the phantom has a face"
    assert (defaced(image, emptied).data[face] == 0).all()


@pytest.mark.parametrize("suffix", ["T1w", "FLAIR"])
def test_the_back_of_the_head_is_left_alone(
    heads: dict[str, tuple[Volume, np.ndarray, np.ndarray]], suffix: str
) -> None:
    image, brain, emptied = heads[suffix]
    _, y, z = places(image)
    middle = (y[brain].max() + y[brain].min()) / 2
    assert not emptied[y < middle - 10].any()
    assert not emptied[z > z[brain].max() - 60].any()


def test_a_wider_margin_empties_less(phantom: Patient) -> None:
    image = Volume(phantom.flair.array, phantom.flair.affine)
    assert face_of(image, margin_mm=25.0).sum() < face_of(image).sum()


def test_export_writes_a_frozen_cohort_without_faces(tmp_path: Path, phantom: Patient) -> None:
    for name, voxels in (("flair", phantom.flair.array), ("t1w", phantom.flair.array), ("label", phantom.lesions)):
        write_volume(tmp_path / f"{name}.nii.gz", Volume(voxels, phantom.flair.affine))
    images = {"T1w": tmp_path / "t1w.nii.gz", "FLAIR": tmp_path / "flair.nii.gz"}
    root = SiteFolder(tmp_path / "home").cohort("ms").path
    labels = {"background": 0, "lesion": 1}
    pair = Pair(subject="p1", images=images, label=tmp_path / "label.nii.gz")
    adopt([pair], name="ms", channels=["T1w", "FLAIR"], labels=labels, root=root, seed=1)
    out = tmp_path / "out"
    arguments = ["export", "ms", str(out), "--deface", "--result", str(tmp_path / "result.json")]
    ended = CliRunner().invoke(assemble(), arguments, env={"KONSIL_HOME": str(tmp_path / "home")})
    assert ended.exit_code == 0, ended.output
    (case,) = read_frozen(out).cases
    emptied = face_of(read_volume(tmp_path / "flair.nii.gz", "it"))
    for channel in ("T1w", "FLAIR"):
        before, after = (read_volume(path, "it") for path in (images[channel], out / case.images[channel]))
        assert (after.data[emptied] == 0).all()
        assert (after.data[~emptied] == before.data[~emptied]).all()
    assert case.label is not None
    assert (read_volume(out / case.label, "it").data == phantom.lesions).all()
    assert "Faces were emptied" in (out / "README.md").read_text()
