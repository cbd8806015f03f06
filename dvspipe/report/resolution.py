"""The resolution of pictures, for charts in files, pages and notebooks."""

DPI = 200  # of charts that are written: twice matplotlib's density
CSS_DPI = 100  # of charts in pages, so that letters of a chart are a little larger than in print
SHARPNESS = 2  # pixels of a screen per pixel of a page, for which pictures in notebooks are made
