"""Figures of the rounds where people already look: TensorBoard's files, read back, and MLflow's REST API."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from tensorboardX.proto.event_pb2 import Event

from konsil.errors import BadSetting
from konsil.parties.sinks import MLflow, TensorBoard, Watched, sinks_of
from konsil.settings import Settings


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    """Every scalar in the event files: length (8 bytes), its checksum (4), the event, its checksum (4)."""
    found = {}
    for file in folder.glob("events.*"):
        content = file.read_bytes()
        while content:
            size = int.from_bytes(content[:8], "little")
            event = Event.FromString(content[12 : 12 + size])
            found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
            content = content[16 + size :]
    return found


def test_a_whole_federation_in_tensorboard(make_world: Callable[..., Any], tmp_path: Path) -> None:
    """The same figures as in the report: means at the centre, and every site's."""
    world = make_world(rounds=2)
    party = world.party

    def watched(name: str) -> Any:
        made = party(name)
        made.sink = TensorBoard(tmp_path / name)
        return made

    world.party = watched
    world.work()
    found, summary = scalars(tmp_path / "centre"), world.summary()
    for row in summary["rounds"]:
        for site, part in row["sites"].items():
            assert found[f"{site}/loss", row["round"]] == pytest.approx(part["metrics"]["loss"], rel=1e-6)
    assert {step for _, step in found} == {1, 2}
    assert {"loss", "dice"} <= {tag for tag, _ in found}
    own = scalars(tmp_path / "A")
    assert own["loss", 2] == pytest.approx(found["A/loss", 2])
    assert not any(tag.startswith("B/") for tag, _ in own)


class Tracking(BaseHTTPRequestHandler):
    """The four endpoints of MLflow's REST API 2.0 that are used, strict about what they get."""

    experiments: ClassVar[dict[str, str]] = {}
    runs: ClassVar[dict[str, list[Any]]] = {}

    def answer(self, content: Any, code: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        assert place.path == "/api/2.0/mlflow/experiments/get-by-name"
        (name,) = parse_qs(place.query)["experiment_name"]
        if name not in self.experiments:
            return self.answer({"error_code": "RESOURCE_DOES_NOT_EXIST"}, 404)
        return self.answer({"experiment": {"experiment_id": self.experiments[name]}})

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        what = self.path.removeprefix("/api/2.0/mlflow/")
        if what == "experiments/create":
            self.experiments[content["name"]] = "7"
            return self.answer({"experiment_id": "7"})
        if what == "runs/create":
            assert content["experiment_id"] == "7"
            self.runs[content["run_name"]] = []
            return self.answer({"run": {"info": {"run_id": content["run_name"]}}})
        assert what == "runs/log-batch"
        self.runs[content["run_id"]] += [(one["key"], one["step"], one["value"]) for one in content["metrics"]]
        assert all(type(one["timestamp"]) is int for one in content["metrics"])
        return self.answer({})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Tracking.experiments, Tracking.runs = {}, {}
    made = ThreadingHTTPServer(("127.0.0.1", 0), Tracking)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    thread.join()
    made.server_close()


def test_mlflow_gets_every_round_in_one_run_also_after_a_restart(server: str, tmp_path: Path) -> None:
    MLflow(server, tmp_path, "ms-1 A").write(1, {"loss": 0.5})
    MLflow(server, tmp_path, "ms-1 A").write(2, {"loss": 0.25, "dice": 0.75})
    assert Tracking.runs == {"ms-1 A": [("loss", 1, 0.5), ("loss", 2, 0.25), ("dice", 2, 0.75)]}


def test_watching_never_stops_a_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = Watched([MLflow("http://127.0.0.1:9", tmp_path, "ms-1 A")])
    sink.write(1, {"loss": 0.5})
    sink.write(2, {"loss": 0.5})
    assert caplog.text.count("figures are not written any more: the MLflow server does not take the figures") == 1


def test_settings_choose_the_sinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KONSIL_TENSORBOARD", str(tmp_path / "boards"))
    sinks_of(Settings(), "ms-1", "A", tmp_path).write(1, {"loss": 0.5})
    assert scalars(tmp_path / "boards" / "ms-1" / "A") == {("loss", 1): 0.5}
    monkeypatch.setenv("KONSIL_MLFLOW", "file:///somewhere")
    with pytest.raises(BadSetting, match="http"):
        sinks_of(Settings(), "ms-1", "A", tmp_path)
