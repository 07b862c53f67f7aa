from __future__ import annotations

from typing import Any

from meshcourse.cluster import volume_provisioner

OURS = {
    "volume.kubernetes.io/storage-provisioner": volume_provisioner.NAME,
    "volume.kubernetes.io/selected-node": "mesh",
}


def claim(notes: dict[str, str], **spec: Any) -> dict[str, Any]:
    given = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "standard", **spec}
    return {"metadata": {"name": "data", "namespace": "shop", "uid": "7", "annotations": notes}, "spec": given}


def test_a_claim_gets_a_volume_once_its_node_is_chosen() -> None:
    assert volume_provisioner.wanted(claim(OURS))
    assert not volume_provisioner.wanted(claim({**OURS, "volume.kubernetes.io/selected-node": ""}))
    assert not volume_provisioner.wanted(claim({**OURS, "volume.kubernetes.io/storage-provisioner": "another.example"}))
    assert not volume_provisioner.wanted(claim(OURS, volumeName="pvc-7"))


def test_only_volumes_of_ours_whose_claim_is_gone_are_deleted() -> None:
    volume = volume_provisioner.volume_for(claim(OURS))
    assert volume["spec"]["claimRef"]["uid"] == "7"
    assert not volume_provisioner.given_up({**volume, "status": {"phase": "Bound"}})
    assert volume_provisioner.given_up({**volume, "status": {"phase": "Released"}})
    volume["spec"]["persistentVolumeReclaimPolicy"] = "Retain"
    assert not volume_provisioner.given_up({**volume, "status": {"phase": "Released"}})
