"""Signing in through the ``kubernetes`` package: what a kubeconfig says becomes connections and headers.

The package (31 to 37) knows certificates, keys, tokens, passwords and the old auth providers. Before it gets them, what
it would leave out or get wrong is settled here: sign-in programs, token files, proxies, impersonation.
"""

from __future__ import annotations

import base64
import ssl
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from archkit.adapters.http import patient
from archkit.adapters.kube.plugin import run_plugin
from archkit.adapters.proxies import Proxies
from archkit.errors import ClusterError, ClusterSignInError
from archkit.model.secret import Secret
from archkit.planning.masking import Masker

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    import urllib3

    from archkit.adapters.kube.kubeconfig import Settings
    from archkit.ports.runner import Runner

_TOKEN_FILE_SECONDS = 60.0
"""How long what stands in a token file is taken for what stands there still (kubectl: a minute)."""
_SKEW = 10.0
"""Seconds before a credential expires in which it is not used any more."""
_NAME = "archkit"
_SECRET_FIELDS = frozenset({"token", "password", "client-key-data", "client-secret", "refresh-token", "id-token", "access-token"})


class SignedIn:
    """Connections, and what goes along with each request.

    Args:
        manager: The connections.
        headers: Asked before each request: the package's auth providers renew their tokens then.
        until: Seconds since 1970 from which on one must sign in again; None: as long as the server accepts it.
    """

    def __init__(self, manager: urllib3.PoolManager, headers: Callable[[], Mapping[str, str]], until: float | None) -> None:
        self.manager: urllib3.PoolManager = manager
        self.headers: Callable[[], Mapping[str, str]] = headers
        self.until: float | None = until

    @property
    def over(self) -> bool:
        """Whether it is time to sign in again."""
        return self.until is not None and time.time() >= self.until


def sign_in(settings: Settings, runner: Runner) -> SignedIn:
    """Connections to the cluster of these settings; the server has not been asked yet.

    Raises:
        ClusterSignInError: A file cannot be read, a program fails, or there is something that cannot be used.
    """
    masker = Masker(_secrets(settings.user))
    with _translated(settings, masker):
        user, until = _credentials(settings, runner)
        impersonation = _impersonation(settings)
        configuration, manager = _connections(settings, user)

    def headers() -> Mapping[str, str]:
        with _translated(settings, masker):
            value = configuration.auth_settings().get("BearerToken", {}).get("value")
        return {**({"Authorization": Secret(value)} if value else {}), **impersonation}

    return SignedIn(manager, headers, until)


def _credentials(settings: Settings, runner: Runner) -> tuple[dict[str, Any], float | None]:
    """The user's fields as the package gets them, and until when they hold."""
    user = {name: value for name, value in settings.user.items() if name not in {"exec", "tokenFile"}}
    if path := settings.user.get("tokenFile"):
        user["token"] = Path(path).read_text(encoding="utf-8").strip()  # the package keeps the line end, which no header may have
        return user, time.time() + _TOKEN_FILE_SECONDS
    if "exec" not in settings.user or "token" in user:
        return user, None
    given = run_plugin(settings, runner)
    if given.token:
        user["token"] = given.token.reveal()
    if given.certificate:
        for name, pem in (("client-certificate", given.certificate), ("client-key", given.key)):
            user.pop(name, None)
            user[f"{name}-data"] = base64.b64encode(pem.reveal().encode()).decode()
    return user, None if given.expires is None else given.expires - _SKEW


def _connections(settings: Settings, user: Mapping[str, Any]) -> tuple[Any, urllib3.PoolManager]:
    from kubernetes import client, config  # hundreds of milliseconds: only when a cluster is asked

    cluster: dict[str, Any] = {name: value for name, value in settings.cluster.items() if name not in {"proxy-url", "extensions"}}
    cluster["insecure-skip-tls-verify"] = cluster.get("insecure-skip-tls-verify") == "true"
    fields = {
        "current-context": _NAME,
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME}}],
        "clusters": [{"name": _NAME, "cluster": cluster}],
        "users": [{"name": _NAME, "user": dict(user)}],
    }
    configuration: Any = client.Configuration()
    load: Any = config.load_kube_config_from_dict  # typed in some versions only
    load(fields, client_configuration=configuration, persist_config=False)
    proxy = Secret(settings.cluster.get("proxy-url") or Proxies.from_environment().of(settings.server))
    configuration.proxy, configuration.proxy_headers = _proxy(proxy)
    configuration.no_proxy = None  # decided already, with the environment in sight
    manager: urllib3.PoolManager = client.ApiClient(configuration).rest_client.pool_manager
    if settings.server.startswith("https:"):
        options: dict[str, Any] = manager.connection_pool_kw
        options["ssl_context"] = _tls(configuration, options.get("ca_certs"))
        for name in ("ca_certs", "cert_file", "key_file"):
            options.pop(name, None)
    return configuration, manager if proxy.startswith("socks") else patient(manager)


def _tls(configuration: Any, authorities: str | None) -> ssl.SSLContext:
    """One context for all connections, so that files are read, and found wanting, once.

    Python 3.13 asks more of certificates than Go does (``VERIFY_X509_STRICT``: an authority key identifier, which those
    of many clusters lack); whom the kubeconfig trusts, is trusted as kubectl does.
    """
    from urllib3.util.ssl_ import create_urllib3_context

    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if configuration.verify_ssl:
        path = configuration.ssl_ca_cert or authorities
        if path:
            context.load_verify_locations(cafile=path)
        else:
            context.load_default_certs()
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file, password=_no_password)
    return context


def _no_password() -> str:  # OpenSSL would ask on the terminal
    raise ValueError("the client key is encrypted")


def _proxy(proxy: Secret) -> tuple[str | None, Mapping[str, str] | None]:
    """The proxy without the password in its address, and the header that has it."""
    if not proxy:
        return None, None
    parts = urlsplit(proxy.reveal())
    if parts.username is None or parts.scheme.startswith("socks"):
        return proxy.reveal(), None
    import urllib3

    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    address = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))
    return address, urllib3.make_headers(proxy_basic_auth=pair)


def _impersonation(settings: Settings) -> dict[str, str]:
    """The headers for whom the user acts as (``kubectl --as``); the package would act as the user itself."""
    user = settings.user
    groups = user.get("as-groups") or []
    if len(groups) > 1 or user.get("as-user-extra"):
        what = "several groups" if len(groups) > 1 else "extra fields"
        raise ClusterSignInError(
            settings.name, f"the user impersonates {what}, which archkit cannot send", "leave them out of the kubeconfig"
        )
    found = {"Impersonate-User": user.get("as"), "Impersonate-Uid": user.get("as-uid"), "Impersonate-Group": "".join(groups)}
    return {name: str(value) for name, value in found.items() if value}


def _secrets(user: Mapping[str, Any]) -> Iterator[str]:
    provider = user.get("auth-provider") or {}
    for fields in (user, provider.get("config") or {}):
        yield from (str(value) for name, value in fields.items() if name in _SECRET_FIELDS and value)


@contextmanager
def _translated(settings: Settings, masker: Masker) -> Generator[None, None, None]:
    """Whatever the package, and the packages that it asks, raise; their frames hold credentials."""
    try:
        yield
    except ClusterError:
        raise
    except Exception as error:  # noqa: BLE001 - auth providers raise what they like
        reason = " ".join(masker(str(error)).split()) or type(error).__name__
        remedy = "correct the user and the cluster of this context in the kubeconfig; `kubectl get nodes` tells whether they work"
        raise ClusterSignInError(settings.name, f"what {settings.origin} says cannot be used: {reason}", remedy) from None
