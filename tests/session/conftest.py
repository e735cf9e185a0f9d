"""Fixtures of the tests of sessions."""

from __future__ import annotations

from pathlib import Path

import pytest

from session_support import make_song


@pytest.fixture
def song(tmp_path) -> Path:
    """A session file with three tracks and a return, two seconds long."""
    return make_song(tmp_path)
