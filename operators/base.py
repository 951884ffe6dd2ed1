"""How every step of ours runs inside Airflow.

The work is a `konsil` verb in an interpreter of its own, or in a container (operators/door.py): nnU-Net's pools of
spawned processes hang inside Airflow's task process, and whatever a verb leaves in memory ends with it. The first line
of the log is the command that reruns the step by hand; every line after it is the verb's own. Between tasks
travel references and sentences, never data.

    exit code 0   every case came through
    exit code 2   some were set aside, each with its sentence: the task succeeds, the rest of the batch goes on
    exit code 1   nothing came through: skipped if every case of the batch was set aside, failed otherwise; bad input is
                  bad the next time too, so Airflow does not try again
    any other     a server or disk did not do its part (75), or the verb was killed: tried again
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from konsil.files import read_json
from konsil.settings import Settings
from konsil.types import Json
from operators import door

SOME_SET_ASIDE = 2
PR_SET_PDEATHSIG = 1  # prctl(2)


class KonsilOperator(BaseOperator):
    """Run one verb; subclasses say which, with which arguments."""

    template_fields: Sequence[str] = ()
    ui_color = "#e7f0ee"
    is_retried = False
    """Whether exit code 1 may come from something that others have yet to do."""

    def arguments(self) -> list[str]:
        """The verb and its arguments, without `--result`."""
        raise NotImplementedError

    def execute(self, context: Context) -> Json:
        """Run the verb to its end and return what it wrote with `--result`."""
        result = result_file(context)
        result.unlink(missing_ok=True)
        self._name = f"konsil-{result.stem}"  # a retry has the same one, and ends what a killed try left running
        code, sentence = self.run_verb([*self.arguments(), "--result", str(result)])
        found = read_json(result) if result.exists() else {}
        result.unlink(missing_ok=True)
        return self.judge(code, sentence, found)

    def run_verb(self, arguments: list[str]) -> tuple[int, str]:
        """Start the verb, pass its lines to the log, return its exit code and its last sentence."""
        settings = Settings()
        name = getattr(self, "_name", f"konsil-{os.getpid()}")
        door.remove(settings, name)
        command = door.command(settings, arguments, name=name)
        by_hand = [sys.executable, "-m", "konsil.cli", *self.arguments()]
        self.log.info("KONSIL_HOME=%s %s", shlex.quote(str(settings.home)), shlex.join(by_hand))
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", env=verb_environment(settings), start_new_session=True, preexec_fn=die_with_parent(),
        )  # fmt: skip
        self._child = child
        last = ""
        with child:
            for line in child.stdout or ():
                last = line.rstrip() or last
                self.log.info("%s", line.rstrip())
        return child.returncode, last.removeprefix("konsil: ")

    def judge(self, code: int, sentence: str, result: Json) -> Json:
        """Turn an exit code into Airflow's states."""
        if code == 0 or (code == SOME_SET_ASIDE and result):  # a wrong usage ends with 2 as well, but without a result
            return result
        if code < 0:
            raise AirflowException(f"The command was ended by signal {-code} ({signal.Signals(-code).name}).")
        if result.get("set_aside"):
            raise AirflowSkipException("Every case of this batch was set aside; the sentences stand above.")
        if code == 1 and sentence and not self.is_retried:
            raise AirflowFailException(sentence)
        raise AirflowException(sentence or f"The command ended with exit code {code} and said nothing.")

    def on_kill(self) -> None:
        """End the verb with everything it started."""
        child = getattr(self, "_child", None)
        if child is not None and child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            door.remove(Settings(), getattr(self, "_name", f"konsil-{os.getpid()}"))


def result_file(context: Context) -> Path:
    """Where the verb of this task leaves its result: one name per task instance, so that a retry takes away what a
    killed try left behind."""
    ti: Any = context.get("ti")
    key = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}" if ti is not None else f"process {os.getpid()}"
    folder = Settings().home / "work" / ".tasks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


def die_with_parent() -> Callable[[], None] | None:
    """On Linux, a call for the child that makes the kernel kill it when the task process vanishes.

    Without it a verb would outlive a killed Airflow, and the retried task would start a second one beside it.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: nothing may be imported after it
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL) and None


def verb_environment(settings: Settings) -> dict[str, str]:
    """The environment of a verb: ours without Airflow's settings, which are poison to other programs."""
    kept = {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith("AIRFLOW")}
    threads = str(settings.threads)
    return kept | door.CODES | {"OMP_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


def listed(cases: list[str] | None) -> list[str]:
    """`--case` options for the cases of one batch; none means all."""
    return [word for case in cases or () for word in ("--case", case)]
