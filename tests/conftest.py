"""What every test may rely on: the real public data where they lie, and nothing written
outside temporary folders.
"""

import os
import tempfile
from pathlib import Path

import duckdb
import pytest

# Set before the package is imported anywhere, and inherited by every kernel and child process.
# The cache is keyed by content, so that runs and workers may share it.
SCRATCH = (
    Path(tempfile.gettempdir())
    / f"playbook-tests-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
)
SCRATCH.mkdir(exist_ok=True)
os.environ["PLAYBOOK_CACHE"] = str(SCRATCH / "cache")
os.environ["PLAYBOOK_CONFIG"] = str(SCRATCH / "config")
os.environ.setdefault("PLAYBOOK_SALT", "a salt for tests only")
os.environ["IPYTHONDIR"] = str(SCRATCH / "ipython")
os.environ["MPLCONFIGDIR"] = str(SCRATCH / "matplotlib")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The engine remembers blocks of a file by its path and second of change; tests write the same path twice within one.
duckdb.execute("SET enable_external_file_cache = false")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real public data, named by PLAYBOOK_SHARED; without it the test
    skips.
    """
    named = os.environ.get("PLAYBOOK_SHARED", "")
    if not named:
        pytest.skip("PLAYBOOK_SHARED is not set: the real public data are not here")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"PLAYBOOK_SHARED names {named}, which is not a folder")
    return folder.resolve()


@pytest.fixture(autouse=True, scope="module")
def settings_as_imported():
    """What one file's tests set of pandas and matplotlib is not there for the next: which
    files share a process is chance.
    """
    import matplotlib as mpl
    import pandas as pd  # not above: numpy counts its threads when it is imported

    names = ("display.precision", "display.float_format", "display.max_colwidth")
    before = {name: pd.get_option(name) for name in names}
    with mpl.rc_context():
        yield
    for name, setting in before.items():
        pd.set_option(name, setting)


@pytest.fixture(autouse=True, scope="module")
def no_address_told_before():
    """What one file's tests keep secret must not be taken out of another's sentences."""
    from playbook import hidden

    hidden._whole.clear()
    hidden._words.clear()


#: the files that take minutes, first: with two workers the last file decides when both are done
LONG_FILES = ("test_warehouse", "test_notebooks", "test_training", "test_cases_exports")


def pytest_collection_modifyitems(items):
    """Begin with the long files; all else in the order it was found in."""
    place = {name: n for n, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG_FILES)))
