"""Writes Cityscapes' label files as train ids, ``*_gtFine_labelTrainIds.png``, as the official scripts do.

    python scripts/prepare_cityscapes.py SOURCE TARGET

Training does not need this: it maps ``*_gtFine_labelIds.png`` when it reads them and gets the same pixels. SOURCE holds
leftImg8bit/ and gtFine/. TARGET gets gtFine/SPLIT/CITY/ with the new files of train and val; it may be the same folder.
Run it again if it was stopped: it goes on where it was. Training reads them by
``data=cityscapes data.root=SOURCE data.dataset.label_root=TARGET``; where both are one, it does so by itself.

Where the data comes from: leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of
https://www.cityscapes-dataset.com/, after registration.

Terms: free for non-commercial use such as research and teaching, not to be passed on, also not in changed form; the
licence is on the same site (cite Cordts et al., CVPR 2016).
"""

from pathlib import Path

from contextrast.data.cityscapes import TRAIN_IDS, Cityscapes, part_folder, to_train_ids
from contextrast.data.conversion import check_counts, run, write_png
from contextrast.data.labels import read_table
from contextrast.data.pairing import Pair
from contextrast.data.parallel import in_processes
from contextrast.data.problems import fail_if
from contextrast.errors import DataError, MissingSplitError


def prepare(source: Path, target: Path, processes: int, subset: bool) -> None:
    """Convert train and val and read them back.

    Raises:
        DataError: Files are missing or cannot be used.
    """
    pairs = {split: _pairs(source, split, subset) for split in Cityscapes.splits}
    if not subset:
        check_counts(pairs, read_table("cityscapes")["images"])
    for split in ("train", "val"):
        if not pairs[split]:
            continue
        work = _Converter(part_folder(target, "gtFine") / split)
        results = in_processes(work, pairs[split], processes, f"Converting {split}")
        fail_if([problem for problem in results if problem], "Label files that cannot be converted; fetch them again")
        written = Cityscapes(source, split, encoding="train_ids", label_root=target)
        print(f"{split}: {len(written)} files of {len(pairs[split])}")


def _pairs(source: Path, split: str, subset: bool) -> list[Pair]:
    try:
        return list(Cityscapes(source, split, encoding="label_ids").pairs)  # type: ignore[arg-type]  # one of `splits`
    except MissingSplitError:
        if subset:
            return []
        raise


class _Converter:
    """Converts one label file; returns what is wrong with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, pair: Pair) -> str | None:
        assert pair.mask is not None
        path = self.folder / pair.mask.parent.name / f"{pair.name}{TRAIN_IDS}.png"
        if path.exists():
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_png(path, to_train_ids(pair.mask))
        except DataError as error:
            return str(error)
        return None


def main() -> None:
    """Command line."""
    run(prepare, __doc__)


if __name__ == "__main__":
    main()
