"""Small manifests for tests of applying."""

from __future__ import annotations

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: colors}\ndata: {sky: blue}\n"
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {password: hunter2}\n"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "example.test/web:1"}]
"""
STATEFUL_SET = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchExpressions: [{key: app, operator: In, values: [db]}]}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: "example.test/db:1"}]}
"""
DAEMON_SET = """\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: "example.test/agent:1"}]}
"""
JOB = """\
apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: migrate, image: "example.test/migrate:1"}]}}}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: hello}
spec: {containers: [{name: hello, image: "example.test/hello:1"}]}
"""
DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: robots.example.com}
spec:
  group: example.com
  names: {kind: Robot, plural: robots, singular: robot}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {arms: {type: integer}}}}}}
"""
ROBOT = "apiVersion: example.com/v1\nkind: Robot\nmetadata: {name: r2}\nspec: {arms: 2}\n"


def stream(*documents: str) -> str:
    """One manifest of several documents."""
    return "---\n".join(documents)


def within(namespace: str, document: str) -> str:
    """The same document in a namespace."""
    return document.replace("metadata: {name: ", f"metadata: {{namespace: {namespace}, name: ", 1)
