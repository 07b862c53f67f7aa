"""Plans one run of a container: the manifest, the image and the pod's place on this node as one `Spec`.

Nothing is started or written here; only `mounts` may read files, for a subPath.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meshcourse.node.container.spec import Spec
from meshcourse.node.not_yet import NotYet
from meshcourse.node.spec import environment, security_context
from meshcourse.node.volume.volumes import Mount, absolute

if TYPE_CHECKING:
    from meshcourse.core.json_types import Json
    from meshcourse.node.images import Image
    from meshcourse.node.images.passwd import Accounts
    from meshcourse.node.network import PodNetns
    from meshcourse.node.process.control_groups import Group

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a path in the container
Mounts = Callable[["Json", Mapping[str, str]], tuple[Mount, ...]]


@dataclass(frozen=True)
class Place:
    """Where the run takes place: the pod's namespaces, files and objects, and this run's own folder and file for its termination message.

    `pid` is the PID namespace that it joins, if any. `accounts` are those of the image, `mounts` gives the mounts of a container whose
    environment is known. `shm` is the pod's /dev/shm, `group` the run's control group.
    """

    netns: PodNetns
    pid: Path | None
    shm: Path
    etc: Path
    scratch: Path
    layers: Path
    hostname: str
    host_ip: str
    message_file: Path
    accounts: Accounts
    objects: environment.Source
    mounts: Mounts
    group: Group | None = None


def plan(pod: Json, container: Json, image: Image, place: Place) -> Spec:
    """The plan of a run.

    Raises NotYet when a ConfigMap or Secret does not exist, the security context cannot be applied, or there is no command.
    """
    try:
        variables = environment.resolve(pod, container, place.objects, pod_ip=place.netns.ip, host_ip=place.host_ip)
        secured = security_context.security(pod, container, image.user, place.accounts)
    except (environment.MissingReference, security_context.InvalidSecurity) as error:
        raise NotYet("CreateContainerConfigError", str(error)) from error
    user = secured.identity
    known = {"HOME": home(place.accounts, user.uid), **image.environment, "HOSTNAME": place.hostname, **variables}
    mounts = place.mounts(container, variables)
    if all(mount.target != SHARED_MEMORY for mount in mounts):
        mounts = (*mounts, Mount(place.shm, SHARED_MEMORY, read_only=False))
    if place.group is not None and not any(mount.target.startswith("/sys") for mount in mounts):
        mounts = (*mounts, *(Mount(folder, target, read_only=True) for folder, target in place.group.mounts()))
    message = Mount(place.message_file, absolute(container.get("terminationMessagePath") or "/dev/termination-log"), read_only=False)
    return Spec(
        key=f"{pod['metadata']['name']}/{container['name']}",
        netns=place.netns.path,
        image=image,
        argv=arguments(container, image, known),
        environment=known,
        etc=place.etc,
        scratch=place.scratch,
        layers=place.layers,
        working_dir=absolute(container.get("workingDir") or image.working_dir),
        uid=user.uid,
        gid=user.gid,
        groups=user.groups,
        add_capabilities=secured.add_capabilities,
        drop_capabilities=secured.drop_capabilities,
        mounts=(*mounts, message),
        read_only_root=secured.read_only_root,
        hostname=place.hostname,
        tty=bool(container.get("tty")),
        stdin=bool(container.get("stdin")),
        ipc=place.netns.ipc,
        uts=place.netns.uts,
        pid=place.pid,
        group=place.group,
        confined=secured.confined,
    )


def home(accounts: Accounts, uid: int) -> str:
    """The user's home in the image; /root for root and / for other users that it does not have."""
    found = accounts.user(str(uid))
    return found[3] if found else "/root" if uid == 0 else "/"


def arguments(spec: Json, image: Image, variables: Mapping[str, str]) -> tuple[str, ...]:
    """The command line: `command` replaces the image's entrypoint and its arguments, `args` its arguments; $(NAME) is expanded.

    Raises NotYet when there is none.
    """
    command, args = (tuple(environment.expand(word, variables) for word in spec.get(name) or ()) for name in ("command", "args"))
    words = (*command, *args) if command else (*image.entrypoint, *(args or image.command))
    if not words:
        raise NotYet("CreateContainerError", "no command specified")
    return words
