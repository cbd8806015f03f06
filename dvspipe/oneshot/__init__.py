"""Learning of gestures: from a few films of each gesture to a classifier.

The names are listed in `__init__.pyi` and loaded at first use, because most of them need torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
