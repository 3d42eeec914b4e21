"""A real Kubernetes control plane of our own on loopback, without containers, root or a network.

etcd, kube-apiserver, kube-scheduler and kube-controller-manager, and kwok in the place of kubelets: nodes of any
platform can be declared, the real scheduler binds pods, rollouts finish. No container ever runs: what a kubelet would
say of an image that does not fit is made up by annotation (see `kube_objects.OUTCOME`).
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kube_objects
import trustme
import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

PROGRAMS = ("etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager", "kwok")
ADMIN = "admin"
TOKEN_USERS = ("reader", "deployer", "stranger")
"""Users who sign in with a token and may do nothing until `grant` is called."""

_WORKLOADS = (
    "apis/apps/v1/deployments",
    "apis/apps/v1/statefulsets",
    "apis/apps/v1/daemonsets",
    "apis/apps/v1/replicasets",
    "apis/batch/v1/cronjobs",
    "apis/batch/v1/jobs",
    "api/v1/replicationcontrollers",
    "api/v1/services",
    "api/v1/configmaps",
)
_OWN_CONFIG = "kube-root-ca.crt"
"""A config map that the control plane keeps in every namespace."""
_SYSTEM = {"default", "kube-system", "kube-public", "kube-node-lease"}
_PLURALS = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}
_CLUSTER_WIDE = {"Namespace", "Node", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "PriorityClass", "IngressClass"}

_GATES = "ListFromCacheSnapshot=false,WatchList=false"
"""Without snapshots `compact` acts at once instead of within 15 s. Lists that are watches need etcd 3.4.25, which Debian
12 does not have; where they are refused instead of absent, kwok's watches break off and pause longer each time."""
_CLIENTS = {"KUBE_FEATURE_WatchListClient": "false"}

_WATCHDOG = """
read -r _
for file in "$1"/*.pid; do [ -f "$file" ] && kill -9 "$(cat "$file")"; done
rm -rf "$1"
"""
"""Ends what was started when whoever holds its input is gone, in whatever way."""


class Refused(Exception):
    """The API server answered, and not with success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.args[1]}"


def wait_until(true: Callable[[], object], what: str, *, within: float = 60.0, pause: float = 0.05) -> None:
    """Wait for something to become true; an AssertionError says what did not."""
    until = time.monotonic() + within
    while not true():
        if time.monotonic() > until:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(pause)


def free_port() -> int:
    """A free port that the kernel gives to no connection of its own accord, so that it is still free after a restart."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class ControlPlane:
    """It runs; every part of it can be stopped and started again."""

    programs: Mapping[str, Path]
    folder: Path
    ports: Mapping[str, int]
    ca: trustme.CA
    tokens: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _pool: urllib3.PoolManager | None = None

    # ---- where it is, and who may come in ----------------------------------------------------------------------

    @property
    def server(self) -> str:
        """The address of the API server."""
        return f"https://127.0.0.1:{self.ports['kube-apiserver']}"

    @property
    def ca_file(self) -> Path:
        """The certificate by which clients know the server."""
        return self.folder / "ca.crt"

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig with which everything may be done (a token)."""
        return self.kubeconfig_of(ADMIN)

    def kubeconfig_of(self, user: str) -> Path:
        """The kubeconfig of ADMIN or one of TOKEN_USERS."""
        return self._written(user, {"token": self.tokens[user]})

    def certificate_user(self, name: str, *groups: str) -> Path:
        """The kubeconfig of a user who signs in with a client certificate."""
        made = self.ca.issue_cert("client.archkit.test", common_name=name, organization_name=groups[0] if groups else None)
        files = {"client-certificate": f"{name}.crt", "client-key": f"{name}.key"}
        made.cert_chain_pems[0].write_to_path(self.folder / files["client-certificate"])
        made.private_key_pem.write_to_path(self.folder / files["client-key"])
        return self._written(name, {key: str(self.folder / file) for key, file in files.items()})

    def _written(self, user: str, how: Mapping[str, str]) -> Path:
        path = self.folder / f"{user}.kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.server, "certificate-authority": str(self.ca_file)}}],
            "users": [{"name": user, "user": dict(how)}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
        path.write_text(json.dumps(config))  # JSON is YAML
        return path

    def grant(self, user: str, *rules: Mapping[str, Sequence[str]], namespace: str | None = None) -> None:
        """Let a user do this: rules of a Role, or of a ClusterRole where no namespace is given; earlier ones are replaced."""
        kind, where = ("Role", {"namespace": namespace}) if namespace else ("ClusterRole", {})
        meta = {"name": f"archkit-test-{user}", **where}
        group = "rbac.authorization.k8s.io"
        self.apply({"apiVersion": f"{group}/v1", "kind": kind, "metadata": meta, "rules": [dict(rule) for rule in rules]})
        self.apply(
            {
                "apiVersion": f"{group}/v1",
                "kind": f"{kind}Binding",
                "metadata": meta,
                "roleRef": {"apiGroup": group, "kind": kind, "name": meta["name"]},
                "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
            }
        )

    def expire(self, user: str) -> None:
        """Give a user another token: those that were handed out are refused from now on. Restarts the API server."""
        self.tokens[user] = secrets.token_hex(16)
        self.write_tokens()
        self.restart("kube-apiserver")

    def write_tokens(self) -> None:
        """Write the tokens as the API server reads them when it starts."""
        lines = [f'{token},{user},{user},"{"system:masters" if user == ADMIN else ""}"\n' for user, token in self.tokens.items()]
        (self.folder / "tokens.csv").write_text("".join(lines))

    # ---- requests ----------------------------------------------------------------------------------------------

    def request(
        self, method: str, path: str, body: object = None, *, content_type: str = "application/json", query: Mapping[str, str] | None = None
    ) -> Any:
        """The decoded answer to a request of ADMIN; ``path`` such as ``api/v1/nodes``.

        Raises:
            Refused: Any other answer than success.
        """
        if self._pool is None:
            self._pool = urllib3.PoolManager(ca_certs=str(self.ca_file), maxsize=16, retries=False)
        answer = self._pool.request(
            method,
            f"{self.server}/{path}",
            fields=dict(query) if query and body is None else None,
            body=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.tokens[ADMIN]}", "Content-Type": content_type},
            timeout=60.0,
        )
        found = json.loads(answer.data) if answer.data[:1] == b"{" else answer.data.decode()
        if answer.status >= 400:
            raise Refused(answer.status, found["message"] if isinstance(found, dict) else found)
        return found

    def path_of(self, manifest: Mapping[str, Any]) -> str:
        """The path below which objects of this kind are."""
        version, kind = manifest["apiVersion"], manifest["kind"]
        plural = _PLURALS.get(kind, f"{kind.lower()}{'es' if kind.endswith('s') else 's'}")
        root = f"apis/{version}" if "/" in version else f"api/{version}"
        if kind in _CLUSTER_WIDE:
            return f"{root}/{plural}"
        return f"{root}/namespaces/{manifest['metadata'].get('namespace', 'default')}/{plural}"

    def create(self, *manifests: Mapping[str, Any]) -> None:
        """Create objects, several at a time."""
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda manifest: self.request("POST", self.path_of(manifest), manifest), manifests))

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Create an object or make it as this says."""
        path = f"{self.path_of(manifest)}/{manifest['metadata']['name']}?fieldManager=test&force=true"
        self.request("PATCH", path, manifest, content_type="application/apply-patch+yaml")

    def listed(self, path: str, **query: str) -> list[dict[str, Any]]:
        """The objects of a list, such as ``api/v1/nodes``."""
        items: list[dict[str, Any]] = self.request("GET", path, query=query)["items"]
        return items

    # ---- nodes, and cleaning up --------------------------------------------------------------------------------

    def declare(self, *nodes: Mapping[str, Any], within: float = 60.0) -> None:
        """Have these nodes; comes back when each is ready (or, where `node(ready=False)` made it, known not to be)."""
        self.create(*nodes)
        names = {node["metadata"]["name"] for node in nodes}
        wait_until(lambda: all(map(_settled, self._nodes(names))), "every node has what its state asks for", within=within)

    def _nodes(self, names: set[str]) -> Iterable[dict[str, Any]]:
        return (found for found in self.listed("api/v1/nodes", resourceVersion="0") if found["metadata"]["name"] in names)

    def wipe(self) -> None:
        """Take away every node, workload, custom resource definition and namespace that tests made."""

        def remove(path: str, **query: str) -> None:
            with contextlib.suppress(Refused):  # services and config maps: not all of them in one request
                self.request("DELETE", path, {"gracePeriodSeconds": 0, "propagationPolicy": "Background", **query})

        spaces = [found["metadata"]["name"] for found in self.listed("api/v1/namespaces")]
        for path in _WORKLOADS:
            for found in self.listed(path):
                meta = found["metadata"]
                if (
                    meta["name"] not in {_OWN_CONFIG, "kubernetes", "extension-apiserver-authentication"}
                    and meta["namespace"] != "kube-system"
                ):
                    root, _, plural = path.rpartition("/")
                    remove(f"{root}/namespaces/{meta['namespace']}/{plural}/{meta['name']}")
        for found in self.listed("apis/apiextensions.k8s.io/v1/customresourcedefinitions"):
            remove(f"apis/apiextensions.k8s.io/v1/customresourcedefinitions/{found['metadata']['name']}")
        for name in {*spaces} - _SYSTEM:
            remove(f"api/v1/namespaces/{name}")
        self.remove_pods(*spaces)
        remove("api/v1/nodes")
        wait_until(lambda: not self.listed("api/v1/nodes"), "no node is left")
        for name in {"kube-node-lease"} & {*spaces}:
            remove(f"apis/coordination.k8s.io/v1/namespaces/{name}/leases")

    def remove_pods(self, *namespaces: str) -> None:
        """Take away the pods of these namespaces at once, and wait until none is left."""

        def none_left() -> bool:
            held = {found["metadata"]["namespace"] for found in self.listed("api/v1/pods")} & {*namespaces}
            for name in held:
                with contextlib.suppress(Refused):
                    self.request("DELETE", f"api/v1/namespaces/{name}/pods", {"gracePeriodSeconds": 0})
            return not held

        wait_until(none_left, "no pod is left")

    def compact(self) -> None:
        """Forget old revisions, so that lists that were begun cannot be continued (410 Gone)."""
        etcd = f"http://127.0.0.1:{self.ports['etcd']}/v3"
        plain = urllib3.PoolManager(retries=False)
        key = base64.b64encode(b"compact_rev_key").decode()
        revision = plain.request("POST", f"{etcd}/kv/range", json={"key": key}).json()["header"]["revision"]
        assert plain.request("POST", f"{etcd}/kv/compaction", json={"revision": revision, "physical": True}).status == 200

    # ---- its parts ---------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start one of PROGRAMS; the API server is waited for."""
        command = [str(self.programs[name]), *self._arguments(name)]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"HOME": str(self.folder), **_CLIENTS},
                start_new_session=True,
            )
        self.running[name] = process
        (self.folder / f"{name}.pid").write_text(str(process.pid))
        if name == "kube-apiserver":
            wait_until(self._ready, "the API server is ready")

    def _ready(self) -> bool:
        if self.running["kube-apiserver"].poll() is not None:
            raise AssertionError(f"kube-apiserver ended:\n{self.log('kube-apiserver')[-3000:]}")
        try:
            self.request("GET", "readyz")
            self.request("GET", "api/v1/namespaces/default")
        except (Refused, urllib3.exceptions.HTTPError):
            return False
        return True

    def stop(self, name: str, *, kill: bool = False) -> None:
        """End one of PROGRAMS; with ``kill`` it has no say in it."""
        process = self.running.pop(name, None)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        (self.folder / f"{name}.pid").unlink(missing_ok=True)

    def restart(self, name: str, *, kill: bool = True) -> None:
        """Stop and start one of PROGRAMS; what it keeps stays."""
        self.stop(name, kill=kill)
        self.start(name)

    @contextmanager
    def frozen(self, name: str = "kube-apiserver") -> Generator[None, None, None]:
        """One of PROGRAMS holds still for this block: connections stand, answers do not come."""
        process = self.running[name]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def log(self, name: str) -> str:
        """What one of PROGRAMS said so far."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def up(self) -> None:
        """Start whatever does not run."""
        for name in PROGRAMS:
            process = self.running.get(name)
            if process is None or process.poll() is not None:
                self.start(name)

    def close(self) -> None:
        """Stop everything."""
        if self._pool is not None:
            self._pool.clear()
        for name in reversed(PROGRAMS):
            self.stop(name, kill=name in {"etcd", "kwok"})  # nothing of what they hold is wanted any more

    def _arguments(self, name: str) -> list[str]:
        client = f"http://127.0.0.1:{self.ports['etcd']}"
        peer = f"http://127.0.0.1:{self.ports['peer']}"
        own = f"--kubeconfig={self.folder / 'admin.kubeconfig'}"
        rates = ["--kube-api-qps=1000", "--kube-api-burst=1000"]
        return {
            "etcd": [
                f"--data-dir={self.folder / 'etcd'}",
                "--unsafe-no-fsync",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
            ],
            "kube-apiserver": [
                f"--etcd-servers={client}",
                f"--secure-port={self.ports['kube-apiserver']}",
                "--bind-address=127.0.0.1",
                f"--cert-dir={self.folder / 'certs'}",
                f"--tls-cert-file={self.folder / 'server.crt'}",
                f"--tls-private-key-file={self.folder / 'server.key'}",
                f"--client-ca-file={self.ca_file}",
                f"--token-auth-file={self.folder / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://archkit.test",
                f"--service-account-key-file={self.folder / 'server.key'}",
                f"--service-account-signing-key-file={self.folder / 'server.key'}",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--disable-admission-plugins=ServiceAccount",  # a pod need not wait for its namespace's account
                "--shutdown-delay-duration=0s",
                f"--feature-gates={_GATES}",
            ],
            "kube-scheduler": [f"--config={self.folder / 'scheduler.json'}", "--secure-port=0"],
            "kube-controller-manager": [own, "--leader-elect=false", "--secure-port=0", "--node-monitor-period=1s", *rates],
            "kwok": [
                own,
                f"--config={self.folder / 'stages.yaml'}",
                "--manage-all-nodes=true",
                "--node-lease-duration-seconds=40",
                f"--server-address=127.0.0.1:{self.ports['kwok']}",
                f"--tls-cert-file={self.folder / 'server.crt'}",
                f"--tls-private-key-file={self.folder / 'server.key'}",
            ],
        }[name]


def _settled(node: Mapping[str, Any]) -> bool:
    """Whether the controllers have said with taints what the node's kubelet and its cordon say, and labelled it."""
    conditions = {item["type"]: item["status"] for item in node["status"].get("conditions", [])}
    there = {item["key"] for item in node["spec"].get("taints", [])}
    if "Ready" not in conditions:
        return False
    wanted = {"node.kubernetes.io/not-ready": conditions["Ready"] == "False"}
    wanted["node.kubernetes.io/unschedulable"] = bool(node["spec"].get("unschedulable"))
    labels = node["metadata"]["labels"]
    labelled = all(labels.get(f"beta.{key}") == labels.get(key) for key in ("kubernetes.io/os", "kubernetes.io/arch"))
    return labelled and all((key in there) == value for key, value in wanted.items())


@contextmanager
def running(programs: Mapping[str, Path]) -> Generator[ControlPlane, None, None]:
    """A control plane that is up for this block; killed with it, even where this process is killed.

    Args:
        programs: Those of PROGRAMS.
    """
    folder = Path(tempfile.mkdtemp(prefix="archkit-"))
    watchdog = subprocess.Popen(
        ["/bin/sh", "-c", _WATCHDOG, "archkit-watchdog", str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    ports: dict[str, int] = {}
    while len({*ports.values()}) < 4:
        ports = {name: free_port() for name in ("kube-apiserver", "etcd", "peer", "kwok")}
    plane = ControlPlane(programs, folder, ports, trustme.CA(), {name: secrets.token_hex(16) for name in (ADMIN, *TOKEN_USERS)})
    try:
        _prepare(plane)
        plane.up()
        yield plane
    finally:
        plane.close()
        shutil.rmtree(folder, ignore_errors=True)
        assert watchdog.stdin is not None
        watchdog.stdin.close()
        watchdog.wait(10)


def _prepare(plane: ControlPlane) -> None:
    """Write what the programs read."""
    served = plane.ca.issue_cert("127.0.0.1", "localhost")
    plane.ca.cert_pem.write_to_path(plane.ca_file)
    served.cert_chain_pems[0].write_to_path(plane.folder / "server.crt")
    served.private_key_pem.write_to_path(plane.folder / "server.key")
    plane.write_tokens()
    config = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {"kubeconfig": str(plane.kubeconfig), "qps": 1000, "burst": 1000},
    }
    (plane.folder / "scheduler.json").write_text(json.dumps(config))
    kube_objects.write_logs(plane.folder)
    (plane.folder / "stages.yaml").write_text(kube_objects.stages(plane.ports["kwok"], plane.folder))


def main(nodes: Sequence[str]) -> int:
    """A control plane with these nodes until Ctrl-C; each is ``PLATFORM`` or ``PLATFORM:TAINT``. Returns the exit status."""
    import realtools

    found = {name: realtools.find(name) for name in PROGRAMS}
    if missing := [name for name, path in found.items() if path is None]:
        print(f"missing: {', '.join(missing)}; `python3 noxfile.py tools -- {' '.join(missing)}` brings them", file=sys.stderr)
        return 1
    with running({name: path for name, path in found.items() if path is not None}) as plane:
        for number, text in enumerate(nodes, 1):
            platform, _, taint = text.partition(":")
            plane.declare(kube_objects.node(f"node-{number}", platform, taints=[taint] if taint else ()))
        print(f"export KUBECONFIG={plane.kubeconfig}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
