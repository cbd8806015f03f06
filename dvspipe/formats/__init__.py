"""Read and write event recordings of all formats.

The names are listed in `__init__.pyi` and loaded at first use, because what names a recording
needs no decoder.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
