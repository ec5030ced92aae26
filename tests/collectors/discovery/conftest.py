"""The profiles, read once: reading all of them takes seconds."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from collectors.profiles.loader import load_profiles
from collectors.profiles.profile import Profile


@pytest.fixture(scope="session")
def profiles() -> Mapping[str, Profile]:
    return load_profiles()
