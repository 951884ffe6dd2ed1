"""Fetching studies from a DICOMweb server into the inbox.

Of each study the MR series and the segmentations are fetched, to where the receiver keeps its images too (`arrivals`).
What is there already is not asked for again, so a fetch that was cut or killed continues. A series comes as one stream;
what that leaves out is asked for image by image. Each image is checked before it is kept: whole, of the study that was
asked for, and one of those that the server listed.

A study that cannot be fetched gets a sentence and the others go on, unless nothing can be: the server does not know us,
or it has not answered three times in a row.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.errors import InvalidDicomError

from konsil.dicom.arrivals import Arrivals, identity_of
from konsil.dicom.dicomweb import MODALITY, SERIES, Denied, Server, text
from konsil.dicom.headers import header_of
from konsil.dicom.reading import BROKEN
from konsil.dicom.wishes import NOT_TRIED, PATIENCE, Wish
from konsil.errors import BadInput, KonsilError, Missing, Unavailable
from konsil.types import Outcome

log = logging.getLogger(__name__)
MODALITIES = ("MR", "SEG")


@dataclass
class Progress:
    """Images of one study: fetched now, and there before."""

    new: int = 0
    there: int = 0


def fetch(server: Server, wishes: Iterable[Wish], arrivals: Arrivals) -> Outcome:
    """Fetch studies; `done` and `set_aside` name them as their wishes do.

    Raises `Denied` if the server does not let us in, `OSError` if the disk takes no more; what was fetched stays.
    """
    wanted = list(wishes)
    done: list[str] = []
    refused: dict[str, str] = {}
    silent = 0
    for number, wish in enumerate(wanted, start=1):
        if silent >= PATIENCE:
            refused[wish.name] = NOT_TRIED
            continue
        progress = Progress()
        try:
            fetch_study(server, wish.study, arrivals, progress)
            done.append(wish.name)
            silent = 0
        except Denied:
            raise
        except KonsilError as error:
            refused[wish.name] = error.sentence
            silent = silent + 1 if isinstance(error, Unavailable) else 0
        told = f"{progress.new} images fetched, {progress.there} were there"
        log.info("fetch %s (%d of %d): %s. %s", wish.name, number, len(wanted), told, refused.get(wish.name, ""))
    return Outcome(tuple(done), refused)


def fetch_study(server: Server, study: str, arrivals: Arrivals, progress: Progress) -> None:
    """Fetch the MR series and segmentations of one study; the first that fails is raised after the others are tried."""
    found = [one for one in server.series(study) if text(one, MODALITY) in MODALITIES]
    if not found:
        raise Missing("the DICOMweb server has no MR series of this study")
    failed: KonsilError | None = None
    for one in found:
        try:
            fetch_series(server, study, text(one, SERIES), arrivals, progress)
        except Denied:
            raise
        except KonsilError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    arrivals.complete(study)


def fetch_series(server: Server, study: str, series: str, arrivals: Arrivals, progress: Progress) -> None:
    """Fetch what is missing of one series: as a stream if all is, then image by image."""
    listed = server.instances(study, series)
    if not listed:
        raise Missing("the DICOMweb server lists no image of a series")
    missing = [uid for uid in listed if not arrivals.path(study, uid).is_file()]
    progress.there += len(listed) - len(missing)
    trouble: KonsilError | None = None
    if missing == listed:
        trouble = take(server.images(study, series), study, missing, arrivals, progress)
    failures = 0
    for uid in list(missing):
        if failures == PATIENCE:
            break
        alone = take(one_image(server, study, series, uid), study, missing, arrivals, progress)
        trouble, failures = (alone, failures + 1) if alone else (trouble, 0)
    if missing:
        raise incomplete(len(missing), len(listed), trouble)


def one_image(server: Server, study: str, series: str, uid: str) -> Iterable[bytes]:
    """One image as a stream of one, asked for when it is read."""
    yield server.image(study, series, uid)


def take(
    images: Iterable[bytes], study: str, missing: list[str], arrivals: Arrivals, progress: Progress
) -> KonsilError | None:
    """Keep images as they come and strike them off `missing`; returns what went wrong. Raises `Denied`."""
    try:
        for content in images:
            uid = keep(content, study, missing, arrivals)
            missing.remove(uid)
            progress.new += 1
    except Denied:
        raise
    except KonsilError as error:
        return error
    return None


def keep(content: bytes, study: str, missing: Iterable[str], arrivals: Arrivals) -> str:
    """Check one image and keep it; returns its UID. A full disk is no fault of the study: `OSError` goes through."""
    identity = identity_of(content)
    if identity.study != study or identity.instance not in missing:
        raise BadInput("the DICOMweb server sent an image that was not asked for")
    try:
        _, fault = header_of(io.BytesIO(content))
    except (InvalidDicomError, *BROKEN) as error:
        raise BadInput("the DICOMweb server sent a broken image", got=type(error).__name__) from error
    if fault:
        raise BadInput(f"the DICOMweb server sent an image that is cut short: {fault}")
    arrivals.begin(study)
    arrivals.keep(content, identity)
    return identity.instance


def incomplete(missing: int, listed: int, trouble: KonsilError | None) -> KonsilError:
    """The error for a series of which some images did not come; its kind is that of the cause."""
    kind = type(trouble) if isinstance(trouble, Unavailable) else BadInput
    reason = f" ({trouble.sentence.rstrip('.')})" if trouble else ""
    return kind(
        f"{missing} of {listed} images of a series did not come{reason}", hint="Run the same command again later"
    )
