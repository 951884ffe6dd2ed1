"""From a home and a run to a party: who I am lies in the home, what I train stands in the charter."""

from __future__ import annotations

from pathlib import Path

from konsil.errors import BadInput
from konsil.federation.charter import Charter
from konsil.federation.mailbox import Mailbox
from konsil.learners.protocol import Learner
from konsil.parties.approvals import under_approval
from konsil.parties.centre import CentreParty
from konsil.parties.party import LearnerFor, Party
from konsil.parties.site import SiteParty
from konsil.storage.store import Store
from konsil.trust.roster import CENTRE


def mailbox_of(home: Path, run: str, store: Store | None = None) -> Mailbox:
    """The mailbox of a run as this home sees it; `store`: one that was opened before."""
    from konsil.federation.mailbox import open_mailbox

    return open_mailbox(home, run, store)


def learner_at(home: Path) -> LearnerFor:
    """The learner a charter names, working below `home`."""

    def make(charter: Charter) -> Learner:
        from konsil.learners.registry import create

        choice, data = charter.learner, charter.data.model_dump(mode="json")
        return create(
            choice.name,
            choice.settings,
            rounds=charter.rounds,
            extra_rounds=charter.extra_rounds,
            seed=charter.seed,
            home=home,
            run=charter.run,
            data=data,
        )

    return make


def open_party(home: Path, run: str, store: Store | None = None) -> Party:
    """Centre or site, whichever this home is."""
    mailbox = mailbox_of(home, run, store)
    kind = CentreParty if mailbox.me == CENTRE else SiteParty
    return kind(home, mailbox, learner_at(home))


def open_centre(home: Path, run: str) -> CentreParty:
    """The centre; a site's home is refused."""
    party = open_party(home, run)
    if not isinstance(party, CentreParty):
        raise BadInput("This home is a site's", expected="the centre's", hint="A site takes part: konsil take-part RUN")
    return party


def open_site(home: Path, run: str, image: str = "") -> SiteParty:
    """A site that does what its custodian approved, and nothing else; the centre's home is refused.

    `image`: the container it runs in (Settings.image), to which an approval is pinned too.
    """
    party = open_party(home, run)
    if not isinstance(party, SiteParty):
        raise BadInput(
            "This home is the centre's", expected="a site's", hint="The centre runs: konsil run --resume RUN"
        )
    return under_approval(party, image)
