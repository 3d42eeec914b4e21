"""Sign-in programs that a kubeconfig names (``exec``): what they print is what one signs in with.

Not the ``kubernetes`` package's own way of running them: it waits for them for ever, logs what they say, and goes on
without credentials where they fail. Source: Kubernetes documentation, "client-go credential plugins".
"""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from archkit.adapters.process import environment
from archkit.errors import ClusterSignInError, CommandError, CommandTimeoutError, ToolNotFoundError
from archkit.model.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archkit.adapters.kube.kubeconfig import Settings
    from archkit.ports.runner import Runner

_TIMEOUT = 60.0
_FRACTION = re.compile(r"\.\d+")  # Python 3.10 reads three or six digits only
_EXTENSION = "client.authentication.k8s.io/exec"


@attrs.frozen
class Credential:
    """What a program gave."""

    token: Secret = attrs.field(default=Secret())
    certificate: Secret = attrs.field(default=Secret())
    """PEM."""
    key: Secret = attrs.field(default=Secret())
    """PEM."""
    expires: float | None = None
    """Seconds since 1970; None: the program does not say."""


def run_plugin(settings: Settings, runner: Runner) -> Credential:
    """What the sign-in program of the user gives.

    Raises:
        ClusterSignInError: It is not installed, fails, takes longer than a minute, or prints no credential.
    """
    plugin: Mapping[str, Any] = settings.user["exec"]
    command = plugin.get("command") or ""
    by_hand = f"sign in as its makers say, and see that `kubectl --context {settings.context} get nodes` works"

    def failed(reason: str, remedy: str = by_hand) -> ClusterSignInError:
        return ClusterSignInError(settings.name, reason, remedy)

    if plugin.get("interactiveMode") == "Always":
        raise failed(f"the sign-in program {command} of the kubeconfig asks questions, which archkit does not answer")
    asked = dict(environment(_variables(plugin)))
    asked["KUBERNETES_EXEC_INFO"] = json.dumps(_information(settings, plugin))
    secrets = [value for value in _variables(plugin).values() if value]
    try:
        done = runner.run([command, *map(str, plugin.get("args") or ())], env=asked, timeout=_TIMEOUT, secrets=secrets)
    except ToolNotFoundError as error:
        hint = " ".join(str(plugin.get("installHint") or "").split())
        reason = f"the sign-in program {command} of the kubeconfig is not installed or not on PATH"
        raise failed(reason, hint or f"install {command}") from error
    except CommandTimeoutError as error:
        said = error.last_line() if error.stderr.strip() else "nothing"
        raise failed(f"the sign-in program {command} did not end within {_TIMEOUT:g} s; it said last: {said}") from None
    except CommandError as error:  # its output may hold the credential: only its messages are shown
        said = error.stderr.strip().splitlines()[-1] if error.stderr.strip() else "no message"
        raise failed(f"the sign-in program {command} ended with status {error.status}: {said}") from None
    try:
        return _credential(json.loads(done.output), str(plugin.get("apiVersion")))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        told = str(error) if isinstance(error, _Unusable) else "what it printed is no ExecCredential"
        raise failed(f"the sign-in program {command} was of no use: {told}") from None


class _Unusable(ValueError):
    """A credential that cannot be used; the text holds nothing of it."""


def _credential(fields: Mapping[str, Any], version: str) -> Credential:
    if fields["apiVersion"] != version:
        raise _Unusable(f"it speaks {fields['apiVersion']}, the kubeconfig says {version}")
    status = fields["status"]
    token, certificate, key = (status.get(name) or "" for name in ("token", "clientCertificateData", "clientKeyData"))
    if not token and not (certificate and key):
        raise _Unusable("it gave neither a token nor a certificate with its key")
    expires = status.get("expirationTimestamp")
    when = None if not expires else datetime.fromisoformat(_FRACTION.sub("", expires).replace("Z", "+00:00")).timestamp()
    return Credential(Secret(token), Secret(certificate), Secret(key), when)


def _variables(plugin: Mapping[str, Any]) -> dict[str, str]:
    return {entry["name"]: str(entry.get("value") or "") for entry in plugin.get("env") or () if entry.get("name")}


def _information(settings: Settings, plugin: Mapping[str, Any]) -> dict[str, Any]:
    """What the program is told: ``KUBERNETES_EXEC_INFO``."""
    spec: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo") == "true":
        cluster = settings.cluster
        told: dict[str, Any] = {name: cluster[name] for name in ("server", "tls-server-name", "proxy-url") if name in cluster}
        told["insecure-skip-tls-verify"] = cluster.get("insecure-skip-tls-verify") == "true"
        authorities = cluster.get("certificate-authority-data")
        if not authorities and (path := cluster.get("certificate-authority")):
            authorities = base64.b64encode(Path(path).read_bytes()).decode()
        told |= {"certificate-authority-data": authorities} if authorities else {}
        for extension in cluster.get("extensions") or ():
            if extension.get("name") == _EXTENSION:
                told["config"] = extension.get("extension")
        spec["cluster"] = told
    return {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": spec}
