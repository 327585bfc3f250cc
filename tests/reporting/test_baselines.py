"""Every row finds the row it is compared with."""

import pytest

from contextrast.errors import ConfigError
from contextrast.reporting.baselines import Baselines, find

LABELS = {
    "loss=ce": {"loss": "loss=ce"},
    "loss=ce loss/base=lovasz": {"loss": "loss=ce", "loss/base": "loss/base=lovasz"},
    "loss=pp": {"loss": "loss=pp"},
    "loss=pp loss/base=lovasz": {"loss": "loss=pp", "loss/base": "loss/base=lovasz"},
    "loss=pp loss/base=lovasz loss.alpha=1": {
        "loss": "loss=pp", "loss/base": "loss/base=lovasz", "loss.alpha": "loss.alpha=1",
    },
    "loss=pp model=other": {"loss": "loss=pp", "model": "model=other"},
}  # fmt: skip
ROWS = list(LABELS.items())
NAMES = list(LABELS)


def test_without_a_wish_the_first_row_is_everybodys_baseline():
    assert Baselines().of(ROWS) == ([None, 0, 0, 0, 0, 0], 0)


def test_any_row_can_be_it():
    assert Baselines("loss=pp").of(ROWS) == ([2, 2, None, 2, 2, 2], 2)
    assert Baselines("alpha").of(ROWS)[1] == 4
    assert Baselines("loss=mpp").of(ROWS) == ([None] * 6, None), "this table has no such row"


def test_a_contrast_is_compared_with_its_own_base():
    places, default = Baselines(own_base=True).of(ROWS)
    assert default == 0
    assert places == [None, 0, 0, 1, 1, 0], "another network has no base here, so it keeps the common one"


def test_named_pairs_win():
    chosen = Baselines(pairs=[("alpha", "pp loss/base=lovasz"), ("model=other", "loss=pp")], own_base=True)
    assert chosen.of(ROWS)[0] == [None, 0, 0, 1, 3, 2]


def test_names_are_whole_labels_with_or_without_the_key_of_the_loss_or_parts_of_one():
    assert find(NAMES, "ce") == 0
    assert find(NAMES, "pp loss/base=lovasz") == 3
    assert find(NAMES, "alpha=1") == 4
    assert find(NAMES, "lovasz") is None
    assert find(NAMES, "nothing") is None


@pytest.mark.parametrize(
    "chosen",
    [Baselines("lovasz"), Baselines(pairs=[("alpha", "nothing")]), Baselines(pairs=[("nothing", "ce")])],
)
def test_names_of_no_row_are_refused_with_those_there_are(chosen):
    with pytest.raises(ConfigError, match=r"(?s)loss=ce\n.*alpha=1"):
        chosen.check([NAMES])
    chosen.check([])


def test_a_row_is_no_baseline_of_itself():
    with pytest.raises(ConfigError, match="itself"):
        Baselines(pairs=[("ce", "loss=ce")]).check([NAMES])
