"""Local browser app with the main functions of the command line. Requires the extra `app`."""

from .server import AppCheck, AppSettings, Served, check_app, serve

__all__ = ["AppCheck", "AppSettings", "Served", "check_app", "serve"]
