"""What only the released codes train with: an optimiser and schedules, under further names in the loop's tables."""

import torch

from udalib.train.loop import OPTIMISERS
from udalib.train.schedules import SCHEDULES, poly

# Weight decay as a penalty in the loss, which Adam then scales like any gradient (IAST); AdamW takes it off the weight.
OPTIMISERS["adam"] = lambda weights, plan: torch.optim.Adam(
    weights, plan.lr, plan.betas, weight_decay=plan.weight_decay
)

# Laid out for 250,000 steps and stopped early: after 150,000 (AdaptSegNet) and after 120,000 (ADVENT).
SCHEDULES["poly_150_of_250"] = lambda done: poly(done * 150 / 250)
SCHEDULES["poly_120_of_250"] = lambda done: poly(done * 120 / 250)
