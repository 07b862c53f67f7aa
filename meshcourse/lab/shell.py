"""Commands and manifests from a notebook: lab.sh, lab.apply, lab.wait, lab.access_log, lab.stats.

A failure raises, so that an executed notebook stops there.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from meshcourse.core import errors
from meshcourse.course import chapters
from meshcourse.kube import commands, resources
from meshcourse.lab import session, submissions
from meshcourse.lab.output import say
from meshcourse.measure import access_logs, proxy_stats
from meshcourse.mesh import propagation
from meshcourse.mesh.injection import sidecars
from meshcourse.mesh.install import installation

FLUSH: Final = 1.2
"""Seconds, and a little more, after which Envoy flushes its log."""
RECENT: Final = 30
"""Seconds: older log lines are from an earlier run, not from the cell before."""


def sh(command: str, *, timeout: float = 600.0) -> None:
    """Show `command`, run it in bash with this chapter's kubectl and istioctl, and show what it prints, line by line.

    Raises CourseError when it fails.
    """
    say(f"$ {command}")
    environment = session.current().connection.child_environment()
    with subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        assert child.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
        try:
            for line in child.stdout:
                say(line.rstrip("\n"))
            code = child.wait(timeout)
        except BaseException:
            child.kill()
            raise
    if code:
        raise errors.CourseError(
            f"`{command}` failed (exit code {code}).", why="the lines above say why", next="correct it and run the cell again"
        )


def apply(manifest: str | Path) -> None:
    """Apply YAML text, or a file of the chapter's manifests, and wait until the ingress gateway holds it.

    Text that has only comments applies nothing; of several objects all are applied, or none. Raises MeshError for invalid YAML,
    KubernetesError when it is refused.
    """
    begun = session.current()
    lines = submissions.apply(begun.connection, _readable(manifest), namespace=begun.namespace)
    if not lines:
        say("○ nothing to apply yet: the manifest is empty")
        return
    for line in lines:
        say(f"✔ {line.replace('.networking.istio.io', '').replace('serverside-applied', 'applied')}")
    wait()


def _readable(manifest: str | Path) -> str | Path:
    """A path, absolute or in the chapters' folder, if it is one; otherwise the text itself."""
    if isinstance(manifest, str) and ("\n" in manifest or ":" in manifest or not manifest.endswith((".yaml", ".yml"))):
        return manifest
    path = Path(manifest)
    return path if path.exists() else chapters.folder() / path


def wait(*deployments: str) -> None:
    """Wait until the named Deployments are ready, and until the ingress gateway's Envoy holds the namespace's routes.

    `kubectl apply` returns when the API server has stored an object; istiod pushes it to the proxies after that, mostly within a quarter of
    a second.
    """
    begun = session.current()
    if deployments:
        ready(deployments)
    came = propagation.wait(begun.connection, begun.namespace)
    for line in (*came.unheld, *came.rejected):
        say(f"! {line}")
    if came.missing and not came.rejected:
        say(f"! Envoy does not hold {', '.join(came.missing)} after {came.seconds:.0f} s; `istioctl analyze` may say why")
    if not (came.missing or came.unheld or came.rejected):
        routes = f", with the routes of {', '.join(came.virtual_services)}" if came.virtual_services else ""
        say(f"✔ Envoy holds all that this namespace describes{routes}")
    for note in came.notes:
        say(f"! {note}")


def access_log(containing: str = "", *, workload: str = "", namespace: str = "", lines: int = 3, timeout: float = 15.0) -> None:
    """Show the last `lines` of a proxy's access log that contain `containing`, waiting for them to be written.

    `workload` is a Deployment's name or `pod/NAME` in the chapter's namespace; without it, the ingress gateway. Envoy writes its log once a
    second or less often, so the newest lines may be missing at first; older ones are shown only when no new one comes.
    """
    begun, started = session.current(), time.monotonic()
    where, what = (
        (namespace or begun.namespace, _workload(workload)) if workload else (installation.NAMESPACE, f"deployment/{installation.INGRESS}")
    )
    sidecars.proxied(begun.connection, where, what)
    arguments = [
        "kubectl",
        "-n",
        where,
        "logs",
        what,
        *(["-c", "istio-proxy"] if workload else []),
        f"--tail={200 * access_logs.crowd(begun.connection)}",
    ]
    mark = access_logs.own(begun.connection, where)
    filters = "".join(f" | grep {shlex.quote(each)}" for each in (mark, containing) if each)
    say(f"$ {shlex.join(arguments)}{filters} | tail -{lines}")
    while True:
        waited = time.monotonic() - started
        recent = [] if waited > FLUSH else [f"--since={RECENT}s"]
        done = commands.run(begun.connection, [*arguments, *recent], timeout=30.0)
        if done.code:
            raise resources.refusal(done, "the request for logs")
        found = [line for line in done.stdout.splitlines() if containing in line and mark in line]
        if len(found) >= lines or (found and waited > FLUSH) or waited > timeout:
            say("\n".join(found[-lines:]) or f"(no line with {containing!r} in the last {200 * access_logs.crowd(begun.connection):,})")
            return
        time.sleep(0.2)


def stats(workload: str, *containing: str, namespace: str = "") -> None:
    """Show the counters and gauges of a workload's Envoy whose names contain all of `containing`.

    `workload` is a Deployment's name or `pod/NAME`. Raises KubernetesError when there is no such workload or proxy.
    """
    begun = session.current()
    where, what = namespace or begun.namespace, _workload(workload)
    say(f"$ {shlex.join([*proxy_stats.command(where, what)])}{''.join(f' | grep {shlex.quote(part)}' for part in containing)}")
    found = proxy_stats.read(begun.connection, where, what, containing=containing)
    say("\n".join(f"{name}: {value}" for name, value in sorted(found.items())) or "(no such statistic)")


def _workload(name: str) -> str:
    return name if "/" in name else f"deployment/{name}"


def ready(deployments: Sequence[str]) -> None:
    """Wait for Deployments, with a line for each change."""
    begun = session.current()
    resources.wait_for_rollout(begun.connection, begun.namespace, deployments, report=say)
