"""ResNet-20 trained by PyTorch with the settings of models/resnet20.py, to compare the curves.

    python bench/resnet20_torch.py --seed 1 --iterations 14000 --log resnet20_torch.jsonl
    minicaffe plot resnet20.jsonl resnet20_torch.jsonl -o compared.png

The same net, initial distributions, crops, mirrors, rates and tests; its own random numbers.
Runs on a GPU where PyTorch finds one.  Needs torch besides minicaffe.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent.parent))

from minicaffe.data import open_dataset  # noqa: E402

BATCH, PAD, SIDE = 128, 4, 32
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Block(nn.Module):
    """``relu(x + f(x))``; with a stride of 2 every second pixel, and channels of zeros."""

    def __init__(self, channels: int, wanted: int):
        super().__init__()
        self.stride = wanted // channels
        self.conv1 = nn.Conv2d(channels, wanted, 3, self.stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(wanted)
        self.conv2 = nn.Conv2d(wanted, wanted, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(wanted)

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if self.stride == 2:
            x = x[:, :, ::2, ::2]
            x = torch.cat([x, torch.zeros_like(x)], 1)
        return F.relu(x + y)


def resnet20() -> nn.Module:
    """The net, its weights drawn as the filler msra draws them."""
    widths = [16] * 4 + [32] * 3 + [64] * 3
    net = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
                        *(Block(a, b) for a, b in zip(widths, widths[1:])),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=(2 / layer.weight[0].numel()) ** 0.5)
    nn.init.zeros_(net[-1].bias)
    return net.to(DEVICE)


def batches(x: torch.Tensor, y: torch.Tensor, rng: np.random.Generator):
    """Endless batches of padded pictures, cropped and mirrored at random, epoch by epoch."""
    order, at = rng.permutation(len(x)), 0
    while True:
        rows = order[at:at + BATCH]
        at += BATCH
        if at >= len(x):
            order, at = rng.permutation(len(x)), at - len(x)
            rows = np.concatenate([rows, order[:at]])
        tops, lefts = rng.integers(0, 2 * PAD + 1, (2, BATCH)).tolist()
        crops = torch.stack([x[row, :, top:top + SIDE, left:left + SIDE]
                             for row, top, left in zip(rows.tolist(), tops, lefts)])
        flip = torch.tensor(rng.random(BATCH) < 0.5, device=DEVICE)[:, None, None, None]
        yield torch.where(flip, crops.flip(3), crops), y[torch.tensor(rows, device=DEVICE)]


@torch.no_grad()
def test(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
    """Accuracy and loss on the test part."""
    net.eval()
    scores = torch.cat([net(part) for part in x.split(1000)])
    net.train()
    return {"accuracy": (scores.argmax(1) == y).float().mean().item(),
            "loss": F.cross_entropy(scores, y).item()}


def main() -> None:
    """Train, writing the lines that ``train --log`` writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--iterations", type=int, default=64000)
    parser.add_argument("--log", default="resnet20_torch.jsonl")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    data = open_dataset(options.data)
    mean = data.x.mean(0, dtype=np.float64).astype(np.float32)
    x, test_x = (torch.tensor((part - mean) / 64, device=DEVICE) for part in (data.x, data.test_x))
    y, test_y = (torch.tensor(part, device=DEVICE) for part in (data.y, data.test_y))
    fed = batches(F.pad(x, (PAD,) * 4), y, np.random.default_rng(options.seed))
    net = resnet20()
    sgd = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    rates = torch.optim.lr_scheduler.MultiStepLR(sgd, [32000, 48000], 0.1)
    began, total = time.monotonic(), 0.0
    with open(options.log, "w") as log:
        def write(**event):
            event["seconds"] = round(time.monotonic() - began, 3)
            print(json.dumps(event), file=log, flush=True)

        for iteration in range(1, options.iterations + 1):
            pictures, labels = next(fed)
            loss = F.cross_entropy(net(pictures), labels)
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            total += loss.detach()
            if iteration % 100 == 0:
                write(event="train", iteration=iteration, loss=total.item() / 100,
                      lr=rates.get_last_lr()[0])
                total = 0.0
            if iteration % 1000 == 0:
                write(event="test", iteration=iteration, net=0, **test(net, test_x, test_y))
            rates.step()


if __name__ == "__main__":
    main()
