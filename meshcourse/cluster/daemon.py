"""The daemon of one embedded cluster: `python -m meshcourse.cluster.daemon` (clusters.up starts it).

Order, and why: the host's sockets first (they keep the host's network namespace), where images are pulled the process that
does it (it stays in the host's network), then the namespaces (namespaces.py), then, inside, etcd and the API server together,
the node once the API answers, the controllers once it lets them in, kube-proxy once it can read its Node. Heavy imports happen
inside, so that the guard outside stays small.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import meshcourse
from meshcourse.cluster import components, gateway_ports, host_sockets, namespaces
from meshcourse.cluster.daemon_options import LOCK, Options, Outside
from meshcourse.core import files, settings
from meshcourse.core.errors import ClusterError, MeshcourseError

if TYPE_CHECKING:
    from meshcourse.cluster.nodes import Nodes
    from meshcourse.cluster.places import Place
    from meshcourse.cluster.supervisor import Health, Supervisor
    from meshcourse.node.agent import NodeConfig
    from meshcourse.node.api import Api

ROOT = Path("/run/meshcourse")
NODES = ROOT / "nodes"
ROOT_USER = "system:masters"
API_STARTS_WITHIN = 60.0
NODE_READY_WITHIN = 30.0
_log = logging.getLogger(__name__)


class Report:
    """The pipe to the process that started the daemon, which may have ended already; that does not matter."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, **facts: object) -> None:
        """Write one line."""
        with contextlib.suppress(OSError):
            os.write(self._descriptor, json.dumps(facts).encode() + b"\n")

    def close(self) -> None:
        """Say no more."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = -1  # its number may soon be another file's

    def error(self, error: BaseException) -> None:
        """Report a failure in its three parts."""
        if isinstance(error, MeshcourseError):
            self.send(error={"what": error.what, "why": error.why, "next": error.next, "kind": type(error).__name__})
        else:
            self.send(error={"what": "The cluster's daemon failed.", "why": f"{type(error).__name__}: {error}", "next": ""})


def write_json(path: Path, content: object) -> None:
    """Replace `path` in one step."""
    files.replace(path, json.dumps(content, indent=2))


def main(words: list[str] | None = None) -> int:
    """Parse the words, open the sockets, enter the namespaces, run."""
    options = Options.parse(words)
    os.set_inheritable(options.report, False)  # noqa: FBT003 - positional only
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # kube-proxy and the API server look for iptables in sbin, which an ordinary user's PATH may lack.
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    report = Report(options.report)
    record = options.home / "daemon.json"
    try:
        lock = _claim(options)
        listeners = {
            "api": gateway_ports.listen(options.api_port, "the API server", "--api-port"),
            **_gateway_listeners(options.ingress_port),
        }
        write_json(
            record,
            {
                "name": options.name,
                "pid": os.getpid(),
                "api_port": listeners["api"].getsockname()[1],
                "ingress_port": listeners["ingress"].getsockname()[1],
                "https_port": listeners["https"].getsockname()[1],
                "images": options.images,
                "egress": options.egress,
                "nodes": options.nodes,
                "version": meshcourse.__version__,
                "started": time.time(),
            },
        )
        pulling = socket.socketpair() if options.images != settings.TABLE else None
        making = host_sockets.pair()

        def start_outside() -> None:
            _fork(host_sockets.serve, making[1], (making[0], *(pulling or ()), *listeners.values()), report)
            if pulling is not None:
                _fork(_pull, pulling[1], (pulling[0], making[0], *listeners.values()), report)

        outside = Outside(listeners, making[0], pulling[0] if pulling else None)
        code = namespaces.enter(lambda: _inside(options, outside, report), start_outside)
    except MeshcourseError as error:
        report.error(error)
        return 1
    record.unlink(missing_ok=True)
    os.close(lock)
    return code


def _claim(options: Options) -> int:
    """Take the cluster's lock. Every process of the daemon shares it, so it is free only when all of them have ended."""
    try:
        return files.claim(options.home / LOCK)
    except BlockingIOError as error:
        raise ClusterError(f'Cluster "{options.name}" runs already.', next=f"meshcourse status --name {options.name}") from error


def _gateway_listeners(port: int) -> dict[str, socket.socket]:
    """The listeners of the ingress gateway's ports 80 and 443. Their numbers become its NodePorts, where a NodePort may have them."""
    if port:
        ingress = gateway_ports.listen(port, "the ingress gateway", "--ingress-port")
    else:
        ingress = gateway_ports.listen_on_any(gateway_ports.STATIC_NODE_PORTS)
    try:
        usual = port == settings.INGRESS_NODE_PORT
        https = gateway_ports.listen_on_any([*([settings.HTTPS_NODE_PORT] if usual else []), *gateway_ports.STATIC_NODE_PORTS])
    except BaseException:
        ingress.close()
        raise
    return {"ingress": ingress, "https": https}


def _fork(serve: Callable[[socket.socket], NoReturn], end: socket.socket, not_its: tuple[socket.socket, ...], report: Report) -> None:
    """Start a process that stays in the host's network; it holds the cluster's lock like all others, and ends when the last has ended."""
    if os.fork():
        end.close()
        return
    report.close()
    for each in not_its:
        each.close()
    serve(end)


def _pull(end: socket.socket) -> NoReturn:
    from meshcourse.node.pulling import puller  # noqa: PLC0415 - not in the guard

    puller.serve(end)


def _inside(options: Options, outside: Outside, report: Report) -> int:
    os.setgroups([])
    with asyncio.Runner() as runner:
        return runner.run(_run(options, outside, report))


async def _run(options: Options, outside: Outside, report: Report) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    work = asyncio.create_task(_cluster(options, outside, report))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
    work.cancel()
    stopping.cancel()
    try:
        await work
    except asyncio.CancelledError:
        return 0
    except Exception as error:  # noqa: BLE001 - reported, whatever it is
        _log.exception("the cluster failed")
        report.error(error)
        return 1
    return 0


async def _cluster(options: Options, outside: Outside, report: Report) -> None:
    """Start everything in order, report, and run until cancelled."""
    from meshcourse.cluster import manifests, node_power  # noqa: PLC0415 - not in the guard
    from meshcourse.cluster.nodes import Nodes  # noqa: PLC0415
    from meshcourse.cluster.supervisor import Supervisor  # noqa: PLC0415
    from meshcourse.node import network  # noqa: PLC0415
    from meshcourse.node.api import Api, client_tls  # noqa: PLC0415
    from meshcourse.node.machine import Machine  # noqa: PLC0415

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
        write_json(options.home / "status.json", [health.as_json() for health in supervisor.health()])

    def write_nodes(states: Mapping[str, str]) -> None:
        write_json(options.home / node_power.STATES, states)

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
            nodes = Nodes(machine, [_node_config(place, options, layout, server) for place in options.places], options.stopped, write_nodes)
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
    from meshcourse.cluster import dns_relay, manifests  # noqa: PLC0415 - not in the guard

    folders = [*(["adaptations"] if options.images != settings.ISTIOS_OWN else []), "addons"]
    values = {"INGRESS_NODE_PORT": str(outside.node_port), "HTTPS_NODE_PORT": str(outside.port("https"))}
    objects = [each for folder in folders for each in manifests.read(folder, values)]
    if not options.egress:
        return objects
    kube_dns = next(each for each in objects if (each["kind"], each["metadata"]["name"]) == ("Service", "kube-dns"))
    return [*(each for each in objects if each is not kube_dns), *dns_relay.services(kube_dns)]


@contextlib.asynccontextmanager
async def _reached_from_outside(options: Options, outside: Outside, api: Api) -> AsyncIterator[None]:
    """The ways between this machine and the cluster: the API server's port, the Services' ports, and the way out where it is wanted."""
    from meshcourse.cluster import crds, egress, host_ports, volume_provisioner  # noqa: PLC0415 - not in the guard
    from meshcourse.node.events import Events  # noqa: PLC0415

    def write_ports(ports: list[host_ports.OpenPort]) -> None:
        write_json(options.home / "ports.json", [each.as_json() for each in ports])

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
        for work in (ports.run(), crds.warm_up(api), volumes.run()):
            stack.callback(asyncio.create_task(work).cancel)
        yield


def _write_credentials(layout: components.Layout, options: Options, api_port: int) -> None:
    from meshcourse.cluster import kubeconfig  # noqa: PLC0415 - not in the guard
    from meshcourse.cluster.certificates import Authority, Identity  # noqa: PLC0415

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
    # Of authorities of their own: nobody whom the cluster's signs may read the store, or speak for somebody else.
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


def _node_config(place: Place, options: Options, layout: components.Layout, server: str) -> NodeConfig:
    from meshcourse.node.agent import NodeConfig  # noqa: PLC0415 - not in the guard

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
    )


async def _until_there(api: Api, path: str, supervisor: Supervisor, options: Options) -> None:
    """Wait until the API server has made an object of its own; a program that ends again and again ends the wait.

    Raises ClusterError when it is not ready in time; `why` has the last lines of the log of what failed.
    """
    from meshcourse.node.api import ApiError  # noqa: PLC0415 - not in the guard

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


if __name__ == "__main__":
    sys.exit(main())
