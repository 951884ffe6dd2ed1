"""What fetch promises, against a small DICOMweb server that speaks QIDO-RS and WADO-RS and can misbehave."""

from __future__ import annotations

import base64
import json
import logging
import os
import resource
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.cohort.folder import SiteFolder
from konsil.dicom.arrivals import Arrivals
from konsil.dicom.dicomweb import Access, Denied, Server
from konsil.dicom.fetch import fetch
from konsil.dicom.headers import read_inbox
from konsil.dicom.scan import scan
from konsil.dicom.wishes import NOT_TRIED, Search, Wish, entries, studies_of_patients
from konsil.errors import BadInput, BadSetting, KonsilError, Missing
from konsil.types import Outcome

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


def connect(pacs: Pacs, **access: object) -> Server:
    return Server(Access(pacs.url, timeout_s=5, pause_s=0, **access))


def get(pacs: Pacs, inbox: Path, *studies: str) -> Outcome:
    wishes = [Wish(f"line {number}", study) for number, study in enumerate(studies, start=1)]
    with Arrivals(inbox) as arrivals:
        return fetch(connect(pacs), wishes, arrivals)


def kept(inbox: Path) -> list[Path]:
    assert not list(inbox.rglob(".part-*"))
    return sorted(inbox.rglob("*.dcm"))


def test_a_study_comes_whole_and_unchanged_and_makes_a_case(pacs: Pacs, fill: Writer, tmp_path: Path) -> None:
    fill("1.2.3")
    assert get(pacs, tmp_path / "inbox", "1.2.3").exit_code == 0
    originals = {image.SOPInstanceUID: image for image, _ in pacs.images}
    copies = [pydicom.dcmread(file) for file in kept(tmp_path / "inbox")]
    assert len(copies) == 36
    assert all(copy == originals[copy.SOPInstanceUID] for copy in copies)
    assert scan(SiteFolder(tmp_path / "home"), "ms", tmp_path / "inbox").exit_code == 0


def test_what_is_there_is_not_fetched_again(pacs: Pacs, fill: Writer, tmp_path: Path) -> None:
    fill("1.2.3")
    get(pacs, tmp_path, "1.2.3")
    pacs.asked.clear()
    assert get(pacs, tmp_path, "1.2.3").exit_code == 0
    assert {path.rpartition("/")[2] for path in pacs.asked} == {"series", "instances"}


def test_other_modalities_are_left_out(pacs: Pacs, fill: Writer, tmp_path: Path) -> None:
    fill("1.2.3", Modality="CT")
    outcome = get(pacs, tmp_path, "1.2.3")
    assert "has no MR series of this study" in outcome.set_aside["line 1"]


@pytest.mark.parametrize("fault", ["cut", "fade"])
def test_a_stream_that_breaks_off_is_completed_image_by_image(
    pacs: Pacs, fill: Writer, tmp_path: Path, fault: str
) -> None:
    fill("1.2.3")
    pacs.faults[f"once:{fault}"] = "/series/"
    assert get(pacs, tmp_path, "1.2.3").exit_code == 0
    assert len(kept(tmp_path)) == 36
    alone = [path for path in pacs.asked if "/instances/" in path]
    assert 5 < len(alone) < 15, "what came before the cut is not asked for again"


def test_a_server_that_always_breaks_off_fails_this_study_and_a_later_run_continues(
    pacs: Pacs, fill: Writer, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    fill("1.2.3", patient="P1")
    fill("1.2.4", patient="P2")
    pacs.faults["cut"] = "/studies/1.2.3/series/"
    outcome = get(pacs, inbox, "1.2.3", "1.2.4")
    assert outcome.done == ("line 2",)
    assert "of 18 images of a series did not come" in outcome.set_aside["line 1"]
    assert 36 < len(kept(inbox)) < 72
    assert len(read_inbox(inbox).instances) == 36, "a study that is not whole is not used"
    assert [sentence[:28] for sentence in read_inbox(inbox).unreadable] == ["A study was not fetched whol"]
    pacs.faults.clear()
    assert get(pacs, inbox, "1.2.3", "1.2.4").exit_code == 0
    assert len(kept(inbox)) == len(read_inbox(inbox).instances) == 72


@pytest.mark.parametrize(
    ("fault", "where", "sentence"),
    [
        ("404", "/studies/1.2.3/", "does not have it"),
        ("403", "/studies/1.2.3/", "does not allow it"),
        ("500", "/studies/1.2.3/", "failed over it"),
        ("503", "/studies/1.2.3/", "is busy"),
        ("html", "/studies/1.2.3/series", "is not what DICOM says"),
        ("page", "/studies/1.2.3/series/", "did not come"),
        ("foreign", "/studies/1.2.3/series/", "not asked for"),
        ("short", "/studies/1.2.3/series/", "cut short"),
    ],
)
def test_a_failing_study_is_a_sentence_and_the_others_go_on(
    pacs: Pacs, fill: Writer, tmp_path: Path, fault: str, where: str, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fill("1.2.9", patient="P9", skip=15)
    fill("1.2.3", skip=15)
    pacs.faults[fault] = where
    outcome = get(pacs, tmp_path, "1.2.3", "1.2.9")
    assert outcome.exit_code == 2
    assert outcome.done == ("line 2",)
    assert sentence in outcome.set_aside["line 1"]
    assert "1.2.3" not in outcome.set_aside["line 1"] + caplog.text
    assert {study_of(file) for file in kept(tmp_path)} == {"1.2.9"}


def study_of(file: Path) -> str:
    return str(pydicom.dcmread(file).StudyInstanceUID)


def test_a_busy_server_is_asked_again(pacs: Pacs, fill: Writer, tmp_path: Path) -> None:
    fill("1.2.3", skip=16)
    pacs.faults["once:503"] = "/series"
    assert get(pacs, tmp_path, "1.2.3").exit_code == 0


def test_a_server_without_the_wildcard_is_asked_without_it(pacs: Pacs, fill: Writer, tmp_path: Path) -> None:
    fill("1.2.3", skip=16)
    pacs.faults["406"] = "/"
    assert get(pacs, tmp_path, "1.2.3").exit_code == 0


def test_an_image_without_its_envelope_is_taken(pacs: Pacs, fill: Writer, tmp_path: Path) -> None:
    fill("1.2.3", skip=16)
    pacs.faults["single"] = "/series/"
    assert get(pacs, tmp_path, "1.2.3").exit_code == 0
    assert len(kept(tmp_path)) == 4


def test_a_server_that_ignores_the_offset_does_not_keep_us_for_ever(pacs: Pacs, fill: Writer) -> None:
    for number in range(3):
        fill(f"1.2.{number}", skip=17)
    pacs.faults["stuck"] = "/"
    assert len(connect(pacs).studies({})) == 3


def test_a_server_that_is_gone_ends_it_and_the_rest_is_not_tried(pacs: Pacs, tmp_path: Path) -> None:
    pacs.url = "http://127.0.0.1:9/dw"
    outcome = get(pacs, tmp_path, *(f"1.{number}" for number in range(5)))
    assert outcome.exit_code == 1
    assert "does not answer" in outcome.set_aside["line 3"]
    assert outcome.set_aside["line 4"] == NOT_TRIED


def test_a_server_that_is_gone_is_not_asked_about_every_patient(pacs: Pacs, tmp_path: Path) -> None:
    pacs.url = "http://127.0.0.1:9/dw"
    listed = write(tmp_path / "list", *(f"KX-{number}" for number in range(5)))
    wishes = studies_of_patients(connect(pacs), listed, Search())
    assert "does not answer" in wishes.refused["line 3"]
    assert wishes.refused["line 5"] == NOT_TRIED


def test_wrong_credentials_end_it_at_once(pacs: Pacs, fill: Writer, tmp_path: Path) -> None:
    fill("1.2.3", skip=17)
    pacs.secret = "Bearer right"
    with Arrivals(tmp_path) as arrivals, pytest.raises(Denied, match="credentials") as caught:
        fetch(connect(pacs, token="wr0ng-t0ken"), [Wish("line 1", "1.2.3"), Wish("line 2", "1.2.4")], arrivals)
    assert "wr0ng" not in str(caught.value)
    assert len(pacs.asked) == 1


@pytest.mark.parametrize(
    ("secret", "access"),
    [
        ("Bearer right", {"token": "right"}),
        ("Basic " + base64.b64encode("jörg:pass:wörd".encode()).decode(), {"user": "jörg", "password": "pass:wörd"}),
    ],
)
def test_the_right_credentials_open_the_server(
    pacs: Pacs, fill: Writer, secret: str, access: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also where a .netrc would say otherwise."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fill("1.2.3", skip=17)
    pacs.secret = secret
    assert len(connect(pacs, **access).studies({})) == 1


@pytest.mark.parametrize(
    "url", ["", "pacs", "ftp://pacs/x", "https://", "https://user:pa55@pacs/dw", "https://a/b?c=d"]
)
def test_an_unusable_address_is_a_sentence(url: str) -> None:
    with pytest.raises(BadSetting) as caught:
        Server(Access(url))
    assert "pa55" not in str(caught.value)


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pacs: Pacs, caplog: pytest.LogCaptureFixture) -> Callable:
    """Run the verb; gives exit code and everything that was said, log included."""
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KONSIL_DICOMWEB_URL", pacs.url)
    caplog.set_level(logging.DEBUG)

    def run(*words: object) -> tuple[int, str]:
        result = CliRunner().invoke(assemble(), ["fetch", *map(str, words)])
        if isinstance(result.exception, KonsilError):
            return 1, result.exception.sentence + caplog.text
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output + caplog.text

    return run


DYING = """
import os, signal, sys
calls, last, sync = 0, int(sys.argv.pop(1)), os.fsync
def fsync(handle):
    global calls
    calls += 1
    if calls == last:
        os.kill(os.getpid(), signal.SIGKILL)
    sync(handle)
os.fsync = fsync
from konsil.cli.app import main
main()
"""


def test_killed_and_on_a_full_disk_it_continues_where_it_was(pacs: Pacs, fill: Writer, tmp_path: Path) -> None:
    def run(*words: str, quota: int | None = None) -> subprocess.CompletedProcess[str]:
        def limit() -> None:
            if quota is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (quota, quota))

        return subprocess.run(
            [sys.executable, *words, "fetch", "--from", "2000-01-01"], capture_output=True, text=True, check=False,
            env=os.environ | {"KONSIL_HOME": str(tmp_path / "home"), "KONSIL_DICOMWEB_URL": pacs.url}, preexec_fn=limit,
        )  # fmt: skip

    fill("1.2.3", skip=14)
    inbox = tmp_path / "home" / "inbox"
    assert run("-c", DYING, str(2 + 3 * 5 + 1)).returncode == -signal.SIGKILL
    assert len(list(inbox.rglob(".part-*"))) == 1
    full = run("-m", "konsil.cli", quota=512)
    assert (full.returncode, "the disk is full" in full.stderr, "Traceback" in full.stderr) == (1, True, False)
    assert len(kept(inbox)) == 5
    assert run("-m", "konsil.cli").returncode == 0
    assert len(kept(inbox)) == 8


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody else has signed, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "PACS")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 7, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    content = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (tmp_path / "pacs.pem").write_bytes(content + made.public_bytes(serialization.Encoding.PEM))
    return tmp_path / "pacs.pem"


def test_a_certificate_is_checked_against_the_authority_that_was_given(
    pacs: Pacs, fill: Writer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("1.2.3", skip=17)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    pacs.server.socket = context.wrap_socket(pacs.server.socket, server_side=True)
    pacs.url = pacs.url.replace("http:", "https:")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))  # only the settings count
    with pytest.raises(Denied, match="certificate is not trusted"):
        connect(pacs).studies({})
    assert len(connect(pacs, ca_file=certificate).studies({})) == 1
    with pytest.raises(Missing):
        connect(pacs, ca_file=certificate.with_name("gone"))


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    return path


def test_a_list_of_studies(pacs: Pacs, fill: Writer, say: Callable, tmp_path: Path) -> None:
    fill("1.2.3", skip=16)
    listed = write(tmp_path / "list", "# study", "", '"1.2.3"', "Plantagenet/../x", "1.2.99")
    code, said = say("--studies", listed, "--result", tmp_path / "result.json")
    assert code == 2
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["done"] == ["line 3"]
    assert set(result["set_aside"]) == {"line 4", "line 5"}
    assert len(kept(tmp_path / "home" / "inbox")) == 4
    assert [word for word in ("Plantagenet", "1.2.3", "1.2.99") if word in said] == []


def test_a_list_of_patients(pacs: Pacs, fill: Writer, say: Callable, tmp_path: Path) -> None:
    fill("1.2.3", patient="KX-1", skip=16, StudyDate="20210101")
    fill("1.2.4", patient="KX-1", skip=16, StudyDate="20220101")
    fill("1.2.5", patient="KX-2", skip=16)
    fill("1.2.6", patient="KX-10", skip=16)
    listed = write(tmp_path / "list", "KX-1", "KX-9", "KX*", "KX-2")
    code, said = say("--patients", listed, "--result", tmp_path / "result.json")
    assert code == 2
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["done"] == ["line 1, study 1", "line 1, study 2", "line 4"]
    assert "no such MR study" in result["set_aside"]["line 2"]
    assert "no patient's number" in result["set_aside"]["line 3"]
    assert {study_of(file) for file in kept(tmp_path / "home")} == {"1.2.3", "1.2.4", "1.2.5"}
    assert "KX" not in said


def test_a_server_that_ignores_filters_gives_no_strangers_studies(
    pacs: Pacs, fill: Writer, say: Callable, tmp_path: Path
) -> None:
    fill("1.2.3", patient="KX-1", skip=16)
    fill("1.2.4", patient="KX-2", skip=16)
    pacs.faults["deaf"] = "/studies?"
    assert say("--patients", write(tmp_path / "list", "KX-1"))[0] == 0
    assert {study_of(file) for file in kept(tmp_path / "home")} == {"1.2.3"}


@pytest.mark.parametrize("deaf", [False, True])
def test_a_search_by_days_and_description(pacs: Pacs, fill: Writer, say: Callable, tmp_path: Path, deaf: bool) -> None:
    fill("1.2.1", skip=16, StudyDate="20201231", StudyDescription="MS Verlauf")
    fill("1.2.2", skip=16, StudyDate="20210101", StudyDescription="MS Verlauf")
    fill("1.2.3", skip=16, StudyDate="20210131", StudyDescription="Knie")
    fill("1.2.4", skip=16, StudyDate="20210201", StudyDescription="MS Verlauf")
    if deaf:
        pacs.faults["deaf"] = "/studies?"
    code, said = say("--from", "2021-01-01", "--to", "2021-01-31", "--description", "MS", "--result", tmp_path / "r")
    assert code == 0
    assert json.loads((tmp_path / "r").read_text())["done"] == ["study 1"]
    assert {study_of(file) for file in kept(tmp_path / "home")} == {"1.2.2"}
    assert "1.2.2" not in said


def test_a_search_that_finds_nothing_is_a_sentence(say: Callable) -> None:
    code, said = say("--from", "2021-01-01")
    assert (code, "the search found no MR study" in said) == (1, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "not said what to fetch"),
        (("--studies", "a", "--patients", "b"), "complete by itself"),
        (("--studies", "nowhere.txt"), "the list is not there"),
        (("--url", "gopher://x", "--from", "2021-01-01"), "address of the DICOMweb server"),
    ],
)
def test_a_wrong_command_is_a_sentence(say: Callable, words: tuple[str, ...], sentence: str) -> None:
    code, said = say(*words)
    assert (code, sentence in said) == (1, True), said


def test_secrets_come_from_files_and_are_never_said(
    pacs: Pacs, fill: Writer, say: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("1.2.3", skip=16)
    pacs.secret = "Bearer s3cret"
    (tmp_path / "token").write_text("s3cret\n")
    monkeypatch.setenv("KONSIL_DICOMWEB_TOKEN_FILE", str(tmp_path / "token"))
    code, said = say("--from", "2000-01-01")
    assert (code, "s3cret" in said) == (0, False)
    (tmp_path / "token").write_text("0ther\n")
    code, said = say("--from", "2000-01-01")
    assert (code, "credentials" in said, "0ther" in said) == (1, True, False)
    monkeypatch.setenv("KONSIL_DICOMWEB_TOKEN", "0ther")
    assert "given twice" in say("--from", "2000-01-01")[1]


def test_lists_that_are_none_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"M\xfcller\n")
    write(tmp_path / "empty", "", "# nothing")
    for name in ("latin", "empty", "."):
        with pytest.raises(BadInput):
            list(entries(tmp_path / name))
    with pytest.raises(Missing):
        list(entries(tmp_path / "gone"))


def test_wildcards_of_a_description_are_checked_as_the_server_does() -> None:
    study = {"00081030": {"vr": "LO", "Value": ["Kopf MS-Verlauf (3T)"]}}
    for text, fits_it in (("ms", True), ("MS?Verl", True), ("kopf*3t", True), ("(3T)", True), ("MS.V", False)):
        assert Search(description=text).fits(study) is fits_it
