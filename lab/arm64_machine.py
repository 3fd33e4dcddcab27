"""A machine that runs a real arm64 Linux kernel, in qemu."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from airgap.errors import HostError
from lab import arm64
from lab.cache import cache_root
from lab.cleanup import process_id, removed_at_end
from lab.host import IsolatedHost
from lab.machine import MOUNT_POINT, Machine
from lab.medium import Medium
from lab.resource import Resource

_HARDWARE = [
    *["-machine", "virt", "-cpu", "neoverse-n1", "-accel", "tcg,thread=multi"],
    *["-smp", "2", "-m", "3072", "-nodefaults", "-display", "none", "-no-reboot"],
    *["-device", "pcie-root-port,id=bay,chassis=1"],
]
_PATIENCE = 180.0
"""Seconds that the machine has for its start: some twenty where nothing else runs."""

DRIVE = "/dev/vdb"
"""What a drive that is put in is called in the machine."""

WAIT_FOR_DRIVE = ["sh", "-c", f"until test -b {DRIVE}; do sleep 0.1; done"]
"""A command of the machine that ends when the drive is there."""

_numbers = itertools.count(1)


class Arm64Machine(Machine, Resource):
    """An arm64 Linux with its own kernel, Debian 13 and Docker Engine, and no network.

    Its disk is new every time. Commands reach it over a serial line, so that it needs no network
    for that; by default it has none but loopback. A neighbour is an isolated host with which it
    shares a network of two: each reaches the other and nothing else.

    Attributes:
        address: Its address on the network that it shares with its neighbour.
        neighbour_address: The neighbour's.
    """

    patience = _PATIENCE

    def __init__(self, neighbour: IsolatedHost | None = None, *, name: str = "") -> None:
        """Describes a machine; entering the context boots it.

        Args:
            neighbour: A host that runs, and ends after the machine.
            name: Its hostname.
        """
        super().__init__()
        number = next(_numbers)
        self.name = name or f"arm64-{number}"
        self.address = f"10.77.{number}.2"
        self.neighbour_address = f"10.77.{number}.1"
        self._card = f"lan{number}"
        self._neighbour = neighbour
        self._folder = cache_root() / "machines" / f"{os.getpid()}-{number}"

    def _begin(self) -> None:
        """Boots it, without Docker."""
        arm64.disk()  # made before the clock runs
        self._resources.callback(self._wait_for_docker_end)
        self._resources.enter_context(removed_at_end("folder", str(self._folder)))
        self._folder.mkdir(parents=True)
        qemu = self._start(self._qemu())
        self._wait(qemu, (self._folder / "wire").exists)
        ssh = self._start(self._ssh())
        self._wait(ssh, self._answers)
        self._configure()

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**os.environ, "TMPDIR": str(self._folder)},  # what is written to the disk
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._resources.enter_context(process)
        self._resources.enter_context(removed_at_end("process", process_id(process.pid)))
        return process

    def _wait(self, process: subprocess.Popen[bytes], done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not done():
            if process.poll() is not None or time.monotonic() > deadline:
                message = f"the arm64 machine {self.name} did not start"
                raise HostError(message, meaning=self.log()[-2000:])
            time.sleep(0.1)

    def _qemu(self) -> list[str]:
        disk = f"file={arm64.disk()},format=raw,if=none,id=disk,snapshot=on,cache=unsafe"
        started_there = self._neighbour.network_namespace if self._neighbour else []
        return [
            *started_there,
            "qemu-system-aarch64",
            *_HARDWARE,
            *["-kernel", str(arm64.kernel()), "-initrd", str(arm64.initramfs())],
            *["-append", "console=ttyAMA0 quiet panic=-1"],
            *["-serial", f"file:{self._folder / 'console'}"],
            *["-qmp", f"unix:{self.monitor},server=on,wait=off"],
            *["-drive", disk, "-device", "virtio-blk-pci,drive=disk"],
            *["-chardev", f"socket,id=wire,path={self._folder / 'wire'},server=on,wait=on"],
            *["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=wire"],
            *self._network_card(),
        ]

    def _network_card(self) -> list[str]:
        if self._neighbour is None:
            return ["-nic", "none"]
        tap = f"tap,id=lan,ifname={self._card},script=no,downscript=no"
        return ["-netdev", tap, "-device", "virtio-net-pci,netdev=lan,romfile="]

    def _ssh(self) -> list[str]:
        """What keeps a connection through the wire, which commands share."""
        options = {
            "ControlPath": self._folder / "ssh",
            "IdentityFile": arm64.disk().with_name("wire_key"),
            "LogLevel": "ERROR",
            "ProxyCommand": f"nc -U {self._folder / 'wire'}",
            # Now and then the machine is not woken by what came in on the line: the next byte
            # includes it all.
            "ServerAliveInterval": 1,
            "ServerAliveCountMax": 600,
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
        }
        given = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        return ["ssh", "-F", "none", "-M", "-N", *given, "root@machine"]

    def _answers(self) -> bool:
        command = ["ssh", "-F", "none", "-S", str(self._folder / "ssh"), "-O", "check", "machine"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _configure(self) -> None:
        names = f"127.0.0.1\tlocalhost {self.name}\n::1\tlocalhost\n"
        self.run(["hostname", self.name])
        self.write("/etc/hostname", f"{self.name}\n".encode())
        self.write("/etc/hosts", names.encode())
        self.write("/etc/resolv.conf", b"")
        if self._neighbour is not None:
            _configure_card(self, "eth0", self.address)
            _configure_card(self._neighbour, self._card, self.neighbour_address)

    def command(
        self, argv: Sequence[str], *, user: str = "root", env: Mapping[str, str] | None = None
    ) -> list[str]:
        """What runs `argv` in the machine when the building machine runs it."""
        enter = Path(__file__).with_name("arm64-enter.sh")
        return ["bash", str(enter), str(self._folder / "ssh"), *self._login(argv, user, env)]

    def log(self) -> str:
        """What qemu, ssh and the kernel have said."""
        files = (self._folder / "log", self._folder / "console")
        return "".join(path.read_text(errors="replace") for path in files if path.exists())

    @property
    def monitor(self) -> Path:
        """The socket at which qemu takes drives in and out."""
        return self._folder / "qmp"

    def _plug_in(self, medium: Medium) -> str:
        put_in(self.monitor, medium.device)
        self.run(WAIT_FOR_DRIVE, timeout=60)
        return DRIVE

    def detach(self, mount_point: str = MOUNT_POINT) -> None:
        """Pulls a medium out."""
        super().detach(mount_point)
        pull_out(self.monitor)


def put_in(monitor: Path, device: str) -> None:
    """Puts a drive into a machine that runs, where it is `DRIVE` after a moment.

    Args:
        monitor: The machine's.
        device: A block device of the building machine.

    Raises:
        HostError: qemu refuses.
    """
    file = {"driver": "host_device", "filename": device, "read-only": True}
    drive = {"driver": "raw", "node-name": "medium", "read-only": True, "file": file}
    card = {"driver": "virtio-blk-pci", "id": "medium", "bus": "bay", "drive": "medium"}
    with _Monitor(monitor) as qemu:
        qemu.ask("blockdev-add", drive)
        qemu.ask("device_add", card)


def pull_out(monitor: Path) -> None:
    """Pulls the drive out that `put_in` put in, once the machine has let it go.

    Raises:
        HostError: qemu refuses.
    """
    with _Monitor(monitor) as qemu:
        qemu.ask("device_del", {"id": "medium"})
        qemu.wait_for("DEVICE_DELETED")
        qemu.ask("blockdev-del", {"node-name": "medium"})


class _Monitor:
    """Asks qemu to change a machine that runs; the protocol is in qemu's qmp-spec."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_PATIENCE)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("r")

    def __enter__(self) -> Self:
        self._lines.readline()  # its greeting
        self.ask("qmp_capabilities", {})
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def ask(self, command: str, arguments: Mapping[str, object]) -> None:
        """Has a command done.

        Raises:
            HostError: qemu refuses.
        """
        message = json.dumps({"execute": command, "arguments": arguments})
        self._socket.sendall(message.encode())
        answer = self._next({"return", "error"})
        if "error" in answer:
            raise HostError(f"qemu refuses {command}", meaning=answer["error"]["desc"])

    def wait_for(self, event: str) -> None:
        """Waits until something has happened."""
        while self._next({"event"})["event"] != event:
            pass

    def _next(self, kinds: set[str]) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(self._lines.readline())
            if kinds & message.keys():
                return message


def _configure_card(machine: Machine, card: str, address: str) -> None:
    machine.run(["ip", "address", "add", f"{address}/24", "dev", card])
    machine.run(["ip", "link", "set", card, "up"])
