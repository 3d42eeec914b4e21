"""BuildpacksBuilder: source folders without a Dockerfile, built by Cloud Native Buildpacks with pack, one platform a call.

The decisions are pure: :mod:`.metadata` reads what a builder image and a ``project.toml`` say, :mod:`.command` writes
pack's command line and reads what it prints. :mod:`.images` looks at the images that pack will take, :mod:`.builder`
asks pack and the engine and runs it.
"""

from archkit.builders.buildpacks.builder import BuildpacksBuilder as BuildpacksBuilder
