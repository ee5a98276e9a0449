"""The corpus of egs/synthetic_tts: what it promises of its sentences, values and voices."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from atat.base.errors import InputError
from atat.datadir import tables
from atat.datadir.check import validate
from atat.prepare import synthesis
from atat.prepare.synthesis_voice import parse_voice
from atat.text.normalize import normalize
from atat.text.trees import Tree, parse, tags, words

LOCAL = Path(__file__).resolve().parent.parent / "egs" / "synthetic_tts" / "local"
SETS = ("train_music", "dev_music", "test_music", "train_books", "dev_books", "test_books")


@pytest.fixture(scope="module")
def make_corpus() -> Iterator[ModuleType]:
    """The recipe's script, imported as it is when run: from its own folder."""
    sys.path.insert(0, str(LOCAL))
    try:
        import make_corpus

        yield make_corpus
    finally:
        sys.path.remove(str(LOCAL))
        for name in ("make_corpus", "grammar", "speakers"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def corpus(make_corpus: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus.main(["--size", "tiny", "--out", str(folder), "--seed", "1"])
    return folder


def table(corpus: Path, name: str) -> dict[str, str]:
    return tables.read_table(corpus / name)


def everywhere(corpus: Path, name: str) -> dict[str, dict[str, str]]:
    """The table of this name of each data dir that has it."""
    return {path.parent.name: tables.read_table(path) for path in sorted(corpus.glob(f"*/{name}"))}


def slot_values(tree: Tree) -> set[tuple[str, str]]:
    """(slot, value) of all slots that hold words."""
    inner = [child for child in tree.children if isinstance(child, Tree)]
    leaf = not inner and tree.label.startswith("SL:")
    found = {(tree.label, " ".join(words(tree)))} if leaf else set()
    return found.union(*(slot_values(child) for child in inner))


def test_dirs_are_sound(corpus: Path) -> None:
    names = {path.name for path in corpus.iterdir() if path.is_dir()}
    assert names == {
        *SETS,
        "test_music_real",
        "test_books_real",
        "train_books_real",
        "train_books_text",
        "dev_books_text",
        "train_everyday",
        "dev_everyday",
    }
    for name in names:
        assert not validate(corpus / name).errors, name


def test_text_is_normalised_and_that_of_the_tree(corpus: Path) -> None:
    for name, trees in everywhere(corpus, "semantics").items():
        texts = table(corpus, f"{name}/text")
        for utterance, tree in trees.items():
            assert " ".join(words(parse(tree))) == texts[utterance]
    for texts in everywhere(corpus, "text").values():
        assert all(normalize(text) == text for text in texts.values())


def test_language_is_rich_enough(corpus: Path) -> None:
    found: set[str] = set()
    nested = 0
    for trees in everywhere(corpus, "semantics").values():
        for tree in map(parse, trees.values()):
            found |= tags(tree)
            slots = [child for child in tree.children if isinstance(child, Tree)]
            nested += any(isinstance(child, Tree) for slot in slots for child in slot.children)
    assert len([tag for tag in found if tag.startswith("[IN:")]) >= 8
    assert len([tag for tag in found if tag.startswith("[SL:")]) >= 15
    assert nested > 50


def test_sentences_are_short(corpus: Path) -> None:
    lengths = [
        len(text.split())
        for texts in everywhere(corpus, "text").values()
        for text in texts.values()
    ]
    assert max(lengths) <= 7 and 4 < sum(lengths) / len(lengths) < 7


@pytest.mark.parametrize("domain", ["music", "books"])
def test_held_out_sentences_are_new_but_their_words_are_not(corpus: Path, domain: str) -> None:
    train, dev, test = (
        set(table(corpus, f"{part}_{domain}/text").values()) for part in ("train", "dev", "test")
    )
    assert not train & dev and not train & test and not dev & test
    vocabulary = {word for text in train for word in text.split()}
    assert {word for text in dev | test for word in text.split()} <= vocabulary


@pytest.mark.parametrize("domain", ["music", "books"])
@pytest.mark.parametrize("part", ["dev", "test", "test_real"])
def test_groups_tell_whose_values_are_unseen(corpus: Path, domain: str, part: str) -> None:
    split, _, real = part.partition("_")
    folder = f"{split}_{domain}" + ("_real" if real else "")
    seen = set().union(
        *(slot_values(parse(tree)) for tree in table(corpus, f"train_{domain}/semantics").values())
    )
    groups = table(corpus, f"{folder}/utt2group")
    held_out = ("SONG", "ARTIST", "ALBUM", "PLAYLIST", "BOOK", "AUTHOR")
    for utterance, tree in table(corpus, f"{folder}/semantics").items():
        values = {pair for pair in slot_values(parse(tree)) if pair[0][3:] in held_out}
        assert groups[utterance] == ("seen" if values <= seen else "unseen"), tree
    share = Counter(groups.values())["unseen"] / len(groups)
    assert 0.3 < share < 0.6


def test_voices_are_disjoint_and_exist(corpus: Path) -> None:
    speakers: dict[str, set[str]] = {}
    voices: dict[str, set[str]] = {}
    for name, content in everywhere(corpus, "spk2voice").items():
        part = "real" if name.endswith("_real") else name.partition("_")[0]
        speakers.setdefault(part, set()).update(content)
        for voice in map(parse_voice, content.values()):
            # The accent may be shared; the variant, espeak's "person", may not.
            voices.setdefault(part, set()).add(voice.name.rpartition("+")[2])
    assert set(voices) == {"train", "dev", "test", "real"}
    for group in (speakers, voices):
        everyone = [who for part in group.values() for who in part]
        assert len(everyone) == len(set(everyone))


@pytest.mark.parametrize("path", ["", "/nowhere"])
def test_who_trains_on_real_voices_is_tested_on_others(
    make_corpus: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str
) -> None:
    """With flite and, where nothing is on the PATH, with its stand-in."""
    if path:
        monkeypatch.setenv("PATH", path)
    make_corpus.main(["--size", "mini", "--out", str(tmp_path)])
    held = (tmp_path / "real_held.list").read_text().split()
    test, train = (table(tmp_path, f"{part}_books_real/spk2voice") for part in ("test", "train"))
    said, heard = (
        {parse_voice(voice).name.rpartition("+")[2] for voice in voices}
        for voices in ([test[speaker] for speaker in held], train.values())
    )
    assert held and said and not said & heard
    assert not test.keys() & train.keys()
    assert (
        table(tmp_path, "train_books_real/text")
        .keys()
        .isdisjoint(table(tmp_path, "test_books_real/text"))
    )


def test_every_voice_speaks(make_corpus: ModuleType) -> None:
    engines = {"espeak", "flite"}
    if any(synthesis.available(engine) for engine in engines):
        pytest.skip("needs espeakng-loader and flite")
    for size in make_corpus.SIZES:
        for voices in make_corpus.make_voices(make_corpus.CONF / "voices.yaml", size, 1).values():
            for voice in set(voices.values()):
                assert len(synthesis.speak(voice, "next song").samples) > 4000, voice


def test_nobody_says_a_sentence_twice(corpus: Path) -> None:
    for name, texts in everywhere(corpus, "text").items():
        speakers = table(corpus, f"{name}/utt2spk")
        said = Counter((speakers[utterance], text) for utterance, text in texts.items())
        assert max(said.values()) == 1, name
    repeated = Counter(table(corpus, "train_music/text").values())
    assert 1.1 < sum(repeated.values()) / len(repeated) < 1.5


def test_corpus_says_what_it_is(corpus: Path) -> None:
    report = json.loads((corpus / "corpus.json").read_text())
    engine = "flite" if synthesis.available("flite") is None else "espeak"
    assert report["real"].startswith(engine) or engine == "espeak"
    real = table(corpus, "test_music_real/spk2voice")
    assert {parse_voice(voice).engine for voice in real.values()} == {engine}
    for name in SETS:
        assert report["sets"][name]["utterances"] == len(table(corpus, f"{name}/text"))


def test_a_tenth_of_music_is_drawn_and_the_rest_is_the_rest(
    make_corpus: ModuleType, corpus: Path
) -> None:
    tenth, rest = (
        (corpus / f"train_music_{share}.list").read_text().splitlines() for share in (10, 90)
    )
    assert len(tenth) == 150 and not {*tenth} & {*rest}
    assert {*tenth, *rest} == table(corpus, "train_music/utt2spk").keys()
    # Drawn by lot, not every tenth, and by all speakers.
    assert len({utterance.split("-")[0] for utterance in tenth}) == 16
    numbers = sorted(int(utterance.rpartition("-")[2]) for utterance in tenth)
    assert len({b - a for a, b in zip(numbers, numbers[1:])}) > 5


def test_same_seed_same_corpus_other_seed_another(
    make_corpus: ModuleType, corpus: Path, tmp_path: Path
) -> None:
    make_corpus.main(["--out", str(tmp_path / "same")])
    make_corpus.main(["--out", str(tmp_path / "other"), "--seed", "2"])
    for path in corpus.rglob("*"):
        if path.is_file():
            name = path.relative_to(corpus)
            assert (tmp_path / "same" / name).read_bytes() == path.read_bytes()
    assert table(tmp_path / "other", "train_music/text") != table(corpus, "train_music/text")


def test_audio_of_other_utterances_goes(make_corpus: ModuleType, tmp_path: Path) -> None:
    make_corpus.main(["--out", str(tmp_path)])
    scp = tmp_path / "test_music" / "wav.scp"
    scp.write_text("u /u.wav\n")
    make_corpus.main(["--out", str(tmp_path)])
    assert scp.exists()
    make_corpus.main(["--out", str(tmp_path), "--seed", "2"])
    assert not scp.exists()


def test_real_voices_without_flite(
    make_corpus: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    voices = make_corpus.make_voices(make_corpus.CONF / "voices.yaml", "tiny", 1)
    assert all(voice.startswith("espeak:") for voice in voices["real"].values())
    others = {
        voice.split(":")[1] for part in ("train", "dev", "test") for voice in voices[part].values()
    }
    assert not others & {voice.split(":")[1] for voice in voices["real"].values()}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{DEVICE}", "{DEVISE}", "no values for DEVISE"),
        ("{SONG=GET_SONG}", "{SONG=GET_SONGS}", "no intent GET_SONGS"),
        ("the {adjective} {plural}", "the {adjectiv} {plural}", "no word list 'adjectiv'"),
    ],
)
def test_faults_of_the_grammar_are_named(
    make_corpus: ModuleType, tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = (make_corpus.CONF / "grammar.yaml").read_text()
    assert old in text
    (tmp_path / "grammar.yaml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        make_corpus.load_grammar(tmp_path / "grammar.yaml", "tiny")
