"""JibBuilder: Java programs, built by jib in Maven or Gradle for any number of platforms in one run, without an engine.

:mod:`archkit.planning.jib` decides which tool a folder needs and writes the command line, :mod:`.builder` asks the base's registry
and runs it.
"""

from archkit.builders.jib.builder import JibBuilder as JibBuilder
