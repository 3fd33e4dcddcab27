"""The image of a build from a recording is the one that the build makes where there is a network.

Each Dockerfile is built with the network and nothing of airgap, recorded, and replayed, with
BuildKit's own switches for builds that are the same every time.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from airgap.builder.arguments import BuildArguments
from airgap.builder.build_context import open_source
from airgap.builder.buildx_build import Egress, build
from airgap.builder.proxy_ca import proxy_ca
from airgap.oci.platform import parse_platform
from airgap.replay.recorder import Recorder, upstream_session
from airgap.replay.recording import Recording
from airgap.replay.replay import Replay
from airgap.replay.responses import Handler
from airgap.replay.server import Server
from airgap.store.store import Store
from lab.buildkit import BuildKit
from lab.static_site import Site, static_site
from lab.upstream import Upstream

_EPOCH = 1_700_000_000
"""What is younger gets this time; what the site has is older, and keeps its own."""
_SITE_TIME = 1_600_000_000
_AMD64 = parse_platform("linux/amd64")

_CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"

_DOWNLOADS = """\
FROM buildpack-deps:trixie-curl AS fetch
ARG SITE
RUN curl -fsSL -R -o /srv/curl.bin $SITE/data.bin
RUN curl -fsSL $SITE/moved/data.tar.gz | tar -xz -C /opt
RUN wget -q -P /srv $SITE/page.html
RUN <<EOT
set -e
for name in data.bin page.html; do curl -fsS -r 2-9 $SITE/$name >> /srv/parts; done
curl -sS -o /srv/none -w '%{http_code}' $SITE/none > /srv/status
EOT
COPY <<EOT /srv/note
written here
EOT

FROM BASE
ARG SITE
ENV GREETING=hello
LABEL site=$SITE
ADD $SITE/data.bin /added/data.bin
ADD --chmod=640 --chown=65534:65534 $SITE/page.html /added/
ADD --unpack=true $SITE/data.tar.gz /unpacked/
COPY --from=fetch /srv /srv
COPY --from=fetch --chown=65534 /opt /opt
COPY --from=ghcr.io/example/base:1 /etc/passwd /base/passwd
WORKDIR /data
RUN touch root && chown nobody /data
USER nobody
RUN id -u > who && wget -q -O page $SITE/page.html && ln -s page link
RUN --network=none echo "$GREETING" > greeting
EXPOSE 80
ENTRYPOINT ["cat", "/data/page"]
"""

_APT = """\
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends jq
RUN jq --version > /version
"""

_TELL_TIMES = {
    *("var/log/apt/history.log", "var/log/apt/term.log", "var/log/dpkg.log"),
    *("var/cache/apt/pkgcache.bin", "var/cache/apt/srcpkgcache.bin"),
    "var/cache/ldconfig/aux-cache",
}
"""Files in which apt, dpkg and ldconfig note times: other bytes in every build."""

_TRIES = """\
FROM buildpack-deps:trixie-curl
ARG SITE
RUN ! curl -fsS --noproxy "*" -m 5 $SITE/page.html
RUN ! curl -fsS $SITE/page.html
RUN test "$(curl -s -o /dev/null -w '%{http_code}' -d x $SITE/page.html)" = 403
"""

_BARE = """\
FROM busybox AS tools
FROM scratch
COPY --from=tools /bin/busybox /busybox
ARG SITE
RUN ["/busybox", "touch", "/empty"]
RUN ["/busybox", "wget", "-q", "-O", "/page", "SITE/page.html"]
"""
"""An image without folders in which anything could be mounted."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a layer says of a path, but for its name."""

    kind: bytes
    mode: int
    owner: tuple[int, int]
    mtime: float
    size: int
    link: str
    attributes: Mapping[str, str]
    content: str


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image as BuildKit wrote it."""

    digest: str
    config: dict[str, Any]
    layers: list[dict[str, Entry]]


@dataclass(frozen=True, slots=True)
class Bench:
    """Where images are built, and what they download from.

    Attributes:
        buildkit: Builds with the network, and as airgap build does.
        workshop: Builds as airgap does, with the proxy network.
        site: What is downloaded from.
        folder: For what is built.
    """

    buildkit: BuildKit
    workshop: BuildKit
    site: Site
    folder: Path

    def arguments(self, context: Path, output: Path) -> list[str]:
        """What follows `buildx build`."""
        return [
            "--no-cache",
            "--quiet",
            "--provenance=false",
            f"--build-arg=SITE={self.site.url}",
            f"--build-arg=SOURCE_DATE_EPOCH={_EPOCH}",
            f"--output=type=oci,rewrite-timestamp=true,dest={output}",
            str(context),
        ]

    def with_network(self, context: Path) -> BuiltImage:
        """Builds without airgap."""
        output = self.folder / f"{context.name}.tar"
        assert self.buildkit.builder.buildx.build(self.arguments(context, output), {}, str) == 0
        return read_image(output)

    def recorded(self, context: Path, store: Store) -> tuple[BuiltImage, Recording]:
        """Builds, and records it."""
        recorder = Recorder(store, upstream_session())
        image = self.through(recorder, context, any_date=False)
        assert (recorder.left_out, recorder.failures, recorder.refused) == ((), (), ())
        return image, recorder.recording()

    def replayed(self, context: Path, store: Store, recording: Recording) -> BuiltImage:
        """Builds from a recording."""
        replay = Replay(store, [recording])
        image = self.through(replay, context, any_date=True)
        assert (replay.misses, replay.refused, replay.errors) == ((), (), ())
        return image

    def through(self, answerer: Handler, context: Path, *, any_date: bool) -> BuiltImage:
        """Builds with airgap."""
        output = self.folder / f"{context.name}.tar"
        arguments = BuildArguments.parse(self.arguments(context, output))
        builder = self.workshop.builder
        with open_source(arguments) as source, Server(answerer, builder.address) as server:
            way_out = Egress(server.base, proxy_ca(builder.buildx, _AMD64), any_date)
            assert build(source, builder.buildx, way_out) == 0
        return read_image(output)


@pytest.fixture(scope="module")
def bench(upstream: Upstream) -> Iterator[Bench]:
    with BuildKit(upstream) as buildkit, BuildKit(upstream, proxied=True) as workshop:
        files = buildkit.folder / "files"
        write_site(files)
        with static_site(files, buildkit.folder / "nginx") as site:
            yield Bench(buildkit, workshop, site, buildkit.folder)


def write_site(folder: Path) -> None:
    """What builds download, of a time that is long gone."""
    folder.mkdir()
    (folder / "data.bin").write_bytes(bytes(range(256)) * 5000)
    (folder / "page.html").write_text("<html>a page</html>\n")
    with tarfile.open(folder / "data.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("inside/program")
        member.mode, member.size, member.mtime = 0o4755, 3, _SITE_TIME
        tar.addfile(member, io.BytesIO(b"abc"))
    for path in folder.iterdir():
        os.utime(path, (_SITE_TIME, _SITE_TIME))


def read_image(archive: Path) -> BuiltImage:
    """Reads an image of one platform from an OCI archive."""
    with tarfile.open(archive) as tar:

        def blob(digest: str) -> bytes:
            file = tar.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert file is not None
            return file.read()

        index = tar.extractfile("index.json")
        assert index is not None
        (entry,) = json.load(index)["manifests"]
        manifest = json.loads(blob(entry["digest"]))
        return BuiltImage(
            entry["digest"],
            json.loads(blob(manifest["config"]["digest"])),
            [_entries(blob(layer["digest"])) for layer in manifest["layers"]],
        )


def _entries(layer: bytes) -> dict[str, Entry]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        for one in tar:
            file = tar.extractfile(one) if one.isfile() else None
            found[one.name] = Entry(
                one.type,
                one.mode,
                (one.uid, one.gid),
                one.mtime,
                one.size,
                one.linkname,
                {key: value for key, value in one.pax_headers.items() if "xattr" in key},
                hashlib.sha256(file.read()).hexdigest() if file else "",
            )
    return found


def differences(first: BuiltImage, second: BuiltImage) -> list[str]:
    """All that is not the same: paths of files, or what of the configuration it is."""
    found = [
        f"config: {key}"
        for key in sorted({*first.config, *second.config} - {"rootfs"})
        if first.config.get(key) != second.config.get(key)
    ]
    found += [] if len(first.layers) == len(second.layers) else ["the number of layers"]
    for ours, theirs in zip(first.layers, second.layers, strict=False):
        found += sorted(path for path in {*ours, *theirs} if ours.get(path) != theirs.get(path))
    return found


def files(image: BuiltImage) -> dict[str, Entry]:
    """The files of all layers, the upper ones over the lower."""
    return {path: entry for layer in image.layers for path, entry in layer.items()}


@dataclass(frozen=True, slots=True)
class Images:
    """The images of one Dockerfile."""

    plain: BuiltImage
    again: BuiltImage
    recorded: BuiltImage
    replayed: BuiltImage


@pytest.fixture
def built(bench: Bench, tmp_path: Path) -> Callable[[str], Images]:
    """Builds a Dockerfile: twice with the network alone, then recorded, then replayed."""

    def make(dockerfile: str) -> Images:
        folder, store = tmp_path / "context", Store(tmp_path / "store")
        folder.mkdir()
        (folder / "Dockerfile").write_text(dockerfile)
        plain, again = bench.with_network(folder), bench.with_network(folder)
        recorded, recording = bench.recorded(folder, store)
        return Images(plain, again, recorded, bench.replayed(folder, store, recording))

    return make


def assert_no_trace(image: BuiltImage) -> None:
    """Neither paths nor configuration and history say that airgap was there."""
    traces = re.compile(r"airgap|mavenrc|secret|proxy|CA_BUNDLE|SSL_CERT|WGETRC", re.IGNORECASE)
    config = json.dumps({key: image.config[key] for key in ("config", "history")})
    assert traces.findall(config) == []
    assert [path for path in files(image) if re.search(r"airgap|mavenrc", path)] == []


def test_downloads_of_all_kinds_give_the_same_image_to_the_last_bit(
    built: Callable[[str], Images],
) -> None:
    images = built(_DOWNLOADS.replace("BASE", "busybox"))
    for one in (images.again, images.recorded, images.replayed):
        assert differences(images.plain, one) == []
        assert one.digest == images.plain.digest
    assert_no_trace(images.replayed)
    found = files(images.replayed)
    assert (found["added/data.bin"].mtime, found["added/data.bin"].mode) == (_SITE_TIME, 0o600)
    assert found["srv/page.html"].mtime == found["srv/curl.bin"].mtime == _SITE_TIME


def test_steps_of_an_image_with_a_ca_bundle_leave_a_copy_of_it_and_nothing_else(
    built: Callable[[str], Images],
) -> None:
    images = built(_DOWNLOADS.replace("BASE", "alpine"))
    assert differences(images.plain, images.again) == []
    folders = {str(folder) for folder in PurePosixPath(_CA_BUNDLE).parents} - {"."}
    original = files(images.plain)[_CA_BUNDLE]
    for one in (images.recorded, images.replayed):
        assert set(differences(images.plain, one)) <= {_CA_BUNDLE, *folders}
        copy = files(one)[_CA_BUNDLE]
        assert replace(copy, mtime=original.mtime) == original


def test_an_image_without_folders_to_mount_in_stays_without(
    built: Callable[[str], Images], bench: Bench
) -> None:
    images = built(_BARE.replace("SITE/", f"{bench.site.url}/"))
    for one in (images.recorded, images.replayed):
        assert differences(images.plain, one) == []
        assert one.digest == images.plain.digest


def test_packages_of_apt_give_the_same_image_but_for_files_that_tell_times(
    built: Callable[[str], Images],
) -> None:
    images = built(_APT)
    assert "usr/bin/jq" in files(images.replayed)
    for one in (images.again, images.recorded, images.replayed):
        assert set(differences(images.plain, one)) <= _TELL_TIMES
    assert_no_trace(images.replayed)


def test_a_step_reaches_nothing_but_the_recording(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(_TRIES)
    replay = Replay(Store(tmp_path / "store"), [Recording({})])
    bench.through(replay, tmp_path, any_date=True)
    assert [asked.url for asked in replay.misses] == [f"{bench.site.url}/page.html"]
