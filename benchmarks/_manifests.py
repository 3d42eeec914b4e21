"""Texts that the rendering benchmark works on: documents that are all different, in sets of several shapes."""

from __future__ import annotations

MINIMAL = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-{0}  # one of many
  labels: {{app: web, tier: front}}
spec:
  replicas: 3
  selector:
    matchLabels:
      app: web
  template:
    metadata:
      labels:
        app: web
    spec:
      # what runs
      containers:
      - name: web
        image: app-{1}:1.0
        ports:
        - containerPort: 8080
        env:
        - name: MODE
          value: "production"
        - name: TOKEN
          valueFrom:
            secretKeyRef: {{name: web, key: token}}
        resources:
          requests: {{cpu: 100m, memory: 64Mi}}
          limits:
            cpu: 200m
            memory: 128Mi
      - name: proxy
        image: envoy:1.30
"""
OTHERS = (
    """\
apiVersion: v1
kind: Service
metadata:
  name: web-{0}
spec:
  selector:
    app: web
  ports:
  - name: http
    port: 80
    targetPort: 8080
""",
    """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: web-{0}
data:
  server.conf: |
    listen 8080
    # every request is logged
    log /dev/stdout
    upstream 127.0.0.1:9000
  level: info
""",
    """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: web-{0}
rules:
- apiGroups: ["", apps]
  resources: [pods, deployments]
  verbs: [get, list, watch]
""",
)
USUAL_HEAD = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app-{0}
  namespace: shop
  labels:
    app.kubernetes.io/name: app-{0}
    app.kubernetes.io/instance: prod
    app.kubernetes.io/version: "1.4.2"
    app.kubernetes.io/part-of: shop
    app.kubernetes.io/managed-by: Helm
  annotations:
    prometheus.io/scrape: "true"
spec:
  replicas: 2
  selector:
    matchLabels:
      app.kubernetes.io/name: app-{0}
      app.kubernetes.io/instance: prod
  template:
    metadata:
      labels:
        app.kubernetes.io/name: app-{0}
        app.kubernetes.io/instance: prod
    spec:
      serviceAccountName: app-{0}
      securityContext:
        runAsNonRoot: true
        runAsUser: 1000
      containers:
"""
USUAL_CONTAINER = """\
        - name: part-{0}
          image: app-{1}:1.4
          imagePullPolicy: IfNotPresent
          args: ["--port=8080", "--log=json"]
          ports:
            - name: http
              containerPort: 8080
              protocol: TCP
          env:
            - name: MODE
              value: "production"
            - name: TOKEN
              valueFrom:
                secretKeyRef:
                  name: app
                  key: token
          livenessProbe:
            httpGet:
              path: /healthz
              port: http
            initialDelaySeconds: 10
          readinessProbe:
            httpGet:
              path: /ready
              port: http
          resources:
            requests:
              cpu: 100m
              memory: 128Mi
            limits:
              memory: 256Mi
"""
IMAGES = 50
"""Different built images; each pod names others than the one before."""


def minimal(number: int) -> str:
    """A short Deployment of two containers, in a style of its own."""
    return MINIMAL.format(number, number % IMAGES)


def usual(number: int) -> str:
    """A Deployment as charts make them: labels, probes, resources, one to three containers."""
    containers = [USUAL_CONTAINER.format(part, (3 * number + part) % IMAGES) for part in range(1 + number % 3)]
    return "".join([USUAL_HEAD.format(number), *containers])


SHAPES = {
    "short pods": (minimal, 1),
    "usual pods": (usual, 1),
    "one in four a short pod": (minimal, 4),
    "one in four a usual pod": (usual, 4),
}
"""Which pod, and how many documents from one pod to the next."""


def text_of(shape: str, documents: int) -> str:
    """A manifest of so many documents."""
    pod, every = SHAPES[shape]
    return "---\n".join(OTHERS[number % every - 1].format(number) if number % every else pod(number) for number in range(documents))
