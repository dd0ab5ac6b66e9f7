"""The machine's limits: a disk that is full or may not be written, a lost right, odd paths, a
clock that is off, many stores. Each ends in one message that says which limit it was and what
to do, or does no harm; nothing is half written, and once there is room the work goes on.
"""

import functools
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from small_month import MAPPING, write_shop
from test_month import stocked

from playbook.cli import main
from playbook.runs import plan
from playbook.sources import importing
from playbook.store import open_store
from playbook.store.disk import full_folder, unwritable
from playbook.store.write import locked, reading

ROOT = Path(__file__).resolve().parents[1]
ROWS = 60_000


@pytest.fixture
def disk(tmp_path):
    """A function that mounts a disk of a given size and gives its folder."""
    mounted = []

    def mount(name: str, size: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if not shutil.which("mount") or subprocess.run(words, capture_output=True).returncode:
            pytest.skip("a disk of its own needs a Linux and the right to mount one")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def kitchen(tmp_path, monkeypatch):
    """A shop of six orders and chapters that are executed in no time."""
    stocked(monkeypatch, tmp_path)
    monkeypatch.setenv("PLAYBOOK_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def export(tmp_path):
    """Words that import an export of several megabytes, without `--into`."""
    rows = "".join(f"{n},2026-01-{n % 28 + 1:02d},art{n * 7919},1,1.50\n" for n in range(ROWS))
    (tmp_path / "rows.csv").write_text("number,when,article,pieces,each\n" + rows)
    (tmp_path / "map.yaml").write_text(MAPPING)
    words = ["import", "generic", str(tmp_path / "rows.csv")]
    return [*words, "--mapping", str(tmp_path / "map.yaml"), "--into"]


def refused(capsys, words: list) -> str:
    """What a refused command says: one line, no traceback."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 1
    said = capsys.readouterr().err.strip()
    assert said.splitlines()[-1].startswith("Refused: ") and "What to do: " in said
    assert "Traceback" not in said and "Errno" not in said
    return said


def files_in(folder: Path) -> dict:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_where_the_stores_disk_is_full_nothing_of_an_import_is_left(disk, export, capsys):
    full = disk("full", "256k")
    said = refused(capsys, [*export, full / "shop"])
    assert "The disk is full" in said and f"free space where {full}" in said
    assert not (full / "shop").exists() or files_in(full / "shop") == {}


def test_where_the_disk_of_the_months_is_full_the_last_month_stands_and_the_next_goes_on(
    disk, kitchen, capsys
):
    full = disk("full", "4m")
    run = ["run", "--store", "shop", "--runs", str(full / "runs"), "--month"]
    assert main([*run, "2026-01"]) == 0
    before = files_in(full / "runs" / "corner" / "2026-01")
    room = shutil.disk_usage(full).free
    (full / "filler").write_bytes(b"x" * (room - 8_192))
    said = refused(capsys, [*run, "2026-02"])
    assert "The disk is full" in said and f"free space where {full}" in said
    assert not (full / "runs" / "corner" / "2026-02").exists()
    assert files_in(full / "runs" / "corner" / "2026-01") == before
    (full / "filler").unlink()
    assert main([*run, "2026-02"]) == 0
    names = {p.name for p in (full / "runs" / "corner").iterdir()}
    assert not any(name.endswith((".partial", ".tmp")) for name in names)


def test_where_the_disk_for_files_in_passing_is_full_a_packed_file_names_it(
    disk, export, tmp_path, monkeypatch, capsys
):
    full = disk("full", "64k")
    monkeypatch.setattr("tempfile.tempdir", str(full))
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "rows.csv").read_bytes()))
    words = [str(packed) if word.endswith("rows.csv") else word for word in export]
    said = refused(capsys, [*words, tmp_path / "shop"])
    assert "The disk is full" in said and f"free space where {full}" in said
    assert not list(full.iterdir()) and not (tmp_path / "shop").exists()


def test_a_month_needs_no_room_for_files_in_passing_and_none_in_the_cache(
    disk, kitchen, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(disk("passing", "8k")))
    monkeypatch.setenv("PLAYBOOK_CACHE", str(disk("derived", "32k")))
    assert main(["run", "--store", "shop", "--month", "2026-02"]) == 0
    assert (kitchen / "runs" / "corner" / "2026-02" / "playbook.xlsx").exists()


@pytest.mark.parametrize("place", ["runs", "import", "cache"])
def test_a_disk_that_may_only_be_read_is_named_with_the_folder(
    disk, kitchen, export, monkeypatch, capsys, place
):
    sealed = disk("sealed", "1m")
    subprocess.run(["mount", "-o", "remount,ro", str(sealed)], check=True)
    run = ["run", "--store", "shop", "--month", "2026-02", "--runs"]
    words = {
        "runs": [*run, sealed / "runs"],
        "import": [*export, sealed / "shop"],
        "cache": [*run, kitchen / "runs"],
    }
    if place == "cache":
        monkeypatch.setenv("PLAYBOOK_CACHE", str(sealed / "cache"))
    said = refused(capsys, words[place])
    assert "Read-only file system" in said and str(sealed) in said
    assert not (kitchen / "runs").exists()


def test_a_store_that_may_only_be_read_is_read(disk, kitchen):
    sealed = disk("sealed", "1m")
    write_shop(sealed / "shop")
    subprocess.run(["mount", "-o", "remount,ro", str(sealed)], check=True)
    assert main(["run", "--store", str(sealed / "shop"), "--month", "2026-02"]) == 0


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can step down to a user"
)
def test_a_user_without_the_right_to_write_is_told_the_folder(kitchen, monkeypatch):
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        for name in ("shop", "nbs"):
            shutil.copytree(kitchen / name, Path(open_to_all) / name)
        monkeypatch.setattr(plan, "notebooks_folder", lambda: Path(open_to_all) / "nbs")
        (Path(open_to_all) / "cache").mkdir(mode=0o777)
        (Path(open_to_all) / "cache").chmod(0o777)
        monkeypatch.setenv("PLAYBOOK_CACHE", str(Path(open_to_all) / "cache"))
        store, runs = str(Path(open_to_all) / "shop"), Path(open_to_all) / "runs"
        words = ["run", "--store", store, "--month", "2026-02", "--runs"]
        assert main([*words, str(kitchen / "runs")]) == 0  # all is imported that a run needs
        status, said = _as_nobody([*words, str(runs)])
        assert status == 1 and "Permission denied" in said and str(runs) in said
        assert "Traceback" not in said and not runs.exists()


def _as_nobody(words: list[str]) -> tuple[int, str]:
    """Exit status and complaints of a command in a process of a user without rights."""
    told, tells = os.pipe()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.setuid(65_534)
            sys.stderr = os.fdopen(tells, "w")
            status = main(words)
            sys.stderr.flush()
        finally:
            os._exit(status)
    os.close(tells)
    with os.fdopen(told) as complaints:
        said = complaints.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


@pytest.mark.parametrize(
    "name",
    ['it\'s a "shop" at 100%', "магазин 店 متجر", f"{'x' * 120}/{'y' * 120}", " lead and trail "],
)
def test_a_path_of_any_letters_and_length_holds_a_store_its_months_and_its_cache(
    kitchen, monkeypatch, name
):
    store = write_shop(kitchen / name / "shop")
    monkeypatch.setenv("PLAYBOOK_CACHE", str(kitchen / name / "cache"))
    runs = kitchen / name / "runs"
    words = ["run", "--store", str(store), "--month", "2026-02", "--runs", str(runs)]
    assert main(words) == 0
    assert (runs / "corner" / "2026-02" / "index.html").exists()


def test_a_clock_that_is_off_changes_no_figure_and_no_store_is_taken_for_another(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("PLAYBOOK_CACHE", str(tmp_path / "cache"))
    sums = []
    for year, price in ((1970, 10), (2105, 11), (1970, 12)):
        store = write_shop(tmp_path / "shop", price=price)
        for path in store.iterdir():
            os.utime(path, ((year - 1969) * 3.1e7,) * 2)
        shop = open_store(store, until="2026-02")
        sums.append(float(shop.sales_orders.revenue.sum().to_pandas()))
    assert sums == [120.0, 132.0, 144.0]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs the list of threads")
def test_many_stores_opened_one_after_the_other_keep_no_threads(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAYBOOK_CACHE", str(tmp_path / "cache"))
    counts = []
    for n in range(24):
        shop = open_store(write_shop(tmp_path / f"{n}", price=10 + n), until="2026-02")
        assert int(shop.orders.count().to_pandas()) == 6
        counts.append(len(os.listdir("/proc/self/task")))
        del shop
    # an engine's own threads come and go; one kept for each store would be twenty more
    assert min(counts[-6:]) < min(counts[:6]) + 10


def test_an_error_of_the_disk_is_found_behind_what_a_library_made_of_it():
    deep = OSError(28, "No space left on device")
    try:
        try:
            raise deep
        except OSError as error:
            raise RuntimeError("could not write") from error
    except RuntimeError as error:
        assert unwritable(error) is deep
    assert unwritable(RuntimeError(deep)) is deep
    assert unwritable(OSError(2, "No such file")) is None and unwritable(ValueError("x")) is None


def test_the_full_disk_is_that_of_the_file_named_and_never_a_folder_of_ours_in_passing(tmp_path):
    named = OSError(28, "No space left on device", str(tmp_path / "shop" / ".staging" / "a"))
    assert full_folder(named) == tmp_path
    (tmp_path / "shop").mkdir()
    told = RuntimeError(f'Could not write file "{tmp_path}/shop/.staging/orders.parquet": full')
    assert full_folder(told) == tmp_path / "shop"


def test_an_import_waits_for_another_and_for_a_month_that_is_being_made(
    kitchen, export, monkeypatch, capsys
):
    short = [*export, str(kitchen / "store")]
    (kitchen / "rows.csv").write_text(
        "number,when,article,pieces,each\n1,2026-01-20,a,2,5.00\n2,2026-02-21,b,1,7.50\n"
    )
    holding = threading.Timer(0.0, _hold, [kitchen / "store", locked, 1.0])
    holding.start()
    time.sleep(0.3)
    assert main(short) == 0  # it waited
    holding.join()
    before = files_in(kitchen / "store")
    monkeypatch.setattr(importing, "locked", functools.partial(locked, wait_seconds=0.2))
    for hold in (reading, locked):
        with hold(kitchen / "store"):
            assert "another import is writing" in refused(capsys, short)
    assert files_in(kitchen / "store") == before


def _hold(folder: Path, lock, seconds: float) -> None:
    with lock(folder):
        time.sleep(seconds)


def test_a_month_waits_for_an_import_and_is_refused_where_it_takes_too_long(
    kitchen, export, monkeypatch, capsys
):
    (kitchen / "rows.csv").write_text(
        "number,when,article,pieces,each\n1,2026-01-20,a,2,5.00\n2,2026-02-21,b,1,7.50\n"
    )
    assert main([*export, str(kitchen / "store")]) == 0
    run = ["run", "--store", str(kitchen / "store"), "--month", "2026-01"]
    clock = iter(range(0, 10**6, 20))  # half a minute passes at the second look
    with locked(kitchen / "store"):
        monkeypatch.setattr("playbook.store.write.time.monotonic", lambda: float(next(clock)))
        assert "another import is writing" in refused(capsys, run)
    assert not (kitchen / "runs").exists()


def test_an_imports_memory_follows_what_is_read(tmp_path):
    """200 MB, and four times the file, a packed one and earlier parquet taken six times, 3.2 GB
    at most.
    """
    plain, packed, earlier = (
        tmp_path / name for name in ("a.csv", "a.zip", "store/.imports/f/a.parquet")
    )
    earlier.parent.mkdir(parents=True)
    for path, size in ((plain, 10_000_000), (packed, 10_000_000), (earlier, 5_000_000)):
        with open(path, "wb") as handle:
            handle.truncate(size)
    told = functools.partial(importing._memory, folder=tmp_path / "shop")
    assert (told([plain]), told([packed])) == ("240MB", "440MB")
    assert importing._memory([plain], tmp_path / "store") == "360MB"
    with open(plain, "wb") as handle:
        handle.truncate(1_000_000_000)
    assert told([plain]) == "3200MB"


#: prints the exit status of a command and the peak of its memory, as the system counts it
PEAK_OF_A_CHILD = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_pid, status, used = os.wait4(child.pid, 0)
print(status, used.ru_maxrss)
"""


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="the peak of a process is told by Unix")
def test_the_peak_of_an_import_is_under_six_times_the_file_and_half_a_gigabyte(tmp_path):
    rows = "".join(
        f"{100_000 + i // 2},2026-01-{1 + i % 28:02d},a{i % 900:04d},{1 + i % 3},{5 + i % 90}.50\n"
        for i in range(250_000)
    )
    (tmp_path / "rows.csv").write_text("number,when,article,pieces,each\n" + rows)
    (tmp_path / "map.yaml").write_text(MAPPING)
    words = ["import", "generic", "rows.csv", "--into", "store", "--mapping", "map.yaml"]
    about = {**os.environ, "PYTHONPATH": str(ROOT)}
    about.pop("PLAYBOOK_MEMORY", None)
    call = [sys.executable, "-m", "playbook", *words]
    # a process counts the memory of the one it was forked from: this one may be large, a new
    # one is small
    told = [sys.executable, "-c", PEAK_OF_A_CHILD, *call]
    done = subprocess.run(told, cwd=tmp_path, env=about, capture_output=True, text=True, check=True)
    status, peak = map(int, done.stdout.split()[-2:])
    peak *= 1 if sys.platform == "darwin" else 1024
    assert status == 0 and peak <= 6 * (tmp_path / "rows.csv").stat().st_size + 500_000_000
