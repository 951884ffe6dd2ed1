"""At a site: staff trigger *Prepare cohort*, the reviewer signs it off."""

from __future__ import annotations

from konsil.demo.people import answer, person, refuse_failed
from konsil.demo.plan import DemoPlan
from konsil.demo.voice import Voice
from konsil.errors import Unavailable
from konsil.types import Json

PATIENCE_S = 1200.0


def start_preparing(plan: DemoPlan, site: str) -> str:
    """Trigger the DAG with the site's inbox; gives the DAG run."""
    values: Json = {
        "cohort": plan.cohort,
        "inbox": str(plan.inbox(site).resolve()),
        "limits": "wide",
        "validation_share": plan.validation_share,
        "test_share": plan.test_share,
    }
    return person(plan, site, "staff").trigger("prepare_cohort", values)


def sign_off(plan: DemoPlan, site: str, voice: Voice) -> None:
    """Wait for the question to the reviewer and approve; the cases that QC fails stay out."""
    reviewer = person(plan, site, "reviewer")
    answer(reviewer, "prepare_cohort", "Approve", {"comment": "Looked at the report."}, timeout_s=PATIENCE_S)
    voice.say(f"{site}: the reviewer signed the cohort off")


def finish_preparing(plan: DemoPlan, site: str, run: str, voice: Voice) -> None:
    """Wait until the cohort is frozen."""
    staff = person(plan, site, "staff")
    if staff.wait("prepare_cohort", run, timeout_s=PATIENCE_S) != "success":
        refuse_failed(staff, "prepare_cohort")
        raise Unavailable(f"the cohort of {site} could not be prepared", hint="Look at the DAG run in the UI")
    voice.say(f"{site}: the cohort is frozen")


def prepare(plan: DemoPlan, site: str, voice: Voice) -> None:
    """One site from its inbox to its frozen cohort."""
    run = start_preparing(plan, site)
    voice.say(f"{site}: preparing the cohort, from DICOM to checked, registered cases")
    sign_off(plan, site, voice)
    finish_preparing(plan, site, run, voice)
