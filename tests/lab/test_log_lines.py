"""lab.explain_log: a line as a table of fields."""

from __future__ import annotations

import pytest

from meshcourse.core.errors import CourseError
from meshcourse.lab.log_lines import Explained
from meshcourse.measure import access_logs

LINE = (
    '[2026-11-25T09:09:41.101Z] "GET /a<b> HTTP/1.1" 404 NR route_not_found - "-" 0 0 0 - "172.18.0.2" "curl" '
    '"e02219af-3c85-985a-8f1c-0fcd94324027" "nobody.example.com" "-" - - 10.244.0.16:8080 172.18.0.2:34668 - -'
)


@pytest.fixture
def explained() -> Explained:
    (entry,) = access_logs.parse([LINE])
    return Explained("kubectl logs deployment/web | tail -1", entry)


def test_every_field_stands_beside_its_value_and_meaning(explained: Explained) -> None:
    rows = {name: (value, meaning) for name, value, meaning in explained.rows()}
    assert list(rows) == list(access_logs.MEANING)
    assert rows["flags"] == ("NR", access_logs.MEANING["flags"])
    text = repr(explained)
    assert text.startswith("$ kubectl logs")
    assert LINE in text
    assert "code_details" in text


def test_what_a_client_sent_is_shown_as_text_not_as_html(explained: Explained) -> None:
    page = explained._repr_html_()
    assert "/a&lt;b&gt;" in page
    assert "<b>" not in page


def test_one_field_can_be_taken_out(explained: Explained) -> None:
    assert explained["code"] == "404"
    with pytest.raises(CourseError, match="no field 'status'") as caught:
        explained["status"]
    assert "code_details" in caught.value.why
