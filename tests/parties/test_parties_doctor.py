"""The doctor says what is wrong, one sentence each, and goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.parties import doctor
from konsil.parties.doctor import examine


class Usage(NamedTuple):
    free: float


@pytest.fixture
def home(make_enrolled: Callable[..., Any]) -> Path:
    return Path(make_enrolled().home("A"))


def states(home: Path) -> dict[str, str]:
    return {check.name: check.state for check in examine(home)}


def test_a_place_that_works_is_told_so_and_nothing_is_changed(home: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    found = states(home)
    assert {name for name, state in found.items() if state != "good"} <= {"gpu", "disk"}
    assert list(found) == [
        "home", "keys", "store", "clock", "audit", "disk", "gpu", "nnunet", "versions", "dcm2niix",
    ]  # fmt: skip
    assert before == {path: path.stat().st_mtime_ns for path in home.rglob("*")}


def test_the_centre_is_examined_too(make_enrolled: Callable[..., Any]) -> None:
    assert "bad" not in states(make_enrolled().home("centre")).values()


def test_keys_that_others_can_read(home: Path) -> None:
    (home / "keys" / "identity.json").chmod(0o644)
    found = {check.name: check for check in examine(home)}
    assert found["keys"].state == "bad"
    assert "chmod 600" in found["keys"].advice


def test_a_store_that_is_gone(home: Path, make_enrolled: Callable[..., Any], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "world" / "store")
    found = states(home)
    assert found["keys"] == "bad"
    assert found["versions"] == "good"


def test_an_edited_audit_log(home: Path) -> None:
    log = home / "audit.jsonl"
    log.write_bytes(log.read_bytes().replace(b"custodian", b"somebody"))
    assert states(home)["audit"] == "bad"


@pytest.mark.parametrize(("off_s", "state"), [(1, "good"), (100, "warning"), (1000, "bad"), (-1000, "bad")])
def test_the_clock(home: Path, monkeypatch: pytest.MonkeyPatch, off_s: float, state: str) -> None:
    monkeypatch.setattr(
        "konsil.storage.folder.FolderStore.now", lambda store: datetime.now(UTC) + timedelta(seconds=off_s)
    )
    assert doctor.check_clock(home).state == state


@pytest.mark.parametrize(("free_gb", "state"), [(100, "good"), (10, "warning"), (1, "bad")])
def test_the_disk(home: Path, monkeypatch: pytest.MonkeyPatch, free_gb: float, state: str) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(free_gb * 1e9))
    assert doctor.check_disk(home).state == state


@pytest.mark.parametrize(("script", "state"), [("echo 'H100, 80000 MiB'", "good"), ("exit 9", "bad")])
def test_the_graphics_card(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, state: str
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert doctor.check_gpu(home).state == state


def test_what_is_not_installed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "versions", lambda: {"konsil": "1"})
    assert (doctor.check_versions(home).state, doctor.check_nnunet(home).state) == ("bad", "bad")


def test_an_empty_home_ends_with_exit_code_1_and_the_rest_is_examined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    made = CliRunner().invoke(assemble(), ["doctor", "--json", "--result", str(tmp_path / "result.json")])
    assert made.exit_code == 1
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["good"] is False
    assert content["checks"][0]["sentence"].startswith("nobody lives in this home yet")
    assert content["checks"][-2]["state"] == "good"
