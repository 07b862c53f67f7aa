"""Kubeconfig files for the learner and for the components."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from meshcourse.cluster.certificates import Pair
from meshcourse.core import files


def render(name: str, server: str, authority: Path, client: Pair) -> str:
    """A kubeconfig with one cluster, one user and one context, all called `name`. JSON is YAML too."""

    def inline(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": inline(authority)}}],
        "users": [
            {
                "name": name,
                "user": {"client-certificate-data": inline(client.certificate), "client-key-data": inline(client.key)},
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    return json.dumps(content, indent=2) + "\n"


def write(path: Path, name: str, server: str, authority: Path, client: Pair) -> Path:
    """Write `render`'s text to `path`."""
    files.replace(path, render(name, server, authority, client))
    return path
