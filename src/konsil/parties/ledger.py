"""The folder of a run, `<home>/runs/<run>`: what a party knows that is not in the store.

    charter.json    centre: the charter as the operator wrote it
    decision.json   site: what the custodian decided, who, and with which cohort
    approval.signed site: the same, signed and pinned to learner and cohort (`konsil.parties.approvals`)
    held.json       site: that it has paused its part, who, when and why; gone when it goes on
    prepared.json   site: the recipe the cohort was preprocessed with
    stored.json     the last word whose model and report are kept here
    refused.json    centre: updates that were looked into and cannot be averaged, with the reason
    own/            site: what a strategy lets it keep (`konsil.parties.keepsakes`)
    outgoing/       site: an update with noise or masks until it is posted (`konsil.parties.outgoing`)
    masking/        site: its key under secure aggregation (`konsil.parties.masking`)
    sums/           centre: the newest masked sum (`konsil.parties.summing`)
    optimizer/      centre: what a server optimiser remembers (`konsil.parties.momenta`)
    summary.json, report.html

Nothing of it leaves. All files are whole or absent; losing the folder costs work, not correctness (but the decision,
`own/` and `masking/`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from konsil.cohort.folder import SiteFolder
from konsil.errors import BadInput, Missing
from konsil.federation.charter import Charter, read_charter
from konsil.federation.slot import Kind, Slot
from konsil.files import read_json, write_json
from konsil.trust.audit import Audit
from konsil.types import Json

RUN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{2,40}")


class Ledger:
    """The folder of one run below one home."""

    def __init__(self, home: Path, run: str) -> None:
        if not RUN_NAME.fullmatch(run):
            raise BadInput(
                "There is no run of this name", expected="a-z, 0-9 and '-', 3 to 41 characters", got=repr(run)
            )
        self.home, self.run = home, run
        self.folder = SiteFolder(home).runs / run
        self.model = home / "models" / run
        self.report, self.summary = self.folder / "report.html", self.folder / "summary.json"

    def keep_charter(self, charter: Charter) -> None:
        """Keep the operator's charter; a different one of the same name is refused."""
        path = self.folder / "charter.json"
        if path.is_file() and read_charter(path) != charter:
            raise BadInput(
                f"The run {self.run} has another charter already", hint="Choose another name for the new run"
            )
        write_json(path, charter.model_dump(mode="json"))

    @property
    def has_charter(self) -> bool:
        """Whether the operator's charter is kept."""
        return (self.folder / "charter.json").is_file()

    def charter(self) -> Charter:
        """The operator's charter."""
        path = self.folder / "charter.json"
        if not path.is_file():
            raise Missing(f"There is no run {self.run} here", hint="Start it with: konsil run CHARTER.json")
        return read_charter(path)

    def decide(
        self,
        *,
        accepted: bool,
        by: str,
        cohort: str | None = None,
        reason: str = "",
        policy: str = "",
        again: bool = False,
    ) -> Json:
        """Keep the custodian's decision; once kept it stands, and deciding the same again changes nothing.

        `again`: the earlier decision is void. `policy` is the name of the standing policy that decided.
        """
        wanted = {"accepted": accepted, "by": by, "cohort": cohort, "reason": reason}
        earlier = None if again else self.decision()
        if earlier is not None:
            if {key: earlier.get(key) for key in wanted} != wanted:
                raise BadInput(f"The charter of {self.run} was decided on already", hint="A decision cannot be changed")
            return earlier
        named = {"policy": policy} if policy else {}
        decision = {**wanted, **named, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        write_json(self.folder / "decision.json", decision)
        said = {"cohort": cohort} if accepted else {"reason": reason}
        event = "charter accepted" if accepted else "charter refused"
        Audit(self.home / "audit.jsonl").append(event, run=self.run, by=by, **said, **named)
        return decision

    def decision(self) -> Json | None:
        """The custodian's decision, or None."""
        path = self.folder / "decision.json"
        return read_json(path) if path.is_file() else None

    def hold(self, *, by: str, why: str = "") -> None:
        """Pause this site's part: nothing new is begun until `go_on`. BadInput if it is paused already."""
        if self.held() is not None:
            raise BadInput(f"This site has paused its part in {self.run} already")
        at = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(self.folder / "held.json", {"by": by, "why": why, "at": at})
        Audit(self.home / "audit.jsonl").append("site paused", run=self.run, by=by, why=why)

    def go_on(self, *, by: str) -> None:
        """End the pause. BadInput if there is none."""
        if self.held() is None:
            raise BadInput(f"This site has not paused its part in {self.run}")
        (self.folder / "held.json").unlink()
        Audit(self.home / "audit.jsonl").append("site went on", run=self.run, by=by)

    def held(self) -> Json | None:
        """Who paused this site's part, when and why; None while it goes on."""
        path = self.folder / "held.json"
        return read_json(path) if path.is_file() else None

    def keep_prepared(self, recipe: str) -> None:
        """Note that the cohort is preprocessed with the recipe of that digest."""
        write_json(self.folder / "prepared.json", {"recipe": recipe})

    def is_prepared(self, recipe: str) -> bool:
        """Whether the cohort is preprocessed with the recipe of that digest."""
        path = self.folder / "prepared.json"
        return path.is_file() and read_json(path).get("recipe") == recipe

    def keep_stored(self, final: str) -> None:
        """Note that what the last word of that digest released is kept."""
        write_json(self.folder / "stored.json", {"final": final})

    def is_stored(self, final: str) -> bool:
        """Whether what the last word of that digest released is kept."""
        path = self.folder / "stored.json"
        return path.is_file() and self.report.is_file() and read_json(path).get("final") == final

    def refuse(self, slot: Slot, why: str) -> None:
        """Note that the message in `slot` cannot be used."""
        path = self.folder / "refused.json"
        earlier = read_json(path) if path.is_file() else {}
        if earlier.get(_name(slot)) != why:
            Audit(self.home / "audit.jsonl").append("message refused", run=self.run, place=slot.place, why=why)
        write_json(path, {**earlier, _name(slot): why})

    def refused(self) -> dict[Slot, str]:
        """Messages that cannot be used, with the reason."""
        path = self.folder / "refused.json"
        return {_slot(name): str(why) for name, why in (read_json(path) if path.is_file() else {}).items()}


def _name(slot: Slot) -> str:
    return f"{slot.kind.name}/{slot.sender}/{'' if slot.round is None else slot.round}"


def _slot(name: str) -> Slot:
    kind, sender, number = name.split("/")
    return Slot(Kind[kind], sender, int(number) if number else None)
