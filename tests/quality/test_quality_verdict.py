from pathlib import Path

import pytest

from konsil.cohort.folder import CohortFolder
from konsil.errors import BadInput, BadSetting
from konsil.files import read_json
from konsil.quality.limits import Bounds, load_limits
from konsil.quality.measured import Measured
from konsil.quality.verdict import conclude, judge, place

GOOD = {
    "t1w_brain_ml": Measured(1400.0),
    "flair_brain_ml": Measured(1400.0),
    "t1w_snr_parenchyma": Measured(30.0),
    "t1w_voxel_deviation_mm": Measured(0.05, "1.00 x 1.00 x 1.05 mm"),
}
PAPER = load_limits()


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (4.9, ("fail", "low")),
        (5.0, ("warn", "low")),
        (10.0, ("pass", "")),
        (20.0, ("pass", "")),
        (31.0, ("warn", "high")),
        (41.0, ("fail", "high")),
    ],
)
def test_a_value_on_the_limit_is_still_within_it(value: float, verdict: tuple[str, str]) -> None:
    bounds = Bounds(fail_below=5, warn_below=10, warn_above=30, fail_above=40)
    assert place(value, bounds, optional=False) == verdict


def test_what_could_not_be_measured_warns_unless_that_is_usual() -> None:
    assert place(None, Bounds(), optional=False)[0] == "warn"
    assert place(None, Bounds(), optional=True)[0] == "pass"


def test_a_good_case_passes_without_reasons() -> None:
    content = conclude(GOOD, PAPER)
    assert (content["verdict"], content["reasons"]) == ("pass", [])


def test_failures_come_before_warnings_and_say_limit_and_meaning() -> None:
    content = conclude({**GOOD, "t1w_snr_parenchyma": Measured(8.0), "t1w_brain_ml": Measured(500.0)}, PAPER)
    assert content["verdict"] == "fail"
    assert content["failures"] == 1
    assert content["reasons"][0].startswith("Volume of the brain mask of T1w is 500 mL, below 700:")
    assert content["reasons"][1].startswith("Signal to noise in parenchyma of T1w is 8, below 10: the image is noisy")


def test_the_voxel_size_fails_in_words() -> None:
    thick = {**GOOD, "t1w_voxel_deviation_mm": Measured(2.0, "0.91 x 0.91 x 3.00 mm")}
    assert conclude(thick, PAPER)["reasons"] == [
        "The voxels of T1w measure 0.91 x 0.91 x 3.00 mm, wanted 1 ± 0.1 mm in every direction: "
        "the protocol differs from the one agreed."
    ]
    assert conclude(thick, load_limits("wide"))["verdict"] == "warn"


def test_a_case_without_flair_fails() -> None:
    alone = {key: value for key, value in GOOD.items() if not key.startswith("flair")}
    assert conclude(alone, PAPER)["reasons"] == ["There is no FLAIR: a case needs both T1w and FLAIR."]


def test_the_paper_wants_1_mm_within_a_tenth() -> None:
    assert PAPER.bounds("t1w_voxel_deviation_mm").fail_above == pytest.approx(0.1, abs=0.002)
    assert load_limits("phantom-2mm").bounds("t1w_voxel_deviation_mm").fail_above == pytest.approx(0.2, abs=0.002)
    assert load_limits(voxel_mm=3).bounds("flair_voxel_deviation_mm").fail_above == pytest.approx(0.3, abs=0.002)


def test_a_site_may_write_limits_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "strict.toml"
    file.write_text('extends = "ms-paper"\n[limits]\nt1w_snr_parenchyma = { fail_below = 40.0 }\n')
    limits = load_limits(str(file))
    assert limits.profile == "strict"
    assert conclude(GOOD, limits)["verdict"] == "fail"
    assert limits.bounds("flair_brain_ml") == PAPER.bounds("flair_brain_ml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("voxel_mm = -1.0", "voxel_mm"),
        ("voxel_mm = 1.0\n[limits]\ntaste = { fail_below = 1.0 }", "not measured: taste"),
        ("voxel_mm = 1.0\ncolour = 3", "colour"),
        ("this is no TOML", "cannot be read"),
    ],
)
def test_limits_that_cannot_be_used_are_refused_in_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises((BadSetting, BadInput), match=words):
        load_limits(str(file))


def test_an_unknown_set_of_limits_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"ms-paper, phantom-2mm, wide or a \.toml file"):
        load_limits("papre")


def test_a_clean_case_passes_and_a_ghosted_one_is_told_so(prepared: CohortFolder) -> None:
    good, ghosted = (read_json(prepared.qc(case)) for case in reversed(prepared.cases()))
    assert ghosted["case"].startswith("sub-ghosted")
    assert good["verdict"] == "pass", good["reasons"]
    assert ghosted["verdict"] == "fail"
    assert any("Structure in the air of T1w" in reason for reason in ghosted["reasons"])
    assert prepared.set_aside_cases() == {}, "a verdict sets nobody aside"


def test_judging_twice_does_nothing_and_other_limits_judge_again(prepared: CohortFolder) -> None:
    path = prepared.qc(prepared.cases()[1])
    made, content = path.stat().st_mtime_ns, path.read_bytes()
    judge(prepared, limits=load_limits("phantom-2mm"))
    assert path.stat().st_mtime_ns == made
    judge(prepared, limits=load_limits("ms-paper"))
    assert "2.00 x 2.00 x 2.00 mm, wanted 1 ± 0.1 mm" in read_json(path)["reasons"][0]
    judge(prepared, limits=load_limits("phantom-2mm"))
    assert path.read_bytes() == content


def test_judging_before_masks_names_the_step_to_run(tmp_path: Path, prepared: CohortFolder) -> None:
    from konsil.cohort.folder import SiteFolder

    case = prepared.cases()[0]
    fresh = SiteFolder(tmp_path).cohort("fresh")
    raw = fresh.raw(case, "T1w")
    raw.parent.mkdir(parents=True)
    raw.write_bytes(prepared.raw(case, "T1w").read_bytes())
    assert "konsil mask COHORT" in judge(fresh).set_aside[str(case)]
