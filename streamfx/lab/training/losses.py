"""What the networks are trained to make small: distances to the truth, and games against critics.

Pictures are [B,3,H,W], RGB 0..1; masks [B,1,H,W], 0..1, count a pixel or not; logits and scores are of any
shape, larger for real. Every loss is a scalar tensor that gradients flow through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

PAPER_ALPHA: Final = 0.004
"""Weight of L1 in the paper's objective; for Reduction.SUM (for a mean it would be next to nothing)."""
PAPER_CLIP: Final = 0.01
"""Largest weight of a Wasserstein critic (Arjovsky et al. 2017, algorithm 1)."""
_SSIM_C1, _SSIM_C2 = 0.01**2, 0.03**2
COMPLETION_ALPHA: Final = 0.0004
"""Weight of the game in the completion net's objective (Iizuka et al. 2017, section 3.4)."""


class Reduction(StrEnum):
    """How a distance per pixel becomes one number."""

    MEAN = "mean"
    """Mean over the pixels and colours that count, over the whole batch."""
    SUM = "sum"
    """Sum over the pixels and colours of a picture, mean over the batch: as the paper prints it."""


def l1(
    made: Tensor, truth: Tensor, mask: Tensor | None = None, reduction: Reduction = Reduction.MEAN
) -> Tensor:
    """Absolute difference, of all pixels or of those inside the mask."""
    return _reduced((made - truth).abs(), mask, reduction)


def soft_l1(made: Tensor, truth: Tensor, mask: Tensor | None = None, knee: float = 0.03) -> Tensor:
    """Absolute difference that is square below the knee (Charbonnier et al. 1994), mean.

    Two photos never match pixel by pixel, and where most of a small difference is chance its median is
    nothing: L1 learns to leave the picture alone, the square's mean learns the shading.
    """
    error = made - truth
    return _reduced((error.square() + knee**2).sqrt() - knee, mask, Reduction.MEAN)


def coarse_l1(
    made: Tensor, truth: Tensor, mask: Tensor, cells: Sequence[int] = (4, 16), knee: float = 0.01
) -> Tensor:
    """soft_l1 between means over cells of so many px, summed over the sizes: chance averages out there."""
    error, size = (made - truth) * mask, (mask.sum() * made.shape[1]).clamp_min(1.0)
    total = made.new_zeros(())
    for cell in cells:
        mean = functional.avg_pool2d(error, cell)
        total = total + ((mean.square() + knee**2).sqrt() - knee).sum() * cell**2 / size
    return total


def structure(made: Tensor, truth: Tensor, mask: Tensor, window: int = 6) -> Tensor:
    """1 - SSIM of the luma (Wang et al. 2004), in square windows half a window apart, mean over the mask."""
    x, y = (_luma(one) for one in (made, truth))
    means = functional.avg_pool2d(torch.cat([x, y, x * x, y * y, x * y], 1), window, window // 2)
    counted = functional.avg_pool2d(mask, window, window // 2)
    mean_x, mean_y, square_x, square_y, product = (means[:, k : k + 1] for k in range(5))
    spread = square_x - mean_x.square() + square_y - mean_y.square()
    alike = (2 * mean_x * mean_y + _SSIM_C1) * (2 * (product - mean_x * mean_y) + _SSIM_C2)
    alike = alike / ((mean_x.square() + mean_y.square() + _SSIM_C1) * (spread + _SSIM_C2))
    out: Tensor = ((1 - alike) * counted).sum() / counted.sum().clamp_min(1e-6)
    return out


def _luma(pictures: Tensor) -> Tensor:
    return (pictures * pictures.new_tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)).sum(1, keepdim=True)


def gradient_l1(made: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """L1 between the differences of neighbours, along x and y; both neighbours must lie inside the mask.

    L1 alone is content with a blurred wrinkle; this is not.
    """
    error = made - truth
    along_x = (error[..., :, 1:] - error[..., :, :-1]).abs()
    along_y = (error[..., 1:, :] - error[..., :-1, :]).abs()
    inside_x = None if mask is None else mask[..., :, 1:] * mask[..., :, :-1]
    inside_y = None if mask is None else mask[..., 1:, :] * mask[..., :-1, :]
    return _reduced(along_x, inside_x, Reduction.MEAN) + _reduced(along_y, inside_y, Reduction.MEAN)


def masked_mse(made: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error inside the mask (Iizuka et al. 2017, equation 2)."""
    return _reduced((made - truth).square(), mask, Reduction.MEAN)


def wasserstein_critic(real: Tensor, made: Tensor) -> Tensor:
    """Negative distance of the scores' means, which the critic makes small (Arjovsky et al. 2017).

    The paper's max_D of D(truth, M) - D(R, M).
    """
    return made.mean() - real.mean()


def wasserstein_generator(made: Tensor) -> Tensor:
    """What the generator makes small: the negative score of its pictures."""
    return -made.mean()


def clip_weights(critic: nn.Module, limit: float = PAPER_CLIP) -> None:
    """Bring every parameter into -limit..limit, in place: this keeps a Wasserstein critic Lipschitz."""
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.clamp_(-limit, limit)


def hinge_critic(real: Tensor, made: Tensor) -> Tensor:
    """Hinge loss of a critic (Lim and Ye 2017): content beyond +1 for real and -1 for made."""
    return functional.relu(1.0 - real).mean() + functional.relu(1.0 + made).mean()


def hinge_generator(made: Tensor) -> Tensor:
    """What the generator makes small in the hinge game."""
    return -made.mean()


def cross_entropy_critic(real: Tensor, made: Tensor) -> Tensor:
    """Binary cross-entropy of a critic's logits (Goodfellow et al. 2014; Iizuka et al. 2017, equation 3)."""
    return functional.softplus(-real).mean() + functional.softplus(made).mean()


def cross_entropy_generator(made: Tensor) -> Tensor:
    """The generator's side, in the form that does not saturate: -log D(made)."""
    return functional.softplus(-made).mean()


def feature_matching(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """L1 between a critic's activations for the truth and for the made picture (Wang et al. 2018).

    Mean over layers; no gradient flows to the truth's.
    """
    pairs = zip(real, made, strict=True)
    return torch.stack([functional.l1_loss(ours, theirs.detach()) for theirs, ours in pairs]).mean()


@dataclass(frozen=True, slots=True)
class LazyR1:
    """R1 gradient penalty (Mescheder et al. 2018), every few steps (Karras et al. 2020, "lazy")."""

    gamma: float = 1.0
    every: int = 16
    """Steps from one penalty to the next; it is as many times larger."""

    def due(self, step: int) -> bool:
        """Whether this step pays the penalty."""
        return step % self.every == 0

    def penalty(self, critic: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
        """every * gamma / 2 * |d critic / d colours|^2, mean over the batch.

        Args:
            critic: [B,C,H,W] to logits [B,...]; several logits of one picture (patches) count by their mean.
            real: [B,C,H,W], its first three channels the colours; the others, the condition, are held fixed.
        """
        real = real.detach().requires_grad_()
        logits = critic(real).flatten(1).mean(1)
        (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        return 0.5 * self.gamma * self.every * slope[:, :3].square().sum((1, 2, 3)).mean()


def _reduced(distance: Tensor, mask: Tensor | None, reduction: Reduction) -> Tensor:
    """[B,C,H,W] to a scalar. An empty mask makes a loss of 0."""
    counted = distance if mask is None else distance * mask
    if reduction is Reduction.SUM:
        return counted.sum((1, 2, 3)).mean()
    if mask is None:
        return counted.mean()
    return counted.sum() / (mask.sum() * distance.shape[1]).clamp_min(1.0)
