"""What changes the weights in training, and how its learning rate changes."""

from typing import Any

import torch
from torch import nn

from learner.spec import TrainSettings


def make_optimizer(network: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Of the weights that learn."""
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    # Fused: one pass over weights and moments, not one for each term. It saved a fifteenth of a
    # head's step on a CPU.
    return kind(parameters, settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def make_schedule(optimizer: torch.optim.Optimizer, settings: TrainSettings, steps: int) -> Any:
    """Its `step` is called after each batch under "one_cycle", else after each epoch.

    `steps` are the batches of an epoch.
    """
    schedules = torch.optim.lr_scheduler
    if settings.schedule == "one_cycle":
        return schedules.OneCycleLR(
            optimizer, settings.learning_rate, total_steps=settings.epochs * steps
        )
    if settings.schedule == "plateau":
        return schedules.ReduceLROnPlateau(optimizer, factor=0.1, patience=3)
    if settings.schedule == "cosine_restarts":
        return schedules.CosineAnnealingWarmRestarts(optimizer, T_0=20, eta_min=1e-6)
    return schedules.ConstantLR(optimizer, factor=1.0)
