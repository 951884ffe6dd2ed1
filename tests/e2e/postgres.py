"""A PostgreSQL server of one's own for a test: made in a folder, listening on a socket there, killed and started.

Debian's programs are used; as root (in a container) they run as the user `postgres`, because the server refuses root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

PROGRAMS = Path("/usr/lib/postgresql")


def program(name: str) -> str | None:
    """Where a program of the server lies; the newest version."""
    return max(map(str, PROGRAMS.glob(f"*/bin/{name}")), default=None) or shutil.which(name)


def is_there() -> bool:
    """Whether the server is installed."""
    return program("initdb") is not None and program("pg_ctl") is not None


class Cluster:
    """One server in a new folder (a short path: sockets have a limit), which vanishes when it is stopped."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="konsil-pg-"))
        self.data, self.socket = self.folder / "data", self.folder / "socket"

    @property
    def address(self) -> str:
        """For SQLAlchemy."""
        return f"postgresql+psycopg2://airflow@/airflow?host={self.socket}"

    def start(self) -> str:
        """Start, and make the database at the first call; gives its address."""
        made = (self.data / "PG_VERSION").exists()
        if not made:
            self.socket.mkdir(parents=True)
            if os.geteuid() == 0:
                shutil.chown(self.folder, "postgres")
                shutil.chown(self.socket, "postgres")
            self._run("initdb", "-D", self.data, "-U", "airflow", "--auth=trust", "--no-sync", "-E", "UTF8")
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.socket}' -c fsync=off"
        self._run("pg_ctl", "-D", self.data, "-w", "-o", options, "-l", self.socket / "log", "start")
        if not made:
            self._run("createdb", "-h", self.socket, "-U", "airflow", "airflow")
        return self.address

    def kill(self) -> None:
        """SIGKILL to the server and its sessions, as a power failure would."""
        server = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(server, signal.SIGKILL)

    def stop(self) -> None:
        """Stop it, if it runs, and remove all of it."""
        if (self.data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")
        shutil.rmtree(self.folder)

    def _run(self, name: str, *arguments: object) -> None:
        command = [str(program(name)), *map(str, arguments)]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, f"{name}: {done.stderr}"
