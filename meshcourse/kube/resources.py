"""Apply, delete and wait for Kubernetes objects; call the Kubernetes client and turn its errors into ours.

Manifests go through kubectl. Server-side apply lets a panel and a learner both own fields of one object.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import urllib3
from kubernetes.client.exceptions import ApiException

from meshcourse.core import errors
from meshcourse.kube import api_versions, commands, manifests
from meshcourse.kube.commands import Completed, Report
from meshcourse.kube.connection import Connection, look

FIELD_MANAGER: Final = "meshcourse"
PATIENCE: Final = (5.0, 30.0)
"""Seconds for a connection to the API server, and for its answer. The client itself has no limit, and a paused node accepts connections."""
_LONGEST: Final = 300
_APPLY: Final = ("kubectl", "apply", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}", "-f", "-")
# kubectl prints a Status as `Error from server (Reason): message`; these are the codes that the reasons stand for.
_CODES: Final = {
    "BadRequest": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "AlreadyExists": 409,
    "Conflict": 409,
    "Invalid": 422,
}
_SERVER_SAID: Final = re.compile(r"Error from server(?: \((?P<reason>\w+)\))?: (?P<message>.*)", re.DOTALL)
_INVALID: Final = re.compile(r"(?P<message>The .+ is invalid: .*)", re.DOTALL)
# What kubectl prints when the API server does not answer.
_SILENT: Final = ("refused", "no such host", "handshake timeout", "i/o timeout", "connection reset", "failed to download openapi")
_UNKNOWN: Final = re.compile(r'no matches for kind "[^"]*" in version "(?:(?P<group>[^"/]+)/)?')
_WEBHOOK: Final = re.compile(r'admission webhook "(?P<hook>[^"]+)" denied the request: (?P<words>.*)', re.DOTALL)


def apply(connection: Connection, manifest: str | Path, *, namespace: str | None = None) -> tuple[str, ...]:
    """Apply `manifest` (YAML text, or the path of a file); returns kubectl's lines (`gateway.networking.istio.io/web serverside-applied`).

    Raises MeshError for broken YAML (nothing is sent then) and KubernetesError when the API server or Istio's webhook refuses.
    An empty manifest, only comments for example, applies nothing and returns nothing.
    """
    text, source = (manifest.read_text(encoding="utf-8"), str(manifest)) if isinstance(manifest, Path) else (manifest, "the manifest")
    if not manifests.parse(text, source=source):
        return ()
    text = _as_served(connection, text)
    done = commands.run(connection, [*_APPLY, *_in(namespace)], text=text, timeout=60.0)
    if done.code != 0:
        raise refusal(done, source)
    return tuple(done.stdout.splitlines())


def rehearse(connection: Connection, manifest: str | Path, *, namespace: str | None = None) -> None:
    """Ask the API server whether it would take every object of a manifest that has several; nothing is stored. Raises as `apply`.

    A manifest that makes a namespace or a kind is not asked about: its other objects may need those first.
    """
    text, source = (manifest.read_text(encoding="utf-8"), str(manifest)) if isinstance(manifest, Path) else (manifest, "the manifest")
    every = manifests.parse(text, source=source)
    if len(every) < 2 or {str(each.get("kind")) for each in every} & {"Namespace", "CustomResourceDefinition"}:  # noqa: PLR2004 - several
        return
    done = commands.run(connection, [*_APPLY, "--dry-run=server", *_in(namespace)], text=_as_served(connection, text), timeout=60.0)
    if done.code != 0:
        raise refusal(done, source)


def delete(connection: Connection, manifest: str | Path, *, namespace: str | None = None) -> tuple[str, ...]:
    """Delete every existing object of `manifest` and wait until it is deleted; returns kubectl's lines. Raises as `apply`."""
    text, source = (manifest.read_text(encoding="utf-8"), str(manifest)) if isinstance(manifest, Path) else (manifest, "the manifest")
    if not manifests.parse(text, source=source):
        return ()
    text = _as_served(connection, text)
    done = commands.run(
        connection, ["kubectl", "delete", "--ignore-not-found", "--wait", "-f", "-", *_in(namespace)], text=text, timeout=120.0
    )
    if done.code != 0:
        raise refusal(done, source)
    return tuple(done.stdout.splitlines())


def _as_served(connection: Connection, text: str) -> str:
    """`text` with Istio's kinds in the version that this cluster serves; without such kinds the cluster is not asked."""
    return api_versions.in_version(text, api_versions.networking(connection)[1]) if ".istio.io/v1" in text else text


def _in(namespace: str | None) -> list[str]:
    return ["--namespace", namespace] if namespace else []


def refusal(done: Completed, source: str) -> errors.KubernetesError:
    """The error for a kubectl that failed, from its output: who refused, why, and what to type next."""
    words = done.complaint
    said = _SERVER_SAID.search(words) or _INVALID.search(words)
    message = said["message"].strip() if said else words
    reason = (said.groupdict().get("reason") or ("Invalid" if "is invalid" in words else "")) if said else ""
    hook = _WEBHOOK.search(message)
    if hook:
        what, why, following = f"Istio refused {source}.", hook["words"].strip(), "correct the field that it names and apply again"
    elif said:
        what, why, following = f"The API server refused {source}.", message, "correct what it names and apply again"
    elif unknown := _UNKNOWN.search(words):
        group = unknown["group"] or "''"
        what, why, following = (
            f"The cluster does not know a kind in {source}.",
            words,
            f"kubectl api-resources --api-group={group}    # lists its kinds; no kinds at all? Istio's come with its installation",
        )
    elif any(sign in words for sign in _SILENT):
        what, why, following = "The cluster does not answer.", one_line(words), look()
    else:
        what, why, following = f"kubectl could not use {source}.", words, f"{done.command.replace(' -f -', ' -f FILE')}"
    status = {"status": "Failure", "reason": reason, "message": message, "code": _CODES.get(reason, 0)}
    return errors.KubernetesError(what, why=why, next=following, status=status)


def wait_for_rollout(
    connection: Connection, namespace: str, deployments: Sequence[str], *, report: Report | None = None, timeout: float = 120.0
) -> None:
    """Wait until every Deployment named has all its pods ready and no old one left.

    `report` is called with each change, such as `web-v1: 0 of 1 ready`. Raises KubernetesError at once when a Deployment does not exist,
    and after `timeout` seconds with the reason why pods do not start (ImagePullBackOff and its message, for example).
    """
    ends, told = time.monotonic() + timeout, ""
    while True:
        states = {name: _progress(connection, namespace, name) for name in deployments}
        text = ", ".join(f"{name}: {done} of {wanted} ready" for name, (done, wanted, _) in states.items())
        if report is not None and text != told:
            report(text)
            told = text
        if all(finished for _, _, finished in states.values()):
            return
        if time.monotonic() > ends:
            late = [name for name, (_, _, finished) in states.items() if not finished]
            raise errors.KubernetesError(
                f"{', '.join(late)} did not become ready within {timeout:.0f} s.",
                why=hold_up(connection, namespace, late) or "Kubernetes gives no reason",
                next=f"kubectl -n {namespace} describe pods",
            )
        time.sleep(0.1)


def _progress(connection: Connection, namespace: str, name: str) -> tuple[int, int, bool]:
    """(ready pods, wanted pods, rolled out), by the rules of `kubectl rollout status`."""
    found = read(connection.apps().read_namespaced_deployment, name, namespace)
    if found is None:
        raise absent(connection, namespace, "Deployment", name)
    status, wanted = found.status, found.spec.replicas
    ready, updated, every = (int(value or 0) for value in (status.available_replicas, status.updated_replicas, status.replicas))
    current = (status.observed_generation or 0) >= found.metadata.generation
    return ready, wanted, current and updated == wanted and every == wanted and ready == wanted


def hold_up(connection: Connection, namespace: str, deployments: Sequence[str] = ()) -> str:
    """The first reason that a container of the Deployments (of the whole namespace without any) gives for not running.

    Else the last warning event about them, or nothing.
    """
    core, heads = connection.core(), tuple(f"{name}-" for name in deployments) or ("",)
    for pod in read(core.list_namespaced_pod, namespace).items:
        for state in [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]:
            waiting = state.state.waiting if state.state and pod.metadata.name.startswith(heads) else None
            if waiting is not None and waiting.reason not in (None, "PodInitializing", "ContainerCreating"):
                return f"{pod.metadata.name}: {waiting.reason}: {waiting.message or ''}".rstrip(": ")
    events = read(core.list_namespaced_event, namespace).items
    warnings = [each for each in events if each.type == "Warning" and f"{each.involved_object.name}-".startswith(heads)]
    return f"{warnings[-1].involved_object.name}: {warnings[-1].reason}: {warnings[-1].message}" if warnings else ""


def absent(connection: Connection, namespace: str, kind: str, name: str) -> errors.KubernetesError:
    """The error for a Deployment or a pod that does not exist, with the names of those that do."""
    listed = connection.core().list_namespaced_pod if kind == "pod" else connection.apps().list_namespaced_deployment
    names = sorted(str(each.metadata.name) for each in read(listed, namespace).items)
    if not names and read(connection.core().read_namespace, namespace) is None:
        why, following = f"there is no namespace {namespace} at all", "kubectl get namespaces"
    else:
        why = f"there are {', '.join(names)}" if names else f"namespace {namespace} has none"
        following = f"kubectl -n {namespace} get {'pods' if kind == 'pod' else 'deployments'}"
    status = {"status": "Failure", "code": 404, "reason": "NotFound"}
    return errors.KubernetesError(f"There is no {kind} {name} in namespace {namespace}.", why=why, next=following, status=status)


def read(call: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - the Kubernetes client is untyped
    """`ask`, or None when the object does not exist."""
    try:
        return ask(call, *arguments, **options)
    except errors.KubernetesError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return None
        raise


def ask(call: Any, *arguments: Any, refusal: str = "The API server refused.", **options: Any) -> Any:  # noqa: ANN401 - as `read`
    """`call(*arguments, **options)`, a method of the Kubernetes client.

    Raises KubernetesError: with the API server's Status and `refusal` as its first sentence when it refuses, with code 0 when it is silent
    for longer than `_request_timeout`, which is PATIENCE unless it is among `options`.
    """
    try:
        return call(*arguments, **{"_request_timeout": PATIENCE, **options})
    except ApiException as error:
        raise _refused(error, refusal) from error
    except (OSError, urllib3.exceptions.HTTPError) as error:
        raise errors.KubernetesError("The cluster does not answer.", why=one_line(str(error)), next=look()) from error


def one_line(words: str) -> str:
    """Why the cluster did not answer, without the layers of programs and libraries around it: `127.0.0.1:6443: Connection refused`."""
    address = re.search(r"host='([^']+)', port=(\d+)", words)
    reason = re.search(r"\[Errno -?\d+\] ([^'\")]+)", words)
    if address and reason:
        return f"{address[1]}:{address[2]}: {reason[1].strip()}"
    printed = [line for line in words.strip().splitlines() if line.strip() and "memcache.go" not in line]
    return (printed[-1].strip() if printed else words.strip())[:_LONGEST]


def _refused(error: ApiException, what: str) -> errors.KubernetesError:
    try:
        status = json.loads(error.body or "")
    except (TypeError, ValueError):
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {
            "kind": "Status",
            "status": "Failure",
            "code": error.status or 0,
            "reason": error.reason or "",
            "message": str(error.body or ""),
        }
    why = str(status.get("message") or status.get("reason") or f"HTTP {error.status}")
    denied = error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    following = "kubectl auth can-i --list    # what may this login do?" if denied else "correct what it names and try again"
    return errors.KubernetesError(what, why=why, next=following, status=status)
