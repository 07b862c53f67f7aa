"""The layers of containers' root file systems: one for all, one for each image, one for each container.

The root is our base layer, the image's layer, the container's own layer (mount points), and below /usr the host's /usr. A mount point must
be in one of our layers: inside a user namespace the host's folders have no mapped owner. bubblewrap creates missing parents with mode 0700,
another reason to create all mount points here. A pulled image has all its files: nothing of the host is then below it, and the few host
programs that turn the sandbox into the container's user are in their own folder, /.meshcourse.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from meshcourse.node import images
from meshcourse.node.images.host_python import loader
from meshcourse.node.images.image import FILES
from meshcourse.node.images.passwd import inside

if TYPE_CHECKING:
    from meshcourse.node.container.spec import Host, Spec

# From the host's /etc: what its dynamic programs and its TLS need, and nothing about its users.
HOST_ETC = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl", "ca-certificates", "pki", "localtime")
POD_ETC = ("hosts", "hostname", "resolv.conf")
ENTRY = "/.meshcourse"
"""Where a container of a pulled image has the host's setpriv, with its libraries."""


def prepare_base(layers: Path, host: Host) -> None:
    """Write the lowest layer of all containers: users, the links of a merged /usr, empty folders."""
    base = layers / "base"
    shutil.copytree(FILES / "base", base)
    for name in ("usr", "proc", "dev", "run", "var", "root", "home", "opt", "srv", "mnt"):
        (base / name).mkdir()
    for folder in (base / "tmp", base / "var" / "tmp"):
        folder.mkdir()
        folder.chmod(0o1777)
    for name, link in host.roots.items():
        if link:
            (base / name).symlink_to(link)
        else:
            (base / name).mkdir()
    for name in (*POD_ETC, *HOST_ETC):
        source = Path("/etc") / name
        if source.is_dir():
            (base / "etc" / name).mkdir()
        else:
            (base / "etc" / name).touch()


def prepare_entry(layers: Path, host: Host) -> None:
    """Write the layer above every pulled image: the host's setpriv, and mount points for the kernel's file systems."""
    folder = layers / "entry" / ENTRY.strip("/")
    folder.mkdir(parents=True)
    for name in ("proc", "dev"):
        (layers / "entry" / name).mkdir()
    shutil.copy(host.setpriv, folder)
    if (load := loader(Path(host.setpriv))) != Path(host.setpriv):
        shutil.copy(load, folder / "loader")
        listed = subprocess.run([str(load), "--list", host.setpriv], capture_output=True, text=True, check=True).stdout
        for name, path in (line.split()[:3:2] for line in listed.splitlines() if "=>" in line):
            shutil.copy(path, folder / name)


def prepare(spec: Spec) -> None:
    """Write this container's own layer, one mount point for each mount, and the layers below it if they do not exist yet."""
    if spec.image.root is not None:
        _prepare_over(spec, spec.image.root)
        return
    (images.ensure_layer(spec.layers, spec.image) / "usr").mkdir(exist_ok=True)
    own = spec.scratch / "layer"
    (own / "usr").mkdir(parents=True)
    if spec.image.shell_that_keeps and not all(name.isascii() and name.isidentifier() for name in spec.environment):
        (own / "usr" / "bin").mkdir()
        (own / "usr" / "bin" / "sh").symlink_to(spec.image.shell_that_keeps)
    for target, is_folder in [*((mount.target, mount.source.is_dir()) for mount in spec.mounts), (spec.working_dir, True)]:
        point = own / target.strip("/")
        if target.startswith(("/dev/", "/proc/")) or point.exists():
            continue
        point.parent.mkdir(parents=True, exist_ok=True)
        if is_folder:
            point.mkdir()
        else:
            point.touch()


def _prepare_over(spec: Spec, root: Path) -> None:
    """Create the mount points that a pulled image lacks. Existing folders keep owner and mode, which the topmost layer determines."""
    own = spec.scratch / "layer"
    own.mkdir(parents=True)
    _like(own, root)
    mounts = [(f"/etc/{name}", False) for name in POD_ETC] + [(mount.target, mount.source.is_dir()) for mount in spec.mounts]
    for path, is_folder in [*mounts, (spec.working_dir, True)]:
        there = inside(root, path)
        if path.startswith(("/dev/", "/proc/")) or there.exists():
            continue
        point = own / there.relative_to(root)
        for folder in reversed([*([point] if is_folder else []), *point.parents]):
            if folder.is_relative_to(own) and not folder.exists():
                folder.mkdir()
                _like(folder, root / folder.relative_to(own))
        if not is_folder:
            point.touch()


def _like(folder: Path, other: Path) -> None:
    if other.is_dir():
        found = other.stat()
        os.chown(folder, found.st_uid, found.st_gid)
        folder.chmod(found.st_mode & 0o7777)
