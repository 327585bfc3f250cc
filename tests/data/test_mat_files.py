import numpy as np
import pytest
import scipy.io

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
