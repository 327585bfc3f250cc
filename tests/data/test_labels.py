import json

import numpy as np
import pytest

from contextrast.data import IGNORE_INDEX, LabelTable
from contextrast.data.labels import read_table

# SegNet's script for CamVid: its class order, and its palette, which differs from the original at Pavement.
CAMVID_CLASSES = {
    "Sky": (128, 128, 128),
    "Building": (128, 0, 0),
    "Pole": (192, 192, 128),
    "Road": (128, 64, 128),
    "Pavement": (60, 40, 222),
    "Tree": (128, 128, 0),
    "SignSymbol": (192, 128, 128),
    "Fence": (64, 64, 128),
    "Car": (64, 0, 128),
    "Pedestrian": (64, 64, 0),
    "Bicyclist": (0, 128, 192),
}

# label_colors.txt of the original dataset.
CAMVID_COLORS = """
64 128 64 Animal
192 0 128 Archway
0 128 192 Bicyclist
0 128 64 Bridge
128 0 0 Building
64 0 128 Car
64 0 192 CartLuggagePram
192 128 64 Child
192 192 128 Column_Pole
64 64 128 Fence
128 0 192 LaneMkgsDriv
192 0 64 LaneMkgsNonDriv
128 128 64 Misc_Text
192 0 192 MotorcycleScooter
128 64 64 OtherMoving
64 192 128 ParkingBlock
64 64 0 Pedestrian
128 64 128 Road
128 128 192 RoadShoulder
0 0 192 Sidewalk
192 128 128 SignSymbol
128 128 128 Sky
64 128 192 SUVPickupTruck
0 0 64 TrafficCone
0 64 64 TrafficLight
192 64 128 Train
128 128 0 Tree
192 128 192 Truck_Bus
64 0 64 Tunnel
192 192 0 VegetationMisc
0 0 0 Void
64 192 0 Wall
"""

# Which of the 32 classes become which of the 11; in no row: ignored.
CAMVID_MERGES = {
    "documented": {
        "Sky": "Sky",
        "Building": "Archway Bridge Building Tunnel Wall",
        "Pole": "Column_Pole TrafficCone",
        "Road": "LaneMkgsDriv LaneMkgsNonDriv Road",
        "Pavement": "ParkingBlock RoadShoulder Sidewalk",
        "Tree": "Tree VegetationMisc",
        "SignSymbol": "Misc_Text SignSymbol TrafficLight",
        "Fence": "Fence",
        "Car": "Car OtherMoving SUVPickupTruck Train Truck_Bus",
        "Pedestrian": "Animal CartLuggagePram Child Pedestrian",
        "Bicyclist": "Bicyclist MotorcycleScooter",
    },
    "segnet_measured": {
        "Sky": "Sky",
        "Building": "Building Wall",
        "Pole": "Column_Pole",
        "Road": "LaneMkgsDriv LaneMkgsNonDriv Road RoadShoulder",
        "Pavement": "ParkingBlock Sidewalk",
        "Tree": "Tree VegetationMisc",
        "SignSymbol": "Misc_Text SignSymbol TrafficLight",
        "Fence": "Fence",
        "Car": "Car SUVPickupTruck Truck_Bus",
        "Pedestrian": "Pedestrian",
        "Bicyclist": "Bicyclist MotorcycleScooter",
    },
}


def camvid_colors():
    lines = (line.split() for line in CAMVID_COLORS.strip().splitlines())
    return {name: (int(red), int(green), int(blue)) for red, green, blue, name in lines}


def camvid_train_ids(merge):
    ids = dict.fromkeys(camvid_colors(), IGNORE_INDEX)
    for train_id, merged in enumerate(CAMVID_CLASSES):
        ids |= dict.fromkeys(CAMVID_MERGES[merge][merged].split(), train_id)
    return ids


def test_camvid_classes_and_palette():
    table = LabelTable.load("camvid")
    assert dict(zip(table.classes, table.palette, strict=True)) == CAMVID_CLASSES
    assert list(table.classes) == list(CAMVID_CLASSES)
    assert (table.name, table.num_classes) == ("camvid", 11)


def test_camvid_colors():
    assert {name: tuple(color) for name, color in read_table("camvid")["colors"].items()} == camvid_colors()


@pytest.mark.parametrize("merge", CAMVID_MERGES)
def test_camvid_merges(merge):
    assert read_table("camvid")["merges"][merge] == camvid_train_ids(merge)


def test_camvid_splits():
    splits = read_table("camvid_splits")
    assert {split: len(names) for split, names in splits.items()} == {"train": 367, "val": 101}
    assert len(set(splits["train"]) | set(splits["val"])) == 468
    assert {name.split("_")[0] for name in splits["val"]} == {"0016E5"}  # val is one piece of one drive


def test_colorize_draws_classes_and_blackens_ignored():
    table = LabelTable("two", ("a", "b"), ((1, 2, 3), (4, 5, 6)))
    picture = table.colorize(np.array([[0, 1, IGNORE_INDEX]]))
    assert picture.dtype == np.uint8
    assert picture.tolist() == [[[1, 2, 3], [4, 5, 6], [0, 0, 0]]]


def test_tables_survive_plain_containers():
    table = LabelTable.load("camvid")
    assert LabelTable.from_dict(json.loads(json.dumps(table.to_dict()))) == table


def test_groups_are_near_equal_runs_by_frequency_with_ties_in_order():
    table = LabelTable("toy", tuple("abcdefgh"), ((0, 0, 0),) * 8, (0.1, 0.3, 0.1, 0.05, 0.2, 0.1, 0.05, 0.1))
    assert table.groups == {"head": (1, 4, 0), "mid": (2, 5, 7), "tail": (3, 6)}
    assert LabelTable("toy", ("a",), ((0, 0, 0),)).groups is None


def test_frequencies_survive_plain_containers():
    table = LabelTable.load("cityscapes")
    assert table.frequency is not None
    assert LabelTable.from_dict(json.loads(json.dumps(table.to_dict()))) == table
