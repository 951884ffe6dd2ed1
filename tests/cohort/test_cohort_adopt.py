"""Prepared pairs become a frozen cohort, or nothing does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from konsil.cohort.adopt import Pair, adopt
from konsil.cohort.folder import SiteFolder
from konsil.cohort.frozen import FrozenCohort, read_frozen
from konsil.cohort.pairs import read_pairs
from konsil.errors import BadInput

LABELS = {"background": 0, "anterior": 1, "posterior": 2}
RAS, LAS = np.diag([1.0, 1, 1, 1]), np.diag([-1.0, 1, 1, 1])


def write(path: Path, values: np.ndarray, affine: np.ndarray = RAS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def pair(folder: Path, subject: str, affine: np.ndarray = RAS, split: str | None = None, top: int = 2) -> Pair:
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    image = write(folder / f"{subject}.nii.gz", values, affine)
    label = write(folder / f"{subject}_label.nii.gz", (values % (top + 1)).astype(np.uint8), affine)
    return Pair(subject=subject, images={"MR": image}, label=label, split=split)


def adopted(tmp_path: Path, pairs: list[Pair], **changes: Any) -> FrozenCohort:
    root = SiteFolder(tmp_path / "home").cohort("hippo").path
    return adopt(pairs, **{"name": "hippo", "channels": ["MR"], "labels": LABELS, "root": root, "seed": 1} | changes)


def test_pairs_are_placed_hashed_and_split(tmp_path: Path) -> None:
    frozen = adopted(tmp_path, [pair(tmp_path, f"H{n}") for n in range(5)])
    assert read_frozen(frozen.root) == frozen
    assert [len(frozen.split(name)) for name in ("train", "validation", "test")] == [3, 1, 1]
    assert frozen.origin == "adopted"
    assert frozen.sign_off is None
    assert {case.verdict for case in frozen.cases} == {"not judged"}


def test_an_image_that_is_not_ras_is_turned_and_keeps_its_voxels(tmp_path: Path) -> None:
    given = pair(tmp_path, "H1", LAS)
    case = adopted(tmp_path, [given]).cases[0]
    placed: Any = nib.load(tmp_path / "home/cohorts/hippo" / case.images["MR"])
    assert nib.aff2axcodes(placed.affine) == ("R", "A", "S")
    original: Any = nib.load(given.images["MR"])
    np.testing.assert_array_equal(np.asarray(placed.dataobj), np.asarray(original.dataobj)[::-1])


@pytest.mark.parametrize("link", [False, True])
def test_files_are_copied_or_linked(tmp_path: Path, link: bool) -> None:
    given = pair(tmp_path, "H1")
    case = adopted(tmp_path, [given], link=link).cases[0]
    placed = tmp_path / "home/cohorts/hippo" / case.images["MR"]
    assert placed.samefile(given.images["MR"]) == link
    assert placed.read_bytes() == given.images["MR"].read_bytes()


def test_adopting_the_same_again_changes_nothing_and_other_pairs_are_refused(tmp_path: Path) -> None:
    pairs = [pair(tmp_path, f"H{n}") for n in range(4)]
    frozen = adopted(tmp_path, pairs)
    assert adopted(tmp_path, pairs) == frozen
    before = (frozen.root / "cohort.json").read_bytes()
    with pytest.raises(BadInput, match="frozen already"):
        adopted(tmp_path, pairs[:3])
    assert (frozen.root / "cohort.json").read_bytes() == before


def test_other_pixels_under_a_frozen_name_leave_the_frozen_files_alone(tmp_path: Path) -> None:
    frozen = adopted(tmp_path, [pair(tmp_path, "H1")])
    with pytest.raises(BadInput, match="frozen already"):
        adopted(tmp_path, [pair(tmp_path / "other", "H1", top=1)])
    assert read_frozen(frozen.root) == frozen


def test_a_given_split_is_kept(tmp_path: Path) -> None:
    splits = ["test", "test", "train"]
    frozen = adopted(tmp_path, [pair(tmp_path, f"H{n}", split=split) for n, split in enumerate(splits)])
    assert [case.split for case in frozen.cases] == splits


def test_a_split_for_some_cases_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="for some cases only"):
        adopted(tmp_path, [pair(tmp_path, "H1", split="train"), pair(tmp_path, "H2")])


def test_a_case_without_a_label_is_unlabelled(tmp_path: Path) -> None:
    bare = Pair(subject="H9", images=pair(tmp_path, "H9").images)
    frozen = adopted(tmp_path, [pair(tmp_path, "H1"), bare])
    assert [case.subject for case in frozen.split("unlabelled")] == ["H9"]


def test_a_label_on_another_grid_is_refused(tmp_path: Path) -> None:
    given = pair(tmp_path, "H1")
    moved = RAS.copy()
    moved[0, 3] = 2
    label = write(tmp_path / "moved.nii.gz", np.zeros((3, 4, 5), np.uint8), moved)
    with pytest.raises(BadInput, match="the label of sub-H1_ses-01 is not on the grid"):
        adopted(tmp_path, [Pair("H1", given.images, label)])
    label = write(tmp_path / "smaller.nii.gz", np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(BadInput, match=r"expected \(3, 4, 5\); got \(3, 4, 4\)"):
        adopted(tmp_path, [Pair("H1", given.images, label)])


def test_an_unknown_label_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="got 3, 4"):
        adopted(tmp_path, [pair(tmp_path, "H1", top=4)])
    assert not (tmp_path / "home/cohorts/hippo/cohort.json").exists()


def test_nan_is_refused(tmp_path: Path) -> None:
    image = write(tmp_path / "nan.nii.gz", np.full((3, 4, 5), np.nan, np.float32))
    with pytest.raises(BadInput, match="not finite"):
        adopted(tmp_path, [Pair("H1", {"MR": image})])


def test_a_broken_file_is_a_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no image")
    with pytest.raises(BadInput, match="the MR of sub-H1_ses-01 cannot be read"):
        adopted(tmp_path, [Pair("H1", {"MR": broken})])


def test_a_table_gives_the_pairs(tmp_path: Path) -> None:
    table = tmp_path / "pairs.tsv"
    table.write_text(
        "subject\tT1w\tFLAIR\tlabel\tsplit\nA\ta1.nii.gz\ta2.nii.gz\tm.nii.gz\ttrain\nB\tb1.nii.gz\tb2.nii.gz\t\t\n"
    )
    channels, pairs = read_pairs(table)
    assert channels == ["T1w", "FLAIR"]
    images = {"T1w": tmp_path / "a1.nii.gz", "FLAIR": tmp_path / "a2.nii.gz"}
    assert pairs[0] == Pair("A", images, tmp_path / "m.nii.gz", split="train")
    assert pairs[1].label is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no cases"),
        ("T1w\tlabel\na\tb\n", "no cases"),
        ("subject\tlabel\na\tb\n", "no channel"),
        ("subject\tT1w\nA\n", "line 2 of the table is not whole"),
        ("subject\tT1w\nA\tx\ty\n", "line 2 of the table is not whole"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "pairs.tsv").write_text(text)
    with pytest.raises(BadInput, match=sentence):
        read_pairs(tmp_path / "pairs.tsv")


@pytest.mark.realdata
def test_the_hippocampus_pairs_are_adopted(data: Path, tmp_path: Path) -> None:
    folder = data / "seg" / "msd_task04_hippocampus"
    pairs = [
        Pair(image.name.removesuffix(".nii.gz").replace("_", ""), {"MR": image}, folder / "labels" / image.name)
        for image in sorted((folder / "images").iterdir())
    ]
    frozen = adopted(tmp_path, pairs)
    assert len(frozen.cases) == 19
    assert [len(frozen.split(name)) for name in ("train", "validation", "test")] == [11, 4, 4]


@pytest.mark.realdata
def test_real_lesions_with_two_channels_are_adopted(data: Path, tmp_path: Path) -> None:
    pairs = []
    for name in ("P18", "P39"):
        base = data / "ms" / "mslesseg" / "train" / name / "T1"
        images = {"T1w": base / f"{name}_T1_T1.nii.gz", "FLAIR": base / f"{name}_T1_FLAIR.nii.gz"}
        pairs.append(Pair(name, images, base / f"{name}_T1_MASK.nii.gz"))
    frozen = adopted(tmp_path, pairs, channels=["T1w", "FLAIR"], labels={"background": 0, "lesion": 1}, link=False)
    assert {case.split for case in frozen.cases} == {"train", "test"}
