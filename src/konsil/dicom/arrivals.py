"""Where images that come over the network are kept: `<inbox>/received/<study>/<instance>.dcm`.

Both names are the first 128 bits of SHA-256 of the UID, in hexadecimal: UIDs may hold anything, file names may not, and
the same image always comes to lie in the same place, whichever way it came. A file is whole or absent, and it is on the
disk, not only in its cache, before `keep` returns: whoever sent it may forget it then. An image that comes again with
other bytes takes the place of the former, since a hospital that sends twice has usually corrected something.

A study that has not come whole must not be taken for a small one. While it is sent, `.arriving` in its folder is as
young as its last image, since nothing in DICOM says which image is the last; while it is fetched, and after that
failed, `.incomplete` lies there. `unsettled` tells the inbox.

The folder is locked (flock, shared) while somebody writes into it. Who opens it alone removes what a killed writer
left behind.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pydicom.errors import InvalidDicomError

from konsil.dicom.reading import BROKEN, parse
from konsil.errors import BadInput
from konsil.files import replacing

log = logging.getLogger(__name__)
FOLDER = "received"
ARRIVING, INCOMPLETE = ".arriving", ".incomplete"
SETTLED_S = 60.0
"""How long after its last image a study counts as sent; the figure that other receivers use."""
STILL_ARRIVING = "A study is still arriving, or came within the last minute. Run this again a little later."
NOT_WHOLE = "A study was not fetched whole. Run konsil fetch again, or remove its folder from the inbox."
NAME_DIGITS = 32
MODE = 0o640
"""Readable for the group, so that Airflow may run as another user than the receiver."""


@dataclass(frozen=True)
class Identity:
    """UIDs that say what an image is: its class, its study and itself."""

    sop_class: str
    study: str
    instance: str


class Arrivals:
    """The received images of one inbox; a context manager that holds the lock.

    >>> with Arrivals(Path("inbox")) as arrivals:  # doctest: +SKIP
    ...     arrivals.keep(content, identity_of(content))
    True
    """

    def __init__(self, inbox: Path) -> None:
        self.folder = inbox / FOLDER
        self._lock = -1

    def __enter__(self) -> Arrivals:
        self.folder.mkdir(parents=True, exist_ok=True)
        sync(self.folder.parent)
        self._lock = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.clean()
        except OSError:  # somebody is writing, or the file system has no locks; scan passes over what was left
            log.debug("unfinished files stay: the folder is in use")
        with suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_SH)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._lock)

    def clean(self) -> None:
        """Remove files that were never finished."""
        for left in self.folder.glob("*/.part-*"):
            left.unlink(missing_ok=True)

    def path(self, study: str, instance: str) -> Path:
        """Where an image lies, or would lie."""
        return self.folder / digest(study) / f"{digest(instance)}.dcm"

    def arriving(self, study: str) -> None:
        """Say that images of a study are being sent just now."""
        folder = self.folder / digest(study)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ARRIVING).touch()

    def begin(self, study: str) -> None:
        """Say that a study is being fetched and is not whole yet; on the disk afterwards."""
        folder = self.folder / digest(study)
        if not (folder / INCOMPLETE).exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / INCOMPLETE).touch()
            sync(folder)

    def complete(self, study: str) -> None:
        """Say that a study is whole."""
        (self.folder / digest(study) / INCOMPLETE).unlink(missing_ok=True)

    def keep(self, content: bytes, identity: Identity) -> bool:
        """Write a whole DICOM file (PS3.10); returns whether it is new or other than before. On the disk afterwards.

        Raises `OSError` if the disk does not take it; then there is nothing of it.
        """
        path = self.path(identity.study, identity.instance)
        fresh = not (path.is_file() and path.read_bytes() == content)
        if fresh:
            with replacing(path, mode=MODE) as part, part.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        sync(path.parent)
        sync(self.folder)
        return fresh


def unsettled(folder: Path) -> str:
    """Why the images of a folder cannot be used yet; empty if they can."""
    if (folder / INCOMPLETE).exists():
        return NOT_WHOLE
    try:
        age_s = time.time() - (folder / ARRIVING).stat().st_mtime
    except FileNotFoundError:
        return ""
    return STILL_ARRIVING if 0 <= age_s < SETTLED_S else ""


def identity_of(content: bytes) -> Identity:
    """What a DICOM file is. Raises `BadInput` if it cannot be read or does not say."""
    try:
        header = parse(io.BytesIO(content), ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"])
    except (InvalidDicomError, *BROKEN) as error:
        raise BadInput("an image cannot be read", expected="a whole DICOM file", got=type(error).__name__) from error
    found = Identity(*(str(header.get(tag) or "") for tag in ("SOPClassUID", "StudyInstanceUID", "SOPInstanceUID")))
    if not (found.study and found.instance):
        raise BadInput("an image does not say which study it belongs to or which image it is", expected="both UIDs")
    return found


def digest(uid: str) -> str:
    """The file name of a UID."""
    return hashlib.sha256(uid.encode()).hexdigest()[:NAME_DIGITS]


def sync(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
