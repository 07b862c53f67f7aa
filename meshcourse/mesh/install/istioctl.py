"""Runs istioctl, as the learner types it.

A failure becomes a MeshError with istioctl's message and a next command.
"""

from __future__ import annotations

import json
from typing import Any

from meshcourse.core import errors
from meshcourse.kube import commands
from meshcourse.kube.commands import Completed, Report
from meshcourse.kube.connection import Connection, look

_NEXT = (
    ("context deadline exceeded", "kubectl get pods -n istio-system    # is istiod ready?"),
    ("timed out waiting", "kubectl get pods -n istio-system    # which pod is not ready, and what do its events say?"),
    ("no running Istio pods", "istioctl install --set profile=demo -y"),
    ("unable to find any Istiod instances", "istioctl install --set profile=demo -y"),
    ("open profiles/", "meshcourse up ... --istio demo    # profiles are: default, demo, minimal, empty, ambient, ..."),
    ("forbidden", "kubectl auth can-i '*' '*' --all-namespaces    # installing needs a cluster administrator"),
)


def run(connection: Connection, *arguments: str, report: Report | None = None, timeout: float = 600.0) -> Completed:
    """Run `istioctl arguments...`. Raises MeshError when it exits with a failure."""
    done = commands.run(connection, ["istioctl", *arguments], report=report, timeout=timeout)
    if done.code != 0:
        raise failure(done)
    return done


def read_json(connection: Connection, *arguments: str) -> Any:  # noqa: ANN401 - Envoy's configuration has no one shape
    """Run `istioctl arguments... -o json` and parse what it prints. Raises MeshError when it fails or prints something else."""
    done = run(connection, *arguments, "-o", "json", timeout=60.0)
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise errors.MeshError(f"`{done.command}` did not print JSON.", why=done.stdout[:200], next=done.command) from error


def failure(done: Completed) -> errors.MeshError:
    """The error for an istioctl that failed: its message, and the command most likely to help."""
    before, sign, after = done.complaint.partition("\nError: ")
    words = sign.lstrip() + after if sign else before  # without the logo that istioctl prints first
    away = [("connection refused", look()), ("no such host", look())]
    following = next(
        (command for sign, command in (*away, *_NEXT) if sign.lower() in words.lower()),
        f"{done.command}    # run it in a terminal and read all of its output",
    )
    return errors.MeshError(f"`{done.command}` failed (exit code {done.code}).", why=words, next=following)
