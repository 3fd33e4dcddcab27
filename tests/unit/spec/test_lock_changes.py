"""What changed from one lock to the next."""

from __future__ import annotations

from dataclasses import replace

from airgap.spec.lock_changes import image_changes, other_changes
from tests.unit.spec.test_lock import AMD64, APP, ARM64, DIGESTS, LOCK, TOOL

OTHER = replace(APP, name="docker.io/library/other:1")


def test_without_a_lock_every_image_is_new() -> None:
    (change,) = image_changes(None, LOCK)
    assert (change.name, change.kind, change.digests) == (APP.name, "new", ("", DIGESTS[0]))
    assert (change.came, change.went) == ((AMD64, ARM64), ())
    assert other_changes(None, LOCK) == ()


def test_the_same_lock_has_no_changes() -> None:
    assert [change.kind for change in image_changes(LOCK, LOCK)] == ["unchanged"]
    assert other_changes(LOCK, LOCK) == ()


def test_images_that_came_went_and_stayed_are_told() -> None:
    before = replace(LOCK, images=(OTHER, APP))
    after = replace(LOCK, images=(APP, replace(APP, name="docker.io/library/third:1")))
    kinds = {change.name: change.kind for change in image_changes(before, after)}
    assert kinds == {
        APP.name: "unchanged",
        "docker.io/library/third:1": "new",
        OTHER.name: "gone",
    }


def test_digests_platforms_and_roles_that_changed_are_told() -> None:
    moved = replace(
        APP, digest=DIGESTS[1], wanted=(), platforms=(AMD64, "linux/386"), roles=("builder",)
    )
    (change,) = image_changes(LOCK, replace(LOCK, images=(moved,)))
    assert (change.kind, change.digests) == ("changed", (DIGESTS[0], DIGESTS[1]))
    assert (change.came, change.went) == (("linux/386",), (ARM64,))
    assert [str(asked) for asked in change.requests] == [
        "wanted linux/amd64, linux/arm64 -> all",
        "roles base -> builder",
    ]


def test_what_changed_besides_images_is_told() -> None:
    after = replace(
        LOCK,
        name="new",
        expires="2099-01-01T00:00:00Z",
        host_platforms=(AMD64, ARM64),
        tool=replace(TOOL, version="0.2.0", sha256="c" * 64),
    )
    assert [str(change) for change in other_changes(LOCK, after)] == [
        "name site -> new",
        "expires never -> 2099-01-01T00:00:00Z",
        "host platforms linux/amd64 -> linux/amd64, linux/arm64",
        "airgap 0.1.0 -> 0.2.0",
        "airgap.pyz aaaaaaaaaaaa -> cccccccccccc",
    ]
