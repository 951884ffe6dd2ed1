"""One step over many cases, where a bad case never stops the others.

A step's work on one case either returns or raises a `KonsilError`. A refusal sets the case aside with its sentence, and
the batch goes on; running the step again tries the cases that this very step refused once more, since their input may
have been mended. `Unavailable` (a full disk) is no fault of the case: it ends the batch, and a later run continues.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TypeAlias

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder
from konsil.cohort.lock import alone
from konsil.errors import BadInput, Fault, KonsilError, Unavailable
from konsil.files import is_full
from konsil.types import Outcome

log = logging.getLogger(__name__)

Work: TypeAlias = Callable[[CohortFolder, Case], None]


def each_case(cohort: CohortFolder, cases: Sequence[str] | None, step: str, work: Work, *, workers: int = 1) -> Outcome:
    """Do `work(cohort, case)` for every chosen case and set aside those it refuses.

    `cases=None` means all. A case that is named but was refused elsewhere is in the outcome with that sentence. With
    `workers > 1` the cases run in that many spawned processes, so `work` must be picklable: a module's function, or a
    `functools.partial` of one. Raises `BadInput` for an unknown case.
    """
    chosen = choose(cohort, cases, step)
    done: list[str] = []
    gone = cohort.set_aside_cases()
    refused = {name: gone[name].reason for name in cases or () if name in gone and gone[name].step != step}
    for number, (case, sentence) in enumerate(run(partial(attempt, cohort, work), chosen, workers), start=1):
        log.info("%s %s (%d of %d)%s", step, case, number, len(chosen), f": {sentence}" if sentence else "")
        if sentence:
            cohort.set_aside(case, step, sentence)
            refused[str(case)] = sentence
        else:
            cohort.take_back(case)
            done.append(str(case))
    return Outcome(tuple(done), refused)


def choose(cohort: CohortFolder, cases: Sequence[str] | None, step: str) -> list[Case]:
    """The cases a step sees: those not set aside, and those it had set aside itself; sorted."""
    gone = cohort.set_aside_cases()
    again = {Case.parse(name) for name, entry in gone.items() if entry.step == step}
    seen = sorted({*cohort.cases(), *again})
    if cases is None:
        return seen
    unknown = set(cases) - {str(case) for case in seen} - set(gone)
    if unknown:
        raise BadInput(
            f"the cohort {cohort.name} has no such case",
            expected="names such as sub-X_ses-Y that lie in its folder",
            got=", ".join(sorted(unknown)),
        )
    return [case for case in seen if str(case) in set(cases)]


def run(trial: Callable[[Case], tuple[Case, str]], cases: Sequence[Case], workers: int) -> Iterator[tuple[Case, str]]:
    """Yield every case with the sentence that refused it (empty if it came through), in order."""
    if workers == 1 or len(cases) < 2:
        yield from map(trial, cases)
        return
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(min(workers, len(cases)), mp_context=context) as pool:
            yield from pool.map(trial, cases)
    except BrokenProcessPool as error:
        raise Unavailable(
            "a worker was killed, perhaps for want of memory", hint="Run the step again with fewer workers; it goes on"
        ) from error


def attempt(cohort: CohortFolder, work: Work, case: Case) -> tuple[Case, str]:
    """Work on one case; returns the case and the sentence of its refusal, or an empty one.

    An error that nobody foresaw refuses the case too, by its kind and place: one odd image must not stop three hundred.
    """
    try:
        with alone(cohort, str(case)):
            work(cohort, case)
    except Unavailable:
        raise
    except KonsilError as error:
        return case, error.sentence
    except Exception as error:
        if is_full(error):
            raise Unavailable("the disk is full", hint="Free some space and run the step again; it goes on") from error
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the machine, not of the case
        return case, Fault.of(error).sentence
    return case, ""
