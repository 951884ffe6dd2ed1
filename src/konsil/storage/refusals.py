"""What an S3 server's refusal means, as a sentence.

Servers answer with a short XML document whose `<Code>` says why. The `minio` client turns it into `S3Error` when it
comes as `application/xml`; rclone sends `text/xml`, which the client reports as `InvalidResponseError` with the
document in the text, and some refusals have no body at all. So the code is looked for in all three places.
"""

from __future__ import annotations

import re
import ssl
from urllib.parse import urlsplit

import urllib3
from minio.error import MinioException, S3Error

from konsil.errors import BadSetting, KonsilError, Missing, Unavailable

CREDENTIALS = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403", "401"}
SKEWED = "RequestTimeTooSkewed"
BUCKET = {"NoSuchBucket", "InvalidBucketName"}
ABSENT = {"NoSuchKey", "NoSuchObject", "ResourceNotFound"}
FULL = {"XMinioStorageFull", "InsufficientStorage", "507", "QuotaExceeded", "EntityTooLarge"}
DISK_HINT = "Its disk may be full, or this key may not write there. Look at the server, then try again"


def explained(error: BaseException, endpoint: str, bucket: str) -> KonsilError:
    """The sentence for whatever the client raised. The access key and the object's key are never in it."""
    if isinstance(error, urllib3.exceptions.SSLError | ssl.SSLError) and not went_away(str(error)):
        return tls_refused(str(error), endpoint)
    if isinstance(error, urllib3.exceptions.HTTPError | OSError):
        return unreachable(endpoint)
    return by_code(code_of(error), str(error), bucket)


def may_be_the_clock(error: BaseException) -> bool:
    """Whether a signature was refused; servers word it differently where only its time is wrong."""
    return isinstance(error, MinioException) and code_of(error) in {*CREDENTIALS, SKEWED}


def went_away(text: str) -> bool:
    """Whether a TLS connection ended in the middle, as when the server is stopped: that says nothing of who it is."""
    return any(word in text for word in ("EOF", "timed out", "closed", "reset", "SHUTDOWN"))


def code_of(error: BaseException) -> str:
    """The S3 error code, else the HTTP status, else an empty text."""
    if isinstance(error, S3Error) and error.code:
        return str(error.code)
    text = str(error)
    found = re.search(r"<Code>(\w+)</Code>", text) or re.search(r"(?:Response|status) code:? (\d{3})", text)
    return found.group(1) if found else ""


def by_code(code: str, text: str, bucket: str) -> KonsilError:
    """The sentence for an S3 error code; what is unknown may pass."""
    if code in ABSENT:
        return Missing(f"an object is not in the bucket {bucket}", hint="It may not have been sent yet")
    if code in BUCKET or code == "404":
        return BadSetting(
            f"the store has no bucket {bucket} for this access key",
            hint="Compare address and bucket with the site pass",
        )
    if code in CREDENTIALS:
        return BadSetting(
            "the store does not accept these credentials",
            got=code,
            hint="The pass may be revoked or from another centre. Ask the centre for a new one",
        )
    if code == SKEWED:
        return BadSetting("the store refuses this computer's clock", expected="the right time", hint="Set the clock")
    if "HTTPS server" in text:
        return BadSetting("the store speaks TLS only", expected="an address that begins with https://")
    if code in FULL:
        return Unavailable("the store has no room for this object", got=code, hint="Free space on the server")
    return Unavailable("the store could not do its part", got=code or "an unknown answer", hint=DISK_HINT)


def tls_refused(text: str, endpoint: str) -> BadSetting:
    """The sentence for a certificate that is not the expected one, or for a server without TLS."""
    host = urlsplit(endpoint).netloc
    if "WRONG_VERSION_NUMBER" in text or "UNKNOWN_PROTOCOL" in text or "record layer failure" in text:
        return BadSetting(
            f"the store at {host} does not speak TLS", hint="Check the address: http:// or https://, and the port"
        )
    if "has expired" in text or "not yet valid" in text:
        return BadSetting(
            f"the store at {host} shows a certificate that is out of date",
            expected="one that is valid today",
            hint="Is this computer's clock right? Else the centre restarts its store, which renews it",
        )
    return BadSetting(
        f"the store at {host} is not who it says: its certificate is refused",
        expected="a certificate of the centre's authority for this name",
        hint="Compare the address with the site pass; if it is right, call the centre before going on",
    )


def unreachable(endpoint: str) -> Unavailable:
    """The sentence for no connection at all."""
    return Unavailable(
        f"the store at {urlsplit(endpoint).netloc} does not answer",
        hint="Check the address, the firewall (outbound only) and whether the server runs, then try again",
    )
