"""Resolutions of charts in files, pages and notebooks."""

DPI = 200  # charts written to files: twice matplotlib's density
CSS_DPI = 100  # charts in pages; text is a little larger than in print
SHARPNESS = 2  # screen pixels per CSS pixel assumed for pictures in notebooks
