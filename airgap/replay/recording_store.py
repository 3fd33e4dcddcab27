"""Recordings as they are carried and kept: each a map among blobs, which names the others."""

from __future__ import annotations

from airgap.bundle.contents import RecordingEntry, broken
from airgap.bundle.replay_tar import ReplayTar
from airgap.limits import LIMITS
from airgap.replay.recording import Recording, parse_recording
from airgap.store.store import Store


def load_recording(store: Store, entry: RecordingEntry) -> Recording:
    """Return a recording's map, from a store.

    Raises:
        NotFoundError: It is not there.
        IntegrityError: It was damaged on this disk.
    """
    return parse_recording(store.small_blob(entry.digest, LIMITS.recording_bytes))


def check_recording(store: Store, entry: RecordingEntry) -> str:
    """Return what is missing of a recording, in a few words; empty if nothing is.

    Sizes are compared; blobs but the map are not hashed again.

    Raises:
        NotFoundError: Its map is not here.
        IntegrityError: Its map was damaged on this disk.
    """
    for response in load_recording(store, entry).responses.values():
        if not store.has_blob(response.digest, response.size):
            return f"{entry.name} lacks {response.digest}"
    return ""


def check_maps(replay: ReplayTar) -> None:
    """Check that the maps of a bundle's recordings match the included files.

    Raises:
        IntegrityError: A map is damaged or none, names what is not carried, or something that is
            carried belongs to no recording.
        HostError: The medium cannot be read.
    """
    reached: set[str] = set()
    for entry in replay.contents.recordings:
        recording = parse_recording(replay.small_blob(entry.digest, LIMITS.recording_bytes))
        for response in recording.responses.values():
            blob = replay.blobs.get(response.digest)
            if blob is None or blob.size != response.size:
                raise broken(f"{entry.name} needs {response.digest} of {response.size} bytes")
            reached.add(response.digest)
        reached.add(entry.digest)
    unreached = [digest for digest in replay.blobs if digest not in reached]
    if unreached:
        raise broken(f"{unreached[0]} belongs to no recording")
