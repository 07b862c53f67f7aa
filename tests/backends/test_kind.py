"""The kind backend against recorded programs: every command line, every failure that Docker and kind are known for, every message.

No Docker runs here. `kind`, `docker` and `podman` are scripts on PATH that note their words and answer with what the real ones printed:
recordings/ is written by tests/real_kind/record.py. The real thing is in tests/real_kind.
"""

from __future__ import annotations

import http.server
import json
import shlex
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshcourse.backends import compatibility, containers, kind, kind_failures, kind_images, kind_nodes, lookup, readiness, records
from meshcourse.backends.containers import Engine
from meshcourse.backends.kind import Kind
from meshcourse.backends.kind_nodes import Node
from meshcourse.backends.records import Record
from meshcourse.core import settings
from meshcourse.core.errors import ClusterError, MissingPrerequisite

KUBECONFIG = """{apiVersion: v1, kind: Config, current-context: lab, contexts: [{name: lab, context: {cluster: lab, user: lab}}],
clusters: [{name: lab, cluster: {server: "https://127.0.0.1:40000"}}], users: [{name: lab, user: {}}]}"""
RECORDINGS = Path(__file__).parent / "recordings"
DOCKERS = ["docker-20.10", "docker-28.2"]
MAKES = f"""
mkdir -p "$HOME"; given="$*"; while [ $# -gt 0 ]; do [ "$1" = --kubeconfig ] && echo '{KUBECONFIG}' > "$2"; shift; done; set -- $given
case "$given" in create*) echo lab > "$HOME/clusters";; delete*) rm -f "$HOME/clusters";;
"get clusters") cat "$HOME/clusters" 2>/dev/null || true;; version) echo "kind v0.33.0 go1.26.8 linux/amd64";; esac
"""
NODE = """case "$*" in
"ps --all --quiet --filter label=io.x-k8s.kind.cluster=lab") echo 0123;;
inspect*0123) echo '[{"Name": "/lab-control-plane", "State": {"Status": "STATE"},
  "NetworkSettings": {"Networks": {"kind": {"IPAddress": "172.18.0.2"}}}}]';;
"image inspect"*) exit 1;;
esac"""
"""A Docker with the one node of the cluster lab, in STATE, and without any image."""
TOOLS = ("cat", "mkdir", "rm", "sh")
"""What the scripts need: an engine that this machine has in /usr/bin must not be found."""


def recording(file: str, name: str) -> dict[str, Any]:
    """What a real program printed."""
    found: dict[str, Any] = json.loads((RECORDINGS / f"{file}.json").read_text())[name]
    return found


def answer(file: str, name: str) -> str:
    """A script that prints what the real program printed, and ends as it ended."""
    found = recording(file, name)
    output, errors = shlex.quote(found["output"]), shlex.quote(found["errors"])
    return f"printf %s {output}; printf %s {errors} >&2; exit {found['code']}"


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
    for tool in TOOLS:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    for name, value in {
        "PATH": folder,
        "MESHCOURSE_STATE": tmp_path / "state",
        "MESHCOURSE_CACHE": tmp_path / "cache",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv(containers.PROVIDER, raising=False)
    made = Machine(folder)
    made.has("docker", NODE.replace("STATE", "running"))
    made.has("kind", MAKES)
    program = tmp_path / "cache" / "istioctl" / "1.18.2" / "istioctl"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho '        image: docker.io/istio/pilot:1.18.2'\n")
    program.chmod(0o755)
    return made


@pytest.fixture
def ready() -> Iterator[str]:
    """The URL of something that says ok to everything, as an API server that is ready does to /readyz."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


LAB = Kind("lab", "1.28", free=lambda port, _: port > 1024)


def silent(_: str) -> None:
    pass


def test_up_creates_with_the_image_the_config_and_a_kubeconfig_of_its_own(machine: Machine) -> None:
    told: list[str] = []
    found = LAB.up(told.append)
    home = records.Record("lab", "kind", 0).home
    files = f"--config {home}/kind-config.yaml --kubeconfig {home}/kubeconfig"
    image = compatibility.IMAGES["1.28"]
    nodes = ["docker ps --all --quiet --filter label=io.x-k8s.kind.cluster=lab", "docker inspect --type container 0123"]
    assert machine.said == [
        "docker info",
        "kind version",
        "kind get clusters",
        f"docker image inspect {image}",
        f"docker image inspect {image.partition('@')[0]}",
        f"kind create cluster --name lab --image {image} {files} --wait 180s",
        *nodes,
        "docker info",
        "docker image inspect docker.io/istio/pilot:1.18.2",
        "docker info",
        *nodes,
    ]
    assert "  (minutes the first time: the image is 0.4 GB)".strip() in " ".join(told)
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
    assert "kind delete cluster --name lab" in machine.said
    assert records.find("lab") is None
    assert not records.Record("lab", "kind", 0).home.exists()
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
    machine.has("podman", NODE.replace("STATE", "running"))
    LAB.up(silent)
    assert "podman info" in machine.said
    assert any(line.startswith("(podman) kind create cluster") for line in machine.said)


def test_the_variable_chooses_podman_although_docker_answers(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.has("podman", NODE.replace("STATE", "running"))
    monkeypatch.setenv(containers.PROVIDER, "podman")
    LAB.up(silent)
    assert not any("docker info" in line for line in machine.said)


@pytest.mark.parametrize("docker", DOCKERS)
@pytest.mark.parametrize(
    ("name", "why", "next_step"),
    [
        ("info: nothing listens", "Cannot connect to the Docker daemon", "systemctl start docker"),
        ("info: no rights", "permission denied while trying to connect", "usermod -aG docker"),
    ],
)
def test_an_engine_that_does_not_answer_says_why(machine: Machine, docker: str, name: str, why: str, next_step: str) -> None:
    machine.has("docker", answer(docker, name))
    with pytest.raises(MissingPrerequisite, match="No container engine") as refused:
        LAB.up(silent)
    assert f"docker: {why}" in refused.value.why
    assert "podman: it is not installed" in refused.value.why
    assert next_step in refused.value.next


def test_without_any_engine_the_command_that_brings_one_is_said(machine: Machine) -> None:
    (machine.folder / "docker").unlink()
    with pytest.raises(MissingPrerequisite) as refused:
        LAB.up(silent)
    assert "apt install docker.io" in refused.value.next


@pytest.mark.parametrize(
    ("name", "why", "next_step"),
    [
        ("create: no network", "failed to pull image", "meshcourse up ... --images made"),
        ("create: the port is taken", "port is already allocated", "docker ps"),
    ],
)
def test_a_real_failure_of_kind_is_shown_from_its_error_on(machine: Machine, name: str, why: str, next_step: str) -> None:
    machine.has("kind", f'case "$*" in create*) {answer("kind-0.33", name)};; version) {answer("kind-0.33", "version")};; esac')
    with pytest.raises(ClusterError, match="could not create") as refused:
        LAB.up(silent)
    assert refused.value.why.startswith("ERROR: failed to create cluster")
    assert why in refused.value.why
    assert next_step in refused.value.next
    assert machine.said[-2:] == ["kind delete cluster --name lab", "docker info"]
    assert not records.Record("lab", "kind", 0).home.exists()


@pytest.mark.parametrize(
    ("words", "next_step"),
    [
        ("listen tcp4 127.0.0.1:31718: bind: address already in use", "ss -ltnp"),
        ("inotify_init: too many open files", "fs.inotify.max_user_instances"),
        ("write /var/lib/docker: no space left on device", "docker system df"),
        ("exec /usr/local/bin/entrypoint: exec format error", "Architecture"),
        ("runc create failed: unable to start container process: unable to apply caps: operation not permitted", "docs/kind.md"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock", "systemctl start docker"),
        ("ERROR: failed to create cluster: failed to init node with kubeadm", "docker info"),
        ("something else", "kind export logs"),
    ],
)
def test_words_of_a_failure_lead_to_what_to_type(words: str, next_step: str) -> None:
    assert next_step in kind_failures.advice(words)


def test_of_a_long_failure_the_first_line_and_the_last_are_shown() -> None:
    shown = kind_failures.reason("\n".join(["a warning", "ERROR: failed to init node", *(f"line {number}" for number in range(200))]))
    assert shown.splitlines()[:2] == ["ERROR: failed to init node", "..."]
    assert shown.splitlines()[-1] == "line 199"
    assert len(shown.splitlines()) < 20


def test_kubeadms_log_and_stacks_do_not_hide_its_error() -> None:
    said = """ERROR: failed to create cluster: failed to init node with kubeadm: exit status 1

Command Output: [init] Using Kubernetes version: v1.36.3
I1130 16:19:16.676210     116 round_trippers.go:632] "Response" verb="POST" status=""
error: error execution phase wait-control-plane: client rate limiter Wait returned an error: context deadline exceeded
github.com/spf13/cobra.(*Command).Execute
\tgithub.com/spf13/cobra@v1.10.2/command.go:1071
main.main
"""
    shown = kind_failures.reason(said)
    assert shown.splitlines()[-1].endswith("context deadline exceeded")
    assert "cobra" not in shown
    assert "is the machine busy" in kind_failures.advice(shown)


@pytest.mark.parametrize("docker", DOCKERS)
@pytest.mark.parametrize(("state", "word"), [("running", ""), ("exited", "start"), ("paused", "unpause")])
def test_nodes_that_have_stopped_start_again(machine: Machine, ready: str, docker: str, state: str, word: str) -> None:
    LAB.up(silent)
    before = len(machine.said)
    for file, shown in (("state", state), ("started", "running")):
        found = recording(docker, f"inspect: {shown}")["output"].replace("/recorded", "/lab-control-plane").replace("bridge", "kind")
        (machine.folder / file).write_text(found)
    answers = f"inspect*) cat {machine.folder}/state;;\nstart*|unpause*) cat {machine.folder}/started >{machine.folder}/state;;"
    machine.has("docker", f"{NODE.partition('inspect*')[0]}{answers}\nesac")
    kubeconfig = records.Record("lab", "kind", 0).kubeconfig
    kubeconfig.write_text(KUBECONFIG.replace("https://127.0.0.1:40000", ready))
    before_it = Kind("lab").status()
    assert [(each.name, each.state) for each in before_it.components] == [("lab-control-plane", state)]
    assert before_it.fault == (f"These of its nodes do not run: lab-control-plane ({state})." if word else "")
    assert before_it.remedy.startswith("meshcourse up --name lab ") is bool(word)
    told: list[str] = []
    LAB.up(told.append)
    assert [line for line in machine.said[before:] if "lab-control-plane" in line] == ([f"docker {word} lab-control-plane"] if word else [])
    assert (f"starting again: lab-control-plane ({state})" in told) is bool(word)


@pytest.mark.parametrize("docker", DOCKERS)
def test_status_without_an_engine_says_why_and_what_to_type(machine: Machine, docker: str) -> None:
    LAB.up(silent)
    machine.has("docker", answer(docker, "info: nothing listens"))
    found = Kind("lab").status()
    assert found.components == ()
    assert "Cannot connect to the Docker daemon" in found.fault
    assert "systemctl start docker" in found.remedy


@pytest.mark.parametrize(
    ("nodes", "fault", "remedy"),
    [
        ((), "nodes were deleted", "meshcourse up --name lab "),
        ((Node("lab-worker", "running"),), "control plane was deleted", "meshcourse down --name lab "),
        ((Node("lab-control-plane", "running"), Node("lab-worker", "paused")), "lab-worker (paused)", "meshcourse up --name lab "),
        ((Node("lab-control-plane", "running"),), "", ""),
    ],
)
def test_what_is_wrong_with_nodes_is_a_sentence_and_a_command(nodes: tuple[Node, ...], fault: str, remedy: str) -> None:
    found = kind_nodes.fault("lab", nodes)
    assert fault in found[0]
    assert bool(found[0]) is bool(fault)
    assert found[1].startswith(remedy)


def test_a_node_that_is_listed_before_it_can_be_inspected_is_asked_for_again(machine: Machine) -> None:
    known = machine.folder / "known"
    early = f"inspect*0123) [ -e {known} ] || {{ : >{known}; echo 'Error: No such container: 0123' >&2; exit 1; }}"
    machine.has("docker", NODE.replace("STATE", "running").replace("inspect*0123)", early + "\n"))
    assert [each.state for each in kind_nodes.of(containers.find(), "lab")] == ["running"]


def test_what_a_killed_up_has_left_is_deleted_first(machine: Machine, tmp_path: Path) -> None:
    home = records.Record("lab", "kind", 0).home
    home.mkdir(parents=True)
    (home / kind.UNFINISHED).touch()
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "clusters").write_text("lab\n")
    LAB.up(silent)
    assert [line.split(" --")[0] for line in machine.said if " cluster --" in line] == ["kind delete cluster", "kind create cluster"]
    assert not (home / kind.UNFINISHED).exists()


def test_an_engine_that_ends_during_creation_is_named_and_what_is_left_can_be_deleted(machine: Machine) -> None:
    dead = answer("docker-20.10", "info: nothing listens").replace("'", "'\\''")
    ends = f"printf '#!/bin/sh\n%s\n' '{dead}' >{machine.folder}/docker"
    machine.has("kind", f'case "$1" in create) {ends}; exit 1;; delete) exit 1;; esac\n{MAKES}')
    with pytest.raises(ClusterError, match="engine ended while kind created") as refused:
        LAB.up(silent)
    assert "systemctl start docker" in refused.value.next
    home = records.Record("lab", "kind", 0).home
    assert (home / kind.UNFINISHED).exists()
    assert lookup.find("lab") == Kind("lab")
    with pytest.raises(ClusterError, match="does not run") as absent:
        lookup.find("lab").status()
    assert "--backend kind" in absent.value.next
    machine.has("docker", NODE.replace("STATE", "running"))
    machine.has("kind", MAKES)
    assert lookup.find("lab").down(silent)
    assert "kind delete cluster --name lab" in machine.said
    assert not home.exists()


def test_kind_on_path_that_is_too_old_is_not_used(machine: Machine, tmp_path: Path) -> None:
    machine.has("kind", MAKES.replace("v0.33.0", "v0.23.0"))
    ours = tmp_path / "cache" / "kind" / kind.KIND.version / "kind"
    ours.parent.mkdir(parents=True)
    shutil.copy(machine.folder / "kind", ours)
    ours.write_text(ours.read_text().replace("kind $*", "ours $*"))
    told: list[str] = []
    LAB.up(told.append)
    assert any("kind v0.23 on PATH cannot make nodes" in line for line in told)
    assert any(line.startswith("ours create cluster") for line in machine.said)


def test_a_loaded_node_image_is_used_by_its_tag(machine: Machine) -> None:
    plain = compatibility.IMAGES["1.28"].partition("@")[0]
    machine.has("docker", f'[ "$*" = "image inspect {plain}" ] && exit 0\n{NODE.replace("STATE", "running")}')
    told: list[str] = []
    LAB.up(told.append)
    assert any(f"--image {plain} " in line for line in machine.said)
    assert not any("the image is 0.4 GB" in line for line in told)


def test_what_the_engine_has_is_put_into_a_new_clusters_nodes(machine: Machine) -> None:
    machine.has("docker", f'[ "$*" = "image inspect nginx:1.27" ] && exit 0\n{NODE.replace("STATE", "running")}')
    Kind("lab", "1.28", course=("nginx:1.27", "tomcat"), free=LAB.free).up(silent)
    assert "kind load docker-image --name lab nginx:1.27" in machine.said


def test_policies_name_the_mapped_ports_and_adapt_made_images_alone() -> None:
    public, here = (yaml.safe_dump_all(kind.policies(images)) for images in ("", "made"))
    assert "nodePort: 31718" in public
    assert "nodePort: 31719" in public
    assert "${" not in here
    assert "meshcourse-upstream-envoy" in here
    assert "meshcourse-upstream-envoy" not in public


def test_images_are_made_for_some_kubernetes_and_one_istio(machine: Machine) -> None:
    with pytest.raises(ClusterError, match=r"node image of Kubernetes 1\.30 cannot be made") as refused:
        Kind("lab", "1.30", images="made", course=("nginx",)).up(silent)
    assert "1.28" in refused.value.why
    with pytest.raises(ClusterError, match=r"Images of Istio are made for") as refused:
        Kind("lab", "1.28", "1.18.2", images="made").up(silent)
    assert f"--images made --istio-version {settings.ISTIO}" in refused.value.next
    LAB.up(silent)
    with pytest.raises(ClusterError, match="was made with public images"):
        Kind("lab", images="made").up(silent)


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
    assert told == ["port 80 is in use; not mapped"]
    with pytest.raises(ClusterError, match="31718"):
        kind.adapted(config(), lambda port: port != 31718, told.append)


def test_workers_lie_in_zones_of_their_own_and_only_the_control_plane_has_ports() -> None:
    nodes = kind.with_workers(config()["nodes"], 3)
    assert [each["role"] for each in nodes] == ["control-plane", "worker", "worker"]
    assert len({each["labels"]["topology.kubernetes.io/zone"] for each in nodes[1:]}) == 2
    assert not any("extraPortMappings" in each for each in nodes[1:])
    assert kind.with_workers(config()["nodes"], 1) == config()["nodes"]


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
    try:
        Kind("settled").settle()
        after = {
            each["port"]: each["nodePort"] for each in cluster.get("-n", "istio-system", "service", "istio-ingressgateway")["spec"]["ports"]
        }
    finally:  # later tests send their requests to the ports that this cluster has opened
        own = {"spec": {"ports": [{"port": each["port"], "nodePort": each["nodePort"]} for each in before]}}
        cluster.kubectl("-n", "istio-system", "patch", "service", "istio-ingressgateway", "-p", json.dumps(own))
        records.forget(record)
    assert (after[80], after[443]) == (31718, 31719)
    assert set(after) == {each["port"] for each in before}


# -- images and the doctor ---------------------------------------------------------------------------------------------------------------


def test_only_images_that_are_not_here_are_pulled(machine: Machine) -> None:
    machine.has("docker", f'case "$*" in "image inspect b") {answer("docker-20.10", "image inspect: absent")};; esac')
    kind_images.pull(["a", "b"], silent)
    assert [line for line in machine.said if "pull" in line] == ["docker pull b"]


@pytest.mark.parametrize("docker", DOCKERS)
def test_a_pull_that_fails_keeps_the_engines_words_and_names_the_other_way(machine: Machine, docker: str) -> None:
    machine.has("docker", f'case "$*" in image*) exit 1;; pull*) {answer(docker, "pull: no network")};; esac')
    with pytest.raises(ClusterError, match="docker pull a") as refused:
        kind_images.pull(["a"], silent)
    assert "network is unreachable" in refused.value.why
    assert "meshcourse images make" in refused.value.next


def test_images_are_carried_in_a_file(machine: Machine, tmp_path: Path) -> None:
    machine.has("docker", 'case "$*" in "image inspect kindest/node:v1") exit 1;; esac')
    file = tmp_path / "all.tar"
    kind_images.save(["kindest/node:v1@sha256:0", "nginx@sha256:1"], file)
    kind_images.restore(file)
    kind_images.give("lab", ["nginx:1"], silent)
    assert [line for line in machine.said if line != "docker info" and "inspect" not in line] == [
        "docker tag kindest/node@sha256:0 kindest/node:v1",  # a pull by digest leaves no tag, and an archive keeps only tags
        f"docker save --output {file} kindest/node:v1 nginx@sha256:1",
        f"docker load --input {file}",
        "kind load docker-image --name lab nginx:1",
    ]


def test_pull_takes_the_node_istios_own_and_the_chapters_images(machine: Machine, meshcourse: Callable[..., Any]) -> None:
    machine.has("docker", 'case "$*" in image*) exit 1;; esac')
    done = meshcourse("images", "pull", "--k8s", "1.28")
    assert done.returncode == 0, done.stderr
    pulled = {line.removeprefix("docker pull ") for line in machine.said if line.startswith("docker pull")}
    assert {compatibility.IMAGES["1.28"], "docker.io/istio/pilot:1.18.2"} < pulled
    assert any("examples-bookinfo-reviews" in image for image in pulled)


@pytest.mark.parametrize(("instances", "advised"), [(128, True), (8192, False)])
def test_doctor_shows_kinds_own_advice_on_inotify(machine: Machine, tmp_path: Path, instances: int, *, advised: bool) -> None:
    (tmp_path / "max_user_watches").write_text("1048576\n")
    (tmp_path / "max_user_instances").write_text(f"{instances}\n")
    (line,) = [each for each in containers.checks(tmp_path) if each.name == "inotify"]
    assert line.ok  # one node runs with less: it is advice, no condition
    assert ("sudo sysctl fs.inotify.max_user_instances=512" in line.found) is advised


def test_doctor_says_what_each_backend_lacks(machine: Machine) -> None:
    assert {"containers", "kind", "kubectl"} <= {each.name for each in readiness.of("kind")}
    assert [each.name for each in readiness.of("existing")] == ["kubectl", "istioctl"]
    (machine.folder / "docker").unlink()
    (line,) = [each for each in readiness.of("kind") if each.name == "containers"]
    assert not line.ok
    assert "docker.io" in line.fix
