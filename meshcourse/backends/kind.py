"""The backend for a kind cluster: nodes are containers of Docker or Podman, so it runs any image, and old versions of Kubernetes and Istio.

The work is done by the programs `kind`, `docker` or `podman`, and by istioctl: the engine's, or that of the pair's release, downloaded from
Istio's releases. Images are public ones, or made on this machine (`images="made"`).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from meshcourse.backends import compatibility, containers, ingress, kind_failures, kind_images, kind_nodes, kind_registry, programs, records
from meshcourse.backends.backend import Component, Report, Status
from meshcourse.backends.containers import Engine
from meshcourse.backends.records import Record
from meshcourse.cluster import clusters, manifests, places
from meshcourse.core import files, paths, settings
from meshcourse.core.errors import ClusterError, MeshcourseError, MissingPrerequisite
from meshcourse.core.json_types import Json
from meshcourse.engine import binaries, releases
from meshcourse.engine.go_programs import KIND
from meshcourse.imagemaking import made

CONFIG: Final = "kind-config.yaml"
UNFINISHED: Final = "unfinished"
"""A file in the cluster's folder from before `kind create` until the record is written: the next `up` deletes what a killed one left."""
READY_WITHIN: Final = "180s"
_LIMIT: Final = 1200.0
_OLDEST: Final = tuple(map(int, KIND.version.removeprefix("v").split(".")[:2]))
_RESTARTS_WITHIN: Final = 180.0


def takes(port: int, engine: Engine) -> bool:
    """Whether the engine could listen on `port` of 127.0.0.1. Docker's daemon is root, so a permission error here does not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno == errno.EACCES and not engine.rootless
    return True


@dataclass(frozen=True)
class Kind:
    """The kind cluster called `name`; `kubernetes` and `istio` are what was asked for, empty for a preset.

    `images` is empty for public ones, or "made"; `course` are the references that chapters name, which the nodes are to have beforehand. Of
    several `nodes` the first is the control plane, which takes no pods but Kubernetes' own.
    """

    name: str = settings.DEFAULT_CLUSTER
    kubernetes: str = ""
    istio: str = ""
    images: str = ""
    nodes: int = 1
    course: tuple[str, ...] = field(default=(), compare=False, repr=False)
    free: Callable[[int, Engine], bool] = field(default=takes, compare=False, repr=False)
    """Whether a port of this machine is free."""

    @property
    def without_istio(self) -> str:
        """Why `up` installs no Istio; empty when it does."""
        record = records.find(self.name)
        images, kubernetes = (record.images, record.kubernetes) if record else (self.images, compatibility.minor(self.kubernetes))
        if images != settings.MADE or kubernetes in {"", made.KUBERNETES}:
            return ""
        return f"upstream Envoy is adapted to it by policies of Kubernetes {made.KUBERNETES}; docs/kind.md has the way by hand"

    def up(self, report: Report) -> Status:
        """Create it, find it, or start its stopped nodes; one process at a time. Raises ClusterError, EngineError, MissingPrerequisite."""
        paths.state().mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = paths.state() / "kind.lock"
        if files.is_locked(lock):
            report("waiting for another `meshcourse up` of a kind cluster")
        held = files.lock(lock)
        try:
            return self._up(report)
        finally:
            os.close(held)

    def _up(self, report: Report) -> Status:
        record = records.find(self.name)
        images = self._images(record)
        pair = self._pair(record, images)
        if pair.note:
            report(pair.note)
        engine, kind = containers.find(), program(report)
        made_images = None
        if images == settings.MADE:
            made_images = made.make(self.course, pair.kubernetes) if self.course else made.kept(pair.kubernetes)
            kind_registry.load(engine, made_images.node, report)
        image = made_images.node.references[0] if made_images else compatibility.IMAGES[pair.kubernetes]
        istio = istioctl(pair)
        home = paths.cluster(self.name)
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self.name not in self._clusters(kind, engine)
        if not fresh and (home / UNFINISHED).exists():
            report(f"kind delete cluster --name {self.name}: an earlier `up` did not finish it")
            programs.run([kind, "delete", "cluster", "--name", self.name], engine.environment)
            fresh = True
        if fresh:
            self._create(kind, engine, pair, image, report)
            record = None
        elif record is None:
            report(f"kind has a cluster {self.name} already: it is used as it is")
            programs.run([kind, "export", "kubeconfig", "--name", self.name, "--kubeconfig", home / "kubeconfig"], engine.environment)
        found = kind_nodes.of(engine, self.name)
        fault, remedy = kind_nodes.fault(self.name, found)
        if self.nodes > 1 and len(found) != self.nodes:
            report(f"it keeps its number of nodes, {len(found)}; for another, stop it first: meshcourse down --name {self.name}")
        if stopped := kind_nodes.off(found):
            report(f"starting again: {stopped}")
            kind_nodes.start(engine, found)
            fault, remedy = kind_nodes.fault(self.name, kind_nodes.of(engine, self.name))
        if fault:
            raise ClusterError(fault, next=remedy)
        if stopped:
            kind_nodes.wait_until_ready(str(home / "kubeconfig"), _RESTARTS_WITHIN)
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
                istioctl=istio,
                images=images,
            )
        )
        (home / UNFINISHED).unlink(missing_ok=True)
        if made_images:
            kind_registry.serve(engine, self.name, made_images, report)
        elif fresh:
            kind_images.give(self.name, (*kind_images.of_istio(istio), *self.course), report)
        self._apply_policies(pair, images)
        return self.status()

    def down(self, report: Report = lambda _: None) -> bool:
        """Delete it, with everything in it; False when it did not run. Raises ClusterError, MissingPrerequisite."""
        record, home = records.find(self.name), paths.cluster(self.name)
        if record is None and not (home / UNFINISHED).exists():
            return False
        engine = containers.find()
        report(f"kind delete cluster --name {self.name}")
        programs.run([KIND.ensure(), "delete", "cluster", "--name", self.name], engine.environment)
        kind_registry.remove(engine, self.name)
        records.clear(home)
        return True

    def status(self) -> Status:
        """The cluster, and the state of its nodes' containers. Raises ClusterError when it was not made here."""
        record = self._record()
        nodes: tuple[Component, ...] = ()
        try:
            found = kind_nodes.of(containers.find(), self.name)
            nodes = tuple(Component(node.name, node.state, 0, record.started) for node in found)
            fault, remedy = kind_nodes.fault(self.name, found)
        except MissingPrerequisite as error:
            fault, remedy = f"{error.what} {error.why}", error.next
        return Status(
            record.name,
            record.backend,
            record.version,
            record.started,
            record.api_url,
            record.ingress_url,
            record.kubeconfig,
            nodes,
            record.images,
            fault=fault,
            remedy=remedy,
        )

    def stopped(self) -> bool:
        """Whether a node of it is stopped or deleted; False when the engine does not answer. Raises ClusterError."""
        try:
            nodes = kind_nodes.of(containers.find(), self.name)
        except MissingPrerequisite:
            return False
        return not nodes or any(node.state != kind_nodes.RUNNING for node in nodes)

    def kubeconfig(self) -> Path:
        """Its administrator's kubeconfig. Raises ClusterError when it was not made here."""
        return self._record().kubeconfig

    def ingress_url(self) -> str:
        """The address to which the ingress gateway's NodePort is mapped. Raises ClusterError when it was not made here."""
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

    def istioctl(self) -> str:
        """The istioctl of its Istio's version. Raises ClusterError when it was not made here."""
        return self._record().istioctl

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

    def _pair(self, record: Record | None, images: str) -> compatibility.Pair:
        """The versions: the requested ones, or the cluster's. Raises ClusterError when the two differ."""
        choose = _of_made if images == settings.MADE else compatibility.choose
        asked = (compatibility.minor(self.kubernetes), compatibility.whole(self.istio))
        same = record is not None and asked[0] in {"", record.kubernetes} and asked[1] in {"", record.istio}
        pair = choose(record.kubernetes, record.istio) if record and same else choose(*asked)
        if record and (record.kubernetes, record.istio) != (pair.kubernetes, pair.istio):
            raise ClusterError(
                f'"{self.name}" has Kubernetes {record.kubernetes} and Istio {record.istio}.',
                next=f"meshcourse down --name {self.name} && meshcourse up --name {self.name} --backend kind {pair.options}",
            )
        return pair

    def _images(self, record: Record | None) -> str:
        """The source of images: the requested one, or the cluster's. Raises ClusterError when the two differ."""
        images = self.images or (record.images if record else "")
        if record and images != record.images:
            raise ClusterError(
                f'"{self.name}" was made with {record.images or "public"} images.',
                next=f"meshcourse down --name {self.name}    # then the same again",
            )
        if images == settings.MADE and compatibility.whole(self.istio) not in {"", settings.ISTIO}:
            raise ClusterError(
                f"Images of Istio are made for {settings.ISTIO} only.",
                why="they are made of the engine's programs",
                next=f"meshcourse up ... --images made --istio-version {settings.ISTIO}",
            )
        return images

    def _create(self, kind: Path, engine: Engine, pair: compatibility.Pair, image: str, report: Report) -> None:
        """Create the cluster; after a failure or Ctrl-C an incomplete one is deleted."""
        home = paths.cluster(self.name)
        (home / UNFINISHED).touch()
        try:
            content = adapted(yaml.safe_load(config_file().read_text(encoding="utf-8")), lambda port: self.free(port, engine), report)
            content["nodes"] = with_workers(content["nodes"], self.nodes)
            config = home / CONFIG
            config.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
            here = kind_images.known(engine, image)
            words: list[str | Path] = [kind, "create", "cluster", "--name", self.name, "--image", here or image]
            words += ["--config", config, "--kubeconfig", home / "kubeconfig", "--wait", READY_WITHIN]
            size = "" if here else " (minutes the first time: the image is 0.4 GB)"
            report(f"kind create cluster, Kubernetes {pair.kubernetes}, by {engine.name}{size}")
            programs.run(words, engine.environment, timeout=_LIMIT)
        except BaseException as error:
            with contextlib.suppress(MeshcourseError):
                programs.run([kind, "delete", "cluster", "--name", self.name], engine.environment)
                records.clear(home)
            if not isinstance(error, ClusterError) or not error.what.startswith("`kind create"):
                raise
            try:
                containers.find()
            except MissingPrerequisite as silent:
                raise ClusterError(
                    f"The container engine ended while kind created the cluster {self.name}.",
                    why=silent.why,
                    next=f"{silent.next.partition('    #')[0]}    # then the same again: what is left is deleted first",
                ) from error
            why = kind_failures.reason(error.why)
            raise ClusterError(
                f"kind could not create the cluster {self.name}.", why=why or error.what, next=kind_failures.advice(why)
            ) from error

    def _apply_policies(self, pair: compatibility.Pair, images: str) -> None:
        """Apply the embedded cluster's policies that fit: the gateway's NodePort; with made images, the adaptations to upstream Envoy.

        Versions of Kubernetes before 1.36 do not serve such policies.
        """
        if pair.kubernetes != made.KUBERNETES:
            return
        file = paths.cluster(self.name) / "policies.yaml"
        file.write_text(yaml.safe_dump_all(policies(images)), encoding="utf-8")
        programs.run([programs.kubectl(), "apply", "--filename", file], {"KUBECONFIG": str(self.kubeconfig())})


def _of_made(kubernetes: str, istio: str) -> compatibility.Pair:
    """Made images have one Istio, whatever its own table says."""
    return compatibility.Pair(kubernetes or made.KUBERNETES, istio or settings.ISTIO)


def policies(images: str) -> list[dict[str, Any]]:
    """The API server's policies for a cluster with these images: the gateway's NodePorts, and with made ones those for upstream Envoy."""
    values = {"INGRESS_NODE_PORT": str(settings.INGRESS_NODE_PORT), "HTTPS_NODE_PORT": str(settings.HTTPS_NODE_PORT)}
    ports = [each for each in manifests.read("addons", values) if "AdmissionPolicy" in each["kind"]]
    return [*ports, *(manifests.read("adaptations", values) if images == settings.MADE else [])]


def program(report: Report) -> Path:
    """Kind: the one on PATH, unless it is older than the node images need; then one that is built. Raises EngineError."""
    found = KIND.ensure()
    said = programs.run([found, "version"], {}, timeout=60.0)
    if (version := re.search(r"v(\d+)\.(\d+)", said)) and (int(version[1]), int(version[2])) < _OLDEST:
        report(f"kind v{version[1]}.{version[2]} on PATH cannot make nodes of Kubernetes {made.KUBERNETES}: {KIND.version} is used")
        return KIND.built() if KIND.built().is_file() else KIND.build()
    return found


def istioctl(pair: compatibility.Pair) -> str:
    """The engine's istioctl when it is of the pair's version, else the release's. Raises EngineError."""
    if pair.istio == settings.ISTIO and not binaries.missing():
        return str(binaries.program("istioctl"))
    return str(releases.istioctl(pair.istio))


def config_file() -> Path:
    """kind-config.yaml, of the checkout or of the installed package. Raises ClusterError."""
    places = (Path(__file__).resolve().parents[2] / CONFIG, Path(sys.prefix) / "share" / "meshcourse" / CONFIG)
    for place in places:
        if place.is_file():
            return place
    raise ClusterError(
        f"There is no {CONFIG}.", why=f"it is not in {' or '.join(str(each.parent) for each in places)}", next="pip install meshcourse"
    )


def with_workers(nodes: list[Json], count: int) -> list[Json]:
    """The nodes of a kind configuration, and workers up to `count` in all, which lie in different zones as on the embedded cluster."""
    spots = places.planned("", count)[len(nodes) :]
    return [*nodes, *({"role": "worker", "labels": dict(spot.labels)} for spot in spots)]


def adapted(config: dict[str, Any], free: Callable[[int], bool], report: Report) -> dict[str, Any]:
    """`config` without the port mappings that are in use on this machine; the lessons' own port must be free. Raises ClusterError."""
    for node in config["nodes"]:
        kept = []
        for mapping in node.get("extraPortMappings", ()):
            port = mapping["hostPort"]
            if free(port):
                kept.append(mapping)
            elif port == settings.INGRESS_NODE_PORT:
                raise _taken(port)
            else:
                report(f"port {port} is in use; not mapped")
        node["extraPortMappings"] = kept
    return config


def node_ports(service: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that gives the gateway's ports 80 and 443 their NodePorts, or nothing when they have them."""
    wanted = {80: settings.INGRESS_NODE_PORT, 443: settings.HTTPS_NODE_PORT}
    ports = [each for each in service["spec"]["ports"] if each["port"] in wanted and each.get("nodePort") != wanted[each["port"]]]
    return {"spec": {"ports": [{"port": each["port"], "nodePort": wanted[each["port"]]} for each in ports]}} if ports else {}


def _taken(port: int) -> ClusterError:
    users = [(each.name, "embedded") for each in clusters.running() if each.ingress_port == port]
    users += [(each.name, each.backend) for each in records.every() if each.backend == records.KIND]
    name, backend = users[0] if users else ("", "")
    return ClusterError(
        f"Port {port} on this machine is in use.",
        why=f"the {backend} cluster {name} listens on it" if users else "lessons send requests to it",
        next=f"meshcourse down --name {name}    # then the same again" if users else f"ss -ltnp 'sport = :{port}'    # which program?",
    )
