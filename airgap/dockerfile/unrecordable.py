"""What a RUN line does that no recording can hold, found by its words, with the way round.

BuildKit's proxy hands over GET alone: everything else is refused while recording and replaying.
No shell is parsed here, so what is found may be wrong both ways: it is for hints, never errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_COMMENT = re.compile(r"(?m)(^|\s)#[^\n]*")
_BETWEEN = re.compile(r"[;&|\n`()]+")
_ASSIGNMENT = re.compile(r"\w+=.*")
# What comes before the command that is really run.
_BEFORE = {
    *("if", "then", "else", "elif", "while", "until", "do", "!", "{", "$"),
    *("sudo", "exec", "time", "env", "sh", "bash"),
}
_GIT_WITH_VALUE = ("-C", "-c")
_GIT_FETCHES = ("clone", "fetch", "pull", "submodule", "ls-remote")
_SSH_ADDRESS = re.compile(r"ssh://|[\w.-]+@[\w.-]+:")
_CURL_SENDS = ("--data", "--form", "--json", "--head", "--upload-file", "-d", "-F", "-I", "-T")
_CURL_SHORT = re.compile(r"-[a-zA-Z]*[dFIT]")
_CURL_METHOD = re.compile(r"--request|-[a-zA-Z]*X")
_WGET_METHOD = re.compile(r"--method")
_WGET_SENDS = ("--post-", "--body-", "--spider")
_DOCKER = ("docker", "podman", "skopeo", "crane", "buildah")
_DOCKER_TALKS = ("build", "buildx", "copy", "export", "login", "pull", "push", "run", "save")


@dataclass(frozen=True, slots=True)
class Unrecordable:
    """One finding: what it is, and the way round."""

    text: str
    remedy: str


_CONTEXT = "fetch it before the build, and COPY it from the context"
_ARCHIVE = "fetch an archive of the commit in its place: curl -fsSL https://…/COMMIT.tar.gz"
_GIT = Unrecordable("git fetches with POST requests", _ARCHIVE)
_GIT_SSH = Unrecordable("git fetches over ssh", _ARCHIVE)
_CURL = Unrecordable("curl sends something other than GET", _CONTEXT)
_WGET = Unrecordable("wget sends something other than GET", _CONTEXT)
_FTP = Unrecordable("ftp is not HTTP", _CONTEXT)
_SSH = Unrecordable("ssh, scp and rsync are not HTTP", _CONTEXT)
_JVM = Unrecordable(
    "Gradle and other Java tools ignore the proxy that a recording needs",
    "fetch the dependencies before the build, and COPY them from the context",
)
_ENGINE = Unrecordable(
    "the build has no Docker to talk to", "use FROM or COPY --from=IMAGE in its place"
)


def unrecordable(script: str) -> Iterator[Unrecordable]:
    """Yield what a shell script does that cannot be recorded, each kind once.

    Args:
        script: The text of a RUN with its heredocs.
    """
    found: dict[Unrecordable, None] = {}
    for name, words in _commands(script):
        check = _CHECKS.get(name)
        finding = check(words) if check else None
        if finding:
            found[finding] = None
    yield from found


def _commands(script: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the names of commands, without folders, each with the words that follow it."""
    text = _COMMENT.sub(r"\1", script.replace("\\\n", " "))
    for piece in _BETWEEN.split(text):
        words = [word.strip("'\"") for word in piece.split()]
        for number, word in enumerate(words):
            if not (word in _BEFORE or word.startswith("-") or _ASSIGNMENT.fullmatch(word)):
                yield word.rpartition("/")[2], words[number + 1 :]
                break


def _git(words: Sequence[str]) -> Unrecordable | None:
    values = {number + 1 for number, word in enumerate(words) if word in _GIT_WITH_VALUE}
    verbs = (
        word
        for number, word in enumerate(words)
        if number not in values and not word.startswith("-")
    )
    if next(verbs, "") not in _GIT_FETCHES:
        return None
    return _GIT_SSH if any(_SSH_ADDRESS.match(word) for word in words) else _GIT


def _curl(words: Sequence[str]) -> Unrecordable | None:
    for number, word in enumerate(words):
        if word.startswith(_CURL_SENDS) or _CURL_SHORT.fullmatch(word):
            return _CURL
        if _other_method(words, number, _CURL_METHOD):
            return _CURL
    return _ftp_address(words)


def _wget(words: Sequence[str]) -> Unrecordable | None:
    for number, word in enumerate(words):
        if word.startswith(_WGET_SENDS) or _other_method(words, number, _WGET_METHOD):
            return _WGET
    return _ftp_address(words)


def _other_method(words: Sequence[str], number: int, option: re.Pattern[str]) -> bool:
    """Return whether a word is the option that names the method, and names another one than GET."""
    found = option.match(words[number])
    if found is None:
        return False
    method = words[number][found.end() :].strip("='\"")
    method = method or next(iter(words[number + 1 : number + 2]), "")
    return method.isupper() and method != "GET"


def _ftp_address(words: Sequence[str]) -> Unrecordable | None:
    return _FTP if any(word.startswith(("ftp://", "ftps://")) for word in words) else None


def _rsync(words: Sequence[str]) -> Unrecordable | None:
    return _SSH if any(":" in word for word in words) else None


def _ssh(words: Sequence[str]) -> Unrecordable | None:
    return None if "-V" in words else _SSH


def _engine(words: Sequence[str]) -> Unrecordable | None:
    return _ENGINE if words and words[0] in _DOCKER_TALKS else None


_CHECKS: dict[str, Callable[[Sequence[str]], Unrecordable | None]] = {
    "git": _git,
    "curl": _curl,
    "wget": _wget,
    **dict.fromkeys(("ftp", "lftp", "sftp"), lambda _: _FTP),
    **dict.fromkeys(("ssh", "scp", "ssh-keyscan"), _ssh),
    "rsync": _rsync,
    **dict.fromkeys(("gradle", "gradlew", "sbt", "lein", "clojure"), lambda _: _JVM),
    **dict.fromkeys(_DOCKER, _engine),
}
