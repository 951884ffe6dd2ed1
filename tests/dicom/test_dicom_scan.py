"""What scan promises: cases by patient and day, series by physics, a sentence for everything else."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from konsil.cohort.cases import Case
from konsil.cohort.folder import SiteFolder
from konsil.dicom.scan import read_scan, scan
from konsil.errors import BadInput, Missing
from konsil.types import Json

Writer = Callable[..., str]


@pytest.fixture
def site(tmp_path: Path) -> SiteFolder:
    return SiteFolder(tmp_path / "home")


def only_case(site: SiteFolder) -> Json:
    cases = read_scan(site.cohort("ms"))["cases"]
    assert len(cases) == 1
    return next(iter(cases.values()))


def test_one_patient_with_t1w_and_flair_is_a_case(site: SiteFolder, inbox: Path) -> None:
    outcome = scan(site, "ms", inbox)
    assert outcome.exit_code == 0
    assert re.fullmatch(r"sub-[a-z2-7]{10}_ses-\d{8}", outcome.done[0])
    case = only_case(site)
    assert {role: len(one["files"]) for role, one in case["series"].items()} == {"T1w": 18, "FLAIR": 18}
    assert case["warnings"] == []


def test_scan_json_holds_no_identifier_and_no_path(site: SiteFolder, inbox: Path, planted: dict[str, str]) -> None:
    next(inbox.rglob("a/IMG004")).write_bytes(b"\0" * 128 + b"DICM" + b"broken")
    scan(site, "ms", inbox)
    text = (site.cohort("ms").work / "scan.json").read_text()
    assert [name for name, value in planted.items() if value in text] == []
    assert not [word for word in ("Plantagenet", "IMG004", str(inbox)) if word in text]
    assert read_scan(site.cohort("ms"))["inbox"] == str(inbox)


def test_scanning_again_writes_the_same_bytes(site: SiteFolder, inbox: Path) -> None:
    scan(site, "ms", inbox)
    before = (site.cohort("ms").work / "scan.json").read_bytes()
    scan(site, "ms", inbox)
    assert (site.cohort("ms").work / "scan.json").read_bytes() == before


def test_paths_sealed_under_another_secret_are_refused(site: SiteFolder, inbox: Path) -> None:
    scan(site, "ms", inbox)
    (site.keys / "pseudonym.key").write_bytes(bytes(32))
    with pytest.raises(BadInput, match=r"a path in scan\.json cannot be read"):
        read_scan(site.cohort("ms"))


def test_the_pseudonym_depends_on_the_secret_and_on_nothing_else(tmp_path: Path, inbox: Path) -> None:
    here, there = SiteFolder(tmp_path / "here"), SiteFolder(tmp_path / "there")
    assert scan(here, "ms", inbox).done == scan(here, "again", inbox).done
    assert scan(here, "ms", inbox).done != scan(there, "ms", inbox).done
    assert (here.keys / "pseudonym.key").stat().st_mode & 0o777 == 0o600
    assert len((here.keys / "pseudonym.key").read_bytes()) == 32


def test_two_patients_in_one_folder_are_two_cases(site: SiteFolder, tmp_path: Path, series: Writer) -> None:
    for patient in ("P1", "P2"):
        for number, kind in ((3, "T1w"), (4, "FLAIR")):
            uid = f"1.9.{patient[1]}.{number}"
            series(tmp_path / patient / kind, kind, number=number, PatientID=patient, SeriesInstanceUID=uid)
    together = tmp_path / "inbox"
    together.mkdir()
    for count, file in enumerate(sorted(tmp_path.glob("P?/*/*"))):
        shutil.copy(file, together / f"{count}.weird")
    outcome = scan(site, "ms", together)
    assert len(outcome.done) == 2
    for case in read_scan(site.cohort("ms"))["cases"].values():
        assert {len(one["files"]) for one in case["series"].values()} == {18}


def test_days_of_one_patient_are_sessions_with_true_intervals(site: SiteFolder, inbox: Path, series: Writer) -> None:
    for number, kind in ((5, "T1w"), (6, "FLAIR")):
        series(inbox / "later" / kind, kind, number=number, StudyDate="20210516")
    cases = [Case.parse(name) for name in scan(site, "ms", inbox).done]
    days = [datetime.strptime(case.session, "%Y%m%d").replace(tzinfo=UTC) for case in cases]
    assert len({case.subject for case in cases}) == 1
    assert (days[1] - days[0]).days == 10


def test_a_t1w_without_flair_is_set_aside_with_a_sentence(site: SiteFolder, inbox: Path, series: Writer) -> None:
    series(inbox / "other", "T1w", number=3, PatientID="P2")
    outcome = scan(site, "ms", inbox)
    assert outcome.exit_code == 2
    assert "no usable FLAIR on this day; there are: T1w" in next(iter(outcome.set_aside.values()))
    assert {entry.step for entry in site.cohort("ms").set_aside_cases().values()} == {"scan"}


def test_a_set_aside_day_becomes_a_case_when_the_flair_arrives(site: SiteFolder, inbox: Path, series: Writer) -> None:
    series(inbox / "other" / "t1", "T1w", number=3, PatientID="P2")
    scan(site, "ms", inbox)
    series(inbox / "other" / "flair", "FLAIR", number=4, PatientID="P2")
    assert scan(site, "ms", inbox).exit_code == 0
    assert site.cohort("ms").set_aside_cases() == {}


def test_a_post_contrast_t1w_is_never_the_t1w(site: SiteFolder, inbox: Path, series: Writer) -> None:
    series(inbox / "post", "T1w", number=9, ContrastBolusAgent="10 ml multihance", SeriesDescription="T1")
    scan(site, "ms", inbox)
    case = only_case(site)
    assert case["series"]["T1w"]["label"].startswith("series 3 ")
    assert any("after a contrast agent" in one["reason"] for one in case["others"])


def test_a_post_contrast_t1w_is_taken_only_where_there_is_no_other_and_with_a_warning(
    site: SiteFolder, tmp_path: Path, series: Writer
) -> None:
    series(tmp_path / "inbox" / "a", "T1w", number=3, ContrastBolusAgent="Gd")
    series(tmp_path / "inbox" / "b", "FLAIR", number=4)
    scan(site, "ms", tmp_path / "inbox")
    assert only_case(site)["warnings"] == ["The T1w was made after a contrast agent."]


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"MRAcquisitionType": "2D"}, "is not a 3D acquisition"),
        ({"ImageType": ["DERIVED", "PRIMARY", "MPR"]}, "its image type is DERIVED PRIMARY"),
        ({"SeriesDescription": "t1 +C"}, "its name suggests a contrast agent, and one without came before it"),
        ({"SequenceVariant": ["SP", "MTC"]}, "it was made with magnetisation transfer"),
        ({"ScanningSequence": "SE", "RepetitionTime": 600, "InversionTime": None}, "no gradient echo after an inv"),
    ],
)
def test_the_better_t1w_is_chosen(site: SiteFolder, inbox: Path, series: Writer, tags: Json, reason: str) -> None:
    series(inbox / "worse", "T1w", number=8, **tags)
    scan(site, "ms", inbox)
    case = only_case(site)
    assert case["series"]["T1w"]["label"].startswith("series 3 ")
    assert reason in case["others"][0]["reason"]


def test_a_whole_volume_is_preferred_to_one_that_lacks_a_slice(site: SiteFolder, inbox: Path, series: Writer) -> None:
    series(inbox / "torn", "T1w", number=8, skip=(11,))
    scan(site, "ms", inbox)
    assert only_case(site)["series"]["T1w"]["label"].startswith("series 3 ")


def test_derived_images_are_taken_only_with_a_warning(site: SiteFolder, tmp_path: Path, series: Writer) -> None:
    series(tmp_path / "inbox" / "a", "T1w", number=3, AcquisitionTime=None)
    series(tmp_path / "inbox" / "b", "FLAIR", number=4)
    scan(site, "ms", tmp_path / "inbox")
    assert [warning[:28] for warning in only_case(site)["warnings"]] == ["The T1w is a derived image: "]


def test_a_missing_inbox_an_empty_one_and_jpegs_are_sentences(site: SiteFolder, tmp_path: Path) -> None:
    with pytest.raises(Missing, match="inbox is not there"):
        scan(site, "ms", tmp_path / "nowhere")
    (tmp_path / "inbox").mkdir()
    with pytest.raises(BadInput, match="inbox is empty"):
        scan(site, "ms", tmp_path / "inbox")
    (tmp_path / "inbox" / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(500))
    with pytest.raises(BadInput, match="no DICOM image"):
        scan(site, "ms", tmp_path / "inbox")
    assert not (site.cohort("ms").work / "scan.json").exists()


@pytest.mark.parametrize("left", [0.5, 0.999, 300, 140])
def test_a_truncated_file_sets_its_case_aside_and_leaves_the_others(
    site: SiteFolder, inbox: Path, series: Writer, left: float
) -> None:
    for number, kind in ((3, "T1w"), (4, "FLAIR")):
        series(inbox / "other" / kind, kind, number=number, PatientID="P2")
    file = inbox / "other" / "T1w" / "IMG012"
    content = file.read_bytes()
    file.write_bytes(content[: int(left if left > 1 else left * len(content))])
    outcome = scan(site, "ms", inbox)
    convertible = [name for name in outcome.done if not read_scan(site.cohort("ms"))["cases"][name]["warnings"]]
    assert outcome.exit_code == 2
    assert len(convertible) == 1
    assert any("files" in name for name in outcome.set_aside)
    assert not any("other/T1w" in sentence for sentence in outcome.set_aside.values()), (
        "paths are named by konsil scan --paths only"
    )
    assert read_scan(site.cohort("ms"))["unreadable"] != {}


def test_no_message_repeats_what_the_hospital_wrote(
    site: SiteFolder, inbox: Path, series: Writer, planted: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    series(inbox / "Wilhelmina", "T1w", number=3, PatientID="Wilhelmina")
    (inbox / "Wilhelmina" / "IMG005").write_bytes(b"\0" * 128 + b"DICM" + b"\2\0")
    outcome = scan(site, "ms", inbox)
    said = json.dumps(outcome.as_json()) + caplog.text
    assert [name for name, value in planted.items() if value in said] == []


def test_a_frozen_cohort_is_not_scanned_again_with_other_cases(site: SiteFolder, inbox: Path, series: Writer) -> None:
    scan(site, "ms", inbox)
    frozen = site.cohort("ms").frozen
    frozen.parent.mkdir(parents=True)
    frozen.write_text("{}")
    assert scan(site, "ms", inbox).exit_code == 0, "the same inbox is no change"
    for number, kind in ((3, "T1w"), (4, "FLAIR")):
        series(inbox / "new" / kind, kind, number=number, PatientID="P2")
    with pytest.raises(BadInput, match="exists and is frozen"):
        scan(site, "ms", inbox)


def write_nifti(path: Path, affine: np.ndarray, size: int = 18) -> None:
    mask = np.zeros((size, size, size), np.uint8)
    mask[5, 7, 11] = 1
    nib.save(nib.Nifti1Image(mask, affine), path)


FLAIR_AFFINE = np.array([[-7.0, 0, 0, 70.5], [0, -7, 0, 60.25], [0, 0, 7, -80], [0, 0, 0, 1]])


def test_a_nifti_mask_on_the_flair_grid_belongs_to_its_case(site: SiteFolder, inbox: Path) -> None:
    write_nifti(inbox / "Plantagenet_W" / "drawn_lesions.nii.gz", FLAIR_AFFINE)
    scan(site, "ms", inbox)
    assert only_case(site)["series"]["MASK"]["files"] == ["Plantagenet_W/drawn_lesions.nii.gz"]


def test_a_nifti_mask_on_another_grid_is_set_aside(site: SiteFolder, inbox: Path) -> None:
    moved = FLAIR_AFFINE.copy()
    moved[0, 3] += 3
    write_nifti(inbox / "lesions.nii.gz", moved)
    outcome = scan(site, "ms", inbox)
    assert "No FLAIR has the voxels" in outcome.set_aside["lesion mask 1"]
    assert len(outcome.done) == 1


def test_of_two_patients_with_one_grid_the_folder_decides(site: SiteFolder, inbox: Path, series: Writer) -> None:
    for number, kind in ((3, "T1w"), (4, "FLAIR")):
        series(inbox / "P2" / kind, kind, number=number, PatientID="P2")
    write_nifti(inbox / "P2" / "mask.nii.gz", FLAIR_AFFINE)
    write_nifti(inbox / "mask.nii.gz", FLAIR_AFFINE)
    outcome = scan(site, "ms", inbox)
    with_mask = [case for case in read_scan(site.cohort("ms"))["cases"].values() if "MASK" in case["series"]]
    assert [case["series"]["MASK"]["files"] for case in with_mask] == [["P2/mask.nii.gz"]]
    assert "equally near" in next(iter(outcome.set_aside.values()))
