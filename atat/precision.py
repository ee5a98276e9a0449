"""Models in bf16 for inference: what autocast would do again and again, done once.

Without gradients autocast rounds the weights to bf16 anew at every product. A decoder's products
are small, so that this took as long as the products themselves.
"""

from __future__ import annotations

import torch
from torch import nn

from atat.decoder import TiedEmbedding

ROUNDED = (nn.Linear, nn.Conv1d, nn.Conv2d, TiedEmbedding)


def hold_in_bf16(model: nn.Module) -> nn.Module:
    """Round, in place, the weights that autocast multiplies in bf16; sums and norms stay in fp32.

    The model is still to be run under autocast, and gives what it gave before but for
    the rounding of the embedding, which autocast leaves alone.
    """
    for module in model.modules():
        if isinstance(module, ROUNDED):
            module.to(torch.bfloat16)
    return model
