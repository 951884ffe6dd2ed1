"""What to do next: a pure function of what the store holds, the charter and the store's clock.

Airflow, the commands and the simulator all ask `next_step`, do the one deed it names, and ask again. Nothing is
remembered between two questions but what lies in the store and in the folder of the run, so any process may be killed
at any time. The rules are those of docs/formats/charter.md, "Clocks".
"""

from __future__ import annotations

from datetime import datetime

from konsil.federation.centre_rules import next_at_centre
from konsil.federation.charter import Charter
from konsil.federation.course import Course, course_of
from konsil.federation.holdings import Holdings
from konsil.federation.site_rules import next_at_site
from konsil.federation.slot import Kind
from konsil.federation.steps import Abort, Finish, Phase, PublishCharter, Role, Step, StoreModel, Wait


def next_step(role: Role, holdings: Holdings, charter: Charter | None, now: datetime) -> Step:
    """The next deed of a party, or Wait, Finish, Abort. `charter` may be None at a site that has not received it."""
    if charter is None or holdings.note(Kind.charter) is None:
        return PublishCharter() if role is Role.CENTRE else Wait(Phase.CHARTER, "for the charter")
    course = course_of(holdings, charter)
    final = holdings.note(Kind.final, round=course.final_round)
    if final is not None and final.facts.get("outcome") == "aborted":
        return Abort(str(final.facts.get("sentence", "the centre gave no reason")), announced=True)
    if role is Role.SITE:
        return _unless_held_here(_unless_held(next_at_site(holdings, charter, course), course), holdings)
    if final is not None:
        return Finish(str(final.facts.get("sentence", ""))) if holdings.stored else StoreModel()
    if course.aborted is not None:
        return Abort(f"The operator ended the run: {course.aborted.why or 'no reason was given'}")
    return _unless_held(next_at_centre(holdings, charter, course, now), course)


def _unless_held(step: Step, course: Course) -> Step:
    """The step itself, unless the operator has ended or paused the run; what was released is kept all the same."""
    if isinstance(step, Finish | StoreModel):
        return step
    number = getattr(step, "round", None)
    if course.aborted is not None:
        return Wait(step.phase, "for the centre's last word; the operator ended the run", round=number)
    if course.paused is not None:
        why = f" ({course.paused.why})" if course.paused.why else ""
        return Wait(step.phase, f"for the centre to go on; the operator paused the run{why}", round=number)
    return step


def _unless_held_here(step: Step, holdings: Holdings) -> Step:
    """The step itself, unless this site has paused its part; the federation goes on without it meanwhile."""
    if holdings.held is None or isinstance(step, Finish | StoreModel):
        return step
    why = f" ({holdings.held})" if holdings.held else ""
    return Wait(step.phase, f"for this site to go on; it was paused here{why}", round=getattr(step, "round", None))
