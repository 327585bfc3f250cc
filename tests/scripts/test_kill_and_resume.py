"""A run that is killed at any moment, while it writes a checkpoint too, ends where it would have ended undisturbed."""

import pytest
import torch
from scripts.kill_and_resume import compare, differences


@pytest.mark.slow  # every start imports everything; a single kill is among tests/cli/test_processes.py
@pytest.mark.timeout(3600)
def test_a_killed_run_is_equal_bit_for_bit(tmp_path):
    assert compare(tmp_path, 20, 8, seed=20, overrides=["loss=contextrast_pp"]) == []


def test_differences_are_found():
    one = {"a": [torch.ones(2), 1], "b": 2}
    assert differences(one, {"a": [torch.ones(2), 1], "b": 2}) == []
    assert differences(one, {"a": [torch.tensor([1.0, 1.0 + 2e-7]), 1], "b": 2}) == ["/a/0"]
    assert differences(one, {"a": [torch.ones(2)], "b": 3}) == ["/a", "/b"]
    assert differences(one, {"a": [torch.ones(2), 1]}) == ["/b"]
