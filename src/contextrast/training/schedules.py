"""Schedules of the learning rate that torch does not have."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from contextrast.errors import check_number


class WarmUpPolynomialLR(LambdaLR):
    """Rises linearly over a share of the run, then decays polynomially to zero.

    Step t of T has the rate r·(t + 1) / W in the first W steps, with W the share's whole number of steps, and then
    r·(1 − (t − W) / (T − W))^power. Transformers are trained so.

    Args:
        optimizer: Whose rates it sets.
        total_iters: Steps of the run, T.
        warmup: Share of them, 0..1, in which the rate rises.
        power: Of the decay; 1 is linear.
        last_epoch: Steps that were taken already, less one.

    Raises:
        ConfigError: If the share is none, or the power is negative.
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int, warmup: float = 0.01, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        check_number("scheduler.warmup", warmup, 0, 1)
        check_number("scheduler.power", power)
        rising = round(warmup * max(total_iters, 0))

        def factor(step: int) -> float:
            if step < rising:
                return (step + 1) / rising
            left = max(total_iters - step, 0) / max(total_iters - rising, 1)
            return float(left**power)

        super().__init__(optimizer, factor, last_epoch)
