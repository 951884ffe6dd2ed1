"""A folder as object store: `<path>/<bucket>/<key>`, plain files, each written beside its name and moved there whole.

For tests, for the simulator, and for sites that share a drive. There are no credentials: whoever can write the folder
can write every bucket (the messages inside stay signed and sealed). Names that begin with `.part-` are files that a
killed process left half-written; nobody sees them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from konsil.errors import Missing, Unavailable
from konsil.files import replacing
from konsil.storage.store import Entries, Entry, Names, Readable, Rewindable, checked_key

HALF_WRITTEN = ".part-"


class FolderStore:
    """Buckets are folders below `path`; a bucket comes into being with its first object."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def put(self, bucket: str, key: str, content: bytes | Rewindable, size: int | None = None) -> None:
        """Store an object; a stream that ends before `size` bytes leaves nothing behind."""
        stream = BytesIO(content) if isinstance(content, bytes) else content
        stream.seek(0)
        try:
            with replacing(self._file(bucket, key)) as part:
                with part.open("wb") as out:
                    shutil.copyfileobj(stream, out, 1 << 20)
                if size is not None and part.stat().st_size != size:
                    raise Unavailable("an object was not stored", expected=f"{size} bytes", got="another number")
        except OSError as error:
            raise Unavailable("an object was not stored", got=error.strerror or "", hint=DISK_HINT) from error

    @contextmanager
    def get(self, bucket: str, key: str) -> Iterator[Readable]:
        """Open an object."""
        try:
            stream = self._file(bucket, key).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise absent(bucket) from error
        with stream:
            yield stream

    def list(self, bucket: str, prefix: str = "") -> Entries:
        """All objects below `prefix`, sorted by key."""
        root = self.path / checked_key(bucket)
        start = root / prefix.rpartition("/")[0]
        found = (self._entry(root, path) for path in start.rglob("*") if not path.name.startswith(HALF_WRITTEN))
        return sorted((entry for entry in found if entry and entry.key.startswith(prefix)), key=lambda e: e.key)

    def folders(self, bucket: str, prefix: str = "") -> Names:
        """The names directly under `prefix` that have objects below them."""
        start = self.path / checked_key(bucket) / prefix
        if not start.is_dir():
            return []
        return sorted(path.name for path in start.iterdir() if path.is_dir() and any(path.iterdir()))

    def stat(self, bucket: str, key: str) -> Entry:
        """Size and time of one object."""
        entry = self._entry(self.path / bucket, self._file(bucket, key))
        if entry is None:
            raise absent(bucket)
        return entry

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object."""
        self._file(bucket, key).unlink(missing_ok=True)

    def now(self) -> datetime:
        """This machine's clock, which also stamps the files."""
        return datetime.now(UTC)

    def _file(self, bucket: str, key: str) -> Path:
        return self.path / checked_key(bucket) / checked_key(key)

    @staticmethod
    def _entry(root: Path, path: Path) -> Entry | None:
        """The entry of a file, or None for a folder or a file that went away meanwhile."""
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not path.is_file():
            return None
        return Entry(path.relative_to(root).as_posix(), status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


DISK_HINT = "Look whether the disk is full and whether this user may write there, then try again"


def absent(bucket: str) -> Missing:
    """The sentence for an object that is not in the store."""
    return Missing(f"an object is not in the bucket {bucket}", hint="It may not have been sent yet")
