# %% [markdown]
# # 06 · Aligning outputs: the adversarial warm-up
#
# A map of a street can't tell you which city was photographed, or so one hopes. Train one network to guess the city
# from the maps that another one draws, and train the other one to keep it guessing. No pseudo-label is involved. It is
# a game, and games can be lost by both sides.
#
# | at a glance | smoke | quick |
# |---|---|---|
# | time on two CPU cores | 2 min | 3 min when the runs are there, 40 min from nothing |
# | peak memory | | 1.8 GB |
#
# Data: rendered street scenes, nothing to download. Before this: [01, two ends](01_two_ends.ipynb), for source-only,
# oracle and AdaBN. Self-training is not needed; [07](07_proxies.ipynb) and [09](09_instance_adaptive.ipynb) start from
# what this notebook makes. Papers: [Tsai et al. 2018](https://arxiv.org/abs/1802.10349), "Learning to Adapt Structured
# Output Space for Semantic Segmentation" (AdaptSegNet), and [Vu et al. 2019](https://arxiv.org/abs/1811.12833),
# "ADVENT: Adversarial Entropy Minimization for Domain Adaptation in Semantic Segmentation", which also has MinEnt. Two
# papers of this course build on such a game: [Shen et al.](https://arxiv.org/abs/1907.12282), and
# [IAST](https://arxiv.org/abs/2008.12197), where it is called the warm-up.

# %% [markdown]
# ## Objectives
#
# After this notebook you can
#
# 1. **explain** why one aligns outputs and not pixels, and **measure** how much the outputs of two domains give away;
# 2. **derive** the gradients of three ways to play against a discriminator, and **say** which one falls silent, and
#    when;
# 3. **write** a step of the game, and **check** whose weights each loss moves;
# 4. **compute** self-information and entropy, and **show** what lowering entropy alone does to classes;
# 5. **read** the record of a game, and **tell** what its figures can't tell you.
#
# The three words of the course: **predict** both domains; **select** nothing, every pixel takes part; **train** against
# an opponent.
#
# ```
#                                  true labels ──► cross-entropy
#                                                    │
#   source image ──► network ──► softmax maps ───────┴──► ┌───────────────┐
#                      ▲                                  │ discriminator │ ──► "source" or "target"?
#   target image ──► network ──► softmax maps ──────────► └───────────────┘               │
#                      ▲                                                                  │
#                      └────────── "make it say source" (times a small weight) ───────────┘
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
import math

import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import display
from torch import nn

from udalib import course, data, models, papers, predict, recipes, show, toy, train, widgets

expected = {"smoke": "2 min", "quick": "3 min when the runs are there, 40 min from nothing"}
lesson = course.begin("06_alignment", benchmark, profile, seed, data_root, device, out, expected)
bench = lesson.open_benchmark()
classes = bench.classes

# %% [markdown]
# ## The same street in two coats
#
# A source image and a target image, the truth of both, and what the source-only network makes of them. (The target's
# truth is for figures and scores only, as always.)

# %%
net = recipes.load_network(lesson.run("source"), device=lesson.device)
oracle_target = lesson.open_benchmark(oracle=True).target
pair = data.collate([bench.source[0], oracle_target[0]])


def outputs(network, images):
    """Softmax maps [B,C,H,W] of images, on the CPU."""
    return next(predict.whole(network, [(images, None)]))[0].cpu()


probs = outputs(net, pair.images)
fig = show.qualitative(pair.images, pair.labels, {"source-only": probs.argmax(dim=1)}, classes)
show.caption(fig, "Source above, target below. The inputs differ at first sight; the truth has to be studied.")

# %% [markdown]
# Which column would you rather be asked about, if you had to guess the domain? The pixels give it away at once: light,
# colour, grain. So one could repaint the source images until nobody can tell, and some methods do; they need a network
# that paints. Or one could make the hidden features of both domains alike. But features are thousands of numbers that
# may mean anything, and those of colour are as good as those of shape.
#
# AdaptSegNet looks at the last thing a network makes. Softmax maps have only as many channels as there are classes.
# They know nothing of paint. And they have a grammar that holds in both domains: sky above, road below, riders on
# bicycles. If a target output breaks that grammar, it is wrong, and one can see so without its truth.
#
# **Predict.** A simple judge, a linear one, sees a map through a grid of 4 × 8 cells, learns from half of the images
# and guesses the domain of the other half. How often is it right from colours? From the outputs of source-only? And
# from the *truth*?


# %%
def judge(source, target):
    """Share of held-out maps whose domain a linear classifier names. Maps of cells [N,D,4,8] of each domain."""
    count = min(len(source), len(target))
    x = torch.cat([source[:count], target[:count]]).flatten(1)
    x = (x - x.mean(dim=0)) / (x.std(dim=0) + 1e-6)
    y = torch.cat([torch.ones(count), -torch.ones(count)])
    seen, held = slice(0, None, 2), slice(1, None, 2)  # every other map
    ridge = x[seen].T @ x[seen] + 100 * torch.eye(x.shape[1])
    weights = torch.linalg.solve(ridge, x[seen].T @ y[seen])
    return (x[held] @ weights * y[held] > 0).float().mean().item()


def cells(maps):
    return F.adaptive_avg_pool2d(maps.float(), (4, 8))


def over_domains(view, network):
    """A view of a network's softmax maps, of up to 200 images of each domain."""
    return [torch.cat([view(outputs(network, part)) for part in batch.images.split(16)]) for batch in domains.values()]


# %%
domains = {"source": bench.source, "target": oracle_target}
domains = {name: data.collate([d[i] for i in range(min(200, len(d)))]) for name, d in domains.items()}
told = {"colours": judge(*(cells(batch.images) for batch in domains.values()))}
told["source-only's outputs"] = judge(*over_domains(cells, net))
true = [[cells(batch.labels == c) for c in range(len(classes))] for batch in domains.values()]
told["the truth"] = judge(*(torch.stack(maps, dim=1) for maps in true))
show.table(["the judge sees", *told], [["and is right", *(f"{share:.0%}" for share in told.values())]])
more = 100 * (told["source-only's outputs"] - told["the truth"])
show.say(f"What the outputs give away, minus what the truth does: **{more:+z.0f} points**. A guess is right at 50 %.")

# %% [markdown]
# The last column is the one to remember. Even perfect outputs have a domain, as far as the two cities are built
# differently: another horizon, more cars, fewer trees. What outputs give away *beyond* the truth would be the network's
# doing, and that is what alignment is after. If the truth betrays itself almost always, nothing can be seen beyond it;
# then the column says how much difference there is that alignment has no business removing. The game has no way of
# knowing where to stop.

# %% [markdown]
# ## What a discriminator sees
#
# Not labels but softmax maps, one channel per class, at the size of the image. Where a network is sure, every channel
# is dark or bright. Where it is in doubt, several channels are lit a little in the same place, like fog. ADVENT makes a
# picture of just that. It replaces each probability $p$ by its *weighted self-information*, and scales it by the
# logarithm of the number of classes:
#
# $$I^{(h,w,c)} = -\,\frac{p^{(h,w,c)}\,\log p^{(h,w,c)}}{\log C},\qquad E^{(h,w)}=\sum_{c} I^{(h,w,c)}$$
#
# The sum over the classes is the entropy of the pixel: 0 where it is sure, 1 where all classes are equally probable.


# %% tags=["nbval-check-output"]
def self_information(probs):
    """I above, of probabilities [B,C,H,W]; 0 where a probability is 0."""
    return -torch.special.xlogy(probs, probs) / math.log(probs.shape[1])


generator = torch.Generator().manual_seed(0)
random_maps = (5 * torch.randn(2, 19, 8, 8, generator=generator)).softmax(dim=1)
by_hand = self_information(random_maps)
print("self-information", list(by_hand.shape), "and entropy", list(by_hand.sum(dim=1).shape))
print("self-information equals the package's:", torch.allclose(by_hand, train.weighted_self_information(random_maps)))
print("entropy equals the package's:", torch.allclose(by_hand.sum(dim=1), train.normalised_entropy(random_maps)))

# %% [markdown]
# **Predict.** Which probability is the brightest in a self-information map: 0, ½, 1, or some other?
#
# It is $p = 1/e$, about 0.37, a suspicion rather than a verdict. So the map shows, class by class, where the class is
# *suspected*. It is dark where the network is sure, of whatever.

# %%
names = ["road", "building", "vegetation", "sky", "car", "person"]
channels = [classes.index(name) for name in names if name in classes.names]
information = self_information(probs)
brightest = information[:, channels] * math.e * math.log(len(classes))  # 1 where p is 1 / e
entropy, rows = information.sum(dim=1), []
for i in range(2):
    rows += [[*probs[i, channels], None], [*brightest[i], entropy[i]]]
titles = [*(classes.names[c] for c in channels), "entropy"]
fig = show.image_grid(rows, titles, ["source P", "source I", "target P", "target I"])
show.caption(fig, "P, softmax maps, and I, what ADVENT's discriminator sees. Last: entropy, the sum over all classes.")
doubt = over_domains(lambda p: train.normalised_entropy(p).mean(dim=(1, 2)), net)
means = ", ".join(f"{name} **{each.mean():.3f}**" for name, each in zip(domains, doubt, strict=True))
show.say(f"Mean entropy over many images: {means}.")

# %% [markdown]
# ADVENT counts on a network that doubts more in a city it does not know. If so, then to make the doubt of the target
# look like that of the source is to lower it.
#
# ### How far one score can see
#
# The discriminator is small and the same in both papers: five convolutions of 4 × 4 with stride 2, leaky ReLUs between,
# no sigmoid at the end. It does not give a verdict on the image. It gives a *score* for every 32nd pixel of every 32nd
# row.
#
# **Predict.** How many pixels wide is the patch behind one score? Work from the last layer to the first: a patch of $r$
# cells was made from $2r+2$ cells of the layer before.

# %% tags=["nbval-check-output"]
reach = 1
for _ in range(5):
    reach = 2 * reach + 2
maps = torch.rand(1, 19, 192, 192, requires_grad=True)
scores = models.OutputDiscriminator(19, width=8)(maps)
scores[0, 0, 3, 3].backward()  # a score in the middle
seen = int((maps.grad.abs().sum(dim=(0, 1, 2)) > 0).sum())
print("maps", list(maps.shape), "to scores", list(scores.shape))
print("pixels behind a score by recursion:", reach, "and by gradient:", seen)

# %% [markdown]
# Of a Cityscapes image, 1,024 pixels high, that is about a tenth of the height. Such a judge reads words, such as a
# wheel under a car. Our images are not much higher than the patch, so ours reads whole sentences, and the position of
# the horizon is among them. Keep that in mind when results are compared.

# %% [markdown]
# ## The idea in three sentences
#
# The discriminator learns to say "source" on source outputs and "target" on target outputs. The network learns from
# source labels as before, and in addition to make the discriminator say "source" on target outputs. A discriminator
# that can no longer tell is the goal, but nothing guarantees that it is reached: the two descend different losses.
#
# In symbols, Eq. 1, 2 and 4 of AdaptSegNet. The discriminator $D$ minimises $\mathcal L_d$, the network minimises
# $\mathcal L$:
#
# $$\mathcal L_d = -\tfrac12\,\overline{\log S\big(D(P_s)\big)} - \tfrac12\,\overline{\log\big(1-S(D(P_t))\big)},\qquad
# \mathcal L = \mathcal L_{\mathrm{seg}}(I_s) + \lambda_{\mathrm{adv}}\,\mathcal L_{\mathrm{adv}}(I_t),\qquad
# \mathcal L_{\mathrm{adv}} = -\,\overline{\log S\big(D(P_t)\big)}$$
#
# | symbol | in the code | shape |
# |---|---|---|
# | $I_s, I_t$, a batch of images of each domain | `source`, `target` | `[B,3,H,W]` |
# | $P_s, P_t$, softmax maps of the network | `p_s`, `p_t` | `[B,C,H,W]` |
# | $D(P)$, scores, before a sigmoid | `discriminator(p_t)` | `[B,1,H/32,W/32]` |
# | $S$, the sigmoid; $S(D(P))$, the probability of source | `torch.sigmoid` | `[B,1,H/32,W/32]` |
# | $\lambda_{\mathrm{adv}}$, 0.001 in both papers | `weight` | a number |
#
# The bar is a mean over places and images. (The paper sums over places, and the released code takes means and halves
# the discriminator's loss, as we do.) In ADVENT $I$ takes the place of $P$, and nothing else changes. IAST replaces the
# logarithms by squares, its Eq. 2: $\tfrac12\overline{(D(P_s)-1)^2}+\tfrac12\overline{D(P_t)^2}$ for the one side and
# $\overline{(D(P_t)-1)^2}$ for the other. That is called *least squares*, and the first form *vanilla*.

# %% [markdown]
# ## By hand: two losses, two sides
#
# `softplus(-s)` is $-\log S(s)$, without the overflow. Each loss is a line or two. The word to look for is `detach`.


# %% tags=["setup"]
def tell(discriminator, p_s, p_t):
    """Eq. 2, for the discriminator: say source (1) on the source's maps and target (0) on the target's."""
    on_source, on_target = discriminator(p_s.detach()), discriminator(p_t.detach())
    return (F.softplus(-on_source).mean() + F.softplus(on_target).mean()) / 2


def fool(discriminator, p_t):
    """Eq. 4, for the network: be taken for source."""
    return F.softplus(-discriminator(p_t)).mean()


# %% tags=["nbval-check-output"]
torch.manual_seed(0)
discriminator = models.OutputDiscriminator(4, width=8)
p_s, p_t = (torch.randn(2, 4, 64, 64).softmax(dim=1) for _ in range(2))
print("scores", list(discriminator(p_s).shape))
pairs = [(tell(discriminator, p_s, p_t), train.discriminator_loss(discriminator, p_s, p_t))]
pairs += [(fool(discriminator, p_t), train.alignment_loss(discriminator, p_t))]
print("tell and fool equal the package's losses:", [torch.allclose(*pair) for pair in pairs])

# %% [markdown]
# ### One place for the polarity
#
# Is source a 1 or a 0? Shen et al. and IAST write 1; the released codes of AdaptSegNet, ADVENT and IAST have 0.
# Does it matter? Rename the two sides: give source a 0 and target a 1, and let the scores change their sign along.

# %% tags=["nbval-check-output"]
score = discriminator(p_t).detach()
vanilla = [F.binary_cross_entropy_with_logits(s, torch.full_like(s, y)) for s, y in ((score, 1.0), (-score, 0.0))]
squares = [F.mse_loss(s, torch.full_like(s, y)) for s, y in ((score, 1.0), (1 - score, 0.0))]
print("same loss under both names, vanilla and squares:", [torch.allclose(*pair) for pair in (vanilla, squares)])
print("here, and in all of the package: source", train.SOURCE, "and target", train.TARGET)

# %% [markdown]
# Consistent renaming changes nothing. What hurts is half a renaming: a discriminator that follows one convention and a
# network that follows the other. It raises no error, and the loss even falls nicely. So the two numbers stand in one
# place of the package, `train.SOURCE` and `train.TARGET`, and all losses read them there. Below you will see what half
# a renaming does.

# %% [markdown]
# ## When the discriminator is sure
#
# Eq. 2 and 4 are *not* one loss with two signs. In the literal game the network maximises what the discriminator
# minimises, and so descends $\log(1-S(D(P_t)))$ on the target; Shen et al. write it so (Eq. 2-4). Everybody's code, and
# ours, descends $-\log S(D(P_t))$ instead. Both have the same aim. Why bother?
#
# **Predict.** A target place gets the score $s=-6$: the discriminator is quite sure that it is the target. Which of the
# three forms now pushes the network hardest, which least? And at $s=+6$, when it is fooled already?


# %%
score = torch.linspace(-8, 8, 161, requires_grad=True)
forms = {"literal": -F.softplus(score), "non-saturating": F.softplus(-score), "least squares": (score - 1) ** 2}
slope = {name: torch.autograd.grad(loss.sum(), score)[0] for name, loss in forms.items()}
panels = {"Push on the score of a target place": {name: (score.detach(), v) for name, v in slope.items()}}
fig = show.lines(panels, "score s (left: surely target)", "d loss / d s", ylim=(-4, 4))
show.caption(fig, "Slopes of log(1 - S(s)), -log S(s) and (s - 1)². Descent raises s where a curve is below zero.")
show.table(["at a score of -6", *slope], [["push", *(f"{values[20]:.4f}" for values in slope.values())]])

# %% [markdown]
# By hand: the derivative of $\log(1-S(s))$ is $-S(s)$, which is next to nothing where the discriminator is sure. Of
# $-\log S(s)$ it is $-(1-S(s))$, which is next to 1 there. So the literal game falls silent exactly where the outputs
# give themselves away, and shouts where they already pass. At the start of a training the discriminator is often sure
# almost everywhere; the literal network would hear nothing. The other form is called *non-saturating* for that reason.
#
# The squares have no ceiling: the surer, the harder the push. And right of 1 they turn round. A place that passes *too*
# well is pulled back to 1.

# %% [markdown]
# ## A duel on a line
#
# The smallest such game has two numbers. All source outputs are at 0. All target outputs are at $x$, and $x$ is all
# that the network can move. The discriminator is a line through the border between the domains: its score is $w\cdot
# x$, and $w$ is all it can move. If $x=0$ nothing is left to tell, and $w$ should be 0. Start at $x=1$, $w=0$, and let
# both descend, by small steps, at the same time.
#
# **Predict.** Will they walk straight to the middle?


# %%
def duel(fooling, gan="vanilla", steps=600, rate=0.1):
    """Where (x, w) goes from (1, 0), float [steps,2]. fooling: the network's loss, of the discriminator and x."""
    line, x, path = nn.Linear(1, 1), torch.ones(1, requires_grad=True), []
    nn.init.zeros_(line.weight)
    nn.init.constant_(line.bias.requires_grad_(False), 0.5 if gan == "least_squares" else 0.0)  # undecided at x = 0
    for _ in range(steps):
        path.append((x.item(), line.weight.item()))
        push = torch.autograd.grad(fooling(line, x), x)[0]
        turn = torch.autograd.grad(train.discriminator_loss(line, torch.zeros(1), x, gan), line.weight)[0]
        with torch.no_grad():
            x -= rate * push
            line.weight -= rate * turn
    return torch.tensor(path)


# %%
duels = {"non-saturating": duel(fool), "literal": duel(lambda line, x: -F.softplus(line(x)).mean())}
duels["least squares"] = duel(lambda line, x: train.alignment_loss(line, x, "least_squares"), "least_squares")
duels["half a renaming"] = duel(lambda line, x: F.softplus(line(x)).mean())
panels = {name: {"600 steps of both": tuple(path.T)} for name, path in duels.items()}
fig = show.lines(panels, "x: where the target is", "w: what the judge believes", xlim=(-1.6, 3), ylim=(-2.2, 1.6))
show.caption(fig, "Four duels, all from x = 1 and w = 0. Peace is at (0, 0).")
far = [f"{path[-100:].norm(dim=1).max():.2f}" for path in duels.values()]
show.table(["farthest from peace, at first 1.00", *duels], [["last 100 steps", *far]])

# %% [markdown]
# Nobody walks straight. The target moves to where it is taken for source; by then the discriminator has turned round,
# and the chase goes back. There is no hill on which both descend, so "the loss falls" is no sign of anything here: look
# at any circle and see either loss rise and fall for ever. The last panel is half a renaming. The target runs from the
# source as fast as it can, the discriminator applauds, and *both* losses fall.
#
# Two lessons for the real thing. The network should take small steps in this game, hence $\lambda$ of a thousandth. And
# it needs something to hold on to that is not part of the game: source labels.

# %% [markdown]
# ## Toy streets
#
# We want to watch the whole game, with truth, in seconds. So here is a city of four colours and 32 × 32 pixels, from
# `udalib.toy`: sky, houses of random height, a road, two people. Its target has the same grammar and another light.

# %%
toy_source, toy_labels = toy.streets(64, seed=0)
toy_target, toy_truth = toy.streets(64, seed=1, target=True)
toy_net = toy.source_only(toy_source, toy_labels)
toys = {"source": (toy_source, toy_labels), "target": (toy_target, toy_truth)}
rows = [toy.pictures(x[0], y[0], toy.answer(toy_net, x[:1])[0]) for x, y in toys.values()]
fig = show.image_grid(rows, ["image", "truth", "source-only"], list(toys), classes=classes, legend=True)
fig.set_size_inches(5, 4)
show.caption(fig, "The toy, and what a network trained on its source makes of both domains.")

# %% [markdown]
# ## The step: whose weights move?
#
# One step of the game is two half-steps. Before you read on: how many ways do you see in which a gradient could end up
# in the wrong network?


# %% tags=["setup"]
def step(net, discriminator, optimisers, source, labels, target, weight):
    """Both half-steps. Returns their losses [3], and the discriminator's scores of source and target."""
    outputs = net(source), net(target)
    p_s, p_t = (recipes.adversarial.probabilities(output.logits, source.shape[-2:]) for output in outputs)

    # the network (Eq. 1): right on the source, and taken for source on the target (Eq. 4)
    segmentation, fooling = train.cross_entropy(outputs[0].logits, labels), fool(discriminator, p_t)
    optimisers[0].zero_grad()
    (segmentation + weight * fooling).backward()
    optimisers[0].step()

    # the discriminator (Eq. 2): on outputs as they are
    telling = tell(discriminator, p_s, p_t)
    optimisers[1].zero_grad()  # sweeps out what the first backward pass left here
    telling.backward()
    optimisers[1].step()
    losses = torch.stack([segmentation, fooling, telling]).detach()
    return losses, discriminator(p_s.detach()), discriminator(p_t.detach())


# %% [markdown]
# **Predict.** Three losses and two networks make six boxes. In which of them is there a gradient?

# %% tags=["nbval-check-output"]
torch.manual_seed(1)
opponent = models.OutputDiscriminator(4, width=4)
batch = toy_source[:8], toy_labels[:8], toy_target[:8]
p_s, p_t = (toy_net(x).logits.softmax(dim=1) for x in (batch[0], batch[2]))
losses = {"segmentation": train.cross_entropy(toy_net(batch[0]).logits, batch[1]), "fool": fool(opponent, p_t)}
losses |= {"fool, package": train.alignment_loss(opponent, p_t), "tell": tell(opponent, p_s, p_t)}
for name, loss in losses.items():
    toy_net.zero_grad(), opponent.zero_grad()
    loss.backward(retain_graph=True)
    reached = [all(w.grad is not None for w in player.parameters()) for player in (toy_net, opponent)]
    print(f"{name}: reaches the network {reached[0]}, the discriminator {reached[1]}")

# %% [markdown]
# Our `fool` reaches both. It has to go *through* the discriminator to get to the network, and leaves gradients on the
# way, with the wrong sign for their owner. They do no harm as long as no optimiser uses them: `step` calls `zero_grad`
# before the second backward pass, as IAST's code does. AdaptSegNet's code switches the discriminator's gradients off
# for the first half-step, and so does the package. And `tell` reaches the discriminator alone, because of the `detach`.
#
# Next the directions. After the network's half-step, the target's scores should be higher than before; after the
# discriminator's, lower, compared with the source's. And since in the package neither loss leaves anything in the wrong
# place, one backward pass through the sum must serve both sides.


# %% tags=["nbval-check-output"]
def scores_by(network, discriminator):
    """Mean scores of source and of target."""
    return [discriminator(network(x).logits.softmax(dim=1)).mean().item() for x in (batch[0], batch[2])]


hand, pack = (nn.ModuleList(map(copy.deepcopy, (toy_net, opponent))) for _ in range(2))
before = scores_by(toy_net, opponent)
step(*hand, [torch.optim.SGD(player.parameters(), 0.05) for player in hand], *batch, weight=1.0)
after = scores_by(toy_net, hand[1])
print("the network raised the target's scores:", scores_by(hand[0], opponent)[1] > before[1])
print("the discriminator moved the domains apart:", after[0] - after[1] > before[0] - before[1])

p_s, p_t = (pack[0](x).logits.softmax(dim=1) for x in (batch[0], batch[2]))
total = train.cross_entropy(pack[0](batch[0]).logits, batch[1]) + train.alignment_loss(pack[1], p_t)
(total + train.discriminator_loss(pack[1], p_s, p_t)).backward()  # the package's three losses at once
torch.optim.SGD(pack.parameters(), 0.05).step()
ends = [torch.nn.utils.parameters_to_vector(players.parameters()) for players in (hand, pack)]
print("one backward pass moved all weights alike:", torch.allclose(*ends, atol=1e-5))

# %% [markdown]
# ## The whole method, once
#
# Steps, and a record of them. The record is that of the package: the training is cut into twenty windows, and each
# keeps the mean of the three losses and the share of scores on the right side of the border.


# %%
def align(network, source, labels, target, weight, steps=100, rate=1e-3, opponent_rate=1e-3):
    """AdaptSegNet at one level. Returns the aligned network, its discriminator, and the record of the game."""
    torch.manual_seed(0)
    network, discriminator = copy.deepcopy(network), models.OutputDiscriminator(4, width=8)
    optimisers = [torch.optim.Adam(network.parameters(), rate)]
    optimisers.append(torch.optim.Adam(discriminator.parameters(), opponent_rate, betas=(0.9, 0.99)))
    losses, right = torch.zeros(20, 3), torch.zeros(20, 1, 2)  # 20 windows, one level
    for number in range(steps):
        i, j = (torch.randint(len(images), (8,)) for images in (source, target))
        batch = source[i], labels[i], target[j]
        now, on_source, on_target = step(network, discriminator, optimisers, *batch, weight)
        window = number * 20 // steps
        losses[window] += now
        right[window] += torch.tensor([(on_source > 0).sum() + (on_target < 0).sum(), 2 * on_source.numel()])
    return network, discriminator, recipes.adversarial.history(losses, right, steps)


# %% [markdown]
# **Predict.** We play it three times: with a weight of 0, so that the discriminator is a spectator; with 0.003; and
# with 10, ten thousand times the papers' 0.001. In which of the three will the discriminator be right most often? What
# becomes of the target?

# %%
games = {f"weight {w:g}": align(toy_net, toy_source, toy_labels, toy_target, w) for w in (0.0, 0.003, 10.0)}
networks = {"source-only": toy_net, **{name: game[0] for name, game in games.items()}}
target_iou = {name: toy.iou(network, toy_target, toy_truth) for name, network in networks.items()}
rows = [[name, *(f"{v:.0f}" for v in values), f"{values.mean():.0f}"] for name, values in target_iou.items()]
show.table(["IoU on the target", *toy.NAMES, "mIoU"], rows)
said = zip(*(toy.answer(network, toy_target[:2]) for network in networks.values()), strict=True)
rows = [toy.pictures(toy_target[i], toy_truth[i], *answers) for i, answers in enumerate(said)]
fig = show.image_grid(rows, ["image", "truth", *networks], classes=classes, legend=True)
show.caption(fig, "Two toy targets, before and after three games.")

# %% [markdown]
# No target label was used in this, no pseudo-label and no threshold. Where a game went well, somebody had noticed that
# no street has houses in place of its road, and passed on the complaint as a gradient.
#
# ### What the record says
#
# Here are the same three games as their records have them. Cover the table above and try to tell from the curves alone
# which game went well.


# %%
def show_games(records, text):
    """The record of each game over the parts of its training, and its warnings."""
    panels = {"Who can tell?": {}, "The task": {}, "The discriminator": {}}
    for name, game in records.items():
        segmentation, _, telling = zip(*game["losses"], strict=True)
        for series, values in zip(panels.values(), (game["accuracy"], segmentation, telling), strict=True):
            series[name] = (range(1, len(values) + 1), values)
    labels = ["share of right scores", "loss on the source's labels", "its loss"]
    show.caption(show.lines(panels, "part of the training", labels), text)
    for name, game in records.items():
        show.say(f"**{name}**: {' '.join(game['warnings']) or 'no warning.'}")


records = {name: game[-1] for name, game in games.items()}
show_games(records, "Three toy games. A discriminator that shrugs is right on half, and its loss is log 2, about 0.69.")

# %% [markdown]
# `history` in `recipes.adversarial` writes these sentences, for every run. It knows three. *At chance*: under 55 %
# right in half of the windows or more, a discriminator that has nothing to say. *Never wrong*: over 99 %, one that is
# not opposed, or not impressed. And a segmentation loss over three times its first value: a network that forgets its
# task.
#
# Treat them as a smoke detector. Look whether the game that went best is free of warnings, and whether the spectator
# is: a discriminator that is never wrong need not mean that anything is broken. Its gradient is what counts, and the
# non-saturating one survives a sure discriminator.
#
# The third sentence is the serious one. An output can become impossible to tell apart in two ways: by being right, or
# by saying the same thing to everything. Far too large a weight tends to find the second, which is nearer, and the
# source labels are too quiet to object. And note what *no* sentence can do: say that the target got better. All these
# curves need no target label, and hence know nothing about it.

# %% [markdown]
# ### A city without sky
#
# One more toy, to see what the game really asks for. The same light, but in this target all houses are tall: their
# roofs end in the top three rows, and there is hardly any sky. We play with the middle weight and with a heavier one.
#
# **Predict.** The discriminator has only ever seen source outputs with plenty of sky. What will it complain about? Will
# the network give in?

# %%
tall_target, tall_truth = toy.streets(64, seed=2, target=True, roofs=(0, 3))
tall = {"source-only": toy_net}
tall |= {f"weight {w:g}": align(toy_net, toy_source, toy_labels, tall_target, w)[0] for w in (0.003, 0.03)}
said = {name: toy.answer(network, tall_target) for name, network in tall.items()}
rows = [toy.pictures(tall_target[0], tall_truth[0], *(labels[0] for labels in said.values()))]
fig = show.image_grid(rows, ["image", "truth", *tall], classes=classes, legend=True)
show.caption(fig, "A target whose truth has another mixture of classes than the source.")
mixtures = {"source truth": toy_labels, "target truth": tall_truth, **said}
rows = [[name, *(f"{(labels == c).float().mean():.0%}" for c in range(4))] for name, labels in mixtures.items()]
show.table(["tall city, share of pixels", *toy.NAMES], rows)
houses = {name: toy.iou(network, tall_target, tall_truth)[1].item() for name, network in tall.items()}
show.say("IoU of the houses: " + ", ".join(f"{name} **{value:.0f}**" for name, value in houses.items()) + ".")

# %% [markdown]
# The outputs are asked to look like *source outputs*, down to how much there is of what. Where the two cities differ in
# truth, that is a request for mistakes. What the game repairs may still be worth more than what it breaks, and a small
# weight and the source labels resist; nothing rules the mistakes out. This is why the linear judge at the beginning
# looked at the truth as well.

# %% [markdown]
# ## Doubt alone
#
# MinEnt, in the same paper as ADVENT, drops the opponent. If the target's outputs have too much entropy, why not
# descend the entropy? Its loss is one line:
#
# $$\mathcal L = \mathcal L_{\mathrm{seg}}(I_s) + \lambda_{\mathrm{ent}}\,\overline{E(I_t)}$$
#
# Two classes, one pixel, $z$ the difference of its two logits. The derivative of the entropy by $z$ is $-z\,p(1-p)$, up
# to the scale $1/\log 2$.
#
# **Predict.** Three pixels, at 50 %, 60 % and 90 %. Which is pulled hardest?

# %%
z = torch.linspace(0, 8, 161, requires_grad=True)
both = torch.stack([z, torch.zeros_like(z)]).softmax(dim=0)
pull = torch.autograd.grad(train.normalised_entropy(both[None, :, :, None]).sum(), z)[0]
panels = {"Who is pulled": {"of the entropy": (both[0].detach(), pull.abs())}}
fig = show.lines(panels, "probability of the likelier class", "pull on z")
show.caption(fig, "Size of the derivative by how sure a pixel is. Descent always goes towards surer.")
same = torch.allclose(pull, -z * both[0] * both[1] / math.log(2), atol=1e-5)
show.say(f"Hardest at **{both[0][pull.abs().argmax()]:.0%}**. The formula above agrees: {same}.")

# %% [markdown]
# The pixel that most needs help, at one half, is not pulled at all: it lies on a ridge, and either side would do. The
# hardest pull goes to pixels that had made up their minds. Summed over an image, the many pixels of large, easy classes
# set the direction of the shared weights, and the doubtful ones follow. Entropy, like the self-training of
# [02](02_self_training.ipynb), believes whatever is already believed; only it asks no threshold, and doubts are settled
# in favour of the majority.
#
# On the toy: entropy alone, without source labels; then with them, at two weights.


# %%
def lower_entropy(network, weight, labelled, steps=80):
    """MinEnt, on the toy; without `labelled` the source has no say."""
    torch.manual_seed(0)
    network = copy.deepcopy(network)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(steps):
        i, j = torch.randint(64, (2, 8))
        entropy = train.normalised_entropy(network(toy_target[j]).logits.softmax(dim=1)).mean()
        loss = labelled * train.cross_entropy(network(toy_source[i]).logits, toy_labels[i]) + weight * entropy
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


# %%
pupils = {"source-only": toy_net, "entropy alone": lower_entropy(toy_net, 1.0, labelled=False)}
pupils |= {f"with source, {w:g}": lower_entropy(toy_net, w, labelled=True) for w in (1.0, 0.01)}
rows = [["truth", *(f"{(toy_truth == c).float().mean():.1%}" for c in range(4)), "", ""]]
for name, network in pupils.items():
    mix = [(toy.answer(network, toy_target) == c).float().mean().item() for c in range(4)]
    left = train.normalised_entropy(network(toy_target).logits.softmax(dim=1)).mean().item()
    score = toy.iou(network, toy_target, toy_truth).mean()
    rows.append([name, *(f"{share:.1%}" for share in mix), f"{left:.3f}", f"{score:.0f}"])
show.table(["share of the target", *toy.NAMES, "entropy", "mIoU"], rows)

# %% [markdown]
# Which classes has entropy alone left without pixels? It has a perfect minimum that nobody wants: one class for
# everything. ADVENT's authors take $\lambda_{\mathrm{ent}}=0.001$ and warn of larger values. The adversarial version
# has a defence that MinEnt lacks. A map of one class is free of doubt, and no source output looks like that; the
# discriminator would tell at a glance.

# %% [markdown]
# ## For real
#
# `lesson.run("adaptseg")` is the loop above, with augmentation, checkpoints and a record; `advent` gives the
# discriminator self-information; `minent` has none. All three start from the source-only network and let the running
# statistics of batch normalisation follow the target. So an AdaBN is built in, and further training too. The right
# baseline is a game that is not played, `weight=0.0`: the same steps, images and statistics, and a discriminator that
# looks on.
#
# The weight of the three was chosen on another benchmark, not on this one, and is printed below. The papers' 0.001 is
# for networks, images and learning rates that are not ours.
#
# **Predict.** Order AdaBN, weight 0, MinEnt, AdaptSegNet and ADVENT by mIoU. How many points will the game itself be
# worth, AdaptSegNet minus weight 0?

# %%
plan = {"source-only": ("source", {}), "AdaBN": ("adabn", {}), "control": ("control", {})}
plan |= {"weight 0": ("adaptseg", {"weight": 0.0}), "MinEnt": ("minent", {}), "AdaptSegNet": ("adaptseg", {})}
plan |= {"ADVENT": ("advent", {}), "oracle": ("oracle", {})}
results = {name: lesson.run(recipe, **settings) for name, (recipe, settings) in plan.items()}
aligned = ["MinEnt", "AdaptSegNet", "ADVENT"]
weights = ", ".join(f"{name} {results[name].record['settings']['weight']:g}" for name in aligned)
show.say(f"Weights of the loss on the target: {weights}.")

# %%
miou = {name: 100 * result.miou for name, result in results.items()}
accuracy = {name: 100 * result.pixel_accuracy for name, result in results.items()}
rows = [[n, f"{miou[n]:.1f}", f"{miou[n] - miou['source-only']:+z.1f}", f"{accuracy[n]:.1f}"] for n in results]
show.table([f"{benchmark}, seed {seed}", "mIoU", "against source-only", "pixel accuracy"], rows)
owed = {name: miou[name] - miou["weight 0"] for name in aligned}
told_owed = ", ".join(f"{name} **{points:+z.1f}**" for name, points in owed.items())
show.say(f"Owed to the loss on the target, in mIoU, against weight 0: {told_owed}.")

# %% [markdown]
# One seed is an anecdote. Here are several, then their differences seed by seed, and below them, clearly apart, what is
# printed for GTA5 to Cityscapes, for which our small scenes stand in. (MinEnt's figure is one that MLSL quotes; the
# class figures beside it do not average to it, as a note to [the table](../figures/tables/alignment.md) says.)

# %%
rows = show.over_seeds("alignment", "mIoU", "pixel_accuracy", kinds=("ours", "difference", "paper"))
differences = {row["row"]: row for row in rows if row["kind"] == "difference"}
lost = [name for name, row in differences.items() if abs(float(row["mIoU"])) <= float(row["mIoU_std"])]
show.say(f"Differences in mIoU that are no larger than their spread: **{', '.join(lost) or 'none'}**.")

# %% [markdown]
# Control, the row of the self-training notebooks, was trained on for fewer steps than these three. Weight 0 differs
# from them in nothing but the loss; the table over seeds does without it, so compare the two rows in the table of one
# seed. Treat a difference that is no larger than its spread as none. Adversarial trainings have a spread of their own,
# since the order in which two players meet their images decides which way they circle.
#
# ### Class by class

# %%
counted = np.array(results["source-only"].rounds[-1]["confusion"]).sum(axis=1)  # pixels of each class in the truth
order = counted.argsort()[::-1].tolist()  # frequent to rare
iou = {name: 100 * np.array(result.iou, float) for name, result in results.items()}
rows = [[classes.names[c], *(f"{iou[row][c]:.1f}" for row in results)] for c in order]
show.table([f"IoU, {benchmark}", *results], rows)

# %%
gains = {f"{name} minus weight 0": iou[name] - iou["weight 0"] for name in aligned}
fig = show.class_differences(gains, order, f"What the loss on the target did, {benchmark}", classes)
show.caption(fig, "Three losses on the target against the same training without any.")
frequent = counted > 0.02 * counted.sum()
for name, gain in gains.items():
    often, seldom = gain[frequent].mean(), np.nanmean(gain[~frequent])
    show.say(f"{name}: classes with over 2 % of the pixels **{often:+z.1f}** IoU, all others **{seldom:+z.1f}**.")

# %% [markdown]
# Why might rare classes gain less? Count who speaks. A score is about a patch of 94 × 94 pixels, and all patches have
# one vote. A pole is a few pixels in some of them. Whether the discriminator cares depends on whether poles help it to
# win, and there is so much else to look at.
#
# The same picture from print: real images, GTA5 to Cityscapes, from IAST's Table 6. Compare directions, not numbers.

# %%
table6 = "004_iast_table6_gta5_cityscapes"
first, *others = (papers.row(table6, method=name) for name in ("Source [27]", "AdaptSegNet [27]", "AdvEnt [29]"))
keys = [name.replace(" ", "_") for name in classes.names]
gains = {row["method"]: [float(row[key]) - float(first[key]) for key in keys] for row in others}
fig = show.class_differences(gains, order, papers.cite(table6), classes)
show.caption(fig, "Printed IoU of two aligned networks minus that of the source row, classes in our order.")

# %% [markdown]
# Which bars hang below zero? On real images, too, an aligned network pays for its mean with some of the classes.
#
# IAST begins with such a network, and [09](09_instance_adaptive.ipynb) asks over several seeds what that step is worth.
# Shen et al. build on one that plays against two discriminators, on two levels, and [07](07_proxies.ipynb) asks the
# same of the second. AdaptSegNet's two-level form has its second one on an auxiliary output, with a fifth of the weight
# (Eq. 5); our recipe does so with `network="mini_levels"` and `level_weight=0.002`. Here one level will do.

# %% [markdown]
# ## The record of the game
#
# **Predict.** Three discriminators looked at real outputs: AdaptSegNet's, ADVENT's, and the spectator's of weight 0.
# Whose accuracy will be highest in the end?

# %%
record_of = {name: results[name].rounds[-1]["game"] for name in ("weight 0", "AdaptSegNet", "ADVENT")}
show_games(record_of, "The record of three trainings, of the outputs that they were training on.")

# %% [markdown]
# Read AdaptSegNet's accuracy against the spectator's, not against a coin: the distance between the two curves is what
# the network's resistance achieved. (ADVENT's discriminator looks at something else, and has no spectator here.) A rule
# of thumb asks for a discriminator that is neither right about everything nor guessing; from the toy you know what that
# rule is worth. A firmer sign is the segmentation loss, which should go on as it would have without a game.
#
# ### Have the outputs become harder to tell?
#
# The discriminator can't be asked. It has grown up with its opponent, and a tired judge proves nothing. So take the
# linear judge of the beginning, new to every network.
#
# **Predict.** For which networks will it be right less often than for source-only? And will it for any fall below what
# the truth gives away?

# %%
nets = {name: recipes.load_network(results[name], device=lesson.device) for name in ("weight 0", *aligned)}
given_away = {name: judge(*over_domains(cells, network)) for name, network in nets.items()}
given_away |= {"source-only": told["source-only's outputs"], "the truth": told["the truth"]}
show.table(["outputs of", *given_away], [["linear judge is right", *(f"{v:.0%}" for v in given_away.values())]])

# %% [markdown]
# The judge is examined on at most two hundred maps, so a point or two is a handful of them. If a figure stays above the
# truth's, there is domain left in the outputs that the game did not find, or was too light to remove. If it is below,
# the outputs hide a difference that exists; but so do mistakes, which blur a layout without any game, so look at
# source-only first. Either way the figure says how *alike* the outputs are, and not how *right*; for that you had to
# look at the IoU.

# %% [markdown]
# ## Look at it

# %%
picks = data.collate([bench.val[i] for i in range(1, len(bench.val), len(bench.val) // 4)][:4])
seen = {name: network for name, network in {"source-only": net, **nets}.items() if name != "weight 0"}
answers = {name: outputs(network, picks.images).argmax(dim=1) for name, network in seen.items()}
fig = show.qualitative(picks.images, picks.labels, answers, classes)
show.caption(fig, "Validation images at equal steps, not picked: before, and after three kinds of alignment.")

# %% [markdown]
# ### Where does the discriminator look?
#
# The run keeps its discriminator. Its scores make a coarse map, and their sigmoid is the probability of source, place
# by place. Walk through it yourself: a menu of networks, a menu of classes, and a slider for the image; the first is of
# the source, the others of the target. The last picture is the map of a discriminator: ADVENT's for ADVENT,
# AdaptSegNet's for the others. (Without a running kernel, see the still pictures below.)


# %%
@torch.no_grad()
def scores_of(name, probs):
    """What a run's discriminator says of softmax maps [B,C,H,W]: its scores [B,1,h,w]."""
    found = models.OutputDiscriminator(len(classes), results[name].record["settings"]["width"])
    found.load_state_dict(train.load(results[name].record_path.parent / "discriminator.pt"))
    return found(self_information(probs) if name == "ADVENT" else probs)


# %%
four = torch.stack([pair.images[0], *(oracle_target[i].image for i in range(3))])
looks = {name: outputs(network, four) for name, network in {"source-only": net, **nets}.items()}
coarse = {name: scores_of("ADVENT" if name == "ADVENT" else "AdaptSegNet", p) for name, p in looks.items()}
display(widgets.alignment_explorer(looks, coarse, four, classes))
for name in ("source-only", "AdaptSegNet", "ADVENT"):
    still = widgets.alignment_view(looks, coarse, four, name, "building", classes, index=1)
    show.caption(still, f"{name}: image, prediction, entropy, self-information of buildings, what is taken for source.")

# %% [markdown]
# A place that stays dark after the training is one where the outputs still do not pass for source. It need not be
# wrong: it may be a view that the source does not have. But it is a hint, place by place, at no cost in labels. Shen et
# al. build a method on it, and the next notebook is about that.

# %% [markdown]
# ## Where it breaks
#
# **Alike is not right.** The game asks for target outputs that look like source outputs. A car where a bus stands looks
# perfectly like a source output.
#
# **Where the cities differ, it asks for mistakes.** It aligns mixtures of classes and layouts along with everything
# else, as in the city without sky.
#
# **It has no score of its own.** Accuracy, losses and warnings are about the game. When to stop, and with which weight,
# is not for the game to say. IAST's code picks its warm-up checkpoint by validation labels, that is, by labels of the
# target.
#
# **It circles.** Two runs that differ in a seed can end at different points of the circle. The last network is reported
# here, never the best.
#
# **It stops early.** Once outputs pass for source, nothing is left to learn from them. Self-training can go on from
# there, as it does in 07 and 09.
#
# ### Where papers and codes differ
#
# | question | papers and codes | ours |
# |---|---|---|
# | which domain is 1 | source in the texts of Shen and IAST; target in the codes of AdaptSegNet, ADVENT and IAST | source |
# | weight of the loss on the target | 0.001 (AdaptSegNet, ADVENT); 0.05 for GTA5 in IAST's code, not in its paper; none given by Shen | `weight`, chosen on another benchmark |
# | loss | vanilla; IAST least squares | `gan="vanilla"` or `"least_squares"` |
# | the network's side | non-saturating in all codes; Shen's Eq. 4 is the literal game | `game="non_saturating"` or `"minmax"` |
# | levels | AdaptSegNet two, with 0.001 and 0.0002, later 0.0005 and 0.00005 | one, or two with `level_weight` |
# | the two-level head | the released file returns inside its loop, so two of its four branches never count | not concerned |
# | width of the discriminator | 64 channels | `width=16` |
# | optimisers | SGD, polynomial decay, one image of each domain; Adam for the discriminator | AdamW for both, constant, four images |
# | running statistics | they follow every batch, of both domains | of the target alone |

# %% [markdown]
# ## Exercises
#
# Fill in the functions; a check follows each. Solutions are in `solutions/06_alignment.ipynb`.
#
# **1. Certain (predict).** The discriminator is certain that a place is the target: its score is -20. Return the three
# derivatives of the network's loss by that score: literal, non-saturating, least squares.
#
# <details><summary>Hint</summary>The derivatives are -S(s), -(1 - S(s)) and 2(s - 1), and S(-20) is 0 for all
# purposes.</details>


# %%
def pushes():
    """The derivatives at a score of -20: [literal, non-saturating, least squares]."""
    # BEGIN SOLUTION
    return [0.0, -1.0, -42.0]
    # END SOLUTION


course.check("1. certain", pushes(), [0.0, -1.0, -42.0])

# %% [markdown]
# **2. Squares (change one thing).** Write `tell` with squares, as in IAST's Eq. 2: scores of the source should be 1,
# those of the target 0. The outputs must not get a gradient.
#
# <details><summary>Hint</summary>Two means of squares, halved. Remember <code>detach</code>.</details>


# %%
def tell_squares(discriminator, p_s, p_t):
    """The discriminator's loss with squares, a scalar."""
    # BEGIN SOLUTION
    on_source, on_target = discriminator(p_s.detach()), discriminator(p_t.detach())
    return ((on_source - 1).square().mean() + on_target.square().mean()) / 2
    # END SOLUTION


torch.manual_seed(0)
small = models.OutputDiscriminator(4, width=4)
maps_s, maps_t = (torch.randn(2, 4, 64, 64).softmax(dim=1).requires_grad_() for _ in range(2))
squares = train.discriminator_loss(small, maps_s, maps_t, "least_squares")
course.check("2. squares", tell_squares(small, maps_s, maps_t), lambda loss: torch.allclose(loss, squares))

# %% [markdown]
# **3. A suspicion (implement).** Self-information by hand, without `xlogy`: return $-p\log p/\log C$ for probabilities
# `[B,C,H,W]`. A probability of exactly 0 must give 0, and not NaN.
#
# <details><summary>Hint</summary>Zero times minus infinity is NaN. <code>p.clamp(min=...)</code> inside the logarithm
# alone cures it.</details>


# %%
def information_by_hand(p):
    """Weighted self-information, the shape of p."""
    # BEGIN SOLUTION
    return -p * p.clamp(min=1e-30).log() / math.log(p.shape[1])
    # END SOLUTION


extreme = torch.tensor([1.0, 0.0, 0.0, 0.2, 0.3, 0.5]).view(2, 3, 1, 1)
course.check("3. a suspicion", information_by_hand(extreme), train.weighted_self_information(extreme))

# %% [markdown]
# **4. A smoke detector (implement).** Return `"at chance"` if the accuracy of a discriminator is below 0.55 in at least
# half of its windows, `"never wrong"` if it is above 0.99 in at least half of them, and else `"playing"`. Which of your
# three toy games gets which word, and which of them was the good one?
#
# <details><summary>Hint</summary>Count with a generator: <code>sum(a &lt; 0.55 for a in accuracy)</code>, and compare
# twice the count with the length.</details>


# %%
def verdict(accuracy):
    """accuracy: a list of shares 0..1, one per window. Returns a word."""
    # BEGIN SOLUTION
    if 2 * sum(a < 0.55 for a in accuracy) >= len(accuracy):
        return "at chance"
    if 2 * sum(a > 0.99 for a in accuracy) >= len(accuracy):
        return "never wrong"
    return "playing"
    # END SOLUTION


curves = [[0.6, 0.5, 0.51, 0.52], [0.9, 1.0, 1.0, 0.98], [0.8, 0.7, 0.995, 0.5], [0.54, 0.56]]
words = None if verdict(curves[0]) is None else ", ".join(map(verdict, curves))
course.check("4. a smoke detector", words, "at chance, never wrong, playing, at chance")

# %% [markdown]
# ## Summary
#
# 1. **Outputs** have few channels, no paint, and a grammar that both domains share. How much they give away can be
#    measured with a fresh judge, and the truth itself is the yardstick: it gives something away too.
# 2. **Three ways to play.** The literal loss falls silent where the discriminator is sure, the non-saturating one
#    pushes there with 1, and the squares push without limit. Even the smallest game circles.
# 3. **A step** is two half-steps. The way to the network leads through the discriminator, so its gradients have to be
#    frozen or swept out; the way to the discriminator is cut by `detach`. The polarity stands in one place.
# 4. **Self-information** shows where a class is suspected, entropy where anything is in doubt. Descending entropy alone
#    listens to those who are already sure, and its best answer is one class for everything.
# 5. **The record** shows a game, and says whether it collapsed. It has seen no target label, and can't say whether the
#    target got better.
#
# | term | meaning |
# |---|---|
# | output-space alignment | making predictions of two domains hard to tell apart |
# | discriminator | a network that tells the domains apart, place by place; its scores are before a sigmoid |
# | non-saturating | the form of the network's loss whose gradient survives a sure discriminator |
# | least squares | the game with squared distances to 1 and 0 in place of logarithms |
# | weighted self-information | $-p\log p$ per class; its sum over the classes is the entropy |
# | MinEnt | descending the entropy of the target directly |
# | warm-up | what IAST calls an aligned network from which self-training starts |
#
# **Next:** [07, proxies](07_proxies.ipynb). A discriminator that can tell the domains apart, place by place, knows
# where an output does not look like the source. Pseudo-labels could do with such a witness.

# %%
findings = {"told": told, "given_away": given_away, "owed": owed, "tall_city_houses": houses}
findings["toy"] = {name: values.mean().item() for name, values in target_iou.items()}
record = lesson.finish(miou=miou, pixel_accuracy=accuracy, games=record_of, **findings)
print("record written:", record.name)
