"""The files that an IT department gets: they parse, every service is confined, and the guide tells the truth."""

import copy
import re
import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import Any

import pytest
import yaml

from konsil.stack.secrets import make
from konsil.stack.wishes import Wish

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
DOCKERFILES = sorted((ROOT / "containers").rglob("Dockerfile"))
SERVICES = sorted(COMPOSE["services"])


def guide_check() -> Any:
    spec = util.spec_from_file_location("check_it_guide", ROOT / "scripts" / "check_it_guide.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined_and_comes_back(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["restart"] == "unless-stopped"
    assert service["mem_limit"]
    assert service["profiles"]
    assert ":latest" not in service["image"]


def test_a_sites_services_have_no_way_out_but_those_that_ask_the_store() -> None:
    inner = {name for name, network in COMPOSE["networks"].items() if (network or {}).get("internal")}
    outward = {}
    for name in SERVICES:
        service = COMPOSE["services"][name]
        if set(service["networks"]) - inner:
            outward[name] = "ports" in service
    sites = {f"{slot}-{part}" for slot in "abc" for part in ("api", "scheduler", "triggerer")}
    assert {name for name, published in outward.items() if not published} == sites
    assert {name for name, published in outward.items() if published} == {
        f"{slot}-proxy" for slot in ("centre", "store", *"abc")
    }


def test_sites_share_no_network_volume_or_secret() -> None:
    for kind in ("networks", "volumes", "secrets"):
        used = {slot: set(map(str, re.findall(rf"\b{slot}-[a-z-]+", str([
            COMPOSE["services"][name].get(kind) for name in SERVICES if name.startswith(f"{slot}-")
        ])))) for slot in "abc"}  # fmt: skip
        assert used["a"]
        assert not used["a"] & used["b"]


def test_secrets_come_from_files_and_none_stands_here() -> None:
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    for service in COMPOSE["services"].values():
        for name, value in (service.get("environment") or {}).items():
            assert "PASSWORD" not in name or (name.endswith("_FILE") and value.startswith("/run/secrets/"))


@pytest.mark.parametrize(
    ("profile", "sites", "places"),
    [
        ("centre", ("A",), {"centre"}),
        ("site", ("A",), {"a"}),
        ("all-in-one", ("A",), {"centre", "a"}),
        ("all-in-one", ("A", "B"), {"centre", "a", "b"}),
        ("all-in-one", ("A", "B", "C"), {"centre", "a", "b", "c"}),
    ],
)
def test_what_init_says_to_start_finds_its_secrets(
    profile: str, sites: tuple[str, ...], places: set[str], tmp_path: Path
) -> None:
    wish = Wish(profile, "localhost", sites)
    make(wish, tmp_path / "s")
    wanted = {*wish.profiles, *(["pacs"] if "a" in places else [])}
    started = {name: one for name, one in COMPOSE["services"].items() if wanted & set(one["profiles"])}
    assert {name.removesuffix("-db") for name in started if name.endswith("-db")} == places
    for service in started.values():
        for secret in service.get("secrets", []):
            file = COMPOSE["secrets"][secret if isinstance(secret, str) else secret["source"]]["file"]
            assert (tmp_path / "s" / file.partition("/konsil-stack}/")[2]).is_file(), file


def test_the_image_that_is_told_is_the_image_that_runs() -> None:
    for name in SERVICES:
        if name.endswith(("-scheduler", "-api")):
            assert COMPOSE["services"][name]["environment"]["KONSIL_IMAGE"] == "${KONSIL_WORKER_IMAGE:-}"
        if name.endswith("-scheduler"):
            assert COMPOSE["services"][name]["image"] == "${KONSIL_WORKER_IMAGE:-konsil/worker}"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_an_image_is_pinned_and_never_root(path: Path) -> None:
    text = path.read_text()
    assert all(
        line.split()[1] in {"${BASE}"} | set(re.findall(r" AS (\S+)", text))
        for line in text.splitlines()
        if line.startswith("FROM")
    )
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE)[-1] not in {"root", "0"}
    assert "curl |" not in text
    assert not re.search(r"https?://(?!127\.0\.0\.1)", text)


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
@pytest.mark.parametrize("profile", ["centre", "site", "all-in-one", "pacs"])
@pytest.mark.parametrize("over", ["", "celery", "gpu", "metrics", "seaweedfs"])
def test_compose_accepts_the_files(profile: str, over: str) -> None:
    files = ["--file", "docker-compose.yaml", *(["--file", f"docker-compose.{over}.yaml"] if over else [])]
    command = ["docker-compose", *files, "--profile", profile, "config", "--quiet"]
    end = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert end.returncode == 0, end.stderr


def test_metrics_stay_in_the_places_network_and_are_asked_for_on_this_host_alone() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.metrics.yaml").read_text())["services"]
    exporter = services.pop("a-metrics")
    assert (exporter["read_only"], exporter["cap_drop"]) == (True, ["ALL"])
    assert exporter["ports"] == ["${KONSIL_A_METRICS:-127.0.0.1:9102}:9102"]
    (alias,) = exporter["networks"]["a-inner"]["aliases"]
    assert set(services) == {name for name in COMPOSE["services"] if name.startswith("a-")} - {"a-db", "a-proxy"}
    for service in services.values():
        assert service["environment"]["AIRFLOW__METRICS__STATSD_HOST"] == alias


def test_dockerfiles_pass_the_linter() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed")
    command = [program, "--config", str(ROOT / "containers" / "hadolint.yaml"), *map(str, DOCKERFILES)]
    end = subprocess.run(command, capture_output=True, text=True, check=False)
    assert end.returncode == 0, end.stdout + end.stderr


def test_the_guide_tells_what_the_compose_file_does() -> None:
    module = guide_check()
    guide = (ROOT / "docs" / "guides" / "it.md").read_text()
    assert module.faults(guide, COMPOSE) == []


def inspected(**changed: Any) -> list[dict[str, Any]]:
    """A container as the engine shows it: site A's proxy, as the guide says it is or otherwise."""
    binding = {"8443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8444"}]}
    host = {
        "PortBindings": binding, "Memory": 128 << 20, "ReadonlyRootfs": True, "CapDrop": ["ALL"], "Privileged": False,
        "SecurityOpt": ["no-new-privileges:true"],
    }  # fmt: skip
    return [{"Config": {"Labels": {"com.docker.compose.service": "a-proxy"}}, "HostConfig": host | changed}]


@pytest.mark.parametrize(("changed", "word"), [
    ({}, ""), ({"Memory": 0}, "may use 0 bytes"), ({"CapDrop": None}, "not confined"), ({"Privileged": True}, "not "),
    ({"PortBindings": {"8443/tcp": [{"HostIp": "", "HostPort": "8444"}]}}, "publishes *:8444"),
])  # fmt: skip
def test_the_guides_check_asks_the_stack_that_runs(changed: dict[str, Any], word: str) -> None:
    found = guide_check().faults_of_running((ROOT / "docs" / "guides" / "it.md").read_text(), inspected(**changed))
    assert [word in sentence for sentence in found] == ([True] if word else [])
    assert guide_check().faults_of_running("", []) == ["no stack runs"]


@pytest.mark.parametrize(("service", "key", "value"), [
    ("a-proxy", "ports", ["0.0.0.0:8444:8443"]), ("a-db", "mem_limit", "1g"), ("minio", "profiles", ["other"]),
])  # fmt: skip
def test_the_guides_check_notices_a_change(service: str, key: str, value: Any) -> None:
    changed = copy.deepcopy(COMPOSE)
    changed["services"][service][key] = value
    guide = (ROOT / "docs" / "guides" / "it.md").read_text()
    assert guide_check().faults(guide, changed)
