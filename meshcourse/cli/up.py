"""`meshcourse up`: from nothing to a cluster with Istio.

Comes in: a name, ports, an Istio profile. Goes out: a running cluster; its URLs on the terminal. Safe to run again: what is
there is found, not made twice.
"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from meshcourse.cli import display
from meshcourse.cli.options import DEFAULT_NAME, Name
from meshcourse.core import settings

NO_ISTIO = "none"

Profile = Annotated[str, typer.Option("--istio", metavar="PROFILE", help="Istio profile to install: demo, default, minimal, ... or none.")]
ApiPort = Annotated[int, typer.Option(min=0, max=65535, help="Port of the Kubernetes API on 127.0.0.1; 0 takes any free one.")]
IngressPort = Annotated[int, typer.Option(min=0, max=65535, help="Port of the ingress gateway on 127.0.0.1; 0 takes any free one.")]


def up(
    name: Name = DEFAULT_NAME,
    istio: Profile = settings.DEFAULT_PROFILE,
    api_port: ApiPort = 0,
    ingress_port: IngressPort = settings.INGRESS_NODE_PORT,
) -> None:
    """Start a cluster and install Istio in it. Builds the upstream programs first, once (about eight minutes).

    \b
    meshcourse up                                   Istio's demo profile
    meshcourse up --istio none                      no Istio: chapter 2 installs it by hand
    meshcourse up --name two --ingress-port 0       a second cluster beside the first
    """  # noqa: D301 - \\b tells click to keep the lines
    start(name, api_port=api_port, ingress_port=ingress_port)
    install(name, istio)
    display.console.print(f"Ingress gateway: {_url(name)}")
    display.console.print(
        'Notebooks:       meshcourse lab\nThis terminal:   eval "$(meshcourse env)"    then kubectl and istioctl as usual', soft_wrap=True
    )


def start(name: str, *, api_port: int, ingress_port: int) -> None:
    """The cluster alone, for `lab` too. Raises MissingPrerequisite, EngineError, ClusterError."""
    from meshcourse.backends.embedded import Embedded
    from meshcourse.cli import doctor
    from meshcourse.cluster import clusters

    clusters.check_name(name)
    cluster = Embedded(name, api_port, ingress_port)
    ran = clusters.find(name) is not None
    if not ran:
        doctor.checked()
    started = time.monotonic()
    cluster.up(display.report)
    display.done(f"cluster {name} {'runs already' if ran else f'is up ({time.monotonic() - started:.1f} s)'}")


def install(name: str, profile: str) -> None:
    """Istio in a running cluster, unless it is there or `profile` is none. Raises MeshError."""
    if profile == NO_ISTIO:
        return
    from meshcourse.backends.embedded import Embedded
    from meshcourse.mesh import installation
    from meshcourse.mesh.connection import Connection

    cluster = Embedded(name)
    connection = Connection(cluster.kubeconfig(), cluster.ingress_url(), cluster.environment())
    started = time.monotonic()
    found = installation.status(connection)
    if found is None:
        display.report(f"istioctl install --set profile={profile} -y")
        found = installation.install(connection, profile, report=_finished)
    elif not found.ready:
        found = installation.wait_until_ready(connection, report=display.report)
    display.done(f"{found} ({time.monotonic() - started:.1f} s)")


def _finished(line: str) -> None:
    """Of what istioctl prints, the steps that are done: not its ship, nor a line for each look at a pod."""
    if "\N{HEAVY CHECK MARK}" in line:
        display.report(line)


def _url(name: str) -> str:
    from meshcourse.backends.embedded import Embedded

    return Embedded(name).ingress_url()
