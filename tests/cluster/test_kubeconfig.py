"""Which cluster a kubeconfig means, and what is said where it means none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from api_double import kubeconfig

from archkit import ClusterConnection, KubeconfigError
from archkit.adapters.kube import kubeconfig as module

SERVER = {"server": "https://one.test:6443"}
OTHER = {"server": "https://two.test"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_current_context_is_taken_or_the_one_named(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", {"one": (SERVER, {}), "two": (OTHER, {})})

    current, named = ClusterConnection.from_kubeconfig(path), ClusterConnection.from_kubeconfig(str(path), context="two")

    assert (current.context, current.server, current.name) == ("one", "https://one.test:6443", "one (https://one.test:6443)")
    assert (named.context, named.server) == ("two", "https://two.test")
    assert repr(named) == "ClusterConnection(two (https://two.test))"


def test_without_a_path_it_is_the_file_in_the_home_folder_or_what_the_environment_names(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".kube").mkdir()
    kubeconfig(home / ".kube" / "config", {"home": (SERVER, {})})
    assert ClusterConnection.from_kubeconfig().context == "home"

    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(home / "named", {"named": (OTHER, {})})))
    assert ClusterConnection.from_kubeconfig().context == "named"


def test_of_several_files_the_first_that_says_something_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = kubeconfig(home / "first", {"one": (SERVER, {"token": "a"})}, current="")
    second = kubeconfig(home / "second", {"two": (OTHER, {}), "one": (OTHER, {})}, current="two")
    third = kubeconfig(home / "third", {"three": (OTHER, {})}, current="three")
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(["", str(home / "missing"), str(first), str(second), str(third)]))

    assert ClusterConnection.from_kubeconfig().context == "two"
    assert ClusterConnection.from_kubeconfig(context="one").server == "https://one.test:6443"
    assert ClusterConnection.from_kubeconfig(context="three").server == "https://two.test"


def test_paths_in_a_file_are_relative_to_that_file(tmp_path: Path) -> None:
    folder = tmp_path / "clusters"
    folder.mkdir()
    user = {"client-certificate": "own.crt", "client-key": "/keys/own.key", "exec": {"command": f"bin{os.sep}login"}}
    path = kubeconfig(folder / "config", {"one": ({**SERVER, "certificate-authority": "ca.crt"}, user)})

    settings = module.choose([path], None)

    assert settings.cluster["certificate-authority"] == str(folder / "ca.crt")
    assert settings.user["client-certificate"] == str(folder / "own.crt")
    assert settings.user["client-key"] == str(Path("/keys/own.key"))
    assert settings.user["exec"]["command"] == str(folder / "bin" / "login")


def test_a_namespace_and_a_password_in_the_address_are_seen_to(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", {"one": ({"server": "https://bob:hunter2@one.test/k8s/"}, {})})
    path.write_text(path.read_text().replace('"user": "one-user"', '"user": "one-user", "namespace": "shop"'))

    connection = ClusterConnection.from_kubeconfig(path)

    assert (connection.server, connection.namespace) == ("https://one.test/k8s", "shop")


@pytest.mark.parametrize(
    ("text", "context", "said"),
    [
        pytest.param("[1, 2", None, "not YAML near line", id="not YAML"),
        pytest.param("- a\n", None, "no kubeconfig", id="a list"),
        pytest.param("", None, "no current context is set", id="empty"),
        pytest.param("contexts: [{name: a, context: {}}]\n", None, "there are: a", id="no current context"),
        pytest.param("contexts: {a: b}\n", None, "contexts is no list", id="contexts of a wrong type"),
        pytest.param("users: [{user: {token: hunter2}}]\n", None, "an entry of users has no name", id="an entry without name"),
        pytest.param("contexts: [{name: prod-eu, context: {}}]\n", "prod-ue", "did you mean prod-eu", id="misspelt"),
        pytest.param("contexts: [{name: b, context: {}}, {name: a, context: {}}]\n", "zzzz", "there are: a, b", id="unknown"),
        pytest.param("contexts: [{name: a, context: {}}]\n", "a", "names no cluster", id="no cluster"),
        pytest.param("contexts: [{name: a, context: {cluster: x}}]\n", "a", "the cluster 'x', which is not there", id="unknown cluster"),
        pytest.param(
            "contexts: [{name: a, context: {cluster: x, user: y}}]\nclusters: [{name: x, cluster: {server: https://x}}]\n",
            "a",
            "the user 'y', which is not there",
            id="unknown user",
        ),
        pytest.param(
            "contexts: [{name: a, context: {cluster: x}}]\nclusters: [{name: x, cluster: {}}]\n", "a", "no server address", id="no server"
        ),
    ],
)
def test_what_is_wrong_with_a_kubeconfig_is_said_and_what_there_is(text: str, context: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(text)

    with pytest.raises(KubeconfigError, match=said) as caught:
        ClusterConnection.from_kubeconfig(path, context=context)
    assert "hunter2" not in str(caught.value)


def test_broken_files_do_not_tell_their_secrets(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("users:\n- name: a\n  user: {token: hunter2]\n")

    with pytest.raises(KubeconfigError, match="near line 3") as caught:
        ClusterConnection.from_kubeconfig(path)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_no_file_at_all_says_where_one_would_be(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KubeconfigError, match=r"no .*\.kube.config; .*in_cluster"):
        ClusterConnection.from_kubeconfig()
    with pytest.raises(KubeconfigError, match="no such file"):
        ClusterConnection.from_kubeconfig(home / "missing")
    monkeypatch.setenv("KUBECONFIG", str(home / "gone"))
    with pytest.raises(KubeconfigError, match="KUBECONFIG names"):
        ClusterConnection.from_kubeconfig()


def test_inside_a_pod_the_service_account_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SERVICE_ACCOUNT", tmp_path)
    with pytest.raises(KubeconfigError, match="this is no pod"):
        ClusterConnection.in_cluster()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    with pytest.raises(KubeconfigError, match="automountServiceAccountToken"):
        ClusterConnection.in_cluster()
    (tmp_path / "token").write_text("abc\n")
    (tmp_path / "namespace").write_text("shop\n")

    connection = ClusterConnection.in_cluster()

    assert (connection.context, connection.server, connection.namespace) == ("in-cluster", "https://[fd00::1]:443", "shop")


def test_numbers_and_dates_that_are_texts_stay_texts(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(
        "current-context: 2026-01-01\n"
        "contexts: [{name: 2026-01-01, context: {cluster: 1, user: 0123}}]\n"
        "clusters: [{name: 1, cluster: {server: https://x}}]\n"
        "users: [{name: 0123, user: {token: 007}}]\n"
    )
    settings = module.choose([path], None)

    assert (settings.context, settings.user["token"]) == ("2026-01-01", "007")


def test_looking_does_not_change_the_file(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", {"one": (SERVER, {"token": "a"})})
    before: tuple[bytes, Any] = path.read_bytes(), path.stat().st_mtime_ns

    ClusterConnection.from_kubeconfig(path)

    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
