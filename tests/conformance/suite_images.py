"""The images of Kubernetes' test suite as rows of the node: real programs where they were built, this machine's where that is the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from meshcourse.engine import binaries

_E2E: Final = "registry.k8s.io/e2e-test-images"
_NO_NEW_PRIVS: Final = "#!/bin/sh\nsed -n 's/NoNewPrivs:\\t/No new privileges: /p' /proc/self/status\n"


def rows(programs: Path) -> Iterator[dict[str, Any]]:
    """For MESHCOURSE_IMAGE_ROWS."""
    agnhost = {"programs": {"/agnhost": str(programs / "agnhost")}}
    yield {"names": [f"{_E2E}/agnhost"], "identity": "agnhost", "entrypoint": ["/agnhost"], "command": ["pause"], **agnhost}
    for name in ("nautilus", "kitten"):
        files = {"scripts": {"/data.json": f'{{\n"image": "{name}.jpg"\n}}\n', f"/{name}.jpg": name}}
        serve = {"entrypoint": ["/agnhost"], "command": ["test-webserver"]}
        yield {"names": [f"{_E2E}/{name}"], "identity": f"agnhost, as {name}", **serve, **agnhost, **files}
    yield {
        "names": [f"{_E2E}/nonewprivs"],
        "identity": "a shell script",
        "entrypoint": ["/nnp"],
        "scripts": {"/nnp": _NO_NEW_PRIVS},
        "stand_in": "reads NoNewPrivs of /proc/self/status",
    }
    yield {"names": [f"{_E2E}/nonroot"], "identity": "agnhost", "user": "1234", "entrypoint": ["/agnhost"], "command": ["pause"], **agnhost}
    server = {"programs": {"/sample-apiserver": str(programs / "sample-apiserver")}}
    yield {"names": [f"{_E2E}/sample-apiserver"], "identity": "sample-apiserver", "entrypoint": ["/sample-apiserver"], **server}
    etcd = {"programs": {"/usr/local/bin/etcd": str(binaries.program("etcd"))}}
    yield {"names": ["registry.k8s.io/etcd"], "identity": "the engine's etcd", "entrypoint": ["/usr/local/bin/etcd"], **etcd}
    yield {"names": [f"{_E2E}/glibc-dns-testing"], "identity": "this machine's programs", "entrypoint": ["sleep"], "command": ["infinity"]}
