"""An engine of our own: dockerd with its own data, socket and containerd, no network set up, gone afterwards.

It needs root. Containers run without a network of their own (`--network none` or `host`), so nothing of the machine's
network is changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

BINFMT = Path("/proc/sys/fs/binfmt_misc")
_LOCK = Path(tempfile.gettempdir()) / "archkit-test-binfmt"
_ARM64 = (
    rb":archkit-arm64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    rb":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:"
)
"""An arm64 program, by its ELF header (qemu's own binfmt.d file)."""


@dataclass
class Engine:
    """A dockerd that runs."""

    client: Path
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """Its address."""
        return f"unix://{self.folder}/docker.sock"

    def docker(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the client."""
        command = [str(self.client), "--host", self.host, *words]
        return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=check, env={**os.environ, **self.environ})

    def run(self, reference: str, platform: str) -> str:
        """What the image prints when it runs for this platform; its registry is asked for it first.

        The engine keeps one platform under a digest, but lets a tag change: a digest behind a tag is left out.
        """
        name, _, digest = reference.partition("@")
        tagged = ":" in name.rpartition("/")[2]
        image = name if tagged or not digest else reference
        words = ["run", "--rm", "--network", "none", "--pull", "always", "--platform", platform, image]
        done = self.docker(*words, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def running(programs: dict[str, Path], client: Path, *, store: bool = False) -> Generator[Engine, None, None]:
    """A dockerd.

    Args:
        programs: `dockerd`, and the programs that it starts.
        client: `docker`.
        store: Whether it uses containerd's image store, which keeps images of several platforms (24 and later).
    """
    folder = Path(tempfile.mkdtemp(prefix="archkit-"))  # short: the path of a socket has at most 107 bytes
    (folder / "config.json").write_text("{}")
    settings = {"features": {"containerd-snapshotter": True}, "userland-proxy": False}
    (folder / "daemon.json").write_text(json.dumps(settings) if store else "{}")
    command = [str(programs["dockerd"]), "--config-file", str(folder / "daemon.json"), "--host", f"unix://{folder}/docker.sock"]
    command += ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")]
    command += ["--bridge", "none", "--iptables=false", "--ip6tables=false"]
    path = os.pathsep.join([*dict.fromkeys(str(program.parent) for program in programs.values()), os.environ["PATH"]])
    engine = Engine(client, folder, {"DOCKER_CONFIG": str(folder)})
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PATH": path}, start_new_session=True)
        try:
            until = time.monotonic() + 90
            while engine.docker("version", check=False).returncode:
                going = process.poll() is None and time.monotonic() < until
                assert going, (folder / "log").read_text(errors="replace")[-3000:]
                time.sleep(0.1)
            yield engine
            _remove_containers(engine)
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()
            shutil.rmtree(folder, ignore_errors=True)


def _remove_containers(engine: Engine) -> None:
    left = engine.docker("ps", "--all", "--quiet").stdout.split()
    if left:
        engine.docker("rm", "--force", *left)


@contextmanager
def arm64_emulated(qemu: Path) -> Generator[None, None, None]:
    """This machine runs arm64 programs, in containers too; what was registered for it goes with the last that needs it."""
    with _LOCK.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # shared from the start: others may hold it for minutes
        if not (BINFMT / "register").exists():
            subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)], check=True, timeout=30)
        if not any("aarch64" in path.name or "arm64" in path.name for path in BINFMT.iterdir()):
            with contextlib.suppress(FileExistsError):  # somebody else was faster
                (BINFMT / "register").write_bytes(_ARM64 + str(qemu.resolve()).encode() + b":PF")  # P: busybox looks at its name
        try:
            yield
        finally:
            own = BINFMT / "archkit-arm64"
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if own.exists():
                    own.write_text("-1")
            except BlockingIOError:
                pass  # somebody else needs it
