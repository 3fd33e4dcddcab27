"""Keys and signatures, checked by the real openssl."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from airgap.errors import AirgapError, CredentialsError, TrustError, UsageError
from airgap.trust.keys import (
    _SMALL_ORDER,
    ALGORITHMS,
    PrivateKey,
    PublicKey,
    generate,
    is_encrypted,
    load_private,
    load_public,
    write_new_pair,
)

DATA = b"0" * 64 + b"  bundle.json\n"

# How stock openssl checks each kind of signature, in the folder of `signed_files`.
CHECKS = {
    "ecdsa-p256": "dgst -sha256 -verify site.pub -signature data.sig data",
    "ed25519": "pkeyutl -verify -pubin -inkey site.pub -rawin -in data -sigfile data.sig",
}
OPENSSL_KEYS = {
    "ecdsa-p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ed25519": ["-algorithm", "ED25519"],
}
OTHER_KEYS = {
    "RSA": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
    "P-384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "secp256k1": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
    "Ed448": ["-algorithm", "ED448"],
    "X25519": ["-algorithm", "X25519"],
}


def openssl(*arguments: str | Path, check: bool = True) -> bytes:
    run = subprocess.run(["openssl", *arguments], check=check, capture_output=True)
    return run.stdout


def openssl_pair(folder: Path, kind: list[str]) -> tuple[Path, Path]:
    """A pair that openssl made: private key, public key."""
    private, public = folder / "made.key", folder / "made.pub"
    openssl("genpkey", *kind, "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    return private, public


def signed_files(folder: Path, key: PrivateKey) -> None:
    """Public key, signature and data as files."""
    files = {"site.pub": key.public.pem(), "data.sig": key.sign(DATA), "data": DATA}
    for name, data in files.items():
        (folder / name).write_bytes(data)


def openssl_check(folder: Path, algorithm: str) -> None:
    """Runs openssl on `signed_files`.

    Raises:
        CalledProcessError: It refuses the signature.
    """
    command = ["openssl", *CHECKS[algorithm].split()]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_openssl_accepts_a_signature(tmp_path: Path, algorithm: str) -> None:
    signed_files(tmp_path, generate("site", algorithm))
    openssl_check(tmp_path, algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_key_and_data_give_the_same_signature(algorithm: str) -> None:
    key = generate("site", algorithm)
    assert key.sign(DATA) == key.sign(DATA)
    assert key.sign(DATA) != key.sign(DATA + b"\n")


def test_a_signature_is_the_one_of_rfc_6979() -> None:
    """Its appendix A.2.5: P-256, SHA-256, the message "sample"."""
    secret = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    r = 0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716
    s = 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8
    key = PrivateKey("site", ec.derive_private_key(secret, ec.SECP256R1()))
    assert key.sign(b"sample") == encode_dss_signature(r, s)


def test_an_openssl_that_cannot_do_without_chance_signs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ec.ECDSA

    def old(algorithm: hashes.HashAlgorithm, deterministic_signing: bool = False) -> ec.ECDSA:
        if deterministic_signing:
            raise UnsupportedAlgorithm("ECDSA with deterministic signature (RFC 6979)")
        return real(algorithm)

    monkeypatch.setattr(ec, "ECDSA", old)
    signed_files(tmp_path, generate("site", "ecdsa-p256"))
    openssl_check(tmp_path, "ecdsa-p256")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_openssl_refuses_a_signature_of_other_data(tmp_path: Path, algorithm: str) -> None:
    signed_files(tmp_path, generate("site", algorithm))
    (tmp_path / "data").write_bytes(DATA + b"\n")
    with pytest.raises(subprocess.CalledProcessError):
        openssl_check(tmp_path, algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_pair_made_by_openssl_is_accepted(tmp_path: Path, algorithm: str) -> None:
    private, public = openssl_pair(tmp_path, OPENSSL_KEYS[algorithm])
    key = load_private(private, None)
    assert load_public(public).fingerprint == key.public.fingerprint
    assert (key.name, key.public.algorithm) == ("made", algorithm)
    signed_files(tmp_path, key)
    openssl_check(tmp_path, algorithm)


def test_a_signature_made_by_openssl_is_accepted(tmp_path: Path) -> None:
    private, public = openssl_pair(tmp_path, OPENSSL_KEYS["ecdsa-p256"])
    (tmp_path / "data").write_bytes(DATA)
    signature = openssl("dgst", "-sha256", "-sign", private, tmp_path / "data")
    assert load_public(public).signed(DATA, signature)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("signature", [b"", b"x", bytes(64), bytes(72), b"0" * 1000])
def test_garbage_is_no_signature(algorithm: str, signature: bytes) -> None:
    assert not generate("site", algorithm).public.signed(DATA, signature)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signature_is_of_one_key_and_one_text(algorithm: str) -> None:
    key = generate("site", algorithm)
    signature = key.sign(DATA)
    assert key.public.signed(DATA, signature)
    assert not key.public.signed(DATA + b"\n", signature)
    assert not key.public.signed(DATA, signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not generate("site", algorithm).public.signed(DATA, signature)


def _integers(*values: bytes) -> bytes:
    parts = b"".join(bytes([2, len(value)]) + value for value in values)
    return bytes([0x30, len(parts)]) + parts


def odd_signatures(good: bytes) -> Iterator[bytes]:
    """Signatures that say the same as a good one of ECDSA in other bytes, or nearly so."""
    r, s = (number.to_bytes(33, "big") for number in decode_dss_signature(good))
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    yield from (good + tail for tail in (b"", b"\0", b"\n", b"\r\n", b" ", good, bytes(1000)))
    yield from (head + good for head in (b"\0", b"\n", b" "))
    yield _integers(r, s)  # zeros in front that DER does not have
    yield _integers(r.lstrip(b"\0"), s.lstrip(b"\0"))  # may be negative
    yield encode_dss_signature(int.from_bytes(r, "big"), order - int.from_bytes(s, "big"))
    yield encode_dss_signature(int.from_bytes(r, "big") + order, int.from_bytes(s, "big"))
    yield good[:1] + b"\x81" + good[1:]  # BER's long form of the length
    yield good[:1] + b"\x80" + good[2:] + b"\0\0"  # BER's indefinite length
    yield base64.b64encode(good)
    yield from (encode_dss_signature(*pair) for pair in [(0, 0), (1, 1), (0, 1), (1, 0)])


def test_a_signature_that_is_accepted_is_accepted_by_openssl(tmp_path: Path) -> None:
    key = generate("site", "ecdsa-p256")
    signed_files(tmp_path, key)
    accepted = []
    for number, signature in enumerate(odd_signatures(key.sign(DATA))):
        if key.public.signed(DATA, signature):
            (tmp_path / "data.sig").write_bytes(signature)
            openssl_check(tmp_path, "ecdsa-p256")
            accepted.append(number)
    assert 0 in accepted
    assert not {*range(1, 10)} & {*accepted}, "bytes before or after a signature"


@pytest.mark.parametrize("tail", [b"\0", b"\n", bytes(64)])
def test_bytes_after_a_signature_of_ed25519_are_refused(tail: bytes) -> None:
    key = generate("site", "ed25519")
    assert not key.public.signed(DATA, key.sign(DATA) + tail)


@pytest.mark.parametrize("kind", OTHER_KEYS)
def test_other_kinds_of_key_are_refused(tmp_path: Path, kind: str) -> None:
    private, public = openssl_pair(tmp_path, OTHER_KEYS[kind])
    with pytest.raises(TrustError):
        load_public(public)
    with pytest.raises(UsageError):
        load_private(private, None)


@pytest.mark.parametrize("data", [b"", b"garbage", b"\0" * 100, b"-----BEGIN PUBLIC KEY-----\n"])
def test_garbage_is_no_key(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad").write_bytes(data)
    with pytest.raises(TrustError, match="not a public key in PEM form"):
        load_public(tmp_path / "bad")
    with pytest.raises(UsageError, match="not a PKCS#8 PEM private key"):
        load_private(tmp_path / "bad", None)


def test_a_private_key_is_no_public_one_and_the_other_way_round(tmp_path: Path) -> None:
    private, public = write_new_pair(generate("site", ALGORITHMS[0]), tmp_path / "site", None)
    with pytest.raises(TrustError, match="not a public key in PEM form"):
        load_public(private)
    with pytest.raises(UsageError, match="not a PKCS#8 PEM private key"):
        load_private(public, None)


def test_a_certificate_is_no_key(tmp_path: Path) -> None:
    private, _ = openssl_pair(tmp_path, OPENSSL_KEYS["ecdsa-p256"])
    openssl("req", "-x509", "-key", private, "-subj", "/CN=x", "-out", tmp_path / "cert")
    with pytest.raises(TrustError, match="not a public key in PEM form"):
        load_public(tmp_path / "cert")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.touch()
    os.truncate(path, 1 << 40)
    with pytest.raises(TrustError, match="too large to be a key"):
        load_public(path)
    with pytest.raises(UsageError, match="too large to be a key"):
        load_private(path, None)


def test_a_pipe_is_no_key_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "site.pub")
    with pytest.raises(TrustError, match="it is not a regular file"):
        load_public(tmp_path / "site.pub")
    with pytest.raises(UsageError, match="it is not a regular file"):
        load_private(tmp_path / "site.pub", None)


@pytest.mark.parametrize("name", ["absent", ""])
def test_a_key_that_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrustError, match="cannot read the key"):
        load_public(tmp_path / name)
    with pytest.raises(UsageError, match="cannot read the key"):
        load_private(tmp_path / name, None)


def small_order_keys() -> list[bytes]:
    return [
        bytes([*point[:31], point[31] | sign])
        for point in sorted(_SMALL_ORDER)
        for sign in (0, 128)
    ]


@pytest.mark.parametrize("point", small_order_keys(), ids=bytes.hex)
def test_a_key_for_which_anybody_can_sign_is_refused(tmp_path: Path, point: bytes) -> None:
    key = PublicKey("weak", ed25519.Ed25519PublicKey.from_public_bytes(point))
    forged = b"\1" + bytes(63)  # R is the identity and S is 0: no secret is needed
    assert any(key.signed(bytes([number]), forged) for number in range(100))
    (tmp_path / "weak.pub").write_bytes(key.pem())
    with pytest.raises(TrustError, match="neither an ECDSA P-256 nor a sound Ed25519 key"):
        load_public(tmp_path / "weak.pub")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_encrypted_key_is_opened_by_openssl_with_the_passphrase(
    tmp_path: Path, algorithm: str
) -> None:
    key = generate("site", algorithm)
    private, public = write_new_pair(key, tmp_path / "site", b"correct horse")
    assert is_encrypted(private)
    command = ("pkey", "-in", str(private), "-pubout", "-passin")
    assert openssl(*command, "pass:correct horse") == public.read_bytes()
    assert openssl(*command, "pass:wrong", check=False) == b""
    assert load_private(private, b"correct horse").public.fingerprint == key.public.fingerprint


def test_an_encrypted_key_is_hard_to_guess(tmp_path: Path) -> None:
    private, _ = write_new_pair(generate("site", ALGORITHMS[0]), tmp_path / "site", b"secret")
    structure = openssl("asn1parse", "-in", private).decode()
    assert ":scrypt" in structure
    assert ":4000" in structure  # the cost, 16384
    assert ":aes-256-cbc" in structure


@pytest.mark.parametrize("kdf", [["-scrypt"], ["-v2", "aes-256-cbc", "-iter", "4096"]])
def test_a_key_encrypted_by_openssl_is_opened(tmp_path: Path, kdf: list[str]) -> None:
    plain, public = openssl_pair(tmp_path, OPENSSL_KEYS["ecdsa-p256"])
    path = tmp_path / "site.key"
    openssl("pkcs8", "-topk8", *kdf, "-in", plain, "-out", path, "-passout", "pass:secret")
    assert is_encrypted(path)
    key = load_private(path, b"secret")
    assert key.public.fingerprint == load_public(public).fingerprint


@pytest.mark.parametrize("passphrase", [None, b"", b"wrong", b"secret\n"])
def test_a_wrong_passphrase_is_told(tmp_path: Path, passphrase: bytes | None) -> None:
    private, _ = write_new_pair(generate("site", ALGORITHMS[0]), tmp_path / "site", b"secret")
    with pytest.raises(CredentialsError, match="is wrong or missing"):
        load_private(private, passphrase)


def test_a_passphrase_is_ignored_where_none_is_needed(tmp_path: Path) -> None:
    private, _ = write_new_pair(generate("site", ALGORITHMS[0]), tmp_path / "site", None)
    assert not is_encrypted(private)
    assert load_private(private, b"anything").name == "site"


def test_an_empty_passphrase_does_not_silently_mean_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the passphrase is empty"):
        write_new_pair(generate("site", ALGORITHMS[0]), tmp_path / "site", b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_a_private_key(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        private, public = write_new_pair(generate("x", ALGORITHMS[0]), tmp_path / "x", None)
    finally:
        os.umask(before)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) == 0o644 & ~umask


@pytest.mark.parametrize("suffix", ["key", "pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, suffix: str) -> None:
    existing = tmp_path / f"site.{suffix}"
    existing.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        write_new_pair(generate("site", ALGORITHMS[0]), tmp_path / "site", None)
    assert existing.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [existing]


@pytest.mark.parametrize("suffix", ["key", "pub"])
def test_a_link_in_a_keys_place_is_not_followed(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"site.{suffix}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="cannot write"):
        write_new_pair(generate("site", ALGORITHMS[0]), tmp_path / "site", None)
    assert [path.name for path in tmp_path.iterdir()] == [f"site.{suffix}"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        write_new_pair(generate("site", ALGORITHMS[0]), tmp_path / "absent/site", None)


def test_a_fingerprint_is_what_openssl_and_sha256sum_compute(tmp_path: Path) -> None:
    _, public = write_new_pair(generate("site", ALGORITHMS[0]), tmp_path / "site", None)
    der = openssl("pkey", "-pubin", "-in", public, "-outform", "DER")
    assert load_public(public).fingerprint == f"sha256:{hashlib.sha256(der).hexdigest()}"


def test_the_default_is_p256() -> None:
    key = generate("site", ALGORITHMS[0]).key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)


def test_every_refusal_is_one_of_the_projects_errors() -> None:
    assert issubclass(TrustError, AirgapError)
    assert TrustError.exit_code == 7
    assert CredentialsError.exit_code == 5
