"""What the sites answered to a charter, as the centre reads it: the reason of a refusal is for the centre alone.

It travels encrypted, stands in no report that other sites receive, and is shown as one line of text.
"""

from __future__ import annotations

from collections.abc import Iterable

from konsil.errors import KonsilError
from konsil.federation.mailbox import Mailbox
from konsil.federation.slot import Kind, Slot

LONGEST = 300


def refusals(mailbox: Mailbox, sites: Iterable[str]) -> dict[str, str]:
    """Site → why it refused. At the centre only; what cannot be read is left out."""
    found = {}
    for site in sites:
        try:
            letter = mailbox.letter(Slot(Kind.answer, site))
            content = mailbox.read_json(letter) if letter is not None else {"accepted": True}
        except KonsilError:
            continue
        if content.get("accepted") is not True:
            found[site] = " ".join(str(content.get("reason", "")).split())[:LONGEST] or "no reason given"
    return found
