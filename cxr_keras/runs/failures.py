"""Which failures are the user's to mend, and what to tell: one place for the command line and for jobs."""

from __future__ import annotations

import errno

USER_ERROR = 2
NO_SPACE = 3
INTERRUPTED = 130


def explain(error: Exception) -> tuple[str, int] | None:
    """Turn an error into a message and an exit code.

    Args:
        error: what was raised.

    Returns:
        Message and exit code, or `None` for a fault of the program, whose traceback is needed.
    """
    if isinstance(error, ValueError | FloatingPointError):
        return str(error), USER_ERROR
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = f" ({error.filename})" if error.filename else ""
        return f"no space left on the device: {error.strerror}{where}. Free some; the same command continues.", NO_SPACE
    if isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError | IsADirectoryError):
        return f"{error.strerror}: {error.filename}", USER_ERROR
    return None
