"""Figures of every round for the tools people already watch trainings with: TensorBoard and MLflow. Both are optional.

A site writes its own figures; the centre those of every site (`A/train_loss`) and their means over cases. TensorBoard
reads event files from a folder (KONSIL_TENSORBOARD), which `tensorboardX` writes. MLflow gets them over its REST API
2.0 (KONSIL_MLFLOW, the address of a tracking server), because its client does not install beside the versions Konsil
is pinned to. A round that was repeated after a restart is written again at the same step. Watching never stops a
training: what goes wrong is said once in the log.
"""

from __future__ import annotations

import logging
import time
import uuid
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import requests

from konsil.errors import BadSetting, KonsilError, Missing, Unavailable
from konsil.files import read_json, write_json
from konsil.settings import Settings
from konsil.types import Json

log = logging.getLogger(__name__)
TIMEOUT_S = 10.0
EXPERIMENT = "konsil"


class Sink(Protocol):
    """A place for figures by round."""

    def write(self, number: int, figures: Mapping[str, float]) -> None:
        """Take the figures of a round."""


class TensorBoard:
    """Event files in `folder`."""

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboardX.event_file_writer import EventsWriter
        except ModuleNotFoundError as error:
            raise Missing("TensorBoard's writer is not here", hint="pip install 'konsil[tensorboard]'") from error
        folder.mkdir(parents=True, exist_ok=True)
        # not SummaryWriter, whose thread has its own idea of time; two writers of one second need different names
        self._writer = EventsWriter(str(folder / "events"), f".{uuid.uuid4().hex[:8]}")
        weakref.finalize(self, self._writer.close)

    def write(self, number: int, figures: Mapping[str, float]) -> None:
        """One scalar per figure at step `number`, on the disk when it returns."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        for name, value in figures.items():
            self._writer.write_event(Event(wall_time=time.time(), step=number, summary=scalar(name, value)))
        self._writer.flush()


class MLflow:
    """One run of the experiment "konsil" at the tracking server `url`; `folder` keeps its id, so a restart goes on."""

    def __init__(self, url: str, folder: Path, name: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise BadSetting("KONSIL_MLFLOW is not usable", expected="http(s)://…", got="another kind of address")
        self._url, self._kept, self._name = url.rstrip("/"), folder / "mlflow.json", name

    def write(self, number: int, figures: Mapping[str, float]) -> None:
        """One metric per figure at step `number`."""
        now = int(time.time() * 1000)
        metrics = [{"key": key, "value": value, "timestamp": now, "step": number} for key, value in figures.items()]
        self._ask("POST", "runs/log-batch", {"run_id": self._run(), "metrics": metrics})

    def _run(self) -> str:
        """The id of the run, made at the first figure."""
        if self._kept.is_file() and (kept := read_json(self._kept)).get("url") == self._url:
            return str(kept["run_id"])
        named = {"run_name": self._name, "start_time": int(time.time() * 1000)}
        made = self._ask("POST", "runs/create", {"experiment_id": self._experiment(), **named})
        run_id = str(made["run"]["info"]["run_id"])
        write_json(self._kept, {"url": self._url, "run_id": run_id})
        return run_id

    def _experiment(self) -> str:
        found = self._ask("GET", "experiments/get-by-name", {"experiment_name": EXPERIMENT}, absent={})
        if found:
            return str(found["experiment"]["experiment_id"])
        return str(self._ask("POST", "experiments/create", {"name": EXPERIMENT})["experiment_id"])

    def _ask(self, method: str, path: str, content: Json, absent: Json | None = None) -> Json:
        where: dict[str, Any] = {"params": content} if method == "GET" else {"json": content}
        try:
            answer = requests.request(method, f"{self._url}/api/2.0/mlflow/{path}", timeout=TIMEOUT_S, **where)
            if answer.status_code == 404 and absent is not None:
                return absent
            answer.raise_for_status()
            found: Json = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise Unavailable("the MLflow server does not take the figures", got=type(error).__name__) from None
        return found


class Watched:
    """Several sinks as one that never fails: a sink that refuses is left out from then on, with a word in the log."""

    def __init__(self, sinks: list[Sink]) -> None:
        self._sinks = sinks

    def write(self, number: int, figures: Mapping[str, float]) -> None:
        """Pass the figures of a round on."""
        for sink in list(self._sinks):
            try:
                sink.write(number, figures)
            except (KonsilError, OSError) as error:
                said = error.sentence if isinstance(error, KonsilError) else type(error).__name__
                log.warning("figures are not written any more: %s", said)
                self._sinks.remove(sink)


def sinks_of(settings: Settings, run: str, me: str, folder: Path) -> Watched:
    """What the settings ask for, for one party of a run; `folder` is that of the run. Missing without the extra."""
    made: list[Sink] = []
    if settings.tensorboard is not None:
        made.append(TensorBoard(settings.tensorboard / run / me))
    if settings.mlflow:
        made.append(MLflow(settings.mlflow, folder, f"{run} {me}"))
    return Watched(made)
