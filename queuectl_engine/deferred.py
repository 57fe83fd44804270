"""Modules that what we import imports for a use that a program may never make."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def defer(name: str) -> None:
    """Let `import name` cost nothing until something is taken from it; harmless when it is loaded.

    `importlib.util.LazyLoader` would load it at its second import already, so for whoever we mean.
    """
    if name in sys.modules:
        return
    module = ModuleType(name)

    def load(attribute: str) -> Any:
        if sys.modules.get(name) is module:
            del sys.modules[name]
        return getattr(import_module(name), attribute)

    module.__getattr__ = load  # type: ignore[method-assign]  # PEP 562
    sys.modules[name] = module
