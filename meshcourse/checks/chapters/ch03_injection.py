"""The exercises of chapter 3: which pods get a sidecar, and which do not."""

from __future__ import annotations

import time
from typing import Any, Final

from meshcourse.checks import outcome
from meshcourse.checks.exercises import ClusterView, Exercise
from meshcourse.checks.outcome import Outcome
from meshcourse.core.json_types import Json
from meshcourse.mesh.injection import dry_run

GUESTS: Final = "injection-guests"
LABEL: Final = "istio-injection"
REVISION: Final = "istio.io/rev"
INJECT: Final = "sidecar.istio.io/inject"
SIDECAR: Final = "istio-proxy"
PROGRAM: Final = "nginx:1.25"
"""The image of the guests' own program."""
PATIENCE: Final = 4.0
"""Seconds that a check waits for new pods."""
_AGAIN: Final = "a pod is made anew by `kubectl rollout restart deployment`"


def leave_one_out(view: ClusterView) -> Outcome:
    """3.1: legacy runs without a sidecar in a namespace that is labelled."""
    deployment = _settled(view, "legacy", view.namespace)
    if deployment is None:
        return outcome.not_attempted(f"there is no Deployment legacy in namespace {view.namespace} yet")
    expected = "the pod of legacy runs without a sidecar, in a namespace with istio-injection=enabled"
    labels = _labels(_namespace(view, view.namespace))
    if labels.get(LABEL) != "enabled":
        return outcome.not_yet(
            seen=f"namespace {view.namespace} has {LABEL}={labels.get(LABEL, '(none)')}: no new pod in it gets a sidecar",
            expected=expected,
            hint=f"leave the namespace alone (kubectl label namespace {view.namespace} {LABEL}=enabled --overwrite); the pod says no",
        )
    pod = _pod(view, deployment)
    if pod is None:
        return _no_pod(deployment, expected)
    if not _has_sidecar(pod):
        return _webhook_gone(view, expected) or outcome.passed(
            f"pod {_name(pod)} has {_count(pod)} container and no sidecar{_way(deployment)}; the namespace is labelled"
        )
    template = _labels(deployment["spec"]["template"])
    if template.get(INJECT) == "false":
        hint = f"its template says no, but this pod is older than that: {_AGAIN}"
    elif _labels(deployment).get(INJECT) == "false":
        hint = "the label stands on the Deployment; a pod takes its labels from the template: spec.template.metadata.labels"
    elif INJECT in template:
        hint = f'the value is "{template[INJECT]}"; the one that means no is "false", in quotes'
    else:
        hint = f'the pod needs the label {INJECT}: "false", under spec.template.metadata.labels'
    return outcome.not_yet(seen=f"pod {_name(pod)} has a sidecar", expected=expected, hint=hint)


def _webhook_gone(view: ClusterView, expected: str) -> Outcome | None:
    """A complaint when no pod at all would get a sidecar any more: one that asks for nothing is tried, on paper."""
    if dry_run.attempt(view.connection, view.namespace, {}).injected:
        return None
    found = view.objects("mutatingwebhookconfigurations")
    there = any("istio-sidecar-injector" in each["metadata"]["name"] and each.get("webhooks") for each in found)
    seen = "the webhook istio-sidecar-injector does nothing" if there else "there is no webhook istio-sidecar-injector"
    return outcome.not_yet(
        seen=f"{seen}: no new pod of this namespace gets a sidecar any more",
        expected=expected,
        hint="bring it back (istioctl install --set profile=demo -y); the pod itself says no, by a label",
    )


def _way(deployment: Json) -> str:
    """How the pod refuses a sidecar, when it is not by its label."""
    template = deployment["spec"]["template"]
    if _labels(template).get(INJECT) == "false":
        return ""
    if _annotations(template).get(INJECT) == "false":
        return " (by an annotation, the older way)"
    return " (it is in the host's network, where no sidecar can be)" if template["spec"].get("hostNetwork") else ""


def one_guest_only(view: ClusterView) -> Outcome:
    """3.2: guest has a sidecar, local has none, and the namespace has no label."""
    expected = f"guest has a sidecar, local has none, and namespace {GUESTS} has no label"
    deployment = _settled(view, "guest", GUESTS)
    if deployment is None:
        return outcome.not_attempted(f"there is no Deployment guest in namespace {GUESTS}: run the cell before the exercise")
    labelled = _labelled(view)
    pod = _pod(view, deployment, namespace=GUESTS)
    template, own = _labels(deployment["spec"]["template"]), _labels(deployment)
    if labelled:
        return outcome.not_yet(
            seen=f"namespace {GUESTS} has the label {labelled}: every new pod in it gets a sidecar",
            expected=expected,
            hint=f"take it away again (kubectl label namespace {GUESTS} {labelled.partition('=')[0]}-) and let the pod ask for itself",
        )
    if pod is None:
        return _no_pod(deployment, expected)
    if replaced := _replaced(deployment, expected):
        return replaced
    if _has_sidecar(pod):
        by_hand = " (by hand: its Deployment holds the sidecar)" if _has_sidecar(deployment["spec"]["template"]) else ""
        return _others(view, expected) or outcome.passed(f"pod {_name(pod)} has a sidecar, and it alone asked for one{by_hand}")
    if INJECT in own:
        hint = "the label stands on the Deployment; a pod takes its labels from the template: spec.template.metadata.labels"
    elif INJECT in _labels(pod) and INJECT not in template:
        hint = "the label stands on the running pod, which is too late: put it into the Deployment's template, and a new pod is made"
    elif INJECT in _annotations(deployment["spec"]["template"]):
        hint = "it is an annotation; the webhooks look at labels: spec.template.metadata.labels"
    elif template.get(INJECT, "true") != "true":
        hint = f'the value is "{template[INJECT]}"; the one that means yes is "true", in quotes'
    elif INJECT in template:
        hint = f"its template asks for a sidecar, but this pod is older: {_AGAIN}"
    else:
        return outcome.not_attempted("guest has no sidecar, and nothing asks for one yet")
    return outcome.not_yet(seen=f"pod {_name(pod)} has no sidecar", expected=expected, hint=hint)


def _others(view: ClusterView, expected: str) -> Outcome | None:
    """An Outcome when `local` has a sidecar too, or when it or `veteran` was changed to ask for one."""
    labels = _labels(_namespace(view, GUESTS))
    if LABEL in labels or REVISION in labels:
        key = LABEL if LABEL in labels else REVISION
        hint = f"kubectl label namespace {GUESTS} {key}-"
        return outcome.not_yet(seen=f"namespace {GUESTS} has the label {key}={labels[key]}", expected=expected, hint=hint)
    for name in ("local", "veteran"):
        deployment = view.object("deployment", name, namespace=GUESTS)
        if deployment is None:
            hint = "kubectl apply -f manifests/03_injection/05-guests.yaml"
            return outcome.not_yet(seen=f"Deployment {name} is gone", expected=f"{expected}; the other two stay as they were", hint=hint)
        if not deployment["spec"].get("replicas", 1):
            hint = f"kubectl -n {GUESTS} scale deployment {name} --replicas=1"
            return outcome.not_yet(seen=f"{name} has no pod any more", expected=f"{expected}; the other two stay as they were", hint=hint)
        if INJECT in _labels(deployment["spec"]["template"]):
            hint = f"guest alone was to be changed: take the label out of {name} again, by kubectl -n {GUESTS} edit deployment {name}"
            value = _labels(deployment["spec"]["template"])[INJECT]
            return outcome.not_yet(seen=f"{name} was changed too: its pods have the label {INJECT}={value}", expected=expected, hint=hint)
    deployment = view.object("deployment", "local", namespace=GUESTS)
    pod = _pod(view, deployment, namespace=GUESTS) if deployment else None
    if pod is None or not _has_sidecar(pod):
        return None
    return outcome.not_yet(
        seen=f"pod {_name(pod)} has a sidecar too",
        expected=expected,
        hint=f"was the namespace labelled for a while? Now that it is not: kubectl -n {GUESTS} rollout restart deployment local",
    )


def _replaced(deployment: Json, expected: str) -> Outcome | None:
    """An Outcome when the application itself is no longer what it was."""
    if any(each.get("image") == PROGRAM for each in deployment["spec"]["template"]["spec"].get("containers") or ()):
        return None
    name = deployment["metadata"]["name"]
    hint = f"kubectl -n {GUESTS} delete deployment {name}; kubectl apply -f manifests/03_injection/05-guests.yaml; then add the sidecar"
    return outcome.not_yet(seen=f"{name} no longer runs {PROGRAM}", expected=f"{expected}, beside its own program", hint=hint)


def the_veteran(view: ClusterView) -> Outcome:
    """3.3: veteran's Deployment itself has the sidecar, and no label asks for one."""
    expected = "the Deployment veteran itself holds istio-proxy, its pod is 2/2, and no label asks the webhook"
    deployment = _settled(view, "veteran", GUESTS)
    if deployment is None:
        return outcome.not_attempted(f"there is no Deployment veteran in namespace {GUESTS}: run the cell before exercise 3.2")
    labelled, template = _labelled(view), deployment["spec"]["template"]
    pod = _pod(view, deployment, namespace=GUESTS)
    asked = INJECT in _labels(template) or INJECT in _labels(deployment)
    if not _has_sidecar(template):
        if any(each["name"] == SIDECAR for each in _containers(template)):
            hint = "`istioctl kube-inject` puts the real one into the Deployment's own YAML"
            return outcome.not_yet(seen=f"a container is called {SIDECAR}, and it is not Istio's proxy", expected=expected, hint=hint)
        if not asked and not labelled and (pod is None or not _has_sidecar(pod)):
            return outcome.not_attempted("veteran has no sidecar, and nothing asks for one yet")
        seen = f"a label asks for it ({labelled or INJECT})" if labelled or asked else f"pod {_name(pod or {})} got one from the webhook"
        return outcome.not_yet(
            seen=f"the Deployment holds no sidecar; {seen}",
            expected=expected,
            hint="take the label away again; `istioctl kube-inject` puts the sidecar into the Deployment's own YAML",
        )
    if replaced := _replaced(deployment, expected):
        return replaced
    if labelled or asked:
        return outcome.not_yet(
            seen=f"the Deployment holds the sidecar, and a label asks for one as well ({labelled or INJECT})",
            expected=expected,
            hint="take the label away: by hand means that no webhook is needed",
        )
    if pod is None or not _has_sidecar(pod):
        return _no_pod(deployment, expected)
    return outcome.passed(f"the Deployment holds istio-proxy, pod {_name(pod)} runs {_count(pod)} containers, and nothing was labelled")


# -- pods -------------------------------------------------------------------------------------------------------------------------------


def _namespace(view: ClusterView, name: str) -> Json:
    return view.object("namespace", name) or {"metadata": {}}


def _labelled(view: ClusterView) -> str:
    """Istio's label on the guests' namespace, as `key=value`; empty when there is none. `disabled` does not count."""
    labels = _labels(_namespace(view, GUESTS))
    return next((f"{key}={labels[key]}" for key in (LABEL, REVISION) if labels.get(key, "disabled") != "disabled"), "")


def _settled(view: ClusterView, name: str, namespace: str) -> Json | None:
    """The Deployment, once its pods have its last change, or after a few seconds as it is; None when there is none."""
    ends = time.monotonic() + PATIENCE
    while True:
        found = view.object("deployment", name, namespace=namespace)
        if found is None or _rolled_out(found) or time.monotonic() > ends:
            return found
        time.sleep(0.2)


def _rolled_out(deployment: Json) -> bool:
    """By the rules of `kubectl rollout status`: the newest template's pods exist and are available, and there is no older one."""
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return False
    return all(status.get(each, 0) == wanted for each in ("updatedReplicas", "replicas", "availableReplicas"))


def _pod(view: ClusterView, deployment: Json, *, namespace: str = "") -> Json | None:
    """A Deployment's newest pod that is ready and is not being deleted."""
    chosen = ",".join(f"{key}={value}" for key, value in deployment["spec"]["selector"]["matchLabels"].items())
    found = view.objects("pods", selector=chosen, namespace=namespace)
    name = deployment["metadata"]["name"]
    own = [pod for pod in found if any(str(each["name"]).startswith(f"{name}-") for each in pod["metadata"].get("ownerReferences") or ())]
    living = [pod for pod in own if not pod["metadata"].get("deletionTimestamp") and _ready(pod)]
    return max(living, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)


def _ready(pod: Json) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod.get("status", {}).get("conditions", ()))


def _no_pod(deployment: Json, expected: str) -> Outcome:
    name = deployment["metadata"]["name"]
    return outcome.not_yet(
        seen=f"no pod of {name} is ready, or its new one is not there yet",
        expected=expected,
        hint=f"wait a moment and check again; if it stays so: kubectl -n {deployment['metadata']['namespace']} describe pods -l app={name}",
    )


def _containers(pod: Json) -> list[Any]:
    """Containers that keep running: the ordinary ones, and native sidecars."""
    spec = pod.get("spec", {})
    return [*spec.get("containers", ()), *(each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always")]


def _has_sidecar(pod: Json) -> bool:
    """Whether one of its containers is Istio's proxy; one that is only called so is started otherwise."""
    return any(each["name"] == SIDECAR and "sidecar" in (each.get("args") or ()) for each in _containers(pod))


def _count(pod: Json) -> int:
    return len(_containers(pod))


def _name(pod: Json) -> str:
    return str(pod.get("metadata", {}).get("name", ""))


def _labels(thing: Json) -> dict[str, str]:
    return dict(thing.get("metadata", {}).get("labels") or {})


def _annotations(thing: Json) -> dict[str, str]:
    return dict(thing.get("metadata", {}).get("annotations") or {})


EXERCISES: Final = (
    Exercise(
        "3.1",
        "Leave one out",
        (
            "loner in section 5 runs without a sidecar too. What does its file have that this one has not?",
            "A label, and its place matters: the Deployment has labels, and the pod's template has labels.",
            'Under spec.template.metadata.labels, beside `app: legacy`: `sidecar.istio.io/inject: "false"`, with the quotes.',
        ),
        leave_one_out,
        objects=("deployment/legacy",),
    ),
    Exercise(
        "3.2",
        "One guest only",
        (
            "In a namespace that says nothing, a pod can ask for itself (row one of the table in section 6).",
            "The label belongs into the template of the Deployment guest. `kubectl patch deployment guest -p '{...}'` changes just that.",
            """-p '{"spec": {"template": {"metadata": {"labels": {"sidecar.istio.io/inject": "true"}}}}}'""",
        ),
        one_guest_only,
    ),
    Exercise(
        "3.3",
        "The veteran",
        (
            "`istioctl kube-inject -f FILE` needs a file, and `-f -` reads what is piped into it.",
            "`kubectl -n injection-guests get deployment veteran -o yaml` prints the Deployment as YAML.",
            "Three commands in one line: kubectl get ... -o yaml | istioctl kube-inject -f - | kubectl apply -f -",
        ),
        the_veteran,
    ),
)
