"""Serving other machines: mirror and registry a second time, with TLS and accounts.

Two more containers over the same storage: what this host itself uses stays as it is, plain HTTP on
loopback. The registry keeps nothing in memory, so that each sees at once what the other wrote.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from airgap.builder.containers import registry_container, registry_yml
from airgap.builder.engine import ContainerSpec
from airgap.isolated import containers
from airgap.isolated.accounts import count, prepare
from airgap.isolated.authority import certificate_problem, certified_until, certify
from airgap.isolated.containers import MIRROR_TLS, REGISTRY_TLS
from airgap.isolated.listening import local_ip
from airgap.isolated.registry_probe import wait_until_served, wants_account
from airgap.isolated.state import write_file
from airgap.isolated.step import Finding, Step, Work


class ListenStep(Step):
    """Other machines reach mirror and registry at the address that was chosen, if one was."""

    name = "listen"
    roles = ("registry",)

    def check(self, work: Work) -> Finding:
        """Asks both as another machine would."""
        address = work.settings.listen
        if not address:
            left = [name for name in (MIRROR_TLS, REGISTRY_TLS) if work.engine.is_ours(name)]
            problem = f"{', '.join(left)} still there" if left else ""
            return Finding(not problem, problem or "this host alone is served")
        if problem := certificate_problem(work.state, address):
            return Finding(False, problem)
        for spec in _specs(work):
            if problem := work.engine.container_problem(spec):
                return Finding(False, f"{spec.name}: {problem}")
        for server in containers.listening(work):
            if not wants_account(server.address, server.ca):
                return Finding(False, f"{server.address} does not answer with TLS")
        until, who = certified_until(work.state), count(work.state)
        return Finding(True, f"{address} serves {who}, certificate until {until:%F}")

    def apply(self, work: Work) -> None:
        """Makes what is needed and starts both, or removes them where no address is chosen."""
        if not work.settings.listen:
            self.undo(work)
            return
        if certificate_problem(work.state, work.settings.listen):
            certify(work.state, work.settings.listen)
        prepare(work.state)
        for spec in _specs(work):
            text = _config_text(spec.name)
            write_file(work.state.config / f"{spec.name}.yml", text.encode())
            work.progress.message(f"starting {spec.name}")
            work.engine.run(spec)
        for server in containers.listening(work):
            wait_until_served(server.address, work.engine, REGISTRY_TLS, server.ca)

    def undo(self, work: Work) -> None:
        """Removes the containers; accounts and authority stay."""
        for name in (MIRROR_TLS, REGISTRY_TLS):
            work.engine.remove_container(name)


def _specs(work: Work) -> list[ContainerSpec]:
    """Both containers. A new certificate means new ones: the registry reads it at its start."""
    image = containers.image_id(work, "registry")
    certificate = (work.state.secrets / "tls.crt").read_bytes()
    served = [(REGISTRY_TLS, work.state.pushed, work.settings.registry_port)]
    if not work.settings.registry_mirror:
        served.append((MIRROR_TLS, work.state.mirror.root, work.settings.mirror_port))
    found = []
    for name, storage, port in served:
        config, read_only = work.state.config / f"{name}.yml", name == MIRROR_TLS
        spec = registry_container(
            name, image, storage, config, read_only=read_only, secrets=work.state.secrets
        )
        digest = hashlib.sha256(_config_text(name).encode() + certificate).hexdigest()
        ports = {5000: [(local_ip(work.settings.listen), port)]}
        found.append(replace(spec, ports=ports, config_digest=digest))
    return found


def _config_text(name: str) -> str:
    return registry_yml(read_only=name == MIRROR_TLS, secured=True)
