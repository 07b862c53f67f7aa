"""A container's user and capabilities: the pod's and the container's securityContext merged.

AppArmor profiles and SELinux labels are accepted and change nothing, and every seccomp profile but Unconfined is the one of seccomp.py;
privileges never grow (bubblewrap always sets no_new_privs), whatever allowPrivilegeEscalation says. A privileged container gets what any
other gets, and may change its pod's own network: nothing of the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshcourse.node.images.passwd import Accounts

if TYPE_CHECKING:
    from meshcourse.core.json_types import Json


_NOBODY = Accounts()
_PRIVILEGED = ("NET_ADMIN",)


class InvalidSecurity(Exception):  # noqa: N818 - reads as the sentence it is
    """The container must not be started with this security context."""


@dataclass(frozen=True)
class LinuxUser:
    """The user that a container's first process runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Security:
    """The parts that sandbox.py needs. Capability names have no CAP_ prefix; "ALL" is kept."""

    identity: LinuxUser
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    read_only_root: bool = False
    confined: bool = True


def security(pod: Json, container: Json, image_user: str, accounts: Accounts = _NOBODY) -> Security:
    """Merge both security contexts; the container's wins. `image_user` is "", "1337", "1337:1337" or names in `accounts`.

    Raises InvalidSecurity when runAsNonRoot cannot be satisfied, or the image's user is unknown.
    """
    of_pod = pod["spec"].get("securityContext") or {}
    joined = {**of_pod, **{name: value for name, value in (container.get("securityContext") or {}).items() if value is not None}}
    asked = joined.get("runAsUser")
    where = f'(pod: "{pod["metadata"]["name"]}_{pod["metadata"]["namespace"]}({pod["metadata"]["uid"]})", container: {container["name"]})'
    if joined.get("runAsNonRoot"):
        if asked == 0:
            msg = f"container's runAsUser breaks non-root policy {where}"
            raise InvalidSecurity(msg)
        if asked is None and image_user and not image_user.partition(":")[0].isdigit():
            msg = f"container has runAsNonRoot and image has non-numeric user ({image_user}), cannot verify user is non-root {where}"
            raise InvalidSecurity(msg)
    user, group = _ids(image_user if asked is None else str(asked), accounts)
    if joined.get("runAsNonRoot") and user == 0:
        msg = f"container has runAsNonRoot and image will run as root {where}"
        raise InvalidSecurity(msg)
    if joined.get("runAsGroup") is not None:
        group = int(joined["runAsGroup"])
    groups = [] if of_pod.get("supplementalGroupsPolicy") == "Strict" else list(accounts.groups_of(user))
    groups += [*(of_pod.get("supplementalGroups") or []), *([of_pod["fsGroup"]] if of_pod.get("fsGroup") is not None else [])]
    capabilities = joined.get("capabilities") or {}
    return Security(
        LinuxUser(user, group, tuple(dict.fromkeys(int(number) for number in groups))),
        (*_names(capabilities.get("add")), *(_PRIVILEGED if joined.get("privileged") else ())),
        _names(capabilities.get("drop")),
        bool(joined.get("readOnlyRootFilesystem")),
        (joined.get("seccompProfile") or {}).get("type") != "Unconfined",
    )


def _names(capabilities: list[str] | None) -> tuple[str, ...]:
    return tuple(name.upper().removeprefix("CAP_") for name in capabilities or [])


def _ids(text: str, accounts: Accounts) -> tuple[int, int]:
    user, _, group = text.partition(":")
    known = accounts.user(user or "0")
    if not known and user and not user.isdigit():
        msg = f"unable to find user {user}: no matching entries in passwd file"
        raise InvalidSecurity(msg)
    uid, gid = (known[1], known[2]) if known else (int(user or 0), 0)
    if group:
        number = int(group) if group.isdigit() else accounts.group(group)
        if number is None:
            msg = f"unable to find group {group}: no matching entries in group file"
            raise InvalidSecurity(msg)
        gid = number
    return uid, gid
