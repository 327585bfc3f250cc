"""``contextrast-evaluate``: measure a checkpoint or an export."""

from typing import Final

from contextrast.cli.described import Described
from contextrast.cli.entry import command

DESCRIBED: Final = Described(
    "contextrast-evaluate",
    "measure a checkpoint or an export on images with labels",
    (
        ("contextrast-evaluate checkpoint=latest", "the run that saved last, at one scale and at six with flips"),
        ("contextrast-evaluate checkpoint=RUN protocols.multi_scale=null", "one scale alone"),
        ("contextrast-evaluate checkpoint=RUN metrics=[default,boundary_iou]", "further measures"),
    ),
    (
        ("checkpoint=PATH", "a run's folder, a checkpoint, an export, or latest"),
        ("split=test", "val or test"),
        ("data.root=PATH", "folder of the dataset, where it has moved"),
        ("trainer.devices=2", "shares the images among devices"),
        ("protocols.single_scale.window=[512,512]", "predicts larger images in windows"),
    ),
    ("metrics", "logger"),
    "evaluate",
    "docs/runs.md",
)

main: Final = command(DESCRIBED, "contextrast.tasks.evaluate:evaluate")

if __name__ == "__main__":
    main()
