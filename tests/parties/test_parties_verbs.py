"""The verbs, as people and operators use them: homes with keys and passes, a folder as store, frozen cohorts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.cohort.folder import SiteFolder
from konsil.errors import KonsilError
from konsil.federation.strategies.choice import NAMES
from konsil.files import read_json, write_json
from konsil.parties.wake import addressed_charters, ready, runs_at
from tests.parties.town import Town

CHARTER = {"run": "lines-1", "sites": ["A", "B"], "rounds": 2, "title": "Lines"}


@pytest.mark.usefixtures("lines")
def test_a_federation_by_hand(town: Town, cohort: Callable[[Path, int], Path]) -> None:
    charter = town.root / "charter.json"
    write_json(charter, CHARTER)
    assert town.stint("centre", "run", str(charter), "--until", "charter")["state"] == "done"
    assert addressed_charters(town.root / "A") == runs_at(town.root / "A") == ["lines-1"]
    assert not ready(town.root / "A", "lines-1")  # nothing to do before the custodian decided
    for site, cases in {"A": 2, "B": 3}.items():
        cohort(SiteFolder(town.root / site).cohort("lines").path, cases)
        shown = town.run(site, "decide", "lines-1").output
        assert "What would leave this site" in shown
        assert "combined by fedavg." in shown
        town.run(site, "decide", "lines-1", "--accept", "--cohort", "lines", "--by", "Dr. Weber")
        assert ready(town.root / site, "lines-1")
        assert not ready(town.root / site, "lines-1", "rounds")  # what is to be done is an earlier task's business
        assert addressed_charters(town.root / site) == []
        assert town.stint(site, "take-part", "lines-1", "--until", "answers")["state"] == "done"
    states = []
    for _ in range(12):
        states = [town.stint("centre", "run", "--resume", "lines-1")]
        states += [town.stint(site, "take-part", "lines-1") for site in "AB"]
        if all(found["state"] == "finished" for found in states):
            break
    assert {found["sentence"] for found in states} == {"Finished: 2 rounds with all 2 sites (A, B)."}
    report = Path(town.run("centre", "report", "lines-1").stdout.strip().splitlines()[-1])
    assert "Finished: 2 rounds" in report.read_text()
    assert ready(town.root / "A", "lines-1")  # an ended run wakes up whoever still waits for it
    assert "Dr. Weber" not in json.dumps(read_json(report.with_name("summary.json")))


@pytest.mark.usefixtures("lines")
def test_a_refusal_is_a_sentence_and_an_aborted_run_is_exit_code_1(town: Town) -> None:
    write_json(town.root / "charter.json", CHARTER)
    town.run("centre", "run", str(town.root / "charter.json"))
    with pytest.raises(KonsilError, match="not complete; expected a reason and who decided"):
        town.run("A", "decide", "lines-1", "--refuse", "no vote yet")
    for site in "AB":
        town.run(site, "decide", "lines-1", "--refuse", "no vote yet", "--by", "Dr. Weber")
        assert town.stint(site, "take-part", "lines-1")["state"] == "finished"
    ending = town.stint("centre", "run", "--resume", "lines-1", code=1)
    assert ending["sentence"] == "Too few sites accepted the charter: 0 of at least 2 sites"


@pytest.mark.usefixtures("lines")
def test_the_operator_steers_and_a_site_leaves(town: Town, cohort: Callable[[Path, int], Path]) -> None:
    write_json(town.root / "charter.json", CHARTER)
    town.run("centre", "run", str(town.root / "charter.json"))
    for site in "AB":
        cohort(SiteFolder(town.root / site).cohort("lines").path, 2)
        town.run(site, "decide", "lines-1", "--accept", "--cohort", "lines", "--by", "Dr. Weber")
    assert "word 1" in town.run("centre", "steer", "pause", "lines-1", "--why", "maintenance").output
    assert "maintenance" in town.stint("A", "take-part", "lines-1")["sentence"]
    with pytest.raises(KonsilError, match="does not take part in lines-1"):
        town.run("B", "leave", "lines-1")
    town.run("centre", "steer", "resume", "lines-1")
    for site in "AB":
        town.stint(site, "take-part", "lines-1", "--until", "answers")
    assert "has left" in town.run("B", "leave", "lines-1", "--why", "scanner replaced", "--by", "Dr. Weber").output
    assert town.stint("B", "take-part", "lines-1")["sentence"] == "This site has left the run"
    with pytest.raises(KonsilError, match="cannot be excluded; expected one of A; got B"):
        town.run("centre", "steer", "exclude", "lines-1", "B", "--why", "late")
    town.run("centre", "steer", "abort", "lines-1", "--why", "too few are left")
    ending = town.stint("centre", "run", "--resume", "lines-1", code=1)
    assert ending["sentence"] == "The operator ended the run: too few are left"
    assert "too few are left" in town.stint("A", "take-part", "lines-1", code=1)["sentence"]
    log = (town.root / "centre" / "audit.jsonl").read_text()
    assert all(f'"action":"{word}"' in log for word in ("pause", "resume", "abort"))
    assert "Dr. Weber" in (town.root / "B" / "audit.jsonl").read_text()  # at the site, not in what it sent
    assert "Dr. Weber" not in json.dumps(read_json(town.root / "centre" / "runs" / "lines-1" / "summary.json"))


@pytest.mark.parametrize(
    ("who", "words", "why"),
    [
        ("A", ["steer", "pause", "lines-1"], "This home is a site's; expected the centre's"),
        ("centre", ["leave", "lines-1"], "This home is the centre's; expected a site's"),
        ("centre", ["steer", "pause", "lines-1"], "There is no run lines-1 here"),
        ("centre", ["run"], "either CHARTER.json or --resume RUN"),
        ("centre", ["run", "--resume", "nothing-1"], "There is no run nothing-1 here"),
        ("centre", ["run", "nowhere.json"], "nowhere.json is not there"),
        ("A", ["run", "--resume", "lines-1"], "There is no run lines-1 here"),
        ("centre", ["take-part", "lines-1"], "This home is the centre's; expected a site's"),
        ("A", ["decide", "lines-1", "--accept"], r"a frozen cohort \(--cohort\) and who decided"),
        ("A", ["decide", "lines-1"], "No charter of lines-1 has arrived"),
        ("A", ["take-part", "../lines"], "expected 3 to 41"),
        ("A", ["report", "lines-1"], "The charter of lines-1 has not arrived"),
    ],
)
def test_bad_input_is_a_sentence(town: Town, who: str, words: list[str], why: str) -> None:
    with pytest.raises(KonsilError, match=why):
        town.run(who, *words)


@pytest.mark.usefixtures("lines")
def test_simulate_runs_a_whole_federation_and_goes_on_where_it_stopped(
    tmp_path: Path, cohort: Callable[[Path, int], Path]
) -> None:
    write_json(tmp_path / "charter.json", CHARTER)
    places = [f"--cohort={site}={cohort(tmp_path / site, cases)}" for site, cases in {"A": 2, "B": 3}.items()]
    words = ["simulate", str(tmp_path / "charter.json"), *places, "--out", str(tmp_path / "out")]
    made = CliRunner().invoke(assemble(), [*words, "--result", str(tmp_path / "result.json")])
    assert made.exit_code == 0, made.output
    assert "A alone" in made.output
    result = read_json(tmp_path / "result.json")
    assert (result["state"], result["round"]) == ("finished", 2)
    assert set(result["dice"]["local"]) == set(result["dice"]["federated"]) == {"A", "B"}
    models = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("line.npz")}
    assert len(models) == 3
    assert CliRunner().invoke(assemble(), words).exit_code == 0
    assert models == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("line.npz")}


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize("name", NAMES)
def test_simulate_runs_under_every_strategy(tmp_path: Path, cohort: Callable[[Path, int], Path], name: str) -> None:
    clip = {} if name == "scaffold" else {"clip_norm": 5}
    strategy = {"name": name, **clip, **({"faulty": 0} if "krum" in name else {})}
    rules = {"strategy": strategy, "sites": ["A", "B", "C"], "quorum": {"sites": 3}, "compare_with_local": False}
    write_json(tmp_path / "charter.json", {**CHARTER, **rules})
    places = [f"--cohort={site}={cohort(tmp_path / site, 2)}" for site in "ABC"]
    words = ["simulate", str(tmp_path / "charter.json"), *places, "--out", str(tmp_path / "out")]
    made = CliRunner().invoke(assemble(), [*words, "--result", str(tmp_path / "result.json")])
    assert made.exit_code == 0, made.output
    assert read_json(tmp_path / "result.json")["state"] == "finished"
    assert name in next(tmp_path.rglob("centre/runs/*/report.html")).read_text()  # the report says which


@pytest.mark.parametrize("places", [["A"], ["A=x", "A=y"], ["=x"], ["A=x"]])
def test_cohorts_that_do_not_fit_the_charter_are_refused(tmp_path: Path, places: list[str]) -> None:
    write_json(tmp_path / "charter.json", CHARTER)
    words = [f"--cohort={place}" for place in places]
    made = CliRunner().invoke(
        assemble(), ["simulate", str(tmp_path / "charter.json"), *words, "--out", str(tmp_path / "out")]
    )
    assert isinstance(made.exception, KonsilError)
    assert not (tmp_path / "out").exists()


def test_settings_that_the_learner_does_not_know_are_refused_before_anything_is_published(town: Town) -> None:
    charter = town.root / "charter.json"
    write_json(charter, {**CHARTER, "learner": {"name": "nnunet", "settings": {"learning_speed": 1}}})
    with pytest.raises(KonsilError, match="learning_speed"):
        town.run("centre", "run", str(charter), "--until", "charter")
    assert addressed_charters(town.root / "A") == []
