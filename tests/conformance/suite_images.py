"""The images of Kubernetes' test suite as rows of the node: real programs where they were built, this machine's where that is the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from meshcourse.engine import binaries

_E2E: Final = "registry.k8s.io/e2e-test-images"
_OS_RELEASE: Final = 'NAME="Alpine Linux"\nID=alpine\n'
"""What upstream's images of this kind have there: they are made from Alpine's."""
_EFFECTIVE_UID: Final = '#!/bin/sh\necho "Effective uid: $(id -u)"\n'


def rows(programs: Path) -> Iterator[dict[str, Any]]:
    """For MESHCOURSE_IMAGE_ROWS."""
    certificate = {f"/{name}": (programs / name).read_text(encoding="utf-8") for name in ("localhost.crt", "localhost.key")}
    agnhost = {"programs": dict.fromkeys(("/agnhost", "/agnhost-2"), str(programs / "agnhost")), "scripts": certificate}
    yield {"names": [f"{_E2E}/agnhost"], "identity": "agnhost", "entrypoint": ["/agnhost"], "command": ["pause"], **agnhost}
    for name in ("nautilus", "kitten"):
        files = {
            "scripts": {
                **certificate,
                "/etc/os-release": _OS_RELEASE,
                "/data.json": f'{{\n"image": "{name}.jpg"\n}}\n',
                f"/{name}.jpg": name,
            }
        }
        serve = {"entrypoint": ["/agnhost"], "command": ["test-webserver"]}
        yield {"names": [f"{_E2E}/{name}"], "identity": f"agnhost, as {name}", **serve, **agnhost, **files}
    yield {
        "names": [f"{_E2E}/nonewprivs"],
        "identity": "a shell script",
        "entrypoint": ["/usr/local/bin/nnp"],
        "scripts": {"/usr/local/bin/nnp": _EFFECTIVE_UID},
        "stand_in": "prints its effective user, as the program does; it has no setuid bit",
    }
    yield {"names": [f"{_E2E}/nonroot"], "identity": "agnhost", "user": "1234", "entrypoint": ["/agnhost"], "command": ["pause"], **agnhost}
    server = {"programs": {"/sample-apiserver": str(programs / "sample-apiserver")}}
    yield {"names": [f"{_E2E}/sample-apiserver"], "identity": "sample-apiserver", "entrypoint": ["/sample-apiserver"], **server}
    etcd = {"programs": {"/usr/local/bin/etcd": str(binaries.program("etcd"))}}
    yield {"names": ["registry.k8s.io/etcd"], "identity": "the engine's etcd", "entrypoint": ["/usr/local/bin/etcd"], **etcd}
    yield {"names": [f"{_E2E}/glibc-dns-testing"], "identity": "this machine's programs", "entrypoint": ["sleep"], "command": ["infinity"]}
