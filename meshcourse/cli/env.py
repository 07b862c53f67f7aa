"""`meshcourse env`: what a shell needs so that kubectl and istioctl act on the cluster."""

from __future__ import annotations

import shlex

from meshcourse.cli.options import DEFAULT_NAME, Name


def env(name: Name = DEFAULT_NAME) -> None:
    """Print export lines for your shell. They set KUBECONFIG, INGRESS_URL, and PATH with kubectl and istioctl.

    \b
    eval "$(meshcourse env)"
    kubectl get pods -A
    istioctl proxy-status
    curl -i "$INGRESS_URL"
    """  # noqa: D301 - \\b tells click to keep the lines
    from meshcourse.backends import lookup

    for variable, value in lookup.find(name).environment().items():
        print(f"export {variable}={shlex.quote(value)}")
