"""Public names of a package, loaded at first use."""

import re
from collections.abc import Callable
from importlib import import_module


def attach_stub(package: str, file: str) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package: the imports of the `.pyi` file beside `file`."""
    with open(f"{file}i", encoding="utf-8") as stub:
        modules = {name: module for module, name in re.findall(r"from \.(\S*) import (\w+)", stub.read())}

    def load(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package} has no attribute {name}")
        module = import_module(f"{package}.{modules[name] or name}")
        return getattr(module, name) if modules[name] else module

    return load, lambda: [*modules], [*modules]
