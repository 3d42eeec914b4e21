"""KoBuilder: Go programs, built by ko for any number of platforms in one call, without an engine.

The decisions are pure: :mod:`.config` reads what ``.ko.yaml`` says of the base and the flags, :mod:`.command` writes
ko's command line and environment and reads what it prints. :mod:`.builder` asks Go, the base's registry and ko.
"""

from archkit.builders.ko.builder import KoBuilder as KoBuilder
