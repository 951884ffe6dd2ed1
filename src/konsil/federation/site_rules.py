"""What a site does next. It never looks at a clock: deadlines are the centre's business, a late message is only late.

It always works on the newest global model. A site that slept through some rounds trains the current one.
"""

from __future__ import annotations

from konsil.federation.charter import Charter
from konsil.federation.course import Course
from konsil.federation.holdings import Holdings
from konsil.federation.slot import Kind
from konsil.federation.steps import (
    Answer,
    Evaluate,
    Finish,
    Phase,
    Prepare,
    Reveal,
    SendFingerprint,
    Step,
    StoreModel,
    Train,
    TrainBaseline,
    Wait,
)


def next_at_site(holdings: Holdings, charter: Charter, course: Course) -> Step:
    """The next step of the site `holdings.me`, whose charter has arrived and whose run was not aborted."""
    return (
        _gone(holdings, course)
        or _joining(holdings, charter, course)
        or _training(holdings, charter, course)
        or _ending(holdings, charter, course)
    )


def _gone(holdings: Holdings, course: Course) -> Finish | None:
    """The end for a site that is out for good."""
    if holdings.me in course.left:
        return Finish("This site has left the run")
    word = course.excluded.get(holdings.me)
    return None if word is None else Finish(f"The centre excluded this site: {word.why or 'no reason was given'}")


def _joining(holdings: Holdings, charter: Charter, course: Course) -> Step | None:
    """From the custodian's decision to the preprocessed cohort; None once that is behind us."""
    if holdings.me not in charter.sites:
        return Finish("The charter does not name this site")
    answer = holdings.mine(Kind.answer)
    if answer is None:
        over = _left_behind(holdings)
        if over is not None or holdings.decided is not None:
            return over or Answer()
        return Wait(Phase.ANSWERS, "for the custodian's decision (konsil decide)")
    if not answer.facts.get("accepted"):
        return Finish("This site refused the charter")
    recipe = holdings.note(Kind.recipe)
    if recipe is None:
        return Wait(Phase.RECIPE, "for the recipe") if holdings.mine(Kind.fingerprint) else SendFingerprint()
    is_over = holdings.note(Kind.final, round=course.final_round) is not None  # who slept until then only stores
    return _left_behind(holdings) or (None if holdings.prepared or is_over else Prepare())


def _left_behind(holdings: Holdings) -> Finish | None:
    recipe = holdings.note(Kind.recipe)
    if recipe is None or holdings.me in recipe.facts.get("sites", []):
        return None
    return Finish("The answers had closed before this site was ready; the federation goes on without it")


def _training(holdings: Holdings, charter: Charter, course: Course) -> Step | None:
    newest = holdings.latest_global()
    if newest is None:
        return Wait(Phase.ROUNDS, "for the first weights", round=1)
    if course.last is not None:
        return None
    is_called = charter.secure_aggregation is not None and holdings.note(Kind.roll, round=newest + 1) is not None
    if is_called and holdings.mine(Kind.reveal, newest + 1) is None:
        return Reveal(newest + 1)
    if holdings.mine(Kind.update, newest + 1) is None and not is_called:  # too late once the sum is fixed
        return Train(newest + 1)
    return Wait(Phase.ROUNDS, f"for the global model of round {newest + 1} of {course.end}", round=newest + 1)


def _ending(holdings: Holdings, charter: Charter, course: Course) -> Step:
    """Local models, scores, the release; `course.last` is the round training has ended with."""
    final, last = holdings.note(Kind.final, round=course.final_round), course.last
    if final is None and charter.compare_with_local and holdings.note(Kind.baselines) is None:
        if holdings.mine(Kind.baseline) is None:
            return TrainBaseline()
        return Wait(Phase.EVALUATION, "for the local models of the other sites", round=last)
    if final is None and holdings.mine(Kind.evaluation, last) is None:
        return Evaluate()
    if final is None:
        return Wait(Phase.RELEASE, "for the release of the model", round=last)
    return Finish(str(final.facts.get("sentence", ""))) if holdings.stored else StoreModel()
