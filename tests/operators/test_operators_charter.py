"""The custodian chooses among frozen cohorts and sees what each is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from konsil.files import write_bytes, write_json
from operators.approve_charter import frozen_cohorts, question


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    return tmp_path


def freeze(home: Path, name: str, age_s: int, content: dict[str, object]) -> None:
    path = home / "cohorts" / name / "cohort.json"
    write_json(path, content)
    os.utime(path, (1_000_000 - age_s, 1_000_000 - age_s))


def test_cohorts_are_told_by_size_and_signature_the_newest_first(home: Path) -> None:
    signed = {"by": "dr-weber", "at": "2026-11-21T09:00:00Z"}
    freeze(home, "old", 100, {"cases": [1, 2], "sign_off": None})
    freeze(home, "new", 10, {"cases": [1], "sign_off": signed})
    write_bytes(home / "cohorts" / "broken" / "cohort.json", b"{")
    os.utime(home / "cohorts" / "broken" / "cohort.json", (1, 1))
    assert frozen_cohorts() == {
        "new": "new (1 case, signed by dr-weber on 2026-11-21)",
        "old": "old (2 cases, adopted)",
        "broken": "broken (cannot be read)",
    }
    field = question(frozen_cohorts())["cohort"]
    assert field.value == "new"
    assert field.schema["enum"] == ["new", "old", "broken", None]
    assert field.schema["values_display"]["old"] == "old (2 cases, adopted)"


def test_without_a_frozen_cohort_the_name_is_typed(home: Path) -> None:
    field = question(frozen_cohorts())["cohort"]
    assert field.value is None
    assert "enum" not in field.schema
