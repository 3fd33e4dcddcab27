"""What the README says of clusters, as far as it goes without one: read by the real programs."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from airgap.builder.mirrors.buildkit import buildkit
from airgap.builder.mirrors.mirror import Mirror
from airgap.builder.registry_server import RegistryServer
from airgap.isolated.commands.engine_config import write
from lab.http_server import serving
from lab.parts import program
from lab.publish import Image
from lab.upstream import Upstream
from tests.integration.conftest import OLD
from tests.integration.engine_root import EngineRoot
from tests.readme import blocks

BLOCKS = {block.place: block.text for block in blocks() if block.heading == "Clusters"}
MIRROR = "mirror.example.internal:5001"
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: lab, cluster: {{server: "{server}"}}}}]
users: [{{name: lab}}]
contexts: [{{name: lab, context: {{cluster: lab, user: lab}}}}]
current-context: lab
"""
DOCKER = '#!/bin/sh\nshift\nexec buildx "$@"\n'
"""The docker command, of which the commands take buildx alone."""

KUBECTL = '#!/bin/sh\n/usr/bin/kubectl "$@" --dry-run=client -o yaml\necho ---\n'
"""Prints what it would create."""


class Cluster(ThreadingHTTPServer):
    """Takes what clients create, and says that it runs. Nothing does."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, Any] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def of_kind(self, kind: str) -> list[Any]:
        return [one for path, one in self.objects.items() if path.split("/")[-2] == kind]


class _Handler(BaseHTTPRequestHandler):
    server: Cluster

    def do_POST(self) -> None:
        given = self.rfile.read(int(self.headers["Content-Length"]))
        created = json.loads(_decoded(given).stdout)
        path = f"{self.path.partition('?')[0]}/{created['metadata']['name']}"
        self.server.objects[path] = created
        self._answer(201, created | {"status": {"readyReplicas": 1}})

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in self.server.objects:
            self._answer(200, self.server.objects[path] | {"status": {"readyReplicas": 1}})
        elif path.endswith("/pods"):
            self._answer(200, {"kind": "PodList", "apiVersion": "v1", "items": []})
        else:
            failure = {"status": "Failure", "reason": "NotFound", "code": 404}
            self._answer(404, {"kind": "Status", "apiVersion": "v1", **failure})

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    server = Cluster()
    with serving(server):
        yield server


@pytest.fixture
def server(cluster: Cluster) -> Iterator[EngineRoot]:
    """Where the commands are given: buildx and kubectl are set up, and the mirror's files there."""
    ca = "/ca.pem"
    mirror = Mirror([RegistryServer(MIRROR, ca=ca)], ["ghcr.io"], (), {ca: PEM})
    with EngineRoot("127.0.0.1:9") as root:
        write(buildkit(mirror).files, root.files)
        write({"/root/.kube/config": KUBECONFIG.format(server=cluster.url)}, root.files)
        for name, text in {"docker": DOCKER, "kubectl": KUBECTL}.items():
            (root.files / "usr/local/bin" / name).write_text(text)
            (root.files / "usr/local/bin" / name).chmod(0o755)
        yield root


def _given(server: EngineRoot, commands: str) -> str:
    done = server.run(["sh", "-euc", f"cd /root\n{commands}"])
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _decoded(objects: bytes) -> subprocess.CompletedProcess[bytes]:
    """As Kubernetes' own types, a line of JSON each."""
    command = [str(program("manifests"))]
    return subprocess.run(command, input=objects, capture_output=True, check=False)


def test_the_kubernetes_driver_makes_pods_of_the_mirrors_images(
    server: EngineRoot, cluster: Cluster
) -> None:
    _given(server, BLOCKS["kubernetes"])
    (deployment,) = cluster.of_kind("deployments")
    pod = deployment["spec"]["template"]["spec"]
    assert [one["image"] for one in pod["containers"]] == [
        f"{MIRROR}/docker.io/moby/buildkit:buildx-stable-1"
    ]
    assert [one["image"] for one in pod["initContainers"]] == [
        f"{MIRROR}/docker.io/tonistiigi/binfmt:latest"
    ]
    files = {
        name: text for one in cluster.of_kind("configmaps") for name, text in one["data"].items()
    }
    registry = tomllib.loads(files["buildkitd.toml"])["registry"]
    assert registry["ghcr.io"]["mirrors"] == [f"{MIRROR}/ghcr.io"]
    assert PEM in files["ca.crt"]


def test_the_kubernetes_driver_refuses_what_it_does_not_know(server: EngineRoot) -> None:
    commands = BLOCKS["kubernetes"].replace("qemu.install", "qemu.instal")
    done = server.run(["sh", "-euc", commands])
    assert done.returncode != 0
    assert "invalid driver option qemu.instal" in done.stderr


def test_the_manifest_is_what_kubernetes_takes() -> None:
    done = _decoded(BLOCKS["manifest"].encode())
    assert done.returncode == 0, done.stderr
    kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
    assert kinds == ["Deployment", "Service"]


def test_a_misspelt_field_would_be_found() -> None:
    done = _decoded(BLOCKS["manifest"].replace("mountPath", "mountpath").encode())
    assert done.returncode != 0
    assert b"unknown field" in done.stderr


def test_the_manifest_mounts_what_the_commands_create(server: EngineRoot) -> None:
    namespace, secret, config_map, _ = yaml.safe_load_all(_given(server, BLOCKS["certificates"]))
    deployment, service = yaml.safe_load_all(BLOCKS["manifest"])
    for one in (secret, config_map, deployment, service):
        assert one["metadata"]["namespace"] == namespace["metadata"]["name"]
    pod = deployment["spec"]["template"]["spec"]
    volumes = {one["name"]: one for one in pod["volumes"]}
    assert volumes["certificates"]["secret"]["secretName"] == secret["metadata"]["name"]
    named = re.findall(r"=/certificates/(\S+)", "\n".join(pod["containers"][0]["args"]))
    assert sorted(secret["data"]) == sorted(named)
    config = volumes["config"]["configMap"]
    assert config["name"] == config_map["metadata"]["name"]
    assert sorted(config_map["data"]) == sorted(item["key"] for item in config["items"])
    (ca,) = tomllib.loads(config_map["data"]["buildkitd.toml"])["registry"][MIRROR]["ca"]
    assert ca in {f"/etc/buildkit/{item['path']}" for item in config["items"]}
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert f":{service['spec']['ports'][0]['nodePort']}" in BLOCKS["remote"]


_BUILD = """
buildkitd --oci-worker-snapshotter native {arguments} >/dev/null 2>&1 &
until buildctl debug info >/dev/null 2>&1; do kill -0 $!; sleep 0.1; done
{commands}
mkdir /tmp/context
echo "FROM {image}" >/tmp/context/Dockerfile
docker buildx build --builder pods --output type=local,dest=/tmp/out /tmp/context
ls /tmp/out
knock="openssl s_client -tls1_2 -CAfile ca.pem -verify_return_error -connect 127.0.0.1:{port}"
$knock -cert client.pem -key client.key </dev/null >/dev/null 2>&1 && echo known
$knock </dev/null >/dev/null 2>&1 || echo unknown
"""


def test_the_remote_driver_builds_by_mutual_tls_through_the_mirror(
    server: EngineRoot, layer: Callable[..., Path]
) -> None:
    _given(server, BLOCKS["certificates"])
    port = _free_port()
    deployment, _ = yaml.safe_load_all(BLOCKS["manifest"])
    arguments = " ".join(deployment["spec"]["template"]["spec"]["containers"][0]["args"])
    arguments = arguments.replace("/certificates/", "/root/")
    arguments = arguments.replace("0.0.0.0:1234", f"127.0.0.1:{port}")
    hosts = "127.0.0.1 localhost node.example.internal mirror.example.internal\n"
    write({"/etc/hosts": hosts}, server.files)
    with Upstream(writable=True) as registry:
        image = Image("linux/amd64", [layer("cluster")], {"Cmd": ["/data"]})
        registry.publisher().publish_single(OLD, ["1"], image)
        address = registry.address.replace("127.0.0.1", "mirror.example.internal")
        write(
            buildkit(Mirror([RegistryServer(address, http=True)], ["ghcr.io"])).files, server.files
        )
        commands = BLOCKS["remote"].replace(":31234", f":{port}")
        build = _BUILD.format(arguments=arguments, commands=commands, image=f"{OLD}:1", port=port)
        assert _given(server, build).splitlines()[-3:] == ["data", "known", "unknown"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
