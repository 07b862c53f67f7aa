"""The generator: the same bytes each time, learner and solved variants, and sources that break the rules."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import nbformat
import pytest

from meshcourse.authoring import notebooks
from meshcourse.checks import chapters
from meshcourse.core import errors
from meshcourse.course import solutions

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SOURCE = """# %% [markdown]
# # Title

# %%
from meshcourse import lab

lab.chapter("05-canary")

# %% language="bash"
# kubectl get pods

# %% tags=["exercise"] exercise="5.1"
lab.apply("")

# %% tags=["solution"] exercise="5.1"
lab.apply("solved")

# %% tags=["headless"]
lab.panel().start()

# %% tags=["nbval-check-output"]
lab.check("5.1")
"""


def sources(text: str = SOURCE, *, solved: bool = False) -> list[str]:
    return ["".join(cell["source"]) for cell in notebooks.notebook(text, "05_canary", solutions=solved)["cells"]]


def test_committed_notebooks_are_what_their_sources_make() -> None:
    assert notebooks.check(NOTEBOOKS / "source", NOTEBOOKS) == ()


def test_one_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = next(path for path in notebooks.build(NOTEBOOKS / "source", tmp_path) if path.stem == "05_canary")
    path.write_bytes(path.read_bytes().replace(b"Canary", b"canary", 1))
    assert notebooks.check(NOTEBOOKS / "source", tmp_path) == (f"{path.name} is not what {path.stem}.py makes",)


def test_missing_and_orphaned_notebooks_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "99_gone.ipynb").write_text("{}")
    complaints = notebooks.check(NOTEBOOKS / "source", tmp_path)
    assert "99_gone.ipynb has no source" in complaints
    assert "05_canary.ipynb has not been generated" in complaints


def test_learner_gets_the_exercise_and_the_solved_variant_the_solution() -> None:
    assert 'lab.apply("")' in sources()
    assert 'lab.apply("solved")' not in sources()
    assert 'lab.apply("solved")' in sources(solved=True)
    assert 'lab.apply("")' not in sources(solved=True)


def test_headless_cells_and_parameters_are_for_machines_only() -> None:
    assert not [text for text in sources() if "lab.panel()" in text or "parametrise" in text]
    solved = sources(solved=True)
    assert "lab.panel().start()" in solved
    assert solved[0].endswith("environment says")
    assert "lab.parametrise(backend=backend)" in solved[1]
    tags = [cell["metadata"].get("tags") for cell in notebooks.notebook(SOURCE, "05_canary", solutions=True)["cells"]]
    assert tags[:2] == [["parameters"], ["headless"]]
    assert ["solution"] in tags


def test_every_panel_of_the_course_is_driven_where_machines_run_it() -> None:
    for path in (NOTEBOOKS / "source").glob("*.py"):
        cells = notebooks.notebook(path.read_text(encoding="utf-8"), path.stem, solutions=True)["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        for cell, after in itertools.pairwise(code):
            if re.search(r"\blab\.\w+_panel\(", "".join(cell["source"])):
                assert after["metadata"].get("tags") == ["headless"], f"{path.name} shows a panel that nothing drives"
                looks = re.search(r"wait_|^assert ", "".join(after["source"]), re.MULTILINE)
                assert looks, f"{path.name} drives a panel and looks at nothing"


def test_chapters_can_be_built_one_by_one(tmp_path: Path) -> None:
    for name in ("05_canary", "05-canary", "5", "05"):
        assert [path.name for path in notebooks.build(NOTEBOOKS / "source", tmp_path, names=[name])] == ["05_canary.ipynb"]
    with pytest.raises(errors.CourseError, match="no notebook 55"):
        notebooks.build(NOTEBOOKS / "source", tmp_path, names=["5", "55"])


def test_no_solution_is_hidden_in_a_learners_notebook() -> None:
    for path in NOTEBOOKS.glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        assert '"solution"' not in text
        for cell in json.loads(text)["cells"]:
            assert cell["metadata"].get("tags", []) in ([], ["nbval-check-output"])


def test_shell_cells_become_bash_magics() -> None:
    assert "%%bash\nkubectl get pods" in sources()


def test_notebooks_are_valid_and_hold_no_outputs() -> None:
    for path in NOTEBOOKS.glob("*.ipynb"):
        content = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        nbformat.validate(content)
        assert all(cell.get("execution_count") is None and not cell.get("outputs") for cell in content.cells)


def test_cell_ids_are_unique_and_change_only_with_their_cell() -> None:
    def ids(text: str) -> list[str]:
        return [cell["id"] for cell in notebooks.notebook(text, "05_canary", solutions=False)["cells"]]

    before, after = ids(SOURCE), ids(SOURCE.replace("# # Title", "# # Another"))
    assert len(set(before)) == len(before)
    assert before[0] != after[0]
    assert before[1:] == after[1:]
    twice = ids(SOURCE + "\n# %%\n1\n\n# %%\n1\n")
    assert len(set(twice)) == len(twice)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (('lab.chapter("05-canary")', "pass"), "lab.chapter"),
        (("from meshcourse import lab", "from meshcourse import lab\nimport requests"), "import requests"),
        (('tags=["solution"] exercise="5.1"', 'tags=["solution"] exercise="5.2"'), "not both"),
        (('tags=["solution"] exercise="5.1"', 'tags=["solution"]'), "does not say which"),
    ],
)
def test_source_that_breaks_a_rule_is_refused(change: tuple[str, str], why: str) -> None:
    with pytest.raises(errors.CourseError) as caught:
        notebooks.notebook(SOURCE.replace(*change), "05_canary", solutions=False)
    assert why in caught.value.why


def test_solution_is_read_from_the_source() -> None:
    assert solutions.find(SOURCE, "5.1") == 'lab.apply("solved")'
    with pytest.raises(errors.CourseError, match=r"5\.9"):
        solutions.find(SOURCE, "5.9")


def test_every_exercise_has_a_solution_and_a_check_in_its_chapter() -> None:
    for number in chapters.EXERCISES:
        (source,) = (NOTEBOOKS / "source").glob(f"{int(number.partition('.')[0]):02d}_*.py")
        text = source.read_text(encoding="utf-8")
        solved = notebooks.notebook(text, source.stem, solutions=True)["cells"]
        assert solutions.find(text, number) in {"".join(cell["source"]) for cell in solved}, "what lab.solution shows is no cell"
        assert f'lab.check("{number}")' in text


def test_no_host_outside_the_mesh_is_named_in_two_chapters() -> None:
    """Chapters leave their Gateways behind until they are cleaned up: the same host in two of them would be answered by either."""
    owners: dict[str, set[str]] = {}
    for source in sorted((NOTEBOOKS / "source").glob("*.py")):
        manifests = sorted((NOTEBOOKS / "manifests" / source.stem).glob("*.yaml"))
        for host in re.findall(r"[a-z0-9.-]+\.example(?:\.com)?\b", "".join(file.read_text() for file in (source, *manifests))):
            owners.setdefault(host, set()).add(source.stem)
    assert len(owners) > 10
    assert {host: chapters for host, chapters in owners.items() if len(chapters) > 1} == {}
