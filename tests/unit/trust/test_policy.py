"""What a host decides about a bundle."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import TrustError
from airgap.trust.keys import PublicKey, generate
from airgap.trust.policy import SeenBundle, check_created, check_expiry, check_rollback, signers

DAY = timedelta(days=1)
TODAY = datetime(2026, 6, 1, tzinfo=UTC)
ALPINE = "docker.io/library/alpine:3"


def known(
    name: str = "site", serial: int = 1, age: int = 0, digest: str = "", **tags: str
) -> SeenBundle:
    """A bundle that was made `age` days ago and sets alpine, or `tags`, to its own name."""
    return SeenBundle(
        name,
        serial,
        TODAY - age * DAY,
        digest or f"sha256:{name}{serial}",
        tags or {ALPINE: f"{name}{serial}"},
    )


def test_a_signer_is_counted_once_for_all_its_signatures() -> None:
    key, other = generate("a", "ecdsa-p256"), generate("b", "ed25519")
    signatures = [key.sign(b"x"), key.sign(b"x"), other.sign(b"x")]
    assert signers(b"x", signatures, [key.public, other.public]) == (key.public, other.public)


def test_one_key_under_two_names_is_one_signer() -> None:
    key = generate("a", "ecdsa-p256")
    twice = [key.public, PublicKey("b", key.public.key)]
    assert [one.name for one in signers(b"x", [key.sign(b"x")], twice)] == ["a"]


def test_keys_that_did_not_sign_are_not_signers() -> None:
    key, other = generate("a", "ecdsa-p256"), generate("b", "ecdsa-p256")
    assert signers(b"x", [key.sign(b"x"), b"junk"], [other.public, key.public]) == (key.public,)


def test_a_host_without_keys_trusts_nobody() -> None:
    with pytest.raises(TrustError, match="this host trusts no key yet"):
        signers(b"x", [generate("a", "ed25519").sign(b"x")], [])


def test_a_bundle_without_signature_is_refused() -> None:
    with pytest.raises(TrustError, match="has no signature"):
        signers(b"x", [], [generate("a", "ed25519").public])


def test_the_refusal_names_the_keys_that_are_trusted() -> None:
    keys = [generate(name, "ed25519").public for name in ("b", "a")]
    with pytest.raises(TrustError, match=r"trusted here \(a, b\)"):
        signers(b"x", [generate("c", "ed25519").sign(b"x")], keys)


def test_a_bundle_without_expiry_never_expires() -> None:
    check_expiry(None, TODAY + 10_000 * DAY, [])


def test_a_bundle_lasts_until_it_expires() -> None:
    check_expiry(TODAY, TODAY, [])
    with pytest.raises(TrustError, match="expired on 2026-06-01 00:00 UTC"):
        check_expiry(TODAY, TODAY + timedelta(seconds=1), [])


def test_a_slow_clock_does_not_revive_an_expired_bundle() -> None:
    slow = datetime(1970, 1, 1, tzinfo=UTC)
    check_expiry(TODAY, slow, [known(age=1), known(age=0)])
    with pytest.raises(TrustError, match="expired"):
        check_expiry(TODAY - DAY, slow, [known(age=9), known(age=0), known(age=5)])


@pytest.mark.parametrize("ahead", [DAY * 0, DAY / 24, DAY])
def test_a_clock_that_is_a_little_slow_still_finds_what_is_from_the_future(
    ahead: timedelta,
) -> None:
    history = [replace(known(), created=TODAY + ahead)]
    check_created(TODAY + DAY, TODAY, history)
    with pytest.raises(TrustError, match="the clock of this host says"):
        check_created(TODAY + 900 * DAY, TODAY, history)


def test_a_clock_that_was_never_set_finds_nothing() -> None:
    check_created(TODAY, datetime(1970, 1, 1, tzinfo=UTC), [])
    check_created(TODAY + 900 * DAY, TODAY, [replace(known(), created=TODAY + 30 * DAY)])


def check(
    candidate: SeenBundle, *history: SeenBundle, has_content: bool = True, allow_older: bool = False
) -> None:
    check_rollback(candidate, history, is_gone=has_content, allow_older=allow_older)


def test_the_first_bundle_is_accepted() -> None:
    check(known(), has_content=False)


def test_the_same_bundle_is_accepted_again() -> None:
    check(known(age=3), known(age=3), known("other", 9, 1, x="y"))


def test_a_newer_bundle_is_accepted() -> None:
    check(known(serial=2), known(age=1))


def test_an_older_bundle_is_refused() -> None:
    with pytest.raises(TrustError, match=rf"{ALPINE} would go back .* set by site 2 of 2026-06-01"):
        check(known(age=1), known(serial=2))


def test_an_older_bundle_of_another_name_is_refused() -> None:
    with pytest.raises(TrustError, match="set by other 9"):
        check(known(serial=99, age=1), known("other", 9))


def test_an_older_bundle_that_sets_other_tags_is_accepted() -> None:
    check(known(age=1, debian="x"), known("other", 9))


def test_an_older_bundle_that_leaves_a_tag_where_it_is_is_accepted() -> None:
    check(known(age=1, alpine="same"), known("other", 9, alpine="same"))


def test_what_counts_is_the_bundle_that_set_the_tag_last() -> None:
    history = [known("b", age=0), known("a", age=5)]  # the second was put in with --allow-older
    check(known("c", age=3), *history)
    with pytest.raises(TrustError, match="would go back"):
        check(known("c", age=6), *history)


def test_an_older_bundle_that_repeats_a_tag_does_not_make_way_for_others() -> None:
    """The tag went from x to y and back; who holds the old media may not include y again."""
    history = [known("now", age=0, a="x"), known("oldest", age=5, a="x")]
    with pytest.raises(TrustError, match="set by now 1"):
        check(known("between", age=3, a="y"), *history)


def test_one_older_tag_of_many_is_enough_to_refuse() -> None:
    with pytest.raises(TrustError, match=r"^b would go back"):
        check(known("new", age=1, a="1", b="2"), known("old", age=2, a="0"), known("x", b="0"))


def test_older_is_accepted_when_it_was_asked_for() -> None:
    check(known(age=1), known(serial=2), allow_older=True)


@pytest.mark.parametrize("allow_older", [False, True])
def test_another_bundle_of_the_same_name_and_serial_is_always_refused(allow_older: bool) -> None:
    with pytest.raises(TrustError, match="another bundle site with the serial 1"):
        check(known(digest="sha256:other"), known(), allow_older=allow_older)


def test_the_same_serial_under_another_name_is_another_bundle() -> None:
    check(known("a", 1), known("b", 1, age=1))


def test_a_mirror_whose_receipts_are_gone_is_told() -> None:
    with pytest.raises(TrustError, match="install log is gone"):
        check(known())
    check(known(), allow_older=True)


BUNDLES = st.builds(
    lambda serial, age, tags: SeenBundle("n", serial, TODAY - age * DAY, f"{serial}", tags),
    st.integers(0, 1000),
    st.integers(0, 5),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("01"), max_size=3),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(BUNDLES, max_size=6, unique_by=lambda bundle: bundle.serial))
def test_without_allow_older_no_tag_ever_goes_back(offered: list[SeenBundle]) -> None:
    history: list[SeenBundle] = []
    set_by: dict[str, SeenBundle] = {}
    for candidate in offered:
        try:
            check(candidate, *history, has_content=bool(history))
        except TrustError:
            continue
        history.append(candidate)
        for tag, digest in candidate.tags.items():
            before = set_by.get(tag, candidate)
            if before.tags[tag] != digest:
                assert before.created <= candidate.created
                before = candidate
            set_by[tag] = max(before, candidate, key=lambda bundle: bundle.created)
