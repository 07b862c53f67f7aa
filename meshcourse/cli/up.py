"""`meshcourse up`: start a cluster with Istio, or prepare an existing cluster for lessons."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from meshcourse.cli import display
from meshcourse.cli.options import DEFAULT_NAME, BackendName, ImageSource, Name, named
from meshcourse.cluster import places
from meshcourse.core import settings
from meshcourse.core.errors import ClusterError

if TYPE_CHECKING:
    from meshcourse.backends.existing import Existing
    from meshcourse.kube.connection import Connection

NO_ISTIO = "none"


Kind = Annotated[BackendName | None, typer.Option("--backend", help="Kind of cluster; embedded if the name is new.")]
Profile = Annotated[str | None, typer.Option("--istio", metavar="PROFILE", help="Profile to install: demo, default, ... or none.")]
ApiPort = Annotated[int, typer.Option(min=0, max=65535, help="embedded: port of the Kubernetes API on 127.0.0.1; 0 takes any free one.")]
IngressPort = Annotated[
    int, typer.Option(min=0, max=65535, help="embedded: port of the ingress gateway on 127.0.0.1; 0 takes any free one.")
]
Images = Annotated[
    ImageSource | None,
    typer.Option(
        "--images", help="embedded: table, or registry (any image is pulled), or istio (Istio's own too). kind: made, on this machine."
    ),
]
Egress = Annotated[
    bool, typer.Option("--egress", help="embedded: let pods reach addresses outside the cluster, through this machine's network.")
]
Nodes = Annotated[int, typer.Option(min=1, max=places.MOST, help="embedded, kind: how many nodes; several lie in two regions, in zones.")]
Kubeconfig = Annotated[str, typer.Option(metavar="FILE", help="existing: the kubeconfig (otherwise KUBECONFIG, otherwise ~/.kube/config).")]
Context = Annotated[str, typer.Option(metavar="NAME", help="existing: the context in it (otherwise its current one).")]
Ingress = Annotated[str, typer.Option(metavar="WAY", help="existing: auto, load-balancer, node-port, port-forward, or a URL.")]
Learner = Annotated[str, typer.Option(metavar="NAME", help="existing: your name in a shared cluster; namespaces become NAME-...")]
Kubernetes = Annotated[str, typer.Option("--k8s", metavar="VERSION", help="kind: 1.36, 1.28 or 1.23.")]
IstioVersion = Annotated[str, typer.Option(metavar="VERSION", help="kind: 1.31, 1.18.2, 1.13.1, ...; existing: the istioctl to fetch.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="existing: do not ask.")]


def up(  # noqa: PLR0913, PLR0917 - each is an option
    name: Name = DEFAULT_NAME,
    backend: Kind = None,
    istio: Profile = None,
    api_port: ApiPort = 0,
    ingress_port: IngressPort = settings.INGRESS_NODE_PORT,
    images: Images = None,
    egress: Egress = False,
    nodes: Nodes = 1,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    ingress: Ingress = "auto",
    learner: Learner = "",
    k8s: Kubernetes = "",
    istio_version: IstioVersion = "",
    yes: Yes = False,
) -> None:
    """Start a cluster and install Istio in it. Builds the upstream programs first, once (about eight minutes).

    With `--backend existing` nothing is started: lessons use a cluster that you have, and Istio is installed only with --istio.

    \b
    meshcourse up                                   Istio's demo profile
    meshcourse up --istio none                      no Istio: chapter 2 installs it by hand
    meshcourse up --name two --ingress-port 0       a second cluster beside the first
    meshcourse up --images registry                 any image: it is pulled, as a kubelet does
    meshcourse up --nodes 3                         three nodes: topology, drain, failover, a lost node (meshcourse node)
    meshcourse up --egress                          pods may call what this machine can call (TCP and DNS)
    meshcourse up --images istio                    Istio's own images too, with the metrics of its Envoy
    meshcourse up --backend kind --k8s 1.28         a kind cluster (Docker or Podman), with the Istio that goes with it
    meshcourse up --backend kind --k8s 1.28 --images made    the same Kubernetes, built here, without Istio
    meshcourse up --backend kind --images made      with images made on this machine: no public registry is asked
    meshcourse up --name team --backend existing --kubeconfig ~/.kube/config --context team
    meshcourse up --name ada --backend existing --kubeconfig FILE --learner ada       a learner in a shared cluster
    """  # noqa: D301 - \\b tells click to keep the lines
    from meshcourse.authoring import course_images
    from meshcourse.backends import compatibility, lookup, records
    from meshcourse.backends.existing import Existing
    from meshcourse.backends.kind import Kind
    from meshcourse.cluster import clusters
    from meshcourse.engine import releases

    clusters.check_name(name)
    wanted = _backend(name, backend)
    known = records.find(name)
    if whose := learner or (known.learner if known else ""):
        _check_learner(whose, wanted, istio or NO_ISTIO)
    if nodes > 1 and wanted is BackendName.EXISTING:
        raise ClusterError(
            "--nodes is for a cluster that `up` makes.",
            why="an existing cluster has the nodes that it was made with",
            next="meshcourse up ... --nodes 1",
        )
    if wanted is BackendName.EXISTING:
        istioctl = str(releases.istioctl(compatibility.whole(istio_version))) if istio_version else ""
        use(Existing(name, kubeconfig, context, ingress, istioctl=istioctl, learner=learner), profile=istio or NO_ISTIO, yes=yes)
    elif wanted is BackendName.KIND:
        if images not in {None, ImageSource.MADE}:
            raise ClusterError(
                f"--images {images} is for the embedded cluster.",
                why="a kind cluster pulls any image",
                next="meshcourse up ... --images made    # or without --images: public ones",
            )
        wanted_kind = Kind(name, k8s, istio_version, images or "", nodes, course_images.of_chapters())
        if (bare := wanted_kind.without_istio) and istio not in {None, NO_ISTIO}:
            raise ClusterError("Made images of an older Kubernetes come without Istio.", why=bare, next="meshcourse up ... --istio none")
        found = wanted_kind.up(display.report)
        display.done(f"cluster {name}: {found.api_url} (kind)")
        if bare:
            display.report(f"without Istio: {bare}")
        install(name, NO_ISTIO if bare else istio or settings.DEFAULT_PROFILE)
    else:
        start(name, api_port=api_port, ingress_port=ingress_port, images=images, egress=egress, nodes=nodes)
        install(name, istio or settings.DEFAULT_PROFILE)
    display.console.print(
        f"Ingress gateway: {lookup.find(name).ingress_url()}\n"
        f"Notebooks:       meshcourse lab{named(name)}\n"
        f'This terminal:   eval "$(meshcourse env{named(name)})"    then kubectl and istioctl as usual',
        soft_wrap=True,
    )


def _backend(name: str, asked: BackendName | None) -> BackendName:
    """The backend to use: the one of the cluster with this name, or the one asked for. Raises ClusterError when the two differ."""
    from meshcourse.backends import records
    from meshcourse.cluster import clusters

    record = records.find(name)
    known = BackendName(record.backend) if record else BackendName.EMBEDDED if clusters.find(name) else None
    if known and asked and known is not asked:
        raise ClusterError(
            f'"{name}" is a cluster of the backend {known}.',
            next=f"meshcourse up ... --name other    # or first: meshcourse down --name {name}",
        )
    return known or asked or BackendName.EMBEDDED


def _check_learner(learner: str, wanted: BackendName, profile: str) -> None:
    """Raise ClusterError when --learner makes no sense."""
    from meshcourse.backends import learners

    learners.check_name(learner)
    if wanted is not BackendName.EXISTING:
        raise ClusterError(
            "--learner is for a cluster that several share.",
            why=f"a cluster of the backend {wanted} is yours alone",
            next=f"meshcourse up ... --name {learner} --backend existing",
        )
    if profile != NO_ISTIO:
        raise ClusterError(
            "A learner does not install Istio in a cluster that several share.",
            why="Istio is for the whole cluster, and `down` would remove it for everybody",
            next="meshcourse up --name shared --backend existing --kubeconfig FILE --istio demo    # for an administrator, once",
        )


def start(name: str, *, api_port: int, ingress_port: int, images: ImageSource | None = None, egress: bool = False, nodes: int = 1) -> None:
    """Start the cluster without Istio; one of another backend must be in use. Raises MissingPrerequisite, EngineError, ClusterError."""
    from meshcourse.backends import lookup
    from meshcourse.backends.embedded import Embedded
    from meshcourse.cli import doctor
    from meshcourse.cluster import clusters

    clusters.check_name(name)
    if images is ImageSource.MADE:
        raise ClusterError(
            "--images made is for the kind backend.",
            why="the embedded cluster runs the same programs without images",
            next=f"meshcourse up{named(name)} --backend kind --images made",
        )
    known = lookup.find(name)
    if not isinstance(known, Embedded):
        found = known.status()
        if found.fault:
            found = known.up(display.report)
        display.done(f"cluster {name}: {found.api_url} ({found.backend})")
        return
    cluster = Embedded(name, api_port, ingress_port, images or ImageSource.TABLE, egress, nodes)
    running = clusters.find(name)
    if running is None:
        doctor.checked()
    elif api_port not in {0, running.api_port} or ingress_port not in {0, settings.INGRESS_NODE_PORT, running.ingress_port}:
        display.report(f"it keeps its ports; for others, stop it first: meshcourse down --name {name}")
    if running and images and images != running.images:
        display.report(f"it keeps --images {running.images}; for another, stop it first: meshcourse down --name {name}")
    if running and egress and not running.egress:
        display.report(f"it keeps running without egress; for --egress, stop it first: meshcourse down --name {name}")
    if running and nodes not in {1, running.nodes}:
        display.report(f"it keeps its number of nodes, {running.nodes}; for another, stop it first: meshcourse down --name {name}")
    started = time.monotonic()
    cluster.up(display.report)
    display.done(f"cluster {name} {'runs already' if running else f'is up ({time.monotonic() - started:.1f} s)'}")


def use(cluster: Existing, *, profile: str, yes: bool) -> None:
    """Use an existing cluster, after a question. Raises ClusterError when the answer is no, or the cluster cannot be used."""
    import dataclasses

    from meshcourse.backends import records
    from meshcourse.mesh.injection import namespaces
    from meshcourse.mesh.install import completeness, installation

    if records.find(cluster.name) is None:
        context, api_url = cluster.target()
        _ask(
            f"Cluster {api_url} (context {context}) is not the course's own. Lessons will make a namespace "
            f"{f'{cluster.learner}-... ' if cluster.learner else ''}for each chapter in it, and "
            f"delete it at the chapter's end; `meshcourse down --name {cluster.name}` removes what is left.",
            yes=yes,
        )
    found = cluster.up(display.report)
    display.done(f"cluster {cluster.name}: {found.api_url}; your login may do everything that lessons do")
    connection = _connection(cluster.name)
    istio = installation.status(connection)
    lacking = completeness.missing(connection, istio) if istio else ()
    if (istio is None or lacking) and profile != NO_ISTIO:
        dataclasses.replace(cluster, installs=True).up(lambda _: None)
        _ask(
            f"Install Istio, profile {profile}, in {found.api_url}? It adds kinds, webhooks and istio-system to the whole cluster.",
            yes=yes,
        )
        install(cluster.name, profile)
        namespaces.mark(connection, installation.NAMESPACE, by="up")
    elif istio is None:
        by = "an administrator installs it" if connection.learner else f"meshcourse up --name {cluster.name} --istio demo"
        display.report(f"Istio is not installed: {by}")
    elif lacking:
        display.report(
            f"Istio is only half installed (there is no {', '.join(lacking[:3])}): meshcourse up --name {cluster.name} --istio demo"
        )
    else:
        display.done(f"{istio} (already installed; it is not changed)")


def _ask(question: str, *, yes: bool) -> None:
    try:
        agreed = yes or typer.confirm(f"{question}\nGo on?")
    except typer.Abort:  # there is no terminal to answer
        agreed = False
    if not agreed:
        raise ClusterError("Nothing has been touched.", next="meshcourse up ... --yes    # to do it without the question")


def install(name: str, profile: str) -> None:
    """Install Istio in a running cluster, unless it is installed or `profile` is none. Raises MeshError."""
    if profile == NO_ISTIO:
        return
    from meshcourse.backends import lookup
    from meshcourse.mesh.install import completeness, installation

    connection = _connection(name)
    started = time.monotonic()
    found = installation.status(connection)
    lacking = completeness.missing(connection, found) if found else ()
    if lacking:
        display.report(completeness.summary(lacking))
    if found is None or lacking:
        display.report(f"istioctl install --set profile={profile} -y")
        found = installation.install(connection, profile, report=display.report)
    elif not found.ready:
        found = installation.wait_until_ready(connection, report=display.report)
    lookup.find(name).settle()
    display.done(f"{found} ({time.monotonic() - started:.1f} s)")


def _connection(name: str) -> Connection:
    from meshcourse.backends import lookup
    from meshcourse.kube.connection import Connection

    cluster = lookup.find(name)
    return Connection(cluster.kubeconfig(), cluster.ingress_url(), cluster.environment())
