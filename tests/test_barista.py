"""The barista recipe's local commands: grammar, labels, noise, endpoints, folds, decoding."""

from __future__ import annotations

import importlib
import json
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tiny

from atat.base.errors import InputError
from atat.datadir import kaldi_dir, licence, tables
from atat.prepare import hearing
from atat.prepare.synthesis_voice import parse_voice
from atat.speech import audio
from atat.text.normalize import normalize
from atat.text.trees import parse

LOCAL = Path(__file__).resolve().parent.parent / "egs" / "barista" / "local"

GRAMMAR = """
context:
  expressions:
    orderDrink:
      - "[get me, I'd like] [a, an] $size:size $drink:coffeeDrink"
      - "[get me, I'd like] [a, an] $drink:coffeeDrink (please, [right now, today])"
  slots:
    size: ["small", "eight ounce"]
    drink: ["mocha", "iced mocha", "latte"]
"""


@pytest.fixture
def grammar(local: Any, tmp_path: Path) -> Any:
    path = tmp_path / "grammar.yaml"
    path.write_text(GRAMMAR, encoding="utf-8")
    return local("order_grammar").load(path)


@pytest.fixture
def corpus(data_root: Path) -> Path:
    folder = data_root / "picovoice"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


def sentences_of(network: Any) -> set[str]:
    """All sentences of a small network; each has one path."""
    arcs: dict[int, list[tuple[int, str | None]]] = {}
    for start, end, _, word in network.arcs:
        arcs.setdefault(start, []).append((end, word))
    found, pending = set(), [(0, ())]
    while pending:
        state, words = pending.pop()
        for end, word in arcs.get(state, []):
            if word is None:
                assert end == network.final
                assert " ".join(words) not in found
                found.add(" ".join(words))
            else:
                pending.append((end, (*words, word)))
    return found


def test_what_is_drawn_is_understood_and_lies_in_the_network(local: Any, grammar: Any) -> None:
    sentences = sentences_of(local("word_network").network(grammar))
    assert len(sentences) == 2 * 2 * (2 * 3 + 3 * 4)
    generator = random.Random(1)
    for _ in range(200):
        sentence = normalize(grammar.sample(generator))
        assert sentence in sentences
        assert grammar.understand(sentence) is not None
    assert all(grammar.understand(sentence) for sentence in sentences)
    assert grammar.understand("get me a small") is None
    assert grammar.understand("get me a large latte") is None


def test_arcs_of_a_state_share_its_probability(local: Any, grammar: Any) -> None:
    leaving: dict[int, float] = {}
    for start, _, probability, _ in local("word_network").network(grammar).arcs:
        leaving[start] = leaving.get(start, 0.0) + probability
    assert all(total == pytest.approx(1.0) for total in leaving.values())


def test_a_network_bound_to_an_order_holds_its_sentences_only(local: Any, grammar: Any) -> None:
    order = local("order_grammar").Order("orderDrink", {"size": "small", "coffeeDrink": "latte"})
    sentences = sentences_of(local("word_network").network(grammar, order))
    assert sentences == {
        f"{start} {article} small latte"
        for start in ("get me", "i'd like")
        for article in ("a", "an")
    }
    with pytest.raises(InputError, match="no expression names exactly"):
        local("word_network").network(grammar, local("order_grammar").Order("orderDrink", {}))


def test_canonical_semantics_and_back(local: Any, grammar: Any) -> None:
    order = grammar.understand("i'd like an eight ounce iced mocha")
    tree = grammar.canonical(order)
    assert tree == "[IN:ORDER_DRINK [SL:SIZE eight ounce ] [SL:COFFEE_DRINK iced mocha ] ]"
    assert local("order_grammar").slots_of(grammar, parse(tree)) == order
    with pytest.raises(InputError, match="is no order"):
        local("order_grammar").slots_of(grammar, parse("[IN:PLAY_MUSIC [SL:SONG latte ] ]"))


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("[a, b", "not closed"),
        ("a] b", "without its opening"),
        ("$size", r"expected \$type:name"),
        ("@greet me", "macros"),
    ],
)
def test_wrong_expressions_say_what_is_wrong(local: Any, expression: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        local("order_grammar").parse_expression(expression, "grammar.yaml: order")


def test_an_ambiguous_grammar_is_refused(local: Any, tmp_path: Path) -> None:
    path = tmp_path / "grammar.yaml"
    path.write_text(GRAMMAR.replace('["small", "eight ounce"]', '["small", "iced"]'))
    with pytest.raises(InputError, match="ambiguous"):
        local("order_grammar").load(path).understand("get me a iced mocha")


def small_corpus(folder: Path, labels: dict[str, Any]) -> Path:
    """A corpus of three recordings a, b and c."""
    (folder / "data" / "rhino").mkdir(parents=True)
    (folder / "data" / "rhino" / "coffee_maker.yaml").write_text(GRAMMAR, encoding="utf-8")
    (folder / "data" / "label").mkdir()
    (folder / "data" / "label" / "label.json").write_text(json.dumps(labels), encoding="utf-8")
    generator = np.random.default_rng(1)
    for name in "abc":
        samples = generator.normal(0, 0.001, 32000)
        samples[8000:20000] += generator.normal(0, 0.2, 12000)
        audio.save(folder / "data" / "speech" / "clean" / f"{name}.wav", samples)
    audio.save(folder / "data" / "noise" / "kitchen.wav", generator.normal(0, 0.1, 20000))
    return folder


def label(**slots: str) -> dict[str, Any]:
    return {"intent": "orderDrink", "slots": slots}


def test_dirty_labels_are_listed_and_counted(local: Any, tmp_path: Path) -> None:
    corpus = small_corpus(
        tmp_path / "corpus",
        {
            "a.wav": label(size="  eight  ounce", coffeeDrink=" latte"),
            "b.wav": label(coffeeDrink="tea"),
            "gone.wav": label(coffeeDrink="latte"),
            "odd.wav": {"intent": "orderDrink"},
        },
    )
    command = ["--corpus", str(corpus), "--out", str(tmp_path / "data"), "--snrs"]
    prepare = local("prepare_barista").main
    with pytest.raises(InputError, match="1 of 3 recordings must be left out.*--max_lost"):
        prepare(command)
    prepare([*command[:-1], "--max_lost", "0.5", "--snrs"])
    report = (tmp_path / "data" / "real" / "label_findings.txt").read_text(encoding="utf-8")
    assert "    2  stray blank in a value" in report
    assert "label outside the grammar (kept as published): b.wav: coffeeDrink 'tea'" in report
    assert "label without a recording (left out): gone.wav" in report
    assert "recording without a label (left out): c.wav" in report
    assert "label that cannot be read (left out): odd.wav" in report
    first, second = kaldi_dir.load(tmp_path / "data" / "real")
    assert (first.id, first.speaker, first.text) == ("a", "a", None)
    assert first.semantics == "[IN:ORDER_DRINK [SL:SIZE eight ounce ] [SL:COFFEE_DRINK latte ] ]"
    assert second.semantics == "[IN:ORDER_DRINK [SL:COFFEE_DRINK tea ] ]"


def test_noise_is_mixed_at_its_level_once_and_reproducibly(local: Any, tmp_path: Path) -> None:
    labels = {f"{name}.wav": label(coffeeDrink="latte") for name in "abc"}
    corpus = small_corpus(tmp_path / "corpus", labels)
    command = ["--corpus", str(corpus), "--out", str(tmp_path / "data"), "--snrs", "6"]
    local("prepare_barista").main(command)
    noisy = kaldi_dir.load(tmp_path / "data" / "noisy_06")
    assert [one.id for one in noisy] == ["a-kitchen", "b-kitchen", "c-kitchen"]
    made = Path(noisy[0].wav or "")
    before = made.stat().st_mtime_ns, made.read_bytes()
    local("prepare_barista").main(command)
    assert made.stat().st_mtime_ns == before[0]
    made.unlink()
    local("prepare_barista").main(command)
    assert made.read_bytes() == before[1]
    # Another recording of this name is mixed again; what is not noted is taken as the same.
    others = [Path(one.wav or "") for one in noisy[1:]]
    times = [path.stat().st_mtime_ns for path in others]
    clean = corpus / "data" / "speech" / "clean" / "a.wav"
    original = clean.read_bytes()
    audio.save(clean, 0.5 * audio.load(clean))
    local("prepare_barista").main(command)
    assert made.read_bytes() != before[1]
    assert [path.stat().st_mtime_ns for path in others] == times
    note = made.parent.parent / "mixing.json"
    known = json.loads(note.read_text())
    del known["recordings"]
    note.write_text(json.dumps(known))
    local("prepare_barista").main(command)
    assert [path.stat().st_mtime_ns for path in others] == times
    clean.write_bytes(original)
    local("prepare_barista").main(command)
    assert made.read_bytes() == before[1]
    speech = audio.load(corpus / "data" / "speech" / "clean" / "a.wav")
    noise = audio.load(made) - speech
    loudest = local("prepare_barista")._loudest
    assert 10 * np.log10(loudest(speech) / loudest(noise)) == pytest.approx(6, abs=0.05)


def test_a_wrong_corpus_folder_says_where_the_right_one_is(local: Any, tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path / "clones" / "corpus", {})
    find = local("picovoice").corpus_folder
    assert find(corpus) == corpus
    with pytest.raises(InputError, match=f"further down: --corpus {corpus}"):
        find(corpus.parent)
    with pytest.raises(InputError, match=f"some levels up: --corpus {corpus}"):
        find(corpus / "data" / "speech")
    with pytest.raises(InputError, match="Get it from https://github.com/Picovoice"):
        find(tmp_path / "nothing")


def test_endpoints_hold_the_speech_and_little_more(local: Any, tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path / "corpus", {})
    samples = audio.load(corpus / "data" / "speech" / "clean" / "a.wav")  # speech: 0.5 to 1.25 s
    samples[30000:30200] = 0.9  # a click
    start, end = local("trim_silence").speech_span(samples, 0.1)
    assert (start, end) == (pytest.approx(0.4, abs=0.021), pytest.approx(1.35, abs=0.021))
    assert local("trim_silence").speech_span(np.zeros(16000, np.float32), 0.1) == (0.0, 1.0)


def test_folds_are_disjoint_and_complete(local: Any, tmp_path: Path) -> None:
    clean = [
        kaldi_dir.Utterance(id=f"u{n:03d}", speaker=f"u{n:03d}", semantics="[IN:X ]")
        for n in range(120)
    ]
    kaldi_dir.write(tmp_path / "real", clean)
    kaldi_dir.write(
        tmp_path / "heard",
        (kaldi_dir.Utterance(id=one.id, speaker=one.speaker, text="a latte") for one in clean[::2]),
    )
    local("make_folds").main(
        [
            "--data",
            str(tmp_path / "real"),
            "--text",
            str(tmp_path / "heard"),
            "--out",
            str(tmp_path / "folds"),
        ]
    )
    tested: list[str] = []
    for fold in range(5):
        parts = {
            part: {one.id for one in kaldi_dir.load(tmp_path / "folds" / str(fold) / part)}
            for part in ("train", "dev", "test", "train_text")
        }
        assert len(parts["train"]) + len(parts["dev"]) + len(parts["test"]) == len(clean)
        assert parts["train"] | parts["dev"] | parts["test"] == {one.id for one in clean}
        assert parts["train_text"] <= parts["train"]
        tested += parts["test"]
    assert sorted(tested) == [one.id for one in clean]


def test_text_of_train_and_dev_is_disjoint_and_repeatable(
    local: Any, corpus: Path, tmp_path: Path
) -> None:
    command = ["--corpus", str(corpus), "--sentences", "150", "--dev", "20", "--spoken", "30"]
    for name in ("one", "two"):
        local("prepare_text").main([*command, "--out", str(tmp_path / name)])
    train, dev = (
        kaldi_dir.load(tmp_path / "one" / "text_barista" / part) for part in ("train", "dev")
    )
    assert len(dev) == 20 and len(train) == 150 + 432
    assert not {one.text for one in train} & {one.text for one in dev}
    for path in sorted((tmp_path / "one").rglob("*/*/*")):
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()
    spoken = kaldi_dir.load(tmp_path / "one" / "tts_barista" / "train")
    voices = tables.read_table(tmp_path / "one" / "tts_barista" / "train" / "spk2voice")
    assert {one.speaker for one in spoken} == set(voices)
    for folder in ("text_barista", "tts_barista"):
        published = "Picovoice's speech-to-intent benchmark: Apache 2.0"
        assert licence.of(tmp_path / "one" / folder / "train") == published


def test_outsiders_of_one_half_share_no_sentence_and_no_voice_with_the_other(
    local: Any, tmp_path: Path
) -> None:
    command = ["--out", str(tmp_path / "out"), "--wavs", str(tmp_path / "wavs"), "--clips", "1"]
    local("prepare_outsiders").main(command)
    kinds = {folder.name.rpartition("_")[0] for folder in (tmp_path / "out").iterdir()}
    assert kinds == {"told", "asked", "refused", "off_menu", "player", "music"}
    people: dict[str, set[str]] = {"a": set(), "b": set()}
    for kind in kinds - {"music"}:
        said = {}
        for half in people:
            folder = tmp_path / "out" / f"{kind}_{half}"
            said[half] = {one.text for one in kaldi_dir.load(folder)}
            assert len(kaldi_dir.load(folder)) == 2 * len(said[half])
            voices = map(parse_voice, tables.read_table(folder / "spk2voice").values())
            people[half] |= {voice.name.rpartition("+")[2] for voice in voices}
        assert not said["a"] & said["b"]
    assert not people["a"] & people["b"]


def test_no_outsider_is_an_order(local: Any, corpus: Path) -> None:
    grammar = local("order_grammar").load(corpus / local("picovoice").GRAMMAR)
    outsiders = local("prepare_outsiders")
    sentences = outsiders.read_sentences(outsiders.CONF / "outsiders.txt")
    assert not [one for kind in sentences.values() for one in kind if grammar.understand(one)]


def test_a_sentence_without_a_kind_is_told_with_its_line(local: Any, tmp_path: Path) -> None:
    (tmp_path / "outsiders.txt").write_text("# kinds\n\ntold i had a coffee\nasked\n")
    with pytest.raises(InputError, match="outsiders.txt:4: found 'asked'"):
        local("prepare_outsiders").read_sentences(tmp_path / "outsiders.txt")


def test_music_is_repeatable_audible_and_never_clipped(local: Any) -> None:
    play = local("instruments").music
    drawn = [play(2.5, np.random.default_rng(seed)) for seed in range(6)]
    assert np.array_equal(drawn[0], play(2.5, np.random.default_rng(0)))
    for one, other in zip(drawn, drawn[1:]):
        assert one.shape == (40000,) and not np.array_equal(one, other)
        assert 0.1 - 1e-6 <= np.abs(one).max() <= 0.9 + 1e-6
        loud = np.abs(one).reshape(-1, 8000).max(axis=1)  # of each half second
        assert (loud > 1e-3).all()


def test_speech_in_rooms_is_made_anew_when_the_clean_speech_is_another(
    local: Any, tmp_path: Path
) -> None:
    def speak(pitch: float) -> None:
        audio.save(wav, np.sin(pitch * np.arange(8000, dtype=np.float32)))

    wav, rooms = tmp_path / "a-1.wav", tmp_path / "wavs" / "a" / "a-1.wav"
    speak(0.1)
    one = kaldi_dir.Utterance(id="a-1", speaker="a", wav=str(wav), text="latte")
    kaldi_dir.write(tmp_path / "clean", [one])
    licence.write(tmp_path / "clean", "A: a")
    arguments = [
        "--data",
        str(tmp_path / "clean"),
        "--out",
        str(tmp_path / "rooms"),
        "--wavs",
        str(tmp_path / "wavs"),
    ]
    add_rooms = local("add_rooms").main
    add_rooms(arguments)
    first, written = rooms.read_bytes(), rooms.stat().st_mtime_ns
    add_rooms(arguments)
    assert rooms.stat().st_mtime_ns == written
    add_rooms([*arguments, "--seed", "2"])
    second = rooms.read_bytes()
    speak(0.3)
    add_rooms([*arguments, "--seed", "2"])
    assert len({first, second, rooms.read_bytes()}) == 3
    add_rooms(arguments)
    speak(0.1)
    add_rooms(arguments)
    assert rooms.read_bytes() == first
    assert [one.text for one in kaldi_dir.load(tmp_path / "rooms")] == ["latte"]
    assert licence.of(tmp_path / "rooms") == "A: a"


def test_human_speech_gets_plain_text_and_speakers_of_its_own(
    local: Any, data_root: Path, tmp_path: Path
) -> None:
    local("prepare_human").main(
        [
            "--librispeech",
            str(data_root / "librispeech"),
            "--out",
            str(tmp_path),
            "--dev_share",
            "0.4",
        ]
    )
    train, dev = (kaldi_dir.load(tmp_path / f"human_{part}") for part in ("train", "dev"))
    assert len(train) + len(dev) == 50
    assert not {one.speaker for one in train} & {one.speaker for one in dev}
    assert all(
        one.text == normalize(one.text or "") and Path(one.wav or "").is_file()
        for one in train + dev
    )
    with pytest.raises(InputError, match="expected speechocean762"):
        local("prepare_human").main(["--speechocean", str(tmp_path), "--out", str(tmp_path)])


def test_commands_of_other_domains_become_trees(local: Any, tmp_path: Path) -> None:
    folder = tmp_path / "snips" / "PlayMusic"
    folder.mkdir(parents=True)
    data = [{"text": "Play "}, {"text": "Hey, Jude", "entity": "album"}, {"text": " please."}]
    for name in ("train_PlayMusic_full.json", "validate_PlayMusic.json"):
        (folder / name).write_text(json.dumps({"PlayMusic": [{"data": data}]}), encoding="utf-8")
    prepare = local("prepare_outdomain_text").main
    prepare(["--snips_nlu", str(folder.parent), "--out", str(tmp_path)])
    (one,) = kaldi_dir.load(tmp_path / "nlu_outdomain" / "train")
    assert one.text == "play hey jude please"
    assert one.semantics == "[IN:PLAY_MUSIC play [SL:ALBUM hey jude ] please ]"
    # Said in dev already, the sentence is not spoken a second time.
    assert not (tmp_path / "tts_commands" / "train").exists()


@pytest.fixture
def mini(local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The miniature with short tones for speech."""
    make_mini = local("make_mini")
    monkeypatch.setattr(make_mini, "speak", tiny.tones)
    make_mini.main(["--out", str(tmp_path / "corpus")])
    return tmp_path / "corpus"


def test_the_miniature_is_read_back_and_each_planted_fault_counted(
    local: Any, mini: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    lost = ["--out", str(data), "--max_lost", "0.2"]
    orders = ["--corpus", str(mini / "picovoice")]
    local("prepare_barista").main([*orders, *lost, "--snrs", "12"])
    findings = (data / "real" / "label_findings.txt").read_text(encoding="utf-8")
    assert "    2  label without a recording (left out)" in findings
    assert "    1  recording that cannot be read (left out)" in findings
    assert "stray blank in a value (removed)" in findings and "outside" not in findings
    assert len(kaldi_dir.load(data / "real")) == len(kaldi_dir.load(data / "noisy_12")) == 15
    local("prepare_human").main(["--speechocean", str(mini / "speechocean762"), *lost])
    findings = (data / "human_findings_speechocean.txt").read_text(encoding="utf-8")
    assert findings.startswith("     1  recording that cannot be read (left out)\n")
    train, dev = (kaldi_dir.load(data / f"human_{part}") for part in ("train", "dev"))
    assert (len(train), len(dev)) == (11, 4)
    assert all(one.text == normalize(one.text or "") for one in train + dev)
    local("prepare_outdomain_text").main(["--snips_nlu", str(mini / "snips_nlu"), *lost])
    commands = kaldi_dir.load(data / "nlu_outdomain" / "train")
    assert len(commands) == 24 and len({one.text for one in commands}) == 24
    # Of the file in Latin-1.
    assert any("[SL:ARTIST andré lind ]" in str(one.semantics) for one in commands)
    assert len(kaldi_dir.load(data / "nlu_outdomain" / "dev")) == 3


def test_the_folds_and_sentences_of_the_mini_run_are_there(
    local: Any, mini: Path, tmp_path: Path
) -> None:
    orders = ["--corpus", str(mini / "picovoice"), "--out", str(tmp_path)]
    local("prepare_barista").main([*orders, "--max_lost", "0.2", "--snrs"])
    # An empty part of a fold would be refused.
    local("make_folds").main(
        ["--data", str(tmp_path / "real"), "--out", str(tmp_path / "folds"), "--folds", "2"]
    )
    local("prepare_text").main([*orders, "--sentences", "60", "--spoken", "8"])
    grammar = local("order_grammar").load(mini / "picovoice" / "data" / "rhino/coffee_maker.yaml")
    for part, count in (("train", 68), ("dev", 300)):
        written = kaldi_dir.load(tmp_path / "text_barista" / part)
        assert len(written) == count and all(grammar.understand(one.text) for one in written)
        assert len(kaldi_dir.load(tmp_path / "tts_barista" / part)) == 8
    assert licence.of(tmp_path / "folds" / "0" / "train") == licence.OWN


@pytest.fixture(scope="module")
def sphinx() -> ModuleType:
    pytest.importorskip("pocketsphinx")
    return importlib.import_module("atat.prepare.sphinx")


def test_pocketsphinx_hears_an_order_and_a_rerun_hears_nothing_anew(
    local: Any, sphinx: ModuleType, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wavs = sorted((corpus / "data" / "speech" / "clean").glob("*.wav"))[:2]
    full = local("order_grammar").load(corpus / "data" / "rhino" / "coffee_maker.yaml")
    labels = local("picovoice").read_labels(corpus, full, local("picovoice").Oddities())
    kaldi_dir.write(
        tmp_path / "real",
        (
            kaldi_dir.Utterance(
                id=wav.stem,
                speaker=wav.stem,
                wav=str(wav),
                semantics=full.canonical(labels[wav.stem]),
            )
            for wav in wavs
        ),
    )
    command = [
        "--data",
        str(tmp_path / "real"),
        "--corpus",
        str(corpus),
        "--out",
        str(tmp_path / "decoded"),
    ]
    local("pocketsphinx_grammar").main(command)
    heard = tables.read_table(tmp_path / "decoded" / "hyp")
    assert heard == tables.read_table(tmp_path / "real" / "semantics")
    journal = (tmp_path / "decoded" / "journal.jsonl").read_text(encoding="utf-8")
    cut = journal[: journal.rindex("\n", 0, -1) + 20]  # interrupted in the middle of the last line
    (tmp_path / "decoded" / "journal.jsonl").write_text(cut, encoding="utf-8")
    jobs = []
    monkeypatch.setattr(
        hearing.parallel, "run", lambda work, todo, nj: jobs.extend(todo) or map(work, todo)
    )
    local("pocketsphinx_grammar").main(command)
    assert len(jobs) == 1
    assert tables.read_table(tmp_path / "decoded" / "hyp") == heard


def test_words_without_a_pronunciation_are_named(sphinx: ModuleType) -> None:
    with pytest.raises(InputError, match="no pronunciation of: frappuzino"):
        sphinx.check_words(["coffee", "frappuzino"])
