# %% [markdown]
# # 07 · Proxies: labels behind a gate
#
# A network that is wrong can be very sure of itself, and then its own confidence is the last witness to ask. The game of
# 06 leaves another one behind: a discriminator that has spent its life looking for places where something is off. Let it
# stand at the door, and let labels in only where it sees nothing strange. But the network has been trained, all this
# time, to deceive it.
#
# | at a glance | smoke | quick |
# |---|---|---|
# | time on two CPU cores | @@smoke@@ | @@quick@@ |
# | peak memory | | @@memory@@ |
#
# Data: rendered street scenes, nothing to download. Before this: [03, class balancing](03_class_balancing.ipynb), for one
# threshold per class, and [06, alignment](06_alignment.ipynb), for the game. Paper: [Shen et al.
# 2019](https://arxiv.org/abs/1907.12282), "Regularizing Proxies with Multi-Adversarial Training for Unsupervised
# Domain-Adaptive Semantic Segmentation". We know of no released code, so every choice that the paper leaves open is
# ours, and named. *Proxies* are what the other notebooks call pseudo-labels.

# %% [markdown]
# ## Objectives
#
# After this notebook you can
#
# 1. **measure** what a witness knows, alone and beyond what confidence knows already;
# 2. **say** which loss of the game moves which part of the network, and **read** in its record what its discriminators
#    are worth as witnesses, and what the record can't say;
# 3. **build** the gate: two maps on one scale, a coarse threshold, and class-balanced thresholds among the survivors;
# 4. **compare** gated and ungated labels fairly, at an equal share, on labels alone;
# 5. **explain** what a network can gain from labels made by another, and which mistakes it takes over.
#
# The three words of the course, with a game before them and a new pupil after:
#
# ```
#   source ──► ALIGN ──► aligned network ──► PREDICT ──► softmax ───────────► SELECT ──► proxies ──► TRAIN
#              (06)                                                              ▲                   a fresh network,
#                └─────► D1 and D2 ──► "does this place look like the source?" ──┘                   on the target alone
#                                                    t1: the gate               t2: class by class
# ```

# %% tags=["parameters"]
profile: str = None  # smoke | quick | full; None reads $UDALIB_PROFILE, then quick
seed: int = 0  # changes images, initial weights and sampling
benchmark: str = "game-city"  # `udalib list` shows all
data_root: str = None  # folder of the data; None is the cache
device: str = None  # cpu | cuda; None takes the best there is
out: str = None  # folder of this notebook's record; None is the cache

# %% tags=["setup"]
import copy
import csv
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import display
from matplotlib.figure import Figure
from torch.utils.data import Subset

import udalib
from udalib import course, data, models, papers, predict, recipes, select, show, tables, toy, train, widgets
from udalib.labels import IGNORE
from udalib.recipes import multi_adversarial
from udalib.recipes.experiment import quality_of

expected = {"smoke": "@@smoke@@", "quick": "@@quick@@"}
lesson = course.begin("07_proxies", benchmark, profile, seed, data_root, device, out, expected)
bench = lesson.open_benchmark()
classes = bench.classes

# %% [markdown]
# ## Two witnesses
#
# The recipe `multiadv` plays the game of 06 with two discriminators. Neither sees softmax maps. D1 looks at the features
# from which the classifier reads, at a quarter of the image's size, and D2 at those one merger before, at an eighth.
# (The network is `mini_fusion`: an encoder whose maps are merged from coarse to fine, as in the paper.) Both answer for
# cells of 32 × 32 pixels, and both answers are the probability of *source*.


# %%
def look(result, images):
    """Softmax [N,C,H,W] of a run's network, and what its discriminators say, probabilities of source [N,D,h,w]."""
    network = recipes.load_network(result, device=lesson.device)
    judge = multi_adversarial.confidence_of(result, network)
    stream = predict.judged(network, data.ordered_batches(images), judge)
    probs, said = zip(*((p.cpu(), d.cpu()) for p, d, _ in stream), strict=True)
    return torch.cat(probs), torch.cat(said)


aligned = lesson.run("multiadv")
some = range(min(120, len(bench.target)))
probs, said = look(aligned, Subset(bench.target, some))
target = data.collate([lesson.open_benchmark(oracle=True).target[i] for i in some])  # truth: for figures and scores only
images, truth = target.images, target.labels
confidence, prediction = probs.max(dim=1)
prediction = prediction.to(torch.uint8)
counted, right = truth != IGNORE, prediction == truth

# %% [markdown]
# Here are three images. Each discriminator's map is stretched, so that the least value it has for any image is dark and
# the largest is bright. The figures below the maps are what it really says.
#
# **Predict.** Where would a place in a foreign city *not* look like the source? Will it be where the network is wrong?


# %%
def stretched(maps):
    """The maps [N,D,h,w] of each discriminator with its least value of all at 0 and its largest at 1, float64."""
    low, high = (f(maps.double(), dim=(0, 2, 3), keepdim=True) for f in (torch.amin, torch.amax))
    return (maps - low) / (high - low)


picks = range(0, len(images), max(1, len(images) // 3))[:3]
drawn = F.interpolate(stretched(said), bench.size)  # a cell is a square: nothing is smoothed here
rows = [[images[i], prediction[i], *drawn[i], show.mistakes(prediction[i], truth[i])] for i in picks]
notes = [["", "", *(f"{m.min():.2f} to {m.max():.2f}" for m in said[i]), f"{right[i].double().mean():.0%}"] for i in picks]
titles = ["target image", "aligned network", "D1", "D2", "right, wrong"]
fig = show.image_grid(rows, titles, notes=notes, classes=classes, legend=True)
show.caption(fig, "Two witnesses, and what they were not told. Bright: taken for source. Last column: blue right, orange wrong.")

# %% [markdown]
# An image has few cells, and behind each score lies most of the image's height: three convolutions and poolings on top
# of all that the network itself has gathered. Whatever these witnesses know, they know it of *regions*. They can't point
# at a pole.
#
# ## What do they know?
#
# Rank the pixels by what a witness says, cut the ranking into tenths, and count who is right in each. A witness who
# knows nothing gives a flat line. We also ask two rivals: the network's confidence in the pixel, and the mean of that
# confidence over the same coarse cells. The second one is as short-sighted as a discriminator, and costs nothing.
#
# **Predict.** Draw four curves. Which is the steepest? Where does the cell's mean confidence lie?


# %%
def smooth(maps, size=bench.size):
    """Cells [N,h,w] as pixels [N,H,W], between their centres, in float64 for exact comparisons."""
    return F.interpolate(maps[:, None].double(), size, mode="bilinear", align_corners=False)[:, 0]


def sample(pixels):
    """Every fourth counted pixel of every fourth row, [n]."""
    return pixels[:, ::4, ::4][counted[:, ::4, ::4]]


def tenths(values, correct):
    """Share of `correct` in each tenth of the pixels, from the lowest values to the highest, in per cent [10]."""
    parts = np.array_split(correct[values.argsort(stable=True)].double().numpy(), 10)
    return np.array([100 * part.mean() for part in parts])


coarse = F.adaptive_avg_pool2d(confidence[:, None], said.shape[-2:])[:, 0]
witnesses = {name: sample(smooth(said[:, d])) for d, name in enumerate(("D1", "D2"))}
witnesses |= {"mean of the cell's confidence": sample(smooth(coarse)), "confidence": sample(confidence)}


# %%
@show.styled
def lines(panels, xlabel, ylabel, marker="", **axes):
    """Curves side by side. panels: title to (name to (xs, ys))."""
    fig = Figure(figsize=(show.WIDTH, 3.2))
    for ax, (title, series) in zip(fig.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for i, (name, (xs, ys)) in enumerate(series.items()):
            ax.plot(xs, ys, marker=marker, color=show.PALETTE[i], label=name)
        ax.set(title=title, xlabel=xlabel, **axes)
        ax.grid()
        ax.legend(fontsize="small")
    fig.axes[0].set_ylabel(ylabel)
    return fig


hits = sample(right)
curves = {name: tenths(values, hits) for name, values in witnesses.items()}
panels = {"Who knows what is right?": {name: (range(1, 11), curve) for name, curve in curves.items()}}
fig = lines(panels, "tenth of the pixels, by what the witness says", "right [%]", "o", xticks=range(1, 11))
show.caption(fig, "Share of right pixels in the tenths of four rankings. A flat line knows nothing.")
knows = {name: curve[-1] - curve[0] for name, curve in curves.items()}
told = ", ".join(f"{name} {points:+z.1f}" for name, points in knows.items())
show.say(f"Right in the last tenth minus right in the first, in points: {told}. Most: **{max(knows, key=knows.get)}**.")

# %% [markdown]
# That comparison is not yet the one that matters. The method has confidence already; the question is what a
# discriminator *adds*. So compare like with like: among pixels of the same confidence, are those of trusted places more
# often right than those of distrusted places?


# %%
def beyond(values, sure, correct):
    """In each tenth of `sure`: right where `values` are above their median, minus right elsewhere, in points [10]."""
    parts = [index for index in np.array_split(sure.argsort(stable=True).numpy(), 10)]
    trusted = [values[index] > values[index].median() for index in parts]
    means = [(correct[i][t].double().mean(), correct[i][~t].double().mean()) for i, t in zip(parts, trusted, strict=True)]
    return np.array([100 * (one - other).item() for one, other in means])


mean_of_both = sample(smooth(stretched(said).mean(dim=1)))
asked = {name: witnesses[name] for name in ("D1", "D2", "mean of the cell's confidence")} | {"D1 and D2": mean_of_both}
added = {name: np.nan_to_num(beyond(values, witnesses["confidence"], hits)) for name, values in asked.items()}
panels = {"Beyond confidence": {name: (range(1, 11), points) for name, points in added.items()}}
fig = lines(panels, "tenth of the pixels, by their confidence", "trusted minus distrusted [points]", "o", xticks=range(1, 11))
show.caption(fig, "Right in trusted places minus right in distrusted places, among pixels of about the same confidence.")
for name, points in added.items():
    show.say(f"{name}: trusted places are better in **{(points > 0).sum()} of 10** tenths, by {points.mean():+z.1f} points on average.")

# %% [markdown]
# Read a curve around zero as: *this witness repeats what confidence said*. A curve above zero is news. One below zero is
# worse than no witness, and it can happen: a discriminator knows what the source looks like, and an honest difference
# between the cities, such as a street with more trees, is no mistake of the network. Keep these figures in mind. They
# bound everything that the gate can do.

# %% [markdown]
# ## Where witnesses come from
#
# Eq. 4 of the paper is a game with two discriminators, over the features $F$ and $F_l$ (which layer $F_l$ is, the paper
# does not say; ours is the merger before the last):
#
# $$\min_{F,\,C}\;\max_{D_1,\,D_2}\;\lambda_{seg}\mathcal L_{seg}+\lambda_1\mathcal L_{adv1}+\lambda_2\mathcal L_{adv2},
# \qquad \mathcal L_{adv} = \overline{\log D(F(x_s))} + \overline{\log\big(1 - D(F(x_t))\big)}$$
#
# One formula, but every step is made of half-steps: the network goes down, the discriminators go up, and neither may
# touch the other's weights. (As printed, it is the literal game of 06, in which the network also pulls the *source*
# towards the target. Ours is the non-saturating one, as in all released codes of such trainings; exercise 4 is about the
# difference. No $\lambda$ is given: ours are 1, 0.01 and 0.002.)
#
# **Predict.** Five losses, six parts. Which loss moves the classifiers, the layer that says "car"?

# %% tags=["nbval-check-output"]
torch.manual_seed(0)
fusion = models.build("mini_fusion", 4)
d1, d2 = multi_adversarial.discriminators(fusion, width=8)
on_source, on_target = fusion(255 * torch.rand(2, 3, 64, 128)), fusion(255 * torch.rand(2, 3, 64, 128).square())
print("D1 sees", list(on_source.features.shape), "and D2", list(on_source.aux.shape), "of images [2, 3, 64, 128]")
print("both answer with", list(d1(on_source.features).shape), list(d2(on_source.aux).shape))

# %% tags=["nbval-check-output"]
losses = {"segmentation": train.cross_entropy(on_source.logits, torch.randint(4, (2, 64, 128)))}
losses |= {"network against D1": train.alignment_loss(d1, on_target.features)}
losses |= {"network against D2": train.alignment_loss(d2, on_target.aux)}
losses |= {"D1 itself": train.discriminator_loss(d1, on_source.features, on_target.features)}
losses |= {"D2 itself": train.discriminator_loss(d2, on_source.aux, on_target.aux)}
merger = fusion.decoder.blocks
parts = {"encoder": fusion.stage3, "first merger": merger[0], "last merger": merger[1]}
parts |= {"classifiers": fusion.decoder.classifiers, "D1": d1, "D2": d2}
for name, loss in losses.items():
    everything = [(part, weight) for part, module in parts.items() for weight in module.parameters()]
    found = torch.autograd.grad(loss, [weight for _, weight in everything], retain_graph=True, allow_unused=True)
    moved = {part for (part, _), g in zip(everything, found, strict=True) if g is not None and g.any()}
    print(f"{name}: moves {', '.join(part for part in parts if part in moved)}")

# %% [markdown]
# The classifiers belong to the source labels alone. In 06 the game was about outputs, so the last layer took part in it;
# here it is played behind its back, and the layer has to follow. D2 teaches only what comes before its map. And each of
# the last two lines has a single name, so that all five may be added up and served by one backward pass.
#
# Which way does each half-step go? Two signs to check: the network should raise what a discriminator says of the target;
# the discriminator should drive the two domains apart.


# %% tags=["nbval-check-output"]
def after(loss, module, measure, rate=1e-3):
    """`measure()` once the module has made a step down the loss; then the step is taken back."""
    weights = [weight for weight in module.parameters()]
    down = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    state = copy.deepcopy(module.state_dict())
    with torch.no_grad():
        for weight, g in zip(weights, down, strict=True):
            weight -= rate * (0 if g is None else g)
        value = measure()
    module.load_state_dict(state)
    return value


torch.manual_seed(1)
street, foreign = 255 * torch.rand(2, 3, 64, 128), 255 * torch.rand(2, 3, 64, 128).square()
for name, judge, view in (("D1", d1, lambda o: o.features), ("D2", d2, lambda o: o.aux)):
    seen = [view(fusion(x)) for x in (street, foreign)]
    of_target, gap = lambda: judge(view(fusion(foreign))).mean(), lambda: judge(seen[0]).mean() - judge(seen[1]).mean()
    raised = after(train.alignment_loss(judge, seen[1]), fusion, of_target) > of_target()
    apart = after(train.discriminator_loss(judge, *seen), judge, gap) > gap()
    print(f"{name}: the network raises it on the target {bool(raised)}, its own step moves the domains apart {bool(apart)}")
