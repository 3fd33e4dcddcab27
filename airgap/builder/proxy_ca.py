"""The CA of BuildKit's proxy network, which BuildKit makes anew whenever it starts.

BuildKit adds it to the trust bundle of an image for the time of a RUN step, if the image has one
(`executor/proxyca_linux.go`), and tells it nobody else. So a build of an image that has nothing
but such a bundle brings it out.
"""

from __future__ import annotations

import tempfile
from importlib import resources
from pathlib import Path

from cryptography.x509 import Certificate, load_pem_x509_certificate

from airgap.builder.buildx import Buildx
from airgap.errors import HostError
from airgap.limits import LIMITS
from airgap.oci.platform import Platform

_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_DOCKERFILE = f"""\
FROM scratch AS probe
COPY copy /copy
COPY empty /{_BUNDLE}
RUN ["/copy", "/{_BUNDLE}", "/ca.crt"]
FROM scratch
COPY --from=probe /ca.crt /
"""


def proxy_ca(buildx: Buildx, platform: Platform) -> Certificate:
    """The certificate.

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
