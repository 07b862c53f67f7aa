"""Which sidecars count calls, by the configuration that they were created with."""

from __future__ import annotations

import json
from types import SimpleNamespace as Fake
from typing import Any

import pytest

from meshcourse.measure import stats_inclusion

PATTERN = r"cluster\.(in|out)bound\|9080\|.*(upstream_rq_|ssl\.handshake).*"


def pod(matcher: dict[str, Any] | None = None, **annotations: str) -> Any:
    proxy = Fake(name="istio-proxy", env=[Fake(name="PROXY_CONFIG", value=json.dumps({"proxyStatsMatcher": matcher} if matcher else {}))])
    said = {f"sidecar.istio.io/statsInclusion{kind}": text for kind, text in annotations.items()}
    return Fake(metadata=Fake(annotations=said), spec=Fake(init_containers=[proxy], containers=[Fake(name="web", env=None)]))


@pytest.mark.parametrize(
    ("made", "keeps"),
    [
        (pod(), False),
        (pod({"inclusionRegexps": [PATTERN]}), True),
        (pod({"inclusionRegexps": [PATTERN.replace("9080", "7070")]}), False),
        (pod({"inclusionRegexps": ["("]}), False),
        (pod({"inclusionPrefixes": ["cluster.outbound"]}), True),
        (pod({"inclusionSuffixes": ["upstream_rq_200"]}), True),
        (pod({"inclusionPrefixes": ["listener."]}), False),
        (pod(Prefixes="listener.0,cluster.inbound"), True),
        (pod(Regexps=".*upstream_rq_[0-9]+"), True),
    ],
)
def test_configuration_says_whether_calls_are_counted(made: Any, *, keeps: bool) -> None:
    assert stats_inclusion.keeps_calls(made, {9080}) is keeps


def test_cure_is_a_pattern_that_counts() -> None:
    pattern = stats_inclusion.CURE.partition('["')[2].partition('"]')[0].replace("\\\\", "\\")
    assert stats_inclusion.keeps_calls(pod({"inclusionRegexps": [pattern]}), {80})
