"""How Konsil says no.

KonsilError                 something a person can read and act on
├── Refused                 input, message or setting that is not accepted as it is
│   ├── BadInput            a file, folder or argument given to a command
│   ├── BadMessage          an object from the store that fails a rule of docs/formats
│   └── BadSetting          an environment variable, pass or charter
├── Missing                 something that has to exist first (with the step that makes it)
├── Unavailable             a server or disk that did not do its part; trying again may help
│   └── Exhausted           this machine has no room just now, for instance on its GPU
└── Fault                   konsil itself failed: the kind and place of the error, never its text

Every message is a sentence: what was wrong, what was expected, what came, what to do. It never holds a patient's
identity, a key or a password: the caller names things by their role ("the T1w series of case 3"), not by their content.
"""

from __future__ import annotations

import traceback
from pathlib import Path


class KonsilError(Exception):
    """A sentence for a person: what happened, what was expected, what came, and what to do about it."""

    def __init__(self, what: str, *, expected: str = "", got: str = "", hint: str = "") -> None:
        self.what, self.expected, self.got, self.hint = what, expected, got, hint
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """The whole message on one line, ending in what to do."""
        parts = [self.what.rstrip(".")]
        if self.expected:
            parts.append(f"expected {self.expected.rstrip('.')}")
        if self.got:
            parts.append(f"got {self.got.rstrip('.')}")
        text = "; ".join(parts) + "."
        return f"{text} {self.hint.rstrip('.')}." if self.hint else text


class Refused(KonsilError):
    """Something is not accepted as it is."""


class Diverged(Refused):
    """Training went astray, so there is nothing to hand in. `kind`: loss, weights or dice (federation.divergence)."""

    def __init__(self, kind: str, what: str, *, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.kind = kind


class BadInput(Refused):
    """A file, folder or argument given to a command is not usable."""


class BadMessage(Refused):
    """An object in the store breaks a rule of docs/formats and is not read further."""


class BadSetting(Refused):
    """A setting, pass or charter is not usable."""


class Missing(KonsilError):
    """Something has to exist first; the hint names the step that makes it."""


class Unavailable(KonsilError):
    """A server or disk did not do its part; trying again later may help."""


class Exhausted(Unavailable):
    """This machine has no room just now; others who use it may give some back."""


class Fault(KonsilError):
    """Konsil itself failed. The text of the error may repeat a patient's values; only its kind and place are told."""

    @classmethod
    def of(cls, error: BaseException) -> Fault:
        """The fault behind an error that nobody foresaw, with the last place in konsil and where it was raised."""
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "konsil" in Path(frame.filename).parts]
        places = {f"{Path(frame.filename).name} line {frame.lineno}": None for frame in (*ours[-1:], *frames[-1:])}
        return cls(
            "konsil itself failed here",
            got=f"{type(error).__name__} in {', '.join(places) or 'a place unknown'}",
            hint="Please report this line to those who maintain konsil",
        )
