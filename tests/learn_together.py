"""Run by torchrun in two processes: what they learn is the mean of both, and all of them know the same."""

from __future__ import annotations

import torch
from torch import nn

from streamfx.lab.training.accelerate import agreed, gathered, open_fabric
from streamfx.lab.training.recipes.base import Loss, Terms, Turn


def main() -> None:
    fabric = open_fabric(None, accelerator="cpu")
    rank = fabric.global_rank
    assert fabric.world_size == 2
    torch.manual_seed(rank)  # different networks, until the engine hands the first one's round
    net, critic = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    turn = Turn(fabric, net, torch.optim.SGD(net.parameters(), 1.0))
    judge = Turn(fabric, critic, torch.optim.SGD(critic.parameters(), 1.0))
    before, score = net.weight.clone(), critic.weight.clone()
    x = torch.full((1, 1), 1.0 + rank)

    def loss() -> Loss:
        terms = Terms()
        terms.add("score", 1.0, critic(net(x)).sum())
        return terms.loss(x)

    def penalised() -> Loss:
        """With a gradient of the gradient, as R1 has."""
        terms, there = Terms(), x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(critic(there).sum(), there, create_graph=True)
        terms.add("r1", 0.5, slope.square().sum() * x.sum())
        return terms.loss(x)

    turn(loss)
    assert torch.allclose(net.weight, before - 1.5 * score)
    assert torch.equal(critic.weight, score)
    judge(penalised)
    assert torch.allclose(critic.weight, score - 1.5 * score)
    everyone = gathered(fabric, {"net": net.weight.detach(), "critic": critic.weight.detach()})
    assert all(torch.equal(mine, other) for mine, other in everyone.values())
    assert agreed(fabric, 10.0 + rank, stop=rank == 1) == (10.0, True)
    fabric.barrier()


if __name__ == "__main__":
    main()
