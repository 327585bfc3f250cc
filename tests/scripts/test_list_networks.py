"""The table of networks that docs/networks.md shows."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from contextrast.errors import ConfigError
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
    assert float(cells[2]) == pytest.approx(float(cells[1]) + heads / 1e6, abs=0.011)
    assert cells[4] == "2: 32 / 4, 3: 64 / 8, 4: 160 / 16, 5: 256 / 32"
    assert line in (Path(__file__).parents[2] / "docs" / "networks.md").read_text("utf-8").splitlines()


def test_operations_of_a_convolution_are_two_a_multiply_add():
    height, width = list_networks.SIZE
    conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    assert list_networks.operations(conv) == 2 * 8 * 3 * 9 * (height // 2) * (width // 2)
    assert conv.weight.device == torch.device("meta")


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
