"""The site pass: one file that lets one hospital into one federation, handed over outside the store.

It holds the address of the store, the site's own bucket and credentials, the certificate authority to trust, the
centre's public keys, and a one-time secret with which the site proves that its new public keys come from whoever got
the pass. It never holds a private key of the site: those are made at the site. A damaged pass is noticed by its
fingerprint, which is also short enough to be read out by phone. The format is docs/formats/site-pass.md; the file is
secret, mode 600.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError

from konsil.errors import BadInput, BadSetting, KonsilError
from konsil.files import read_json, write_json
from konsil.trust.canonical import canonical
from konsil.trust.identity import PublicKeys, spoken
from konsil.trust.roster import SiteName

PASS_LIMIT = 1 << 16  # bytes
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class SitePass(BaseModel):
    """What one site needs to join. `ca_pem` None = the store's certificate comes from a public authority."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    format: Literal["konsil-pass/1"] = "konsil-pass/1"
    site: SiteName
    endpoint: Text
    bucket: Text
    access_key: str
    secret_key: str
    ca_pem: str | None
    centre: PublicKeys
    enrolment_secret: Text
    expires: AwareDatetime

    @property
    def fingerprint(self) -> str:
        """Sixteen characters in groups of four over the whole content."""
        return spoken(canonical(self.model_dump(mode="json")))

    def save(self, path: Path) -> None:
        """Write the pass, readable by this user only."""
        write_json(path, {**self.model_dump(mode="json"), "fingerprint": self.fingerprint}, mode=0o600)

    def check_time(self, now: datetime) -> None:
        """`BadSetting` if the pass is no longer good for joining."""
        if now > self.expires:
            raise BadSetting(
                "the site pass has expired",
                expected=f"a join before {self.expires.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
                hint="Ask the centre for a new pass: konsil central invite",
            )


def read_pass(path: Path) -> SitePass:
    """Read a pass; `BadInput` if the file is not one or was damaged."""
    if not path.is_file():
        raise BadInput("the site pass is not there", expected=f"a file at {path}")
    if path.stat().st_size > PASS_LIMIT:
        raise refusal("a file that is far too long")
    try:
        content = read_json(path)
    except (KonsilError, RecursionError) as error:
        raise refusal("something else than JSON") from error
    if content.get("format") != "konsil-pass/1":
        raise refusal("another format or version")
    claimed = content.pop("fingerprint", None)
    try:
        found = SitePass.model_validate(content)
    except ValidationError as error:
        fields = sorted({str(item["loc"][0]) for item in error.errors() if item["loc"]})
        raise refusal(f"wrong fields: {', '.join(fields)}") from error
    if claimed != found.fingerprint:
        raise refusal("a content that does not match its fingerprint")
    return found


def refusal(got: str) -> BadInput:
    """The sentence for a file that is no intact pass."""
    return BadInput(
        "the site pass cannot be used",
        expected="an unchanged file of 'konsil central invite'",
        got=got,
        hint="It may have been damaged on the way. Ask the centre to send it again",
    )


def new_secret() -> str:
    """A one-time enrolment secret: 256 random bits."""
    return secrets.token_urlsafe(32)
