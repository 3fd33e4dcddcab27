"""The log of requests to real servers on loopback."""

from __future__ import annotations

from pathlib import Path

from airgap import log
from airgap.oci.registries import Endpoint
from airgap.oci.session import new_session
from tests.integration.website import Visit, website

CANARY = "canary7fly"


def test_each_request_to_a_registry_is_logged_without_its_secrets(tmp_path: Path) -> None:
    def page(visit: Visit) -> None:
        if visit.path.startswith("/from"):
            visit.give(302, ("Location", f"/to?signature={CANARY}"))
        else:
            visit.give(200, body=b"hello")

    with website(page) as site, log.logged(tmp_path, []):
        endpoint = Endpoint(site.address, site.address, "app", http=True)
        with new_session(endpoint) as session:
            header = {"Authorization": f"Bearer {CANARY}"}
            session.get(f"http://{site.address}/from?token={CANARY}", headers=header)
    text = (tmp_path / log.NAME).read_text()
    first, second = (line for line in text.splitlines() if "GET" in line)
    assert "response_log: 302 after" in first
    assert first.endswith(f" s, 0 bytes: GET http://{site.address}/from?token=REDACTED")
    assert "response_log: 200 after" in second
    assert second.endswith(f" s, 5 bytes: GET http://{site.address}/to?signature=REDACTED")
    assert CANARY not in text
