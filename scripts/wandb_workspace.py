"""Build a saved workspace and a report in W&B: a chart for each curve that was logged, the ablation, pictures.

    python scripts/wandb_workspace.py runs/train/RUN... --entity NAME    # your user or team, once you are logged in

The run folders tell which curves there are; name one of each loss. Needs the extra `dashboards`.
"""

import argparse
import sys
from pathlib import Path

from contextrast.errors import DataError
from contextrast.runs.loggers import default_mode


def main() -> None:
    """Save both, and print where they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run, with its metrics.csv")
    parser.add_argument("--entity", required=True, help="user or team in W&B")
    parser.add_argument("--project", default="contextrast", help="logger.wandb.project of the runs")
    asked = parser.parse_args()
    try:
        from contextrast.reporting import wandb_dashboards as dashboards  # noqa: PLC0415  (an extra)

        sections = dashboards.charts(dashboards.logged(asked.runs))
    except ImportError as error:
        sys.exit(f"{error.name} is missing. Install the extra, in a clone: pip install '.[dashboards]'")
    except DataError as error:
        sys.exit(f"DataError: {error}")
    if default_mode() != "online":
        sys.exit("W&B needs an account: `wandb login`, then this command again.")
    view, document = (make(asked.entity, asked.project, sections) for make in (dashboards.workspace, dashboards.report))
    view.save()
    document.save()
    print(view.url, document.url, sep="\n")


if __name__ == "__main__":
    main()
