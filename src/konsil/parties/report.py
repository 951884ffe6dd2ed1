"""The report of a run as it stands: of an ended run the figures that were released, of a running one those so far."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from konsil.errors import Missing
from konsil.federation.charter import Charter, parse_charter
from konsil.federation.course import course_of
from konsil.federation.holdings import Holdings, notes_of
from konsil.federation.mailbox import Letter, Mailbox
from konsil.federation.slot import Kind, Slot
from konsil.files import write_json
from konsil.parties.ledger import Ledger
from konsil.parties.page import write_page
from konsil.parties.summary import completed, summarise
from konsil.trust.roster import CENTRE
from konsil.types import Json


def write_report(home: Path, run: str) -> Path:
    """Write `<home>/runs/<run>/report.html` and `summary.json` beside it; gives the report's path.

    Raises Missing while the charter has not arrived.
    """
    from konsil.parties.opening import mailbox_of

    ledger = Ledger(home, run)
    summary = current_summary(mailbox_of(home, run))
    write_json(ledger.summary, summary)
    return write_page(summary, ledger.report)


def current_summary(mailbox: Mailbox) -> Json:
    """The released figures, else those so far, as they lie in the store now."""
    letters = {letter.slot: letter for letter in mailbox.letters()}
    posted = letters.get(Slot(Kind.charter, CENTRE))
    if posted is None:
        raise Missing(f"The charter of {mailbox.run} has not arrived", hint="Look again later")
    return summary_of(mailbox, letters, parse_charter(mailbox.read_json(posted)))


def summary_of(mailbox: Mailbox, letters: Mapping[Slot, Letter], charter: Charter) -> Json:
    """The same of `letters`, which were just looked at: a listing of every bucket is what a look costs."""
    holdings = Holdings(mailbox.me, notes_of(letters.values()))
    final = letters.get(Slot(Kind.final, CENTRE, course_of(holdings, charter).final_round))
    if final is not None:
        return completed(mailbox.read_json(final)["summary"], holdings, charter)
    return summarise(mailbox, charter, letters)
