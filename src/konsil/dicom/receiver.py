"""A C-STORE receiver (DICOM PS3.4, annex B), so that a scanner or a PACS can send images to the inbox.

A sender asks for an association and names itself and the kinds of image it brings. Strangers are refused (PS3.8,
9.3.4); of the kinds, only those that Konsil can use are agreed on: MR, enhanced MR and segmentations. Each image is
answered:

    0x0000  it is on the disk; the sender may forget it
    0xA700  out of resources: the disk is full; the sender should try again later
    0xA900  the image is of another class than was announced
    0xC000  the image cannot be read
    0x0110  the disk did not take it for another reason

An image that was not answered with 0x0000 left nothing behind. C-ECHO is answered. The log has a line for each
association, with counts, and never says whose images they were; pynetdicom's own log would, and is switched off.
"""

from __future__ import annotations

import logging
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MRImageStorage,
    RLELossless,
    SegmentationStorage,
)

from konsil.dicom.arrivals import Arrivals, identity_of
from konsil.dicom.peers import Peer, check_title, shown, why_refused
from konsil.dicom.tally import Counts, Tally
from konsil.errors import BadInput, Unavailable
from konsil.files import is_full

log = logging.getLogger(__name__)

STORED, FULL, OTHER_CLASS, UNREADABLE, FAILED = 0x0000, 0xA700, 0xA900, 0xC000, 0x0110
UNKNOWN_CALLER, UNKNOWN_CALLED, TOO_MANY, NOTHING = (1, 1, 3), (1, 1, 7), (2, 3, 2), (0, 0, 0)
"""Result, source and reason of a refused association, PS3.8, table 9-21."""
CLASSES = (MRImageStorage, EnhancedMRImageStorage, SegmentationStorage)
SYNTAXES = [
    *(ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless),
    *(JPEGLosslessSV1, JPEGLossless, JPEGLSLossless, JPEG2000Lossless),
    *(JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000),
]
PDU_BYTES = 1 << 17
MOST_CONNECTIONS = 200
"""Including those that say nothing, such as the checks of a load balancer; they do not count as associations."""
GREETING_S = 10.0
"""How long a connection may say nothing before it asks for an association."""
GRACE_S = 10.0
"""How long the end waits for images that are being written."""


@dataclass(frozen=True)
class Door:
    """Where a receiver listens and whom it lets in."""

    ae_title: str
    address: str
    port: int
    peers: tuple[Peer, ...]
    associations: int = 10
    timeout_s: float = 60.0


@dataclass
class Admitted:
    """An association that was let in: how the log calls its sender, and what came of its images."""

    name: str
    counts: Counts = field(default_factory=Counts)


class Receiver:
    """The service: a context manager that listens while it is open. `state` is the file for `Tally`."""

    def __init__(self, inbox: Path, door: Door, state: Path) -> None:
        self.door = door
        self.arrivals = Arrivals(inbox)
        self.tally = Tally(state, check_title(door.ae_title), door.address, door.port)
        self._admitted: dict[Any, Admitted] = {}
        self._hook = threading.excepthook
        self._entity: Any = None

    def __enter__(self) -> Receiver:
        self.arrivals.__enter__()
        try:
            self._entity = self.entity()
            server = self._entity.start_server((self.door.address, self.door.port), block=False, evt_handlers=self.on())
        except (OSError, OverflowError) as error:
            self.arrivals.__exit__(None, None, None)
            raise Unavailable(
                f"the receiver cannot listen at {self.door.address}:{self.door.port}",
                got=getattr(error, "strerror", None) or type(error).__name__,
                hint="Is another receiver running? Choose another port or address",
            ) from error
        threading.excepthook = complain
        self.tally.port = server.server_address[1]
        self.tally.write(running=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        associations = list(self._entity.active_associations)
        self._entity.shutdown()
        for association in associations:
            association.join(GRACE_S)
        threading.excepthook = self._hook
        self.tally.write(running=False)
        self.arrivals.__exit__(kind, error, at)

    def entity(self) -> Any:
        """The application entity, with everything it agrees to."""
        from pynetdicom import AE
        from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time

        silence()
        entity = AE(self.door.ae_title)
        entity.maximum_associations = MOST_CONNECTIONS
        entity.maximum_pdu_size = PDU_BYTES
        entity.acse_timeout = min(GREETING_S, self.door.timeout_s)
        entity.dimse_timeout = entity.network_timeout = self.door.timeout_s
        entity.add_supported_context(Verification)
        for sop_class in CLASSES:
            entity.add_supported_context(sop_class, SYNTAXES)
        return entity

    def on(self) -> list[tuple[Any, Any]]:
        """What happens at which event."""
        from pynetdicom import evt

        return [
            (evt.EVT_REQUESTED, self.ask),
            (evt.EVT_ESTABLISHED, self.begin),
            (evt.EVT_C_STORE, self.store),
            (evt.EVT_RELEASED, lambda event: self.end(event.assoc, "released")),
            (evt.EVT_ABORTED, lambda event: self.end(event.assoc, "aborted")),
            (evt.EVT_CONN_CLOSE, lambda event: self.end(event.assoc, "cut off")),
        ]

    def ask(self, event: Any) -> None:
        """Refuse strangers, those who want somebody else, and one sender too many."""
        reason, answer = self.why_not(event)
        if reason:
            log.warning("refused an association from %s: %s", name_of(event), reason)
            self.tally.change(open_now=len(self._admitted), strangers=1)
            event.assoc.acse.send_reject(*answer)
            event.assoc.kill()
        else:
            self._admitted[event.assoc] = Admitted(name_of(event))

    def why_not(self, event: Any) -> tuple[str, tuple[int, int, int]]:
        """Why an association is refused (empty if it is not), and what the sender is told."""
        asked, address = event.assoc.requestor.primitive, event.assoc.requestor.address
        reason = why_refused(self.door.peers, asked.calling_ae_title, address)
        if reason:
            return reason, UNKNOWN_CALLER
        if asked.called_ae_title.strip() != self.door.ae_title.strip():
            return "it asked for another AE title than ours", UNKNOWN_CALLED
        self.sweep()
        if len(self._admitted) >= self.door.associations:
            return f"{self.door.associations} are open already", TOO_MANY
        return "", NOTHING

    def begin(self, event: Any) -> None:
        """An association begins."""
        self.tally.change(open_now=len(self._admitted), associations=1)

    def store(self, event: Any) -> int:
        """One image of a sender that `ask` let in: keep it, then answer."""
        admitted = self._admitted.get(event.assoc)
        if admitted is None:  # the library goes on after an error in `ask`
            return FAILED
        status, what = self.kept(event)
        self.tally.count(what, admitted.counts)
        return status

    def kept(self, event: Any) -> tuple[int, str]:
        """Keep one image; returns the answer and what it counts as."""
        try:
            content = event.encoded_dataset()
            identity = identity_of(content)
            if identity.sop_class != event.context.abstract_syntax:
                return OTHER_CLASS, "refused"
            if identity.instance != event.request.AffectedSOPInstanceUID:
                return UNREADABLE, "refused"
            self.arrivals.arriving(identity.study)
            return STORED, "images" if self.arrivals.keep(content, identity) else "copies"
        except BadInput as refusal:
            log.warning("refused an image from %s: %s", name_of(event), refusal.sentence)
            return UNREADABLE, "refused"
        except OSError as error:
            full = is_full(error)
            reason = "the disk is full" if full else error.strerror or type(error).__name__
            log.error("could not keep an image from %s: %s", name_of(event), reason)  # noqa: TRY400  # paths stay out
            return FULL if full else FAILED, "failed"

    def end(self, association: Any, how: str) -> None:
        """An association ends, one way or another."""
        admitted = self._admitted.pop(association, None)
        if admitted is not None:
            self.tally.change(open_now=len(self._admitted))
            log.info("association with %s: %s; %s", admitted.name, admitted.counts.sentence(), how)

    def sweep(self) -> None:
        """End the associations whose thread died over what their sender said: the library does not tell of these."""
        for association in list(self._admitted):
            if not association.is_alive():
                self.end(association, "broken off, since it spoke no proper DICOM")


def name_of(event: Any) -> str:
    """The sender as the log shows it: AE title and address."""
    asked = event.assoc.requestor.primitive
    return f"{shown(asked.calling_ae_title if asked else '')} ({event.assoc.requestor.address})"


def complain(_: threading.ExceptHookArgs) -> None:
    """What is said when a thread of the library dies: its own words may repeat what the sender said."""
    log.warning("a sender said something that is no proper DICOM; its association ends")


def silence() -> None:
    """Keep the libraries from logging what images say: pynetdicom prints UIDs, pydicom values."""
    from pynetdicom import _config

    _config.LOG_HANDLER_LEVEL = "none"
    for name in ("pynetdicom", "pydicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"pydicom|pynetdicom")
