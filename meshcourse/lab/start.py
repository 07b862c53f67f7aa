"""lab.chapter: bring the cluster to the state that a chapter needs, and print what was done.

Safe to run again: what exists is used.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

from meshcourse.backends import learners, lookup
from meshcourse.cluster import inotify
from meshcourse.core import errors, settings
from meshcourse.course import chapters, passed, progress
from meshcourse.course.chapters import Chapter
from meshcourse.kube import commands, resources
from meshcourse.kube.connection import Connection
from meshcourse.lab import addresses, bash_cells, istio_before, rivals, session, submissions
from meshcourse.lab.output import say
from meshcourse.lab.session import Session
from meshcourse.mesh import propagation, tenancy
from meshcourse.mesh.injection import namespaces, sidecars
from meshcourse.mesh.install import completeness, installation, versions

_LARGEST: Final = 10
"""Sidecars of the largest chapter (4: Bookinfo's six, and four for its exercises)."""


def chapter(key: str) -> None:
    """Find or start the cluster, install Istio if it is absent, make the chapter's namespace with injection on, and print each step.

    Raises CourseError for an unknown chapter, ClusterError or MissingPrerequisite when no cluster is reachable, MeshError when Istio cannot
    be installed.
    """
    wanted = chapters.find(key)
    bash_cells.register()
    _progress(wanted)
    connection = connect()
    if connection.learner:
        _must_be_shared(wanted)
    begun = session.begin(wanted.belonging_to(connection.learner), connection)
    submissions.watch_cells()
    wanted = begun.chapter
    if wanted.profile:
        _istio(begun.connection, wanted)
    else:
        _whatever_istio(begun.connection)
    say(f"✔ namespace {wanted.namespace}: {_namespace(begun.connection, wanted)}")
    if begun.connection.learner:
        _require_own_port(begun)
    if found := installation.status(begun.connection):
        for line in versions.notes(found.version, wanted.number):
            say(f"! {line}")
    for line in crowded(begun.connection, inotify.limit()):
        say(line)
    if not wanted.profile:
        istio_before.remember(begun)
    for line in rivals.settle(begun):
        say(line)
    left = tuple(str(item["metadata"]["name"]) for item in propagation.listed(begun.connection, wanted.namespace, "virtualservices"))
    if left:
        say(f"! VirtualService {', '.join(left)} is here from an earlier run: some results will differ from the text.")
        say("  To start over: lab.clean_up(), then this cell again.")
    say(f"✔ the ingress gateway is at {begun.connection.ingress_url}")
    addresses.show(begun.connection.ingress_url)
    say("  kubectl and istioctl in this notebook use this cluster and this namespace.")


def crowded(connection: Connection, instances: int | None) -> tuple[str, ...]:
    """A warning when a cluster on this machine is nearly full of sidecars; `instances` is the kernel's limit."""
    if instances is None or "//127.0.0.1:" not in str(connection.api().configuration.host):
        return ()
    found = resources.read(connection.core().list_pod_for_all_namespaces)
    count, room = sum(sidecars.has_sidecar(pod) for pod in (found.items if found else ())), inotify.sidecars(instances)
    if count + _LARGEST <= room:
        return ()
    return (
        f"! {count} sidecars run, and this machine has room for {room} ({inotify.SETTING} is {instances}): more of them may not start.",
        "  To free some: `meshcourse down && meshcourse up` (notebooks and progress stay), or lab.clean_up() in finished chapters.",
        f"  Or permanently: {inotify.FIX}",
    )


def _progress(wanted: Chapter) -> None:
    """Print the learner's progress. A state folder that cannot be written must not stop the chapter."""
    try:
        found = progress.of(passed.note_opened(wanted.key))
    except errors.CourseError as error:
        say(f"! {error.what} {error.why}")
        return
    if found.complaint:
        say(f"! {found.complaint}")
    say(f"✔ {found.headline(wanted.key)}")


def _must_be_shared(wanted: Chapter) -> None:
    """Raises CourseError for a chapter that changes cluster-wide objects, on a shared cluster."""
    if wanted.alone:
        others = ", ".join(str(each.number) for each in chapters.CHAPTERS.values() if not each.alone)
        raise errors.CourseError(
            f"Chapter {wanted.number} is not for a shared cluster.",
            why=f"{wanted.alone}; chapters {others} are",
            next="meshcourse up --name own && meshcourse lab --name own    # a cluster of your own for it",
        )


def _require_own_port(begun: Session) -> None:
    """Ensure, before anything is made in a learner's namespace, that the API server limits it to the learner's own port."""
    tenancy.must_hold(begun.connection, begun.namespace, policies=learners.FILE)
    for line in tenancy.set_up(begun.connection, begun.namespace):
        say(f"! {line}")
    say(f"✔ {begun.connection.learner}'s Gateways open port {begun.connection.gateway_port} of the ingress gateway, where the text says 80")


def _namespace(connection: Connection, wanted: Chapter) -> str:
    if connection.learner:
        tenancy.must_be_own(connection, wanted.namespace)
    if not wanted.injected:
        made = namespaces.create(connection, wanted.namespace, by=wanted.key)
        return "made, without the label istio-injection" if made else "found"
    return {
        namespaces.Change.CREATED: "made, with the label istio-injection=enabled: every pod in it gets a sidecar",
        namespaces.Change.LABELLED: "found, and labelled istio-injection=enabled: every new pod in it gets a sidecar",
        namespaces.Change.NOTHING: "found, with injection on",
    }[namespaces.enable(connection, wanted.namespace, by=wanted.key)]


def connect() -> Connection:
    """The cluster that the environment names; an embedded one is started if it does not run.

    MESHCOURSE_INGRESS_URL with KUBECONFIG names any cluster; otherwise MESHCOURSE_CLUSTER is a name that `meshcourse up` knows.
    """
    named = _named()
    if named:
        return Connection(Path(named[0]), named[1].rstrip("/"), {})
    return _by_name(os.environ.get("MESHCOURSE_CLUSTER", settings.DEFAULT_CLUSTER))


def _named() -> tuple[str, str] | None:
    """(kubeconfig, ingress URL) of the cluster that the environment names."""
    url, kubeconfig = os.environ.get("MESHCOURSE_INGRESS_URL"), os.environ.get("KUBECONFIG")
    return (kubeconfig, url) if url and kubeconfig else None


def _by_name(name: str) -> Connection:
    cluster, started = lookup.find(name), time.monotonic()
    if not lookup.runs(name):
        say(f"  cluster {name} does not run; starting it")
        cluster.up(lambda line: say(f"  {line}"))
        say(f"✔ cluster {name} is up ({time.monotonic() - started:.0f} s)")
    else:
        say(f"✔ cluster {name} runs")
    cluster.settle()
    return Connection(cluster.kubeconfig(), cluster.ingress_url(), cluster.environment())


def _istio(connection: Connection, wanted: Chapter) -> None:
    found = installation.status(connection)
    half = completeness.missing(connection, found) if found else ()
    if found is None or half or not _enough(connection, found):
        _must_be_ours(connection, found)
        if half:
            say(f"  {completeness.summary(half)}")
        started = time.monotonic()
        say(f"$ istioctl install --set profile={wanted.profile} -y")
        now = installation.install(connection, wanted.profile, report=lambda line: say(f"  {line}"))
        if found is None:
            namespaces.mark(connection, installation.NAMESPACE, by=wanted.key)
        if not _named():
            lookup.find(os.environ.get("MESHCOURSE_CLUSTER", settings.DEFAULT_CLUSTER)).settle()
        say(f"✔ {now} ({time.monotonic() - started:.0f} s)")
    else:
        if not found.ready:
            found = installation.wait_until_ready(connection, report=lambda line: say(f"  {line}"))
        say(f"✔ {found}")
    _renew(connection, wanted.namespace)


def _whatever_istio(connection: Connection) -> None:
    """Chapter 2 uses Istio in any state; only an incomplete installation, which neither works nor can be removed, is finished first."""
    found = installation.status(connection)
    if found is None:
        say("✔ Istio is not installed")
    elif half := completeness.missing(connection, found):
        _must_be_ours(connection, found)
        say(f"  {completeness.summary(half)}")
        say(f"✔ {installation.install(connection, settings.DEFAULT_PROFILE, report=lambda line: say(f'  {line}'))}")
    elif found.ready:
        say(f"✔ {found}")
    else:
        say(f"! {found}: not all of it is ready. Wait a moment, or run section 4, which installs what is missing.")


def _enough(connection: Connection, found: installation.Installation) -> bool:
    """Whether lessons can run on it. An existing cluster needs an ingress gateway; one made here gets all that the demo profile has."""
    theirs = _named() or namespaces.owned(connection)
    return found.has_ingress if theirs else {name for name, _, _ in found.deployments} >= istio_before.WHOLE


def _must_be_ours(connection: Connection, found: installation.Installation | None) -> None:
    """Istio is installed for a whole cluster: on an existing one only `meshcourse up` does it, on request."""
    if namespaces.owned(connection):
        name = connection.environment["MESHCOURSE_CLUSTER"]
        raise errors.MeshError(
            "Istio is not installed in this cluster." if found is None else "Istio is incomplete in this cluster.",
            why="the cluster was not made by meshcourse, so nothing is installed in it without your request",
            next=f"meshcourse up --name {name} --istio demo",
        )


def _renew(connection: Connection, namespace: str) -> None:
    """Recreate pods whose sidecars are older than istio-system: the key that signed their certificates was deleted with that namespace."""
    home = resources.read(connection.core().read_namespace, installation.NAMESPACE)
    pods = resources.read(connection.core().list_namespaced_pod, namespace)
    if home and pods and any(outlived(pod, home) for pod in pods.items):
        commands.run(connection, ["kubectl", "-n", namespace, "rollout", "restart", "deployment"], timeout=60.0)
        say(f"  the pods in {namespace} are created again: their certificates were from an Istio that was uninstalled")


def outlived(pod: Any, home: Any) -> bool:  # noqa: ANN401 - the Kubernetes client is untyped
    """Whether a pod has a sidecar and is older than the namespace `home`."""
    return sidecars.has_sidecar(pod) and bool(pod.metadata.creation_timestamp < home.metadata.creation_timestamp)
