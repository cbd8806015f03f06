"""Local browser app with the main functions of the command line. Requires the extra `app`.

The names are listed in `__init__.pyi` and loaded at first use, because the page needs gradio, and its command does not.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
