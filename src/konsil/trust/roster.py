"""Who takes part: the centre and the sites, each with its bucket and its public keys.

The centre keeps the roster in `<home>/roster.json` and adds a site when its enrolment was verified. It also publishes
the roster, signed, in the `global` bucket, so that a site can see that it was accepted and who else is there. A site
needs no more than the centre's keys (from its pass) and its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from konsil.errors import BadMessage, BadSetting
from konsil.files import read_json, write_json
from konsil.trust.identity import Identity, PublicKeys
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

    def keys_of(self, name: str) -> PublicKeys:
        """Public keys of the centre or a site; `BadSetting` for a name that does not take part."""
        if name == CENTRE:
            return self.centre
        if name not in self.sites:
            raise BadSetting(
                f"{name} is not in the roster", expected=", ".join(self.names), hint="Look at 'konsil central sites'"
            )
        return self.sites[name]

    @property
    def names(self) -> list[str]:
        """The centre and the sites, sorted."""
        return [CENTRE, *sorted(self.sites)]

    def buckets(self) -> dict[str, str]:
        """Name → bucket, for the centre and every site."""
        return {name: bucket_of(name) for name in self.names}

    def with_site(self, name: str, keys: PublicKeys) -> Roster:
        """The same roster and one site more."""
        return Roster(centre=self.centre, sites={**self.sites, name: keys})

    def without(self, name: str) -> Roster:
        """The same roster and one site less."""
        return Roster(centre=self.centre, sites={site: keys for site, keys in self.sites.items() if site != name})

    def as_json(self) -> Json:
        """The form in files and in the signed document."""
        return self.model_dump(mode="json")

    def save(self, home: Path) -> None:
        """Write `<home>/roster.json`."""
        write_json(home / "roster.json", self.as_json())

    @classmethod
    def load(cls, home: Path) -> Roster:
        """Read `<home>/roster.json`."""
        try:
            return cls.model_validate(read_json(home / "roster.json"))
        except ValidationError as error:
            raise BadSetting("roster.json is damaged", hint="Restore it from the backup") from error

    def signed(self, identity: Identity) -> bytes:
        """The document that the centre publishes."""
        return sign("roster", self.as_json(), identity)

    @classmethod
    def opened(cls, document: bytes, centre: PublicKeys) -> Roster:
        """Read a published roster; `BadMessage` if the centre did not sign it."""
        try:
            return cls.model_validate(opened("roster", document, centre.signing))
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
