"""The daemon of one embedded cluster: `python -m meshcourse.cluster.daemon` (clusters.up starts it).

Order, and why: the host's sockets first (they keep the host's network namespace), where images are pulled the process that
does it (it stays in the host's network), then the namespaces (namespaces.py), then, inside, etcd and the API server together,
the node once the API answers, the controllers once it lets them in, kube-proxy once it can read its Node. Heavy imports happen
inside, so that the guard outside stays small.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import meshcourse
from meshcourse.cluster import components, gateway_ports, namespaces
from meshcourse.core import settings
from meshcourse.core.errors import ClusterError, MeshcourseError

if TYPE_CHECKING:
    from meshcourse.cluster.supervisor import Health, Supervisor
    from meshcourse.node.agent import Agent
    from meshcourse.node.api import Api

ROOT = Path("/run/meshcourse")
ROOT_USER = "system:masters"
API_STARTS_WITHIN = 60.0
NODE_READY_WITHIN = 30.0
_HERE = Path(__file__).parent
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What the daemon was started with."""

    name: str
    home: Path
    api_port: int
    ingress_port: int
    images: str
    report: int

    @property
    def logs(self) -> Path:
        """The folder of the components' logs."""
        return self.home / "logs"


class Report:
    """The pipe to whoever started the daemon; it may be gone already, which does not matter."""

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
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=2), encoding="utf-8")
    partial.replace(path)


def main(words: list[str] | None = None) -> int:
    """Parse the words, open the sockets, enter the namespaces, run."""
    parser = argparse.ArgumentParser(prog="meshcourse.cluster.daemon", description="Run one embedded cluster (meshcourse up starts this).")
    parser.add_argument("--name", required=True)
    parser.add_argument("--home", required=True, type=Path)
    parser.add_argument("--api-port", type=int, default=0)
    parser.add_argument("--ingress-port", type=int, default=settings.INGRESS_NODE_PORT)
    parser.add_argument("--images", choices=settings.IMAGE_SOURCES, default=settings.IMAGE_SOURCES[0])
    parser.add_argument("--report", type=int, default=1)
    options = Options(**vars(parser.parse_args(words)))
    os.set_inheritable(options.report, False)  # noqa: FBT003 - positional only
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # kube-proxy and the API server look for iptables in sbin, which an ordinary user's PATH may lack.
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    report = Report(options.report)
    record = options.home / "daemon.json"
    try:
        lock = _take_lock(options)
        doors = {
            "api": gateway_ports.listen(options.api_port, "the API server", "--api-port"),
            "ingress": gateway_ports.listen(options.ingress_port, "the ingress gateway", "--ingress-port"),
        }
        write_json(
            record,
            {
                "name": options.name,
                "pid": os.getpid(),
                "api_port": doors["api"].getsockname()[1],
                "ingress_port": doors["ingress"].getsockname()[1],
                "images": options.images,
                "version": meshcourse.__version__,
                "started": time.time(),
            },
        )
        ours, theirs = socket.socketpair() if options.images != settings.TABLE else (None, None)

        def start_puller() -> None:
            if ours is not None and theirs is not None:
                _fork_puller(theirs, (ours, *doors.values()), report)

        code = namespaces.enter(lambda: _inside(options, doors, ours, report), start_puller)
    except MeshcourseError as error:
        report.error(error)
        return 1
    record.unlink(missing_ok=True)
    os.close(lock)
    return code


def _take_lock(options: Options) -> int:
    """Hold the cluster's lock: every process of the daemon shares it, so it is free only when all have ended."""
    lock = os.open(options.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ClusterError(f'Cluster "{options.name}" runs already.', next=f"meshcourse status --name {options.name}") from error
    return lock


def _fork_puller(end: socket.socket, not_its: tuple[socket.socket, ...], report: Report) -> None:
    """Start the process that pulls images; it holds the cluster's lock like all others, and ends when the last of them has ended."""
    if os.fork():
        end.close()
        return
    from meshcourse.node.pulling import puller  # noqa: PLC0415 - not in the guard

    report.close()
    for each in not_its:
        each.close()
    puller.serve(end)


def _inside(options: Options, doors: dict[str, socket.socket], puller: socket.socket | None, report: Report) -> int:
    os.setgroups([])
    with asyncio.Runner() as runner:
        return runner.run(_run(options, doors, puller, report))


async def _run(options: Options, doors: dict[str, socket.socket], puller: socket.socket | None, report: Report) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    work = asyncio.create_task(_cluster(options, doors, puller, report))
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


async def _cluster(options: Options, doors: dict[str, socket.socket], puller: socket.socket | None, report: Report) -> None:
    """Start everything in order, report, and run until cancelled."""
    from meshcourse.cluster.supervisor import Supervisor  # noqa: PLC0415 - not in the guard
    from meshcourse.node import network  # noqa: PLC0415
    from meshcourse.node.agent import Agent  # noqa: PLC0415
    from meshcourse.node.api import Api, client_tls  # noqa: PLC0415

    layout = components.Layout(options.name, ROOT / "pki", options.home / "etcd")
    ROOT.mkdir(mode=0o755)
    shutil.rmtree(layout.data, ignore_errors=True)
    layout.data.mkdir(mode=0o700)
    # In a thread: pyroute2 brings an event loop of its own.
    await asyncio.to_thread(network.prepare_node, components.NODE_IP, components.SERVICE_CIDR)
    _write_credentials(layout, options, doors["api"].getsockname()[1])

    def write_status() -> None:
        write_json(options.home / "status.json", [health.as_json() for health in supervisor.health()])

    supervisor = Supervisor(options.logs, {"PATH": os.environ["PATH"], "HOME": "/root"}, write_status)
    async with supervisor:
        report.send(step="starting etcd and kube-apiserver")
        await supervisor.start(components.etcd(layout))
        await supervisor.start(components.api_server(layout))
        server = f"https://{components.NODE_IP}:{components.API_PORT}"
        tls = client_tls(layout.pki / "ca.crt", layout.pki / "admin.crt", layout.pki / "admin.key")
        async with Api(server, tls) as api, Agent(_node_config(options, layout, server, puller)) as agent:
            await _until_there(api, "/api/v1/namespaces/kube-system", supervisor, options)
            report.send(step="starting the controllers and the node")
            running = asyncio.create_task(agent.run())
            adapted = ["adaptations"] if options.images != settings.ISTIOS_OWN else []
            await _apply(api, [each for folder in (*adapted, "addons") for each in _manifests(folder)])
            # Before they may list anything they would be refused once, and wait for seconds to ask again.
            await _until_there(api, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:kube-scheduler", supervisor, options)
            await supervisor.start(components.controller_manager(layout))
            await supervisor.start(components.scheduler(layout))
            await _until_node_ready(agent, running)
            await supervisor.start(components.proxy(layout))
            servers = [
                await gateway_ports.open_door(doors["api"], (components.NODE_IP, components.API_PORT)),
                await gateway_ports.open_door(doors["ingress"], (components.NODE_IP, settings.INGRESS_NODE_PORT)),
            ]
            warming = asyncio.create_task(_warm_up(api))
            report.send(ready=True)
            report.close()
            try:
                await running
            finally:
                warming.cancel()
                for each in servers:
                    each.close()


def _write_credentials(layout: components.Layout, options: Options, api_port: int) -> None:
    from meshcourse.cluster import kubeconfig  # noqa: PLC0415 - not in the guard
    from meshcourse.cluster.certificates import Authority, Identity  # noqa: PLC0415

    authority = Authority(layout.pki)
    ca = authority.create().certificate
    authority.issue_signing_key()
    authority.issue(Identity("kube-apiserver", "kube-apiserver", hosts=components.API_NAMES))
    authority.issue(Identity("kubelet", f"system:node:{layout.node}", ("system:nodes",), hosts=(layout.node, components.NODE_IP)))
    authority.issue(Identity("kube-apiserver-kubelet-client", "kube-apiserver-kubelet-client", (ROOT_USER,)))
    server = f"https://{components.NODE_IP}:{components.API_PORT}"
    for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        pair = authority.issue(Identity(name, f"system:{name}"))
        kubeconfig.write(layout.pki / f"{name}.kubeconfig", name, server, ca, pair)
    # The node follows every ConfigMap and Secret with one watch, which the Node authorizer forbids: it is a master too.
    authority.issue(Identity("node", f"system:node:{layout.node}", ("system:nodes", ROOT_USER)))
    admin = authority.issue(Identity("admin", "meshcourse-admin", (ROOT_USER,)))
    kubeconfig.write(options.home / "kubeconfig", options.name, f"https://127.0.0.1:{api_port}", ca, admin)


def _node_config(options: Options, layout: components.Layout, server: str, puller: socket.socket | None) -> Any:  # noqa: ANN401 - NodeConfig, imported inside
    from meshcourse.node.agent import NodeConfig  # noqa: PLC0415 - not in the guard

    return NodeConfig(
        name=options.name,
        ip=components.NODE_IP,
        pod_cidr=components.POD_CIDR,
        cluster_dns=components.CLUSTER_DNS,
        cluster_domain=components.CLUSTER_DOMAIN,
        root=ROOT / "node",
        kubelet_port=components.KUBELET_PORT,
        server=server,
        ca=layout.pki / "ca.crt",
        api_server_cert=layout.pki / "kube-apiserver-kubelet-client.crt",
        client_cert=layout.pki / "node.crt",
        client_key=layout.pki / "node.key",
        serving_cert=layout.pki / "kubelet.crt",
        serving_key=layout.pki / "kubelet.key",
        version=f"v{settings.KUBERNETES}",
        puller=puller,
        istio_is_pulled=options.images == settings.ISTIOS_OWN,
    )


async def _until_there(api: Api, path: str, supervisor: Supervisor, options: Options) -> None:
    """Wait until the API server has made an object of its own; a program that ends again and again ends the wait.

    Raises:
        ClusterError: it is not ready in time; `why` has the last lines of the log of what failed.
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


async def _until_node_ready(agent: Agent, running: asyncio.Task[None]) -> None:
    ready = asyncio.create_task(agent.ready.wait())
    await asyncio.wait({ready, running}, timeout=NODE_READY_WITHIN, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running
    if not ready.done():
        ready.cancel()
        raise ClusterError("The node did not become Ready.", next="meshcourse logs node")


def _manifests(folder: str) -> list[dict[str, Any]]:
    import yaml  # noqa: PLC0415 - not in the guard

    objects: list[dict[str, Any]] = []
    for path in sorted((_HERE / folder).glob("*.yaml")):
        objects += [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]
    return objects


PLURALS = {"MutatingAdmissionPolicy": "mutatingadmissionpolicies"}


def path_of(content: dict[str, Any]) -> str:
    """The path that an object of `content`'s kind is created at.

    >>> path_of({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "a"}})
    '/apis/apps/v1/namespaces/a/deployments'
    """
    version, kind = content["apiVersion"], content["kind"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    namespace = content["metadata"].get("namespace")
    return f"{root}{f'/namespaces/{namespace}' if namespace else ''}/{PLURALS.get(kind, kind.lower() + 's')}"


async def _warm_up(api: Api) -> None:
    """Ask once for the objects of every CRD as soon as it is served.

    The API server makes a CRD's store at its first request, and until that has been filled it answers a watch with 429, again in
    a second. istiod, which starts half a second after Istio's CRDs, would spend that second not ready.
    """
    from meshcourse.node.api import ApiError  # noqa: PLC0415 - not in the guard

    asked: set[str] = set()
    async for _, found in api.list_and_watch("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"):
        for each in found if isinstance(found, list) else [found]:
            uid, spec, conditions = each["metadata"]["uid"], each["spec"], each.get("status", {}).get("conditions") or []
            if uid in asked or ("Established", "True") not in {(one["type"], one["status"]) for one in conditions}:
                continue
            asked.add(uid)
            version = next(one["name"] for one in spec["versions"] if one["served"])
            with contextlib.suppress(ApiError):
                await api.get(f"/apis/{spec['group']}/{version}/{spec['names']['plural']}", limit=1)


async def _apply(api: Api, objects: list[dict[str, Any]]) -> None:
    """Create the objects, in order; the store was empty."""
    for each in objects:
        await api.post(path_of(each), each)


if __name__ == "__main__":
    sys.exit(main())
