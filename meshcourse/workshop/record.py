"""The workshop's settings and users, in one file that only its owner may read. `up` writes it; the hub and the board read it."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from meshcourse.core import files, paths
from meshcourse.core.errors import CourseError
from meshcourse.workshop.users import User

VARIABLE: Final = "MESHCOURSE_WORKSHOP"
"""Names the workshop's folder to the hub and its services."""
EMBEDDED: Final = "embedded"
EXISTING: Final = "existing"
CLASSROOM: Final = "classroom"
LOCAL: Final = "local"
EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound


@dataclass(frozen=True)
class Workshop:
    """`on` is EMBEDDED or EXISTING, `login` CLASSROOM (our own names and codes) or LOCAL (accounts of this machine, by PAM)."""

    address: str
    port: int
    base_url: str
    instructor: User
    learners: tuple[User, ...]
    on: str = EMBEDDED
    login: str = CLASSROOM
    public_url: str = ""
    """How browsers reach it, where something stands in front of it; empty: by address and port."""
    kubeconfig: str = ""
    config: str = ""
    hub_port: int = 0
    proxy_port: int = 0
    board_port: int = 0
    board_token: str = ""
    """The board's token for the hub's API. It stays the same when the hub restarts, so that a board in a browser goes on."""
    proxy: str = ""
    """The program configurable-http-proxy."""

    @property
    def url(self) -> str:
        """Where browsers find it."""
        host = _own_address() if self.address in EVERY_ADDRESS else self.address
        host = f"[{host}]" if ":" in host else host
        return self.public_url or f"http://{host}:{self.port}{self.base_url}"


def _own_address() -> str:
    """This machine's address in its network, which other machines can type; 127.0.0.1 without a network. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation (RFC 5737): only the way to it is looked up
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def folder() -> Path:
    """This user's workshop."""
    return Path(os.environ.get(VARIABLE) or paths.state() / "workshop")


def home(account: str) -> Path:
    """Everything that one learner has: `notebooks`, and below `home` settings and progress."""
    return folder() / "learners" / account


def state(user: User) -> tuple[Path, tuple[str, ...]]:
    """Where a learner's state is: a folder, and names below it, which the learner can replace by links."""
    if user.code:
        return home(user.account), ("state",)
    try:
        return Path(pwd.getpwnam(user.account).pw_dir), (".local", "state", "meshcourse")
    except KeyError:  # the account is gone
        return home(user.account), ("state",)


def read() -> Workshop | None:
    """The workshop; None if there is none. Raises CourseError when its file cannot be read."""
    path = folder() / "workshop.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        learners = tuple(User(**each) for each in found.pop("learners"))
        return Workshop(instructor=User(**found.pop("instructor")), learners=learners, **found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CourseError(
            "The workshop's file cannot be read.",
            why=f"{path}: {error}",
            next=f"mv {path} {path}.broken && meshcourse workshop down --keep    # learners' folders stay; then up again, with new codes",
        ) from error


def require() -> Workshop:
    """The workshop. Raises CourseError when there is none."""
    found = read()
    if found is None:
        raise CourseError("There is no workshop.", why=f"{folder()} is not there", next="meshcourse workshop up --learners 30")
    return found


def write(workshop: Workshop) -> None:
    """Write it. Raises CourseError when the folder cannot be written."""
    try:
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        files.replace(
            folder() / "workshop.json", json.dumps(dataclasses.asdict(workshop), indent=1, ensure_ascii=False) + "\n", durable=True
        )
    except OSError as error:
        raise CourseError("The workshop's folder cannot be written.", why=f"{folder()}: {error}", next="df -h    # or chown") from error
