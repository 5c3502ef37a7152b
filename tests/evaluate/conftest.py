"""One thread: the tasks of these tests are small, and other tests run beside them."""

import pytest


@pytest.fixture(autouse=True)
def on_one_thread(one_thread: None) -> None:
    """Apply the fixture to every test of this folder."""
