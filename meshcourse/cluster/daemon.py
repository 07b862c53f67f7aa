"""The daemon of one embedded cluster: `python -m meshcourse.cluster.daemon` (clusters.up starts it).

Order, and why: the host's sockets first (they keep the host's network namespace), where images are pulled the process that
does it (it stays in the host's network), then the namespaces (namespaces.py), then, inside, everything else (bring_up.py). That is imported
inside, so that the guard outside stays small.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import NoReturn

import meshcourse
from meshcourse.cluster import gateway_ports, host_sockets, limits, namespaces
from meshcourse.cluster.daemon_options import LOCK, Options, Outside
from meshcourse.cluster.start_report import StartReport
from meshcourse.core import files, settings
from meshcourse.core.errors import ClusterError, MeshcourseError

_log = logging.getLogger(__name__)


def main(words: list[str] | None = None) -> int:
    """Parse the words, open the sockets, enter the namespaces, run."""
    options = Options.parse(words)
    os.set_inheritable(options.report, False)  # noqa: FBT003 - positional only
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # kube-proxy and the API server look for iptables in sbin, which an ordinary user's PATH may lack.
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    report = StartReport(options.report)
    record = options.home / "daemon.json"
    try:
        lock = _claim(options)
        listeners = {
            "api": gateway_ports.listen(options.api_port, "the API server", "--api-port"),
            **_gateway_listeners(options.ingress_port),
        }
        files.write_json(
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

        group, why = limits.claim(options.home, options.name)
        outside = Outside(listeners, making[0], pulling[0] if pulling else None, group, why)
        code = namespaces.enter(lambda: _inside(options, outside, report), start_outside)
    except MeshcourseError as error:
        report.error(error)
        return 1
    finally:
        limits.release(options.home)
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


def _fork(serve: Callable[[socket.socket], NoReturn], end: socket.socket, not_its: tuple[socket.socket, ...], report: StartReport) -> None:
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


def _inside(options: Options, outside: Outside, report: StartReport) -> int:
    os.setgroups([])
    with asyncio.Runner() as runner:
        return runner.run(_run(options, outside, report))


async def _run(options: Options, outside: Outside, report: StartReport) -> int:
    from meshcourse.cluster import bring_up  # noqa: PLC0415 - not in the guard

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    work = asyncio.create_task(bring_up.run(options, outside, report))
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


if __name__ == "__main__":
    sys.exit(main())
