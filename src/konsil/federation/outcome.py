"""Who took part in what, and the one sentence that says how a federation ended.

The sentence never calls a run complete that went on with fewer sites than its charter names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from konsil.federation.charter import Charter
from konsil.federation.course import course_of
from konsil.federation.holdings import Holdings, Note
from konsil.federation.slot import Kind
from konsil.trust.roster import CENTRE
from konsil.types import Json

LATE = {
    "none": "did not answer the charter in time",
    "accepted": "accepted the charter, but was not ready in time",
    "unknown": "does not take part",
}
"""What is said of a site that the recipe does not name."""
UNSETTLED = {
    True: {"none": "has not answered the charter yet", "accepted": "has not sent its fingerprint yet"},
    False: {"none": "had not answered the charter", "accepted": "had not sent its fingerprint"},
}
"""What is said of a site without a fingerprint before there is a recipe, while the run goes on and after its end."""


@dataclass(frozen=True)
class Part:
    """One site's part: its answer ("accepted", "refused", "none"), the rounds it was in, missed, and was refused in.

    An answer that cannot be seen from here is "unknown": sites do not read each other's messages. `ready`: its
    fingerprint is here. `settled`: the recipe is made, and with it who takes part. `gone`: "left", "excluded" or
    "revoked" if it is out for good, `stayed` the rounds that were made before that.
    """

    answer: str
    member: bool = False
    rounds: tuple[int, ...] = ()
    missed: tuple[int, ...] = ()
    refused: Mapping[int, str] = field(default_factory=dict)
    gone: str = ""
    stayed: int = 0
    ready: bool = True
    settled: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether the site was in every round."""
        return self.member and not self.missed and not self.refused and not self.gone


def participation(holdings: Holdings, charter: Charter) -> dict[str, Part]:
    """Every site of the charter, in charter order, with its part so far."""
    gone = course_of(holdings, charter).gone
    return {site: _part(site, holdings, gone.get(site, "")) for site in charter.sites}


def _part(site: str, holdings: Holdings, gone: str) -> Part:
    recipe, said = holdings.note(Kind.recipe), _answer(site, holdings)
    if recipe is None or site not in recipe.facts.get("sites", []):
        is_ready = holdings.note(Kind.fingerprint, site) is not None
        return Part(said, gone=gone, ready=is_ready, settled=recipe is not None)
    said = "accepted" if said == "unknown" else said  # or the recipe would not name it
    models = {
        number: found
        for number in range(1, 1 + (holdings.latest_global() or 0))
        if (found := _global(holdings, number))
    }
    refused = {
        number: str(note.facts["refused"][site]) for number, note in models.items() if site in note.facts["refused"]
    }
    included = tuple(number for number, note in models.items() if site in note.facts["included"])
    without = {number: how for number, note in models.items() if (how := note.facts.get("gone", {}).get(site))}
    missed = tuple(number for number in models if number not in {*included, *refused, *without})
    stayed = min(without, default=len(models) + 1) - 1
    return Part(said, True, included, missed, refused, gone or next(iter(without.values()), ""), stayed)


def _answer(site: str, holdings: Holdings) -> str:
    answer = holdings.note(Kind.answer, site)
    if answer is None:
        return "none" if holdings.me in (CENTRE, site) else "unknown"
    return "accepted" if answer.facts.get("accepted") is True else "refused"


def _global(holdings: Holdings, number: int) -> Note | None:
    return holdings.note(Kind.global_, round=number)


def sentence(parts: Mapping[str, Part], rounds: int, *, outcome: str, why: str = "", choice: str = "") -> str:
    """How the run stands: `outcome` is "running", "released" or "aborted" (`why`). `rounds` = global models made.

    `choice`: sentences about the model that was released, if there is something to say.
    """
    told = _standing(parts, rounds, outcome, why)
    return f"{told} {choice}" if choice else told


def _standing(parts: Mapping[str, Part], rounds: int, outcome: str, why: str) -> str:
    counted = f"{rounds} round{'' if rounds == 1 else 's'}"
    lacking = [text for site, part in parts.items() if (text := _lack(site, part, outcome))]
    if outcome == "aborted":
        told = f"Aborted after {counted}: {why.rstrip('.')}"
        return f"{told} ({'; '.join(lacking)})." if lacking else f"{told}."
    begin = "Finished" if outcome == "released" else "Running"
    if outcome == "running" and not any(part.settled for part in parts.values()):
        return f"{'; '.join(['The rounds have not begun', *lacking])}."
    if not lacking:
        return f"{begin}: {counted} with all {len(parts)} sites ({', '.join(parts)})."
    if outcome == "released":
        begin = "Finished with fewer sites than planned"
    whole = [site for site, part in parts.items() if part.is_whole]
    throughout = f"{joined(whole)} in every round" if whole else "no site in every round"
    return f"{begin}: {counted}, {throughout}; {'; '.join(lacking)}."


def _lack(site: str, part: Part, outcome: str) -> str:
    """What a site did not do, as half a sentence; "" = nothing that is known here.

    Before the recipe it is open who takes part: who has accepted and is ready lacks nothing then, and a run that ends
    there ends for want of others.
    """
    if part.answer == "refused":
        return f"{site} refused the charter"
    if part.gone and not part.stayed:
        return f"{site} {_ways_out(part)} before round 1"
    if not part.member and not part.settled:
        words = UNSETTLED[outcome == "running"]
        return f"{site} {words[part.answer]}" if part.answer in words and not part.ready else ""
    if not part.member:
        return f"{site} {LATE[part.answer]}"
    told = [f"missed {spans(part.missed)}"] if part.missed else []
    told += [f"sent an update that was refused in {spans(part.refused)}"] if part.refused else []
    told += [f"{_ways_out(part)} after round {part.stayed}"] if part.gone else []
    return f"{site} {' and '.join(told)}" if told else ""


def _ways_out(part: Part) -> str:
    return "left" if part.gone == "left" else f"was {part.gone}"


def choice_of(progress: Json) -> str:
    """What is to be said of the model: that training ended early, and that the best round is not the last.

    `progress`: `last`, `planned`, `best`, `metric`, `released` as in the summary.
    """
    told = []
    if progress["last"] is not None and progress["last"] < progress["planned"]:
        told.append(f"Training ended early, after round {progress['last']} of {progress['planned']}: no more gain.")
    if progress["best"] not in (None, progress["last"]):
        spoken = progress["metric"].replace("_", " ").replace("dice", "Dice")
        other = "the last" if progress["released"] == progress["best"] else f"that of round {progress['best']}"
        told.append(
            f"The result is the model of round {progress['released']}; by {spoken} on the sites' own "
            f"validation patients, round {progress['best']} was the best. Beside it lies {other}."
        )
    return " ".join(told)


def spans(numbers: Iterable[int]) -> str:
    """`round 3`, `rounds 2, 4–6`."""
    ordered = sorted(numbers)
    runs: list[list[int]] = []
    for number in ordered:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    text = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
    return f"round{'' if len(ordered) == 1 else 's'} {text}"


def joined(names: Iterable[str]) -> str:
    """`A`, `A and B`, `A, B and C`."""
    listed = list(names)
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)
