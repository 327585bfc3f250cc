"""Build a saved workspace and a report in W&B: curves by loss, IoU by class, ablation, pictures.

    python scripts/wandb_workspace.py --entity NAME                # your user or team, once you are logged in
    python scripts/wandb_workspace.py --offline dashboards.json    # without an account: writes what would be sent

Needs the extra `dashboards`.
"""

import argparse
import sys

from contextrast.data.labels import LabelTable
from contextrast.runs.files import write_json
from contextrast.runs.loggers import default_mode

DATASETS = ("camvid", "cityscapes", "pascal_context", "coco_stuff10k", "ade20k")


def main() -> None:
    """Save both, or write them to a file."""
    arguments = _parse()
    try:
        from contextrast.reporting import wandb_dashboards as dashboards  # noqa: PLC0415  (an extra)
    except ImportError as error:
        sys.exit(f"{error.name} is missing. Install the extra: pip install 'contextrast[dashboards]'")
    online = arguments.offline is None
    if online and (not arguments.entity or default_mode() != "online"):
        sys.exit(
            "W&B needs an account: `wandb login`, then --entity NAME. --offline FILE writes the definition instead."
        )
    classes = LabelTable.load(arguments.data).classes
    view = dashboards.workspace(arguments.entity, arguments.project, classes)
    document = dashboards.report(arguments.entity, arguments.project, classes, online=online)
    if online:
        view.save()
        document.save()
        print(view.url, document.url, sep="\n")
    else:
        write_json(arguments.offline, dashboards.definition(view, document))
        print(f"Definition: {arguments.offline}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entity", default="", help="user or team in W&B")
    parser.add_argument("--project", default="contextrast", help="logger.wandb.project of the runs")
    parser.add_argument("--data", default="camvid", choices=DATASETS, help="dataset whose classes get bars")
    parser.add_argument("--offline", metavar="FILE", help="write the definition to a file, without W&B's server")
    return parser.parse_args()


if __name__ == "__main__":
    main()
