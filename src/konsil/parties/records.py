"""Signed records of a site about itself: written with its key, believed only if one of its keys has signed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from konsil.cohort.folder import SiteFolder
from konsil.errors import Missing
from konsil.federation.approval import CohortMark, LearnerMark, Record
from konsil.files import read_json, sha256_of, write_bytes
from konsil.learners.origin import code_of, versions_of
from konsil.trust.identity import Identity
from konsil.trust.signed import digest, opened, sign
from konsil.types import Json


class Signed(NamedTuple):
    """The content of a record, and the digest by which others name it."""

    content: Json
    digest: str


def keep(home: Path, path: Path, subject: str, record: Record) -> str:
    """Sign a record with the key of this home and write it; gives its digest."""
    document = sign(subject, record.model_dump(mode="json"), Identity.load(home))
    write_bytes(path, document)
    return digest(subject, document)


def read(home: Path, path: Path, subject: str) -> Signed:
    """A record that this site signed. Missing where there is none, BadMessage where it is not this site's word."""
    if not path.is_file():
        raise Missing(f"there is no signed {subject} at {path.name}")
    identity, document = Identity.load(home), path.read_bytes()
    keys = [identity.public.signing, *(held.public.signing for held in identity.earlier)]
    return Signed(opened(subject, document, *keys), digest(subject, document))


def learner_mark(name: str, image: str) -> LearnerMark:
    """The learner of that name as it is here now; `image`: the container it runs in, from the settings."""
    return LearnerMark.of(name, code_of(name), image, versions_of(name))


def cohort_mark(home: Path, name: str) -> CohortMark | None:
    """The frozen cohort of that name as it is here now; None where there is none."""
    path = SiteFolder(home).cohort(name).frozen
    if not path.is_file():
        return None
    return CohortMark(name=name, sha256=sha256_of(path), cases=len(read_json(path).get("cases", [])))
