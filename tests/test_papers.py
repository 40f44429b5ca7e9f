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
