"""Several processes find what one finds."""

import math
from pathlib import Path

import torch

from tests.cli.processes import forked
from tests.metrics.group import count_in_a_group, images, measures, plain


def assert_same(result, expected) -> None:
    if isinstance(expected, dict):
        assert result.keys() == expected.keys()
        result, expected = tuple(result.values()), tuple(expected.values())
    if isinstance(expected, tuple):
        assert len(result) == len(expected)
        for one, other in zip(result, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, torch.Tensor):
        torch.testing.assert_close(result, expected, rtol=1e-14, atol=0, equal_nan=True)
    else:
        assert result == expected or (math.isnan(result) and math.isnan(expected))


def test_two_processes_report_what_one_does(tmp_path: Path) -> None:
    other = forked().Process(target=count_in_a_group, args=(1, 2, tmp_path))
    other.start()
    count_in_a_group(0, 2, tmp_path)
    other.join()
    assert other.exitcode == 0
    alone, seen = measures(), images()
    alone.update(**seen._asdict())
    expected = {name: plain(metric.compute()) for name, metric in alone.items()}
    assert len(expected) == 7
    for rank, share in ((0, slice(0, None, 2)), (1, slice(1, None, 2))):
        saved = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert saved["local"] == int((seen.target[share] != 255).sum()), "a process keeps its own counts"
        assert_same(saved["results"], expected)
