"""The command line: the notebooks' jobs without a notebook.

Every verb imports what it needs when it is called, so that `udalib run` works without Jupyter, papermill and
matplotlib, and `udalib --help` without torch.
"""

import argparse
import ast
import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed on the way, 2 refused.

    arguments: the words after `udalib`; default: those of this process.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.verb(options)
    except ValueError as error:
        print(f"udalib: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"udalib: This command needs {error.name}; `udalib doctor` says what brings it.", file=sys.stderr)
        return 2
    except FloatingPointError as error:
        print(f"udalib: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("udalib: Interrupted; the same command continues where it stopped.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="udalib",
        description="Unsupervised domain adaptation for semantic segmentation, from the command line.",
    )
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    run = _verb(verbs, "run", _run, "run a recipe, or fetch the record of having run it")
    run.add_argument("recipe", help="what to run; `udalib list` shows the choices")
    run.add_argument("--benchmark", default="game-city", help="a name, or a .toml file; default: %(default)s")
    run.add_argument("--profile", default="quick", help="default: %(default)s")
    run.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    run.add_argument(
        "--set", type=_setting, nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="such as steps=100"
    )
    run.add_argument("--device", help="cpu, cuda, cuda:1, ...; default: the best there is")
    run.add_argument("--root", "--data-root", type=Path, help="folder that contains the datasets, for real ones")
    run.add_argument("--record", type=Path, metavar="FILE", help="also write the run's record there")

    evaluate = _verb(verbs, "evaluate", _evaluate, "score a trained network on a benchmark's validation set")
    evaluate.add_argument("checkpoint", type=Path, help="round<number>.pt of a run, or a released checkpoint")
    evaluate.add_argument("--benchmark", help="default: the run's; for a released network gta5-cityscapes")
    evaluate.add_argument(
        "--released", metavar="FORM", help="whose checkpoint it is, if not a run's: adaptsegnet, advent, crst or iast"
    )
    evaluate.add_argument("--branches", type=int, help="of a released ASPP, in place of its authors': 2 or 4")
    evaluate.add_argument("--height", type=int, help="of the image a released network sees, in place of its authors'")
    evaluate.add_argument("--scales", type=float, nargs="+", help="average over scales; default: 1, or the authors'")
    evaluate.add_argument("--flip", action="store_true", help="average with mirror images")
    evaluate.add_argument("--batch-size", type=int, default=1, help="default: %(default)s")
    evaluate.add_argument("--profile", help="default: the run's; for a released network paper: images as published")
    evaluate.add_argument("--seed", type=int, help="default: the run's, or 0")
    evaluate.add_argument("--fold", type=int, help="of a benchmark in folds; default: all of its images")
    evaluate.add_argument(
        "--attributes", type=Path, metavar="FILE", help="BDD100K's labels in JSON, for scores by time of day as well"
    )
    evaluate.add_argument("--device", help="cpu, cuda, cuda:1, ...; default: the best there is")
    evaluate.add_argument("--root", "--data-root", type=Path, help="folder that contains the datasets, for real ones")

    verify = _verb(verbs, "verify", _verify, "check every file of a real dataset, and write a report")
    verify.add_argument("dataset", help="`udalib list` shows the choices; or the .toml file of a benchmark of your own")
    verify.add_argument("--root", "--data-root", type=Path, help="the dataset's folder, or the one that contains it")
    verify.add_argument(
        "--exclude-other-sizes", action="store_true", help="leave out images whose label has another size"
    )

    report = _verb(verbs, "report", _report, "write one page about a finished run, with its pictures inside")
    report.add_argument("run", type=Path, metavar="RUN", help="the run's folder, or its record.json")
    report.add_argument("--out", type=Path, metavar="FILE", help="default: record.html in the run's folder")
    report.add_argument("--benchmark", metavar="FILE", help="the .toml file, for a run on a benchmark of your own")
    report.add_argument("--images", type=int, default=64, help="of the target to look at, or 0; default: %(default)s")
    report.add_argument("--device", help="cpu, cuda, cuda:1, ...; default: the best there is")
    report.add_argument("--root", "--data-root", type=Path, help="folder that contains the datasets, for real ones")

    notebook = _verb(verbs, "notebook", _notebook, "run a notebook without a browser")
    notebook.add_argument("name", help="such as 02_self_training, or the file's path")
    notebook.add_argument("-p", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), dest="parameters")
    notebook.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the executed notebook")
    notebook.add_argument("--timeout", type=int, default=3600, help="seconds a cell may take; default: %(default)s")

    table = _verb(verbs, "table", _table, "write a table from records")
    table.add_argument("name", help="such as self_training")
    table.add_argument("records", type=Path, nargs="+", metavar="RECORD")
    table.add_argument("--out", type=Path, required=True, metavar="DIR")

    claims = _verb(verbs, "claims", _claims, "hold the papers' claims against the tables")
    claims.add_argument("names", nargs="*", metavar="NAME", help="such as class_balance; default: all ledgers")
    claims.add_argument("--tables", type=Path, required=True, metavar="DIR", help="folder of the tables")
    claims.add_argument("--out", type=Path, required=True, metavar="DIR")

    figure = _verb(verbs, "figure", _figure, "write a picture of the embedded streets, or of what came out of runs")
    of_runs = "self_training class_balance portions curriculum agreement instance_study"
    figure.add_argument("name", choices=("streets", *of_runs.split(), "instance_adaptive", "instance_labels"))
    figure.add_argument("records", type=Path, nargs="*", metavar="RECORD", help="of the runs to be shown")
    figure.add_argument("--out", type=Path, required=True, metavar="DIR")

    _verb(verbs, "list", _list, "list recipes, benchmarks and profiles")
    _verb(verbs, "doctor", _doctor, "check packages, device, memory, disk and data; estimate the times")
    return parser


def _verb(verbs: Any, name: str, action: Any, purpose: str) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
    verb.set_defaults(verb=action)
    return verb


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form key=value")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value  # a word, such as the name of a recipe


def _join(device: str | None) -> str | None:
    """The device of this process, which is one of several under torchrun; only the first of them prints."""
    from udalib import processes

    device = processes.join(device)
    if processes.rank() > 0:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, it is open as long as the process
    return device


def _run(options: Namespace) -> int:
    from udalib import processes, recipes

    device = _join(options.device)
    result = recipes.run(
        options.recipe,
        benchmark=options.benchmark,
        profile=options.profile,
        seed=options.seed,
        root=options.root,
        device=device,
        **dict(options.set),
    )
    for subject, text in result.record.get("protocol", {}).items():
        print(f"{subject:<11}{text}")
    print(
        f"{options.recipe} on {options.benchmark}, profile {options.profile}, seed {options.seed}: "
        f"mIoU {100 * result.miou:.1f} %, pixel accuracy {100 * result.pixel_accuracy:.1f} %"
    )
    print(f"record: {result.record_path}")
    if options.record and processes.rank() == 0:
        _copy_record(result.record, options.record)
    return 0


def _copy_record(record: dict[str, Any], path: Path) -> None:
    from udalib import runs

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        runs.write_atomically(path, json.dumps(record, indent=1))
    except OSError as error:
        raise ValueError(f"The record can't be written to {path} ({error.strerror}); choose another file.") from error


def _evaluate(options: Namespace) -> int:
    from udalib import evaluation, models
    from udalib.device import pick
    from udalib.recipes.experiment import scores_of

    device, form = pick(_join(options.device)), options.released
    if form is None and (options.branches or options.height):
        raise ValueError("--branches and --height are for released networks; say whose it is with --released.")
    scales = tuple(options.scales or (models.find_form(form).test_scales if form else (1.0,)))
    if form:
        net = evaluation.released(options.checkpoint, form, options.branches, options.height)
        bench = _validation(options)
        rule = "the one that was released; the file doesn't say what it was chosen by"
    else:
        bench = _validation(options)
        net = evaluation.network_of_run(options.checkpoint, bench)
        result, number = evaluation.run_of(options.checkpoint)
        rule = f"round {number} of {len(result.rounds)}; none is chosen by its score"
    protocol = {
        "network": f"{options.checkpoint}{f', released, {form}' if form else ''}, {net.num_classes} classes",
        "checkpoint": rule,
        "benchmark": f"{bench.name}, profile {bench.profile}, validation set",
        **evaluation.protocol(net, bench, options.flip, scales),
    }
    for subject, text in protocol.items():
        print(f"{subject:<11}{text}")
    parts = evaluation.by_time_of_day(bench, options.attributes) if options.attributes else {"": bench}
    counted = 0
    for time, part in parts.items():
        matrix = evaluation.confusion(
            net.to(device), part, options.flip, scales, options.batch_size, progress=_count("scored")
        )
        counted = counted + matrix.matrix
        if time:
            print(f"{time}: mIoU {100 * matrix.miou():.1f} % over {matrix.present()} classes, {len(part.val)} images")
    matrix.matrix = counted
    scores, names = scores_of(matrix), (matrix.merge.target if matrix.merge else bench.classes).names
    for name, iou in zip(names, scores["iou"], strict=True):
        print(f"  {name:<15} {'absent' if iou is None else f'{100 * iou:.1f}'}")
    for which in ("16", "13"):
        if f"miou{which}" in scores:
            print(f"mIoU over the {which} classes of SYNTHIA: {100 * scores[f'miou{which}']:.1f} %")
    print(
        f"mIoU {100 * scores['miou']:.1f} % over {scores['present']} classes, "
        f"pixel accuracy {100 * scores['pixel_accuracy']:.1f} %"
    )
    return 0


def _validation(options: Namespace) -> Any:
    """What `evaluate` scores on, a `data.Benchmark`: what was asked for, else that of the run or of the paper."""
    from udalib import data, evaluation

    if options.released:
        benchmark, profile, seed, fold = options.benchmark or "gta5-cityscapes", options.profile, 0, None
        if profile is None:
            profile = "paper" if isinstance(data.find_pair(benchmark), data.RealPair) else "quick"
    else:
        record = evaluation.run_of(options.checkpoint)[0].record
        benchmark, profile = options.benchmark or record["benchmark"], options.profile or record["profile"]
        seed, fold = record["seed"], None if options.benchmark else record["fold"]
    seed = seed if options.seed is None else options.seed
    fold = fold if options.fold is None else options.fold
    return data.validation(benchmark, profile, seed, options.root, fold, _count("read"))


def _count(verb: str) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == total or done % 100 == 0:
            print(f"{verb} {done}/{total} images", file=sys.stderr)

    return progress


def _verify(options: Namespace) -> int:
    from tqdm import tqdm

    from udalib import data
    from udalib.data import sets, verify

    if options.dataset.endswith(".toml"):
        chosen = [part.dataset for part in data.find_pair(options.dataset).roles.values()]
    else:
        chosen = [sets.find(options.dataset)]
    problems = []
    for dataset in chosen:
        folder = dataset.locate(options.root)
        # Shown in a terminal alone: in a log a bar is noise.
        with tqdm(desc=dataset.title, unit=" images", disable=None) as bar:

            def progress(done: int, total: int, bar: tqdm = bar) -> None:
                bar.total = total
                bar.update(done - bar.n)

            report = verify.verify(dataset, folder, progress, options.exclude_other_sizes)
        _print_report(dataset.title, report)
        print(f"report: {verify.report_path(dataset, folder)}")
        problems += report["problems"]
    return 1 if problems else 0


def _print_report(title: str, report: dict[str, Any]) -> None:
    for split, found in report["splits"].items():
        size, *others = found["sizes"] or ["no size"]
        left_out = f", {len(found['excluded'])} excluded" if found["excluded"] else ""
        more = f" and {len(others)} other sizes" if others else ""
        print(f"{title} {split}: {found['images']} images of {size}{more}, {found['labels']} labels{left_out}")
        if stretched := set(found["label_of_other_size"]) - found["unusable"].keys():
            print(f"  {len(stretched)} labels have another size than the image and are stretched to it")
    for note in report["notes"]:
        print(f"note {note}")
    for problem in report["problems"]:
        print(f"PROBLEM {problem}")


def _report(options: Namespace) -> int:
    from udalib import report

    path = report.write(
        options.run,
        options.out,
        benchmark=options.benchmark,
        root=options.root,
        images=options.images,
        device=options.device,
        progress=_count("looked at"),
    )
    print(f"report: {path}")
    return 0


def _notebook(options: Namespace) -> int:
    from udalib import headless

    try:
        print(headless.run(options.name, dict(options.parameters), options.out, options.timeout))
    except headless.NotebookFailed as failure:
        print(f"udalib: {failure}", file=sys.stderr)
        return 1
    return 0


def _table(options: Namespace) -> int:
    from udalib import tables

    tables.write(options.name, options.records, options.out)
    return 0


def _claims(options: Namespace) -> int:
    from udalib import claims

    for name in options.names or claims.LEDGERS:
        claims.write(name, options.tables, options.out)
    return 0


def _figure(options: Namespace) -> int:
    from udalib import figures

    if options.name == "streets":
        figures.write_streets(options.out)
    elif write := figures.WRITERS.get(options.name):
        write(options.records, options.out)
    else:
        figures.write_qualitative(options.records, options.out, name=options.name)
    return 0


def _list(options: Namespace) -> int:
    from udalib import data, recipes
    from udalib.data import sets

    _columns("Recipes", {name: recipe.purpose for name, recipe in recipes.RECIPES.items()})
    _columns("Benchmarks", {name: f"stands in for {data.find_pair(name).stands_for}" for name in data.PAIRS})
    _columns("Benchmarks on real datasets, for --root", {name: _described(p) for name, p in data.REAL_PAIRS.items()})
    _columns("Real datasets, for `udalib verify`", {name: dataset.title for name, dataset in sets.SETS.items()})
    _columns("Profiles", {name: profile.purpose for name, profile in data.PROFILES.items()} | recipes.paper.PURPOSES)
    return 0


def _described(pair: Any) -> str:
    variants = f"; also with -{', -'.join(pair.variants)}" if pair.variants else ""
    return f"{pair.title}, {len((pair.merge.target if pair.merge else pair.classes).names)} classes{variants}"


def _columns(title: str, lines: dict[str, str]) -> None:
    print(title)
    width = max(map(len, lines))
    for name, text in lines.items():
        print(f"  {name:<{width}} {text}")


def _doctor(options: Namespace) -> int:
    from udalib import doctor

    return doctor.run()
