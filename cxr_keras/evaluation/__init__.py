"""Predictions, scores and intervals: everything is computed from a predictions table, so anyone's can be scored."""

from cxr_keras.evaluation.ledger import append_test_reading, image_ids_digest, read_ledger
from cxr_keras.evaluation.predictions import class_names, predictions_table, read_predictions, validate_predictions, write_predictions
from cxr_keras.evaluation.scores import score_predictions

__all__ = [
    "append_test_reading",
    "class_names",
    "image_ids_digest",
    "predictions_table",
    "read_ledger",
    "read_predictions",
    "score_predictions",
    "validate_predictions",
    "write_predictions",
]
