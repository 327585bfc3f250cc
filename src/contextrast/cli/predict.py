"""``contextrast-predict``: segment image files."""

from typing import Final

from contextrast.cli.described import Described
from contextrast.cli.entry import command

DESCRIBED: Final = Described(
    "contextrast-predict",
    "segment image files, at their own sizes and under their own names",
    (
        ("contextrast-predict checkpoint=latest input=PATH", "an image, or a folder's images, subfolders too"),
        ("contextrast-predict checkpoint=RUN input=\"'frames/*.jpg'\"", "what a pattern matches"),
        ("contextrast-predict checkpoint=RUN input=PATH outputs=[mask,confidence]", "how sure the network is, too"),
    ),
    (
        ("checkpoint=PATH", "a run's folder, a checkpoint, an export, or latest"),
        ("outputs=[mask,overlay]", "of mask, overlay, confidence, probabilities"),
        ("values=dataset", "masks with the dataset's own values instead of 0 to N-1"),
        ("window=[512,512]", "larger images are predicted in windows of this size; less memory"),
        ("scales=[0.75,1.0,1.25] flip=true", "the mean over several views"),
        ("device=cpu", "cpu, cuda or auto"),
    ),
    (),
    "predict",
    "docs/deployment.md",
)

main: Final = command(DESCRIBED, "contextrast.tasks.predict:predict")

if __name__ == "__main__":
    main()
