"""Starts the parts of a cluster in order, inside its namespaces, and runs until it is cancelled.

etcd and the API server start together, the nodes once the API answers, the controllers once they are authorized, and kube-proxy once it can
read its Node.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from meshcourse.cluster import (
    components,
    crds,
    dns_relay,
    egress,
    free_memory,
    gateway_ports,
    host_ports,
    host_sockets,
    kubeconfig,
    manifests,
    node_power,
    volume_provisioner,
)
from meshcourse.cluster.certificates import Authority, Identity
from meshcourse.cluster.daemon_options import Options, Outside
from meshcourse.cluster.nodes import Nodes
from meshcourse.cluster.places import Place
from meshcourse.cluster.start_report import StartReport
from meshcourse.cluster.supervisor import Health, Supervisor
from meshcourse.core import files, settings
from meshcourse.core.errors import ClusterError
from meshcourse.node import network
from meshcourse.node.agent import NodeConfig
from meshcourse.node.api import Api, ApiError, client_tls
from meshcourse.node.events import Events
from meshcourse.node.machine import Machine

_log = logging.getLogger(__name__)

ROOT = Path("/run/meshcourse")
NODES = ROOT / "nodes"
ROOT_USER = "system:masters"
API_STARTS_WITHIN = 60.0
NODE_READY_WITHIN = 30.0


def _tell(path: Path, content: object) -> None:
    """Write what other processes read about the cluster. On a full disk the next change is written; the cluster itself goes on."""
    try:
        files.write_json(path, content)
    except OSError as error:
        _log.warning("%s keeps what it said before: %s", path, error)


async def run(options: Options, outside: Outside, report: StartReport) -> None:
    """Start everything in order, report, and run until cancelled."""
    layout = components.Layout(options.name, ROOT / "pki", options.home / "etcd")
    ROOT.mkdir(mode=0o755)
    shutil.rmtree(layout.data, ignore_errors=True)
    layout.data.mkdir(mode=0o700)
    shutil.rmtree(options.stopped, ignore_errors=True)
    options.stopped.mkdir()
    # In a thread: pyroute2 brings an event loop of its own.
    await asyncio.to_thread(network.prepare_node, components.NODE_IP, components.SERVICE_CIDR)
    _write_credentials(layout, options, outside.port("api"))

    def write_status() -> None:
        _tell(options.home / "status.json", [health.as_json() for health in supervisor.health()])

    def write_nodes(states: Mapping[str, str]) -> None:
        _tell(options.home / node_power.STATES, states)

    supervisor = Supervisor(options.logs, {"PATH": os.environ["PATH"], "HOME": "/root"}, write_status)
    async with supervisor:
        report.send(step="starting etcd and kube-apiserver")
        await supervisor.start(components.etcd(layout))
        await supervisor.start(components.api_server(layout))
        server = f"https://{components.NODE_IP}:{components.API_PORT}"
        tls = client_tls(layout.pki / "ca.crt", layout.pki / "admin.crt", layout.pki / "admin.key")
        async with Api(server, tls) as api:
            await _until_there(api, "/api/v1/namespaces/kube-system", supervisor, options)
            report.send(step="starting the controllers and the node")
            machine = Machine(api, ROOT / "layers", outside.puller, istio_is_pulled=options.images == settings.ISTIOS_OWN)
            nodes = Nodes(
                machine, [_node_config(place, options, outside, layout, server) for place in options.places], options.stopped, write_nodes
            )
            running = asyncio.create_task(nodes.run())
            await manifests.create(api, _objects(options, outside))
            # Before they may list anything they would be refused once, and wait for seconds to ask again.
            await _until_there(api, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:kube-scheduler", supervisor, options)
            await supervisor.start(components.controller_manager(layout))
            await supervisor.start(components.scheduler(layout))
            await _until_nodes_ready(nodes, running)
            await supervisor.start(components.proxy(layout))
            report.send(ready=True)
            report.close()
            async with _reached_from_outside(options, outside, api):
                await running


def _objects(options: Options, outside: Outside) -> list[dict[str, Any]]:
    """What the cluster begins with: the adaptations to upstream Envoy, unless Istio's own runs, and the addons."""
    folders = [*(["adaptations"] if options.images != settings.ISTIOS_OWN else []), "addons"]
    values = {"INGRESS_NODE_PORT": str(outside.node_port), "HTTPS_NODE_PORT": str(outside.port("https"))}
    objects = [each for folder in folders for each in manifests.read(folder, values)]
    if not options.egress:
        return objects
    kube_dns = next(each for each in objects if (each["kind"], each["metadata"]["name"]) == ("Service", "kube-dns"))
    return [*(each for each in objects if each is not kube_dns), *dns_relay.services(kube_dns)]


@contextlib.asynccontextmanager
async def _reached_from_outside(options: Options, outside: Outside, api: Api) -> AsyncIterator[None]:
    """Connections between this machine and the cluster: the API server's port, the Services' ports, and egress if it was asked for."""

    def write_ports(ports: list[host_ports.OpenPort]) -> None:
        _tell(options.home / "ports.json", [each.as_json() for each in ports])

    write_ports([])
    sockets = host_sockets.HostSockets(outside.sockets)
    targets = {"api": components.API_PORT, "ingress": outside.node_port, "https": outside.port("https")}
    async with contextlib.AsyncExitStack() as stack:
        for name, port in targets.items():
            server = await gateway_ports.forward(outside.listeners[name], (components.NODE_IP, port))
            stack.callback(server.close)
        if options.egress:
            await stack.enter_async_context(egress.opened(sockets))
        events = await stack.enter_async_context(Events(api, "meshcourse", options.name))
        ports = host_ports.HostPorts(
            api, events, sockets, cluster=options.name, reserved=outside.reserved, changed=write_ports, node_ip=components.NODE_IP
        )
        volumes = volume_provisioner.Provisioner(api, NODES)
        for work in (ports.run(), crds.warm_up(api), volumes.run(), free_memory.run()):
            stack.callback(asyncio.create_task(work).cancel)
        yield


def _write_credentials(layout: components.Layout, options: Options, api_port: int) -> None:
    authority = Authority(layout.pki)
    ca = authority.create().certificate
    authority.issue_signing_key()
    authority.issue(Identity("kube-apiserver", "kube-apiserver", hosts=components.API_NAMES))
    for place in options.places:
        user, group = f"system:node:{place.name}", "system:nodes"
        authority.issue(Identity(f"kubelet-{place.name}", user, (group,), hosts=(place.name, place.ip)))
        # The Node authorizer hears of a new pod a moment after its node, which would be refused and ask again: it is a master too.
        authority.issue(Identity(f"node-{place.name}", user, (group, ROOT_USER)))
    authority.issue(Identity("kube-apiserver-kubelet-client", "kube-apiserver-kubelet-client", (ROOT_USER,)))
    # Each has an authority of its own, so that no certificate of the cluster's authority gives access to etcd or impersonates a user.
    etcd = Authority(layout.pki / "etcd", "meshcourse-etcd-ca")
    etcd.create()
    etcd.issue(Identity("server", "etcd", hosts=("localhost", "127.0.0.1"), also_client=True))
    etcd.issue(Identity("kube-apiserver", "kube-apiserver"))
    front_proxy = Authority(layout.pki / "front-proxy", "meshcourse-front-proxy-ca")
    front_proxy.create()
    front_proxy.issue(Identity(components.FRONT_PROXY, components.FRONT_PROXY))
    server = f"https://{components.NODE_IP}:{components.API_PORT}"
    for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        pair = authority.issue(Identity(name, f"system:{name}"))
        kubeconfig.write(layout.pki / f"{name}.kubeconfig", name, server, ca, pair)
    admin = authority.issue(Identity("admin", "meshcourse-admin", (ROOT_USER,)))
    kubeconfig.write(options.home / "kubeconfig", options.name, f"https://127.0.0.1:{api_port}", ca, admin)


def _node_config(place: Place, options: Options, outside: Outside, layout: components.Layout, server: str) -> NodeConfig:
    return NodeConfig(
        name=place.name,
        ip=place.ip,
        pod_cidr=place.pod_cidr,
        labels=place.labels,
        cluster_dns=components.CLUSTER_DNS,
        cluster_domain=components.CLUSTER_DOMAIN,
        root=NODES / place.name,
        alone=options.nodes == 1,
        kubelet_port=components.KUBELET_PORT,
        server=server,
        ca=layout.pki / "ca.crt",
        api_server_cert=layout.pki / "kube-apiserver-kubelet-client.crt",
        client_cert=layout.pki / f"node-{place.name}.crt",
        client_key=layout.pki / f"node-{place.name}.key",
        serving_cert=layout.pki / f"kubelet-{place.name}.crt",
        serving_key=layout.pki / f"kubelet-{place.name}.key",
        version=f"v{settings.KUBERNETES}",
        control_groups=outside.control_groups,
        no_control_groups=outside.no_control_groups,
    )


async def _until_there(api: Api, path: str, supervisor: Supervisor, options: Options) -> None:
    """Wait until the API server has made an object of its own; a program that ends again and again ends the wait.

    Raises ClusterError when it is not ready in time; `why` has the last lines of the log of what failed.
    """
    deadline = time.monotonic() + API_STARTS_WITHIN
    while True:
        try:
            await api.get(path)
        except ApiError:
            failing = next((health for health in supervisor.health() if health.restarts > 2), None)  # noqa: PLR2004
            if failing or time.monotonic() > deadline:
                raise _did_not_start(failing, options) from None
        else:
            return
        await asyncio.sleep(0.05)


def _did_not_start(failing: Health | None, options: Options) -> ClusterError:
    name = failing.name if failing else "kube-apiserver"
    log = options.logs / f"{name}.log"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:] if log.exists() else []
    return ClusterError(f"{name} did not start.", why="\n".join(lines), next=f"less {log}")


async def _until_nodes_ready(nodes: Nodes, running: asyncio.Task[None]) -> None:
    ready = asyncio.create_task(nodes.ready.wait())
    await asyncio.wait({ready, running}, timeout=NODE_READY_WITHIN, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running
    if not ready.done():
        ready.cancel()
        raise ClusterError("The node did not become Ready.", next="meshcourse logs node")
