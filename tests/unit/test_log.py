"""The log: what is in it, what never is, and that it stops no command."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import requests
from click.shell_completion import ShellComplete

from airgap import __version__, log, processes
from airgap.builder.engine import Engine
from airgap.cli.main import cli, run
from airgap.connected.record_builds import scan
from airgap.errors import AirgapError, ExitCode, HostError
from airgap.isolated.commands.uninstall import _remove_state
from airgap.isolated.state.layout import State
from airgap.oci.response_log import log_failure
from airgap.progress import LineProgress
from airgap.spec.bundle_spec import RecordingSpec
from tests.forge import make_bundle, new_key

CANARY = "canary7fly"
LOGGER = logging.getLogger("airgap.test")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The state folder of a host."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle, with its public key beside it."""
    key = new_key()
    make_bundle(tmp_path / "bundle", key)
    (tmp_path / "site.pub").write_bytes(key.public.pem())
    return tmp_path / "bundle"


def text_of(root: Path) -> str:
    return (root / log.NAME).read_text()


def lists_nothing(root: Path) -> bool:
    """Whether a verb that reads does what it does, with or without a log."""
    trust = root.parent / "no keys"
    done = run(["--root", str(root), "--trust-dir", str(trust), "trust", "list", "--json"])
    return done == ExitCode.DONE


def test_a_command_is_logged_from_its_first_line_to_its_last(root: Path) -> None:
    assert lists_nothing(root)
    first, second, *_, last = text_of(root).splitlines()
    assert f"airgap {__version__}, Python 3." in first
    assert f"command: airgap --root {root} --trust-dir" in second
    assert "done after" in last
    assert stat.S_IMODE((root / log.NAME).stat().st_mode) == 0o600
    assert (root / log.NAME).stat().st_uid == os.geteuid()


def test_an_error_is_logged_with_its_parts_and_its_exit_code(root: Path) -> None:
    assert run(["--root", str(root), "inspect", str(root)]) == ExitCode.INTEGRITY
    text = text_of(root)
    assert f"error: there is no finished bundle in {root}" in text
    assert "      It has no SHA256SUMS" in text
    assert "      -> run the same airgap bundle command" in text
    assert "exit status 6" in text
    assert "Traceback" in text


@pytest.mark.parametrize("words", [["status", "--no-such"], ["status", "surplus"], ["no-such"]])
def test_wrong_usage_is_logged(words: list[str], root: Path) -> None:
    assert run(["--root", str(root), *words]) == ExitCode.USAGE
    assert "exit status 2" in text_of(root)


def test_an_install_is_logged_from_its_first_line_with_its_steps(
    bundle: Path, tmp_path: Path
) -> None:
    """The folder of its log is not there when it begins."""
    root, trust = tmp_path / "state", str(bundle.parent / "site.pub")
    command = ["--root", str(root), "install", str(bundle), "--trust", trust, "--only", "seed"]
    assert run(command) == ExitCode.DONE
    lines = text_of(root).splitlines()
    assert f"airgap {__version__}" in lines[0]
    assert sum(f"airgap {__version__}" in line for line in lines) == 1
    (begins,) = [line for line in lines if "step seed begins" in line]
    (took,) = [line for line in lines if "step seed took" in line]
    assert lines.index(begins) < lines.index(took)
    assert run(command) == ExitCode.DONE
    assert "step seed: nothing to do" in text_of(root)


def test_without_a_state_folder_none_is_made(tmp_path: Path) -> None:
    assert lists_nothing(tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_a_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("theirs")
    (root / log.NAME).symlink_to(tmp_path / "other")
    assert lists_nothing(root)
    assert (tmp_path / "other").read_text() == "theirs"
    assert (root / log.NAME).is_symlink()


def test_a_file_that_others_can_open_is_replaced(root: Path, tmp_path: Path) -> None:
    (root / log.NAME).write_text("theirs")
    (root / log.NAME).chmod(0o644)
    (tmp_path / "theirs").hardlink_to(root / log.NAME)
    assert lists_nothing(root)
    assert "theirs" not in text_of(root)
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert stat.S_IMODE((root / log.NAME).stat().st_mode) == 0o600


def test_a_folder_that_others_can_change_gets_no_log(root: Path) -> None:
    root.chmod(0o777)
    assert lists_nothing(root)
    assert not list(root.iterdir())


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_log_that_cannot_be_opened_stops_no_command(make: object, root: Path) -> None:
    assert callable(make)
    make(root / log.NAME)
    assert lists_nothing(root)


def test_a_full_disk_stops_no_command(root: Path) -> None:
    program = """
        import resource, sys
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        from airgap.cli.main import main
        main()
    """
    words = ["--root", str(root), "trust", "--help"]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert text_of(root) == ""


def test_a_user_who_cannot_write_the_log_is_not_stopped() -> None:
    program = """
        import os, sys, platformdirs
        from airgap.cli.main import run
        words = ["trust", "list", "--json"]
        # What is imported here needs no reading as the other user.
        run(["--root", "/nonexistent", "--trust-dir", "/nonexistent", *words])
        if os.geteuid() == 0:
            os.setgroups([]), os.setgid(65534), os.setuid(65534)
        sys.exit(run(["--root", sys.argv[1], "--trust-dir", sys.argv[1] + "/none", *words]))
    """
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), folder],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n[]\n", "")
        assert not list(Path(folder).iterdir())


def test_the_log_is_rotated(root: Path) -> None:
    for size in (0, 1, 2, 3, 4, 5):
        (root / log.NAME).write_text(f"{size}" + "x" * (1 << 20))
        (root / log.NAME).chmod(0o600)
        assert lists_nothing(root)
    assert sorted(one.name for one in root.iterdir()) == [
        log.NAME,
        *(f"{log.NAME}.{number}" for number in (1, 2, 3)),
    ]
    assert (root / f"{log.NAME}.1").read_text().startswith("5")
    assert (root / log.NAME).stat().st_size < 1 << 20


def test_uninstall_with_purge_removes_the_log(root: Path) -> None:
    for name in (log.NAME, f"{log.NAME}.1"):
        (root / name).touch()
    _remove_state(State(root), purge=True, purge_pushed=False)
    assert not root.exists()


class Broken(Exception):
    """What nobody foresaw."""


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_folder: Path) -> None:
        raise Broken(f"password={CANARY} \x1b[2J")

    monkeypatch.setattr("airgap.trust.folder.trusted_keys", fail)


@pytest.mark.usefixtures("bug")
def test_a_bug_names_the_log_which_has_the_traceback(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--root", str(root), "trust", "list"]) == ExitCode.INTERNAL
    assert capsys.readouterr().err == (
        "error: this is a bug in airgap: Broken\n"
        f"  The log has the details: {root / log.NAME}\n"
        "  -> report it with that file, and say what you did before\n"
    )
    assert "Traceback" in text_of(root)
    assert "in fail" in text_of(root)
    assert CANARY not in text_of(root)


@pytest.mark.usefixtures("bug")
def test_a_bug_names_the_file_of_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    assert run(["--root", str(tmp_path / "none"), "trust", "list", "--log", str(file)]) == 1
    assert f"The log has the details: {file}" in capsys.readouterr().err
    assert "Traceback" in file.read_text()


@pytest.mark.usefixtures("bug")
@pytest.mark.parametrize("words", [[], ["--log", "/dev/full"]])
def test_a_bug_without_a_log_prints_its_traceback_without_secrets(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--root", str(tmp_path / "none"), *words, "trust", "list"]) == ExitCode.INTERNAL
    first, *traceback, last = capsys.readouterr().err.splitlines()
    assert first == "error: this is a bug in airgap: Broken"
    assert traceback[0].strip() == "Traceback (most recent call last):"
    assert any("in fail" in line for line in traceback)
    assert "Broken: password=REDACTED" in traceback[-1]
    assert last == "  -> report these lines, and say what you did before"


@pytest.mark.parametrize(
    "text",
    [
        f"https://user:{CANARY}@host.example/v2/",
        f"https://{CANARY}@host.example/v2/",
        f"user:{CANARY}@host.example/app:1",
        f"https://host.example/blob?X-Amz-Signature={CANARY}&size=1",
        f"/v2/?token={CANARY}",
        f"https://host.example/?to=https%3A%2F%2Fuser%3A{CANARY}%40other.example%2F",
        f"Authorization: Basic {CANARY}",
        f"authorization: Digest username=me, response={CANARY}",
        f"{{'Authorization': 'Bearer {CANARY}', 'Accept': '*/*'}}",
        f"Cookie: a=b; session={CANARY}",
        f"X-Api-Key: {CANARY}",
        f"Invalid header value b'Bearer {CANARY}\\n'",
        f'{{"identitytoken": "{CANARY}"}}',
        f"password = '{CANARY} with a space'",
        f"docker buildx build --build-arg NAME={CANARY} .",
        f"docker buildx build --build-arg 'NAME={CANARY} more' .",
        f"NAME is {CANARY}-given",
    ],
)
def test_no_secret_reaches_the_log(
    text: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(HostError), log.logged(root, ["build", "--build-arg", f"A={CANARY}-given"]):
        log.show(2)
        LOGGER.info(text)
        LOGGER.info("%s", text)
        LOGGER.info("%s", [text])
        try:
            raise ValueError(text)
        except ValueError as error:
            LOGGER.info("caught", exc_info=error)
            raise HostError(text, meaning=text, remedy=text) from error
    assert "caught" in text_of(root)
    assert CANARY not in text_of(root)
    assert CANARY not in capsys.readouterr().err


def test_what_is_no_secret_stays(root: Path) -> None:
    texts = [
        "HEAD https://host.example:5000/v2/library/alpine/manifests/sha256:0123: 200",
        "127.0.0.1:5000/app:1@sha256:0123 is there",
        "KeyError: 'name'",
        "digest mismatch: expected sha256:01, got sha256:02",
        "ran docker buildx build --platform linux/arm64 -t app:1 .: exit status 0",
    ]
    with log.logged(root, []):
        for text in texts:
            LOGGER.info(text)
    assert all(text in text_of(root) for text in texts)


@pytest.mark.parametrize(
    "words",
    [
        ["--build-arg", f"N={CANARY}"],
        [f"--build-arg=N={CANARY}"],
        ["--build-args", f"N={CANARY}"],
        ["--build-arg", f"={CANARY}"],
        ["--set", f"*.args.N={CANARY}"],
        [f"--set=app.args.N={CANARY}"],
        ["--build-arg", "N=a", "--build-arg", f"M=it's {CANARY}"],
        [f"https://me:{CANARY}@host.example/app.git"],
    ],
)
@pytest.mark.parametrize("verb", ["scan", "build", "no-such"])
def test_values_on_the_command_line_are_not_logged(
    verb: str, words: list[str], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--root", str(root), "-vv", verb, *words]) != ExitCode.DONE
    assert CANARY not in text_of(root)
    shown, _, _ = capsys.readouterr().err.partition("error:")
    assert CANARY not in shown.partition("Usage:")[0]


def test_a_short_value_on_the_command_line_is_not_logged(root: Path) -> None:
    run(["--root", str(root), "scan", "--build-arg", "PIN=7%"])
    assert "--build-arg PIN=REDACTED" in text_of(root)


def test_a_value_from_the_environment_is_not_logged(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAME", CANARY)
    with log.logged(root, ["build", "--build-arg", "NAME"]):
        LOGGER.info("it is %s", CANARY)
    assert "it is {NAME}" in text_of(root)


def test_a_value_of_a_spec_is_not_logged(root: Path, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with log.logged(root, ["bundle", "spec.toml"]):
        scan(RecordingSpec("app", tmp_path, args={"NAME": CANARY}))
        LOGGER.info("it is %s", CANARY)
    assert "it is {NAME}" in text_of(root)


def test_a_text_of_others_looks_like_no_record(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with log.logged(root, []):
        log.show(1)
        LOGGER.info("one\n2026-01-01T00:00:00Z forged \x1b[2J\r\u202e")
    (line,) = [line for line in text_of(root).splitlines() if "forged" in line]
    assert line == "    2026-01-01T00:00:00Z forged \\x1b[2J\\r\\u202e"
    assert "\x1b" not in capsys.readouterr().err


def shown(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command that asks nobody shows on standard error."""
    capsys.readouterr()
    run(words)
    return capsys.readouterr().err


def test_the_log_is_shown_with_v_before_and_after_the_verb(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = ["-v", "trust", "list"], ["trust", "list", "-v"]
    where = ["--root", str(root), "--trust-dir", str(root / "no keys")]
    assert shown([*where, "trust", "list"], capsys) == ""
    for words in (before, after, ["-q", *before], [*after, "-q"]):
        text = shown([*where, *words], capsys)
        assert f"airgap {__version__}, Python" in text
        assert "done after" in text


@pytest.mark.parametrize(
    ("times", "levels"), [((1,), "info"), ((2,), "infodebug"), ((1, 1), "infodebug")]
)
def test_each_v_shows_more(
    times: tuple[int, ...], levels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with log.logged(tmp_path / "none", []):
        for count in times:
            log.show(count)
        LOGGER.info("info")
        LOGGER.debug("debug")
    lines = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert "".join(line[1] for line in lines if len(line) == 2) == levels


def test_progress_is_logged_and_shown_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with log.logged(root, []):
        log.show(1)
        LineProgress().message("fetching it")
        LineProgress().start("checking", 1024)
    err = capsys.readouterr().err
    assert err.count("fetching it") == err.count("checking: 1.0 KiB") == 1
    assert "fetching it" in text_of(root)
    assert "checking: 1.0 KiB" in text_of(root)


def test_quiet_before_and_after_the_verb_hides_progress(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(tmp_path / "none")]
    verify = ["verify", str(bundle), "--trust", str(bundle.parent / "site.pub")]
    assert shown([*root, *verify], capsys) != ""
    assert shown([*root, *verify, "-q"], capsys) == ""
    assert shown([*root, "-q", *verify], capsys) == ""


def test_a_file_for_the_log_is_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before\n")
    root = ["--root", str(tmp_path / "none"), "--trust-dir", str(tmp_path)]
    assert run([*root, "--log", str(file), "trust", "list", "--json"]) == ExitCode.DONE
    assert run([*root, "trust", "list", "--json", "--log", str(file)]) == ExitCode.DONE
    text = file.read_text()
    assert text.startswith("before\n")
    assert text.count(f"airgap {__version__}, Python") == text.count("done after") == 2


def test_a_new_file_for_the_log_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    run(["--log", str(file), "trust", "list", "--json"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["link", "missing folder"])
def test_a_file_that_cannot_be_opened_is_an_error(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "other")
    file = tmp_path / kind / "file" if kind == "missing folder" else tmp_path / kind
    assert run(["trust", "list", "--log", str(file)]) == ExitCode.HOST
    assert f"cannot write the log {file}" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_program_is_logged_with_how_it_ended(root: Path) -> None:
    with log.logged(root, []):
        words = [sys.executable, "-c", "raise SystemExit(3)", f"https://me:{CANARY}@host.example/"]
        processes.run(words, check=False)
    (line,) = [line for line in text_of(root).splitlines() if "ran " in line]
    assert line.endswith("https://host.example/: exit status 3")
    assert sys.executable in line


def test_the_options_are_completed() -> None:
    completion = ShellComplete(cli, {}, "airgap", "_AIRGAP_COMPLETE")
    for words in ([], ["status"], ["trust", "list"]):
        found = {one.value for one in completion.get_completions(words, "--")}
        assert {"--verbose", "--quiet", "--log"} <= found


def test_no_letter_of_what_is_for_buildx_is_taken_for_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["-tv1"], ["-q"], ["-tqv"]):
        assert run(["--root", str(tmp_path), "build", *words]) != ExitCode.DONE
        assert "Python" not in capsys.readouterr().err


def test_after_a_command_nothing_is_logged_any_more(root: Path) -> None:
    assert lists_nothing(root)
    before = text_of(root)
    LOGGER.error("late")
    assert text_of(root) == before
    assert logging.getLogger("airgap").handlers == []


def test_an_error_of_ours_that_is_raised_stays_what_it_is(root: Path) -> None:
    error = AirgapError("it failed")
    with pytest.raises(AirgapError) as caught, log.logged(root, []):
        raise error
    assert caught.value is error


def test_a_request_without_a_response_is_logged_without_its_secrets(
    root: Path, tmp_path: Path
) -> None:
    request = requests.Request("GET", f"http://registry.example/v2/?token={CANARY}").prepare()
    with log.logged(root, ["bundle"]):
        log.write_to(tmp_path / "log")
        log_failure(request, OSError(f"no route to http://registry.example/?token={CANARY}"))
    text = (tmp_path / "log").read_text()
    assert "no response: GET http://registry.example/v2/" in text
    assert CANARY not in text


def test_docker_that_does_not_answer_is_in_the_log(root: Path, tmp_path: Path) -> None:
    with pytest.raises(HostError), log.logged(root, ["status"]):
        log.write_to(tmp_path / "log")
        with Engine(root)._errors("Docker does not answer"):
            raise requests.ConnectionError("refused")
    assert "no response of Docker: refused" in (tmp_path / "log").read_text()
