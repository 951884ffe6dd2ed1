"""Who took part in what, and the one sentence that says how a federation ended.

The sentence never calls a run complete that went on with fewer sites than its charter names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from konsil.federation.charter import Charter
from konsil.federation.holdings import Holdings, Note
from konsil.federation.slot import Kind


@dataclass(frozen=True)
class Part:
    """One site's part: its answer ("accepted", "refused", "none"), the rounds it was in, missed, and was refused in."""

    answer: str
    member: bool = False
    rounds: tuple[int, ...] = ()
    missed: tuple[int, ...] = ()
    refused: Mapping[int, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether the site was in every round."""
        return self.member and not self.missed and not self.refused


def participation(holdings: Holdings, charter: Charter) -> dict[str, Part]:
    """Every site of the charter, in charter order, with its part so far."""
    return {site: _part(site, holdings) for site in charter.sites}


def _part(site: str, holdings: Holdings) -> Part:
    answer, recipe = holdings.note(Kind.answer, site), holdings.note(Kind.recipe)
    said = "none" if answer is None else "accepted" if answer.facts.get("accepted") is True else "refused"
    if recipe is None or site not in recipe.facts.get("sites", []):
        return Part(said)
    models = {
        number: found
        for number in range(1, 1 + (holdings.latest_global() or 0))
        if (found := _global(holdings, number))
    }
    refused = {
        number: str(note.facts["refused"][site]) for number, note in models.items() if site in note.facts["refused"]
    }
    included = tuple(number for number, note in models.items() if site in note.facts["included"])
    missed = tuple(number for number in models if number not in included and number not in refused)
    return Part(said, True, included, missed, refused)


def _global(holdings: Holdings, number: int) -> Note | None:
    return holdings.note(Kind.global_, round=number)


def sentence(parts: Mapping[str, Part], rounds: int, *, outcome: str, why: str = "") -> str:
    """How the run stands: `outcome` is "running", "released" or "aborted" (`why`). `rounds` = global models made."""
    counted = f"{rounds} round{'' if rounds == 1 else 's'}"
    lacking = [text for text in (_lack(site, part) for site, part in parts.items()) if text]
    if outcome == "aborted":
        told = f"Aborted after {counted}: {why.rstrip('.')}"
        return f"{told} ({'; '.join(lacking)})." if lacking else f"{told}."
    begin = "Finished" if outcome == "released" else "Running"
    if not lacking:
        return f"{begin}: {counted} with all {len(parts)} sites ({', '.join(parts)})."
    if outcome == "released":
        begin = "Finished with fewer sites than planned"
    whole = [site for site, part in parts.items() if part.is_whole]
    throughout = f"{joined(whole)} in every round" if whole else "no site in every round"
    return f"{begin}: {counted}, {throughout}; {'; '.join(lacking)}."


def _lack(site: str, part: Part) -> str:
    """What a site did not do, as half a sentence; "" = nothing."""
    if part.answer == "refused":
        return f"{site} refused the charter"
    if not part.member:
        return (
            f"{site} did not answer the charter in time" if part.answer == "none" else f"{site} was not ready in time"
        )
    told = [f"missed {spans(part.missed)}"] if part.missed else []
    told += [f"sent an update that was refused in {spans(part.refused)}"] if part.refused else []
    return f"{site} {' and '.join(told)}" if told else ""


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
