"""The reference beside a cohort: percentiles of a public table or of a cohort of one's own, never a limit."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.errors import BadInput, Missing
from konsil.files import read_json, write_json
from konsil.quality.company import Entry
from konsil.quality.limits import measure_kinds
from konsil.quality.reference import cohort_reference, load_reference, reference_of, spread_of
from konsil.quality.report import report
from konsil.quality.strips import EDGE, WIDTH, make_strip


def test_percentiles_by_hand_and_few_images_make_none() -> None:
    spread = spread_of([float(value) for value in range(101)])
    assert (spread.images, spread.p5, spread.p25, spread.p50, spread.p75, spread.p95) == (101, 5, 25, 50, 75, 95)
    assert reference_of({"a": [1.0] * 19, "b": [1.0] * 20}, name="n", source="s").measures.keys() == {"b"}


def test_the_packaged_reference_has_only_measures_that_exist() -> None:
    packaged = load_reference()
    assert packaged.measures
    assert packaged.measures.keys() <= measure_kinds().keys()
    for spread in packaged.measures.values():
        assert spread.p5 <= spread.p25 <= spread.p50 <= spread.p75 <= spread.p95


@pytest.mark.realdata
def test_the_packaged_reference_is_that_of_the_public_table(data: Path) -> None:
    with (data / "tables" / "mriqc_iqm" / "abide.tsv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    kept = [float(row["efc"]) for row in rows if not {row[f"rater_{n}"] for n in "123"} & {"-1", "-1.0"}]
    spread = load_reference().measures["t1w_efc"]
    assert spread.images == len(kept)
    assert spread.p50 == pytest.approx(float(np.median(kept)), rel=1e-3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"format": "konsil-reference/2", "name": "x", "source": "y", "measures": {}}, "format"),
        ({"format": "konsil-reference/1", "name": "x", "source": "y", "measures": {"t1w_efc": {"p5": 1}}}, "t1w_efc"),
    ],
)
def test_another_file_is_refused_by_what_is_wrong(tmp_path: Path, content: Any, words: str) -> None:
    write_json(tmp_path / "r.json", content)
    with pytest.raises(BadInput, match=words):
        load_reference(str(tmp_path / "r.json"))
    with pytest.raises(BadInput, match="no such reference"):
        load_reference("elsewhere")


def entry(case: str, value: float) -> Entry:
    line = {"title": "Entropy", "image": "T1w", "value": value, "better": "lower", "unit": "", "verdict": "pass"}
    return Entry(case, "pass", (), {"t1w_efc": {**line, "limits": {}}}, {})


def test_the_bar_lies_where_the_reference_is_and_ends_at_the_edge_where_it_is_far_away() -> None:
    near = reference_of({"t1w_efc": [0.5, 0.7] * 20}, name="near", source="s")
    strip = make_strip("t1w_efc", [entry("a", 0.6)], near)
    assert strip is not None
    assert strip.bar is not None
    assert (strip.bar.low, strip.bar.high) == (EDGE, WIDTH - EDGE)
    assert strip.dots[0].x == pytest.approx(WIDTH / 2)
    assert strip.bar.words == "near: 0.5 to 0.7, median 0.6"
    far = reference_of({"t1w_efc": [90.0] * 20}, name="far", source="s")
    strip = make_strip("t1w_efc", [entry("a", 0.6), entry("b", 0.7)], far)
    assert strip is not None
    assert strip.bar is not None
    assert (strip.lowest, strip.highest) == ("0.6", "0.7"), "a far reference does not make the cohort one blot"
    assert strip.bar.low == strip.bar.high == WIDTH - EDGE


def test_the_pages_show_it_and_another_reference_makes_them_anew(prepared: CohortFolder, tmp_path: Path) -> None:
    assert report(prepared).exit_code == 0
    page = prepared.report(Case("good", "1"))
    first = page.read_text(encoding="utf-8")
    assert re.search(r'<g class="beside"><title>ABIDE: [\d.]+ to [\d.]+, median', first)
    assert "741 T1w of 17 sites of ABIDE I" in first
    own = reference_of({"t1w_efc": [0.5, 0.7] * 20}, name="ours", source="40 cases of ours")
    assert report(prepared, reference=own).exit_code == 0
    for path in (page, prepared.reports / "cohort.html"):
        assert "40 cases of ours" in path.read_text(encoding="utf-8")
    assert report(prepared).exit_code == 0
    assert page.read_text(encoding="utf-8") == first


def measured(tmp_path: Path, count: int) -> CohortFolder:
    """A cohort with nothing but verdicts; the last case fails."""
    cohort = SiteFolder(tmp_path).cohort("trusted")
    for number in range(count):
        case = Case(f"p{number:02d}", "1")
        raw = cohort.raw(case, "T1w")
        raw.parent.mkdir(parents=True)
        raw.touch()
        verdict = "fail" if number == count - 1 else "pass"
        write_json(
            cohort.qc(case), {"verdict": verdict, "measures": {"t1w_efc": {"value": 0.5}, "flair_efc": {"value": None}}}
        )
    return cohort


def test_a_cohort_makes_its_own_without_failed_cases(tmp_path: Path) -> None:
    found = cohort_reference(measured(tmp_path, 21))
    assert found.measures.keys() == {"t1w_efc"}
    assert found.measures["t1w_efc"].images == 20


def test_too_few_cases_are_refused_with_their_number(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="19"):
        cohort_reference(measured(tmp_path, 20))


def test_the_verb_writes_what_the_setting_reads(tmp_path: Path) -> None:
    measured(tmp_path, 21)
    out = tmp_path / "reference.json"
    ended = CliRunner().invoke(assemble(), ["reference", "trusted", str(out)], env={"KONSIL_HOME": str(tmp_path)})
    assert ended.exit_code == 0, ended.output
    assert load_reference(str(out)).name == "trusted"
    assert json.dumps(read_json(out)).count("sub-") == 0
    wrong = CliRunner().invoke(assemble(), ["reference", "trusted", "x.txt"], env={"KONSIL_HOME": str(tmp_path)})
    assert isinstance(wrong.exception, BadInput)
