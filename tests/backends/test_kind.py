"""The kind backend against recorded programs: every command line, every failure that Docker and kind are known for, every message.

No Docker runs here. `kind`, `docker` and `podman` are scripts on PATH that note their words and answer as the real ones do; what the real
kind makes of kind-config.yaml is in test_real_kind.py.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshcourse.backends import compatibility, containers, kind, kind_images, lookup, readiness, records
from meshcourse.backends.containers import Engine
from meshcourse.backends.kind import Kind
from meshcourse.backends.records import Record
from meshcourse.core.errors import ClusterError, MissingPrerequisite

KUBECONFIG = """{apiVersion: v1, kind: Config, current-context: lab, contexts: [{name: lab, context: {cluster: lab, user: lab}}],
clusters: [{name: lab, cluster: {server: "https://127.0.0.1:40000"}}], users: [{name: lab, user: {}}]}"""
MAKES = f"""
mkdir -p "$HOME"; given="$*"; while [ $# -gt 0 ]; do [ "$1" = --kubeconfig ] && echo '{KUBECONFIG}' > "$2"; shift; done; set -- $given
case "$given" in create*) echo lab > "$HOME/clusters";; delete*) rm -f "$HOME/clusters";;
"get clusters") cat "$HOME/clusters" 2>/dev/null || true;; esac
"""


class Machine:
    """A PATH of recorded programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"

    def has(self, name: str, script: str = "") -> None:
        path = self.folder / name
        notes = f'echo "${{KIND_EXPERIMENTAL_PROVIDER:+($KIND_EXPERIMENTAL_PROVIDER) }}{name} $*" >> {self.log}'
        path.write_text(f"#!/bin/sh\n{notes}\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    @property
    def said(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """docker, kind and the fetched istioctl of 1.18.2 are there; the state and the cache are the test's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, value in {
        "PATH": f"{folder}:/usr/bin:/bin",
        "MESHCOURSE_STATE": tmp_path / "state",
        "MESHCOURSE_CACHE": tmp_path / "cache",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv(containers.PROVIDER, raising=False)
    made = Machine(folder)
    made.has("docker")
    made.has("kind", MAKES)
    program = tmp_path / "cache" / "istioctl" / "1.18.2" / "istioctl"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho '        image: docker.io/istio/pilot:1.18.2'\n")
    program.chmod(0o755)
    return made


LAB = Kind("lab", "1.28", free=lambda port, _: port > 1024)


def silent(_: str) -> None:
    pass


def test_up_creates_with_the_image_the_config_and_a_kubeconfig_of_its_own(machine: Machine) -> None:
    told: list[str] = []
    found = LAB.up(told.append)
    home = records.Record("lab", "kind", 0).home
    files = f"--config {home}/kind-config.yaml --kubeconfig {home}/kubeconfig"
    assert machine.said == [
        "docker info",
        "kind get clusters",
        f"kind create cluster --name lab --image {compatibility.IMAGES['1.28']} {files} --wait 180s",
        "docker info",
        "docker ps --all --filter label=io.x-k8s.kind.cluster=lab --format {{.Names}} {{.State}}",
    ]
    assert (found.backend, found.api_url, found.ingress_url) == ("kind", "https://127.0.0.1:40000", "http://127.0.0.1:31718")
    assert any("guide's newer track" in line for line in told)
    assert ports(yaml.safe_load((home / "kind-config.yaml").read_text())) == [31718]
    assert lookup.find("lab") == Kind("lab")
    assert lookup.runs("lab")


def test_the_fetched_istioctl_comes_first_on_path(machine: Machine, tmp_path: Path) -> None:
    LAB.up(silent)
    environment = LAB.environment()
    assert environment["PATH"].startswith(str(tmp_path / "cache" / "istioctl" / "1.18.2"))
    assert environment["INGRESS_URL"] == "http://127.0.0.1:31718"


def test_up_again_creates_nothing_and_down_deletes(machine: Machine) -> None:
    LAB.up(silent)
    LAB.up(silent)
    assert sum(line.startswith("kind create") for line in machine.said) == 1
    assert Kind("lab").down(silent)
    assert machine.said[-1] == "kind delete cluster --name lab"
    assert records.find("lab") is None
    assert not Kind("lab").down(silent)


def test_a_cluster_that_kind_has_already_is_used(machine: Machine) -> None:
    machine.has("kind", MAKES.replace('cat "$HOME/clusters" 2>/dev/null || true', "echo lab"))
    LAB.up(silent)
    home = records.Record("lab", "kind", 0).home
    assert f"kind export kubeconfig --name lab --kubeconfig {home}/kubeconfig" in machine.said
    assert not any(line.startswith("kind create") for line in machine.said)


def test_one_that_was_deleted_by_hand_is_created_anew(machine: Machine, tmp_path: Path) -> None:
    LAB.up(silent)
    (tmp_path / "home" / "clusters").unlink()
    LAB.up(silent)
    assert sum(line.startswith("kind create") for line in machine.said) == 2


def test_other_versions_under_the_same_name_are_refused(machine: Machine) -> None:
    LAB.up(silent)
    with pytest.raises(ClusterError, match=r"has Kubernetes 1\.28 and Istio 1\.18\.2") as refused:
        Kind("lab", "1.23").up(silent)
    assert "meshcourse down --name lab && meshcourse up --name lab --backend kind --k8s 1.23" in refused.value.next


def test_podman_is_taken_where_docker_is_not_and_kind_is_told(machine: Machine) -> None:
    (machine.folder / "docker").unlink()
    machine.has("podman")
    LAB.up(silent)
    assert "podman info" in machine.said
    assert any(line.startswith("(podman) kind create cluster") for line in machine.said)


def test_the_variable_chooses_podman_although_docker_answers(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.has("podman")
    monkeypatch.setenv(containers.PROVIDER, "podman")
    LAB.up(silent)
    assert not any("docker info" in line for line in machine.said)


@pytest.mark.parametrize(
    ("words", "next_step"),
    [
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?", "systemctl start docker"),
        ("permission denied while trying to connect to the Docker daemon socket", "usermod -aG docker"),
    ],
)
def test_an_engine_that_does_not_answer_says_why(machine: Machine, words: str, next_step: str) -> None:
    machine.has("docker", f'echo "{words}" >&2; exit 1')
    with pytest.raises(MissingPrerequisite, match="No container engine") as refused:
        LAB.up(silent)
    assert words in refused.value.why
    assert "podman: it is not installed" in refused.value.why
    assert next_step in refused.value.next


def test_without_any_engine_the_command_that_brings_one_is_said(machine: Machine) -> None:
    (machine.folder / "docker").unlink()
    with pytest.raises(MissingPrerequisite) as refused:
        LAB.up(silent)
    assert "apt install docker.io" in refused.value.next


@pytest.mark.parametrize(
    ("words", "next_step"),
    [
        ("Bind for 127.0.0.1:31718 failed: port is already allocated", "docker ps"),
        ("listen tcp4 127.0.0.1:31718: bind: address already in use", "ss -ltnp"),
        ('ERROR: failed to create cluster: failed to pull image "kindest/node:v1.28.15"', "meshcourse images pull"),
        ("inotify_init: too many open files", "meshcourse doctor --backend kind"),
        ("write /var/lib/docker: no space left on device", "docker system df"),
        ("ERROR: failed to create cluster: failed to init node with kubeadm", "docker info"),
        ("something else", "kind export logs"),
    ],
)
def test_a_failure_of_kind_keeps_its_words_and_says_what_to_type(machine: Machine, words: str, next_step: str) -> None:
    machine.has("kind", f"case \"$*\" in create*) echo '{words}' >&2; exit 1;; esac")
    with pytest.raises(ClusterError, match="could not create") as refused:
        LAB.up(silent)
    assert words in refused.value.why
    assert next_step in refused.value.next
    assert records.find("lab") is None


def test_nodes_are_shown_with_their_state(machine: Machine) -> None:
    LAB.up(silent)
    machine.has("docker", 'case "$*" in ps*) echo "lab-control-plane exited";; esac')
    assert [(each.name, each.state) for each in Kind("lab").status().components] == [("lab-control-plane", "exited")]
    machine.has("docker", "exit 1")
    assert Kind("lab").status().components == ()


# -- ports -------------------------------------------------------------------------------------------------------------------------------


def config() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(kind.config_file().read_text())
    return content


def ports(content: dict[str, Any]) -> list[int]:
    return [each["hostPort"] for each in content["nodes"][0]["extraPortMappings"]]


def test_ports_that_cannot_be_had_are_left_out_but_the_lessons_own() -> None:
    told: list[str] = []
    assert ports(kind.adapted(config(), lambda _: True, told.append)) == [31718, 80, 443]
    assert ports(kind.adapted(config(), lambda port: port != 80, told.append)) == [31718, 443]
    assert told == ["port 80 is not to be had: left out"]
    with pytest.raises(ClusterError, match="31718"):
        kind.adapted(config(), lambda port: port != 31718, told.append)


def test_a_port_that_somebody_listens_on_is_not_to_be_had() -> None:
    import socket  # noqa: PLC0415 - this test alone

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not kind.takes(port, Engine("docker", "docker"))
    assert kind.takes(port, Engine("docker", "docker"))


def test_gateway_gets_the_mapped_node_ports_once() -> None:
    service = {"spec": {"ports": [{"port": 15021, "nodePort": 30021}, {"port": 80, "nodePort": 30080}, {"port": 443, "nodePort": 30443}]}}
    patch = kind.node_ports(service)
    assert patch == {"spec": {"ports": [{"port": 80, "nodePort": 31718}, {"port": 443, "nodePort": 31719}]}}
    assert kind.node_ports({"spec": {"ports": [{"port": 80, "nodePort": 31718}, {"port": 443, "nodePort": 31719}]}}) == {}


@pytest.mark.cluster
def test_a_real_gateway_is_given_them(cluster: Any) -> None:
    before = cluster.get("-n", "istio-system", "service", "istio-ingressgateway")["spec"]["ports"]
    record = records.write(Record("settled", records.KIND, 0.0, kubernetes="1.36", istio="1.31.0"))
    record.kubeconfig.write_bytes(cluster.kubeconfig.read_bytes())
    record.kubeconfig.chmod(0o600)
    Kind("settled").settle()
    after = {
        each["port"]: each["nodePort"] for each in cluster.get("-n", "istio-system", "service", "istio-ingressgateway")["spec"]["ports"]
    }
    assert (after[80], after[443]) == (31718, 31719)
    assert set(after) == {each["port"] for each in before}
    records.forget(record)


# -- images and the doctor ---------------------------------------------------------------------------------------------------------------


def test_only_images_that_are_not_here_are_pulled(machine: Machine) -> None:
    machine.has("docker", 'case "$*" in "image inspect b") exit 1;; esac')
    kind_images.pull(["a", "b"], silent)
    assert [line for line in machine.said if "pull" in line] == ["docker pull b"]


def test_a_pull_that_fails_keeps_the_engines_words(machine: Machine) -> None:
    machine.has("docker", 'case "$*" in image*) exit 1;; pull*) echo "toomanyrequests: pull rate limit" >&2; exit 1;; esac')
    with pytest.raises(ClusterError, match="docker pull a") as refused:
        kind_images.pull(["a"], silent)
    assert "toomanyrequests" in refused.value.why


def test_images_are_carried_in_a_file_and_loaded_into_the_nodes(machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "all.tar"
    kind_images.save(["kindest/node:v1@sha256:0", "nginx@sha256:1"], file)
    kind_images.restore(file)
    kind_images.load("lab", ["nginx:1"])
    kind_images.load_archive("lab", file)
    assert [line for line in machine.said if line != "docker info"] == [
        f"docker save --output {file} kindest/node:v1 nginx@sha256:1",
        f"docker load --input {file}",
        "kind load docker-image --name lab nginx:1",
        f"kind load image-archive --name lab {file}",
    ]


def test_pull_takes_the_node_istios_own_and_the_chapters_images(machine: Machine, meshcourse: Callable[..., Any]) -> None:
    machine.has("docker", 'case "$*" in image*) exit 1;; esac')
    done = meshcourse("images", "pull", "--k8s", "1.28")
    assert done.returncode == 0, done.stderr
    pulled = {line.removeprefix("docker pull ") for line in machine.said if line.startswith("docker pull")}
    assert {compatibility.IMAGES["1.28"], "docker.io/istio/pilot:1.18.2"} < pulled
    assert any("examples-bookinfo-reviews" in image for image in pulled)


@pytest.mark.parametrize(("instances", "ok"), [(128, False), (8192, True)])
def test_doctor_holds_inotify_against_kinds_own_advice(machine: Machine, tmp_path: Path, instances: int, *, ok: bool) -> None:
    (tmp_path / "max_user_watches").write_text("1048576\n")
    (tmp_path / "max_user_instances").write_text(f"{instances}\n")
    (line,) = [each for each in containers.checks(tmp_path) if each.name == "inotify"]
    assert line.ok is ok
    assert line.fix == ("" if ok else "sudo sysctl fs.inotify.max_user_instances=512")


def test_doctor_says_what_each_backend_lacks(machine: Machine) -> None:
    assert {"containers", "kind", "kubectl"} <= {each.name for each in readiness.of("kind")}
    assert [each.name for each in readiness.of("existing")] == ["kubectl", "istioctl"]
    (machine.folder / "docker").unlink()
    (line,) = [each for each in readiness.of("kind") if each.name == "containers"]
    assert not line.ok
    assert "docker.io" in line.fix
