"""The enrolment request: a site's public keys, proven with the one-time secret of its pass.

    konsil-enrolment/1\\n
    <64 hexadecimal digits>\\n     HMAC-SHA256 (RFC 2104), keyed with the secret, over the first line and the rest
    {"keys":{…},"site":"…"}        canonical JSON

Only who holds the pass can make it, and it is accepted once. As with signed documents, nothing is parsed before the
proof was verified.
"""

from __future__ import annotations

import hmac

from pydantic import ValidationError

from konsil.errors import BadMessage
from konsil.trust.canonical import canonical, parsed
from konsil.trust.identity import PublicKeys

FIRST_LINE = b"konsil-enrolment/1\n"
PROOF_LENGTH = 64
ENROLMENT_KEY = "_konsil/enrolment"  # in the site's bucket; no run begins with '_'
ROSTER_KEY = "_konsil/roster"  # in the bucket `global`
REQUEST_LIMIT = 1 << 16  # bytes


def request(site: str, keys: PublicKeys, secret: str) -> bytes:
    """The document that a site leaves in its bucket."""
    body = canonical({"site": site, "keys": keys.model_dump(mode="json")})
    return FIRST_LINE + proof(body, secret) + b"\n" + body


def verified(document: bytes, site: str, secret: str) -> PublicKeys:
    """The site's public keys; `BadMessage` if the document was not made with this secret for this site."""
    if len(document) > REQUEST_LIMIT or not document.startswith(FIRST_LINE):
        raise BadMessage(f"the enrolment of {site} is not read", expected="konsil-enrolment/1")
    rest = document[len(FIRST_LINE) :]
    claimed, body = rest[:PROOF_LENGTH], rest[PROOF_LENGTH + 1 :]
    if rest[PROOF_LENGTH : PROOF_LENGTH + 1] != b"\n" or not hmac.compare_digest(claimed, proof(body, secret)):
        raise BadMessage(
            f"the enrolment of {site} does not fit its invitation",
            hint="The site used an older pass, or somebody else wrote it. Call the site; invite it again if in doubt",
        )
    content = parsed(body, f"the enrolment of {site}")
    try:
        if content.get("site") != site:
            raise BadMessage(f"the enrolment of {site} names another site")
        return PublicKeys.model_validate(content.get("keys"))
    except ValidationError as error:
        raise BadMessage(f"the enrolment of {site} holds no usable keys") from error


def proof(body: bytes, secret: str) -> bytes:
    """HMAC-SHA256 in hexadecimal."""
    return hmac.digest(secret.encode(), FIRST_LINE + body, "sha256").hex().encode()
