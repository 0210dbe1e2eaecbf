import configparser
import subprocess
import sys
from pathlib import Path

import pytest

import cxr_keras

REPOSITORY = Path(__file__).resolve().parents[1]


def test_setup_lists_every_package():
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    found = {
        str(path.parent.relative_to(REPOSITORY)).replace("/", ".")
        for top in ("cxr_keras", "models_zoo")
        for path in (REPOSITORY / top).rglob("__init__.py")
    }
    assert listed == found | {"cxr_keras.configs"}


@pytest.mark.parametrize("name", cxr_keras.__all__)
def test_public_names_are_documented(name):
    assert getattr(cxr_keras, name).__doc__


def test_an_unknown_public_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match="cross_validate"):
        cxr_keras.crossvalidate  # noqa: B018


def test_importing_the_package_loads_no_backend():
    code = "import sys, cxr_keras, cxr_keras.cli.app; print([m for m in ('tensorflow', 'keras', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
