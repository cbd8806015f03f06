from .server import AppCheck as AppCheck
from .server import AppSettings as AppSettings
from .server import Served as Served
from .server import check_app as check_app
from .server import serve as serve
