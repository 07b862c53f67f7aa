"""The progress bar's text, from go's output."""

from __future__ import annotations

from meshcourse.engine.build_progress import Compilation, plan

LISTING = """\
go: downloading example.com/x v1.0.0
fmt false
example.com/x true
example.com/y true
example.com/one true fmt,example.com/x
example.com/two true fmt,example.com/x,example.com/y
"""
PROGRAMS = (("one", "example.com/one"), ("two", "example.com/two"))


def test_plan_counts_only_what_the_build_cache_lacks() -> None:
    made = plan(LISTING, PROGRAMS)
    assert made.packages == {"example.com/x", "example.com/y", "example.com/one", "example.com/two"}
    assert made.programs["one"] == {"example.com/x", "example.com/one"}


def test_the_program_that_lacks_least_is_named_until_it_is_linked() -> None:
    compilation = Compilation(plan(LISTING, PROGRAMS))
    assert str(compilation) == "0 of 4 packages, 0 of 2 programs; one needs 2 more"
    compilation.line("example.com/x")
    compilation.line("example.com/one")
    assert str(compilation) == "2 of 4 packages, 0 of 2 programs; one is being linked"
    assert compilation.appeared(["one"]) == ["one"]
    assert compilation.appeared(["one"]) == []
    assert str(compilation) == "2 of 4 packages, 1 of 2 programs; two needs 2 more"


def test_share_grows_from_nothing_to_one() -> None:
    compilation = Compilation(plan(LISTING, PROGRAMS))
    shares = [compilation.share]
    for line in ("example.com/x", "not a package", "example.com/x", "example.com/one", "example.com/y", "example.com/two"):
        compilation.line(line)
        shares.append(compilation.share)
    compilation.appeared(["one", "two"])
    assert shares == sorted(shares)
    assert (shares[0], compilation.share) == (0, 1)
    assert compilation.left == []


def test_downloads_are_counted() -> None:
    compilation = Compilation(plan("", ()))
    compilation.line("go: downloading example.com/x v1.0.0")
    assert compilation.downloaded == 1
