"""The CA of BuildKit's proxy network, which BuildKit makes again whenever it starts.

BuildKit adds it to the trust bundle of an image for the time of a RUN step, if the image has one
(`executor/proxyca_linux.go`), and tells it nobody else. So a build of an image that has nothing
but such a build writes it out; and where BuildKit continues between builds, it is kept.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from importlib import resources
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate, load_pem_x509_certificate
from platformdirs import user_cache_path

from airgap.builder.buildx import Builder, Buildx
from airgap.disk import write_atomic
from airgap.errors import HostError
from airgap.limits import LIMITS
from airgap.oci.platform import Platform

_WRITABLE_FOR_OTHERS = 0o022
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_DOCKERFILE = f"""\
FROM scratch AS probe
COPY copy /copy
COPY empty /{_BUNDLE}
RUN ["/copy", "/{_BUNDLE}", "/ca.crt"]
FROM scratch
COPY --from=probe /ca.crt /
"""


def kept_ca(builder: Builder, platform: Platform) -> Certificate:
    """Return the certificate that this user stored since BuildKit started, or get it from a build.

    Args:
        builder: The builder.
        platform: What it runs natively.

    Raises:
        HostError: As for `proxy_ca`.
    """
    path = user_cache_path("airgap") / "proxy-ca.json"
    ca = _read(path, builder.started) if builder.started else None
    if ca is None:
        ca = proxy_ca(builder.buildx, platform)
        if builder.started:
            _keep(path, builder.started, ca)
    return ca


def proxy_ca(buildx: Buildx, platform: Platform) -> Certificate:
    """Return the certificate, written out by a build.

    Args:
        buildx: The builder.
        platform: What it runs natively.

    Raises:
        HostError: The build fails, or the builder has no proxy network.
    """
    with tempfile.TemporaryDirectory(prefix="airgap-") as name:
        folder = Path(name)
        program = f"copy-{platform.architecture}"
        data = resources.files("airgap.builder").joinpath("programs", program).read_bytes()
        (folder / "copy").write_bytes(data)
        (folder / "copy").chmod(0o755)
        (folder / "empty").touch()
        (folder / "Dockerfile").write_text(_DOCKERFILE)
        output = folder / "output"
        # Without the cache: it holds the CA of a BuildKit that was started before.
        arguments = ["build", "--no-cache", "--platform", str(platform), "--provenance", "false"]
        buildx.output([*arguments, "--output", f"type=local,dest={output}", name])
        with (output / "ca.crt").open("rb") as file:
            bundle = file.read(LIMITS.key_bytes)
    try:
        return load_pem_x509_certificate(bundle)
    except ValueError as error:
        raise HostError(
            "the builder has no proxy network", remedy="BuildKit has one since 0.31"
        ) from error


def _read(path: Path, started: str) -> Certificate | None:
    """Return what is kept, if nobody else can have written it and it is of this start."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            state = os.fstat(file.fileno())
            if state.st_uid != os.geteuid() or state.st_mode & _WRITABLE_FOR_OTHERS:
                return None
            kept = json.loads(file.read(LIMITS.key_bytes))
        if kept["started"] == started:
            return load_pem_x509_certificate(kept["ca"].encode())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def _keep(path: Path, started: str, ca: Certificate) -> None:
    document = {"started": started, "ca": ca.public_bytes(Encoding.PEM).decode()}
    with suppress(OSError):  # without a home or room for it, the next build asks again
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(document).encode(), mode=0o600)
