"""A real Kubernetes control plane of our own on loopback, without containers, root or a network.

etcd, kube-apiserver, kube-scheduler and kube-controller-manager, and kwok in the place of kubelets: nodes of any
platform can be declared, the real scheduler binds pods, rollouts finish. No container ever runs: what a kubelet would
say of an image that does not fit is made up by annotation (see `kube_objects.OUTCOME`).
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kube_objects
import trustme
import urllib3
from kube_programs import PROGRAMS, KubePrograms, free_ports, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

__all__ = ["ADMIN", "PROGRAMS", "TOKEN_USERS", "ControlPlane", "Refused", "main", "running", "wait_until"]

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


@dataclass
class ControlPlane(KubePrograms):
    """It runs, takes requests and keeps users; every part of it can be stopped and started again."""

    ca: trustme.CA
    tokens: dict[str, str]
    _pool: urllib3.PoolManager | None = field(default=None, init=False)

    # ---- where it is, and who may come in ----------------------------------------------------------------------

    @property
    def server(self) -> str:
        """The address of the API server."""
        return f"https://127.0.0.1:{self.ports['kube-apiserver']}"

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

    def start(self, name: str) -> None:
        """Start one of PROGRAMS; the API server is waited for."""
        super().start(name)
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

    def close(self) -> None:
        """Stop everything."""
        if self._pool is not None:
            self._pool.clear()
        super().close()

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
    plane = ControlPlane(programs, folder, free_ports(), trustme.CA(), {name: secrets.token_hex(16) for name in (ADMIN, *TOKEN_USERS)})
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
