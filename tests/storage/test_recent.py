"""Arrays that were read last."""

import numpy as np
import pytest

from jaxticket.storage.recent import RecentArrays

pytestmark = [pytest.mark.feature("crashes, signals and full disks")]


def test_the_longest_unused_leave_first():
    recent, arrays = RecentArrays(16), {"a": np.zeros(8, np.uint8)}
    recent.add("one", arrays)
    recent.add("two", arrays)
    assert recent.get("one") == arrays
    recent.add("three", arrays)
    assert recent.get("two") is None
    assert recent.get("one") == recent.get("three") == arrays


def test_what_is_too_large_is_not_kept():
    recent = RecentArrays(4)
    recent.add("large", {"a": np.zeros(8, np.uint8)})
    assert recent.get("large") is None
