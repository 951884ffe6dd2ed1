"""The charter: the paper's defaults, and a sentence for every way to get it wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from konsil.errors import BadSetting
from konsil.federation.charter import Charter, parse_charter, read_charter
from konsil.files import write_json

LEAST: dict[str, Any] = {"run": "ms-2026", "sites": ["A", "B", "C"]}


def test_the_defaults_are_the_papers() -> None:
    charter = parse_charter(LEAST)
    assert (charter.rounds, charter.strategy, charter.learner.name) == (50, "fedavg", "nnunet")
    assert charter.data.channels == ("T1w", "FLAIR")
    assert charter.data.labels == {"background": 0, "lesion": 1}


def test_a_charter_survives_being_written_and_read(tmp_path: Path) -> None:
    charter = parse_charter({**LEAST, "seed": 7, "quorum": {"required": ["B"]}})
    write_json(tmp_path / "charter.json", charter.model_dump(mode="json"))
    assert read_charter(tmp_path / "charter.json") == charter


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"run": "Ms 2026"}, "run"),
        ({"run": "ab"}, "run"),
        ({"run": "ms-2026\n"}, "run"),
        ({"sites": ["A"]}, "sites"),
        ({"sites": ["A", "A"]}, "sites"),
        ({"sites": ["A", "a"]}, "sites"),
        ({"sites": ["A", "Centre"]}, "sites"),
        ({"sites": ["A", "../B"]}, "sites.1"),
        ({"rounds": 0}, "rounds"),
        ({"strategy": "magic"}, "strategy"),
        ({"quorum": {"sites": 4}}, "quorum.sites"),
        ({"quorum": {"required": ["D"]}}, "quorum.required"),
        ({"quorum": {"share_of_cases": 1.5}}, "quorum.share_of_cases"),
        ({"deadlines": {"round_s": 0}}, "deadlines.round_s"),
        ({"deadlines": {"round_s": float("inf")}}, "deadlines.round_s"),
        ({"data": {"channels": []}}, "data.channels"),
        ({"data": {"labels": {"background": 1, "lesion": 0}}}, "data.labels"),
        ({"data": {"labels": {"background": 0, "lesion": 2}}}, "data.labels"),
        ({"round": 50}, "round"),
        ({"format": "konsil.charter/9"}, "format"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadSetting, match=rf"The charter's field {field} is not usable; expected "):
        parse_charter({**LEAST, **change})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(BadSetting, match="field sites"):
        parse_charter({"run": "ms-2026"})


def test_the_custodian_reads_about_local_models_only_if_they_travel() -> None:
    compared = Charter(run="ms-2026", sites=("A", "B")).what_leaves_the_site()
    alone = Charter(run="ms-2026", sites=("A", "B"), compare_with_local=False).what_leaves_the_site()
    assert [line for line in compared if line not in alone] == [
        "The weights of one model trained at this site alone, encrypted for the centre, which passes them on to "
        "the other sites for comparison."
    ]
    assert any("50 rounds" in line for line in alone)
