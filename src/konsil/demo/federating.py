"""The federation: the operator fills in the form, every custodian approves, and the rounds are followed to the end."""

from __future__ import annotations

from konsil.demo.people import answer, person, refuse_failed, until
from konsil.demo.plan import DemoPlan
from konsil.demo.voice import Voice
from konsil.errors import Unavailable
from konsil.federation.mailbox import open_mailbox
from konsil.federation.slot import Kind
from konsil.stack.places import CENTRE, read_plan

PATIENCE_S = 3600.0


def start_federation(plan: DemoPlan, voice: Voice) -> str:
    """The operator triggers *Run federation*; gives the DAG run."""
    run = person(plan, CENTRE, "operator").trigger("run_federation", plan.form)
    voice.say("centre: the operator published the charter")
    return run


def approve(plan: DemoPlan, site: str, voice: Voice) -> None:
    """The custodian of a site reads the charter and takes part with the demo's cohort."""
    custodian = person(plan, site, "custodian")
    answer(custodian, "join_federation", "Approve", {"cohort": plan.cohort}, timeout_s=PATIENCE_S)
    voice.say(f"{site}: the custodian approved")


def rounds_done(plan: DemoPlan) -> int:
    """Number of the newest global model in the bucket; -1 before the first weights."""
    (centre,) = read_plan(plan.stack).only([CENTRE])
    letters = open_mailbox(centre.home, plan.run).letters()
    return max((letter.slot.round or 0 for letter in letters if letter.slot.kind is Kind.global_), default=-1)


def follow(plan: DemoPlan, run: str, voice: Voice) -> None:
    """Tell every round until the centre's DAG run has ended and every site holds the model."""
    operator = person(plan, CENTRE, "operator")
    staff = {site: person(plan, site, "staff") for site in plan.sites}
    told = [-1]

    def ended() -> str | None:
        done = rounds_done(plan)
        if done > told[0]:
            told[0] = done
            voice.rounds(done, plan.rounds)
            voice.say("the recipe and the first weights are out" if done == 0 else f"round {done} of {plan.rounds}")
        for site in plan.sites:
            refuse_failed(staff[site], "join_federation")
        state = operator.state("run_federation", run)
        return state if state in ("success", "failed") else None

    if until(ended, what="the end of the federation", timeout_s=PATIENCE_S, poll_s=1.5) != "success":
        refuse_failed(operator, "run_federation")
        raise Unavailable("the federation failed", hint="Look at the run in the centre's UI")
    for site in plan.sites:
        finish_at(plan, site)
    voice.say("every site holds the model")


def finish_at(plan: DemoPlan, site: str) -> None:
    """Wait for the end of a site's part."""
    staff = person(plan, site, "staff")
    name, _ = until(lambda: staff.newest("join_federation"), what=f"{site}'s part", timeout_s=PATIENCE_S)
    if staff.wait("join_federation", name, timeout_s=PATIENCE_S) != "success":
        refuse_failed(staff, "join_federation")
