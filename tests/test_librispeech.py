"""The LibriSpeech recipe's local commands: layout, faults, alignments, training sets."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from atat.base.errors import InputError
from atat.datadir import kaldi_dir, tables
from atat.datadir.corpus import Oddities
from atat.datadir.corpus_librispeech import folders, read_everything, read_folder, read_speakers
from atat.datadir.ctm import read_ctm, read_phones
from atat.datadir.overlap import overlap
from atat.prepare import synthesis
from atat.prepare.textgrid import write_textgrid

LOCAL = Path(__file__).resolve().parent.parent / "egs" / "librispeech" / "local"

pytestmark = pytest.mark.skipif(
    synthesis.available("espeak") is not None, reason="espeakng-loader is not installed"
)


@pytest.fixture(scope="module")
def made(local: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature as its generator writes it; not to be changed."""
    folder = tmp_path_factory.mktemp("mini")
    local("make_mini").main(["--out", str(folder)])
    return folder


@pytest.fixture
def corpus(made: Path, tmp_path: Path) -> Path:
    """A copy of the miniature's LibriSpeech, to be damaged."""
    shutil.copytree(made / "LibriSpeech", tmp_path / "LibriSpeech")
    return tmp_path / "LibriSpeech"


def prepare(local: Any, corpus: Path, out: Path, *options: str) -> None:
    local("prepare_librispeech").main(
        ["--corpus", str(corpus), "--out", str(out), "--lists", str(out / "train"), *options]
    )


def align(local: Any, corpus: Path, data: Path, *options: str) -> None:
    local("align_folders").main(["--corpus", str(corpus), "--data", str(data), *options])


def first(corpus: Path, pattern: str) -> Path:
    return sorted(corpus.glob(pattern))[0]


def test_the_layout_is_read_back(local: Any, made: Path, tmp_path: Path) -> None:
    prepare(local, made / "LibriSpeech", tmp_path)
    said = local("make_mini").readings(1)
    found: dict[str, tuple[str, str]] = {}
    for folder in sorted(tmp_path.glob("*_*")):
        raw = tables.read_table(folder / "text.raw")
        for utterance in kaldi_dir.load(folder):
            assert utterance.text == raw[utterance.id].lower()
            assert utterance.speaker == utterance.id.split("-")[0]
            assert utterance.wav is not None and Path(utterance.wav).is_file()
            found[utterance.id] = (folder.name, raw[utterance.id])
    assert found == {r.id: (r.folder.replace("-", "_"), r.text) for r in said}
    lists = {
        name: [Path(line).name for line in (tmp_path / "train" / name).read_text().split()]
        for name in ("train_dirs", "eval_dirs")
    }
    assert lists["train_dirs"] == ["train_clean_100", "train_other_500"]
    assert lists["eval_dirs"] == ["dev_clean", "test_clean"]
    # A reader whose name holds bars is read like any other.
    assert tables.read_table(tmp_path / "train_clean_100" / "spk2gender") == {
        "1034": "m",
        "19": "f",
        "26": "m",
    }


def test_folders_to_train_on(local: Any) -> None:
    choose = local("prepare_librispeech").choose
    present = ["dev-clean", "test-other", "train-clean-100", "train-clean-5"]
    assert choose(present, [], False) == ["train-clean-100", "train-clean-5"]
    assert choose(present, ["train-clean-5"], False) == ["train-clean-5"]
    assert choose(present, [], True) == present
    with pytest.raises(InputError, match="--train train-clean-360: no such folder.*train-clean-5"):
        choose(present, ["train-clean-360"], False)
    with pytest.raises(InputError, match="no train-"):
        choose(["dev-clean"], [], False)
    assert choose(["dev-clean"], [], False, may_lack=True) == []


def test_other_speech_may_be_all_there_is_to_train_on(
    local: Any, corpus: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It keeps the times that it came with; without such, published alignments are not for it."""
    for folder in corpus.glob("train-*"):
        shutil.rmtree(folder)
    speech = tmp_path / "speech"
    prepare(local, corpus, tmp_path, "--partial", "--speech", str(speech))
    assert (tmp_path / "train" / "train_dirs").read_text() == f"{speech}\n"
    prepare(local, made / "LibriSpeech", tmp_path / "whole", "--speech", str(speech))
    dirs = (tmp_path / "whole" / "train" / "train_dirs").read_text().split()
    assert [Path(name).name for name in dirs] == ["train_clean_100", "train_other_500", "speech"]
    (tmp_path / "whole" / "train_clean_100").rename(speech)
    published = made / "LibriSpeech-Alignments"
    settings_for = local("align_folders").settings_for
    assert settings_for("speech", corpus, published).backend == "pocketsphinx"
    assert settings_for("dev-clean", corpus, published).backend == "librispeech"
    times = "".join(f"{one.id} 1 0.1 0.2 {one.text.split()[0]}\n" for one in kaldi_dir.load(speech))
    (speech / "ctm").write_text(times)
    align(local, corpus, speech)
    assert (speech / "ctm").read_text() == times
    assert "the times that it came with" in capsys.readouterr().out
    came_with_times = local("align_folders").came_with_times
    (speech / "ctm").write_text(times.splitlines(keepends=True)[0])
    assert not came_with_times(speech, phones=False, max_lost=0.01)
    assert came_with_times(speech, phones=False, max_lost=0.99)
    (speech / "ctm").write_text(times)
    (speech / "phones.ctm").write_text(f"{times.split()[0]} 1 0.1 0.2 AA\n")
    assert came_with_times(speech, phones=False, max_lost=0.01)
    assert not came_with_times(speech, phones=True, max_lost=0.01)


def test_an_utterance_of_two_dirs_of_other_speech_is_refused(
    local: Any, made: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        tables.write_table(tmp_path / name / "utt2spk", {"a": "s", name: "s"})
    with pytest.raises(InputError, match="utterance a is in .*one and in .*two; leave one"):
        prepare(
            local,
            made / "LibriSpeech",
            tmp_path,
            "--speech",
            str(tmp_path / "one"),
            str(tmp_path / "two"),
        )


def test_what_is_trained_on_is_no_test(local: Any, made: Path, tmp_path: Path) -> None:
    for more, tests in ([], ["test_clean"]), (["--all"], ["dev_clean", "test_clean"]):
        folder = tmp_path / str(len(more))
        train = [] if more else ["--train", "train-clean-100 dev-clean"]
        prepare(local, made / "LibriSpeech", folder, *train, *more)
        lists = (folder / "train" / "eval_dirs").read_text().split()
        assert [Path(name).name for name in lists] == tests


def test_a_training_set_keeps_its_folders(local: Any, made: Path, tmp_path: Path) -> None:
    prepare(local, made / "LibriSpeech", tmp_path, "--train", "train-clean-100")
    prepare(local, made / "LibriSpeech", tmp_path, "--train", "train-clean-100")
    with pytest.raises(InputError, match="was made of train-clean-100, now it would be.*500"):
        prepare(local, made / "LibriSpeech", tmp_path)


@pytest.mark.parametrize(
    "inside, answer",
    [
        ("..", "further down: --corpus {corpus}"),
        ("train-clean-100", "further up: --corpus {corpus}"),
        ("train-clean-100/19", "further up: --corpus {corpus}"),
        ("train-clean-100/19/198", "further up: --corpus {corpus}"),
    ],
)
def test_another_level_is_refused_and_the_right_one_named(
    corpus: Path, inside: str, answer: str
) -> None:
    with pytest.raises(InputError) as caught:
        folders((corpus / inside).resolve())
    assert answer.format(corpus=corpus.resolve()) in str(caught.value)


def test_archives_that_are_not_unpacked_are_named(tmp_path: Path) -> None:
    (tmp_path / "dev-clean.tar.gz").touch()
    with pytest.raises(InputError, match="found dev-clean.tar.gz; unpack it first: tar -xzf"):
        folders(tmp_path)


def test_missing_files_are_listed_and_counted(
    local: Any, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = first(corpus, "train-clean-100/19/198/*.flac")
    gone.unlink()
    stray = first(corpus, "train-clean-100/26/495/*.flac")
    shutil.copy(stray, stray.with_name("26-495-0099.flac"))
    broken = sorted(corpus.glob("train-clean-100/26/495/*.flac"))[1]
    broken.write_bytes(b"no audio")
    other = first(corpus, "train-clean-100/1034/121119/*.flac")
    shutil.copy(other, other.with_name("1034-5-0001.flac"))
    prepare(local, corpus, tmp_path / "data", "--max_lost", "0.3")
    kept = [u.id for u in kaldi_dir.load(tmp_path / "data" / "train_clean_100")]
    assert gone.stem not in kept and broken.stem not in kept and len(kept) == 18
    listed = (tmp_path / "data" / "findings" / "train_clean_100.txt").read_text()
    for name in (gone.name, "26-495-0099.flac", broken.name, "1034-5-0001.flac"):
        assert name in listed
    assert "18 utterances, 3 speakers" in (said := capsys.readouterr().out) and "4 left out" in said
    with pytest.raises(InputError, match="4 of 22 recordings must be left out.*download whole"):
        prepare(local, corpus, tmp_path / "data")


def test_half_a_download_is_refused(local: Any, corpus: Path, tmp_path: Path) -> None:
    shutil.rmtree(corpus / "train-clean-100" / "1034")
    with pytest.raises(InputError, match=r"1 of the 3 speakers .* not there \(1034\).*--partial"):
        prepare(local, corpus, tmp_path)
    prepare(local, corpus, tmp_path, "--partial")
    assert len(kaldi_dir.load(tmp_path / "train_clean_100")) == 15


@pytest.mark.parametrize(
    "line, message",
    [
        ("19-198-0000", "found '19-198-0000', expected"),
        ("hello THE WORDS", "found 'hello THE WORDS', expected"),
        ("19-198-0001 AGAIN\n19-198-0001 AGAIN", "19-198-0001 occurs a second time"),
    ],
)
def test_a_transcript_of_another_form(corpus: Path, line: str, message: str) -> None:
    path = corpus / "train-clean-100" / "19" / "198" / "19-198.trans.txt"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=f"19-198.trans.txt:[12]: {message}"):
        read_folder(corpus, "train-clean-100", Oddities())


def test_all_chapters_below_a_folder_are_those_of_its_folders(corpus: Path) -> None:
    """egs/barista takes what there is, at any depth."""
    whole = {one.id: one for one in read_everything(corpus.parent, Oddities())}
    assert whole == {
        one.id: one for name in folders(corpus) for one in read_folder(corpus, name, Oddities())
    }
    with pytest.raises(InputError, match="no .*trans.txt below it; expected LibriSpeech"):
        read_everything(corpus / "train-clean-100" / "19" / "198" / "nothing", Oddities())


@pytest.mark.parametrize("line", ["19 F train-clean-100", "x19 | F | train-clean-100 | 25.0 | A"])
def test_a_speaker_list_of_another_form(corpus: Path, line: str) -> None:
    (corpus / "SPEAKERS.TXT").write_text(f"; comment\n{line}\n")
    with pytest.raises(InputError, match=re.escape(f"SPEAKERS.TXT:2: found {line!r}, expected")):
        read_speakers(corpus)


def test_what_has_no_alignment_stays_in_asr_and_leaves_mlm(
    local: Any, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(local, made / "LibriSpeech", tmp_path)
    dirs = [tmp_path / name for name in ("train_clean_100", "train_other_500")]
    given = ("--alignments", str(made / "LibriSpeech-Alignments"))
    with pytest.raises(
        InputError, match="(?s)1 of 20 utterances have no alignment.*more than 1.0%"
    ):
        align(local, made / "LibriSpeech", dirs[0], *given)
    for folder in dirs:
        align(local, made / "LibriSpeech", folder, *given, "--max_lost", "0.3")
    unaligned = set(local("make_mini").UNALIGNED)
    lost = {line.split()[0] for d in dirs for line in (d / "ctm.lost").read_text().splitlines()}
    assert lost == unaligned
    tests = [tmp_path / name for name in ("dev_clean", "test_clean")]
    local("make_sets").make(dirs, tests, tmp_path / "set", 0.02)
    asr, mlm = ({u.id for u in kaldi_dir.load(tmp_path / "set" / name)} for name in ("asr", "mlm"))
    assert unaligned < asr and mlm == asr - unaligned
    assert read_ctm(tmp_path / "set" / "mlm" / "ctm").keys() == mlm
    said = capsys.readouterr().out
    assert "25 utterances" in said and "the words of 2 have no times" in said
    shared = [overlap(tmp_path / "set" / "asr", folder) for folder in tests]
    assert [(one.sentences, one.utterances, one.speakers) for one in shared] == [
        (0, 5, 0),
        (1, 5, 0),
    ]


def test_every_form_of_alignment_is_found(local: Any, made: Path, tmp_path: Path) -> None:
    """Condensed, TextGrids beside the recordings, Gentle in a folder: the same times."""
    corpus = tmp_path / "LibriSpeech"
    shutil.copytree(made / "LibriSpeech" / "dev-clean", corpus / "dev-clean")
    prepare(local, corpus, tmp_path / "data", "--train", "dev-clean")
    data = tmp_path / "data" / "dev_clean"
    align(local, corpus, data, "--alignments", str(made / "LibriSpeech-Alignments"))
    expected = (data / "ctm").read_text()
    times = read_ctm(data / "ctm")
    lengths = {u.id: u.duration for u in kaldi_dir.load(data)}
    for key, words in times.items():
        path = next(corpus.rglob(f"{key}.flac"))
        write_textgrid(path.with_suffix(".TextGrid"), words, lengths[key] or 0.0)
        content = {
            "words": [
                {"word": w.text, "case": "success", "start": w.start, "end": w.end} for w in words
            ]
        }
        (tmp_path / "gentle" / f"{key}.json").parent.mkdir(exist_ok=True)
        (tmp_path / "gentle" / f"{key}.json").write_text(json.dumps(content))
    for options in ((), ("--alignments", str(tmp_path / "gentle"))):
        (data / "ctm").unlink()
        align(local, corpus, data, *options)
        again = read_ctm(data / "ctm")
        assert (data / "ctm").read_text() == expected or all(
            abs(a.start - b.start) < 0.002 and a.text == b.text
            for key in times
            for a, b in zip(times[key], again[key], strict=True)
        )
    settings = local("align_folders").settings_for
    assert settings("dev-clean", corpus, None).backend == "textgrid"
    assert settings("dev-clean", corpus, tmp_path / "gentle").backend == "gentle"
    assert settings("dev-clean", made / "LibriSpeech", None).backend == "pocketsphinx"
    with pytest.raises(InputError, match="no alignments in it; expected.*pocketsphinx makes them"):
        settings("dev-clean", corpus, data)


def test_phones_come_from_textgrids_and_from_no_other_files(
    local: Any, made: Path, tmp_path: Path
) -> None:
    prepare(local, made / "LibriSpeech", tmp_path)
    data = tmp_path / "train_clean_100"
    options = ("--phones", "--max_lost", "0.1")
    with pytest.raises(InputError, match="these hold no phones, which the acoustic model needs"):
        align(
            local,
            made / "LibriSpeech",
            data,
            "--alignments",
            str(made / "LibriSpeech-Alignments"),
            *options,
        )
    grids = made / "LibriSpeech-TextGrids"
    align(local, made / "LibriSpeech", data, "--alignments", str(grids), *options)
    words, phones = read_ctm(data / "ctm"), read_phones(data / "phones.ctm")
    assert words.keys() == phones.keys() and len(words) == 19
    for key, spoken in words.items():
        for word in spoken:  # it begins with a phone, as exactly as espeak-ng reports it
            assert min(abs(word.start - one.start) for one in phones[key]) < 0.1
    tests = [tmp_path / "dev_clean"]
    local("make_sets").make([data], tests, tmp_path / "set", 0.02)
    assert read_phones(tmp_path / "set" / "mlm" / "phones.ctm") == phones
    settings = local("align_folders").settings_for
    corpus = tmp_path / "corpus"
    shutil.copytree(made / "LibriSpeech-Alignments" / "LibriSpeech", corpus)
    assert settings("dev-clean", corpus, None).backend == "librispeech"
    assert settings("dev-clean", corpus, None, phones=True).backend == "pocketsphinx"


def test_what_is_aligned_is_not_aligned_again_for_another_encoder(
    local: Any, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless the words have changed since."""
    given = ("--alignments", str(made / "LibriSpeech-Alignments"), "--max_lost", "0.3")
    for name in ("lfb", "states"):
        prepare(local, made / "LibriSpeech", tmp_path / name)
    lfb, states = (tmp_path / name / "train_clean_100" for name in ("lfb", "states"))
    align(local, made / "LibriSpeech", states, *given, "--known", str(tmp_path / "lfb"))
    assert "aligned with librispeech" in capsys.readouterr().out
    align(local, made / "LibriSpeech", lfb, *given)
    for path in states.glob("ctm*"):
        path.unlink()
    capsys.readouterr()
    align(local, made / "LibriSpeech", states, *given, "--known", str(tmp_path / "lfb"))
    assert "already made from the same data" in capsys.readouterr().out
    for name in ("ctm", "ctm.lost"):
        assert (states / name).read_bytes() == (lfb / name).read_bytes()
    for path in states.glob("ctm*"):
        path.unlink()
    text = tables.read_table(states / "text")
    tables.write_table(states / "text", {**text, min(text): "other words"})
    align(local, made / "LibriSpeech", states, *given, "--known", str(tmp_path / "lfb"))
    assert "aligned with librispeech" in capsys.readouterr().out


@pytest.mark.parametrize("count", [1, 2])
def test_times_of_which_a_part_was_taken_over_are_not_those_a_data_dir_came_with(
    local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """After a kill between two of its files; the next run takes over the rest."""
    folders = local("align_folders")
    lfb, states = (tmp_path / name / "train_clean_100" for name in ("lfb", "states"))
    for folder in (lfb, states):
        folder.mkdir(parents=True)
        (folder / "utt2spk").write_text("s-u s\n")
    (lfb / "ctm").write_text("s-u 1 0.0 0.5 well\n")
    (lfb / "ctm.json").write_text("{}")
    (lfb / "ctm.lost").write_text("")
    written: list[str] = []
    real = folders.atomic_write

    def killed(path: Path, mode: str) -> Any:
        if len(written) == count:
            raise KeyboardInterrupt
        written.append(path.name)
        return real(path, mode)

    monkeypatch.setattr(folders, "atomic_write", killed)
    with pytest.raises(KeyboardInterrupt):
        folders.take_over(lfb.parent, states)
    assert not folders.came_with_times(states, phones=False, max_lost=0.0)
    monkeypatch.setattr(folders, "atomic_write", real)
    folders.take_over(lfb.parent, states)
    assert (states / "ctm").read_text() == (lfb / "ctm").read_text()
    (states / "ctm.json").unlink()
    assert folders.came_with_times(states, phones=False, max_lost=0.0)


def test_without_a_dev_folder_speakers_are_held_out(local: Any, made: Path, tmp_path: Path) -> None:
    prepare(local, made / "LibriSpeech", tmp_path)
    data = tmp_path / "train_clean_100"
    align(
        local,
        made / "LibriSpeech",
        data,
        "--max_lost",
        "0.3",
        "--alignments",
        str(made / "LibriSpeech-Alignments"),
    )
    everyone = {u.id for u in kaldi_dir.load(data)}
    for _ in range(2):  # a rerun makes the same sets
        local("make_sets").make([data], [], tmp_path / "set", 0.02)
        dev, asr = (kaldi_dir.load(tmp_path / "set" / name) for name in ("dev", "asr"))
        assert {u.id for u in dev} | {u.id for u in asr} == everyone
        assert len({u.speaker for u in dev}) == 1
        assert not {u.speaker for u in dev} & {u.speaker for u in asr}


def test_held_out_speakers_depend_on_names_alone(local: Any) -> None:
    dev_speakers = local("make_sets").dev_speakers
    names = [str(number) for number in range(200)]
    chosen = dev_speakers(names, 0.05)
    assert len(chosen) == 10 and chosen == dev_speakers(names[::-1], 0.05)
    with pytest.raises(InputError, match="only the speaker 7"):
        dev_speakers(["7", "7"], 0.05)


def test_a_part_of_the_real_corpus(local: Any, data_root: Path, tmp_path: Path) -> None:
    corpus = data_root / "librispeech" / "LibriSpeech"
    if not corpus.is_dir():
        pytest.skip(f"{corpus} is not there")
    prepare(local, corpus, tmp_path, "--train", "test-other")
    utterances = kaldi_dir.load(tmp_path / "test_other")
    assert len(utterances) == 50 and len({u.speaker for u in utterances}) == 5
    assert not (tmp_path / "test_other" / "spk2gender").exists()  # no SPEAKERS.TXT there
    assert all(2 < (u.duration or 0) < 36 for u in utterances)
