"""Limits on everything that is read from a registry or a medium, in one place."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that is read or accepted of each thing. Sizes are bytes.

    `ahead_seconds` is how far in the future a bundle may be made, by the clock of the host: it may
    keep local time. A clock before `clock_seconds`, 2026-01-01 in Unix time, was never set.
    `manifest_bytes` is the size that registries must accept at least (OCI distribution spec,
    "Pushing Manifests"); larger manifests cannot be relied on to exist.
    `index_depth` are the levels of indexes above an image's manifests, and `documents` the indexes
    and manifests of one image, which have `documents_bytes` in all.
    `header_characters` are those of a header that is shown to people. `pattern_steps` bound the
    work for one pattern in a Dockerfile's variables. `answer_header_bytes` are those of all headers
    of a recorded answer, `response_room_bytes` what it needs at most in a recording, `notes` what a
    build is told of at most, and `replay_strangers` the connections whose client has not shown that
    it is a build.
    """

    ahead_seconds: int = 24 * 60 * 60
    clock_seconds: int = 1_767_225_600
    manifest_bytes: int = 4 * MIB
    manifest_entries: int = 1_000
    index_depth: int = 8
    documents: int = 10_000
    documents_bytes: int = 256 * MIB
    response_bytes: int = 1 * MIB
    redirect_bytes: int = 64 * KIB
    challenge_characters: int = 4 * KIB
    challenge_headers: int = 16
    header_characters: int = 80
    head_lines: int = 1_000
    head_bytes: int = 256 * KIB
    words_characters: int = 300
    config_bytes: int = 8 * MIB
    json_depth: int = 32
    json_values: int = 2_500_000
    contents_bytes: int = 64 * MIB
    checksums_bytes: int = 1 * MIB
    signature_bytes: int = 16 * KIB
    key_bytes: int = 16 * KIB
    searched_folders: int = 20_000
    ca_bytes: int = 1 * MIB
    node_bytes: int = 64 * KIB
    node_registries: int = 8
    spec_bytes: int = 1 * MIB
    lock_bytes: int = 64 * MIB
    tool_bytes: int = 256 * MIB
    images: int = 100_000
    blobs: int = 1_000_000
    volumes: int = 1_000
    blob_bytes: int = 1024 * GIB
    archive_bytes: int = 1024 * 1024 * GIB
    emulator_bytes: int = 64 * MIB
    plugin_bytes: int = 256 * MIB
    dockerfile_bytes: int = 1 * MIB
    word_characters: int = 16 * KIB
    pattern_steps: int = 100_000_000
    recordings: int = 1_000
    recording_bytes: int = 64 * MIB
    responses: int = 100_000
    response_headers: int = 64
    url_characters: int = 32 * KIB
    request_bytes: int = 16 * MIB
    answer_header_bytes: int = 64 * KIB
    response_room_bytes: int = 256 * KIB
    notes: int = 10_000
    notes_bytes: int = 4 * MIB
    replay_connections: int = 512
    replay_strangers: int = 256


LIMITS = Limits()
