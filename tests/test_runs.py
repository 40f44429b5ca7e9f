import json
import subprocess
import sys
import textwrap

import pytest

from udalib import runs

IDENTITY = {"recipe": "st", "benchmark": "b", "profile": "smoke", "seed": 0, "settings": {}, "code": "0"}


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("UDALIB_HOME", str(tmp_path))


def test_an_interrupted_record_keeps_its_finished_rounds():
    with runs.open_run(IDENTITY) as run:
        run.add_round({"round": 1, "miou": 0.25})
    with runs.open_run(IDENTITY) as run:
        assert run.rounds == [{"round": 1, "miou": 0.25}] and not run.finished
        run.add_round({"round": 2, "miou": 0.5})
        run.write("finished", device="CPU")
    with runs.open_run(IDENTITY) as run:
        assert run.finished
    result = runs.Result(runs.read_record(run.record_path), run.record_path)
    assert result.miou == 0.5 and result.weights().name == "round2.pt" and result.weights(1).name == "round1.pt"


def test_settings_code_and_seed_decide_the_folder():
    names = {
        runs.folder_name({**IDENTITY, **change})
        for change in ({}, {"seed": 1}, {"code": "1"}, {"settings": {"lr": 0.1}})
    }
    assert len(names) == 4


def test_a_damaged_record_is_refused():
    with runs.open_run(IDENTITY) as run:
        run.write("finished")
    run.record_path.write_text(run.record_path.read_text()[:40])
    with pytest.raises(ValueError, match="is not a run's record"), runs.open_run(IDENTITY):
        pass


def test_an_unwritable_home_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UDALIB_HOME", str(tmp_path / "file"))
    with pytest.raises(ValueError, match="can't be written"), runs.open_run(IDENTITY):
        pass


def test_a_record_is_plain_json():
    with runs.open_run(IDENTITY) as run:
        run.write("finished", device="CPU")
    record = json.loads(run.record_path.read_text())
    assert record["versions"]["udalib"] and record["peak_memory_mb"] > 0 and record["seconds"] >= 0


def test_a_second_process_waits_for_the_first():
    program = f"from udalib import runs\nwith runs.open_run({IDENTITY!r}) as run: print(len(run.rounds))"
    with runs.open_run(IDENTITY) as run:
        other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=1.5)
        run.add_round({"round": 1, "miou": 0.1})
    assert other.communicate(timeout=20)[0].strip() == "1"


# Code versions --------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "__file__", str(tmp_path / "runs.py"))

    def write(name, text):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))

    write("a", "from udalib import b\ndef f():\n    '''Doc.'''\n    return b.g()")
    write("b", "def g():\n    return 1  # why")
    write("c", "x = 1")
    return write


def test_code_versions_follow_imports_but_not_prose(package):
    first = runs.code_version("udalib.a")
    package("c", "x = 2")
    package("b", "def g():\n\n    return 1")
    package("a", "from udalib import b\n\ndef f():\n    '''A better one.'''\n    return b.g()")
    assert runs.code_version("udalib.a") == first
    package("b", "def g():\n    return 2")
    assert runs.code_version("udalib.a") != first


def test_code_versions_follow_a_package_only_where_it_is_used(package):
    package("box/__init__", "from udalib.box.one import f\nfrom udalib.box.two import g\nT = {}\ndef h(): return f()")
    package("box/one", "def f(): return 1")
    package("box/two", "def g(): return 2")
    package("a", "from udalib import box\nx = box.f()")
    package("b", "from udalib.box import h\nx = h()")
    uses_f, uses_h = runs.code_version("udalib.a"), runs.code_version("udalib.b")
    package("box/two", "def g(): return 3")
    package("box/__init__", "from udalib.box.one import f\nT = {1: 2}\ndef h(): return f()")
    assert (runs.code_version("udalib.a"), runs.code_version("udalib.b")) == (uses_f, uses_h)
    assert runs.code_version("udalib.a", "udalib.box.two") != uses_f
    package("box/__init__", "from udalib.box.one import f\ndef h(): return f() + 1")
    assert runs.code_version("udalib.a") == uses_f and runs.code_version("udalib.b") != uses_h
    package("box/one", "def f(): return 2")
    assert runs.code_version("udalib.a") != uses_f
