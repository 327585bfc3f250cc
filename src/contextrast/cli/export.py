"""``contextrast-export``: write a checkpoint's deployed network for use elsewhere, once it is shown to be the same."""

from typing import Final

from contextrast.cli.described import Described
from contextrast.cli.entry import command

DESCRIBED: Final = Described(
    "contextrast-export",
    "write the deployed network for use elsewhere, once it is shown to be the same",
    (
        ("contextrast-export checkpoint=latest format=onnx", "one file for ONNX Runtime and others"),
        ("contextrast-export checkpoint=RUN format=smp", "a folder that smp.from_pretrained reads"),
        ("contextrast-export checkpoint=RUN format=onnx format.argmax=true", "labels instead of logits"),
    ),
    (
        ("checkpoint=PATH", "a run's folder, a checkpoint, or latest"),
        ("images=PATH", "images to compare on too"),
        ("tolerance=1.0e-4", "largest difference to the network's logits"),
    ),
    ("format",),
    "export",
    "docs/deployment.md",
)

main: Final = command(DESCRIBED, "contextrast.tasks.export:export")

if __name__ == "__main__":
    main()
