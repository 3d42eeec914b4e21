"""A BuildKit daemon of one's own: root is needed, an engine is not."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from toolbox import BIN

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from pathlib import Path


def registry_settings(plain: Iterable[str], trusted: Mapping[str, Path]) -> str:
    """What BuildKit's configuration says of registries."""
    secured = (f'[registry."{host}"]\nhttp = false\nca = ["{authority}"]\n' for host, authority in trusted.items())
    return "".join([*(f'[registry."{host}"]\nhttp = true\n' for host in plain), *secured])


@contextmanager
def running(
    buildkitd: Path, folder: Path, plain: Iterable[str] = (), trusted: Mapping[str, Path] | None = None
) -> Generator[str, None, None]:
    """The address of a daemon that keeps everything in this folder and is ended afterwards.

    Args:
        buildkitd: The program; `runc` must be in the tools' folder or on PATH.
        folder: A short path: that of a socket has at most 108 bytes.
        plain: Registries that speak plain HTTP.
        trusted: Registries that speak TLS, with the authority of each; on loopback BuildKit would not even try it.
    """
    address = f"unix://{folder}/buildkitd.sock"
    registries = registry_settings(plain, trusted or {})
    (folder / "buildkitd.toml").write_text(
        f'root = "{folder}/root"\n[grpc]\naddress = ["{address}"]\n[worker.oci]\nenabled = true\nnetworkMode = "host"\n'
        f"[worker.containerd]\nenabled = false\n{registries}"
    )
    log = folder / "buildkitd.log"
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "OTEL_TRACES_EXPORTER": "none"}
    with log.open("w") as file:
        process = subprocess.Popen([buildkitd, "--config", folder / "buildkitd.toml"], env=env, stdout=file, stderr=file)
    try:
        ending = time.monotonic() + 60
        while "running server on" not in log.read_text(errors="replace"):
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < ending, log.read_text(errors="replace")
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)
