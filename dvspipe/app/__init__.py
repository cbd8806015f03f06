"""The local web page: what the command line does, in a browser. It needs the extra `app`."""

from .server import AppCheck, AppSettings, Served, check_app, serve

__all__ = ["AppCheck", "AppSettings", "Served", "check_app", "serve"]
