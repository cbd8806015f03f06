"""Previews, charts and self-contained HTML pages, made from the plain records that other stages return and store."""

from .charts import draw_confusion, draw_curves, draw_probabilities
from .comparison import figures, write_comparison_page
from .neurons import draw_neurons
from .page import write_training_page
from .previews import PreviewSettings, write_preview
from .rasters import draw_rasters

__all__ = [
    "PreviewSettings",
    "draw_confusion",
    "draw_curves",
    "draw_neurons",
    "draw_probabilities",
    "draw_rasters",
    "figures",
    "write_comparison_page",
    "write_preview",
    "write_training_page",
]
