"""The registries file: which servers are asked for a host."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import UsageError
from airgap.limits import LIMITS
from airgap.oci.reference import parse_reference
from airgap.oci.registries import Endpoint, Registries, RegistryConfig, load_registries


def load(folder: Path, text: str) -> Registries:
    path = folder / "registries.toml"
    path.write_text(text)
    return load_registries(path)


def test_without_a_file_the_host_itself_is_asked() -> None:
    assert Registries().endpoints(parse_reference("ghcr.io/org/app")) == [
        Endpoint("ghcr.io", "ghcr.io", "org/app")
    ]


def test_docker_hub_is_asked_where_its_api_is_under_its_own_name() -> None:
    assert Registries().endpoints(parse_reference("alpine")) == [
        Endpoint("docker.io", "registry-1.docker.io", "library/alpine")
    ]


def test_mirrors_are_asked_in_order_and_the_host_last(tmp_path: Path) -> None:
    registries = load(
        tmp_path,
        """
        [registry."docker.io"]
        mirrors = ["harbor.internal:8443/proxy/hub", "mirror.internal"]
        """,
    )
    assert registries.endpoints(parse_reference("alpine:3")) == [
        Endpoint("harbor.internal:8443", "harbor.internal:8443", "proxy/hub/library/alpine"),
        Endpoint("mirror.internal", "mirror.internal", "library/alpine"),
        Endpoint("docker.io", "registry-1.docker.io", "library/alpine"),
    ]
    assert registries.endpoints(parse_reference("quay.io/a")) == [
        Endpoint("quay.io", "quay.io", "a")
    ]


def test_a_replaced_host_is_never_asked(tmp_path: Path) -> None:
    registries = load(tmp_path, '[registry."docker.io"]\nreplace = "harbor.internal/hub"')
    assert registries.endpoints(parse_reference("alpine")) == [
        Endpoint("harbor.internal", "harbor.internal", "hub/library/alpine")
    ]


def test_a_mirror_reads_its_own_section(tmp_path: Path) -> None:
    (tmp_path / "site-ca.pem").touch()
    registries = load(
        tmp_path,
        """
        [registry."docker.io"]
        mirrors = ["harbor.internal:5000/hub", "harbor.internal/hub"]

        [registry."harbor.internal:5000"]
        http = true

        [registry."harbor.internal"]
        ca = "site-ca.pem"
        mirrors = ["never.internal"]
        """,
    )
    ca = tmp_path / "site-ca.pem"
    assert registries.endpoints(parse_reference("alpine")) == [
        Endpoint("harbor.internal:5000", "harbor.internal:5000", "hub/library/alpine", http=True),
        Endpoint("harbor.internal", "harbor.internal", "hub/library/alpine", ca=ca),
        Endpoint("docker.io", "registry-1.docker.io", "library/alpine"),
    ]


def test_a_ca_may_be_named_by_its_full_path(tmp_path: Path) -> None:
    ca = tmp_path / "elsewhere" / "ca.pem"
    ca.parent.mkdir()
    ca.touch()
    registries = load(tmp_path, f'[registry."a.internal"]\nca = "{ca}"')
    assert registries.sections == {"a.internal": RegistryConfig(ca=ca)}


@pytest.mark.parametrize("text", ["", "[registry]", '[registry."a.internal"]'])
def test_an_empty_file_or_section_changes_nothing(tmp_path: Path, text: str) -> None:
    reference = parse_reference("a.internal/x")
    assert load(tmp_path, text).endpoints(reference) == Registries().endpoints(reference)


@pytest.mark.parametrize(
    ("server", "yes"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.8.9.10", True),
        ("[::1]", True),
        ("[::1]:5000", True),
        ("registry-1.docker.io", False),
        ("127.0.0.1.example.com", False),
        ("localhost.example.com:80", False),
        ("10.0.0.127", False),
        ("[::2]:5000", False),
    ],
)
def test_loopback_is_this_machine_alone(server: str, yes: bool) -> None:
    assert Endpoint("x", server, "y").is_loopback is yes


SECTION = 'registry."a.internal"'


@pytest.mark.parametrize(
    ("text", "why", "allowed"),
    [
        ("mirrors = []", "unknown key mirrors", '[registry."HOST"]'),
        ("registry = 1", "registry must be sections", ""),
        ("[registry]\nx = 1", 'registry."x" must be a table', "mirrors, replace, http, ca"),
        ("[registry.docker.io]", 'registry."docker": unknown key io', "mirrors, replace, http, ca"),
        (f"[{SECTION}]\nmirror = []", f"{SECTION}: unknown key mirror", "mirrors, replace"),
        (f"[{SECTION}]\nmirrors = 'b'", f"{SECTION}: mirrors must be a list", ""),
        (f"[{SECTION}]\nmirrors = ['b', 1]", f"{SECTION}: mirrors must be a list", ""),
        (f"[{SECTION}]\nmirrors = ['https://b']", f"{SECTION}: mirrors must be a list", ""),
        (f"[{SECTION}]\nmirrors = ['b/']", f"{SECTION}: mirrors must be a list", ""),
        (f"[{SECTION}]\nmirrors = ['b/../c']", f"{SECTION}: mirrors must be a list", ""),
        (f"[{SECTION}]\nmirrors = ['b:x']", f"{SECTION}: mirrors must be a list", ""),
        (f"[{SECTION}]\nmirrors = ['[::1']", f"{SECTION}: mirrors must be a list", ""),
        (f"[{SECTION}]\nmirrors = ['u:p@b']", f"{SECTION}: mirrors must be a list", ""),
        (f"[{SECTION}]\nreplace = ['b']", f"{SECTION}: replace must be", ""),
        (f"[{SECTION}]\nreplace = ''", f"{SECTION}: replace must be", ""),
        (f"[{SECTION}]\nreplace = false", f"{SECTION}: replace must be", ""),
        (
            f"[{SECTION}]\nreplace = 'b'\nmirrors = ['c']",
            f"{SECTION}: replace and mirrors exclude each other",
            "",
        ),
        (f"[{SECTION}]\nhttp = 'yes'", f"{SECTION}: http must be true or false", ""),
        (f"[{SECTION}]\nhttp = 1", f"{SECTION}: http must be true or false", ""),
        (f"[{SECTION}]\nca = 'no.pem'", f"{SECTION}: ca must name a file, and 'no.pem'", ""),
        (f"[{SECTION}]\nca = '.'", f"{SECTION}: ca must name a file, and '.'", ""),
        (f"[{SECTION}]\nca = true", f"{SECTION}: ca must name a file, and 'True'", ""),
        (f"[{SECTION}]\nca = '{'x' * 300}'", f"{SECTION}: ca must name a file", ""),
        (f'[{SECTION}]\nca = "a\\u0000b"', f"{SECTION}: ca must name a file", ""),
        ('[registry."https://a"]', 'registry."https://a": the section\'s name must be HOST', ""),
        ('[registry."a.b/c"]', 'registry."a.b/c": the section\'s name must be HOST', ""),
        ('[registry.""]', 'registry."": the section\'s name must be HOST', ""),
        ('[registry."index.docker.io"]', "is never asked", '[registry."docker.io"]'),
    ],
)
def test_what_is_not_allowed_is_refused_by_file_and_key(
    tmp_path: Path, text: str, why: str, allowed: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path / 'registries.toml'}: ")
    assert why in caught.value.message
    assert allowed in caught.value.remedy


def test_a_syntax_error_is_shown_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"registries\.toml is not TOML: .*line 2"):
        load(tmp_path, "[registry]\nx =\n")


def test_a_file_that_is_absent_a_folder_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*absent\.toml: No such file"):
        load_registries(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match=f"cannot read {re.escape(str(tmp_path))}: Is a directory"):
        load_registries(tmp_path)
    comment = "#".ljust(LIMITS.spec_bytes, "x")
    assert load(tmp_path, comment) == Registries()
    with pytest.raises(UsageError, match="is larger than 1048576 bytes"):
        load(tmp_path, comment + "x")


_value = st.sampled_from(
    ['"b.internal/c"', '"B"', '""', '"a b"', "true", "0", "[]", '["b.internal"]', "[[]]", "{}"]
)
_host = st.sampled_from(['"a.internal"', '"localhost:5000"', "docker.io", '"a/b"', '""'])
_line = st.tuples(st.sampled_from(["mirrors", "replace", "http", "ca", "x"]), _value)
_section = st.tuples(_host, st.lists(_line, max_size=3))


@settings(max_examples=100, deadline=None)
@given(st.lists(_section, max_size=3), st.text(max_size=4))
def test_any_file_is_read_or_a_usage_error_that_names_it(
    tmp_path_factory: pytest.TempPathFactory,
    sections: list[tuple[str, list[tuple[str, str]]]],
    rest: str,
) -> None:
    lines = [
        line
        for host, values in sections
        for line in (f"[registry.{host}]", *(f"{key} = {value}" for key, value in values))
    ]
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text("\n".join([*lines, rest]), errors="replace")
    try:
        registries = load_registries(path)
    except UsageError as error:
        assert str(path) in error.message
        return
    asked = [place.server for place in registries.endpoints(parse_reference("a.internal/x"))]
    assert set(asked) <= {"a.internal", "b.internal", "B"}
