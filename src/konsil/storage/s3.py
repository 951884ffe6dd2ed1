"""An S3 server as object store, through the `minio` client.

Only what every S3 server has is used: PUT, GET, HEAD, LIST and DELETE with signature version 4. Uploads go through a
presigned address, which streams the body instead of hashing it first; whoever reads an object compares its SHA-256
anyway. Requests are signed with the server's clock where this computer's is wrong (`konsil.storage.signing`). A
failure that may pass (a dropped connection, 5xx) is tried again with growing pauses, then it is `Unavailable`; one that
will not pass is a `BadSetting` sentence at once (see `konsil.storage.refusals`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeVar, cast
from urllib.parse import urlsplit

import urllib3
from minio.error import InvalidResponseError, MinioException

from konsil.errors import BadInput, BadSetting, KonsilError, Missing, Unavailable
from konsil.storage.refusals import explained, may_be_the_clock
from konsil.storage.signing import SigningClient
from konsil.storage.store import Entries, Entry, Names, Readable, Rewindable, checked_key

Result = TypeVar("Result")
TIMEOUT = urllib3.Timeout(connect=10, read=60)  # seconds; per block of a body, not for the whole
LARGEST = 5 << 30  # bytes that one PUT may carry on every S3 server
HERE = {"localhost", "127.0.0.1", "::1"}
REGION = "us-east-1"  # every server accepts it, and naming it saves one request
TROUBLE = (MinioException, urllib3.exceptions.HTTPError, OSError)


class S3Store:
    """Objects at `endpoint` (`https://host:port`; `http://…` on this computer only), with one access key.

    `ca_file`: PEM of the authority that the server's certificate must come from; None = the system's authorities.
    `tries` and `pause_s`: how often a request is made before it is `Unavailable`, and the first pause (it doubles).
    """

    def __init__(
        self,
        endpoint: str,
        access_key: str,
        secret_key: str,
        ca_file: Path | None = None,
        *,
        tries: int = 4,
        pause_s: float = 0.2,
    ) -> None:
        self._endpoint, self._tries, self._pause_s = checked_endpoint(endpoint), tries, pause_s
        if ca_file is not None and not Path(ca_file).is_file():
            raise BadSetting("the certificate authority of the store is not there", expected=f"a PEM file at {ca_file}")
        self._pool = urllib3.PoolManager(
            timeout=TIMEOUT, retries=False, maxsize=8, ca_certs=None if ca_file is None else str(ca_file)
        )
        self._client = SigningClient(
            urlsplit(endpoint).netloc,
            access_key=access_key,
            secret_key=secret_key,
            secure=endpoint.startswith("https"),
            region=REGION,
            http_client=self._pool,
        )

    def put(self, bucket: str, key: str, content: bytes | Rewindable, size: int | None = None) -> None:
        """Store an object of up to 5 GiB by one PUT."""
        stream = BytesIO(content) if isinstance(content, bytes) else content
        length = len(content) if isinstance(content, bytes) else size
        if length is None or length > LARGEST:
            raise BadInput("an object cannot be stored", expected="a known size of at most 5 GiB", got=str(length))

        def send() -> None:
            stream.seek(0)
            url = self._client.get_presigned_url(
                "PUT",
                bucket,
                checked_key(key),
                expires=timedelta(hours=1),
                request_date=self._client.server_time(),
            )
            answer = self._pool.request(
                "PUT", url, body=cast("BinaryIO", stream), headers={"Content-Length": str(length)}
            )
            if answer.status not in {200, 204}:
                raise InvalidResponseError(answer.status, answer.headers.get("content-type"), answer.data.decode())

        self._tried(send, bucket)

    @contextmanager
    def get(self, bucket: str, key: str) -> Iterator[Readable]:
        """Open an object; a connection that breaks while it is read is `Unavailable`."""
        response = self._tried(lambda: self._client.get_object(bucket, checked_key(key)), bucket)
        try:
            yield _Body(response)
        finally:
            response.close()
            response.release_conn()

    def list(self, bucket: str, prefix: str = "") -> Entries:
        """All objects below `prefix`, sorted by key."""
        found = self._tried(lambda: list(self._client.list_objects(bucket, prefix=prefix, recursive=True)), bucket)
        entries = (entry_of(item) for item in found if not item.is_dir)
        return sorted(entries, key=lambda entry: entry.key)

    def folders(self, bucket: str, prefix: str = "") -> Names:
        """The names directly under `prefix` that have objects below them."""
        found = self._tried(lambda: list(self._client.list_objects(bucket, prefix=prefix)), bucket)
        return sorted(item.object_name.removeprefix(prefix).strip("/") for item in found if item.is_dir)

    def stat(self, bucket: str, key: str) -> Entry:
        """Size and time of one object."""
        return entry_of(self._tried(lambda: self._client.stat_object(bucket, checked_key(key)), bucket))

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object."""
        try:
            self._tried(lambda: self._client.remove_object(bucket, checked_key(key)), bucket)
        except Missing:
            return

    def now(self) -> datetime:
        """The server's clock from the `Date` of its answer (RFC 9110), to the second; needs no permission."""
        answer = self._tried(lambda: self._pool.request("HEAD", self._endpoint), "")
        try:
            return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
        except (KeyError, ValueError) as error:
            raise Unavailable("the store does not tell the time", expected="an HTTP Date header") from error

    def _tried(self, act: Callable[[], Result], bucket: str) -> Result:
        """Do it, again after a growing pause if the failure may pass; at the end a sentence."""
        for attempt in range(self._tries):
            try:
                return act()
            except KonsilError:
                raise
            except TROUBLE as error:
                sentence = explained(error, self._endpoint, bucket)
                if may_be_the_clock(error) and self._clock_was_wrong():
                    continue
                if attempt + 1 == self._tries or not isinstance(sentence, Unavailable):
                    raise sentence from error
                time.sleep(self._pause_s * 2**attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _clock_was_wrong(self) -> bool:
        """Whether this computer's clock differs from what was signed with; from now on the server's is used."""
        answer = self._pool.request("HEAD", self._endpoint)
        server = parsedate_to_datetime(answer.headers.get("Date", "")) if "Date" in answer.headers else None
        return server is not None and self._client.learn(server.astimezone(UTC))


class _Body:
    """An object's bytes on their way in."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._response.read(size if size >= 0 else None)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable("the store's connection broke while an object was read", hint="Try again") from error


def entry_of(item: object) -> Entry:
    """The client's description of an object as ours."""
    key, size, modified = (getattr(item, name) for name in ("object_name", "size", "last_modified"))
    return Entry(key, size, modified.astimezone(UTC))


def checked_endpoint(endpoint: str) -> str:
    """The address itself, if it is one and no credentials go over a network in the open; `BadSetting` otherwise."""
    try:
        parts = urlsplit(endpoint)
        good = (
            parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.path in {"", "/"} and not parts.query
        )
        good = good and parts.username is None and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise BadSetting("the store's address is not usable", expected="https://host:port", got=repr(endpoint[:80]))
    if parts.scheme == "http" and parts.hostname not in HERE:
        raise BadSetting(
            "the store would be reached without TLS",
            expected="an address that begins with https://",
            hint="Only a store on this very computer may do without",
        )
    return endpoint
