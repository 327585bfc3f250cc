"""What networks are called beside each other; what cannot be compared is tested with the command."""

from pathlib import Path

import pytest

from contextrast.analysis.comparison import short_names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/a/checkpoints/last.ckpt"], ["last"]),
        (["runs/a/checkpoints/last.ckpt", "runs/b/checkpoints/last.ckpt"], ["a", "b"]),
        (["a/last.ckpt", "a/best.ckpt"], ["last", "best"]),
        (["ce/1/c/last.ckpt", "pp/2/c/last.ckpt"], ["ce/1", "pp/2"]),
        (["a/last.ckpt", "a/last.ckpt"], ["last", "last"]),
    ],
)
def test_names_are_what_paths_differ_in(paths, names):
    assert short_names([Path(path) for path in paths]) == names
