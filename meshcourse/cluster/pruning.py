"""Delete pulled images in a process that is allowed to: `python -m meshcourse.cluster.pruning`, started by `prune`.

It is a separate process, because an ordinary user can delete files of an image's other owners only as root of a user namespace, and a
process with threads cannot enter one.
"""

from __future__ import annotations

import json
import subprocess
import sys

from meshcourse.cluster import namespaces
from meshcourse.core.errors import ClusterError, MeshcourseError
from meshcourse.node.pulling import store


def prune() -> tuple[int, int]:
    """Delete the pulled images that no running cluster uses; returns the bytes freed and the images kept. Raises ClusterError."""
    done = subprocess.run([sys.executable, "-m", "meshcourse.cluster.pruning"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError("The pulled images could not be deleted.", why=done.stderr.strip(), next="meshcourse doctor")
    freed, kept = json.loads(done.stdout)
    return freed, kept


def main() -> int:
    """Become root of the user's namespace and delete."""
    try:
        namespaces.become_root()
    except MeshcourseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(store.prune()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
