"""A container: a process under bubblewrap, in its pod's network namespace.

`arguments` is pure; `start` does the I/O.

The root is an overlay of layers (rootfs.py), written to a tmpfs that goes with the container. The PID namespace is the container's own,
unless the pod shares one: the main process is then PID 2, under bubblewrap's reaper, so that a SIGTERM that it does not handle ends it.
Its control group, where there are any, is entered before bubblewrap starts, so that nothing of the container is outside it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from meshcourse.core.errors import ClusterError
from meshcourse.node import images
from meshcourse.node.container import rootfs
from meshcourse.node.container.spec import Host, Spec
from meshcourse.node.images.host_python import loader
from meshcourse.node.images.passwd import inside
from meshcourse.node.process import nsenter as entering
from meshcourse.node.process import seccomp
from meshcourse.node.process.namespaces import mount_namespace, processes_in
from meshcourse.node.process.processes import Process
from meshcourse.node.volume import node_files
from meshcourse.node.volume.volumes import Mount

# What Docker and containerd leave to a container's root user, but for MKNOD, which nothing here may have: they keep it from the machine's
# disks by a cgroup.
DEFAULT_CAPABILITIES = frozenset(
    {"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP"}
    | {"NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"}
)
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Capabilities that setpriv needs besides the container's: a foreign image could influence how setpriv is loaded.
_FOR_SETPRIV = ("SETUID", "SETGID", "SETPCAP")
_FORK_LOOK_SECONDS = 0.004
_INTO_GROUP = 'for each in $0; do echo 0 >"$each" || exit 125; done; exec "$@"'
_KILL_ROUNDS = 20  # a process may fork while the others are killed


def capabilities(spec: Spec) -> list[str]:
    """The names that remain, as a runtime computes them: the default set, less `drop`, plus `add`; "ALL" is all but MKNOD.

    >>> from pathlib import Path
    >>> p = Path()
    >>> capabilities(Spec("k", p, images.TABLE[0], (), {}, p, p, p, drop_capabilities=("ALL",), add_capabilities=("NET_ADMIN",)))
    ['NET_ADMIN']
    """
    dropped = {name.upper().removeprefix("CAP_") for name in spec.drop_capabilities}
    added = {name.upper().removeprefix("CAP_") for name in spec.add_capabilities}
    kept = frozenset[str]() if "ALL" in dropped else DEFAULT_CAPABILITIES - dropped
    return sorted((kept | added) - {entering.NEVER})


def privileges(spec: Spec, host: Host) -> list[str]:
    """Command line of setpriv, which turns the sandbox's root into the container's user."""
    names = capabilities(spec)
    bounding = f"+all,-{entering.NEVER.lower()}" if "ALL" in names else ",".join(["-all", *(f"+{name.lower()}" for name in names)])
    groups = ["--groups", ",".join(str(group) for group in spec.groups)] if spec.groups else ["--clear-groups"]
    return [
        *_loaded(spec, host.setpriv),
        *("--reuid", str(spec.uid), "--regid", str(spec.gid)),
        *groups,
        "--no-new-privs",
        "--inh-caps=-all",
        f"--bounding-set={bounding}",
        "--",
    ]


def seccomp_filter(spec: Spec) -> bytes:
    """The seccomp filter of a container; empty for one that is unconfined."""
    return seccomp.program(admin=bool({"ALL", "SYS_ADMIN"} & set(capabilities(spec)))) if spec.confined else b""


@dataclass(frozen=True)
class Given:
    """Descriptors that bubblewrap inherits: the PID namespace to join, sources below which pods could put links, the seccomp filter."""

    pid_namespace: int | None = None
    mounts: Mapping[Mount, int] = field(default_factory=dict)
    seccomp: int | None = None

    @classmethod
    def opened(cls, spec: Spec, handed: list[int]) -> Given:
        """Open them, and add each to `handed`. Raises OSError."""
        pid_namespace = None
        if spec.pid is not None:
            pid_namespace = os.open(spec.pid, os.O_RDONLY)
            handed.append(pid_namespace)
        mounts: dict[Mount, int] = {}
        for mount in spec.mounts:
            if mount.within is not None:
                mounts[mount] = node_files.open_below(mount.within, mount.source)
                handed.append(mounts[mount])
        rules = seccomp_filter(spec)
        if not rules:
            return cls(pid_namespace, mounts)
        handed.append(os.memfd_create("seccomp", 0))
        os.write(handed[-1], rules)
        os.lseek(handed[-1], 0, os.SEEK_SET)
        return cls(pid_namespace, mounts, handed[-1])


def arguments(spec: Spec, host: Host, present: Iterable[str] = rootfs.HOST_ETC, given: Given | None = None) -> list[str]:
    """The arguments of bubblewrap without the command: namespaces, root, devices, mounts, environment."""
    given = given or Given()
    pid_namespace = given.pid_namespace
    words = ["--unshare-pid"] if pid_namespace is None else ["--pidns", str(pid_namespace)]
    words += ["--unshare-ipc"] if spec.ipc is None else []
    words += ["--unshare-uts", "--hostname", spec.hostname] if spec.uts is None else []
    words += [] if spec.tty else ["--new-session"]  # in a session of its own a terminal would control nothing: no Ctrl-C, no job control
    own = spec.scratch / "layer"
    if spec.image.root is not None:
        words += ["--cap-drop", "ALL"]
        for name in {*capabilities(spec), *_FOR_SETPRIV}:
            words += ["--cap-add", name if name == "ALL" else f"CAP_{name}"]
        words += ["--cap-drop", f"CAP_{entering.NEVER}"]
        words += _overlay(spec, "/", spec.image.root, spec.layers / "entry", own)
        words += ["--proc", "/proc", "--dev", "/dev"]
    else:
        image_layer = images.layer_path(spec.layers, spec.image)
        words += _overlay(spec, "/", spec.layers / "base", image_layer, own)
        words += _overlay(spec, "/usr", Path("/usr"), image_layer / "usr", own / "usr")
        for name, link in host.roots.items():
            if not link:
                words += ["--ro-bind", f"/{name}", f"/{name}"]
        words += ["--proc", "/proc", "--dev", "/dev"]
        for name in present:
            words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        for program in spec.image.programs:
            words += ["--ro-bind", str(program.find()), program.target]
    for name in rootfs.POD_ETC:
        words += ["--bind", str(spec.etc / name), target(spec, f"/etc/{name}")]
    # A mount below another one must come after it.
    for mount in sorted(spec.mounts, key=lambda each: each.target.count("/")):
        opened = given.mounts.get(mount)
        source = ["--bind-fd", str(opened)] if opened is not None else ["--bind", str(mount.source)]
        words += [source[0].replace("--bind", "--ro-bind") if mount.read_only else source[0], source[1], target(spec, mount.target)]
    words += ["--seccomp", str(given.seccomp)] if given.seccomp is not None else []
    words += ["--clearenv"]
    for name, value in {"PATH": DEFAULT_PATH, **spec.environment}.items():
        words += ["--setenv", name, value]
    return [*words, "--chdir", spec.working_dir]


def _overlay(spec: Spec, where: str, *folders: Path) -> list[str]:
    sources = [word for folder in folders for word in ("--overlay-src", str(folder))]
    return [*sources, "--ro-overlay" if spec.read_only_root else "--tmp-overlay", where]


def _loaded(spec: Spec, setpriv: str) -> list[str]:
    """The command line that runs setpriv inside: directly, or by the loader beside it."""
    if spec.image.root is None:
        return [setpriv]
    name = f"{rootfs.ENTRY}/{Path(setpriv).name}"
    return [f"{rootfs.ENTRY}/loader", "--library-path", rootfs.ENTRY, name] if loader(Path(setpriv)) != Path(setpriv) else [name]


def target(spec: Spec, path: str) -> str:
    """The mount target in this container: a pulled image may have links in the path (/var/run), which bubblewrap would resolve outside."""
    root = spec.image.root
    return path if root is None else f"/{inside(root, path).relative_to(root)}"


@dataclass
class Running:
    """A container that runs. `reaper` is PID 1 of its PID namespace as the agent sees it; where that is shared, the main process.

    `mounts` names its mount namespace, which all its processes have and no other.
    """

    spec: Spec
    process: Process
    reaper: int
    mounts: str = ""
    before: tuple[tuple[str, ...], ...] = ()
    """The command line of the sandbox's own programs, which run in the main process before the container's program."""

    @property
    def pid(self) -> int:
        """The main process, as the agent sees it; 0 once it has ended."""
        if self.spec.pid is not None:
            return self.reaper if self.process.returncode is None else 0
        try:
            children = Path(f"/proc/{self.reaper}/task/{self.reaper}/children").read_text(encoding="ascii").split()
        except OSError:
            return 0
        return int(children[0]) if children else 0

    @property
    def has_begun(self) -> bool:
        """Whether the container's own program runs; False while bubblewrap or setpriv prepare it, and after it has ended."""
        try:
            words = Path(f"/proc/{self.pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        except OSError:
            return False
        return words != [b""] and not any(words[: len(each)] == [word.encode() for word in each] for each in self.before)

    def signal(self, number: int) -> None:
        """Send a signal to the main process; nothing happens when it has ended."""
        if pid := self.pid:
            _send(pid, number)

    def kill(self) -> None:
        """End every process of the container at once."""
        if self.spec.pid is None:
            _send(self.reaper, signal.SIGKILL)  # the kernel ends the others of the namespace
            return
        for _ in range(_KILL_ROUNDS):
            if not (found := processes_in(self.mounts)):
                return
            for pid in found:
                _send(pid, signal.SIGKILL)

    def enter(self, command: list[str], *, tty: bool = False) -> list[str]:
        """The command line that runs `command` in this container, as its user, with its environment and its working directory.

        Raises LookupError when the container has ended.
        """
        if not (pid := self.pid):
            raise LookupError(f"container {self.spec.key} is not running")
        spec = self.spec
        environment = {"PATH": DEFAULT_PATH, **({"TERM": "xterm"} if tty else {}), **spec.environment}
        program = (sys.executable, "-I", "-S", entering.__file__, str(self.reaper), str(pid))
        who = (str(spec.uid), str(spec.gid), ",".join(map(str, spec.groups)), ",".join(capabilities(spec)), seccomp_filter(spec).hex())
        return [*program, *who, json.dumps(environment), spec.image.told_when_absent, _entries(spec), "--", *command]


def _entries(spec: Spec) -> str:
    """The files that take a process into the container's control group, between spaces."""
    return " ".join(map(str, spec.group.entries)) if spec.group is not None else ""


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


async def start(spec: Spec, host: Host) -> Running:
    """Start the container and wait until its program runs, or has ended (`Running.has_begun` distinguishes them).

    Raises ClusterError when bubblewrap fails; `why` has its output.
    """
    await asyncio.to_thread(rootfs.prepare, spec)
    words = os.memfd_create(f"args-{spec.key}"[:200], 0)
    info_read, info_write = os.pipe()
    handed = [words, info_write]
    try:
        given = Given.opened(spec, handed)
        told = arguments(spec, host, given=given)
        os.write(words, b"\0".join(word.encode() for word in told) + b"\0")
        os.lseek(words, 0, os.SEEK_SET)
        shared = [f"--{kind}={path}" for kind, path in (("ipc", spec.ipc), ("uts", spec.uts)) if path is not None]
        argv = [host.nsenter, f"--net={spec.netns}", *shared, "--", host.bubblewrap, "--args", str(words), "--info-fd", str(info_write)]
        argv += ["--", *privileges(spec, host), *spec.argv]
        if spec.group is not None:
            argv = ["sh", "-c", _INTO_GROUP, _entries(spec), *argv]
        process = await Process.start(argv, tty=spec.tty, stdin=spec.stdin, owner=(spec.uid, spec.gid), pass_fds=tuple(handed))
    except BaseException:
        os.close(info_read)
        raise
    finally:
        for descriptor in handed:
            os.close(descriptor)
    text = await _read_all(info_read)
    if not text:
        try:
            said = b"".join([chunk async for _, chunk in process.outputs()]).decode(errors="replace").strip()
            why = f"{said or 'bubblewrap printed nothing'} (exit code {await process.wait()})"
            raise ClusterError(f"container {spec.key} could not be made", why=why)
        finally:
            process.close()
    before = ((host.bubblewrap, "--args"), tuple(privileges(spec, host)))
    reaper = int(json.loads(text)["child-pid"])
    running = Running(spec, process, reaper, mount_namespace(reaper), before)
    # The reaper mounts first and forks then: until it has, there is nothing to signal or to enter.
    while not running.has_begun and process.returncode is None:  # noqa: ASYNC110 - the kernel tells nobody of a fork, nor of an exec
        await asyncio.sleep(_FORK_LOOK_SECONDS)
    return running


async def _read_all(descriptor: int) -> bytes:
    """Read a pipe to its end without blocking the loop."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    try:
        return await reader.read()
    finally:
        transport.close()
