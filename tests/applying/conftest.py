"""What tests of applying share: documents, an applier, and what the embedded cluster says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archkit import Applier, ClusterConnection, Event

if TYPE_CHECKING:
    from archkit.testing import EmbeddedCluster


@pytest.fixture
def events() -> list[Event]:
    """What the applier told."""
    return []


@pytest.fixture
def applier(archkit_cluster: EmbeddedCluster, events: list[Event]) -> Applier:
    """An applier for the embedded cluster."""
    return Applier(ClusterConnection.from_kubeconfig(archkit_cluster.kubeconfig), timeout=5, on_event=events.append)
