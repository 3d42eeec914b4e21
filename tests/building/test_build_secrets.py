"""No password or token that a build was given stands in an event, an error, a log, or the arguments of a process."""

from __future__ import annotations

import logging
import os
import pickle
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from process_watch import needs_proc

from archkit import (
    ArchkitError,
    Artifact,
    CustomBuilder,
    Event,
    FilesBuilder,
    Login,
    RegistryClient,
    RegistrySink,
    Secret,
    StaticCredentials,
    build,
)
from archkit.testing import BasicAuth, BearerAuth, EmbeddedRegistry, ImageFactory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD, TOKEN, KEY = "reg pass/wörd%", "ghp_t0ken+/=", "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n-----END KEY-----\n"
BARE = (PASSWORD, TOKEN, "MIIEvQIBADANBgkq")
BOTH = "linux/amd64,linux/arm64"

TALKATIVE = """
import base64, json, os, sys, time, urllib.parse
for name in ("TOKEN", "KEY"):
    value = os.environ[name]
    for text in (value, json.dumps(value), urllib.parse.quote(value, safe=""), base64.b64encode(value.encode()).decode()):
        print(name, text)
        print(name, text, file=sys.stderr)
sys.stdout.write("x" * 16380 + os.environ["TOKEN"] * 3)
sys.stdout.flush()
open("arguments", "wb").write(open("/proc/self/cmdline", "rb").read() + open(f"/proc/{os.getppid()}/cmdline", "rb").read())
sys.exit(os.environ["TOKEN"])
"""


def shown(error: BaseException) -> str:
    """Everything of an error that anybody would print or store, its causes included."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    chain: list[str] = []
    now: BaseException | None = error
    while now is not None:
        chain += [repr(now), str(now), repr(now.args)]
        if isinstance(now, ArchkitError):
            chain.append(repr(pickle.dumps(now)))
        now = now.__cause__ or now.__context__
    return "\n".join([text, *chain])


def assert_hidden(*texts: object) -> None:
    for text in map(str, texts):
        for secret in BARE:
            assert secret not in text


@pytest.fixture
def _debug(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield


@needs_proc
@pytest.mark.usefixtures("_debug")
def test_a_command_that_prints_its_secrets(tmp_path: Path, archkit_registry: EmbeddedRegistry, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "talk.py").write_text(TALKATIVE)
    builder = CustomBuilder([sys.executable, "talk.py"], env={"TOKEN": Secret(TOKEN), "KEY": Secret(KEY)})
    artifact = Artifact("web", tmp_path, builder=builder)
    events: list[Event] = []

    with pytest.raises(ArchkitError) as caught:
        build(artifact, targets=BOTH, sink=RegistrySink(archkit_registry.host), tag="1", on_event=events.append)

    assert len(events) > 16
    assert_hidden(events, builder, artifact, shown(caught.value), caplog.text, (tmp_path / "arguments").read_bytes())


@pytest.mark.usefixtures("_debug")
@pytest.mark.parametrize("auth", [BasicAuth, BearerAuth], ids=["basic", "bearer"])
@pytest.mark.parametrize("wrong", [False, True], ids=["right", "wrong"])
def test_passwords_of_the_registry(auth: Any, wrong: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "x").write_text("x")
    with EmbeddedRegistry(auth=auth("bob", "another" if wrong else PASSWORD)) as registry:
        credentials = StaticCredentials({registry.host: Login("bob", PASSWORD)})
        events: list[Event] = []
        with RegistryClient(credentials=credentials) as client:
            artifact = Artifact("web", tmp_path, builder=FilesBuilder(entrypoint=["/x"]))
            error: ArchkitError | None = None
            result: object = None
            try:
                result = build(artifact, targets=BOTH, sink=RegistrySink(registry.host), tag="1", registry=client, on_event=events.append)
            except ArchkitError as caught:
                error = caught
    assert (error is not None) is wrong
    assert_hidden(events, result, credentials, client, shown(error) if error else "", caplog.text)


@needs_proc
def test_a_secret_does_not_reach_the_arguments_of_a_process_by_way_of_a_text(tmp_path: Path, archkit_registry: EmbeddedRegistry) -> None:
    """Put into a text, a Secret is `***`; put among the arguments as it is, it is refused."""
    sink = RegistrySink(archkit_registry.host)
    for command in (["echo", f"--token={Secret(TOKEN)}"], ["echo", Secret(TOKEN)]):
        events: list[Event] = []
        with pytest.raises(ArchkitError) as caught:
            build(Artifact("web", tmp_path, builder=CustomBuilder(command)), targets=BOTH, sink=sink, tag="1", on_event=events.append)
        assert_hidden(events, shown(caught.value))


def test_what_is_searched_for_would_be_found(tmp_path: Path, archkit_images: ImageFactory) -> None:
    """The search itself: a plain text instead of a Secret is seen."""
    with pytest.raises(AssertionError):
        assert_hidden(CustomBuilder(["x"], env={"TOKEN": TOKEN}))
    assert os.environ.get("TOKEN") is None
