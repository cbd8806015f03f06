"""Previews, charts and self-contained HTML pages, made from events and from the records in `results`."""

from .answers import draw_recording, score_line, write_answers_page
from .charts import draw_confusion, draw_curves, draw_neurons
from .comparison import Metric, describe_comparison, write_comparison_page
from .config import PreviewColours, PreviewMode, PreviewSettings
from .examples import draw_examples
from .movements import GestureFilm, write_movement_page
from .pages import check_page_name
from .players import RateCurve, describe_colours, write_player_page
from .plots import PLOTS, PlotKind, PlotSource, draw_events, sample_events
from .previews import write_preview
from .rasters import draw_rasters
from .rerun_log import Predictions, write_rerun
from .skeletons import write_refusal_picture, write_track_preview
from .timelines import draw_timeline, write_overlay
from .training_page import write_training_page
from .views import view

__all__ = [
    "PLOTS",
    "GestureFilm",
    "Metric",
    "PlotKind",
    "PlotSource",
    "Predictions",
    "PreviewColours",
    "PreviewMode",
    "PreviewSettings",
    "RateCurve",
    "check_page_name",
    "describe_colours",
    "describe_comparison",
    "draw_confusion",
    "draw_curves",
    "draw_events",
    "draw_examples",
    "draw_neurons",
    "draw_rasters",
    "draw_recording",
    "draw_timeline",
    "sample_events",
    "score_line",
    "view",
    "write_answers_page",
    "write_comparison_page",
    "write_movement_page",
    "write_overlay",
    "write_player_page",
    "write_preview",
    "write_refusal_picture",
    "write_rerun",
    "write_track_preview",
    "write_training_page",
]
