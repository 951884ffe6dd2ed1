"""A small DICOMweb server that speaks QIDO-RS and WADO-RS (PS3.18) and can misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest
from pydicom.dataset import Dataset

Writer = Callable[..., str]
PAGE = 7
SHOWN = {
    0: ["StudyInstanceUID", "StudyDate", "StudyDescription", "PatientID"],
    1: ["SeriesInstanceUID", "Modality"],
    2: ["SOPInstanceUID"],
}
KEYS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
BOUNDARY = "konsil-test"


@dataclass
class Pacs:
    """What the server holds, how it misbehaves, and what it was asked."""

    images: list[tuple[Dataset, bytes]] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    secret: str = ""
    asked: list[str] = field(default_factory=list)
    url: str = ""
    server: ThreadingHTTPServer | None = None

    def faulty(self, kind: str, path: str) -> bool:
        """Whether this fault is switched on for the path; a fault `once:…` vanishes when it has struck."""
        for wanted in (kind, f"once:{kind}"):
            if wanted in self.faults and self.faults[wanted] in path:
                if wanted.startswith("once:"):
                    del self.faults[wanted]
                return True
        return False

    def fitting(self, parts: list[str]) -> list[tuple[Dataset, bytes]]:
        """The images below a path such as studies/1/series/2."""
        uids = parts[1::2]
        return [
            (one, content)
            for one, content in self.images
            if all(str(one.get(key)) == uid for key, uid in zip(KEYS, uids, strict=False))
        ]


def fits(image: Dataset, query: dict[str, list[str]]) -> bool:
    for key, (value, *_) in query.items():
        if key in ("offset", "limit", "includefield", "ModalitiesInStudy"):
            continue
        own = str(image.get(key, ""))
        if key == "StudyDate":
            first, _, last = value.partition("-")
            if not (first or "0") <= own <= (last or "9"):
                return False
        elif not fnmatchcase(own, value):
            return False
    return True


class Handler(BaseHTTPRequestHandler):
    pacs: Pacs
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Stay quiet."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/dw/").split("/")
        self.pacs.asked.append(parts.path)
        if self.pacs.secret and self.headers.get("Authorization") != self.pacs.secret:
            return self.answer(401)
        for status in (403, 404, 500, 503):
            if self.pacs.faulty(str(status), parts.path):
                return self.answer(status)
        if self.pacs.faulty("html", parts.path):
            return self.answer(200, b"<html>Please log in</html>", "text/html")
        if path[-1] in ("studies", "series", "instances"):
            return self.search(path, parse_qs(parts.query))
        if "*" in self.headers["Accept"] and self.pacs.faulty("406", parts.path):
            return self.answer(406)
        return self.retrieve(path, parts.path)

    def search(self, path: list[str], query: dict[str, list[str]]) -> None:
        level = len(path) // 2
        found: dict[str, Dataset] = {}
        for image, _ in self.pacs.fitting(path):
            if self.pacs.faulty("deaf", self.path) or fits(image, query):
                found.setdefault(str(image.get(KEYS[level])), image)
        offset = 0 if self.pacs.faulty("stuck", self.path) else int(query.get("offset", ["0"])[0])
        results = [
            {tag: one for name in SHOWN[level] if name in image for tag, one in picked(image, name).items()}
            for image in list(found.values())[offset : offset + PAGE]
        ]
        self.answer(200, json.dumps(results).encode(), "application/dicom+json")

    def retrieve(self, path: list[str], whole: str) -> None:
        contents = [content for _, content in self.pacs.fitting(path)]
        if not contents:
            return self.answer(404)
        if self.pacs.faulty("foreign", whole):
            contents = [self.pacs.images[0][1]]
        if self.pacs.faulty("short", whole):
            contents[0] = contents[0][:-100]
        head = f"\r\n--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = b"".join(head + content for content in contents) + f"\r\n--{BOUNDARY}--".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
        if self.pacs.faulty("page", whole):
            return self.answer(200, b"<html>Please log in</html>", "text/html")
        if self.pacs.faulty("single", whole):
            return self.answer(200, contents[0], "application/dicom")
        if self.pacs.faulty("cut", whole):
            return self.answer(200, body, kind, send=len(body) // 2)
        if self.pacs.faulty("fade", whole):
            return self.answer(200, body, kind, send=len(body) // 2, sized=False)
        return self.answer(200, body, kind)

    def answer(
        self, status: int, body: bytes = b"", kind: str = "text/plain", send: int | None = None, sized: bool = True
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if sized:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:send])
        self.close_connection = send is not None or not sized or self.close_connection


def picked(image: Dataset, name: str) -> dict[str, object]:
    part = Dataset()
    part[name] = image[name]
    return part.to_json_dict()


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    made = Pacs()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"pacs": made}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    made.server = server
    made.url = f"http://127.0.0.1:{server.server_port}/dw"
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def fill(pacs: Pacs, tmp_path: Path, series: Writer) -> Callable[..., None]:
    """Put a study with T1w and FLAIR of one patient into the server."""

    def put(study: str, patient: str = "P1", skip: int = 0, **tags: object) -> None:
        for number, kind in ((3, "T1w"), (4, "FLAIR")):
            folder = tmp_path / "pacs" / study / kind
            given = {"StudyInstanceUID": study, "PatientID": patient, **tags}
            series(folder, kind, number=number, skip=tuple(range(skip)), **given)
            pacs.images += [(pydicom.dcmread(file), file.read_bytes()) for file in sorted(folder.iterdir())]

    return put
