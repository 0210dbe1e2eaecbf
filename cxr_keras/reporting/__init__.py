"""Tables and figures for people, made from plain dictionaries and tables."""

from cxr_keras.reporting.curves import precision_recall_figure, roc_figure
from cxr_keras.reporting.figures import confusion_matrix_figure, learning_curves_figure
from cxr_keras.reporting.probabilities import calibration_figure, score_histograms_figure, thresholds_figure
from cxr_keras.reporting.style import save_figure
from cxr_keras.reporting.summary import all_tables
from cxr_keras.reporting.tables import headline_table, render_markdown, render_text

__all__ = [
    "all_tables",
    "calibration_figure",
    "confusion_matrix_figure",
    "headline_table",
    "learning_curves_figure",
    "precision_recall_figure",
    "render_markdown",
    "render_text",
    "roc_figure",
    "save_figure",
    "score_histograms_figure",
    "thresholds_figure",
]
