"""The node image for kind: Debian with systemd, kind's own files, Kubernetes' own programs, and the control plane's images inside.

It follows kind's images/base/Dockerfile and pkg/build/nodeimage (version of go_programs.KIND), except for two parts that no package
registry has: kindnetd, which pod-network.service replaces, and the storage provisioner. files/node/kind/bin/adapt-to-host runs before its
entrypoint.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from meshcourse.core import progress, settings
from meshcourse.core.errors import EngineError
from meshcourse.engine import binaries
from meshcourse.engine.go_programs import KIND
from meshcourse.imagemaking import archive, control_plane, debian, go_builds, oci
from meshcourse.imagemaking.debian import Root
from meshcourse.imagemaking.layers import Entry, Layer, Store, copied, tree

FILES: Final = Path(__file__).parent / "files" / "node"
ROOT: Final = Root(
    "what a node needs",
    (
        *("systemd", "conntrack", "iptables", "nftables", "iproute2", "ethtool", "util-linux", "mount", "kmod", "libseccomp2", "procps"),
        *("bash", "ca-certificates", "curl", "jq", "e2fsprogs", "socat", "runc"),
    ),
    # As kind's Dockerfile does after installing the packages.
    script="""
    find /lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete
    rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* /lib/systemd/system/local-fs.target.wants/*
    rm -f /lib/systemd/system/sockets.target.wants/*udev* /lib/systemd/system/sockets.target.wants/*initctl*
    rm -f /lib/systemd/system/basic.target.wants/*
    echo ReadKMsg=no >>/etc/systemd/journald.conf
    ln -sf /usr/lib/systemd/systemd /sbin/init
    """,
)
UNITS: Final = ("kubelet", "containerd", "undo-mount-hacks", "pod-network")
MIRRORS: Final = "/etc/containerd/certs.d"
"""The folder where a node's containerd looks for mirrors of the registries in references."""
_USR_BIN: Final = ("kubeadm", "kubelet", "kubectl")
_LOCAL_BIN: Final = ("containerd", "containerd-shim-runc-v2", "ctr", "crictl")
_STORE: Final = ("io.containerd.content.v1.content", "io.containerd.metadata.v1.bolt")
"""The parts of containerd's folder that record its images; it creates the others when it starts."""
_CNI: Final = ("loopback", "ptp", "host-local", "portmap")
_ENDS_WITHIN: Final = 60.0
_SYSTEMD_FROM: Final = 24


def put(store: Store, repository: str, kubernetes: str = settings.KUBERNETES) -> oci.Stored:
    """Make the node image of the engine's Kubernetes or of one in go_builds.OLDER. Raises EngineError, MissingPrerequisite."""
    programs = {"kubectl": binaries.kubectl(), **go_builds.ensure()}
    if kubernetes != settings.KUBERNETES:
        programs |= go_builds.ensure_older(kubernetes)
    root = debian.layer(store, ROOT)
    listed = _output([programs["kubeadm"], "config", "images", "list", f"--kubernetes-version=v{kubernetes}"])
    inner = control_plane.put(store, listed.split(), programs)
    image = oci.Image(
        references=(f"{repository}:v{kubernetes}-{key()}",),
        layers=(root, store.layer(tuple(_entries(kubernetes, programs))), _images(store, inner, programs)),
        entrypoint=("/kind/bin/adapt-to-host", "/usr/local/bin/entrypoint", "/sbin/init"),
        environment={"container": "docker"},  # makes systemd detect the container
        stop_signal="SIGRTMIN+3",  # the signal that stops systemd
        labels={
            "org.opencontainers.image.title": f"kind node, Kubernetes {kubernetes}",
            "org.opencontainers.image.description": f"files of kind {KIND.version}, containerd {go_builds.CONTAINERD.version}",
            "org.opencontainers.image.vendor": "meshcourse: made on this machine, not by kind's makers",
        },
    )
    return oci.put(store, image)


def key() -> str:
    """Twelve hex digits that change with the node image, except for newer Debian packages."""
    digest = hashlib.sha256(f"{go_builds.key()} {binaries.key()} {ROOT.key} {KIND.version}".encode())
    for path in (*sorted(path for path in FILES.rglob("*") if path.is_file()), Path(__file__), Path(control_plane.__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _entries(kubernetes: str, programs: Mapping[str, Path]) -> Iterator[Entry]:
    kinds = go_builds.kind_sources() / "images" / "base" / "files"
    for entry in tree(kinds):
        executable = entry.path.startswith(("/usr/local/bin/", "/kind/bin/"))
        changed = _CHANGES.get(entry.path)
        content = changed(entry.source.read_text(encoding="utf-8"), kubernetes).encode() if changed and entry.source else b""
        yield Entry(entry.path, 0o755 if executable else 0o644, source=None if changed else entry.source, content=content)
    yield from tree(FILES)
    yield Entry("/kind/version", content=f"v{kubernetes}".encode())
    yield Entry("/etc/containerd/cri-base.json", content=_base_spec(programs["ctr"]))
    yield from (Entry(f"/usr/bin/{name}", 0o755, source=programs[name]) for name in _USR_BIN)
    yield from (Entry(f"/usr/local/bin/{name}", 0o755, source=programs[name]) for name in _LOCAL_BIN)
    yield from (Entry(f"/opt/cni/bin/{name}", 0o755, source=programs[name]) for name in _CNI)
    wants = "/etc/systemd/system/multi-user.target.wants"
    yield from (Entry(f"{wants}/{unit}.service", link=f"/etc/systemd/system/{unit}.service") for unit in UNITS)
    yield Entry("/etc/systemd/system/systemd-binfmt.service", link="/dev/null")  # it would change the whole machine
    yield from (Entry(path, 0o755, folder=True) for path in ("/etc/kubernetes/manifests", "/etc/cni/net.d", f"{MIRRORS}/_default"))


def _with_mirrors(config: str, _: str) -> str:
    return f'{config.rstrip()}\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "{MIRRORS}"\n'


def _for_systemd(variables: str, kubernetes: str) -> str:
    """Containerd leaves cgroups to systemd; kubelet and kind do too since 1.24."""
    option = " --cgroup-driver=systemd" if int(kubernetes.split(".")[1]) < _SYSTEMD_FROM else ""
    return f"{variables.rstrip()}{option}\n"


_CHANGES: Final[Mapping[str, Callable[[str, str], str]]] = {
    "/etc/containerd/config.toml": _with_mirrors,
    "/etc/default/kubelet": _for_systemd,
}


def _base_spec(ctr: Path) -> bytes:
    """The result of kind's Dockerfile step with `ctr oci spec` and jq."""
    spec = json.loads(_output([ctr, "oci", "spec"]))
    spec.setdefault("hooks", {}).setdefault("createContainer", []).append({"path": "/kind/bin/mount-product-files.sh"})
    spec["process"].pop("rlimits", None)
    return json.dumps(spec, indent=1).encode()


def _images(store: Store, images: Sequence[oci.Stored], programs: Mapping[str, Path]) -> Layer:
    """A layer with containerd's own store of `images`, which containerd itself writes once."""
    key = hashlib.sha256("\n".join([go_builds.CONTAINERD.version, *(image.manifest for image in images)]).encode()).hexdigest()

    def fill(tar: tarfile.TarFile) -> None:
        with (
            tempfile.TemporaryDirectory(prefix="meshcourse-") as folder,
            progress.step("Putting the control plane's images into the node's"),
        ):
            top = Path(folder)
            archive.write(store, images, top / "images.tar")
            _import(top, programs)
            with tarfile.open(top / "store.tar", "w") as whole:
                for part in _STORE:
                    whole.add(top / "root" / part, arcname=f"var/lib/containerd/{part}", filter=_roots)
            copied(top / "store.tar")(tar)

    return store.remembered(key, fill)


def _roots(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _import(top: Path, programs: Mapping[str, Path]) -> None:
    """Let containerd import images.tar into its store below `top`, as kind's own build does."""
    config = top / "config.toml"
    unused = [
        f"io.containerd.{name}" for name in ("cri.v1.images", "cri.v1.runtime", "grpc.v1.cri", "nri.v1.nri", "monitor.task.v1.cgroups")
    ]
    config.write_text(
        f'version = 3\nroot = "{top}/root"\nstate = "{top}/state"\ndisabled_plugins = {json.dumps(unused)}\n'
        f'[grpc]\n  address = "{top}/socket"\n',
        encoding="utf-8",
    )
    log = (top / "log").open("wb")
    with log, subprocess.Popen([programs["containerd"], "--config", config], stdout=log, stderr=log, stdin=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + _ENDS_WITHIN
            while not (top / "socket").exists():
                if server.poll() is not None or time.monotonic() > until:
                    raise EngineError(
                        "containerd did not start.", why=(top / "log").read_text(errors="replace")[-800:], next="meshcourse images make"
                    )
                time.sleep(0.1)
            argv: list[str | Path] = [programs["ctr"], "--address", top / "socket", "--namespace", "k8s.io", "images", "import"]
            argv += ["--label=io.cri-containerd.pinned=pinned", "--all-platforms", "--no-unpack", "--digests", top / "images.tar"]
            _output(argv)
        finally:
            server.terminate()
            server.wait(timeout=_ENDS_WITHIN)


def _output(argv: Sequence[str | Path]) -> str:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=300, check=False)
    if done.returncode:
        command = " ".join(str(word) for word in argv)
        raise EngineError(f"`{command}` failed.", why=(done.stderr or done.stdout).strip()[-800:], next="meshcourse images make")
    return done.stdout
