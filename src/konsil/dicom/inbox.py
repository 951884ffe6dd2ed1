"""What lies in an inbox, by name.

An inbox is a folder with files under any names, at any depth; zip archives in it count as folders. A name is the path
from the inbox with `/`; inside an archive it goes on after `!/`, as in `export.zip!/DICOM/IM0001`. An archive within an
archive is not read.

Looking never hangs and never stops: pipes and devices are not opened, linked folders are read once, links that lead out
of the inbox are followed only into folders that were named, and what may not be read is kept with its sentence, like a
study that is still being received or was not fetched whole. The receiver writes beside the final name (`.part-…`); such
files are passed over.
"""

from __future__ import annotations

import stat
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from konsil.dicom.archive import entries, has_entry, is_archive, open_entry
from konsil.dicom.arrivals import ARRIVING, unsettled
from konsil.errors import BadInput

INSIDE = "!/"
"""Between the path of an archive and the name of a file in it."""
PREAMBLE_BYTES = 132
OTHER_ARCHIVES = (".7z", ".rar", ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".tar.xz", ".iso", ".dmg")
FORBIDDEN_FOLDER = "A folder may not be opened by this user."
FORBIDDEN = "A file may not be read by this user."
OUTWARD = "links that lead out of the inbox"
UNPACK = "archives other than zip; unpack them into the inbox"


@dataclass
class Listing:
    """The files of an inbox: names, sorted; what cannot be opened, by sentence; what was passed over, counted."""

    names: list[str] = field(default_factory=list)
    unreadable: dict[str, list[str]] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)


def list_inbox(inbox: Path, links: Sequence[Path] = ()) -> Listing:
    """Every file below `inbox` and in its zip archives. Nothing is raised for what cannot be opened.

    `links`: folders into which links may lead besides the inbox itself.
    """
    listing, seen = Listing(), set[tuple[int, int]]()
    roots = [root.resolve() for root in (inbox, *links)]
    folders, later = deque([inbox]), deque[Path]()
    while folders or later:
        folder = folders.popleft() if folders else later.popleft()
        for path in visit(folder, inbox, listing, seen):
            if path.is_symlink() and not leads_into(path, roots):
                listing.ignored[OUTWARD] += 1
            else:
                place(path, inbox, listing, later if path.is_symlink() else folders)
    listing.names.sort()
    return listing


def leads_into(link: Path, roots: Sequence[Path]) -> bool:
    """Whether a link ends below one of these folders; one that leads nowhere, or in a circle, does no harm."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        return True
    return any(target.is_relative_to(root) for root in roots)


def visit(folder: Path, inbox: Path, listing: Listing, seen: set[tuple[int, int]]) -> list[Path]:
    """What lies in a folder, sorted; nothing, with a reason in the listing, if it was seen or cannot be used now."""
    try:
        state = folder.stat()
        if (state.st_dev, state.st_ino) in seen:
            listing.ignored["links to folders that are read already"] += 1
            return []
        seen.add((state.st_dev, state.st_ino))
        reason, found = unsettled(folder), sorted(folder.iterdir())
    except OSError:
        reason, found = FORBIDDEN_FOLDER, []
    if reason:
        listing.unreadable.setdefault(reason, []).append(name_of(folder, inbox))
    return [] if reason else found


def place(path: Path, inbox: Path, listing: Listing, folders: deque[Path]) -> None:
    """Put one directory entry where it belongs: a folder to visit, names of files, or a reason why not."""
    try:
        kind = path.stat().st_mode
    except OSError:
        listing.ignored["links that lead nowhere"] += 1
        return
    if stat.S_ISDIR(kind):
        folders.append(path)
    elif not stat.S_ISREG(kind):
        listing.ignored["pipes, sockets and devices"] += 1
    elif path.name == ARRIVING:
        return
    elif path.name.startswith(".part-"):
        listing.ignored["files that are still being written"] += 1
    elif path.name.lower().endswith(OTHER_ARCHIVES):
        listing.ignored[UNPACK] += 1
    else:
        place_file(path, inbox, listing)


def place_file(path: Path, inbox: Path, listing: Listing) -> None:
    """List a file, or, if it is an archive, the files in it."""
    name = name_of(path, inbox)
    try:
        with path.open("rb") as stream:
            start = stream.read(PREAMBLE_BYTES)
        if start[128:] == b"DICM" or not is_archive(start):
            listing.names.append(name)
            return
        inside, refused = entries(path)
    except BadInput as refusal:
        listing.unreadable.setdefault(refusal.sentence, []).append(name)
        return
    except OSError:
        listing.unreadable.setdefault(FORBIDDEN, []).append(name)
        return
    listing.names += [f"{name}{INSIDE}{entry}" for entry in inside]
    for sentence, count in refused.items():
        listing.unreadable.setdefault(sentence, []).extend([name] * count)


def name_of(path: Path, inbox: Path) -> str:
    """The path from the inbox, with `/`."""
    return path.relative_to(inbox).as_posix()


def split_name(inbox: Path, name: str) -> tuple[Path, str]:
    """The file that a name leads to, and the name within it if that file is an archive (otherwise empty)."""
    path = inbox / name
    at = name.find(INSIDE)
    while at >= 0 and not path.is_file():
        path = inbox / name[:at]
        if path.is_file():
            return path, name[at + len(INSIDE) :]
        at = name.find(INSIDE, at + 1)
    return inbox / name, ""


def open_member(inbox: Path, name: str) -> BinaryIO:
    """A seekable stream of the bytes of one file of the inbox, at its beginning; the caller closes it.

    Raises `OSError` if it is gone or may not be read, and for files in archives what `archive.open_entry` raises.
    """
    path, inside = split_name(inbox, name)
    return open_entry(path, inside) if inside else path.open("rb")


def has_member(inbox: Path, name: str) -> bool:
    """Whether the inbox has a file of that name."""
    path, inside = split_name(inbox, name)
    try:
        return has_entry(path, inside) if inside else path.is_file()
    except (OSError, BadInput):
        return False
