"""Rules decide what they can; what is equally good, or contradicts itself, is for a person."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.dicom.choices import Question, open_questions, record
from konsil.dicom.numbering import started_s
from konsil.dicom.reading import discreet
from konsil.dicom.scan import read_scan, scan
from konsil.errors import BadInput
from konsil.types import Json

Writer = Callable[..., str]
ND = ["ORIGINAL", "PRIMARY", "M", "ND"]


@pytest.fixture
def cohort(tmp_path: Path) -> CohortFolder:
    return SiteFolder(tmp_path / "home").cohort("ms")


def only_case(cohort: CohortFolder) -> Json:
    (case,) = read_scan(cohort)["cases"].values()
    return dict(case)


def chosen(cohort: CohortFolder, role: str = "T1w") -> str:
    return str(only_case(cohort)["series"][role]["label"]).split(" (")[0]


def only_question(cohort: CohortFolder) -> Question:
    (question,) = open_questions(cohort)
    return question


def repeat(inbox: Path, series: Writer, **tags: object) -> None:
    """Nine minutes after the T1w of the fixture, the same once more."""
    series(inbox / "repeat", "T1w", number=8, **{"AcquisitionTime": "102012.000000", **tags})


def test_a_repeated_scan_sets_the_case_aside_with_both_candidates_named(
    cohort: CohortFolder, inbox: Path, series: Writer
) -> None:
    repeat(inbox, series)
    outcome = scan(cohort.site, "ms", inbox)
    assert outcome.done == ()
    (sentence,) = outcome.set_aside.values()
    assert "2 series are equally good as the T1w: series 3 (18 files) and series 8 (18 files)" in sentence
    question = only_question(cohort)
    assert question.role == "T1w"
    assert [candidate.label for candidate in question.candidates] == ["series 3 (18 files)", "series 8 (18 files)"]
    assert "9 min after the first" in question.candidates[1].facts
    assert cohort.set_aside_cases()[question.case].step == "scan"


def test_the_next_scan_obeys_the_answer(cohort: CohortFolder, inbox: Path, series: Writer) -> None:
    repeat(inbox, series)
    scan(cohort.site, "ms", inbox)
    question = only_question(cohort)
    record(cohort, question.case, "T1w", question.candidates[1].key, by="reviewer")
    assert open_questions(cohort) == []
    assert scan(cohort.site, "ms", inbox).done == (question.case,)
    assert cohort.set_aside_cases() == {}
    assert chosen(cohort) == "series 8"
    assert any("a person chose series 8" in one["reason"] for one in only_case(cohort)["others"])
    record(cohort, question.case, "T1w", question.candidates[0].key, by="reviewer")
    scan(cohort.site, "ms", inbox)
    assert chosen(cohort) == "series 3", "people may change their minds"


def test_none_keeps_the_case_out(cohort: CohortFolder, inbox: Path, series: Writer) -> None:
    repeat(inbox, series)
    scan(cohort.site, "ms", inbox)
    record(cohort, only_question(cohort).case, "T1w", "none", by="reviewer")
    outcome = scan(cohort.site, "ms", inbox)
    assert outcome.done == ()
    assert "A person decided that no series" in next(iter(outcome.set_aside.values()))
    assert open_questions(cohort) == []


def test_a_third_candidate_opens_the_question_again(cohort: CohortFolder, inbox: Path, series: Writer) -> None:
    repeat(inbox, series)
    scan(cohort.site, "ms", inbox)
    question = only_question(cohort)
    record(cohort, question.case, "T1w", question.candidates[0].key, by="reviewer")
    series(inbox / "third", "T1w", number=9, AcquisitionTime="103012.000000")
    assert scan(cohort.site, "ms", inbox).done == ()
    assert len(only_question(cohort).candidates) == 3


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"case": "sub-x_ses-1"}, "nobody asked"),
        ({"role": "FLAIR"}, "nobody asked"),
        ({"key": "8-000000"}, "not on offer"),
        ({"by": " "}, "needs a name"),
    ],
)
def test_an_answer_to_another_question_is_refused(
    cohort: CohortFolder, inbox: Path, series: Writer, answer: dict[str, str], sentence: str
) -> None:
    repeat(inbox, series)
    scan(cohort.site, "ms", inbox)
    question = only_question(cohort)
    given = {"case": question.case, "role": "T1w", "key": question.candidates[0].key, "by": "reviewer", **answer}
    with pytest.raises(BadInput, match=sentence):
        record(cohort, given["case"], given["role"], given["key"], by=given["by"])
    assert len(open_questions(cohort)) == 1


def shifted(folder: Path, offset_mm: float) -> None:
    """Move a series within its frame of reference."""
    for file in folder.iterdir():
        image = dcmread(file)
        x, y, z = image.ImagePositionPatient
        image.ImagePositionPatient = [x, y, z + offset_mm]
        image.save_as(file)


@pytest.mark.parametrize(("offset_mm", "count"), [(80.0, 0), (140.0, 1)])
def test_a_pair_far_apart_in_one_frame_is_a_warning(
    cohort: CohortFolder, inbox: Path, offset_mm: float, count: int
) -> None:
    shifted(inbox / "Plantagenet_W" / "a", offset_mm)
    scan(cohort.site, "ms", inbox)
    assert len([text for text in only_case(cohort)["warnings"] if "lie 140 mm apart" in text]) == count


def test_questions_hold_no_identifier(
    cohort: CohortFolder, inbox: Path, series: Writer, planted: dict[str, str]
) -> None:
    repeat(inbox, series, SeriesDescription="Wilhelmina once more")
    scan(cohort.site, "ms", inbox)
    text = (cohort.work / "choices.json").read_text()
    assert [name for name, value in planted.items() if value in text] == []
    assert "1011" not in json.dumps([candidate.facts for candidate in only_question(cohort).candidates])
    assert (cohort.work / "choices.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ['{"format": "konsil-choices/9"}', '{"format": "konsil-choices/1"}', "[]", "half"])
def test_a_file_that_was_not_made_here_is_refused(cohort: CohortFolder, content: str) -> None:
    cohort.work.mkdir(parents=True)
    (cohort.work / "choices.json").write_text(content)
    with pytest.raises(BadInput, match=r"choices\.json"):
        open_questions(cohort)


def test_without_a_question_nothing_is_written(cohort: CohortFolder, inbox: Path) -> None:
    assert scan(cohort.site, "ms", inbox).exit_code == 0
    assert open_questions(cohort) == []
    assert not (cohort.work / "choices.json").exists()


def test_a_copy_is_no_candidate(cohort: CohortFolder, inbox: Path, series: Writer) -> None:
    series(inbox / "sent" / "again", "T1w", number=3)
    assert scan(cohort.site, "ms", inbox).exit_code == 0
    assert "It is a copy of the T1w" in only_case(cohort)["others"][0]["reason"]


def test_of_one_measurement_the_corrected_version_is_taken(cohort: CohortFolder, inbox: Path, series: Writer) -> None:
    series(inbox / "raw", "T1w", number=5, ImageType=ND)
    series(inbox / "disco", "T1w", number=6, ImageType=[*ND[:3], "DIS3D", "DIS2D"])
    series(inbox / "both", "T1w", number=7, ImageType=[*ND[:3], "DIS3D", "DIS2D", "NORM"])
    scan(cohort.site, "ms", inbox)
    assert chosen(cohort) == "series 7"


@pytest.mark.parametrize("later", [True, False])
def test_a_name_that_speaks_of_contrast_decides_only_together_with_the_order(
    cohort: CohortFolder, inbox: Path, series: Writer, later: bool
) -> None:
    time = "102012.000000" if later else "100012.000000"
    repeat(inbox, series, SeriesDescription="t1 mprage km", AcquisitionTime=time)
    scan(cohort.site, "ms", inbox)
    if later:
        assert chosen(cohort) == "series 3"
    else:
        assert "its name suggests a contrast agent" in " ".join(one.facts for one in only_question(cohort).candidates)


@pytest.mark.parametrize(
    ("t1w", "flair"),
    [
        ("t2_tirm_tra_dark-fluid", "T1 mprage nativ"),
        ("FLAIR sagittal 3D", "T1 EG 3D sans inj"),
        ("T2 FLAIR tra", "T1 sag"),
    ],
)
def test_names_that_lie_change_nothing(
    cohort: CohortFolder, tmp_path: Path, series: Writer, t1w: str, flair: str
) -> None:
    series(tmp_path / "inbox" / "a", "T1w", number=3, SeriesDescription=t1w, ProtocolName=t1w)
    series(tmp_path / "inbox" / "b", "FLAIR", number=4, SeriesDescription=flair, ProtocolName=flair)
    scan(cohort.site, "ms", tmp_path / "inbox")
    assert (chosen(cohort), chosen(cohort, "FLAIR")) == ("series 3", "series 4")


def test_a_scan_that_was_broken_off_is_not_preferred(cohort: CohortFolder, inbox: Path, series: Writer) -> None:
    repeat(inbox, series, skip=(0, 1, 2))
    scan(cohort.site, "ms", inbox)
    assert chosen(cohort) == "series 3"
    assert "it covers less" in only_case(cohort)["others"][0]["reason"]


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("101112.5", 36672.5),
        ("1011", 36660.0),
        ("10:11:12", 36672.0),
        ("101112.5+0100", 36672.5),
        ("10nan", None),
        ("1011inf", None),
        ("1011nan", None),
        ("9911", None),
        ("", None),
    ],
)
def test_the_time_of_a_scan_is_read_or_not_known(time: str, seconds: float | None) -> None:
    with discreet():
        header = Dataset()
        header.AcquisitionTime = time
        assert started_s(header) == seconds
        header.AcquisitionTime, header.AcquisitionDateTime = None, f"20210506{time}"
        assert started_s(header) == seconds


def test_a_localiser_is_never_chosen_even_if_it_hides_its_kind(
    cohort: CohortFolder, tmp_path: Path, series: Writer
) -> None:
    inbox = tmp_path / "inbox"
    series(inbox / "scout", "T1w", number=1, skip=tuple(range(4, 18)))
    series(inbox / "flair", "FLAIR", number=4)
    outcome = scan(cohort.site, "ms", inbox)
    (sentence,) = outcome.set_aside.values()
    assert "no usable T1w" in sentence
    assert "does not cover a head (126 x 126 x 28 mm)" in sentence


@pytest.mark.parametrize(
    "tags",
    [
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
        {"BurnedInAnnotation": "YES"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    ],
)
def test_pictures_and_mosaics_are_never_chosen(
    cohort: CohortFolder, tmp_path: Path, series: Writer, tags: Json
) -> None:
    inbox = tmp_path / "inbox"
    series(inbox / "no", "T1w", number=1, **tags)
    series(inbox / "flair", "FLAIR", number=4)
    assert "no usable T1w" in next(iter(scan(cohort.site, "ms", inbox).set_aside.values()))


def test_a_2d_t1w_is_taken_with_a_warning_where_the_3d_is_no_volume(
    cohort: CohortFolder, inbox: Path, series: Writer
) -> None:
    series(inbox / "torn", "T1w", number=8, skip=(11,))
    for file in (inbox / "Plantagenet_W" / "a").iterdir():
        file.unlink()
    series(inbox / "flat", "T1w", number=9, MRAcquisitionType="2D")
    scan(cohort.site, "ms", inbox)
    assert chosen(cohort) == "series 9"
    assert "The T1w is 2D although there is a 3D one that day." in only_case(cohort)["warnings"]


def test_a_header_that_water_contradicts_is_a_question(cohort: CohortFolder, tmp_path: Path, series: Writer) -> None:
    inbox = tmp_path / "inbox"
    series(inbox / "a", "T1w", number=3, water=0.3)
    series(inbox / "b", "FLAIR", number=4, water=3.0)
    (sentence,) = scan(cohort.site, "ms", inbox).set_aside.values()
    assert "By its header series 4 (18 files) is the FLAIR, but water is bright in it" in sentence
    assert only_question(cohort).role == "FLAIR"


@pytest.mark.parametrize("tags", [{"InversionTime": None, "ScanningSequence": "SE"}, {"EchoTime": None}])
def test_an_image_whose_header_is_silent_is_offered_if_water_is_dark(
    cohort: CohortFolder, tmp_path: Path, series: Writer, tags: Json
) -> None:
    inbox = tmp_path / "inbox"
    series(inbox / "a", "T1w", number=3, water=0.3)
    series(inbox / "b", "FLAIR", number=4, water=0.3, **tags)
    series(inbox / "c", "T2w", number=5, water=3.0)
    scan(cohort.site, "ms", inbox)
    question = only_question(cohort)
    assert [(question.role, one.label) for one in question.candidates] == [("FLAIR", "series 4 (18 files)")]
    record(cohort, question.case, "FLAIR", question.candidates[0].key, by="reviewer")
    assert scan(cohort.site, "ms", inbox).exit_code == 0
    assert "The header does not make this series a FLAIR: a person chose it." in only_case(cohort)["warnings"]


def once_more(folder: Path, **changes: object) -> None:
    """Put a changed copy of every image of a series beside it, under the same series UID."""
    for count, file in enumerate(sorted(folder.iterdir())):
        image = dcmread(file)
        for keyword, value in changes.items():
            setattr(image, keyword, value)
        image.SOPInstanceUID = generate_uid(entropy_srcs=[str(count)])
        image.save_as(file.with_name(f"{file.name}_2"))


def test_magnitude_and_phase_under_one_uid_are_told_apart(cohort: CohortFolder, inbox: Path) -> None:
    once_more(inbox / "Plantagenet_W" / "a", ImageType=["ORIGINAL", "PRIMARY", "P"])
    scan(cohort.site, "ms", inbox)
    assert len(only_case(cohort)["series"]["T1w"]["files"]) == 18
    assert only_case(cohort)["warnings"] == []
    (other,) = only_case(cohort)["others"]
    assert "It is a phase" in other["reason"]


def test_several_echoes_in_one_series_are_refused_in_words(cohort: CohortFolder, inbox: Path) -> None:
    once_more(inbox / "Plantagenet_W" / "b", EchoTime=450)
    scan(cohort.site, "ms", inbox)
    assert any("several echo times" in warning for warning in only_case(cohort)["warnings"])
