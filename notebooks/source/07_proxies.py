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

# %% [markdown]
# ## What the record says
#
# The run has kept its diary, in twenty parts: how often each discriminator was right, and the mean losses.
#
# **Predict.** D1 sees the finer map, and the heavier loss is against it. Which of the two will be right more often in the
# end?

# %%
game = aligned.rounds[-1]["game"]
parts_of = range(1, len(game["accuracy"]) + 1)
panels = {"Who can tell?": {"D1": (parts_of, game["accuracy"]), "D2": (parts_of, game["aux_accuracy"])}}
named = {"segmentation": [row[0] for row in game["losses"]], "D1": [row[2] for row in game["losses"]]}
named |= {"network against D1": [row[1] for row in game["losses"]], "D2": [row[1] for row in game["aux_losses"]]}
panels["Losses"] = {name: (parts_of, values) for name, values in named.items()}
fig = lines(panels, "part of the training", "share of right scores, and loss")
show.caption(fig, "The diary of a game with two discriminators. Guessing is right in 0.5 and has a loss of 0.69.")
show.say("**The record**: " + (" ".join(game["warnings"]) or "no warning."))

# %%
_, on_source = look(aligned, Subset(bench.source, some))
rows, reach = [], {}
for d, name in enumerate(("D1", "D2")):
    own, foreign = on_source[:, d], said[:, d]
    reach[name] = (foreign.max() - foreign.min()).item()
    cells = [f"{values.mean():.3f}" for values in (own, foreign)]
    cells += [f"{foreign.min():.3f} to {foreign.max():.3f}", f"{foreign.std():.3f}"]
    rows.append([name, *cells, f"{(own > 0.5).double().mean():.0%}", f"{(foreign < 0.5).double().mean():.0%}"])
header = ["probability of source", "on the source", "on the target", "range there", "spread there"]
show.table([*header, "right on the source", "on the target"], rows)

# %% [markdown]
# Now think about what we want from these two. As *opponents* they have done their work when they can't tell the domains
# apart any more: about one half everywhere, right as often as a coin. As *witnesses* they would then be worthless. The
# method needs a game that is good enough to help the network, and not so good that it silences the witness. Nobody
# steers this. A discriminator that is always right is no better: one that says "target" to every cell of the target has
# found out the city's paint, and has no opinion on places.
#
# ### Opponent or witness: a toy
#
# We can watch both over the time of a game, in the toy city of 06, with truth. The discriminator sees softmax maps, and
# answers for cells of 4 × 4 pixels. Its *worth* as a witness is the share of right pixels in the trusted half, minus the
# share in the other half.


# %%
def toy_game(weight, steps=160, every=10):
    """Align the toy's network. Returns its diary: rows (step, discriminator's accuracy, its worth, mIoU)."""
    torch.manual_seed(0)
    net, judge = copy.deepcopy(toy_net), models.FeatureDiscriminator(4, 2, width=8)
    players = torch.optim.Adam(net.parameters(), 1e-3), torch.optim.Adam(judge.parameters(), 1e-3, betas=(0.9, 0.99))
    diary = []
    for step in range(steps + 1):
        if step % every == 0:
            with torch.no_grad():
                own, maps = (net(x).logits.softmax(dim=1) for x in (toy_source, toy_target))
                correct, scores = (maps.argmax(dim=1) == toy_truth), judge(maps)
            trusted = smooth(scores[:, 0], (32, 32)) > scores.median()
            worth = correct[trusted].double().mean() - correct[~trusted].double().mean()
            accuracy = ((judge(own) > 0).double().mean() + (scores < 0).double().mean()) / 2
            diary.append([step, accuracy.item(), 100 * worth.item(), toy.iou(net, toy_target, toy_truth).mean().item()])
        i, j = torch.randint(64, (2, 8))
        p_s, p_t = net(toy_source[i]).logits, net(toy_target[j]).logits.softmax(dim=1)
        loss = train.cross_entropy(p_s, toy_labels[i]) + weight * train.alignment_loss(judge, p_t)
        loss = loss + train.discriminator_loss(judge, p_s.softmax(dim=1), p_t)
        [player.zero_grad() for player in players]
        loss.backward()
        [player.step() for player in players]
    return np.array(diary)


# %% [markdown]
# **Predict.** Three games again: a spectator of weight 0, a weight of 0.003, and one of 1. Whose discriminator will be
# the best witness in the end? When, during a game, would you have stopped it?

# %%
toy_source, toy_labels = toy.streets(64, seed=0)
toy_target, toy_truth = toy.streets(64, seed=1, target=True)
toy_net = toy.source_only(toy_source, toy_labels)
diaries = {f"weight {weight:g}": toy_game(weight) for weight in (0.0, 0.003, 1.0)}
columns = {"Accuracy [%]": 1, "Worth [points]": 2, "Toy mIoU [%]": 3}
scale = {1: 100, 2: 1, 3: 1}
panels = {t: {n: (d[:, 0], scale[c] * np.nan_to_num(d[:, c])) for n, d in diaries.items()} for t, c in columns.items()}
fig = lines(panels, "step", "")
show.caption(fig, "Three toy games: the discriminator as an opponent, as a witness, and what became of the network.")
ends = {name: diary[-1, 2] for name, diary in diaries.items()}
peaks = {name: diary[1:][np.nan_to_num(diary[1:, 2]).argmax()] for name, diary in diaries.items()}
show.say(f"Best witness in the end: **{max(ends, key=ends.get)}** ({max(ends.values()):+z.1f} points).")
show.say("Worth most at step: " + ", ".join(f"{name} **{row[0]:.0f}** ({row[2]:+z.1f})" for name, row in peaks.items()) + ".")

# %% [markdown]
# The middle panel needs the truth, and on a real target you have only the left one. Try to guess the second from the
# first. If accuracy does not tell you, no warning of the record will either: the warnings speak of the game, and here the
# game is not what we want to know. And the last step of a game is a moment like any other. A witness of step 150 may say
# something else than that of step 160.

# %% [markdown]
# ## The idea in three sentences
#
# Ask the two discriminators about every place of the target, bring their answers to one scale, and close the gate over
# the places that look least like the source. Among the pixels that are left, keep of each class the most confident
# share, as in 03. Then take these labels, the proxies, and train a network on them that has seen neither the source nor
# the game.
#
# In symbols, Eq. 5 of the paper:
#
# $$\hat y^{(l)} = \begin{cases} 1 & \text{if } l=\arg\max_l \dfrac{P^{(l)}}{t_2^{(l)}},\quad P^{(l)}>t_2^{(l)},\quad A>t_1\\[2pt]
# 0 & \text{otherwise}\end{cases}$$
#
# | symbol | in the code | shape |
# |---|---|---|
# | $P$, softmax of the aligned network | `probs` | `[N,C,H,W]` |
# | what $D_1$ and $D_2$ say, 1 for source | `said` | `[N,2,h,w]`, a cell is 32 × 32 pixels |
# | $A$, the adversarial confidence | `cells`, and `smooth(cells)` for pixels | `[N,h,w]`, `[N,H,W]` |
# | $t_1$, so that the share $p_1$ of the cells is above it | `t1` | a number |
# | $t_2^{(l)}$, so that the share $p_2$ of class $l$ is above it | `t2` | `[C]` |
#
# The paper chooses $p_1 = 0.6$ and $p_2 = 0.8$, and says that $p_1 = 1$ means no gate. (It calls $p_1$ a percentile, but
# it counts what is *kept*.) A pixel that fails is ignored; where all $\hat y$ are 0, our label is 255.

# %% [markdown]
# ## By hand: one scale for two
#
# A toy city of two images, with eight cells each. D1 has opinions. D2 says one half to everything, give or take a
# hundredth.
#
# **Predict.** "Bring to the same scale" is all the paper says. We stretch each discriminator between its least and its
# largest value. How much of a say does D2 have after that?

# %%
generator = torch.Generator().manual_seed(3)
believed = torch.linspace(0.05, 0.95, 16)[torch.randperm(16, generator=generator)]  # what a good witness would say
shrug = 0.5 + 0.01 * (torch.rand(16, generator=generator) - 0.5)
toy_said = torch.stack([believed, shrug]).view(2, 2, 2, 4).movedim(0, 1)
print("maps", list(toy_said.shape), "= images, discriminators, cells; as one map", list(stretched(toy_said).mean(dim=1).shape))
ways = {"plain mean": toy_said.double(), "each stretched": stretched(toy_said)}
cells = {name: maps.mean(dim=1) for name, maps in ways.items()}
rows = [[believed.view(2, 2, 4)[i], *(stretched(map_[:, None])[i, 0] for map_ in cells.values())] for i in range(2)]
fig = show.image_grid(rows, ["D1 alone", "plain mean", "each stretched"], ["image 1", "image 2"])
fig.set_size_inches(6, 2.4)
show.caption(fig, "What D1 believes, and two ways to join it with a D2 that shrugs. (Each column from its least to its largest.)")
like = {name: np.corrcoef(map_.flatten(), believed)[0, 1] for name, map_ in cells.items()}
show.say("Correlation with D1: " + ", ".join(f"{name} **{value:.2f}**" for name, value in like.items()) + ".")

# %% [markdown]
# A shrug has been turned into an opinion, and its vote counts as much as any. Stretching takes away the one thing by which
# a discriminator could have told us that it does not know. Not stretching has a fault too: two discriminators that
# disagree about the *level*, and agree about the order, would be weighed by their temper. In our real city:

# %%
for name, width in reach.items():
    show.say(f"{name} moves within {width:.3f} on the target, so that stretching makes its differences **{1 / width:.1f} times** as large.")
both = np.corrcoef(*(said[:, d].flatten() for d in (0, 1)))[0, 1]
show.say(f"Correlation of D1 with D2, cell by cell: **{both:.2f}**.")

# %% [markdown]
# ## By hand: the gate and the thresholds
#
# Two small functions for $t_1$, one for $t_2$ and the label. `value_at` is the rule of 03: sort from the top, and take the
# value at rank $\mathrm{round}(p\cdot n)$; whoever is strictly above it is kept.


# %% tags=["setup"]
def value_at(values, share):
    """The value at rank round(share * n) from the top; 1 where that rank is 0, so that nobody is above it."""
    rank = round(share * values.numel())
    return values.flatten().sort(descending=True).values[rank - 1].item() if rank else 1.0


def open_gate(maps, p1, size):
    """t1 from the cells of maps [N,D,h,w] on one scale, and where pixels pass it, bool [N,H,W]."""
    cells = maps.mean(dim=1).float()
    t1 = -math.inf if p1 == 1 else value_at(cells, p1)
    pixels = F.interpolate(cells[:, None].double(), size, mode="bilinear", align_corners=False)[:, 0].float()
    return t1, pixels > t1


def proxies(probs, passes, p2):
    """Eq. 5 on softmax [N,C,H,W] and the pixels that pass [N,H,W]. Returns t2 [C] and labels [N,H,W]."""
    confidence, prediction = probs.max(dim=1)
    lists = [confidence[passes & (prediction == c)] for c in range(probs.shape[1])]  # survivors only
    t2 = torch.tensor([value_at(values, p2) for values in lists])
    quotient, label = (probs / t2.view(-1, 1, 1)).max(dim=1)
    return t2, torch.where(passes & (quotient > 1), label, IGNORE).to(torch.uint8)


# %% [markdown]
# **Predict.** For the toy city and $p_1 = 0.5$: how many of the sixteen cells are above $t_1$? And how many pixels?

# %%
t1, passes = open_gate(stretched(toy_said), 0.5, (64, 128))
cells = stretched(toy_said).mean(dim=1).float()
print("cells", list(cells.shape), "to pixels", list(passes.shape))
print(f"t1 is {t1:.3f}: {int((cells > t1).sum())} of {cells.numel()} cells are above it, and {passes.double().mean():.1%} of the pixels")
rows = [[stretched(cells[:, None])[i, 0], smooth(cells, (64, 128))[i], passes[i]] for i in range(2)]
fig = show.image_grid([[F.interpolate(r[0][None, None], (64, 128))[0, 0], *r[1:]] for r in rows], ["A, cells", "A, pixels", "passes"])
show.caption(fig, "From cells to pixels: the gate has soft corners, though each cell was counted as a square.")

# %% [markdown]
# One cell fewer than half, since the cell that *is* $t_1$ is not above it. And not the same share of pixels, because the
# line between two cells is drawn where the interpolated value crosses $t_1$. We read $t_1$ from cells, all of one area,
# and not from a million interpolated pixels; nobody should have to sort what a ruler has made.
#
# For $p_1 = 1$ the rule would drop the least trusted cell, and the paper says that nothing is dropped. Hence the
# $-\infty$. All of it against the package:

# %% tags=["nbval-check-output"]
generator = torch.Generator().manual_seed(0)
toy_probs = (3 * torch.randn(6, 5, 64, 128, generator=generator)).softmax(dim=1)
toy_maps = torch.rand(6, 2, 2, 4, generator=generator)
print("softmax", list(toy_probs.shape), "and maps", list(toy_maps.shape))
for p1, p2 in ((0.6, 0.8), (0.5, 0.4), (1.0, 0.48)):
    t1, passes = open_gate(stretched(toy_maps), p1, toy_probs.shape[-2:])
    t2, by_hand = proxies(toy_probs, passes, p2)
    packaged = select.AdversarialGate(p1, p2).fit([(toy_probs, toy_maps)])
    same = math.isclose(t1, packaged.confidence_threshold, abs_tol=1e-6), torch.equal(t2, packaged.thresholds)
    same += (torch.equal(by_hand, packaged.label(toy_probs, toy_maps)),)
    print(f"p1 {p1}, p2 {p2}: t1, t2 and labels equal the package's:", all(same))

# %% tags=["nbval-check-output"]
open_wide = select.AdversarialGate(1.0, 0.48).fit([(toy_probs, toy_maps)]).label(toy_probs, toy_maps)
balanced = select.ClassBalanced(0.48).fit([(toy_probs,)]).label(toy_probs)
print("p1 = 1 is class balancing and nothing else:", torch.equal(open_wide, balanced))
other = select.AdversarialGate(1.0, 0.48).fit([(toy_probs, 1 - toy_maps)]).label(toy_probs, 1 - toy_maps)
print("and the discriminators may say what they like:", torch.equal(open_wide, other))
turned = select.AdversarialGate(0.6, 0.8).fit([(toy_probs, 1 - toy_maps)]).label(toy_probs, 1 - toy_maps)
print("with a gate, half a renaming of source and target matters:", not torch.equal(by_hand, turned))

# %% [markdown]
# The last line is the trap of 06 again. A discriminator from a released code says 1 for *target*. Nothing would fail; the
# gate would open exactly where it should be shut.
