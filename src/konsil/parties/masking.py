"""A site's part in secure aggregation: its masking key, its masked updates, and when it helps to open a sum.

    runs/<run>/masking/key.json         the private key of this run, mode 600, deleted when the run is over
    runs/<run>/masking/answered.json    round → the roll this site answers; written before it answers

A site that lost this folder cannot go on: its masks would not cancel, and it could answer a round twice.
"""

from __future__ import annotations

import base64
import binascii
import logging
import shutil
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from konsil.errors import BadMessage, BadSetting, Missing, Refused
from konsil.federation.charter import Charter
from konsil.federation.mailbox import Letter, Mailbox
from konsil.federation.secure.keys import SUBJECT, Group, MaskingKey, RoundKeys
from konsil.federation.secure.masked import Masker
from konsil.federation.secure.opening import Sum
from konsil.federation.secure.ring import FixedPoint
from konsil.federation.secure.shares import opened_row
from konsil.federation.secure.terms import FEWEST, SecureAggregation
from konsil.files import read_json, write_json
from konsil.trust.audit import Audit
from konsil.types import Json, Tensors

log = logging.getLogger(__name__)


def terms_of(charter: Charter) -> SecureAggregation:
    """The charter's section, where it must be there."""
    if charter.secure_aggregation is None:
        raise BadSetting("The charter does not ask for secure aggregation")
    return charter.secure_aggregation


def group_of(charter: Charter, recipe: Letter) -> Group:
    """The sites whose masks cancel, as the recipe passes their keys on. BadMessage."""
    documents = recipe.manifest.facts.get("masking")
    known = {site: terms_of(charter).keys[site] for site in charter.sites}
    return Group.of(charter.run, documents if isinstance(documents, dict) else {}, known)


def ring_of(charter: Charter, recipe: Letter) -> FixedPoint:
    """How changes of weights become whole numbers in this run."""
    return FixedPoint(sum(recipe.manifest.facts["cases"].values()), terms_of(charter).clip_range)


class Masking:
    """One site in one run whose charter asks for it; `folder` is that of the run, `home` the site's."""

    def __init__(self, mailbox: Mailbox, charter: Charter, folder: Path, home: Path) -> None:
        self.mailbox, self.charter, self.folder, self.home = mailbox, charter, folder / "masking", home
        self.me = mailbox.me

    def check_keys(self) -> None:
        """Refuse a charter that does not name this site's own keys: somebody could pose as this site."""
        named = terms_of(self.charter).keys.get(self.me)
        mine = self.mailbox.keys_of(self.me)
        if named != mine:
            raise BadSetting(
                "The charter names other keys for this site than it has",
                expected=mine.fingerprint,
                got="none" if named is None else named.fingerprint,
                hint="If this site has new keys since, the centre has to publish another charter; else call the centre",
            )

    def document(self) -> str:
        """The signed public masking key; the key is made here if there is none yet."""
        self.check_keys()
        path = self.folder / "key.json"
        if not path.is_file():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            MaskingKey.generate().save(path)
        return self.mailbox.signed(SUBJECT, MaskingKey.load(path).content(self.charter.run, self.me))

    def masked(
        self, recipe: Letter, number: int, sent: Tensors, base: MutableMapping[str, npt.NDArray[Any]], cases: int
    ) -> Tensors:
        """The tensors to post in place of the weights `sent`; uses `base` up. Once per round, and to be kept."""
        masker = Masker(self._keys(recipe, number), ring_of(self.charter, recipe), self.charter.secure_needed)
        if cut := masker.cut_off(sent, base):
            log.warning("%d weights changed by more than the charter's clip_range; they were cut off there", cut)
        return masker.masked(sent, base, cases)

    def revealed(self, recipe: Letter, roll: Letter, mine: Letter | None) -> Json:
        """The content of `reveal` for a roll; `mine` is this site's update of the round. Refused in words."""
        number, included = roll.slot.round or 0, roll.manifest.facts.get("included")
        keys = self._keys(recipe, number)
        included = included if isinstance(included, dict) else {}
        self._check(keys.group, included, mine)
        self._promise(number, roll.manifest.digest)
        names = tuple(name for name in keys.group.names if name in included)
        found: dict[str, list[bytes]] = {}
        for sender, row in self._rows(roll, names).items():
            try:
                found[sender] = opened_row(row, keys, sender)
            except BadMessage as error:
                log.warning("%s", error.sentence)
        missing = [name for name in keys.group.names if name not in included]
        facts = {"run": self.charter.run, "round": number, "roll": roll.manifest.digest}
        Audit(self.home / "audit.jsonl").append("shares revealed", **facts, included=list(names), missing=missing)
        return Sum(self.charter.run, number, keys.group.names, names).chosen(found)

    def forget(self) -> None:
        """The run is over: without the key nobody can ever see through its masks."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _keys(self, recipe: Letter, number: int) -> RoundKeys:
        path, group = self.folder / "key.json", group_of(self.charter, recipe)
        key = MaskingKey.load(path) if path.is_file() else None
        if key is None or group.keys.get(self.me) != key.public:
            raise Missing(
                "The masking key of this run is gone or another one, and no other would cancel the masks",
                hint="Restore the folder of the run; else leave (konsil leave): the run goes on without this site",
            )
        least = self._least
        if group.size < least:
            raise Refused("The recipe names too few sites", expected=f"at least {least}", got=str(group.size))
        return RoundKeys(key, group, self.me, number)

    @property
    def _least(self) -> int:
        return max(FEWEST, self.charter.quorum.sites, self.charter.secure_needed)

    def _check(self, group: Group, included: Json, mine: Letter | None) -> None:
        """Whether opening this sum shows a sum, and the one of which this site is part."""
        if not set(included) <= set(group.names) or len(included) < self._least:
            raise Refused(
                "This site does not help to open a sum over so few sites, or over unknown ones",
                expected=f"at least {self._least} of {', '.join(group.names)}",
                got=", ".join(str(name)[:40] for name in list(included)[:50]) or "none",
                hint="Call the centre",
            )
        own = included.get(self.me)
        digest = own.get("digest") if isinstance(own, dict) else None
        if self.me in included and (mine is None or digest != mine.manifest.digest):
            raise Refused(
                "The centre has added up another update than the one this site has sent", hint="Call the centre"
            )

    def _promise(self, number: int, roll: str) -> None:
        """Write down which roll of a round is answered; another one of that round never is."""
        path = self.folder / "answered.json"
        earlier = read_json(path) if path.is_file() else {}
        if earlier.setdefault(str(number), roll) != roll:
            raise Refused(
                f"The centre asks for a second sum of round {number}, by which single updates could be computed",
                expected="one roll per round",
                hint="Call the centre",
            )
        write_json(path, earlier)

    def _rows(self, roll: Letter, names: tuple[str, ...]) -> dict[str, bytes]:
        """The sealed rows for me; one that is no base64 is as good as none."""
        shares = self.mailbox.read_json(roll).get("shares")
        said = shares.get(self.me) if isinstance(shares, dict) else None
        said = said if isinstance(said, dict) else {}
        rows: dict[str, bytes] = {}
        for name in names:
            try:
                rows[name] = base64.b64decode(str(said.get(name, "")), validate=True)
            except (ValueError, binascii.Error):
                rows[name] = b""
        return rows
