# %% [markdown]
# # 10 · Five papers side by side
#
# A table of results is an argument in disguise. It says: these figures belong together, and the largest has won. Lay all
# the tables of five papers on one desk, and the argument begins to wobble. The same encoder starts from five different
# places. Rows travel from paper to paper and change their names on the way. And some means are not the mean of what
# stands beside them. Tonight nothing is trained. We read.
#
# | at a glance | every profile |
# |---|---|
# | time on two CPU cores | 20 s |
# | peak memory | 0.9 GB |
#
# Data: the printed tables of the five papers and our own committed ones under `figures/`, nothing to download. Before
# this: [01, the two ends](01_two_ends.ipynb) for mIoU and seeds; the methods are those of 02 to 09, and a name is enough
# to read on. Papers: [Chitta et al. 2018](https://arxiv.org/abs/1811.03542), [Zou et al.
# 2018](https://arxiv.org/abs/1810.07911), [Shen et al. 2019](https://arxiv.org/abs/1907.12282), [Iqbal and Ali
# 2020](https://arxiv.org/abs/1909.13776), [Mei et al. 2020](https://arxiv.org/abs/2008.12197).

# %% [markdown]
# ## Objectives
#
# After this notebook you can
#
# 1. **say** what stands between two printed figures, and **rank** methods by mIoU and by gain over their own source-only;
# 2. **find** rows that do not add up, and rows that were carried from paper to paper, with a few lines of code;
# 3. **place** our own runs on one footing, and say what a control takes away from a gain;
# 4. **form** a paired difference, and say what three seeds can decide and how often chance decides for them;
# 5. **trace** a verdict of the ledger back to its records, and add a row to the batch.
#
# The whole notebook in one line:
#
# ```
#   printed figure ──► which source-only? ──► gain ──► does it add up? ──► ours, with a control ──► seeds ──► verdict
# ```

# %% tags=["parameters"]
profile: str = None  # smoke | quick | full; None reads $UDALIB_PROFILE, then quick
seed: int = 0  # changes images, initial weights and sampling
benchmark: str = "game-city"  # `udalib list` shows all
data_root: str = None  # folder of the data; None is the cache
device: str = None  # cpu | cuda; None takes the best there is
out: str = None  # folder of this notebook's record; None is the cache

# %% tags=["setup"]
import json
import math
import re
from itertools import combinations

import numpy as np
import torch
from IPython.display import display

from udalib import claims, course, papers, score, show, tables, widgets
from udalib.labels import CITYSCAPES, SYNTHIA13

expected = {name: "20 s" for name in ("smoke", "quick", "full")}
lesson = course.begin("10_five_papers", benchmark, profile, seed, data_root, device, out, expected)
CLASSES, CLASSES13 = ([name.replace(" ", "_") for name in names] for names in (CITYSCAPES.names, SYNTHIA13.names))

# %% [markdown]
# Nothing below depends on profile, seed or device: our tables were made with the profile `quick` and three seeds, and are
# read here. `benchmark` chooses which of them stand beside the papers.
#
# ## One desk
#
# Two experiments occur in nearly every table: from the game GTA5 to the photographs of Cityscapes, and from the rendered
# streets of SYNTHIA to the same photographs. Here is all that is printed for them, folded, since there is much of it.
# Names and digits are those of the papers.

# %% tags=["setup"]
TASKS = {
    "GTA5": ("gta5_cityscapes", "mIoU"),
    "SYNTHIA, 16 classes": ("synthia_cityscapes", "mIoU"),
    "SYNTHIA, 13 classes": ("synthia_cityscapes", "mIoU_star"),
}
AUTHORS = list(dict.fromkeys(papers.author(name) for name in papers.names()))


def of_task(task):
    """The printed tables of a task, by name."""
    return {name: papers.table(name) for name in papers.names() if name.endswith(TASKS[task][0])}


# %%
for task in ("GTA5", "SYNTHIA, 16 classes"):
    lines = ["| paper | method | network | mIoU | mIoU, 13 classes |", "|---|---|---|---|---|"]
    for name, rows in of_task(task).items():
        cells = [[row[key] for key in ("method", "backbone", "mIoU", "mIoU_star")] for row in rows]
        lines += [f"| {papers.author(name)} | {' | '.join(line)} |" for line in cells]
    heading = f"{task.split(',')[0]} to Cityscapes, {len(lines) - 2} rows as printed"
    show.say(f"<details><summary>{heading}</summary>\n\n" + "\n".join(lines) + "\n\n</details>")

# %% [markdown]
# Unfold one and try to say who is best. Then look at the rows called "Source only". A method's first opponent is the
# network before adaptation, and it is not the same opponent in every table, nor for every row of one table.
#
# ### Whose source-only?
#
# So attach to each row *its own* source-only: the nearest one above it in the table with the same encoder and the same
# mark, where a mark is the citation behind the name, or none for what the authors trained themselves.
# `papers.own_source` does that.
#
# **Predict.** With FCN8s, what is the source-only of "CBST" in Zou's Table 3, and what that of "CyCADA [17]"? What will
# the rule find for "PyCDA [20]" in Mei's Table 6?

# %% tags=["nbval-check-output"]
for name, method in ((tables.CBST_GTA5, "CBST"), (tables.CBST_GTA5, "CyCADA [17]"), (tables.IAST_GTA5, "PyCDA [20]")):
    rows = papers.table(name)
    i = next(i for i, row in enumerate(rows) if row["method"] == method)
    source = papers.own_source(rows, i)
    print(f"{method}, {rows[i]['mIoU']}: own source-only", source["mIoU"] if source else "not printed")

# %% [markdown]
# Same table, same network, and two starting points. Rows without any were carried over from elsewhere, and what they were
# a gain over has been left behind. Now all rows, each with its own, and each once: a row that several papers print with
# the same figures is one row.

# %% tags=["setup"]
printed = {task: papers.methods(*where) for task, where in TASKS.items()}
rooted = {task: [entry for entry in found if entry["source"] is not None] for task, found in printed.items()}


def gain(entry):
    return entry["miou"] - entry["source"]


# %%
rows = [[task, len(printed[task]), len(rooted[task]), len(printed[task]) - len(rooted[task])] for task in TASKS]
show.table(["to Cityscapes", "different rows", "with a source-only of their own", "without"], rows)
lines = {entry["name"]: (entry["source"], entry["miou"], entry["paper"]) for entry in rooted["GTA5"]}
fig = show.dumbbells(lines, "GTA5 to Cityscapes: from source-only to adapted", "mIoU [%], as printed")
show.caption(
    fig, "Every method with a source-only of its own, a colour per paper. Open: before; filled: after, and the gain."
)

# %% [markdown]
# (Chitta's rows add one thing to the row before, and are named by it. "Ours" is what the authors in brackets call theirs.)
# Follow the open dots downwards. They are scattered as widely as some gains are long.
#
# ## Two rulers
#
# **Predict.** Sort the methods once by their mIoU and once by their gain over their own source-only. Of all pairs of
# methods, what share changes order? Who is first on the second list?


# %%
rows = []
for task, found in rooted.items():
    pairs = list(combinations(found, 2))
    swaps = sum((a["miou"] - b["miou"]) * (gain(a) - gain(b)) < 0 for a, b in pairs)
    best, winner = max(found, key=lambda entry: entry["miou"]), max(found, key=gain)
    cells = [f"{swaps} of {len(pairs)}", f"{best['name']}: {best['miou']}", f"{winner['name']}: {gain(winner):+.1f}"]
    rows.append([task, *cells])
show.table(["to Cityscapes", "pairs that change order", "highest mIoU", "largest gain"], rows)

# %%
own = [entry for entry in rooted["GTA5"] if not entry["quoted"]]
most = {paper: max((entry for entry in own if entry["paper"] == paper), key=gain) for paper in AUTHORS}
in_order = sorted(most.values(), key=lambda entry: -entry["miou"])
rows = [[entry["name"], entry["source"], entry["miou"], f"{gain(entry):+.1f}"] for entry in in_order]
show.table(["GTA5: each paper's largest gain, sorted by mIoU", "source-only", "mIoU", "gain"], rows)

# %%
orders = {entry["name"]: (entry["miou"], gain(entry), entry["paper"]) for entry in rooted["GTA5"]}
fig = show.ranks(orders, "GTA5 to Cityscapes: two rulers, two orders", ("rank by mIoU", "rank by gain"))
show.caption(fig, "Each method's rank by printed mIoU (left) and by its gain over its own source-only (right).")

# %% [markdown]
# Neither ruler is the right one. mIoU rewards whoever had the better network to begin with. And a gain does not know how
# much room there was: the last points before the oracle may be dearer than the first ones after source-only. The *share of
# the way*, gain over distance to the oracle, as on our own ruler in 01, would know both ends. Who prints an oracle?
#
# ## What stands between two printed figures
#
# **Predict.** One encoder, one task, no adaptation, several laboratories. How far apart are the printed source-only
# scores?

# %%
rows = []
for task, (_, column) in TASKS.items():
    sources = [row for table in of_task(task).values() for row in table if row["method"].startswith("Source")]
    for network in papers.NETWORKS:
        starts = sorted({float(row[column]) for row in sources if papers.network(row) == network and row[column]})
        if len(starts) > 1:
            rows.append([task, network, " ".join(map(str, starts)), f"{starts[-1] - starts[0]:.1f}"])
show.table(["to Cityscapes", "network", "different source-only scores as printed", "from worst to best"], rows)
oracles = [row for table in of_task("GTA5").values() for row in table if row["method"] == "Target labels"]
chitta = most["Chitta"]
way = gain(chitta) / (float(oracles[0]["mIoU"]) - chitta["source"])
show.say(f"Oracles printed for GTA5: **{len(oracles)}**. {chitta['name']} goes **{way:.0%}** of the way to it.")

# %% [markdown]
# The widest of these ranges is the distance between laboratories, before anybody has adapted anything. Compare it with
# the differences for which one row is printed in bold. And one oracle among five papers: for all others, nobody knows how
# much way there was.
#
# Then there is the test itself. Three of the papers print one network twice, tested at one scale and at several:

# %%
twice = {
    "Zou, CBST-SP, ResNet-38": [
        papers.row(tables.CBST_GTA5, method=method, backbone="ResNet-38") for method in ("CBST-SP", "CBST-SP+MST")
    ],
    "Shen, two + proxies": [papers.row(tables.SHEN_MODULES, paper_row=row) for row in ("row 5", "row 6")],
    "Mei, IAST": [papers.row(tables.IAST_GTA5, method=method) for method in ("IAST(ours)", "IAST-MST(ours)")],
}
scales = {name: float(many["mIoU"]) - float(one["mIoU"]) for name, (one, many) in twice.items()}
rows = [[name, one["mIoU"], many["mIoU"], f"{scales[name]:+.1f}"] for name, (one, many) in twice.items()]
show.table(["GTA5, as printed", "one scale", "several", "worth"], rows)

both = [row for table in of_task("SYNTHIA, 16 classes").values() for row in table if row["mIoU"] and row["mIoU_star"]]
worth = np.array([float(row["mIoU_star"]) - float(row["mIoU"]) for row in both if papers.adds_up(row)])
told = f"from {worth.min():+.1f} to {worth.max():+.1f} points, median {np.median(worth):+.1f}"
show.say(f"SYNTHIA, {len(worth)} networks, the mean over 13 classes instead of 16: **{told}**.")

# %% [markdown]
# Shen's row in Table 1, the one that others would quote, is the one at several scales. And 13 classes are 16 without
# wall, fence and pole. Hold what it is worth to leave three hard classes out against the gains of the figure above.
#
# ### One prediction, three means
#
# Even "the mean" is a choice. One can pool the pixels of all images and then divide, or divide for each image and then
# average. A class that never occurs can stay away or count as zero. By hand, on two images of ten pixels with three
# classes, of which the third, a train, is in neither.


# %%
def ious(truth, said, count=3):
    """IoU per class, [count]; NaN for a class that is neither true nor said. truth, said: integers of one shape."""
    hits = np.array([((truth == c) & (said == c)).sum() for c in range(count)])
    union = np.array([((truth == c) | (said == c)).sum() for c in range(count)])
    return np.where(union > 0, hits / np.maximum(union, 1), np.nan)


truth = np.array([[0] * 9 + [1], [0] * 5 + [1] * 5])
said = np.array([[0] * 10, [0] * 5 + [1] * 5])  # the only car of the first image is overlooked
print("images", len(truth), "of pixels", truth.shape[1], "to IoU", list(ious(truth, said).shape))
pooled = ious(truth, said)
means = {"pooled, absent left out": np.nanmean(pooled), "pooled, absent is zero": np.nan_to_num(pooled).mean()}
means["mean over images"] = np.mean([np.nanmean(ious(t, s)) for t, s in zip(truth, said, strict=True)])
show.table(["one prediction", "mIoU"], [[name, f"{100 * value:.1f}"] for name, value in means.items()])

# %% tags=["nbval-check-output"]
packaged = {kind: score.ConfusionMatrix(3, absent=kind) for kind in ("nan", "zero")}
for matrix in packaged.values():
    matrix.update(torch.from_numpy(said)[:, None], torch.from_numpy(truth)[:, None])
same = [math.isclose(m.miou(), v) for m, v in zip(packaged.values(), means.values(), strict=False)]
print("pooled means by hand equal the package's:", all(same), "- with classes", packaged["nan"].present(), "of 3")

# %% [markdown]
# All five papers pool, as far as their code is known; but of the ten folds in Zou's Table 1 nobody says whether matrices
# or means were added up, and a fold of ten images often has no bus. For the absent class the released codes differ: that
# of AdaptSegNet leaves it out, those of CBST, CRST and IAST count a zero. With 500 validation images every class occurs
# and it does not matter. A network with 19 outputs that is scored on SYNTHIA's 16 does feel it: three zeros make
# $\text{mIoU}_{16} = \frac{19}{16}\,\text{mIoU}_{19}$.
#
# What else is known, and what is not:
#
# | | Chitta | Zou | Shen | Iqbal | Mei |
# |---|---|---|---|---|---|
# | network | ResNet-18, two decoders | VGG-16, ResNet-38 | VGG-16, ResNet-101, decoder of their own | ResNet-38 | ResNet-101 |
# | training crops | 600 × 600 | 500 × 500 | 640 × 640 at the end | 500 × 500 | windows, resized to 1024 × 512 |
# | image at test time | not said | longer side 2048, and its mirror image¹ | – | as Zou | 1536 × 768, source-only 1024 × 512¹ |
# | several scales | no | a row apart | in the quoted row; which, not said | no | a row apart |
# | the source stays in training | yes | yes | no | yes | no |
# | labels of the target's validation set | choose the six weighted classes | | | | choose the first network that labels¹ |
#
# ¹ In the released code. "No multi-scale testing" thus still means two passes for Zou. And Mei's source-only and IAST are
# not tested on images of the same size, if the code's settings are those of the table.
#
# Every line of this table is a reason why a difference between two columns is not a difference between two *methods*.

# %% [markdown]
# ## A small mistake hunt
#
# Class figures are printed beside their mean. So the mean can be checked, and hardly anybody does. First, what may
# rounding do? A class figure with one decimal is off by 0.05 at most, and so is a mean of such figures; the printed mean
# has been rounded once more, by another 0.05. Half a unit of the last digit, twice. Whatever is further off was not
# rounded, it is something else. (`mIoU_star` is the mean over 13 classes.)
#
# **Predict.** Of all rows with a mean in these papers, how many do not fit?

# %%
all_rows = [(name, row) for name in papers.names() for row in papers.table(name) if any(row.get(c) for c in CLASSES)]


def called(name, row):
    """A row as printed, with its network where one is printed, and where."""
    text = ", ".join(row[key] for key in ("method", "city", "backbone") if row.get(key))
    return f"{text} ({papers.author(name)} {name.split('_')[2].removeprefix('table')})"


def half_unit(figure):
    """The largest error of a rounded figure, read off its printed digits."""
    return 0.5 * 10.0 ** -len(figure.partition(".")[2])


slack = []
for name, row in all_rows:
    for column, wanted in (("mIoU", [c for c in CLASSES if c in row]), ("mIoU_star", CLASSES13)):
        figures = [row.get(c, "") for c in wanted]
        if row.get(column) and all(figures):
            off = float(row[column]) - np.mean([float(figure) for figure in figures])
            bound = half_unit(row[column]) + np.mean([half_unit(figure) for figure in figures])
            slack.append({"table": name, "row": row, "column": column, "off": off, "fits": abs(off) <= bound + 1e-9})

# %%
misfits = sorted((s for s in slack if not s["fits"]), key=lambda s: -abs(s["off"]))
show.say(f"**{len(misfits)} of {len(slack)}** printed means are further from their class figures than rounding allows.")
rows = [[called(s["table"], s["row"]), s["column"], s["row"][s["column"]], f"{s['off']:+.2f}"] for s in misfits]
show.table(["row (paper and number of its table)", "mean", "printed", "minus the mean of its classes"], rows)

# %% tags=["nbval-check-output"]
far = {id(s["row"]) for s in slack if abs(s["off"]) > 0.2 + 1e-9}
noted = {id(row) for _, row in all_rows if not papers.adds_up(row)}
print("off by more than 0.2 are the rows that the package marks:", far == noted, len(noted))

# %% [markdown]
# `papers.adds_up` is more lenient than we are here: it forgives 0.2. Where it says no, no table of this project quotes the
# class figures beside the mean. A misfit is not a verdict on a method. Mostly it is a slip of copying, and then the row
# can't say which of its figures slipped. But when the mean is off by several points, whoever argues class by class with
# such a row argues about another network. In 02 and 03 you met the largest of them.
#
# ### Figures that travel
#
# A later paper quotes an earlier one. Names don't help to find that: one calls it MAA, another AdaptSegNet, a third
# misspells it. But 19 figures with a decimal are as good as a fingerprint. Compare every row with every other, and count
# the classes in which they agree.
#
# **Predict.** Two different networks, 19 classes, figures from 0.0 to 95.0. In how many classes will they agree by
# chance? Will there be a line to draw between chance and quotation?

# %%
figures = np.array([papers.class_figures(row) for _, row in all_rows])  # [rows, classes]
agree = (figures[:, None] == figures[None]).sum(axis=-1)  # [rows, rows]
counts = np.bincount(agree[np.triu_indices(len(figures), 1)], minlength=len(CLASSES) + 1)
found = {"pairs": (range(len(counts)), np.where(counts, counts, np.nan))}
look = {"marker": "o", "yscale": "log", "xticks": range(0, 20, 2)}
fig = show.lines({"Pairs of rows": found}, "classes with the same figure", "pairs", **look)
show.caption(fig, "All pairs of printed rows, by the number of classes in which they agree to the last digit.")

# %% tags=["nbval-check-output"]
print(len(all_rows), "rows; pairs that agree in 7 to 10 classes:", counts[7:11].sum(), "- in more:", counts[11:].sum())

# %% [markdown]
# There is a line, and nothing lies near it. So collect what lies beyond: each group below is one network, printed
# several times.

# %%
groups = []
for i in range(len(all_rows)):
    home = next((group for group in groups if agree[group[0], i] > 10), None)
    groups.append([i]) if home is None else home.append(i)
several = [[all_rows[i] for i in group] for group in groups if len(group) > 1]
rows = [[len(group), " = ".join(called(*member) for member in group)] for group in several]
show.table(["printed", "as (paper and number of its table)"], rows)
show.say(f"{len(all_rows)} rows hold **{len(groups)}** different ones.")

# %%
rows = []
for (first, one), *others in several:
    for second, other in others:
        columns = [c for c in (*CLASSES, "mIoU", "mIoU_star") if one.get(c) and other.get(c)]
        differing = [f"{c} {one[c]} / {other[c]}" for c in columns if float(one[c]) != float(other[c])]
        if differing:
            rows.append([called(first, one), called(second, other), ", ".join(differing)])
show.table(["row", "its twin", "not the same"], rows)

# %% [markdown]
# Go through the two tables slowly. They hold most of what can happen to a figure on its way:
#
# * **Another name.** "CBST" in Shen's tables is, figure by figure, what Zou et al. print as CBST-SP or as CBST-SP+MST, and
#   once really as CBST. Whoever reads only the later paper believes that class balancing alone gets there.
# * **Another network.** A backbone is renamed, or summed up, or left out.
# * **Another digit.** Where one digit differs, one of the two is a slip. If its mean differs, too, look for the row in the
#   list of misfits: if it isn't there, somebody computed the mean anew, from the slipped figures.
# * **A repair.** Where the class figures are the same and the mean is not, a later paper may have recomputed it. Compare
#   with the list of misfits above.
# * **A row twice in one table,** once as one method's result and once as another's source-only. One of the two is wrong,
#   and whoever subtracts that source-only subtracts somebody else's.
#
# None of this is scandalous. It is what tables are like when people type. But it tells how much to build on a third of a
# point.

# %% [markdown]
# ## Our own, on one footing
#
# Now our side of the desk. All rows below have been scored alike: the same validation images, one scale unless the name
# says otherwise, one confusion matrix, the last state of the training, three seeds. They are **stand-ins**: generated
# streets, and miniature networks that start from nothing. What may carry over to the papers' world is a pattern. The
# figures can't.
#
# A table of ours is declared in `udalib.tables.TABLES` before it exists. So the package knows which ones are still to
# come, and this notebook takes whatever is there.


# %% tags=["setup"]
records = {}  # of each committed table, one per run
for name in tables.TABLES:
    file = show.COMMITTED / "tables" / f"{name}.records.json"
    if file.exists():
        records[name] = json.loads(file.read_text())
figures_of = {name: tables.per_seed(name, found) for name, found in records.items()}  # by row and column, [seeds]

# %%
show.say(f"Of all {len(tables.TABLES)} declared tables, **{len(records)}** are committed.")

# %% [markdown]
# Many rows appear in more than one table. A run counts once here, in the first table that has it. The same seeds in another
# number type are other runs, so a row such as source-only may stand here twice and show what rounding does. (Sweeps over
# settings are left out, and tests at several scales, which would lift any row.)

# %%
STANDS_IN = {"GTA5": ("game-city", "mIoU"), "SYNTHIA, 16 classes": ("synth-city", "mIoU")}
STANDS_IN |= {"SYNTHIA, 13 classes": ("synth-city", "mIoU*")}
ENDS = ("source-only", "AdaBN", "control", "oracle")
REFERENCES = (*ENDS, tables.TWO_DECODERS)


def own_rows(benchmark, column="mIoU"):
    """Rows of committed tables on a benchmark. "miou", "source" and "control" are [seeds]; the last two may be None."""
    found = {}
    for name, rows in figures_of.items():
        table = tables.find(name)
        sweep = table.seeds is not None or not table.differences
        if table.benchmarks == (benchmark,) and column in table.totals and not sweep:
            mious = {row.label: rows[row.label][column] for row in table.rows if not row.test}  # at one scale
            control = mious.get("control", mious.get(tables.TWO_DECODERS))
            others = {"source": mious.get("source-only"), "control": control}
            for label, miou in mious.items():
                entry = {"name": f"{label} ({name})", "label": label, "table": name, "miou": miou}
                found.setdefault(tuple(miou), entry | others)
    return list(found.values())


ours = {task: found for task, place in STANDS_IN.items() if (found := own_rows(*place))}
here = own_rows(benchmark)

# %% [markdown]
# **Predict.** Before you look: where will the best method without target labels lie between source-only and oracle? How
# many rows will lie below AdaBN, which trains nothing at all?


# %%
lines = {row["name"]: (row["miou"], row["table"]) for row in here}
fig = show.seeds(lines, f"All committed rows on {benchmark}, a stand-in", "mIoU [%]")
ends = {row["label"]: row["miou"] for row in reversed(here) if row["label"] in ENDS}  # of the first table that has them
for values in ends.values():
    fig.axes[0].axvline(values.mean(), color="0.6", linestyle=":", zorder=0)
show.caption(fig, "Diamonds: mean; dots: seeds; dotted: source-only, AdaBN, control and oracle of the first table.")

# %%
if len(ends) == len(ENDS):
    alike = [row for row in here if row["source"] is not None and np.array_equal(row["source"], ends["source-only"])]
    methods = [row for row in alike if row["label"] not in REFERENCES]
    best = max(methods, key=lambda row: row["miou"].mean())
    below = [row for row in methods if row["miou"].mean() < ends["AdaBN"].mean()]
    way = (best["miou"] - ends["source-only"]).mean() / (ends["oracle"] - ends["source-only"]).mean()
    show.say(f"Of the rows with the same source-only **{best['name']}** has the best mean, {best['miou'].mean():.1f}.")
    show.say(f"That is **{way:.0%}** of the way to the oracle. Below AdaBN: **{len(below)} of {len(methods)}** rows.")
named = [row for name in papers.names() for row in papers.table(name) if "adabn" in str(row).lower()]
show.say(f"Rows of AdaBN in the {len(papers.names())} printed tables of the five papers: **{len(named)}**.")

# %% [markdown]
# Some of these are not failed methods but early rows of an ablation, put there to be beaten. Still: AdaBN re-estimates
# some statistics in seconds, and whoever does not print it leaves the reader to wonder.
#
# ## How to read a difference
#
# Two rows, three seeds each. A seed changes images, initial weights and the order of batches, all at once, and both rows
# have met the same three worlds. So subtract seed by seed first, and average afterwards:
#
# $$d_s = m^{\text{one}}_s - m^{\text{other}}_s,\qquad \bar d = \tfrac1n\sum_s d_s,\qquad
# \text{sd}^2 = \tfrac1{n-1}\sum_s (d_s-\bar d)^2 .$$


# %%
def paired(one, other):
    """Mean and sample standard deviation of the differences, seed by seed. one, other: [seeds]."""
    differences = np.asarray(one) - np.asarray(other)
    return differences.mean(), differences.std(ddof=1)


differences = []  # of all committed tables: names, mean, paired sd, and the sd as if the seeds had not been shared
for name, rows in figures_of.items():
    for one, other in tables.find(name).differences if "mIoU" in tables.find(name).totals else ():
        a, b = rows[one]["mIoU"], rows[other]["mIoU"]
        if len(a) > 2:
            mean, sd = paired(a, b)
            differences.append((name, f"{one} minus {other}", mean, sd, math.hypot(a.std(ddof=1), b.std(ddof=1))))

# %% tags=["nbval-check-output"]
same = []
for name, text, mean, sd, _ in differences:
    (line,) = (line for line in show.committed(f"tables/{name}.csv") if line["row"] == text)
    same.append(max(abs(float(line["mIoU"]) - mean), abs(float(line["mIoU_std"]) - sd)) < 0.006)
print("paired differences by hand are those of the committed tables:", len(same) > 0 and all(same))

# %% [markdown]
# **Predict.** Is the spread of a difference larger than that of its two rows, as it would be for independent ones, or
# smaller?

# %%
together, alone = np.array([difference[3:] for difference in differences]).T
finest = 2 * np.median(together) / math.sqrt(3)
rows = [["as if seeds were not shared", f"{np.median(alone):.2f}"], ["seed by seed", f"{np.median(together):.2f}"]]
show.table([f"{len(alone)} declared differences of mIoU", "median sd [points]"], rows)
show.say(f"Pairing gives the smaller spread for **{(together < alone).mean():.0%}** of them.")

# %% [markdown]
# ### What three seeds can decide
#
# The rule of our ledgers: a difference *holds* if it has the claimed sign in every one of at least three seeds and its
# mean is more than two standard errors from zero, where a standard error is $\text{sd}/\sqrt n$. With the opposite sign
# it *does not hold*. All else is *undecided*.


# %% tags=["nbval-check-output"]
def verdict_on(differences, sign=1):
    """The rule, for differences [seeds] that should have this sign."""
    n, mean = len(differences), np.mean(differences)
    if n < 3 or abs(mean) <= 2 * np.std(differences, ddof=1) / math.sqrt(n):
        return "undecided"
    signs = set(np.sign(differences) * sign)
    return {1.0: "holds", -1.0: "does not hold"}[signs.pop()] if len(signs) == 1 else "undecided"


draws = np.random.default_rng(0).normal(0.7, 1, size=(500, 4)).round(1)
same = all(verdict_on(d[:n], s) == claims.judge(d[:n], s) for d in draws for n in (2, 3, 4) for s in (1, -1))
print("the rule by hand is the package's, 3000 times:", same)

# %% [markdown]
# How good is it? Let there be *nothing*: three differences drawn from a normal distribution around zero.
#
# **Predict.** How often will the rule say "holds"? And how much stricter does "in every seed" make it than two standard
# errors alone?

# %% tags=["nbval-check-output"]
nothing = np.random.default_rng(0).normal(size=(200_000, 3))
errors = nothing.std(axis=1, ddof=1) / math.sqrt(3)
beyond = nothing.mean(axis=1) > 2 * errors
every_seed = beyond & (nothing > 0).all(axis=1)
print(f"holds by chance: {every_seed.mean():.0%}; in theory 1/2 - 1/sqrt(6) = {0.5 - 1 / math.sqrt(6):.1%}")
print("beyond two standard errors with a seed of the other sign:", (beyond & ~every_seed).sum())

# %% [markdown]
# (The theory is Student's distribution with two degrees of freedom, $P(T > t) = \frac12 - \frac{t}{2\sqrt{2+t^2}}$ at
# $t=2$.) Two lessons. First, three seeds are few: one idle comparison in eleven would be called a success, and another a
# failure. Second, with three seeds the other condition adds nothing. The best that three differences can do with one of
# them at zero is $0, 1, 1$, and there the mean is two standard errors exactly. With more seeds it does add something.
#
# The other side: how large must an effect be for the rule to see it, and for a *claim*, which has several comparisons and
# holds only if all of them do? (As if its comparisons were independent. Ours share runs, so they are not.)

# %%
many = np.random.default_rng(1).normal(size=(50_000, 3))
rows = []
for size in (0, 1, 2, 3, 5):
    shifted = many + size
    holds = (shifted.mean(axis=1) > 2 * shifted.std(axis=1, ddof=1) / math.sqrt(3)).mean()
    rows.append([f"{size} sd", *(f"{holds**k:.0%}" for k in (1, 3, 6, 12))])
show.table(["true effect", "one comparison holds", "all of 3", "all of 6", "all of 12"], rows)

# %% [markdown]
# So "undecided" is often what an honest small effect looks like, and a claim of twelve comparisons asks for much. Bring
# our resolution to the papers' own steps, those that the ledgers quote beside ours:

# %%
ledger = {name: show.committed(f"claims/{name}.csv") for name in claims.LEDGERS}
of_miou = [line for found in ledger.values() for line in found if line["column"] in ("mIoU", "mIoU*")]
steps = set()  # each once, even where two claims quote it
for line in of_miou:
    steps |= {(line["table"], line["comparison"], step) for step in re.findall(r"= ([+-][\d.]+)", line["paper"])}
fine = [step for *_, step in steps if abs(float(step)) < finest]
show.say(f"With our median spread, three seeds resolve **{finest:.2f} points** of mIoU.")
show.say(f"Of {len(steps)} steps of mIoU that the papers print for our comparisons, **{len(fine)}** are smaller.")

# %% [markdown]
# What *their* spread is, nobody knows: none of the five prints a second seed. A larger network may well be calmer than
# ours. Or not.
#
# ### Whose gain is it?
#
# A gain over source-only contains everything that happened since: labels, but also longer training, and target images
# passing through batch normalisation. The *control* has had the same training without a label, or, for the two decoders
# of 05, with the source alone.
#
# **Predict.** Of the methods that are above source-only, how many will still be above their control?

# %%
gains = []  # of each method: its name, its gains over source-only and over the control [seeds], and its table
for row in here:
    if row["source"] is not None and row["control"] is not None and row["label"] not in REFERENCES:
        gains.append((row["name"], row["miou"] - row["source"], row["miou"] - row["control"], row["table"]))
lines = {name: (first.mean(), second.mean(), table) for name, first, second, table in gains}
fig = show.dumbbells(lines, f"Two gains of one method on {benchmark}, a stand-in", "gain in mIoU [points]")
fig.axes[0].axvline(0, color="0.3", linewidth=1)
show.caption(fig, "Gain over source-only (open) and over the control (filled), means over seeds, and the difference.")

won = [[verdict_on(entry[i]) == "holds" for entry in gains] for i in (1, 2)]
lost = [entry[0] for entry, first, second in zip(gains, *won, strict=True) if first and not second]
show.say(f"By the rule **{sum(won[0])} of {len(gains)}** gain over source-only, **{sum(won[1])}** over their control.")
show.say(f"A success against source-only and none against the control: **{', '.join(lost) or 'none'}**.")

# %% [markdown]
# The distance between the two dots is the same in all rows that share a control, since it is what the control itself has
# gained or lost. It belongs to no method. A paper that prints only the open dot can't tell you how much of it is owed to
# its idea. That is no accusation: with batch statistics frozen at those of ImageNet, as in Zou's released code, a part of
# the distance may not exist. Nobody has printed the row that would tell.

# %% [markdown]
# ## The ledger of claims
#
# A paper's table supports sentences: this adds to that, the more the better, most of all for rare classes. The testable
# ones are written down in `udalib.claims`, in our own words, each with its comparisons and the sign they should have.
# `make claims` holds them against whatever tables there are. While a table of a claim is missing, the claim is *not
# measured*, even if some of its comparisons are.

# %%
rows, verdicts = [], {}
for name in ("curriculum", "class_balance", "proxies", "multi_level", "instance_adaptive"):
    for claim in claims.LEDGERS[name].claims:
        paper = claim.source.split()[0]
        found = [line for line in ledger[name] if line["claim"] == claim.name]
        verdicts[claim.name] = found[0]["verdict_on_claim"] if found else claims.MISSING
        holding = sum(line["verdict"] == claims.HOLDS for line in found)
        rows.append([claim.name, paper, claim.text, f"{holding} of {len(found)}", f"**{verdicts[claim.name]}**"])
show.table(["", "paper", "claim, in our words", "comparisons that hold", "verdict"], rows)

# %%
told = [line["verdict"] for found in ledger.values() for line in found if int(line["n_seeds"]) > 2]
decided = sum(word in (claims.HOLDS, claims.FAILS) for word in told)
show.say(f"**{decided} of {len(told)}** comparisons with three seeds are decided.")
show.say(f"With nothing behind any of them it would be about **{(1 - 2 / math.sqrt(6)) * len(told):.0f}**.")

# %% [markdown]
# Many of these verdicts are about labels alone, where the same network predicts and only the selection differs. Such
# differences are steady, and the rule decides them easily. Do not read "holds" and "does not hold" as "reproduced" and
# "refuted". A claim that does not hold *here* does not hold on these streets, with this network.
#
# ### Three claims in hand
#
# A ledger is worth what its entries can be traced to. So take three of them, and go from the records to the verdict with
# our own hands, past all of the package's bookkeeping.
#
# **Predict.** B1: self-training gains over source-only, class balancing over that, the spatial prior over that, and
# several scales over that. C2: plain self-training gives up lights, signs and riders, and easy mining brings lights and
# signs back. C5: labels on which two decoders agree are more often right; they differ at borders; and less in the end than
# at the start.


# %%
def last_rounds(table, recipe, value, **settings):
    """A value of the last round of each run of a recipe with these settings, in per cent, [seeds]."""
    runs = [run for run in records[table] if run["recipe"] == recipe and settings.items() <= run["settings"].items()]
    return 100 * np.array([value(run["rounds"][-1]) for run in sorted(runs, key=lambda run: run["seed"])])


def miou(recipe):
    return last_rounds("class_balance", recipe, lambda last: last["miou"])


def iou(name, row):
    index = CITYSCAPES.index(name)
    return last_rounds("curriculum", "curriculum", lambda last: last["iou"][index], **tables.ABLATION[row])


def study(epoch, key):
    at = tables.AGREEMENT_EPOCHS.index(epoch)
    return last_rounds("agreement", "curriculum", lambda last: last["study"][at][key])


several_scales = last_rounds("class_balance", "cbst-sp", lambda last: last["multi_scale"]["miou"])
pair, mined = ("self-training", tables.TWO_DECODERS), ("+ target easy mining", "self-training")
hand = {
    "B1": [(1, miou(one) - miou(other)) for one, other in (("st", "source"), ("cbst", "st"), ("cbst-sp", "cbst"))]
    + [(1, several_scales - miou("cbst-sp"))],
    "C2": [(-1, iou(c, pair[0]) - iou(c, pair[1])) for c in ("traffic light", "traffic sign", "rider")]
    + [(1, iou(c, mined[0]) - iou(c, mined[1])) for c in ("traffic light", "traffic sign")],
    "C5": [(1, study(20, "easy_precision") - study(20, "hard_precision"))]
    + [(1, study(20, "hard_border") - study(20, "border")), (1, study(20, "easy") - study(1, "easy"))],
}
by_hand = {}
for name, comparisons in hand.items():
    words = [verdict_on(values, sign) for sign, values in comparisons]
    by_hand[name] = next((word for word in (claims.FAILS, claims.OPEN) if word in words), claims.HOLDS)
    for word, (sign, values) in zip(words, comparisons, strict=True):
        print(name, "+" if sign > 0 else "-", " ".join(f"{value:+7.2f}" for value in values), word)

# %% tags=["nbval-check-output"]
for name, word in by_hand.items():
    print(f"{name}: by hand as in the ledger:", word == verdicts[name])

# %% [markdown]
# Each line above is a comparison: the sign that is claimed, three seeds, a word. One failing comparison fails the claim,
# whatever the others say; one undecided keeps it open. It is a harsh rule for long claims, and so the table above also
# counts the comparisons.
#
# Where a reason suggests itself, it stands under "Why" in `figures/claims/*.md`, with the comparisons that it predicts and
# how these came out.

# %% [markdown]
# ## The batch
#
# None of these figures was typed. From the shell:
#
# ```sh
# make tables TABLES="class_balance agreement" SEEDS=3   # the runs that are missing, then tables and pictures
# make tables TABLES=all SEEDS=3                         # everything declared; many hours on two cores
# make claims                                            # the ledgers, from whatever tables there are
# udalib run st --set rounds=5 --seed 0                  # one run; a finished one is fetched instead
# udalib table self_training RECORDS... --out figures/tables
# ```
#
# A row is a declaration: a label, a recipe, a benchmark, and the settings that set it apart. It finds its runs by them.
# To add one, put it into the `rows` of its table in `udalib/tables.py`, with a pair in `differences`, and call `make
# tables`: the batch runs what no record holds yet, one file per seed. Try a declaration before you pay for it:

# %%
wishes = [tables.Row("ST", "st"), tables.Row("ST, five rounds", "st", settings={"rounds": 5})]
rows = []
for row in wishes:
    held = {record["seed"] for found in records.values() for record in found if row.holds(record)}
    name = ",".join([row.recipe, *(f"{key}={value}" for key, value in row.settings.items())])
    path = f"`results/records/quick/{row.benchmark}/{name}/seed0.json`"
    rows.append([row.label, path, f"seeds {', '.join(map(str, sorted(held)))}" if held else "none: it would be run"])
show.table(["row", "the record that the batch looks for", "committed runs that fit"], rows)

# %% [markdown]
# ## All of it in one view
#
# Choose a task, a measure and a network for the papers. On the right stand our own runs on the benchmark that stands in
# for the task, always all of them, since their networks are of another kind. The two sides have one axis and nothing
# else in common. (Without a running kernel, see the still picture below.)

# %%
display(widgets.papers_explorer(printed, ours))
still = widgets.papers_view(printed, ours, "GTA5", widgets.MEASURES[1], "ResNet-38")
show.caption(still, "The same view without menus: gains over source-only with ResNet-38, and ours on game-city.")

# %% [markdown]
# ## Exercises
#
# Fill in the functions; a check follows each. Solutions are in `solutions/10_five_papers.ipynb`.
#
# **1. Without one class (implement).** Return the mean of a printed row's class figures with one class left out. Then see
# in the table which single class carries most of what CBST adds to ST.
#
# <details><summary>Hint</summary>The classes of a row are those of <code>CLASSES</code> that it has a figure for. Figures
# are text.</details>


# %%
def mean_without(row, left_out):
    """row: a dict from column to printed text; left_out: a class. Returns a number."""
    # BEGIN SOLUTION
    return float(np.mean([float(row[c]) for c in CLASSES if row.get(c) and c != left_out]))
    # END SOLUTION


st, cbst = (papers.row(tables.CBST_GTA5, method=method, backbone="FCN8s-VGG16") for method in ("ST", "CBST"))
course.check("1. without one class", mean_without(cbst, "bicycle"), 30.7833333, tolerance=1e-4)

# %%
if mean_without(cbst, "bicycle") is not None:
    steps = {c: mean_without(cbst, c) - mean_without(st, c) for c in CLASSES}
    least = sorted(CLASSES, key=steps.get)[:4]
    show.table(["left out", "CBST minus ST"], [[c, f"{steps[c]:+.1f}"] for c in least])

# %% [markdown]
# **2. What would the rule say? (predict)** Give the verdicts on these four differences of three seeds, all claimed to be
# positive: (1, 2, 3); (0, 1, 1); (-0.4, -0.5, -0.1); (5, 0.1, 0.2). Return a list of "holds", "does not hold" and
# "undecided".
#
# <details><summary>Hint</summary>Standard deviations: 1, 0.58, 0.21 and 2.8. A standard error is 0.58 of that.</details>


# %%
def four_verdicts():
    """Four words."""
    # BEGIN SOLUTION
    return ["holds", "undecided", "does not hold", "undecided"]
    # END SOLUTION


triples = np.array([[1, 2, 3], [0, 1, 1], [-0.4, -0.5, -0.1], [5, 0.1, 0.2]])
right = [claims.judge(triple, 1) for triple in triples]
course.check("2. what would the rule say", four_verdicts(), lambda words: list(words) == right)

# %% [markdown]
# **3. Equal networks (implement).** Among the printed entries of a task, return the one with the largest gain over its own
# source-only *with a given network*. An entry is a dict with "name", "network", "miou" and "source", which may be None.
#
# <details><summary>Hint</summary><code>max</code> with a <code>key</code>, over those whose source is not
# None.</details>


# %%
def largest_gain(found, network):
    """found: entries; network: a key of NETWORKS. Returns an entry."""
    # BEGIN SOLUTION
    fitting = [entry for entry in found if entry["network"] == network and entry["source"] is not None]
    return max(fitting, key=lambda entry: entry["miou"] - entry["source"])
    # END SOLUTION


def is_largest(entry):
    same = [gain(other) for other in rooted["GTA5"] if other["network"] == "ResNet-38"]
    return entry["network"] == "ResNet-38" and gain(entry) == max(same)


course.check("3. equal networks", largest_gain(printed["GTA5"], "ResNet-38"), is_largest)

# %% [markdown]
# **4. Like with like? (change one thing)** Two of our own rows can be incomparable, too. Return the names of the settings
# in which two records differ, sorted; a setting that only one of them has differs.
#
# <details><summary>Hint</summary>Settings are in <code>record["settings"]</code>. The union of the keys of two dicts is
# <code>one.keys() | other.keys()</code>.</details>


# %%
def differing(one, other):
    """one, other: records. Returns a sorted list of names."""
    # BEGIN SOLUTION
    a, b = one["settings"], other["settings"]
    return sorted(key for key in a.keys() | b.keys() if key not in a or key not in b or a[key] != b[key])
    # END SOLUTION


toy = [{"settings": {"steps": 9, "lr": 0.1}}, {"settings": {"steps": 9, "lr": 0.2, "rounds": 3}}]
course.check("4. like with like", differing(*toy), lambda names: names == ["lr", "rounds"])
if differing(*toy) is not None and "curriculum" in records:
    first = {record["recipe"]: record for record in records["curriculum"] if record["seed"] == 0}
    show.say(f"Source-only and a pair of decoders: **{', '.join(differing(first['source'], first['curriculum']))}**.")

# %% [markdown]
# Whatever stands in that list besides the idea that a row is named after is a second explanation for the difference. That
# is why the decoders of 05 have a control of their own.

# %% [markdown]
# ## Summary
#
# 1. **Between two printed figures** lie the network, its source-only, crops, scales, mirror images, 13 or 16 classes, and
#    who chose what on which labels. mIoU rewards a good start, and a gain does not know how much room there was; the
#    share of the way to an oracle does, and is hardly ever printed.
# 2. **A row can be checked** against its own mean, to half a unit of the last digit, twice; and its fingerprint finds it
#    again in other papers, under other names and now and then with other digits.
# 3. **On one footing** every method stands beside AdaBN and a control. What is gained over source-only is not all the
#    method's.
# 4. **A paired difference** is taken seed by seed. Three seeds and two standard errors let one idle comparison in eleven
#    pass for a success, and with three seeds "in every seed" adds nothing.
# 5. **A verdict** is a rule applied to records, and anybody can apply it again. A new row is a declaration.
#
# | term | meaning |
# |---|---|
# | own source-only | the network before adaptation, by the same authors, with the same encoder |
# | gain | mIoU minus that of the own source-only |
# | share of the way | gain, divided by oracle minus source-only |
# | paired difference | of two rows, seed by seed |
# | standard error | standard deviation over the root of the number of seeds |
# | ledger | the papers' claims with comparisons, signs and verdicts |
# | stand-in | a benchmark of ours in the place of an experiment that needs real data |
#
# **Next:** [11, your own domain](11_own_domain.ipynb). Five papers, five ways to choose labels, and so far one city that
# we drew ourselves. There you bring the images.

# %%
findings = {"misfits": len(misfits), "different_rows": len(groups), "resolution": finest, "verdicts": verdicts}
record = lesson.finish(tables=sorted(records), gains_held=[sum(won[0]), sum(won[1]), len(gains)], **findings)
print("record written:", record.name)
