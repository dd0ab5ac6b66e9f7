"""A stranger opens the welcome notebook in JupyterLab and passes the first exercise by
doing what the page says.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from browser import Browser, chromium

from playbook.demo.make import make_demo
from playbook.training.course import start_course
from playbook.training.learners import records

ROOT = Path(__file__).resolve().parent.parent
PICTURES = os.environ.get("PLAYBOOK_SCREENSHOTS", "")  # a folder that keeps the screenshots
KEYS = {"Enter": 13, "Home": 36, "End": 35, "Backspace": 8}
SHIFT, CONTROL = 8, 2
RUNNING = "[...document.querySelectorAll('.jp-InputPrompt')].some(p => p.textContent.includes('*'))"
ACTIVE = "document.querySelector('.jp-Notebook-cell.jp-mod-active')"

pytestmark = [
    pytest.mark.skipif(
        not chromium(), reason="no Chromium on this machine (apt-get install chromium)"
    )
]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """JupyterLab on a learner's own copies of the training notebooks, on a small shop;
    gives its address.
    """
    pytest.importorskip("websocket", reason="websocket-client is not installed")
    for name in ("LEARNER_DIR", "CACHE"):
        monkeypatch.setenv(f"PLAYBOOK_{name}", str(tmp_path / name.lower()))
    for name in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / "jupyter" / name.lower()))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    store = make_demo(tmp_path / "store", preset="tiny", customers=600, months=4)
    folder, _ = start_course("ann", str(store), None, tmp_path / "work")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--IdentityProvider.token=",
        f"--ServerApp.root_dir={folder}",
        "--LabApp.extension_manager=readonly",
    ]
    with (tmp_path / "lab.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path)
    try:
        address, end = f"http://127.0.0.1:{port}", time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"{address}/api", timeout=5).read()
                break
            except OSError:
                assert time.monotonic() < end and server.poll() is None, (
                    tmp_path / "lab.log"
                ).read_text()[-2000:]
                time.sleep(0.3)
        yield address
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(tmp_path / "store", ignore_errors=True)


def wait(browser, code, what, seconds=120):
    end = time.monotonic() + seconds
    while not (found := browser.js(code)):
        if time.monotonic() > end:
            if PICTURES:
                browser.picture(Path(PICTURES) / "lab-stuck.png")
            raise AssertionError(f"{what}: {browser.js('document.body.innerText')[-1500:]}")
        time.sleep(0.2)
    return found


def press(browser, name, modifiers=0):
    key = {"key": name, "code": name, "windowsVirtualKeyCode": KEYS[name], "modifiers": modifiers}
    text = {"text": "\r"} if name == "Enter" and not modifiers else {}
    browser.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **key, **text)
    browser.call("Input.dispatchKeyEvent", type="keyUp", **key)


def run_cell(browser):
    """Shift + Enter, then wait until nothing is running and the next cell is the active
    one.
    """
    before = browser.js(f"{ACTIVE}?.querySelector('.cm-content')?.textContent || ''")
    press(browser, "Enter", SHIFT)
    wait(
        browser,
        f"({ACTIVE}?.querySelector('.cm-content')?.textContent || '') !== {before!r}",
        "the next cell",
    )
    wait(browser, f"!{RUNNING}", "the run")


def test_a_stranger_passes_the_first_exercise_with_the_pages_own_instructions(lab):
    with Browser() as browser:
        browser.call(
            "Emulation.setDeviceMetricsOverride",
            width=1300,
            height=1000,
            deviceScaleFactor=1,
            mobile=False,
        )
        browser.call("Page.navigate", url=f"{lab}/lab/tree/00_welcome.ipynb")
        wait(
            browser,
            "document.querySelectorAll('.jp-Notebook .jp-CodeCell').length > 0",
            "the notebook",
        )
        wait(
            browser,
            "document.body.innerText.includes('Shift + Enter')",
            "the page says how to run a cell",
        )
        wait(
            browser, "/Python 3[^|]*\\| Idle/.test(document.body.innerText)", "the kernel is ready"
        )
        browser.click(".jp-Notebook .jp-CodeCell .cm-content")  # the parameters, as the page says
        for _ in range(20):  # one cell after the other, from the top, until the dots
            if "answer = ..." in browser.js(f"{ACTIVE}?.innerText || ''"):
                break
            run_cell(browser)
        page = browser.js("document.querySelector('.jp-Notebook').innerText")
        (rows,) = re.findall(r"(\d+) rows \(one row is one order\)", page)
        if PICTURES:
            browser.picture(Path(PICTURES) / "lab-welcome.png")
        browser.click(".jp-Notebook-cell.jp-mod-active .cm-content")
        press(browser, "Home", CONTROL)
        press(browser, "End")
        for _ in range(3):
            press(browser, "Backspace")
        browser.call("Input.insertText", text=rows)
        assert browser.js(f"{ACTIVE}.querySelector('.cm-line').textContent") == f"answer = {rows}"
        run_cell(browser)
        wait(
            browser,
            "document.querySelector('.jp-Notebook').innerText.includes('welcome.1: right.')",
            "the reply",
            60,
        )
        if PICTURES:
            browser.picture(Path(PICTURES) / "lab-right.png")
    (kept,) = [one for one in records("ann") if one["event"] == "check"]
    assert (kept["item"], kept["status"]) == ("welcome.1", "right")
