"""Which failures are the user's to mend, and what to tell: one place for the command line and for jobs."""

from __future__ import annotations

import errno
import os
import traceback

PROGRAM_ERROR = 1
USER_ERROR = 2
NO_SPACE = 3
INTERRUPTED = 130

TRACEBACK_VARIABLE = "CXR_TRACEBACK"
"""Set to anything, errors are shown with their traceback."""

OWN_PACKAGES = ("cxr_keras", "models_zoo")


def explain(error: Exception) -> tuple[str, int] | None:
    """Turn an error into a message and an exit code.

    A `ValueError` that this project raised is meant for the user and says how to mend it. One of a library may come from a
    damaged file or from a fault of the program, so the message says where it was met.

    Args:
        error: what was raised.

    Returns:
        Message and exit code, or `None` where the traceback is needed: a fault of the program, or `CXR_TRACEBACK` is set.
    """
    if os.environ.get(TRACEBACK_VARIABLE):
        return None
    if isinstance(error, ValueError | FloatingPointError):
        return (str(error), USER_ERROR) if _own_frame(error, innermost=True) else (_of_library(error), PROGRAM_ERROR)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" ({error.filename})" if error.filename else ""
        return f"no space left on the device: {error.strerror}{where}. Free some; the same command continues.", NO_SPACE
    of_paths = FileNotFoundError | FileExistsError | PermissionError | NotADirectoryError | IsADirectoryError
    if isinstance(error, of_paths) or (isinstance(error, OSError) and error.errno == errno.EROFS):
        return f"{error.strerror}: {error.filename}", USER_ERROR
    return None


def _own_frame(error: Exception, *, innermost: bool = False) -> traceback.FrameSummary | None:
    """The deepest frame of this project, or with `innermost` only one that raised the error itself; `None` if there is none."""
    frames = [(frame.f_globals.get("__name__", ""), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    summaries = traceback.extract_tb(error.__traceback__)
    own = [index for index, (module, _) in enumerate(frames) if module.partition(".")[0] in OWN_PACKAGES]
    if not own or (innermost and own[-1] != len(frames) - 1):
        return None
    return summaries[own[-1]]


def _of_library(error: Exception) -> str:
    frame = _own_frame(error)
    where = f" It was met in {frame.name} ({frame.filename}:{frame.lineno})." if frame else ""
    return (
        f"{type(error).__name__}: {error}\nA library raised this.{where} A damaged file may be behind it, or a fault of this program; "
        f"{TRACEBACK_VARIABLE}=1 shows the whole way."
    )
