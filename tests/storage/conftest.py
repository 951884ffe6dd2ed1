"""What a site tries at a store that it may not do, with a raw S3 client: the same attempts for every server."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from minio import Minio
from minio.commonconfig import ComposeSource, CopySource
from minio.credentials.credentials import Credentials as MinioCredentials
from minio.deleteobjects import DeleteObject
from minio.error import MinioException
from minio.signer import presign_v4

from konsil.storage.users import Credentials

SECRET, MINE = b"what only its owner may change", b"mine"
BIG = b"0" * (6 << 20)  # two parts of a multipart upload
REFUSED = (MinioException, urllib3.exceptions.HTTPError)


@dataclass
class Shared:
    """A running server with the buckets site-a, site-b and global, and the keys of centre and sites."""

    address: str
    keys: dict[str, Credentials]
    ca_file: Path | None = None

    def client(self, name: str) -> Minio:
        """The raw client of one party; it does not try again."""
        access_key, secret_key = self.keys[name]
        return Minio(
            self.address,
            access_key=access_key,
            secret_key=secret_key,
            secure=self.ca_file is not None,
            region="us-east-1",
            http_client=self.pool,
        )

    @property
    def pool(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(retries=False, ca_certs=None if self.ca_file is None else str(self.ca_file))

    @property
    def url(self) -> str:
        return f"{'http' if self.ca_file is None else 'https'}://{self.address}"

    def plant(self) -> None:
        """One object in every bucket, by whom it belongs to."""
        for name, bucket in {"site-a": "site-a", "site-b": "site-b", "centre": "global"}.items():
            self.client(name).put_object(bucket, "run/secret", BytesIO(SECRET), len(SECRET))


class Attempts:
    """What A tries; every method raises, or gives bytes or names that it got (which must be none)."""

    def __init__(self, shared: Shared, bucket: str) -> None:
        self.shared, self.bucket, self.me = shared, bucket, shared.client("site-a")

    def reads(self) -> dict[str, Callable[[], Any]]:
        me, bucket, key = self.me, self.bucket, "run/secret"
        return {
            "get": lambda: me.get_object(bucket, key).read(),
            "get a range": lambda: me.get_object(bucket, key, offset=2, length=4).read(),
            "stat": lambda: me.stat_object(bucket, key),
            "list": lambda: list(me.list_objects(bucket, recursive=True)),
            "list the old way": lambda: list(me.list_objects(bucket, recursive=True, use_api_v1=True)),
            "list versions": lambda: list(me.list_objects(bucket, include_version=True)),
            "list uploads": lambda: me._list_multipart_uploads(bucket).uploads,
            "read its policy": lambda: me.get_bucket_policy(bucket),
            "copy to mine": lambda: me.copy_object("site-a", "stolen", CopySource(bucket, key)),
            "compose to mine": lambda: me.compose_object("site-a", "stolen", [ComposeSource(bucket, key)]),
            "presigned get": lambda: self.fetched(me.presigned_get_object(bucket, key)),
            "somebody's key in my presigned address": self.swapped,
            "dots": lambda: self.signed("GET", f"/site-a/../{bucket}/{key}"),
            "encoded dots": lambda: self.signed("GET", f"/site-a/%2e%2e/{bucket}/{key}"),
            "an encoded slash": lambda: self.signed("GET", f"/site-a/..%2f{bucket}%2f{key}"),
            "no key at all": lambda: self.fetched(f"{self.shared.url}/{bucket}/{key}"),
        }

    def writes(self) -> dict[str, Callable[[], Any]]:
        me, bucket, key = self.me, self.bucket, "run/secret"
        return {
            "put": lambda: me.put_object(bucket, key, BytesIO(MINE), len(MINE)),
            "put a new one": lambda: me.put_object(bucket, "run/new", BytesIO(MINE), len(MINE)),
            "put in parts": lambda: me.put_object(bucket, "run/big", BytesIO(BIG), len(BIG), part_size=5 << 20),
            "presigned put": lambda: self.sent(me.presigned_put_object(bucket, key)),
            "delete": lambda: me.remove_object(bucket, key),
            "delete many": lambda: list(me.remove_objects(bucket, [DeleteObject(key)])) or 1,
            "copy from mine": lambda: me.copy_object(bucket, key, CopySource("site-a", key)),
            "compose from mine": lambda: me.compose_object(bucket, key, [ComposeSource("site-a", key)]),
            "write by dots": lambda: self.signed("PUT", f"/site-a/../{bucket}/{key}"),
            "write by encoded dots": lambda: self.signed("PUT", f"/site-a/..%2f{bucket}%2fnew"),
            "open it to all": lambda: me.set_bucket_policy(bucket, OPEN.replace("BUCKET", bucket)),
            "remove the bucket": lambda: me.remove_bucket(bucket),
            "without a key": lambda: self.sent(f"{self.shared.url}/{bucket}/{key}"),
        }

    def fetched(self, url: str) -> bytes:
        answer = self.shared.pool.request("GET", url)
        if answer.status != 200:
            raise MinioException(f"status code: {answer.status}")
        return answer.data

    def sent(self, url: str) -> None:
        answer = self.shared.pool.request("PUT", url, body=MINE)
        if answer.status != 200:
            raise MinioException(f"status code: {answer.status}")

    def signed(self, method: str, path: str) -> bytes:
        """A request for exactly this path, well signed with A's key; no client tidies it up on the way."""
        keys = MinioCredentials(*self.shared.keys["site-a"])
        url = presign_v4(
            method=method,
            url=urlsplit(self.shared.url + path),
            region="us-east-1",
            credentials=keys,
            date=datetime.now(UTC),
            expires=300,
        )
        context = None if self.shared.ca_file is None else ssl.create_default_context(cafile=str(self.shared.ca_file))
        kind = http.client.HTTPConnection if context is None else partial(http.client.HTTPSConnection, context=context)
        with closing(kind(self.shared.address, timeout=10)) as line:
            line.request(method, f"{path}?{url.query}", body=MINE if method == "PUT" else None)
            answer = line.getresponse()
            if answer.status != 200:
                raise MinioException(f"status code: {answer.status}")
            return answer.read()

    def swapped(self) -> bytes:
        mine = self.me.presigned_get_object("site-a", "run/secret", expires=timedelta(minutes=5))
        return self.fetched(mine.replace("/site-a/", f"/{self.bucket}/"))


OPEN = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},'
    '"Action":["s3:*"],"Resource":["arn:aws:s3:::BUCKET/*"]}]}'
)


class Isolation:
    """The checks that every server has to pass."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared

    def what_a_site_may(self) -> None:
        """A's own bucket to the full, `global` for reading; B's likewise; the centre reads both."""
        me = self.shared.client("site-a")
        me.put_object("site-a", "run/big", BytesIO(BIG), len(BIG), part_size=5 << 20)
        assert me.stat_object("site-a", "run/big").size == len(BIG)
        assert me.get_object("site-a", "run/secret").read() == SECRET
        assert [found.object_name for found in me.list_objects("site-a", recursive=True)] == ["run/big", "run/secret"]
        assert self.shared.client("centre").get_object("site-a", "run/big").read() == BIG
        me.remove_object("site-a", "run/big")
        assert [found.object_name for found in me.list_objects("site-a", recursive=True)] == ["run/secret"]
        assert me.get_object("global", "run/secret").read() == SECRET
        assert [found.object_name for found in me.list_objects("global", recursive=True)] == ["run/secret"]

    def what_it_may_not(self) -> None:
        """Nothing in B's bucket, no writing in `global`, no other buckets."""
        tried = {f"site-b: {name}": act for name, act in Attempts(self.shared, "site-b").reads().items()}
        for bucket in ("site-b", "global"):
            tried |= {f"{bucket}: {name}": act for name, act in Attempts(self.shared, bucket).writes().items()}
        got = {name: outcome for name, act in tried.items() if (outcome := outcome_of(name, act)) is not None}
        assert got == {}
        for name, bucket in {"site-b": "site-b", "centre": "global"}.items():
            owner = self.shared.client(name)
            assert owner.get_object(bucket, "run/secret").read() == SECRET
            assert [found.object_name for found in owner.list_objects(bucket, recursive=True)] == ["run/secret"]

    def no_bucket_of_its_own(self) -> None:
        with pytest.raises(REFUSED):
            self.shared.client("site-a").make_bucket("site-a-more")
        assert "site-a-more" not in [found.name for found in self.shared.client("centre").list_buckets()]
        assert "site-b" not in [found.name for found in self.shared.client("site-a").list_buckets()]


def outcome_of(name: str, act: Callable[[], Any]) -> Any:
    """What an attempt got; None where it was refused or got nothing. "delete many" answers 200 with errors inside."""
    try:
        return (act() or None) if "delete" not in name else act() and None
    except REFUSED:
        return None


@pytest.fixture
def isolation() -> type[Isolation]:
    return Isolation


@pytest.fixture(scope="session")
def shared_of() -> type[Shared]:
    return Shared
