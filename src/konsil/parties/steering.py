"""What the operator does to a running federation, and how a site leaves it. Every word is a signed message.

The verbs only post; centre and sites find the word when they look next, wherever they run and however often they were
restarted. A word that would change nothing is refused in a sentence, so that nobody believes to have done something.
"""

from __future__ import annotations

import logging
from pathlib import Path

from konsil.errors import BadInput, Missing
from konsil.federation.control import LONGEST_WHY, Action, Control, facts_of, next_number
from konsil.federation.course import ended_with, may_extend
from konsil.federation.holdings import Holdings
from konsil.federation.mailbox import Letter
from konsil.federation.slot import Kind, Slot
from konsil.parties.centre import CentreParty, listeners
from konsil.parties.ledger import Ledger
from konsil.parties.opening import open_centre, open_site
from konsil.parties.party import Party
from konsil.parties.site import SiteParty
from konsil.trust.audit import Audit, operator
from konsil.trust.roster import CENTRE
from konsil.types import Json

log = logging.getLogger(__name__)


def steer(
    home: Path, run: str, action: Action, *, why: str = "", site: str = "", rounds: int = 0, by: str = ""
) -> Letter:
    """Post the operator's word. BadInput if it would change nothing or lacks its reason, Missing without a run.

    `by` is who said it, by default the login of this process; the name stays in the centre's audit log.
    """
    letter = say(open_centre(home, run), action, why=why, site=site, rounds=rounds)
    said = letter.manifest.facts
    Audit(home / "audit.jsonl").append("operator", run=run, by=by.strip() or operator(), **said)
    return letter


def say(party: CentreParty, action: Action, *, why: str = "", site: str = "", rounds: int = 0) -> Letter:
    """`steer` for an open party."""
    word = one_line(why)
    while True:
        holdings = party.look()
        after = _checked(party, holdings, action, word, site, rounds)
        facts = facts_of(action, why=word, site=site, rounds=rounds, after=after)
        slot = Slot(Kind.control, CENTRE, next_number(holdings))
        recipients = listeners(holdings, party.rules)
        letter = party.mailbox.post_json(slot, facts, recipients=recipients, facts=facts)
        if facts.items() <= letter.manifest.facts.items():  # which also tell of the audit log
            return letter  # else another process took the number: look again


def leave(home: Path, run: str, *, why: str = "", by: str = "") -> Letter:
    """Leave a run for good. BadInput if the site does not take part; the name stays at the site."""
    letter = say_farewell(open_site(home, run), why=why)
    Audit(home / "audit.jsonl").append("left", run=run, why=one_line(why), by=by.strip())
    return letter


def hold(home: Path, run: str, *, why: str = "", by: str = "") -> None:
    """Pause this site's part in a run until `go_on`: what is under way is finished, nothing new is begun.

    Nothing is sent; the others see a silent site, wait for it as the charter says, and go on without it. BadInput if
    the site takes no part or has paused already.
    """
    word = one_line(why)
    _taking_part(open_site(home, run))
    Ledger(home, run).hold(by=by.strip() or operator(), why=word)


def go_on(home: Path, run: str, *, by: str = "") -> None:
    """End this site's pause; it works on the newest global model from now on. BadInput if there is none."""
    Ledger(home, run).go_on(by=by.strip() or operator())


def possible(party: Party, holdings: Holdings) -> Json:
    """What can be said in a run as it stands (`holdings` of the last look), by the operator or by the site itself.

    Centre: pause, resume, abort (bool), exclude (names), extend (most rounds). Site: leave, hold, go_on (bool).
    """
    course = party.going
    has_ended = holdings.note(Kind.final, round=course.final_round) is not None
    if isinstance(party, SiteParty):
        answer = holdings.mine(Kind.answer)
        takes_part = answer is not None and answer.facts.get("accepted") is True
        is_in = takes_part and not has_ended and party.mailbox.me not in {*course.left, *course.excluded}
        return {"leave": is_in, "hold": is_in and party.held is None, "go_on": party.held is not None}
    goes_on = holdings.note(Kind.charter) is not None and not has_ended and course.aborted is None
    final = holdings.note(Kind.final, round=course.final_round)
    left = party.rules.rounds + party.rules.extra_rounds - (course.last or course.end)
    released = final is not None and final.facts.get("outcome") == "released"
    return {
        "pause": goes_on and course.paused is None,
        "resume": goes_on and course.paused is not None,
        "abort": goes_on,
        "exclude": [site for site in party.rules.sites if site not in course.gone] if goes_on else [],
        "extend": max(0, left) if released else 0,
    }


def say_farewell(party: SiteParty, *, why: str = "") -> Letter:
    """`leave` for an open party."""
    _taking_part(party)
    facts = {"why": one_line(why)}
    slot = Slot(Kind.leave, party.mailbox.me)
    return party.mailbox.post_json(slot, facts, recipients=[CENTRE], facts=facts)


def _taking_part(party: SiteParty) -> None:
    """BadInput unless this site has accepted the charter and said so."""
    answer = party.look().mine(Kind.answer)
    if answer is None or answer.facts.get("accepted") is not True:
        raise BadInput(
            f"This site does not take part in {party.run}", hint="A charter is refused with: konsil decide RUN --refuse"
        )


def one_line(why: str) -> str:
    """A reason as it travels: one line, short. BadInput."""
    text = why.strip()
    if len(text) > LONGEST_WHY or not text.isprintable():
        raise BadInput("The reason cannot be sent", expected=f"one line of at most {LONGEST_WHY} characters")
    return text


def _checked(party: CentreParty, holdings: Holdings, action: Action, why: str, site: str, rounds: int) -> int:
    """The round an extension follows, 0 for everything else; refuses what would do nothing."""
    if holdings.note(Kind.charter) is None:
        raise Missing(f"The run {party.run} has not begun", hint="Start it with: konsil run CHARTER.json")
    final = holdings.note(Kind.final, round=party.going.final_round)
    if action is Action.EXTEND:
        after = (ended_with(final) if final else None) or 0
        wanted = Control(0, party.mailbox.now(), action, rounds=rounds, after=after)
        _check_extension(party, may_extend(final, wanted, party.rules))
        return after
    if final is not None:
        raise BadInput(f"The run {party.run} has ended", hint="A run that was released can be extended")
    if action in (Action.ABORT, Action.EXCLUDE) and not why:
        raise BadInput("A reason is missing", expected="--why REASON; the sites read it")
    _check_sense(party, action, site)
    return 0


def _check_sense(party: CentreParty, action: Action, site: str) -> None:
    course = party.going
    if action is Action.PAUSE and course.paused is not None:
        raise BadInput(f"The run {party.run} is paused already")
    if action is Action.ABORT and course.aborted is not None:
        raise BadInput(f"The run {party.run} is being aborted already", hint="It ends: konsil run --resume RUN")
    if action is Action.RESUME and course.paused is None:
        raise BadInput(f"The run {party.run} is not paused")
    if action is Action.EXCLUDE and (site not in party.rules.sites or site in course.gone):
        staying = [name for name in party.rules.sites if name not in course.gone]
        raise BadInput("This site cannot be excluded", expected=f"one of {', '.join(staying)}", got=site)


def _check_extension(party: CentreParty, is_allowed: bool) -> None:
    if is_allowed:
        return
    charter, course = party.rules, party.going
    most = charter.rounds + charter.extra_rounds - (course.last or course.end)
    raise BadInput(
        f"The run {party.run} cannot be extended so",
        expected=f"a run that has released its model, and at most {most} more rounds (extra_rounds of the charter)",
        hint="More than the custodians have agreed to needs a new charter, which they can accept or refuse",
    )
