"""What requested URLs were answered, by bundle: so that no older answer comes back unseen.

`bundles/NAME-SERIAL/answers.json` keeps it when the answers themselves are gone from the storage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict

from airgap.bundle.contents import Contents, RecordingEntry
from airgap.bundle.replay_tar import ReplayTar
from airgap.canonical import canonical
from airgap.errors import AirgapError
from airgap.isolated.host.files import write_file
from airgap.isolated.state.layout import State
from airgap.limits import LIMITS
from airgap.replay.recording import Recording, parse_recording
from airgap.replay.recording_store import load_recording

Answers = Mapping[str, str]
"""`the answer to URL` and what else tells a request from others, to a hash of the answer."""

_FILE = "answers.json"


def answers_in(replay: ReplayTar) -> Answers:
    """Return those of a bundle on a medium.

    Raises:
        IntegrityError: A map is damaged.
        HostError: The medium cannot be read.
    """
    entries = _requested(replay.contents)
    bodies = [replay.small_blob(entry.digest, LIMITS.recording_bytes) for entry in entries]
    return _answers(map(parse_recording, bodies))


def keep_answers(state: State, contents: Contents, answers: Answers) -> None:
    """Keep those of a bundle that is about to be installed."""
    if _requested(contents):
        write_file(state.bundles / contents.identity / _FILE, canonical(dict(answers)))


def kept_answers(state: State, contents: Contents) -> Answers:
    """Return those of a bundle that was installed; none if it kept none and they are gone."""
    entries = _requested(contents)
    if not entries:
        return {}
    with suppress(OSError, ValueError, AttributeError):
        document = json.loads((state.bundles / contents.identity / _FILE).read_bytes())
        return {str(what): str(value) for what, value in document.items()}
    with suppress(OSError, AirgapError):
        return _answers([load_recording(state.replay, entry) for entry in entries])
    return {}


def _requested(contents: Contents) -> list[RecordingEntry]:
    """Return recordings of requested URLs, which belong to no build."""
    return [entry for entry in contents.recordings if not entry.dockerfile]


def _answers(recordings: Iterable[Recording]) -> Answers:
    return {
        f"the answer to {response.url} ({response.key[:16]})": hashlib.sha256(
            canonical(asdict(response))
        ).hexdigest()
        for recording in recordings
        for response in recording.responses.values()
    }
