"""A real BuildKit, its proxy network and our policy: what a RUN step that attacks can reach."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from airgap.builder.arguments import BuildArguments
from airgap.builder.build_context import open_source
from airgap.builder.buildx_build import Egress, build
from airgap.builder.proxy_ca import proxy_ca
from airgap.oci.platform import native_platform
from airgap.replay.recorder import Recorder, upstream_session
from airgap.replay.responses import Handler
from airgap.replay.server import Server
from airgap.store.store import Store
from lab.buildkit import BuildKit
from lab.upstream import Upstream
from tests.integration.website import Visit, website

_BUSYBOX = "/bin/busybox"
_DOCKERFILE = """\
FROM scratch AS run
ARG SITE
COPY busybox /bin/busybox
COPY script /script
RUN ["/bin/busybox", "sh", "/script"]
FROM scratch
COPY --from=run /results /
"""
_ADDED = f"{_DOCKERFILE}ARG SITE\nADD $SITE/first $SITE/deep/er/first /added/\n"
_SCRIPT = """\
/bin/busybox mkdir /results
proxy=${http_proxy#http://}
headers=$(printf 'Content-Length: 1\\r\\nConnection: close')
ask() {
  printf '%s %s HTTP/1.1\\r\\nHost: h\\r\\n%s\\r\\n\\r\\nx' "$1" "$2" "$headers" |
    /bin/busybox nc "${proxy%:*}" "${proxy#*:}" >> /results/said
  echo >> /results/said
}
"""
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "get")
_PATHS = (
    "/airgap/https/../../secret",
    "/airgap/https/h/secret",
    "/BASE/https/../../secret",
    "/BASE/https/h/../../../secret",
    "/BASE/http/%2e%2e/%2E./secret",
    "/BASE/https/h%2f..%2f..%2f../secret",
    "/BASE/https/..;/..;/secret",
    "/BASE/https/h/./../..\\\\..",
    "/BASE/https/h#/../../../secret",
    "/BASE/https/h%23/%e0%80%ae./%u002E./secret",
    "/BASE/secret",
    "/BASE/../secret",
    "/secret",
)


@pytest.fixture(scope="module")
def buildkit(registry: Upstream) -> Iterator[BuildKit]:
    with BuildKit(registry, proxied=True) as one:
        yield one


def built(buildkit: BuildKit, folder: Path, server: Server, site: str) -> Path:
    """What a build leaves, which is served by a server."""
    shutil.copy(_BUSYBOX, folder / "busybox")
    output = folder / "output"
    arguments = ["--no-cache", "--provenance=false", f"--output=type=local,dest={output}"]
    parsed = BuildArguments.parse([*arguments, f"--build-arg=SITE={site}", str(folder)])
    builder = buildkit.builder
    with open_source(parsed) as source:
        ca = proxy_ca(builder.buildx, native_platform())
        assert build(source, builder.buildx, Egress(server.base, ca, any_date=True)) == 0
    return output


def page(visit: Visit) -> None:
    if visit.path.endswith("/first"):
        visit.give(302, ("Location", "/second%2Fone/two"))
    else:
        visit.give(200, body=b"page")


def answerer(folder: Path) -> Handler:
    return Recorder(Store(folder / "store"), upstream_session())


def test_a_step_that_knows_the_secret_path_reaches_no_other_server(
    buildkit: BuildKit, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(_DOCKERFILE)
    with website(page) as victim, Server(answerer(tmp_path)) as server:
        first = server.base.partition("/")[2]
        urls = [f"http://{victim.address}{path.replace('BASE', first)}" for path in _PATHS]
        urls += [f"ftp://{victim.address}/secret", f"http:{victim.address}/secret"]
        asked = [f"ask {method} '{url}'\n" for method, url in product(_METHODS, urls)]
        (tmp_path / "script").write_text(_SCRIPT + "".join(asked))
        said = (built(buildkit, tmp_path, server, "") / "said").read_text()
        assert "403 Forbidden" in said
        # What is converted is asked for by the recorder, as of any site, and with GET.
        assert {method for method, _, _ in victim.seen} <= {"GET"}
        assert not [path for path in victim.paths if first in path]
        assert first not in said


def test_what_buildkit_itself_downloads_is_led_back_and_steps_download(
    buildkit: BuildKit, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(_ADDED)
    get = '/bin/busybox wget -q -O /results/page "$SITE/flat/./first"\n'
    (tmp_path / "script").write_text(_SCRIPT + get)
    with website(page) as site, Server(recorder := answerer(tmp_path)) as server:
        output = built(buildkit, tmp_path, server, f"http://{site.address}")
        assert (output / "page").read_bytes() == b"page"
        assert {one.read_bytes() for one in (output / "added").iterdir()} == {b"page"}
        assert set(site.paths) == {"/first", "/deep/er/first", "/second%2Fone/two", "/flat/first"}
        assert isinstance(recorder, Recorder)
        assert recorder.left_out == recorder.failures == recorder.refused == ()
