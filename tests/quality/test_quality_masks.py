from pathlib import Path

import numpy as np
import pytest

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.cohort.volume import Volume, read_volume, write_volume
from konsil.errors import BadInput
from konsil.files import read_json
from konsil.phantom.patient import Patient
from konsil.quality.atlas import place_atlas
from konsil.quality.coverage import beyond_faces_mm, cropped_percent
from konsil.quality.image_measures import brain_points
from konsil.quality.masks import draw, read_placement
from konsil.registration.orient import closest_canonical, orient


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_the_mask_covers_the_brain_on_both_images(prepared: CohortFolder, patient: Patient) -> None:
    """0.95 to 0.97 were measured at 2 mm; the atlas is affine, the patients are not."""
    case = Case("good", "1")
    for suffix, truth in (("T1w", patient.brain_t1w), ("FLAIR", patient.brain_flair)):
        drawn = read_volume(prepared.brain_mask(case, suffix), "it").data
        assert drawn.dtype == np.float32 or set(np.unique(drawn)) == {0, 1}
        assert dice(drawn > 0, truth) > 0.93


def test_a_brain_that_leaves_the_picture_is_noticed(prepared: CohortFolder, patient: Patient) -> None:
    """The upper 40 mm of brain are cut off after the atlas was laid, so the answer can be counted."""
    case = Case("good", "1")
    image = read_volume(prepared.oriented(case, "T1w"), "it")
    points = brain_points(read_placement(prepared, case, "T1w"))
    whole = beyond_faces_mm(points, image.affine, image.data.shape)
    assert cropped_percent(whole, 2.0) == 0
    top = int(np.flatnonzero(patient.brain_t1w.any(axis=(0, 1)))[-1])
    cut = beyond_faces_mm(points, image.affine, (*image.data.shape[:2], top - 20))
    lost = 100 * patient.brain_t1w[:, :, top - 20 :].sum() / patient.brain_t1w.sum()
    assert cropped_percent(cut, 0.0) == pytest.approx(lost, abs=3)
    assert cut.max() == pytest.approx(40, abs=6)


def one_bright_voxel() -> np.ndarray:
    data = np.zeros((40, 40, 40), np.float32)
    data[0, 0, 0] = 1
    return data


@pytest.mark.parametrize(
    "data", [one_bright_voxel(), np.random.default_rng(0).normal(100, 10, (50, 55, 50)).astype(np.float32)]
)
def test_an_image_without_a_head_is_refused(data: np.ndarray) -> None:
    with pytest.raises(BadInput, match=r"no (head|brain) was found"):
        place_atlas(Volume(data, np.diag([4.0, 4, 4, 1])))


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["synthsr_flair/FLAIR.nii.gz", "ixi_2mm/t1/IXI015-HH-1258_T1.nii.gz"])
def test_real_brains_have_a_plausible_size(data: Path, name: str) -> None:
    image = closest_canonical(read_volume(data / "nifti" / name, "the image"))
    drawn = draw(image, place_atlas(image))
    assert 900 < drawn.data.sum() * drawn.voxel_ml < 2000


@pytest.mark.realdata
def test_the_mask_agrees_with_a_real_skull_stripped_brain(data: Path) -> None:
    image = closest_canonical(read_volume(data / "ms/mslesseg/train/P39/T1/P39_T1_FLAIR.nii.gz", "the image"))
    assert dice(draw(image, place_atlas(image)).data > 0, image.data > 0) > 0.9


@pytest.mark.realdata
def test_thick_clinical_slices_fail_the_voxel_size_in_words_and_get_a_page(data: Path, tmp_path: Path) -> None:
    from konsil.quality.masks import mask
    from konsil.quality.report import report
    from konsil.quality.verdict import judge

    source, case = data / "ms/ljubljana_long_raw/patient12", Case("P12", "1")
    folder = SiteFolder(tmp_path).cohort("real")
    for suffix, name in (("T1w", "study1_T1W"), ("FLAIR", "study1_FLAIR")):
        write_volume(folder.raw(case, suffix), read_volume(source / f"{name}.nii.gz", suffix))
    for step in (orient, mask, judge, report):
        assert step(folder).done == (str(case),), step
    content = read_json(folder.qc(case))
    assert content["verdict"] == "fail"
    assert "The voxels of T1w measure 0.91 x 0.91 x 3.00 mm, wanted 1 ± 0.1 mm" in content["reasons"][0]
    assert content["reasons"][1].startswith("The voxels of FLAIR measure 0.72 x 0.72 x 3.00 mm")
    assert "0.91 x 0.91 x 3.00 mm" in folder.report(case).read_text(encoding="utf-8")
