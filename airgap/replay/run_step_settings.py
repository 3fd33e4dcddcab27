"""What tools in a RUN step must be told, so that they go through BuildKit's proxy.

BuildKit sets the proxy variables, and adds its CA to an image's own trust bundle where there is
one. Many tools read another one, and a step that installs ca-certificates writes it again. So each
step is given files and variables as secret mounts: they are there for the time of the step, and
neither the image nor the cache of its layers knows of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PKCS12Certificate,
    serialize_java_truststore,
)
from cryptography.x509 import Certificate

_FOLDER = "/run/airgap"
_MOUNTS = re.compile(r" --mount=type=secret,id=airgap-\S+")
_CA = f"{_FOLDER}/ca.crt"
_CA_VARIABLES = (
    "SSL_CERT_FILE",  # OpenSSL, Go, Ruby, current pip
    "CURL_CA_BUNDLE",  # older pip too
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HTTP_CAINFO",
)
_TRUST_STORE = f"{_FOLDER}/truststore.p12"
_TRUST_STORE_PASSWORD = "airgap"  # noqa: S105 - guards nothing: Java wants one
# Sourced by every mvn script. The JVM heeds no proxy variables.
_MAVEN = f"""\
airgap_proxy=${{HTTPS_PROXY#http://}}
for airgap_scheme in http https; do
  MAVEN_OPTS="$MAVEN_OPTS -D$airgap_scheme.proxyHost=${{airgap_proxy%:*}}"
  MAVEN_OPTS="$MAVEN_OPTS -D$airgap_scheme.proxyPort=${{airgap_proxy##*:}}"
done
MAVEN_OPTS="$MAVEN_OPTS -Daether.connector.http.useSystemProperties=true"
MAVEN_OPTS="$MAVEN_OPTS -Djavax.net.ssl.trustStore={_TRUST_STORE}"
MAVEN_OPTS="$MAVEN_OPTS -Djavax.net.ssl.trustStorePassword={_TRUST_STORE_PASSWORD}"
"""
_APT = f'Acquire::https::CaInfo "{_CA}";\n'
# Release files are good for a week or so, and a recording is replayed for years. Their signatures
# are checked as ever.
_APT_ANY_DATE = 'Acquire::Check-Date "false";\nAcquire::Check-Valid-Until "false";\n'


@dataclass(frozen=True, slots=True)
class Setting:
    """A file or a variable for every RUN step.

    Attributes:
        id: Of the secret.
        content: Of the file, or the value.
        file: Its path in the step; empty for a variable.
        variable: Its name; empty for a file.
    """

    id: str
    content: bytes
    file: str = ""
    variable: str = ""

    @property
    def mount(self) -> str:
        """The flag of RUN that mounts it, for every user of the image."""
        where = f"target={self.file},mode=0444" if self.file else f"env={self.variable}"
        return f"--mount=type=secret,id={self.id},{where}"


def without_settings(text: str) -> str:
    """Return a RUN step as the Dockerfile has it, from a text with added settings."""
    return _MOUNTS.sub("", text)


def settings(ca: Certificate, *, any_date: bool) -> list[Setting]:
    """Return what every RUN step is told.

    Args:
        ca: Of the builder's proxy network; all TLS goes through it.
        any_date: Whether apt must take release files that have expired meanwhile.
    """
    files = {
        "ca.crt": ca.public_bytes(Encoding.PEM),
        "apt.conf": (_APT + (_APT_ANY_DATE if any_date else "")).encode(),
        "wgetrc": f"ca_certificate = {_CA}\n".encode(),
        "truststore.p12": _trust_store(ca),
    }
    variables = dict.fromkeys(_CA_VARIABLES, _CA)
    variables |= {
        "APT_CONFIG": f"{_FOLDER}/apt.conf",
        "WGETRC": f"{_FOLDER}/wgetrc",
        # Node.js since 22.21 and 24: its own fetch, which corepack uses, heeds no proxy else.
        "NODE_USE_ENV_PROXY": "1",
    }
    return [
        *(Setting(f"airgap-{name}", data, f"{_FOLDER}/{name}") for name, data in files.items()),
        Setting("airgap-mavenrc", _MAVEN.encode(), "/etc/mavenrc"),
        *(Setting(f"airgap-{name}", path.encode(), "", name) for name, path in variables.items()),
    ]


def _trust_store(ca: Certificate) -> bytes:
    encryption = BestAvailableEncryption(_TRUST_STORE_PASSWORD.encode())
    return serialize_java_truststore([PKCS12Certificate(ca, b"airgap")], encryption)
