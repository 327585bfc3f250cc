import numpy as np
import pytest
import scipy.io

from contextrast.data import mat_files as mat_files_module
from contextrast.data.mat_files import label_map, mat_files, read_mat
from contextrast.errors import DataError

LABELS = np.array([[0, 260, 459], [255, 256, 1]])


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float64", "float32"])
@pytest.mark.parametrize("compressed", [True, False])
def test_labels_keep_their_values_in_every_type(tmp_path, dtype, compressed):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"LabelMap": LABELS.astype(dtype), "other": "text"}, do_compression=compressed)
    content = read_mat(path, "LabelMap", "absent")
    assert list(content) == ["LabelMap"]
    labels = label_map(content, "LabelMap", path)
    assert labels.dtype == np.uint16
    assert labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    "labels", [np.array([[0.5, 1]]), np.array([[-1, 1]]), np.array([[np.nan, 1]]), np.array([[70000, 1]]),
               np.ones((2, 2, 2)), np.zeros((0, 0)), np.array(["text"]), np.array([[1j]])],
    ids=["fraction", "negative", "nan", "large", "three axes", "empty", "text", "complex"],
)  # fmt: skip
def test_what_is_no_label_map_is_refused(tmp_path, labels):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"S": labels})
    with pytest.raises(DataError, match=r"S in .*a\.mat is no label map: it is \("):
        label_map(read_mat(path, "S"), "S", path)


def test_a_missing_variable_is_named_with_those_there_are(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"T": LABELS, "names": "x"})
    with pytest.raises(DataError, match=r"a\.mat has no variable S, .*it holds T, names\."):
        label_map(read_mat(path, "S"), "S", path)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A compressed .mat file's bytes."""
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    noise = np.random.default_rng(0).integers(0, 400, (40, 40))
    scipy.io.savemat(path, {"S": noise}, do_compression=True)
    return path.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"this is no .mat file, but a text that says so" * 9,
        lambda content: content[:60],
        lambda content: content[:200],
        lambda content: content[:-500],
        lambda content: content[:300] + bytes(100) + content[400:],
        lambda content: b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(500),
    ],
    ids=["empty", "text", "cut in the header", "cut in the head", "truncated", "damaged", "MATLAB 7.3"],
)
def test_damaged_files_are_named(tmp_path, content, damage):
    path = tmp_path / "bad.mat"
    path.write_bytes(damage(content))
    with pytest.raises(DataError, match=r"bad\.mat cannot be read \(.*fetch it again"):
        read_mat(path, "S")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.mat does not exist"):
        read_mat(tmp_path / "gone.mat", "S")


def test_only_visible_mat_files_count(tmp_path):
    for name in ("b.mat", "a.mat", "._a.mat", "a.png"):
        (tmp_path / name).touch()
    assert list(mat_files(tmp_path).items()) == [("a", tmp_path / "a.mat"), ("b", tmp_path / "b.mat")]
    assert mat_files(tmp_path / "missing") == {}


def written(path, variables, **options):
    scipy.io.savemat(path, variables, **options)
    return path


def test_numbers_of_an_unknown_type_are_refused_before_scipy_crashes_on_them(tmp_path):
    path = written(tmp_path / "a.mat", {"S": np.array([[1, 2], [3, 4]], dtype=np.uint8)})
    content = path.read_bytes()
    numbers = content.index(b"\x02\x00\x04\x00\x01\x03\x02\x04")  # a small element of four bytes, column by column
    path.write_bytes(content[:numbers] + b"\x00" + content[numbers + 1 :])
    with pytest.raises(DataError, match="S has numbers of the unknown type 0"):
        read_mat(path, "S")


def test_a_struct_beside_the_label_map_is_left_out(tmp_path):
    path = written(tmp_path / "a.mat", {"S": LABELS, "other": {"a": 1}})
    assert read_mat(path, "S")["S"].tolist() == LABELS.tolist()
    with pytest.raises(DataError, match="other is of class 2, neither numbers nor text"):
        read_mat(path, "other")


def test_cells_hold_text_but_no_cells(tmp_path):
    names = np.array(["road", "sky"], dtype=object)
    path = written(tmp_path / "a.mat", {"names": names, "deep": np.array([names, 1], dtype=object)})
    assert read_mat(path, "names")["names"].size == 2
    with pytest.raises(DataError, match="a variable is of class 1"):
        read_mat(path, "deep")


def test_a_variable_that_unpacks_to_more_than_the_limit_is_refused(tmp_path, monkeypatch):
    path = written(tmp_path / "a.mat", {"S": np.zeros((3000, 3000), dtype=np.uint8)}, do_compression=True)
    assert path.stat().st_size < 100_000
    assert read_mat(path, "S")["S"].shape == (3000, 3000)
    monkeypatch.setattr(mat_files_module, "_MOST_BYTES", 1 << 20)
    with pytest.raises(DataError, match="a variable has more than 1 MiB"):
        read_mat(path, "S")
