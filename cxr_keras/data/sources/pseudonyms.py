"""Names for patients and images that do not tell who they are: keyed hashes with a secret salt.

A bare hash of a patient number is no protection, as all numbers of a hospital can be hashed and compared in a moment. With a secret
key (HMAC-SHA-256) they cannot. The same salt gives the same person the same name in every folder, so it must be kept: with another
one the images of a patient can lie in training and test without anybody seeing it. Hence none is ever made up here.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

SALT_VARIABLE = "CXR_PATIENT_SALT"
SALT_FILE = "patient_salt.txt"
SHORTEST_SALT = 16
"""Characters; 16 random hexadecimal digits are 64 bits, more than can be tried."""

_DIGITS = 20
"""Hexadecimal digits of a name: 80 bits, so two of a million images share one with a chance of 4e-13."""


def read_salt(folder: Path) -> bytes:
    """Take the salt from the environment, or from the file beside the images.

    Args:
        folder: where `patient_salt.txt` is looked for if the variable CXR_PATIENT_SALT is not set.

    Raises:
        ValueError: neither is there, or the salt is shorter than 16 characters; the message says how to make one.
    """
    file = folder / SALT_FILE
    given = os.environ.get(SALT_VARIABLE)
    if given is None and not file.is_file():
        raise ValueError(
            f"patients are named by a salted hash, and there is no salt: {SALT_VARIABLE} is not set and {file} does not exist. Make one "
            f"once, and take the same for every folder that may hold images of the same people: "
            f"python -c 'import secrets; print(secrets.token_hex(32))' > {file}"
        )
    place = str(file) if given is None else SALT_VARIABLE
    salt = (file.read_text(encoding="utf-8") if given is None else given).strip()
    if len(salt) < SHORTEST_SALT:
        raise ValueError(f"{place}: the salt has {len(salt)} characters; expected {SHORTEST_SALT} or more, at random.")
    return salt.encode()


def pseudonym(identifier: str, *, kind: str, salt: bytes) -> str:
    """Name something by a keyed hash.

    Args:
        identifier: what is not to be told; blanks around it and the case of its letters do not count.
        kind: "patient" or "image", so that equal identifiers of two kinds have different names.
        salt: the secret.

    Returns:
        20 hexadecimal digits.
    """
    message = f"{kind}\x00{identifier.strip().upper()}".encode()
    return hmac.new(salt, message, hashlib.sha256).hexdigest()[:_DIGITS]
