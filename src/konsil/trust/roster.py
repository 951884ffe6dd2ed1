"""Who takes part: the centre and the sites, each with its bucket and its public keys.

The centre keeps the roster in `<home>/roster.json` and adds a site when its enrolment was verified. It also publishes
the roster, signed, in the `global` bucket, so that a site can see that it was accepted and who else is there. A site
needs no more than the centre's keys (from its pass) and its own.

Whoever has rotated its keys, and who was revoked, also has a past (`konsil.trust.past`): keys that are good for known
messages only. A revoked site has nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from konsil.errors import BadMessage, BadSetting
from konsil.files import read_json, write_json
from konsil.trust.identity import Identity, PublicKeys
from konsil.trust.past import Past, keep_past, read_past
from konsil.trust.signed import opened, sign
from konsil.types import Json

CENTRE = "centre"
GLOBAL = "global"
SITE_NAME = r"^[A-Za-z0-9][A-Za-z0-9-]{0,30}$"
SiteName = Annotated[str, StringConstraints(pattern=SITE_NAME)]


class Roster(BaseModel):
    """The centre's keys, and of each site the keys. Site names differ in more than upper and lower case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    centre: PublicKeys
    sites: dict[SiteName, PublicKeys] = {}
    revoked: tuple[SiteName, ...] = ()
    past: dict[str, Past] = Field(default={}, exclude=True)  # kept in keys/past.json

    def keys_of(self, name: str) -> PublicKeys:
        """Public keys of the centre or a site; `BadSetting` for a name that does not take part."""
        if name == CENTRE:
            return self.centre
        if name not in self.sites:
            raise BadSetting(
                f"{name} is not in the roster", expected=", ".join(self.names), hint="Look at 'konsil central sites'"
            )
        return self.sites[name]

    def signers_of(self, name: str, digest: str, *, pinned: bool = False) -> tuple[str, ...]:
        """The signing keys that may have signed the message with this digest; `pinned`: it was accepted before."""
        past = self.past.get(name, Past())
        if digest in past.vouched:
            return (past.vouched[digest],)
        current = () if name in self.revoked else (self.keys_of(name).signing,)
        return (*current, *(past.retired if pinned else ()))

    @property
    def names(self) -> list[str]:
        """The centre and the sites, sorted."""
        return [CENTRE, *sorted(self.sites)]

    def buckets(self) -> dict[str, str]:
        """Name → bucket, for the centre and every site."""
        return {name: bucket_of(name) for name in self.names}

    def with_site(self, name: str, keys: PublicKeys) -> Roster:
        """The same roster and one site more."""
        left = tuple(site for site in self.revoked if site != name)
        return self.model_copy(update={"sites": {**self.sites, name: keys}, "revoked": left})

    def without(self, name: str) -> Roster:
        """The same roster, in which a site is revoked: its key is retired and vouches for nothing new."""
        sites = {site: keys for site, keys in self.sites.items() if site != name}
        revoked = tuple(sorted({*self.revoked, name}))
        ended = self._with_past(name, self.sites[name].signing) if name in self.sites else self
        return ended.model_copy(update={"sites": sites, "revoked": revoked})

    def rotated(self, name: str, keys: PublicKeys, letters: Iterable[str]) -> Roster:
        """The same roster, in which `keys` are those of `name` from now on; the old ones vouch for `letters` only."""
        ended = self._with_past(name, self.keys_of(name).signing, letters)
        if name == CENTRE:
            return ended.model_copy(update={"centre": keys})
        return ended.with_site(name, keys)

    def _with_past(self, name: str, key: str, letters: Iterable[str] = ()) -> Roster:
        past = self.past.get(name, Past()).with_retired(key, letters)
        return self.model_copy(update={"past": {**self.past, name: past}})

    def as_json(self) -> Json:
        """The form of the signed document."""
        return self.model_dump(mode="json", exclude={"revoked"})

    def save(self, home: Path) -> None:
        """Write `<home>/roster.json`, and what the parties' keys were before."""
        for name, past in self.past.items():
            keep_past(home, name, past)  # first: a past too much does no harm, one too little loses messages
        write_json(home / "roster.json", self.model_dump(mode="json"))

    @classmethod
    def load(cls, home: Path) -> Roster:
        """Read `<home>/roster.json`."""
        try:
            return cls.model_validate({**read_json(home / "roster.json"), "past": read_past(home)})
        except ValidationError as error:
            raise BadSetting("roster.json is damaged", hint="Restore it from the backup") from error

    def signed(self, identity: Identity) -> bytes:
        """The document that the centre publishes."""
        return sign("roster", self.as_json(), identity)

    @classmethod
    def opened(cls, document: bytes, *centre: PublicKeys) -> Roster:
        """Read a published roster; `BadMessage` if none of the centre's keys signed it."""
        try:
            return cls.model_validate(opened("roster", document, *(keys.signing for keys in centre)))
        except ValidationError as error:
            raise BadMessage("the published roster is not read", expected="the centre's keys and the sites'") from error


def bucket_of(name: str) -> str:
    """The one bucket that `name` may write: `global` for the centre, `site-<name>` in lower case for a site."""
    return GLOBAL if name == CENTRE else f"site-{name.lower()}"


def checked_site(name: str, taken: Iterable[str] = ()) -> str:
    """The name itself if a site may bear it; `BadSetting` otherwise. `taken` are the names in use."""
    if not re.fullmatch(SITE_NAME, name) or name.lower() == CENTRE:
        raise BadSetting(
            "a site cannot bear this name", expected="letters, digits and '-', at most 31, not 'centre'", got=repr(name)
        )
    if name.lower() in {other.lower() for other in taken}:
        raise BadSetting(f"there is a site {name} already", hint="Choose another name")
    return name


def gather(sites: Iterable[str]) -> tuple[Mapping[str, Identity], Roster]:
    """New identities for the centre and `sites`, and the roster that lists them: for simulations and tests."""
    identities = {name: Identity.generate() for name in (CENTRE, *sites)}
    public = {name: identity.public for name, identity in identities.items()}
    return identities, Roster(centre=public.pop(CENTRE), sites=public)
