"""The backend for a kind cluster: nodes are containers of Docker or Podman, so it runs any image, and old versions of Kubernetes and Istio.

Everything real is done by the programs `kind`, `docker` or `podman`, and by the istioctl of the pair's release, fetched from where Istio
publishes it.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from meshcourse.backends import compatibility, containers, ingress, programs, records
from meshcourse.backends.backend import Component, Report, Status
from meshcourse.backends.containers import Engine
from meshcourse.backends.records import Record
from meshcourse.core import paths, settings
from meshcourse.core.errors import ClusterError, MissingPrerequisite
from meshcourse.engine import releases
from meshcourse.engine.go_programs import KIND

CONFIG: Final = "kind-config.yaml"
READY_WITHIN: Final = "180s"
_LIMIT: Final = 1200.0


def takes(port: int, engine: Engine) -> bool:
    """Whether the engine could listen on `port` of 127.0.0.1. Docker's daemon is root, so a refusal to us says nothing of it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno == errno.EACCES and not engine.rootless
    return True


@dataclass(frozen=True)
class Kind:
    """The kind cluster called `name`; `kubernetes` and `istio` are what was asked for, empty for a preset."""

    name: str = settings.DEFAULT_CLUSTER
    kubernetes: str = ""
    istio: str = ""
    free: Callable[[int, Engine], bool] = field(default=takes, compare=False, repr=False)
    """Whether a port of this machine can be had."""

    def up(self, report: Report) -> Status:
        """Create it, or find it. Raises ClusterError, EngineError, MissingPrerequisite."""
        record = records.find(self.name)
        asked = (compatibility.minor(self.kubernetes), compatibility.whole(self.istio))
        same = record is not None and asked[0] in {"", record.kubernetes} and asked[1] in {"", record.istio}
        pair = compatibility.choose(record.kubernetes, record.istio) if record and same else compatibility.choose(*asked)
        if record and (record.kubernetes, record.istio) != (pair.kubernetes, pair.istio):
            raise ClusterError(
                f'"{self.name}" has Kubernetes {record.kubernetes} and Istio {record.istio}.',
                next=f"meshcourse down --name {self.name} && meshcourse up --name {self.name} --backend kind {pair.options}",
            )
        if pair.note:
            report(pair.note)
        engine, kind = containers.find(), KIND.ensure()
        istioctl = str(releases.istioctl(pair.istio))
        home = paths.cluster(self.name)
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.name not in self._clusters(kind, engine):
            self._create(kind, engine, pair, home, report)
            record = None
        elif record is None:
            report(f"kind has a cluster {self.name} already: it is used as it is")
            programs.run([kind, "export", "kubeconfig", "--name", self.name, "--kubeconfig", home / "kubeconfig"], engine.environment)
        api_url = yaml.safe_load((home / "kubeconfig").read_text(encoding="utf-8"))["clusters"][0]["cluster"]["server"]
        records.write(
            record
            or Record(
                self.name,
                records.KIND,
                time.time(),
                api_url=api_url,
                ingress_url=f"http://127.0.0.1:{settings.INGRESS_NODE_PORT}",
                ingress=ingress.NODE_PORT,
                kubernetes=pair.kubernetes,
                istio=pair.istio,
                istioctl=istioctl,
            )
        )
        return self.status()

    def down(self, report: Report = lambda _: None) -> bool:
        """Delete it, with everything in it; False when it did not run. Raises ClusterError, MissingPrerequisite."""
        record = records.find(self.name)
        if record is None:
            return False
        engine = containers.find()
        report(f"kind delete cluster --name {self.name}")
        programs.run([KIND.ensure(), "delete", "cluster", "--name", self.name], engine.environment)
        records.forget(record)
        return True

    def status(self) -> Status:
        """What was made, and the state of its nodes' containers. Raises ClusterError when it was not made here."""
        record = self._record()
        return Status(
            record.name,
            record.backend,
            record.version,
            record.started,
            record.api_url,
            record.ingress_url,
            record.kubeconfig,
            self._nodes(),
        )

    def kubeconfig(self) -> Path:
        """Its administrator's kubeconfig. Raises ClusterError when it was not made here."""
        return self._record().kubeconfig

    def ingress_url(self) -> str:
        """Where the NodePort of the ingress gateway is mapped to. Raises ClusterError when it was not made here."""
        return self._record().ingress_url

    def environment(self) -> Mapping[str, str]:
        """What a shell needs; istioctl is the pair's. Raises ClusterError, MissingPrerequisite."""
        record = self._record()
        return {
            "KUBECONFIG": str(record.kubeconfig),
            "INGRESS_URL": record.ingress_url,
            "MESHCOURSE_CLUSTER": record.name,
            "PATH": programs.search_path(os.environ.get("PATH", os.defpath), fetched=record.istioctl),
        }

    def settle(self) -> None:
        """Give the ingress gateway the NodePorts that are mapped to this machine; without a gateway nothing. Raises ClusterError."""
        kubectl, environment = programs.kubectl(), {"KUBECONFIG": str(self.kubeconfig())}
        service = ["--namespace", settings.ISTIO_NAMESPACE, "service", settings.INGRESS_GATEWAY]
        found = programs.run([kubectl, "get", *service, "--ignore-not-found", "-o", "json"], environment)
        if found.strip() and (patch := node_ports(json.loads(found))):
            programs.run([kubectl, "patch", *service, "--type=strategic", f"--patch={json.dumps(patch)}"], environment)

    def _record(self) -> Record:
        record = records.find(self.name)
        if record is None:
            raise ClusterError(f'Cluster "{self.name}" does not run.', next=f"meshcourse up --backend kind --name {self.name}")
        return record

    @staticmethod
    def _clusters(kind: Path, engine: Engine) -> list[str]:
        return programs.run([kind, "get", "clusters"], engine.environment).split()

    def _create(self, kind: Path, engine: Engine, pair: compatibility.Pair, home: Path, report: Report) -> None:
        content = adapted(yaml.safe_load(config_file().read_text(encoding="utf-8")), lambda port: self.free(port, engine), report)
        config = home / CONFIG
        config.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        words: list[str | Path] = [kind, "create", "cluster", "--name", self.name, "--image", compatibility.IMAGES[pair.kubernetes]]
        words += ["--config", config, "--kubeconfig", home / "kubeconfig", "--wait", READY_WITHIN]
        report(f"kind create cluster, Kubernetes {pair.kubernetes}, by {engine.name} (minutes the first time: the image is 0.4 GB)")
        try:
            programs.run(words, engine.environment, timeout=_LIMIT)
        except ClusterError as error:
            raise ClusterError(
                f"kind could not create the cluster {self.name}.", why=error.why or error.what, next=advice(error.why)
            ) from error

    def _nodes(self) -> tuple[Component, ...]:
        """The nodes' containers, as the engine shows them; none when it does not answer."""
        record = self._record()
        try:
            engine = containers.find()
        except MissingPrerequisite:
            return ()
        form = "{{.Names}} {{.State}}"
        said = programs.run(
            [engine.program, "ps", "--all", "--filter", f"label=io.x-k8s.kind.cluster={self.name}", "--format", form], {}, timeout=30.0
        )
        rows = (line.split() for line in said.splitlines() if line.strip())
        return tuple(Component(name, state, 0, record.started) for name, state, *_ in rows)


def config_file() -> Path:
    """kind-config.yaml, of the checkout or of the installed package. Raises ClusterError."""
    places = (Path(__file__).resolve().parents[2] / CONFIG, Path(sys.prefix) / "share" / "meshcourse" / CONFIG)
    for place in places:
        if place.is_file():
            return place
    raise ClusterError(
        f"There is no {CONFIG}.", why=f"it is not in {' or '.join(str(each.parent) for each in places)}", next="pip install meshcourse"
    )


def adapted(config: dict[str, Any], free: Callable[[int], bool], report: Report) -> dict[str, Any]:
    """`config` without those port mappings that this machine cannot have; the lessons' own port must be there. Raises ClusterError."""
    for node in config["nodes"]:
        kept = []
        for mapping in node.get("extraPortMappings", ()):
            port = mapping["hostPort"]
            if free(port):
                kept.append(mapping)
            elif port == settings.INGRESS_NODE_PORT:
                raise ClusterError(
                    f"Port {port} on this machine is taken.", why="lessons send requests to it", next=f"ss -ltnp 'sport = :{port}'"
                )
            else:
                report(f"port {port} is not to be had: left out")
        node["extraPortMappings"] = kept
    return config


def node_ports(service: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that gives the gateway's ports 80 and 443 their NodePorts, or nothing when they have them."""
    wanted = {80: settings.INGRESS_NODE_PORT, 443: settings.HTTPS_NODE_PORT}
    ports = [each for each in service["spec"]["ports"] if each["port"] in wanted and each.get("nodePort") != wanted[each["port"]]]
    return {"spec": {"ports": [{"port": each["port"], "nodePort": wanted[each["port"]]} for each in ports]}} if ports else {}


def advice(words: str) -> str:
    """What to type next after kind's own words about a failure."""
    signs: Sequence[tuple[str, str]] = (
        ("address already in use", "ss -ltnp    # who has the port?"),
        ("port is already allocated", "docker ps    # which container has the port?"),
        ("too many open files", "meshcourse doctor --backend kind    # inotify's limits"),
        ("no space left on device", "docker system df    # then: docker system prune"),
        ("failed to pull image", "meshcourse images pull    # where there is a network; then `meshcourse images load FILE` here"),
        ("failed to init node with kubeadm", "docker info    # 8 GB of memory? cgroups v2 for Kubernetes 1.35 and newer?"),
        ("timed out waiting", "kubectl get pods -A    # with the kubeconfig of `kind get kubeconfig`"),
    )
    return next((command for sign, command in signs if sign in words.lower()), "kind export logs    # and read kubelet.log there")
