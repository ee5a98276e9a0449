"""Laws of the tokenizer: what is encoded is decoded, and ids never change their meaning."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from atat.base.errors import InputError
from atat.text import tokenizer_command
from atat.text import trees as semantics
from atat.text.normalize import normalize_tree
from atat.text.tokenizer import Tokenizer
from atat.text.tokenizer_command import main
from atat.text.trees import Tree

TEXTS = [
    "play the song watermelon sugar",
    "i'd like the song blue in green",
    "what is playing in the kitchen",
    "turn down the music in the kitchen",
] * 3
TAGS = {"[IN:PLAY_SONG", "[SL:SONG", "[SL:ROOM", "]"}
TREE = "[IN:PLAY_SONG play the song [SL:SONG watermelon sugar ] in the [SL:ROOM kitchen ] ]"


@pytest.fixture(scope="module")
def small() -> Tokenizer:
    return Tokenizer.train(TEXTS, TAGS, 400)


def random_text(rng: random.Random) -> str:
    """Any unicode text, all planes, with blanks, control characters and piece look-alikes."""
    odd = [
        "\u2581",
        "<0x41>",
        "<unk>",
        "<eos>",
        "[IN:PLAY_SONG",
        "]",
        "\\",
        "\0",
        " ",
        "\u00a0",
        "'",
    ]
    return "".join(
        rng.choice(odd)
        if rng.random() < 0.3
        else chr(rng.choice([rng.randrange(0xD800), rng.randrange(0xE000, 0x110000), 0xFFFD, 0x61]))
        for _ in range(rng.randint(0, 12))
    )


def test_layout_of_ids(small: Tokenizer) -> None:
    assert (small.pad_id, small.eos_id) == (0, 1)
    assert small.symbols == [
        "<asr>", "<slu>", "<nlu>", "<mlm>", "<cls>", "<sep>", "]",
        "[IN:PLAY_SONG", "[SL:ROOM", "[SL:SONG",
    ]  # fmt: skip
    first = 2 + small.num_pieces
    assert small.vocab_size == first + len(small.symbols)
    assert [small.task_id(name) for name in ("asr", "slu", "nlu", "mlm")] == list(
        range(first, first + 4)
    )
    assert (small.cls_id, small.sep_id, small.close_id) == (first + 4, first + 5, first + 6)
    assert small.source_size == small.sep_id + 1 == small.extend(["[SL:NEW"]).source_size
    assert small.first_piece_id == 2 and len(small.pieces) == small.num_pieces
    assert small.tag_id("]") == small.close_id
    assert small.open_ids == {tag: small.tag_id(tag) for tag in small.symbols[7:]}
    for id_ in range(-3, small.vocab_size + 3):
        assert small.is_symbol(id_) == (first <= id_ < small.vocab_size)
        assert small.is_open(id_) == (id_ in small.open_ids.values())
        assert not (small.is_word_start(id_) and small.is_symbol(id_))


def test_any_text_is_decoded_as_it_was_encoded(small: Tokenizer) -> None:
    rng = random.Random(2)
    for text in [*TEXTS, *(random_text(rng) for _ in range(500))]:
        ids = small.encode_text(text)
        assert small.decode(ids, kind="text") == " ".join(text.split())
        assert not any(map(small.is_symbol, ids))
        assert 0 not in ids and 1 not in ids


def test_each_word_starts_with_one_word_start(small: Tokenizer) -> None:
    rng = random.Random(3)
    for text in [*TEXTS, *(random_text(rng) for _ in range(200))]:
        ids = small.encode_text(text)
        assert sum(map(small.is_word_start, ids)) == len(text.split())
        assert ids == [] or small.is_word_start(ids[0])


def test_a_tree_is_decoded_as_it_was_encoded(small: Tokenizer) -> None:
    rng = random.Random(4)
    for _ in range(300):
        children = [
            random_text(rng).split()
            if rng.random() < 0.6
            else [Tree("SL:SONG", tuple(random_text(rng).split()))]
            for _ in range(4)
        ]
        tree = Tree("IN:PLAY_SONG", tuple(child for group in children for child in group))
        decoded = small.decode(small.encode_tree(tree))
        assert decoded == semantics.to_string(tree)
        assert semantics.parse(decoded) == tree


def test_tags_are_atomic_and_stand_between_words(small: Tokenizer) -> None:
    ids = small.encode_target(TREE, "semantics")
    assert ids[0] == small.tag_id("[IN:PLAY_SONG") and ids[-1] == small.close_id
    for before, after in zip(ids, ids[1:], strict=False):
        if small.is_symbol(before):
            assert small.is_symbol(after) or small.is_word_start(after)
    assert small.encode_target("play the song", "text") == small.encode_text("play the song")
    # The same text as a transcript has no tag at all.
    assert not any(map(small.is_symbol, small.encode_target(TREE, "text")))


def test_decoding_takes_any_ids(small: Tokenizer) -> None:
    rng = random.Random(5)
    for _ in range(500):
        ids = [rng.randrange(-5, small.vocab_size + 5) for _ in range(rng.randrange(20))]
        text = small.decode(ids)
        assert text == " ".join(text.split())
        assert "\n" not in text
        for token in text.split():
            assert semantics.is_open(token) or token == "]" or not token.startswith(("[", "]"))


def test_decoding_stops_at_the_end_and_skips_labels(small: Tokenizer) -> None:
    ids = small.encode_text("play the song")
    label = small.task_id("slu")
    assert small.decode([label, *ids, small.eos_id, *ids, 0]) == "play the song"
    assert small.decode([0, *ids, 0, 0]) == "play the song"
    assert small.decode([]) == ""
    assert (
        small.decode([small.close_id, *ids, small.tag_id("[SL:SONG")]) == "] play the song [SL:SONG"
    )


def test_written_is_read(small: Tokenizer, tmp_path: Path) -> None:
    small.save(tmp_path / "new" / "tokenizer")
    loaded = Tokenizer.load(tmp_path / "new" / "tokenizer")
    copied = pickle.loads(pickle.dumps(small))
    for other in (loaded, copied):
        assert other.fingerprint() == small.fingerprint()
        assert other.symbols == small.symbols
        assert other.encode_target(TREE, "semantics") == small.encode_target(TREE, "semantics")


def test_training_is_deterministic(small: Tokenizer) -> None:
    again = Tokenizer.train(TEXTS, sorted(TAGS, reverse=True), 400)
    assert again.fingerprint() == small.fingerprint()
    assert Tokenizer.train(TEXTS, [], 400).fingerprint() != small.fingerprint()
    assert (
        Tokenizer.train([*TEXTS, "jazz jazz jazz"], TAGS, 400).fingerprint() != small.fingerprint()
    )


def test_extension_keeps_old_ids(small: Tokenizer) -> None:
    more = small.extend(["[SL:BOOK", "[IN:READ_BOOK", "[SL:SONG", "]"])
    assert more.symbols == [*small.symbols, "[IN:READ_BOOK", "[SL:BOOK"]
    assert more.vocab_size == small.vocab_size + 2
    assert more.tag_id("[SL:BOOK") == small.vocab_size + 1
    assert more.encode_target(TREE, "semantics") == small.encode_target(TREE, "semantics")
    assert more.extends(small) and small.extends(small) and not small.extends(more)
    assert more.fingerprint() != small.fingerprint()
    assert more.extend(["[SL:BOOK"]).fingerprint() == more.fingerprint()
    # A later addition comes last even where it sorts first.
    assert more.extend(["[IN:A"]).symbols[-1] == "[IN:A"


def test_unknown_names_say_how_to_add_them(small: Tokenizer) -> None:
    assert not small.has_tag("[SL:BOOK") and small.has_tag("]") and not small.has_tag("<asr>")
    with pytest.raises(InputError, match=r"\[SL:BOOK.*extend --tokenizer"):
        small.encode_target("[IN:PLAY_SONG [SL:BOOK x ] ]", "semantics")
    with pytest.raises(InputError, match="'st'.*extend"):
        small.task_id("st")
    with pytest.raises(InputError, match="is not a tag"):
        small.extend(["SL:BOOK"])


def test_untrainable_input() -> None:
    with pytest.raises(InputError, match="no text"):
        Tokenizer.train(["", "  "], TAGS, 400)
    for size in (0, -3, 10**10):
        with pytest.raises(InputError, match=f"vocab_size is {size}; expected 1 to 1,000,000"):
            Tokenizer.train(TEXTS, TAGS, size)


def test_the_smallest_vocabulary_is_named_and_works() -> None:
    with pytest.raises(InputError, match="vocab_size 100 is too small for this text: ") as caught:
        Tokenizer.train(TEXTS, TAGS, 100)
    assert "INTERNAL" not in str(caught.value) and "required_chars" not in str(caught.value)
    fewest = int(str(caught.value).split(" bytes are ")[1].split()[0])
    with pytest.raises(InputError, match=f"are {fewest} pieces already"):
        Tokenizer.train(TEXTS, TAGS, fewest - 1)
    tokenizer = Tokenizer.train(TEXTS, TAGS, fewest)
    assert tokenizer.decode(tokenizer.encode_text("play the song"), kind="text") == "play the song"


def test_a_vocabulary_larger_than_the_text_is_said_in_words(tmp_path: Path, capsys) -> None:
    data = tiny.make_data(tmp_path / "data", 10)
    arguments = ["train", "--data", str(data), "--out", str(tmp_path / "out"), "--vocab_size"]
    main([*arguments, "5000"])
    pieces = Tokenizer.load(tmp_path / "out").num_pieces
    assert f"the text holds no more than {pieces} pieces, --vocab_size 5000 is more" in (
        capsys.readouterr().out
    )
    main([*arguments, str(pieces)])
    assert "holds no more" not in capsys.readouterr().out
    assert Tokenizer.load(tmp_path / "out").num_pieces == pieces


def test_a_corpus_of_short_commands_is_text_enough() -> None:
    assert Tokenizer.train(["on", "off"], TAGS, 400).num_pieces > 256


def test_long_lines_are_not_skipped() -> None:
    assert Tokenizer.train(["sphinx quartz " * 1000], [], 400).num_pieces > 300


@pytest.mark.parametrize("name", ["bpe.model", "symbols.txt", "tokenizer.json"])
def test_a_damaged_folder_is_refused(small: Tokenizer, tmp_path: Path, name: str) -> None:
    small.save(tmp_path)
    (tmp_path / name).write_bytes(b"junk\n")
    with pytest.raises(InputError, match=name):
        Tokenizer.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=f"no {name}"):
        Tokenizer.load(tmp_path)


def test_files_of_two_tokenizers_are_refused(small: Tokenizer, tmp_path: Path) -> None:
    small.save(tmp_path)
    with open(tmp_path / "symbols.txt", "a", encoding="utf-8") as stream:
        stream.write("[SL:BOOK\n")
    with pytest.raises(InputError, match="symbols.txt do not match tokenizer.json"):
        Tokenizer.load(tmp_path)


def test_command_line(tmp_path: Path) -> None:
    music, books = tmp_path / "music", tmp_path / "books"
    for folder, text, tree in (
        (music, "play the song", "[IN:PLAY [SL:SONG the song ] ]"),
        (books, "read the book", "[IN:READ [SL:BOOK the book ] ]"),
    ):
        folder.mkdir()
        (folder / "text").write_text(f"a-1 {text}\n")
        (folder / "semantics").write_text(f"a-1 {tree}\n")
    first, second = tmp_path / "first", tmp_path / "second"
    tokenizer_command.main(
        ["train", "--data", str(music), "--vocab_size", "400", "--out", str(first)]
    )
    tokenizer_command.main(
        [
            "extend",
            "--tokenizer",
            str(first),
            "--data",
            str(music),
            str(books),
            "--out",
            str(second),
        ]
    )
    base, more = Tokenizer.load(first), Tokenizer.load(second)
    assert more.extends(base) and more.has_tag("[SL:BOOK") and not base.has_tag("[SL:BOOK")

    (books / "semantics").write_text("a-1 [IN:READ x ]\na-2 [IN:READ x\n")
    with pytest.raises(InputError, match=r"books/semantics:2: .*missing"):
        tokenizer_command.read_data([books])
    with pytest.raises(InputError, match="neither text nor semantics"):
        tokenizer_command.read_data([tmp_path])


def test_a_tab_ends_an_id_as_a_blank_does(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a-1\tplay the song\na-2 what is playing\n")
    (tmp_path / "semantics").write_text("a-1\t[IN:PLAY play [SL:THING the song ] ]\n")
    texts, tags = tokenizer_command.read_data([tmp_path])
    assert texts == ["play the song", "what is playing", "play the song"]
    assert tags == {"[IN:PLAY", "[SL:THING", "]"}


def test_every_tree_of_top(data_root: Path) -> None:
    lines = [
        line
        for path in sorted((data_root / "top").glob("*.tsv"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    trees = [semantics.parse(line.split("\t")[2]) for line in lines]
    spoken = [normalize_tree(tree) for tree in trees]
    top = Tokenizer.train(
        (" ".join(semantics.words(tree)) for tree in spoken),
        set().union(*map(semantics.tags, trees)),
        1500,
    )
    assert top.num_pieces == 1500
    for tree in [*trees, *spoken]:
        assert semantics.parse(top.decode(top.encode_tree(tree))) == tree
    pieces = sum(len(top.encode_tree(tree)) for tree in spoken)
    tokens = sum(len(semantics.to_tokens(tree)) for tree in spoken)
    assert pieces / tokens < 1.5


def test_help_needs_no_torch() -> None:
    code = "import sys, atat.text.tokenizer; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
