"""Why Google Cloud refused or a build ended badly, and what to grant, enable or change. Pure.

Sources: Google's error model (``google.rpc.Status`` with ``ErrorInfo``), the errors of Cloud Storage's JSON API, and the
references of IAM's roles and of Cloud Build's build states.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal, cast

import attrs

from archkit.errors import BuildError, BuildToolError, CommandError, EmulationMissing
from archkit.planning.decoded import items
from archkit.planning.jib import failure as jib_failure
from archkit.planning.tool_output import Kind, tool_failure

if TYPE_CHECKING:
    from archkit.planning.cloudbuild import BuildState, CloudBuildOptions

Doing = Literal["start", "watch", "cancel", "find-bucket", "upload", "remove", "read-log", "read-cloud-logging"]

_WORDS: dict[Doing, str] = {
    "start": "start a build",
    "watch": "look at the build",
    "cancel": "cancel the build",
    "find-bucket": "list the buckets of the project",
    "upload": "upload the source",
    "remove": "remove the uploaded source",
    "read-log": "read the build's log",
    "read-cloud-logging": "read the build's log in Cloud Logging",
}
_ON_PROJECT: dict[Doing, str] = {
    "start": "roles/cloudbuild.builds.editor",
    "watch": "roles/cloudbuild.builds.viewer",
    "cancel": "roles/cloudbuild.builds.editor",
    "find-bucket": "roles/storage.bucketViewer",
    "read-cloud-logging": "roles/logging.viewer",
}
_ON_BUCKET: dict[Doing, str] = {
    "upload": "roles/storage.objectUser",
    "remove": "roles/storage.objectUser",
    "read-log": "roles/storage.objectViewer",
}
_SERVICES: dict[Doing, str] = {
    **dict.fromkeys(("find-bucket", "upload", "remove", "read-log"), "storage.googleapis.com"),
    "read-cloud-logging": "logging.googleapis.com",
}
_DISABLED = re.compile(r"has not been used in project|it is disabled|API .* disabled", re.IGNORECASE)
_BILLING = re.compile(r"billing", re.IGNORECASE)
_QUOTA = re.compile(r"quota", re.IGNORECASE)
_ACT_AS = re.compile(r"actAs|act as", re.IGNORECASE)
_POOL = re.compile(r"worker_?pool", re.IGNORECASE)
_LONGEST = 500
_SIGN_IN = "sign in with `gcloud auth application-default login`, or let GOOGLE_APPLICATION_CREDENTIALS name a key file"
_YOU = "--member=user:YOU"
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


@attrs.frozen
class ApiFailure:
    """An answer that is no success."""

    doing: Doing
    status: int
    """Of HTTP."""
    message: str
    reason: str = ""
    """The machine's word for it, such as ``SERVICE_DISABLED``."""
    service: str = ""
    """The API concerned, where it says so."""

    @property
    def transient(self) -> bool:
        """Whether asking again later may help."""
        return self.status in _TRANSIENT


def read_failure(doing: Doing, status: int, body: bytes) -> ApiFailure:
    """What an answer of 400 and above says.

    Args:
        doing: What was asked for.
        status: Of HTTP.
        body: JSON in Google's error model or Cloud Storage's, or any text.
    """
    try:
        fields = json.loads(body)
    except ValueError:
        fields = None
    error = fields.get("error") if isinstance(fields, dict) else None
    if not isinstance(error, dict):
        text = " ".join(body.decode("utf-8", "replace").split())[:_LONGEST]
        return ApiFailure(doing, status, text or f"HTTP status {status}")
    infos = [one for name in ("details", "errors") for one in items(error.get(name)) if isinstance(one, dict) and one.get("reason")]
    info: dict[str, Any] = infos[0] if infos else {}
    metadata = info.get("metadata")
    service = metadata.get("service") if isinstance(metadata, dict) else ""
    message = " ".join(str(error.get("message") or f"HTTP status {status}").split())[:_LONGEST]
    return ApiFailure(doing, status, message, str(info.get("reason") or error.get("status") or ""), str(service or ""))


def refusal(failure: ApiFailure, image: str, options: CloudBuildOptions) -> BuildToolError:
    """The error for an answer that is no success: what was not possible, and the command that makes it so.

    Args:
        failure: The answer.
        image: The artifact, as the caller named it.
        options: Where the build was to run.
    """
    kind, remedy = _diagnosis(failure, options)
    reason = f"Google Cloud did not let archkit {_WORDS[failure.doing]}: {failure.message} (HTTP {failure.status})"
    return BuildToolError(image, reason, "", remedy, kind)


def _diagnosis(failure: ApiFailure, options: CloudBuildOptions) -> tuple[Kind, str]:
    project, text = options.project, failure.message
    if failure.status == 401:
        return "sign-in-refused", _SIGN_IN
    if failure.reason in {"SERVICE_DISABLED", "accessNotConfigured"} or (failure.status == 403 and _DISABLED.search(text)):
        service = failure.service or _SERVICES.get(failure.doing, "cloudbuild.googleapis.com")
        return "api-disabled", f"enable it with `gcloud services enable {service} --project={project}`"
    if failure.reason in {"BILLING_DISABLED", "accountDisabled"} or (failure.status in {400, 403} and _BILLING.search(text)):
        return "billing-disabled", f"link a billing account with `gcloud billing projects link {project} --billing-account=ACCOUNT`"
    if failure.status == 429 or (failure.status in {400, 403} and _QUOTA.search(text)):
        where = f"https://console.cloud.google.com/iam-admin/quotas?project={project}"
        return "quota-exceeded", f"wait, use another region, or ask for a higher quota at {where}"
    if failure.status == 403:
        return "permission-denied", _grant(failure, options)
    if failure.status == 404:
        return "failed", _missing(failure, options)
    return "failed", "it may pass: try again" if failure.transient else ""


def _grant(failure: ApiFailure, options: CloudBuildOptions) -> str:
    if failure.doing == "start" and _ACT_AS.search(failure.message):
        account = options.service_account or "ACCOUNT"
        role = "roles/iam.serviceAccountUser"
        return (
            f"grant it with `gcloud iam service-accounts add-iam-policy-binding {account} --project={options.project} {_YOU} --role={role}`"
        )
    if failure.doing == "start" and options.worker_pool and _POOL.search(failure.message):
        return _project_grant(options.project, "roles/cloudbuild.workerPoolUser")
    if failure.doing in _ON_BUCKET:
        role = _ON_BUCKET[failure.doing]
        return f"grant it with `gcloud storage buckets add-iam-policy-binding gs://{options.bucket} {_YOU} --role={role}`"
    more = ", or name the bucket with CloudBuildBuilder(bucket=…)" if failure.doing == "find-bucket" else ""
    return _project_grant(options.project, _ON_PROJECT[failure.doing]) + more


def _project_grant(project: str, role: str) -> str:
    return f"grant it with `gcloud projects add-iam-policy-binding {project} {_YOU} --role={role}`"


def _missing(failure: ApiFailure, options: CloudBuildOptions) -> str:
    if failure.doing == "upload":
        return make_bucket(options)
    pool = f", the private pool {options.pool_name}" if options.worker_pool else ""
    return f"check the project {options.project}, the region {options.region}{pool}"


def make_bucket(options: CloudBuildOptions) -> str:
    """How to make the bucket."""
    place = "" if options.region == "global" else f" --location={options.region}"
    return f"make it with `gcloud storage buckets create gs://{options.bucket} --project={options.project}{place}`"


def not_succeeded(state: BuildState, log: str, image: str, options: CloudBuildOptions, *, platform: str = "") -> BuildError:
    """The error for a build that ended in another state than SUCCESS.

    Args:
        state: As it ended.
        log: The last lines of its log.
        image: The artifact, as the caller named it.
        options: Where it ran.
        platform: The one that was built; empty: several.
    """
    detail = f": {state.detail}" if state.detail else ""
    seen = f"see {state.log_url}" if state.log_url else ""

    def error(reason: str, remedy: str, kind: Kind) -> BuildToolError:
        made = EmulationMissing if kind == "emulation-missing" else BuildToolError
        return made(image, f"{reason}{detail}", platform, ", ".join(filter(None, [remedy, seen])), kind, log)

    if state.status == "TIMEOUT":
        return error(
            f"Cloud Build ended it after {options.timeout} s", "give it more time with timeout=, or a larger machine_type=", "timeout"
        )
    if state.status == "EXPIRED":
        remedy = "let it wait longer with queue_ttl=, or ask for a higher quota of concurrent builds"
        return error(f"it waited in the queue for more than {options.queue_ttl} s", remedy, "quota-exceeded")
    if state.status == "CANCELLED":
        return error(f"somebody cancelled build {state.id} in Cloud Build", "", "failed")
    if state.status == "INTERNAL_ERROR":
        return error("Cloud Build itself failed", "try again", "failed")
    step = f"step {state.step}" if state.step else "the build"
    found = tool_failure(CommandError((step,), state.exit_code or 1, log), image, builder="Cloud Build", platform=platform)
    if not isinstance(found, BuildToolError):
        return found
    remedy = found.remedy
    if found.kind in {"push-denied", "pull-denied", "sign-in-refused"}:
        account = options.service_account or "the build's service account"
        remedy = f"let {account} push there: grant it roles/artifactregistry.writer on the repository"
    said = log.strip() or found.kind != "failed"
    reason = found.reason if said else f"{step} failed"
    if told := jib_failure(log):  # what Maven and Gradle print last is advice
        reason = f"Cloud Build failed: {step}: {told}"
    return error(reason, remedy, cast(Kind, found.kind))
