"""DockerCredentials: files, environment variables and credential helpers, as Docker and podman read them."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit import CommandError, CommandTimeoutError, DockerCredentials, Login, RegistryError, ToolNotFoundError
from archkit.adapters.registry.auth_files import AuthFile, parse_auth_file, parse_helper_answer, registry_key
from archkit.ports.runner import Completed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def pair(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@attrs.define
class Helpers:
    """Stands in for the runner: answers as the programs would, and fails on any other."""

    answers: Mapping[str, Completed | Exception]
    asked: list[tuple[str, str]] = attrs.field(factory=list)

    def run(self, command: Sequence[str], *, env: Mapping[str, str], stdin: bytes = b"", **_: Any) -> Completed:
        assert command[1:] == ["get"]
        self.asked.append((command[0], stdin.decode()))
        answer = self.answers[command[0]]
        if isinstance(answer, Exception):
            raise answer
        return answer


def knows(username: str, secret: str) -> Completed:
    return Completed((), 0, json.dumps({"ServerURL": "x", "Username": username, "Secret": secret}).encode())


UNKNOWN = Completed((), 1, b"credentials not found in native keychain\n")


def found(credentials: DockerCredentials, registry: str = "ghcr.io", repository: str = "team/app") -> str | None:
    login = credentials.find(registry, repository)
    return None if login is None else f"{login.username}:{login.password.reveal()}"


# ---- one file ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("ghcr.io/v1/", "ghcr.io"),
        ("http://registry.test:5000/", "registry.test:5000"),
        ("registry.test:5000", "registry.test:5000"),
        ("ghcr.io/team", "ghcr.io/team"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("docker.io", "docker.io"),
        ("docker.io/team", "docker.io/team"),
    ],
)
def test_keys_name_registries_in_every_spelling(key: str, registry: str) -> None:
    assert registry_key(key) == registry


@pytest.mark.parametrize(
    ("entry", "login"),
    [
        pytest.param(pair("bob", "a:b:c"), Login("bob", "a:b:c"), id="colons"),
        pytest.param(pair("bob", "x\0\0"), Login("bob", "x"), id="trailing-nul"),
        pytest.param(pair("bob", "pässword"), Login("bob", "pässword"), id="utf-8"),
        pytest.param(pair("", "token"), Login("", "token"), id="no-name"),
        pytest.param({"auth": pair("a", "b")["auth"] + "\n"}, Login("a", "b"), id="line-end"),
        pytest.param({"username": "bob", "password": "x"}, Login("bob", "x"), id="plain-fields"),
        pytest.param({**pair("bob", "x"), "username": "other"}, Login("bob", "x"), id="auth-counts"),
        pytest.param({"identitytoken": "t"}, Login(identity_token="t"), id="identity"),
        pytest.param(
            {**pair("00000000-0000", ""), "identitytoken": "t"}, Login("00000000-0000", identity_token="t"), id="identity-and-name"
        ),
        pytest.param({"registrytoken": "t"}, Login(registry_token="t"), id="registry-token"),
        pytest.param({}, None, id="empty"),
        pytest.param({"email": "bob@test"}, None, id="email-only"),
    ],
)
def test_an_entry_is_a_login(entry: dict[str, str], login: Login | None) -> None:
    parsed = parse_auth_file(json.dumps({"auths": {"ghcr.io": entry}}), "file")
    assert isinstance(parsed, AuthFile)
    assert parsed.login("ghcr.io", "team/app") == login
    assert parsed.lists("ghcr.io", "team/app")


@given(st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_every_name_and_password_comes_back(username: str, password: str) -> None:
    parsed = parse_auth_file(json.dumps({"auths": {"ghcr.io": pair(username, password)}}), "file")
    assert isinstance(parsed, AuthFile)
    login = parsed.login("ghcr.io", "app")
    password = password.rstrip("\0")
    assert login == (Login(username, password) if username or password else None)


def test_the_longest_path_counts_and_a_plain_key_before_another_spelling(tmp_path: Path) -> None:
    auths = {
        "https://ghcr.io/v2/": pair("spelling", "1"),
        "ghcr.io": pair("plain", "2"),
        "ghcr.io/team": pair("team", "3"),
        "ghcr.io/team/app": pair("app", "4"),
        "https://index.docker.io/v1/": pair("hub", "5"),
    }
    credentials = DockerCredentials(write(tmp_path / "auth.json", {"auths": auths}))
    asked = [
        ("ghcr.io", "team/app"),
        ("ghcr.io", "team/app/x"),
        ("ghcr.io", "team/apps"),
        ("ghcr.io", "te"),
        ("docker.io", "library/nginx"),
    ]
    assert [found(credentials, *each) for each in asked] == ["app:4", "app:4", "team:3", "plain:2", "hub:5"]
    assert found(credentials, "quay.io", "team/app") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", r"not JSON \(line 1, column 2\)"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object"),
        ('{"auths": []  , "x": 1}', None),
        ('{"auths": [1]}', "auths and credHelpers must be objects"),
        ('{"credsStore": 1}', "credsStore a text"),
        ('{"credHelpers": {"a": 1}}', "credHelpers must name a program"),
        ('{"auths": {"ghcr.io": "hunter2"}}', "auths, ghcr.io: not an object"),
        ('{"auths": {"ghcr.io": {"auth": "hunter2!"}}}', "auths, ghcr.io: auth is not the base64 form"),
        ('{"auths": {"ghcr.io": {"auth": "aHVudGVyMg=="}}}', "auths, ghcr.io: auth is not the base64 form of NAME:PASSWORD"),
        ('{"auths": {"ghcr.io": {"auth": ["hunter2"]}}}', "must be texts"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_without_its_content(tmp_path: Path, content: str, reason: str | None) -> None:
    file = write(tmp_path / "config.json", content)
    credentials = DockerCredentials(file)
    if reason is None:
        assert credentials.find("ghcr.io", "app") is None
        return
    with pytest.raises(RegistryError, match=rf"ghcr\.io/app: the credentials in {file} cannot be read: .*{reason}") as caught:
        credentials.find("ghcr.io", "app")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert credentials.knows("ghcr.io", "app"), "the error comes when the registry asks for sign-in"


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=rf"the credentials in {tmp_path} cannot be read: Is a directory"):
        DockerCredentials(tmp_path).find("ghcr.io", "app")


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"nothing\.json is not there"):
        DockerCredentials(tmp_path / "nothing.json").find("ghcr.io", "app")


def test_an_endless_file_is_not_read() -> None:
    with pytest.raises(RegistryError, match="/dev/zero cannot be read: it has more than 4194304 bytes"):
        DockerCredentials("/dev/zero").find("ghcr.io", "app")


# ---- which file -------------------------------------------------------------------------------------------------

PLACES = [
    ("DOCKER_AUTH_CONFIG", None),
    ("docker", "docker/config.json"),
    ("runtime", "run/containers/auth.json"),
    ("home", "home/.config/containers/auth.json"),
]


@pytest.mark.parametrize("first", range(len(PLACES)))
def test_the_first_place_that_knows_the_registry_counts(tmp_path: Path, first: int) -> None:
    env = {"HOME": str(tmp_path / "home"), "DOCKER_CONFIG": str(tmp_path / "docker"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    write(tmp_path / "docker" / "config.json", {"auths": {"quay.io": pair("other", "x")}})
    for name, path in PLACES[first:]:
        content = {"auths": {"ghcr.io": pair(name, "x")}}
        if path is None:
            env["DOCKER_AUTH_CONFIG"] = json.dumps(content)
        else:
            write(tmp_path / path, content)
    credentials = DockerCredentials(environ=env)
    assert found(credentials) == f"{PLACES[first][0]}:x"
    assert credentials.knows("ghcr.io", "team/app")
    assert not credentials.knows("registry.test", "team/app")


def test_the_file_that_podman_is_told_replaces_its_usual_ones(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "REGISTRY_AUTH_FILE": str(tmp_path / "mine.json")}
    write(tmp_path / ".config" / "containers" / "auth.json", {"auths": {"ghcr.io": pair("usual", "x")}})
    assert found(DockerCredentials(environ=env)) is None
    write(tmp_path / "mine.json", {"auths": {"ghcr.io": pair("mine", "x")}})
    assert found(DockerCredentials(environ=env)) == "mine:x"
    write(tmp_path / ".docker" / "config.json", {"auths": {"ghcr.io/team": pair("docker", "x")}})
    assert found(DockerCredentials(environ=env)) == "docker:x"


def test_an_empty_file_and_none_are_no_logins(tmp_path: Path) -> None:
    assert found(DockerCredentials(environ={"HOME": str(tmp_path)})) is None
    assert found(DockerCredentials(environ={"HOME": str(tmp_path), "DOCKER_AUTH_CONFIG": ""})) is None
    write(tmp_path / ".docker" / "config.json", "\n")
    assert found(DockerCredentials(environ={"HOME": str(tmp_path)})) is None


def test_a_login_made_meanwhile_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("DOCKER_AUTH_CONFIG", raising=False)
    credentials = DockerCredentials()
    assert found(credentials) is None
    write(tmp_path / "config.json", {"auths": {"ghcr.io": pair("bob", "x")}})
    assert found(credentials) == "bob:x"


# ---- credential helpers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "username", "asked"),
    [
        pytest.param({"own": knows("own", "x"), "store": knows("store", "x")}, "own", ["own"], id="own"),
        pytest.param({"own": UNKNOWN, "store": knows("store", "x")}, "store", ["own", "store"], id="store"),
        pytest.param({"own": UNKNOWN, "store": UNKNOWN}, "file", ["own", "store"], id="file"),
    ],
)
def test_helpers_count_before_the_file(tmp_path: Path, answers: dict[str, Completed], username: str, asked: list[str]) -> None:
    content = {"credHelpers": {"ghcr.io": "own"}, "credsStore": "store", "auths": {"ghcr.io": pair("file", "x")}}
    helpers = Helpers({f"docker-credential-{name}": answer for name, answer in answers.items()})
    credentials = DockerCredentials(write(tmp_path / "config.json", content), runner=helpers)
    assert found(credentials) == f"{username}:x"
    assert helpers.asked == [(f"docker-credential-{name}", "ghcr.io") for name in asked]


def test_helpers_are_told_dockers_name_of_docker_hub(tmp_path: Path) -> None:
    content = {"credHelpers": {"docker.io": "own"}, "credsStore": "store"}
    helpers = Helpers({"docker-credential-own": UNKNOWN, "docker-credential-store": knows("bob", "x")})
    credentials = DockerCredentials(write(tmp_path / "config.json", content), runner=helpers)
    assert found(credentials, "docker.io", "library/nginx") == "bob:x"
    assert {server for _, server in helpers.asked} == {"https://index.docker.io/v1/"}


def test_no_helper_is_started_only_to_know_whether_there_is_a_login(tmp_path: Path) -> None:
    content = {"credHelpers": {"ghcr.io": "own"}, "credsStore": "store", "auths": {"quay.io": {}}}
    credentials = DockerCredentials(write(tmp_path / "config.json", content), runner=Helpers({}))
    assert [credentials.knows(host, "app") for host in ("ghcr.io", "quay.io", "registry.test")] == [True, True, False]


def test_a_helper_may_hold_an_identity_token() -> None:
    assert parse_helper_answer(knows("<token>", "t").stdout, "") == Login("<token>", identity_token="t")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ToolNotFoundError("docker-credential-own"), "is not installed or not on PATH"),
        (CommandTimeoutError(("docker-credential-own",), -15, "", "", 60.0), "did not answer within 60 s"),
        (
            CommandError(("docker-credential-own",), 127, "cannot be started: Exec format error"),
            "failed: cannot be started: Exec format error",
        ),
        (Completed((), 1, b"", b"noise\nthe key ring is locked\n"), "ended with status 1: the key ring is locked"),
        (Completed((), 2, b"no luck"), "ended with status 2: no luck"),
        (Completed((), 2), "ended with status 2: no message"),
        (Completed((), 0, b'"hunter2"'), "printed no login"),
        (Completed((), 0, b"hunter2"), "printed no login"),
        (Completed((), 0, b'{"Username":"hunter2"}'), "printed no login"),
    ],
)
def test_a_helper_that_fails_is_told_with_the_file_that_names_it(tmp_path: Path, answer: Completed | Exception, reason: str) -> None:
    file = write(tmp_path / "config.json", {"credHelpers": {"ghcr.io": "own"}})
    credentials = DockerCredentials(file, runner=Helpers({"docker-credential-own": answer}))
    with pytest.raises(
        RegistryError, match=rf"ghcr\.io/app: the credential helper docker-credential-own, named in {file}, {reason}"
    ) as caught:
        credentials.find("ghcr.io", "app")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["../x", "a b", "x;y", "/bin/sh"])
def test_a_helper_must_be_a_name(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / "config.json", {"credsStore": name})
    with pytest.raises(RegistryError, match="which is no name of a program"):
        DockerCredentials(file, runner=Helpers({})).find("ghcr.io", "app")


@pytest.mark.skipif(sys.platform == "win32", reason="the helper is a script")
def test_a_real_helper_is_run_by_the_protocol(tmp_path: Path) -> None:
    script = write(
        tmp_path / "bin" / "docker-credential-script",
        '#!/bin/sh\nread server\ncase $1-$server in\n  get-ghcr.io) printf \'{"ServerURL":"%s","Username":"%s","Secret":"s"}\' "$server" "$WHO";;\n'
        "  *) echo credentials not found in native keychain; exit 1;;\nesac\n",
    )
    script.chmod(0o755)
    write(tmp_path / "config.json", {"credsStore": "script"})
    env = {"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path), "PATH": f"{script.parent}:{os.environ['PATH']}", "WHO": "bob"}
    credentials = DockerCredentials(environ=env)
    assert found(credentials) == "bob:s"
    assert found(credentials, "quay.io") is None
