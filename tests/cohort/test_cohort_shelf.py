"""Cohorts are told to whoever chooses one: all that fit the purpose, the newest first, each recognisable."""

from __future__ import annotations

import os
from pathlib import Path

from konsil.cohort.cases import Case
from konsil.cohort.folder import SiteFolder
from konsil.cohort.shelf import begun_cohorts, frozen_cohorts, prepared_cohorts
from konsil.files import write_bytes, write_json


def aged(path: Path, seconds: int) -> None:
    os.utime(path, (1_000_000 - seconds, 1_000_000 - seconds))


def place(home: Path) -> Path:
    """A frozen cohort, one with a report, one that was only scanned, and what is no cohort."""
    site = SiteFolder(home)
    signed = {"by": "dr-weber", "at": "2026-11-21T09:00:00Z"}
    write_json(site.cohort("old").frozen, {"cases": [1, 2], "sign_off": signed})
    fresh = site.cohort("fresh")
    write_bytes(fresh.reports / "cohort.html", b"report")
    write_bytes(fresh.raw(Case("1", "1"), "FLAIR"), b"image")
    for name in ("old", "fresh", "begun"):
        write_json(site.cohort(name).work / "scan.json", {})
    write_bytes(home / "cohorts" / "Not A Name" / "cohort.json", b"{}")
    for name, seconds in (("old", 100), ("fresh", 10)):
        aged(home / "cohorts" / name, seconds)
    return home


def test_a_model_can_draw_in_what_was_reported_signed_or_not(tmp_path: Path) -> None:
    assert list(prepared_cohorts(place(tmp_path)).items()) == [
        ("fresh", "fresh (1 case, not signed yet)"),
        ("old", "old (2 cases, signed by dr-weber on 2026-11-21)"),
    ]


def test_a_name_that_was_begun_can_be_gone_on_with_until_it_is_frozen(tmp_path: Path) -> None:
    assert set(begun_cohorts(place(tmp_path))) == {"fresh", "begun"}


def test_what_cannot_be_read_says_so_and_stops_nothing(tmp_path: Path) -> None:
    place(tmp_path)
    SiteFolder(tmp_path).cohort("old").frozen.write_bytes(b"{")
    assert prepared_cohorts(tmp_path)["old"] == "old (cannot be read)"
    assert frozen_cohorts(tmp_path)["old"] == "old (cannot be read)"


def test_an_empty_home_offers_nothing(tmp_path: Path) -> None:
    assert frozen_cohorts(tmp_path) == prepared_cohorts(tmp_path) == begun_cohorts(tmp_path) == {}
