"""Find the backend of a cluster by its name."""

from __future__ import annotations

from meshcourse.backends import embedded, kind, records
from meshcourse.backends.backend import Backend
from meshcourse.backends.embedded import Embedded
from meshcourse.backends.existing import Existing
from meshcourse.backends.kind import Kind
from meshcourse.core import paths, settings


def find(name: str = settings.DEFAULT_CLUSTER) -> Backend:
    """The backend of the cluster `name`, whether it runs or not. Raises ClusterError when its record cannot be read."""
    record = records.find(name)
    if record is None:
        return Kind(name) if (paths.cluster(name) / kind.UNFINISHED).exists() else Embedded(name)
    return Kind(name) if record.backend == records.KIND else Existing(name)


def running() -> tuple[Backend, ...]:
    """Every cluster of this user that runs or is in use. Embedded ones come last: an existing cluster may be one of them."""
    return (*(find(record.name) for record in records.every()), *embedded.running())


def runs(name: str) -> bool:
    """Whether the cluster `name` can be used without starting it."""
    return any(each.name == name and not (isinstance(each, Kind) and each.stopped()) for each in running())
