from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.oci.digest import digest_of, hex_of, is_digest

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_digest_is_the_sha256_of_the_bytes() -> None:
    assert digest_of(b"") == f"sha256:{EMPTY}"
    assert hex_of(f"sha256:{EMPTY}") == EMPTY


@pytest.mark.parametrize(
    "text",
    [
        "",
        EMPTY,
        f"sha256:{EMPTY[:-1]}",
        f"sha256:{EMPTY}0",
        f"sha256:{EMPTY.upper()}",
        f"SHA256:{EMPTY}",
        f" sha256:{EMPTY}",
        f"sha256:{EMPTY}\n",
        f"sha256:{'g' * 64}",
        f"sha256:{'٣' * 64}",
        f"sha512:{EMPTY}{EMPTY}",
        f"sha256:../{'a' * 61}",
    ],
)
def test_any_other_form_is_no_digest(text: str) -> None:
    assert not is_digest(text)


@settings(max_examples=50, deadline=None)
@given(st.binary())
def test_what_is_computed_is_well_formed(data: bytes) -> None:
    assert is_digest(digest_of(data))
