"""CloudBuildBuilder: images built in Google Cloud Build, from a Dockerfile, by ko, by jib or by Buildpacks.

:mod:`archkit.planning.cloudbuild_recipes` says which steps, :mod:`archkit.planning.cloudbuild` writes the request,
:mod:`.source` packs the folder, :mod:`.checks` looks before, :mod:`.running` uploads, starts, follows and cleans up;
:mod:`archkit.adapters.google` talks to the APIs.
"""

from archkit.builders.cloudbuild.builder import CloudBuildBuilder as CloudBuildBuilder
from archkit.builders.cloudbuild.running import GoogleEndpoints as GoogleEndpoints
