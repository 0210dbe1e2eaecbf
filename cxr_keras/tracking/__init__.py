"""What a training tells programs that watch it: TensorBoard by event files, MLflow by its store.

Both are fed from one place, `Trackers`; what they are told is an epoch's row of `history.csv`, and at the end scores, figures and
hyperparameters. No path and no id of an image is among it.
"""

from cxr_keras.tracking.trackers import FoldResults, RunResults, Trackers, open_trackers

__all__ = ["FoldResults", "RunResults", "Trackers", "open_trackers"]
