"""The programs of a control plane: how each is started, on which port, and that it ends."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

PROGRAMS = ("etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager", "kwok")
PORTS = ("kube-apiserver", "etcd", "peer", "kwok")
_GATES = "ListFromCacheSnapshot=false,WatchList=false"
"""Without snapshots `compact` acts at once instead of within 15 s. Lists that are watches need etcd 3.4.25, which Debian
12 does not have; where they are refused instead of absent, kwok's watches break off and pause longer each time."""
_CLIENTS = {"KUBE_FEATURE_WatchListClient": "false"}


def wait_until(true: Callable[[], object], what: str, *, within: float = 60.0, pause: float = 0.05) -> None:
    """Wait for something to become true; an AssertionError says what did not."""
    until = time.monotonic() + within
    while not true():
        if time.monotonic() > until:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(pause)


def free_port() -> int:
    """A free port that the kernel gives to no connection of its own accord, so that it is still free after a restart."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def free_ports() -> dict[str, int]:
    """A free port for each of PORTS."""
    found: dict[str, int] = {}
    while len({*found.values()}) < len(PORTS):
        found = {name: free_port() for name in PORTS}
    return found


@dataclass
class KubePrograms:
    """The programs of one control plane, by name; each can be stopped and started again."""

    programs: Mapping[str, Path]
    folder: Path
    """What they read and write: certificates, configuration, data, logs, and a file NAME.pid for each that runs."""
    ports: Mapping[str, int]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)

    @property
    def ca_file(self) -> Path:
        """The certificate by which clients know the server."""
        return self.folder / "ca.crt"

    def start(self, name: str) -> None:
        """Start one of PROGRAMS."""
        command = [str(self.programs[name]), *self._arguments(name)]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"HOME": str(self.folder), **_CLIENTS},
                start_new_session=True,
            )
        self.running[name] = process
        (self.folder / f"{name}.pid").write_text(str(process.pid))

    def stop(self, name: str, *, kill: bool = False) -> None:
        """End one of PROGRAMS; with ``kill`` it has no say in it."""
        process = self.running.pop(name, None)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        (self.folder / f"{name}.pid").unlink(missing_ok=True)

    def restart(self, name: str, *, kill: bool = True) -> None:
        """Stop and start one of PROGRAMS; what it keeps stays."""
        self.stop(name, kill=kill)
        self.start(name)

    @contextmanager
    def frozen(self, name: str = "kube-apiserver") -> Generator[None, None, None]:
        """One of PROGRAMS holds still for this block: connections stand, answers do not come."""
        process = self.running[name]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def log(self, name: str) -> str:
        """What one of PROGRAMS said so far."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def up(self) -> None:
        """Start whatever does not run."""
        for name in PROGRAMS:
            process = self.running.get(name)
            if process is None or process.poll() is not None:
                self.start(name)

    def close(self) -> None:
        """Stop everything."""
        for name in reversed(PROGRAMS):
            self.stop(name, kill=name in {"etcd", "kwok"})  # nothing of what they hold is wanted any more

    def _arguments(self, name: str) -> list[str]:
        client = f"http://127.0.0.1:{self.ports['etcd']}"
        peer = f"http://127.0.0.1:{self.ports['peer']}"
        own = f"--kubeconfig={self.folder / 'admin.kubeconfig'}"
        rates = ["--kube-api-qps=1000", "--kube-api-burst=1000"]
        return {
            "etcd": [
                f"--data-dir={self.folder / 'etcd'}",
                "--unsafe-no-fsync",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
            ],
            "kube-apiserver": [
                f"--etcd-servers={client}",
                f"--secure-port={self.ports['kube-apiserver']}",
                "--bind-address=127.0.0.1",
                f"--cert-dir={self.folder / 'certs'}",
                f"--tls-cert-file={self.folder / 'server.crt'}",
                f"--tls-private-key-file={self.folder / 'server.key'}",
                f"--client-ca-file={self.ca_file}",
                f"--token-auth-file={self.folder / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://archkit.test",
                f"--service-account-key-file={self.folder / 'server.key'}",
                f"--service-account-signing-key-file={self.folder / 'server.key'}",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--disable-admission-plugins=ServiceAccount",  # a pod need not wait for its namespace's account
                "--shutdown-delay-duration=0s",
                f"--feature-gates={_GATES}",
            ],
            "kube-scheduler": [f"--config={self.folder / 'scheduler.json'}", "--secure-port=0"],
            "kube-controller-manager": [own, "--leader-elect=false", "--secure-port=0", "--node-monitor-period=1s", *rates],
            "kwok": [
                own,
                f"--config={self.folder / 'stages.yaml'}",
                "--manage-all-nodes=true",
                "--node-lease-duration-seconds=40",
                f"--server-address=127.0.0.1:{self.ports['kwok']}",
                f"--tls-cert-file={self.folder / 'server.crt'}",
                f"--tls-private-key-file={self.folder / 'server.key'}",
            ],
        }[name]
