"""What the centre remembers of a pass until the site has enrolled: the one-time secret, its end, the access key.

`<home>/invitations.json`, mode 600. An invitation is used up by the enrolment it led to; the access key stays, so
that it can be revoked later.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict

from konsil.files import read_json, write_json


class Invitation(BaseModel):
    """One pass that was given out. `secret` None = used up, by the enrolment whose SHA-256 is `document`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    secret: str | None
    expires: AwareDatetime
    access_key: str | None
    document: str | None = None

    def used(self, document: str) -> Invitation:
        """The same invitation, used up by the enrolment with this SHA-256."""
        return self.model_copy(update={"secret": None, "document": document})

    def open_at(self, moment: datetime) -> bool:
        """Whether an enrolment that the store received at `moment` is in time."""
        return moment <= self.expires


class Invitations:
    """All invitations of a centre, by site."""

    def __init__(self, home: Path) -> None:
        self._path = home / "invitations.json"

    def all(self) -> dict[str, Invitation]:
        """By site name, sorted."""
        content = read_json(self._path) if self._path.is_file() else {}
        return {site: Invitation.model_validate(content[site]) for site in sorted(content)}

    def put(self, site: str, invitation: Invitation) -> None:
        """Add or replace the invitation of a site."""
        kept = {**self.all(), site: invitation}
        write_json(self._path, {name: item.model_dump(mode="json") for name, item in kept.items()}, mode=0o600)

    def drop(self, site: str) -> None:
        """Forget the invitation of a site."""
        kept = {name: item.model_dump(mode="json") for name, item in self.all().items() if name != site}
        write_json(self._path, kept, mode=0o600)
