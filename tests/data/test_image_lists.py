import pytest

from contextrast.data.image_lists import read_image_list
from contextrast.errors import DataError, MissingSplitError


def test_names_keep_their_order_and_lose_blanks(tmp_path):
    path = tmp_path / "train.txt"
    path.write_bytes(b"2008_000002 \r\n\n2008_000001\t\n")
    assert read_image_list(path) == ["2008_000002", "2008_000001"]


def test_names_that_occur_twice_are_listed(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("a\nb\nc\nb\na\n")
    with pytest.raises(DataError, match=r"train\.txt names images more than once; leave one of each:\n  a\n  b$"):
        read_image_list(path)


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [("\n \n", DataError, "names no image"), (None, MissingSplitError, "does not exist")],
    ids=["empty", "missing"],
)
def test_lists_without_names(tmp_path, content, error, words):
    path = tmp_path / "train.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(error, match=rf"train\.txt {words}"):
        read_image_list(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_at_the_start_are_no_part_of_a_name(tmp_path, encoding):
    path = tmp_path / "train.txt"
    path.write_bytes("b\u00e4ume\nba\u0308che\n".encode(encoding))
    assert read_image_list(path) == ["b\u00e4ume", "b\u00e4che"]  # composed, as the names of files are compared
