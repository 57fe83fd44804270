"""Modules that are loaded at their first use."""

from __future__ import annotations

import subprocess
import sys


def test_a_deferred_module_is_loaded_when_something_is_taken_from_it() -> None:
    script = (
        "import sys\n"
        "from queuectl_engine.deferred import defer\n"
        "defer('inspect')\n"
        "import inspect\n"
        "import inspect as again\n"
        "print('ast' in sys.modules)\n"
        "print(inspect.cleandoc(' a'), again.cleandoc(' b'), 'ast' in sys.modules)\n"
        "from inspect import cleandoc\n"
        "print(sys.modules['inspect'].cleandoc is cleandoc is inspect.cleandoc)\n"
        "loaded = sys.modules['inspect']\n"
        "defer('inspect')\n"
        "print(sys.modules['inspect'] is loaded, hasattr(inspect, 'nothing'))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == ["False", "a b True", "True", "True False"]
