"""What `buildx build` would build: the Dockerfile and context that its arguments mean."""

from __future__ import annotations

import io
import sys
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from airgap.builder.arguments import BuildArguments
from airgap.dockerfile.parse import Dockerfile, parse_dockerfile, read_dockerfile
from airgap.errors import UsageError
from airgap.limits import LIMITS

_STDIN = "-"
_NAME = "Dockerfile"
_BESIDE = (".dockerignore", ".rego")
"""What BuildKit and buildx look for beside a Dockerfile: what to leave out, and a policy."""

_REMOTE = ("http://", "https://", "git://", "git@", "ssh://", "github.com/")


@dataclass(frozen=True, slots=True)
class BuildSource:
    """A build that is read and not begun.

    Attributes:
        arguments: For buildx, without those that name the Dockerfile; the context is a folder.
        name: The Dockerfile's file name.
        text: Its text.
        dockerfile: The same, parsed.
        beside: Suffix to bytes of the files beside it that are for it alone.
    """

    arguments: BuildArguments
    name: str
    text: str
    dockerfile: Dockerfile
    beside: Mapping[str, bytes] = field(default_factory=dict)

    def with_arguments(self, arguments: BuildArguments) -> BuildSource:
        """Return the same build with other arguments."""
        return replace(self, arguments=arguments)


@contextmanager
def open_source(arguments: BuildArguments) -> Iterator[BuildSource]:
    """Read what will be built; input from standard input is in a folder meanwhile.

    Raises:
        UsageError: There is no such Dockerfile or context, or it is not one.
    """
    if arguments.context.startswith(_REMOTE):
        raise UsageError(
            f"{arguments.context} is not on this host", remedy="copy it here and give its folder"
        )
    file, rest = arguments.last("--file"), arguments.without("--file")
    if arguments.context != _STDIN:
        yield _read(rest, file, Path(arguments.context))
        return
    data = sys.stdin.buffer.read()
    with TemporaryDirectory(prefix="airgap-context-") as name:
        local = replace(rest, context=name)
        if _is_tar(data):
            _unpack(data, name)
            yield _read(local, str(Path(name, file or _NAME)), Path(name))
        else:
            text = data.decode(errors="replace")
            yield BuildSource(local, _NAME, text, parse_dockerfile(text, _NAME))


def _read(arguments: BuildArguments, file: str, context: Path) -> BuildSource:
    if not context.is_dir():
        raise UsageError(f"the context {context} is not a folder")
    if file == _STDIN:
        text = sys.stdin.buffer.read(LIMITS.dockerfile_bytes + 1).decode(errors="replace")
        return BuildSource(arguments, _NAME, text, parse_dockerfile(text, _NAME))
    path = Path(file) if file else context / _NAME
    if not path.exists() and path.with_name(path.name.lower()).exists():
        path = path.with_name(path.name.lower())  # as buildx does
    text = read_dockerfile(path)
    files = {suffix: path.with_name(f"{path.name}{suffix}") for suffix in _BESIDE}
    return BuildSource(
        arguments,
        path.name,
        text,
        parse_dockerfile(text, str(path)),
        {suffix: file.read_bytes() for suffix, file in files.items() if file.is_file()},
    )


def _unpack(data: bytes, folder: str) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UsageError(f"the context on standard input cannot be unpacked: {error}") from error


def _is_tar(data: bytes) -> bool:
    try:
        with tarfile.open(fileobj=io.BytesIO(data)):
            return True
    except tarfile.TarError:
        return False
