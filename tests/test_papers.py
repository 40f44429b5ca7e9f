"""The papers' tables: complete, readable, and adding up wherever the note does not say otherwise."""

import pytest

from udalib import papers
from udalib.labels import CITYSCAPES, SYNTHIA13

CLASSES = [name.replace(" ", "_") for name in CITYSCAPES.names]
CLASSES13 = [name.replace(" ", "_") for name in SYNTHIA13.names]
CBST = "001_cbst_table3_gta5_cityscapes"


def mean_of(entry, columns):
    figures = [entry[name] for name in columns]
    return None if "" in figures else sum(map(float, figures)) / len(figures)


@pytest.mark.parametrize("name", papers.names())
def test_class_means_are_the_printed_ones_unless_the_note_says_so(name):
    entries = papers.table(name)
    classes = [name for name in CLASSES if name in entries[0]]
    assert all(None not in entry and None not in entry.values() for entry in entries), "ragged file"
    for entry in entries:
        off = []
        for column, averaged in (("mIoU", classes), ("mIoU_star", CLASSES13)):
            if classes and entry.get(column) and (mean := mean_of(entry, averaged)) is not None:
                off.append(abs(mean - float(entry[column])) > 0.2 + 1e-9)
        assert papers.adds_up(entry) != any(off), entry["paper_row"]


def test_every_table_is_there_and_can_be_cited():
    assert len(papers.names()) == 23
    assert papers.cite(CBST) == "Zou et al., Class-Balanced Self-Training, ECCV 2018, Table 3"
    assert all(papers.cite(name) for name in papers.names())


def test_figures_are_kept_as_printed():
    assert papers.row(CBST, method="Source only [30]")["traffic_sign"] == "0"
    assert papers.row(CBST, method="ST", backbone="FCN8s-VGG16")["mIoU"] == "28.1"


def test_bad_requests_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="no paper table 'cbst'; choose one of: 000_chitta"):
        papers.table("cbst")
    with pytest.raises(ValueError, match="2 rows of paper table .* have method 'ST'"):
        papers.row(CBST, method="ST")
    with pytest.raises(ValueError, match="0 rows"):
        papers.row(CBST, method="ST", backbone="ResNet-101")


def own_source_of(name, method, backbone):
    rows = papers.table(name)
    return papers.own_source(rows, rows.index(papers.row(name, method=method, backbone=backbone)))


@pytest.mark.parametrize(
    ("name", "method", "backbone", "source"),
    [
        (CBST, "CBST", "FCN8s-VGG16", "24.3"),  # not that of another network, nor a quoted one of the same
        (CBST, "CBST", "ResNet-38", "35.4"),
        (CBST, "MAA [36]", "DeepLab-v2", "36.6"),
        ("001_cbst_table2_synthia_cityscapes", "GAN DA", "FCN8s-VGG16", "25.7"),
        ("000_chitta_table1_gta5_cityscapes", "Self-training", "ResNet-18 + 2xPPM", "24.3"),  # the encoder is the same
        ("004_iast_table6_gta5_cityscapes", "IAST(ours)", "ResNet-101 (DeepLab-v2)", "35.6"),
        ("004_iast_table6_gta5_cityscapes", "PyCDA [20]", "ResNet-101 (DeepLab-v2)", None),
        ("003_mlsl_table1_gta5_cityscapes", "CLAN [30]", "", None),
    ],
)
def test_a_source_only_is_that_of_the_same_authors_and_encoder(name, method, backbone, source):
    found = own_source_of(name, method, backbone)
    assert (found and found["mIoU"]) == source


def test_methods_of_a_task_are_there_once_each():
    found = papers.methods("gta5_cityscapes")
    assert {entry["paper"] for entry in found} == {"Chitta", "Zou", "Shen", "Iqbal", "Mei"}
    assert not [entry for entry in found if entry["row"]["method"].startswith(("Source", "Target"))]
    adaptsegnet = [entry for entry in found if entry["miou"] == 42.4]  # printed four times, under four names
    assert [(entry["name"], entry["source"]) for entry in adaptsegnet] == [("MAA, ResNet-101 (Zou)", 36.6)]
    last = next(entry for entry in found if entry["miou"] == 40.7)
    assert (last["name"], last["source"], last["quoted"]) == ("+ source hard mining, ResNet-18 (Chitta)", 24.3, False)
    stars = papers.methods("synthia_cityscapes", "mIoU_star")
    assert {entry["miou"] for entry in stars if entry["network"] == "VGG-16"} >= {36.1, 40.7}, "CBST, as printed twice"


def test_class_figures_stand_in_train_id_order():
    figures = papers.class_figures(papers.table("001_cbst_table1_cityscapes_nthu")[0])
    assert figures[:3] == [77.7, 21.9, 83.5] and figures[18] == 0.6 and len(figures) == 19
    assert [name for name, value in zip(CLASSES, figures, strict=True) if value != value] == [
        *("wall", "fence", "pole", "terrain", "truck", "train")
    ]
