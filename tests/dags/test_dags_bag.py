"""Every DAG imports cleanly, does nothing on import, and tells a person what it is for."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from copy import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from operators.forms import whole

DAGS = Path(__file__).parents[2] / "dags"
IDS = {
    "prepare_cohort", "join_federation", "train_rounds", "predict", "run_federation", "aggregate_rounds",
    "extend_federation", "doctor",
}  # fmt: skip
PARTS = ("**For**", "**Goes in:**", "**Comes out:**", "**Can go wrong:**", "**What to do:**")
TAGS = {"site", "centre", "images", "federation", "stint", "health"}

ALONE = """
import sys, importlib.util
from pathlib import Path
import airflow.sdk, airflow.triggers.base, airflow.providers.standard.operators.hitl
import airflow.sdk.definitions.timetables.interval  # asks for the platform

AT_WORK = []
FORBIDDEN = {"socket.connect", "socket.bind", "subprocess.Popen", "os.system", "sqlite3.connect"}

def watch(event, arguments):
    if event in FORBIDDEN or (event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")):
        AT_WORK.append((event, str(arguments[:2])))

class Watched(dict):
    pass

import os
real = os.environ.__class__.__getitem__
def asked(self, key):
    if key.startswith("KONSIL"):
        AT_WORK.append(("environment", key))
    return real(self, key)
os.environ.__class__.__getitem__ = asked
sys.dont_write_bytecode = True
sys.addaudithook(watch)
for path in sorted(Path(sys.argv[1]).glob("*.py")):
    spec = importlib.util.spec_from_file_location(f"alone_{path.stem}", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(AT_WORK)
"""


HEAVY = ("airflow.models.dagrun", "airflow.models.serialized_dag", "torch", "numpy", "SimpleITK", "nibabel", "pydicom")
LOADED = """
import runpy, sys
runpy.run_path(sys.argv[1])
print([name for name in sys.argv[2:] if name in sys.modules])
"""


@pytest.fixture(scope="module")
def bag() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(DAGS))


def test_all_import_and_file_names_are_ids(bag: Any) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == IDS == {path.stem for path in DAGS.glob("*.py")}


@pytest.mark.parametrize("name", sorted(IDS))
def test_each_explains_itself(bag: Any, name: str) -> None:
    dag = bag.dags[name]
    assert dag.dag_display_name != name
    assert len(dag.doc_md) > 100
    assert [part for part in PARTS if part not in dag.doc_md] == []
    assert {"site", "centre"} & dag.tags
    assert dag.tags <= TAGS
    assert dag.owner not in ("", "airflow")
    assert dag.description
    assert len(dag.description) <= 60
    assert "\n" not in dag.description
    for task in dag.tasks:
        assert task.task_display_name != task.task_id, f"{task.task_id} has no plain name"
        assert len(task.doc_md or "") >= 20, f"{task.task_id} is not explained"


@pytest.mark.parametrize("name", sorted(IDS))
def test_each_can_be_triggered_with_what_the_form_proposes(bag: Any, name: str) -> None:
    dag = bag.dags[name]
    for key in dag.params:
        param = dag.params.get_param(key)
        assert param.schema.get("title"), f"{key} has no title"
        if param.has_value or "null" in param.schema["type"]:
            param.resolve()
        else:
            assert param.schema["type"] == "string", f"{key} must be typed in"


@pytest.mark.parametrize("name", sorted(IDS))
def test_tasks_are_tried_again(bag: Any, name: str) -> None:
    assert all(task.retries >= 2 for task in bag.dags[name].tasks)


@pytest.mark.parametrize("name", ["join_federation", "run_federation", "extend_federation"])
def test_tasks_of_a_federation_are_tried_for_longer_than_a_store_is_away(bag: Any, name: str) -> None:
    """What Airflow 3.3 calls exponential is the factor between two pauses."""
    for task in bag.dags[name].tasks:
        pauses = [
            min(task.retry_delay * task.retry_exponential_backoff**n, task.max_retry_delay) for n in range(task.retries)
        ]
        assert sum(pauses, timedelta()) > timedelta(minutes=15)


def test_the_working_tasks_of_stints_hand_over(bag: Any) -> None:
    stints = {task.task_id for dag in bag.dags.values() for task in dag.tasks if getattr(task, "stint", False)}
    assert stints == {"train", "aggregate"}


def test_a_cohort_is_prepared_in_this_order(bag: Any) -> None:
    order = [task.task_id.removeprefix("batch.") for task in bag.dags["prepare_cohort"].topological_sort()]
    assert order == [
        "scan", "choose", "settle", "batches", "deidentify", "convert", "orient", "mask", "register", "qc",
        "report", "sign_off", "freeze",
    ]  # fmt: skip


def test_nothing_to_choose_does_not_skip_the_rest(bag: Any) -> None:
    tasks = {task.task_id: task for task in bag.dags["prepare_cohort"].tasks}
    assert [tasks[name].trigger_rule for name in ("choose", "batches", "report")] == ["none_failed"] * 3
    assert tasks["settle"].trigger_rule == "all_success", "without an answer the scan need not be done again"


def test_waits_start_in_the_triggerer(bag: Any) -> None:
    waits = [task for dag in bag.dags.values() for task in dag.tasks if task.task_id.startswith("wait")]
    assert len(waits) == 9
    assert all(task.start_from_trigger for task in waits)


def test_thousands_of_federations_may_wait_at_once(bag: Any) -> None:
    for dag in bag.dags.values():
        if any(task.start_from_trigger for task in dag.tasks):
            assert dag.max_active_runs >= 10_000, f"{dag.dag_id} would let federations wait for one another"


def test_a_dag_that_waits_has_a_default_for_every_field(bag: Any) -> None:
    """Airflow 3.3.2's triggerer validates the form without the run's values, and dies of a field without one."""
    for dag in bag.dags.values():
        if any(task.start_from_trigger for task in dag.tasks):
            for key in dag.params:
                dag.params.get_param(key).resolve()


def test_the_form_offers_every_strategy_of_the_charter(bag: Any) -> None:
    from konsil.federation.strategies.choice import NAMES

    assert bag.dags["run_federation"].params.get_param("strategy").schema["enum"] == list(NAMES)


def test_waits_ask_only_what_the_triggerer_can_answer(bag: Any) -> None:
    """It serves one XCom by its map index, and hangs on a list of all of them."""
    waits = [task for dag in bag.dags.values() for task in dag.tasks if task.start_from_trigger]
    for task in waits:
        assert "xcom_pull" not in task.run_name or "map_indexes=-1" in task.run_name


def test_a_site_opens_its_part_by_an_asset_alone(bag: Any) -> None:
    dag = bag.dags["join_federation"]
    assert [asset.name for asset in dag.timetable.asset_condition.objects] == ["konsil_charters"]
    assert all("null" in dag.params.get_param(key).schema["type"] for key in dag.params), "nobody fills in a form then"


def test_an_extension_is_taken_up_by_an_asset_alone_and_stints_do_all_of_it(bag: Any) -> None:
    dag = bag.dags["extend_federation"]
    assert [asset.name for asset in dag.timetable.asset_condition.objects] == ["konsil_extensions"]
    assert dag.task_dict["start_rounds"].partial_kwargs["until"] == "release"
    for name, task_id in (("train_rounds", "train"), ("aggregate_rounds", "aggregate")):
        work, following = bag.dags[name].task_dict[task_id], bag.dags[name].task_dict["next_stint"]
        assert work.until == following.until == "{{ params.until }}"
        assert "until" in work.template_fields
        assert bag.dags[name].params.get_param("until").resolve() == "rounds"


def test_importing_does_nothing(tmp_path: Path) -> None:
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(DAGS.parent)}
    end = subprocess.run([sys.executable, "-c", ALONE, str(DAGS)], env=env, capture_output=True, text=True, check=False)
    assert end.returncode == 0, end.stderr
    assert end.stdout.strip().splitlines()[-1] == "[]"


def test_the_form_keeps_the_bounds_of_the_charter(bag: Any) -> None:
    from konsil.federation.charter import Charter

    properties = Charter.model_json_schema()["properties"]
    params = bag.dags["run_federation"].params
    for name in ("rounds", "extra_rounds", "seed", "precision", "compare_with_local"):
        param = params.get_param(name)
        assert param.value == properties[name]["default"]
        for rule in ("minimum", "maximum", "exclusiveMaximum", "enum"):
            assert param.schema.get(rule) == properties[name].get(rule)
    assert params.get_param("run").schema["pattern"] == whole(properties["run"]["pattern"])


FIELDS = [
    ("prepare_cohort", "cohort", "ms"), ("predict", "cohort", "ms"), ("predict", "model", "ms-1"),
    ("join_federation", "run", "ms-1"), ("run_federation", "run", "ms-1"), ("run_federation", "title", "A pilot"),
]  # fmt: skip


def test_every_pattern_of_a_form_is_tried_below(bag: Any) -> None:
    found = {
        (name, key)
        for name, dag in bag.dags.items()
        for key in dag.params
        if "pattern" in dag.params.get_param(key).schema
    }
    assert found == {(name, key) for name, key, _ in FIELDS}


@pytest.mark.parametrize(("name", "key", "good"), FIELDS)
def test_a_form_refuses_a_name_with_a_line_end_behind_it(bag: Any, name: str, key: str, good: str) -> None:
    """As `POST dagRuns` does: Python's `$` would let one pass, and the library refuses it later."""
    from airflow.sdk.exceptions import ParamValidationError

    param = bag.dags[name].params.get_param(key)
    assert copy(param).resolve(good) == good
    for bad in (f"{good}\n", f"{good}\n\n", f"\n{good}", f"{good}\r\n"):
        with pytest.raises(ParamValidationError, match="does not match"):
            copy(param).resolve(bad)


def test_the_library_and_the_browser_read_a_pattern_of_a_form_alike() -> None:
    assert whole("^[a-z]{2,4}$") == whole("[a-z]{2,4}") == r"^(?:[a-z]{2,4})(?![\s\S])"


def test_every_choice_of_a_form_has_words(bag: Any) -> None:
    for dag in bag.dags.values():
        for key in dag.params:
            shown = dag.params.get_param(key).schema.get("values_display", {})
            assert all(":" in words for words in shown.values())


@pytest.mark.parametrize("family", ["site", "centre"])
def test_the_list_stands_in_the_order_of_work(bag: Any, family: str) -> None:
    order = {
        "site": ["prepare_cohort", "join_federation", "train_rounds", "predict", "doctor", "extend_federation"],
        "centre": ["run_federation", "aggregate_rounds", "doctor", "extend_federation"],
    }
    shown = sorted((dag.dag_display_name, dag.dag_id) for dag in bag.dags.values() if family in dag.tags)
    assert [dag_id for _, dag_id in shown] == order[family]


def test_wiring_is_readable_without_scrolling() -> None:
    for path in DAGS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 40, f"{path.name}: {node.name} has {length} lines"


@pytest.mark.parametrize("name", sorted(IDS))
def test_a_file_brings_neither_the_database_models_nor_a_library_of_images(name: str) -> None:
    """What keeps an import short on every machine; how short it is, `bench/startup.py` measures."""
    command = [sys.executable, "-c", LOADED, str(DAGS / f"{name}.py"), *HEAVY]
    env = os.environ | {"PYTHONPATH": str(DAGS.parent), "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
    end = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert ast.literal_eval(end.stdout.splitlines()[-1]) == []
