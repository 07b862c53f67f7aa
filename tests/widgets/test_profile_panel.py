"""The profile panel: its table as reviewed, and real profiles compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import golden
import pytest
from waiting import until

from meshcourse.core.errors import PanelError
from meshcourse.mesh.install.profiles import Profile, Row
from meshcourse.widgets.figures import profiles as picture
from meshcourse.widgets.panels.profiles import ProfilePanel

ONE, OTHER = Profile("default", (), {}, 39), Profile("demo", (), {}, 42)
ROWS = (
    Row("Deployment istio-egressgateway", "", "✔"),
    Row("Deployment istiod", "✔", "✔"),
    Row("istiod: cpu asked for", "500m", "10m"),
    Row("mesh: <odd>", "a & b", ""),
)


def test_table_is_as_reviewed() -> None:
    made = picture.table(ONE, OTHER, ROWS).replace("<tr>", "\n<tr>").replace("<td", "\n  <td").replace("<th", "\n  <th") + "\n"
    golden.as_reviewed("profiles.html", made)


def test_what_is_the_same_is_counted_and_the_rest_is_told_in_words() -> None:
    page = picture.table(ONE, OTHER, ROWS)
    assert "Deployment istiod" not in page
    assert "1 more lines are the same" in page
    assert "mesh: &lt;odd&gt;" in page
    words = picture.describe(ONE, OTHER, ROWS)
    assert "only in demo: Deployment istio-egressgateway" in words
    assert "istiod: cpu asked for is 500m in default and 10m in demo" in words
    assert picture.describe(ONE, ONE, ROWS[1:2]) == "default and default are the same."


@pytest.fixture
def panel(cluster: Any) -> Iterator[ProfilePanel]:
    with ProfilePanel(cluster.connection) as made:
        yield made


@pytest.mark.cluster
def test_two_profiles_are_compared_by_call_and_by_button(panel: ProfilePanel) -> None:
    rows = {row.what: row for row in panel.choose("default", "demo")}
    assert rows["Deployment istio-egressgateway"] == Row("Deployment istio-egressgateway", "", "✔")
    panel.other.value = "minimal"
    until(lambda: "only in default: Deployment istio-ingressgateway" in panel.alt.value, 60)
    assert panel.snapshot().chosen == ("default", "minimal")
    assert panel.snapshot().error == ""
    with pytest.raises(PanelError, match="no profile 'preview'"):
        panel.choose("default", "preview")
