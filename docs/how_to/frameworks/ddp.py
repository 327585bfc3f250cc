"""Plain PyTorch on several processes, started as ``torchrun --nproc-per-node=2 ddp.py``."""

import segmentation_models_pytorch as smp
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from contextrast import ContextrastLoss, FeatureTaps


class Training(nn.Module):
    """A network and its loss as one module, so that the gradients of both are averaged."""

    def __init__(self, model: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.model, self.taps = model, FeatureTaps(model)
        self.criterion = ContextrastLoss(num_classes, self.taps.channels)

    def forward(self, images: Tensor, target: Tensor) -> Tensor:
        """The loss of this process's images; anchors and negatives are those of all processes."""
        return self.criterion(self.model(images), target, self.taps.take()).total


def main() -> None:
    """Train for an epoch of random images; put your dataset here."""
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(8, 3, 64, 64), torch.randint(5, (8, 64, 64)))
    loader = DataLoader(data, batch_size=2, sampler=DistributedSampler(data))
    training = Training(smp.FPN("resnet18", encoder_weights=None, classes=5), num_classes=5)
    training = DistributedDataParallel(training)  # on GPUs: nn.SyncBatchNorm.convert_sync_batchnorm(training)
    optimizer = torch.optim.SGD(training.parameters(), lr=0.01)
    for images, target in loader:
        optimizer.zero_grad()
        training(images, target).backward()
        optimizer.step()
        training.module.criterion.update()
    weights = torch.cat([parameter.detach().flatten() for parameter in training.parameters()])
    same = [torch.empty_like(weights) for _ in range(dist.get_world_size())]
    dist.all_gather(same, weights)
    print(f"process {dist.get_rank()}: the same weights everywhere: {all(one.equal(weights) for one in same)}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
