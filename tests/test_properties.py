"""Properties of whatever is written and read, for values that hypothesis invents.

What is written is read as it was; what is read of random text or bytes is a result or InputError.

    ATAT_EXAMPLES=5000 utils/test.sh tests/test_properties.py    # more than CI tries, and at random
"""

from __future__ import annotations

import math
import os
import string
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import yaml
from hypothesis import HealthCheck, assume, example, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from atat.base import config, yaml_file
from atat.base.errors import InputError
from atat.datadir import ark, ids, kaldi_dir, tables
from atat.datadir.ctm import Word, check, ctm_rows, read_ctm, write_ctm
from atat.datadir.kaldi_dir import Utterance
from atat.prepare import textgrid
from atat.systems.joint.settings import TrainSettings
from atat.text import trees
from atat.text.normalize import normalize, normalize_tree
from atat.text.tokenizer import Tokenizer
from atat.text.trees import Tree

MORE = os.environ.get("ATAT_EXAMPLES")
profile.register_profile(
    "atat",
    max_examples=int(MORE or 60),
    derandomize=not MORE,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
profile.load_profile("atat")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One folder for all examples, in memory where there is some."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tiny.make_tokenizer()


# --- what is invented

ANY_TEXT = st.text(max_size=40)  # every character of Unicode but halves of pairs
SIGNS = st.text(
    alphabet="[]\\: INSL\t\n_ab·\u00a0\u2028", max_size=40
)  # near the notation of trees
IDS = st.text(min_size=1, max_size=20).filter(lambda name: ids.fault(name) is None)
WORDS = st.text(min_size=1, max_size=8).filter(lambda word: word.split() == [word])
NAMES = st.text(alphabet=string.ascii_uppercase + "_", min_size=1, max_size=6)
LABELS = st.builds("{}:{}".format, st.sampled_from(("IN", "SL")), NAMES)
TREES = st.builds(
    Tree,
    LABELS,
    st.recursive(
        st.lists(WORDS, max_size=3).map(tuple),
        lambda children: st.lists(WORDS | st.builds(Tree, LABELS, children), max_size=4).map(tuple),
        max_leaves=12,
    ),
)
VALUES = ANY_TEXT.filter(lambda text: not set(text) & set("\r\n")).map(
    lambda text: text.strip(" \t")
)
TIMES = st.lists(st.tuples(st.floats(0, 1), st.floats(0.001, 1), WORDS), min_size=1, max_size=5)


def words_in_a_row(gaps: list[tuple[float, float, str]]) -> list[Word]:
    """Words of a length after a pause, one after the other."""
    found, at = [], 0.0
    for pause, length, text in gaps:
        found.append(Word(text, at + pause, length))
        at += pause + length
    return found


# --- trees


@given(TREES)
def test_a_tree_is_read_from_what_was_written(tree: Tree) -> None:
    assert trees.parse(trees.to_string(tree)) == tree
    assert trees.words(tree) == [
        trees.unescape(token)
        for token in trees.to_tokens(tree)
        if not trees.is_open(token) and not trees.is_close(token)
    ]
    assert [label for label, *_ in trees.spans(tree)] == [
        token[1:] for token in trees.to_tokens(tree) if trees.is_open(token)
    ]


@given(ANY_TEXT | SIGNS)
@example("[IN:A \\")
def test_a_text_is_a_tree_or_is_refused(text: str) -> None:
    tree = trees.parse_or_none(text)
    if tree is not None:
        assert trees.parse(trees.to_string(tree)) == tree


@given(WORDS)
def test_a_word_survives_its_escape(word: str) -> None:
    assert trees.unescape(trees.escape(word)) == word
    assert not trees.is_open(trees.escape(word)) and not trees.is_close(trees.escape(word))


# --- data dirs


@given(st.dictionaries(IDS, VALUES, max_size=6))
def test_a_table_is_read_as_it_was_written(folder: Path, table: dict[str, str]) -> None:
    tables.write_table(folder / "table", table, durable=False)
    assert tables.read_table(folder / "table") == table
    scan = tables.scan_table(folder / "table")
    assert not scan.findings or not table


@given(st.binary(max_size=60) | ANY_TEXT.map(str.encode))
def test_a_file_is_a_table_or_has_findings(folder: Path, content: bytes) -> None:
    (folder / "bytes").write_bytes(content)
    scan = tables.scan_table(folder / "bytes")
    wrong = any(finding.is_error for finding in scan.findings)
    try:
        found = tables.read_table(folder / "bytes")
    except InputError as error:
        assert wrong and str(error).startswith(f"{folder / 'bytes'}:")
        return
    assert not wrong and found == scan.table
    tables.write_table(folder / "again", found, durable=False)
    assert tables.read_table(folder / "again") == found


@given(ANY_TEXT, ANY_TEXT)
def test_no_line_is_written_that_is_not_read_back(folder: Path, key: str, value: str) -> None:
    try:
        tables.write_table(folder / "one", {key: value}, durable=False)
    except InputError:
        return
    assert tables.read_table(folder / "one") == {key: value.strip(" \t")}


@given(st.dictionaries(IDS, st.tuples(IDS, TREES, st.floats(0.001, 1e5)), min_size=1, max_size=4))
def test_a_data_dir_is_read_as_it_was_written(
    folder: Path, found: dict[str, tuple[str, Tree, float]]
) -> None:
    utterances = [
        Utterance(
            key,
            speaker,
            duration=round(length, 6),
            text=" ".join(trees.words(tree)) or "a",
            semantics=trees.to_string(tree),
        )
        for key, (speaker, tree, length) in sorted(found.items())
    ]
    assume(not any(kaldi_dir.plain_text.fault(one.text) for one in utterances))
    assume(not any(kaldi_dir.plain_text.fault(one.semantics) for one in utterances))
    kaldi_dir.write(folder / "data", utterances)
    assert kaldi_dir.load(folder / "data") == utterances


@given(ANY_TEXT)
def test_an_id_names_a_file_in_its_folder_or_is_refused(name: str) -> None:
    try:
        path = ids.path_in("/folder", name, suffix=".wav")
    except InputError:
        assert ids.fault(name) is not None
        return
    assert path.parent == Path("/folder") and path.name == f"{name}.wav"


@given(st.text(alphabet="0123456789.e-+ naif:x\t", max_size=30) | ANY_TEXT)
def test_a_segment_lies_in_time_or_is_refused(value: str) -> None:
    try:
        _, start, end = kaldi_dir.parse_segment(value)
    except ValueError:
        return
    assert 0 <= start < math.inf and (end is None or start < end < math.inf)


# --- arks

MATRICES = st.tuples(
    st.integers(0, 5),
    st.integers(1, 4),
    st.sampled_from((np.float32, np.float64)),
    st.integers(0, 2**31),
)


@given(MATRICES, IDS)
def test_a_matrix_is_read_to_the_bit(
    folder: Path, about: tuple[int, int, Any, int], key: str
) -> None:
    rows, columns, kind, seed = about
    bits = np.random.default_rng(seed).bytes(rows * columns * np.dtype(kind).itemsize)
    matrix = np.frombuffer(bits, kind).reshape(rows, columns)  # NaN and infinity among them
    with ark.Writer(folder / "a.ark") as write:
        write(key, matrix)
    found = ark.read(write.specifiers[key], key)
    assert found.tobytes() == matrix.tobytes() and (found.dtype == kind or not rows)
    assert ark.summarize(write.specifiers[key], key).rows == rows


@given(st.binary(max_size=60), st.integers(0, 70), st.text(alphabet="0123456789:,[]-", max_size=8))
def test_bytes_are_a_matrix_or_are_refused(
    folder: Path, content: bytes, offset: int, ranges: str
) -> None:
    (folder / "b.ark").write_bytes(content)
    for specifier in (f"{folder}/b.ark:{offset}", f"{folder}/b.ark:{offset}[{ranges}]"):
        for reader in (ark.read, ark.summarize):
            try:
                reader(specifier, "key")
            except InputError:
                continue


# --- alignments


@given(st.dictionaries(IDS, TIMES, min_size=1, max_size=3))
def test_word_times_are_read_to_a_tenth_of_a_millisecond(
    folder: Path, found: dict[str, list[tuple[float, float, str]]]
) -> None:
    alignments = {key: words_in_a_row(gaps) for key, gaps in found.items()}
    assume(all(text != "<eps>" for gaps in found.values() for *_, text in gaps))
    assume(not any(key.startswith(";;") for key in found))
    write_ctm(folder / "ctm", alignments)
    back = read_ctm(folder / "ctm")
    assert back.keys() == alignments.keys()
    for key, words in alignments.items():
        assert [one.text for one in back[key]] == [one.text for one in words]
        assert not check(back[key], None, None)
        assert ctm_rows(back[key]) == ctm_rows(words)
        for one, other in zip(back[key], words):
            assert abs(one.start - other.start) < 1e-4 and abs(one.end - other.end) < 2e-4


@given(st.text(alphabet="ab1.-e \t\nnaif;", max_size=50) | ANY_TEXT)
def test_a_text_is_a_ctm_or_is_refused(folder: Path, text: str) -> None:
    (folder / "text.ctm").write_text(text, encoding="utf-8")
    try:
        found = read_ctm(folder / "text.ctm")
    except InputError:
        return
    assert all(math.isfinite(one.start + one.duration) for words in found.values() for one in words)


@given(TIMES, st.sampled_from(("long", "short")))
def test_a_textgrid_is_read_as_it_was_written(
    folder: Path, gaps: list[tuple[float, float, str]], form: Any
) -> None:
    words = [replace(one, text=normalize(one.text)) for one in words_in_a_row(gaps)]
    assume(all(len(one.text.split()) == 1 for one in words))
    assume(not any(one.text in textgrid.SILENCES for one in words))
    length = words[-1].end + 0.5
    textgrid.write_textgrid(folder / "a.TextGrid", words, length, form=form)
    back, end = textgrid.read_textgrid(folder / "a.TextGrid")
    assert [one.text for one in back] == [one.text for one in words]
    assert abs(end - length) < 1e-4
    for one, other in zip(back, words):
        assert abs(one.start - other.start) < 1e-4 and abs(one.end - other.end) < 2e-4


# --- words


@given(ANY_TEXT)
def test_any_text_is_decoded_as_it_was_encoded(tokenizer: Tokenizer, text: str) -> None:
    found = tokenizer.encode_text(text)
    assert tokenizer.decode(found, kind="text") == " ".join(text.split())
    assert sum(map(tokenizer.is_word_start, found)) == len(text.split())


@given(st.lists(st.integers(-5, 400), max_size=20))
def test_any_ids_are_decoded(tokenizer: Tokenizer, found: list[int]) -> None:
    text = tokenizer.decode(found)
    assert text == " ".join(text.split())


@given(ANY_TEXT | st.text(alphabet="0123456789:./-,$%°'#&½ apmst", max_size=20))
def test_what_is_normalised_stays_as_it_is(text: str) -> None:
    spoken = normalize(text)
    assert normalize(spoken) == spoken == " ".join(spoken.split())
    assert not any(character in "0123456789[]\\" for character in spoken)


@given(TREES)
def test_a_normalised_tree_has_the_same_tags(tree: Tree) -> None:
    spoken = normalize_tree(tree)
    assert normalize_tree(spoken) == spoken
    assert [token for token in trees.to_tokens(spoken) if trees.is_open(token)] == [
        token for token in trees.to_tokens(tree) if trees.is_open(token)
    ]


# --- settings

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(("train", "steps", "model", "optim", "batch", "seed", "valid", "init", "x"))


@given(ANY_TEXT | st.text(alphabet="ab:- {}[]&*!?|>'\"%#\n\t,.0", max_size=40))
def test_a_text_is_yaml_or_is_refused(folder: Path, text: str) -> None:
    try:
        yaml_file.parse(text)
    except yaml.YAMLError:
        pass
    (folder / "conf.yaml").write_bytes(text.encode())
    try:
        config.load(folder / "conf.yaml", TrainSettings)
    except InputError as error:
        assert str(error).startswith(str(folder))


@given(st.dictionaries(KEYS, PLAIN, max_size=4))
def test_values_are_settings_or_are_refused(folder: Path, values: dict[str, Any]) -> None:
    try:
        found = config.from_dict(values, TrainSettings, "conf")
    except InputError:
        return
    config.save(folder / "saved.yaml", found)
    assert config.load(folder / "saved.yaml", TrainSettings) == found


@given(
    st.builds(
        lambda peak, steps, path, weight: {
            "tokenizer": path,
            "train": [{"data": path, "task": "slu", "weight": weight}],
            "steps": steps,
            "optim": {"peak": peak},
        },
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(1, 10**12),
        ANY_TEXT,
        st.floats(1e-6, 1e6),
    )
)
def test_settings_are_read_as_they_were_written(folder: Path, values: dict[str, Any]) -> None:
    found = config.from_dict(values, TrainSettings, "conf")
    config.save(folder / "written.yaml", found)
    assert config.load(folder / "written.yaml", TrainSettings) == found
