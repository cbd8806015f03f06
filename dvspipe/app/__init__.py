"""Local browser app with the main functions of the command line. Requires the extra `app`."""

import os

from .workspace import GRADIO_FOLDER

os.environ["GRADIO_TEMP_DIR"] = str(GRADIO_FOLDER)  # Gradio reads it when it is imported, so before the next line

from .server import AppCheck, AppSettings, Served, check_app, serve

__all__ = ["AppCheck", "AppSettings", "Served", "check_app", "serve"]
