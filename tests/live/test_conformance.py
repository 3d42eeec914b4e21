"""The conformance suite of the OCI distribution specification against the embedded registry: nothing fails."""

from __future__ import annotations

import os
import subprocess
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from archkit.testing import BasicAuth, EmbeddedRegistry

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live

STATUSES = ("failure", "error", "skipped")
LEAST = {"1.1": 800, "dev": 900}
"""Cases that a whole run has, so that one which stops early is seen."""


@pytest.mark.parametrize("signed_in", [False, True], ids=["anybody", "signed-in"])
@pytest.mark.parametrize("on_folder", [False, True], ids=["memory", "folder"])
@pytest.mark.parametrize("version", LEAST)
def test_the_embedded_registry_conforms(conformance: Path, tmp_path: Path, version: str, on_folder: bool, signed_in: bool) -> None:
    folder, results = tmp_path / "registry" if on_folder else None, tmp_path / "results"
    auth = BasicAuth("bob", "secret") if signed_in else None
    with EmbeddedRegistry(folder=folder, auth=auth) as registry:
        settings = {
            "OCI_REGISTRY": registry.host,
            "OCI_TLS": "disabled",
            "OCI_REPO1": "conformance/one",
            "OCI_REPO2": "conformance/two",
            "OCI_VERSION": version,
            "OCI_RESULTS_DIR": str(results),
            **({"OCI_USERNAME": "bob", "OCI_PASSWORD": "secret"} if signed_in else {}),
        }
        done = subprocess.run(
            [conformance], env={**os.environ, **settings}, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=300, check=False
        )
    root = ET.parse(results / "junit.xml").getroot()  # noqa: S314 - written a moment ago by a known program
    total, failures = (int(root.get(name, "0")) for name in ("tests", "failures"))
    by_status = {status: [case.get("name") for case in root.iter("testcase") if case.get("status") == status] for status in STATUSES}
    skipped = by_status["skipped"]
    print(f"conformance {version}: {total} cases, {failures} failures, {len(skipped)} skipped: {skipped}")
    assert (failures, by_status["failure"], by_status["error"]) == (0, [], [])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert total >= LEAST[version]
