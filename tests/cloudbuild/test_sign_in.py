"""Signing in to Google Cloud: what google-auth is asked, what goes over the wire, and what to do where nobody is signed in."""

from __future__ import annotations

import json
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from cloudbuild_double import PROJECT, TOKEN, CloudDouble, google_error
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from archkit import BuildResult, BuildToolError, CloudBuildBuilder, GoogleAccessToken, GoogleEndpoints
from archkit.adapters.google.signin import ApplicationDefault
from archkit.testing import Request, Response
from archkit.testing.server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archkit import Event

Run = Callable[..., BuildResult]


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine where nobody is signed in, and which is none of Google's."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


class TokenServer:
    """Google's token server; a token that it gives is the only good one then."""

    def __init__(self, google: CloudDouble) -> None:
        self.google = google
        self.given: list[str] = []
        self.broken = False
        self.server = LoopbackServer(self.handle)

    def handle(self, request: Request, _: int) -> Response:
        kind = {"Content-Type": "application/json"}
        if self.broken or request.headers["content-type"] != "application/x-www-form-urlencoded":
            return Response(400, kind, b'{"error": "invalid_grant", "error_description": "secret-in-it"}')
        token = f"ya29.{len(self.given)}"
        self.given.append(token)
        self.google.tokens = {token}
        return Response(200, kind, json.dumps({"access_token": token, "expires_in": 3600, "token_type": "Bearer"}).encode())


@pytest.fixture
def tokens(google: CloudDouble) -> Iterator[TokenServer]:
    found = TokenServer(google)
    found.server.start()
    yield found
    found.server.stop()


@pytest.fixture
def key_file(tokens: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service account's key file, which the environment names."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "key.json"
    fields = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "me@team-prod.iam.gserviceaccount.com",
        "token_uri": f"http://{tokens.server.host}/token",
    }
    path.write_text(json.dumps(fields))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    return path


def test_application_default_credentials_sign_in(google: CloudDouble, tokens: TokenServer, key_file: Path, run: Run) -> None:
    assert run(credentials=ApplicationDefault()).images
    assert tokens.given == ["ya29.0"]
    assert {request.headers["authorization"] for request in google.requests} == {"Bearer ya29.0"}


def test_a_token_that_has_expired_is_renewed(google: CloudDouble, tokens: TokenServer, key_file: Path, run: Run) -> None:
    credentials = ApplicationDefault()
    run(credentials=credentials)
    google.tokens = set()  # as after an hour
    assert run(credentials=credentials).images
    assert tokens.given == ["ya29.0", "ya29.1"]


def test_credentials_that_are_not_good_any_more_are_told_without_what_is_in_them(tokens: TokenServer, key_file: Path, run: Run) -> None:
    tokens.broken = True
    with pytest.raises(BuildToolError) as caught:
        run(credentials=ApplicationDefault())
    assert caught.value.kind == "sign-in-refused"
    text = "".join(traceback.format_exception(caught.value))
    assert "give no access (RefreshError)" in text
    assert "gcloud auth application-default login" in text
    assert "secret-in-it" not in text
    assert "PRIVATE KEY" not in text


def test_nobody_signed_in_is_told_how(google: CloudDouble, run: Run) -> None:
    with pytest.raises(BuildToolError, match="gcloud auth application-default login") as caught:
        run(credentials=ApplicationDefault())
    assert caught.value.kind == "sign-in-refused"
    assert "no Application Default Credentials" in str(caught.value)
    assert google.requests == []


def test_without_google_auth_the_extra_is_named(google: CloudDouble, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "google.auth" or name.startswith("google.auth.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(BuildToolError, match=r"pip install 'archkit\[cloudbuild\]'") as caught:
        run(credentials=ApplicationDefault())
    assert caught.value.kind == "tool-missing"
    assert google.requests == []


def test_a_token_at_hand_that_is_refused_is_told(google: CloudDouble, run: Run) -> None:
    with pytest.raises(BuildToolError, match="may have expired") as caught:
        run(credentials=GoogleAccessToken("ya29.old"))
    assert caught.value.kind == "sign-in-refused"


def test_the_token_is_shown_nowhere(google: CloudDouble, run: Run, builder: Callable[..., CloudBuildBuilder], events: list[Event]) -> None:
    google.refuse("POST", "/builds", google_error(403, "no", "PERMISSION_DENIED"))
    with pytest.raises(BuildToolError) as caught:
        run()
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert TOKEN not in shown + repr(builder()) + repr(GoogleAccessToken(TOKEN)) + repr(events)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_no_token_goes_out_without_tls(google: CloudDouble, run: Run) -> None:
    endpoints = GoogleEndpoints(builds=google.endpoint, storage="http://storage.example", logging=google.endpoint)
    with pytest.raises(BuildToolError, match=r"storage\.example is asked without TLS"):
        run(endpoints=endpoints)


def test_no_token_goes_to_another_host_that_an_upload_names(google: CloudDouble, run: Run) -> None:
    google.refuse("POST", "/upload/", Response(200, {"Location": "http://127.0.0.1:1/session/1"}))
    with pytest.raises(BuildToolError, match="is another host than"):
        run()


def test_a_proxy_or_network_that_is_down_is_told(google: CloudDouble, run: Run) -> None:
    google.refuse("GET", "/storage/v1/b", Response(200, {}, b"<html>"))
    with pytest.raises(BuildToolError, match="Google Cloud cannot be asked: the answer is no JSON"):
        run()
