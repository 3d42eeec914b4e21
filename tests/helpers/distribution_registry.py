"""The registry of the distribution project, as Debian has it, on a free port of loopback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_LISTENS = re.compile(r"listening on (127\.0\.0\.1:\d+)")


@contextmanager
def running(program: Path, folder: Path) -> Generator[str, None, None]:
    """Its host and port; it deletes by digest and never by tag, as version 2 does.

    Args:
        program: `docker-registry`.
        folder: Its configuration and content.
    """
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}}
    config = {"version": 0.1, "log": {"level": "info"}, "http": {"addr": "127.0.0.1:0"}, "storage": storage}
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "OTEL_TRACES_EXPORTER": "none"}
    command = [str(program), "serve", str(folder / "config.yml")]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
    lines: list[str] = []
    known = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if _LISTENS.search(line):
                known.set()
        known.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        known.wait(60)
        found = _LISTENS.search("".join(lines))
        assert found, "".join(lines)
        yield found.group(1)
    finally:
        process.terminate()
        process.wait(30)
        reader.join(30)
        if process.stdout is not None:
            process.stdout.close()
