"""What the embedded cluster needs from this machine, what is missing, and the exact command that installs it.

Nothing is changed here.
"""

from __future__ import annotations

import errno
import getpass
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from meshcourse.cluster import inotify, namespaces
from meshcourse.core import paths
from meshcourse.node.process import control_groups

PROGRAMS = ("iptables", "iptables-save", "nsenter", "setpriv", "newuidmap", "newgidmap", "busybox", "curl")
SYSTEM_PATH = ":/usr/local/sbin:/usr/sbin:/sbin"
ENOUGH_DISK = 1_000_000_000
ENOUGH_IDS = 2000
"""User ids that root must own: containers run as Istio's 1337 and as others below it. A whole root owns 4,294,967,295."""
APPARMOR_RULE = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
OTHER_WAYS = (
    "The kind backend (Docker) or any cluster with a kubeconfig runs the course too; on macOS and Windows also a Linux VM such as WSL2."
)


@dataclass(frozen=True)
class Check:
    """One line of the doctor: what was checked, whether it is there, what was found; `fix` is the command that fixes it."""

    name: str
    ok: bool
    found: str
    why: str
    fix: str


@dataclass(frozen=True)
class Facts:
    """What was found on the machine. `namespaces_refused` is the kernel's error, or empty; `ids` is the number of user ids.

    `control_groups` is their version, 0 where they cannot be had, and `no_control_groups` says why.
    """

    system: str
    machine: str
    user: str
    uid: int
    programs: Mapping[str, str]
    subuid: str = ""
    subgid: str = ""
    ids: int = 2**32 - 1
    namespaces_refused: str = ""
    apparmor_forbids: bool = False
    free_bytes: int = ENOUGH_DISK
    inotify_instances: int | None = None
    control_groups: int = 0
    no_control_groups: str = ""
    state: Path = field(default_factory=Path)


def facts() -> Facts:
    """Inspect this machine; takes some milliseconds."""
    search = os.environ.get("PATH", "") + SYSTEM_PATH
    existing = paths.state()
    while not existing.exists():
        existing = existing.parent
    uid = os.getuid()
    version, refused = _control_groups()
    return Facts(
        system=platform.system(),
        machine=platform.machine(),
        user=getpass.getuser(),
        uid=uid,
        programs={name: path for name in PROGRAMS if (path := shutil.which(name, path=search))},
        subuid=_text("/etc/subuid"),
        subgid=_text("/etc/subgid"),
        ids=sum(int(line.split()[2]) for line in _text("/proc/self/uid_map").splitlines()),
        namespaces_refused=_namespaces_refused(as_root=uid == 0) if platform.system() == "Linux" else "",
        apparmor_forbids=uid != 0 and APPARMOR_RULE.exists() and APPARMOR_RULE.read_text(encoding="ascii").strip() == "1",
        free_bytes=shutil.disk_usage(existing).free,
        inotify_instances=inotify.limit(),
        control_groups=version,
        no_control_groups=refused,
        state=existing,
    )


def _control_groups() -> tuple[int, str]:
    try:
        return control_groups.find().version, ""
    except control_groups.NoControlGroups as refused:
        return 0, str(refused)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _namespaces_refused(*, as_root: bool) -> str:
    """Try the namespaces that a cluster needs, in a process of their own that ends at once."""
    flags = namespaces.CLONE_NEWNS | namespaces.CLONE_NEWNET | namespaces.CLONE_NEWPID
    flags |= 0 if as_root else namespaces.CLONE_NEWUSER
    program = f"import ctypes, sys; libc = ctypes.CDLL(None, use_errno=True); sys.exit(libc.unshare({flags}) and ctypes.get_errno())"
    tried = subprocess.run([sys.executable, "-c", program], check=False)
    if tried.returncode == errno.ENOSPC:  # its text is "No space left on device", which is of no help here
        return "the limit of namespaces is 0 or reached (user.max_user_namespaces)"
    return os.strerror(tried.returncode) if tried.returncode else ""


def judge(found: Facts) -> tuple[Check, ...]:
    """The checks, in the order in which to fix them."""
    if found.system != "Linux":
        why = "The embedded cluster is made of Linux namespaces."
        fix = "kind create cluster --config kind-config.yaml"
        return (Check("Linux", ok=False, found=f"this is {found.system}", why=f"{why} {OTHER_WAYS}", fix=fix),)
    checks = [Check("Linux", ok=True, found=f"{found.system} {found.machine}", why="", fix="")]
    checks.append(_program(found, "iptables", ("iptables", "iptables-save"), "kube-proxy and Istio's init container write its rules"))
    checks.append(_program(found, "util-linux", ("nsenter", "setpriv"), "they put a container's process into its pod and under its user"))
    if found.uid != 0:
        checks += _ordinary_user(found)
    checks.append(_namespaces(found))
    checks += [_image(found, name) for name in ("busybox", "curl")]
    free = f"{found.free_bytes / 1e9:.1f} GB free under {found.state}"
    why = "" if found.free_bytes >= ENOUGH_DISK else "etcd's data and the logs need about 1 GB"
    fix = "" if found.free_bytes >= ENOUGH_DISK else "export MESHCOURSE_STATE=/a/folder/on/a/larger/disk"
    checks.append(Check("disk", ok=not why, found=free, why=why, fix=fix))
    holds = f"version {found.control_groups}: requests and limits of pods hold"
    lacking = f"requests and limits of pods do not hold: {found.no_control_groups}"
    checks.append(Check("control groups", ok=True, found=holds if found.control_groups else lacking, why="", fix=""))
    return (*checks, *_inotify(found))


def _program(found: Facts, package: str, programs: tuple[str, ...], why: str) -> Check:
    missing = [name for name in programs if name not in found.programs]
    if missing:
        return Check(package, ok=False, found=f"{' and '.join(missing)} not installed", why=why, fix=f"sudo apt install {package}")
    return Check(package, ok=True, found=found.programs[programs[0]], why=why, fix="")


def _image(found: Facts, program: str) -> Check:
    """A program that one image is made of: without it the cluster runs, and only pods of that image do not start."""
    if program in found.programs:
        return Check(program, ok=True, found=found.programs[program], why="", fix="")
    absent = f"not installed: pods of the image {program} will not start until `sudo apt install {program}`"
    return Check(program, ok=True, found=absent, why="", fix="")


def _inotify(found: Facts) -> list[Check]:
    """A low limit restricts how many sidecars run, not whether a cluster does."""
    if found.inotify_instances is None:
        return []
    room = f"{found.inotify_instances} instances: enough for {inotify.sidecars(found.inotify_instances)} sidecars"
    more = "" if found.inotify_instances >= inotify.ENOUGH else f"; more: {inotify.FIX}"
    return [Check("inotify", ok=True, found=f"{room}{more}", why="", fix="")]


def _ordinary_user(found: Facts) -> list[Check]:
    uidmap = _program(found, "uidmap", ("newuidmap", "newgidmap"), "it maps the ids that containers run under, such as Istio's 1337")
    ranges = [namespaces.subordinate_ids(text, found.user, found.uid) for text in (found.subuid, found.subgid)]
    name, why = "subordinate ids", "containers run under ids of their own, such as Istio's 1337"
    if all(ranges):
        start, count = ranges[0] or (0, 0)
        return [uidmap, Check(name, ok=True, found=f"{start} to {start + count - 1}", why=why, fix="")]
    fix = f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {found.user}"
    return [uidmap, Check(name, ok=False, found=f"{found.user} has no 65536 of them in /etc/subuid and /etc/subgid", why=why, fix=fix)]


def _namespaces(found: Facts) -> Check:
    name, why = "namespaces", "the cluster runs in namespaces of its own, so that nothing of it can be left behind"
    if found.apparmor_forbids:
        return Check(
            name,
            ok=False,
            found="AppArmor forbids them to ordinary users (Ubuntu 24.04's default)",
            why=why,
            fix="sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    if found.uid == 0 and found.ids < ENOUGH_IDS:
        return Check(
            name,
            ok=False,
            found=f"this root owns {found.ids} user id{'s' * (found.ids > 1)}, as after `unshare -r` or in a rootless container",
            why="containers run under ids of their own, such as Istio's 1337",
            fix="meshcourse doctor   # as the ordinary user, or as the machine's root",
        )
    if not found.namespaces_refused:
        return Check(name, ok=True, found="root" if found.uid == 0 else "user namespaces are allowed", why=why, fix="")
    inside = "Inside a container without the right to make namespaces: use the kind backend or a kubeconfig."
    fix = "sudo sysctl -w user.max_user_namespaces=15000" if found.uid else "meshcourse doctor   # in a virtual machine, or on the host"
    return Check(name, ok=False, found=f"refused: {found.namespaces_refused}", why=f"{why}. {inside}", fix=fix)


def check() -> tuple[Check, ...]:
    """Inspect and judge."""
    return judge(facts())
