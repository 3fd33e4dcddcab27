"""What nobody has signed is read within bounds: of memory, depth, and of what readers agree on."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.bounded import read_json, read_toml
from airgap.limits import LIMITS, MIB

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab"), inner, max_size=4),
    max_leaves=20,
)


@given(values, st.booleans())
def test_what_python_writes_is_read(value: object, plain: bool) -> None:
    assert read_json(json.dumps(value, ensure_ascii=plain).encode(), MIB) == value


@pytest.mark.parametrize(
    "body",
    [
        '{"a": 1, "a": 1}',
        '{"a": {"b": 1, "b": 2}}',
        r'{"a": 1, "\u0061": 2}',
        "NaN",
        "[Infinity]",
        "[-Infinity]",
        r'"\ud800"',
        r'"\uDFFF\ud83d"',
        r'{"\udc00": 1}',
        "[" * 33 + "]" * 33,
        '{"a":' * 33 + "1" + "}" * 33,
        "[" * 100_000,
        "1" * 5_000,
        "[" + "[]," * MIB,
        "{",
        "\x80",
        "",
    ],
)
def test_what_readers_do_not_agree_on_is_refused(body: str) -> None:
    for given_as in (body, body.encode("latin-1")):
        with pytest.raises(ValueError, match=r"\w"):
            read_json(given_as, 4 * MIB)


def test_whole_pairs_and_a_backslash_before_are_no_half() -> None:
    assert read_json(rb'["\ud83d\ude00", "\\ud800"]', MIB) == ["\U0001f600", "\\ud800"]


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_toml_is_read_as_by_python_or_refused(text: str) -> None:
    try:
        known: dict[str, Any] | None = tomllib.loads(text)
    except ValueError:
        known = None
    if known is None:
        with pytest.raises(ValueError, match=r"\w"):
            read_toml(text.encode(), MIB)
    else:
        assert read_toml(text.encode(), MIB) == known


@pytest.mark.parametrize(
    "document",
    [
        ".".join(["a"] * 200_000) + " = 1",
        ".".join(['"a"'] * 100_000) + " = 1",
        "[" + " . ".join(["'a'"] * 100_000) + "]",
        "x = {" + ".".join(["a"] * 200_000) + " = 1}",
        "x = " + "[" * 100_000,
        "x = " + "[" * 40 + "]" * 40,
        "x = [" + "[]," * 300_000 + "]",
        "\n" * 600_000,
        "a" * 5_000_000,
        "x = " + "1" * 5_000,
        "x = 1\nx = 2",
    ],
)
def test_toml_that_takes_long_or_much_is_refused(document: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_toml(document.encode(), 4 * MIB)


def _inspect(body: str) -> str:
    """Makes a folder with such a bundle.json, and inspects it."""
    return f"""
        import hashlib
        from pathlib import Path
        from airgap.cli.main import run
        body = ({body}).encode()
        Path("bundle.json").write_bytes(body)
        Path("SHA256SUMS").write_text(hashlib.sha256(body).hexdigest() + "  bundle.json\\n")
        raise SystemExit(run(["inspect", "."]))
    """


def _manifest(body: str) -> str:
    return f"""
        from airgap.errors import AirgapError
        from airgap.oci.manifest import OCI_INDEX, OCI_MANIFEST, config_platform, parse
        for read in (
            lambda body: parse(body, OCI_INDEX, "it"),
            lambda body: parse(body, OCI_MANIFEST, "it"),
            lambda body: config_platform(body, "it"),
        ):
            try:
                read(({body}).encode())
            except AirgapError as error:
                code = error.exit_code
        raise SystemExit(code)
    """


def _request(body: str) -> str:
    return f"""
        from pathlib import Path
        from airgap.cli.main import run
        Path("airgap-request.toml").write_text({body})
        raise SystemExit(run(["bundle", "--request", "airgap-request.toml", "-oo", "--dry-run"]))
    """


_TREES = ["'[' + '{},' * N + '{}]'", "'{\"a\":[' + '[],' * N + '[]]}'", "'[' + '\"\",' * N + '0]'"]


@pytest.mark.parametrize(
    ("program", "count", "code"),
    [(_inspect, LIMITS.contents_bytes // 3 - 9, 6), (_manifest, LIMITS.manifest_bytes // 3 - 9, 6)],
)
@pytest.mark.parametrize("tree", _TREES)
def test_documents_of_tiny_values_take_little_memory(
    program: Callable[[str], str], count: int, code: int, tree: str, tmp_path: Path
) -> None:
    assert bounded(program(tree.replace("N", str(count))), tmp_path, 700 * MIB) == code


@pytest.mark.parametrize(
    "tree",
    [
        "'x = [' + '[],' * N + ']'",
        "'x.y=1\\n' * N",
        "'\\n\\t'.join(f'[{one:x}]' for one in range(N // 3))",
        "'x = 1.' + '1' * N * 5",
        "'x = 0x' + 'a' * N * 5",
    ],
)
def test_a_request_of_tiny_values_takes_little_memory(tree: str, tmp_path: Path) -> None:
    count = LIMITS.request_bytes // 6 - 9
    assert bounded(_request(tree.replace("N", str(count))), tmp_path, 700 * MIB) == 2


def bounded(program: str, folder: Path, memory: int) -> int:
    """The exit code of a program that may have so much memory."""
    head = f"import resource\nresource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", head + textwrap.dedent(program)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode
