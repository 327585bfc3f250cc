"""``contextrast-demo``: a page on which one drops an image and sees its classes, by one network or by two."""

from typing import Final

from contextrast.cli.described import Described
from contextrast.cli.entry import command

DESCRIBED: Final = Described(
    "contextrast-demo",
    "a page on which one drops an image and sees its classes",
    (
        ("contextrast-demo checkpoint=latest", "the run that saved last; the address is printed"),
        ("contextrast-demo checkpoint=RUN compare=OTHER_RUN", "two networks side by side"),
        ("contextrast-demo checkpoint=RUN host=0.0.0.0 port=8000", "for others on the network, who may then use it"),
    ),
    (
        ("checkpoint=PATH", "a run's folder, a checkpoint, an export, or latest"),
        ("compare=PATH", "a second one"),
        ("device=cpu", "cpu, cuda or auto"),
    ),
    (),
    "demo",
    "docs/deployment.md",
)

main: Final = command(DESCRIBED, "contextrast.tasks.demo:demo")

if __name__ == "__main__":
    main()
