"""Hypothesis profiles: dev (default), ci (the same draws on every run), deep (hours: HYPOTHESIS_PROFILE=deep)."""

import os

import hypothesis
import pytest

hypothesis.settings.register_profile("dev", deadline=None, max_examples=50)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True, database=None)
hypothesis.settings.register_profile("deep", deadline=None, max_examples=5000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep what tests remember out of the user's cache folder."""
    monkeypatch.setenv("REFIMPL_CACHE", str(tmp_path / "cache"))
