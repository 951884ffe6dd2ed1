"""What all tests share: where the public images lie, and one patient made once per session."""

from __future__ import annotations

import base64
import gzip
import html
import json
import os
import re
import sqlite3
import zipfile
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from konsil.phantom.patient import Patient

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two small cores: more threads only get in each other's way

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
def planted_in() -> Callable[[Iterable[Path], Iterable[str]], dict[str, list[str]]]:
    """`planted_in(files, words)` → file name → the words found in it, however they are written or packed."""
    return search


def search(files: Iterable[Path], words: Iterable[str]) -> dict[str, list[str]]:
    """Look for every word in every byte of the files, in capitals or not."""
    forms = {word: spellings(word) for word in words}
    found = {}
    for path in files:
        content = unpacked(path).lower()
        hits = sorted(word for word, written in forms.items() if any(form in content for form in written))
        if hits:
            found[path.name] = hits
    return found


def spellings(word: str) -> set[bytes]:
    """The bytes that a word can be, in lower case; a day (YYYYMMDD) also with hyphens, points and slashes."""
    texts = {word, json.dumps(word)[1:-1], html.escape(word), quote(word)}
    if re.fullmatch(r"(19|20)\d{6}", word):
        year, month, day = word[:4], word[4:6], word[6:]
        texts |= {f"{year}-{month}-{day}", f"{year}/{month}/{day}", f"{day}.{month}.{year}", f"{day}/{month}/{year}"}
    coded = {text.lower().encode(alphabet) for text in texts for alphabet in ("utf-8", "utf-16-le", "utf-16-be")}
    return coded | {text.encode("latin-1", "ignore").lower() for text in texts if text.isascii() or len(text) > 3}


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
