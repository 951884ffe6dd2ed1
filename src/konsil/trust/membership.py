"""Who lives in a home, centre or site, and how this party reaches the store: read from what lies in the home.

centre: `centre.json` (address and credentials, mode 600), `roster.json`, `keys/`, `ca.pem`
site:   `pass.json` (the site pass, mode 600), `keys/`, `ca.pem`; `keys/centre.json` once the centre has new keys
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from konsil.errors import BadSetting, Missing
from konsil.files import read_json, write_json
from konsil.trust.identity import Identity, PublicKeys
from konsil.trust.passes import read_pass
from konsil.trust.past import keep_past, read_past
from konsil.trust.roster import CENTRE, Roster


class Connection(BaseModel):
    """The store's address and this party's credentials; the credentials are empty for a folder (`file://…`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    endpoint: str
    access_key: str = ""
    secret_key: str = ""

    def save(self, home: Path) -> None:
        """Write `<home>/centre.json`, readable by this user only."""
        write_json(home / "centre.json", self.model_dump(), mode=0o600)


@dataclass(frozen=True)
class Membership:
    """The party of a home: its name, the way to the store, whom it knows."""

    me: str
    connection: Connection = field(repr=False)
    ca_file: Path | None
    roster: Roster
    identity: Identity = field(repr=False)


def connection_of(home: Path) -> Connection:
    """The way to the store of whoever lives here; `Missing` if nobody does yet."""
    if is_centre(home):
        try:
            return Connection.model_validate(read_json(home / "centre.json"))
        except ValidationError as error:
            raise BadSetting("centre.json is damaged", hint="Restore it from the backup") from error
    found = read_pass(home / "pass.json")
    return Connection(endpoint=found.endpoint, access_key=found.access_key, secret_key=found.secret_key)


def membership(home: Path) -> Membership:
    """Everything about the party of this home."""
    identity, ca_file = Identity.load(home), ca_of(home)
    if is_centre(home):
        roster = Roster.load(home).model_copy(update={"centre": identity.public})
        return Membership(CENTRE, connection_of(home), ca_file, roster, identity)
    found = read_pass(home / "pass.json")
    keys = {found.site: identity.public}
    roster = Roster(centre=centre_keys(home, found.centre), sites=keys, past=read_past(home))
    return Membership(found.site, connection_of(home), ca_file, roster, identity)


def centre_keys(home: Path, given: PublicKeys) -> PublicKeys:
    """The centre's keys as this site knows them: those of the pass, or their successors."""
    path = home / "keys" / "centre.json"
    try:
        return PublicKeys.model_validate(read_json(path)) if path.is_file() else given
    except ValidationError as error:
        raise BadSetting("keys/centre.json is damaged", hint="Restore it from the backup") from error


def keep_roster(home: Path, roster: Roster) -> None:
    """Keep a roster in which somebody has new keys, at the centre or at a site."""
    if is_centre(home):
        roster.save(home)
        return
    for name, past in roster.past.items():
        keep_past(home, name, past)
    write_json(home / "keys" / "centre.json", roster.centre.model_dump(mode="json"))


def is_centre(home: Path) -> bool:
    """True for a centre, False for a site; `Missing` for an empty home, `BadSetting` for both in one."""
    centre, site = (home / "centre.json").is_file(), (home / "pass.json").is_file()
    if centre and site:
        raise BadSetting("this home is a centre and a site at once", hint="Use one folder for each (KONSIL_HOME)")
    if not centre and not site:
        raise Missing(
            "nobody lives in this home yet",
            got=str(home),
            hint="A centre runs 'konsil central init', a site 'konsil site join PASS'; or set KONSIL_HOME",
        )
    return centre


def ca_of(home: Path) -> Path | None:
    """The certificate authority's file, if this home trusts its own."""
    path = home / "ca.pem"
    return path if path.is_file() else None
