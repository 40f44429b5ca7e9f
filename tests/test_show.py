"""Figures and widgets: what they say, and that a change of a control changes the picture."""

import io

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image

from udalib import figures, recipes, select, show, widgets
from udalib.labels import CITYSCAPES, IGNORE, SYNTHIA16

RNG = np.random.default_rng(0)
H, W, C = 16, 32, len(CITYSCAPES)
IMAGE = RNG.integers(0, 256, (3, H, W), dtype=np.uint8)
LABEL = np.zeros((H, W), np.uint8)
LABEL[:4], LABEL[-2:] = CITYSCAPES.index("sky"), IGNORE

CHARTS = {
    "class_bars": lambda: show.class_bars({"source-only": RNG.random(C), "ST": [None, *RNG.random(C - 1)]}),
    "class_shares": lambda: show.class_shares({"game": [1 / C] * C, "city": [1 / C] * C}),
    "class_differences": lambda: show.class_differences({"one": [1.0] * C, "two": [-2.0] * C}, range(C), "Gains"),
    "confusion": lambda: show.confusion(np.eye(C)),
    "class_heat": lambda: show.class_heat({"round 1": [0.5] * C}, "Precision", "right"),
    "curves": lambda: show.curves({"source": [(50, 1.2), (100, 0.8)]}),
    "lines": lambda: show.lines({"Two": {"one": ([0, 1], [2, 3]), "sky": ([0, 1], [1, 1])}}, "step", "value"),
    "rounds": lambda: show.rounds({"ST": ROUNDS, "control": [{"round": 1, "miou": 0.4}]}),
    "histograms": lambda: show.histograms({"right": RNG.random(99), "wrong": RNG.random(9)}, "confidence"),
    "colour_histograms": lambda: show.colour_histograms({"game": IMAGE[None], "city": IMAGE[None]}),
    "threshold_curve": lambda: show.threshold_curve(RNG.random((2, H, W)), [0.2, 0.5]),
    "dumbbells": lambda: show.dumbbells(PAIRS, "Gains", "mIoU [%]"),
    "ranks": lambda: show.ranks(PAIRS, "Two orders", ("by mIoU", "by gain")),
    "seeds": lambda: show.seeds({"ST": ([40.0, 44.0], "one"), "CBST": ([36.0], "two")}, "Rows", "mIoU [%]"),
}
PAIRS = {"ST": (24.0, 28.0, "one"), "CBST": (25.0, 27.5, "two")}
ROUNDS = [
    {"round": 0, "miou": 0.4},
    {"round": 1, "miou": 0.5, "labels": {"coverage": 0.2, "precision": 0.9}},
]


def legend_of(figure):
    legends = figure.legends + [ax.get_legend() for ax in figure.axes if ax.get_legend()]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


@pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS)
def test_every_chart_has_titles_and_axis_labels_and_is_small(draw):
    figure = draw()
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    assert all(ax.get_title(loc="left") for ax in panels)
    assert panels[0].get_ylabel()
    assert all(ax.get_xlabel() or ax.get_xticklabels()[0].get_text() for ax in panels)
    data, kind = show.encode(figure)
    assert kind == "png" and len(data) < 80_000


def test_a_chart_keeps_the_colours_of_the_classes():
    data, _ = show.encode(show.class_bars({"one": [0.5] * C}), dpi=160)
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).reshape(-1, 3).astype(int)
    for colour in CITYSCAPES.palette:
        assert np.abs(pixels - colour).max(axis=1).min() <= 8


def test_bars_are_the_figures_and_absent_classes_have_none():
    figure = show.class_bars({"one": [0.5] * C, "two": [None] + [0.25] * (C - 1)})
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights[:C] == [50] * C and np.isnan(heights[C]) and heights[C + 1 :] == [25] * (C - 1)
    assert legend_of(figure) == ["one (mean 50.0)", "two (mean 25.0)"]


def test_differences_stand_in_the_order_asked_for():
    figure = show.class_differences({"one": [*range(C)]}, [3, 0], "Gains")
    assert [bar.get_height() for bar in figure.axes[0].patches] == [3, 0]
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == [CITYSCAPES.names[3], CITYSCAPES.names[0]]


def test_lines_of_one_name_look_alike_in_all_panels_and_classes_have_their_colour():
    curve = ([0, 1], [2, 3])
    panels = {"left": {"one": curve, "sky": curve}, "right": {"two": curve, "one": curve}}
    figure = show.lines(panels, "step", ["gain", "loss"], marker="o", ylim=(0, 5))
    looks = [{line.get_label(): (line.get_color(), line.get_linestyle()) for line in ax.lines} for ax in figure.axes]
    assert looks[0]["one"] == looks[1]["one"] != looks[1]["two"]
    assert tuple(255 * looks[0]["sky"][0]) == pytest.approx(CITYSCAPES.palette[CITYSCAPES.index("sky")])
    assert legend_of(figure) == ["one", "sky", "two"]
    assert [(ax.get_xlabel(), ax.get_ylabel(), ax.get_ylim()) for ax in figure.axes] == [
        ("step", "gain", (0, 5)),
        ("step", "loss", (0, 5)),
    ]
    assert [list(line.get_ydata()) for line in figure.axes[0].lines] == [[2, 3], [2, 3]]


def test_rows_of_tables_stand_in_their_order():
    dumbbells, ranks, seeds = (CHARTS[name]().axes[0] for name in ("dumbbells", "ranks", "seeds"))
    assert [tick.get_text() for tick in dumbbells.get_yticklabels()] == ["CBST", "ST"], "upwards"
    assert [text.get_text() for text in dumbbells.texts] == ["+2.5", "+4.0"]
    assert [list(line.get_ydata()) for line in ranks.lines] == [[0, 1], [1, 0]], "CBST is above on the left alone"
    assert [list(line.get_xdata()) for line in seeds.lines] == [[40, 44], [42], [36], [36]]
    assert seeds.lines[0].get_color() != seeds.lines[2].get_color()


def test_a_round_without_labels_has_no_precision():
    entries = [{"round": 1, "miou": 0.5, "labels": {"coverage": 0.0, "precision": None}}]
    lines = [ax.lines[0].get_ydata() for ax in show.rounds({"IAST": entries}).axes]
    assert [line[0] for line in lines[:2]] == [50, 0] and np.isnan(lines[2][0])


def test_confusion_is_in_shares_of_the_rows():
    counts = torch.zeros(C, C, dtype=torch.int64)
    counts[0, 0], counts[0, 1] = 30, 10
    figure = show.confusion(counts)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[:3] == ["75", "25", ""] and set(texts[C:]) == {""}
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("predicted class", "true class")
    with pytest.raises(ValueError, match=r"cm has shape \[2, 2\]; give counts \[19,19\]"):
        show.confusion(np.eye(2))


def test_rounds_show_labels_only_where_there_are_some():
    figure = CHARTS["rounds"]()
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "mIoU",
        "Pixels labelled",
        "Labels that are right",
    ]
    assert [list(line.get_ydata()) for line in figure.axes[0].lines] == [[40, 50], [40]]
    assert list(figure.axes[1].lines[0].get_ydata()) == [20]
    assert len(show.rounds({"control": [{"round": 1, "miou": 0.4}]}).axes) == 1


@pytest.mark.parametrize("portion", [0.01, 0.2, 0.25, 0.5])
def test_threshold_curve_marks_the_thresholds_of_the_package(portion):
    probs = torch.rand(1, 4, H, W, generator=torch.Generator().manual_seed(0))
    selector = select.SelfTraining(portion).fit([(probs,)])
    figure = show.threshold_curve(probs.amax(dim=1), [portion])
    assert legend_of(figure) == [f"{portion:.0%} above {selector.thresholds:.3f}"]


def test_image_grid_paints_images_labels_and_shares():
    cells = [torch.from_numpy(IMAGE), torch.from_numpy(LABEL), np.full((H, W), 0.5), None]
    figure = show.image_grid([cells], ["a", "b", "c", "d"], ["row"], [["one", "", "", ""]], legend=True)
    drawn = [ax.images[0].get_array() if ax.images else None for ax in figure.axes]
    assert (drawn[0] == np.moveaxis(IMAGE, 0, -1)).all()
    assert tuple(drawn[1][0, 0]) == (70, 130, 180) and tuple(drawn[1][-1, 0]) == (0, 0, 0)
    assert (drawn[2] == 0.5).all() and drawn[3] is None
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c", "d"]
    assert (figure.axes[0].get_ylabel(), figure.axes[0].get_xlabel()) == ("row", "one")
    assert legend_of(figure) == ["road", "sky", "ignored"]


def test_image_grid_refuses_what_it_cannot_show():
    with pytest.raises(ValueError, match="Rows have 1, 2 cells"):
        show.image_grid([[IMAGE], [IMAGE, IMAGE]])
    with pytest.raises(ValueError, match=r"shape \[3, 16, 32\] and type float64 can't be shown"):
        show.image_grid([[IMAGE / 255]])
    with pytest.raises(ValueError, match="label 18"):
        show.image_grid([[np.full((H, W), 18)]], classes=SYNTHIA16)


def test_overlay_and_mistakes():
    overlay = show.overlay(np.full((3, H, W), 100, np.uint8), LABEL)
    assert tuple(overlay[8, 0]) == (117, 78, 117), "40 % of 100 and 60 % of road"
    assert tuple(overlay[-1, 0]) == (50, 50, 50), "ignored"
    assert len(np.unique(show.mistakes(LABEL, LABEL).reshape(-1, 3), axis=0)) == 2
    assert len(np.unique(show.mistakes(np.zeros_like(LABEL), LABEL).reshape(-1, 3), axis=0)) == 3


def test_qualitative_says_how_much_is_right():
    half = LABEL.copy()
    half[:, : W // 2] = IGNORE
    figure = show.qualitative([IMAGE], [LABEL], {"ST": [np.zeros_like(LABEL)], "pseudo-labels": [half]})
    assert [ax.get_title() for ax in figure.axes] == ["input", "truth", "ST", "pseudo-labels"]
    assert [ax.get_xlabel() for ax in figure.axes][2:] == ["71% right", "50% labelled, 100% right"]
    assert legend_of(figure) == ["road", "sky", "ignored"]


def test_legend_names_every_class():
    assert legend_of(show.legend(SYNTHIA16)) == list(SYNTHIA16.names)


def test_images_become_jpeg_and_files_are_replaced_whole(tmp_path):
    figure = show.image_grid([[IMAGE]])
    data, kind = show.encode(figure)
    assert kind == "jpeg" and Image.open(io.BytesIO(data)).format == "JPEG"
    show.save(figure, tmp_path / "new" / "figure.png")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["figure.png"]


def test_caption_is_text_and_alternative_text(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    show.caption(show.legend(), "The colours of the classes.")
    assert shown[0]._repr_mimebundle_()[1]["image/png"]["alt"] == "The colours of the classes."
    assert shown[1].data == "*The colours of the classes.*"


@pytest.fixture
def said(monkeypatch, tmp_path):
    """What tables and sentences say, while the committed results are those of two small files."""
    shown = []
    monkeypatch.setattr(show, "say", shown.append)
    monkeypatch.setattr(show, "COMMITTED", tmp_path)
    for folder in ("tables", "claims"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tables" / "toys.csv").write_text(
        "row,kind,n_seeds,mIoU,mIoU_std\nours,ours,3,40.1,0.5\none - two,difference,1,2.0,\ntheirs,paper,,50.0,\n"
    )
    (tmp_path / "claims" / "toys.csv").write_text(
        "claim,verdict,verdict_on_claim\nT1,holds,undecided\nT1,undecided,undecided\nT1,holds,undecided\nT2,holds,holds\n"
    )
    return shown


def test_over_seeds_shows_a_table_of_each_kind(said):
    rows = show.over_seeds("toys", "mIoU")
    assert said == [
        "| table `toys`, ours | mIoU | seeds |\n| --- | --- | --- |\n| ours | 40.1 ± 0.5 | 3 |",
        "| table `toys`, difference | mIoU | seeds |\n| --- | --- | --- |\n| one - two | 2.0 | 1 |",
    ]
    assert [row["row"] for row in rows] == ["ours", "one - two"]
    assert [row["row"] for row in show.over_seeds("toys", "mIoU", kinds=["paper"])] == ["theirs"]


def test_a_table_that_is_not_there_is_told(said):
    assert show.over_seeds("none", "mIoU") == []
    assert said == ["There is no table `none` over several seeds yet; `make tables TABLES=none` makes it."]


def test_verdicts_count_the_comparisons_of_a_claim(said):
    show.verdicts("toys", "T1", "T2", "T3")
    assert said[0].splitlines()[2:] == [
        "| T1 | 2 holds, 1 undecided | undecided |",
        "| T2 | 1 holds | holds |",
        "| T3 | none | not measured |",
    ]


# Widgets ------------------------------------------------------------------------------------------------


@pytest.fixture
def scene():
    """Two images whose left half is surely road and right half perhaps sky; the truth is road everywhere."""
    probs = torch.full((2, C, H, W), 0.001)
    probs[:, 0, :, : W // 2] = torch.linspace(0.9, 0.95, W // 2)
    probs[:, 10, :, W // 2 :] = torch.linspace(0.5, 0.6, W // 2)
    return probs, torch.zeros(2, H, W, dtype=torch.uint8), torch.from_numpy(np.stack([IMAGE] * 2))


def notes_of(figure):
    return [ax.get_xlabel() for ax in figure.axes]


def test_threshold_view_counts_what_is_kept(scene):
    assert notes_of(widgets.threshold_view(*scene, portion=1.0)) == [
        "portion 100%: threshold 0.5000",
        "96.9% of the pixels labelled",  # the last column is at the threshold, not above it
        "51.6% of the labels right",
    ]
    assert notes_of(widgets.threshold_view(*scene, portion=1.0, focus="road"))[1:] == [
        "50.0% of the pixels labelled",
        "100.0% of the labels right",
    ]
    assert notes_of(widgets.threshold_view(*scene, focus="bus"))[1:] == [
        "0.0% of the pixels labelled",
        "no labels",
    ]
    assert len(widgets.threshold_view(scene[0], None, scene[2]).axes) == 2
    with pytest.raises(ValueError, match="no class 'tram'"):
        widgets.threshold_view(*scene, focus="tram")


def test_balance_view_gives_every_class_its_share(scene):
    figure = widgets.balance_view(*scene, portion=0.5)
    axes = {ax.get_label(): ax for ax in figure.axes}
    # One threshold keeps the sure road alone, but for the pixels at the threshold; two keep half of road and of sky.
    assert [axes[name].get_xlabel() for name in ("ST", "CBST")] == [
        "46.9% labelled, 100.0% right",
        "43.8% labelled, 50.0% right",
    ]
    balanced = select.ClassBalanced(0.5).fit([(scene[0],)]).thresholds.tolist()
    assert [bar.get_height() for bar in axes["thresholds"].patches] == pytest.approx(balanced)
    heights = np.array([bar.get_height() for bar in axes["shares"].patches]).reshape(3, C)
    assert heights[:, [0, 10]] == pytest.approx(np.array([[50, 50], [100, 0], [50, 50]]))
    assert widgets.balance_view(scene[0], None, scene[2], portion=0.5).axes[1].get_xlabel() == "46.9% labelled"


def test_round_view_shows_the_round(scene):
    maps = [torch.zeros(2, H, W, dtype=torch.uint8), torch.ones(2, H, W, dtype=torch.uint8)]
    figure = widgets.round_view(scene[2], maps, [None, maps[1]], number=1)
    assert figure.axes[1].get_title() == "prediction after round 1"
    assert tuple(figure.axes[1].images[0].get_array()[0, 0]) == CITYSCAPES.palette[1]
    assert not widgets.round_view(scene[2], maps, [None, maps[1]]).axes[2].images


def controls_of(box):
    return {control.description: control for control in box.children[0].children}


def picture_of(box):
    return np.asarray(Image.open(io.BytesIO(box.children[1].value)), int)


def redraws(box, name, value):
    """Whether the picture changes when a control is given a value."""
    before = picture_of(box)
    controls_of(box)[name].value = value
    after = picture_of(box)
    return before.shape != after.shape or (before != after).any()


@pytest.mark.parametrize("name, value", [("portion", 0.9), ("class", "sky"), ("image", 1)])
def test_threshold_explorer_redraws(scene, name, value):
    scene[2][1] = 255 - scene[2][0]
    box = widgets.threshold_explorer(*scene)
    assert redraws(box, name, value)


@pytest.mark.parametrize("name, value", [("portion", 0.9), ("image", 1)])
def test_balance_explorer_redraws(scene, name, value):
    scene[2][1] = 255 - scene[2][0]
    box = widgets.balance_explorer(*scene)
    assert redraws(box, name, value)


def test_round_viewer_has_a_control_for_image_and_round(scene):
    maps = [torch.zeros(2, H, W, dtype=torch.uint8)] * 3
    controls = controls_of(widgets.round_viewer(scene[2], maps, maps))
    assert (controls["image"].max, controls["round"].max) == (1, 2)


@pytest.fixture
def two_decoders(scene):
    """Logits at half the size. After epoch 1 both say road; at epoch 0 the second says sky on the right."""
    agreed = torch.zeros(2, 2, C, H // 2, W // 2)
    agreed[:, :, 0] = 2.0
    split = agreed.clone()
    split[1, :, 10, :, W // 4 :] = 3.0
    return {0: split, 1: agreed}, scene[1], scene[2]


def test_curriculum_view_keeps_what_the_decoders_agree_on(two_decoders):
    first, last = (widgets.curriculum_view(*two_decoders, epoch=epoch) for epoch in (0, 1))
    assert notes_of(last) == [
        "epoch 1",
        "100.0% labelled, 100.0% right",
        "100.0% easy",
        "100.0% labelled, 100.0% right",
    ]
    pair = torch.nn.functional.interpolate(two_decoders[0][0][:, 0], (H, W), mode="bilinear")
    easy = select.agreement(pair[:, None])
    share = f"{easy.float().mean():.1%}"
    assert notes_of(first)[2:] == [f"{share} easy", f"{share} labelled, 100.0% right"]
    assert (first.axes[2].images[0].get_array() == easy[0].numpy()).all()
    assert tuple(first.axes[3].images[0].get_array()[0, -1]) == (0, 0, 0), "black: nobody is asked"
    logits, _, images = two_decoders
    assert notes_of(widgets.curriculum_view(logits, None, images, epoch=1))[3] == "100.0% labelled"
    with pytest.raises(ValueError, match="no logits of epoch 7; choose one of: 0, 1"):
        widgets.curriculum_view(*two_decoders, epoch=7)


@pytest.mark.parametrize("name, value", [("epoch", 0), ("image", 1)])
def test_curriculum_explorer_redraws(two_decoders, name, value):
    two_decoders[2][1] = 255 - two_decoders[2][0]
    box = widgets.curriculum_explorer(*two_decoders)
    assert redraws(box, name, value)


@pytest.fixture
def aligned(scene):
    """Two networks, one sure and one in doubt about road and sky, and a discriminator that is sure or undecided."""
    sure = torch.zeros(2, C, H, W)
    sure[:, 0] = 1.0
    doubt = torch.zeros(2, C, H, W)
    doubt[:, [0, CITYSCAPES.index("sky")]] = 0.5
    scores = {
        "before": torch.zeros(2, 1, 1, 2),
        "after": torch.tensor([50.0, -50.0]).view(1, 1, 1, 2).repeat(2, 1, 1, 1),
    }
    return {"before": doubt, "after": sure}, scores, scene[2]


def test_alignment_view_shows_doubt_and_what_the_discriminator_says(aligned):
    before, after = (widgets.alignment_view(*aligned, network=name, focus="sky") for name in ("before", "after"))
    entropy, information = np.log(2) / np.log(C), 0.5 * np.log(2) / np.log(C)
    assert notes_of(before)[1:] == [
        "before",
        f"mean {entropy:.3f}",
        f"mean {information:.4f}",
        "mean 0.50",
    ]
    assert notes_of(after)[2:4] == ["mean 0.000", "mean 0.0000"]
    places = after.axes[4].images[0].get_array()
    assert places.shape == (H, W) and (places[:, : W // 2] == 1).all() and places[:, W // 2 :].max() < 1e-6
    assert before.axes[3].images[0].get_array().max() == pytest.approx(0.5 * np.log(2) * np.e)


def test_alignment_view_refuses_unknown_names(aligned):
    with pytest.raises(ValueError, match="no network 'other' with probabilities and scores; choose one of: before, a"):
        widgets.alignment_view(*aligned, network="other", focus="sky")
    with pytest.raises(ValueError, match="tram"):
        widgets.alignment_view(*aligned, network="after", focus="tram")


@pytest.mark.parametrize("name, value", [("network", "after"), ("class", "sky"), ("image", 1)])
def test_alignment_explorer_redraws(aligned, name, value):
    aligned[2][1] = 255 - aligned[2][0]
    box = widgets.alignment_explorer(*aligned)
    assert redraws(box, name, value)


@pytest.fixture
def few_windows(scene):
    """Averages of one and of two windows of half the width: the second one lies on the right and says sky."""
    corners = torch.tensor([[[0, 0], [0, W // 2]]]).expand(2, 2, 2)
    averages = {count: torch.zeros(2, C, H, W) for count in (1, 2)}
    for probs in averages.values():
        probs[:, 0, :, : W // 2] = 0.9
        probs[:, 1, :, : W // 2] = 0.1
    averages[2][:, 10, :, W // 2 :] = 1.0
    return averages, corners, (H, W // 2), scene[1], scene[2]


def test_window_view_shows_what_the_windows_see(few_windows):
    one, two = (widgets.window_view(*few_windows, count=count) for count in (1, 2))
    assert notes_of(one)[:2] == ["1 drawn", "0 to 1"] and notes_of(two)[:2] == ["2 drawn", "1 to 1"]
    assert notes_of(one)[2].startswith("50.0% labelled") and notes_of(two)[2].startswith("100.0% labelled")
    assert [len(fig.axes[0].patches) for fig in (one, two)] == [1, 2]
    frame = two.axes[0].patches[1]
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((W // 2 - 0.5, -0.5), W // 2, H)
    assert tuple(one.axes[2].images[0].get_array()[0, -1]) == (0, 0, 0), "black: no window has seen it"
    averages, corners, size, _, images = few_windows
    assert notes_of(widgets.window_view(averages, corners, size, None, images, count=1))[2] == "50.0% labelled"
    with pytest.raises(ValueError, match="no average of 7 windows; choose one of: 1, 2"):
        widgets.window_view(*few_windows, count=7)


@pytest.mark.parametrize("name, value", [("windows", 2), ("image", 1)])
def test_window_explorer_redraws(few_windows, name, value):
    few_windows[4][1] = 255 - few_windows[4][0]
    box = widgets.window_explorer(*few_windows)
    assert redraws(box, name, value)


def test_instance_view_keeps_what_its_moving_thresholds_leave(scene):
    probs, truth, images = scene
    confidences = select.class_confidences(probs)
    selector = select.InstanceAdaptive(0.5, 0.0, 0.0)
    kept = selector.label(probs)[1]
    figure = widgets.instance_view(confidences, *scene, alpha=0.5, beta=0.0, gamma=0.0, index=1)
    axes = {ax.get_label(): ax for ax in figure.axes}
    assert axes["labels"].get_xlabel() == f"{(kept != 255).float().mean():.1%} labelled, 50.0% right"
    assert (axes["labels"].images[0].get_array() == CITYSCAPES.colour(kept.numpy())).all()
    assert axes["prediction"].get_xlabel() == "100.0% labelled, 50.0% right"
    heights = [bar.get_height() for bar in axes["thresholds"].patches]
    assert heights == pytest.approx(selector.thresholds.tolist())
    shares = np.array([bar.get_height() for bar in axes["shares"].patches]).reshape(2, C)
    assert shares[:, [0, 10]] == pytest.approx(50) and shares.sum() == pytest.approx(200)
    unjudged = widgets.instance_view(confidences, probs, None, images, beta=1.0)
    assert unjudged.axes[2].get_xlabel() == f"{(probs.amax(1)[0] > 0.9).float().mean():.1%} labelled"
    with pytest.raises(ValueError, match="beta is 2"):
        widgets.instance_view(confidences, *scene, beta=2)


@pytest.fixture
def judged(scene):
    """The scene, in which both discriminators take the left half for source and the second is hardly sure of it."""
    maps = torch.tensor([[0.9, 0.1], [0.51, 0.5]]).view(1, 2, 1, 2).repeat(2, 1, 1, 1)
    maps[1] += 0.01  # of two images alike, the gate lets both pass or none
    return scene[0], maps, *scene[1:]


def test_gate_view_shows_what_the_gate_leaves_and_its_rival(judged):
    probs, maps, truth, images = judged
    gate = select.AdversarialGate(0.5, 0.5).fit([(probs, maps)])
    kept = gate.label(probs, maps)
    share = (kept != 255).float().mean().item()
    rival = select.ClassBalanced(share).fit([(probs,)]).label(probs)
    figure = widgets.gate_view(*judged, keep=0.5, portion=0.5, index=1)
    notes = notes_of(figure)
    assert notes[1] == f"above {gate.confidence_threshold:.2f}"
    assert notes[3] == f"{(kept[1] != 255).float().mean():.1%} labelled, 100.0% right"
    assert notes[4].startswith(f"{(rival[1] != 255).float().mean():.1%} labelled")
    place, opened, labels = (figure.axes[i].images[0].get_array() for i in (1, 2, 3))
    assert place[0, 0] > place[0, -1] and opened[0, 0] == 1 and opened[0, -1] == 0
    assert (labels == CITYSCAPES.colour(kept[1].numpy())).all()
    everything = notes_of(widgets.gate_view(probs, maps, None, images, keep=1.0, portion=1.0))
    assert everything[1:3] == ["above 0.00", "100.0% pass"]
    single = notes_of(widgets.gate_view(probs, maps[:, :1], None, images, keep=0.5))
    assert single[1] == f"above {select.AdversarialGate(0.5).fit([(probs, maps[:, :1])]).confidence_threshold:.2f}"
    with pytest.raises(ValueError, match="keep is 2"):
        widgets.gate_view(*judged, keep=2)


@pytest.mark.parametrize("name, value", [("p1", 0.5), ("p2", 0.2), ("image", 1)])
def test_gate_explorer_redraws(judged, name, value):
    judged[3][1] = 255 - judged[3][0]
    box = widgets.gate_explorer(*judged)
    assert redraws(box, name, value)


@pytest.mark.parametrize("name, value", [("alpha", 0.9), ("beta", 1.0), ("gamma", 0.0), ("image", 1)])
def test_instance_explorer_redraws(scene, name, value):
    scene[2][1] = 255 - scene[2][0]
    box = widgets.instance_explorer(*scene)
    controls_of(box)["beta"].value = 0.0  # by the image alone: else two images hardly move a threshold
    assert redraws(box, name, value)


@pytest.fixture
def two_networks(scene):
    """The scene's network, and one that has no idea and therefore says road everywhere."""
    return {"source-only": scene[0], "at a loss": torch.full_like(scene[0], 1 / C)}, *scene[1:]


def test_comparison_view_shows_doubt_and_where_two_networks_differ(two_networks):
    probs, truth, images = two_networks
    figure = widgets.comparison_view(*two_networks, network="at a loss", other="source-only", index=1)
    assert [ax.get_title() for ax in figure.axes] == ["input", "truth", "at a loss", "entropy", "not as source-only"]
    assert notes_of(figure) == ["", "", "100.0% right", "mean 1.000", "50.0% of the pixels"]
    differs = figure.axes[4].images[0].get_array()
    assert not differs[:, : W // 2].any() and differs[:, W // 2 :].all()
    unjudged = widgets.comparison_view(probs, None, images, network="source-only", other="source-only")
    assert [ax.get_title() for ax in unjudged.axes] == ["input", "source-only", "entropy", "not as source-only"]
    assert notes_of(unjudged)[3] == "0.0% of the pixels"
    with pytest.raises(ValueError, match="no network 'oracle'; choose one of: source-only, at a loss"):
        widgets.comparison_view(*two_networks, network="oracle", other="at a loss")


@pytest.mark.parametrize("name, value", [("network", "source-only"), ("against", "at a loss"), ("image", 1)])
def test_comparison_explorer_redraws(two_networks, name, value):
    two_networks[2][1] = 255 - two_networks[2][0]
    box = widgets.comparison_explorer(*two_networks)
    assert redraws(box, name, value)


@pytest.fixture
def two_tasks():
    """Printed rows of two tasks, one without a source-only of its own, and our runs over two seeds on one of them."""
    printed = {
        "GTA5": [
            {"name": "CBST", "network": "VGG-16", "miou": 30.9, "source": 24.3},
            {"name": "quoted", "network": "ResNet-101", "miou": 42.3, "source": None},
        ],
        "SYNTHIA": [{"name": "ST", "network": "VGG-16", "miou": 23.9, "source": 22.6}],
    }
    ours = {"GTA5": [{"name": "ST", "miou": np.array([40.0, 44.0]), "source": np.array([36.0, 38.0])}]}
    return printed, ours


def bars_of(figure):
    """Of each side the names and the lengths of its bars, from the top."""
    return [
        {
            label.get_text(): round(bar.get_width(), 1)
            for label, bar in zip(ax.get_yticklabels(), ax.patches, strict=True)
        }
        for ax in figure.axes
    ]


def test_papers_view_ranks_each_side_by_the_measure(two_tasks):
    miou, gain = (widgets.papers_view(*two_tasks, "GTA5", measure) for measure in widgets.MEASURES)
    assert [list(side.items()) for side in bars_of(miou)] == [[("quoted", 42.3), ("CBST", 30.9)], [("ST", 42)]]
    assert bars_of(gain) == [{"CBST": 6.6}, {"ST": 5}]
    spread = gain.axes[1].collections[0].get_segments()[0][:, 0]
    assert spread == pytest.approx([5 - np.sqrt(2), 5 + np.sqrt(2)]), "of gains of 4 and 6: paired by seed"
    assert bars_of(widgets.papers_view(*two_tasks, "GTA5", network="VGG-16")) == [{"CBST": 30.9}, {"ST": 42}]


def test_papers_view_says_where_there_is_nothing(two_tasks):
    figure = widgets.papers_view(*two_tasks, "SYNTHIA", network="ResNet-101")
    assert bars_of(figure) == [{}, {}]
    assert all(ax.get_title(loc="left").endswith("nothing to show") for ax in figure.axes)
    with pytest.raises(ValueError, match="no network 'ResNet-9'; choose one of: all networks, ResNet-101, VGG-16"):
        widgets.papers_view(*two_tasks, "GTA5", network="ResNet-9")
    with pytest.raises(ValueError, match="no task 'BDD'; choose one of: GTA5, SYNTHIA"):
        widgets.papers_view(*two_tasks, "BDD")
    with pytest.raises(ValueError, match="no measure 'IoU'"):
        widgets.papers_view(*two_tasks, "GTA5", "IoU")


@pytest.mark.parametrize(
    "name, value", [("task", "SYNTHIA"), ("measure", widgets.MEASURES[1]), ("network", "ResNet-101")]
)
def test_papers_explorer_redraws(two_tasks, name, value):
    box = widgets.papers_explorer(*two_tasks)
    assert redraws(box, name, value)


def test_domain_mixer_renders_what_the_sliders_say():
    seen = []

    def render(appearance, layout, frequency):
        seen.append((appearance, layout, frequency))
        return np.moveaxis(IMAGE, 0, -1)

    box = widgets.domain_mixer(render)
    assert isinstance(box, ipywidgets.VBox)
    controls_of(box)["layout"].value = 0.25
    assert seen == [(1, 1, 1), (1, 0.25, 1)]


# The figure of the batch --------------------------------------------------------------------------------


def test_qualitative_figure_is_made_from_records(tmp_path):
    results = [recipes.run(name, profile="smoke", report=lambda text: None) for name in ("st", "source")]
    paths = [result.record_path for result in results]
    figures.write_qualitative(paths, tmp_path, count=2)
    assert Image.open(tmp_path / "self_training.png").width == 2 * show.DPI * show.WIDTH
    with pytest.raises(ValueError, match="give the records of both"):
        figures.write_qualitative(paths[:1], tmp_path)


def test_qualitative_figure_refuses_records_of_other_code(tmp_path):
    paths = []
    for name in ("source", "st"):
        text = recipes.run(name, profile="smoke", report=lambda text: None).record_path.read_text()
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(text.replace('"code": "', '"code": "other'))
    with pytest.raises(ValueError, match="record of source was made by another version"):
        figures.write_qualitative(paths, tmp_path)
