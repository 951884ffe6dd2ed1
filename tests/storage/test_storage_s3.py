"""The S3 client when the server is slow, broken, full, or answers in another dialect."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread

import pytest

from konsil.errors import BadInput, BadSetting, Missing, Unavailable
from konsil.storage.s3 import S3Store
from konsil.storage.server import StoreServer
from konsil.storage.users import Users

DENIED = "<Error><Code>{}</Code><Message>m</Message></Error>"


@contextmanager
def answering(*answers: tuple[int, str, bytes]) -> Iterator[tuple[S3Store, list[str]]]:
    """A server that gives these (status, content type, body), the last one for ever; and the methods it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            asked.append(self.command)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content_type, body = answers[min(len(asked), len(answers)) - 1]
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body) + (5 if body == b"broken" else 0)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        do_GET = do_PUT = do_HEAD = do_DELETE = handle_one  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield S3Store(f"http://127.0.0.1:{server.server_port}", "key12345", "sec12345", pause_s=0.001), asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_failure_that_passes_is_tried_again():
    with answering(
        (503, "text/plain", b"busy"), (500, "text/xml", b"<Code>InternalError</Code>"), (200, "a/b", b"")
    ) as (
        store,
        asked,
    ):
        store.put("bucket", "k", b"content")
    assert asked == ["PUT"] * 3


def test_a_failure_that_stays_is_unavailable_after_four_tries():
    with (
        answering((503, "text/plain", b"busy")) as (store, asked),
        pytest.raises(Unavailable, match="could not do its part"),
    ):
        store.put("bucket", "k", b"content")
    assert len(asked) == 4


@pytest.mark.parametrize("dialect", ["application/xml", "text/xml"])
@pytest.mark.parametrize(
    ("code", "status", "error", "words"),
    [
        ("NoSuchKey", 404, Missing, "not in the bucket"),
        ("NoSuchBucket", 404, BadSetting, "no bucket bucket"),
        ("AccessDenied", 403, BadSetting, "credentials"),
        ("SignatureDoesNotMatch", 403, BadSetting, "credentials"),
        ("InvalidAccessKeyId", 403, BadSetting, "credentials"),
        ("RequestTimeTooSkewed", 403, BadSetting, "clock"),
    ],
)
def test_a_refusal_is_a_sentence_at_once_in_both_dialects(dialect, code, status, error, words):
    with (
        answering((status, dialect, DENIED.format(code).encode())) as (store, asked),
        pytest.raises(error, match=words),
        store.get("bucket", "k"),
    ):
        pass
    assert asked.count("GET") == 1  # beside it, the server may be asked for the time


@pytest.mark.parametrize("code", ["AccessDenied", "RequestTimeTooSkewed", "403"])
@pytest.mark.parametrize("wrong", [timedelta(hours=1), timedelta(hours=-1), timedelta(days=400)])
def test_a_wrong_clock_here_is_made_up_for(monkeypatch, code, wrong):
    """The real client signs with `datetime.now`; the server's `Date` comes with the answer."""
    signed = []

    class Shifted(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + wrong

    monkeypatch.setattr("konsil.storage.signing.datetime", Shifted)
    denied = (403, "text/xml", DENIED.format(code).encode())
    with answering(denied, (200, "a/b", b""), (200, "a/b", b"right")) as (store, asked):
        client = store._client
        sign = client._build_headers
        monkeypatch.setattr(client, "_build_headers", lambda *a, **n: signed.append(sign(*a, **n)) or signed[-1])
        with store.get("bucket", "k") as stream:
            assert stream.read() == b"right"
    assert asked == ["GET", "HEAD", "GET"]
    off = [abs(date - datetime.now(UTC)) for _, date in signed]
    assert off[0] > timedelta(minutes=59)
    assert off[1] < timedelta(minutes=1)


def test_a_server_that_goes_away_during_the_handshake_may_come_back():
    """It is not called a stranger's: that would end a run at a site because the store was restarted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=lambda: [listener.accept()[0].close() for _ in range(2)])
        thread.start()
        store = S3Store(
            f"https://127.0.0.1:{listener.getsockname()[1]}", "key12345", "sec12345", tries=2, pause_s=0.001
        )
        with pytest.raises(Unavailable, match="does not answer"):
            store.list("bucket")
        thread.join()


def test_a_full_store_is_unavailable():
    with (
        answering((507, "application/xml", DENIED.format("XMinioStorageFull").encode())) as (store, _),
        pytest.raises(Unavailable, match="no room"),
    ):
        store.put("bucket", "k", b"content")


def test_a_connection_that_breaks_while_reading_is_unavailable():
    with (
        answering((200, "application/octet-stream", b"broken")) as (store, _),
        pytest.raises(Unavailable, match="broke"),
        store.get("bucket", "k") as stream,
    ):
        all(iter(lambda: stream.read(4), b""))


class SmallDisk(StoreServer):
    """The real server, but no file may grow beyond 256 KiB."""

    @property
    def command(self) -> list[str]:
        return ["sh", "-c", 'ulimit -f 512; exec "$@"', "sh", *super().command]


def test_a_full_disk_is_a_sentence_and_keeps_what_was_there(tmp_path):
    keys = Users(tmp_path).add("centre", None)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with SmallDisk(tmp_path, endpoint):
        store = S3Store(endpoint, *keys, tries=2, pause_s=0.01)
        store.put("global", "k", b"small")
        with pytest.raises(Unavailable, match="disk may be full"):
            store.put("global", "k", b"x" * 3_000_000)
        with store.get("global", "k") as stream:
            assert stream.read() == b"small"
        assert [entry.key for entry in store.list("global")] == ["k"]


@pytest.mark.parametrize(
    "endpoint",
    ["store:9000", "ftp://store", "https://", "https://user:secret@store", "https://store/path", "http://[", "x"],
)
def test_a_wrong_address_is_a_sentence(endpoint):
    with pytest.raises(BadSetting, match="address"):
        S3Store(endpoint, "key12345", "sec12345")


def test_a_name_that_does_not_exist_is_unavailable():
    with pytest.raises(Unavailable, match="does not answer"):
        S3Store("https://no-such-host.invalid:9", "key12345", "sec12345", tries=1).list("bucket")


def test_a_missing_authority_file_is_a_sentence(tmp_path):
    with pytest.raises(BadSetting, match="authority"):
        S3Store("https://store:9000", "key12345", "sec12345", tmp_path / "none.pem")


def test_an_object_of_unknown_size_is_refused():
    with pytest.raises(BadInput, match="5 GiB"):
        S3Store("https://store:9000", "key12345", "sec12345").put("bucket", "k", BytesIO(b"x"))
