"""What the README says was recorded and replayed is what a test records and replays."""

from __future__ import annotations

import re

from lab import full_run
from tests.readme import README, section


def test_each_recorded_build_is_a_row_of_what_works() -> None:
    rows = re.findall(r"^\| \[.+?\]\((\S+)/Dockerfile\)", section("What works"), re.M)
    contexts = [path.relative_to(README.parent) for path in full_run.RECORDED.iterdir()]
    assert sorted(rows) == sorted(map(str, contexts))


def test_a_row_says_what_the_dockerfile_runs() -> None:
    row = re.compile(r"^\| \[.+?\]\((\S+)\) \| `(.+?)` \|", re.M)
    for dockerfile, command in row.findall(section("What works")):
        text = (README.parent / dockerfile).read_text()
        assert command.replace("\\|", "|") in " ".join(text.replace("\\\n", "").split()), dockerfile


def test_the_fingerprint_of_the_trusted_key_is_compared_before_the_install() -> None:
    before, install = section("On the host").split("airgap.pyz install ", 1)
    _, compare = before.split("airgap.pyz trust add ", 1)
    assert "Continue only if it is the one that `keygen` printed" in compare
    assert "airgap.pyz" not in install
