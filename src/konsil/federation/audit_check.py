"""Whether the audit log of a home still leads to the heads that others hold.

Every message says how far its sender's log had come (docs/formats/federation.md, section 8), and lies where its readers
have noted it. So the log is compared with this party's own messages in its bucket, run by run; the centre's log also
keeps the heads that sites have named, and each of those must not lie behind an earlier one of the same site.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from konsil.federation.mailbox import RUN_NAME, open_mailbox, open_store
from konsil.federation.mailbox_record import published_in
from konsil.trust.audit import Audit, Published
from konsil.trust.membership import membership
from konsil.trust.roster import bucket_of


@dataclass(frozen=True)
class Verified:
    """What was found good: entries of the log, heads that lie in the bucket, and the last entry that a head covers."""

    entries: int
    heads: int
    covered: int

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
    entries = Audit(home / "audit.jsonl").verify(heads)
    return Verified(entries, len(heads), max((found.head.entries for found in heads), default=0))


def published_heads(home: Path) -> list[Published]:
    """The heads of this party's log that its messages name, in every run."""
    me, store = membership(home).me, open_store(home)
    names = [name for name in store.folders(bucket_of(me)) if re.fullmatch(RUN_NAME, name)]
    return [found for run in names for found in published_in(open_mailbox(home, run).mine(), run)]
