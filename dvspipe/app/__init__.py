"""Local browser app with the main functions of the command line. Requires the extra `app`.

The names are listed in `__init__.pyi` and loaded at first use, because the page needs gradio, and its command does not.
"""

from ..base.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
