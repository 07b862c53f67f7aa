"""`meshcourse status`: components, node, Istio and URLs of a running cluster."""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshcourse.cli import display
from meshcourse.cli.options import DEFAULT_NAME, Name, named
from meshcourse.core.errors import ClusterError

if TYPE_CHECKING:
    from meshcourse.backends.backend import Backend, Status
    from meshcourse.kube.connection import Connection
    from meshcourse.mesh.install.installation import Installation


_IMAGES = {
    "table": "the table (meshcourse images)",
    "made": "made on this machine (meshcourse images make)",
    "registry": "pulled from registries; without a network, the table",
    "istio": "pulled from registries; without a network, the table, but not for Istio",
}


class Output(enum.StrEnum):
    """The output format."""

    TABLE = "table"
    JSON = "json"


def status(
    name: Name = DEFAULT_NAME, output: Annotated[Output, typer.Option("--output", "-o", help="Output format.")] = Output.TABLE
) -> None:
    """Show components, node, Istio and URLs.

    \b
    meshcourse status
    meshcourse status --output json | jq -r .ingress_url
    """  # noqa: D301 - \\b tells click to keep the lines
    from meshcourse.backends import lookup

    cluster = lookup.find(name)
    found = cluster.status()
    inside = {"nodes": {}, "istio": None, "rejected": (), "error": found.fault} if found.fault else _inside(cluster)
    if output is Output.JSON:
        print(json.dumps({**dataclasses.asdict(found), **inside}, indent=2, default=str))
    else:
        _show(found, inside)


def _inside(cluster: Backend) -> dict[str, Any]:
    """The nodes and Istio, from the API server; `error` when it does not answer."""
    from meshcourse.core.errors import MeshcourseError
    from meshcourse.kube import resources
    from meshcourse.kube.connection import Connection
    from meshcourse.mesh.install import installation

    connection = Connection(cluster.kubeconfig(), cluster.ingress_url(), cluster.environment())
    try:
        nodes = resources.read(connection.core().list_node)
        istio = installation.status(connection)
    except MeshcourseError as error:
        return {"nodes": {}, "istio": None, "rejected": (), "error": str(error)}
    ready = {
        node.metadata.name: next((each.status == "True" for each in node.status.conditions or () if each.type == "Ready"), False)
        for node in (nodes.items if nodes else ())
    }
    return {"nodes": ready, "istio": _istio(istio) if istio else None, "rejected": _rejected(connection) if istio else (), "error": ""}


def _rejected(connection: Connection) -> tuple[str, ...]:
    """A sentence for each configuration that Envoys have rejected, or one that istiod does not answer."""
    from meshcourse.core.errors import MeshcourseError
    from meshcourse.mesh import istiod

    try:
        return istiod.rejecting(connection)
    except MeshcourseError as error:
        return (f"whether an Envoy rejects its configuration is unknown: {error.what}",)


def _istio(found: Installation) -> dict[str, Any]:
    return {
        "version": found.version,
        "ready": found.ready,
        "deployments": {name: f"{ready}/{wanted}" for name, ready, wanted in found.deployments},
    }


def _show(found: Status, inside: dict[str, Any]) -> None:
    istio = inside["istio"]
    nodes = ", ".join(_node(name, found, ready=ready) for name, ready in inside["nodes"].items()) or "none"
    absent = "not installed    (istioctl install --set profile=demo -y)"
    rows = [
        ("cluster", f"{found.name} ({found.backend}), up for {display.age(found.started)}"),
        ("nodes" if len(inside["nodes"]) > 1 else "node", "unknown" if inside["error"] else nodes),
        ("Istio", "unknown" if inside["error"] else istio_line(istio) if istio else absent),
        ("API", found.api_url),
        ("ingress", found.ingress_url),
        ("KUBECONFIG", str(found.kubeconfig)),
    ]
    if found.images:
        rows.insert(2, ("images", _IMAGES[found.images]))
    if found.backend == "embedded":
        rows.insert(3, ("egress", "TCP and DNS, through this machine's network" if found.egress else "none (meshcourse up --egress)"))
    display.table(("", ""), rows)
    if found.components:
        display.table(
            ("component", "state", "restarts", "age"),
            [(each.name, each.state, str(each.restarts), display.age(each.since)) for each in found.components],
        )
    if found.ports:
        display.table(
            ("Service", "port", "on this machine"),
            [(each.service, each.name, f"{each.url} is not forwarded: {each.why}" if each.why else each.url) for each in found.ports],
        )
    for sentence in inside["rejected"]:
        display.console.print(f"! {sentence}", markup=False)
    if found.fault:
        display.show_error(ClusterError(found.fault, next=found.remedy))
    elif inside["error"]:
        display.console.print(f"The API server does not answer: {inside['error']}", markup=False)


def _node(name: str, found: Status, *, ready: bool) -> str:
    off = f" and switched off (meshcourse node start {name}{named(found.name)})" if name in found.stopped else ""
    return f"{name} {'Ready' if ready else 'NotReady'}{off}"


def istio_line(istio: dict[str, Any]) -> str:
    """Istio's version and its Deployments with their ready and wanted pods."""
    return f"{istio['version']}: " + ", ".join(f"{name} {pods}" for name, pods in istio["deployments"].items())
