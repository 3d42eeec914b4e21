"""archkit gets one workload onto Kubernetes nodes of any CPU architecture, from Python code.

The path of one run, each arrow a public object that works alone::

    nodes -> platforms -> targets -> build plan -> images -> index -> manifests

Start with :class:`Pipeline` for all of it; with :class:`ClusterInspector` and :func:`resolve_targets` to decide;
:func:`build` and a builder to build; :class:`IndexStitcher` to join images; :class:`AffinityRenderer` to write
manifests. Names are loaded on first use, so that importing archkit is cheap.
"""

from typing import TYPE_CHECKING

from archkit._version import __version__ as __version__

if TYPE_CHECKING:
    from archkit.adapters.docker_engine import DockerEngine as DockerEngine
    from archkit.adapters.google.signin import GoogleAccessToken as GoogleAccessToken
    from archkit.adapters.google.signin import GoogleCredentials as GoogleCredentials
    from archkit.adapters.kube import ClusterConnection as ClusterConnection
    from archkit.adapters.oci_layout import OciLayout as OciLayout
    from archkit.adapters.proxies import Proxies as Proxies
    from archkit.adapters.registry import DockerCredentials as DockerCredentials
    from archkit.adapters.registry import Limits as Limits
    from archkit.adapters.registry import RegistryClient as RegistryClient
    from archkit.adapters.yaml.documents import ManifestLimits as ManifestLimits
    from archkit.applying import Applied as Applied
    from archkit.applying import AppliedObject as AppliedObject
    from archkit.applying import Applier as Applier
    from archkit.applying import Rollout as Rollout
    from archkit.builders.buildpacks import BuildpacksBuilder as BuildpacksBuilder
    from archkit.builders.cloudbuild import CloudBuildBuilder as CloudBuildBuilder
    from archkit.builders.cloudbuild import GoogleEndpoints as GoogleEndpoints
    from archkit.builders.custom import CustomBuilder as CustomBuilder
    from archkit.builders.docker import DockerBuilder as DockerBuilder
    from archkit.builders.files import FilesBuilder as FilesBuilder
    from archkit.builders.jib import JibBuilder as JibBuilder
    from archkit.builders.ko import KoBuilder as KoBuilder
    from archkit.building import build as build
    from archkit.detection import DetectedBuilder as DetectedBuilder
    from archkit.detection import detect_builder as detect_builder
    from archkit.errors import ApplyError as ApplyError
    from archkit.errors import ArchkitError as ArchkitError
    from archkit.errors import BuildError as BuildError
    from archkit.errors import BuildToolError as BuildToolError
    from archkit.errors import CancelledError as CancelledError
    from archkit.errors import ClusterError as ClusterError
    from archkit.errors import ClusterForbiddenError as ClusterForbiddenError
    from archkit.errors import ClusterSignInError as ClusterSignInError
    from archkit.errors import ClusterUnreachableError as ClusterUnreachableError
    from archkit.errors import CommandError as CommandError
    from archkit.errors import CommandTimeoutError as CommandTimeoutError
    from archkit.errors import ContentError as ContentError
    from archkit.errors import DefectiveImageError as DefectiveImageError
    from archkit.errors import EmulationMissing as EmulationMissing
    from archkit.errors import FieldConflictError as FieldConflictError
    from archkit.errors import FindingsError as FindingsError
    from archkit.errors import ImmutableFieldError as ImmutableFieldError
    from archkit.errors import KubeconfigError as KubeconfigError
    from archkit.errors import ManifestSyntaxError as ManifestSyntaxError
    from archkit.errors import ManifestTooLarge as ManifestTooLarge
    from archkit.errors import NodeListError as NodeListError
    from archkit.errors import PlatformNotDelivered as PlatformNotDelivered
    from archkit.errors import PlatformSyntaxError as PlatformSyntaxError
    from archkit.errors import ReferenceSyntaxError as ReferenceSyntaxError
    from archkit.errors import RegistryError as RegistryError
    from archkit.errors import RolloutError as RolloutError
    from archkit.errors import RolloutTimeoutError as RolloutTimeoutError
    from archkit.errors import StitchError as StitchError
    from archkit.errors import TagMovedError as TagMovedError
    from archkit.errors import TargetsError as TargetsError
    from archkit.errors import ToolNotFoundError as ToolNotFoundError
    from archkit.errors import ToolTooOldError as ToolTooOldError
    from archkit.events import Event as Event
    from archkit.events import Listener as Listener
    from archkit.imagery import ImageDetails as ImageDetails
    from archkit.imagery import ImageEntry as ImageEntry
    from archkit.imagery import TagRemoval as TagRemoval
    from archkit.imagery import Verification as Verification
    from archkit.imagery import inspect as inspect
    from archkit.imagery import remove_tags as remove_tags
    from archkit.imagery import verify as verify
    from archkit.inspection import ClusterInspector as ClusterInspector
    from archkit.model.build import BuilderAbilities as BuilderAbilities
    from archkit.model.build import BuildPlan as BuildPlan
    from archkit.model.build import BuildRequest as BuildRequest
    from archkit.model.build import BuildResult as BuildResult
    from archkit.model.build import BuiltImage as BuiltImage
    from archkit.model.build import Delivered as Delivered
    from archkit.model.build import EngineSink as EngineSink
    from archkit.model.build import LayoutSink as LayoutSink
    from archkit.model.build import PlannedBuild as PlannedBuild
    from archkit.model.build import RegistrySink as RegistrySink
    from archkit.model.build import Sink as Sink
    from archkit.model.cluster import Cluster as Cluster
    from archkit.model.cluster import Pool as Pool
    from archkit.model.cluster_table import NodeCounts as NodeCounts
    from archkit.model.engine import EngineImage as EngineImage
    from archkit.model.engine import EngineInfo as EngineInfo
    from archkit.model.finding import Finding as Finding
    from archkit.model.node import Node as Node
    from archkit.model.node import Taint as Taint
    from archkit.model.oci import Descriptor as Descriptor
    from archkit.model.oci import RawManifest as RawManifest
    from archkit.model.platform import Platform as Platform
    from archkit.model.platform_set import PlatformSet as PlatformSet
    from archkit.model.reference import Digest as Digest
    from archkit.model.reference import ImageReference as ImageReference
    from archkit.model.secret import Secret as Secret
    from archkit.pipeline import Pipeline as Pipeline
    from archkit.pipeline import PipelinePlan as PipelinePlan
    from archkit.pipeline import PipelineRun as PipelineRun
    from archkit.planning.cloudbuild_recipes import BuildpacksRecipe as BuildpacksRecipe
    from archkit.planning.cloudbuild_recipes import DockerRecipe as DockerRecipe
    from archkit.planning.cloudbuild_recipes import JibRecipe as JibRecipe
    from archkit.planning.cloudbuild_recipes import KoRecipe as KoRecipe
    from archkit.planning.kinds import KindRule as KindRule
    from archkit.planning.kinds import PodPlace as PodPlace
    from archkit.planning.placement import PodPlacement as PodPlacement
    from archkit.planning.targets import Mode as Mode
    from archkit.planning.targets import Targets as Targets
    from archkit.planning.targets import resolve_targets as resolve_targets
    from archkit.ports.builder import Artifact as Artifact
    from archkit.ports.builder import BuildContext as BuildContext
    from archkit.ports.builder import Builder as Builder
    from archkit.ports.cluster import ClusterApi as ClusterApi
    from archkit.ports.credentials import Credentials as Credentials
    from archkit.ports.credentials import Login as Login
    from archkit.ports.credentials import StaticCredentials as StaticCredentials
    from archkit.ports.engine import Engine as Engine
    from archkit.ports.http import Retries as Retries
    from archkit.ports.nodes import NodeSource as NodeSource
    from archkit.ports.nodes import PoolSource as PoolSource
    from archkit.ports.registry import ImageStore as ImageStore
    from archkit.ports.registry import PlatformLookup as PlatformLookup
    from archkit.rendering import AffinityRenderer as AffinityRenderer
    from archkit.rendering import Change as Change
    from archkit.rendering import RenderedObjects as RenderedObjects
    from archkit.rendering import Rendering as Rendering
    from archkit.stitching import AnnotatedSource as AnnotatedSource
    from archkit.stitching import IndexStitcher as IndexStitcher
    from archkit.stitching import Source as Source
    from archkit.stitching import StitchedIndex as StitchedIndex
    from archkit.stitching import StitchRequest as StitchRequest
else:
    _HOME = {
        "AffinityRenderer": "archkit.rendering",
        "AnnotatedSource": "archkit.stitching",
        "Applied": "archkit.applying",
        "AppliedObject": "archkit.applying",
        "Applier": "archkit.applying",
        "ApplyError": "archkit.errors",
        "ArchkitError": "archkit.errors",
        "Artifact": "archkit.ports.builder",
        "BuildContext": "archkit.ports.builder",
        "BuildError": "archkit.errors",
        "BuildPlan": "archkit.model.build",
        "BuildRequest": "archkit.model.build",
        "BuildResult": "archkit.model.build",
        "BuildToolError": "archkit.errors",
        "Builder": "archkit.ports.builder",
        "BuilderAbilities": "archkit.model.build",
        "BuildpacksBuilder": "archkit.builders.buildpacks",
        "BuildpacksRecipe": "archkit.planning.cloudbuild_recipes",
        "BuiltImage": "archkit.model.build",
        "CancelledError": "archkit.errors",
        "Change": "archkit.rendering",
        "CloudBuildBuilder": "archkit.builders.cloudbuild",
        "Cluster": "archkit.model.cluster",
        "ClusterApi": "archkit.ports.cluster",
        "ClusterConnection": "archkit.adapters.kube",
        "ClusterError": "archkit.errors",
        "ClusterForbiddenError": "archkit.errors",
        "ClusterInspector": "archkit.inspection",
        "ClusterSignInError": "archkit.errors",
        "ClusterUnreachableError": "archkit.errors",
        "CommandError": "archkit.errors",
        "CommandTimeoutError": "archkit.errors",
        "ContentError": "archkit.errors",
        "Credentials": "archkit.ports.credentials",
        "CustomBuilder": "archkit.builders.custom",
        "DefectiveImageError": "archkit.errors",
        "Delivered": "archkit.model.build",
        "Descriptor": "archkit.model.oci",
        "Digest": "archkit.model.reference",
        "DetectedBuilder": "archkit.detection",
        "DockerBuilder": "archkit.builders.docker",
        "DockerCredentials": "archkit.adapters.registry",
        "DockerEngine": "archkit.adapters.docker_engine",
        "DockerRecipe": "archkit.planning.cloudbuild_recipes",
        "EmulationMissing": "archkit.errors",
        "Engine": "archkit.ports.engine",
        "EngineImage": "archkit.model.engine",
        "EngineInfo": "archkit.model.engine",
        "EngineSink": "archkit.model.build",
        "Event": "archkit.events",
        "FieldConflictError": "archkit.errors",
        "FilesBuilder": "archkit.builders.files",
        "Finding": "archkit.model.finding",
        "FindingsError": "archkit.errors",
        "GoogleAccessToken": "archkit.adapters.google.signin",
        "GoogleCredentials": "archkit.adapters.google.signin",
        "GoogleEndpoints": "archkit.builders.cloudbuild",
        "ImageDetails": "archkit.imagery",
        "ImageEntry": "archkit.imagery",
        "ImageReference": "archkit.model.reference",
        "ImageStore": "archkit.ports.registry",
        "ImmutableFieldError": "archkit.errors",
        "IndexStitcher": "archkit.stitching",
        "JibBuilder": "archkit.builders.jib",
        "JibRecipe": "archkit.planning.cloudbuild_recipes",
        "KindRule": "archkit.planning.kinds",
        "KoBuilder": "archkit.builders.ko",
        "KoRecipe": "archkit.planning.cloudbuild_recipes",
        "KubeconfigError": "archkit.errors",
        "LayoutSink": "archkit.model.build",
        "Limits": "archkit.adapters.registry",
        "Listener": "archkit.events",
        "Login": "archkit.ports.credentials",
        "ManifestLimits": "archkit.adapters.yaml.documents",
        "ManifestSyntaxError": "archkit.errors",
        "ManifestTooLarge": "archkit.errors",
        "Mode": "archkit.planning.targets",
        "Node": "archkit.model.node",
        "NodeCounts": "archkit.model.cluster_table",
        "NodeListError": "archkit.errors",
        "NodeSource": "archkit.ports.nodes",
        "OciLayout": "archkit.adapters.oci_layout",
        "Pipeline": "archkit.pipeline",
        "PipelinePlan": "archkit.pipeline",
        "PipelineRun": "archkit.pipeline",
        "PlannedBuild": "archkit.model.build",
        "Platform": "archkit.model.platform",
        "PlatformLookup": "archkit.ports.registry",
        "PlatformNotDelivered": "archkit.errors",
        "PlatformSet": "archkit.model.platform_set",
        "PlatformSyntaxError": "archkit.errors",
        "PodPlace": "archkit.planning.kinds",
        "PodPlacement": "archkit.planning.placement",
        "Pool": "archkit.model.cluster",
        "PoolSource": "archkit.ports.nodes",
        "Proxies": "archkit.adapters.proxies",
        "RawManifest": "archkit.model.oci",
        "ReferenceSyntaxError": "archkit.errors",
        "RegistryClient": "archkit.adapters.registry",
        "RegistryError": "archkit.errors",
        "RegistrySink": "archkit.model.build",
        "RenderedObjects": "archkit.rendering",
        "Rendering": "archkit.rendering",
        "Retries": "archkit.ports.http",
        "Rollout": "archkit.applying",
        "RolloutError": "archkit.errors",
        "RolloutTimeoutError": "archkit.errors",
        "Secret": "archkit.model.secret",
        "Sink": "archkit.model.build",
        "Source": "archkit.stitching",
        "StaticCredentials": "archkit.ports.credentials",
        "StitchError": "archkit.errors",
        "StitchRequest": "archkit.stitching",
        "StitchedIndex": "archkit.stitching",
        "TagMovedError": "archkit.errors",
        "TagRemoval": "archkit.imagery",
        "Taint": "archkit.model.node",
        "Targets": "archkit.planning.targets",
        "TargetsError": "archkit.errors",
        "ToolNotFoundError": "archkit.errors",
        "ToolTooOldError": "archkit.errors",
        "Verification": "archkit.imagery",
        "build": "archkit.building",
        "detect_builder": "archkit.detection",
        "inspect": "archkit.imagery",
        "remove_tags": "archkit.imagery",
        "resolve_targets": "archkit.planning.targets",
        "verify": "archkit.imagery",
    }

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        globals()[name] = value = getattr(importlib.import_module(_HOME[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOME})

    __all__ = list(_HOME)
