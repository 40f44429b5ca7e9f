"""The page about a run: its figures are those of the record, and its indicators those of a loop over the pixels."""

import base64
import io
import json
import math
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import trees
from PIL import Image

from udalib import cli, data, indicators, recipes, report, runs, show
from udalib.labels import IGNORE
from udalib.recipes.experiment import quality_of


def silent(text):
    pass


class Page(HTMLParser):
    """What a reader finds: `tables` by their first header, as rows of text, `images`, headings and all text."""

    def __init__(self, html):
        super().__init__()
        self.tables, self.images, self.headings, self.text, self.rows, self.tag = {}, [], [], "", [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tag = tag
        if tag == "table":
            self.rows = []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "img":
            self.images.append(dict(attributes))

    def handle_data(self, text):
        self.text += text
        if self.tag in ("td", "th"):
            self.rows[-1][-1] += text
        elif self.tag in ("h2", "h3"):
            self.headings.append(text)

    def handle_endtag(self, tag):
        self.tag = ""
        if tag == "table":
            self.tables[tuple(self.rows[0])] = self.rows[1:]

    def table(self, *header):
        """The rows of the one table whose header starts like this, by their first cell."""
        (rows,) = (rows for found, rows in self.tables.items() if found[: len(header)] == header)
        return {row[0]: row[1:] for row in rows}


def per_cent(share):
    return "–" if share is None else f"{100 * share:.1f}"


@pytest.fixture(scope="module")
def st():
    return recipes.run("st", profile="smoke", seed=0, report=silent)


@pytest.fixture(scope="module")
def page(st, tmp_path_factory):
    path = report.write(st.record_path.parent, tmp_path_factory.mktemp("report") / "deep" / "st.html")
    return Page(path.read_text())


def test_the_page_holds_the_figures_of_the_record(page, st):
    scores, classes = page.table("round", "mIoU [%]", "mIoU16 [%]"), page.table("class")
    quality = page.table("round", "coverage [%]", "precision [%]", "recall [%]")
    assert list(scores) == ["start (source-only)", "1", "2"]
    for number, entry in enumerate(st.rounds, 1):
        row = scores[str(number)]
        assert row[:3] == [per_cent(entry[key]) for key in ("miou", "miou16", "miou13")]
        assert row[4] == per_cent(entry["pixel_accuracy"])
        assert [row[number] for row in classes.values()] == [per_cent(iou) for iou in entry["iou"]]
        assert quality[str(number)] == [per_cent(entry["labels"][key]) for key in ("coverage", "precision", "recall")]
    assert scores["2"][3] == per_cent(st.rounds[-1]["multi_scale"]["miou"]) and scores["1"][3] == "–"
    start = indicators.started_from(st)
    assert scores["start (source-only)"][0] == per_cent(start.miou) and list(classes) == st.record["classes"]
    for said in ("game-city", "a stand-in for GTA5 to Cityscapes", "figures mean nothing", st.record["code"]):
        assert said in page.text
    assert f"mIoU {per_cent(st.miou)} %" in page.text and "Left out" not in page.headings


def test_the_page_needs_nothing_but_itself(page):
    assert len(page.images) == 5  # rounds, classes, loss, precision, samples
    for image in page.images:
        kind, encoded = re.fullmatch(r"data:image/(png|jpeg);base64,(.+)", image["src"]).groups()
        picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
        assert picture.format.lower() == kind and abs(picture.width / int(image["width"]) - 2) < 0.01 and image["alt"]
    assert not re.search(r"https?:|<script|<link|@import", page.text)


def test_indicators_equal_a_loop_over_the_pixels(st):
    bench, indices = data.benchmark("game-city", "smoke", 0), [1, 9]
    stages = list(indicators.stages(st, bench, indices, "cpu"))
    assert [stage.round for stage in stages] == [0, 1, 2]
    images = torch.stack([bench.target[index].image for index in indices])
    nets = [recipes.load_network(indicators.started_from(st)), *(recipes.load_network(st, n) for n in (1, 2))]
    before = None
    for number, (net, stage) in enumerate(zip(nets, stages, strict=True)):
        with torch.no_grad():
            logits = F.interpolate(net(images).logits.float(), (64, 128), mode="bilinear", align_corners=False)
        pixels = logits.softmax(dim=1).movedim(1, -1).reshape(-1, 19).double().numpy()
        entropy = sum(-p * math.log(p) for p in pixels.ravel() if p) / math.log(19) / len(pixels)
        assert stage.entropy == pytest.approx(entropy, abs=1e-4)
        predicted = pixels.argmax(axis=1)
        assert (stage.predictions.numpy().ravel() != predicted).mean() < 1e-3
        if number:
            changed = sum(int(a != b) for a, b in zip(predicted, before[0], strict=True)) / len(predicted)
            threshold = st.rounds[number - 1]["thresholds"]
            labelled = sum(int(confidence > threshold) for confidence in before[1]) / len(predicted)
            assert stage.changed == pytest.approx(changed, abs=1e-3)
            assert stage.coverage == pytest.approx(labelled, abs=1e-3)
        before = predicted, pixels.max(axis=1)
    assert stages[0].changed is stages[0].coverage is stages[0].labels is None


SHORT = {"rounds": 1, "test_scales": (1.0,)}
MOVING = {"warmup": "source", "alpha": 0.5, "beta": 0.0, "gamma": 0.0, "order": "random"}


def test_thresholds_of_a_walk_are_not_rounded():
    """0.75 is above the threshold by less than float32 can tell; images come in the order of the walk."""
    walk = {"order": [1, 0], "thresholds": [[0.9, 0.9], [0.75 - 1e-12, 0.9]]}
    record = {"recipe": "iast", "settings": {"selector": "instance", "variant": "paper"}}
    label = indicators._labelling(
        SimpleNamespace(record=record, rounds=[{"thresholds": walk["thresholds"][1], "trajectory": walk}]), 1
    )
    probs = torch.tensor([0.75, 0.25]).view(1, 2, 1, 1)
    assert [label(probs, index).item() for index in (0, 1)] == [0, IGNORE]


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("st", {}),
        ("cbst-sp", SHORT),
        ("sisc", SHORT),
        ("iast", {**MOVING, "test_scales": (1.0,), "labeller": "middle"}),
        ("iast", {**SHORT, "warmup": "source", "selector": "class_balanced"}),
    ],
)
def test_pseudo_labels_made_again_are_those_of_the_run(recipe, settings):
    result = recipes.run(recipe, profile="smoke", seed=0, report=silent, **settings)
    bench = data.benchmark("game-city", "smoke", 0)
    truth = torch.stack([sample.label for sample in bench.oracle().target])
    for number, entry in enumerate(result.rounds, 1):
        labels = indicators.pseudo_labels(result, number, bench, range(16), "cpu")
        again = quality_of(labels, truth, 19)
        assert again["coverage"] > 0.02 and labels.dtype == torch.uint8
        for key in ("coverage", "precision", "recall", "class_share"):
            assert again[key] == pytest.approx(entry["labels"][key], abs=2e-3), key


def test_a_run_without_labels_has_no_coverage(st):
    start = indicators.started_from(st)
    page = Page(report.render(start, images=2, device="cpu"))
    (row,) = page.table("round", "entropy [% of the largest]").values()
    assert len(row) == 2 and row[1] == "–"  # there is no network before it
    assert "Quality of the pseudo-labels" not in page.headings


def test_a_game_shows_the_losses_and_the_accuracy_of_every_discriminator(monkeypatch):
    drawn, curves = [], show.curves
    monkeypatch.setattr(show, "curves", lambda series, **how: drawn.append((series, how)) or curves(series, **how))
    game = {"accuracy": [0.5, 0.75], "losses": [[2.0, 0.1, 0.7], [1.0, 0.2, 0.6]]}
    second = {"aux_accuracy": [0.25, 1.0], "aux_losses": [[0.3, 0.5], [0.4, 0.8]]}
    for known in (game, {**game, **second}):
        pictures = report._curves({"rounds": [{"round": 1, "game": known}], "settings": {"steps": 8}})
        assert len(pictures) == 2
    (one, _), (accuracy, how), (two, _), (both, _) = drawn
    assert list(one) == ["segmentation", "network against discriminator", "discriminator"]
    assert one["discriminator"] == two["discriminator"] == [(4, 0.7), (8, 0.6)]
    assert two["network against second discriminator"] == [(4, 0.3), (8, 0.4)]
    assert two["second discriminator"] == [(4, 0.5), (8, 0.8)]
    assert accuracy == {"discriminator": [(4, 0.5), (8, 0.75)]} and "right" in how["ylabel"]
    assert both == {**accuracy, "second discriminator": [(4, 0.25), (8, 1.0)]}


# Without truth ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def garden(tmp_path_factory):
    return trees.own(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def own(garden):
    return recipes.run("st", str(garden), "smoke", report=silent, rounds=1, test_scales=(1.0,))


def test_where_truth_is_unknown_indicators_stand_in(own, garden):
    page = Page(report.render(own, benchmark=str(garden), images=3, device="cpu"))
    assert own.rounds[0]["labels"]["coverage"] is None
    assert "Quality of the pseudo-labels" not in page.headings and "Left out" not in page.headings
    assert "Computed on 3 of 4 target images" in page.text and "truth:" not in page.text
    bench = data.benchmark(str(garden), "smoke")
    stages = list(indicators.stages(own, bench, [0, 2, 3], "cpu"))
    rows = page.table("round", "entropy [% of the largest]", "changed [%]", "coverage [%]")
    assert list(rows.values()) == [[per_cent(value) for value in (s.entropy, s.changed, s.coverage)] for s in stages]
    assert stages[1].coverage == (stages[1].labels != IGNORE).double().mean().item() > 0
    protocol = own.record["protocol"]
    assert all(text in page.text for text in protocol.values())


def test_another_benchmark_and_other_images_are_refused(own, garden, tmp_path):
    with pytest.raises(ValueError, match="'garden', a benchmark of one's own; give its .toml file with --benchmark"):
        report.render(own)
    with pytest.raises(ValueError, match="is of 'garden', not of 'game-city'"):
        report.render(own, benchmark="game-city")
    other = shutil.copytree(garden.parent, tmp_path / "own") / garden.name
    with open(other.parent / "phone/2.jpg", "ab") as image:
        image.write(b" ")
    with pytest.raises(ValueError, match="made from other images: those of its target set have changed"):
        report.render(own, benchmark=str(other))


# What is left out, and what is refused --------------------------------------------------------------------


def altered(result: runs.Result, folder: Path, **changes) -> Path:
    """A copy of a run's record alone, with some entries replaced."""
    path = folder / "record.json"
    path.write_text(json.dumps({**result.record, **changes}))
    return path


def test_what_a_record_alone_does_not_tell_is_named(capsys, st, tmp_path):
    settings = {**st.record["settings"], "image_list": "<script>alert('no')</script>"}
    assert cli.main(["report", str(altered(st, tmp_path, settings=settings))]) == 0
    assert capsys.readouterr().out == f"report: {tmp_path / 'record.html'}\n"
    html = (tmp_path / "record.html").read_text()
    page = Page(html)
    assert "do not lie beside the record" in page.text and "Samples" not in page.headings and len(page.images) == 4
    assert "<script>" not in html and settings["image_list"] in page.text
    assert list(page.table("round", "mIoU [%]", "mIoU16 [%]")) == ["1", "2"]  # the start is not beside it either


def test_a_run_in_folds_names_the_runs_that_tell_more(st, tmp_path):
    kept = ("round", "miou", "present", "iou", "pixel_accuracy", "seconds")
    rounds = [{**{key: entry[key] for key in kept}, "miou_of_folds": [0.1, 0.2]} for entry in st.rounds]
    path = altered(st, tmp_path, folds=["fold-zero", "fold-one"], rounds=rounds, start=None)
    page = Page(report.render(report.find(path)))
    assert "Write the reports of: fold-zero, fold-one." in page.text and "Training" not in page.headings
    assert page.table("round", "mIoU [%]", "mIoU, mean and spread over folds [%]")["2"][1] == "15.0 ± 7.1"


def test_an_incomplete_folder_is_refused(st, tmp_path):
    folder = shutil.copytree(st.record_path.parent, tmp_path / "st")
    (folder / "round1.pt").unlink()
    with pytest.raises(ValueError, match=r"round1.pt is missing; give the whole folder of the run"):
        report.render(report.find(folder))


def test_bad_input_is_refused_in_one_sentence(capsys, st, tmp_path):
    (tmp_path / "blocked").touch()
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "other.json").write_text('{"status": "finished", "rounds": []}')
    running = altered(st, tmp_path, status="running")
    for arguments, said in (
        ([tmp_path / "nowhere"], "give a run's folder"),
        ([tmp_path / "blocked"], "give a run's folder"),
        ([tmp_path / "list.json"], "is not a run's record"),
        ([tmp_path / "other.json"], "has no 'recipe'"),
        ([running], "is running, not finished"),
        ([st.record_path, "--images", "-1"], "images is -1"),
        ([st.record_path, "--images", "0", "--out", tmp_path / "blocked" / "page.html"], "choose another file"),
    ):
        assert cli.main(["report", *map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1 and "Traceback" not in error


def test_no_notebook_or_batch_package_is_needed():
    absent = ("IPython", "ipywidgets", "jupyter_client", "nbformat", "papermill", "snakemake")
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); import udalib.report"  # None: as if not there
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=True)


def test_indices_are_spread_evenly():
    assert report._spread_over(16, 4) == [0, 5, 10, 15] and report._spread_over(3, 64) == [0, 1, 2]
    assert np.diff(report._spread_over(1000, 64)).min() > 14
