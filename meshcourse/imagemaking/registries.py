"""Pushes made images to a registry: to the one beside a kind cluster, which shares the blobs, or to any other by crane.

The cluster's registry stands for every registry: the host of a reference is left out, as in `library/nginx`.
"""

from __future__ import annotations

import http.client
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from meshcourse.core import progress
from meshcourse.core.errors import ClusterError
from meshcourse.engine.go_programs import CRANE
from meshcourse.imagemaking import oci
from meshcourse.imagemaking.layers import Store

_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_PATIENCE: Final = 30.0


def path_and_tag(reference: str) -> tuple[str, str]:
    """Path and tag of `reference` (always with registry and tag) in the cluster's registry.

    >>> path_and_tag("docker.io/library/nginx:1.27")
    ('library/nginx', '1.27')
    """
    name, _, tag = reference.rpartition(":")
    return name.partition("/")[2], tag


def announce(store: Store, images: Iterable[oci.Stored], host: str, port: int) -> int:
    """Register the images' names in a registry that shares the blobs; returns how many. Raises ClusterError, OSError."""
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    count = 0
    try:
        for image in images:
            manifest = store.blob(image.manifest).read_bytes()
            for path, tag in map(path_and_tag, image.references):
                connection.request("PUT", f"/v2/{path}/manifests/{tag}", manifest, {"Content-Type": _MANIFEST})
                answer = connection.getresponse()
                output = answer.read().decode("utf-8", "replace")
                if answer.status >= http.client.BAD_REQUEST:
                    raise ClusterError(
                        f"The cluster's registry refused {path}:{tag}.", why=f"{answer.status} {output[:300]}", next="docker ps --all"
                    )
                count += 1
    finally:
        connection.close()
    return count


def push(store: Store, images: Iterable[oci.Stored], prefix: str) -> None:
    """Push each image to a registry below `prefix` (HOST or HOST/PATH), by crane and with its credentials. Raises ClusterError."""
    crane = CRANE.ensure()
    for image in images:
        with tempfile.TemporaryDirectory(prefix="meshcourse-") as folder:
            layout = Path(folder)
            (layout / "oci-layout").write_bytes(oci.LAYOUT)
            (layout / "index.json").write_bytes(oci.index([_named(image, image.references[:1])]))
            (layout / "blobs").symlink_to(store.blob("any").parents[1])
            targets = list(dict.fromkeys(f"{prefix.rstrip('/')}/{path}:{tag}" for path, tag in map(path_and_tag, image.references)))
            for target in targets:
                with progress.step(f"Pushing {target}"):
                    _crane([str(crane), "push", str(layout), target], target)


def _named(image: oci.Stored, references: tuple[str, ...]) -> oci.Stored:
    return oci.Stored(references, image.manifest, image.manifest_size, image.config, image.layers, image.size, image.title)


def _crane(argv: list[str], target: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=1800, check=False)
    if done.returncode:
        output = (done.stderr.strip().splitlines() or ["crane printed nothing"])[-1].removeprefix("Error: ")
        login = "UNAUTHORIZED" in output or "DENIED" in output.upper()
        next_step = f"docker login {target.partition('/')[0]}" if login else "is the registry's name correct, and does it answer?"
        raise ClusterError(f"{target} could not be pushed.", why=output, next=next_step)
