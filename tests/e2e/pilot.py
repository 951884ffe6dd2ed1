"""Two charters: a pilot that is refused, and what it leaves behind for the next one.

Of the pilot, a data scientist's, all sites are needed. One custodian approves it *and charters like it*, one approves
it, one refuses. Nobody asks the first one again when the operator's charter comes.
"""

from __future__ import annotations

from urllib.parse import quote

from konsil.demo.federating import approve
from konsil.demo.people import person, question_for, until
from konsil.demo.plan import DemoPlan
from konsil.demo.voice import Voice
from konsil.sdk.answers import Question
from konsil.stack.places import CENTRE
from tests.e2e.camera import Camera
from tests.e2e.rights import SIMPLE, answers
from tests.e2e.walk import JOIN, SIGN, Walk, data_scientist, town

PILOT = "pilot"
REFUSAL = "Our ethics board has not agreed <script>alert(1)</script> yet."


def pilot(seen: Walk, camera: Camera, voice: Voice) -> None:
    """A charter of which everybody is needed: A approves it and others like it, C approves, B refuses."""
    plan, science = seen.plan, data_scientist(seen.plan)
    asked = {**plan.form, "run": PILOT, "quorum": {"required": plan.sites}}
    science.launch(science.propose({name: value for name, value in asked.items() if name != "patience_s"}))
    question = shoot_charter(camera)
    others = {act: tried for act, tried in SIMPLE.items() if act != SIGN}
    seen.rights |= answers(town(plan, charter=question), others)
    answer_in_browser(camera, "A", "Approve as standing policy")
    approve(plan, "C", voice)
    answer_in_browser(camera, "B", "Refuse", reason=REFUSAL)
    seen.pilot = list(science.follow(PILOT, timeout_s=900))
    log = person(plan, CENTRE, "operator").log("run_federation", PILOT, "recipe")
    seen.refused = next(line for line in log if "does not take part" in line)


def second_run(plan: DemoPlan, site: str) -> str:
    """The DAG run that the second charter started at a site."""
    staff = person(plan, site, "staff")

    def look() -> str | None:
        runs = staff.runs(JOIN)
        return runs[-1][0] if len(runs) > 1 else None

    return until(look, what=f"the second charter at {site}", timeout_s=300)


def questions_asked(plan: DemoPlan, site: str, run: str) -> int:
    """How many questions a DAG run has asked once its decision is recorded."""
    staff = person(plan, site, "staff")

    def look() -> bool | None:
        return any(task.task_id == "decide" and task.state == "success" for task in staff.tasks(JOIN, run)) or None

    until(look, what=f"the decision of {site}", timeout_s=300)
    return len(staff.call("GET", f"dags/{JOIN}/dagRuns/{quote(run)}/hitlDetails")["hitl_details"])


def shoot_charter(camera: Camera) -> Question:
    """What the custodian of site A is asked, and the same charter in the tab *Governance*."""
    question = question_for(person(camera.plan, "A", "custodian"), JOIN, timeout_s=600)
    camera.shoot("A", "custodian", "required_actions", "charter", wait_for="Take part")
    camera.page.get_by_text("Take part").first.click()
    camera.page.get_by_text("What leaves this site").first.wait_for(timeout=120_000)
    camera.take("charter", after_ms=1500)
    camera.shoot("A", "custodian", "plugin/governance", "governance-charter", wait_for="Governance")
    camera.page.frame_locator("iframe").get_by_role("link", name=PILOT).click()
    camera.page.frame_locator("iframe").get_by_text("What is asked").wait_for(timeout=120_000)
    camera.take("governance-charter")
    camera.leave()
    return question


def answer_in_browser(camera: Camera, site: str, option: str, *, reason: str = "") -> None:
    """The custodian of a site answers under *Required Actions*, and again if Airflow lost the answer (3.3.2)."""
    client = person(camera.plan, site, "custodian")
    run = question_for(client, JOIN, timeout_s=600).run

    def taken() -> bool | None:
        if any(task.task_id == "approve" and task.state == "success" for task in client.tasks(JOIN, run)):
            return True
        if client.questions(JOIN, run):
            press(camera, site, option, reason)
        return None

    until(taken, what=f"the answer of {site}", timeout_s=400)
    camera.leave()


def press(camera: Camera, site: str, option: str, reason: str) -> None:
    """Open the question, fill in the reason and press the button, once the question is old enough to be answered."""
    camera.show(site, "custodian", "required_actions", wait_for="Take part")
    camera.page.get_by_text("Take part").first.click()
    button = camera.page.get_by_role("button", name=option, exact=True)
    button.wait_for(timeout=120_000)
    camera.page.wait_for_timeout(8000)
    if reason:
        camera.page.locator('textarea[name="element_reason"]').fill(reason)
    button.click()
    camera.page.wait_for_timeout(2000)
