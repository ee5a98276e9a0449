"""The page of pictures: what it holds, what it leaves out, and that nothing in it is executed."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny

from atat.apps.report import (
    attention,
    command,
    comparison,
    curves,
    data_dirs,
    drawing,
    examples,
    experiment,
    page,
    understanding,
)
from atat.apps.report.content import Section
from atat.base.errors import InputError
from atat.datadir import ark, kaldi_dir, tables
from atat.datadir.ctm import Word
from atat.engine import train
from atat.scoring import confusion, score
from atat.scoring.score import Scored, load_scored
from atat.text import trees

HOSTILE = "<script>alert(1)</script>$x_1$&amp;\"'--><img/src=x>"
VOID = {"meta", "img", "br", "wbr", "input", "link", "hr"}


class Reader(HTMLParser):
    """Elements, their attributes, and the text of a page; a page that is not nested is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A recipe's folder: data dirs and two seeds of a training, each with two scored decodings."""
    root = tmp_path_factory.mktemp("recipe")
    corpus = tiny.make_corpus(root / "data")
    for seed in (1, 2):
        settings = tiny.training(corpus, seed=seed, steps=4)
        folder = root / "exp" / "joint" / f"seed{seed}"
        train.train(settings, folder)
        decode(root, folder / "decode_dev_slu", wrong=5 + seed)
        decode(root, folder / "decode_dev_slu_well_formed", wrong=3)
    return root


def decode(root: Path, folder: Path, wrong: int, data: str = "data/dev") -> None:
    """A decoded dir with the first `wrong` utterances wrong, in several ways; scored."""
    truth = tables.read_table(root / data / "semantics")
    for number, utt in enumerate(list(truth)[:wrong]):
        tokens = truth[utt].split()
        truth[utt] = [
            truth[utt].replace("IN:PLAY", "IN:DANCE").replace("IN:STOP", "IN:PLAY"),
            " ".join(tokens[:-1]),
            truth[utt].replace("SL:THING", "SL:COLOUR"),
        ][number % 3]
    tables.write_table(folder / "hyp", truth)
    about = {"task": "slu", "data": data, "model": str(folder.parent / "model")}
    (folder / "decode.json").write_text(json.dumps(about))
    score.score(root / data, folder)


def report(root: Path, *arguments: str) -> Reader:
    command.main([str(root / "exp"), *arguments])
    out = root / "exp" / command.NAME
    return Reader(out.read_text())


@pytest.fixture(scope="module")
def made(trained: Path) -> tuple[str, Reader]:
    """The page about both seeds and its elements."""
    found = report(trained, "--details", "4")
    return (trained / "exp" / command.NAME).read_text(), found


# --- the whole page


def test_the_page_is_one_file_without_scripts_and_addresses(made: tuple[str, Reader]) -> None:
    text, found = made
    assert found.count("script") == found.count("link") == found.count("iframe") == 0
    for _, attributes in found.elements:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href") and value:
                assert value.startswith(("data:", "#")), value
            assert not name.startswith("on")
    policy = next(a["content"] for _, a in found.elements if "http-equiv" in a)
    assert policy.startswith("default-src 'none'")
    assert "url(http" not in text


def test_ids_are_unique_and_every_reference_has_its_end(made: tuple[str, Reader]) -> None:
    """Pictures of one page have parts of the same names; hidden ones would take others along."""
    text, found = made
    ids = Counter(a["id"] for _, a in found.elements if "id" in a)
    assert ids and max(ids.values()) == 1
    wanted = re.findall(r"url\(#([^)]+)\)", text)
    wanted += [a[n][1:] for _, a in found.elements for n in ("href", "xlink:href")
               if (a.get(n) or "").startswith("#")]  # fmt: skip
    assert wanted and set(wanted) <= ids.keys()


def test_every_part_is_there(made: tuple[str, Reader]) -> None:
    text = made[1].text
    for part in ("Loss in training", "Loss in validation, by task", "Learning rate",
                 "Intents: said (rows), understood (columns)", "Slots: said (rows)",
                 "Slots found, by label", "written, from top to bottom", "mel band",
                 "The worst 3 of", "length of an utterance (s)", "utterances with the tag",
                 "Systems compared", "Dashes: seed1, seed2"):  # fmt: skip
        assert part in text, part
    assert "left out" not in text


def test_colours_of_pictures_change_with_the_page(made: tuple[str, Reader]) -> None:
    """No colour of the light style is left in a picture, and each variable has two values."""
    text, _ = made
    pictures = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    for colour, (name, _) in drawing.VARIABLES.items():
        assert f": {colour}" not in pictures
        assert text.count(f"{name}: ") == 2
    for name in ("--ink", "--muted", "--grid", "--s0", "--s1", "--s2"):
        assert f"var({name})" in pictures


@pytest.mark.parametrize("colours", [0, 1])
def test_colours_are_read_on_their_page(colours: int) -> None:
    """WCAG 2, 1.4.3 and 1.4.11: text 4.5 to 1, lines 3 to 1."""
    values = {name: (light, dark)[colours] for light, (name, dark) in drawing.VARIABLES.items()}
    for name, least in {"--ink": 4.5, "--muted": 4.5, **dict.fromkeys(
        (f"--s{number}" for number in range(7)), 3.0)}.items():  # fmt: skip
        assert contrast(values[name], values["--card"]) >= least, name


def contrast(one: str, two: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_nothing_of_a_corpus_is_executed(tmp_path: Path) -> None:
    """Ids, words, tags, names of folders and messages may be anything."""
    data = tmp_path / "data" / "te<b>st"
    tree = "[IN:A<b> [SL:$x_1$&lt;i> {} ] ]"
    said = HOSTILE.replace(" ", "")
    utterances = [f"{n}{said}" for n in range(3)]
    truth = {utt: tree.format(said) for utt in utterances}
    tables.write_table(data / "semantics", truth)
    tables.write_table(data / "utt2spk", {utt: utt for utt in utterances})
    tables.write_table(data / ".backup" / "dropped", {"x": said})
    folder = tmp_path / "exp" / "a<u>b" / "seed1"
    for name in ("decode_one", "decode_<s>two"):
        wrong = {utt: text.replace("SL:", "SL:<q>") for utt, text in truth.items()}
        tables.write_table(folder / name / "hyp", wrong | {utterances[0]: f"{said} {said}"})
        about = {"task": "slu", "data": "data/te<b>st", "provenance": {"command": said}}
        (folder / name / "decode.json").write_text(json.dumps(about))
        score.score(data, folder / name)
    (folder / "config.yaml").write_text("train: []\n")
    (folder / "train.log").write_text(f"2026-01-01 00:00:00,000 WARNING {said}\n")
    found = report(tmp_path, "--title", HOSTILE)
    tags = {tag for tag, _ in found.elements}
    assert not tags & {"script", "img", "b", "u", "i", "s", "q"}
    for text in (HOSTILE, said, "a<u>b", "<q>$x_1$&lt;i>"):
        assert text in found.text, text


# --- what is missing


def test_what_is_missing_is_left_out_with_a_sentence(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "exp", tmp_path / "exp")
    for seed in ("seed1", "seed2"):
        shutil.rmtree(tmp_path / "exp" / "joint" / seed / "tensorboard")
        shutil.rmtree(tmp_path / "exp" / "joint" / seed / "model")
    for path in [*tmp_path.rglob("decode.json"), *tmp_path.rglob("score.json")]:
        path.write_text(path.read_text().replace(str(trained), str(tmp_path)))
    text = report(tmp_path).text
    assert "No TensorBoard events: only the validations of train.json are drawn." in text
    assert "Attention: left out. The model of" in text
    assert "Without sound: the data dir" in text
    for seed in ("seed1", "seed2"):
        (tmp_path / "exp" / "joint" / seed / "train.json").unlink()
        path = tmp_path / "exp" / "joint" / seed / "decode_dev_slu" / "per_utt.jsonl"
        path.write_text(path.read_text()[:-30])
        shutil.rmtree(path.parent.with_name("decode_dev_slu_well_formed"))
    text = report(tmp_path).text
    assert "Curves: left out. Neither TensorBoard's events nor validations" in text
    assert "This decoding: left out." in text and "not finished yet" in text


def test_a_folder_without_experiments_is_told_what_was_expected(tmp_path: Path, capsys) -> None:
    for folder, words in ((tmp_path / "no", "no such folder"), (tmp_path, "no training in it")):
        with pytest.raises(InputError, match=words):
            command.main([str(folder)])
    with pytest.raises(InputError, match="name it with --out"):
        command.main([str(tmp_path), str(tmp_path / "other")])
    with pytest.raises(InputError, match="--worst is -1"):
        command.main([str(tmp_path), "--worst", "-1"])
    assert not (tmp_path / command.NAME).exists()


def test_experiments_are_named_by_what_is_not_their_seed_or_fold(tmp_path: Path) -> None:
    for name in ("tts/seed2", "tts/seed10", "folds/0/seed1", "folds/1/seed1"):
        (tmp_path / "exp" / name).mkdir(parents=True)
        for file in ("config.yaml", "train.log"):
            (tmp_path / "exp" / name / file).write_text("")
    found = experiment.look([tmp_path / "exp"])
    names = {one.name: [run.name for run in one.trainings] for one in found.experiments}
    assert names == {"tts": ["seed2", "seed10"], "folds": ["0/seed1", "1/seed1"]}
    one = experiment.look([tmp_path / "exp" / "folds" / "1"]).experiments[0]
    assert (one.name, one.trainings[0].name) == ("folds", "1/seed1")
    two = experiment.look([tmp_path / "exp/tts", tmp_path / "exp/folds"])
    assert {one.name for one in two.experiments} == {"tts", "folds"}


def test_a_system_without_a_training_is_shown_too(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "exp" / "program" / "decode_dev"
    shutil.copytree(trained / "data" / "dev", tmp_path / "data" / "dev")
    decode(tmp_path, folder, wrong=2)
    for root in (tmp_path / "exp", folder):
        command.main([str(root), "--out", str(tmp_path / "page.html")])
        text = Reader((tmp_path / "page.html").read_text()).text
        assert "Slots found, by label" in text and "The worst 2 of 2" in text
        assert "In brackets" not in text and "steps" not in text and "Learning rate" not in text


def test_the_page_is_the_same_from_any_folder(trained: Path, tmp_path: Path, monkeypatch) -> None:
    """Paths in the files of an experiment start at its recipe."""
    monkeypatch.chdir(trained)
    there = report(trained).text
    monkeypatch.chdir(tmp_path)
    here = report(trained).text
    assert "The worst 3 of" in here
    ends = "Written by"
    assert there.split(ends)[0] == here.split(ends)[0]


# --- its parts


def scored(*pairs: tuple[str, str]) -> list[Scored]:
    return [
        Scored(f"u{n}", f"u{n}", None, score.metrics.count("semantics", ref, hyp), ref, hyp)
        for n, (ref, hyp) in enumerate(pairs)
    ]


def test_every_slot_is_paired_once() -> None:
    """Rows of the confusions sum to what was said, columns to what was understood."""
    rng = np.random.default_rng(0)

    def tree() -> str:
        slots = []
        for _ in range(rng.integers(0, 4)):
            words = " ".join(rng.choice(list("xyz"), rng.integers(1, 3)))
            slots.append(f"[SL:{rng.choice(list('ABC'))} {words} ]")
        return f"[IN:{rng.choice(list('PQ'))} w {' v '.join(slots)} ]"

    for _ in range(200):
        reference, hypothesis = trees.parse(tree()), trees.parse(tree())
        pairs = confusion.pair(reference, hypothesis)
        for side, whole in enumerate((reference, hypothesis)):
            said = Counter(b for b in trees.brackets(whole) if b[0].startswith("SL:"))
            paired = Counter((f"SL:{p[side].label}", p[side].start, p[side].end)
                             for p in pairs if p[side])  # fmt: skip
            assert said == paired
        assert all(one is None or two is None or one == two for one, two in
                   confusion.pair(reference, reference))  # fmt: skip


def test_confusions_by_hand() -> None:
    found = scored(
        ("[IN:A go [SL:X one ] [SL:Y two ] ]", "[IN:B go [SL:X one ] [SL:Z two ] ]"),
        ("[IN:A go [SL:X one ] ]", "[IN:A go [SL:X ten ] [SL:Z two ] ]"),
        ("[IN:A go [SL:Y one ] ]", "[IN:A go"),
    )
    assert confusion.intents(found) == {("A", "B"): 1, ("A", "A"): 1, ("A", confusion.NO_TREE): 1}
    assert confusion.slots(found) == {
        ("X", "X"): 2, ("Y", "Z"): 1, (confusion.ADDED, "Z"): 1, ("Y", confusion.MISSED): 1,
    }  # fmt: skip
    outcomes = [one for slots in understanding.outcomes(found) for one in slots]
    assert outcomes == [("X", "one", True), ("Y", "two", False), ("X", "one", False),
                        ("Y", "one", False)]  # fmt: skip


def test_a_table_of_confusions_keeps_every_count() -> None:
    rng = np.random.default_rng(1)
    pairs = confusion.Pairs()
    for _ in range(500):
        one, two = rng.integers(0, 40, 2)
        pairs[f"L{one}", f"L{two if rng.random() < 0.2 else one}"] += 1
    rows, columns, counts = understanding.table(pairs, 10)
    assert counts.sum() == 500 and len(rows) <= 11 and rows == columns
    wrong = sum(count for (one, two), count in pairs.items() if one != two)
    shown = counts.sum() - np.trace(counts)
    assert 0 < shown <= wrong


def test_thinned_curves_keep_their_mean_and_their_ends() -> None:
    steps, values = np.arange(3000.0), np.random.default_rng(0).normal(size=3000)
    few, means = curves.thin(steps, values, 300)
    assert len(few) == 300 and np.isclose(means.mean(), values.mean())
    assert few[0] < 10 and few[-1] > 2989
    for whole, same in zip((steps[:5], values[:5]), curves.thin(steps[:5], values[:5], 300)):
        assert np.array_equal(whole, same)


def test_shares_are_drawn_in_per_cent_and_not_as_losses(monkeypatch) -> None:
    """Those of all systems, in training and in validation."""
    names = ["phone_accuracy", "accuracy", "exact_match", "text_from_speech"]
    line = np.arange(2), np.array([0.25, 0.5])
    found = {f"train/{name}": line for name in ("loss", "phones", *names[:3])}
    found |= {f"valid_{name}/slu/dev": line for name in ("loss", *names)}
    monkeypatch.setattr(curves, "read", lambda training: found)
    run = experiment.Training(Path("seed1"), "seed1")
    with drawing.drawing() as draw:
        blocks = list(curves.blocks(draw, experiment.Experiment("e", (run,), ())))
    assert [picture.label for picture in blocks[-1].pictures] == [
        "Loss in training: loss ends at 0.5; phones ends at 0.5",
        "Right in training: Phone accuracy ends at 50; Accuracy ends at 50; Exact match ends at 50",
        "Loss in validation, by task: slu/dev ends at 0.5",
        *(
            f"{title} in validation, by task: slu/dev ends at 50"
            for title in ("Phone accuracy", "Exact match", "Text from speech")
        ),
    ]


def test_curves_are_what_tensorboard_shows_or_train_json(trained: Path, tmp_path: Path) -> None:
    run = experiment.look([trained / "exp"]).experiments[0].trainings[0]
    found = curves.read(run)
    assert found["train/loss"][0][-1] == run.facts["steps"]
    shutil.copytree(run.folder, tmp_path / "seed1", ignore=shutil.ignore_patterns("tensorboard"))
    other = curves.read(experiment.Training(tmp_path / "seed1", "seed1"))
    assert other and {name for name in found if name.startswith("valid_")} == set(other)
    for name, (steps, values) in other.items():
        assert np.array_equal(steps, found[name][0]) and np.allclose(values, found[name][1])


def test_attention_is_that_of_the_decoder(trained: Path) -> None:
    """The weights give, with the values of the memory, what the layer itself computes."""
    import torch

    from atat.systems.joint.cross_attention import cross_attention
    from atat.systems.joint.packed import read

    packed = read(trained / "exp" / "joint" / "seed1" / "model")
    utterance = kaldi_dir.load(trained / "data" / "dev")[0]
    source = ark.read(utterance.feats, utterance.id)
    ids = packed.tokenizer.encode_target(utterance.semantics, "semantics")
    inputs = [packed.tokenizer.task_id("slu"), *ids]
    weights = cross_attention(packed.model, source, inputs)
    layers = packed.model.decoder.layers
    heads = layers[0].cross_attention.heads
    assert weights.shape[:3] == (len(layers), heads, len(inputs))
    assert torch.allclose(weights.sum(-1), torch.ones(weights.shape[:3]), atol=1e-5)
    module, seen = layers[-1].cross_attention, {}
    hook = module.register_forward_hook(lambda m, a, out: seen.update(arguments=a, out=out))
    again = cross_attention(packed.model, source, inputs)
    hook.remove()
    assert torch.equal(again, weights) and not module._forward_pre_hooks
    values = seen["arguments"][1][1]
    with torch.inference_mode():
        assert torch.allclose(module.join(weights[-1][None] @ values), seen["out"], atol=1e-5)


def test_utterances_of_attention_are_one_right_then_the_worst(trained: Path) -> None:
    folder = trained / "exp" / "joint" / "seed1" / "decode_dev_slu"
    known = {one.id: one for one in kaldi_dir.load(trained / "data" / "dev")}
    chosen = attention.choose(load_scored(folder), known, 3)
    assert [one.counts["em_full"][0] for one in chosen] == [1, 0, 0]
    assert len({one.utt for one in chosen}) == 3


def test_the_worst_come_first_and_differences_are_marked() -> None:
    found = scored(
        ("[IN:A go [SL:X one ] ]", "[IN:A go [SL:X one ] ]"),
        ("[IN:A go [SL:X one ] ]", "[IN:A go [SL:X ten ] ]"),
        ("[IN:A go [SL:X one ] ]", "[IN:B go [SL:Y ten ] ]"),
    )
    assert [one.utt for one in examples.worst(found)] == ["u2", "u1"]
    first, second = examples.differences("a b c".split(), "a x c d".split())
    assert (first, second) == ([False, True, False], [False, True, False, True])


def test_a_clip_is_the_recording_and_small() -> None:
    samples = (0.3 * np.sin(np.arange(48000) * 0.1)).astype(np.float32)
    uri = examples.encode(samples)
    kind, _, text = uri.partition(";base64,")
    assert kind.startswith("data:audio/") and len(uri) < 48000  # 32 kB a second as wav
    again, rate = soundfile.read(io.BytesIO(base64.b64decode(text)))
    assert rate == 16000 and abs(len(again) - 48000) < 3000
    spectrum = np.abs(np.fft.rfft(again[8000:40000]))
    assert np.isclose(spectrum.argmax() / 32000 * 2 * np.pi, 0.1, atol=0.001)


def test_the_sound_of_a_page_is_limited(tmp_path: Path) -> None:
    tiny.make_spoken(tmp_path)
    utterances = {one.id: one for one in kaldi_dir.load(tmp_path / "test")}
    wrong = [Scored(utt, utt, None, {"em_full": (0, 1), "semer": (1, 1)}, "a", "b")
             for utt in utterances]  # fmt: skip
    budget = examples.Budget(left=1)
    blocks = list(examples.blocks(wrong, utterances, "", 3, budget))
    clips = [one.clip != "" for one in blocks[-1].examples]
    assert clips == [True, False, False]


def test_statistics_count_what_is_there_and_what_was_dropped(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "data", tmp_path / "data")
    tables.write_table(
        tmp_path / "data/dev/.backup/dropped",
        {"a": "/x/a.wav: holds 3 samples", "b": "/x/b.wav: holds 40 samples"},
    )
    loader = data_dirs.Loader()
    data = loader.read("data/dev", tmp_path / "exp" / "x")
    truth = [trees.parse(one.semantics) for one in kaldi_dir.load(tmp_path / "data" / "dev")]
    assert data.trees == len(truth)
    assert data.tags == Counter(
        tag for tree in truth for tag in {b[0] for b in trees.brackets(tree)}
    )
    assert data.slots == Counter(
        (path[-1][3:], value) for tree in truth for path, value in trees.items(tree)
        if path[-1].startswith("SL:")
    )  # fmt: skip
    assert loader.read("data/dev", tmp_path / "exp" / "y") is data  # read once
    rows = next(iter(data_dirs._dropped([data]))).rows
    assert rows == (("dev", "… holds … samples", "2"),)


def test_long_lists_say_how_much_is_not_shown(tmp_path: Path) -> None:
    lines = [f"2026-01-01 00:00:00,000 WARNING number {number}" for number in range(43)]
    (tmp_path / "train.log").write_text("\n".join(lines))
    run = experiment.Training(tmp_path, "seed1")
    found = experiment.Found((), (experiment.Experiment("e", (run,), ()),))
    (code,) = data_dirs._warned(found)
    assert code.title.endswith("(43)")
    assert code.lines[39:] == ("number 39", "... and 3 more lines")


def test_systems_are_compared_as_in_the_results(trained: Path, monkeypatch) -> None:
    """Values, intervals and differences are those of atat results on the same folders."""
    monkeypatch.chdir(trained)
    found = experiment.look([Path("exp")])
    with drawing.drawing() as draw:
        sections = comparison.sections(draw, found)
    numbers, differences = (block for block in sections[0].blocks if block.kind == "table")
    runs = {name: comparison.results_runs.find(f"exp/joint/seed*/decode_{name}")
            for name in ("dev_slu", "dev_slu_well_formed")}  # fmt: skip
    best, other = (runs[name] for name in ("dev_slu_well_formed", "dev_slu"))
    assert numbers.rows[0][:2] == ("joint: dev_slu_well_formed", "2")
    for row, one in zip(numbers.rows, (best, other)):
        assert row[2] == comparison.format_interval(one.figure("em_hyp").interval)
    assert differences.rows[0][1] == comparison.comparison_text(other.against(best, "em_hyp"))


def test_seeds_are_folders_of_that_name_wherever_they_are(trained: Path, tmp_path: Path) -> None:
    """No other trainings beside them; and the path above is no pattern."""
    shutil.copytree(trained / "exp", tmp_path / "[a]*" / "exp")
    root = tmp_path / "[a]*" / "exp"
    shutil.copytree(root / "joint/seed1", root / "joint/seed1_old")
    with drawing.drawing() as draw:
        sections = comparison.sections(draw, experiment.look([root]))
    numbers = next(block for block in sections[0].blocks if block.kind == "table")
    runs = {row[0]: row[1] for row in numbers.rows}
    assert runs["joint: dev_slu"] == "2" and runs["joint/seed1_old: dev_slu"] == "1"


def test_models_of_frames_are_shown_by_what_was_counted(tmp_path: Path) -> None:
    """They have neither trees nor words with errors: no utterance is said to be right."""
    tables.write_table(tmp_path / "data/test/utt2spk", {"u0": "u0", "u1": "u1"})
    for name, right in (("small", 1), ("large", 3)):
        folder = tmp_path / "exp" / name / "seed1" / "frames_test"
        tables.write_table(folder / "hyp", {"u0": "one", "u1": "two"})
        about = {"task": "acoustic", "target": "text", "data": "data/test"}
        (folder / "decode.json").write_text(json.dumps(about))
        counts = {"phone_acc": (right, 9), "word_acc": (right, 10)}
        made = [Scored(utt, utt, None, counts, "a", "b") for utt in ("u0", "u1")]
        score.write(folder, made, "acoustic", Path("data/test"))
    text = report(tmp_path).text
    for part in ("Phones, per cent (higher is better)", "Phones: of the frames", "11.11", "30.00",
                 "it is drawn for the joint system only", "large: frames_test"):  # fmt: skip
        assert part in text.replace("It is", "it is").replace("\u200b", ""), part
    assert "Every utterance" not in text and "The comparison" not in text
    assert text.count("left out") == text.count("Attention: left out") == 2


def test_rows_without_a_figure_are_told_from_rows_not_run(trained: Path, monkeypatch) -> None:
    monkeypatch.chdir(trained)
    settings = comparison.ResultsTable(
        "T",
        ("em_hyp", "semer"),
        (
            comparison.Row("Ours", decoded="exp/joint/seed*/decode_dev_slu"),
            comparison.Row("Theirs", published={"semer": 1.0}, source="a page"),
            comparison.Row("Never", decoded="exp/none/decode_dev_slu"),
        ),
    )
    with drawing.drawing() as draw:
        notes = [b.text for b in comparison._of_table(draw, settings) if b.kind == "note"]
    assert notes == ["Not run: Never.", "Without EM hyp: Theirs."]


def test_tables_of_the_recipe_name_the_rows(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "recipe")
    root = tmp_path / "recipe"
    (root / "exp" / "results.yaml").write_text(
        "title: T\ntables:\n  - title: In noise\n    metrics: [em_hyp]\n"
        '    conditions: {"6 dB": slu, "9 dB": slu_well_formed}\n    rows:\n'
        "      - {name: Ours & others, decoded: 'exp/joint/seed*/decode_dev_{condition}'}\n"
        "      - {name: Theirs, source: a page, published: {em_hyp@6 dB: 50}}\n"
        "      - {name: Never run, decoded: 'exp/none/seed*/decode_dev_{condition}'}\n"
    )
    found = report(root)
    for part in ("In noise", "Ours & others", "Theirs (published)", "6 dB", "Not run: Never run."):
        assert part in found.text, part
    (label,) = (a["aria-label"] for _, a in found.elements
                if (a.get("aria-label") or "").startswith("In noise: "))  # fmt: skip
    values = r"\d+\.\d \(6 dB\) to \d+\.\d \(9 dB\)"
    assert re.fullmatch(rf"In noise: Ours & others {values}; Theirs 50\.0 \(6 dB\)", label), label


def test_decodings_in_detail_are_the_best_of_each_test_set() -> None:
    def one(name: str, data: str, task: str, value: float | None) -> experiment.Decoding:
        made = experiment.Decoding(Path(name), name, "e")
        made.__dict__["score"] = {
            "task": task, "data": data, "metrics": {"em_hyp": {"value": value}},
        }  # fmt: skip
        return made

    decodings = [one("a", "d1", "slu", 10), one("b", "d1", "slu", 20), one("c", "d2", "slu", 5),
                 one("d", "d3", "nlu", 99), one("e", "d1", "slu", None)]  # fmt: skip
    assert [d.name for d in page.choose(decodings, 9)] == ["b", "c", "d", "a", "e"]


def test_pictures_are_written_as_png_under_safe_names(tmp_path: Path) -> None:
    with drawing.drawing(tmp_path) as draw:
        for _ in range(2):
            figure, axes = draw.axes(3, 2)
            axes.set_title(HOSTILE)
            picture = draw.finish(figure, "../a b/ü", "label", "caption")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_b.2.png", "a_b.png"]
    assert picture.svg.startswith("<svg ") and "<script" not in picture.svg


def test_a_picture_of_attention_has_words_and_outputs() -> None:
    one = scored(("[IN:A go ]", "[IN:A go ]"))[0]
    with drawing.drawing() as draw:
        picture = attention.draw_attention(
            draw, "a", one, ["[IN:A", "go", "]"], np.eye(3), 0.1, np.zeros((30, 8)),
            [Word("go", 0.1, 0.1)], "told",
        )  # fmt: skip
    assert picture.label == "Attention of u0, right: [IN:A at 0.1 s, go at 0.2 s, ] at 0.2 s"
    assert ">go</text>" in picture.svg and "Word times: told." in picture.caption


def test_sections_of_the_page_have_addresses(trained: Path) -> None:
    with drawing.drawing() as draw:
        found = page.sections(draw, experiment.look([trained / "exp"]), page.Wanted(0, 0, 0))
    every = [*found, *(below for one in found for below in one.sections)]
    assert all(isinstance(one, Section) and one.id for one in every)
