"""Records written by training and inference: frozen models that read and write their own files.

`training` stores the records of `training.py`, `inference` the records of `inference.py`; reports and the command line
read them. docs/reference/results.md lists every field with its unit.

The names are listed in `__init__.pyi` and loaded at first use, because most commands need few records.
"""

from ..base.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
