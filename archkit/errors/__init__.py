"""Every exception that archkit raises.

All derive from :class:`ArchkitError`. Fields are plain positional values, so errors survive pickling
(process pools, pytest-xdist); ``str()`` says what failed and, where there is one, what to do next. Each class
also derives from the built-in that somebody who does not know archkit would catch. This package imports
nothing else of archkit. ``base`` has the common base; the others are sorted by what failed.
"""

from archkit.errors.base import ArchkitError as ArchkitError
from archkit.errors.base import CancelledError as CancelledError
from archkit.errors.building import BuildError as BuildError
from archkit.errors.building import BuildToolError as BuildToolError
from archkit.errors.building import CommandError as CommandError
from archkit.errors.building import CommandTimeoutError as CommandTimeoutError
from archkit.errors.building import EmulationMissing as EmulationMissing
from archkit.errors.building import PlatformNotDelivered as PlatformNotDelivered
from archkit.errors.building import ToolNotFoundError as ToolNotFoundError
from archkit.errors.building import ToolTooOldError as ToolTooOldError
from archkit.errors.cluster import ApplyError as ApplyError
from archkit.errors.cluster import ClusterError as ClusterError
from archkit.errors.cluster import ClusterForbiddenError as ClusterForbiddenError
from archkit.errors.cluster import ClusterSignInError as ClusterSignInError
from archkit.errors.cluster import ClusterUnreachableError as ClusterUnreachableError
from archkit.errors.cluster import FieldConflictError as FieldConflictError
from archkit.errors.cluster import ImmutableFieldError as ImmutableFieldError
from archkit.errors.cluster import KubeconfigError as KubeconfigError
from archkit.errors.cluster import RolloutError as RolloutError
from archkit.errors.cluster import RolloutTimeoutError as RolloutTimeoutError
from archkit.errors.images import ContentError as ContentError
from archkit.errors.images import DefectiveImageError as DefectiveImageError
from archkit.errors.images import RegistryError as RegistryError
from archkit.errors.images import StitchError as StitchError
from archkit.errors.images import TagMovedError as TagMovedError
from archkit.errors.inputs import FindingsError as FindingsError
from archkit.errors.inputs import ManifestSyntaxError as ManifestSyntaxError
from archkit.errors.inputs import ManifestTooLarge as ManifestTooLarge
from archkit.errors.inputs import NodeListError as NodeListError
from archkit.errors.inputs import PlatformSyntaxError as PlatformSyntaxError
from archkit.errors.inputs import ReferenceSyntaxError as ReferenceSyntaxError
from archkit.errors.inputs import TargetsError as TargetsError
