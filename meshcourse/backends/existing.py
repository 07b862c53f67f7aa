"""The backend for an existing cluster, which a kubeconfig and a context name.

`up` checks the cluster and the login's rights, and makes nothing in it. Lessons create namespaces and label them. `down` removes what has
the label, and nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from meshcourse.backends import cleanup, forwarding, ingress, learners, programs, rbac, records
from meshcourse.backends.backend import Component, Report, Status
from meshcourse.backends.records import Record
from meshcourse.core import files, settings
from meshcourse.core.errors import ClusterError, MeshcourseError
from meshcourse.kube import resources
from meshcourse.kube.connection import Connection


@dataclass(frozen=True)
class Existing:
    """The cluster that `context` of the kubeconfig file `source` names; both may be empty: then kubectl's own defaults apply.

    `way` is one of ingress.WAYS or a URL. `learner` is one of several who share the cluster, or empty. `installs` says
    that Istio will be installed, which needs more rights.
    """

    name: str = settings.DEFAULT_CLUSTER
    source: str = ""
    context: str = ""
    way: str = ingress.AUTO
    installs: bool = False
    istioctl: str = ""
    learner: str = ""

    def up(self, report: Report) -> Status:
        """Check the cluster and record it. Nothing is made in it. Raises ClusterError, KubernetesError."""
        ingress.check_way(self.way)
        record = records.find(self.name) or self._new(report)
        self._must_be_meant(record)
        self._must_be_allowed(record, report)
        if record.learner:
            record = self._as_learner(record, report)
        if not record.ingress_url or self.way not in {ingress.AUTO, record.ingress, record.ingress_url}:
            record = self._with_ingress(record, report)
        elif self.istioctl and self.istioctl != record.istioctl:
            record = dataclasses.replace(record, istioctl=self.istioctl)
        records.write(record)
        self._forward(record)
        return self.status()

    def down(self, report: Report = lambda _: None) -> bool:
        """Remove what lessons made, end the forwarded port, forget the cluster. Raises ClusterError when it does not answer."""
        record = records.find(self.name)
        if record is None:
            return False
        forwarding.stop(record.home)
        try:
            connection = Connection(record.kubeconfig, record.ingress_url, self._environment(record))
            cleanup.remove(connection, cleanup.find(connection, record.owner), report)
        except MeshcourseError as error:
            raise ClusterError(
                f"What lessons made in cluster {self.name} could not be removed.",
                why=error.why or error.what,
                next=f"meshcourse down --name {self.name}    # when it answers again; to forget it instead: rm -r {record.home}",
            ) from error
        records.forget(record)
        return True

    def status(self) -> Status:
        """The recorded status; the cluster itself is not asked. Raises ClusterError when it is not in use."""
        record = self._record()
        components: tuple[Component, ...] = ()
        if record.ingress == ingress.PORT_FORWARD:
            state = "running" if forwarding.runs(record.home) else "stopped"
            components = (Component("forward", state, 0, record.started),)
        return Status(
            record.name, record.backend, record.version, record.started, record.api_url, record.ingress_url, record.kubeconfig, components
        )

    def kubeconfig(self) -> Path:
        """A kubeconfig with this cluster alone. Raises ClusterError when it is not in use."""
        return self._record().kubeconfig

    def ingress_url(self) -> str:
        """Where the ingress gateway answers; a forwarded port that ended is forwarded again. Raises ClusterError."""
        record = self._record()
        self._forward(record)
        return record.ingress_url

    def environment(self) -> Mapping[str, str]:
        """What a shell needs, and the owner that lessons write on what they make. Raises ClusterError, MissingPrerequisite."""
        record = self._record()
        self._forward(record)
        return self._environment(record)

    def settle(self) -> None:
        """Do nothing: the gateway stays as its owner made it."""

    def target(self) -> tuple[str, str]:
        """(context, API server) that `up` would use; the cluster is not asked. Raises ClusterError."""
        content = extract(self._source(), self.context)
        return content["current-context"], content["clusters"][0]["cluster"]["server"]

    def _source(self) -> str:
        return self.source or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")

    def _record(self) -> Record:
        record = records.find(self.name)
        if record is None:
            command = f"meshcourse up --backend existing --name {self.name} --kubeconfig FILE --context NAME"
            raise ClusterError(f'Cluster "{self.name}" is not in use.', next=command)
        return record

    def _environment(self, record: Record) -> dict[str, str]:
        learner = {settings.LEARNER_VARIABLE: record.learner, settings.PORT_VARIABLE: str(record.gateway_port)} if record.learner else {}
        return {
            **learner,
            "KUBECONFIG": str(record.kubeconfig),
            "INGRESS_URL": record.ingress_url,
            "MESHCOURSE_CLUSTER": record.name,
            settings.OWNER_VARIABLE: record.owner,
            "PATH": programs.search_path(os.environ.get("PATH", os.defpath), fetched=record.istioctl),
        }

    def _new(self, report: Report) -> Record:
        source = self._source()
        content = extract(source, self.context)
        context, api_url = content["current-context"], content["clusters"][0]["cluster"]["server"]
        report(f"cluster {api_url}, context {context} of {source}")
        owner = f"{self.name}-{uuid.uuid4().hex[:8]}"
        learner = learners.check_name(self.learner) if self.learner else ""
        record = Record(
            self.name,
            records.EXISTING,
            time.time(),
            owner,
            api_url,
            source=source,
            context=context,
            istioctl=self.istioctl,
            learner=learner,
        )
        record.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.replace(record.kubeconfig, yaml.safe_dump(content, sort_keys=False))
        return record

    def _must_be_meant(self, record: Record) -> None:
        """Refuse to reuse the name of another cluster. Raises ClusterError."""
        given = {
            "--kubeconfig": (self.source, record.source),
            "--context": (self.context, record.context),
            "--learner": (self.learner, record.learner),
        }
        for option, (wanted, known) in given.items():
            if wanted and wanted != known:
                whose = f", learner {record.learner}" if record.learner else ""
                raise ClusterError(
                    f'"{self.name}" is the cluster of {record.source}, context {record.context}{whose}.',
                    why=f"{option} says {wanted}",
                    next=f"meshcourse up ... --name other    # or first: meshcourse down --name {self.name}",
                )

    def _must_be_allowed(self, record: Record, report: Report) -> None:
        needed = rbac.needed()
        report(f"asking the API server for {len(needed)} rights")
        missing = rbac.missing(Connection(record.kubeconfig, ""), (*needed, rbac.ADMINISTRATOR) if self.installs else needed)
        if missing:
            raise rbac.lacking(missing, who=f"Context {record.context}")

    def _as_learner(self, record: Record, report: Report) -> Record:
        """The record with a gateway port that no other learner has."""
        learners.check_way(self.way)
        if record.gateway_port == settings.HTTP_PORT:
            connection = Connection(record.kubeconfig, "")
            served = resources.ask(connection.admission().get_api_resources, _request_timeout=rbac.PATIENCE)
            version = resources.ask(connection.version().get_code, _request_timeout=rbac.PATIENCE).git_version
            learners.check_cluster((each.name for each in served.resources), version)
            found = resources.ask(connection.core().list_namespace, label_selector=settings.LEARNER_LABEL, _request_timeout=rbac.PATIENCE)
            port = learners.choose(record.learner, connection.plain(found)["items"])
            record = dataclasses.replace(record, gateway_port=port)
        report(f"learner {record.learner}: namespaces {record.learner}-*, port {record.gateway_port} of the ingress gateway")
        return record

    def _with_ingress(self, record: Record, report: Report) -> Record:
        way = ingress.check_way(self.way)
        if record.learner and way == ingress.AUTO:
            way = ingress.PORT_FORWARD
        if way not in ingress.WAYS:
            return dataclasses.replace(record, ingress=way, ingress_url=way)
        connection = Connection(record.kubeconfig, "")
        gateway, core = (settings.INGRESS_GATEWAY, settings.ISTIO_NAMESPACE), connection.core()
        service = connection.plain(resources.read(core.read_namespaced_service, *gateway, _request_timeout=rbac.PATIENCE))
        nodes = connection.plain(resources.ask(core.list_node, _request_timeout=rbac.PATIENCE))["items"]
        address = ingress.find(way, service, nodes, record.api_url, answers=ingress.answers)
        forwarding.stop(record.home)
        if address is None:
            port = forwarding.free_port()
            report(f"forwarding 127.0.0.1:{port} to the ingress gateway through the API server")
            return dataclasses.replace(record, ingress=ingress.PORT_FORWARD, ingress_url=f"http://127.0.0.1:{port}")
        report(f"the ingress gateway answers at {address.url} ({address.way})")
        return dataclasses.replace(record, ingress=address.way, ingress_url=address.url)

    @staticmethod
    def _forward(record: Record) -> None:
        if record.ingress == ingress.PORT_FORWARD:
            forwarding.start(record.home, int(record.ingress_url.rpartition(":")[2]), record.gateway_port)


def extract(source: str, context: str) -> dict[str, Any]:
    """The kubeconfig of one context alone, with its certificates, made by kubectl. Raises ClusterError."""
    environment = {"KUBECONFIG": source}
    kubectl = programs.kubectl()
    absent = [path for path in source.split(os.pathsep) if path and not Path(path).exists()]
    if absent:
        raise ClusterError(f"There is no kubeconfig {', '.join(absent)}.", next="meshcourse up ... --kubeconfig FILE")
    words: list[str | Path] = [kubectl, "config", "view", "--raw", "--flatten", "--minify", "-o", "json"]
    try:
        content: dict[str, Any] = json.loads(programs.run([*words, *([f"--context={context}"] if context else [])], environment))
    except ClusterError as error:
        known = programs.run([kubectl, "config", "get-contexts", "-o", "name"], environment).split()
        raise ClusterError(
            f"{source} has no context {context!r}." if context else f"{source} has no current context.",
            why=f"it has {', '.join(known)}" if known else error.why,
            next=f"meshcourse up ... --context {known[0] if known else 'NAME'}",
        ) from error
    return content
