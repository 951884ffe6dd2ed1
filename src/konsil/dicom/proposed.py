"""One step over the cases that scan proposed, before they lie in the cohort's folder.

The rules are those of `konsil.cohort.batch`: a bad case never stops the others, the step that refused a case may try it
again, and a full disk ends the batch without blaming a case.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from konsil.cohort.batch import Work, attempt, run
from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder
from konsil.errors import BadInput
from konsil.types import Json, Outcome

log = logging.getLogger(__name__)


def each_proposed(
    folder: CohortFolder, found: Json, cases: Sequence[str] | None, step: str, work: Work, *, workers: int = 1
) -> Outcome:
    """Do `work(folder, case)` for each proposed case that no other step refused; set aside those it refuses.

    `cases=None` means all that scan proposed. Raises `BadInput` for a case that scan did not find.
    """
    elsewhere = {name for name, entry in folder.set_aside_cases().items() if entry.step != step}
    wanted = sorted(found["cases"]) if cases is None else list(cases)
    for name in wanted:
        if name not in found["cases"] and name not in elsewhere:
            raise BadInput("a case of this batch was not found by scan", got=repr(name[:60]), hint="Scan again")
    chosen = [Case.parse(name) for name in wanted if name not in elsewhere]
    done: list[str] = []
    refused: dict[str, str] = {}
    for number, (case, sentence) in enumerate(run(partial(attempt, folder, work), chosen, workers), start=1):
        log.info("%s %s (%d of %d)%s", step, case, number, len(chosen), f": {sentence}" if sentence else "")
        if sentence:
            folder.set_aside(case, step, sentence)
            refused[str(case)] = sentence
        else:
            folder.take_back(case)
            done.append(str(case))
    return Outcome(tuple(done), refused)
