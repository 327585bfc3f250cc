"""Search for better numbers with Optuna's own loop, which stops trials without prospects.

    python scripts/search.py search=contrast data=camvid data.root=PATH trainer.val_check_interval=500

Arguments are overrides of contextrast-train; ``hydra.sweeper.n_trials=60`` searches longer. The study lies in the
sweep's folder, and the same command goes on with it. contextrast-report reads that folder. Needs the extra `sweep`.
"""

import argparse
import sys

import optuna

from contextrast.cli.app import MENDABLE, near_keys
from contextrast.search import search


def main() -> None:
    """Search, and print the best trial."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--startup-trials", type=int, default=5, help="trials before any is stopped")
    parser.add_argument("--warmup-steps", type=int, default=0, help="steps of a trial before it may be stopped")
    parser.add_argument("overrides", nargs="*", help="overrides of contextrast-train, search=NAME among them")
    arguments = parser.parse_args()
    pruner = optuna.pruners.MedianPruner(arguments.startup_trials, arguments.warmup_steps)
    try:
        study = search(arguments.overrides, pruner)
    except MENDABLE as error:
        sys.exit(f"{type(error).__name__}: {error}{near_keys(str(error), 'train')}")
    states = [trial.state.name.lower() for trial in study.get_trials(deepcopy=False)]
    print(", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))))
    if "complete" in states:
        best = study.best_trial
        print(f"Best mIoU {100 * (best.value or 0.0):.2f}:", *(f"{key}={value}" for key, value in best.params.items()))


if __name__ == "__main__":
    main()
