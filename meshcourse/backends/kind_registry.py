"""The registry beside a kind cluster with `--images made`: crane's own, in a container of the nodes' network, with the made images.

It reads the blobs where `images make` keeps them. A node asks it first for images of every registry, so `latest` and `imagePullPolicy:
Always` work without any other; images that it lacks are pulled from the registry in their name.
"""

from __future__ import annotations

import time
from typing import Final

from meshcourse.backends import containers, kind_nodes, programs
from meshcourse.backends.backend import Report
from meshcourse.backends.containers import Engine
from meshcourse.core.errors import ClusterError
from meshcourse.imagemaking import archive, made, node_image, registries
from meshcourse.imagemaking.made import Made
from meshcourse.imagemaking.oci import Stored

LABEL: Final = "dev.meshcourse.registry"
PORT: Final = 5000
HOSTS: Final = f"{node_image.MIRRORS}/_default/hosts.toml"
_LIMIT: Final = 900.0
_ANSWERS_WITHIN: Final = 30.0


def load(engine: Engine, image: Stored, report: Report) -> None:
    """Load a made image into the engine, unless it has it. Raises ClusterError."""
    reference = image.references[0]
    if containers.has(engine, reference):
        return
    report(f"{engine.name} load {reference}")
    file = made.store().folder / "load.tar"
    try:
        archive.write(made.store(), [image], file)
        programs.run([engine.program, "load", "--input", file], {}, timeout=_LIMIT)
    finally:
        file.unlink(missing_ok=True)


def serve(engine: Engine, cluster: str, images: Made, report: Report) -> None:
    """Make the cluster's nodes pull from a registry with `images`: it is started when it does not run. Raises ClusterError."""
    load(engine, images.registry, report)
    name = f"{cluster}-registry"
    image = images.registry.references[0]
    blobs = made.store().blob("any").parents[1]
    if not (there := kind_nodes.labelled(engine, f"{LABEL}={cluster}")):
        words = ["run", "--detach", "--name", name, "--label", f"{LABEL}={cluster}", "--network", kind_nodes.NETWORK]
        words += ["--publish", f"127.0.0.1::{PORT}", "--volume", f"{blobs}:/data:ro", "--security-opt", "label=disable", image]
        programs.run([engine.program, *words], {}, timeout=60.0)
    else:
        kind_nodes.start(engine, there)
    (registry,) = kind_nodes.labelled(engine, f"{LABEL}={cluster}")
    published = programs.run([engine.program, "port", name, f"{PORT}/tcp"], {}, timeout=60.0).split()[0]
    count = _announce(images, published)
    for node in kind_nodes.of(engine, cluster):
        kind_nodes.write(engine, node.name, HOSTS, f'[host."http://{registry.address}:{PORT}"]\n  capabilities = ["pull", "resolve"]\n')
    report(f"a registry of this cluster's own serves {count} names of {len(images.every)} made images")


def remove(engine: Engine, cluster: str) -> None:
    """Remove the cluster's registry, if it has one. Raises ClusterError."""
    for container in kind_nodes.labelled(engine, f"{LABEL}={cluster}"):
        programs.run([engine.program, "rm", "--force", "--volumes", container.name], {}, timeout=60.0)


def _announce(images: Made, published: str) -> int:
    host, _, port = published.rpartition(":")
    until = time.monotonic() + _ANSWERS_WITHIN
    while True:
        try:
            return registries.announce(made.store(), images.every, host, int(port))
        except OSError as error:
            if time.monotonic() > until:
                raise ClusterError(
                    "The cluster's registry does not answer.", why=f"{published}: {error}", next="docker ps --all"
                ) from error
            time.sleep(0.2)
