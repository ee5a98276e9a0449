"""Kaldi data dirs are read as Kaldi and ESPnet mean them, and written = read."""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from atat.base.errors import InputError
from atat.datadir import kaldi_dir
from atat.datadir.kaldi_dir import Utterance, load, path_of, write
from atat.datadir.tables import read_table, scan_table, seconds, write_table, write_tables

UTTERANCES = [
    Utterance(
        "ann-1",
        "ann",
        wav="/wavs/a.wav",
        text="play a song",
        duration=1.5,
        semantics="[IN:PLAY play [SL:THING a song ] ]",
    ),
    Utterance(
        "ann-2",
        "ann",
        wav="/wavs/b.wav",
        text="größer ☕",
        duration=0.25,
        semantics="[IN:GROW größer ☕ ]",
    ),
    Utterance(
        "bob-1", "bob", wav="/wavs/c.wav", text="stop", duration=2.0, semantics="[IN:STOP stop ]"
    ),
]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_written_is_read_and_written_again_is_identical(tmp_path):
    write(tmp_path / "a", reversed(UTTERANCES))
    read = load(tmp_path / "a")
    write(tmp_path / "b", read)
    assert read == UTTERANCES
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert set(contents(tmp_path / "a")) == {
        "wav.scp",
        "utt2spk",
        "spk2utt",
        "utt2dur",
        "text",
        "semantics",
    }


def test_segments_and_features_are_written_as_read(tmp_path):
    cut = [
        Utterance(
            "ann-1",
            "ann",
            wav="/wavs/long.wav",
            recording="long",
            start=0.0,
            end=1.25,
            duration=1.25,
            feats="/arks/a.ark:20",
            num_frames=123,
        ),
        Utterance(
            "ann-2",
            "ann",
            wav="/wavs/long.wav",
            recording="long",
            start=1.0000005,
            duration=3.0,
            feats="/arks/a.ark:9920",
            num_frames=7,
        ),
    ]
    write(tmp_path, cut)
    assert (tmp_path / "wav.scp").read_text() == "long /wavs/long.wav\n"
    assert (tmp_path / "segments").read_text().splitlines()[0] == "ann-1 long 0 1.25"
    read = load(tmp_path)
    assert [u.end for u in read] == [1.25, None]
    write(tmp_path / "again", read)
    first = contents(tmp_path / "again")
    write(tmp_path / "again", load(tmp_path / "again"))
    assert contents(tmp_path / "again") == first


def test_what_is_loaded_with_open_segments_can_be_written(tmp_path):
    (tmp_path / "utt2spk").write_text("a-0 a\na-1 a\n")
    (tmp_path / "wav.scp").write_text("r /r.wav\n")
    (tmp_path / "segments").write_text("a-0 r 0 0.3\na-1 r 0.3 -1\n")
    loaded = load(tmp_path)
    assert [one.duration for one in loaded] == [0.3, None]
    write(tmp_path / "out", loaded)
    assert load(tmp_path / "out") == loaded
    with pytest.raises(InputError, match="utt2dur: 1 of 2 utterances have a value"):
        write(tmp_path / "out", [replace(loaded[0], duration=0.31), loaded[1]])


def test_a_text_only_dir_loads(tmp_path):
    (tmp_path / "utt2spk").write_text("a-1 a\n")
    (tmp_path / "text").write_text("a-1 turn it on\n")
    (tmp_path / "semantics").write_text("a-1 [IN:ON turn it on ]\n")
    assert load(tmp_path) == [
        Utterance("a-1", "a", text="turn it on", semantics="[IN:ON turn it on ]")
    ]


def test_writing_takes_away_what_the_utterances_no_longer_have(tmp_path):
    write(tmp_path, UTTERANCES)
    (tmp_path / "notes").write_text("mine\n")
    write(tmp_path, [replace(u, duration=None, semantics=None) for u in UTTERANCES[:2]])
    assert set(contents(tmp_path)) == {"wav.scp", "utt2spk", "spk2utt", "text", "notes"}
    assert len(load(tmp_path)) == 2


def test_order_is_that_of_utf8_bytes(tmp_path):
    keys = ["a", "a-b", "a_b", "aB", "ab", "Z", "é", "\uffee", "\U0001f3b5"]
    write_table(tmp_path / "t", dict.fromkeys(keys, "x"))
    lines = (tmp_path / "t").read_bytes().splitlines()
    assert lines == sorted(lines)
    sort = subprocess.run(["sort", "-c", "-k1,1", tmp_path / "t"], env={"LC_ALL": "C"})
    assert sort.returncode == 0
    assert set(read_table(tmp_path / "t")) == set(keys)


def test_tabs_and_trailing_blanks_are_tolerated_as_in_kaldi(tmp_path):
    (tmp_path / "t").write_bytes(b"a\tone two\nb \t three\t four  \nc\nd five")
    assert read_table(tmp_path / "t") == {"a": "one two", "b": "three\t four", "c": "", "d": "five"}


@pytest.mark.parametrize(
    "data, line, what",
    [
        (b"a 1\nb 2\na 3\n", 3, "'a' occurs a second time (first in line 1)"),
        (b"a 1\nc 2\nb 3\n", 3, "out of order"),
        (b"a 1\n\nb 3\n", 2, "is empty"),
        (b"a 1\n b 3\n", 2, "starts with a blank"),
        (b"a 1\nb 2\r\nc 3\r\n", 2, "2 lines end in CRLF"),
        (b"\xef\xbb\xbfa 1\n", 1, "byte order mark"),
        (b"a 1\nb caf\xe9\n", 2, "0xe9 is not UTF-8"),
    ],
)
def test_a_malformed_table_is_refused_with_its_line(tmp_path, data, line, what):
    path = tmp_path / "text"
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        read_table(path)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert what in str(error.value)


def test_a_scan_collects_all_faults_and_keeps_what_is_good(tmp_path):
    (tmp_path / "text").write_bytes(b"\xef\xbb\xbfa 1\r\nc 2 \r\nb 3\r\nc 4\r\n\r\nd caf\xe9")
    scan = scan_table(tmp_path / "text")
    assert {(f.kind, f.line) for f in scan.findings} == {
        ("byte order mark", 1),
        ("Windows line ends", 1),
        ("trailing blanks", 2),
        ("not sorted", 3),
        ("duplicate key", 4),
        ("line without a key", 5),
        ("not UTF-8", 6),
        ("no newline at the end", 6),
    }
    assert list(scan.table) == ["a", "c", "b", "d"]
    assert [scan.line(key) for key in "abcd?"] == [1, 3, 2, 6, 0]
    assert scan.conflicting == {"c"}


def test_repeated_keys_of_a_ctm_stay_in_order(tmp_path):
    rows = {"a": ["1 0 1 x", "1 1 1 y"], "b": ["1 0 1 z"]}
    write_table(tmp_path / "ctm", rows)
    table = read_table(tmp_path / "ctm", repeated=True)
    assert {key: value.split("\n") for key, value in table.items()} == rows
    with pytest.raises(InputError, match="second time"):
        read_table(tmp_path / "ctm")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("utt2spk", "ann-1\nann-2 ann\nbob-1 bob\n", "utt2spk:1: found '' after 'ann-1'"),
        ("utt2spk", "ann-1 a n\nann-2 ann\nbob-1 bob\n", "expected one speaker"),
        ("text", "ann-1 x\n", "text: no line for 'ann-2', which is in utt2spk"),
        ("text", "ann-1 x\nann-2 y\nbob-1 z\ncy-1 w\n", "text:4: 'cy-1' is not in utt2spk"),
        ("wav.scp", "ann-1 a.wav\nann-2\nbob-1 c.wav\n", "wav.scp:2: no file after 'ann-2'"),
        (
            "feats.scp",
            "ann-1 a\nann-2 rm x |\nbob-1 c\n",
            "feats.scp:2: 'ann-2' is a shell command",
        ),
        ("utt2dur", "ann-1 1\nann-2 2s\nbob-1 3\n", "utt2dur:2: found '2s' for 'ann-2'"),
        ("utt2num_frames", "ann-1 1\nann-2 2.5\nbob-1 3\n", "expected a whole number"),
        ("segments", "ann-1 r 2 1\nann-2 r 0 1\nbob-1 r 0 1\n", "segments:1: found times 2 to 1"),
        (
            "segments",
            "ann-1 r 0 inf\nann-2 r 0 1\nbob-1 r 0 1\n",
            "segments:1: found times 0 to inf",
        ),
        (
            "segments",
            "ann-1 r nan 1\nann-2 r 0 1\nbob-1 r 0 1\n",
            "segments:1: found times nan to 1",
        ),
        ("segments", "ann-1 r 1\nann-2 r 0 1\nbob-1 r 0 1\n", "segments:1: found 3 fields"),
        ("segments", "ann-1 r 0 1\nann-2 r 0 1\nbob-1 r 0 1\n", "the recording 'r' of 'ann-1'"),
    ],
)
def test_a_dir_whose_files_do_not_fit_is_refused(tmp_path, name, content, message):
    write(tmp_path, UTTERANCES)
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as error:
        load(tmp_path)
    assert message in str(error.value)


def test_pipes_are_loaded_as_text_and_refused_where_audio_is_needed(tmp_path):
    write(tmp_path, UTTERANCES)
    trap = tmp_path / "executed"
    (tmp_path / "wav.scp").write_text(f"ann-1 touch {trap} |\nann-2 b.wav\nbob-1 c.wav\n")
    utterances = load(tmp_path)
    assert utterances[0].wav == f"touch {trap} |"
    with pytest.raises(InputError, match="wav.scp:1: 'ann-1' .* this needs the audio"):
        kaldi_dir.refuse_pipes(tmp_path, utterances, "this")
    kaldi_dir.refuse_pipes(tmp_path, utterances[1:], "nobody")
    assert not trap.exists()


def test_relative_paths_mean_the_root_or_the_dir_or_the_current_folder(tmp_path, monkeypatch):
    here, data = tmp_path / "here", tmp_path / "data"
    here.mkdir()
    write(data, [replace(u, wav=None) for u in UTTERANCES])
    (data / "in_dir.wav").touch()
    (data / "wav.scp").write_text("ann-1 in_dir.wav\nann-2 elsewhere.wav\nbob-1 /abs/c.wav\n")
    monkeypatch.chdir(here)
    assert [u.wav for u in load(data)] == [
        f"{data}/in_dir.wav",
        f"{here}/elsewhere.wav",
        "/abs/c.wav",
    ]
    assert [u.wav for u in load(data, root="/r")] == [
        "/r/in_dir.wav",
        "/r/elsewhere.wav",
        "/abs/c.wav",
    ]


@pytest.mark.parametrize(
    "utterances, message",
    [
        ([UTTERANCES[0], UTTERANCES[0]], "two utterances are called 'ann-1'"),
        ([UTTERANCES[0], replace(UTTERANCES[1], text=None)], "'ann-2' has none"),
        ([UTTERANCES[0], replace(UTTERANCES[1], wav=None)], "'ann-2' has no wav"),
        ([replace(UTTERANCES[0], text="a\nb")], "line break"),
        ([replace(UTTERANCES[0], id="a b")], "holds a blank"),
        ([], "no utterances"),
    ],
)
def test_what_would_not_be_read_back_is_not_written(tmp_path, utterances, message):
    write(tmp_path / "dir", UTTERANCES)
    before = contents(tmp_path / "dir")
    with pytest.raises(InputError, match=message):
        write(tmp_path / "dir", utterances)
    assert contents(tmp_path / "dir") == before


def test_a_failed_write_leaves_every_old_file(tmp_path):
    write(tmp_path, UTTERANCES)
    before = contents(tmp_path)

    def endless():
        yield from UTTERANCES
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, endless())
    with pytest.raises(InputError):
        write_tables(tmp_path, {"text": {"a": "new"}, "utt2spk": {"bad key": "x"}})
    assert contents(tmp_path) == before


def test_a_full_disk_leaves_every_old_file(tmp_path):
    """A limit on the size of files stands in for the disk: the error is the system's own."""
    write(tmp_path, UTTERANCES)
    before = contents(tmp_path)
    code = (
        "import sys; from atat.datadir.kaldi_dir import Utterance, write\n"
        "write(sys.argv[1], [Utterance(f'a-{i:05}', 'a', text='word ' * 9)"
        " for i in range(3000)])"
    )

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], preexec_fn=limit, capture_output=True, text=True
    )
    assert "File too large" in done.stderr
    assert contents(tmp_path) == before


def test_times_and_paths():
    assert [seconds(t) for t in (0.0, 1.5, 1 / 3, 100.0)] == ["0", "1.5", "0.333333", "100"]
    assert path_of("/a:b/c.ark:123[0:9]") == "/a:b/c.ark"
    assert path_of("/a/c.ark") == "/a/c.ark"


def test_a_dir_made_by_kaldi_loads_and_is_written_as_it_was(data_root, tmp_path):
    folder = data_root / "kaldi_truth" / "datadir"
    utterances = load(folder)
    with pytest.raises(InputError, match="wav.scp:1: .* shell command"):
        kaldi_dir.refuse_pipes(folder, utterances, "our model")
    assert [u.id for u in utterances] == [
        "lbi-3536-23268-0000",
        "lbi-6241-61943-0000",
        "lbi-8842-304647-0000",
    ]
    assert (utterances[0].start, utterances[0].end, utterances[0].num_frames) == (1.0, 20.89, 1987)
    ark = folder / "data" / "raw_mfcc_mini_librispeech2.1.ark"
    assert utterances[1].feats == f"{ark}:25996"
    write(tmp_path, utterances)
    for name in ("text", "utt2spk", "spk2utt", "utt2dur", "utt2num_frames"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert load(tmp_path) == utterances


@pytest.mark.parametrize("part, count", [("train", 2500), ("test", 1260)])
def test_speechocean762_loads(data_root, part, count):
    root = data_root / "speechocean762"
    utterances = load(root / part, root=root)
    assert len(utterances) == count
    assert all(Path(u.wav).is_file() for u in utterances)
    assert utterances[0].text.isupper()


def test_espnet_reads_what_we_write(tmp_path):
    read_text = pytest.importorskip("espnet2.fileio.read_text")
    sound_scp = pytest.importorskip("espnet2.fileio.sound_scp")
    numpy = pytest.importorskip("numpy")
    soundfile = pytest.importorskip("soundfile")
    samples = numpy.arange(-800, 800, dtype=numpy.int16)
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    write(
        tmp_path / "dir",
        [replace(u, wav=str(tmp_path / "a.wav"), num_frames=9) for u in UTTERANCES],
    )
    texts = read_text.read_2columns_text(tmp_path / "dir" / "text")
    assert texts == {u.id: u.text for u in UTTERANCES}
    trees = read_text.read_2columns_text(tmp_path / "dir" / "semantics")
    assert trees == {u.id: u.semantics for u in UTTERANCES}
    frames = read_text.load_num_sequence_text(tmp_path / "dir" / "utt2num_frames", "text_int")
    assert frames == {u.id: [9] for u in UTTERANCES}
    rate, read = sound_scp.SoundScpReader(tmp_path / "dir" / "wav.scp", dtype="int16")["ann-2"]
    assert rate == 16000 and numpy.array_equal(read, samples)
