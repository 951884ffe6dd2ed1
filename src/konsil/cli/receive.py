"""`konsil receive`: let scanners and the PACS send images to the inbox."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from konsil.cli.door import speak

if TYPE_CHECKING:
    from konsil.dicom.receiver import Door
    from konsil.settings import Settings


SWEEP_S = 2.0


def receive(
    inbox: Path | None = typer.Argument(None, metavar="[INBOX]", help="Folder to fill; default: the site's inbox."),
    ae_title: str | None = typer.Option(None, "--ae-title", help="Our name; default: KONSIL_AE_TITLE."),
    address: str | None = typer.Option(None, "--address", help="Listen here; default: KONSIL_RECEIVE_ADDRESS."),
    port: int | None = typer.Option(None, "--port", min=0, max=65535, help="Default: KONSIL_RECEIVE_PORT."),
    peer: list[str] | None = typer.Option(
        None,
        "--peer",
        help="Who may send: AE, AE@address, AE@network; repeatable. Default: KONSIL_RECEIVE_PEERS.",
    ),
) -> None:
    """Receive MR images and segmentations by C-STORE until Ctrl-C or SIGTERM. Senders that are no peers are refused.

    Example: konsil receive --address 0.0.0.0 --peer PACS@10.1.2.3 --peer MRSCANNER
    """
    from konsil.cohort.folder import SiteFolder
    from konsil.dicom.receiver import Receiver
    from konsil.settings import Settings

    speak()
    settings = Settings()
    door = door_of(settings, ae_title, address, port, peer)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Receiver(inbox or SiteFolder(settings.home).inbox, door, settings.home / "receive.json") as receiver:
        tally = receiver.tally
        typer.echo(f"{tally.ae_title} listens at {tally.address}:{tally.port}. Ctrl-C ends it.", err=True)
        while not stop.wait(SWEEP_S):
            receiver.sweep()
    typer.echo(f"The receiver has ended: {tally.counts.sentence()}.", err=True)


def door_of(
    settings: Settings, ae_title: str | None, address: str | None, port: int | None, peers: list[str] | None
) -> Door:
    """The settings, and what the command line says otherwise."""
    from konsil.dicom.peers import read_peers
    from konsil.dicom.receiver import Door

    return Door(
        ae_title=ae_title or settings.ae_title,
        address=address or settings.receive_address,
        port=settings.receive_port if port is None else port,
        peers=read_peers(peers or settings.receive_peers),
        associations=settings.receive_associations,
        timeout_s=settings.receive_timeout_s,
    )


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("receive")(receive)
