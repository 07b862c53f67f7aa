"""PersistentVolumeClaims of a pod: which folder of the node the claim's volume is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshcourse.node.api import ApiError
from meshcourse.node.not_yet import NotYet

if TYPE_CHECKING:
    from meshcourse.core.json_types import Json
    from meshcourse.node.api import Api

KINDS = ("persistentVolumeClaim", "ephemeral")
_NOT_FOUND = 404


def claim_of(volume: Json, pod: Json) -> str:
    """The name of a volume's claim; that of a generic ephemeral volume is made of the pod's name and its own."""
    if "persistentVolumeClaim" in volume:
        return str(volume["persistentVolumeClaim"]["claimName"])
    return f"{pod['metadata']['name']}-{volume['name']}"


async def source_of(volume: Json, pod: Json, api: Api) -> Json:
    """The claim's volume as the source of a hostPath volume.

    Raises:
        NotYet: the claim is not there or not bound, or its volume is not a folder of a node (then for good).
        ApiError: the API server does not answer.
    """
    namespace, name = pod["metadata"]["namespace"], claim_of(volume, pod)
    try:
        claim = await api.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}")
    except ApiError as error:
        if error.code != _NOT_FOUND:
            raise
        raise _waiting(volume, f'persistentvolumeclaim "{name}" not found') from error
    if (claim.get("status") or {}).get("phase") != "Bound":
        raise _waiting(volume, f'persistentvolumeclaim "{name}" is not bound')
    found = await api.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
    for kind in ("local", "hostPath"):
        if kind in found["spec"]:
            return {"path": found["spec"][kind]["path"], "type": found["spec"][kind].get("type", "")}
    message = f'persistent volume "{found["metadata"]["name"]}" is neither local nor a hostPath: this node mounts no others'
    raise _waiting(volume, message, for_good=True)


def _waiting(volume: Json, why: str, *, for_good: bool = False) -> NotYet:
    return NotYet("FailedMount", f'MountVolume.SetUp failed for volume "{volume["name"]}" : {why}', for_good=for_good)
