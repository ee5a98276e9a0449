"""Two-stage systems: trees as tags, tags on heard words, both taggers, decoded dirs for scoring."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest

from atat.base.errors import InputError
from atat.datadir import kaldi_dir, tables
from atat.datadir.check import validate
from atat.datadir.ctm import read_ctm
from atat.datadir.kaldi_dir import Utterance
from atat.prepare import synthesis, transcribe
from atat.prepare.miniature_speech import Line, speak
from atat.scoring import transcribed
from atat.scoring.results_runs import find
from atat.scoring.score import score
from atat.systems.tagger import pipeline
from atat.text import glove as embeddings
from atat.text.bio_tags import NotTaggable, Tagged, from_tree, project, to_tree
from atat.text.trees import Tree, parse, to_string

COLOURS = "red blue green black white".split()
SONGS = "river window garden engine kingdom".split()
FIRST = "maria oliver hannah victor sofia".split()


def sentence(rng: random.Random) -> str:
    """A tree of a toy language in which neighbours tell what a word is."""
    song = " ".join(rng.sample(COLOURS, rng.choice([0, 1])) + [rng.choice(SONGS)])
    artist = f"{rng.choice(FIRST)} {rng.choice(SONGS)}"
    return rng.choice(
        [
            f"[IN:PLAY play [SL:SONG {song} ] by [SL:ARTIST {artist} ] ]",
            f"[IN:PLAY play [SL:SONG {song} ] [SL:WHEN now ] ]",
            f"[IN:STOP stop [SL:SONG {song} ] now ]",
            f"[IN:WHO who sings [SL:SONG {song} ] ]",
        ]
    )


def make_data(folder: Path, count: int, seed: int, trees: list[str] | None = None) -> Path:
    rng = random.Random(seed)
    trees = trees or [sentence(rng) for _ in range(count)]
    kaldi_dir.write(
        folder,
        (
            Utterance(
                id=f"s{number % 3}-{number:04d}",
                speaker=f"s{number % 3}",
                semantics=tree,
                text=" ".join(t for t in tree.split() if t[0] not in "[]"),
            )
            for number, tree in enumerate(trees)
        ),
    )
    return folder


@pytest.fixture(scope="module")
def train_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("pipeline") / "train", 200, 1)


@pytest.fixture(scope="module")
def test_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("pipeline") / "test", 40, 2)


# ------------------------------------------------------------------------------ trees and tags


def random_flat_tree(rng: random.Random) -> str:
    parts = []
    for _ in range(rng.randint(0, 5)):
        words = [rng.choice(["a", "b", "\\[", "it's"]) for _ in range(rng.randint(1, 3))]
        parts.append(" ".join(words))
        if rng.random() < 0.6:  # two slots side by side, of one name too, are not rare
            parts[-1] = f"[SL:{rng.choice('XY')} {parts[-1]} ]"
    return " ".join(["[IN:DO", *parts, "]"])


def test_tags_hold_all_of_a_flat_tree() -> None:
    rng = random.Random(0)
    for _ in range(300):
        tree = parse(random_flat_tree(rng))
        assert to_tree(from_tree(tree)) == tree
        assert not from_tree(tree).is_nested


def test_tags_say_what_is_in_a_slot() -> None:
    tagged = from_tree(parse("[IN:PLAY play [SL:SONG a b ] [SL:SONG c ] ]"))
    assert tagged == Tagged(("play", "a", "b", "c"), ("O", "B-SONG", "I-SONG", "B-SONG"), "PLAY")


def random_tree(rng: random.Random, level: int = 0) -> Tree:
    """Intents and slots in turn, a word or more in each."""
    label = rng.choice(["A", "B"])
    children: list[Tree | str] = []
    for _ in range(rng.randint(1, 3)):
        deeper = level < 5 and rng.random() < 0.5
        children.append(random_tree(rng, level + 1) if deeper else rng.choice("abc"))
    return Tree(("SL:" if level % 2 else "IN:") + label, tuple(children))


def test_tags_hold_all_of_a_nested_tree() -> None:
    rng = random.Random(1)
    trees = [random_tree(rng) for _ in range(500)]
    assert sum(from_tree(tree).is_nested for tree in trees) > 100
    for tree in trees:
        assert to_tree(from_tree(tree)) == tree


def test_a_word_has_a_tag_for_each_level() -> None:
    tree = "[IN:PLAY play [SL:SONG [IN:FIND songs by [SL:ARTIST nora ] ] ] now ]"
    assert from_tree(parse(tree)).tags == (
        "O",
        "B-SONG B-FIND",
        "I-SONG I-FIND",
        "I-SONG I-FIND B-ARTIST",
        "O",
    )


@pytest.mark.parametrize(
    "tree, why",
    [
        ("[SL:X a ]", "the root is SL:X"),
        ("[IN:A [IN:B b ] ]", "level 1 below it is IN:B, expected SL:NAME"),
        ("[IN:A [SL:X [SL:Y b ] ] ]", "level 2 below it is SL:Y"),
        ("[IN:A a [SL:X ] ]", "SL:X holds no word"),
        ("[IN:A a [SL:X [IN:B ] ] ]", "IN:B holds no word"),
    ],
)
def test_what_tags_cannot_say_is_refused(tree: str, why: str) -> None:
    with pytest.raises(NotTaggable, match=why):
        from_tree(parse(tree))


def test_any_sequence_of_tags_is_a_tree_with_the_same_words() -> None:
    strange = ["O", "B-X I-Y", "I-X B-Y B-X", "I-X I-Y I-X", "I-X I-X", "I-Z"]
    for tags in itertools.product(strange, repeat=3):
        again = from_tree(to_tree(Tagged(("a", "b", "c"), tags, "DO")))
        assert again.words == ("a", "b", "c")
        assert [t.replace("B-", "I-") for t in again.tags] == [t.replace("B-", "I-") for t in tags]
    for tags in itertools.product(["O", "B-X", "I-X", "I-Y"], repeat=4):
        again = from_tree(to_tree(Tagged(("a", "b", "c", "d"), tags, "DO")))
        # Only an I that nothing stands before became a B.
        changed = [i for i in range(4) if again.tags[i] != tags[i]]
        assert all(
            tags[i][0] == "I" and (i == 0 or tags[i - 1][2:] != tags[i][2:]) for i in changed
        )


# ----------------------------------------------------------------------------------- projection

SAID = from_tree(parse("[IN:PLAY play [SL:SONG silver old river ] by [SL:ARTIST nora ] please ]"))


@pytest.mark.parametrize(
    "heard_words, tree",
    [
        (
            "play silver old river by nora please",
            "[IN:PLAY play [SL:SONG silver old river ] by [SL:ARTIST nora ] please ]",
        ),
        # A lost word shortens its slot, whichever it is; a slot that lost all of them is gone.
        (
            "play old river by nora please",
            "[IN:PLAY play [SL:SONG old river ] by [SL:ARTIST nora ] please ]",
        ),
        (
            "play silver old by nora please",
            "[IN:PLAY play [SL:SONG silver old ] by [SL:ARTIST nora ] please ]",
        ),
        (
            "play silver river by nora please",
            "[IN:PLAY play [SL:SONG silver river ] by [SL:ARTIST nora ] please ]",
        ),
        (
            "play silver old river by please",
            "[IN:PLAY play [SL:SONG silver old river ] by please ]",
        ),
        # A word heard as another one keeps its place.
        (
            "play silver cold river by nora please",
            "[IN:PLAY play [SL:SONG silver cold river ] by [SL:ARTIST nora ] please ]",
        ),
        # One more word belongs to a slot in the middle of it only.
        (
            "play silver the old river by nora please",
            "[IN:PLAY play [SL:SONG silver the old river ] by [SL:ARTIST nora ] please ]",
        ),
        (
            "oh play silver old river by nora please now",
            "[IN:PLAY oh play [SL:SONG silver old river ] by [SL:ARTIST nora ] please now ]",
        ),
        ("", "[IN:PLAY ]"),
    ],
)
def test_slots_are_carried_over_to_what_was_heard(heard_words: str, tree: str) -> None:
    assert to_string(to_tree(project(SAID, heard_words.split()))) == tree


def test_projection_of_random_changes_keeps_the_words_and_invents_no_slot() -> None:
    rng = random.Random(3)
    for _ in range(300):
        said = from_tree(parse(sentence(rng)))
        words = [w for w in said.words if rng.random() < 0.8]
        for _ in range(rng.randint(0, 2)):
            words.insert(rng.randint(0, len(words)), rng.choice(["uh", *said.words]))
        carried = project(said, words)
        assert carried.words == tuple(words) and carried.intent == said.intent
        assert from_tree(to_tree(carried)) == carried  # no I without its B
        slots = [t for t in carried.tags if t.startswith("B-")]
        order = iter([t for t in said.tags if t.startswith("B-")])
        assert all(slot in order for slot in slots)  # a subsequence of those said


@pytest.mark.parametrize(
    "heard_words, tree",
    [
        (
            "play songs by uh nora",
            "[IN:PLAY play [SL:SONG [IN:FIND songs by uh [SL:ARTIST nora ] ] ] ]",
        ),
        ("play by nora", "[IN:PLAY play [SL:SONG [IN:FIND by [SL:ARTIST nora ] ] ] ]"),
        ("play songs by", "[IN:PLAY play [SL:SONG [IN:FIND songs by ] ] ]"),
        ("play nora", "[IN:PLAY play [SL:SONG [IN:FIND [SL:ARTIST nora ] ] ] ]"),
    ],
)
def test_nested_slots_are_carried_over_level_by_level(heard_words: str, tree: str) -> None:
    said = from_tree(parse("[IN:PLAY play [SL:SONG [IN:FIND songs by [SL:ARTIST nora ] ] ] ]"))
    assert to_string(to_tree(project(said, heard_words.split()))) == tree


def test_two_neighbouring_slots_of_one_name_stay_two() -> None:
    said = from_tree(parse("[IN:DO [SL:X a b ] [SL:X c ] ]"))
    assert project(said, "a b c".split()).tags == ("B-X", "I-X", "B-X")
    assert project(said, "a c".split()).tags == ("B-X", "B-X")


# ----------------------------------------------------------------------------------- the command


def run(kind: str, data: Path, out: Path, *options: str) -> Path:
    pipeline.main(["train", "--kind", kind, "--data", str(data), "--out", str(out), *options])
    return out / "model"


def decode(model: Path, text: Path, out: Path) -> dict[str, str]:
    pipeline.main(["decode", "--model", str(model), "--text", str(text), "--out", str(out)])
    return tables.read_table(out / "hyp")


@pytest.mark.parametrize("kind", pipeline.KINDS)
def test_a_tagger_learns_a_toy_language_and_score_and_results_take_what_it_writes(
    kind: str, train_dir: Path, test_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / kind / "seed1"
    model = run(kind, train_dir, out, "--valid", str(test_dir), "--epochs", "12")
    decode(model, test_dir, out / "decode")
    found = score(test_dir, out / "decode")
    assert found["metrics"]["em_full"]["value"] > 90
    assert found["metrics"]["tree_validity"]["value"] == 100
    assert "wholly right" in capsys.readouterr().out
    (run_found,) = find(str(tmp_path / kind / "seed*" / "decode")).runs
    assert len(run_found.scored) == 40
    about = json.loads((out / "train.json").read_text())
    assert about["finished"] and about["parameters"] > 100
    for line in (out / "decode" / "nbest.jsonl").read_text().splitlines():
        (best,) = json.loads(line)["nbest"]
        assert best["score"] <= 0 and parse(best["text"])
    # Asked again, both commands find it done; another option or other words, and they work again.
    run(kind, train_dir, out, "--valid", str(test_dir), "--epochs", "12")
    decode(model, test_dir, out / "decode")
    said = capsys.readouterr().out
    assert "trained before" in said and "decoded before" in said
    decode(model, train_dir, out / "decode")
    assert "200 sentences tagged" in capsys.readouterr().out


def test_a_dev_set_with_what_training_never_had_is_no_trouble(
    train_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dev = make_data(
        tmp_path / "dev",
        0,
        0,
        ["[IN:STOP stop [SL:SONG river ] now ]", "[IN:BUY buy [SL:COUNT two ] ]"],
    )
    run("bilstm_crf", train_dir, tmp_path / "x", "--valid", str(dev), "--epochs", "2")
    assert "of 2 sentences" in capsys.readouterr().out


@pytest.mark.parametrize("kind", pipeline.KINDS)
def test_equal_seeds_give_equal_models(
    kind: str, train_dir: Path, test_dir: Path, tmp_path: Path
) -> None:
    def scores(name: str, seed: int) -> str:
        model = run(kind, train_dir, tmp_path / name, "--seed", str(seed), "--epochs", "2")
        decode(model, test_dir, tmp_path / name / "decode")
        return (tmp_path / name / "decode" / "nbest.jsonl").read_text()

    assert scores("one", 1) == scores("two", 1)
    if kind == "bilstm_crf":
        assert scores("one", 1) != scores("other", 2)


def test_words_come_from_a_recogniser_and_silence_is_answered(
    train_dir: Path, test_dir: Path, tmp_path: Path
) -> None:
    texts = tables.read_table(test_dir / "text")
    silent = next(iter(texts))
    asr = tmp_path / "decode_asr"
    asr.mkdir()
    tables.write_table(asr / "hyp", {**texts, silent: ""})
    (asr / "decode.json").write_text('{"task": "asr"}')
    model = run("crf", train_dir, tmp_path / "crf")
    trees = decode(model, asr, tmp_path / "decoded")
    assert trees.keys() == texts.keys()
    assert trees == {**decode(model, test_dir, tmp_path / "true"), silent: trees[silent]}
    assert score(test_dir, tmp_path / "decoded")["n"] == 40
    # The same words as a data dir, for an nlu.
    tables.write_table(test_dir / "utt2group", dict.fromkeys(texts, "seen"))
    transcribed.main(
        ["--data", str(test_dir), "--decoded", str(asr), "--out", str(tmp_path / "heard")]
    )
    one, *others = kaldi_dir.load(tmp_path / "heard")
    assert one.text == transcribed.NOTHING and [o.text for o in others] == list(texts.values())[1:]
    assert decode(model, tmp_path / "heard", tmp_path / "again") == trees
    assert score(tmp_path / "heard", tmp_path / "again")["groups"].keys() == {"seen"}


def test_training_on_what_was_heard_learns_the_recognisers_words(
    train_dir: Path, tmp_path: Path
) -> None:
    """A recogniser that always mishears a name: with --heard the tagger knows the other name."""
    texts = tables.read_table(train_dir / "text")
    asr = tmp_path / "asr"
    asr.mkdir()
    misheard = {
        utt: text.replace("play", "clay by").replace("sings", "things")
        for utt, text in texts.items()
    }
    tables.write_table(asr / "hyp", dict(list(misheard.items())[:150]))
    (asr / "decode.json").write_text('{"task": "asr"}')
    later = tmp_path / "later"
    later.mkdir()
    tables.write_table(later / "text", dict(list(misheard.items())[150:]))
    references = {
        utt: tree.replace("play", "clay by").replace("sings", "things")
        for utt, tree in tables.read_table(train_dir / "semantics").items()
    }
    right = {}
    for name, options in (("without", []), ("with", ["--heard", str(asr)])):
        model = run("crf", train_dir, tmp_path / name, *options)
        found = decode(model, later, tmp_path / name / "decode")
        right[name] = sum(tree == references[utt] for utt, tree in found.items())
    assert right["with"] > right["without"] and right["with"] >= 45


def test_nested_trees_are_learned_and_unfit_ones_stop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(4)
    trees = [sentence(rng) for _ in range(60)]
    nested = [
        f"[IN:PLAY play [SL:SONG [IN:FIND songs by [SL:ARTIST {name} ] ] ] ]" for name in FIRST
    ]
    model = run("crf", make_data(tmp_path / "a", 0, 0, trees + nested[:-1]), tmp_path / "one")
    assert "64 sentences, 4 of them with nested tags" in capsys.readouterr().out
    test = make_data(tmp_path / "test", 0, 0, nested[-1:])
    assert list(decode(model, test, tmp_path / "out").values()) == nested[-1:]
    data = make_data(tmp_path / "b", 0, 0, [*trees, "[IN:A [SL:X ] a ]", "[IN:A [IN:B b ] ]"])
    with pytest.raises(InputError, match="2 of 62 trees cannot be learned .* SL:X holds no word"):
        run("crf", data, tmp_path / "two")
    run("crf", data, tmp_path / "two", "--max_lost", "0.05")
    assert "2 left out" in capsys.readouterr().out
    texts = tables.read_table(data / "text")
    tables.write_table(data / "text", {name: f"{text} please" for name, text in texts.items()})
    with pytest.raises(InputError, match="not those of its text"):
        run("crf", data, tmp_path / "three")


def test_mistakes_are_named(train_dir: Path, test_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trained tagger"):
        decode(tmp_path, test_dir, tmp_path / "out")
    (tmp_path / "hyp").write_text("")
    (tmp_path / "decode.json").write_text('{"task": "slu"}')
    with pytest.raises(InputError, match="task slu, expected transcripts"):
        run("crf", train_dir, tmp_path / "x", "--heard", str(tmp_path))
    with pytest.raises(InputError, match="a crf looks at words themselves"):
        run("crf", train_dir, tmp_path / "x", "--embeddings", "glove.txt")
    other = make_data(tmp_path / "other", 0, 0, [sentence(random.Random(0))] * 500)
    tables.write_table(other / "text", {"elsewhere-1": "play red river"})
    with pytest.raises(InputError, match="none of its utterances is in"):
        run("crf", train_dir, tmp_path / "x", "--heard", str(other))
    kaldi_dir.write(tmp_path / "plain", [Utterance(id="s-1", speaker="s", text="play")])
    with pytest.raises(InputError, match="semantics: no such file"):
        run("crf", tmp_path / "plain", tmp_path / "x")


@pytest.mark.skipif(
    synthesis.available("espeak") is not None, reason="espeakng-loader is not installed"
)
def test_pocketsphinx_writes_transcripts_with_words_its_dictionary_lacks(
    train_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pocketsphinx")
    texts = ["play river by maria lindqvist", "stop the music", "who sings garden"]
    rows = []
    for number, text in enumerate(texts):
        line = Line(tmp_path / f"{number}.wav", text, 5)
        speak([line])
        rows.append(Utterance(id=f"s-{number}", speaker="s", wav=str(line.path), text=text))
    kaldi_dir.write(tmp_path / "data", rows)
    out = tmp_path / "decode_asr"
    command = [
        "--data",
        str(tmp_path / "data"),
        "--lm_text",
        str(tmp_path / "data"),
        "--out",
        str(out),
    ]
    transcribe.main(command)
    assert "1 words pronounced by espeak-ng, such as lindqvist" in capsys.readouterr().out
    assert tables.read_table(out / "hyp") == {row.id: row.text for row in rows}
    assert score(tmp_path / "data", out)["metrics"]["wer"]["value"] == 0
    confidence = tables.read_table(out / "utt2conf")
    assert confidence.keys() == {row.id for row in rows}
    assert all(-14 < float(value) <= 0 for value in confidence.values())
    # Its own times of the words, with which the transcripts are data that is valid.
    timed = read_ctm(out / "ctm")
    assert {key: [word.text for word in words] for key, words in timed.items()} == {
        row.id: str(row.text).split() for row in rows
    }
    labels = ["--task", "asr", "--data", str(tmp_path / "data"), "--decoded", str(out)]
    transcribed.main([*labels, "--out", str(tmp_path / "labelled")])
    assert not validate(tmp_path / "labelled").errors
    assert read_ctm(tmp_path / "labelled" / "ctm") == timed
    # What it wrote is what the other commands read.
    assert decode(run("crf", train_dir, tmp_path / "crf"), out, tmp_path / "trees").keys() == {
        "s-0",
        "s-1",
        "s-2",
    }


# ------------------------------------------------------------------------------------ embeddings


def test_pretrained_embeddings_are_where_training_starts(
    train_dir: Path, test_dir: Path, tmp_path: Path
) -> None:
    words = sorted({*COLOURS, *SONGS, *FIRST, "unheard"})
    vectors = np.random.default_rng(0).normal(size=(len(words), 7)).round(3)
    glove = tmp_path / "glove.txt"
    glove.write_text(
        "".join(f"{word} {' '.join(map(str, vector))}\n" for word, vector in zip(words, vectors))
    )
    model = run(
        "bilstm_crf",
        train_dir,
        tmp_path / "x",
        "--embeddings",
        str(glove),
        "--epochs",
        "1",
        "--valid",
        str(test_dir),
    )
    about = json.loads((model.parent / "train.json").read_text())
    assert about["pretrained_words"] == len(words)
    from atat.systems.tagger.bilstm import Tagger

    tagger = Tagger(model)
    known = tagger.network.embedding.weight[tagger.numbers["unheard"]].detach().numpy()
    # No sentence has the word: it stays what the file says.
    assert known == pytest.approx(vectors[words.index("unheard")], abs=1e-6)


def test_other_embeddings_under_the_same_name_are_trained_with(
    train_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key of before the digest of embeddings counts as it did."""
    glove, facts = tmp_path / "glove.txt", tmp_path / "x" / "train.json"
    options = ("--embeddings", str(glove), "--epochs", "1")
    glove.write_text("red 1 2 3\n")
    run("bilstm_crf", train_dir, facts.parent, *options)
    first = json.loads(facts.read_text())
    del first["key"]["embeddings"]
    facts.write_text(json.dumps(first))
    run("bilstm_crf", train_dir, facts.parent, *options)
    assert "trained before on the same" in capsys.readouterr().out
    facts.unlink()
    run("bilstm_crf", train_dir, facts.parent, *options)
    glove.write_text("red 1 2 3\nblue 3 2 1\n")
    run("bilstm_crf", train_dir, facts.parent, *options)
    assert json.loads(facts.read_text())["pretrained_words"] == 2


@pytest.mark.parametrize(
    "content, why",
    [
        ("3 2\na 1 2\n", ":1: '3 2' is word2vec's header"),
        ("a 1 2 3\nb 1 2\n", ":2: 3 fields, expected a word and 3 numbers"),
        ("a 1 2 3\nb 1 x 3\n", ":2: could not convert"),
        ("a 1 2 3\nb\udcff 1 2 3\n", ":2: byte 0xff is not UTF-8"),
        ("", "is empty"),
    ],
)
def test_a_file_that_is_no_glove_is_refused(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "glove.txt"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=why):
        embeddings.load(path, ["a"])


def test_words_with_blanks_and_rare_words_in_embeddings(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text("a 1 2\n. . 3 4\nb 5 6\nc 7 8\n")
    found = embeddings.load(path, ["c"], most_frequent=2)
    assert found.keys() == {"a", ". .", "c"} and found["c"].tolist() == [7, 8]
