"""``contextrast-check``: read a whole dataset, say what is in it and what is wrong with it."""

from typing import Final

from contextrast.cli.described import Described
from contextrast.cli.entry import command

DESCRIBED: Final = Described(
    "contextrast-check",
    "read a whole dataset, say what is in it and what is wrong with it",
    (
        ("contextrast-check data=folder data.root=PATH", "your own images and masks"),
        ("contextrast-check data=camvid data.root=PATH", "a dataset that is known here"),
        ("contextrast-check data=folder data.root=PATH fit=fpn_lite0", "and what to train with on this machine"),
    ),
    (
        ("data=NAME", "how the dataset's files lie"),
        ("data.root=PATH", "where they lie; nothing is written there unasked"),
        ("data.num_workers=2", "processes that read"),
        ("write=true", "writes what data=folder lacks: a classes file, a split"),
        ("fit=fpn_lite0", "a network: dry steps propose crop, batch and steps that fit the memory"),
        ("val_share=0.2", "share of validation images in that split"),
        ("data.orientation=viewer", "what orientation tags of photographs mean: auto, viewer, stored"),
    ),
    ("data",),
    "check",
    "docs/datasets.md and docs/how_to/own_dataset.md",
)

main: Final = command(DESCRIBED, "contextrast.tasks.check:check")

if __name__ == "__main__":
    main()
