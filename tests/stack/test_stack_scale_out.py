"""The files for more than one machine: Kubernetes accepts them, and they tell the same place as docker-compose.yaml."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from konsil.errors import BadInput
from konsil.stack import container

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "containers" / "kubernetes"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
VALUES = yaml.safe_load((FOLDER / "values.yaml").read_text())
POD = yaml.safe_load((FOLDER / "pod-template.yaml").read_text())
MANIFESTS = [POD, *yaml.safe_load_all((FOLDER / "place.yaml").read_text())]
VERSIONS = ("1.30", "1.37")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_kubernetes_accepts_the_manifest(manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_a_manifest_that_is_wrong_would_be_refused() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {**POD, "spec": {"containers": [{"name": "base", "immage": "x"}]}}, "1.37", strict=True
        )


def test_pods_are_as_confined_as_containers() -> None:
    (base,) = POD["spec"]["containers"]
    for confined in (base["securityContext"], VALUES["securityContexts"]["containers"]):
        assert confined["readOnlyRootFilesystem"] is True
        assert confined["allowPrivilegeEscalation"] is False
        assert confined["capabilities"] == {"drop": ["ALL"]}
    for pod in (POD["spec"]["securityContext"], VALUES["securityContexts"]["pod"]):
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] == 10001
    assert POD["spec"]["automountServiceAccountToken"] is False


def test_the_chart_starts_each_component_as_compose_does() -> None:
    for part, key in {
        "scheduler": "scheduler",
        "api": "apiServer",
        "dag-processor": "dagProcessor",
        "triggerer": "triggerer",
    }.items():
        assert VALUES[key]["args"] == COMPOSE[f"a-{part}"]["command"]
        assert VALUES[key]["waitForMigrations"] == {"enabled": False}
    assert POD["spec"]["containers"][0]["command"] == ["konsil", "component", container.TASK, "--"]


def test_what_the_charts_schema_takes_as_environment_and_nothing_else() -> None:
    """`env`: objects of the strings name and value, no more; `extraEnv`: a text, which Helm fills in."""
    for one in VALUES["env"]:
        assert set(one) == {"name", "value"}
        assert all(isinstance(text, str) for text in one.values())
    filled = VALUES["extraEnv"].replace("{{ .Release.Namespace | quote }}", '"konsil-a"')
    assert "{{" not in filled
    assert yaml.safe_load(filled) == [{"name": "AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE", "value": "konsil-a"}]


def test_the_api_server_listens_where_a_pod_can() -> None:
    """In compose it listens on its own name; in Kubernetes that name is a Service's."""
    (service,) = [one for one in MANIFESTS if one["kind"] == "Service" and one["metadata"]["name"] == "api"]
    assert service["spec"]["ports"][0]["targetPort"] == container.PORT
    assert {"name": "AIRFLOW__API__HOST", "value": "0.0.0.0"} in VALUES["env"]  # noqa: S104 - within its pod


def test_the_chart_makes_no_account_and_no_database() -> None:
    for job in ("createUserJob", "webserver"):
        assert VALUES[job] == {"defaultUser": {"enabled": False}}
    for part in ("migrateDatabaseJob", "postgresql", "redis", "statsd"):
        assert VALUES[part] == {"enabled": False}


def test_every_mount_is_a_volume_and_what_konsil_reads() -> None:
    for mounts, volumes in (
        (POD["spec"]["containers"][0]["volumeMounts"], POD["spec"]["volumes"]),
        (VALUES["volumeMounts"], VALUES["volumes"]),
    ):
        assert {mount["name"] for mount in mounts} == {volume["name"] for volume in volumes}
        assert {str(container.SECRET), str(container.FOLDER)} <= {mount["mountPath"] for mount in mounts}


def test_workers_of_celery_are_the_scheduler_of_the_site_with_another_command() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.celery.yaml").read_text())["services"]
    for name in ("a-worker-1", "a-worker-2"):
        assert services[name]["extends"] == {"file": "docker-compose.yaml", "service": "a-scheduler"}
        assert services[name]["command"] == ["component", "worker"]
        assert services[name]["environment"] == services["a-scheduler"]["environment"]
    broker = services["a-broker"]
    assert broker["read_only"] is True
    assert broker["cap_drop"] == ["ALL"]
    assert "ports" not in broker


@pytest.mark.parametrize(("name", "arguments"), [("task", ()), ("scheduler", ("x",)), ("celery", ())])
def test_a_component_that_is_none_is_refused(name: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        container.become(name, tmp_path / "no-secret", tmp_path / "run", arguments=arguments)
