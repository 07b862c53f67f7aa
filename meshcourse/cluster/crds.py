"""Lists the objects of every CRD once, as soon as it is served."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from meshcourse.node.api import ApiError

if TYPE_CHECKING:
    from meshcourse.node.api import Api


async def warm_up(api: Api) -> None:
    """Follow the CRDs until cancelled.

    The API server creates a CRD's cache at its first request, and until that is filled it answers a watch with 429, retry after a second.
    istiod, which starts half a second after Istio's CRDs, would not be ready for that second.
    """
    asked: set[str] = set()
    async for _, found in api.list_and_watch("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"):
        for each in found if isinstance(found, list) else [found]:
            uid, spec, conditions = each["metadata"]["uid"], each["spec"], each.get("status", {}).get("conditions") or []
            if uid in asked or ("Established", "True") not in {(one["type"], one["status"]) for one in conditions}:
                continue
            asked.add(uid)
            version = next(one["name"] for one in spec["versions"] if one["served"])
            with contextlib.suppress(ApiError):
                await api.get(f"/apis/{spec['group']}/{version}/{spec['names']['plural']}", limit=1)
