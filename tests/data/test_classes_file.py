import numpy as np
import pytest

from contextrast.data.classes_file import read_classes
from contextrast.errors import DataError


def read(folder, text, name="classes.txt"):
    (folder / name).write_text(text, "utf-8")
    return read_classes(folder, None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "road\ntraffic light\nsky\n"),
        ("classes.txt", "\ufeff# mine\n\n road \r\ntraffic light\nsky"),
        ("classes.yaml", "- road\n- traffic light\n- sky\n"),
        ("classes.yml", "road:\ntraffic light:\nsky:\n"),
    ],
)
def test_names_alone(tmp_path, name, text):
    content = read(tmp_path, text, name)
    assert (content.path, content.names, content.colors) == (tmp_path / name, ("road", "traffic light", "sky"), None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "road 128 64 128\ntraffic light 250 170 30\nlane 2 0 0 9\n"),
        ("classes.txt", "road,128,64,128\ntraffic light, 250, 170, 30\nlane 2\t0\t0\t9\n"),
        ("classes.yaml", "road: [128, 64, 128]\ntraffic light: [250, 170, 30]\nlane 2: [0, 0, 9]\n"),
        ("classes.txt", "road #804080\ntraffic light, #FAAA1E\nlane 2 #000009\n"),
        ("classes.yaml", "road: \"#804080\"\ntraffic light: [250, 170, 30]  # orange\nlane 2: '#000009'\n"),
    ],
)
def test_names_with_colors(tmp_path, name, text):
    content = read(tmp_path, text, name)
    assert content.names == ("road", "traffic light", "lane 2")
    assert content.colors == ((128, 64, 128), (250, 170, 30), (0, 0, 9))
    assert content.label_table("mine").palette == content.colors


def test_a_name_given_wins_over_the_usual_ones(tmp_path):
    (tmp_path / "classes.yaml").write_text("- usual\n- rest\n")
    (tmp_path / "other.txt").write_text("other\nrest\n")
    assert read_classes(tmp_path, None).names == ("usual", "rest")
    assert read_classes(tmp_path, "other.txt").names == ("other", "rest")
    assert read_classes(tmp_path / "elsewhere", tmp_path / "other.txt").names == ("other", "rest")


def test_classes_without_colors_get_different_ones(tmp_path):
    palette = read(tmp_path, "\n".join(f"class {index}" for index in range(60))).label_table("mine").palette
    assert len(set(palette)) == 60
    assert np.min(palette) >= 0
    assert np.max(palette) <= 255


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("classes.txt", "", "it has 0 classes, but 2 to 254 are possible"),
        ("classes.txt", "\n".join(map(str, range(255))), "it has 255 classes"),
        ("classes.txt", "road\nsky\nroad\n", "road is named twice"),
        ("classes.txt", "road 1 2 3\nsky 1 2 3\n", r"the colour \[1, 2, 3\] is used twice"),
        ("classes.txt", "road 1 2 3\nsky\n", "sky: no colour, while others have one"),
        ("classes.txt", "road\n", "1 class, .* 'background' and 'road', for masks with 0 and 1"),
        ("classes.txt", "road 9 8 7\n", "'background 0 0 0' and 'road 9 8 7'"),
        ("classes.yaml", "road: #c82828\nsky: #0000ff\n", "Quote the colour: road: '#c82828'"),
        ("classes.yaml", "- road #c82828\n- sky\n", "Quote the colour: - road '#c82828'"),
        ("classes.txt", "sky 1 2 3\nroad 1 2 300\n", r"road: \[1, 2, 300\] is no RGB colour"),
        ("classes.yaml", "sky: [1, 2, 3]\nroad: [1, 2]\n", r"road: \[1, 2\] is no RGB colour"),
        ("classes.yaml", "sky: [1, 2, 3]\nroad: [1, 2, true]\n", "is no RGB colour"),
        ("classes.yaml", "- road\n- no\n", "class 1: False is no name; quote it"),
        ("classes.yaml", "road: [1, 2, 3]\nroad: [4, 5, 6]\n", "found duplicate key road"),
        ("classes.yaml", "road: [1, 2", "cannot be read"),
        ("classes.yaml", "3", "cannot be read"),
    ],
)
def test_every_mistake_names_the_file_and_the_format(tmp_path, name, text, problem):
    with pytest.raises(DataError, match=problem) as caught:
        read(tmp_path, text, name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "A classes file is text with one class per line" in str(caught.value)


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(
        DataError, match=r"There is no .*classes\.yaml or .*classes\.txt\. .*data\.dataset\.classes=PATH"
    ):
        read_classes(tmp_path, None)
    with pytest.raises(DataError, match=r"There is no .*mine\.txt\."):
        read_classes(tmp_path, "mine.txt")


def test_what_editors_write_as_unicode_is_read(tmp_path):
    (tmp_path / "classes.txt").write_bytes("Straße\nBäume\n".encode("utf-16"))
    assert read_classes(tmp_path, None).names == ("Straße", "Bäume")
