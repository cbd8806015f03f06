"""Previews, charts and self-contained HTML pages, made from the plain records that other stages return and store."""

from .answers import score_line, write_answers_page, write_pictures
from .charts import draw_confusion, draw_curves, draw_probabilities
from .comparison import figures, write_comparison_page
from .neurons import draw_neurons
from .page import write_training_page
from .plots import PLOTS, draw_events
from .previews import PreviewSettings, write_preview
from .rasters import draw_rasters

__all__ = [
    "PLOTS",
    "PreviewSettings",
    "draw_confusion",
    "draw_curves",
    "draw_events",
    "draw_neurons",
    "draw_probabilities",
    "draw_rasters",
    "figures",
    "score_line",
    "write_answers_page",
    "write_comparison_page",
    "write_pictures",
    "write_preview",
    "write_training_page",
]
