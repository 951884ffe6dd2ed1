"""Pages drawn where the learner is not installed tell what the site's worker has told, and no more."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from konsil.cohort.folder import SiteFolder
from konsil.errors import KonsilError, Unavailable
from konsil.files import read_json, write_json
from konsil.learners import origin
from konsil.parties.decision import proposal
from konsil.parties.worker_mark import UNKNOWN, noted
from konsil.stack.container import become
from konsil.stack.secrets import make
from konsil.stack.wishes import Wish
from tests.parties.town import Town

BY = ["--by", "Dr. Weber"]
pytestmark = pytest.mark.usefixtures("lines")


@pytest.fixture
def approved(town: Town, cohort: Callable[[Path, int], Path]) -> Town:
    """A site whose custodian accepted a charter and signed a standing policy."""
    cohort(SiteFolder(town.root / "A").cohort("lines").path, 2)
    for run in ("lines-1", "lines-2"):
        write_json(town.root / "charter.json", {"run": run, "sites": ["A", "B"], "rounds": 2})
        town.run("centre", "run", str(town.root / "charter.json"), "--until", "charter")
    town.run("A", "decide", "lines-1", "--accept", "--cohort", "lines", "--standing", *BY)
    return town


@pytest.fixture
def as_api_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """From the call on nnunetv2 is not installed, as in the image of the API server."""

    def change() -> None:
        find: Any = origin.importlib.util.find_spec
        monkeypatch.setattr(
            "konsil.learners.origin.importlib.util.find_spec",
            lambda name, *more: None if name == "nnunetv2" else find(name, *more),
        )
        origin.code_of.cache_clear()

    yield change
    origin.code_of.cache_clear()


def note(home: Path, **changed: str) -> None:
    """The worker of that home tells another mark."""
    path = home / "learners" / "nnunet.json"
    write_json(path, read_json(path) | changed)


def test_a_valid_approval_and_policy_are_shown_as_valid(approved: Town, as_api_server: Callable[[], None]) -> None:
    home = approved.root / "A"
    here = proposal(home, "lines-1")
    as_api_server()
    there = proposal(home, "lines-1")
    assert there["void"] == ""
    assert there == here
    assert proposal(home, "lines-2")["policy"] == "lines-1"


def test_a_worker_with_other_code_is_told(approved: Town, as_api_server: Callable[[], None]) -> None:
    home = approved.root / "A"
    as_api_server()
    note(home, digest="f" * 64, code="f" * 64)
    assert "the learner changed: approved was nnunet" in proposal(home, "lines-1")["void"]
    assert proposal(home, "lines-2")["policy"] == ""


@pytest.mark.parametrize("spoil", ["gone", "empty", "of another shape"])
def test_where_no_worker_has_told_nothing_is_compared_and_that_is_said(
    approved: Town, as_api_server: Callable[[], None], spoil: str
) -> None:
    home = approved.root / "A"
    path = home / "learners" / "nnunet.json"
    path.unlink() if spoil == "gone" else path.write_text("" if spoil == "empty" else "{}")
    as_api_server()
    told = proposal(home, "lines-1")
    assert (told["void"], told["outside"], told["learner_words"]) == ("", [UNKNOWN], "nnunet")
    assert told["policy"] == ""
    frozen = SiteFolder(home).cohort("lines").frozen
    write_json(frozen, read_json(frozen) | {"seed": 2})
    assert "the cohort changed" in proposal(home, "lines-1")["void"]


def test_what_a_worker_has_told_opens_no_deed(approved: Town, as_api_server: Callable[[], None]) -> None:
    as_api_server()
    with pytest.raises(KonsilError, match="does not count any more: the learner changed"):
        approved.stint("A", "take-part", "lines-1", "--until", "answers")
    with pytest.raises(KonsilError, match="No standing policy covers lines-2"):
        approved.run("A", "decide", "lines-2", "--by-policy")


def test_a_scheduler_tells_at_its_start_and_an_api_server_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KONSIL_IMAGE", "sha256:" + "a" * 64)
    make(Wish("site", "localhost", ("A",)), tmp_path / "s")
    no_database = subprocess.CompletedProcess([], 1, "", "no database")
    monkeypatch.setattr("konsil.stack.container.subprocess.run", lambda *words, **how: no_database)
    for component in ("api-server", "scheduler"):
        with pytest.raises(Unavailable):
            become(component, tmp_path / "s" / "a" / "place.json", tmp_path / "run")
        assert (tmp_path / "home" / "learners").exists() == (component == "scheduler")
    assert read_json(tmp_path / "home" / "learners" / "nnunet.json")["image"] == "sha256:" + "a" * 64


def test_a_part_of_a_learner_is_not_told(tmp_path: Path, as_api_server: Callable[[], None]) -> None:
    as_api_server()
    assert noted(tmp_path / "home", "") == []
    assert not (tmp_path / "home").exists()
