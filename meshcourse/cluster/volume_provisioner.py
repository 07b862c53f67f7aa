"""Volumes for PersistentVolumeClaims of the StorageClass `standard`: folders among a node's files (addons/storage-class.yaml).

Once the scheduler has chosen a node for the first pod of a claim, it makes a folder and a PersistentVolume for the claim; when the claim is
deleted, it deletes both. The folders are in memory and end with the cluster. The capacity is not enforced.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshcourse.node.api import ApiError

if TYPE_CHECKING:
    from meshcourse.core.json_types import Json
    from meshcourse.node.api import Api

_log = logging.getLogger(__name__)

NAME: Final = "meshcourse.dev/node-files"
FOLDER: Final = "/var/lib/meshcourse/volumes"
_SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
_PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
_PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
_EXISTS, _NOT_FOUND = 409, 404


def wanted(claim: Json) -> bool:
    """Whether a claim waits for a volume of ours, and its node has been chosen."""
    notes = claim["metadata"].get("annotations") or {}
    ours = notes.get(_PROVISIONER) == NAME and notes.get(_SELECTED_NODE)
    return bool(ours) and not claim["spec"].get("volumeName") and not claim["metadata"].get("deletionTimestamp")


def volume_for(claim: Json) -> Json:
    """The PersistentVolume to create for a claim."""
    metadata, spec = claim["metadata"], claim["spec"]
    name = f"pvc-{metadata['uid']}"
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **{key: metadata[key] for key in ("namespace", "name", "uid")}}
    node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [metadata["annotations"][_SELECTED_NODE]]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {_PROVISIONED_BY: NAME}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec["storageClassName"],
            "claimRef": reference,
            "hostPath": {"path": f"{FOLDER}/{name}", "type": "Directory"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [node]}]}},
        },
    }


def given_up(volume: Json) -> bool:
    """Whether a volume of ours is to be deleted: its claim is gone."""
    ours = (volume["metadata"].get("annotations") or {}).get(_PROVISIONED_BY) == NAME
    released = (volume.get("status") or {}).get("phase") == "Released"
    return ours and released and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"


class Provisioner:
    """Makes and deletes the volumes; `nodes` is the folder with one for each node, by name."""

    def __init__(self, api: Api, nodes: Path) -> None:
        self._api = api
        self._nodes = nodes

    async def run(self) -> None:
        """Follow claims and volumes until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow("/api/v1/persistentvolumeclaims", self._claim))
            group.create_task(self._follow("/api/v1/persistentvolumes", self._volume))

    async def _follow(self, path: str, take: Callable[[Json], Awaitable[None]]) -> None:
        async with contextlib.aclosing(self._api.list_and_watch(path)) as changes:
            async for kind, what in changes:
                for each in what if kind == "SYNC" else [what] if kind != "DELETED" else []:
                    try:
                        await take(each)
                    except (ApiError, OSError, LookupError) as error:
                        _log.warning("%s %s: %s", path, each["metadata"]["name"], error)

    async def _claim(self, claim: Json) -> None:
        if not wanted(claim):
            return
        volume = volume_for(claim)
        folder = self._folder(volume)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # any user of any container may write
        try:
            await self._api.post("/api/v1/persistentvolumes", volume)
        except ApiError as error:
            if error.code != _EXISTS:
                raise

    async def _volume(self, volume: Json) -> None:
        if not given_up(volume):
            return
        await asyncio.to_thread(shutil.rmtree, self._folder(volume), ignore_errors=True)
        try:
            await self._api.delete(f"/api/v1/persistentvolumes/{volume['metadata']['name']}")
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise

    def _folder(self, volume: Json) -> Path:
        """The folder of a volume, by its name: its path may have been changed by others."""
        node = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"][0]
        return self._nodes / Path(node).name / "files" / FOLDER.lstrip("/") / str(volume["metadata"]["name"])
