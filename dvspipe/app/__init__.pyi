from .config import AppSettings as AppSettings
from .server import Served as Served
from .server import serve as serve
