"""The exercises of chapter 2: a cluster without remnants of Istio, and an installation of one's own choice."""

from __future__ import annotations

from typing import Final

import yaml

from meshcourse.checks import outcome
from meshcourse.checks.exercises import ClusterView, Exercise
from meshcourse.checks.outcome import Outcome
from meshcourse.core.json_types import Json
from meshcourse.mesh.install import installation, remnants

LEFT: Final = ("istio-ca-root-cert", "istio-ca-crl")
WANTED: Final = {"istiod", installation.INGRESS}
DNS: Final = "k8s-app=kube-dns"
LOG: Final = "/dev/stdout"
OFF: Final = "switched off by a Telemetry"
ENVOY: Final = "envoy"
"""Istio's own provider of access logs, which writes to /dev/stdout."""
_FEW: Final = 4
_PASSED_OVER: Final = {"kube-public", "kube-node-lease", "local-path-storage"}
"""Namespaces into which istiod puts no config map."""


def leave_no_trace(view: ClusterView) -> Outcome:
    """2.1: no config map of istiod remains, and nothing else of Istio either."""
    expected = "no config map of istiod's in any namespace, no istio-system, no kinds, no webhooks"
    if installation.status(view.connection):
        seen = "Istio is installed: as long as istiod runs, it puts its config maps back"
        return outcome.not_attempted(f"{seen}. Take it off first (section 5)")
    found = remnants.find(view.connection)
    if found.namespace or found.wide:
        seen = (
            "namespace istio-system is there"
            if found.namespace
            else f"{len(found.wide)} objects of Istio's for the whole cluster are there"
        )
        hint = "section 5 has the two commands; a namespace takes some seconds to go"
        return outcome.not_yet(seen=seen, expected=expected, hint=hint)
    maps = [each for each in found.elsewhere if each.kind == "ConfigMap"]
    if not maps:
        return _too_much(view) or outcome.passed("no namespace holds a config map of istiod's, and nothing else of Istio's is there")
    places = {name: {each.namespace for each in maps if each.name == name} for name in LEFT}
    namespaces = {str(each["metadata"]["name"]) for each in view.objects("namespaces")} - _PASSED_OVER
    if all(places[name] >= namespaces for name in LEFT):
        return outcome.not_attempted(f"the config maps are still in {', '.join(sorted(namespaces))}")
    where = sorted({each.namespace for each in maps})
    seen = f"{', '.join(sorted({each.name for each in maps}))} in {', '.join(where[:_FEW])}{' and others' if len(where) > _FEW else ''}"
    hint = "there are two of them in each namespace: istio-ca-root-cert and istio-ca-crl"
    if len({each.name for each in maps}) > 1:
        hint = "`kubectl delete configmap NAME` works on one namespace at a time: a loop over `kubectl get namespaces` reaches all"
    return outcome.not_yet(seen=seen, expected=expected, hint=hint)


def _too_much(view: ClusterView) -> Outcome | None:
    """What is gone and was not istiod's: the chapter's namespace, the cluster's DNS, config maps that pods need."""
    stays = "what is not Istio's stays"
    if view.object("namespace", view.namespace) is None:
        hint = "its config maps were meant, not itself: run the chapter's first cell, and sections 1 and 2"
        return outcome.not_yet(seen=f"namespace {view.namespace} is gone, with all that was in it", expected=stays, hint=hint)
    if view.object("service", "kube-dns", namespace="kube-system") and not view.objects("pods", selector=DNS, namespace="kube-system"):
        hint = "meshcourse down, then meshcourse up: without DNS nothing in the cluster finds anything"
        return outcome.not_yet(seen="the pods of the cluster's DNS are gone: they were not Istio's", expected=stays, hint=hint)
    there = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in view.objects("configmaps", namespace="*")}
    gone = sorted({need for pod in view.objects("pods", namespace="*") for need in _needs(pod)} - there)
    if not gone:
        return None
    (namespace, name), more = gone[0], f", and {len(gone) - 1} more" if len(gone) > 1 else ""
    hint = f"only istio-ca-root-cert and istio-ca-crl are istiod's. Apply again what made `{name}`: the manifest of its namespace"
    if (namespace, name) == ("kube-system", "coredns"):
        hint = (
            "only istio-ca-root-cert and istio-ca-crl are istiod's. DNS would not survive a restart; its pod still has the file: "
            "`kubectl -n kube-system exec deploy/coredns -- cat /etc/coredns/Corefile > Corefile`, then "
            "`kubectl -n kube-system create configmap coredns --from-file=Corefile`"
        )
    return outcome.not_yet(
        seen=f"istiod's config maps are gone, and so is `{name}` in {namespace}{more}: a running pod needs it, and it was not istiod's",
        expected=stays,
        hint=hint,
    )


def _needs(pod: Json) -> set[tuple[str, str]]:
    """The config maps that a pod cannot start without, as (namespace, name)."""
    spec, namespace = pod["spec"], str(pod["metadata"]["namespace"])
    sources = [volume.get("configMap") for volume in spec.get("volumes") or ()]
    projected = [volume.get("projected") or {} for volume in spec.get("volumes") or ()]
    sources += [part.get("configMap") for each in projected for part in each.get("sources") or ()]
    sources += [each.get("configMapRef") for one in spec["containers"] for each in one.get("envFrom") or ()]
    names = {str(each["name"]) for each in sources if each and not each.get("optional")}
    return {(namespace, name) for name in names if name not in {*LEFT, "kube-root-ca.crt"}}


def a_choice_of_your_own(view: ClusterView) -> Outcome:
    """2.2: istiod and the ingress gateway, no egress gateway, and the access log on."""
    expected = f"istiod and {installation.INGRESS} run, {installation.EGRESS} does not, and the mesh writes its access log to {LOG}"
    found = installation.status(view.connection)
    if found is None:
        return outcome.not_attempted("Istio is not installed yet")
    ready = {name: have >= max(wanted, 1) for name, have, wanted in found.deployments}
    stopped = [name for name, _, wanted in found.deployments if not wanted and name in WANTED]
    log = _access_log(view)
    if installation.EGRESS in ready:
        hint = "the profile demo has an egress gateway; default has none. `istioctl install` takes away what the new choice has not"
    elif view.object("service", installation.EGRESS, namespace=installation.NAMESPACE) is not None:
        hint = f"{installation.EGRESS} has lost its Deployment, and its Service is still there: take the whole gateway away by istioctl"
    elif installation.INGRESS not in ready:
        hint = "the profile minimal has no ingress gateway; default has one"
    elif view.object("service", installation.INGRESS, namespace=installation.NAMESPACE) is None:
        hint = f"{installation.INGRESS} has lost its Service, so nobody reaches it: the same `istioctl install` again brings it back"
    elif stopped:
        hint = f"{stopped[0]} has no pod: kubectl -n {installation.NAMESPACE} scale deployment {stopped[0]} --replicas=1"
    elif not all(ready[name] for name in WANTED):
        hint = "wait a moment and check again; if it stays so: kubectl get pods -n istio-system"
    elif log == OFF:
        hint = "a Telemetry in istio-system switches the log off: kubectl -n istio-system delete telemetries --all"
    elif log != LOG and (other := _misspelt(view)):
        hint = f"meshConfig has no field `{other}`, and istioctl does not complain: the name is accessLogFile"
    elif log != LOG:
        hint = f"add --set meshConfig.accessLogFile={LOG} to the same command: what it does not say goes back to the profile's choice"
    else:
        return outcome.passed(f"{found}; access log: {log}")
    return outcome.not_yet(seen=f"{found}; access log: {log or 'off'}", expected=expected, hint=hint)


def _mesh(view: ClusterView) -> Json:
    """The mesh's settings."""
    held = view.object("configmap", "istio", namespace=installation.NAMESPACE) or {}
    return dict(yaml.safe_load(held.get("data", {}).get("mesh", "")) or {})


def _access_log(view: ClusterView) -> str:
    """The access log's file in the mesh's settings, or what a Telemetry for the whole mesh makes of it; empty when there is none."""
    mesh = _mesh(view)
    logs = [
        each
        for telemetry in view.objects("telemetries.telemetry.istio.io", namespace=installation.NAMESPACE)
        for each in telemetry.get("spec", {}).get("accessLogging") or ()
        if not telemetry["spec"].get("selector")
    ]
    if any(each.get("disabled") for each in logs):
        return OFF
    named = {str(one.get("name")) for each in logs for one in each.get("providers") or ()}
    named |= {str(each) for each in (mesh.get("defaultProviders") or {}).get("accessLogging") or ()}
    return LOG if ENVOY in named else str(mesh.get("accessLogFile") or "")


def _misspelt(view: ClusterView) -> str:
    """A setting with a name like the access log's, but misspelt."""
    known = {"accessLogFile", "accessLogFormat", "accessLogEncoding"}
    return next((name for name in _mesh(view) if "accesslog" in name.lower() and name not in known), "")


EXERCISES: Final = (
    Exercise(
        "2.1",
        "Leave no trace",
        (
            "lab.remnants() names them: two config maps, and where they are.",
            "One command deletes them in one namespace. A loop in the shell goes over all: for each in ...; do ...; done",
            (
                "for each in $(kubectl get namespaces -o jsonpath='{.items[*].metadata.name}'); "
                "do kubectl -n $each delete configmap istio-ca-root-cert istio-ca-crl --ignore-not-found; done"
            ),
        ),
        leave_no_trace,
    ),
    Exercise(
        "2.2",
        "A choice of your own",
        (
            "Which profile has an ingress gateway and no egress gateway? The panel of section 3 shows it.",
            "default is right but for one setting: `mesh: accessLogFile` in the panel. On the command line it is meshConfig.accessLogFile.",
            "istioctl install --set profile=default --set meshConfig.accessLogFile=/dev/stdout -y",
        ),
        a_choice_of_your_own,
    ),
)
