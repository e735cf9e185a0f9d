"""`twinrack new`: every kind of project runs as its README says, from a fresh folder."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from support import run
from twinrack.projects.kinds import KINDS
from twinrack.projects.new import new_project

pytest.importorskip("torch")


def commands(readme: str) -> list[str]:
    """The indented lines."""
    return [line.strip() for line in readme.splitlines() if line.startswith("    ")]


@pytest.mark.parametrize("kind", KINDS)
def test_every_project_runs_as_its_readme_says(kind, tmp_path):
    done = run("new", kind, tmp_path / "mine")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "mine"
    readme = (folder / "README.md").read_text()
    for path in folder.rglob("*.*"):
        if path.suffix in (".md", ".py", ".toml"):
            assert "{NAME}" not in path.read_text()
    assert (folder / "review.toml").is_file()
    assert not list(folder.rglob("*.in"))
    three = commands(readme)
    assert len(three) == 3
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for line in three:
        done = subprocess.run(shlex.split(line), cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert len(list((folder / "out").iterdir())) >= 2
    # Nothing in it names where it was made.
    for path in folder.glob("*.json"):
        assert str(tmp_path) not in path.read_text()


def test_bad_names_and_folders_are_refused(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").touch()
    cases = {
        ("vocals", tmp_path / "a"): "there is no kind of project 'vocals'; there are vocal, podcast",
        ("vocal", tmp_path / "A b"): "cannot be a project's name",
        ("vocal", tmp_path / "there"): "is there already",
        ("vocal", tmp_path / "no" / "a"): "there is no folder",
    }
    for words, sentence in cases.items():
        done = run("new", *words)
        assert done.returncode == 2
        assert sentence in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["there"]
    (tmp_path / "empty").mkdir()
    assert new_project("vocal", tmp_path / "empty") == tmp_path / "empty"
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "here")
    assert run("new", "drum-bus", ".", cwd=tmp_path / "link").returncode == 0
    assert (tmp_path / "here" / "README.md").is_file()
    assert (tmp_path / "empty" / "README.md").is_file()
