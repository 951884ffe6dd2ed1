"""Who may use the embedded S3 server: access keys, their secrets and what each may see, in one file with mode 600.

    {"users": {"<access key>": {"secret": "…", "buckets": {"site-a": "rw", "global": "ro"}}}}

`buckets` null means every bucket, for the centre. The server asks `konsil.storage.views` about a key when it first
comes, and keeps the answer for as long as the key is used. So a site's view leads through a link of its own,

    grants/<access key> -> ../data

and taking a key away lets the link point to nothing: from then on (a tenth of a second at most) the key finds no
object, cannot write, and its view is empty, however long the server has known it.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import NamedTuple

from konsil.files import PART, read_json, write_json
from konsil.types import Json

OPEN, CLOSED = "../data", "../revoked"  # `revoked` never exists


class Credentials(NamedTuple):
    """One access key and its secret; never to be logged."""

    access_key: str
    secret_key: str


class Users:
    """The users of the server that lives in `folder`; their buckets are folders below `folder`/data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "users.json"

    def add(self, name: str, buckets: dict[str, str] | None) -> Credentials:
        """A new access key that begins with `name`; `buckets`: name → "rw" or "ro", None = all, read and write."""
        made = Credentials(f"{name}-{secrets.token_hex(6)}", secrets.token_urlsafe(32))
        for bucket in buckets or {}:
            (self.folder / "data" / bucket).mkdir(parents=True, exist_ok=True)
        users = self._read()
        users[made.access_key] = {"secret": made.secret_key, "buckets": buckets}
        self._write(users)
        self._link(made.access_key, OPEN)
        return made

    def remove(self, access_key: str) -> None:
        """Take an access key away; it is no error if there is none."""
        users = self._read()
        if users.pop(access_key, None) is not None:
            self._write(users)
        if (self.folder / "grants" / access_key).is_symlink():
            self._link(access_key, CLOSED)

    def prepare(self) -> None:
        """Open the links of all users, who have none yet in an older home; close those that a killed process left."""
        users = self._read()
        for access_key in users:
            self._link(access_key, OPEN)
        for link in (self.folder / "grants").glob("*"):
            if link.name not in users and not link.name.startswith(PART):
                self._link(link.name, CLOSED)

    def _link(self, access_key: str, target: str) -> None:
        """Let `grants/<access key>` point somewhere, in one step; a link to nothing also keeps rclone from writing."""
        link = self.folder / "grants" / access_key
        link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = link.with_name(f"{PART}{access_key}")
        part.unlink(missing_ok=True)
        part.symlink_to(target)
        part.replace(link)

    def _read(self) -> Json:
        return dict(read_json(self._path)["users"]) if self._path.is_file() else {}

    def _write(self, users: Json) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_json(self._path, {"users": users}, mode=0o600)
