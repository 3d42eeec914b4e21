"""The request that starts a build in Cloud Build, and what its answers say. Pure.

Source: REST reference of ``projects.locations.builds`` and of the Build resource; quotas and limits of Cloud Build.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, Literal

import attrs

from archkit.errors import BuildError
from archkit.model.frozen import NO_TEXTS, FrozenMap
from archkit.model.reference import Digest
from archkit.planning.cloudbuild_recipes import told_digest
from archkit.planning.decoded import items, mapping

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from archkit.planning.cloudbuild_recipes import Steps

GLOBAL = "global"
Logs = Literal["bucket", "cloud-logging"]

ENDED = frozenset({"SUCCESS", "FAILURE", "INTERNAL_ERROR", "TIMEOUT", "CANCELLED", "EXPIRED"})
"""States that a build does not leave; before them it is PENDING, QUEUED or WORKING."""

_SUBSTITUTION = re.compile(r"_[A-Z0-9_]+")
_USE = re.compile(r"\$(?:\{(_[A-Z0-9_]+)\}|(_[A-Z0-9_]+))?")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_PROJECT = re.compile(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,61}[a-z0-9]")
_MOST_ARGUMENTS, _LONGEST_ARGUMENT = 100, 10_000
_LOGS_FOLDER = "archkit-logs"


@attrs.frozen(kw_only=True)
class CloudBuildOptions:
    """Where and how a build runs, whatever it builds."""

    project: str
    region: str = GLOBAL
    bucket: str
    """Holds the source, and the log where ``logs`` is ``bucket``."""
    worker_pool: str = ""
    service_account: str = ""
    machine_type: str = ""
    disk_size_gb: int | None = None
    timeout: int
    queue_ttl: int
    substitutions: FrozenMap[str, str] = NO_TEXTS
    tags: tuple[str, ...] = ()
    logs: Logs = "bucket"

    def __attrs_post_init__(self) -> None:
        if not _PROJECT.fullmatch(self.project):
            raise ValueError(f"not a project id: {self.project!r}; it is the id, not the name or number, such as team-prod-1234")
        if self.worker_pool and self.region == GLOBAL:
            raise ValueError(f"the private pool {self.worker_pool} is in a region; name it with region=")
        if self.worker_pool and (self.machine_type or self.disk_size_gb is not None):
            raise ValueError("a private pool decides the machine and its disk itself; leave machine_type and disk_size_gb out")
        for name in self.substitutions:
            if not _SUBSTITUTION.fullmatch(name):
                raise ValueError(f"not a substitution: {name!r}; it is _ and capital letters, digits or _, such as _REVISION")
        for tag in self.tags:
            if not _TAG.fullmatch(tag):
                raise ValueError(f"not a tag of a build: {tag!r}; it has letters, digits, '.', '_' and '-'")
        if self.logs not in {"bucket", "cloud-logging"}:
            raise ValueError(f"logs is 'bucket' or 'cloud-logging', not {self.logs!r}")
        if self.timeout < 1 or self.queue_ttl < 1:
            raise ValueError("timeout and queue_ttl are seconds, 1 or more")

    @property
    def parent(self) -> str:
        """What builds are below, as the API names it."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def pool_name(self) -> str:
        """The private pool's whole name; empty where there is none."""
        short = self.worker_pool and "/" not in self.worker_pool
        return f"{self.parent}/workerPools/{self.worker_pool}" if short else self.worker_pool

    @property
    def account_name(self) -> str:
        """The service account's whole name; empty where there is none."""
        mail = self.service_account and "/" not in self.service_account
        return f"projects/{self.project}/serviceAccounts/{self.service_account}" if mail else self.service_account


@attrs.frozen
class Uploaded:
    """Where the source is."""

    bucket: str
    name: str
    generation: str = ""
    """The version of the object; what somebody else writes under the name is not built."""


def default_bucket(project: str) -> str:
    """The bucket that ``gcloud builds submit`` makes for a project's sources; "google" may not stand in a bucket's name."""
    return f"{project.replace(':', '_').replace('.', '_').replace('google', 'elgoog')}_cloudbuild"


def build_request(image: str, made: Steps, options: CloudBuildOptions, source: Uploaded | None, *, run: str = "") -> dict[str, Any]:
    """The Build to create, as JSON has it.

    Args:
        image: The artifact, as the caller named it.
        made: What is done.
        options: Where and how.
        source: Where the source is; None: whoever starts the build says so, as ``gcloud builds submit`` does.
        run: A tag that finds this build again; empty: none.

    Raises:
        BuildError: A substitution that nothing uses, which Cloud Build refuses, or a step beyond its limits.
    """
    used: set[str] = set()
    steps = [_written(dict(step), options.substitutions, used) for step in made.steps]
    images = [_text(name, options.substitutions, used) for name in made.images]
    unused = [name for name in options.substitutions if name not in used]
    if unused:
        reason = f"nothing uses the substitution {unused[0]}, and Cloud Build refuses that"
        raise BuildError(image, reason, "", f"write ${unused[0]} where it belongs, such as in build_args, or take it out")
    for step in steps:
        _check_limits(image, step["args"])
    machine: dict[str, Any] = {
        **({"machineType": options.machine_type} if options.machine_type else {}),
        **({"diskSizeGb": str(options.disk_size_gb)} if options.disk_size_gb is not None else {}),
        **({"pool": {"name": options.pool_name}} if options.worker_pool else {}),
        "logging": "GCS_ONLY" if options.logs == "bucket" else "CLOUD_LOGGING_ONLY",
    }
    tags = [*options.tags, *([run] if run else [])]
    return {
        **({} if source is None else {"source": {"storageSource": _source(source)}}),
        "steps": steps,
        **({"images": images} if images else {}),
        "timeout": f"{options.timeout}s",
        "queueTtl": f"{options.queue_ttl}s",
        **({"logsBucket": f"gs://{options.bucket}/{_LOGS_FOLDER}"} if options.logs == "bucket" else {}),
        **({"serviceAccount": options.account_name} if options.service_account else {}),
        "options": machine,
        **({"substitutions": dict(options.substitutions)} if options.substitutions else {}),
        **({"tags": tags} if tags else {}),
    }


def _source(source: Uploaded) -> dict[str, str]:
    generation = {"generation": source.generation} if source.generation else {}
    return {"bucket": source.bucket, "object": source.name, **generation}


def _written(value: Any, names: Collection[str], used: set[str]) -> Any:
    """A value with every ``$`` as Cloud Build wants it."""
    if isinstance(value, str):
        return _text(value, names, used)
    if isinstance(value, dict):
        return {key: _written(item, names, used) for key, item in value.items()}
    return [_written(item, names, used) for item in value]


def _text(text: str, names: Collection[str], used: set[str]) -> str:
    def write(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name in names:
            used.add(name)
            return f"${{{name}}}"
        return "$" + found[0]

    return _USE.sub(write, text)


def _check_limits(image: str, arguments: list[str]) -> None:
    longest = max(map(len, arguments))
    if len(arguments) > _MOST_ARGUMENTS or longest > _LONGEST_ARGUMENT:
        reason = f"a step has {len(arguments)} arguments, the longest of {longest} characters"
        remedy = f"Cloud Build takes {_MOST_ARGUMENTS} of {_LONGEST_ARGUMENT} characters; put settings into a file of the source"
        raise BuildError(image, reason, "", remedy)


# ---- answers -----------------------------------------------------------------------------------------------------


@attrs.frozen
class BuildState:
    """What Cloud Build says of a build."""

    id: str
    status: str
    detail: str = ""
    """Why it is in that state, where it says so."""
    step: str = ""
    """The step that failed."""
    exit_code: int | None = None
    log_url: str = ""
    """Where a person sees it."""
    logs_bucket: str = ""
    """``gs://BUCKET[/FOLDER]``."""
    digest: Digest | None = None
    """Of what was pushed, where it is told."""

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.status in ENDED

    @property
    def log_object(self) -> tuple[str, str] | None:
        """Bucket and name of the object that holds its log; None where there is none."""
        bucket, _, folder = self.logs_bucket.removeprefix("gs://").partition("/")
        name = f"log-{self.id}.txt"
        return (bucket, f"{folder.strip('/')}/{name}" if folder.strip("/") else name) if bucket else None


def read_operation(fields: Mapping[str, Any]) -> BuildState | None:
    """The build in the answer to its creation; None where there is none."""
    build = mapping(mapping(fields.get("metadata")).get("build"))
    return read_build(build) if build.get("id") else None


def read_build(fields: Mapping[str, Any]) -> BuildState:
    """What a Build says; what it leaves out is empty."""
    steps = [mapping(step) for step in items(fields.get("steps"))]
    failed = next((step for step in steps if step.get("status") not in {None, "", "STATUS_UNKNOWN", "QUEUED", "WORKING", "SUCCESS"}), {})
    failure = mapping(fields.get("failureInfo"))
    told = [str(failure.get("detail") or ""), str(fields.get("statusDetail") or "")]
    code = failed.get("exitCode")
    return BuildState(
        id=str(fields.get("id") or ""),
        status=str(fields.get("status") or "STATUS_UNKNOWN"),
        detail=next(filter(None, told), ""),
        step=str(failed.get("id") or failed.get("name") or ""),
        exit_code=code if isinstance(code, int) else None,
        log_url=str(fields.get("logUrl") or ""),
        logs_bucket=str(fields.get("logsBucket") or ""),
        digest=_digest(mapping(fields.get("results"))),
    )


def _digest(results: Mapping[str, Any]) -> Digest | None:
    """Of the image that Cloud Build pushed, or else of what the last step says that it pushed."""
    for pushed in map(mapping, items(results.get("images"))):
        if isinstance(digest := pushed.get("digest"), str) and (found := told_digest(digest.encode())):
            return found
    outputs = [output for output in items(results.get("buildStepOutputs")) if isinstance(output, str) and output]
    try:
        return told_digest(base64.b64decode(outputs[-1], validate=False)) if outputs else None
    except binascii.Error:
        return None
