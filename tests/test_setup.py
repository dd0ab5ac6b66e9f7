"""One lock, one project, three ways in: make, plain Python and conda agree."""

import os
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

MAKE = (
    not subprocess.run(["sh", "-c", "command -v make"], capture_output=True).returncode
    if os.name != "nt"
    else False
)
OUTSIDE = {
    k: v
    for k, v in os.environ.items()
    if not k.startswith("MAKE") and k not in ("MFLAGS", "ARGS", "PY")
}
ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)(?: ; ([^\\]+))?", re.MULTILINE)


def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


def pinned(root, python="3.11"):
    found = {}
    for name, version, marker in ENTRY.findall((root / "requirements.lock").read_text()):
        requirement = Requirement(f"{name}=={version}" + (f" ; {marker.strip()}" if marker else ""))
        here = {
            "python_full_version": f"{python}.9",
            "python_version": python,
            "sys_platform": "linux",
        }
        if requirement.marker is None or requirement.marker.evaluate(here):
            assert name.lower() not in found, f"{name} is pinned twice for Python {python}"
            found[name.lower().replace("_", "-")] = version
    return found


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_lock_meets_every_requirement_of_the_project(root, python):
    about = project(root)
    wanted = [
        Requirement(line) for line in about["dependencies"] + about["optional-dependencies"]["test"]
    ]
    lock = pinned(root, python)
    missed = [
        str(one)
        for one in wanted
        if lock.get(one.name.lower().replace("_", "-")) not in one.specifier
    ]
    assert missed == []


def test_every_package_in_the_lock_has_hashes_and_no_index_is_named(root):
    text = (root / "requirements.lock").read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    assert [e.split()[0] for e in entries if "==" in e and "--hash=sha256:" not in e] == []
    assert "://" not in text and "--index" not in text and "--find-links" not in text


def test_conda_gives_only_python_and_pip_and_takes_the_rest_from_the_lock(root):
    environment = yaml.safe_load((root / "environment.yml").read_text())
    plain = [one for one in environment["dependencies"] if isinstance(one, str)]
    nested = [one for one in environment["dependencies"] if not isinstance(one, str)]
    assert {re.split(r"[<>=! ]", one)[0] for one in plain} == {"python", "pip"}
    assert nested == [{"pip": ["-r requirements.lock"]}]
    (python,) = (one for one in plain if one.startswith("python"))
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(
        project(root)["requires-python"]
    )


def test_the_lock_is_for_the_pythons_that_the_project_names(root):
    allowed = SpecifierSet(project(root)["requires-python"])
    assert [v for v in ("3.10", "3.11", "3.12", "3.13", "3.14") if v in allowed] == [
        "3.11",
        "3.12",
        "3.13",
    ]


@pytest.mark.skipif(not MAKE, reason="no make on this machine")
def test_bare_make_prints_the_targets_and_sets_nothing_up(root, tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text((root / name).read_text())
    told = subprocess.run(
        ["make"], cwd=tmp_path, env=OUTSIDE, capture_output=True, text=True, check=True
    ).stdout
    for target in ("run", "test", "lab", "demo", "tidy", "lint", "bench", "proof", "lock"):
        assert f"make {target} " in told
    assert not (tmp_path / ".venv").exists()


@pytest.mark.skipif(not MAKE, reason="no make on this machine")
def test_every_target_is_one_printed_line_of_python_that_the_readme_lists(root):
    readme = (root / "README.md").read_text() if (root / "README.md").exists() else None
    for target in ("run", "test", "lab", "demo", "tidy", "lint", "bench", "proof"):
        told = (
            subprocess.run(
                [
                    "make",
                    "--dry-run",
                    "--assume-old=.venv/.ready",
                    "--assume-old=requirements.lock",
                    "PY=python3",
                    target,
                ],
                cwd=root,
                env=OUTSIDE,
                capture_output=True,
                text=True,
                check=True,
            )
            .stdout.strip()
            .splitlines()
        )
        line = told[-1]
        assert line.startswith(".venv/bin/python -m "), told
        if readme:
            short = " ".join(line.removeprefix(".venv/bin/").split()[:4])
            assert short.split(" --")[0] in readme, f"the README does not list `{short}`"


def test_setting_up_again_returns_at_once_when_nothing_changed(root, tmp_path, monkeypatch, capsys):
    from playbook import bootstrap

    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text((root / name).read_text())
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    python = tmp_path / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    python.parent.mkdir(parents=True)
    python.write_text("")
    (tmp_path / ".venv" / ".ready").write_text(bootstrap._state())
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("something was installed"))
    assert bootstrap.main() == 0
    (tmp_path / "requirements.lock").write_text("changed")
    assert (tmp_path / ".venv" / ".ready").read_text() != bootstrap._state()


def test_the_set_up_needs_only_the_standard_library(root):
    code = "import sys, playbook.bootstrap as _; print(*{m.split('.')[0] for m in sys.modules})"
    told = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    foreign = set(told.stdout.split()) - set(sys.stdlib_module_names)
    assert {name for name in foreign if not name.startswith("_")} == {"playbook"}
