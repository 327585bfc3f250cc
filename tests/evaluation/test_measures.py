"""What measures need of the data."""

import pytest

from contextrast.data import Streets
from contextrast.errors import ConfigError
from contextrast.evaluation import build_measures, needed_of
from contextrast.export.exported import Exported
from contextrast.metrics import BandMeanIoU, CityscapesInstanceIoU

IIOU = {"iiou": CityscapesInstanceIoU()}


class Instances(Streets):
    def with_instances(self):
        return self._with(asked=True)


def test_instances_are_asked_for_where_a_measure_needs_them_and_of_nobody_else():
    dataset = Instances("val", size=(64, 64))
    assert needed_of(dataset, {"b_miou": BandMeanIoU(19)}) is dataset
    assert needed_of(dataset, IIOU).asked
    assert not hasattr(dataset, "asked"), "others may have it, too"


def test_a_dataset_without_instances_is_refused_by_name():
    with pytest.raises(ConfigError, match="iiou needs instance maps, which Streets does not have"):
        needed_of(Streets("val", size=(64, 64)), IIOU)


@pytest.mark.parametrize("settings", ["abc", 5, {"widths": [3]}])
def test_what_describes_no_measure_is_refused(settings):
    with pytest.raises(ConfigError, match=r"metrics\.mine=.* describes no measure"):
        build_measures({"mine": settings}, Exported(Streets.labels, lambda image: image, 3), Streets.labels)
