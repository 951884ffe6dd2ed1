"""The steps of the whole path: three cohorts are prepared, a federation trains, a new patient is looked at."""

from __future__ import annotations

import threading
from dataclasses import replace

from playwright.sync_api import FrameLocator, Locator

from konsil.demo.federating import approve, follow, rounds_done, start_federation
from konsil.demo.inboxes import fill_inboxes
from konsil.demo.people import person, question_for, until
from konsil.demo.plan import Hospital
from konsil.demo.preparing import finish_preparing, sign_off, start_preparing
from konsil.demo.voice import Voice
from konsil.files import read_json
from konsil.stack import supervisor
from konsil.stack.places import CENTRE, read_plan
from tests.e2e.camera import Camera
from tests.e2e.pilot import pilot, questions_asked, second_run
from tests.e2e.rights import SIMPLE, answers
from tests.e2e.walk import JOIN, SIGN, Walk, data_scientist, town


def prepare(seen: Walk, camera: Camera, voice: Voice) -> None:
    """All three cohorts; at site A the pages are looked at."""
    plan = seen.plan
    camera.shoot("A", "staff", "dags", "site-dags", wait_for="Prepare cohort")
    camera.shoot_form("A", "staff", "prepare_cohort", "Name of the cohort")
    runs = {site: start_preparing(plan, site) for site in plan.sites}
    question = question_for(person(plan, "A", "reviewer"), "prepare_cohort", timeout_s=600)
    seen.rights |= answers(town(plan, sign_off=question), {SIGN: SIMPLE[SIGN]})
    camera.shoot("A", "reviewer", "required_actions", "required-actions", wait_for="Sign off")
    camera.page.get_by_text("Sign off cohort").first.click()
    camera.page.get_by_text("set aside").first.wait_for(timeout=120_000)
    camera.take("sign-off", after_ms=1500)
    review(seen, camera)
    for site, run in runs.items():
        sign_off(plan, site, voice)
        finish_preparing(plan, site, run, voice)


def review(seen: Walk, camera: Camera) -> None:
    """The reviewer of site A walks through the tab *Quality* with the keyboard and decides on two cases."""
    camera.shoot("A", "reviewer", "plugin/quality", "quality-tab", wait_for="Quality")
    tab = camera.page.frame_locator("iframe")
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
    camera.take("cohort-report")
    body.press("Enter")
    tab.locator("#measures").wait_for(timeout=120_000)
    camera.take("case-report", after_ms=500)
    tab.locator("body").press("v")
    tab.locator("body[data-ready]").wait_for(timeout=120_000)
    camera.take("viewer", after_ms=2000)
    camera.leave()


def decide(tab: FrameLocator, key: str, where: Locator | None = None) -> None:
    """Press a key and wait until the site has kept the decision."""
    (where or tab.locator("body")).press(key)
    tab.locator("#state").get_by_text("reviewer").wait_for(timeout=60_000)


def federate(seen: Walk, camera: Camera, voice: Voice) -> None:
    """The federation, with everything of site B killed while round 2 runs and started again."""
    plan, science = seen.plan, data_scientist(seen.plan)
    camera.shoot_form(CENTRE, "operator", "run_federation", "Name of the federation")
    pilot(seen, camera, voice)
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
    (centre,) = places.only(["centre"])
    seen.summary = read_json(centre.home / "runs" / plan.run / "summary.json")
    predict(seen, voice)
    look_back(seen, camera)


def look_back(seen: Walk, camera: Camera) -> None:
    """Pictures of what there is once the federation is over."""
    plan = seen.plan
    joined, _ = person(plan, "A", "staff").runs(JOIN)[-1]
    camera.shoot("A", "staff", f"dags/{JOIN}/runs/{joined}", "join-federation", wait_for="Store the model")
    camera.shoot("A", "custodian", "plugin/governance", "governance-tab", wait_for="Governance")
    camera.shoot("A", "staff", "plugin/federation", "federation-runs", wait_for="Federation")
    tab = camera.page.frame_locator("iframe")
    tab.get_by_role("link", name=plan.run).click()
    tab.locator("#rounds table").wait_for(timeout=120_000)
    camera.take("federation-tab")
    tab.get_by_role("link", name="Federation report").click()
    camera.take("federation-report", after_ms=1500)


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
