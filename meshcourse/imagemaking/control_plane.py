"""The images that kubeadm starts in a node, as an archive for the node's containerd: the engine's programs under upstream's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from meshcourse.engine import binaries
from meshcourse.imagemaking import debian, oci
from meshcourse.imagemaking.course import BASE
from meshcourse.imagemaking.layers import Entry, Store

_SERVER: Final = "/usr/local/bin/kube-apiserver"
_OTHERS: Final = ("kube-controller-manager", "kube-scheduler", "kube-proxy")
PAUSE: Final = "registry.k8s.io/pause:3.10"
"""The sandbox image that kind's containerd is configured with."""


def put(store: Store, wanted: Sequence[str], programs: Mapping[str, Path]) -> tuple[oci.Stored, ...]:
    """Make the images `wanted`, the references that `kubeadm config images list` prints, and the sandbox image."""
    server = store.layer(
        (
            Entry("/tmp", 0o1777, folder=True),  # noqa: S108 - a folder in an image
            Entry(_SERVER, 0o755, source=binaries.program("kubernetes")),
            *(Entry(f"/usr/local/bin/{name}", 0o755, same_as=_SERVER) for name in _OTHERS),
        )
    )
    etcd = store.layer((Entry("/usr/local/bin/etcd", 0o755, source=binaries.program("etcd")),))
    dns = store.layer((Entry("/coredns", 0o755, source=programs["coredns"]),))
    pause = store.layer((Entry("/pause", 0o755, source=programs["pause"]),))
    named = {reference.rpartition("/")[2].partition(":")[0]: reference for reference in wanted}
    made = (
        oci.Image(tuple(named[name] for name in ("kube-apiserver", *_OTHERS[:2])), (server,)),
        oci.Image((named["kube-proxy"],), (debian.layer(store, BASE), server)),
        oci.Image((named["etcd"],), (etcd,)),
        oci.Image((named["coredns"],), (dns,), entrypoint=("/coredns",)),
        oci.Image((PAUSE,), (pause,), entrypoint=("/pause",), user="65535:65535"),
    )
    return tuple(oci.put(store, image) for image in made)
