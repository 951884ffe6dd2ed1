"""One way to write a JSON object, so that a hash or a signature means the same everywhere.

Keys sorted, no spaces, UTF-8 without escapes, numbers as Python writes them (shortest form that reads back the same),
no NaN and no infinity. Reading accepts only bytes that would be written again exactly so: that also refuses duplicate
keys, trailing bytes and odd spellings.
"""

from __future__ import annotations

import json

from konsil.errors import BadMessage
from konsil.types import Json


def canonical(content: Json) -> bytes:
    """The one form of a JSON object. Raises ValueError for NaN, infinity and what JSON does not have."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def parsed(content: bytes, what: str) -> Json:
    """Read bytes that `canonical` wrote; anything else is `BadMessage`. `what` names the document in the sentence."""
    refusal = BadMessage(f"{what} is not read", expected="a JSON object in canonical form", got="other bytes")
    try:
        found = json.loads(content)
        if not isinstance(found, dict) or canonical(found) != content:
            raise refusal
    except (ValueError, RecursionError) as error:  # UnicodeError is a ValueError
        raise refusal from error
    return found
