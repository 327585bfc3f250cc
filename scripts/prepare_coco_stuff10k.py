"""Converts COCO-Stuff 10k's label maps to PNG masks in MMSegmentation's layout, which are read faster.

    python scripts/prepare_coco_stuff10k.py SOURCE TARGET

SOURCE holds the archive of version 1.1: images/*.jpg, annotations/*.mat and imageLists/. TARGET, which may be the same
folder, gets images/ and annotations/ with train2014/ and test2014/ in each (masks *_labelTrainIds.png with
0 = unlabelled, 1..171), and imageLists/. Run it again if it was stopped: it goes on where it was. Training reads both
folders (data=coco_stuff10k data.root=SOURCE or TARGET) and gets the same pixels from them.

Where the data comes from: cocostuff-10k-v1.1.zip, linked at https://github.com/nightrome/cocostuff10k

Terms, as given there: COCO's images come from Flickr and are used under its terms of use; COCO's and COCO-Stuff's
annotations are under the Creative Commons Attribution 4.0 licence (cite Caesar et al., CVPR 2018).
"""

from pathlib import Path

from contextrast.data.coco_stuff import LISTS, MASK_SUFFIX, PARTS, CocoStuff10k, decode_label_map, official_pairs
from contextrast.data.conversion import Target, check_counts, convert_split, run
from contextrast.data.labels import read_table


def prepare(source: Path, target: Path, processes: int, subset: bool) -> None:
    """Convert both splits and read them back.

    Raises:
        DataError: Files are missing or cannot be used.
    """
    pairs = {split: official_pairs(source, split) for split in CocoStuff10k.splits}
    if not subset:
        check_counts(pairs, read_table("coco_stuff10k")["images"])
    for split, found in pairs.items():
        part = PARTS[split]
        place = Target(target / "images" / part, target / "annotations" / part, target / LISTS[split], MASK_SUFFIX)
        convert_split(found, decode_label_map, place, processes, f"Converting {split}")
        print(f"{split}: {len(CocoStuff10k(target, split))} pairs of {len(found)}")


def main() -> None:
    """Command line."""
    run(prepare, __doc__)


if __name__ == "__main__":
    main()
