"""Converts PASCAL-Context's label maps to PNG masks in MMSegmentation's layout, which are read faster.

    python scripts/prepare_pascal_context.py SOURCE TARGET

SOURCE holds VOCdevkit/VOC2010/ and trainval/*.mat; TARGET, which may be the same folder, gets
VOCdevkit/VOC2010/ with JPEGImages/, SegmentationClassContext/*.png (0 = ignored, 1..59) and
ImageSets/SegmentationContext/. Run it again if it was stopped: it goes on where it was. Training reads both folders
(data=pascal_context data.root=SOURCE or TARGET) and gets the same pixels from them.

Where the data comes from:
  images and lists  VOCtrainval_03-May-2010.tar of http://host.robots.ox.ac.uk/pascal/VOC/voc2010/
  label maps        trainval.tar.gz of https://cs.stanford.edu/~roozbeh/pascal-context/

Terms: the images come from Flickr and are used under its terms of use. The label maps come with no licence that we
know of; ask their authors (Mottaghi et al., CVPR 2014, to be cited) before any use but research.
"""

from pathlib import Path

from contextrast.data.conversion import Target, check_counts, convert_split, run
from contextrast.data.labels import read_table
from contextrast.data.pascal_context import IMAGES, LISTS, MASKS, PascalContext, decode_label_map, official_pairs


def prepare(source: Path, target: Path, processes: int, subset: bool) -> None:
    """Convert both splits and read them back.

    Raises:
        DataError: Files are missing or cannot be used.
    """
    pairs = {split: official_pairs(source, split) for split in PascalContext.splits}
    if not subset:
        check_counts(pairs, read_table("pascal_context")["images"])
    voc = target / "VOCdevkit" / "VOC2010"
    for split, found in pairs.items():
        place = Target(voc / IMAGES, voc / MASKS, voc / LISTS / f"{split}.txt")
        convert_split(found, decode_label_map, place, processes, f"Converting {split}")
        print(f"{split}: {len(PascalContext(target, split))} pairs of {len(found)}")


def main() -> None:
    """Command line."""
    run(prepare, __doc__)


if __name__ == "__main__":
    main()
