"""The whole path through four real Airflow instances and a real S3 server, with one site killed in round 2.

The module's fixture walks it once, smaller than the demo; the tests below say what has to be true afterwards. Two
charters go out: of the first, a data scientist's pilot, all three sites are needed, and one custodian refuses it, while
another approves it *and charters like it*. The second is the operator's: there nobody asks that custodian again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import nibabel
import numpy as np
import psutil
import pytest
from playwright.sync_api import Browser
from safetensors.numpy import load_file

from konsil.demo.ending import reports
from konsil.demo.inboxes import fill_inboxes
from konsil.demo.plan import DemoPlan, Hospital
from konsil.demo.voice import Voice
from konsil.files import read_json
from konsil.stack import supervisor
from konsil.stack.places import Place, make_plan, read_plan
from tests.e2e.camera import Camera
from tests.e2e.path import federate, prepare
from tests.e2e.pilot import PILOT, REFUSAL
from tests.e2e.rights import cells, said
from tests.e2e.walk import Walk

pytestmark = pytest.mark.e2e

Search = Callable[[Iterable[Path], Iterable[str]], dict[str, list[str]]]


@pytest.fixture(scope="module")
def walk(
    tmp_path_factory: pytest.TempPathFactory, browser: Browser, known_pseudonyms: Callable[[Path, str], None]
) -> Walk:
    images = Path(os.environ.get("KONSIL_IMAGES") or tmp_path_factory.mktemp("images"))
    hospitals = (Hospital("A", 6, 1, "missing_flair=1"), Hospital("B", 5, 2), Hospital("C", 5, 3))
    plan = DemoPlan(
        tmp_path_factory.mktemp("path"), hospitals, resolution_mm=3.0, rounds=4, batches_per_round=6, patience_s=10.0
    )
    seen = Walk(plan, images)
    camera = Camera(browser.new_page(viewport={"width": 1360, "height": 850}), plan, images)
    with Voice() as voice:
        try:
            places = make_plan(plan.stack, plan.sites)
            for place in places.only(plan.sites):
                known_pseudonyms(place.home, place.name)
            fill_inboxes(plan, voice, threading.Event())
            supervisor.up(places, say=voice.say)
            prepare(seen, camera, voice)
            federate(seen, camera, voice)
        finally:
            supervisor.down(places, say=voice.say)
            seen.left_after_down = supervisor.leftovers(places)
    return seen


def test_every_round_was_done_with_every_site_although_one_was_killed(walk: Walk) -> None:
    assert walk.killed_in_round >= 2
    assert [entry["round"] for entry in walk.summary["rounds"]] == [1, 2, 3, 4]
    assert walk.summary["outcome"] == "released"
    assert all(len(entry["sites"]) == 3 for entry in walk.summary["rounds"])


def test_the_case_without_flair_was_set_aside_and_the_others_were_frozen(walk: Walk) -> None:
    (place,) = read_plan(walk.plan.stack).only(["A"])
    frozen = read_json(place.home / "cohorts" / walk.plan.cohort / "cohort.json")
    assert len(frozen["cases"]) == 4, "five came through, and the reviewer excluded one"
    assert "FLAIR" in str(frozen["excluded"])


def test_what_the_reviewer_decided_in_the_tab_is_signed_with_who_and_when(walk: Walk) -> None:
    (place,) = read_plan(walk.plan.stack).only(["A"])
    frozen = read_json(place.home / "cohorts" / walk.plan.cohort / "cohort.json")
    decisions = frozen["sign_off"]["decisions"]
    assert {name: one["decision"] for name, one in decisions.items()} == {
        walk.accepted: "accept",
        walk.excluded: "exclude",
    }
    assert all(one["by"] == "reviewer" and one["at"] and one["page_sha256"] for one in decisions.values())
    assert frozen["excluded"][walk.excluded].endswith("Head motion: ripples over the whole head")
    assert walk.accepted in {case["case"] for case in frozen["cases"]}


def test_two_custodians_approved_by_hand_and_a_standing_policy_answered_for_the_third(walk: Walk) -> None:
    assert walk.asked == {"A": 0, "B": 1, "C": 1}
    decisions = {place.name: read_json(place.home / "runs" / walk.plan.run / "decision.json") for place in sites(walk)}
    assert all(decision["accepted"] for decision in decisions.values())
    (policy,) = (place_of(walk, "A").home / "policies").glob("*.signed")
    assert policy.stem == PILOT
    assert PILOT in str(decisions["A"])


def test_a_refusal_reached_the_centre_as_a_sentence_and_nobody_else(walk: Walk) -> None:
    assert walk.refused.endswith(f"B does not take part: {REFUSAL}")
    assert walk.pilot[-1].state == "failed"
    for place in sites(walk):
        told = [path for path in (place.home / "runs").rglob("*") if path.is_file() and REFUSAL in read(path)]
        assert bool(told) == (place.name == "B")


def read(path: Path) -> str:
    """A file as text, whatever it holds."""
    return path.read_bytes().decode("utf-8", errors="replace")


def sites(walk: Walk) -> tuple[Place, ...]:
    """The three sites."""
    return read_plan(walk.plan.stack).sites


def place_of(walk: Walk, name: str) -> Place:
    """One place."""
    (found,) = read_plan(walk.plan.stack).only([name])
    return found


def test_a_data_scientist_followed_the_operators_run_to_its_end(walk: Walk) -> None:
    assert [walk.followed[-1].state, walk.followed[-1].round] == ["success", 4]
    rounds = [progress.round for progress in walk.followed]
    assert rounds == sorted(rounds)
    assert len(set(rounds)) >= 3, "the rounds were told while they went by"
    assert walk.dice["federated"] == walk.summary["dice"]["federated"]


@pytest.mark.parametrize(("act", "who", "may"), cells("**Who may what**"))
def test_airflow_lets_people_do_what_the_table_says(walk: Walk, act: str, who: str, may: bool) -> None:
    assert said(walk.rights[act, who]) is may, walk.rights[act, who]


def test_the_table_names_every_act_that_was_tried(walk: Walk) -> None:
    assert {(act, who) for act, who, _ in cells("**Who may what**")} == set(walk.rights)


def test_every_party_holds_the_same_model(walk: Walk) -> None:
    models = [
        load_file(place.home / "models" / walk.plan.run / "model.safetensors")
        for place in read_plan(walk.plan.stack).places
    ]
    assert len(models) == 4
    for other in models[1:]:
        assert other.keys() == models[0].keys()
        assert all((other[name] == models[0][name]).all() for name in other)


def test_the_model_drew_lesions_of_a_new_patient(walk: Walk) -> None:
    (place,) = read_plan(walk.plan.stack).only(["A"])
    cohort = place.home / "cohorts" / "newcomers"
    (mask,) = cohort.rglob(f"*_label-L_desc-{walk.plan.run}_mask.nii.gz")
    drawn = np.asarray(nibabel.load(mask).dataobj)
    assert set(np.unique(drawn)) <= {0, 1}
    (planted,) = cohort.rglob("*_space-FLAIR_label-L_mask.nii.gz")
    true = np.asarray(nibabel.load(planted).dataobj)
    assert drawn.shape == true.shape
    assert np.logical_and(drawn, true).any(), "some of it where a lesion was planted"


def test_nothing_in_the_bucket_can_be_read_without_a_key(walk: Walk) -> None:
    objects = [path for path in stored_objects(walk) if path.is_file()]
    assert len(objects) > 40
    secrets = [*planted(walk), *pseudonyms(walk), *weights(walk)]
    assert len(secrets) > 100
    for path in objects:
        content = path.read_bytes()
        readable = [secret for secret in secrets if secret in content or secret in str(path).encode()]
        assert readable == [], f"{path.name} holds something readable"


def stored_objects(walk: Walk) -> list[Path]:
    """Every file that the S3 server keeps."""
    (centre,) = read_plan(walk.plan.stack).only(["centre"])
    return list((centre.home / "store").rglob("*"))


def planted(walk: Walk) -> list[bytes]:
    """Every identifier that was planted in the DICOM of the three hospitals."""
    found: set[str] = set()
    for site in walk.plan.sites:
        truth = read_json(walk.plan.folder / "inboxes" / f"{site}_truth.json")
        for patient in truth["patients"]:
            found |= {value for value in patient["identifiers"].values() if len(value) >= 6}
    return [value.encode() for value in sorted(found)]


def pseudonyms(walk: Walk) -> list[bytes]:
    """The pseudonym of every case of the three cohorts."""
    cohorts = [read_json(place.home / "cohorts" / walk.plan.cohort / "cohort.json") for place in sites(walk)]
    found = [case["case"].split("_")[0].removeprefix("sub-") for frozen in cohorts for case in frozen["cases"]]
    assert len(found) == 14, "four of site A, five of each other"
    return [name.encode() for name in found]


def test_no_identifier_is_anywhere_at_a_site_but_in_its_inbox(walk: Walk, planted_in: Search) -> None:
    plan = read_plan(walk.plan.stack)
    (place,) = plan.only(["A"])
    folders = (place.folder, walk.plan.stack / "logs")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"airflow.db", "cohort.json", "scan.json", "cohort.html"} <= names, "the search is over what matters"
    assert len([name for name in names if name.endswith(".log")]) > 10
    words = {value for secret in planted(walk) for value in (secret.decode(), *secret.decode().split("^"))}
    words = {word for word in words if len(word) > 4}
    assert len(words) > 50
    assert planted_in(files, words) == {}
    found = [word for word in words for path in files if word.lower() in str(path.relative_to(walk.plan.stack)).lower()]
    assert found == []


def weights(walk: Walk) -> list[bytes]:
    """16 bytes (four float32) out of every tensor of the final model."""
    (centre,) = read_plan(walk.plan.stack).only(["centre"])
    model = load_file(centre.home / "models" / walk.plan.run / "model.safetensors")
    pieces = [tensor.tobytes()[:16] for tensor in model.values() if tensor.size >= 4]
    return [piece for piece in pieces if any(piece)]


def test_every_report_is_one_file_that_needs_no_network(walk: Walk) -> None:
    found = reports(walk.plan)
    assert len(found) == 4
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text
        assert "not a medical device" in text


PICTURES = [
    "site-dags", "prepare-cohort-form", "required-actions", "sign-off", "quality-tab", "cohort-report", "case-report",
    "viewer", "charter", "join-federation", "governance-tab", "federation-runs", "federation-tab",
    "federation-report", "run-federation-form", "governance-charter",
]  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_was_taken(walk: Walk, name: str) -> None:
    assert (walk.images / f"{name}.png").stat().st_size > 20_000


def test_no_process_is_left(walk: Walk) -> None:
    assert walk.left_after_down == []
    folder = str(walk.plan.folder)
    assert [process.pid for process in psutil.process_iter() if folder in words_of(process)] == []


def words_of(process: psutil.Process) -> str:
    """Command line and environment of a process, as far as they can be read."""
    try:
        return " ".join([*process.cmdline(), *process.environ().values()])
    except psutil.Error:
        return ""
