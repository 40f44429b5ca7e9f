# %% [markdown]
# # 01 · The two ends: source-only and oracle
#
# Every method of this course lives between two networks: one that has never seen a label of the target domain, and one
# that has seen them all. Here you train both, and learn to score them so well that you can read any table of this field.
#
# | at a glance | smoke | quick |
# |---|---|---|
# | time on two CPU cores | under a minute | 50 s when the runs are there, 7 min from nothing |
# | peak memory | | 1.8 GB |
#
# Data: rendered street scenes, nothing to download. Before this: [00, a tour of the problem](00_tour.ipynb).
# Main sources: [Zou et al. 2018](https://arxiv.org/abs/1810.07911),
# [Chitta et al. 2018](https://arxiv.org/abs/1811.03542), [Li et al. 2016](https://arxiv.org/abs/1603.04779).

# %% [markdown]
# ## Objectives
#
# After this notebook you can
#
# 1. **compute** IoU, mIoU and pixel accuracy by hand, from one confusion matrix over a whole data set;
# 2. **explain** what scores over 19, 16 and 13 classes are, and what an absent class does to a mean;
# 3. **write** the training loop of a segmentation network, loss included;
# 4. **say** what the rows source-only, AdaBN and oracle mean, and why a table without them can't be read.

# %% tags=["parameters"]
profile: str = None  # smoke | quick | full; None reads $UDALIB_PROFILE, then quick
seed: int = 0  # changes images, initial weights and sampling
benchmark: str = "game-city"  # `udalib list` shows all
data_root: str = None  # folder of the data; None is the cache
device: str = None  # cpu | cuda; None takes the best there is
out: str = None  # folder of this notebook's record; None is the cache

# %% tags=["setup"]
import copy
from itertools import islice

import ipywidgets
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from udalib import course, data, labels, models, papers, predict, recipes, runs, score, show, train

expected = {"smoke": "under a minute", "quick": "50 s when the runs are there, 7 min from nothing"}
lesson = course.begin("01_two_ends", benchmark, profile, seed, data_root, device, out, expected)
bench = lesson.open_benchmark()
classes = bench.classes

# %% [markdown]
# ## The space between
#
# Start with somebody else's result. Chitta et al. trained one network on frames of a computer game,
# [GTA5](https://arxiv.org/abs/1608.02192), and tested it on [Cityscapes](https://arxiv.org/abs/1604.01685), photographs
# of German streets. Then they trained the same network on the labels of Cityscapes itself.
# Those two figures are the ends of a ruler. Everything their paper invents has to happen between them.


# %%
def ruler(points, title):
    """Names and mIoUs in per cent along one axis."""
    fig = Figure(figsize=(show.WIDTH, 1.8), layout="constrained")
    ax = fig.subplots()
    ax.plot(sorted(points.values()), [0] * len(points), color="0.7", zorder=1)
    for i, (name, value) in enumerate(sorted(points.items(), key=lambda point: point[1])):
        ax.scatter(value, 0, s=70, color=show.PALETTE[0 if name in ("source-only", "oracle") else 1], zorder=2)
        place = (0, 20 if i % 2 else -20)  # alternately above and below
        ax.annotate(f"{name}\n{value:.1f}", (value, 0), place, textcoords="offset points", ha="center", va="center")
    ax.set(xlabel="mIoU [%]", ylim=(-1, 1), yticks=[])
    ax.set_title(title, loc="left", fontweight="bold")
    ax.margins(x=0.08)
    ax.spines[["top", "left", "right"]].set_visible(False)
    return fig


chitta = {row["paper_row"]: row for row in papers.table("000_chitta_table1_gta5_cityscapes")}
ends = {"source-only": chitta["Source only"], "oracle": chitta["Target labels"]}
rows = {**ends, "self-training": chitta["Self-training"], "their method": chitta["+ Source hard mining"]}
fig = ruler({name: float(row["mIoU"]) for name, row in rows.items()}, "GTA5 to Cityscapes, as printed")
show.caption(fig, "The space between the ends: four rows of Chitta et al., Table 1. The ends are blue.")

# %% [markdown]
# By the end of this notebook you will have drawn the same ruler for `game-city`, our stand-in for that experiment, with
# two more points on it that papers rarely show.
#
# Of every method, this course asks three questions: who **predicts** on the target, what is **selected** as a label, and
# what is **trained** on it? The two ends give the shortest answers there are:
#
# | | predict | select | train |
# |---|---|---|---|
# | source-only | nobody | nothing | cross-entropy on source labels |
# | oracle | nobody | the truth, all of it | cross-entropy on target labels |
#
# The oracle is not a method. It uses exactly what the problem forbids, target labels, to find out what they would be
# worth. The package makes that step hard to take by accident:

# %% tags=["nbval-check-output"]
print(f"label of a target image: {bench.target[0].label}")
print(f"opened as the oracle it has one: {lesson.open_benchmark(oracle=True).target[0].label is not None}")

# %%
pair = [*bench.source[1][:2], *bench.val[1][:2]]  # a sample is (image, label, name)
fig = show.image_grid([pair], ["source", "labels", "target", "labels"], classes=classes, legend=True)
show.caption(fig, "A source image, and a validation image of the target: its labels are for scoring only.")

# %% [markdown]
# ## The loss, by hand
#
# Both ends are trained on the same loss. The network gives each pixel $n$ a distribution $p_n$ over the classes; the
# label $y_n$ names one of them; the loss is the mean surprise over the set $\Omega$ of pixels that have a label:
#
# $$\mathcal L(w) = -\frac{1}{|\Omega|} \sum_{n \in \Omega} \log p_n(y_n \mid I, w).$$
#
# | symbol | variable | shape |
# |---|---|---|
# | image $I$ | `images` | `[B, 3, H, W]`, values 0 to 255 |
# | what becomes $p$ by a softmax | `logits` | `[B, C, h, w]`, here $h = H/4$ |
# | label $y$ | `labels` | `[B, H, W]`, class indices; 255 means "no label" |
# | weights $w$ | `net` | |
#
# Two things to know when you compare with papers. Zou et al. (Eq. 1) write sums, one over the labelled pixels of the
# source and one over those of the target; source-only keeps the first, the oracle the second. And the released code that
# we know takes a mean instead, over all labelled pixels *of the batch*. So do we.
#
# Six pixels are enough to watch it work. One of them has no label. One is wrong, and sure of itself: find it.


# %% tags=["setup"]
def cross_entropy(logits, labels, weight=None):
    """weight: a factor for each class, [C]; without it every pixel counts the same."""
    log_probs = logits - logits.logsumexp(dim=1, keepdim=True)  # [B, C, H, W]
    valid = labels != 255  # [B, H, W]
    index = labels.masked_fill(~valid, 0).long()  # 255 is no class: look up anything, count it as 0 below
    surprise = -log_probs.gather(1, index[:, None])[:, 0]  # [B, H, W]
    mass = valid.float() if weight is None else valid * weight[index]  # what each pixel counts, [B, H, W]
    return (surprise * mass).sum() / (mass.sum() if valid.any() else 1)


toy_logits = torch.tensor(
    [[[[2.0, 0.5, 0.1], [1.0, 0.0, 5.0]], [[0.1, 1.5, 0.3], [1.0, 2.0, 0.0]], [[0.3, 0.2, 2.5], [1.0, 0.0, 0.0]]]]
)
toy_labels = torch.tensor([[[0, 1, 2], [0, 255, 1]]])

# %% tags=["nbval-check-output"]
confidence, answer = toy_logits.softmax(dim=1).max(dim=1)
print(f"logits {list(toy_logits.shape)}, labels {list(toy_labels.shape)}")
print(f"answers:\n{answer[0].numpy()}\nwith probability:\n{confidence[0].numpy().round(2)}")
print(f"labels:\n{toy_labels[0].numpy()}")
by_hand = cross_entropy(toy_logits, toy_labels)
print(f"loss by hand: {by_hand:.4f}")
print(f"torch agrees: {torch.allclose(by_hand, F.cross_entropy(toy_logits, toy_labels, ignore_index=255))}")
print(f"udalib agrees: {torch.allclose(by_hand, train.cross_entropy(toy_logits, toy_labels))}")

# %% [markdown]
# The last pixel alone pays more than the other four together. Cross-entropy forgives doubt and punishes confident
# mistakes. Keep that in mind for the next notebook, in which a network writes its own labels and some of its most
# confident ones are wrong.
#
# Why the `if valid.any()`? *Predict:* what is the mean over a batch in which not one pixel has a label?

# %% tags=["nbval-check-output"]
nothing = torch.full_like(toy_labels, 255)
leaf = toy_logits.clone().requires_grad_()
train.cross_entropy(leaf, nothing).backward()
print(f"torch: {F.cross_entropy(toy_logits, nothing, ignore_index=255):.1f}")
print(f"by hand: {cross_entropy(toy_logits, nothing):.1f}")
print(f"udalib: {train.cross_entropy(toy_logits, nothing):.1f}, largest gradient {leaf.grad.abs().max():.1f}")

# %% [markdown]
# Zero divided by zero. The two ends never meet this case: their images are labelled nearly everywhere. Self-training
# will, as soon as a random crop falls where no pixel was trusted, and one NaN in one step ruins every weight of the
# network. So the mean over nothing is 0 here, and so is its gradient.
#
# ## The loop, once
#
# From the next notebook on the course calls `train.fit`. To know what it does, write it out once. The network predicts
# at a quarter of the resolution, so its logits are enlarged before they meet the labels.


# %%
def training(net, dataset, steps, batch_size=4, lr=5e-3):
    """Train `net` in place; yield (steps done, loss) after every step."""
    optimiser = torch.optim.AdamW(net.parameters(), lr, weight_decay=1e-4)
    augment = data.Augmentation(crop=tuple(side * 3 // 4 for side in bench.size), scale=(0.6, 1.2))
    for step, batch in enumerate(data.training_batches(dataset, batch_size, seed, steps)):
        for group in optimiser.param_groups:  # up for a tenth of the way, then down to nearly zero
            group["lr"] = lr * train.SCHEDULES["one_cycle"](step / steps)
        images, targets = augment(batch.images, batch.labels, data.seeded(seed, step))  # zoom, crop, mirror, colour
        net.train()
        logits = net(images).logits  # [B, C, h, w]
        logits = F.interpolate(logits, targets.shape[-2:], mode="bilinear")  # [B, C, H, W]
        loss = cross_entropy(logits, targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield step + 1, loss.item()


# %% [markdown]
# That is all of it. `train.fit` adds what you would miss on a bad day: any device and its number type, a state file from
# which a killed run continues bit for bit, and a clear error in place of a NaN.
#
# *Predict:* a network with random weights takes 60 steps on **source** images, a matter of seconds. Which classes will it
# then find on a **target** image, and which will it not even have tried?


# %%
def look(net, sample):
    probs, _ = next(predict.whole(net, [data.collate([sample])]))
    return probs.argmax(dim=1)[0]


steps = 4 if lesson.profile == "smoke" else 60
torch.manual_seed(seed)
net, example = models.build("mini", len(classes)), bench.val[0]
stages = {"no step": look(net, example)}
for step, loss in training(net, bench.source, steps):
    if step in (steps // 4, steps):
        stages[f"{step} steps, loss {loss:.1f}"] = look(net, example)
strip, titles = [example.image, example.label, *stages.values()], ["input", "truth", *stages]
fig = show.image_grid([strip], titles, classes=classes, legend=True)
show.caption(fig, f"What learning looks like: one target image after 0, {steps // 4} and {steps} steps on the source.")

# %% [markdown]
# Large regions first. A mean over pixels is a mean over road, buildings, trees and sky, and those it learns. Thin and
# rare things come late: a network that never says "pole" loses almost nothing by it. Nothing is broken here. The loss
# has told the network what counts, and it has listened.
#
# The papers can afford to wait: their networks start from ImageNet and train for hours. Ours starts from random weights
# and trains for a few minutes, too short for the plain loss to find a motorcycle. So the recipes of this package weigh
# class $c$ by its share $s_c$ of the *training* labels, as $s_c^{-1/2}$: a class with a hundredth of another's pixels
# counts ten times as much per pixel. All rows of a table are trained in this way. Source-only and every method take the
# shares from the source; only the oracle may count target labels. (To save time, the recipes also read the labels at
# every second pixel of every second row only. Scores read them all.)

# %% tags=["nbval-check-output"]
shares = torch.tensor([0.64, 0.32, 0.04])
weight = shares**-0.5 / (shares**0.5).sum()  # scaled so that an average pixel counts 1
weighted = train.cross_entropy(toy_logits, toy_labels, weight)
print(f"weights: {[round(value, 2) for value in weight.tolist()]}")
print(f"weighted loss as in udalib: {torch.allclose(cross_entropy(toy_logits, toy_labels, weight), weighted)}")

# %% [markdown]
# ## The real thing
#
# Now a full training of both ends. If their records are in your cache, they come back at once; a run that was
# interrupted continues where it stopped.
#
# *Predict two things.* Which of the two ends with the lower training loss? And does that tell you which one is better on
# the target?

# %% tags=["setup"]
source = lesson.run("source")
oracle = lesson.run("oracle")

# %%
fig = show.curves({"source-only": source.rounds[-1]["curve"], "oracle": oracle.rounds[-1]["curve"]})
show.caption(fig, "Training losses, each on its own domain: source-only on source images, the oracle on the target's.")

# %% [markdown]
# A trap for anyone who picks networks by their training loss. In our runs the lower curve belongs to source-only: the
# streets of the game are the tidier ones and easier to learn. It is no better for it, as you are about to see. Nothing in
# either curve warns you, since no step of source-only has ever touched the target. To see a domain gap you have to leave
# the training domain.


# %%
def predictions(result):
    """What the network of a finished run sees in the validation images, uint8 [N, H, W]."""
    net = recipes.load_network(result, device=device)
    stream = predict.whole(net, data.ordered_batches(bench.val))
    return torch.cat([probs.argmax(dim=1).byte().cpu() for probs, _ in stream])


truth = torch.from_numpy(bench.val.labels)
seen = {"source-only": predictions(source), "oracle": predictions(oracle)}

some = [1, 9]
columns = {name: pred[some] for name, pred in seen.items()}
fig = show.qualitative([bench.val[i].image for i in some], truth[some], columns, classes=classes)
show.caption(fig, "Two validation images of the target, with the share of pixels that each network gets right.")

# %% [markdown]
# Look before you count. Where does source-only go wrong: along edges, or over whole surfaces? Do its mistakes look like
# hesitation, or like conviction?
#
# ## Pixel accuracy, and why it flatters
#
# The most obvious score is the one under the pictures: of the pixels that have a label, how many are right?


# %%
def pixel_accuracy(pred, truth):
    valid = truth != 255
    return ((pred == truth) & valid).sum().item() / valid.sum().item()


accuracy = {name: pixel_accuracy(pred, truth) for name, pred in seen.items()}
print(", ".join(f"{name}: {value:.1%}" for name, value in accuracy.items()))

# %% [markdown]
# Is that good? A score needs a zero. Here is a contender to find it with: **the blind driver**. It never opens its eyes.
# It has studied the source labels, and remembers for every position of the image which class was most often there. That
# one label map is its answer to every image.
#
# *Predict* its pixel accuracy on the target. Write the figure down before you go on.

# %%
source_labels = torch.from_numpy(bench.source.labels)  # [N, H, W]
votes = torch.stack([(source_labels == c).sum(dim=0) for c in range(len(classes))])  # [C, H, W]
blind = votes.argmax(dim=0)  # [H, W]
seen["blind"] = blind.byte().expand_as(truth)
accuracy["blind"] = pixel_accuracy(seen["blind"], truth)
print(f"blind: {accuracy['blind']:.1%}")

titles = ["the blind driver's answer", "share of images that agree", "one true label map"]
fig = show.image_grid([[blind, votes.amax(dim=0) / len(source_labels), example.label]], titles, classes=classes)
show.caption(fig, "The commonest source class of every position, and its share there (dark: 0, bright: 1).")

# %% [markdown]
# Most people guess too low. A street is a tidy place: road below, buildings at the sides, sky above. With closed eyes you
# get close to half of the pixels right, and hit every pedestrian. Pixel accuracy hardly minds. Pedestrians are small.
#
# It is not a wrong score. It answers a question that few drivers ask. The score this field has settled on gives every
# *class* the same weight instead.
#
# ## Counting: one matrix for everything
#
# Take two label maps of 24 pixels with three classes: road, sidewalk, building. Every pixel is a pair (truth,
# prediction). Count the pairs, and you have all that any score needs to know.

# %%
toy_truth = torch.tensor([[2, 2, 2, 2, 2, 255], [2, 2, 2, 2, 2, 255], [1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]])
toy_pred = torch.tensor([[2, 2, 2, 2, 2, 2], [2, 2, 2, 2, 1, 0], [1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 2]])
fig = show.image_grid([[toy_truth, toy_pred, None]], ["truth", "prediction", ""], legend=True)
show.caption(fig, "The toy pair. Two pixels of the truth, in black, have no label.")


# %% tags=["setup"]
def confusion(pred, truth, num_classes):
    """Counts [C, C]: rows truth, columns prediction; pixels with label 255 count nowhere."""
    valid = truth != 255
    pairs = num_classes * truth[valid].long() + pred[valid].long()  # one number for each pair
    return pairs.bincount(minlength=num_classes**2).reshape(num_classes, num_classes)


# %%
toy = confusion(toy_pred, toy_truth, 3)
print(f"{toy_truth.numel()} pixels, {toy.sum()} counted, in a matrix {list(toy.shape)}:\n{toy.numpy()}")

# %% [markdown]
# Read it for the sidewalk, class 1. On the diagonal lie its hits: **true positives**, TP. The rest of its *row* is
# sidewalk that the network missed: **false negatives**, FN. The rest of its *column* is something else that the network
# called sidewalk: **false positives**, FP. Then
#
# $$\mathrm{IoU}_c = \frac{\mathrm{TP}_c}{\mathrm{TP}_c + \mathrm{FP}_c + \mathrm{FN}_c}, \qquad
# \mathrm{mIoU} = \frac1C \sum_c \mathrm{IoU}_c .$$
#
# The denominator is the union of what is sidewalk and what was called sidewalk; the numerator is their intersection.
# Both kinds of mistake cost the same. It is the measure of PASCAL VOC, which Cityscapes took over. *By pencil first:* what is the IoU of the sidewalk?


# %% tags=["setup"]
def iou(matrix):
    """[..., C, C] -> [..., C]; NaN for a class that occurs neither in truth nor in prediction."""
    tp = matrix.diagonal(dim1=-2, dim2=-1)
    fp = matrix.sum(dim=-2) - tp  # the rest of the column
    fn = matrix.sum(dim=-1) - tp  # the rest of the row
    return tp.double() / (tp + fp + fn)


# %% tags=["nbval-check-output"]
package = score.ConfusionMatrix(3)
package.update(toy_pred[None], toy_truth[None])
print(f"IoU by hand: {[round(value, 3) for value in iou(toy).tolist()]}")
print(f"matrix and IoU as in the package: {torch.equal(toy, package.matrix) and torch.equal(iou(toy), package.iou())}")

# %% [markdown]
# And the pixels without a label? They are not a class called "other". They are holes in the exam paper: the bonnet of
# your own car, unclear objects, the rim of the picture. Scribble there whatever you like, and no score may move.

# %% tags=["nbval-check-output"]
scribbled = torch.where(toy_truth == 255, 1, toy_pred)
print(f"pixels changed: {(scribbled != toy_pred).sum()}")
print(f"scores unchanged: {torch.equal(confusion(scribbled, toy_truth, 3), toy)}")


# %%
# Now the whole validation set: three contenders, one matrix each.
matrices = {name: confusion(pred, truth, len(classes)) for name, pred in seen.items()}  # each [C, C]
miou = {name: iou(matrix).nanmean().item() for name, matrix in matrices.items()}
contenders = ("blind", "source-only", "oracle")
show.table(["", "pixel accuracy", "mIoU"], ([n, f"{accuracy[n]:.1%}", f"{miou[n]:.1%}"] for n in contenders))

# %% tags=["nbval-check-output"]
off = max(abs(miou["source-only"] - source.miou), abs(miou["oracle"] - oracle.miou))
print(f"mIoU as in the runs' records: {off < 0.005}")

# %% [markdown]
# The blind driver has been found out. It names a handful of classes and earns nothing for all the others, and a mean
# over classes says so. That is why mIoU leads every table of this field, and why pixel accuracy is worth printing beside
# it: together they tell whether a method helps the many pixels or the many classes. You will see them disagree.
#
# ## What an IoU looks like
#
# Figures in a column are easy to compare and easy to forget. Here is the same fraction as a picture. With a running kernel
# you can choose the image, the network and the class below it. Try the blind driver on "road", then on "person". Try
# "pole" on the oracle: being one pixel off costs a thin thing half its score.


# %%
def overlap(image, name="source-only", what="car"):
    """Hits, false alarms and misses of one class in one validation image."""
    c, pred, label = classes.index(what), seen[name][image], truth[image]
    hits, misses = (pred == c) & (label == c), (pred != c) & (label == c)
    alarms = (pred == c) & (label != c) & (label != 255)
    painted = 0.4 * bench.val[image].image.float().mean(dim=0)[..., None].repeat(1, 1, 3)
    for mask, colour in ((hits, 0), (alarms, 1), (misses, 8)):
        painted[mask] = 255 * torch.tensor(show.PALETTE[colour])
    tp, fp, fn = (mask.sum().item() for mask in (hits, alarms, misses))
    note = f"TP {tp}, FP {fp}, FN {fn}: IoU {tp / max(1, tp + fp + fn):.0%}"
    cells = [bench.val[image].image, pred, painted.byte()]
    return show.image_grid([cells], ["input", name, what], classes=classes, notes=[["", "", note]])


most_cars = (truth == classes.index("car")).sum(dim=(1, 2)).argmax().item()
show.caption(overlap(most_cars), "The cars of one image: hits blue, false alarms orange, misses yellow.")


# %%
sliders = {
    "image": ipywidgets.IntSlider(most_cars, 0, len(truth) - 1, description="image", continuous_update=False),
    "name": ipywidgets.Dropdown(options=list(seen), description="network"),
    "what": ipywidgets.Dropdown(options=classes.names, value="car", description="class"),
}
picture = ipywidgets.Image()


def redraw(_change=None):
    picture.value, picture.format = show.encode(overlap(**{name: slider.value for name, slider in sliders.items()}))


for slider in sliders.values():
    slider.observe(redraw, names="value")
redraw()
ipywidgets.VBox([ipywidgets.HBox(list(sliders.values())), picture])

# %% [markdown]
# ## One matrix, and never the mean of images
#
# It is tempting to compute an IoU per image and to average. Two images show what goes wrong. In the first, a bus fills
# 100 pixels, and 90 of them are found. In the second there is no bus, but a single pixel is called one.

# %% tags=["nbval-check-output"]
bus = torch.tensor([[[900, 0], [10, 90]], [[999, 1], [0, 0]]])  # two matrices; class 1 is the bus
each, pooled = iou(bus)[:, 1], iou(bus.sum(dim=0))[1]
print(f"image by image: {each[0]:.3f} and {each[1]:.3f}, mean {each.mean():.3f}; from the summed matrix: {pooled:.3f}")

# %% [markdown]
# One stray pixel has halved the score, because its image counts as much as the image with the bus in it. Pool the counts
# first and divide once, and every pixel counts the same, wherever it lies. *Predict* for the whole set: for which classes
# will the two ways differ most?


# %%
def image_by_image(pred):
    """One matrix per validation image, [N, C, C]."""
    return torch.stack([confusion(p, t, len(classes)) for p, t in zip(pred, truth, strict=True)])


per_image = {name: image_by_image(pred) for name, pred in seen.items()}
image_iou = iou(per_image["source-only"])  # [N, C], NaN where a class is absent
bars = {"one matrix": iou(matrices["source-only"]), "mean of images": image_iou.nanmean(dim=0)}
show.caption(show.class_bars(bars, classes), "Source-only on the target, scored in both ways. The blue one is right.")
stray = (per_image["source-only"].sum(dim=2) == 0) & (image_iou == 0)  # not in the image, yet predicted
print(f"{stray.sum() / (~image_iou.isnan()).sum():.0%} of the per-image IoUs are 0 for a class that is not there")
print(f"the images' matrices add up: {torch.equal(per_image['oracle'].sum(dim=0), matrices['oracle'])}")

# %% [markdown]
# For a class that most images lack, every such image is one more chance to score a zero: vehicles and riders fall to half
# of what they are worth. Frequent classes hardly care. And it can go the other way. Where a network's false alarms for a
# class crowd in a few images, a mean over images forgives them. The last line is the reason why large evaluations are easy all the same. Matrices add up.
# Each process, each GPU, each city counts for itself, and nobody divides before the end.
#
# ## 19, 16, 13
#
# Tables of this field come with 19, 16 or 13 classes, and their means can't be compared with each other. Where do the
# numbers come from?
#
# **19** is the list on which Cityscapes is evaluated. **16** leaves out terrain, truck and train: the synthetic data set
# SYNTHIA has no labels of these, so nobody can learn them there. **13** leaves out wall, fence and pole as well, and is
# often printed as mIoU\*; some papers on SYNTHIA print no other. All three are means over *subsets of the same IoUs, from
# the same matrix*. Sidewalk that is taken for a wall stays a mistake, even where the wall's own IoU is not in the mean.
#
# (One more 13 exists. The cross-city data of NTHU have 13 classes of the same names, but there a predicted wall, fence or
# pole is *merged* into building before counting. Same length of list, different score.)

# %%
subsets = {which: list(labels.subset(classes, which)) for which in ("19", "16", "13") if int(which) <= len(classes)}


def subset_means(matrix):
    return {which: iou(matrix)[members].nanmean().item() for which, members in subsets.items()}


means = {name: subset_means(matrices[name]) for name in contenders}
header = ["", *(f"mIoU {which}" for which in subsets)]
show.table(header, ([name, *(f"{value:.1%}" for value in row.values())] for name, row in means.items()))

# %% tags=["nbval-check-output"]
package = score.ConfusionMatrix(len(classes))
package.update(seen["oracle"], truth)
for which, members in subsets.items():
    off = package.miou(subset=which) - means["oracle"][which]
    print(f"{which}: {len(members)} classes, as in the package: {abs(off) < 1e-9}")

# %% [markdown]
# *Predict, without computing:* your network has an mIoU 16 of 41. A colleague scores the very same network on 13 classes.
# Will the figure be higher or lower?
#
# <details><summary>Answer</summary>
# Higher, in nearly every table you will read: wall, fence and pole are among the hardest classes. The network is the same
# and no better. A 13 beside a 16 is the cheapest improvement in this field.
# </details>
#
# In issue trackers you will meet a shortcut: *mIoU 16 is mIoU 19 times 19/16*. It holds in one situation: the network has
# 19 outputs, it has never seen a label of terrain, truck or train, and their three IoUs are exactly zero and counted as
# such. Then both means add up the same sixteen figures, and one divides by 19, the other by 16.

# %% tags=["nbval-check-output"]
if len(classes) == 19:
    taught = iou(matrices["source-only"]).nan_to_num(nan=0.0)
    untaught = torch.where(torch.isin(torch.arange(19), torch.tensor(subsets["16"])), taught, 0.0)
    print(f"shortcut right: {torch.isclose(untaught.mean() * 19 / 16, taught[subsets['16']].mean())}")

# %% [markdown]
# For a network that does know the three classes it is nonsense. And even one that doesn't differs from a network with 16
# outputs: it can still *say* truck, and each time it does, the true class has a miss. That is the *strict* score, our
# default. The *masked* score chooses among 16 outputs only and ignores the pixels of other classes. A table should say
# which one it is. The fourth exercise shows you the difference.
#
# ## Classes that are not there
#
# A small validation set may hold no train at all. If nobody predicts one either, its IoU is $0/0$. What is the mean then?
# Three classes, two of them present:

# %% tags=["nbval-check-output"]
absent = torch.tensor([[60, 20, 0], [10, 50, 0], [0, 0, 0]])
one_pixel = torch.tensor([[59, 20, 1], [10, 50, 0], [0, 0, 0]])  # a single pixel of class 0 is now called class 2
for title, matrix in {"class 2 absent": absent, "one stray pixel": one_pixel}.items():
    left_out, as_zero = iou(matrix).nanmean(), iou(matrix).nan_to_num(nan=0.0).mean()
    print(f"{title}: left out of the mean {left_out:.3f}, counted as zero {as_zero:.3f}")

# %% [markdown]
# Compare the two rows. One pixel in 140 changed, and the mean that leaves absent classes out lost a third: as soon as
# *anything* is called class 2 there is a union, the IoU is a true zero, and the class joins the mean. The other
# convention was harsh from the start and has hardly moved. Neither is wrong. But the same predictions get different
# scores, and released code is split:
#
# | released code | an absent class |
# |---|---|
# | [CBST](https://arxiv.org/abs/1810.07911), its successor CRST, [IAST](https://arxiv.org/abs/2008.12197) | counts as 0 |
# | [AdaptSegNet](https://arxiv.org/abs/1802.10349) | is left out |
#
# `score.ConfusionMatrix` leaves it out unless you say `absent="zero"`, and `present()` tells how many classes the mean is
# made of. Print that number along with it. Our validation sets are rendered so that each class is in dozens of images;
# only under the profile `smoke`, whose scores mean nothing, can one be missing.
#
# ## The gap, class by class
#
# A mean hides where things happen. Always ask for the bars. *Predict:* on which class do the two ends differ least, and
# on which most?

# %%
fig = show.class_bars({"source-only": source.iou, "oracle": oracle.iou}, classes)
show.caption(fig, f"The two ends on the target of {benchmark}, a stand-in for {bench.stands_for}.")
gap = 100 * (iou(matrices["oracle"]) - iou(matrices["source-only"]))  # points, [C]
order = [c for c in gap.argsort(descending=True).tolist() if not gap[c].isnan()]
for title, members in {"widest gaps": order[:4], "narrowest": order[-4:]}.items():
    print(f"{title}: " + ", ".join(f"{classes.names[c]} {gap[c]:+.0f}" for c in members))

# %% [markdown]
# Sort the bars into three kinds. Some classes do well without any adaptation: they look alike in both domains. Some lose
# much that the oracle proves can be had: there adaptation is worth something. And some stay poor even for the oracle,
# being thin or rare or both. Expect no method to repair those, and look twice at one that claims to.
#
# ## What the papers print
#
# Our figures come from rendered streets and a small network trained from scratch. They stand in for an experiment, they
# do not repeat it. Here is a real one, with the same two rows:

# %%
columns = [name.replace(" ", "_") for name in labels.CITYSCAPES.names]
fig = show.class_bars({end: [float(row[column]) / 100 for column in columns] for end, row in ends.items()})
fig.axes[0].set_title("GTA5 to Cityscapes, as printed", loc="left", fontweight="bold")
show.caption(fig, f"From the literature, not from this package: {papers.cite('000_chitta_table1_gta5_cityscapes')}.")

# %% [markdown]
# Now a surprise. How good is a network trained on GTA5 when you test it on Cityscapes? The table of Zou et al. collects
# the source-only rows of several papers. It is always the same two data sets, and nobody adapts anything. *Predict* how
# far apart the figures lie.

# %%
name, by_network = "001_cbst_table3_gta5_cityscapes", {}
for row in papers.table(name):
    if row["method"].startswith("Source only"):
        by_network.setdefault(row["backbone"], []).append(row["mIoU"])
lines = [[network, " · ".join(sorted(printed))] for network, printed in by_network.items()]
show.table(["network", f"mIoU of the source-only rows, as printed by {papers.cite(name)}"], lines)

# %% [markdown]
# Three times the same network, three figures. The zero of the ruler is not fixed. It moves with the network, and for one
# and the same network it still moves by several points with the learning rate, the augmentation, the length of training and the size of the test images. Many a
# method has gained less than that. So a method's own figure means little. What counts is its distance from *its own*
# source-only row: same network, same schedule, same scoring. That is the first row that every table needs.
#
# The last row, the oracle, says how far there is to go. Chitta et al. print one; the table of Zou et al. has none.
#
# ## A third row: AdaBN
#
# Between the two ends there is a point that costs nearly nothing. Our network, like most, normalises its activations: in
# a batch-norm layer, channel $j$ of the features $x$ becomes
#
# $$y_j = \gamma_j\,\frac{x_j - \mu_j}{\sqrt{\sigma_j^2 + \epsilon}} + \beta_j .$$
#
# In training, $\mu$ and $\sigma$ come from the batch at hand. For prediction the layer uses running averages that it has
# kept, and these describe **source** images. On the target they are simply the wrong numbers. Li et al. (Algorithm 1)
# leave every learned weight alone, $\gamma$ and $\beta$ included, and measure $\mu$ and $\sigma$ anew on unlabelled
# target images: adaptive batch normalisation, AdaBN.
#
# Measure them by hand for the first layer, which has only one convolution before it.

# %%
net = recipes.load_network(source, device="cpu")
conv, norm = net.stem[0][0], net.stem[0][1]


@torch.no_grad()
def first_features(dataset, count=2):
    """What enters the first batch-norm layer: `count` batches of [16, D, H/2, W/2]."""
    return [conv(net.normalise(batch.images)) for batch in islice(data.ordered_batches(dataset), count)]


def statistics(batches):
    """Mean and variance of every channel, averaged over the batches; each [D]."""
    mean = torch.stack([x.mean(dim=(0, 2, 3)) for x in batches]).mean(dim=0)
    variance = torch.stack([x.var(dim=(0, 2, 3)) for x in batches]).mean(dim=0)
    return mean, variance


from_source, from_target = first_features(bench.source), first_features(bench.target)
(source_mean, source_var), (target_mean, target_var) = statistics(from_source), statistics(from_target)
shift = (target_mean - source_mean) / source_var.sqrt()  # [D], in standard deviations of the source
print(f"features {list(from_target[0].shape)}, means {list(target_mean.shape)}")
print(f"shifts: {[round(value, 1) for value in shift.tolist()]}")

# %% tags=["nbval-check-output"]
adapted = copy.deepcopy(net)
train.adapt_statistics(adapted, islice(data.ordered_batches(bench.target), 2), torch.device("cpu"))
layer = adapted.stem[0][1]
off = (layer.running_mean - target_mean).abs() / target_var.sqrt()
print(f"mean as in the package: {off.max().item() < 0.01}")
print(f"variance as in the package: {torch.allclose(layer.running_var, target_var, rtol=0.02)}")

# %%
j = shift.abs().argmax().item()


def normalised(batches, mean, variance):
    return (torch.cat([x[:, j] for x in batches]) - mean[j]) / (variance[j] + norm.eps).sqrt()


curves = {
    "source": normalised(from_source, source_mean, source_var),
    "target, source statistics": normalised(from_target, source_mean, source_var),
    "target, own statistics": normalised(from_target, target_mean, target_var),
}
fig = show.histograms(curves, f"normalised value of channel {j}", bins=60)
show.caption(fig, "The channel that moves most. Blue: as in training. Orange: without AdaBN. Green: with it.")

# %% [markdown]
# Blue is what the rest of the network was trained on, orange is what it gets on the target, green is what AdaBN gives it.
# Mean and spread are back where the later layers expect them. The *shape* is not: AdaBN matches two numbers per channel
# and no more. And this is only the first of more than a dozen such layers, each of which builds on the ones before.
#
# **Place your bet.** No label, no gradient, no training; one pass over the target images. How many points of mIoU will it
# bring? You know how far apart the ends are. Change the first line before you run the cell.

# %%
my_bet = 5.0  # points of mIoU
adabn = lesson.run("adabn")
seen["AdaBN"] = predictions(adabn)
print(f"you bet {my_bet:+.1f} points; measured: {100 * (adabn.miou - source.miou):+.1f}")
worse = [name for name, a, b in zip(classes.names, adabn.iou, source.iou, strict=True) if (a or 0) < (b or 0)]
print(f"classes that are better without AdaBN: {', '.join(worse) or 'none'}")
fig = show.class_bars({"source-only": source.iou, "AdaBN": adabn.iou, "oracle": oracle.iou}, classes)
show.caption(fig, f"Source-only and AdaBN have the same weights. {benchmark}, a stand-in for {bench.stands_for}.")

# %%
best = ((seen["AdaBN"] == truth).sum((1, 2)) - (seen["source-only"] == truth).sum((1, 2))).topk(2).indices
columns = {name: seen[name][best] for name in ("source-only", "AdaBN", "oracle")}
fig = show.qualitative([bench.val[i].image for i in best.tolist()], truth[best], columns, classes=classes)
show.caption(fig, "The two validation images that AdaBN helps most: chosen to show the effect, not to prove it.")

# %% [markdown]
# Some of what looks like a deep problem, "the network does not understand these streets", is a shallow one: wrong
# averages. It is free to repair, and it does not take you far. What remains up to the oracle is no matter of two numbers
# per channel. And the classes don't move together: look for one that lost.
#
# Now think of what this does to a comparison. Any method that lets target images pass the network in training mode moves
# these statistics, *whatever else it does*. A table that shows only source-only and the new method gives the method all
# the credit. Hence this row, and one more that the next notebook adds.
#
# How much AdaBN brings depends on the network and on the gap. The papers' networks start from ImageNet and usually keep
# its statistics frozen; ours is trained from scratch and has none to keep. Measure it, don't assume it.
#
# ## One seed is not a result
#
# Three rows, and an itch to compare them. How firm are they? Two kinds of chance are in every figure.
#
# The first is the choice of test images. You can see it without any training: draw as many images as the validation set
# has, *with replacement*, score them, and repeat a thousand times. As matrices add up, that is one product of arrays.
# *Predict:* how wide is the range that holds 95 % of the scores?


# %%
def resampled(matrices, times=1000):
    """mIoU [times], in per cent, of validation sets drawn from the images; matrices [N, C, C]."""
    count = len(matrices)
    drawn = torch.randint(count, (times, count), generator=torch.Generator().manual_seed(0))  # the same for all rows
    often = torch.zeros(times, count).scatter_add(1, drawn, torch.ones(times, count)).double()
    return 100 * iou(torch.einsum("tn,nij->tij", often, matrices.double())).nanmean(dim=1)


draws = {name: resampled(image_by_image(seen[name])) for name in ("source-only", "AdaBN", "oracle")}
fig = show.histograms(draws, "mIoU [%]", bins=80)
fig.axes[0].set_title("A thousand validation sets", loc="left", fontweight="bold")
fig.axes[0].set_ylabel("share of the sets [%]")
show.caption(fig, "The mIoU of each network on validation sets drawn with replacement from ours.")


# %%
def interval(values):
    low, high = values.quantile(torch.tensor([0.025, 0.975], dtype=torch.double)).tolist()
    return f"{low:.1f} to {high:.1f}"


intervals = {name: interval(values) for name, values in draws.items()}
intervals["AdaBN minus source-only"] = interval(draws["AdaBN"] - draws["source-only"])
show.table(["", "95 % of the sets"], intervals.items())

# %% [markdown]
# The last line deserves a thought. All networks met the same thousand sets. Where a set is hard for one of them it tends
# to be hard for the others, and in the *difference* that luck cancels. Compare in pairs, and the same data say more.
#
# The second kind of chance costs more to see: other training images, other initial weights, another order of batches.
# Here one parameter, `seed`, changes all of them at once, so that a spread over seeds is an honest one.
# `make tables SEEDS=3` repeats the runs with three seeds. The next cell trains nothing: it reads which seeds your cache
# has finished.


# %%
def finished(result):
    """mIoU in per cent by seed, of all finished runs that differ from `result` in the seed only."""
    mine, found = result.record, {result.record["seed"]: 100 * result.miou}
    pattern = "runs/{recipe}-{benchmark}-{profile}-seed*/record.json".format(**mine)
    for other in map(runs.read_record, sorted(runs.home().glob(pattern))):
        if other["status"] == "finished" and all(other[key] == mine[key] for key in ("settings", "code")):
            found[other["seed"]] = 100 * other["rounds"][-1]["miou"]
    return found


by_seed = {"source-only": finished(source), "AdaBN": finished(adabn), "oracle": finished(oracle)}
common = sorted(set.intersection(*map(set, by_seed.values())))
values = {name: torch.tensor([found[s] for s in common]) for name, found in by_seed.items()}
values["AdaBN minus source-only"] = values["AdaBN"] - values["source-only"]
spread = [f"{v.mean():.1f}" + (f" ± {v.std():.1f}" if len(common) > 1 else "") for v in values.values()]
show.table(["", f"mIoU, seeds: {', '.join(map(str, common))}"], zip(values, spread, strict=True))

# %% [markdown]
# With one seed there is no ± in that table, and nothing else can take its place. The five papers of this course print
# tables without any. Read them accordingly: a difference of a point is weather. In this course no conclusion rests on a
# single seed; the tables under `figures/tables` carry mean, standard deviation, the number of seeds and paired
# differences.
#
# ## The ruler, finished

# %%
three = {"source-only": source, "AdaBN": adabn, "oracle": oracle}
points = {"blind": miou["blind"], **{name: result.miou for name, result in three.items()}}
fig = ruler({name: 100 * value for name, value in points.items()}, f"{benchmark}, a stand-in for {bench.stands_for}")
show.caption(fig, f"Our own ruler: profile {lesson.profile}, seed {seed}. What is to come lies right of AdaBN.")

# %% [markdown]
# ## Where this breaks
#
# **The oracle is no ceiling.** It is one training on the target's labels, here with fewer images than the source has. A
# method that uses both domains may pass it on a class; source images of something rare are worth having. Call it a
# reference, not a bound.
#
# **Source-only is a choice.** Stronger augmentation makes it better and every gain above it smaller. A paper that starts
# from a weak one has more room to shine.
#
# **Validation data leak.** Whoever prints the best of many snapshots, chosen on the images that are reported, has trained
# on them a little. We report the last state, always. Zou et al. write that the validation set is their target domain; by
# their author's word in the code's issue tracker, adaptation uses the training images and validation is for testing. The
# released commands do that, and so do we.
#
# **"Single scale" is not one thing.** In the released code of the same paper, a test without multiple scales still
# averages each prediction with that of the mirrored image. We score the plain prediction;
# `predict.whole(..., flip=True)` gives the other.
#
# **A mean over classes has a bias too.** Motorcycle weighs as much as road. A class with few pixels in few images makes
# the whole score tremble; much of the width of the histograms above is theirs.

# %% [markdown]
# ## Exercises
#
# Fill in the functions; the cell below each one says how you stand. Hints are folded. Solutions:
# [solutions/01_two_ends.ipynb](solutions/01_two_ends.ipynb).
#
# **1 · Predict.** A network calls every pixel "road". Guess its pixel accuracy, its IoU of road and its mIoU on the
# target. Then write a function that finds all three from the confusion matrix of *any other* network on the same images.
#
# <details><summary>Hint</summary>
# The rows of a confusion matrix sum to the true pixels of each class, whatever the network said. Build the matrix of the
# all-road network from these sums: where do all its counts go?
# </details>

# %%
record_matrix = torch.tensor(source.rounds[-1]["confusion"])  # [C, C], source-only on the validation set


def all_road(matrix):
    """Pixel accuracy, IoU of road (class 0) and mIoU of "everything is road", as a tensor [3]."""
    # BEGIN SOLUTION
    everything = torch.zeros_like(matrix)
    everything[:, 0] = matrix.sum(dim=1)
    right = everything.diagonal().sum() / everything.sum()
    return torch.stack([right.double(), iou(everything)[0], iou(everything).nanmean()])
    # END SOLUTION


# %% tags=["nbval-check-output"]
share = record_matrix[0].sum() / record_matrix.sum()
occurring = (record_matrix.sum(dim=1) > 0).sum()
course.check("1", all_road(record_matrix), torch.stack([share, share, share / occurring]), tolerance=1e-5)

# %% [markdown]
# **2 · Change one thing.** AdaBN read every target image. How many does it need? Write a function that adapts source-only
# to the first `count` target images and returns its mIoU on the first 32 validation images. Before you run it: will a
# single image help or hurt?
#
# <details><summary>Hint</summary>
# <code>recipes.load_network(source)</code> gives a fresh copy of the network. <code>torch.utils.data.Subset</code> takes
# the first images of a data set, <code>data.ordered_batches</code> makes batches of them, and
# <code>train.adapt_statistics</code> does the rest. Predict with <code>predict.whole</code>, count with
# <code>score.ConfusionMatrix</code>.
# </details>


# %%
def adapted_miou(count):
    # BEGIN SOLUTION
    net = recipes.load_network(source, device="cpu")
    few = torch.utils.data.Subset(bench.target, range(count))
    train.adapt_statistics(net, data.ordered_batches(few), torch.device("cpu"))
    matrix = score.ConfusionMatrix(len(classes))
    for batch in data.ordered_batches(torch.utils.data.Subset(bench.val, range(min(32, len(bench.val))))):
        probs, _ = next(predict.whole(net, [batch]))
        matrix.update(probs.argmax(dim=1), batch.labels)
    return matrix.miou()
    # END SOLUTION


# %%
tried = {count: adapted_miou(count) for count in (1, 4, 16)}
if tried[16] is not None:
    print(", ".join(f"{count} images: mIoU {value:.1%}" for count, value in tried.items()))
course.check("2", tried[16], lambda value: 0 < value < 1 and value != tried[1])

# %% [markdown]
# **3 · Implement: the other mean.** Our loss is a mean over all labelled pixels of a batch. Write the alternative: the
# mean over the *images* of each image's own mean, leaving out images without any label. In the batch below one image has
# six labels and the other has one. Which mean listens more to the lonely pixel? Which would you want for pseudo-labels?
#
# <details><summary>Hint</summary>
# <code>cross_entropy</code> also takes a batch of one: <code>logits[i : i + 1]</code>.
# </details>

# %%
two_logits = torch.cat([toy_logits, -toy_logits])  # [2, 3, 2, 3]
two_labels = torch.tensor([[[0, 1, 2], [0, 1, 0]], [[255, 255, 255], [255, 255, 0]]])


def mean_of_means(logits, labels):
    # BEGIN SOLUTION
    labelled = [i for i in range(len(labels)) if (labels[i] != 255).any()]
    return torch.stack([cross_entropy(logits[i : i + 1], labels[i : i + 1]) for i in labelled]).mean()
    # END SOLUTION


# %% tags=["nbval-check-output"]
surprise = F.cross_entropy(two_logits, two_labels, ignore_index=255, reduction="none").sum(dim=(1, 2))
course.check("3", mean_of_means(two_logits, two_labels), (surprise[0] / 6 + surprise[1] / 1) / 2, tolerance=1e-5)

# %% [markdown]
# **4 · Implement: strict and masked.** From the scores of a network with 19 outputs, compute the *masked* mIoU over 16
# classes: the network may choose among the 16 only, and pixels of the other three are ignored. Then compare it with the
# strict one. Which is higher, and must it be?
#
# <details><summary>Hint</summary>
# <code>scores[:, members].argmax(dim=1)</code> is a position in <code>members</code>, not a class. Translate the labels
# to positions as well, with a table of 256 entries that is 255 nearly everywhere.
# </details>

# %%
members, generator = list(labels.subset(19, "16")), torch.Generator().manual_seed(0)
some_labels = torch.randint(19, (2, 32, 64), generator=generator)
some_scores = F.one_hot(some_labels, 19).permute(0, 3, 1, 2) + torch.randn(2, 19, 32, 64, generator=generator)


def masked_miou(scores, truth, members):
    # BEGIN SOLUTION
    position = torch.full((256,), 255)
    position[torch.tensor(members)] = torch.arange(len(members))
    return iou(confusion(scores[:, members].argmax(dim=1), position[truth], len(members))).nanmean()
    # END SOLUTION


# %% tags=["nbval-check-output"]
compact, kept = score.ConfusionMatrix(19), torch.tensor(members)
inside = torch.where(torch.isin(some_labels, kept), some_labels, 255)
compact.update(kept[some_scores[:, members].argmax(dim=1)], inside)
course.check("4", masked_miou(some_scores, some_labels, members), compact.miou(subset="16"))

# %% [markdown]
# ## Summary
#
# **Scores.** One confusion matrix over the whole set; pixels labelled 255 count nowhere. IoU is TP / (TP + FP + FN), from
# the diagonal, the column and the row. mIoU is its mean over classes; pixel accuracy is the diagonal over everything. The
# matrices of images, processes and cities add up. Their IoUs don't.
#
# **Classes.** 19, 16 and 13 are subsets of one list: 16 without what SYNTHIA lacks, 13 without wall, fence and pole
# either. An absent class is 0/0, left out of the mean by some code and counted as zero by other. Say which, and how many
# classes are in it.
#
# **Training.** Cross-entropy is the mean surprise over the labelled pixels of a batch, and 0 where there are none. The
# loop is half a page. Its loss knows nothing of the target.
#
# **Rows.** Source-only is where a method starts, and it moves from paper to paper. AdaBN is what target statistics bring
# without any learning. The oracle is what target labels would have bought. A gain is a distance on that ruler, with seeds
# and spread; without the ruler it is just a number.
#
# ### Words
#
# **source-only**: trained on source labels, tested on the target. **oracle**: trained on target labels, for reference.
# **AdaBN**: source-only with batch-norm statistics of the target. **strict, masked**: a subset's mean with all outputs in
# play, or with the subset's outputs alone. **mIoU\***: the mean over 13 classes. **paired difference**: two methods on
# the same seed and images, subtracted before averaging. **stand-in**: an embedded benchmark in place of a real one.
#
# ### Next
#
# [02, self-training](02_self_training.ipynb): the network labels the target itself, and learns from what it wrote. You
# have the two ends and a fair zero between them. Let us see how far it gets.

# %%
record = lesson.finish(miou=points, pixel_accuracy=accuracy, subsets=means, intervals=intervals, seeds=common)
print(f"record: {record.name}")
