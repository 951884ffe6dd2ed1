"""What to do next: a pure function of what the store holds, the charter and the store's clock.

Airflow, the commands and the simulator all ask `next_step`, do the one deed it names, and ask again. Nothing is
remembered between two questions but what lies in the store and in the folder of the run, so any process may be killed
at any time. The rules are those of docs/formats/charter.md, "Clocks".
"""

from __future__ import annotations

from datetime import datetime

from konsil.federation.centre_rules import next_at_centre
from konsil.federation.charter import Charter
from konsil.federation.holdings import Holdings
from konsil.federation.site_rules import next_at_site
from konsil.federation.slot import Kind
from konsil.federation.steps import Abort, Finish, Phase, PublishCharter, Role, Step, StoreModel, Wait


def next_step(role: Role, holdings: Holdings, charter: Charter | None, now: datetime) -> Step:
    """The next deed of a party, or Wait, Finish, Abort. `charter` may be None at a site that has not received it."""
    if charter is None or holdings.note(Kind.charter) is None:
        return PublishCharter() if role is Role.CENTRE else Wait(Phase.CHARTER, "for the charter")
    final = holdings.note(Kind.final)
    if final is not None and final.facts.get("outcome") == "aborted":
        return Abort(str(final.facts.get("sentence", "the centre gave no reason")), announced=True)
    if role is Role.SITE:
        return next_at_site(holdings, charter)
    if final is not None:
        return Finish(str(final.facts.get("sentence", ""))) if holdings.stored else StoreModel()
    return next_at_centre(holdings, charter, now)
