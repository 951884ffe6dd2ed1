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
EARLIER = {"deidentify": ("scan",), "convert": ("scan", "deidentify")}
"""The steps whose refusal keeps a case from a step; what a later step refused is no reason not to do it again."""


def each_proposed(
    folder: CohortFolder, found: Json, cases: Sequence[str] | None, step: str, work: Work, *, workers: int = 1
) -> Outcome:
    """Do `work(folder, case)` for each proposed case that no earlier step refused; set aside those it refuses.

    `cases=None` means all that scan proposed. A case that is named but was refused earlier is in the outcome with that
    sentence. Raises `BadInput` for a case that scan did not find.
    """
    entries = folder.set_aside_cases()
    blocked = {name: entry.reason for name, entry in entries.items() if entry.step in EARLIER[step]}
    wanted = sorted(found["cases"]) if cases is None else list(cases)
    for name in wanted:
        if name not in found["cases"] and name not in blocked:
            raise BadInput("a case of this batch was not found by scan", got=repr(name[:60]), hint="Scan again")
    chosen = [Case.parse(name) for name in wanted if name not in blocked]
    done: list[str] = []
    refused = {name: blocked[name] for name in cases or () if name in blocked}
    for number, (case, sentence) in enumerate(run(partial(attempt, folder, work), chosen, workers), start=1):
        log.info("%s %s (%d of %d)%s", step, case, number, len(chosen), f": {sentence}" if sentence else "")
        if sentence:
            folder.set_aside(case, step, sentence)
            refused[str(case)] = sentence
            continue
        done.append(str(case))
        if str(case) in entries and entries[str(case)].step == step:
            folder.take_back(case)
    return Outcome(tuple(done), refused)
