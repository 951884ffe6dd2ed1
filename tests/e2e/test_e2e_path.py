"""The whole path through four real Airflow instances and a real S3 server, with one site killed in round 2.

The module's fixture walks it once, smaller than the demo; the tests below say what has to be true afterwards. Two
charters go out: of the first, a data scientist's pilot, all three sites are needed, and one custodian refuses it, while
another approves it *and charters like it*. The second is the operator's: there nobody asks that custodian again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nibabel
import numpy as np
import psutil
import pytest
from playwright.sync_api import Browser, FrameLocator, Locator, Page
from safetensors.numpy import load_file

from konsil.demo.ending import reports
from konsil.demo.federating import approve, follow, rounds_done, start_federation
from konsil.demo.inboxes import fill_inboxes
from konsil.demo.people import person, question_for, until
from konsil.demo.plan import DemoPlan, Hospital
from konsil.demo.preparing import finish_preparing, sign_off, start_preparing
from konsil.demo.voice import Voice
from konsil.files import read_json
from konsil.sdk.answers import Question
from konsil.sdk.federation import Federation, Progress
from konsil.stack import supervisor
from konsil.stack.accounts import passwords
from konsil.stack.places import CENTRE, Place, make_plan, read_plan
from tests.e2e.rights import SIMPLE, Town, answers, cells, said

pytestmark = pytest.mark.e2e

Search = Callable[[Iterable[Path], Iterable[str]], dict[str, list[str]]]
PILOT = "pilot"
REFUSAL = "Our ethics board has not agreed <script>alert(1)</script> yet."
JOIN = "join_federation"
SIGN = "choose series, sign a cohort off"


@dataclass
class Walk:
    """What the fixture saw on its way."""

    plan: DemoPlan
    images: Path
    killed_in_round: int = -1
    accepted: str = ""
    excluded: str = ""
    summary: dict[str, Any] = field(default_factory=dict)
    rights: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    pilot: list[Progress] = field(default_factory=list)
    refused: str = ""
    asked: dict[str, int] = field(default_factory=dict)
    followed: list[Progress] = field(default_factory=list)
    dice: dict[str, Any] = field(default_factory=dict)
    left_after_down: list[int] = field(default_factory=list)


@pytest.fixture(scope="module")
def page(browser: Browser) -> Page:
    return browser.new_page(viewport={"width": 1360, "height": 850})


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory, page: Page, known_pseudonyms: Callable[[Path, str], None]) -> Walk:
    images = Path(os.environ.get("KONSIL_IMAGES") or tmp_path_factory.mktemp("images"))
    hospitals = (Hospital("A", 6, 1, "missing_flair=1"), Hospital("B", 5, 2), Hospital("C", 5, 3))
    plan = DemoPlan(
        tmp_path_factory.mktemp("path"), hospitals, resolution_mm=3.0, rounds=4, batches_per_round=6, patience_s=10.0
    )
    seen = Walk(plan, images)
    with Voice() as voice:
        try:
            places = make_plan(plan.stack, plan.sites)
            for place in places.only(plan.sites):
                known_pseudonyms(place.home, place.name)
            fill_inboxes(plan, voice, threading.Event())
            supervisor.up(places, say=voice.say)
            prepare(seen, page, voice)
            federate(seen, page, voice)
        finally:
            supervisor.down(places, say=voice.say)
            seen.left_after_down = supervisor.leftovers(places)
    return seen


def prepare(seen: Walk, page: Page, voice: Voice) -> None:
    """All three cohorts; at site A the pages are looked at."""
    plan = seen.plan
    shoot(page, seen, "A", "staff", "dags", "site-dags", wait_for="Prepare cohort")
    shoot_form(page, seen, "A", "staff", "prepare_cohort", "Name of the cohort")
    shoot_form(page, seen, "A", "staff", "predict", "Which of its rounds")
    runs = {site: start_preparing(plan, site) for site in plan.sites}
    question = question_for(person(plan, "A", "reviewer"), "prepare_cohort", timeout_s=600)
    seen.rights |= answers(town(plan, sign_off=question), {SIGN: SIMPLE[SIGN]})
    shoot(page, seen, "A", "reviewer", "required_actions", "required-actions", wait_for="Sign off")
    page.get_by_text("Sign off cohort").first.click()
    page.get_by_text("set aside").first.wait_for(timeout=120_000)
    page.wait_for_timeout(1500)
    page.screenshot(path=seen.images / "sign-off.png")
    review(seen, page)
    for site, run in runs.items():
        sign_off(plan, site, voice)
        finish_preparing(plan, site, run, voice)


def review(seen: Walk, page: Page) -> None:
    """The reviewer of site A walks through the tab *Quality* with the keyboard and decides on two cases."""
    shoot(page, seen, "A", "reviewer", "plugin/quality", "quality-tab", wait_for="Quality")
    tab = page.frame_locator("iframe")
    tab.get_by_role("link", name=seen.plan.cohort).click()
    tab.locator("#cases").wait_for(timeout=120_000)
    body = tab.locator("body")
    tab.locator("#cases tbody tr").last.locator("td").nth(3).click()
    seen.accepted = tab.locator("#chosen").inner_text()
    decide(tab, "a")
    for _ in range(9):
        body.press("k")
    seen.excluded = tab.locator("#chosen").inner_text()
    body.press("e")
    tab.get_by_label("Head motion").check()
    tab.get_by_label("Note").fill("ripples over the whole head")
    decide(tab, "Enter", tab.get_by_label("Note"))
    page.screenshot(path=seen.images / "cohort-report.png")
    body.press("Enter")
    tab.locator("#measures").wait_for(timeout=120_000)
    page.wait_for_timeout(500)
    page.screenshot(path=seen.images / "case-report.png")
    tab.locator("body").press("v")
    tab.locator("body[data-ready]").wait_for(timeout=120_000)
    page.wait_for_timeout(2000)
    page.screenshot(path=seen.images / "viewer.png")
    page.goto("about:blank")  # an open page of Airflow asks for news all the time


def decide(tab: FrameLocator, key: str, where: Locator | None = None) -> None:
    """Press a key and wait until the site has kept the decision."""
    (where or tab.locator("body")).press(key)
    tab.locator("#state").get_by_text("reviewer").wait_for(timeout=15_000)


def pilot(seen: Walk, page: Page, voice: Voice) -> None:
    """A charter of which everybody is needed: A approves it and others like it, C approves, B refuses."""
    plan, science = seen.plan, data_scientist(seen.plan)
    asked = {**plan.form, "run": PILOT, "quorum": {"required": plan.sites}}
    science.launch(science.propose({name: value for name, value in asked.items() if name != "patience_s"}))
    question = shoot_charter(page, seen)
    others = {act: tried for act, tried in SIMPLE.items() if act != SIGN}
    seen.rights |= answers(town(plan, charter=question), others)
    answer_in_browser(page, seen, "A", "Approve as standing policy")
    approve(plan, "C", voice)
    answer_in_browser(page, seen, "B", "Refuse", reason=REFUSAL)
    seen.pilot = list(science.follow(PILOT, timeout_s=300))
    log = person(plan, CENTRE, "operator").log("run_federation", PILOT, "recipe")
    seen.refused = next(line for line in log if "does not take part" in line)


def data_scientist(plan: DemoPlan) -> Federation:
    """The centre through the SDK; a data scientist has the operator's account there."""
    (centre,) = read_plan(plan.stack).only([CENTRE])
    return Federation.connect(centre.url, "operator", passwords(centre)["operator"], home=centre.home)


def town(plan: DemoPlan, **questions: Question) -> Town:
    """The centre and site A, to be asked who may do what."""
    centre, site = read_plan(plan.stack).only([CENTRE, "A"])
    return Town(centre, site, **questions)


def second_run(plan: DemoPlan, site: str) -> str:
    """The DAG run that the second charter started at a site."""
    staff = person(plan, site, "staff")

    def look() -> str | None:
        runs = staff.runs("join_federation")
        return runs[-1][0] if len(runs) > 1 else None

    return until(look, what=f"the second charter at {site}", timeout_s=120)


def questions_asked(plan: DemoPlan, site: str, run: str) -> int:
    """How many questions a DAG run has asked once its decision is recorded."""
    staff = person(plan, site, "staff")

    def look() -> bool | None:
        return any(task.task_id == "decide" and task.state == "success" for task in staff.tasks(JOIN, run)) or None

    until(look, what=f"the decision of {site}", timeout_s=300)
    return len(staff.call("GET", f"dags/{JOIN}/dagRuns/{quote(run)}/hitlDetails")["hitl_details"])


def federate(seen: Walk, page: Page, voice: Voice) -> None:
    """The federation, with everything of site B killed while round 2 runs and started again."""
    plan, science = seen.plan, data_scientist(seen.plan)
    shoot_form(page, seen, CENTRE, "operator", "run_federation", "Name of the federation")
    pilot(seen, page, voice)
    run = start_federation(plan, voice)
    for site in plan.sites:
        newest = second_run(plan, site)
        if site != "A":
            approve(plan, site, voice)
        seen.asked[site] = questions_asked(plan, site, newest)
    following = threading.Thread(target=lambda: seen.followed.extend(science.follow(plan.run, poll_s=3.0)), daemon=True)
    following.start()
    until(lambda: rounds_done(plan) >= 1 or None, what="round 1", timeout_s=900, poll_s=0.2)
    places = read_plan(plan.stack)
    supervisor.down(places, say=voice.say, only=["B"], grace_s=0)
    seen.killed_in_round = rounds_done(plan) + 1
    supervisor.up(places, say=voice.say, only=["B"])
    follow(plan, run, voice)
    following.join(60)
    seen.dice = science.results(plan.run).dice.to_dict("index")
    predict(seen, voice)
    joined = person(plan, "A", "staff").runs(JOIN)[-1]
    shoot(
        page,
        seen,
        "A",
        "staff",
        f"dags/join_federation/runs/{joined[0]}",
        "join-federation",
        wait_for="Store the model",
    )
    shoot(page, seen, "A", "custodian", "plugin/governance", "governance-tab", wait_for="Governance")
    shoot(page, seen, "A", "staff", "plugin/federation", "federation-runs", wait_for="Federation")
    tab = page.frame_locator("iframe")
    tab.get_by_role("link", name=plan.run).click()
    tab.locator("#rounds table").wait_for(timeout=120_000)
    page.screenshot(path=seen.images / "federation-tab.png")
    tab.get_by_role("link", name="Federation report").click()
    page.wait_for_timeout(1500)
    page.screenshot(path=seen.images / "federation-report.png")
    (centre,) = places.only(["centre"])
    seen.summary = read_json(centre.home / "runs" / plan.run / "summary.json")


def predict(seen: Walk, voice: Voice) -> None:
    """Staff of site A prepare a new patient and let the federation's model draw the lesions."""
    later = replace(seen.plan, cohort="newcomers", hospitals=(Hospital("A", 1, 77),), inboxes="later")
    fill_inboxes(later, voice, threading.Event())
    run = start_preparing(later, "A")
    sign_off(later, "A", voice)
    finish_preparing(later, "A", run, voice)
    staff = person(seen.plan, "A", "staff")
    drawn = staff.trigger("predict", {"cohort": "newcomers", "model": seen.plan.run})
    assert staff.wait("predict", drawn, timeout_s=300) == "success"


def shoot(page: Page, seen: Walk, place: str, account: str, path: str, name: str, *, wait_for: str) -> None:
    """Open a page of a place as one of its people and keep a picture of it once `wait_for` can be read."""
    show(page, seen, place, account, path, wait_for=wait_for)
    page.screenshot(path=seen.images / f"{name}.png")


def show(page: Page, seen: Walk, place: str, account: str, path: str, *, wait_for: str) -> None:
    """Open a page of a place as one of its people, until `wait_for` can be read."""
    client = person(seen.plan, place, account)
    client.login()
    page.context.clear_cookies()
    page.context.add_cookies([{"name": "_token", "value": client._token, "url": f"{client.url}/"}])
    page.goto(f"{client.url}/{path}")
    page.get_by_text(wait_for).first.wait_for(timeout=120_000)
    page.wait_for_timeout(1500)  # the icons and graphs of the page arrive after its text


def shoot_form(page: Page, seen: Walk, place: str, account: str, dag_id: str, first: str) -> None:
    """The trigger form of a DAG, whose first field is named `first`."""
    name = f"{dag_id.replace('_', '-')}-form"
    shoot(page, seen, place, account, f"dags/{dag_id}", name, wait_for="Trigger")
    page.get_by_role("button", name="Trigger").first.click()
    page.get_by_text(first).first.wait_for(timeout=120_000)
    page.wait_for_timeout(500)
    page.screenshot(path=seen.images / f"{name}.png")


def shoot_charter(page: Page, seen: Walk) -> Question:
    """What the custodian of site A is asked, and the same charter in the tab *Governance*."""
    question = question_for(person(seen.plan, "A", "custodian"), JOIN, timeout_s=600)
    shoot(page, seen, "A", "custodian", "required_actions", "charter", wait_for="Take part")
    page.get_by_text("Take part").first.click()
    page.get_by_text("What leaves this site").first.wait_for(timeout=120_000)
    page.wait_for_timeout(1500)
    page.screenshot(path=seen.images / "charter.png")
    shoot(page, seen, "A", "custodian", "plugin/governance", "governance-charter", wait_for="Governance")
    page.frame_locator("iframe").get_by_role("link", name=PILOT).click()
    page.frame_locator("iframe").get_by_text("What is asked").wait_for(timeout=120_000)
    page.screenshot(path=seen.images / "governance-charter.png")
    page.goto("about:blank")
    return question


def answer_in_browser(page: Page, seen: Walk, site: str, option: str, *, reason: str = "") -> None:
    """The custodian of a site answers under *Required Actions*, and again if Airflow lost the answer (3.3.2)."""
    client = person(seen.plan, site, "custodian")
    run = question_for(client, JOIN, timeout_s=600).run

    def taken() -> bool | None:
        if any(task.task_id == "approve" and task.state == "success" for task in client.tasks(JOIN, run)):
            return True
        if client.questions(JOIN, run):
            press(page, seen, site, option, reason)
        return None

    until(taken, what=f"the answer of {site}", timeout_s=240)
    page.goto("about:blank")


def press(page: Page, seen: Walk, site: str, option: str, reason: str) -> None:
    """Open the question, fill in the reason and press the button, once the question is old enough to be answered."""
    show(page, seen, site, "custodian", "required_actions", wait_for="Take part")
    page.get_by_text("Take part").first.click()
    button = page.get_by_role("button", name=option, exact=True)
    button.wait_for(timeout=120_000)
    page.wait_for_timeout(8000)
    if reason:
        page.locator('textarea[name="element_reason"]').fill(reason)
    button.click()
    page.wait_for_timeout(2000)


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
    (mask,) = (place.home / "cohorts" / "newcomers").rglob(f"*_label-L_desc-{walk.plan.run}_mask.nii.gz")
    assert set(np.unique(np.asarray(nibabel.load(mask).dataobj))) <= {0, 1}


def test_nothing_in_the_bucket_can_be_read_without_a_key(walk: Walk) -> None:
    objects = [path for path in stored_objects(walk) if path.is_file()]
    assert len(objects) > 40
    secrets = [*planted(walk), *weights(walk)]
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
    """Every identifier that was planted in the DICOM of the three hospitals, and the pseudonyms of the cohorts."""
    found: set[str] = set()
    for site in walk.plan.sites:
        truth = read_json(walk.plan.folder / "inboxes" / f"{site}_truth.json")
        for patient in truth["patients"]:
            found |= {value for value in patient["identifiers"].values() if len(value) >= 6}
    return [value.encode() for value in sorted(found)]


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
    "federation-report", "predict-form", "run-federation-form", "governance-charter",
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
