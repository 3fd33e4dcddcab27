"""What is taken means the same to openssl: files in every form that we can think of.

Each form holds what was looked at, or something else beside it. A form may be refused; one that is
taken must be the same key or certificate to openssl.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import AirgapError
from airgap.isolated.services.site_registry import read_ca
from airgap.trust import pem
from airgap.trust.certificates import CertificateAndKey, key_matches, new_authority, not_after
from airgap.trust.keys import generate, load_private, load_public

DATA = b"0" * 64 + b"  bundle.json\n"
NOW = datetime.now(UTC)


def openssl(*arguments: str | Path) -> bytes:
    """What openssl says; nothing if it fails."""
    return subprocess.run(["openssl", *arguments], capture_output=True, check=False).stdout


def is_one_block(form: bytes, label: str) -> bool:
    """Whether a file is a block as it must be, with or without its last newline."""
    der = base64.b64decode(b"".join(form.splitlines()[1:-1]))
    return pem.write(label, der) in (form, form + b"\n")


def body_of(block: bytes) -> bytes:
    """The base64 of a block, on one line."""
    return b"".join(block.splitlines()[1:-1])


def in_lines(block: bytes, columns: int, newline: bytes = b"\n") -> bytes:
    """The block with lines of another length."""
    first, *_, last = block.splitlines()
    body = body_of(block)
    lines = [body[at : at + columns] for at in range(0, len(body), columns)]
    return newline.join([first, *lines, last, b""])


def odd_forms(good: bytes, other: bytes) -> Iterator[bytes]:
    """Files with a block and something else, of which readers make one thing or another."""
    first = good.splitlines()[0]
    label = first.removeprefix(b"-----BEGIN ").removesuffix(b"-----")
    for length in (1, 100, 252, 253, 254, 255, 256, 300, 511, 1022):
        for filler in (b"x", b" ", b"\0", b"-"):
            yield filler * length + good  # on the line of BEGIN
            yield filler * length + b"\n" + good
            yield filler * length + good + other
            yield filler * length + other + good
            yield good.replace(b"-----\n", b"-----" + filler * length + b"\n", 1) + other
            yield good + filler * length + other
    yield from (good + other, other + good, good + good, good[:-1] + other)
    for between in (b"\n", b"\r\n", b" ", b"\0", b"text\n", b"\x1a", b"\xef\xbb\xbf", b"#\n"):
        yield from (between + good, good + between, good + between + other)
        yield from (between + good + other, other + between + good)
    for header in (
        b"Proc-Type: 4,ENCRYPTED\n\n",
        b"Proc-Type: 4,CLEAR\n\n",
        b"Comment: x\n\n",
        b"\n",
    ):
        yield good.replace(b"-----\n", b"-----\n" + header, 1)
        yield good.replace(b"-----\n", b"-----\n" + header, 1) + other
        yield good + other.replace(b"-----\n", b"-----\n" + header, 1)
    yield first + body_of(good) + b"\n" + good.splitlines()[-1] + b"\n"  # no newline after BEGIN
    yield first + body_of(good) + b"\n" + good.splitlines()[-1] + b"\n" + other
    yield first + b"\n" + good  # BEGIN twice
    yield first + b"\n" + other
    yield good.rsplit(b"-----END", 1)[0] + other  # no END
    yield good.replace(b"\n", b"\r\n")
    yield good.replace(b"\n", b"\r")
    yield good.replace(b"\n", b"\n\n")
    yield good.replace(b"\n", b" \n")
    yield good.replace(b"\n", b"\n ")
    for columns in (1, 4, 48, 60, 63, 65, 72, 76, 80, 128, 253, 254, 255, 10_000):
        yield in_lines(good, columns)
        yield in_lines(good, columns, b"\r\n")
    yield from unusual_base64(good)
    for known in (b"EC PARAMETERS", b"TRUSTED CERTIFICATE", b"X509 CERTIFICATE", b"RSA PUBLIC KEY"):
        yield good.replace(label, known)
        yield good.replace(label, known) + other
        yield other.replace(label, known) + good
    yield good.replace(label, label.lower())
    yield good.replace(b"-----END " + label, b"-----END CERTIFICATE REQUEST")
    yield good.replace(b"-----BEGIN", b"----BEGIN")
    yield pem.write("EC PARAMETERS", bytes.fromhex("06082a8648ce3d030107")) + good
    yield pem.decode(good, label.decode())  # DER


def unusual_base64(good: bytes) -> Iterator[bytes]:
    """Base64 that says the same in other letters, or more (RFC 4648, section 3)."""
    first, *_, last = good.splitlines()
    whole = body_of(good)
    der = base64.b64decode(whole)
    for tail in range(3):
        body = base64.b64encode(der + bytes(tail))  # bytes after the DER
        yield b"\n".join([first, *re.findall(b".{1,64}", body), last, b""])
    unpadded = whole.rstrip(b"=")
    for body in (
        unpadded,
        whole + b"=",
        whole + b"====",
        b"=" + whole,
        whole[:8] + b"*" + whole[8:],
    ):
        yield b"\n".join([first, *re.findall(b".{1,64}", body), last, b""])
    # The last letter has bits that nothing is read from.
    for letter in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/":
        body = unpadded[:-1] + bytes([letter]) + whole[len(unpadded) :]
        yield b"\n".join([first, *re.findall(b".{1,64}", body), last, b""])


def ec_forms(folder: Path) -> Iterator[bytes]:
    """The key in `folder`/genuine.key with compressed points and explicit parameters."""
    for form in ("compressed", "hybrid", "uncompressed"):
        for curve in ("named_curve", "explicit"):
            options = ("-conv_form", form, "-param_enc", curve)
            yield openssl("ec", "-in", folder / "genuine.key", "-pubout", *options)


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ed25519"])
def test_a_public_key_that_is_taken_is_the_one_that_openssl_takes(
    tmp_path: Path, algorithm: str
) -> None:
    genuine, other = generate("genuine", algorithm), generate("other", algorithm)
    (tmp_path / "genuine.key").write_bytes(genuine.pem(None))
    good, path = genuine.public.pem(), tmp_path / "site.pub"
    taken = set()
    forms = [*odd_forms(good, other.public.pem()), *odd_forms(other.public.pem(), good)]
    forms += ec_forms(tmp_path) if algorithm == "ecdsa-p256" else []
    for form in forms:
        path.write_bytes(form)
        try:
            key = load_public(path)
        except AirgapError:
            continue
        der = openssl("pkey", "-pubin", "-in", path, "-outform", "DER")
        assert key.fingerprint == f"sha256:{hashlib.sha256(der).hexdigest()}", form
        taken.add(form)
    assert len(forms) > 800
    assert {genuine.public.pem(), other.public.pem()} <= taken
    assert all(is_one_block(form, "PUBLIC KEY") for form in taken)


def test_openssl_checks_signatures_with_the_key_that_was_taken(tmp_path: Path) -> None:
    genuine, other = generate("genuine", "ecdsa-p256"), generate("other", "ecdsa-p256")
    path = tmp_path / "site.pub"
    (tmp_path / "data").write_bytes(DATA)
    (tmp_path / "data.sig").write_bytes(genuine.sign(DATA))
    check: list[str | Path] = [
        "dgst",
        "-sha256",
        "-verify",
        path,
        "-signature",
        tmp_path / "data.sig",
    ]
    taken = 0
    for form in odd_forms(genuine.public.pem(), other.public.pem()):
        path.write_bytes(form)
        try:
            key = load_public(path)
        except AirgapError:
            continue
        said = openssl(*check, tmp_path / "data")
        assert (said == b"Verified OK\n") == key.signed(DATA, genuine.sign(DATA)), form
        taken += 1
    assert taken


@pytest.mark.parametrize("passphrase", [None, b"secret"])
def test_a_private_key_that_is_taken_is_the_one_that_openssl_takes(
    tmp_path: Path, passphrase: bytes | None
) -> None:
    good, other = (generate("x", "ecdsa-p256").pem(passphrase) for _ in range(2))
    path = tmp_path / "site.key"
    taken = set()
    for form in odd_forms(good, other):
        path.write_bytes(form)
        try:
            key = load_private(path, passphrase)
        except AirgapError:
            continue
        der = openssl("pkey", "-in", path, "-pubout", "-outform", "DER", "-passin", "pass:secret")
        assert key.public.fingerprint == f"sha256:{hashlib.sha256(der).hexdigest()}", form
        taken.add(form)
    assert good in taken
    label = "ENCRYPTED PRIVATE KEY" if passphrase else "PRIVATE KEY"
    assert all(is_one_block(form, label) for form in taken)


def test_a_certificate_that_is_taken_is_the_only_one_for_openssl(tmp_path: Path) -> None:
    good, other = (new_authority("x", f"192.0.2.{last}", NOW, 9).certificate for last in (1, 2))
    path = tmp_path / "ca.crt"
    taken = set()
    for form in [*odd_forms(good, other), *odd_forms(other, good)]:
        try:
            not_after(form)
        except AirgapError:
            continue
        path.write_bytes(form)
        assert certificates_for_openssl(path) == [pem.decode(form, "CERTIFICATE")], form
        taken.add(form)
    assert {good, other} <= taken
    assert all(is_one_block(form, "CERTIFICATE") for form in taken)


def test_the_key_of_a_certificate_is_held_to_the_same_rule() -> None:
    good, other = (new_authority("x", f"192.0.2.{last}", NOW, 9) for last in (1, 2))
    taken = set()
    for form in odd_forms(good.key, other.key):
        try:
            key_matches(CertificateAndKey(good.certificate, form))
        except AirgapError:
            continue
        taken.add(form)
    assert good.key in taken
    assert all(is_one_block(form, "PRIVATE KEY") for form in taken)


def certificates_for_openssl(path: Path) -> list[bytes]:
    """The DER of all that openssl finds in a file."""
    found = path.with_suffix(".p7")
    found.write_bytes(openssl("crl2pkcs7", "-nocrl", "-certfile", path))
    printed = openssl("pkcs7", "-print_certs", "-in", found)
    blocks = re.findall(rb"-----BEGIN.*?-----END CERTIFICATE-----\n", printed, re.S)
    return [pem.decode(block, "CERTIFICATE") for block in blocks]


def test_of_authorities_all_are_installed_that_openssl_finds_and_nothing_else(
    tmp_path: Path,
) -> None:
    good, other = (new_authority("x", f"192.0.2.{last}", NOW, 9).certificate for last in (1, 2))
    path, taken = tmp_path / "ca.pem", 0
    for form in odd_forms(good, other):
        path.write_bytes(form)
        try:
            installed = read_ca(path)
        except AirgapError:
            continue
        blocks = re.findall(rb"-----BEGIN.*?-----END CERTIFICATE-----\n", installed, re.S)
        assert b"".join(blocks) == installed
        assert [pem.decode(block, "CERTIFICATE") for block in blocks] == certificates_for_openssl(
            path
        ), form
        taken += 1
    assert taken > 20


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_list_of_authorities_with_names_between_them_is_taken(
    tmp_path: Path, newline: str
) -> None:
    first, second = (
        new_authority("x", f"192.0.2.{last}", NOW, 9).certificate.decode() for last in (1, 2)
    )
    text = f"# Árvíztűrő\n===\n{first}\n\n# the second\n{second}\n"
    (tmp_path / "ca.pem").write_bytes(text.replace("\n", newline).encode())
    assert read_ca(tmp_path / "ca.pem").decode() == first + second


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    for read in (lambda: pem.decode(data, "PUBLIC KEY"), lambda: pem.certificates(data)):
        with pytest.raises(ValueError, match=r"."):
            read()


@given(st.binary(min_size=1, max_size=300), st.sampled_from(["PUBLIC KEY", "CERTIFICATE"]))
def test_what_was_written_is_read(der: bytes, label: str) -> None:
    block = pem.write(label, der)
    assert pem.decode(block, label) == pem.decode(block[:-1], label) == der
    with pytest.raises(ValueError, match="nothing else"):
        pem.decode(block + b"\n", label)
    if label == "CERTIFICATE":
        assert pem.certificates(block * 2) == [der, der]
