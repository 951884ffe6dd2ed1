"""What all tests share: where the public images lie, and one patient made once per session."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import os
import re
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from konsil.phantom.patient import Patient

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two small cores: more threads only get in each other's way

CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
QUIET = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync",
         "--disable-component-update", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # fmt: skip
"""The last two draw WebGL without a graphics card, for the view in three planes."""
READABLE = re.compile(rb"[\x20-\x7e]{5,}")
"""Text among bytes: five letters and more."""
BESIDE_THE_CHECKOUT = Path(__file__).parents[2] / "shared" / "data"


def public_data() -> Path:
    """Folder of the public test images: KONSIL_TEST_DATA, or `shared/data` beside the checkout."""
    return Path(os.environ.get("KONSIL_TEST_DATA", BESIDE_THE_CHECKOUT))


@pytest.fixture(scope="session")
def data() -> Path:
    """The public images; the test is skipped by name where they are absent."""
    folder = public_data()
    if not folder.is_dir():
        pytest.skip(f"the public test images are not at {folder}; set KONSIL_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def phantom() -> Patient:
    """One synthetic patient of site A at 3 mm with every answer known (about two CPU-seconds, once)."""
    from konsil.phantom.patient import make_patient

    return make_patient(7, "A", resolution_mm=3.0)


@pytest.fixture(scope="session")
def known_pseudonyms() -> Callable[[Path, str], None]:
    """`known_pseudonyms(home, word)` gives a site a secret made of a word instead of a drawn one.

    Its shifted dates are then the same every time. A date that was moved back by up to ten years is now and then the
    true date of somebody else, which no search for planted dates can tell from a leak.
    """
    from konsil.files import write_once

    def keep(home: Path, word: str) -> None:
        (home / "keys").mkdir(parents=True, exist_ok=True, mode=0o700)
        write_once(home / "keys" / "pseudonym.key", hashlib.sha256(word.encode()).digest(), mode=0o600)

    return keep


@pytest.fixture(scope="session")
def planted_in() -> Callable[[Iterable[Path], Iterable[str]], dict[str, list[str]]]:
    """`planted_in(files, words)` → file name → the words found in it, however they are written or packed."""
    return search


def search(files: Iterable[Path], words: Iterable[str]) -> dict[str, list[str]]:
    """Look for every word in every byte of the files, in capitals or not."""
    forms = {word: spellings(word) for word in words}
    found = {}
    for path in files:
        content = unpacked(path).lower()
        text = b"\n".join(READABLE.findall(content) + READABLE.findall(content.replace(b"\0", b"")))
        hits = sorted(word for word, written in forms.items() if is_in(text if word.isascii() else content, written))
        if hits:
            found[path.name] = hits
    return found


def spellings(word: str) -> set[bytes]:
    """What a word looks like in bytes, in lower case; a day (YYYYMMDD) also with hyphens, points and slashes."""
    texts = {word, json.dumps(word)[1:-1], html.escape(word), quote(word)}
    if re.fullmatch(r"(19|20)\d{6}", word):
        year, month, day = word[:4], word[4:6], word[6:]
        texts |= {f"{year}-{month}-{day}", f"{year}/{month}/{day}", f"{day}.{month}.{year}", f"{day}/{month}/{year}"}
    alphabets = ("utf-8",) if word.isascii() else ("utf-8", "utf-16-le", "utf-16-be", "latin-1")
    return {text.lower().encode(alphabet, "ignore") for text in texts for alphabet in alphabets}


def is_in(text: bytes, forms: set[bytes]) -> bool:
    """One of the forms is in the text; a number as a whole one, since measured values hold any digits by chance.

    A day is also found with a time behind it (YYYYMMDDHHMMSS).
    """
    there = [form for form in forms if form in text]
    whole = rb"(?<![\d.])%s(?=\d{6}(?!\d)|(?!\d))"
    return any(not form.isdigit() or re.search(whole % form, text) for form in there)


def unpacked(path: Path) -> bytes:
    """A file's bytes, and what is packed in it: gzip, zip, pictures in pages, the rows of a database."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content += gzip.decompress(content)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            content += b"".join(name.encode() + archive.read(name) for name in archive.namelist())
    if content.startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            content += "\n".join(database.iterdump()).encode(errors="replace")
    for packed in re.findall(rb"base64,([A-Za-z0-9+/=]{16,})", content):
        content += base64.b64decode(packed)
    return content


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A real browser of the machine; nothing is downloaded, and it keeps its settings in a folder of the test."""
    from playwright.sync_api import sync_playwright

    binary = next((path for path in CHROMIUM if Path(path).exists()), None)
    if binary is None:
        pytest.fail("no Chromium on this machine; scripts/need_chromium.sh installs one")
    own: dict[str, str | float | bool] = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path_factory.mktemp("browser"))}
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=binary, args=QUIET, env=own)
        yield found
        found.close()


@pytest.fixture(scope="session")
def bids_errors(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], list[tuple[str, str]]]:
    """`bids_errors(folder)` → code and place of every error that the BIDS validator finds in one data set, offline."""
    validator = Path(sys.executable).with_name("bids-validator-deno")
    if not validator.exists():
        pytest.skip("the BIDS validator is not installed: pip install bids-validator-deno")
    out = tmp_path_factory.mktemp("bids") / "found.json"

    def errors(folder: Path) -> list[tuple[str, str]]:
        command = [str(validator), str(folder), "--format", "json", "--outfile", str(out)]
        subprocess.run(command, check=False, capture_output=True, timeout=300)
        issues = json.loads(out.read_text())["issues"]["issues"]
        out.unlink()
        return [(issue["code"], issue.get("location", "")) for issue in issues if issue["severity"] == "error"]

    return errors
