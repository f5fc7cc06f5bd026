"""Backbones for tests: small ones, and a ResNet-18 that could have been trained."""

import multiprocessing
import os
import signal

import torch
from torch import nn

from tefast.experiment.features.backbones import Backbone
from tefast.experiment.resnet import ResNet18


class Means(nn.Module):
    """A network of 512 features that is quick and counts its calls."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([factor]), requires_grad=False)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.factor * x.mean(dim=(2, 3)).repeat(1, 171)[:, :512]


class Ends(Means):
    """A network that ends every process but the first, as the system does when memory runs out."""

    def forward(self, x):
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)


def means(factor=1.0, **options):
    return Backbone(Means(factor), "means", **options).ready()


def trained_resnet18():
    """A network whose batch norms are not the identity."""
    torch.manual_seed(1)
    network = ResNet18()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.2, 0.6)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return network.eval()
