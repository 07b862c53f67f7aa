"""The images that kubeadm starts in a node, as an archive for the node's containerd: the engine's programs under upstream's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from meshcourse.engine import binaries
from meshcourse.imagemaking import debian, oci
from meshcourse.imagemaking.course import BASE
from meshcourse.imagemaking.layers import Entry, Store

_SERVERS: Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
PAUSE: Final = "registry.k8s.io/pause:3.10"
"""The sandbox image that kind's containerd is configured with."""


def put(store: Store, wanted: Sequence[str], programs: Mapping[str, Path]) -> tuple[oci.Stored, ...]:
    """Make the images `wanted`, the references that `kubeadm config images list` prints, and the sandbox image.

    Kubernetes' servers come from `programs` where it has them (an older Kubernetes), else they are the engine's one program for all.
    """
    etcd = store.layer((Entry("/usr/local/bin/etcd", 0o755, source=binaries.program("etcd")),))
    dns = store.layer((Entry("/coredns", 0o755, source=programs["coredns"]),))
    pause = store.layer((Entry("/pause", 0o755, source=programs["pause"]),))
    named = {reference.rpartition("/")[2].partition(":")[0]: reference for reference in wanted}
    made = (
        *_servers(store, named, programs),
        oci.Image((named["etcd"],), (etcd,)),
        oci.Image((named["coredns"],), (dns,), entrypoint=("/coredns",)),
        oci.Image((PAUSE,), (pause,), entrypoint=("/pause",), user="65535:65535"),
    )
    return tuple(oci.put(store, image) for image in made)


def _servers(store: Store, named: Mapping[str, str], programs: Mapping[str, Path]) -> Iterator[oci.Image]:
    base = {"kube-proxy": (debian.layer(store, BASE),)}  # it calls iptables
    folder = Entry("/tmp", 0o1777, folder=True)  # noqa: S108 - a folder in an image
    if _SERVERS[0] in programs:
        for name in _SERVERS:
            layer = store.layer((folder, Entry(f"/usr/local/bin/{name}", 0o755, source=programs[name])))
            yield oci.Image((named[name],), (*base.get(name, ()), layer))
        return
    first = f"/usr/local/bin/{_SERVERS[0]}"
    others = (Entry(f"/usr/local/bin/{name}", 0o755, same_as=first) for name in _SERVERS[1:])
    layer = store.layer((folder, Entry(first, 0o755, source=binaries.program("kubernetes")), *others))
    yield oci.Image(tuple(named[name] for name in _SERVERS if name not in base), (layer,))
    yield oci.Image((named["kube-proxy"],), (*base["kube-proxy"], layer))
