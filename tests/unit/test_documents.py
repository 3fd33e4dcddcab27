"""Documents lead to files, headings and commands that exist."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest

from tests.readme import README

ROOT = README.parent
NAMES = ("ARCHITECTURE", "CHANGELOG", "CONTRIBUTING", "SECURITY", "STYLE")
TEXTS = {name: (ROOT / f"{name}.md").read_text() for name in NAMES}


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub forms them."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    for link in re.findall(r"\]\((?!https:)(.+?)\)", TEXTS[name]):
        file, _, heading = link.partition("#")
        text = (ROOT / file).read_text()
        assert not heading or heading in anchors(text), link


@pytest.mark.parametrize("name", NAMES)
def test_files_and_packages_that_are_named_exist(name: str) -> None:
    for path in re.findall(r"`((?:airgap|scripts|tests)/[\w./*-]+)`", TEXTS[name]):
        assert list(ROOT.glob(path)), path
    for package in re.findall(r"\(`(airgap\.(?!pyz)\w+)`\)", TEXTS[name]):
        assert find_spec(package), package


def test_make_has_the_targets_that_are_named() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z0-9-]+)", TEXTS["CONTRIBUTING"]):
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_leads_to_each(name: str) -> None:
    assert f"]({name}.md)" in README.read_text()
