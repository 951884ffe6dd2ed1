"""What a party can see of a run: the verified messages without their payloads, and a few facts of its own folder.

Holdings are a value. Everything a decision needs stands in the manifests (`facts`), so that deciding costs no download:

    charter      rounds, sites
    answer       accepted (bool), cases {split: number}
    fingerprint  cases (training cases)
    recipe       sites [..] in charter order, cases {site: training cases}
    global       included {site: {cases, digest}}, refused {site: reason}, missing [..], metrics {name: weighted mean},
                 gone {site: left | excluded | revoked}, remarks {site: half a sentence}, seconds
    update       cases, steps, base (digest of the global model it started from), metrics, seconds
    roll         included, refused, missing, gone as of a global model (secure aggregation)
    reveal       roll (its digest)
    final        outcome ("released" | "aborted"), sentence, round (of the model), model (its digest), last, best
    control      action, why, site | rounds, after (konsil.federation.control)
    leave        why
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from konsil.federation.mailbox_scan import Letter
from konsil.federation.slot import Kind, Slot
from konsil.trust.roster import CENTRE
from konsil.types import Json


@dataclass(frozen=True)
class Note:
    """One verified message: when the store received it (UTC), the digest of its manifest, its facts."""

    at: datetime
    digest: str = ""
    facts: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Holdings:
    """Messages by slot, plus what only this party knows.

    `refused`: updates and local models that the centre looked into and cannot use, with the reason.
    `decided`: the custodian's decision at a site, None while there is none. `prepared`, `stored`: done in this folder.
    `held`: why this site has paused its part, None while it goes on.
    `revoked`: sites that the centre no longer trusts; see `kept`.
    """

    me: str
    notes: Mapping[Slot, Note]
    refused: Mapping[Slot, str] = field(default_factory=dict)
    decided: bool | None = None
    prepared: bool = False
    stored: bool = False
    held: str | None = None
    revoked: frozenset[str] = frozenset()

    def note(self, kind: Kind, sender: str = CENTRE, round: int | None = None) -> Note | None:  # noqa: A002
        """The message in that slot, or None."""
        return self.notes.get(Slot(kind, sender, round))

    def mine(self, kind: Kind, round: int | None = None) -> Note | None:  # noqa: A002
        """My own message of that kind, or None."""
        return self.note(kind, self.me, round)

    def by_site(self, kind: Kind, round: int | None = None) -> dict[str, Note]:  # noqa: A002
        """Messages of one kind and round from the sites, by site."""
        found = self.notes.items()
        return {
            slot.sender: note
            for slot, note in found
            if slot.kind == kind and slot.round == round and slot.sender != CENTRE
        }

    def latest_global(self) -> int | None:
        """Round of the newest global model; 0 = the first weights; None = there is none yet."""
        found = [slot.round for slot in self.notes if slot.kind == Kind.global_ and slot.round is not None]
        return max(found, default=None)

    def wrote_between(self, site: str, begin: datetime, end: datetime) -> bool:
        """Whether the store received anything from `site` after `begin`, up to and including `end`."""
        return any(begin < note.at <= end for slot, note in self.notes.items() if slot.sender == site)


def notes_of(letters: Iterable[Letter]) -> dict[Slot, Note]:
    """The letters as notes, by slot."""
    return {letter.slot: Note(letter.received, letter.manifest.digest, letter.manifest.facts) for letter in letters}


def kept(notes: Mapping[Slot, Note], revoked: Iterable[str]) -> dict[Slot, Note]:
    """The notes without those of revoked sites that have not been used yet: they enter nothing more."""
    posted = {(slot.kind, slot.round if slot.kind in (Kind.global_, Kind.roll) else None) for slot in notes}
    gone = {slot for slot in notes if slot.sender in revoked and not posted.intersection(_users(slot))}
    return {slot: note for slot, note in notes.items() if slot not in gone}


def _users(slot: Slot) -> set[tuple[Kind, int | None]]:
    """The messages of the centre in which a site's message is used; any of them."""
    if slot.kind is Kind.update:
        return {(Kind.global_, slot.round), (Kind.roll, slot.round)}
    follows = {Kind.answer: Kind.recipe, Kind.fingerprint: Kind.recipe}
    follows |= {Kind.baseline: Kind.baselines, Kind.evaluation: Kind.final, Kind.reveal: Kind.global_}
    kind = follows.get(slot.kind)
    return set() if kind is None else {(kind, slot.round if kind is Kind.global_ else None)}
