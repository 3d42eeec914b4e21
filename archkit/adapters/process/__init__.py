"""The only starter of processes.

``runner`` starts them and follows them, ``lines`` cuts what they print into lines, ``tree`` ends them with everything
that they started, ``signals`` sees to it that Ctrl-C and SIGTERM leave none behind.
"""

from archkit.adapters.process.runner import ProcessRunner as ProcessRunner
from archkit.adapters.process.runner import environment as environment
from archkit.adapters.process.signals import unwinding as unwinding

__all__ = ["ProcessRunner", "environment", "unwinding"]
