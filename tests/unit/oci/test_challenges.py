"""What `WWW-Authenticate` headers say, in all forms of RFC 9110."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.limits import LIMITS
from airgap.oci.challenges import Challenge, parse_challenges

# Of the grammar: tokens, and what a quoted string may hold.
_TOKENS = st.text("abcXYZ019-._~!#$%&'*+^`|", min_size=1, max_size=8)
_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
_CHALLENGES = st.lists(
    st.tuples(_TOKENS, st.dictionaries(_TOKENS.map(str.lower), _VALUES, min_size=1, max_size=3)),
    min_size=1,
    max_size=4,
)


def quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@settings(max_examples=200, deadline=None)
@given(_CHALLENGES, st.sampled_from([", ", ",", " , ", ",,"]), st.sampled_from(["=", " = ", " ="]))
def test_what_is_written_by_the_grammar_is_read(
    challenges: list[tuple[str, dict[str, str]]], comma: str, equals: str
) -> None:
    texts = [
        f"{scheme} {comma.join(f'{name}{equals}{quoted(value)}' for name, value in each.items())}"
        for scheme, each in challenges
    ]
    wanted = [Challenge(scheme.lower(), each) for scheme, each in challenges]
    assert parse_challenges(texts) == wanted
    assert parse_challenges([comma.join(texts)]) == wanted


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=4))
def test_no_header_is_too_strange(headers: list[str]) -> None:
    for challenge in parse_challenges(headers):
        assert challenge.scheme == challenge.scheme.lower()


@pytest.mark.parametrize(
    ("header", "schemes"),
    [
        ("Negotiate", ["negotiate"]),
        ('Negotiate, Basic realm="x"', ["negotiate", "basic"]),
        ("Negotiate YIIB==, NTLM, Basic", ["negotiate", "ntlm", "basic"]),
        ('Basic realm="Bearer realm=x, NTLM"', ["basic"]),
        ('Basic realm="never ends, Bearer x', ["basic"]),
        ('realm="x"', []),
        (" , ,", []),
        ("", []),
    ],
)
def test_schemes_are_told_from_parameters(header: str, schemes: list[str]) -> None:
    assert [challenge.scheme for challenge in parse_challenges([header])] == schemes


def test_of_two_parameters_of_one_name_the_first_counts() -> None:
    [challenge] = parse_challenges(['Bearer realm="https://a/", realm="https://b/"'])
    assert challenge.get("realm") == "https://a/"


@pytest.mark.parametrize("piece", ["a", "a=", 'a="', '\\"', 'x="\\', " ", ",", "a ", "a=b,"])
def test_a_long_header_counts_up_to_its_limit(piece: str) -> None:
    header = f"Bearer {piece * (LIMITS.challenge_characters // len(piece))} end=1"
    assert "end" not in str(parse_challenges([header * 4]))
