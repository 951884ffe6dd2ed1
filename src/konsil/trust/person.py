"""People who sign: who wrote a workflow, and who reviewed it. Specification: docs/formats/workflows.md.

They are no parties: they have no bucket, and nothing is sealed for them. A person's private key lies in a folder of
their own, on their own machine; what others get is `Person`, a name and a public key. Its fingerprint binds the two
and is compared by phone, as that of a site's keys is.
"""

from __future__ import annotations

import base64
import unicodedata
from pathlib import Path
from typing import Annotated, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, field_validator

from konsil.errors import BadInput, BadMessage, BadSetting, KonsilError, Missing
from konsil.files import read_json, write_json
from konsil.trust.canonical import canonical
from konsil.trust.identity import Identity, spoken
from konsil.trust.signed import claimed, opened
from konsil.types import Json

FORMAT, FILE = "konsil-person/1", "person.json"
LIMIT = 1 << 14  # bytes of a person's file
TAKEN = (FILE, "keys")
"""What lies in a folder that somebody has already, a person or a party."""
NAME = r"^[^\x00-\x20\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\x9f])?$"


class Person(BaseModel):
    """What others know of a person: a name, and base64 of an Ed25519 public key (32 bytes) in its one spelling."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=NAME)]
    key: str

    @field_validator("key")
    @classmethod
    def _is_ed25519(cls, text: str) -> str:
        raw = base64.b64decode(text, validate=True)
        Ed25519PublicKey.from_public_bytes(raw)
        if base64.b64encode(raw).decode() != text:  # the last bits could spell one key in four ways
            raise ValueError("expected the canonical spelling of the key")
        return text

    @property
    def fingerprint(self) -> str:
        """Sixteen characters in groups of four over name and key, to be compared by phone."""
        return spoken(canonical(self.model_dump(mode="json")))

    def is_same(self, other: Person) -> bool:
        """Whether both are one person, as far as a machine can tell: the same key, or the same letters in the name."""
        return self.key == other.key or _letters(self.name) == _letters(other.name)


class Signer(NamedTuple):
    """A person with the private key, on their own machine."""

    person: Person
    identity: Identity

    @property
    def key(self) -> str:
        """The public key, base64."""
        return self.person.key


def make_signer(folder: Path, name: str) -> Person:
    """Make a person's key in `folder` (`keys/`, mode 600) and `person.json` for others. BadInput if it is taken."""
    if any((folder / taken).exists() for taken in TAKEN):
        raise BadInput("This folder has a key already", expected="a folder for this person alone", got=str(folder))
    identity = Identity.generate()
    try:
        person = Person(name=name, key=identity.public.signing)
    except ValidationError as error:
        raise BadInput("A person cannot bear this name", expected="one line of 1 to 80 characters") from error
    identity.save(folder)
    write_json(folder / FILE, {"format": FORMAT, **person.model_dump(), "fingerprint": person.fingerprint})
    return person


def signer(folder: Path) -> Signer:
    """Whoever's key lies in `folder`. Missing where there is none, BadSetting where name and key do not belong."""
    if not (folder / FILE).is_file():
        raise Missing(
            f"there is no personal key in {folder}", hint='Make one: konsil workflow key FOLDER --name "Dr. Weber"'
        )
    person, identity = read_person(folder / FILE), Identity.load(folder)
    if person.key != identity.public.signing:
        raise BadSetting("this person's file and private key do not belong together", hint="Take the folder's backup")
    return Signer(person, identity)


def read_person(path: Path) -> Person:
    """Read a file `person.json`; BadInput where it is none, or was changed on the way."""
    refusal = BadInput(
        "This is no person's file", expected="an unchanged person.json of 'konsil workflow key'", got=path.name
    )
    if not path.is_file() or path.stat().st_size > LIMIT:
        raise refusal
    try:
        content = read_json(path)
        person = Person.model_validate({name: content[name] for name in Person.model_fields})
    except (KonsilError, KeyError, ValidationError, RecursionError) as error:
        raise refusal from error
    if content != {"format": FORMAT, **person.model_dump(), "fingerprint": person.fingerprint}:
        raise refusal
    return person


def opened_by(subject: str, document: bytes, role: str) -> tuple[Json, Person]:
    """The content of a document that names its own signer under `role`, and who that is; BadMessage otherwise.

    It proves that the holder of the named key has signed. Whether that key is one to believe, the caller has to know
    from elsewhere.
    """
    try:
        person = Person.model_validate(claimed(subject, document).get(role))
    except ValidationError as error:
        raise BadMessage(
            f"a {subject} is not read: it does not say who signed it", expected=f"{role}: name, key"
        ) from error
    return opened(subject, document, person.key), person


def _letters(name: str) -> str:
    """A name without case, blanks, points and marks that cannot be seen."""
    return "".join(sign for sign in unicodedata.normalize("NFKC", name).casefold() if sign.isalnum())
