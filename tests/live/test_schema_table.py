"""The table of Kubernetes' fields is what the pinned version's own description says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import kubernetes_schemas
import pytest
import realtools

pytestmark = pytest.mark.live


def test_the_table_is_that_of_the_pinned_kubernetes() -> None:
    if not shutil.which("go"):
        pytest.fail("the description comes as a Go module; install Go and put it on PATH")
    command = ["go", "mod", "download", "-json", f"k8s.io/kubernetes@{realtools.KUBERNETES}"]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=300, check=True, env={**os.environ, "GOFLAGS": "-mod=mod"}
    )
    made = kubernetes_schemas.text(Path(json.loads(done.stdout)["Dir"]))
    assert kubernetes_schemas.TABLE.read_text(encoding="utf-8") == made, "run python3 tests/helpers/kubernetes_schemas.py FOLDER"
