"""Homes that earlier versions made are read, shown and gone on with by the code of today (tests/upgrade/make.py)."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from konsil.cohort.folder import SiteFolder
from konsil.cohort.frozen import read_frozen
from konsil.federation.audit_check import verify
from konsil.federation.mailbox import open_mailbox
from konsil.parties.backup import backup, restore
from konsil.parties.report import current_summary
from konsil.sdk.federation import Results
from konsil.trust.passes import read_pass
from tests.upgrade.make import DONE, HALF, SITES, Town, hashes

ROOT = Path(__file__).parents[2]
ARCHIVES = sorted((ROOT / "tests" / "vectors" / "homes").glob("*.tar.xz"))


@pytest.fixture(scope="module", params=ARCHIVES, ids=lambda path: path.name.partition(".")[0])
def town(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The homes, moved: the store's address is the folder's, in the two kinds of file that hold it."""
    folder = tmp_path_factory.mktemp("town")
    with tarfile.open(request.param) as archive:
        archive.extractall(folder, filter="data")
    town = Town(ROOT, folder / "town")
    told = json.loads((town.root / "expected.json").read_text())
    connection = town.home("centre") / "centre.json"
    connection.write_text(connection.read_text().replace(told["at"], str(town.root)))
    for site in SITES:
        ours = read_pass(town.home(site) / "pass.json")
        ours.model_copy(update={"endpoint": (town.root / "store").as_uri()}).save(town.home(site) / "pass.json")
    return town


def test_there_are_homes_of_earlier_versions() -> None:
    assert len(ARCHIVES) >= 2


def test_a_frozen_cohort_is_still_what_it_was(town: Town) -> None:
    for site in SITES:
        assert read_frozen(SiteFolder(town.home(site)).cohort("tiny").path).split("train")


def test_the_audit_log_still_leads_to_what_was_posted(town: Town) -> None:
    for name in ("centre", *SITES):
        found = verify(town.home(name))
        assert found.entries  # how far a log had come is told in messages since 2026-11-26
        assert found.others == ()


def test_the_tabs_show_what_was_done_with_the_earlier_version(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("centre", *SITES):
        monkeypatch.setenv("KONSIL_HOME", str(town.home(name)))
        tabs = TestClient(known(monkeypatch))
        listed = tabs.get("/federation")
        assert DONE in listed.text
        assert HALF in listed.text
        for page in ("now.html", "now", "report.html"):
            assert tabs.get(f"/federation/{DONE}/{page}").status_code == 200
        assert "of 5" in tabs.get(f"/federation/{HALF}/now").text
        if name in SITES:
            assert ("tiny" in tabs.get("/quality").text) == (name == "A"), "what was adopted has no report"
            assert DONE in tabs.get("/governance").text
            assert tabs.get(f"/governance/{DONE}/charter.html").status_code == 200


def known(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The tabs, for somebody who may do everything."""
    from airflow.api_fastapi.core_api.security import get_user

    from plugins import access, reviews
    from plugins.app import build
    from tests.plugins.test_plugins_app import Manager

    monkeypatch.setattr(reviews, "get_auth_manager", Manager)
    monkeypatch.setattr(access, "get_auth_manager", Manager)
    app = build()
    app.dependency_overrides[get_user] = lambda: "somebody whom Airflow knows"
    return app


def test_the_report_of_a_run_that_is_over_is_made_anew(town: Town) -> None:
    town.call("centre", "report", DONE)

    results = Results(current_summary(open_mailbox(town.home("centre"), DONE)))
    assert len(results.rounds) == 4, "two rounds of two sites"


def test_the_reviewers_pages_are_made_anew(town: Town) -> None:
    cohort = SiteFolder(town.home("A")).cohort("tiny")
    assert (cohort.reports / "cohort.html").is_file()
    town.call("A", "qc", "tiny", "--limits", "wide")
    town.call("A", "report", "tiny")
    assert read_frozen(cohort.path).sign_off is not None


def test_a_home_is_kept_and_made_anew(town: Town, tmp_path: Path) -> None:
    backup(town.home("A"), tmp_path / "kept.tar")
    restore(tmp_path / "kept.tar", tmp_path / "home")
    assert read_frozen(SiteFolder(tmp_path / "home").cohort("tiny").path).split("train")


def test_a_run_that_was_cut_goes_on_to_the_same_weights(town: Town) -> None:
    """Approvals are pinned to the learner's code, so a new version asks custodians again; what was trained counts."""
    for site in SITES:
        town.call(site, "decide", HALF, "--accept", "--cohort", "tiny", "--by", "custodian")
    town.finish(HALF)
    expected = json.loads((town.root / "expected.json").read_text())["model"]
    assert [hashes(town.home(name)) for name in ("centre", *SITES)] == [expected] * 3
