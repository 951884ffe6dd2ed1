"""Whether the audit log of a home still leads to the heads that others hold.

Every message says how far its sender's log had come (docs/formats/federation.md, section 8), and lies where its readers
have noted it. So the log is compared with this party's own messages in its bucket, run by run; the centre's log also
keeps the heads that sites have named, and each of those must not lie behind an earlier one of the same site.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from konsil.federation.mailbox import RUN_NAME, open_mailbox, open_store
from konsil.federation.mailbox_record import head_in, published_in
from konsil.trust.audit import Audit, Published
from konsil.trust.membership import membership
from konsil.trust.roster import bucket_of
from konsil.types import Json


@dataclass(frozen=True)
class Verified:
    """What was found good: entries of the log, heads that lie in the bucket, and the last entry that a head covers.

    `others`: sentences about parties whose heads do not go together.
    """

    entries: int
    heads: int
    covered: int
    others: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """For a person."""
        if not self.heads:
            return f"The audit log holds: {self.entries} entries, chain unbroken. No head of it is published yet."
        return (
            f"The audit log holds: {self.entries} entries, chain unbroken; "
            f"{self.heads} published heads fit, the last at entry {self.covered}."
        )


def verify(home: Path, *, offline: bool = False) -> Verified:
    """Check chain and published heads; `BadInput` says what is wrong. `offline`: the chain alone."""
    heads = [] if offline else published_heads(home)
    log = Audit(home / "audit.jsonl")
    entries = log.verify(heads)
    covered = max((found.head.entries for found in heads), default=0)
    return Verified(entries, len(heads), covered, tuple(contradictions(log.entries())))


def contradictions(entries: Iterable[Json]) -> list[str]:
    """What the heads of others, as `message received` keeps them, say against each other: one sentence a party.

    A run's rounds follow each other, so a party's log is longer in a later round; and the same number of entries
    always ends in the same hash.
    """
    told: dict[str, str] = {}
    hashes: dict[tuple[str, int], str] = {}
    longest: dict[tuple[str, str], tuple[str, int]] = {}
    for facts in (entry["facts"] for entry in entries if entry["event"] == "message received"):
        head, sender, place = head_in(facts), facts["sender"], facts["place"]
        if head is None:
            continue
        where = f"{facts['run']}/{place}"
        if hashes.setdefault((sender, head.entries), head.head) != head.head:
            told[sender] = (
                f"{sender} has rewritten its audit log: {where} names another entry {head.entries} than before."
            )
        if not place.startswith("rounds/"):
            continue
        before = longest.get((sender, facts["run"]), ("", -1))
        if (place > before[0]) != (head.entries > before[1]):
            told[sender] = f"{sender} has shortened its audit log: {where} does not fit the rounds around it."
        longest[sender, facts["run"]] = max(before, (place, head.entries))
    return [told[name] for name in sorted(told)]


def published_heads(home: Path) -> list[Published]:
    """The heads of this party's log that its messages name, in every run."""
    me, store = membership(home).me, open_store(home)
    names = [name for name in store.folders(bucket_of(me)) if re.fullmatch(RUN_NAME, name)]
    return [found for run in names for found in published_in(open_mailbox(home, run).mine(), run)]
