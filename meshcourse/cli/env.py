"""`meshcourse env`: export lines for `eval`, so that kubectl and istioctl use the cluster. Nothing else is printed on stdout."""

from __future__ import annotations

import os
import shlex
from typing import Annotated

import typer

from meshcourse.cli.options import DEFAULT_NAME, Name

Chapter = Annotated[str, typer.Option(metavar="KEY", help="The namespace of a chapter, by its number or key, such as 5 or 05-canary.")]


def env(name: Name = DEFAULT_NAME, chapter: Chapter = "") -> None:
    """Print export lines for your shell. They set KUBECONFIG, INGRESS_URL, and PATH with kubectl, istioctl and meshcourse.

    JupyterLab's own terminals need none of it: they follow the chapter that you opened last.

    \b
    eval "$(meshcourse env)"
    eval "$(meshcourse env --chapter 5)"     kubectl then acts on that chapter's namespace
    kubectl get pods -A
    istioctl proxy-status
    curl -si "$INGRESS_URL"
    """  # noqa: D301 - \\b tells click to keep the lines
    from meshcourse.backends import lookup
    from meshcourse.course import chapters
    from meshcourse.kube.connection import Connection
    from meshcourse.lab import session, terminal

    wanted = chapters.find(chapter) if chapter else None
    cluster = lookup.find(name)
    variables = dict(cluster.environment())
    if wanted:
        connection = Connection(cluster.kubeconfig(), cluster.ingress_url(), variables)
        variables = session.environment(wanted.belonging_to(connection.learner), connection)
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    variables["PATH"] = os.pathsep.join(dict.fromkeys((*terminal.folders(variables.get("PATH", os.defpath)), *path)))
    for variable, value in variables.items():
        print(f"export {variable}={shlex.quote(value)}")
