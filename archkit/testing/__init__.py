"""Kits for tests of code that uses archkit, or of any code that talks to a registry or to a cluster.

``EmbeddedRegistry`` is a real OCI registry in this process, on 127.0.0.1, ``EmbeddedCluster`` a Kubernetes API;
``ImageFactory`` makes images of any platform in about a millisecond; ``FakeRunner`` stands for the tools that builders drive. All are plain objects: they need no
pytest. ``archkit.pytest_plugin`` offers them as fixtures.
"""

from archkit.testing.assertions import assert_index as assert_index
from archkit.testing.assertions import assert_runs_on as assert_runs_on
from archkit.testing.auth import Auth as Auth
from archkit.testing.auth import BasicAuth as BasicAuth
from archkit.testing.auth import BearerAuth as BearerAuth
from archkit.testing.auth import Grant as Grant
from archkit.testing.budget import Budget as Budget
from archkit.testing.cluster import EmbeddedCluster as EmbeddedCluster
from archkit.testing.embedded_registry import EmbeddedRegistry as EmbeddedRegistry
from archkit.testing.exchanges import Exchange as Exchange
from archkit.testing.exchanges import ExchangeLog as ExchangeLog
from archkit.testing.faults import Fault as Fault
from archkit.testing.faults import FaultRule as FaultRule
from archkit.testing.images import ImageContent as ImageContent
from archkit.testing.images import ImageFactory as ImageFactory
from archkit.testing.messages import Request as Request
from archkit.testing.messages import Response as Response
from archkit.testing.placed import assert_placed as assert_placed
from archkit.testing.processes import Answer as Answer
from archkit.testing.processes import Call as Call
from archkit.testing.processes import CommandRule as CommandRule
from archkit.testing.processes import FakeRunner as FakeRunner
from archkit.testing.processes import UnexpectedCommand as UnexpectedCommand
from archkit.testing.rules import RepositoryRules as RepositoryRules
from archkit.testing.tls import EmbeddedTls as EmbeddedTls

__all__ = [
    "Answer",
    "Auth",
    "BasicAuth",
    "BearerAuth",
    "Budget",
    "Call",
    "CommandRule",
    "EmbeddedCluster",
    "EmbeddedRegistry",
    "EmbeddedTls",
    "Exchange",
    "ExchangeLog",
    "FakeRunner",
    "Fault",
    "FaultRule",
    "Grant",
    "ImageContent",
    "ImageFactory",
    "RepositoryRules",
    "Request",
    "Response",
    "UnexpectedCommand",
    "assert_index",
    "assert_placed",
    "assert_runs_on",
]
