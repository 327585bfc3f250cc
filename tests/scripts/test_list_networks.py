"""The table of networks that docs/networks.md shows."""

import hashlib
import re
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from contextrast.errors import ConfigError, WeightsError
from scripts import list_networks
from tests.conftest import choices


def test_every_file_but_the_free_form_is_listed_and_has_a_licence():
    names = list_networks.complete()
    assert {*choices("model")} - {*names} == {"smp"}
    for name in names:
        assert list_networks.licence(list_networks.FOLDER / f"{name}.yaml")
    assert "NON-COMMERCIAL" in list_networks.licence(list_networks.FOLDER / "segformer_mit_b0.yaml")


def test_a_row_holds_the_networks_own_numbers():
    line = list_networks.row("segformer_mit_b0")
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[0] == "`segformer_mit_b0`"
    assert cells[1] == "3.72"  # the encoder's 3.32 M and the decoder's 0.40 M
    heads = sum(c * c + 2 * c + 256 * c + 256 for c in (32, 64, 160, 256))
    assert float(cells[3]) == pytest.approx(float(cells[1]) + heads / 1e6, abs=0.011)
    assert cells[2] == "3.75 / 3.8"  # for 150 classes
    assert cells[6] == "2: 32 / 4, 3: 64 / 8, 4: 160 / 16, 5: 256 / 32"
    assert line in (Path(__file__).parents[2] / "docs" / "networks.md").read_text("utf-8").splitlines()


def test_operations_of_a_convolution_are_two_a_multiply_add():
    height, width = list_networks.SIZE
    conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    assert list_networks.operations(conv) == 2 * 8 * 3 * 9 * (height // 2) * (width // 2)


def test_what_is_kept_is_counted_once_per_image_and_without_parameters():
    height, width = list_networks.SIZE
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.ReLU(), nn.Conv2d(8, 1, 1, bias=False)
    )
    halved = 4 * (height // 2) * (width // 2)
    # The image, for the first convolution's gradient, and the output of ReLU, which is the last one's input, too.
    assert list_networks.kept_for_backward(layers) == 4 * 3 * height * width + 8 * halved


def test_published_numbers_and_the_places_of_weights_are_of_the_files():
    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]*\| ([^|]*) \|", page, re.MULTILINE))
    assert set(rows) == set(list_networks.complete())
    for name, cell in rows.items():
        path = list_networks.FOLDER / f"{name}.yaml"
        published = list_networks.stated(path, "Published")
        assert (cell == "–") == (not published), name
        if published:
            ours, theirs = map(float, re.findall(r"[\d.]+", cell)[:2])
            assert f"{theirs:g} M" in published[0] or f"{theirs} M" in published[0], name
            assert ours == pytest.approx(theirs, rel=0.03), name
        assert all(
            text.startswith(("encoder_weights: ", "weights: ")) for text in list_networks.stated(path, "Weights")
        )
        assert list_networks.stated(path, "Weights"), name


def test_a_given_file_is_hashed_and_tried(tmp_path, capsys, monkeypatch):
    state = smp.encoders.get_encoder("mit_b0", weights=None).state_dict()
    path = tmp_path / "mit_b0.pth"
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    named = path.rename(tmp_path / f"mit_b0-{digest[:8]}.pth")
    monkeypatch.setattr("sys.argv", ["list_networks.py", "segformer_mit_b0", "--weights", "--file", str(named)])
    list_networks.main()
    out = capsys.readouterr().out
    assert "NVlabs/SegFormer" in out
    assert "NON-COMMERCIAL" in out
    assert f"SHA-256 {digest}, as its name says" in out
    assert f"its {len(state)} entries" in out
    wrong = named.rename(tmp_path / "mit_b0-00000000.pth")
    with pytest.raises(WeightsError, match=r"name says 00000000.*damaged"):
        list_networks.verified("segformer_mit_b0", wrong)
    torch.save({name: value for name, value in state.items() if "block4" not in name}, tmp_path / "part.pth")
    with pytest.raises(WeightsError, match="does not fit"):
        list_networks.verified("segformer_mit_b0", tmp_path / "part.pth")


def test_the_table_is_markdown(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["list_networks.py", "fpn_lite0"])
    list_networks.main()
    *_, header, rule, line = capsys.readouterr().out.splitlines()
    assert len({len(re.findall(r"\|", text)) for text in (header, rule, line)}) == 1


def test_names_that_do_not_exist():
    with pytest.raises(ConfigError, match=r"no .*hrnet_w49\.yaml.*hrnet_w48"):
        list_networks.row("hrnet_w49")


def test_a_file_without_a_licence(tmp_path):
    (tmp_path / "new.yaml").write_text("architecture: FPN\n")
    with pytest.raises(ConfigError, match=r"new\.yaml has no line '# Licence"):
        list_networks.licence(tmp_path / "new.yaml")
