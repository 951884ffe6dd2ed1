"""What the tasks of both sides of a federation share: how far to go, and what the ending means.

done       the phase is over: go on
waiting    others are slower than our patience: go on to a wait, or to the next stint
held       it waits too, but because the store does not answer or the operator paused the run: our own deed may not be
           done. A stint leaves it to the next one; any other task comes back later, which costs no worker and no retry
finished   the run is over for this place: success in the last task, elsewhere the rest is skipped
aborted    the run cannot go on: the task fails with the reason, and trying again would not help
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException, AirflowSkipException

from konsil.types import Json
from operators.base import KonsilOperator
from operators.links import RunLink, RunReportLink

HELD_S = 20.0


class PartyOperator(KonsilOperator):
    """Do deeds of a federation up to the end of the phase `until`.

    `last` marks the last task of a DAG, `stint` one that is followed by another stint.
    """

    template_fields: Sequence[str] = ("run_name", "patience_s", "until")
    operator_extra_links = (RunLink(), RunReportLink())
    is_retried = True  # a peer's message may be late, and a custodian may have to decide again

    def __init__(
        self,
        *,
        run_name: str,
        until: str,
        patience_s: float | str | None = None,
        last: bool = False,
        stint: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_name = run_name
        self.until = until
        self.patience_s = patience_s
        self.last = last
        self.stint = stint

    def limits(self) -> list[str]:
        """`--until` and, when given, `--patience`."""
        patience = [] if self.patience_s in (None, "", "None") else ["--patience", str(self.patience_s)]
        return ["--until", self.until, *patience]

    def judge(self, code: int, sentence: str, result: Json) -> Json:
        """Read the ending before the exit code: an aborted run is not worth another try."""
        state, why = result.get("state"), str(result.get("sentence") or sentence)
        if state == "aborted":
            told = [f"{site} refused: {reason}" for site, reason in (result.get("refusals") or {}).items()]
            raise AirflowFailException(" ".join([why, *told]))
        if state == "finished" and not self.last:
            raise AirflowSkipException(why)
        if result.get("held") and not self.stint:
            self.log.info("%s Looking again in %.0f s.", why, HELD_S)
            later = datetime.now(UTC) + timedelta(seconds=HELD_S)
            raise AirflowRescheduleException(later)  # type: ignore[no-untyped-call]
        return super().judge(code, sentence, result)
