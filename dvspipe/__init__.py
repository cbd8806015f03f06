"""Event-camera perception from an ordinary video to a label.

The public names are listed in `__init__.pyi`; each is loaded when it is first used, so that importing dvspipe is quick.

    >>> from dvspipe import events_from_video, read, write, Classifier
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
