"""Messages of the API server, Istio's webhook and the YAML parser for real manifests, and the correction shown to a learner."""

from __future__ import annotations

import pytest

from meshcourse.core import errors
from meshcourse.mesh import refusals

TYPED = "failed to create typed patch object (t1/a; networking.istio.io/v1, Kind=VirtualService): "
HOOK = 'admission webhook "validation.istio.io" denied the request: configuration is invalid: '
SAID = [
    (
        f"{TYPED}.spec.http[0].match[0].headers.x-t.exact: expected string, got &value.valueUnstructured{{Value:true}}",
        "exact: yes",
        "'yes'",
    ),
    (f"{TYPED}.spec.http[0].match[0].headers.x-t.exact: expected string, got &value.valueUnstructured{{Value:false}}", "", "'false'"),
    (f"{TYPED}.spec.http[0].timeout: expected string, got &value.valueUnstructured{{Value:30}}", "timeout: 30", "`timeout: 30s`"),
    (f"{TYPED}.spec.http[0].fault.delay.fixedDelay: expected string, got &value.valueUnstructured{{Value:5}}", "", "`fixedDelay: 5s`"),
    (f"{TYPED}.spec.subsets[0].labels.version: expected string, got &value.valueUnstructured{{Value:1}}", "", "`version: '1'`"),
    (f"{TYPED}.spec.http[0].fault.abort.percentage: expected map, got &{{10}}", "", "percentage: {value: 10}"),
    (f"{TYPED}.spec.http[0].fault.abort.percentage.value: expected numeric (int or float), got string", "value: 10%", "`value: 10`"),
    (f"{TYPED}.spec.x.tcp.maxConnections: expected numeric (int or float), got string", 'maxConnections: "2"', "`maxConnections: 2`"),
    (f"{TYPED}.spec.http[0].match: expected list, got &{{map[headers:map[c:map[exact:b]]]}}", "", "is a list"),
    (f"{TYPED}.spec.http[0].rout: field not declared in schema", "", "no field `rout`"),
    ('spec.http[0].timeout: Invalid value: "string": type conversion error ... must be a valid duration greater than 1ms', "", "`500ms`"),
    (f"{HOOK}http retry policy configured when attempts are set to 0 (disabled)", "", "with `attempts: 0` leave out"),
    (f"{HOOK}total destination weight = 0", "", "each needs a `weight`"),
    (f"{HOOK}weight -5 < 0", "", "0 or more"),
    (f'{HOOK}"headers": error parsing regexp: missing argument to repetition operator: `*`', "", "a lone `*`"),
    (f'{HOOK}"5xxx" is not a valid retryOn policy', "", "`5xx`"),
    (f"{HOOK}HTTP status 5000 is not in range 200-599", "", "between 200 and 599"),
    (f"{HOOK}percentage 110 is neither 0.0, nor in range [0.0001, 100.0]", "", "between 0 and 100"),
    (f"{HOOK}percentage 150 is not in range 0..100", "", "between 0 and 100"),
    (f"{HOOK}HTTP route, redirect or direct_response is required", "", "`route:`"),
    ('spec.mtls.mode: Unsupported value: "PLAIN": supported values: "UNSET", "DISABLE"', "", '"DISABLE"'),
    ("line 9: found unknown escape character 's'", "", "single quotes"),
    ('namespaces "canary" not found', "", "first cell"),
    ('no matches for kind "Virtualservice" in version "networking.istio.io/v1"', "", "`kind: VirtualService`"),
    ('no matches for kind "VirtualService" in version "networking.istio.io/v9"', "", "kubectl explain virtualservice"),
]


@pytest.mark.parametrize(("words", "text", "cure"), SAID)
def test_a_refusal_is_turned_into_the_line_to_change(words: str, text: str, cure: str) -> None:
    assert cure in refusals.cure(words, text)


def test_an_error_keeps_its_words_and_its_status() -> None:
    before = errors.KubernetesError(
        "Istio refused the manifest.", why="total destination weight = 0", next="correct it", status={"code": 400}
    )
    after = refusals.explained(before, "")
    assert isinstance(after, errors.KubernetesError)
    assert (after.what, after.why, after.code) == (before.what, before.why, 400)
    assert after.next != before.next


def test_an_unknown_refusal_stays_as_it_was() -> None:
    before = errors.MeshError("What is this?", why="a new kind of refusal", next="read it")
    assert refusals.explained(before, "x: 1") is before
