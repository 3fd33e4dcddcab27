from __future__ import annotations

import datetime
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12
from cryptography.x509.oid import NameOID

from airgap.replay.run_step_settings import Setting, settings


@pytest.fixture(scope="module")
def ca() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a proxy")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return builder.sign(key, hashes.SHA256())


def by_id(ca: x509.Certificate, *, any_date: bool = True) -> dict[str, Setting]:
    return {one.id: one for one in settings(ca, any_date=any_date)}


def test_files_are_mounted_for_every_user_and_variables_as_such(ca: x509.Certificate) -> None:
    told = by_id(ca)
    assert told["airgap-ca.crt"].mount == (
        "--mount=type=secret,id=airgap-ca.crt,target=/run/airgap/ca.crt,mode=0444"
    )
    assert told["airgap-SSL_CERT_FILE"].mount == (
        "--mount=type=secret,id=airgap-SSL_CERT_FILE,env=SSL_CERT_FILE"
    )


def test_every_other_variable_names_a_file_that_is_mounted(ca: x509.Certificate) -> None:
    told = by_id(ca)
    assert told.pop("airgap-NODE_USE_ENV_PROXY").content == b"1"
    files = {one.file for one in told.values() if one.file}
    assert {one.content.decode() for one in told.values() if one.variable} <= files


def test_dates_are_checked_but_for_a_replay(ca: x509.Certificate) -> None:
    assert b"Valid-Until" in by_id(ca)["airgap-apt.conf"].content
    assert b"Valid-Until" not in by_id(ca, any_date=False)["airgap-apt.conf"].content


def test_the_ca_is_in_both_forms(ca: x509.Certificate) -> None:
    told = by_id(ca)
    assert told["airgap-ca.crt"].content == ca.public_bytes(Encoding.PEM)
    store = load_pkcs12(told["airgap-truststore.p12"].content, b"airgap")
    assert [one.certificate for one in store.additional_certs] == [ca]


def test_maven_is_told_the_proxy_of_the_step(ca: x509.Certificate) -> None:
    script = by_id(ca)["airgap-mavenrc"].content.decode() + 'echo "$MAVEN_OPTS"'
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        env={"HTTPS_PROXY": "http://10.89.0.5:4433", "MAVEN_OPTS": "-Xmx1g"},
        capture_output=True,
        text=True,
        check=True,
    )
    words = done.stdout.split()
    assert words[0] == "-Xmx1g"
    assert {"-Dhttps.proxyHost=10.89.0.5", "-Dhttps.proxyPort=4433"} <= set(words)
    assert {"-Dhttp.proxyHost=10.89.0.5", "-Dhttp.proxyPort=4433"} <= set(words)
